/* route/classify.h - what kind of request a prompt is.  Pure; any bytes of any length; no allocation per prompt.
 *
 * The first 96 word pieces and 1,200 bytes are looked at, so that the cost has a bound whatever arrives.  A small network over averaged
 * piece vectors and cues gives the category with a calibrated confidence; the complexity is a score of cues alone, because no
 * collection of prompts has an honest label for it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "route/cues.h"

#define CLASSIFY_PIECES 96

enum category {
#define CATEGORY(id, name, tag) CATEGORY_##id,
#include "route/categories.def"
#undef CATEGORY
	CATEGORY_COUNT
};

/* Why `category` is general although something else was likelier. */
enum classify_doubt {
	DOUBT_NONE = 0,
	DOUBT_UNSURE,  /* the confidence is too low */
	DOUBT_FOREIGN, /* mainly letters outside ASCII, without a cue that needs no language */
	DOUBT_REPEATS, /* long, but the same few pieces over and over: nothing the network has learned from */
};

enum classify_level { LEVEL_LOW = 0, LEVEL_MEDIUM, LEVEL_HIGH };

struct classify_result {
	enum category category;  /* after doubt */
	enum category likeliest; /* before it */
	enum classify_doubt doubt;
	float confidence; /* calibrated probability of `category` */
	float probability[CATEGORY_COUNT];
	bool unsafe;      /* safety-risk is probable enough: 3 harmless prompts in 100 are flagged too */
	bool sure;        /* sure enough to require the category's tag of an instance, not only to prefer it */
	float complexity; /* 0 to 1, of cues */
	enum classify_level level;
	uint64_t tags; /* finer tags, bits of enum cue_tag; of `category` alone */
	unsigned pieces;
	struct cues cues;
};

/* `bytes` is a weights file as conf/weights.h reads it: it stays the caller's and must outlive the classifier.
 * 0; -EINVAL (what is wrong with it), -ENOMEM, with `why`.  A classifier is never changed, so threads may share it. */
struct classifier;
int classify_create(const void *bytes, size_t len, struct classifier **out, struct why *why);
void classify_destroy(struct classifier **c);

/* Never fails: an empty prompt is general. */
void classify_prompt(const struct classifier *c, const char *text, size_t len, struct classify_result *out);

/* The network's raw outputs, for the trainer's comparison. */
void classify_outputs(const struct classifier *c, const char *text, size_t len, float outputs[CATEGORY_COUNT]);

const char *category_name(enum category c);
const char *category_tag(enum category c);
const char *classify_level_name(enum classify_level level);
