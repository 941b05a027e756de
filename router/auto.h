/* router/auto.h - private: what one router knows of models and prompts, and the models as they may be chosen. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proc/proc.h"
#include "route/choose.h"
#include "route/classify.h"
#include "route/knowledge.h"

struct router;
struct exchange;
struct model;
struct view;

/* What a choosable model was made of, to see when it has to be made anew. */
struct auto_model {
	uint64_t hash; /* of its name; 0: not made yet */
	uint64_t flags;
	uint64_t size_bytes;
	uint64_t epoch;
};

struct automatic {
	struct proc_sealed models, weights; /* as they came */
	bool stale;                         /* `known` was made of others */
	bool made;                          /* `known` is there */
	struct knowledge known;
	struct tax_conf tax;
	struct classifier *classifier; /* NULL: no weights */
	struct choose_conf conf;
	struct choose_share share;
	struct choose_model *choice; /* parallel to router.models */
	struct auto_model *source;   /* likewise */
	uint64_t epoch;              /* moves on when all of them have to be made anew */
	unsigned turn;               /* counts prompts that name a model */
};

/* False: no memory. */
bool auto_init(struct automatic *a);
void auto_fini(struct automatic *a);

/* PROC_FACTS: `fds` stay the caller's.  What cannot be used is logged, and what was known before stays. */
void auto_facts(struct router *r, uint32_t has, const int *fds, unsigned n_fds);
/* Take over r->conf. */
void auto_take(struct router *r);

/* The client leaves the model to tsa.  NULL: there is none (answered, or nothing is there yet: see `answered`). */
const struct model *auto_model(struct exchange *x, const struct view *v, bool *answered);
/* What somebody who only asks may ask for. */
struct auto_wish {
	bool speed;               /* quick rather than good */
	uint64_t context_tokens;  /* at least */
	const char *const *exclude; /* keys of models */
	unsigned n_exclude;
	const char *category; /* whatever the prompt says; NULL: as it says */
};

/* The same for a bare prompt, counted nowhere; *kind says what was found and *ranking how the models compare, both until the next
 * call.  NULL: there is none, or nothing is classified (*kind is NULL then).  `wish` may be NULL. */
struct model *auto_explain(struct exchange *x, const char *text, size_t n, const struct auto_wish *wish,
			   const struct classify_result **kind, const struct choose_result **ranking);
/* The model is named: what kind of prompt it is counts all the same. */
void auto_label(struct exchange *x, const struct view *v);
/* Nobody can serve the request, which is not in the queue, as it is: it gives up the tag of its category, which is wanted and not needed.
 * False: it asks for none. */
bool auto_relax(struct exchange *x);
/* The chosen model cannot serve the request, which is not in the queue: another one.  False: there is none, and nothing is changed. */
bool auto_next(struct exchange *x);
/* "code" of a request that was classified, else NULL. */
const char *auto_category(const struct exchange *x);
