#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/bug.h"
#include "http/bytes.h"
#include "http/head.h"

#define HOST_BYTES_MAX 261 /* a DNS name of 253, a colon, five digits, and room for a final dot */

struct method_name {
	struct span text;
	enum http_method method;
};

static const struct method_name METHODS[] = {
	{{"POST", 4}, HTTP_POST}, {{"GET", 3}, HTTP_GET},         {{"HEAD", 4}, HTTP_HEAD},   {{"DELETE", 6}, HTTP_DELETE},
	{{"PUT", 3}, HTTP_PUT},   {{"OPTIONS", 7}, HTTP_OPTIONS}, {{"PATCH", 5}, HTTP_PATCH},
};

static enum http_method method_of(struct span text)
{
	for (size_t i = 0; i < ARRAY_SIZE(METHODS); i++)
		if (span_eq(text, METHODS[i].text))
			return METHODS[i].method;
	return HTTP_OTHER;
}

/* --- host -------------------------------------------------------------------------------------------------------------- */

static bool port_valid(const char *p, const char *end)
{
	unsigned v = 0;

	if (p == end || end - p > 5)
		return false;
	for (; p < end; p++) {
		if (!byte_is(*p, BYTE_DIGIT))
			return false;
		v = v * 10 + (unsigned)(*p - '0');
	}
	return v >= 1 && v <= 65535;
}

static bool ipv6_valid(const char *p, const char *end)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	return span_copy(text, sizeof(text), (struct span){p, (size_t)(end - p)}) && inet_pton(AF_INET6, text, &addr) == 1;
}

/* host [":" port], where host is a name, an IPv4 address or an IPv6 address in brackets.  Narrower than RFC 3986: no percent escapes and
 * no sub-delims, which no name that resolves has. */
static bool host_valid(struct span host)
{
	const char *p = host.p, *end = host.p + host.n, *name_end;

	if (!host.n || host.n > HOST_BYTES_MAX)
		return false;
	if (*p == '[') {
		name_end = memchr(p, ']', host.n);
		if (!name_end || !ipv6_valid(p + 1, name_end))
			return false;
		name_end++;
	} else {
		for (name_end = p; name_end < end && byte_is(*name_end, BYTE_HOST); name_end++)
			;
		if (name_end == p)
			return false;
	}
	return name_end == end || (*name_end == ':' && port_valid(name_end + 1, end));
}

static enum http_result host_judge(const struct head_facts *facts, const struct http_head *out, struct span authority,
				   struct http_fault *fault)
{
	if (facts->n_host > 1)
		return head_bad(fault, 400, "two Host lines; send one");
	if (!facts->n_host && out->minor == 1)
		return head_bad(fault, 400, "no Host line, which HTTP/1.1 requires; send one");
	if (facts->n_host && !host_valid(out->host))
		return head_bad(fault, 400,
				"Host is not a name or address with an optional port; send for example Host: localhost:11434");
	if (authority.p && !host_valid(authority))
		return head_bad(fault, 400, "the host in the request target is not a name or address with an optional port");
	if (authority.p && facts->n_host && !span_caseeq(authority, out->host))
		return head_bad(fault, 400, "the request target and Host name different hosts; send the same in both");
	return HTTP_DONE;
}

/* --- target ------------------------------------------------------------------------------------------------------------ */

static void path_split(struct span text, struct http_head *out)
{
	const char *mark = text.n ? memchr(text.p, '?', text.n) : NULL;

	out->path = text;
	out->query = (struct span){text.p + text.n, 0};
	if (mark) {
		out->path.n = (size_t)(mark - text.p);
		out->query = (struct span){mark + 1, text.n - out->path.n - 1};
	}
}

/* absolute-form: `text` follows "http://". */
static void absolute_split(struct span text, struct http_head *out, struct span *authority)
{
	size_t n = 0;

	while (n < text.n && text.p[n] != '/' && text.p[n] != '?')
		n++;
	*authority = (struct span){text.p, n};
	path_split((struct span){text.p + n, text.n - n}, out);
	if (!out->path.n)
		out->path = SPAN_LIT("/");
}

static enum http_result target_judge(struct http_head *out, struct span *authority, struct http_fault *fault)
{
	static const char SCHEME[] = "http://";
	struct span t = out->target;

	if (!t.n)
		return head_bad(fault, 400, "the request target is empty; send a path");
	for (size_t i = 0; i < t.n; i++)
		if (!byte_is(t.p[i], BYTE_TARGET))
			return head_bad(
				fault, 400,
				"a byte in the request target that may not stand there; percent-encode it, and send no fragment");
	if (t.p[0] == '/') {
		path_split(t, out);
		return HTTP_DONE;
	}
	if (t.n == 1 && t.p[0] == '*' && out->method == HTTP_OPTIONS) {
		path_split(t, out);
		return HTTP_DONE;
	}
	if (t.n >= sizeof(SCHEME) - 1 && strncasecmp(t.p, SCHEME, sizeof(SCHEME) - 1) == 0) {
		absolute_split((struct span){t.p + sizeof(SCHEME) - 1, t.n - (sizeof(SCHEME) - 1)}, out, authority);
		return HTTP_DONE;
	}
	return head_bad(fault, 400, "the request target is neither a path nor an http:// address; send a path");
}

/* --- the request line -------------------------------------------------------------------------------------------------- */

static enum http_result request_line_parse(const char *p, const char *eol, struct http_head *out, struct span *authority,
					   struct http_fault *fault)
{
	const char *space = memchr(p, ' ', (size_t)(eol - p)), *second;

	out->method_text = (struct span){p, space ? (size_t)(space - p) : 0};
	for (size_t i = 0; i < out->method_text.n; i++)
		if (!byte_is(p[i], BYTE_TOKEN))
			return head_bad(fault, 400,
					"the request line does not begin with a method; send for example POST /api/chat HTTP/1.1");
	if (!out->method_text.n)
		return head_bad(fault, 400,
				"the request line is not METHOD, target and version; send for example POST /api/chat HTTP/1.1");
	out->method = method_of(out->method_text);
	second = memchr(space + 1, ' ', (size_t)(eol - space - 1));
	if (!second)
		return head_bad(fault, 400, "the request line has no version; end it with HTTP/1.1");
	out->target = (struct span){space + 1, (size_t)(second - space - 1)};
	if (head_version_parse(second + 1, (size_t)(eol - second - 1), out, fault) == HTTP_BAD)
		return HTTP_BAD;
	if (span_eq(out->method_text, SPAN_LIT("CONNECT")))
		return head_bad(fault, 501, "this is no forward proxy; CONNECT is not served here");
	return target_judge(out, authority, fault);
}

/* --- the whole --------------------------------------------------------------------------------------------------------- */

static enum http_result expect_judge(const struct head_facts *facts, struct http_head *out, struct http_fault *fault)
{
	if (!facts->n_expect)
		return HTTP_DONE;
	if (facts->n_expect > 1 || !span_caseeq(facts->expect, SPAN_LIT("100-continue")))
		return head_bad(fault, 417, "the only expectation known here is 100-continue; send that once or none");
	/* HTTP/1.0 has no 100, and without a body there is nothing to wait for. */
	out->expect_continue = out->minor == 1 && (out->framing == HTTP_BODY_CHUNKED || out->content_length);
	return HTTP_DONE;
}

/* Of two types the router would go by one and the model server by the other. */
static enum http_result type_judge(const struct head_facts *facts, struct http_fault *fault)
{
	if (facts->n_type > 1)
		return head_bad(fault, 400, "two Content-Type lines; send one");
	return HTTP_DONE;
}

/* The JDK's HTTP client and curl --http2 offer h2c with the first request on a plain port and go on with HTTP/1.1 when the
 * offer is passed over, so passing over it is what serves them.  Any other protocol has nobody here to speak it. */
static enum http_result upgrade_judge(const struct head_facts *facts, struct http_fault *fault)
{
	if (facts->upgrade.p && !span_caseeq(facts->upgrade, SPAN_LIT("h2c")))
		return head_bad(fault, 501, "no other protocol is spoken here; send the request without Upgrade");
	return HTTP_DONE;
}

enum http_result http_request_parse(const char *buf, size_t n, size_t seen, const struct http_limits *limits, struct http_head *out,
				    struct http_fault *fault)
{
	struct head_facts facts = {0};
	struct span authority = {NULL, 0};
	size_t base = 0, end;
	enum http_result found;
	const char *eol;

	/* Some clients of old send a CRLF too many after a body. */
	if (n >= 2 && buf[0] == '\r' && buf[1] == '\n') {
		base = 2;
		if (n > base && (buf[base] == '\r' || buf[base] == '\n'))
			return head_bad(fault, 400, "empty lines before the request line; send none");
	}
	found = head_end_find(buf, n, base, seen, limits, &end, fault);
	if (found != HTTP_DONE)
		return found;
	memset(out, 0, offsetof(struct http_head, headers));
	out->head_bytes = end;
	eol = memchr(buf + base, '\r', end - base);
	BUG_ON(!eol); /* head_end_find() saw the lines end */
	if (request_line_parse(buf + base, eol, out, &authority, fault) == HTTP_BAD ||
	    head_lines_parse(eol + 2, buf + end, limits->headers_max, out, &facts, fault) == HTTP_BAD ||
	    host_judge(&facts, out, authority, fault) == HTTP_BAD || head_framing_judge(&facts, out, fault) == HTTP_BAD ||
	    expect_judge(&facts, out, fault) == HTTP_BAD || type_judge(&facts, fault) == HTTP_BAD ||
	    upgrade_judge(&facts, fault) == HTTP_BAD)
		return HTTP_BAD;
	if (!facts.n_host)
		out->host = authority;
	out->keep_alive = !facts.close && (out->minor == 1 || facts.keep_alive);
	return HTTP_DONE;
}
