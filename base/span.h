/* base/span.h - a run of bytes that somebody else owns; not NUL-terminated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct span {
	const char *p;
	size_t      n;
};

#define SPAN_LIT(s)   ((struct span){(s), sizeof(s) - 1})
#define SPAN_FMT      "%.*s"
#define SPAN_ARG(s)   (int)(s).n, (s).p

static inline struct span span_of(const char *text)
{
	return (struct span){text, strlen(text)};
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case is ignored: for header names and other tokens of the protocol. */
static inline bool span_caseeq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

/* Copy into a fixed buffer as a C string.  False (dst then holds "") when it does not fit or holds a NUL. */
static inline bool span_copy(char *dst, size_t size, struct span s)
{
	if (s.n >= size || memchr(s.p ? s.p : "", 0, s.n)) {
		if (size)
			dst[0] = 0;
		return false;
	}
	if (s.n)
		memcpy(dst, s.p, s.n);
	dst[s.n] = 0;
	return true;
}

/* The same as a string on the heap, freed by the caller.  NULL when it is longer than `most` or holds a NUL, or without memory. */
static inline char *span_dup(struct span s, size_t most)
{
	return s.n <= most && s.p && !memchr(s.p, 0, s.n) ? strndup(s.p, s.n) : NULL;
}
