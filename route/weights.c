#include "route/weights.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/bug.h"
#include "route/pieces.h"

#define HEAD_BYTES (64 + WEIGHTS_CATEGORIES * WEIGHTS_NAME)

static const char CATEGORY_NAMES[][WEIGHTS_NAME] = {
#define CATEGORY(id, name, tag) name,
#include "route/categories.def"
#undef CATEGORY
};
_Static_assert(ARRAY_SIZE(CATEGORY_NAMES) == WEIGHTS_CATEGORIES, "as many outputs as categories");
_Static_assert(sizeof(struct weights_dense) % sizeof(float) == 0, "floats without gaps");

static uint32_t word_at(const unsigned char *bytes, size_t at)
{
	const unsigned char *p = bytes + at;

	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float float_at(const unsigned char *bytes, size_t at)
{
	uint32_t word = word_at(bytes, at);
	float f;

	memcpy(&f, &word, sizeof(f));
	return f;
}

static uint32_t checksum(const unsigned char *p, size_t n)
{
	uint32_t h = 0x811c9dc5u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x01000193u;
	return h;
}

/* The numbers of the head that this program was compiled for. */
static int shape_check(const unsigned char *bytes, struct why *why)
{
	const struct {
		size_t at;
		uint32_t want;
		const char *what;
	} FIXED[] = {
		{8, WEIGHTS_VERSION, "version"},
		{24, WEIGHTS_WIDTH, "vector width"},
		{28, CUE_COUNT, "number of cues"},
		{32, cue_list_checksum(), "list of cues"},
		{36, WEIGHTS_HIDDEN, "number of hidden units"},
		{40, WEIGHTS_CATEGORIES, "number of categories"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(FIXED); i++)
		if (word_at(bytes, FIXED[i].at) != FIXED[i].want)
			return why_set(why, -EINVAL,
				       "the weights' %s is %u where this program has %u; install the weights that came with it or "
				       "train anew",
				       FIXED[i].what, word_at(bytes, FIXED[i].at), FIXED[i].want);
	for (unsigned i = 0; i < WEIGHTS_CATEGORIES; i++)
		if (memcmp(bytes + 64 + i * WEIGHTS_NAME, CATEGORY_NAMES[i], WEIGHTS_NAME) != 0)
			return why_set(why, -EINVAL,
				       "the weights' category %u is not \"%s\"; install the weights that came with this program or "
				       "train anew",
				       i, CATEGORY_NAMES[i]);
	return 0;
}

static int size_check(const unsigned char *bytes, size_t len, struct why *why)
{
	uint64_t pieces = word_at(bytes, 20), strings = word_at(bytes, 44);

	if (word_at(bytes, 12) != len)
		return why_set(why, -EINVAL, "the weights say they have %u bytes, but %zu are here; copy the file again",
			       word_at(bytes, 12), len);
	if (!pieces || pieces > PIECES_MAX || HEAD_BYTES + sizeof(struct weights_dense) + pieces * WEIGHTS_WIDTH + strings != len)
		return why_set(why, -EINVAL, "%u pieces with a vocabulary of %u bytes do not make weights of %zu bytes",
			       (unsigned)pieces, (unsigned)strings, len);
	if (word_at(bytes, 16) != checksum(bytes + 20, len - 20))
		return why_set(why, -EINVAL, "the weights are damaged (their checksum differs); copy the file again");
	return 0;
}

/* Limits far outside of what training gives keep sums finite, whatever a file holds. */
static int dense_read(const unsigned char *bytes, struct weights *w, struct why *why)
{
	float *to = (float *)&w->dense;

	for (size_t i = 0; i < sizeof(w->dense) / sizeof(*to); i++) {
		to[i] = float_at(bytes, HEAD_BYTES + i * sizeof(*to));
		if (!(fabsf(to[i]) <= 1e4f))
			return why_set(why, -EINVAL,
				       "the weights hold a number that no training gives (number %zu); install them again", i);
	}
	w->scale = float_at(bytes, 48);
	w->temperature = float_at(bytes, 52);
	w->abstain_below = float_at(bytes, 56);
	w->unsafe_from = float_at(bytes, 60);
	if (!(w->scale > 0 && w->scale <= 10) || !(w->temperature >= 0.05f && w->temperature <= 20))
		return why_set(why, -EINVAL, "the weights' scale or temperature is out of range; install them again");
	if (!(w->abstain_below >= 0 && w->abstain_below <= 1) || !(w->unsafe_from >= 0 && w->unsafe_from <= 1))
		return why_set(why, -EINVAL, "a threshold of the weights is no probability; install them again");
	return 0;
}

int weights_read(const void *from, size_t len, struct weights *out, struct why *why)
{
	const unsigned char *bytes = from;
	int rc;

	if (len < HEAD_BYTES || memcmp(bytes, WEIGHTS_MAGIC, 8) != 0)
		return why_set(why, -EINVAL, "these are no classifier weights: they do not begin with their mark");
	rc = shape_check(bytes, why);
	if (rc == 0)
		rc = size_check(bytes, len, why);
	if (rc == 0)
		rc = dense_read(bytes, out, why);
	if (rc < 0)
		return rc;
	out->n_pieces = word_at(bytes, 20);
	out->strings_bytes = word_at(bytes, 44);
	out->table = (const int8_t *)bytes + HEAD_BYTES + sizeof(out->dense);
	out->strings = (const char *)out->table + (size_t)out->n_pieces * WEIGHTS_WIDTH;
	return 0;
}
