/* route/taxonomy.h - categories as a tree, and how good each model of the registry is at them.
 *
 * Made of the facts of conf/registry.h when a configuration is taken over; const afterwards.  Every category has an ancestor `general`,
 * which is there in any case, as are the other known ones (KNOWN_CATEGORIES): a classifier's answer always means something, whatever
 * the operator's files say.  A category that nobody serves is served by its parent's models.
 *
 * A model's categories are those that its registry entry names, in their order, then those of the catalogue that name it.  In each
 *
 *     score = (base + benchmarks × part) × confidence,      0 .. 100 with the defaults
 *     part  = Σ weight × value / Σ weight, 0 .. 1, over the category's benchmarks that the model has
 *
 * with confidence 0.95 in an only category, 0.9 in the first of several, 0.7 in the others.  Benchmarks are known by their names
 * without case, blanks, - and _ ("arc_challenge" is ARC-Challenge); a value up to 1 is a fraction, beyond it a percentage.  A category
 * without benchmarks of its own uses its parent's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"
#include "conf/registry.h"

#define TAX_CATEGORIES 256
#define TAX_BENCHMARKS 64
#define TAX_MEMBER     24 /* categories of one model */

/* KNOWN_CATEGORY(id, name, benchmarks where the catalogue does not say) */
#define KNOWN_CATEGORIES(X)                                                                                                        \
	X(GENERAL, "general", "MMLU HellaSwag TruthfulQA")                                                                         \
	X(MATH, "math", "GSM8K MATH")                                                                                              \
	X(CODE, "code", "HumanEval MBPP")                                                                                          \
	X(REASONING, "reasoning", "MMLU ARC-Challenge HellaSwag Winogrande TruthfulQA")                                            \
	X(CREATIVE, "creative", "")                                                                                                \
	X(NLP, "nlp", "SummScreen GovReport")                                                                                      \
	X(DATA, "data", "Spider WikiSQL")                                                                                          \
	X(SAFETY_RISK, "safety-risk", "")                                                                                          \
	X(EMBEDDING, "embedding", "BEIR MSMARCO MTEB")                                                                             \
	X(VISION, "vision", "")                                                                                                    \
	X(FAST_SIMPLE, "fast_simple", "")

enum tax_known {
#define KNOWN_CATEGORY(id, name, benchmarks) TAX_##id,
	KNOWN_CATEGORIES(KNOWN_CATEGORY)
#undef KNOWN_CATEGORY
		TAX_KNOWN_COUNT
};

struct tax_weight {
	char name[CONF_BENCHMARK_NAME]; /* squeezed: lower case, without blanks, - and _ */
	double weight;
};

struct tax_conf {
	double base;       /* 50 */
	double benchmarks; /* 50 */
	double only;       /* 0.95 */
	double first;      /* 0.9 */
	double other;      /* 0.7 */
	double unlisted;   /* 1: weight of a benchmark that has none */
	unsigned n_weights;
	struct tax_weight weights[TAX_BENCHMARKS]; /* the 16 known ones to begin with */
};

struct tax_category {
	char name[CONF_CATEGORY_NAME];
	unsigned parent;     /* TAX_GENERAL's is itself */
	unsigned complexity; /* enum conf_complexity */
	uint64_t benchmarks; /* bits of taxonomy.benchmark */
};

/* A model in a category. */
struct tax_score {
	unsigned category;
	float score;
	float part; /* of the benchmarks, 0..1 */
	float confidence;
};

struct tax_entry {
	const struct conf_registry_model *model; /* the registry's, which must live as long as the taxonomy; NULL: not in it */
	unsigned n;
	struct tax_score at[TAX_MEMBER]; /* the primary category first */
};

struct taxonomy {
	struct tax_conf conf;
	unsigned n;
	struct tax_category category[TAX_CATEGORIES];
	unsigned n_benchmarks;
	struct tax_weight benchmark[TAX_BENCHMARKS];
	unsigned n_entries;
	struct tax_entry *entry;
	unsigned left_out; /* memberships and benchmarks for which there was no room */
};

void tax_conf_default(struct tax_conf *conf);

/* Set the weight of a benchmark.  0, or -ENOSPC. */
int tax_conf_weight(struct tax_conf *conf, const char *name, double weight);

/* Build.  `registry` and `catalogue` may be NULL; the first must outlive the taxonomy.  0 or -ENOMEM; tax_fini() after 0. */
int tax_init(struct taxonomy *t, const struct tax_conf *conf, const struct conf_registry *registry,
	     const struct conf_catalogue *catalogue, struct why *why);
void tax_fini(struct taxonomy *t);

/* The number of a category; TAX_GENERAL when there is none of that name. */
unsigned tax_find(const struct taxonomy *t, const char *name);

/* `category` is `ancestor` or below it. */
bool tax_below(const struct taxonomy *t, unsigned category, unsigned ancestor);

/* An entry of these categories, the best first, instead of the registry's.  `model` may be NULL: it has no benchmarks. */
void tax_entry_make(struct taxonomy *t, struct tax_entry *e, const struct conf_registry_model *model, const char *const *categories,
		    unsigned n);

/* What an entry has in a category itself; NULL: it is no member. */
const struct tax_score *tax_score(const struct tax_entry *e, unsigned category);

/* What a model without a place in a category has there: of its benchmarks, with confidence `other`. */
struct tax_score tax_score_other(const struct taxonomy *t, const struct tax_entry *e, unsigned category);
