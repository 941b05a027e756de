#include "conf/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/scan.h"
#include "conf/facts.h"

static const char *const CAPABILITY_WORDS[] = {"tools", "vision", "thinking", "embedding"};

static void sizes_read(struct conf_facts *f, const struct conf_json_value *model, const char *key, struct conf_sizes *out)
{
	const struct conf_json_value *v = conf_facts_get(f, model, key, CONF_JSON_STRING);
	struct why why = {""};

	if (v && conf_sizes_parse(v->text, out, &why) < 0)
		conf_facts_warn(f, v, "\"%.60s\" is no size: %s", v->text, why.text);
}

/* Under its own name or among the specifications, where the replaced system has it. */
static const struct conf_json_value *specification(const struct conf_facts *f, const struct conf_json_value *model, const char *key)
{
	const struct conf_json_value *v = conf_json_get(&f->json, model, key);

	return v ? v : conf_json_get(&f->json, conf_json_get(&f->json, model, "specifications"), key);
}

static void parameters_read(struct conf_facts *f, const struct conf_json_value *model, double *out)
{
	const struct conf_json_value *v = specification(f, model, "parameters");
	struct why why = {""};

	if (!v || v->kind == CONF_JSON_NULL)
		return;
	if (v->kind == CONF_JSON_NUMBER && v->number > 0 && v->number < 1e15)
		*out = v->number;
	else if (v->kind != CONF_JSON_STRING)
		conf_facts_warn(f, v, "this is no number of parameters; write for example \"7B\"");
	else if (conf_parameters_parse(v->text, out, &why) < 0)
		conf_facts_warn(f, v, "%s", why.text);
}

/* 2048, "2048" or "128K". */
static void context_read(struct conf_facts *f, const struct conf_json_value *model, uint64_t *out)
{
	const struct conf_json_value *v = specification(f, model, "context_length");
	char digits[24] = "";
	uint64_t scale = 1, tokens;
	size_t n;

	if (!v || v->kind == CONF_JSON_NULL)
		return;
	if (v->kind == CONF_JSON_NUMBER && v->number >= 1 && v->number < 1e9) {
		*out = (uint64_t)v->number;
		return;
	}
	n = strlen(v->text);
	if (n > 1 && n < sizeof(digits)) {
		scale = (v->text[n - 1] | 0x20) == 'k' ? 1024 : 1;
		snprintf(digits, sizeof(digits), "%.*s", (int)(scale > 1 ? n - 1 : n), v->text);
	}
	if (scan_u64(digits, 1, 1000000000, &tokens, NULL) < 0)
		conf_facts_warn(f, v, "\"%.40s\" is no number of tokens; write for example 32768", v->text);
	else
		*out = tokens * scale;
}

/* 62.5, or {"score": 62.5, …}. */
static void benchmark_read(struct conf_facts *f, const struct conf_json_value *v, struct conf_registry_model *out)
{
	const struct conf_json_value *number = v->kind == CONF_JSON_OBJECT ? conf_json_get(&f->json, v, "score") : v;
	struct conf_benchmark *b = &out->benchmarks[out->n_benchmarks];

	if (!conf_facts_benchmark_ok(v->key, sizeof(b->name)))
		conf_facts_warn(f, v, "this is no name for a benchmark; write up to %zu letters", sizeof(b->name) - 1);
	else if (!number || number->kind != CONF_JSON_NUMBER)
		conf_facts_warn(f, v, "this is no score; write a number from 0 to 100, or {\"score\": 62.5}");
	else if (!(number->number >= 0 && number->number <= 100))
		conf_facts_warn(f, v, "%g is no score; write a number from 0 to 100", number->number);
	else if (out->n_benchmarks == CONF_BENCHMARKS)
		conf_facts_warn(f, v, "there may be %d benchmarks; this one is not used", CONF_BENCHMARKS);
	else {
		snprintf(b->name, sizeof(b->name), "%s", v->key);
		b->value = number->number;
		out->n_benchmarks++;
	}
}

/* An entry's name; NULL: it has none that can be used (told). */
static const char *name_read(struct conf_facts *f, const struct conf_json_value *model)
{
	const struct conf_json_value *v;

	if (model->kind != CONF_JSON_OBJECT) {
		conf_facts_warn(f, model, "this is %s and should be an object; the entry is left out",
				conf_json_kind_text(model->kind));
		return NULL;
	}
	v = conf_json_get(&f->json, model, "name");
	if (!v || v->kind != CONF_JSON_STRING) {
		conf_facts_warn(f, v ? v : model, "the model has no name; it is left out");
		return NULL;
	}
	if (!conf_facts_model_ok(v->text, CONF_MODEL_NAME)) {
		conf_facts_warn(f, v, "\"%.60s\" is no name of a model; it is left out", v->text);
		return NULL;
	}
	return v->text;
}

static void model_read(struct conf_facts *f, const struct conf_json_value *v, const char *name, struct conf_registry_model *out)
{
	const struct conf_json_value *repo = conf_facts_get(f, v, "hf_repo", CONF_JSON_STRING);
	const struct conf_json_value *benchmarks = conf_facts_get(f, v, "benchmarks", CONF_JSON_OBJECT);

	out->line = v->line;
	snprintf(out->name, sizeof(out->name), "%s", name);
	if (repo && conf_facts_model_ok(repo->text, sizeof(out->repo)))
		snprintf(out->repo, sizeof(out->repo), "%s", repo->text);
	else if (repo)
		conf_facts_warn(f, repo, "\"%.60s\" is no name of a repository; it is not used", repo->text);
	sizes_read(f, v, "size", &out->size);
	sizes_read(f, v, "gpu_memory", &out->memory);
	parameters_read(f, v, &out->parameters);
	context_read(f, v, &out->context_tokens);
	out->agents = conf_facts_bits(f, v, "agent_types", conf_agent_words, ARRAY_SIZE(conf_agent_words));
	out->capabilities = conf_facts_bits(f, v, "capabilities", CAPABILITY_WORDS, ARRAY_SIZE(CAPABILITY_WORDS));
	out->n_categories = conf_facts_names(f, v, "orchestration_categories", conf_facts_category_ok, out->categories[0],
					     CONF_MODEL_CATEGORIES, sizeof(out->categories[0]));
	out->n_aliases = conf_facts_names(f, v, "aliases", conf_facts_model_ok, out->aliases[0], CONF_MODEL_ALIASES,
					  sizeof(out->aliases[0]));
	for (const struct conf_json_value *b = conf_json_first(&f->json, benchmarks); b; b = conf_json_next(&f->json, b))
		benchmark_read(f, b, out);
}

static bool known_already(const struct conf_registry *r, const char *name)
{
	for (unsigned i = 0; i < r->n; i++)
		if (strcmp(r->models[i].name, name) == 0)
			return true;
	return false;
}

static int models_read(struct conf_facts *f, const struct conf_json_value *models, struct conf_registry *r)
{
	unsigned n = 0;

	for (const struct conf_json_value *v = conf_json_first(&f->json, models); v; v = conf_json_next(&f->json, v))
		n++;
	n = n > CONF_REGISTRY_MODELS ? CONF_REGISTRY_MODELS : n;
	r->models = calloc(n ? n : 1, sizeof(*r->models));
	if (!r->models)
		return conf_facts_fail(f, NULL, -ENOMEM, "there is no memory for %u models", n);
	for (const struct conf_json_value *v = conf_json_first(&f->json, models); v; v = conf_json_next(&f->json, v)) {
		const char *name = name_read(f, v);

		if (name && known_already(r, name))
			conf_facts_warn(f, v, "\"%.60s\" stands there twice; the second entry is left out", name);
		else if (name && r->n == n)
			conf_facts_warn(f, v, "there may be %u models; \"%.60s\" is left out", n, name);
		else if (name)
			model_read(f, v, name, &r->models[r->n++]);
	}
	return 0;
}

/* The tree is given back either way. */
static int registry_make(struct conf_facts *f, struct conf_registry **out)
{
	const struct conf_json_value *models = conf_json_get(&f->json, &f->json.at[0], "models");
	struct conf_registry *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		rc = conf_facts_fail(f, NULL, -ENOMEM, "there is no memory for it");
	else if (!models || models->kind != CONF_JSON_ARRAY)
		rc = conf_facts_fail(f, models ? models : &f->json.at[0], -EINVAL,
				     "there is no array \"models\"; this is no registry of models");
	else
		rc = models_read(f, models, r);
	conf_json_fini(&f->json);
	if (rc < 0)
		conf_registry_destroy(&r);
	else
		*out = r;
	return rc;
}

int conf_registry_load(const char *path, struct conf_registry **out, struct conf_report *report)
{
	struct conf_facts f;
	int rc = conf_facts_load(&f, path, report);

	return rc < 0 ? rc : registry_make(&f, out);
}

int conf_registry_parse(const char *name, const char *text, size_t n, struct conf_registry **out, struct conf_report *report)
{
	struct conf_facts f;
	int rc = conf_facts_parse(&f, name, text, n, report);

	return rc < 0 ? rc : registry_make(&f, out);
}

void conf_registry_destroy(struct conf_registry **r)
{
	if (*r)
		free((*r)->models);
	free(*r);
	*r = NULL;
}
