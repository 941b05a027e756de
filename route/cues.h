/* route/cues.h - what a person can see in the beginning of a prompt: its shape, the kind of its opening word, and words that mean
 * something by themselves.
 *
 * Bits for the classifier, readable names for `tsactl explain`, counts for the complexity.  Never allocates after cue_words_create(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "route/text.h"

enum cue {
#define CUE(id, name) CUE_##id,
#include "route/cues.def"
#undef CUE
	CUE_COUNT
};

enum cue_group {
#define WORDS(id, words) GROUP_##id,
#include "route/cue_words.def"
#undef WORDS
	GROUP_COUNT
};

enum cue_tag {
#define TAG(id, name, category, words) TAG_##id,
#include "route/tags.def"
#undef TAG
	TAG_COUNT
};
_Static_assert(CUE_COUNT <= 128 && GROUP_COUNT <= 64 && TAG_COUNT <= 64, "they are bits of words");

struct cues {
	uint64_t bits[2];
	uint64_t tags;              /* of every category */
	uint8_t group[GROUP_COUNT]; /* words of each group, up to 255 */
	uint8_t tag[TAG_COUNT];     /* likewise */
	unsigned words;             /* in the part that is read */
	unsigned commas, questions, lines, sentences;
	bool foreign; /* mainly letters outside ASCII */
	bool cut;     /* the prompt is longer than what is read */
};

static inline bool cue_has(const struct cues *c, enum cue cue)
{
	return c->bits[cue / 64] >> (cue % 64) & 1;
}

const char *cue_name(enum cue cue);
const char *cue_tag_name(enum cue_tag tag);

/* A checksum of the names and their order: which list a weights file was made for. */
uint32_t cue_list_checksum(void);

/* The compiled word lists behind a hash.  0; -ENOMEM. */
struct cue_words;
int cue_words_create(struct cue_words **out, struct why *why);
void cue_words_destroy(struct cue_words **w);

/* Look at all of a prompt: cues_begin(), cues_word() for every word in turn, cues_end(). */
struct cues_state {
	uint64_t before; /* hash of the previous word */
	unsigned at;     /* words and marks so far */
	unsigned unknowns;
};
void cues_begin(const char *text, size_t len, struct cues_state *s, struct cues *out);
void cues_word(const struct cue_words *w, const struct text_word *word, struct cues_state *s, struct cues *out);
void cues_end(const struct text_walk *walk, const struct cues_state *s, struct cues *out);
