/* Response heads: one row per rule, each fed whole, at every cut and byte by byte with the same result.  Every fault is a 502. */
#include "tests/unit/http_table.h"

#include "http/http.h"

#define OK "HTTP/1.1 200 OK\r\n"

struct row {
	const char      *name;
	struct span      raw;
	enum http_method request;
	const char      *facts; /* of what was accepted; NULL where it is refused */
};

static const struct http_limits LIMITS = {512, 8};

struct outcome {
	enum http_result  result;
	struct http_fault fault;
	size_t            head_bytes;
	char              facts[128];
};

static void parse(const char *p, size_t n, size_t seen, enum http_method request, struct outcome *o)
{
	static const char *const FRAMINGS[] = {"none", "length", "chunked", "close"};
	static struct http_head head;
	char *copy = exact_copy(p, n);

	memset(o, 0, sizeof(*o));
	memset(&head, 0x5a, sizeof(head));
	o->result = http_response_parse(copy, n, seen, &LIMITS, request, &head, &o->fault);
	if (o->result == HTTP_DONE) {
		o->head_bytes = head.head_bytes;
		snprintf(o->facts, sizeof(o->facts), "1.%u %u '%.*s' %s %llu %s", head.minor, head.status, SPAN_ARG(head.reason),
			 FRAMINGS[head.framing], (unsigned long long)head.content_length, head.keep_alive ? "keep" : "close");
	}
	free(copy);
}

static void same(const struct outcome *a, const struct outcome *b)
{
	assert_int_equal(a->result, b->result);
	assert_int_equal(a->fault.status, b->fault.status);
	assert_ptr_equal(a->fault.reason, b->fault.reason);
	assert_int_equal(a->head_bytes, b->head_bytes);
	assert_string_equal(a->facts, b->facts);
}

static void test_row(void **state)
{
	const struct row *row = *state;
	struct outcome whole, part, step = {.result = HTTP_MORE};

	parse(row->raw.p, row->raw.n, 0, row->request, &whole);
	if (row->facts) {
		assert_int_equal(whole.result, HTTP_DONE);
		assert_string_equal(whole.facts, row->facts);
	} else {
		assert_int_equal(whole.result, HTTP_BAD);
		assert_int_equal(whole.fault.status, 502);
		assert_non_null(whole.fault.reason);
	}
	for (size_t cut = 0; cut <= row->raw.n; cut++) {
		parse(row->raw.p, cut, 0, row->request, &part);
		if (part.result == HTTP_MORE)
			parse(row->raw.p, row->raw.n, cut, row->request, &part);
		same(&whole, &part);
	}
	for (size_t n = 0; n <= row->raw.n && step.result == HTTP_MORE; n++)
		parse(row->raw.p, n, n ? n - 1 : 0, row->request, &step);
	same(&whole, &step);
}

static struct row ROWS[] = {
	{"length", RAW(OK "Content-Length: 5\r\n\r\nhello"), HTTP_POST, "1.1 200 'OK' length 5 keep"},
	{"chunked", RAW(OK "Transfer-Encoding: chunked\r\n\r\n"), HTTP_POST, "1.1 200 'OK' chunked 0 keep"},
	{"until close", RAW(OK "\r\n"), HTTP_GET, "1.1 200 'OK' close 0 close"},
	{"1.0 until close", RAW("HTTP/1.0 200 OK\r\n\r\n"), HTTP_GET, "1.0 200 'OK' close 0 close"},
	{"1.0 with a length closes", RAW("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n"), HTTP_GET, "1.0 200 'OK' length 1 close"},
	{"1.0 kept alive", RAW("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n"), HTTP_GET, "1.0 200 'OK' length 1 keep"},
	{"1.1 closed", RAW(OK "Connection: close\r\nContent-Length: 1\r\n\r\n"), HTTP_GET, "1.1 200 'OK' length 1 close"},
	{"no reason", RAW("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), HTTP_GET, "1.1 200 '' length 0 keep"},
	{"reason in words and beyond ASCII", RAW("HTTP/1.1 499 status code 499\xc3\xa9\r\nContent-Length: 0\r\n\r\n"), HTTP_GET,
	 "1.1 499 'status code 499\xc3\xa9' length 0 keep"},
	{"100", RAW("HTTP/1.1 100 Continue\r\n\r\n"), HTTP_POST, "1.1 100 'Continue' none 0 keep"},
	{"103 with headers", RAW("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), HTTP_POST, "1.1 103 'Early Hints' none 0 keep"},
	{"204", RAW("HTTP/1.1 204 No Content\r\n\r\n"), HTTP_GET, "1.1 204 'No Content' none 0 keep"},
	{"204 with length 0", RAW("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"), HTTP_GET, "1.1 204 'No Content' none 0 keep"},
	{"304 with a length has no body", RAW("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), HTTP_GET,
	 "1.1 304 'Not Modified' none 9 keep"},
	{"HEAD with a length has no body", RAW(OK "Content-Length: 9\r\n\r\n"), HTTP_HEAD, "1.1 200 'OK' none 9 keep"},
	{"HEAD chunked has no body", RAW(OK "Transfer-Encoding: chunked\r\n\r\n"), HTTP_HEAD, "1.1 200 'OK' none 0 keep"},
	{"HEAD without framing", RAW(OK "\r\n"), HTTP_HEAD, "1.1 200 'OK' none 0 keep"},
	{"no Host is asked for, and any value will do", RAW(OK "Host: a/b\r\nContent-Length: 0\r\n\r\n"), HTTP_GET, "1.1 200 'OK' length 0 keep"},

	{"two lengths", RAW(OK "Content-Length: 4\r\nContent-Length: 5\r\n\r\n"), HTTP_GET, NULL},
	{"two equal lengths", RAW(OK "Content-Length: 4\r\nContent-Length: 4\r\n\r\n"), HTTP_GET, NULL},
	{"length and coding", RAW(OK "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_GET, NULL},
	{"length and coding to HEAD", RAW(OK "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_HEAD, NULL},
	{"length +4", RAW(OK "Content-Length: +4\r\n\r\n"), HTTP_GET, NULL},
	{"length empty", RAW(OK "Content-Length: \r\n\r\n"), HTTP_GET, NULL},
	{"length overflows", RAW(OK "Content-Length: 99999999999999999999\r\n\r\n"), HTTP_GET, NULL},
	{"coding gzip", RAW(OK "Transfer-Encoding: gzip\r\n\r\n"), HTTP_GET, NULL},
	{"coding gzip, chunked", RAW(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), HTTP_GET, NULL},
	{"two codings", RAW(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_GET, NULL},
	{"coding in 1.0", RAW("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_GET, NULL},
	{"101", RAW("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"), HTTP_GET, NULL},
	{"100 with a length", RAW("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"), HTTP_POST, NULL},
	{"100 chunked", RAW("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_POST, NULL},
	{"204 with a length", RAW("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"), HTTP_GET, NULL},
	{"204 chunked", RAW("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_GET, NULL},
	{"HTTP/0.9", RAW("<html>hello, this is a body without a head</html>\r\n\r\n"), HTTP_GET, NULL},
	{"empty line before", RAW("\r\n" OK "\r\n"), HTTP_GET, NULL},
	{"LF before", RAW("\n" OK "\r\n"), HTTP_GET, NULL},
	{"HTTP/2.0", RAW("HTTP/2.0 200 OK\r\n\r\n"), HTTP_GET, NULL},
	{"HTTP/1.2", RAW("HTTP/1.2 200 OK\r\n\r\n"), HTTP_GET, NULL},
	{"HTTP/1.1 without blanks", RAW("HTTP/1.1200OK\r\n\r\n"), HTTP_GET, NULL},
	{"no blank after the status", RAW("HTTP/1.1 200\r\n\r\n"), HTTP_GET, NULL},
	{"two blanks before the status", RAW("HTTP/1.1  200 OK\r\n\r\n"), HTTP_GET, NULL},
	{"status of two digits", RAW("HTTP/1.1 20 OK OK\r\n\r\n"), HTTP_GET, NULL},
	{"status of four digits", RAW("HTTP/1.1 2000 OK\r\n\r\n"), HTTP_GET, NULL},
	{"status 099", RAW("HTTP/1.1 099 Low\r\n\r\n"), HTTP_GET, NULL},
	{"status in letters", RAW("HTTP/1.1 2x0 OK\r\n\r\n"), HTTP_GET, NULL},
	{"status with a sign", RAW("HTTP/1.1 +20 OK\r\n\r\n"), HTTP_GET, NULL},
	{"LF only", RAW("HTTP/1.1 200 OK\n\n"), HTTP_GET, NULL},
	{"CR in the reason", RAW("HTTP/1.1 200 O\rK\r\n\r\n"), HTTP_GET, NULL},
	{"NUL in a value", RAW(OK "X: a\0b\r\n\r\n"), HTTP_GET, NULL},
	{"NUL in the reason", RAW("HTTP/1.1 200 O\0K\r\n\r\n"), HTTP_GET, NULL},
	{"control byte in a value", RAW(OK "X: a\x01\r\n\r\n"), HTTP_GET, NULL},
	{"obs-fold", RAW(OK "X: a\r\n b\r\n\r\n"), HTTP_GET, NULL},
	{"empty name", RAW(OK ": a\r\n\r\n"), HTTP_GET, NULL},
	{"blank before the colon", RAW(OK "Content-Length : 4\r\n\r\n"), HTTP_GET, NULL},
	{"no colon", RAW(OK "X\r\n\r\n"), HTTP_GET, NULL},
	{"nine lines", RAW(OK "a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\n\r\n"), HTTP_GET, NULL},
	{"endless head", RAW(OK "X: "
				"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), HTTP_GET, NULL},
};

int main(void)
{
	static struct table t;

	TABLE_ADD(&t, ROWS, test_row);
	return table_run("http_response", &t);
}
