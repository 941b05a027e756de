/* route/text.h - the beginning of a prompt as normalised words.  Pure; any bytes, valid UTF-8 or not.
 *
 * Normalised as the uncased vocabularies of sentence encoders are: lower case, accents of Latin, Greek, Cyrillic and kana dropped,
 * control and zero-width characters dropped, every ideograph and every punctuation mark a word of its own.  Bytes that are no UTF-8
 * are passed over.  Never allocates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How much of a prompt is ever read: the bound on what a decision costs. */
#define TEXT_READ_MAX 1200
/* Longer words are cut into words of this many bytes; no piece of a vocabulary is longer. */
#define TEXT_WORD_MAX 48

struct text_word {
	uint8_t len;                   /* bytes, 1..TEXT_WORD_MAX */
	bool mark;                     /* one punctuation mark or ideograph */
	char bytes[TEXT_WORD_MAX + 4]; /* UTF-8, no NUL */
};

struct text_walk {
	const unsigned char *at, *end;
	unsigned letters; /* letters and ideographs seen so far */
	unsigned foreign; /* of those, outside ASCII after accents were dropped */
};

void text_walk_init(struct text_walk *w, const char *text, size_t len);

/* The next word.  False: none is left. */
bool text_walk_next(struct text_walk *w, struct text_word *out);

/* One code point at `p` < `end`: its value and length, or 0xfffd and 1 where the bytes are no UTF-8. */
uint32_t text_point(const unsigned char *p, const unsigned char *end, unsigned *len);
