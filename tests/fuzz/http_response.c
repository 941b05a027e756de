/* Response heads: no cut changes the answer, every fault is a 502, what was accepted is framed in one way only.
 *
 * clang -std=c17 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -D_GNU_SOURCE tests/fuzz/http_response.c \
 *	http/[a-z]*.c base/bug.c -o build/fuzz/http_response && build/fuzz/http_response -max_len=4096 tests/fuzz/corpus/http_response */
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
	if (whole == HTTP_DONE)
		sound(copy, size, request, &head);
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
