/* Named sets of models. */
#include "tools/sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const profile_default[] = {
	"sim-chat,size=2GB,load=300ms,prefill=2000,decode=50,tools,ctx=8192",
	"sim-embed,kind=embed,size=100MB,load=300ms,prefill=20000,ctx=512,params=33M,quant=F16",
	NULL,
};

static const char *const profile_empty[] = {NULL};

/* The models of a set of recorded exchanges with a real server: sizes and weights are facts about those files. */
#define WIRE_TINY                                                                                                                  \
	"weights=bbe944dfa7f171c3ab47879bfe2dc3c4dda7a05ec1df24f8ffa61ccd2a8a8d1f,size=718314B,ram=2612224B,params=175K,"          \
	"tokenizer=syllables,answers=syllables,count=175296"
#define WIRE_SCRIPT                                                                                                                \
	"weights=7ccdfd4b2057eb80dec434de18fd8fe5749d7b6676cedaa3b1951a610b419fc7,size=506049B,ram=1338112B,params=122K,"          \
	"tokenizer=script,blocks=1,ffn=32,vocab=776,count=122048"
#define WIRE_RATES "load=280ms,quant=unknown,prefill=20000,decode=400"

static const char *const profile_wire[] = {
	"tiny," WIRE_TINY "," WIRE_RATES,
	"ns/alias:v1," WIRE_TINY "," WIRE_RATES,
	"insert,insert," WIRE_TINY "," WIRE_RATES,
	"tiny-ctx,num_ctx=1024," WIRE_TINY "," WIRE_RATES,
	"embed,kind=embed,weights=a97808589b5db70efb15f6d582758acdfc94df16d424bdd4c02d0ba0c2a794c5,size=568168B,ram=5556224B,"
	"params=138K,ctx=512,load=280ms,quant=unknown,prefill=40000,tokenizer=pieces",
	"script,answers=script," WIRE_SCRIPT "," WIRE_RATES,
	"think,answers=think,thinking," WIRE_SCRIPT "," WIRE_RATES,
	"tool,answers=tool,tools," WIRE_SCRIPT "," WIRE_RATES,
	"mid,weights=0b490ac83344c26c42afa31addb3ea36d07d7a658b567169e5acc88c30eb4a4c,size=105793356B,ram=171393024B,params=26.44M,"
	"ctx=8192,dim=512,load=290ms,quant=unknown,prefill=100,decode=35,tokenizer=syllables,answers=syllables",
	"big,weights=6c233bc76667a085846e4557779c9b9f6829632ee6c2828c014f09d5e91e192d,size=828198925B,ram=1641869312B,params=207."
	"04M,"
	"ctx=8192,dim=1024,load=2s,quant=unknown,prefill=100,decode=5,tokenizer=syllables,answers=syllables",
	NULL,
};

/* What an option cannot say. */
static const struct {
	const char *name;
	const char *template;
	const char *system;
	const char *parameters;
	const char *parent;
} wire_texts[] = {
	{"tiny-ctx", NULL, "You are tiny.", "num_ctx 1024\nstop zz\nstop yy\n", "tiny:latest"},
	{"insert", "{{ if .Suffix }}<pre>{{ .Prompt }}<suf>{{ .Suffix }}<mid>{{ else }}{{ .Prompt }}{{ end }}", NULL, NULL, NULL},
	{"think",
	 "{{- if .System }}{{ .System }}\n{{ end }}{{- range .Messages }}{{ if eq .Role \"assistant\" }}{{ if .Thinking "
	 "}}<think>{{ .Thinking "
	 "}}</think>{{ end }}{{ end }}{{ .Role }}: {{ .Content }}\n{{ end }}{{ if $.Think }}<|go-think|>{{ else }}<|go-short|>{{ "
	 "end }}",
	 NULL, NULL, NULL},
	{"tool",
	 "{{- if .Tools }}tools: {{ .Tools }}\n{{ end }}{{- range .Messages }}{{ if .ToolCalls }}{{ range .ToolCalls "
	 "}}<tool_call>\n{\"name\": "
	 "\"{{ .Function.Name }}\", \"arguments\": {{ .Function.Arguments }}}\n</tool_call>{{ end }}{{ end }}{{ .Role }}: {{ "
	 ".Content }}\n{{ end "
	 "}}{{ if .Tools }}<|go-tool|>{{ else }}<|go-short|>{{ end }}",
	 NULL, NULL, NULL},
};

static void text_set(char *to, size_t size, const char *text)
{
	if (text)
		span_copy(to, size, span_of(text));
}

static void wire_texts_add(struct sim_conf *conf)
{
	for (size_t i = 0; i < conf->models_n; i++) {
		struct sim_model_conf *m = &conf->models[i];

		for (size_t k = 0; k < sizeof(wire_texts) / sizeof(wire_texts[0]); k++) {
			if (strcmp(wire_texts[k].name, m->name) != 0)
				continue;
			text_set(m->template, sizeof(m->template), wire_texts[k].template);
			text_set(m->system, sizeof(m->system), wire_texts[k].system);
			text_set(m->parameters, sizeof(m->parameters), wire_texts[k].parameters);
			text_set(m->parent, sizeof(m->parent), wire_texts[k].parent);
		}
	}
}

static const struct {
	const char *name;
	const char *const *models;
} profiles[] = {{"default", profile_default}, {"wire", profile_wire}, {"empty", profile_empty}};

int sim_profile_add(struct sim_conf *conf, const char *name, struct why *why)
{
	int err = 0;

	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
		if (strcmp(profiles[i].name, name) != 0)
			continue;
		for (const char *const *m = profiles[i].models; *m && !err; m++)
			err = sim_options_model_add(conf, *m, why);
		conf->profiled = true;
		if (profiles[i].models == profile_wire) {
			wire_texts_add(conf);
			if (!conf->version[0])
				memcpy(conf->version, "0.0.0", 6);
		}
		return err;
	}
	return why_set(why, -EINVAL, "there is no profile \"%s\"; there are: default, wire, empty", name);
}
