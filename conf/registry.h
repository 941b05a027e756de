/* conf/registry.h - what is known of models and categories: two JSON files to plain facts.
 *
 * The files are those of the replaced system and are read unchanged: a registry of models (`models[]` with name, size, gpu_memory,
 * orchestration_categories, agent_types, benchmarks, specifications …) and a catalogue of categories (`categories{}` with
 * agent_types, benchmarks and models, `category_hierarchy`).  tsa adds members that those do not have: of a model `aliases`,
 * `capabilities`, `context_length`; of a category `parent`, `complexity`.  Members that nobody here asks for are ignored.
 *
 * An entry that cannot be used is told with its place ("models.json:41:15: models[3].size: …") and left out; the others stand.
 * Only a file that is no JSON, or no registry at all, is an error.  Nothing here knows how models are chosen: see route/taxonomy.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "conf/conf.h"

#define CONF_FACTS_BYTES      (10U << 20) /* of one file */
#define CONF_MODEL_NAME       128
#define CONF_CATEGORY_NAME    40
#define CONF_BENCHMARK_NAME   32
#define CONF_VARIANTS         8
#define CONF_MODEL_CATEGORIES 16
#define CONF_MODEL_ALIASES    16
#define CONF_BENCHMARKS       32
#define CONF_REGISTRY_MODELS  1024
#define CONF_CATEGORIES       128

/* "20GB (Q4_K_M), 24GB (Q6_K)": what one model needs, by variant.  n == 0: not known. */
struct conf_sizes {
	unsigned n;
	struct {
		char variant[24]; /* "Q4_K_M"; "" where none was named */
		uint64_t bytes;
	} at[CONF_VARIANTS]; /* as written; the first is the one that counts where nothing else is known */
};

/* Units are MB, GB and TB or MiB, GiB and TiB and all mean powers of 1024, as they did in the replaced system: memory is sold in them,
 * and a model is rather thought too large than too small.  0; -EINVAL with `why`, *out untouched. */
int conf_sizes_parse(const char *text, struct conf_sizes *out, struct why *why);

/* "270M", "33B", "27b", "1.5 billion" to a number of parameters.  0 or -EINVAL. */
int conf_parameters_parse(const char *text, double *out, struct why *why);

enum conf_agent { CONF_AGENT_INFERENCE = 1 << 0, CONF_AGENT_TOOL = 1 << 1, CONF_AGENT_ORCHESTRATOR = 1 << 2 };

enum conf_capability {
	CONF_CAN_TOOLS = 1 << 0,
	CONF_CAN_VISION = 1 << 1,
	CONF_CAN_THINK = 1 << 2,
	CONF_CAN_EMBED = 1 << 3, /* and nothing else */
};

struct conf_benchmark {
	char name[CONF_BENCHMARK_NAME];
	double value; /* as written: up to 1 it is a fraction, beyond it a percentage */
};

struct conf_registry_model {
	char name[CONF_MODEL_NAME];
	char repo[CONF_MODEL_NAME]; /* "" : none given */
	struct conf_sizes size;     /* on disk */
	struct conf_sizes memory;   /* while loaded */
	double parameters;          /* 0: not known */
	uint64_t context_tokens;    /* 0: not known */
	unsigned agents;            /* bits of enum conf_agent */
	unsigned capabilities;      /* bits of enum conf_capability */
	unsigned n_categories;
	char categories[CONF_MODEL_CATEGORIES][CONF_CATEGORY_NAME]; /* the first is what it is best at */
	unsigned n_aliases;
	char aliases[CONF_MODEL_ALIASES][CONF_MODEL_NAME]; /* other names of it, as `ollama list` shows them */
	unsigned n_benchmarks;
	struct conf_benchmark benchmarks[CONF_BENCHMARKS];
	unsigned line; /* where it stands */
};

struct conf_registry {
	unsigned n;
	struct conf_registry_model *models; /* no two of one name */
};

enum conf_complexity { CONF_COMPLEXITY_NONE = 0, CONF_SIMPLE, CONF_MODERATE, CONF_COMPLEX };

struct conf_category {
	char id[CONF_CATEGORY_NAME];
	char parent[CONF_CATEGORY_NAME]; /* "" : none named */
	enum conf_complexity complexity;
	unsigned agents;
	unsigned n_benchmarks;
	char benchmarks[CONF_BENCHMARKS][CONF_BENCHMARK_NAME]; /* that tell how good a model is at it */
	unsigned n_models;
	char (*models)[CONF_MODEL_NAME]; /* that the file names, the preferred first */
	unsigned line;                   /* 0: a group of category_hierarchy.domain, not an entry of its own */
};

struct conf_catalogue {
	unsigned n;
	struct conf_category *categories; /* no two of one id; parents are members of the catalogue, and no chain is a circle */
};

/* Read the file at `path`.  0; -EINVAL it is no such file (`report` says why, with line and column); -ENOMEM; -errno of open(2).
 * What was left out is a warning in `report` with 0.  *out is the caller's, untouched on failure. */
int conf_registry_load(const char *path, struct conf_registry **out, struct conf_report *report);
int conf_catalogue_load(const char *path, struct conf_catalogue **out, struct conf_report *report);

/* The same from bytes; `name` is what messages call them. */
int conf_registry_parse(const char *name, const char *text, size_t n, struct conf_registry **out, struct conf_report *report);
int conf_catalogue_parse(const char *name, const char *text, size_t n, struct conf_catalogue **out, struct conf_report *report);

void conf_registry_destroy(struct conf_registry **r);
void conf_catalogue_destroy(struct conf_catalogue **c);
