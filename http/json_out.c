#include "http/json_out.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "http/bytes.h"

static void put(struct json_out *o, const char *p, size_t n)
{
	size_t cap = o->cap ? o->cap : 1024;
	char *grown;

	if (o->failed || !n)
		return;
	while (cap - o->n < n)
		cap *= 2;
	if (cap != o->cap) {
		grown = realloc(o->p, cap);
		if (!grown) {
			o->failed = true;
			return;
		}
		o->p = grown;
		o->cap = cap;
	}
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

static void put_text(struct json_out *o, const char *text)
{
	put(o, text, strlen(text));
}

static void begin_value(struct json_out *o, const char *key)
{
	if (o->depth && o->more[o->depth - 1])
		put(o, ",", 1);
	if (o->depth)
		o->more[o->depth - 1] = true;
	if (!key)
		return;
	put(o, "\"", 1);
	put_text(o, key);
	put(o, "\":", 2);
}

static void nest(struct json_out *o, const char *key, const char *open, char close)
{
	begin_value(o, key);
	BUG_ON(o->depth == JSON_OUT_DEPTH);
	o->close[o->depth] = close;
	o->more[o->depth++] = false;
	put_text(o, open);
}

void json_out_object(struct json_out *o, const char *key)
{
	nest(o, key, "{", '}');
}

void json_out_array(struct json_out *o, const char *key)
{
	nest(o, key, "[", ']');
}

void json_out_end(struct json_out *o)
{
	BUG_ON(!o->depth);
	put(o, &o->close[--o->depth], 1);
}

/* The escape of an ASCII byte, or NULL: it stands for itself. */
static const char *escape_of(unsigned char c, char buf[8])
{
	static const char FROM[] = "\"\\\n\r\t\b\f", TO[] = "\"\\nrtbf";
	const char *at = c ? strchr(FROM, c) : NULL;

	if (at)
		snprintf(buf, 8, "\\%c", TO[at - FROM]);
	else if (c < 0x20)
		snprintf(buf, 8, "\\u%04x", c);
	else
		return NULL;
	return buf;
}

static void put_quoted(struct json_out *o, struct span text)
{
	char buf[8];
	size_t from = 0, at = 0;

	put(o, "\"", 1);
	while (at < text.n) {
		unsigned n = byte_utf8(text.p + at, text.n - at);
		const char *escape = n == 0 ? "\xef\xbf\xbd" : n == 1 ? escape_of((unsigned char)text.p[at], buf) : NULL;

		if (escape) {
			put(o, text.p + from, at - from);
			put_text(o, escape);
			from = at + 1;
		}
		at += n ? n : 1;
	}
	put(o, text.p + from, at - from);
	put(o, "\"", 1);
}

void json_out_span(struct json_out *o, const char *key, struct span text)
{
	begin_value(o, key);
	put_quoted(o, text);
}

void json_out_object_named(struct json_out *o, struct span key)
{
	begin_value(o, NULL);
	put_quoted(o, key);
	put(o, ":", 1);
	o->more[o->depth - 1] = false;
	json_out_object(o, NULL);
	o->more[o->depth - 2] = true;
}

void json_out_text(struct json_out *o, const char *key, const char *text)
{
	if (text)
		json_out_span(o, key, span_of(text));
	else
		json_out_null(o, key);
}

void json_out_format(struct json_out *o, const char *key, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_out_text(o, key, text);
}

void json_out_uint(struct json_out *o, const char *key, uint64_t v)
{
	char text[24];

	begin_value(o, key);
	put(o, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, v));
}

void json_out_fixed(struct json_out *o, const char *key, double v, int decimals)
{
	char text[512];

	if (!isfinite(v)) {
		json_out_null(o, key);
		return;
	}
	begin_value(o, key);
	put(o, text, (size_t)snprintf(text, sizeof(text), "%.*f", decimals, v));
}

void json_out_bool(struct json_out *o, const char *key, bool v)
{
	begin_value(o, key);
	put_text(o, v ? "true" : "false");
}

void json_out_null(struct json_out *o, const char *key)
{
	begin_value(o, key);
	put_text(o, "null");
}

void json_out_raw(struct json_out *o, const char *key, struct span json)
{
	begin_value(o, key);
	put(o, json.p, json.n);
}

void json_out_finish(struct json_out *o)
{
	put(o, "", 1);
	o->n -= !o->failed;
}

void json_out_free(struct json_out *o)
{
	free(o->p);
	*o = (struct json_out){0};
}
