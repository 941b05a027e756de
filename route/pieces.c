#include "route/pieces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

#define HASH_FIRST 0xcbf29ce484222325ULL /* FNV-1a; the other seed keeps "##a" and "a" apart */
#define HASH_INNER 0x9ae16a3b2f90404fULL
#define HASH_PRIME 0x100000001b3ULL

struct place {
	uint32_t check; /* the hash's upper half */
	uint32_t id1;   /* id + 1; 0: free */
};

struct pieces {
	const char **at; /* without their "##" */
	uint8_t *len;
	struct place *places;
	unsigned shift; /* of the mixed hash, to a place */
	uint32_t mask;
	unsigned longest;
};

static uint64_t hash_add(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * HASH_PRIME;
}

static uint64_t hash_mix(uint64_t h)
{
	return h * 0x9e3779b97f4a7c15ULL;
}

/* The id + 1 of these bytes, or 0. */
static uint32_t piece_find(const struct pieces *p, uint64_t hash, const char *bytes, unsigned len)
{
	uint64_t mixed = hash_mix(hash);

	for (uint32_t i = (uint32_t)(mixed >> p->shift);; i = (i + 1) & p->mask) {
		const struct place *place = &p->places[i & p->mask];

		if (!place->id1)
			return 0;
		if (place->check == (uint32_t)hash && p->len[place->id1 - 1] == len &&
		    memcmp(p->at[place->id1 - 1], bytes, len) == 0)
			return place->id1;
	}
}

/* Two pieces of the same bytes are one that goes on inside a word and one that does not: `check` differs, by the seed. */
static int piece_add(struct pieces *p, unsigned id, const char *text, size_t len, struct why *why)
{
	bool inner = len > 2 && text[0] == '#' && text[1] == '#';
	uint64_t h = inner ? HASH_INNER : HASH_FIRST;
	uint32_t i;

	if (inner) {
		text += 2;
		len -= 2;
	}
	if (len == 0 || len > TEXT_WORD_MAX)
		return why_set(why, -EINVAL, "piece %u of the vocabulary has %zu bytes; 1 to %u are possible", id, len,
			       TEXT_WORD_MAX);
	for (size_t k = 0; k < len; k++)
		h = hash_add(h, text[k]);
	if (piece_find(p, h, text, (unsigned)len))
		return why_set(why, -EINVAL, "piece %u of the vocabulary stands in it twice", id);
	for (i = (uint32_t)(hash_mix(h) >> p->shift); p->places[i & p->mask].id1; i++)
		;
	p->places[i & p->mask] = (struct place){(uint32_t)h, id + 1};
	p->at[id] = text;
	p->len[id] = (uint8_t)len;
	if (len > p->longest)
		p->longest = (unsigned)len;
	return 0;
}

static int pieces_fill(struct pieces *p, const char *strings, size_t left, unsigned n, struct why *why)
{
	for (unsigned id = 0; id < n; id++) {
		size_t len = strnlen(strings, left);
		int rc;

		if (len == left)
			return why_set(why, -EINVAL, "the vocabulary ends after %u of %u pieces", id, n);
		rc = piece_add(p, id, strings, len, why);
		if (rc < 0)
			return rc;
		strings += len + 1;
		left -= len + 1;
	}
	return left ? why_set(why, -EINVAL, "%zu bytes stand behind the vocabulary's last piece", left) : 0;
}

int pieces_create(const char *strings, size_t len, unsigned n, struct pieces **out, struct why *why)
{
	struct pieces *p;
	unsigned bits = 4;
	int rc;

	if (n == 0 || n > PIECES_MAX)
		return why_set(why, -EINVAL, "the vocabulary has %u pieces; 1 to %u are possible", n, PIECES_MAX);
	while (1U << bits < 2 * n)
		bits++;
	p = calloc(1, sizeof(*p));
	if (!p)
		return why_set(why, -ENOMEM, "no memory for a vocabulary of %u pieces", n);
	p->shift = 64 - bits;
	p->mask = (1U << bits) - 1;
	p->at = calloc(n, sizeof(*p->at));
	p->len = calloc(n, sizeof(*p->len));
	p->places = calloc((size_t)1 << bits, sizeof(*p->places));
	rc = p->at && p->len && p->places ? pieces_fill(p, strings, len, n, why)
					  : why_set(why, -ENOMEM, "no memory for a vocabulary of %u pieces", n);
	if (rc < 0)
		pieces_destroy(&p);
	else
		*out = p;
	return rc;
}

void pieces_destroy(struct pieces **p)
{
	if (!*p)
		return;
	free((*p)->places);
	free((*p)->len);
	free((*p)->at);
	free(*p);
	*p = NULL;
}

/* The longest piece at `bytes`, of at most `left`; *used is its length. */
static uint32_t longest_find(const struct pieces *p, uint64_t *hash, uint64_t seed, const char *bytes, unsigned left,
			     unsigned *used)
{
	unsigned most = left < p->longest ? left : p->longest;

	hash[0] = seed;
	for (unsigned i = 0; i < most; i++)
		hash[i + 1] = hash_add(hash[i], bytes[i]);
	for (unsigned n = most; n > 0; n--) {
		uint32_t id1 = piece_find(p, hash[n], bytes, n);

		if (id1) {
			*used = n;
			return id1;
		}
	}
	return 0;
}

unsigned pieces_cut(const struct pieces *p, const struct text_word *word, uint16_t *ids, unsigned max,
		    struct pieces_scratch *scratch)
{
	unsigned n = 0, at = 0;

	BUG_ON(word->len > TEXT_WORD_MAX);
	while (at < word->len && n < max) {
		unsigned used = 0;
		uint32_t id1 =
			longest_find(p, scratch->hash, at ? HASH_INNER : HASH_FIRST, word->bytes + at, word->len - at, &used);

		ids[n++] = id1 ? (uint16_t)(id1 - 1) : PIECES_UNKNOWN;
		if (!id1)
			break;
		at += used;
	}
	return n;
}
