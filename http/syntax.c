#include "http/syntax.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "http/bytes.h"

struct scan {
	const char *p;
	size_t n;
	size_t at;
	const char *what; /* set by the first fault, which is at fault_at */
	size_t fault_at;
	uint8_t open[SYNTAX_DEPTH / 8]; /* a bit per level: 1 object, 0 array */
	unsigned depth;
};

static bool fail(struct scan *s, size_t at, const char *what)
{
	s->what = what;
	s->fault_at = at;
	return false;
}

static int peek(const struct scan *s)
{
	return s->at < s->n ? (unsigned char)s->p[s->at] : -1;
}

static void blanks(struct scan *s)
{
	while (s->at < s->n && strchr(" \t\n\r", s->p[s->at]) && s->p[s->at])
		s->at++;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(int c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* At the opening quote. */
static bool string(struct scan *s)
{
	size_t begin = s->at++;

	for (;;) {
		int c = peek(s);

		if (c < 0)
			return fail(s, begin, "Unterminated string starting at");
		if (c == '"') {
			s->at++;
			return true;
		}
		if (c < 0x20)
			return fail(s, s->at, "Invalid control character at");
		s->at++;
		if (c != '\\')
			continue;
		c = peek(s);
		if (c < 0)
			return fail(s, begin, "Unterminated string starting at");
		s->at++;
		if (c == 'u') {
			for (unsigned k = 0; k < 4; k++)
				if (s->at + k >= s->n || !is_hex((unsigned char)s->p[s->at + k]))
					return fail(s, s->at - 1, "Invalid \\uXXXX escape");
			s->at += 4;
		} else if (!c || !strchr("\"\\/bfnrt", c)) {
			return fail(s, s->at - 2, "Invalid \\escape");
		}
	}
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?: the longest beginning that is a number. */
static bool number(struct scan *s)
{
	size_t begin = s->at, at;

	if (peek(s) == '-')
		s->at++;
	if (!is_digit(peek(s)))
		return fail(s, begin, "Expecting value");
	if (peek(s) == '0')
		s->at++;
	else
		while (is_digit(peek(s)))
			s->at++;
	if (peek(s) == '.' && s->at + 1 < s->n && is_digit((unsigned char)s->p[s->at + 1])) {
		s->at++;
		while (is_digit(peek(s)))
			s->at++;
	}
	at = s->at;
	if (peek(s) == 'e' || peek(s) == 'E') {
		at++;
		if (at < s->n && (s->p[at] == '+' || s->p[at] == '-'))
			at++;
		if (at < s->n && is_digit((unsigned char)s->p[at])) {
			s->at = at;
			while (is_digit(peek(s)))
				s->at++;
		}
	}
	return true;
}

static bool word(struct scan *s)
{
	static const char *const WORDS[] = {"null", "true", "false", "NaN", "Infinity", "-Infinity"};

	for (unsigned i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
		size_t len = strlen(WORDS[i]);

		if (s->n - s->at >= len && memcmp(s->p + s->at, WORDS[i], len) == 0) {
			s->at += len;
			return true;
		}
	}
	return false;
}

static bool in_object(const struct scan *s)
{
	return s->open[(s->depth - 1) / 8] >> ((s->depth - 1) % 8) & 1;
}

static bool descend(struct scan *s, bool object)
{
	if (s->depth == SYNTAX_DEPTH)
		return fail(s, s->at, "Nested too deeply");
	s->at++;
	if (object)
		s->open[s->depth / 8] |= (uint8_t)(1U << (s->depth % 8));
	else
		s->open[s->depth / 8] &= (uint8_t) ~(1U << (s->depth % 8));
	s->depth++;
	blanks(s);
	return true;
}

/* "name" : before a value of an object. */
static bool name(struct scan *s)
{
	if (peek(s) != '"')
		return fail(s, s->at, "Expecting property name enclosed in double quotes");
	if (!string(s))
		return false;
	blanks(s);
	if (peek(s) != ':')
		return fail(s, s->at, "Expecting ':' delimiter");
	s->at++;
	blanks(s);
	return true;
}

/* A value up to and including what closes it, or up to its first member.  *more: a value follows inside it. */
static bool value_begin(struct scan *s, bool *more)
{
	int c = peek(s);

	*more = false;
	if (c == '"')
		return string(s);
	if (c == '{' || c == '[') {
		if (!descend(s, c == '{'))
			return false;
		if (peek(s) == (c == '{' ? '}' : ']')) {
			s->at++;
			s->depth--;
			return true;
		}
		*more = true;
		return c == '[' || name(s);
	}
	if (word(s))
		return true;
	if (c == '-' || is_digit(c))
		return number(s);
	return fail(s, s->at, "Expecting value");
}

/* After a value: close what it closes.  *more: another value follows. */
static bool value_end(struct scan *s, bool *more)
{
	*more = false;
	while (s->depth) {
		bool object = in_object(s);

		blanks(s);
		if (peek(s) == ',') {
			s->at++;
			blanks(s);
			*more = true;
			return !object || name(s);
		}
		if (peek(s) != (object ? '}' : ']'))
			return fail(s, s->at, "Expecting ',' delimiter");
		s->at++;
		s->depth--;
	}
	return true;
}

static bool document(struct scan *s)
{
	bool more = true;

	blanks(s);
	while (more) {
		if (!value_begin(s, &more))
			return false;
		if (!more && !value_end(s, &more))
			return false;
	}
	blanks(s);
	return s->at == s->n || fail(s, s->at, "Extra data");
}

static size_t characters(const char *p, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += ((unsigned char)p[i] & 0xc0) != 0x80;
	return count;
}

int syntax_check(const char *text, size_t n, struct syntax_fault *fault)
{
	struct scan s = {.p = text, .n = n};
	size_t good = 0;

	for (unsigned len = 1; good < n && len; good += len)
		len = byte_utf8(text + good, n - good);
	if (good < n) {
		*fault = (struct syntax_fault){characters(text, good), "not UTF-8"};
		return -EILSEQ;
	}
	if (document(&s))
		return 0;
	*fault = (struct syntax_fault){characters(text, s.fault_at), s.what};
	return -EINVAL;
}
