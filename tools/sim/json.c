/* Go's encoding/json, reading side. */
#include "tools/sim/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define JSON_DEPTH 10000

struct reader {
	struct arena *arena;
	const char *at;
	const char *end;
	struct why *why;
	int depth;
};

static int value_read(struct reader *r, struct json *out);

/* The character as Go quotes it in its messages. */
static int bad_char(struct reader *r, const char *where)
{
	unsigned char c = (unsigned char)*r->at;
	char q[16];

	if (c == '\'')
		snprintf(q, sizeof(q), "\\'");
	else if (c == '\\')
		snprintf(q, sizeof(q), "\\\\");
	else if (c >= 0x20 && c < 0x7f)
		snprintf(q, sizeof(q), "%c", c);
	else if (c >= 7 && c <= 13)
		snprintf(q, sizeof(q), "\\%c", "abtnvfr"[c - 7]);
	else if (c < 0x80)
		snprintf(q, sizeof(q), "\\x%02x", c);
	else if (c < 0xa0 || c == 0xad)
		snprintf(q, sizeof(q), "\\u%04x", c);
	else
		snprintf(q, sizeof(q), "%c%c", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
	return why_set(r->why, -EINVAL, "invalid character '%s' %s", q, where);
}

static int ended(struct reader *r)
{
	return why_set(r->why, -EAGAIN, "unexpected EOF");
}

static void blanks_skip(struct reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

static int hex4(const char *p, unsigned *out)
{
	unsigned v = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];

		v = v << 4 | (unsigned)(c >= '0' && c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
	}
	*out = v;
	return 0;
}

static char *utf8_put(char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 63));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 63));
		*to++ = (char)(0x80 | (c & 63));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 63));
		*to++ = (char)(0x80 | (c >> 6 & 63));
		*to++ = (char)(0x80 | (c & 63));
	}
	return to;
}

/* Decode one \u escape (or a pair of them) at `p`, just behind the backslash.  Returns how many bytes it took. */
static size_t unicode_decode(const char *p, const char *end, char **to)
{
	unsigned c;
	unsigned low;

	hex4(p + 1, &c);
	if (c >= 0xd800 && c < 0xdc00 && end - p >= 11 && p[5] == '\\' && p[6] == 'u') {
		hex4(p + 7, &low);
		if (low >= 0xdc00 && low < 0xe000) {
			*to = utf8_put(*to, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
			return 11;
		}
	}
	*to = utf8_put(*to, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
	return 5;
}

/* `from` holds a checked string body with escapes or broken UTF-8. */
static struct span string_decode(struct arena *a, struct span from)
{
	static const char plain[] = "\"\\/bfnrt";
	static const char meant[] = "\"\\/\b\f\n\r\t";
	char *start = arena_alloc(a, 3 * from.n + 1); /* a broken byte becomes three */
	char *to = start;
	const char *p = from.p;
	const char *end = from.p + from.n;

	while (p < end) {
		if (*p != '\\') {
			size_t len = utf8_len((const unsigned char *)p, (size_t)(end - p));

			if (!len) {
				to = utf8_put(to, 0xfffd);
				p++;
				continue;
			}
			memcpy(to, p, len);
			to += len;
			p += len;
			continue;
		}
		p++;
		if (*p == 'u')
			p += unicode_decode(p, end, &to);
		else
			*to++ = meant[strchr(plain, *p++) - plain];
	}
	*to = 0;
	return (struct span){start, (size_t)(to - start)};
}

static int escape_check(struct reader *r)
{
	if (++r->at == r->end)
		return ended(r);
	if (*r->at != 'u')
		return strchr("\"\\/bfnrt", *r->at) && *r->at ? 0 : bad_char(r, "in string escape code");
	for (int i = 0; i < 4; i++) {
		if (++r->at == r->end)
			return ended(r);
		if (!strchr("0123456789abcdefABCDEF", *r->at) || !*r->at)
			return bad_char(r, "in \\u hexadecimal character escape");
	}
	return 0;
}

/* At the opening quote. */
static int string_read(struct reader *r, struct span *out)
{
	const char *from = ++r->at;
	bool special = false;
	int err;

	for (;; r->at++) {
		if (r->at == r->end)
			return ended(r);
		if (*r->at == '"')
			break;
		if (*r->at == '\\') {
			special = true;
			err = escape_check(r);
			if (err)
				return err;
		} else if ((unsigned char)*r->at < 0x20) {
			return bad_char(r, "in string literal");
		} else if (*r->at & 0x80 && !special) {
			special = !utf8_len((const unsigned char *)r->at, (size_t)(r->end - r->at));
			if (!special)
				r->at += utf8_len((const unsigned char *)r->at, (size_t)(r->end - r->at)) - 1;
		}
	}
	*out = (struct span){from, (size_t)(r->at - from)};
	r->at++;
	if (special)
		*out = string_decode(r->arena, *out);
	return 0;
}

static int digits_read(struct reader *r, const char *where)
{
	if (r->at == r->end)
		return ended(r);
	if (*r->at < '0' || *r->at > '9')
		return bad_char(r, where);
	while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
		r->at++;
	return 0;
}

static int number_read(struct reader *r, struct json *out)
{
	const char *from = r->at;
	int err = 0;

	if (*r->at == '-')
		r->at++;
	if (r->at < r->end && *r->at == '0')
		r->at++;
	else
		err = digits_read(r, "in numeric literal");
	if (!err && r->at < r->end && *r->at == '.') {
		r->at++;
		err = digits_read(r, "after decimal point in numeric literal");
	}
	if (!err && r->at < r->end && (*r->at | 32) == 'e') {
		r->at++;
		if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
			r->at++;
		err = digits_read(r, "in exponent of numeric literal");
	}
	out->type = JSON_NUMBER;
	out->text = (struct span){from, (size_t)(r->at - from)};
	return err;
}

static int word_read(struct reader *r, const char *word)
{
	char where[64];

	for (const char *w = word; *w; w++, r->at++) {
		if (r->at == r->end)
			return ended(r);
		if (*r->at != *w) {
			snprintf(where, sizeof(where), "in literal %s (expecting '%c')", word, *w);
			return bad_char(r, where);
		}
	}
	return 0;
}

static int array_read(struct reader *r, struct json *out)
{
	struct json **tail = &out->child;
	int err;

	out->type = JSON_ARRAY;
	r->at++;
	blanks_skip(r);
	if (r->at < r->end && *r->at == ']') {
		r->at++;
		return 0;
	}
	for (;;) {
		struct json *e = arena_alloc(r->arena, sizeof(*e));

		*e = (struct json){0};
		err = value_read(r, e);
		if (err)
			return err;
		*tail = e;
		tail = &e->next;
		blanks_skip(r);
		if (r->at == r->end)
			return ended(r);
		if (*r->at == ']') {
			r->at++;
			return 0;
		}
		if (*r->at != ',')
			return bad_char(r, "after array element");
		r->at++;
	}
}

static int member_read(struct reader *r, struct json *m)
{
	int err;

	blanks_skip(r);
	if (r->at == r->end)
		return ended(r);
	if (*r->at != '"')
		return bad_char(r, "looking for beginning of object key string");
	err = string_read(r, &m->key);
	if (err)
		return err;
	blanks_skip(r);
	if (r->at == r->end)
		return ended(r);
	if (*r->at != ':')
		return bad_char(r, "after object key");
	r->at++;
	return value_read(r, m);
}

static int object_read(struct reader *r, struct json *out)
{
	struct json **tail = &out->child;
	int err;

	out->type = JSON_OBJECT;
	r->at++;
	blanks_skip(r);
	if (r->at < r->end && *r->at == '}') {
		r->at++;
		return 0;
	}
	for (;;) {
		struct json *m = arena_alloc(r->arena, sizeof(*m));

		*m = (struct json){0};
		err = member_read(r, m);
		if (err)
			return err;
		*tail = m;
		tail = &m->next;
		blanks_skip(r);
		if (r->at == r->end)
			return ended(r);
		if (*r->at == '}') {
			r->at++;
			return 0;
		}
		if (*r->at != ',')
			return bad_char(r, "after object key:value pair");
		r->at++;
	}
}

static int nested_read(struct reader *r, struct json *out)
{
	int err;

	if (r->depth == JSON_DEPTH)
		return bad_char(r, "exceeded max depth");
	r->depth++;
	err = *r->at == '{' ? object_read(r, out) : array_read(r, out);
	r->depth--;
	return err;
}

static int value_read(struct reader *r, struct json *out)
{
	const char *from;
	int err;

	blanks_skip(r);
	if (r->at == r->end)
		return ended(r);
	from = r->at;
	switch (*r->at) {
	case '{':
	case '[':
		err = nested_read(r, out);
		break;
	case '"':
		out->type = JSON_STRING;
		err = string_read(r, &out->text);
		break;
	case 't':
	case 'f':
		out->type = JSON_BOOL;
		out->yes = *r->at == 't';
		err = word_read(r, out->yes ? "true" : "false");
		break;
	case 'n':
		out->type = JSON_NULL;
		err = word_read(r, "null");
		break;
	default:
		if (*r->at != '-' && (*r->at < '0' || *r->at > '9'))
			return bad_char(r, "looking for beginning of value");
		err = number_read(r, out);
	}
	out->raw = (struct span){from, (size_t)(r->at - from)};
	return err;
}

int json_parse(struct arena *a, struct span text, struct json **out, struct why *why)
{
	struct reader r = {.arena = a, .at = text.p, .end = text.p + text.n, .why = why};
	struct json *j;
	int err;

	blanks_skip(&r);
	if (r.at == r.end)
		return why_set(why, -ENODATA, "EOF");
	j = arena_alloc(a, sizeof(*j));
	*j = (struct json){0};
	err = value_read(&r, j);
	if (!err)
		*out = j;
	return err;
}

bool json_edge_feed(struct json_edge *e, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = p[i];

		if (e->in_string) {
			if (e->escaped)
				e->escaped = false;
			else if (c == '\\')
				e->escaped = true;
			else if (c == '"')
				e->in_string = false;
		} else if (c == '"') {
			e->in_string = true;
		} else if (c == '{' || c == '[') {
			e->depth++;
			e->begun = true;
		} else if (c == '}' || c == ']') {
			if (e->depth && --e->depth == 0 && e->begun)
				return true;
		}
	}
	return false;
}

bool json_key_is(struct span key, const char *name)
{
	size_t n = strlen(name);
	size_t i = 0;

	if (key.n == n)
		return strncasecmp(key.p, name, n) == 0;
	if (key.n < n)
		return false;
	for (; *name; name++) {
		const unsigned char *k = (const unsigned char *)key.p + i;
		size_t left = key.n - i;

		if (left >= 2 && *name == 's' && k[0] == 0xc5 && k[1] == 0xbf)
			i += 2;
		else if (left >= 3 && *name == 'k' && k[0] == 0xe2 && k[1] == 0x84 && k[2] == 0xaa)
			i += 3;
		else if (left && (k[0] >= 'A' && k[0] <= 'Z' ? k[0] + 32 : k[0]) == (unsigned char)*name)
			i++;
		else
			return false;
	}
	return i == key.n;
}

const struct json *json_get(const struct json *object, const char *name)
{
	const struct json *found = NULL;

	if (!object || object->type != JSON_OBJECT)
		return NULL;
	for (const struct json *m = object->child; m; m = m->next)
		if (m->type != JSON_NULL && json_key_is(m->key, name))
			found = m;
	return found;
}

struct span json_get_text(const struct json *object, const char *name)
{
	const struct json *j = json_get(object, name);

	return j && j->type == JSON_STRING ? j->text : (struct span){"", 0};
}

bool json_get_bool(const struct json *object, const char *name, bool otherwise)
{
	const struct json *j = json_get(object, name);

	return j && j->type == JSON_BOOL ? j->yes : otherwise;
}

double json_number(const struct json *j)
{
	char text[64];

	if (!j || j->type != JSON_NUMBER)
		return 0;
	if (!span_copy(text, sizeof(text), j->text))
		return 0;
	return strtod(text, NULL);
}

int64_t json_get_i64(const struct json *object, const char *name, int64_t otherwise)
{
	const struct json *j = json_get(object, name);
	double v = json_number(j);

	if (!j || j->type != JSON_NUMBER)
		return otherwise;
	if (v >= 9.2e18 || v <= -9.2e18)
		return INT64_MIN; /* what a Go conversion of an out-of-range float gives on amd64 */
	return (int64_t)v;
}

size_t json_count(const struct json *array)
{
	size_t n = 0;

	if (array && (array->type == JSON_ARRAY || array->type == JSON_OBJECT))
		for (const struct json *e = array->child; e; e = e->next)
			n++;
	return n;
}

const char *json_type_name(enum json_type type)
{
	static const char *const names[] = {"null", "bool", "number", "string", "array", "object"};

	return names[type];
}

static int member_compare(const void *a, const void *b)
{
	const struct json *x = *(const struct json *const *)a;
	const struct json *y = *(const struct json *const *)b;
	size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
	int c = memcmp(x->key.p, y->key.p, n);

	return c ? c : (x->key.n > y->key.n) - (x->key.n < y->key.n);
}

static void members_write(struct buf *out, const struct json *j, bool sorted)
{
	size_t n = json_count(j);
	const struct json **all = sim_alloc(n * sizeof(*all));
	size_t i = 0;

	for (const struct json *m = j->child; m; m = m->next)
		all[i++] = m;
	if (sorted)
		qsort(all, n, sizeof(*all), member_compare);
	for (i = 0; i < n; i++) {
		if (i)
			buf_lit(out, ",");
		buf_json(out, all[i]->key);
		buf_lit(out, ":");
		json_write(out, all[i], sorted);
	}
	free(all);
}

void json_write(struct buf *out, const struct json *j, bool sorted)
{
	switch (j->type) {
	case JSON_NULL:
		buf_lit(out, "null");
		break;
	case JSON_BOOL:
		buf_text(out, j->yes ? "true" : "false");
		break;
	case JSON_NUMBER:
		buf_span(out, j->text);
		break;
	case JSON_STRING:
		buf_json(out, j->text);
		break;
	case JSON_ARRAY:
		buf_lit(out, "[");
		for (const struct json *e = j->child; e; e = e->next) {
			if (e != j->child)
				buf_lit(out, ",");
			json_write(out, e, sorted);
		}
		buf_lit(out, "]");
		break;
	case JSON_OBJECT:
		buf_lit(out, "{");
		members_write(out, j, sorted);
		buf_lit(out, "}");
		break;
	}
}
