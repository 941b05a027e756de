/* Bytes to a classifier: whatever a file holds, it is refused with a sentence or gives finite answers.
 *
 * Each input is tried as it is, and behind a head that is right, so that what lies behind it is reached; a third byte of 0xf0
 * and above says what is wrong with that head. */
#include <math.h>

#include "fuzz.h"
#include "route/classify.h"
#include "route/weights.h"

#define HEAD 192

enum { WRONG_NAME = 1, WRONG_PIECES = 2, WRONG_LENGTH = 4, WRONG_SUM = 8 };

static void word_put(char *bytes, size_t at, uint32_t v)
{
	memcpy(bytes + at, &v, sizeof(v));
}

static uint32_t checksum(const unsigned char *p, size_t n)
{
	uint32_t h = 0x811c9dc5u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x01000193u;
	return h;
}

/* `pieces` are claimed; their table is zero, their strings are the input's. */
static char *plausible_make(const uint8_t *data, size_t size, size_t *len)
{
	static const char NAMES[][16] = {
#define CATEGORY(id, name, tag) name,
#include "route/categories.def"
#undef CATEGORY
	};
	size_t dense = sizeof(struct weights_dense), pieces = size ? data[0] % 40 : 0, patch = size > 64 ? 64 : size;
	unsigned wrong = size > 2 && data[2] >= 0xf0 ? data[2] : 0;
	char *b;

	*len = HEAD + dense + pieces * WEIGHTS_WIDTH + size;
	b = calloc(1, *len);
	CHECK(b);
	memcpy(b, WEIGHTS_MAGIC, 8);
	word_put(b, 8, WEIGHTS_VERSION);
	word_put(b, 12, (uint32_t)*len + !!(wrong & WRONG_LENGTH));
	word_put(b, 20, (uint32_t)pieces + !!(wrong & WRONG_PIECES));
	word_put(b, 24, WEIGHTS_WIDTH);
	word_put(b, 28, CUE_COUNT);
	word_put(b, 32, cue_list_checksum());
	word_put(b, 36, WEIGHTS_HIDDEN);
	word_put(b, 40, WEIGHTS_CATEGORIES);
	word_put(b, 44, (uint32_t)size);
	memcpy(b + 48, &(float[]){0.01f, 1.0f, 0.3f, 0.5f}, 16);
	if (size > 2 && data[1] & 1)
		memcpy(b + 48, data, size < 16 ? size : 16);
	memcpy(b + 64, NAMES, sizeof(NAMES));
	if (wrong & WRONG_NAME)
		b[64 + data[1] % sizeof(NAMES)] ^= 1;
	memcpy(b + HEAD, data, patch);
	memcpy(b + HEAD + dense + pieces * WEIGHTS_WIDTH, data, size);
	word_put(b, 16, checksum((unsigned char *)b + 20, *len - 20) + !!(wrong & WRONG_SUM));
	return b;
}

static void try(const char *bytes, size_t len)
{
	static const char PROMPT[] = "a b c 12 + 3 The \xff\xe2\x82 quick";
	struct classifier *c = NULL;
	struct classify_result r;
	struct why why = {""};
	float sum = 0;

	if (classify_create(bytes, len, &c, &why) < 0) {
		CHECK(!c && *why.text);
		return;
	}
	classify_prompt(c, PROMPT, sizeof(PROMPT) - 1, &r);
	for (unsigned i = 0; i < CATEGORY_COUNT; i++) {
		CHECK(isfinite(r.probability[i]));
		sum += r.probability[i];
	}
	CHECK(sum > 0.99f && sum < 1.01f);
	classify_destroy(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len;
	char *raw = exact_copy((const char *)data, size), *made = plausible_make(data, size, &len);

	try(raw, size);
	try(made, len);
	free(made);
	free(raw);
	return 0;
}
