/* tests/fuzz/slow_utf8.h - UTF-8 by its table of well-formed sequences, written without a look at http/bytes.h. */
#pragma once

#include "tests/fuzz/fuzz.h"

/* The length of the well-formed character at p, or 0. */
static inline size_t slow_utf8(const unsigned char *p, size_t n)
{
	static const struct {
		unsigned char from, to, second_from, second_to, len;
	} ROWS[] = {
		{0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; n && i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		if (p[0] < ROWS[i].from || p[0] > ROWS[i].to)
			continue;
		if (n < ROWS[i].len || (ROWS[i].len > 1 && (p[1] < ROWS[i].second_from || p[1] > ROWS[i].second_to)))
			return 0;
		for (size_t k = 2; k < ROWS[i].len; k++)
			if (p[k] < 0x80 || p[k] > 0xbf)
				return 0;
		return ROWS[i].len;
	}
	return 0;
}

/* The text with U+FFFD for each byte that is in no character; *out_n its length.  Free it. */
static inline char *slow_repaired(const char *p, size_t n, size_t *out_n)
{
	char *out = malloc(3 * n + 1);
	size_t to = 0;

	CHECK(out);
	for (size_t i = 0; i < n;) {
		size_t len = slow_utf8((const unsigned char *)p + i, n - i);

		if (len)
			memcpy(out + to, p + i, len);
		else
			memcpy(out + to, "\xef\xbf\xbd", 3);
		to += len ? len : 3;
		i += len ? len : 1;
	}
	out[to] = 0;
	*out_n = to;
	return out;
}
