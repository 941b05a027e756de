/* Answers, framed as Go's net/http does it: a body of up to 2,048 bytes that was never flushed has a length, everything else is
 * chunked, and HTTP/1.0 streams end with the connection. */
#include "tools/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RESP_BUFFERED 2048U
#define UNREAD_LIMIT  262144 /* of a request body that nobody wanted */

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{200, "OK"},
	{201, "Created"},
	{204, "No Content"},
	{301, "Moved Permanently"},
	{307, "Temporary Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{417, "Expectation Failed"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{499, "status code 499"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{505, "HTTP Version Not Supported"},
};

const char *resp_reason(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "status code unknown";
}

void resp_begin(struct sim_ex *ex, int status, const char *ctype)
{
	ex->status = status;
	ex->ctype = ctype;
}

void resp_field(struct sim_ex *ex, const char *name, const char *value)
{
	buf_text(&ex->fields, name);
	buf_lit(&ex->fields, ": ");
	buf_text(&ex->fields, value);
	buf_lit(&ex->fields, "\r\n");
}

/* The header fields a handler sets leave Go in alphabetical order. */
static void fields_sorted_write(struct sim_ex *ex, struct buf *out)
{
	struct span line[24];
	size_t n = 0;
	struct span rest = buf_view(&ex->fields);

	while (rest.n && n < 24) {
		const char *nl = memchr(rest.p, '\n', rest.n);

		line[n].p = rest.p;
		line[n].n = (size_t)(nl + 1 - rest.p);
		rest.p += line[n].n;
		rest.n -= line[n].n;
		for (size_t i = n++; i > 0; i--) {
			struct span a = line[i - 1];
			struct span b = line[i];
			size_t an = (size_t)((const char *)memchr(a.p, ':', a.n) - a.p);
			size_t bn = (size_t)((const char *)memchr(b.p, ':', b.n) - b.p);
			int c = memcmp(a.p, b.p, an < bn ? an : bn);

			if (c < 0 || (c == 0 && an <= bn))
				break;
			line[i - 1] = b;
			line[i] = a;
		}
	}
	for (size_t i = 0; i < n; i++)
		buf_span(out, line[i]);
}

/* Does the rest of the request body make this connection unusable? */
static bool body_spoils(struct sim_conn *c)
{
	if (c->body_error)
		return true;
	if (c->body_done)
		return false;
	if (c->continue_due)
		return true;
	return !c->ex.head.chunked && c->body_left >= UNREAD_LIMIT;
}

static void connection_line(struct sim_ex *ex, struct buf *out, bool has_length)
{
	struct sim_conn *c = ex->conn;
	bool old = ex->head.major == 1 && ex->head.minor == 0;
	bool asked_close = ex->head.close;

	if (old) {
		if (ex->head.keep_alive && has_length && !asked_close)
			buf_lit(out, "Connection: keep-alive\r\n");
		else
			c->close_after = true;
		return;
	}
	if (asked_close || c->close_after || body_spoils(c)) {
		c->close_after = true;
		if (!ex->fields.n || !memmem(ex->fields.p, ex->fields.n, "Connection: close", 17))
			buf_lit(out, "Connection: close\r\n");
	}
}

static bool body_allowed(const struct sim_ex *ex)
{
	return ex->status >= 200 && ex->status != 204 && ex->status != 304;
}

/* `length` < 0: not known in advance. */
static void head_write(struct sim_ex *ex, int64_t length)
{
	struct buf *out = &ex->conn->out;
	bool old = ex->head.major == 1 && ex->head.minor == 0;
	bool head_request = span_eq(ex->head.method, SPAN_LIT("HEAD"));

	buf_text(out, old ? "HTTP/1.0 " : "HTTP/1.1 ");
	buf_i64(out, ex->status);
	buf_lit(out, " ");
	buf_text(out, resp_reason(ex->status));
	buf_lit(out, "\r\n");
	if (ex->ctype)
		resp_field(ex, "Content-Type", ex->ctype);
	fields_sorted_write(ex, out);
	buf_lit(out, "Date: ");
	text_http_date(out);
	buf_lit(out, "\r\n");
	if (length >= 0 && body_allowed(ex)) {
		buf_lit(out, "Content-Length: ");
		buf_i64(out, length);
		buf_lit(out, "\r\n");
	}
	connection_line(ex, out, length >= 0 || head_request);
	ex->chunked = length < 0 && !old && !head_request && body_allowed(ex);
	if (ex->chunked)
		buf_lit(out, "Transfer-Encoding: chunked\r\n");
	buf_lit(out, "\r\n");
	ex->head_sent = true;
}

static void body_write(struct sim_ex *ex, struct span s)
{
	struct buf *out = &ex->conn->out;
	char size[24];
	int n;

	if (!s.n || span_eq(ex->head.method, SPAN_LIT("HEAD")) || !body_allowed(ex))
		return;
	if (ex->chunked) {
		n = snprintf(size, sizeof(size), "%zx\r\n", s.n);
		buf_put(out, size, (size_t)n);
	}
	buf_span(out, s);
	if (ex->chunked)
		buf_lit(out, "\r\n");
}

void resp_flush(struct sim_ex *ex)
{
	if (!ex->head_sent)
		head_write(ex, -1);
	body_write(ex, buf_view(&ex->pending));
	ex->pending.n = 0;
}

void resp_write(struct sim_ex *ex, struct span s)
{
	buf_span(&ex->pending, s);
}

void resp_end(struct sim_ex *ex)
{
	if (ex->ended)
		return;
	ex->ended = true;
	if (!ex->head_sent) {
		bool empty_head = span_eq(ex->head.method, SPAN_LIT("HEAD")) && !ex->pending.n;

		head_write(ex, empty_head || ex->pending.n > RESP_BUFFERED ? -1 : (int64_t)ex->pending.n);
	}
	body_write(ex, buf_view(&ex->pending));
	ex->pending.n = 0;
	if (ex->chunked)
		buf_lit(&ex->conn->out, "0\r\n\r\n");
	sim_conn_answered(ex->conn);
}

void resp_full(struct sim_ex *ex, int status, const char *ctype, struct span body)
{
	resp_begin(ex, status, ctype);
	resp_write(ex, body);
	resp_end(ex);
}

static void error_compose(struct sim_ex *ex, int status, const char *message, struct buf *out)
{
	const struct sim_dialect *d = ex->dialect ? ex->dialect : &dialect_plain;

	d->error(ex, status, message, out, ex->translation);
	if (d->error_newline && !ex->translation)
		buf_lit(out, "\n");
	if (d->sse_headers && ex->stream && !ex->translation) {
		resp_field(ex, "Cache-Control", "no-cache");
		resp_field(ex, "Connection", "keep-alive");
	}
}

void sim_ex_fail(struct sim_ex *ex, int status, const char *message)
{
	const struct sim_dialect *d = ex->dialect ? ex->dialect : &dialect_plain;
	struct buf out = {0};

	error_compose(ex, status, message, &out);
	resp_full(ex, status, d->error_newline && !ex->translation ? "application/json" : "application/json; charset=utf-8",
		  buf_view(&out));
	buf_fini(&out);
}

void sim_ex_fail_streamed(struct sim_ex *ex, int status, const char *message)
{
	struct buf out = {0};

	error_compose(ex, status, message, &out);
	resp_begin(ex, status, "application/json");
	resp_write(ex, buf_view(&out));
	resp_flush(ex);
	resp_end(ex);
	buf_fini(&out);
}

void sim_ex_failf(struct sim_ex *ex, int status, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sim_ex_fail(ex, status, text);
}
