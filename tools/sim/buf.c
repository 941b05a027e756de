/* Growing bytes, Go's JSON spelling of strings and numbers, and a bump arena. */
#include "tools/sim/buf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void out_of_memory(void) __attribute__((noreturn, cold));

static void out_of_memory(void)
{
	fputs("ollama-sim: out of memory; give it more or simulate fewer streams\n", stderr);
	exit(1);
}

void *sim_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

char *sim_strdup(const char *text)
{
	char *p = strdup(text);

	if (!p)
		out_of_memory();
	return p;
}

void buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}

void buf_reserve(struct buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 256;
	char *p;

	if (b->cap - b->n >= more)
		return;
	while (cap - b->n < more)
		cap *= 2;
	p = realloc(b->p, cap);
	if (!p)
		out_of_memory();
	b->p = p;
	b->cap = cap;
}

void buf_put(struct buf *b, const char *p, size_t n)
{
	if (!n)
		return;
	buf_reserve(b, n);
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

void buf_text(struct buf *b, const char *text)
{
	buf_put(b, text, strlen(text));
}

void buf_span(struct buf *b, struct span s)
{
	buf_put(b, s.p, s.n);
}

void buf_i64(struct buf *b, int64_t v)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do {
		digits[--at] = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		digits[--at] = '-';
	buf_put(b, digits + at, sizeof(digits) - at);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	buf_reserve(b, 256);
	va_start(ap, fmt);
	n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= b->cap - b->n) {
		buf_reserve(b, (size_t)n + 1);
		va_start(ap, fmt);
		n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
		va_end(ap);
	}
	b->n += (size_t)n;
}

void buf_drop(struct buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void buf_reset(struct buf *b, size_t keep)
{
	if (b->cap > keep)
		buf_fini(b);
	b->n = 0;
}

struct span buf_view(const struct buf *b)
{
	return (struct span){b->p, b->n};
}

size_t utf8_len(const unsigned char *p, size_t n)
{
	size_t want = p[0] < 0x80                   ? 1
		      : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		      : (p[0] & 0xf0) == 0xe0       ? 3
		      : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						    : 0;
	uint32_t c;

	if (!want || want > n)
		return 0;
	for (size_t i = 1; i < want; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (want == 3) {
		c = (uint32_t)(p[0] & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (uint32_t)(p[2] & 63);
		return c < 0x800 || (c >= 0xd800 && c < 0xe000) ? 0 : 3;
	}
	if (want == 4) {
		c = (uint32_t)(p[0] & 7) << 18 | (uint32_t)(p[1] & 63) << 12;
		return c < 0x10000 || c > 0x10ffff ? 0 : 4;
	}
	return want;
}

static void json_escape(struct buf *b, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	const char *pair = c == '"'    ? "\\\""
			   : c == '\\' ? "\\\\"
			   : c == '\n' ? "\\n"
			   : c == '\r' ? "\\r"
			   : c == '\t' ? "\\t"
			   : c == '\b' ? "\\b"
			   : c == '\f' ? "\\f"
				       : NULL;
	char u[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	if (pair)
		buf_put(b, pair, 2);
	else
		buf_put(b, u, sizeof(u));
}

void buf_json(struct buf *b, struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t from = 0;
	size_t i = 0;

	buf_reserve(b, s.n + 2);
	buf_lit(b, "\"");
	while (i < s.n) {
		size_t len = 1;

		if (p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' && p[i] != '\\' && p[i] != '<' && p[i] != '>' && p[i] != '&') {
			i++;
			continue;
		}
		if (p[i] >= 0x80) {
			len = utf8_len(p + i, s.n - i);
			if (len && !(len == 3 && p[i] == 0xe2 && p[i + 1] == 0x80 && (p[i + 2] & 0xfe) == 0xa8)) {
				i += len;
				continue;
			}
		}
		buf_put(b, s.p + from, i - from);
		if (p[i] < 0x80)
			json_escape(b, p[i]);
		else if (len)
			buf_put(b, p[i + 2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
		else
			buf_lit(b, "\\ufffd");
		i += len ? len : 1;
		from = i;
	}
	buf_put(b, s.p + from, i - from);
	buf_lit(b, "\"");
}

void buf_json_text(struct buf *b, const char *text)
{
	buf_json(b, span_of(text));
}

/* Go turns 1e-09 into 1e-9. */
static void float_text(struct buf *b, char *text)
{
	char *e = strchr(text, 'e');

	if (e && (e[1] == '-' || e[1] == '+') && e[2] == '0' && e[3]) {
		char *from = e + 2;

		while (*from == '0' && from[1])
			from++;
		memmove(e + 2, from, strlen(from) + 1);
	}
	buf_text(b, text);
}

/* `digits` significant digits in Go's choice between plain and exponent form. */
static void float_format(char *text, size_t size, double v, int digits)
{
	double a = fabs(v);
	int places;

	if (a != 0 && (a < 1e-6 || a >= 1e21)) {
		snprintf(text, size, "%.*e", digits - 1, v);
		return;
	}
	places = a == 0 ? 0 : digits - 1 - (int)floor(log10(a));
	snprintf(text, size, "%.*f", places > 0 ? places : 0, v);
}

void buf_float32(struct buf *b, float v)
{
	char text[64];

	for (int digits = 7; digits <= 10; digits++) {
		float_format(text, sizeof(text), (double)v, digits);
		if (strtof(text, NULL) == v)
			break;
	}
	float_text(b, text);
}

void buf_float64(struct buf *b, double v)
{
	char text[64];

	for (int digits = 1; digits <= 18; digits++) {
		float_format(text, sizeof(text), v, digits);
		if (strtod(text, NULL) == v)
			break;
	}
	float_text(b, text);
}

/* --- arena ------------------------------------------------------------------------------------------------------------ */

#define ARENA_BLOCK 16384U

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t cap;
	_Alignas(16) char bytes[];
};

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *b = a->head;
	void *p;

	size = (size + 15) & ~(size_t)15;
	if (!b || b->cap - b->used < size) {
		size_t cap = size > ARENA_BLOCK ? size : ARENA_BLOCK;

		b = malloc(sizeof(*b) + cap);
		if (!b)
			out_of_memory();
		*b = (struct arena_block){.next = a->head, .cap = cap};
		a->head = b;
	}
	p = b->bytes + b->used;
	b->used += size;
	return p;
}

char *arena_copy(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return p;
}

void arena_reset(struct arena *a)
{
	struct arena_block *b = a->head;

	while (b && (b->next || b->cap > ARENA_BLOCK)) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
	a->head = b;
	if (b)
		b->used = 0;
}

void arena_fini(struct arena *a)
{
	arena_reset(a);
	free(a->head);
	a->head = NULL;
}
