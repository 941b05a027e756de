/* The command line and the OLLAMA_* environment of a real server. */
#include "tools/sim/sim.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/scan.h"

static const char usage[] =
	"ollama-sim is a SIMULATOR of an Ollama server: it speaks its HTTP interface and has no model.\n"
	"\n"
	"usage: ollama-sim [serve] [options]\n"
	"  --listen HOST:PORT     first port (127.0.0.1:11434, or OLLAMA_HOST)\n"
	"  --ports N              that many instances on PORT, PORT+1, ..., each with a state of its own (1)\n"
	"  --model SPEC           a model; repeatable; without any: sim-chat and sim-embed\n"
	"                         SPEC is NAME[,key=value|,flag]...; keys and their defaults:\n"
	"                           kind=chat|embed  size=2GB  ram=SIZE  vram=0B  load=300ms  prefill=2000  decode=50\n"
	"                           ctx=4096 (trained)  num_ctx=N  dim=64  tokens=N  parallel=N  token_bytes=4\n"
	"                           weights=TEXT (equal = shared)\n"
	"                           family=llama  params=1B  quant=Q4_K_M  answers=words|script|think|tool|syllables\n"
	"                           tokenizer=bytes|syllables|script|pieces  blocks=2  ffn=2*dim  vocab=727  count=N (weights)\n"
	"                         flags: tools thinking vision insert overlap broken\n"
	"                         prefill and decode are tokens per second; 0 = no delay\n"
	"  --profile NAME         a set of models: default, empty, wire (those of recorded exchanges)\n"
	"  --fast                 no delays at all: load, prompt, tokens, ping\n"
	"  --tokens N             length of an answer (16)\n"
	"  --parallel N           slots per model (1, or OLLAMA_NUM_PARALLEL)\n"
	"  --max-queue N          requests waiting for a load (512, or OLLAMA_MAX_QUEUE)\n"
	"  --max-loaded N         models loaded at a time (3, or OLLAMA_MAX_LOADED_MODELS)\n"
	"  --keep-alive DURATION  (5m, or OLLAMA_KEEP_ALIVE); a number of seconds, negative = for ever\n"
	"  --context-length N     num_ctx of a load that does not ask (4096, or OLLAMA_CONTEXT_LENGTH)\n"
	"  --generation old|new   behave like 0.24 (old) or 0.33 (new); default old\n"
	"  --version X.Y.Z        what /api/version says (0.24.0, or 0.33.0)\n"
	"  --ping DURATION        health ping before admission: a client that leaves in it leaks a descriptor (2ms)\n"
	"  --ping-timeout D       until a silent runner is given up, twice (10s)\n"
	"  --load-timeout D       of a load without progress (5m, or OLLAMA_LOAD_TIMEOUT)\n"
	"  --load-abort D         from the leaving of a load's owner to the next load (160ms)\n"
	"  --hand-over D          a stream closed so soon after an item keeps its slot for ever (7us)\n"
	"  --start-delay D        accept connections, answer none (0ms)\n"
	"  --fault SPEC           kind=KIND[,model=M][,route=/path][,after_chunks=N][,count=N][,delay_ms=N][,status=N]\n"
	"  --no-pull              pulls fail as without a network\n"
	"  --runners              a real child process per loaded model\n"
	"  --log                  start-up and access lines as a real server writes them, to standard error and output\n"
	"  --quiet                no banner\n"
	"  --help\n"
	"\n"
	"A prompt may steer its answer: sim:tokens=N  sim:delay=20ms  sim:echo=TEXT\n"
	"Control: GET /sim  GET /sim/stats  POST /sim/fault  POST /sim/release  POST /sim/reset\n"
	"Environment: OLLAMA_SIM_ARGS = more options\n"
	"See ollama-sim(1).\n";

enum option_id {
	OPT_LISTEN = 256,
	OPT_PORTS,
	OPT_MODEL,
	OPT_PROFILE,
	OPT_FAST,
	OPT_TOKENS,
	OPT_PARALLEL,
	OPT_MAX_QUEUE,
	OPT_MAX_LOADED,
	OPT_KEEP_ALIVE,
	OPT_CONTEXT,
	OPT_GENERATION,
	OPT_VERSION,
	OPT_PING,
	OPT_PING_TIMEOUT,
	OPT_LOAD_TIMEOUT,
	OPT_LOAD_ABORT,
	OPT_HAND_OVER,
	OPT_START_DELAY,
	OPT_FAULT,
	OPT_NO_PULL,
	OPT_RUNNERS,
	OPT_LOG,
	OPT_QUIET,
	OPT_HELP,
};

static const struct option long_options[] = {
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"ports", required_argument, NULL, OPT_PORTS},
	{"model", required_argument, NULL, OPT_MODEL},
	{"profile", required_argument, NULL, OPT_PROFILE},
	{"fast", no_argument, NULL, OPT_FAST},
	{"tokens", required_argument, NULL, OPT_TOKENS},
	{"parallel", required_argument, NULL, OPT_PARALLEL},
	{"max-queue", required_argument, NULL, OPT_MAX_QUEUE},
	{"max-loaded", required_argument, NULL, OPT_MAX_LOADED},
	{"keep-alive", required_argument, NULL, OPT_KEEP_ALIVE},
	{"context-length", required_argument, NULL, OPT_CONTEXT},
	{"generation", required_argument, NULL, OPT_GENERATION},
	{"version", required_argument, NULL, OPT_VERSION},
	{"ping", required_argument, NULL, OPT_PING},
	{"ping-timeout", required_argument, NULL, OPT_PING_TIMEOUT},
	{"load-timeout", required_argument, NULL, OPT_LOAD_TIMEOUT},
	{"load-abort", required_argument, NULL, OPT_LOAD_ABORT},
	{"hand-over", required_argument, NULL, OPT_HAND_OVER},
	{"start-delay", required_argument, NULL, OPT_START_DELAY},
	{"fault", required_argument, NULL, OPT_FAULT},
	{"no-pull", no_argument, NULL, OPT_NO_PULL},
	{"runners", no_argument, NULL, OPT_RUNNERS},
	{"log", no_argument, NULL, OPT_LOG},
	{"quiet", no_argument, NULL, OPT_QUIET},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

/* --- models ----------------------------------------------------------------------------------------------------------- */

struct model_key {
	const char *key;
	enum { KEY_TEXT, KEY_SIZE, KEY_TIME, KEY_U32, KEY_U64, KEY_FLAG } kind;
	size_t offset;
	size_t size;
};

#define KEY(key_, kind_, member)                                                                                                   \
	{                                                                                                                          \
		key_, kind_, offsetof(struct sim_model_conf, member), sizeof(((struct sim_model_conf *)0)->member)                 \
	}

static const struct model_key model_keys[] = {
	KEY("size", KEY_SIZE, size_bytes),
	KEY("ram", KEY_SIZE, ram_bytes),
	KEY("vram", KEY_SIZE, vram_bytes),
	KEY("load", KEY_TIME, load_ns),
	KEY("prefill", KEY_U64, prefill_per_s),
	KEY("decode", KEY_U64, decode_per_s),
	KEY("ctx", KEY_U32, ctx_trained),
	KEY("num_ctx", KEY_U32, num_ctx),
	KEY("dim", KEY_U32, dim),
	KEY("tokens", KEY_U32, tokens),
	KEY("parallel", KEY_U32, parallel),
	KEY("token_bytes", KEY_U32, token_bytes),
	KEY("blocks", KEY_U32, blocks),
	KEY("ffn", KEY_U32, ffn),
	KEY("vocab", KEY_U32, vocab),
	KEY("count", KEY_U32, weights_count),
	KEY("family", KEY_TEXT, family),
	KEY("params", KEY_TEXT, parameter_size),
	KEY("quant", KEY_TEXT, quantization),
	KEY("tools", KEY_FLAG, tools),
	KEY("thinking", KEY_FLAG, thinking),
	KEY("vision", KEY_FLAG, vision),
	KEY("insert", KEY_FLAG, insert),
	KEY("overlap", KEY_FLAG, overlap),
	KEY("broken", KEY_FLAG, broken),
};

static int key_set(struct sim_model_conf *m, const struct model_key *k, const char *value, struct why *why)
{
	char *at = (char *)m + k->offset;
	uint64_t v = 0;
	int err = 0;
	uint32_t small;

	switch (k->kind) {
	case KEY_FLAG:
		*(bool *)(void *)at = true;
		return 0;
	case KEY_TEXT:
		return span_copy(at, k->size, span_of(value))
			       ? 0
			       : why_set(why, -EINVAL, "\"%s\" is too long; use %zu characters", value, k->size - 1);
	case KEY_SIZE:
		err = scan_size_bytes(value, &v, why);
		break;
	case KEY_TIME:
		err = scan_duration_ns(value, &v, why);
		break;
	case KEY_U32:
		err = scan_u64(value, 0, 100000000, &v, why);
		small = (uint32_t)v;
		if (!err)
			memcpy(at, &small, sizeof(small));
		return err;
	case KEY_U64:
		err = scan_u64(value, 0, 1000000000, &v, why);
	}
	if (!err)
		memcpy(at, &v, sizeof(v));
	return err;
}

/* Keys that are not a plain member. */
static int key_special(struct sim_model_conf *m, const char *key, const char *value, struct why *why)
{
	static const char *const answers[ANSWERS_COUNT] = {"words", "script", "think", "tool", "syllables"};
	static const char *const tokenizers[TOKENS_COUNT] = {"bytes", "syllables", "script", "pieces"};

	if (!strcmp(key, "kind")) {
		if (strcmp(value, "chat") != 0 && strcmp(value, "embed") != 0)
			return why_set(why, -EINVAL, "kind=%s: write kind=chat or kind=embed", value);
		m->embed = !strcmp(value, "embed");
		return 0;
	}
	if (!strcmp(key, "weights")) {
		if (strlen(value) == 64 && strspn(value, "0123456789abcdef") == 64)
			memcpy(m->weights, value, 65);
		else
			sha256_hex(value, strlen(value), m->weights);
		return 0;
	}
	if (!strcmp(key, "answers"))
		for (unsigned i = 0; i < ANSWERS_COUNT; i++)
			if (!strcmp(value, answers[i])) {
				m->answers = (enum sim_answers)i;
				return 0;
			}
	if (!strcmp(key, "tokenizer"))
		for (unsigned i = 0; i < TOKENS_COUNT; i++)
			if (!strcmp(value, tokenizers[i])) {
				m->tokenizer = (enum sim_tokenizer)i;
				return 0;
			}
	return why_set(why, -EINVAL, "model option \"%s=%s\" is unknown; see --help for keys and values", key, value);
}

static int model_option(struct sim_model_conf *m, char *text, struct why *why)
{
	char *eq = strchr(text, '=');

	if (eq)
		*eq = 0;
	for (size_t i = 0; i < sizeof(model_keys) / sizeof(model_keys[0]); i++) {
		if (strcmp(model_keys[i].key, text) != 0)
			continue;
		if (!eq && model_keys[i].kind != KEY_FLAG)
			return why_set(why, -EINVAL, "model option %s needs a value: %s=...", text, text);
		return key_set(m, &model_keys[i], eq ? eq + 1 : "", why);
	}
	return key_special(m, text, eq ? eq + 1 : "", why);
}

int sim_options_model_add(struct sim_conf *conf, const char *text, struct why *why)
{
	struct sim_model_conf m = {
		.family = "llama",
		.parameter_size = "1B",
		.quantization = "Q4_K_M",
		.template = "{{ .Prompt }}",
		.size_bytes = 2000000000,
		.load_ns = 300 * NS_PER_MS,
		.prefill_per_s = 2000,
		.decode_per_s = 50,
		.ctx_trained = 4096,
		.dim = 64,
	};
	char *copy = sim_strdup(text);
	char *rest = copy;
	char *word = strsep(&rest, ",");
	struct sim_name name;
	int err = 0;

	if (!sim_name_parse(span_of(word), &name) || !span_copy(m.name, sizeof(m.name), span_of(word)))
		err = why_set(why, -EINVAL, "--model %s: it begins with a model name such as llama3.2:1b", text);
	if (!err)
		sha256_hex(m.name, strlen(m.name), m.weights);
	while (!err && (word = strsep(&rest, ",")))
		err = model_option(&m, word, why);
	free(copy);
	if (err)
		return err;
	if (m.embed && !strcmp(m.family, "llama"))
		memcpy(m.family, "bert", 5);
	conf->models = realloc(conf->models, (conf->models_n + 1) * sizeof(*conf->models));
	if (!conf->models)
		return why_set(why, -ENOMEM, "no memory for another model");
	conf->models[conf->models_n++] = m;
	return 0;
}

/* --- values ----------------------------------------------------------------------------------------------------------- */

/* "host:port", ":port", "[v6]:port", "http://host". */
static int listen_read(struct sim_conf *c, const char *text, struct why *why)
{
	const char *scheme = strstr(text, "://");
	const char *host = scheme ? scheme + 3 : text;
	const char *close = *host == '[' ? strchr(host, ']') : NULL;
	const char *colon = close ? strchr(close, ':') : strrchr(host, ':');
	size_t n = colon ? (size_t)(colon - host) : strcspn(host, "/");
	uint64_t port = scheme && !strncmp(text, "http:", 5) ? 80 : scheme && !strncmp(text, "https:", 6) ? 443 : 11434;
	char digits[16] = "";

	if (colon && (!span_copy(digits, sizeof(digits), (struct span){colon + 1, strcspn(colon + 1, "/")}) ||
		      scan_u64(digits, 0, 65535, &port, NULL))) {
		fprintf(stderr, "ollama-sim: invalid port in \"%s\"; using 11434\n", text);
		port = 11434;
	}
	if (*host == '[') {
		host++;
		n = close ? (size_t)(close - host) : n;
	}
	if (!span_copy(c->host, sizeof(c->host), (struct span){host, n}))
		return why_set(why, -EINVAL, "--listen %s: write HOST:PORT, for example 127.0.0.1:11434", text);
	c->port = (uint16_t)port;
	return 0;
}

static int keep_alive_read(const char *text, int64_t *out, struct why *why)
{
	int64_t ns;
	char *end;
	long s = strtol(text, &end, 10);

	if (*text && !*end)
		ns = s < 0 ? SIM_FOREVER : (int64_t)s * (int64_t)NS_PER_S;
	else if (sim_go_duration(span_of(text), &ns, why))
		return -EINVAL;
	*out = ns < 0 ? SIM_FOREVER : ns;
	return 0;
}

static int number_read(const char *text, uint64_t min, unsigned *out, struct why *why)
{
	uint64_t v;
	int err = scan_u64(text, min, 1000000000, &v, why);

	if (!err)
		*out = (unsigned)v;
	return err;
}

static int generation_read(struct sim_conf *c, const char *text, struct why *why)
{
	if (strcmp(text, "old") != 0 && strcmp(text, "new") != 0)
		return why_set(why, -EINVAL, "--generation %s: write old or new", text);
	c->new_generation = !strcmp(text, "new");
	return 0;
}

static int fault_keep(struct sim_conf *c, const char *text)
{
	c->faults = realloc(c->faults, (c->faults_n + 1) * sizeof(*c->faults));
	if (!c->faults)
		return -ENOMEM;
	c->faults[c->faults_n++] = sim_strdup(text);
	return 0;
}

struct parse {
	struct sim_conf *conf;
	bool fast;
};

static int flag_apply(struct parse *p, int id)
{
	switch (id) {
	case OPT_FAST:
		p->fast = true;
		return 0;
	case OPT_NO_PULL:
		p->conf->pull_fails = true;
		return 0;
	case OPT_RUNNERS:
		p->conf->runners = true;
		return 0;
	case OPT_LOG:
		p->conf->log = true;
		return 0;
	case OPT_QUIET:
		p->conf->quiet = true;
		return 0;
	case OPT_HELP:
		fputs(usage, stdout);
		return 1;
	default:
		return -EINVAL;
	}
}

static int option_apply(struct parse *p, int id, const char *arg, struct why *why)
{
	struct sim_conf *c = p->conf;

	switch (id) {
	case OPT_LISTEN:
		return listen_read(c, arg, why);
	case OPT_PORTS:
		return number_read(arg, 1, &c->ports, why);
	case OPT_MODEL:
		return sim_options_model_add(c, arg, why);
	case OPT_PROFILE:
		return sim_profile_add(c, arg, why);
	case OPT_TOKENS:
		return number_read(arg, 0, &c->tokens, why);
	case OPT_PARALLEL:
		return number_read(arg, 1, &c->parallel, why);
	case OPT_MAX_QUEUE:
		return number_read(arg, 0, &c->max_queue, why);
	case OPT_MAX_LOADED:
		return number_read(arg, 1, &c->max_loaded, why);
	case OPT_KEEP_ALIVE:
		return keep_alive_read(arg, &c->keep_alive_ns, why);
	case OPT_CONTEXT:
		return number_read(arg, 0, &c->ctx_default, why);
	case OPT_GENERATION:
		return generation_read(c, arg, why);
	case OPT_VERSION:
		return span_copy(c->version, sizeof(c->version), span_of(arg)) ? 0 : why_set(why, -EINVAL, "--version is too long");
	case OPT_PING:
		return scan_duration_ns(arg, &c->ping_ns, why);
	case OPT_PING_TIMEOUT:
		return scan_duration_ns(arg, &c->ping_timeout_ns, why);
	case OPT_LOAD_TIMEOUT:
		return scan_duration_ns(arg, &c->load_timeout_ns, why);
	case OPT_LOAD_ABORT:
		return scan_duration_ns(arg, &c->load_abort_ns, why);
	case OPT_HAND_OVER:
		return scan_duration_ns(arg, &c->hand_over_ns, why);
	case OPT_START_DELAY:
		return scan_duration_ns(arg, &c->start_delay_ns, why);
	case OPT_FAULT:
		return fault_keep(c, arg);
	default:
		return flag_apply(p, id);
	}
}

static int words_apply(struct parse *p, int argc, char **argv, struct why *why)
{
	int id;
	int err = 0;

	optind = 0;
	opterr = 0;
	while (!err && (id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (id == '?' || id == ':')
			return why_set(why, -EINVAL, "%s is not an option, or lacks its value; see --help", argv[optind - 1]);
		err = option_apply(p, id, optarg, why);
		if (err < 0) {
			char text[sizeof(why->text)];

			memcpy(text, why->text, sizeof(text));
			why_set(why, err, "%s: %.300s", argv[optind - 1], text);
		}
	}
	for (; !err && optind < argc; optind++)
		if (strcmp(argv[optind], "serve") != 0 && strcmp(argv[optind], "start") != 0)
			return why_set(why, -EINVAL, "%s is not a word I know; the only one is serve", argv[optind]);
	return err;
}

/* OLLAMA_SIM_ARGS: words between blanks. */
static int sim_args_apply(struct parse *p, struct why *why)
{
	const char *text = getenv("OLLAMA_SIM_ARGS");
	char *copy;
	char *rest;
	char *argv[64] = {"OLLAMA_SIM_ARGS"};
	int argc = 1;
	int err;

	if (!text)
		return 0;
	rest = copy = sim_strdup(text);
	for (char *w; (w = strsep(&rest, " \t\n")) && argc < 63;)
		if (*w)
			argv[argc++] = w;
	err = words_apply(p, argc, argv, why);
	free(copy);
	return err;
}

static void env_number(const char *name, unsigned min, unsigned *out)
{
	const char *text = getenv(name);
	uint64_t v;

	if (text && *text && !scan_u64(text, 0, 1000000000, &v, NULL) && v >= min)
		*out = (unsigned)v;
}

/* Bad values are the defaults, as in a real server. */
static int environment_apply(struct sim_conf *c, struct why *why)
{
	const char *keep = getenv("OLLAMA_KEEP_ALIVE");
	const char *host = getenv("OLLAMA_HOST");
	const char *load = getenv("OLLAMA_LOAD_TIMEOUT");
	unsigned loaded = 0;
	int64_t ns;

	c->overlap = getenv("OLLAMA_NEW_ENGINE") && !strcmp(getenv("OLLAMA_NEW_ENGINE"), "1");
	c->origins = getenv("OLLAMA_ORIGINS");
	env_number("OLLAMA_NUM_PARALLEL", 1, &c->parallel);
	env_number("OLLAMA_MAX_QUEUE", 0, &c->max_queue);
	env_number("OLLAMA_CONTEXT_LENGTH", 0, &c->ctx_default);
	env_number("OLLAMA_MAX_LOADED_MODELS", 1, &loaded);
	if (loaded)
		c->max_loaded = loaded;
	if (keep && *keep && keep_alive_read(keep, &c->keep_alive_ns, NULL))
		fprintf(stderr, "ollama-sim: OLLAMA_KEEP_ALIVE=%s is no duration; using 5m\n", keep);
	if (load && *load && !sim_go_duration(span_of(load), &ns, NULL) && ns > 0)
		c->load_timeout_ns = (uint64_t)ns;
	return host && *host ? listen_read(c, host, why) : 0;
}

static int finish(struct parse *p, struct why *why)
{
	struct sim_conf *c = p->conf;
	int err = 0;

	if (!c->models_n && !c->profiled)
		err = sim_profile_add(c, "default", why);
	if (p->fast) {
		c->ping_ns = c->load_abort_ns = 0;
		for (size_t i = 0; i < c->models_n; i++)
			c->models[i].load_ns = c->models[i].prefill_per_s = c->models[i].decode_per_s = 0;
	}
	for (size_t i = 0; i < c->models_n; i++)
		c->models[i].overlap = !c->new_generation && (c->models[i].overlap || c->overlap);
	if (!c->version[0])
		snprintf(c->version, sizeof(c->version), "%s", c->new_generation ? "0.33.0" : "0.24.0");
	if (!err && c->port && c->port + c->ports - 1 > 65535)
		err = why_set(why, -EINVAL, "%u ports from %u on do not exist; begin lower", c->ports, c->port);
	return err;
}

int sim_options_read(int argc, char **argv, struct sim_conf *out, struct why *why)
{
	struct parse p = {.conf = out, .fast = false};
	int err;

	*out = (struct sim_conf){
		.host = "127.0.0.1",
		.port = 11434,
		.ports = 1,
		.parallel = 1,
		.max_queue = 512,
		.max_loaded = 3,
		.keep_alive_ns = 300 * (int64_t)NS_PER_S,
		.ping_ns = 2 * NS_PER_MS,
		.ping_timeout_ns = 10 * NS_PER_S,
		.load_timeout_ns = 300 * NS_PER_S,
		.load_abort_ns = 160 * NS_PER_MS,
		.hand_over_ns = 7 * NS_PER_US,
		.tokens = 16,
	};
	err = environment_apply(out, why);
	if (!err)
		err = sim_args_apply(&p, why);
	if (!err)
		err = words_apply(&p, argc, argv, why);
	return err ? err : finish(&p, why);
}
