/* Bodies: no cut and no number of slices changes the answer, which is that of a slow decoder that sees all bytes at once. */
#include "tests/fuzz/fuzz.h"

#include "http/http.h"

struct outcome {
	enum http_result result;
	size_t           used;
	size_t           n;
	char             payload[4096];
};

/* The RFC's grammar without extensions and trailers, the whole input at hand. */
static void slow_chunked(const char *p, size_t n, struct outcome *o)
{
	size_t i = 0;

	memset(o, 0, sizeof(*o));
	for (;;) {
		unsigned long long size = 0;
		unsigned digits = 0;
		size_t take;

		for (; i < n && p[i] != '\r'; i++, digits++) {
			const char *hex = p[i] ? strchr("0123456789abcdef0123456789ABCDEF", p[i]) : NULL;

			o->result = HTTP_BAD;
			if (!hex || digits == 16 || size >> 58)
				return;
			size = size << 4 | (unsigned)((hex - "0123456789abcdef0123456789ABCDEF") & 15);
			o->result = HTTP_MORE;
		}
		o->result = HTTP_MORE;
		if (i == n)
			break;
		o->result = digits ? HTTP_MORE : HTTP_BAD;
		if (!digits || ++i == n)
			break;
		o->result = p[i] == '\n' ? HTTP_MORE : HTTP_BAD;
		if (p[i++] != '\n')
			break;
		take = n - i < size ? n - i : (size_t)size;
		memcpy(o->payload + o->n, p + i, take);
		o->n += take;
		i += take;
		if (take < size || i == n)
			break;
		o->result = p[i] == '\r' ? HTTP_MORE : HTTP_BAD;
		if (p[i++] != '\r' || i == n)
			break;
		o->result = p[i] == '\n' ? HTTP_MORE : HTTP_BAD;
		if (p[i++] != '\n')
			break;
		if (!size) {
			o->result = HTTP_DONE;
			break;
		}
	}
	o->used = i;
}

static void fast(enum http_framing framing, uint64_t length, const char *p, size_t n, size_t step, struct cuts *cuts, struct outcome *o)
{
	struct http_body body;
	struct http_fault fault;
	size_t at = 0;

	memset(o, 0, sizeof(*o));
	http_body_init(&body, framing, length);
	do {
		size_t piece = step ? cuts_below(cuts, step) + 1 : n, begin = at, end;
		char *copy;

		end = piece > n - at ? n : at + piece;
		copy = exact_copy(p + begin, end - begin);
		for (;;) {
			struct span out[3];
			unsigned n_out = step ? (unsigned)cuts_below(cuts, 4) : 3, room = n_out;
			size_t used = 0;

			o->result = http_body_feed(&body, copy + (at - begin), end - at, &used, out, &n_out, &fault);
			CHECK(n_out <= room && used <= end - at);
			for (unsigned i = 0; i < n_out; i++) {
				CHECK(out[i].p >= copy && out[i].p + out[i].n <= copy + (end - begin) && out[i].n);
				memcpy(o->payload + o->n, out[i].p, out[i].n);
				o->n += out[i].n;
			}
			at += used;
			if (o->result != HTTP_MORE || at == end)
				break;
			CHECK(used || !room || step);
		}
		free(copy);
	} while (o->result == HTTP_MORE && at < n);
	o->used = at;
	CHECK(http_body_done(&body) == (o->result == HTTP_DONE));
	if (o->result == HTTP_BAD) { /* refused once is refused for ever */
		size_t used;

		CHECK(http_body_feed(&body, "0\r\n\r\n", 5, &used, NULL, &(unsigned){0}, &fault) == HTTP_BAD && used == 0);
	}
}

static void same(const struct outcome *a, const struct outcome *b)
{
	CHECK(a->result == b->result);
	CHECK(a->n == b->n && memcmp(a->payload, b->payload, a->n) == 0);
	CHECK(a->result != HTTP_DONE || a->used == b->used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum http_framing KINDS[8] = {HTTP_BODY_CHUNKED, HTTP_BODY_CHUNKED, HTTP_BODY_CHUNKED, HTTP_BODY_CHUNKED,
						   HTTP_BODY_CHUNKED, HTTP_BODY_LENGTH,  HTTP_BODY_NONE,    HTTP_BODY_CLOSE};
	static struct outcome whole, cut, slow;
	enum http_framing framing;
	struct cuts cuts = {size * 7919 + 1};
	uint64_t length = 0;
	const char *p;

	if (size < 2 || size > sizeof(whole.payload))
		return 0;
	framing = KINDS[data[0] % 8];
	length = framing == HTTP_BODY_LENGTH ? data[1] : 0;
	p = (const char *)data + 2;
	size -= 2;
	fast(framing, length, p, size, 0, &cuts, &whole);
	fast(framing, length, p, size, 1, &cuts, &cut);
	same(&whole, &cut);
	fast(framing, length, p, size, 17, &cuts, &cut);
	same(&whole, &cut);
	if (framing == HTTP_BODY_CHUNKED) {
		slow_chunked(p, size, &slow);
		same(&whole, &slow);
	}
	return 0;
}
