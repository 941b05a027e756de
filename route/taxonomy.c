#include "route/taxonomy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

static const struct {
	const char *name;
	const char *benchmarks;
} KNOWN[TAX_KNOWN_COUNT] = {
#define KNOWN_CATEGORY(id, name_, benchmarks_) [TAX_##id] = {name_, benchmarks_},
	KNOWN_CATEGORIES(KNOWN_CATEGORY)
#undef KNOWN_CATEGORY
};

static const struct tax_weight WEIGHTS[] = {
	{"gsm8k", 1.2},      {"math", 1.5},         {"humaneval", 1.0}, {"mbpp", 0.8},
	{"mmlu", 1.5},       {"arcchallenge", 1.3}, {"hellaswag", 1.0}, {"winogrande", 1.1},
	{"truthfulqa", 1.2}, {"summscreen", 1.0},   {"govreport", 1.1}, {"spider", 1.3},
	{"wikisql", 1.0},    {"beir", 1.2},         {"msmarco", 1.0},   {"mteb", 1.4},
};

/* A name without case, blanks, - and _. */
static void squeeze(const char *name, char *out, size_t size)
{
	size_t n = 0;

	for (; *name && n + 1 < size; name++)
		if (*name >= 'A' && *name <= 'Z')
			out[n++] = (char)(*name | 0x20);
		else if (!strchr(" -_", *name))
			out[n++] = *name;
	out[n] = 0;
}

/* --- configuration ------------------------------------------------------------------------------------------------------------- */

void tax_conf_default(struct tax_conf *conf)
{
	*conf = (struct tax_conf){.base = 50,
				  .benchmarks = 50,
				  .only = 0.95,
				  .first = 0.9,
				  .other = 0.7,
				  .unlisted = 1,
				  .n_weights = ARRAY_SIZE(WEIGHTS)};
	memcpy(conf->weights, WEIGHTS, sizeof(WEIGHTS));
}

static struct tax_weight *weight_find(struct tax_weight *at, unsigned n, const char *squeezed)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(at[i].name, squeezed) == 0)
			return &at[i];
	return NULL;
}

int tax_conf_weight(struct tax_conf *conf, const char *name, double weight)
{
	struct tax_weight one = {.weight = weight}, *old;

	squeeze(name, one.name, sizeof(one.name));
	old = weight_find(conf->weights, conf->n_weights, one.name);
	if (!old && conf->n_weights == TAX_BENCHMARKS)
		return -ENOSPC;
	if (!old)
		old = &conf->weights[conf->n_weights++];
	*old = one;
	return 0;
}

/* --- categories ---------------------------------------------------------------------------------------------------------------- */

/* The bit of a benchmark; 0: there is no room. */
static uint64_t benchmark_bit(struct taxonomy *t, const char *name)
{
	struct tax_weight one = {.weight = t->conf.unlisted}, *found;
	const struct tax_weight *weight;

	squeeze(name, one.name, sizeof(one.name));
	found = weight_find(t->benchmark, t->n_benchmarks, one.name);
	if (!found && t->n_benchmarks == TAX_BENCHMARKS) {
		t->left_out++;
		return 0;
	}
	if (!found) {
		weight = weight_find(t->conf.weights, t->conf.n_weights, one.name);
		one.weight = weight ? weight->weight : one.weight;
		found = &t->benchmark[t->n_benchmarks++];
		*found = one;
	}
	return 1ULL << (found - t->benchmark);
}

/* Its number; TAX_CATEGORIES: there is none of that name. */
static unsigned find(const struct taxonomy *t, const char *name)
{
	for (unsigned i = 0; i < t->n; i++)
		if (strcmp(t->category[i].name, name) == 0)
			return i;
	return TAX_CATEGORIES;
}

/* Its number, made if need be; TAX_CATEGORIES: there is no room. */
static unsigned find_or_add(struct taxonomy *t, const char *name)
{
	unsigned c = find(t, name);

	if (c == TAX_CATEGORIES && t->n == TAX_CATEGORIES)
		t->left_out++;
	if (c < TAX_CATEGORIES || t->n == TAX_CATEGORIES)
		return c;
	c = t->n++;
	t->category[c] = (struct tax_category){.parent = TAX_GENERAL};
	snprintf(t->category[c].name, sizeof(t->category[c].name), "%s", name);
	return c;
}

static void known_add(struct taxonomy *t)
{
	char word[CONF_BENCHMARK_NAME];

	for (unsigned i = 0; i < TAX_KNOWN_COUNT; i++) {
		find_or_add(t, KNOWN[i].name);
		for (const char *p = KNOWN[i].benchmarks; *p; p += strspn(p, " ")) {
			const size_t n = strcspn(p, " ");

			snprintf(word, sizeof(word), "%.*s", (int)n, p);
			t->category[i].benchmarks |= benchmark_bit(t, word);
			p += n;
		}
	}
}

static void catalogue_add(struct taxonomy *t, const struct conf_catalogue *catalogue)
{
	for (unsigned i = 0; i < catalogue->n; i++) {
		const struct conf_category *from = &catalogue->categories[i];
		const unsigned c = find_or_add(t, from->id);
		uint64_t benchmarks = 0;

		if (c == TAX_CATEGORIES)
			continue;
		t->category[c].complexity = from->complexity;
		for (unsigned b = 0; b < from->n_benchmarks; b++)
			benchmarks |= benchmark_bit(t, from->benchmarks[b]);
		if (benchmarks)
			t->category[c].benchmarks = benchmarks;
	}
	for (unsigned i = 0; i < catalogue->n; i++) {
		const struct conf_category *from = &catalogue->categories[i];
		const unsigned c = find(t, from->id), parent = *from->parent ? find(t, from->parent) : TAX_GENERAL;

		/* general is the root of all, whatever a file says */
		if (c < TAX_CATEGORIES && parent < TAX_CATEGORIES && c != TAX_GENERAL)
			t->category[c].parent = parent;
	}
}

/* Its own, or those of its nearest ancestor below general that has some: what tells of anything tells little of poems. */
static uint64_t benchmarks_of(const struct taxonomy *t, unsigned category)
{
	while (!t->category[category].benchmarks && category != TAX_GENERAL && t->category[category].parent != TAX_GENERAL)
		category = t->category[category].parent;
	return t->category[category].benchmarks;
}

/* --- models -------------------------------------------------------------------------------------------------------------------- */

static float part_of(const struct taxonomy *t, const struct conf_registry_model *m, unsigned category)
{
	const uint64_t relevant = benchmarks_of(t, category);
	double sum = 0, weights = 0;
	char name[CONF_BENCHMARK_NAME];

	for (unsigned i = 0; i < m->n_benchmarks; i++) {
		const double value = m->benchmarks[i].value;

		squeeze(m->benchmarks[i].name, name, sizeof(name));
		for (unsigned b = 0; b < t->n_benchmarks; b++)
			if (relevant & 1ULL << b && strcmp(t->benchmark[b].name, name) == 0) {
				sum += t->benchmark[b].weight * (value <= 1 ? value : value / 100);
				weights += t->benchmark[b].weight;
			}
	}
	return weights > 0 ? (float)(sum / weights) : 0;
}

static struct tax_score score_make(const struct taxonomy *t, const struct conf_registry_model *m, unsigned category,
				   double confidence)
{
	struct tax_score s = {.category = category, .confidence = (float)confidence};

	s.part = m ? part_of(t, m, category) : 0;
	s.score = (float)((t->conf.base + t->conf.benchmarks * (double)s.part) * confidence);
	return s;
}

static void member_add(struct taxonomy *t, struct tax_entry *e, const char *name)
{
	const unsigned c = find_or_add(t, name);

	if (c == TAX_CATEGORIES || tax_score(e, c))
		return;
	if (e->n == TAX_MEMBER)
		t->left_out++;
	else
		e->at[e->n++].category = c;
}

static void scores_make(const struct taxonomy *t, struct tax_entry *e)
{
	for (unsigned i = 0; i < e->n; i++)
		e->at[i] = score_make(t, e->model, e->at[i].category,
				      e->n == 1 ? t->conf.only
				      : i == 0  ? t->conf.first
						: t->conf.other);
}

void tax_entry_make(struct taxonomy *t, struct tax_entry *e, const struct conf_registry_model *model, const char *const *categories,
		    unsigned n)
{
	*e = (struct tax_entry){.model = model};
	for (unsigned i = 0; i < n; i++)
		member_add(t, e, categories[i]);
	scores_make(t, e);
}

static void entry_make(struct taxonomy *t, struct tax_entry *e, const struct conf_catalogue *catalogue)
{
	for (unsigned i = 0; i < e->model->n_categories; i++)
		member_add(t, e, e->model->categories[i]);
	for (unsigned c = 0; catalogue && c < catalogue->n; c++)
		for (unsigned i = 0; i < catalogue->categories[c].n_models; i++)
			if (strcmp(catalogue->categories[c].models[i], e->model->name) == 0)
				member_add(t, e, catalogue->categories[c].id);
	scores_make(t, e);
}

/* --- doors ----------------------------------------------------------------------------------------------------------------------- */

int tax_init(struct taxonomy *t, const struct tax_conf *conf, const struct conf_registry *registry,
	     const struct conf_catalogue *catalogue, struct why *why)
{
	const unsigned n = registry ? registry->n : 0;
	struct tax_entry *entry = calloc(n ? n : 1, sizeof(*entry));

	if (!entry)
		return why_set(why, -ENOMEM, "there is no memory for the scores of %u models", n);
	memset(t, 0, sizeof(*t));
	t->conf = *conf;
	t->entry = entry;
	t->n_entries = n;
	known_add(t);
	if (catalogue)
		catalogue_add(t, catalogue);
	for (unsigned i = 0; i < n; i++) {
		entry[i].model = &registry->models[i];
		entry_make(t, &entry[i], catalogue);
	}
	return 0;
}

void tax_fini(struct taxonomy *t)
{
	free(t->entry);
	memset(t, 0, sizeof(*t));
}

unsigned tax_find(const struct taxonomy *t, const char *name)
{
	const unsigned c = find(t, name);

	return c < TAX_CATEGORIES ? c : TAX_GENERAL;
}

bool tax_below(const struct taxonomy *t, unsigned category, unsigned ancestor)
{
	while (category != ancestor && category != TAX_GENERAL)
		category = t->category[category].parent;
	return category == ancestor;
}

const struct tax_score *tax_score(const struct tax_entry *e, unsigned category)
{
	for (unsigned i = 0; e && i < e->n; i++)
		if (e->at[i].category == category)
			return &e->at[i];
	return NULL;
}

struct tax_score tax_score_other(const struct taxonomy *t, const struct tax_entry *e, unsigned category)
{
	return score_make(t, e ? e->model : NULL, category, t->conf.other);
}
