/* tests/fuzz/fuzz.h - what the fuzz targets share: a check that stays on, exact copies, cuts taken from the input. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(cond)                                                                                                            \
	do {                                                                                                                   \
		if (!(cond)) {                                                                                                 \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #cond);                               \
			abort();                                                                                               \
		}                                                                                                              \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy without a byte to spare, so that AddressSanitizer sees any look beyond the end.  Free it. */
static inline char *exact_copy(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);

	CHECK(copy);
	if (n)
		memcpy(copy, p, n);
	return copy;
}

/* Numbers that follow from the first bytes of the input, so that a finding repeats. */
struct cuts {
	uint32_t state;
};

static inline size_t cuts_below(struct cuts *c, size_t limit)
{
	c->state = c->state * 1664525u + 1013904223u;
	return limit ? (c->state >> 8) % limit : 0;
}
