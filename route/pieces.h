/* route/pieces.h - word pieces: a vocabulary behind a hash, and words cut into its longest pieces from the left.
 *
 * A piece that begins with "##" goes on inside a word.  Where nothing fits, the rest of the word counts as one unknown piece.  The
 * vocabulary's bytes stay the caller's and must outlive the table. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "route/text.h"

#define PIECES_MAX     65000
#define PIECES_UNKNOWN 0xffffU

struct pieces;

/* `strings`: `n` pieces, each ended by a NUL, `len` bytes in all.  0; -EINVAL with `why` (their count or bytes disagree, a piece is empty,
 * too long or stands twice); -ENOMEM. */
int pieces_create(const char *strings, size_t len, unsigned n, struct pieces **out, struct why *why);
void pieces_destroy(struct pieces **p);

/* Room that pieces_cut() works in; its contents mean nothing.  The caller's, because clearing it for every word would cost more than the word. */
struct pieces_scratch {
	uint64_t hash[TEXT_WORD_MAX + 1];
};

/* Cut `word`, at most `max` pieces into `ids`; PIECES_UNKNOWN is one of them.  Returns how many. */
unsigned pieces_cut(const struct pieces *p, const struct text_word *word, uint16_t *ids, unsigned max,
		    struct pieces_scratch *scratch);
