#include <string.h>

#include "base/bug.h"
#include "http/bytes.h"
#include "http/head.h"

/* "HTTP/1.1 200 reason"; the blank after the status is mandatory, the reason may be empty. */
static enum http_result status_line_parse(const char *p, const char *eol, struct http_head *out, struct http_fault *fault)
{
	size_t n = (size_t)(eol - p);

	if (n < 13 || p[8] != ' ' || p[12] != ' ')
		return head_bad(fault, 502, "the model server's answer does not begin with a status line");
	if (head_version_parse(p, 8, out, fault) == HTTP_BAD)
		return head_bad(fault, 502, "the model server's answer is not HTTP/1.0 or HTTP/1.1");
	for (unsigned i = 9; i < 12; i++) {
		if (!byte_is(p[i], BYTE_DIGIT))
			return head_bad(fault, 502, "the model server's status is not three digits");
		out->status = out->status * 10 + (unsigned)(p[i] - '0');
	}
	if (out->status < 100)
		return head_bad(fault, 502, "the model server's status is below 100");
	out->reason = (struct span){p + 13, n - 13};
	return HTTP_DONE;
}

/* Answers that have no body whatever their header lines say (RFC 9112, 6.3). */
static enum http_result bodyless_judge(enum http_method request, struct http_head *out, struct http_fault *fault)
{
	bool informational = out->status < 200;

	if (out->status == 101)
		return head_bad(fault, 502, "the model server switched protocols, which nobody asked it to");
	if (informational || out->status == 204) {
		if (out->framing == HTTP_BODY_CHUNKED || out->content_length)
			return head_bad(fault, 502, "the model server announced a body in an answer that cannot have one");
		out->framing = HTTP_BODY_NONE;
	} else if (out->status == 304 || request == HTTP_HEAD) {
		out->framing = HTTP_BODY_NONE;
	} else if (out->framing == HTTP_BODY_NONE) {
		out->framing = HTTP_BODY_CLOSE;
	}
	return HTTP_DONE;
}

static enum http_result response_parse(const char *buf, size_t n, size_t seen, const struct http_limits *limits,
				       enum http_method request, struct http_head *out, struct http_fault *fault)
{
	struct head_facts facts = {0};
	const char *eol;
	size_t end;
	enum http_result found;

	if (n && (buf[0] == '\r' || buf[0] == '\n'))
		return head_bad(fault, 502, "the model server's answer begins with an empty line");
	found = head_end_find(buf, n, 0, seen, limits, &end, fault);
	if (found != HTTP_DONE)
		return found;
	memset(out, 0, offsetof(struct http_head, headers));
	out->head_bytes = end;
	eol = memchr(buf, '\r', end);
	BUG_ON(!eol); /* head_end_find() saw the lines end */
	if (status_line_parse(buf, eol, out, fault) == HTTP_BAD ||
	    head_lines_parse(eol + 2, buf + end, limits->headers_max, out, &facts, fault) == HTTP_BAD ||
	    head_framing_judge(&facts, out, fault) == HTTP_BAD || bodyless_judge(request, out, fault) == HTTP_BAD)
		return HTTP_BAD;
	out->keep_alive = out->framing != HTTP_BODY_CLOSE && !facts.close && (out->minor == 1 || facts.keep_alive);
	return HTTP_DONE;
}

enum http_result http_response_parse(const char *buf, size_t n, size_t seen, const struct http_limits *limits,
				     enum http_method request, struct http_head *out, struct http_fault *fault)
{
	enum http_result r = response_parse(buf, n, seen, limits, request, out, fault);

	if (r == HTTP_BAD)
		fault->status = 502;
	return r;
}
