/* route/choose.h - which model, where the client leaves it to tsa.  Pure: what is asked and what there is go in, a ranking with its
 * reasons comes out.  Which instance serves the winner is decide()'s business.
 *
 * Hard rules exclude (CHOOSE_EXCLUDES).  The others are ranked
 *   1. by the chain: those good at the category itself, then at its parent …, then at anything, then whatever can chat.  Reasoning
 *      models, which cost much, come first where complexity is high and confidence low (or the category is theirs and complexity high),
 *      and last otherwise.  The share of requests that go to them is measured; near its cap the complexity asked for rises, at the
 *      cap nobody is sent there.  Where a reasoning model would be wanted and none may be had, and where there is no model at all,
 *      the external hook may be asked, if one is configured: the router asks it.
 *   2. within a link of the chain by score, 0..100: CHOOSE_SKILL × the taxonomy's score, CHOOSE_SIZE × how well the model's size
 *      suits the complexity, CHOOSE_READY × in memory with a place free.
 *   3. equal scores: the one in memory, the smaller one, the name.  Nothing hangs on the order in which models are given.
 *
 * A model the registry does not know (route/match.h) gets its categories from its name (coder, math, r1 …) and is otherwise general;
 * what its Ollama says of it counts in any case: embedding models never chat. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "route/match.h"
#include "route/taxonomy.h"

#define CHOOSE_MODELS 512

#define CHOOSE_SKILL 0.70F
#define CHOOSE_SIZE  15.0F
#define CHOOSE_READY 15.0F

/* EXCLUDE(name, word, sentence) */
#define CHOOSE_EXCLUDES(EXCLUDE)                                                                                                   \
	EXCLUDE(NONE, "none", "not excluded")                                                                                      \
	EXCLUDE(AWAY, "unavailable", "no usable instance has it")                                                                  \
	EXCLUDE(CLIENT, "client", "the client does not want it")                                                                   \
	EXCLUDE(MANUAL, "not-auto", "tsa.conf keeps it for those who name it")                                                     \
	EXCLUDE(EMBEDS, "embedding-only", "it makes vectors and cannot chat")                                                      \
	EXCLUDE(CHATS, "no-embedding", "it is no embedding model")                                                                 \
	EXCLUDE(TOOL, "tool", "the registry calls it a tool, not for inference")                                                   \
	EXCLUDE(TAGS, "tags", "it or its instances lack a required tag")                                                           \
	EXCLUDE(CONTEXT, "context", "prompt and answer do not fit into its context")

enum choose_exclude {
#define EXCLUDE(name, word, sentence) CHOOSE_EXCLUDE_##name,
	CHOOSE_EXCLUDES(EXCLUDE)
#undef EXCLUDE
		CHOOSE_EXCLUDE_COUNT
};

/* The links of the chain, in the order they are tried.  LINK(name, word, sentence) */
#define CHOOSE_LINKS(LINK)                                                                                                         \
	LINK(REASONING, "reasoning", "complex, and the category unsure or reasoning: a reasoning model")                           \
	LINK(CATEGORY, "category", "good at the category")                                                                         \
	LINK(PARENT, "parent-category", "good at a category above it")                                                             \
	LINK(GENERAL, "general", "good at anything")                                                                               \
	LINK(ANY, "any", "nothing is known of it but that it can chat")                                                            \
	LINK(SPARED, "reasoning-spared", "a reasoning model that is not needed; there is no other")

enum choose_link {
#define LINK(name, word, sentence) CHOOSE_LINK_##name,
	CHOOSE_LINKS(LINK)
#undef LINK
		CHOOSE_LINK_COUNT
};

struct choose_conf {
	double complexity;      /* 0.56: from where the classifier calls it high */
	double confidence;      /* 0.55 */
	double reasoning_share; /* 0.15; 0: never */
	unsigned window;        /* 200 */
	bool multi_category;    /* a model serves categories that are not its first */
	bool hook;              /* one is configured */
};

void choose_conf_default(struct choose_conf *conf);

/* One model of the fleet.  choose_model_init() fills the first part; the second is the caller's, and changes with the fleet. */
struct choose_model {
	char name[CONF_MODEL_NAME];
	uint32_t match; /* entry of the registry, MATCH_NONE */
	enum match_how how;
	struct tax_entry skill; /* what it is good at; its model may be NULL */
	struct tax_score any;   /* where it is no member */
	float strength;         /* 0 (half a billion parameters) .. 1 (64), by their logarithm */
	uint64_t can;           /* known tags (route/tags.h) that follow from its capabilities */
	bool tool;              /* not for inference */
	bool automatic;
	bool reasoning;
	uint64_t registry_context;

	bool available;          /* an instance has it and is, or will soon be, usable */
	bool resident;           /* in memory somewhere */
	bool free;               /* with a place free */
	uint64_t tags;           /* of all instances that have it */
	uint64_t context_tokens; /* of the largest one that has it; 0 not known */
};

/* What an Ollama and tsa.conf say of a model. */
struct choose_facts {
	const char *name;
	double parameters;   /* 0: not known */
	uint64_t size_bytes; /* on disk; 0 not known */
	bool embed_only, tools, vision, thinking;
	/* model "NAME" { … } */
	const char *registry;          /* NULL or "": find it */
	const char *const *categories; /* n_categories of them; 0: as the registry says */
	unsigned n_categories;
	bool manual;    /* auto = no */
	bool reasoning; /* reasoning = yes */
};

/* The taxonomy may get new categories.  `registry` is the one it was made of, or NULL. */
void choose_model_init(struct choose_model *m, struct taxonomy *t, const struct conf_registry *registry,
		       const struct choose_facts *facts);

struct choose_request {
	unsigned category;       /* tax_find() of the finest the classifier found */
	double complexity;       /* 0..1 */
	double confidence;       /* 0..1 */
	bool embed;              /* an embedding route */
	bool speed;              /* quick rather than good */
	uint64_t required;       /* tags */
	uint64_t context_tokens; /* prompt and longest answer; 0 not known */
	const char *const *exclude;
	unsigned n_exclude;
};

struct choose_candidate {
	uint8_t exclude;   /* enum choose_exclude */
	uint8_t link;      /* enum choose_link, unless excluded */
	uint8_t steps;     /* above the category */
	unsigned category; /* in which it is good */
	float skill;       /* the taxonomy's score */
	float part;        /* of its benchmarks */
	float confidence;
	float size;  /* 0..1 */
	float ready; /* 0..1 */
	float score; /* 0..100 */
};

struct choose_result {
	unsigned n;                    /* of `order` */
	uint16_t order[CHOOSE_MODELS]; /* the best first */
	struct choose_candidate candidate[CHOOSE_MODELS];
	double threshold; /* the complexity that a reasoning model took this time; above 1: none was to be had */
	bool wanted;      /* a reasoning model would have been chosen but for the cap, or if there were one */
	bool hook;        /* ask the hook */
};

/* The share of requests that went to reasoning models; zero starts. */
struct choose_share {
	double share;
};

/* Rank `n` <= CHOOSE_MODELS models. */
void choose(const struct choose_conf *conf, const struct taxonomy *t, const struct choose_share *share,
	    const struct choose_request *rq, const struct choose_model *models, unsigned n, struct choose_result *out);

/* A request for `auto` went to a model. */
void choose_share_count(struct choose_share *share, const struct choose_conf *conf, bool reasoning);

const char *choose_exclude_text(enum choose_exclude e);
const char *choose_exclude_help(enum choose_exclude e);
const char *choose_link_text(enum choose_link l);
const char *choose_link_help(enum choose_link l);
