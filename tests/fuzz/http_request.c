/* Request heads: no cut changes the answer, what was accepted is sound, and written down again it reads the same. */
#include "tests/fuzz/fuzz.h"

#include "http/http.h"

static const struct http_limits LIMITS = {2048, 16};

static enum http_result parse(const char *p, size_t n, size_t seen, struct http_head *head, struct http_fault *fault)
{
	return http_request_parse(p, n, seen, &LIMITS, head, fault);
}

static void inside(const char *p, size_t n, struct span s)
{
	CHECK(!s.n || (s.p >= p && s.p + s.n <= p + n) || (s.n == 1 && *s.p == '/'));
}

static void sound(const char *p, size_t n, const struct http_head *head)
{
	unsigned lengths = 0, codings = 0, hosts = 0;

	CHECK(head->head_bytes <= n && head->head_bytes <= LIMITS.head_bytes && head->n_headers <= LIMITS.headers_max);
	CHECK(memcmp(p + head->head_bytes - 4, "\r\n\r\n", 4) == 0);
	CHECK(!memchr(p, 0, head->head_bytes));
	inside(p, head->head_bytes, head->target);
	inside(p, head->head_bytes, head->path);
	inside(p, head->head_bytes, head->query);
	inside(p, head->head_bytes, head->host);
	for (size_t i = 0; i < head->target.n; i++)
		CHECK(head->target.p[i] > ' ' && head->target.p[i] < 0x7f && head->target.p[i] != '#');
	for (unsigned i = 0; i < head->n_headers; i++) {
		const struct http_header *h = &head->headers[i];

		CHECK(h->name.n);
		for (size_t j = 0; j < h->name.n; j++)
			CHECK(h->name.p[j] > ' ' && h->name.p[j] < 0x7f && h->name.p[j] != ':');
		for (size_t j = 0; j < h->value.n; j++)
			CHECK((unsigned char)h->value.p[j] >= ' ' || h->value.p[j] == '\t');
		lengths += span_caseeq(h->name, SPAN_LIT("content-length"));
		codings += span_caseeq(h->name, SPAN_LIT("transfer-encoding"));
		hosts += span_caseeq(h->name, SPAN_LIT("host"));
		CHECK(span_caseeq(h->name, SPAN_LIT("host")) == (h->id == HTTP_H_HOST));
		CHECK(span_caseeq(h->name, SPAN_LIT("content-length")) == (h->id == HTTP_H_CONTENT_LENGTH));
		CHECK(span_caseeq(h->name, SPAN_LIT("transfer-encoding")) == (h->id == HTTP_H_TRANSFER_ENCODING));
	}
	CHECK(lengths + codings <= 1 && hosts <= 1 && (hosts == 1 || head->minor == 0));
	CHECK((head->framing == HTTP_BODY_LENGTH) == (lengths == 1));
	CHECK((head->framing == HTTP_BODY_CHUNKED) == (codings == 1));
	CHECK(!codings || head->minor == 1);
}

static void round_trip(const struct http_head *head)
{
	static struct http_head again;
	static char buf[8192];
	struct http_out o = {buf, sizeof(buf), 0, false};
	struct http_fault fault;

	http_out_bytes(&o, head->method_text.p, head->method_text.n);
	http_out_text(&o, " ");
	http_out_bytes(&o, head->target.p, head->target.n);
	http_out_text(&o, head->minor ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
	for (unsigned i = 0; i < head->n_headers; i++) {
		char name[2048];

		CHECK(span_copy(name, sizeof(name), head->headers[i].name));
		http_out_header(&o, name, head->headers[i].value);
	}
	http_out_text(&o, "\r\n");
	CHECK(!o.overflow);
	CHECK(http_request_parse(buf, o.len, 0, &(struct http_limits){sizeof(buf), LIMITS.headers_max}, &again, &fault) == HTTP_DONE);
	CHECK(again.method == head->method && again.framing == head->framing && again.content_length == head->content_length);
	CHECK(again.keep_alive == head->keep_alive && again.expect_continue == head->expect_continue && again.minor == head->minor);
	CHECK(span_eq(again.path, head->path) && span_eq(again.query, head->query) && span_eq(again.host, head->host));
	CHECK(again.n_headers == head->n_headers && again.head_bytes == o.len);
	for (unsigned i = 0; i < head->n_headers; i++)
		CHECK(again.headers[i].id == head->headers[i].id && span_eq(again.headers[i].value, head->headers[i].value));
	for (unsigned id = 1; id < HTTP_H_COUNT; id++)
		CHECK(span_eq(http_header_get(&again, id), http_header_get(head, id)));
	CHECK(!http_header_has_token(head, HTTP_H_CONNECTION, "close") || !head->keep_alive);
	CHECK(http_header_find(head, "host").p == http_header_get(head, HTTP_H_HOST).p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head head, part;
	struct http_fault fault = {0, NULL}, part_fault;
	struct cuts cuts = {size};
	enum http_result whole;
	char *copy = exact_copy((const char *)data, size);
	size_t seen = 0;

	whole = parse(copy, size, 0, &head, &fault);
	if (whole == HTTP_DONE) {
		sound(copy, size, &head);
		round_trip(&head);
	}
	for (;;) {
		size_t have = seen + (size & 1 ? 1 : cuts_below(&cuts, 40));
		enum http_result r;
		char *cut;

		have = have > size ? size : have;
		cut = exact_copy(copy, have);
		r = parse(cut, have, seen, &part, &part_fault);
		free(cut);
		if (r == HTTP_MORE && have < size) {
			seen = have;
			continue;
		}
		CHECK(r == whole);
		CHECK(r != HTTP_BAD || (part_fault.status == fault.status && part_fault.reason == fault.reason));
		CHECK(r != HTTP_DONE || (part.head_bytes == head.head_bytes && part.n_headers == head.n_headers));
		break;
	}
	free(copy);
	return 0;
}
