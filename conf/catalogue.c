/* The catalogue of categories: the tree that models are good at. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "conf/facts.h"
#include "conf/registry.h"

static struct conf_category *find(const struct conf_catalogue *c, const char *id)
{
	for (unsigned i = 0; i < c->n; i++)
		if (strcmp(c->categories[i].id, id) == 0)
			return &c->categories[i];
	return NULL;
}

static struct conf_category *add(struct conf_facts *f, const struct conf_json_value *at, struct conf_catalogue *c, const char *id)
{
	struct conf_category *one = c->n < CONF_CATEGORIES ? &c->categories[c->n] : NULL;

	if (!one) {
		conf_facts_warn(f, at, "there may be %d categories; \"%.40s\" is left out", CONF_CATEGORIES, id);
		return NULL;
	}
	snprintf(one->id, sizeof(one->id), "%s", id);
	c->n++;
	return one;
}

/* --- one category --------------------------------------------------------------------------------------------------------------- */

/* Where less is better, or where there is no most, a value says nothing as a percentage: such a benchmark tells how models differ in
 * a report, not here. */
static bool scores(const struct conf_facts *f, const struct conf_json_value *benchmark)
{
	static const char *const ERRORS[] = {"SMAPE", "MAE", "RMSE", "MSE", "WER", "erplexity", "loss"};
	const struct conf_json_value *metric = conf_json_get(&f->json, benchmark, "metric");
	const struct conf_json_value *range = conf_json_first(&f->json, conf_json_get(&f->json, benchmark, "range"));
	const struct conf_json_value *most = range ? conf_json_next(&f->json, range) : NULL;

	for (size_t i = 0; metric && i < ARRAY_SIZE(ERRORS); i++)
		if (strstr(metric->text, ERRORS[i]))
			return false;
	return !most || most->kind == CONF_JSON_NUMBER;
}

/* Benchmarks are objects with a name, or bare names. */
static void benchmarks_read(struct conf_facts *f, const struct conf_json_value *v, struct conf_category *out)
{
	const struct conf_json_value *array = conf_facts_get(f, v, "benchmarks", CONF_JSON_ARRAY);

	for (const struct conf_json_value *b = conf_json_first(&f->json, array); b; b = conf_json_next(&f->json, b)) {
		const struct conf_json_value *name = b->kind == CONF_JSON_OBJECT ? conf_json_get(&f->json, b, "name") : b;

		if (!name || name->kind != CONF_JSON_STRING || !conf_facts_benchmark_ok(name->text, CONF_BENCHMARK_NAME))
			conf_facts_warn(f, b, "the benchmark has no name; it is not used");
		else if (!scores(f, b))
			continue;
		else if (out->n_benchmarks == CONF_BENCHMARKS)
			conf_facts_warn(f, b, "there may be %d benchmarks; this one is not used", CONF_BENCHMARKS);
		else
			snprintf(out->benchmarks[out->n_benchmarks++], CONF_BENCHMARK_NAME, "%s", name->text);
	}
}

static int models_read(struct conf_facts *f, const struct conf_json_value *v, struct conf_category *out)
{
	const struct conf_json_value *array = conf_json_get(&f->json, v, "models");
	unsigned n = 0;

	for (const struct conf_json_value *e = conf_json_first(&f->json, array); e; e = conf_json_next(&f->json, e))
		n++;
	n = n > CONF_REGISTRY_MODELS ? CONF_REGISTRY_MODELS : n;
	if (n) {
		out->models = calloc(n, sizeof(*out->models));
		if (!out->models)
			return conf_facts_fail(f, NULL, -ENOMEM, "there is no memory for the models of \"%s\"", out->id);
	}
	out->n_models = conf_facts_names(f, v, "models", conf_facts_model_ok, n ? out->models[0] : NULL, n, sizeof(*out->models));
	return 0;
}

static enum conf_complexity complexity_of(const char *word)
{
	static const char *const WORDS[] = {[CONF_SIMPLE] = "simple", [CONF_MODERATE] = "moderate", [CONF_COMPLEX] = "complex"};

	for (unsigned i = CONF_SIMPLE; i <= CONF_COMPLEX; i++)
		if (strcmp(WORDS[i], word) == 0)
			return i;
	return CONF_COMPLEXITY_NONE;
}

static int category_read(struct conf_facts *f, const struct conf_json_value *v, struct conf_catalogue *c)
{
	const struct conf_json_value *m;
	struct conf_category *one;

	if (v->kind != CONF_JSON_OBJECT) {
		conf_facts_warn(f, v, "this is %s and should be an object; the category is left out", conf_json_kind_text(v->kind));
		return 0;
	}
	if (!conf_facts_category_ok(v->key, CONF_CATEGORY_NAME)) {
		conf_facts_warn(f, v, "a category's name is up to %d letters, digits, - _ and .; it is left out",
				CONF_CATEGORY_NAME - 1);
		return 0;
	}
	if (find(c, v->key)) {
		conf_facts_warn(f, v, "the category stands there twice; this one is left out");
		return 0;
	}
	one = add(f, v, c, v->key);
	if (!one)
		return 0;
	one->line = v->line;
	m = conf_facts_get(f, v, "parent", CONF_JSON_STRING);
	if (m && conf_facts_category_ok(m->text, sizeof(one->parent)))
		snprintf(one->parent, sizeof(one->parent), "%s", m->text);
	else if (m)
		conf_facts_warn(f, m, "\"%.40s\" is no name of a category; it is not used", m->text);
	m = conf_facts_get(f, v, "complexity", CONF_JSON_STRING);
	if (m && !(one->complexity = complexity_of(m->text)))
		conf_facts_warn(f, m, "\"%.40s\" is not simple, moderate or complex; it is not used", m->text);
	one->agents = conf_facts_bits(f, v, "agent_types", conf_agent_words, ARRAY_SIZE(conf_agent_words));
	benchmarks_read(f, v, one);
	return models_read(f, v, one);
}

/* --- the hierarchy -------------------------------------------------------------------------------------------------------------- */

/* A category that a group names; NULL: there is none (told). */
static struct conf_category *member_of(struct conf_facts *f, const struct conf_json_value *e, const struct conf_catalogue *c)
{
	struct conf_category *one = e->kind == CONF_JSON_STRING ? find(c, e->text) : NULL;

	if (!one)
		conf_facts_warn(f, e, "there is no category \"%.40s\"; it is not used", e->text);
	return one;
}

/* A domain that is no category itself becomes one, and those it names its children.  What a category says of itself goes first, and
 * the first domain before a later one. */
static void domain_read(struct conf_facts *f, const struct conf_json_value *domain, struct conf_catalogue *c)
{
	if (domain->kind != CONF_JSON_ARRAY || !conf_facts_category_ok(domain->key, CONF_CATEGORY_NAME)) {
		conf_facts_warn(f, domain, "a domain is a name and an array of categories; it is not used");
		return;
	}
	if (!find(c, domain->key) && !add(f, domain, c, domain->key))
		return;
	for (const struct conf_json_value *e = conf_json_first(&f->json, domain); e; e = conf_json_next(&f->json, e)) {
		struct conf_category *one = member_of(f, e, c);

		if (one && !*one->parent && strcmp(one->id, domain->key) != 0)
			snprintf(one->parent, sizeof(one->parent), "%s", domain->key);
	}
}

static void complexity_read(struct conf_facts *f, const struct conf_json_value *group, const struct conf_catalogue *c)
{
	const enum conf_complexity complexity = complexity_of(group->key);

	if (group->kind != CONF_JSON_ARRAY || !complexity) {
		conf_facts_warn(f, group, "this is not simple, moderate or complex with an array of categories; it is not used");
		return;
	}
	for (const struct conf_json_value *e = conf_json_first(&f->json, group); e; e = conf_json_next(&f->json, e)) {
		struct conf_category *one = member_of(f, e, c);

		if (one && !one->complexity)
			one->complexity = complexity;
	}
}

/* The category, or its own parent …, has `id` for a parent. */
static bool below(const struct conf_catalogue *c, const struct conf_category *one, const char *id)
{
	for (unsigned steps = 0; one && *one->parent && steps <= c->n; steps++) {
		if (strcmp(one->parent, id) == 0)
			return true;
		one = find(c, one->parent);
	}
	return false;
}

/* Every parent exists, and nobody is an ancestor of itself. */
static void parents_check(struct conf_facts *f, const struct conf_json_value *categories, struct conf_catalogue *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct conf_category *one = &c->categories[i];
		const struct conf_json_value *at = conf_json_get(&f->json, categories, one->id);

		at = at ? at : &f->json.at[0];
		if (*one->parent && !find(c, one->parent)) {
			conf_facts_warn(f, at, "\"%s\" has a parent \"%s\" that is no category; it stands at the top", one->id,
					one->parent);
			one->parent[0] = 0;
		} else if (below(c, one, one->id)) {
			conf_facts_warn(f, at, "\"%s\" is its own ancestor; it stands at the top", one->id);
			one->parent[0] = 0;
		}
	}
}

/* --- the file ------------------------------------------------------------------------------------------------------------------- */

static int categories_read(struct conf_facts *f, const struct conf_json_value *categories, struct conf_catalogue *c)
{
	const struct conf_json_value *hierarchy = conf_facts_get(f, &f->json.at[0], "category_hierarchy", CONF_JSON_OBJECT);
	const struct conf_json_value *groups = conf_facts_get(f, hierarchy, "domain", CONF_JSON_OBJECT);
	int rc = 0;

	c->categories = calloc(CONF_CATEGORIES, sizeof(*c->categories));
	if (!c->categories)
		return conf_facts_fail(f, NULL, -ENOMEM, "there is no memory for its categories");
	for (const struct conf_json_value *v = conf_json_first(&f->json, categories); v && rc == 0; v = conf_json_next(&f->json, v))
		rc = category_read(f, v, c);
	if (rc < 0)
		return rc;
	for (const struct conf_json_value *v = conf_json_first(&f->json, groups); v; v = conf_json_next(&f->json, v))
		domain_read(f, v, c);
	groups = conf_facts_get(f, hierarchy, "complexity", CONF_JSON_OBJECT);
	for (const struct conf_json_value *v = conf_json_first(&f->json, groups); v; v = conf_json_next(&f->json, v))
		complexity_read(f, v, c);
	parents_check(f, categories, c);
	return 0;
}

/* The tree is given back either way. */
static int catalogue_make(struct conf_facts *f, struct conf_catalogue **out)
{
	const struct conf_json_value *categories = conf_json_get(&f->json, &f->json.at[0], "categories");
	struct conf_catalogue *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		rc = conf_facts_fail(f, NULL, -ENOMEM, "there is no memory for it");
	else if (!categories || categories->kind != CONF_JSON_OBJECT)
		rc = conf_facts_fail(f, categories ? categories : &f->json.at[0], -EINVAL,
				     "there is no object \"categories\"; this is no catalogue of categories");
	else
		rc = categories_read(f, categories, c);
	conf_json_fini(&f->json);
	if (rc < 0)
		conf_catalogue_destroy(&c);
	else
		*out = c;
	return rc;
}

int conf_catalogue_load(const char *path, struct conf_catalogue **out, struct conf_report *report)
{
	struct conf_facts f;
	int rc = conf_facts_load(&f, path, report);

	return rc < 0 ? rc : catalogue_make(&f, out);
}

int conf_catalogue_parse(const char *name, const char *text, size_t n, struct conf_catalogue **out, struct conf_report *report)
{
	struct conf_facts f;
	int rc = conf_facts_parse(&f, name, text, n, report);

	return rc < 0 ? rc : catalogue_make(&f, out);
}

void conf_catalogue_destroy(struct conf_catalogue **c)
{
	for (unsigned i = 0; *c && i < (*c)->n; i++)
		free((*c)->categories[i].models);
	if (*c)
		free((*c)->categories);
	free(*c);
	*c = NULL;
}
