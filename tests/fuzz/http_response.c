/* Response heads: no cut changes the answer, every fault is a 502, what was accepted is framed in one way only. */
#include "tests/fuzz/fuzz.h"

#include "http/http.h"

static const struct http_limits LIMITS = {2048, 16};

static void sound(const char *p, size_t n, enum http_method request, const struct http_head *head)
{
	unsigned lengths = 0, codings = 0;
	bool bodyless = head->status < 200 || head->status == 204 || head->status == 304 || request == HTTP_HEAD;

	CHECK(head->head_bytes <= n && head->head_bytes <= LIMITS.head_bytes && head->n_headers <= LIMITS.headers_max);
	CHECK(memcmp(p + head->head_bytes - 4, "\r\n\r\n", 4) == 0);
	CHECK(!memchr(p, 0, head->head_bytes));
	CHECK(head->status >= 100 && head->status <= 999 && head->status != 101);
	for (unsigned i = 0; i < head->n_headers; i++) {
		lengths += span_caseeq(head->headers[i].name, SPAN_LIT("content-length"));
		codings += span_caseeq(head->headers[i].name, SPAN_LIT("transfer-encoding"));
	}
	CHECK(lengths + codings <= 1);
	CHECK(!codings || head->minor == 1);
	if (bodyless)
		CHECK(head->framing == HTTP_BODY_NONE);
	else
		CHECK(head->framing == (codings ? HTTP_BODY_CHUNKED : lengths ? HTTP_BODY_LENGTH : HTTP_BODY_CLOSE));
	CHECK(head->framing != HTTP_BODY_CLOSE || !head->keep_alive);
}

/* Written down again it reads the same. */
static void round_trip(enum http_method request, const struct http_head *head)
{
	static struct http_head again;
	static char buf[8192];
	struct http_out o = {buf, sizeof(buf), 0, false};
	struct http_fault fault;

	http_out_text(&o, head->minor ? "HTTP/1.1 " : "HTTP/1.0 ");
	http_out_num(&o, head->status);
	http_out_text(&o, " ");
	http_out_bytes(&o, head->reason.p, head->reason.n);
	http_out_text(&o, "\r\n");
	for (unsigned i = 0; i < head->n_headers; i++) {
		char name[2048];

		CHECK(span_copy(name, sizeof(name), head->headers[i].name));
		http_out_header(&o, name, head->headers[i].value);
		CHECK(http_header_find(head, name).p);
	}
	http_out_text(&o, "\r\n");
	CHECK(!o.overflow);
	CHECK(http_response_parse(buf, o.len, 0, &(struct http_limits){sizeof(buf), LIMITS.headers_max}, request, &again, &fault) ==
	      HTTP_DONE);
	CHECK(again.status == head->status && again.framing == head->framing && again.content_length == head->content_length);
	CHECK(again.keep_alive == head->keep_alive && again.minor == head->minor && span_eq(again.reason, head->reason));
	CHECK(again.n_headers == head->n_headers && again.head_bytes == o.len);
	for (unsigned i = 0; i < head->n_headers; i++)
		CHECK(again.headers[i].id == head->headers[i].id && span_eq(again.headers[i].value, head->headers[i].value));
	for (unsigned id = 1; id < HTTP_H_COUNT; id++)
		CHECK(span_eq(http_header_get(&again, id), http_header_get(head, id)));
	CHECK(http_header_has_token(head, HTTP_H_CONNECTION, "close") == http_header_has_token(&again, HTTP_H_CONNECTION, "close"));
	CHECK(!http_header_has_token(head, HTTP_H_CONNECTION, "close") || !head->keep_alive);
	CHECK(http_header_find(head, "x y").p == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head head, part;
	struct http_fault fault = {0, NULL}, part_fault;
	enum http_method request;
	enum http_result whole;
	struct cuts cuts = {size};
	size_t seen = 0;
	char *copy;

	if (!size)
		return 0;
	request = data[0] & 1 ? HTTP_HEAD : HTTP_POST;
	copy = exact_copy((const char *)++data, --size);
	whole = http_response_parse(copy, size, 0, &LIMITS, request, &head, &fault);
	CHECK(whole != HTTP_BAD || fault.status == 502);
	if (whole == HTTP_DONE) {
		sound(copy, size, request, &head);
		round_trip(request, &head);
	}
	for (;;) {
		size_t have = seen + (size & 1 ? 1 : cuts_below(&cuts, 40));
		enum http_result r;
		char *cut;

		have = have > size ? size : have;
		cut = exact_copy(copy, have);
		r = http_response_parse(cut, have, seen, &LIMITS, request, &part, &part_fault);
		free(cut);
		if (r == HTTP_MORE && have < size) {
			seen = have;
			continue;
		}
		CHECK(r == whole);
		CHECK(r != HTTP_BAD || part_fault.reason == fault.reason);
		CHECK(r != HTTP_DONE || (part.head_bytes == head.head_bytes && part.framing == head.framing));
		break;
	}
	free(copy);
	return 0;
}
