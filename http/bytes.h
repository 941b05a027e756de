/* http/bytes.h - which bytes may stand where, and how far a run of harmless bytes goes.  Private to http/.
 *
 * The runs are where bodies and heads spend their time: with SSE2 they go 16 bytes at a time, elsewhere 8.  Both forms are
 * compiled everywhere, so that one machine can prove that they agree. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
	BYTE_TOKEN = 1,  /* RFC 9110 tchar: methods, header names */
	BYTE_TARGET = 2, /* visible ASCII but '#': a fragment never travels */
	BYTE_HOST = 4,   /* letters, digits, '-', '.', '_' */
	BYTE_DIGIT = 8,
	BYTE_CONTROL = 16, /* below 0x20 or 0x7f */
	BYTE_ESCAPE = 32   /* after a backslash in JSON, but 'u' */
};

extern const uint8_t HTTP_BYTE[256];

static inline bool byte_is(char c, unsigned kind)
{
	return (HTTP_BYTE[(unsigned char)c] & kind) != 0;
}

static inline char byte_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* -1 where `c` is no hexadecimal digit. */
static inline int byte_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = byte_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Length of the well-formed UTF-8 sequence that begins at `p`, 1 to 4; 0 when there is none. */
unsigned byte_utf8(const char *p, size_t n);

static inline uint64_t run_load(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

#define RUN_EACH(b) (0x0101010101010101ULL * (uint8_t)(b))

/* Non-zero when a byte of `v` is below `b` (b <= 128).  A byte of 128 and more never counts; which byte it was is not exact. */
static inline uint64_t run_any_below(uint64_t v, uint8_t b)
{
	return (v - RUN_EACH(b)) & ~v & RUN_EACH(0x80);
}

static inline uint64_t run_any_equal(uint64_t v, uint8_t b)
{
	return run_any_below(v ^ RUN_EACH(b), 1);
}

/* Leading bytes of `p` that are neither '"' nor '\\' nor below 0x20: the inside of a JSON string. */
static inline size_t run_string_portable(const char *p, size_t n)
{
	size_t i = 0;

	for (; n - i >= 8; i += 8) {
		uint64_t v = run_load(p + i);

		if (run_any_below(v, 0x20) | run_any_equal(v, '"') | run_any_equal(v, '\\'))
			break;
	}
	while (i < n && (unsigned char)p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')
		i++;
	return i;
}

/* Leading bytes of `p` that are no control byte (below 0x20, or 0x7f). */
static inline size_t run_text_portable(const char *p, size_t n)
{
	size_t i = 0;

	for (; n - i >= 8; i += 8) {
		uint64_t v = run_load(p + i);

		if (run_any_below(v, 0x20) | run_any_equal(v, 0x7f))
			break;
	}
	while (i < n && !byte_is(p[i], BYTE_CONTROL))
		i++;
	return i;
}

#if defined(__SSE2__)

static inline __m128i run_load16(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* 0xff in each lane whose byte ends a string run. */
static inline __m128i run_string_stops(__m128i v)
{
	__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);

	return _mm_or_si128(low, _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
}

#define BYTE_STEP 32

/* The stops of a string run among the next BYTE_STEP bytes, one bit each. */
static inline uint32_t run_string_stops_step(const char *p)
{
	uint32_t low = (uint32_t)_mm_movemask_epi8(run_string_stops(run_load16(p)));
	uint32_t high = (uint32_t)_mm_movemask_epi8(run_string_stops(run_load16(p + 16)));

	return low | high << 16;
}

static inline size_t run_string(const char *p, size_t n)
{
	size_t i = 0;

	for (; n - i >= 16; i += 16) {
		int stops = _mm_movemask_epi8(run_string_stops(run_load16(p + i)));

		if (stops)
			return i + (size_t)__builtin_ctz((unsigned)stops);
	}
	return i + run_string_portable(p + i, n - i);
}

static inline size_t run_text(const char *p, size_t n)
{
	size_t i = 0;

	for (; n - i >= 16; i += 16) {
		__m128i v = run_load16(p + i);
		__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
		int stops = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f))));

		if (stops)
			return i + (size_t)__builtin_ctz((unsigned)stops);
	}
	return i + run_text_portable(p + i, n - i);
}

#else

#define BYTE_STEP 8

static inline uint32_t run_string_stops_step(const char *p)
{
	uint32_t stops = 0;

	for (unsigned i = 0; i < BYTE_STEP; i++)
		stops |= (uint32_t)((unsigned char)p[i] < 0x20 || p[i] == '"' || p[i] == '\\') << i;
	return stops;
}

static inline size_t run_string(const char *p, size_t n)
{
	return run_string_portable(p, n);
}

static inline size_t run_text(const char *p, size_t n)
{
	return run_text_portable(p, n);
}

#endif
