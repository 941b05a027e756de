/* tests/fuzz/slow_json.h - JSON by the book: recursive, a byte at a time, written without a look at http/view.c, so that the two
 * can check each other. */
#pragma once

#include <stdbool.h>

#include "tests/fuzz/fuzz.h"

#define SLOW_KEY_MAX     64
#define SLOW_MEMBERS_MAX 256

/* A member of the outermost object. */
struct slow_member {
	unsigned    key[SLOW_KEY_MAX]; /* code points, escapes resolved; what is no character counts as 0xfffd */
	unsigned    key_n;             /* one more than SLOW_KEY_MAX: too long to be of interest */
	const char *raw;
	size_t      raw_n;
};

struct slow_json {
	const char        *p;
	const char        *end;
	unsigned           depth_max;
	unsigned           n;
	struct slow_member members[SLOW_MEMBERS_MAX];
};

static inline bool slow_value(struct slow_json *s, unsigned depth);

static inline int slow_peek(const struct slow_json *s)
{
	return s->p < s->end ? (unsigned char)*s->p : -1;
}

static inline void slow_blanks(struct slow_json *s)
{
	while (slow_peek(s) == ' ' || slow_peek(s) == '\t' || slow_peek(s) == '\r' || slow_peek(s) == '\n')
		s->p++;
}

static inline bool slow_take(struct slow_json *s, int c)
{
	if (slow_peek(s) != c)
		return false;
	s->p++;
	return true;
}

static inline void slow_point(struct slow_member *m, unsigned code)
{
	if (m && m->key_n < SLOW_KEY_MAX)
		m->key[m->key_n++] = code;
	else if (m)
		m->key_n = SLOW_KEY_MAX + 1;
}

static inline bool slow_hex4(struct slow_json *s, unsigned *code)
{
	*code = 0;
	for (int i = 0; i < 4; i++) {
		int c = slow_peek(s);

		if (c >= '0' && c <= '9')
			*code = *code * 16 + (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			*code = *code * 16 + (unsigned)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			*code = *code * 16 + (unsigned)(c - 'A' + 10);
		else
			return false;
		s->p++;
	}
	return true;
}

/* One character of UTF-8; 0xfffd where it is none. */
static inline unsigned slow_utf8(struct slow_json *s)
{
	static const unsigned LEAST[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned c = (unsigned char)*s->p++, need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1, code = c;

	if (c < 0x80)
		return c;
	if (need == 1 || c >= 0xf8)
		return 0xfffd;
	code = c & (0xffu >> (need + 1));
	for (unsigned i = 1; i < need; i++) {
		if (s->p + i - 1 >= s->end || ((unsigned char)s->p[i - 1] & 0xc0) != 0x80)
			return 0xfffd;
		code = code << 6 | ((unsigned char)s->p[i - 1] & 0x3f);
	}
	if (code < LEAST[need] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0xfffd;
	s->p += need - 1;
	return code;
}

static inline bool slow_string(struct slow_json *s, struct slow_member *m)
{
	if (!slow_take(s, '"'))
		return false;
	for (;;) {
		int c = slow_peek(s);
		unsigned code;

		if (c < 0x20)
			return false;
		if (c == '"') {
			s->p++;
			return true;
		}
		if (c != '\\') {
			slow_point(m, slow_utf8(s));
			continue;
		}
		s->p++;
		c = slow_peek(s);
		if (c < 0 || !strchr("\"\\/bfnrtu", c) || !c)
			return false;
		s->p++;
		if (c == 'u') {
			if (!slow_hex4(s, &code))
				return false;
			slow_point(m, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
		} else {
			slow_point(m, strchr("\"\\/", c) ? (unsigned)c : 1);
		}
	}
}

static inline bool slow_digits(struct slow_json *s)
{
	bool any = false;

	while (slow_peek(s) >= '0' && slow_peek(s) <= '9') {
		s->p++;
		any = true;
	}
	return any;
}

static inline bool slow_number(struct slow_json *s)
{
	slow_take(s, '-');
	if (!slow_take(s, '0') && !slow_digits(s))
		return false;
	if (slow_take(s, '.') && !slow_digits(s))
		return false;
	if (slow_take(s, 'e') || slow_take(s, 'E')) {
		if (!slow_take(s, '+'))
			slow_take(s, '-');
		return slow_digits(s);
	}
	return true;
}

static inline bool slow_word(struct slow_json *s, const char *word)
{
	for (; *word; word++)
		if (!slow_take(s, *word))
			return false;
	return true;
}

static inline bool slow_list(struct slow_json *s, unsigned depth, bool object)
{
	int close = object ? '}' : ']';

	if (depth > s->depth_max)
		return false;
	s->p++;
	slow_blanks(s);
	if (slow_take(s, close))
		return true;
	do {
		struct slow_member *m = object && depth == 1 && s->n < SLOW_MEMBERS_MAX ? &s->members[s->n++] : NULL;

		slow_blanks(s);
		if (m)
			m->key_n = 0;
		if (object) {
			if (!slow_string(s, m))
				return false;
			slow_blanks(s);
			if (!slow_take(s, ':'))
				return false;
			slow_blanks(s);
		}
		if (m)
			m->raw = s->p;
		if (!slow_value(s, depth))
			return false;
		if (m)
			m->raw_n = (size_t)(s->p - m->raw);
		slow_blanks(s);
	} while (slow_take(s, ','));
	return slow_take(s, close);
}

static inline bool slow_value(struct slow_json *s, unsigned depth)
{
	switch (slow_peek(s)) {
	case '{':
		return slow_list(s, depth + 1, true);
	case '[':
		return slow_list(s, depth + 1, false);
	case '"':
		return slow_string(s, NULL);
	case 't':
		return slow_word(s, "true");
	case 'f':
		return slow_word(s, "false");
	case 'n':
		return slow_word(s, "null");
	default:
		return slow_number(s);
	}
}

/* One object and nothing but blanks around it. */
static inline bool slow_object(struct slow_json *s, const char *p, size_t n, unsigned depth_max)
{
	s->p = p;
	s->end = p + n;
	s->depth_max = depth_max;
	s->n = 0;
	slow_blanks(s);
	if (slow_peek(s) != '{' || !slow_value(s, 0))
		return false;
	slow_blanks(s);
	return s->p == s->end;
}

/* The key as Go folds it: ASCII case, long s, Kelvin. */
static inline bool slow_key_folds(const struct slow_member *m, const char *name)
{
	unsigned n = (unsigned)strlen(name);

	if (m->key_n != n)
		return false;
	for (unsigned i = 0; i < n; i++) {
		unsigned c = m->key[i] == 0x17f ? 's' : m->key[i] == 0x212a ? 'k' : m->key[i];

		c = c >= 'A' && c <= 'Z' ? c + 32 : c;
		if (c != (unsigned char)name[i])
			return false;
	}
	return true;
}

static inline bool slow_key_is(const struct slow_member *m, const char *name)
{
	unsigned n = (unsigned)strlen(name);

	for (unsigned i = 0; i < n && m->key_n == n; i++)
		if (m->key[i] != (unsigned char)name[i])
			return false;
	return m->key_n == n;
}
