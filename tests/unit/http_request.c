/* Request heads: one row per rule, each fed whole, at every cut and byte by byte with the same result. */
#include "tests/unit/http_table.h"

#include "http/http.h"

#define POST "POST /api/chat HTTP/1.1\r\n"
#define HOST "Host: h\r\n"
#define END  "\r\n"

struct row {
	const char *name;
	struct span raw;
	unsigned    status; /* of the fault; 0 is accepted */
	const char *facts;  /* of what was accepted */
};

static const struct http_limits LIMITS = {1024, 8};

static const char *facts_of(const struct http_head *h, char *buf, size_t size)
{
	static const char *const METHODS[HTTP_METHOD_COUNT] = {"NONE", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "OTHER"};
	char body[40];

	snprintf(body, sizeof(body), h->framing == HTTP_BODY_CHUNKED ? "chunked" : h->framing == HTTP_BODY_NONE ? "none" : "%llu",
		 (unsigned long long)h->content_length);
	snprintf(buf, size, "%s path=%.*s query=%.*s host=%.*s 1.%u body=%s%s%s n=%u", METHODS[h->method], SPAN_ARG(h->path),
		 SPAN_ARG(h->query), (int)h->host.n, h->host.n ? h->host.p : "", h->minor, body, h->keep_alive ? " keep" : " close",
		 h->expect_continue ? " expect" : "", h->n_headers);
	return buf;
}

struct outcome {
	enum http_result  result;
	struct http_fault fault;
	size_t            head_bytes;
	char              facts[256];
};

static void parse(const char *p, size_t n, size_t seen, struct outcome *o)
{
	static struct http_head head;
	char *copy = exact_copy(p, n);

	memset(o, 0, sizeof(*o));
	memset(&head, 0x5a, sizeof(head));
	o->result = http_request_parse(copy, n, seen, &LIMITS, &head, &o->fault);
	if (o->result == HTTP_DONE) {
		o->head_bytes = head.head_bytes;
		facts_of(&head, o->facts, sizeof(o->facts));
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

static void every_cut(struct span raw, const struct outcome *whole)
{
	struct outcome part, step = {.result = HTTP_MORE};

	for (size_t cut = 0; cut <= raw.n; cut++) {
		parse(raw.p, cut, 0, &part);
		if (part.result == HTTP_MORE)
			parse(raw.p, raw.n, cut, &part);
		same(whole, &part);
	}
	for (size_t n = 0; n <= raw.n && step.result == HTTP_MORE; n++)
		parse(raw.p, n, n ? n - 1 : 0, &step);
	same(whole, &step);
}

static void test_row(void **state)
{
	const struct row *row = *state;
	struct outcome whole;

	parse(row->raw.p, row->raw.n, 0, &whole);
	assert_int_equal(whole.fault.status, row->status);
	if (row->status) {
		assert_int_equal(whole.result, HTTP_BAD);
		assert_non_null(whole.fault.reason);
	} else {
		assert_int_equal(whole.result, HTTP_DONE);
		assert_string_equal(whole.facts, row->facts);
	}
	every_cut(row->raw, &whole);
}

static struct row ACCEPTED[] = {
	{"plain GET", RAW("GET /api/tags HTTP/1.1\r\n" HOST END), 0, "GET path=/api/tags query= host=h 1.1 body=none keep n=1"},
	{"body by length", RAW(POST HOST "Content-Length: 5\r\n" END "hello"), 0, "POST path=/api/chat query= host=h 1.1 body=5 keep n=2"},
	{"length zero", RAW(POST HOST "Content-Length: 0\r\n" END), 0, "POST path=/api/chat query= host=h 1.1 body=0 keep n=2"},
	{"length with leading zeros", RAW(POST HOST "Content-Length: 003\r\n" END), 0, "POST path=/api/chat query= host=h 1.1 body=3 keep n=2"},
	{"longest length", RAW(POST HOST "Content-Length: 999999999999999999\r\n" END), 0,
	 "POST path=/api/chat query= host=h 1.1 body=999999999999999999 keep n=2"},
	{"body with a type", RAW(POST HOST "Content-Type: application/json\r\nContent-Length: 5\r\n" END "hello"), 0,
	 "POST path=/api/chat query= host=h 1.1 body=5 keep n=3"},
	{"body in chunks", RAW(POST HOST "Transfer-Encoding: chunked\r\n" END), 0, "POST path=/api/chat query= host=h 1.1 body=chunked keep n=2"},
	{"CHUNKED in capitals", RAW(POST HOST "Transfer-Encoding: CHUNKED\r\n" END), 0,
	 "POST path=/api/chat query= host=h 1.1 body=chunked keep n=2"},
	{"DELETE with a body", RAW("DELETE /api/delete HTTP/1.1\r\n" HOST "Content-Length: 2\r\n" END "{}"), 0,
	 "DELETE path=/api/delete query= host=h 1.1 body=2 keep n=2"},
	{"one CRLF before", RAW("\r\nGET / HTTP/1.1\r\n" HOST END), 0, "GET path=/ query= host=h 1.1 body=none keep n=1"},
	{"query", RAW("GET /a?b=c?d HTTP/1.1\r\n" HOST END), 0, "GET path=/a query=b=c?d host=h 1.1 body=none keep n=1"},
	{"empty query", RAW("GET /a? HTTP/1.1\r\n" HOST END), 0, "GET path=/a query= host=h 1.1 body=none keep n=1"},
	{"escapes stay", RAW("GET /api/%74ags HTTP/1.1\r\n" HOST END), 0, "GET path=/api/%74ags query= host=h 1.1 body=none keep n=1"},
	{"asterisk", RAW("OPTIONS * HTTP/1.1\r\n" HOST END), 0, "OPTIONS path=* query= host=h 1.1 body=none keep n=1"},
	{"absolute form", RAW("GET http://h:80/p?q HTTP/1.1\r\nHost: H:80\r\n" END), 0, "GET path=/p query=q host=H:80 1.1 body=none keep n=1"},
	{"absolute form without a path", RAW("GET HTTP://h HTTP/1.1\r\n" HOST END), 0, "GET path=/ query= host=h 1.1 body=none keep n=1"},
	{"absolute form, query without a path", RAW("GET http://h?q HTTP/1.1\r\n" HOST END), 0, "GET path=/ query=q host=h 1.1 body=none keep n=1"},
	{"absolute form in 1.0 names the host", RAW("GET http://h:1/ HTTP/1.0\r\n" END), 0, "GET path=/ query= host=h:1 1.0 body=none close n=0"},
	{"other method", RAW("REPORT /a HTTP/1.1\r\n" HOST END), 0, "OTHER path=/a query= host=h 1.1 body=none keep n=1"},
	{"method in small letters is another", RAW("get /a HTTP/1.1\r\n" HOST END), 0, "OTHER path=/a query= host=h 1.1 body=none keep n=1"},
	{"PUT", RAW("PUT /a HTTP/1.1\r\n" HOST END), 0, "PUT path=/a query= host=h 1.1 body=none keep n=1"},
	{"PATCH", RAW("PATCH /a HTTP/1.1\r\n" HOST END), 0, "PATCH path=/a query= host=h 1.1 body=none keep n=1"},
	{"HEAD", RAW("HEAD /a HTTP/1.1\r\n" HOST END), 0, "HEAD path=/a query= host=h 1.1 body=none keep n=1"},
	{"1.0 closes", RAW("GET / HTTP/1.0\r\n" END), 0, "GET path=/ query= host= 1.0 body=none close n=0"},
	{"1.0 kept alive", RAW("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n" END), 0, "GET path=/ query= host= 1.0 body=none keep n=1"},
	{"1.0 with Host", RAW("GET / HTTP/1.0\r\n" HOST END), 0, "GET path=/ query= host=h 1.0 body=none close n=1"},
	{"1.1 closed", RAW("GET / HTTP/1.1\r\n" HOST "Connection: foo, Close\r\n" END), 0, "GET path=/ query= host=h 1.1 body=none close n=2"},
	{"close wins over keep-alive", RAW("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n" END), 0,
	 "GET path=/ query= host= 1.0 body=none close n=2"},
	{"blanks around a value", RAW(POST "Host: \t h\t \r\nX:\r\n" END), 0, "POST path=/api/chat query= host=h 1.1 body=none keep n=2"},
	{"HTAB inside a value", RAW(POST HOST "X: a\tb\r\n" END), 0, "POST path=/api/chat query= host=h 1.1 body=none keep n=2"},
	{"bytes above 0x7f in a value", RAW(POST HOST "X: D\xfcsseldorf\xff\r\n" END), 0,
	 "POST path=/api/chat query= host=h 1.1 body=none keep n=2"},
	{"every byte a name may have", RAW(POST HOST "!#$%&'*+-.^_`|~09azAZ: 1\r\n" END), 0,
	 "POST path=/api/chat query= host=h 1.1 body=none keep n=2"},
	{"Expect with a body", RAW(POST HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n" END), 0,
	 "POST path=/api/chat query= host=h 1.1 body=1 keep expect n=3"},
	{"Expect before chunks", RAW(POST HOST "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n" END), 0,
	 "POST path=/api/chat query= host=h 1.1 body=chunked keep expect n=3"},
	{"Expect without a body", RAW(POST HOST "Expect: 100-continue\r\n" END), 0, "POST path=/api/chat query= host=h 1.1 body=none keep n=2"},
	{"Expect in 1.0", RAW("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n" END), 0,
	 "POST path=/ query= host= 1.0 body=1 close n=2"},
	{"Upgrade h2c is passed over", RAW("GET / HTTP/1.1\r\n" HOST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n" END), 0,
	 "GET path=/ query= host=h 1.1 body=none keep n=4"},
	{"host with port", RAW("GET / HTTP/1.1\r\nHost: my-host_1.local:11434\r\n" END), 0,
	 "GET path=/ query= host=my-host_1.local:11434 1.1 body=none keep n=1"},
	{"IPv6 host", RAW("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n" END), 0, "GET path=/ query= host=[::1]:8080 1.1 body=none keep n=1"},
	{"IPv6 host without port", RAW("GET / HTTP/1.1\r\nHost: [fe80::1]\r\n" END), 0, "GET path=/ query= host=[fe80::1] 1.1 body=none keep n=1"},
	{"as many lines as allowed", RAW("GET / HTTP/1.1\r\n" HOST "a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\n" END), 0,
	 "GET path=/ query= host=h 1.1 body=none keep n=8"},
	{"what follows the head is not looked at", RAW("GET / HTTP/1.1\r\n" HOST END "\x00\n\r\x01 junk"), 0,
	 "GET path=/ query= host=h 1.1 body=none keep n=1"},
};

static struct row REFUSED[] = {
	/* lines */
	{"LF only", RAW("GET / HTTP/1.1\nHost: h\n\n"), 400, NULL},
	{"LF ends the request line", RAW("GET / HTTP/1.1\nHost: h\r\n\r\n"), 400, NULL},
	{"LF ends a header line", RAW("GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"), 400, NULL},
	{"LF ends the head", RAW("GET / HTTP/1.1\r\nHost: h\r\n\n"), 400, NULL},
	{"CR without LF", RAW("GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"), 400, NULL},
	{"CR CR LF", RAW("GET / HTTP/1.1\r\nHost: h\r\r\n\r\n"), 400, NULL},
	{"two empty lines before", RAW("\r\n\r\nGET / HTTP/1.1\r\n" HOST END), 400, NULL},
	{"LF before", RAW("\nGET / HTTP/1.1\r\n" HOST END), 400, NULL},
	{"NUL in a value", RAW(POST HOST "X: a\0b\r\n" END), 400, NULL},
	{"NUL in a name", RAW(POST HOST "X\0Y: a\r\n" END), 400, NULL},
	{"NUL in the target", RAW("GET /a\0b HTTP/1.1\r\n" HOST END), 400, NULL},
	{"control byte in a value", RAW(POST HOST "X: a\x07\r\n" END), 400, NULL},
	{"DEL in a value", RAW(POST HOST "X: a\x7f\r\n" END), 400, NULL},
	{"TLS client hello", RAW("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400, NULL},
	/* header names */
	{"obs-fold", RAW(POST HOST "X: a\r\n b\r\n" END), 400, NULL},
	{"obs-fold by HTAB", RAW(POST HOST "X: a\r\n\tb\r\n" END), 400, NULL},
	{"fold before the first line", RAW("GET / HTTP/1.1\r\n Host: h\r\n" END), 400, NULL},
	{"empty name", RAW(POST HOST ": a\r\n" END), 400, NULL},
	{"blank before the colon", RAW(POST HOST "X : a\r\n" END), 400, NULL},
	{"HTAB before the colon", RAW(POST HOST "X\t: a\r\n" END), 400, NULL},
	{"no colon", RAW(POST HOST "X\r\n" END), 400, NULL},
	{"bracket in a name", RAW(POST HOST "X[]: a\r\n" END), 400, NULL},
	{"byte above 0x7f in a name", RAW(POST HOST "X\xe9: a\r\n" END), 400, NULL},
	{"quote in a name", RAW(POST HOST "\"X\": a\r\n" END), 400, NULL},
	{"one line too many", RAW("GET / HTTP/1.1\r\n" HOST "a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\n" END), 431, NULL},
	/* length and coding */
	{"two lengths", RAW(POST HOST "Content-Length: 4\r\nContent-Length: 5\r\n" END), 400, NULL},
	{"two equal lengths", RAW(POST HOST "Content-Length: 4\r\nContent-Length: 4\r\n" END), 400, NULL},
	{"list of lengths", RAW(POST HOST "Content-Length: 4, 4\r\n" END), 400, NULL},
	{"length +5", RAW(POST HOST "Content-Length: +5\r\n" END), 400, NULL},
	{"length -5", RAW(POST HOST "Content-Length: -5\r\n" END), 400, NULL},
	{"length in hexadecimal", RAW(POST HOST "Content-Length: 0x5\r\n" END), 400, NULL},
	{"length with a blank", RAW(POST HOST "Content-Length: 5 5\r\n" END), 400, NULL},
	{"length with a fraction", RAW(POST HOST "Content-Length: 5.0\r\n" END), 400, NULL},
	{"length empty", RAW(POST HOST "Content-Length:\r\n" END), 400, NULL},
	{"length blank", RAW(POST HOST "Content-Length:  \r\n" END), 400, NULL},
	{"length overflows 64 bits", RAW(POST HOST "Content-Length: 18446744073709551621\r\n" END), 400, NULL},
	{"length of 19 digits", RAW(POST HOST "Content-Length: 1000000000000000000\r\n" END), 400, NULL},
	{"coding beside length", RAW(POST HOST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n" END), 400, NULL},
	{"length beside coding", RAW(POST HOST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n" END), 400, NULL},
	{"two codings", RAW(POST HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END), 400, NULL},
	{"coding xchunked", RAW(POST HOST "Transfer-Encoding: xchunked\r\n" END), 501, NULL},
	{"coding identity", RAW(POST HOST "Transfer-Encoding: identity\r\n" END), 501, NULL},
	{"coding gzip, chunked", RAW(POST HOST "Transfer-Encoding: gzip, chunked\r\n" END), 501, NULL},
	{"coding chunked, chunked", RAW(POST HOST "Transfer-Encoding: chunked, chunked\r\n" END), 501, NULL},
	{"coding chunked;p=1", RAW(POST HOST "Transfer-Encoding: chunked;p=1\r\n" END), 501, NULL},
	{"coding in quotes", RAW(POST HOST "Transfer-Encoding: \"chunked\"\r\n" END), 501, NULL},
	{"coding with an empty element", RAW(POST HOST "Transfer-Encoding: ,chunked\r\n" END), 501, NULL},
	{"coding empty", RAW(POST HOST "Transfer-Encoding:\r\n" END), 400, NULL},
	{"coding with a vertical tab", RAW(POST HOST "Transfer-Encoding: \x0b" "chunked\r\n" END), 400, NULL},
	{"coding with a blank before its colon", RAW(POST HOST "Transfer-Encoding : chunked\r\n" END), 400, NULL},
	{"coding in 1.0", RAW("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" END), 400, NULL},
	{"coding folded", RAW(POST HOST "Transfer-Encoding:\r\n chunked\r\n" END), 400, NULL},
	{"Connection names Content-Length", RAW(POST HOST "Connection: close, Content-Length\r\nContent-Length: 4\r\n" END), 400, NULL},
	{"Connection names Transfer-Encoding", RAW(POST HOST "Connection: transfer-encoding\r\n" END), 400, NULL},
	{"Connection names Host", RAW(POST HOST "Connection: host\r\n" END), 400, NULL},
	/* request line */
	{"blank in the target", RAW("GET /a b HTTP/1.1\r\n" HOST END), 400, NULL},
	{"two blanks after the method", RAW("GET  / HTTP/1.1\r\n" HOST END), 400, NULL},
	{"two blanks before the version", RAW("GET /  HTTP/1.1\r\n" HOST END), 400, NULL},
	{"blank after the version", RAW("GET / HTTP/1.1 \r\n" HOST END), 400, NULL},
	{"blank before the method", RAW(" GET / HTTP/1.1\r\n" HOST END), 400, NULL},
	{"HTAB for a blank", RAW("GET\t/ HTTP/1.1\r\n" HOST END), 400, NULL},
	{"HTAB in the target", RAW("GET /a\tb HTTP/1.1\r\n" HOST END), 400, NULL},
	{"fragment", RAW("GET /a#b HTTP/1.1\r\n" HOST END), 400, NULL},
	{"byte above 0x7f in the target", RAW("GET /\xc3\xa9 HTTP/1.1\r\n" HOST END), 400, NULL},
	{"empty target", RAW("GET  HTTP/1.1\r\n" HOST END), 400, NULL},
	{"target without a slash", RAW("GET a HTTP/1.1\r\n" HOST END), 400, NULL},
	{"asterisk with GET", RAW("GET * HTTP/1.1\r\n" HOST END), 400, NULL},
	{"asterisk and more", RAW("OPTIONS ** HTTP/1.1\r\n" HOST END), 400, NULL},
	{"https target", RAW("GET https://h/ HTTP/1.1\r\n" HOST END), 400, NULL},
	{"ftp target", RAW("GET ftp://h/ HTTP/1.1\r\n" HOST END), 400, NULL},
	{"authority form", RAW("GET h:80 HTTP/1.1\r\n" HOST END), 400, NULL},
	{"target host differs from Host", RAW("GET http://other/ HTTP/1.1\r\n" HOST END), 400, NULL},
	{"target port differs from Host", RAW("GET http://h:81/ HTTP/1.1\r\n" HOST END), 400, NULL},
	{"userinfo in the target", RAW("GET http://u:p@h/ HTTP/1.1\r\n" HOST END), 400, NULL},
	{"target without a host", RAW("GET http:///a HTTP/1.1\r\n" HOST END), 400, NULL},
	{"bad target host in 1.0", RAW("GET http://@/ HTTP/1.0\r\n" END), 400, NULL},
	{"no version", RAW("GET /\r\n" HOST END), 400, NULL},
	{"only a method", RAW("GET\r\n" HOST END), 400, NULL},
	{"bad byte in the method", RAW("G{T / HTTP/1.1\r\n" HOST END), 400, NULL},
	{"CONNECT", RAW("CONNECT h:80 HTTP/1.1\r\n" HOST END), 501, NULL},
	{"HTTP/1.9", RAW("GET / HTTP/1.9\r\n" HOST END), 505, NULL},
	{"HTTP/1.2", RAW("GET / HTTP/1.2\r\n" HOST END), 505, NULL},
	{"HTTP/0.9", RAW("GET / HTTP/0.9\r\n" HOST END), 505, NULL},
	{"HTTP/2.0 preface", RAW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505, NULL},
	{"HTTP/1.10", RAW("GET / HTTP/1.10\r\n" HOST END), 400, NULL},
	{"HTTP/01.1", RAW("GET / HTTP/01.1\r\n" HOST END), 400, NULL},
	{"HTTP/1", RAW("GET / HTTP/1\r\n" HOST END), 400, NULL},
	{"http/1.1", RAW("GET / http/1.1\r\n" HOST END), 400, NULL},
	{"version overflows", RAW("GET / HTTP/4294967297.1\r\n" HOST END), 400, NULL},
	{"another protocol", RAW("GET / ICE/1.0\r\n" HOST END), 400, NULL},
	/* host */
	{"no Host", RAW("GET / HTTP/1.1\r\n" END), 400, NULL},
	{"two Hosts", RAW("GET / HTTP/1.1\r\n" HOST HOST END), 400, NULL},
	{"two Hosts in 1.0", RAW("GET / HTTP/1.0\r\n" HOST HOST END), 400, NULL},
	{"empty Host", RAW("GET / HTTP/1.1\r\nHost:\r\n" END), 400, NULL},
	{"Host with userinfo", RAW("GET / HTTP/1.1\r\nHost: u@h\r\n" END), 400, NULL},
	{"Host with a slash", RAW("GET / HTTP/1.1\r\nHost: h/a\r\n" END), 400, NULL},
	{"Host with a comma", RAW("GET / HTTP/1.1\r\nHost: h,g\r\n" END), 400, NULL},
	{"Host with a blank", RAW("GET / HTTP/1.1\r\nHost: h g\r\n" END), 400, NULL},
	{"Host with an escape", RAW("GET / HTTP/1.1\r\nHost: h%20\r\n" END), 400, NULL},
	{"Host with empty port", RAW("GET / HTTP/1.1\r\nHost: h:\r\n" END), 400, NULL},
	{"Host with port 0", RAW("GET / HTTP/1.1\r\nHost: h:0\r\n" END), 400, NULL},
	{"Host with port 65536", RAW("GET / HTTP/1.1\r\nHost: h:65536\r\n" END), 400, NULL},
	{"Host with six digits", RAW("GET / HTTP/1.1\r\nHost: h:000080\r\n" END), 400, NULL},
	{"Host with a port in letters", RAW("GET / HTTP/1.1\r\nHost: h:a\r\n" END), 400, NULL},
	{"Host with two ports", RAW("GET / HTTP/1.1\r\nHost: h:1:2\r\n" END), 400, NULL},
	{"Host of a port alone", RAW("GET / HTTP/1.1\r\nHost: :80\r\n" END), 400, NULL},
	{"Host in open brackets", RAW("GET / HTTP/1.1\r\nHost: [::1\r\n" END), 400, NULL},
	{"Host in empty brackets", RAW("GET / HTTP/1.1\r\nHost: []\r\n" END), 400, NULL},
	{"Host in brackets, no address", RAW("GET / HTTP/1.1\r\nHost: [h]\r\n" END), 400, NULL},
	{"Host in brackets, too long", RAW("GET / HTTP/1.1\r\nHost: [0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]\r\n" END), 400, NULL},
	{"Host in brackets, junk after", RAW("GET / HTTP/1.1\r\nHost: [::1]x\r\n" END), 400, NULL},
	{"Host too long", RAW("GET / HTTP/1.1\r\nHost: "
			      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			      "aaaaaaaaaaaaaaaaaa\r\n" END), 400, NULL},
	/* the rest */
	{"two Content-Types", RAW(POST HOST "Content-Type: application/json\r\nContent-Type: text/html\r\n" END), 400, NULL},
	{"Expect something else", RAW(POST HOST "Expect: 200-ok\r\nContent-Length: 1\r\n" END), 417, NULL},
	{"Expect twice", RAW(POST HOST "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n" END), 417, NULL},
	{"Expect empty", RAW(POST HOST "Expect:\r\n" END), 417, NULL},
	{"Upgrade websocket", RAW("GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n" END), 501, NULL},
	{"Upgrade h2c and more", RAW("GET / HTTP/1.1\r\n" HOST "Upgrade: h2c, websocket\r\n" END), 501, NULL},
};

/* --- what a table does not show ---------------------------------------------------------------------------------------- */

/* A head of exactly `n` bytes: request line, Host, one long header. */
static char *head_of(size_t n)
{
	static const char STEM[] = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
	char *p = malloc(n);

	assert_non_null(p);
	memset(p, 'x', n);
	memcpy(p, STEM, sizeof(STEM) - 1);
	memcpy(p + n - 4, "\r\n\r\n", 4);
	return p;
}

static void test_largest_head(void **state)
{
	char *raw = head_of(LIMITS.head_bytes);
	struct outcome whole;

	(void)state;
	parse(raw, LIMITS.head_bytes, 0, &whole);
	assert_int_equal(whole.result, HTTP_DONE);
	assert_int_equal(whole.head_bytes, LIMITS.head_bytes);
	every_cut((struct span){raw, LIMITS.head_bytes}, &whole);
	free(raw);
}

static void test_head_too_large(void **state)
{
	char *raw = head_of(LIMITS.head_bytes + 1);
	struct outcome whole;

	(void)state;
	parse(raw, LIMITS.head_bytes + 1, 0, &whole);
	assert_int_equal(whole.result, HTTP_BAD);
	assert_int_equal(whole.fault.status, 431);
	every_cut((struct span){raw, LIMITS.head_bytes + 1}, &whole);
	free(raw);
}

static void test_target_too_long(void **state)
{
	char raw[2000];
	struct outcome whole;

	(void)state;
	memset(raw, 'a', sizeof(raw));
	memcpy(raw, "GET /", 5);
	parse(raw, sizeof(raw), 0, &whole);
	assert_int_equal(whole.result, HTTP_BAD);
	assert_int_equal(whole.fault.status, 414);
	every_cut((struct span){raw, sizeof(raw)}, &whole);
}

/* CVE-2021-40346: a name whose length no longer fits a small field. */
static void test_long_name(void **state)
{
	static const struct http_limits LARGE = {16384, 64};
	static struct http_head head;
	struct http_fault fault;
	char raw[8000];
	size_t n;

	(void)state;
	n = (size_t)snprintf(raw, sizeof(raw), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length0%0270d:\r\nContent-Length: 7\r\n\r\n", 0);
	assert_int_equal(http_request_parse(raw, n, 0, &LARGE, &head, &fault), HTTP_DONE);
	assert_int_equal(head.headers[1].name.n, 15 + 270);
	assert_int_equal(head.headers[1].id, HTTP_H_OTHER);
	assert_int_equal(head.content_length, 7);
}

static void test_longest_host(void **state)
{
	static struct http_head head;
	struct http_fault fault;
	char raw[400];

	(void)state;
	for (int n = 261; n <= 262; n++) {
		int len = snprintf(raw, sizeof(raw), "GET / HTTP/1.1\r\nHost: %0*d\r\n\r\n", n, 0);

		assert_int_equal(http_request_parse(raw, (size_t)len, 0, &LIMITS, &head, &fault), n == 261 ? HTTP_DONE : HTTP_BAD);
	}
}

static void test_header_ids(void **state)
{
	static const char *const NAMES[] = {
		NULL,
#define HEADER(id, name) name,
#include "http/headers.def"
#undef HEADER
	};
	static const struct http_limits LARGE = {16384, 64};
	static struct http_head head;
	struct http_fault fault;

	(void)state;
	for (unsigned id = 1; id < HTTP_H_COUNT; id++) {
		char raw[200], name[64], longer[64];
		const char *host = id == HTTP_H_HOST ? "" : "Host: h\r\n";
		const char *value = id == HTTP_H_EXPECT ? "100-continue" : id == HTTP_H_UPGRADE ? "h2c" : id == HTTP_H_TRANSFER_ENCODING ? "chunked" : "1";
		int n;

		snprintf(name, sizeof(name), "%s", NAMES[id]);
		name[0] = (char)(name[0] & ~0x20);
		snprintf(longer, sizeof(longer), "%s", NAMES[id]);
		longer[1] = '_';
		n = snprintf(raw, sizeof(raw), "GET / HTTP/1.1\r\n%s%s: %s\r\n%s: 1\r\n\r\n", host, name, value, longer);
		assert_int_equal(http_request_parse(raw, (size_t)n, 0, &LARGE, &head, &fault), HTTP_DONE);
		assert_int_equal(head.headers[*host ? 1 : 0].id, id);
		assert_int_equal(head.headers[*host ? 2 : 1].id, HTTP_H_OTHER);
		assert_true(span_eq(http_header_get(&head, (enum http_header_id)id), span_of(value)));
		assert_true(span_eq(http_header_find(&head, NAMES[id]), span_of(value)));
	}
}

static void test_look_up(void **state)
{
	static const char RAWTEXT[] = "GET / HTTP/1.1\r\nHost: h\r\nConnection: a, B ,,c\r\nX-None:\r\nTE: e\r\nConnection: d\r\n\r\n";
	static struct http_head head;
	struct http_fault fault;

	(void)state;
	assert_int_equal(http_request_parse(RAWTEXT, sizeof(RAWTEXT) - 1, 0, &LIMITS, &head, &fault), HTTP_DONE);
	assert_true(http_header_has_token(&head, HTTP_H_CONNECTION, "b"));
	assert_true(http_header_has_token(&head, HTTP_H_CONNECTION, "C"));
	assert_true(http_header_has_token(&head, HTTP_H_CONNECTION, "d"));
	assert_false(http_header_has_token(&head, HTTP_H_CONNECTION, "e"));
	assert_false(http_header_has_token(&head, HTTP_H_ACCEPT, "e"));
	assert_null(http_header_get(&head, HTTP_H_ACCEPT).p);
	assert_null(http_header_find(&head, "x-non").p);
	assert_non_null(http_header_find(&head, "x-none").p);
	assert_int_equal(http_header_find(&head, "x-none").n, 0);
}

int main(void)
{
	static struct table t;

	TABLE_ADD(&t, ACCEPTED, test_row);
	TABLE_ADD(&t, REFUSED, test_row);
	TEST_ADD(&t, test_largest_head);
	TEST_ADD(&t, test_head_too_large);
	TEST_ADD(&t, test_target_too_long);
	TEST_ADD(&t, test_long_name);
	TEST_ADD(&t, test_longest_host);
	TEST_ADD(&t, test_header_ids);
	TEST_ADD(&t, test_look_up);
	return table_run("http_request", &t);
}
