/* Request heads as Go's net/http reads them: what it forgives, what it refuses and in which words. */
#include "tools/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_LIMIT (1048576 + 4096)

static enum sim_head_error refuse(struct sim_head *h, int status, const char *text)
{
	h->error_status = status;
	h->error_text = text;
	return HEAD_BAD;
}

static bool token_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool token_ok(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!token_char((unsigned char)s.p[i]))
			return false;
	return s.n > 0;
}

static struct span trim(struct span s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

/* The next line of *rest without its end; false when there is no whole line. */
static bool line_take(struct span *rest, struct span *line)
{
	const char *nl = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;

	if (!nl)
		return false;
	*line = (struct span){rest->p, (size_t)(nl - rest->p)};
	rest->n -= line->n + 1;
	rest->p = nl + 1;
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	return true;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static bool percent_decode(struct arena *a, struct span s, struct span *out)
{
	char *to;
	char *start;

	if (!s.n || !memchr(s.p, '%', s.n)) {
		*out = s;
		return true;
	}
	start = to = arena_alloc(a, s.n);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%') {
			*to++ = s.p[i];
			continue;
		}
		if (i + 2 >= s.n || hex(s.p[i + 1]) < 0 || hex(s.p[i + 2]) < 0)
			return false;
		*to++ = (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]));
		i += 2;
	}
	*out = (struct span){start, (size_t)(to - start)};
	return true;
}

/* Split the target into path and query; an absolute form also names the host. */
static bool target_split(struct arena *a, struct sim_head *h)
{
	struct span t = h->target;
	const char *q;

	for (size_t i = 0; i < t.n; i++)
		if ((unsigned char)t.p[i] <= 0x20 || t.p[i] == 0x7f)
			return false;
	if (t.n && t.p[0] != '/' && !(t.n == 1 && t.p[0] == '*')) {
		const char *host = memmem(t.p, t.n, "://", 3);
		const char *slash;

		if (!host)
			return false;
		host += 3;
		slash = memchr(host, '/', t.n - (size_t)(host - t.p));
		if (!slash)
			slash = t.p + t.n;
		h->host = (struct span){host, (size_t)(slash - host)};
		h->has_host = true;
		t = (struct span){slash, t.n - (size_t)(slash - t.p)};
		if (!t.n)
			t = SPAN_LIT("/");
	}
	q = t.n ? memchr(t.p, '?', t.n) : NULL;
	h->raw_path = q ? (struct span){t.p, (size_t)(q - t.p)} : t;
	h->query = q ? (struct span){q, t.n - (size_t)(q - t.p)} : (struct span){"", 0};
	return percent_decode(a, h->raw_path, &h->path);
}

static enum sim_head_error request_line(struct arena *a, struct span line, struct sim_head *h)
{
	const char *first = line.n ? memchr(line.p, ' ', line.n) : NULL;
	const char *second = first ? memchr(first + 1, ' ', line.n - (size_t)(first + 1 - line.p)) : NULL;
	struct span proto;

	if (!second)
		return refuse(h, 400, NULL);
	h->method = (struct span){line.p, (size_t)(first - line.p)};
	h->target = (struct span){first + 1, (size_t)(second - first - 1)};
	proto = (struct span){second + 1, line.n - (size_t)(second + 1 - line.p)};
	if (!token_ok(h->method) || proto.n != 8 || memcmp(proto.p, "HTTP/", 5) || proto.p[6] != '.' || proto.p[5] < '0' ||
	    proto.p[5] > '9' || proto.p[7] < '0' || proto.p[7] > '9')
		return refuse(h, 400, NULL);
	h->major = (unsigned)(proto.p[5] - '0');
	h->minor = (unsigned)(proto.p[7] - '0');
	h->h2_preface = h->major == 2 && span_eq(h->method, SPAN_LIT("PRI")) && span_eq(h->target, SPAN_LIT("*"));
	if (!target_split(a, h))
		return refuse(h, 400, NULL);
	return HEAD_OK;
}

static bool value_ok(struct span v)
{
	for (size_t i = 0; i < v.n; i++)
		if (((unsigned char)v.p[i] < 0x20 && v.p[i] != '\t') || v.p[i] == 0x7f)
			return false;
	return true;
}

static bool has_token(struct span list, const char *word)
{
	while (list.n) {
		const char *comma = memchr(list.p, ',', list.n);
		size_t n = comma ? (size_t)(comma - list.p) : list.n;

		if (span_caseeq(trim((struct span){list.p, n}), span_of(word)))
			return true;
		list.p += comma ? n + 1 : n;
		list.n -= comma ? n + 1 : n;
	}
	return false;
}

/* One more header line; `line` may be a continuation of the one before. */
static bool header_line(struct arena *a, struct span line, struct sim_head *h)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct sim_header *last = h->headers_n ? &h->headers[h->headers_n - 1] : NULL;

	if (line.p[0] == ' ' || line.p[0] == '\t') {
		struct buf joined = {0};

		if (!last)
			return false;
		buf_span(&joined, last->value);
		buf_lit(&joined, " ");
		buf_span(&joined, trim(line));
		last->value = (struct span){arena_copy(a, buf_view(&joined)), joined.n};
		buf_fini(&joined);
		return true;
	}
	if (!colon || colon == line.p)
		return false;
	if (h->headers_n == SIM_HEADERS)
		return true;
	h->headers[h->headers_n++] = (struct sim_header){{line.p, (size_t)(colon - line.p)},
							 trim((struct span){colon + 1, line.n - (size_t)(colon + 1 - line.p)})};
	return true;
}

static bool length_read(struct sim_head *h, struct span v)
{
	int64_t n = 0;

	if (!v.n || v.n > 18)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
		n = n * 10 + (v.p[i] - '0');
	}
	if (h->length >= 0 && h->length != n)
		return false;
	h->length = n;
	return true;
}

static enum sim_head_error framing_read(struct sim_head *h)
{
	unsigned hosts = 0;
	bool bad_length = false;

	for (size_t i = 0; i < h->headers_n; i++) {
		struct sim_header *f = &h->headers[i];

		if (span_caseeq(f->name, SPAN_LIT("host"))) {
			if (!h->has_host || hosts)
				h->host = f->value;
			h->has_host = true;
			hosts++;
		} else if (span_caseeq(f->name, SPAN_LIT("content-length"))) {
			bad_length |= !length_read(h, f->value);
		} else if (span_caseeq(f->name, SPAN_LIT("transfer-encoding")) && (h->major > 1 || h->minor >= 1)) {
			if (h->chunked || !span_caseeq(f->value, SPAN_LIT("chunked")))
				return refuse(h, 501, NULL);
			h->chunked = true;
		} else if (span_caseeq(f->name, SPAN_LIT("connection"))) {
			h->close |= has_token(f->value, "close");
			h->keep_alive |= has_token(f->value, "keep-alive");
		} else if (span_caseeq(f->name, SPAN_LIT("expect"))) {
			h->expect_continue |= has_token(f->value, "100-continue");
			h->expect_other |= !has_token(f->value, "100-continue");
		}
	}
	if (hosts > 1)
		return refuse(h, 400, NULL);
	if (h->chunked)
		h->length = -1;
	else if (bad_length)
		return refuse(h, 400, NULL);
	return HEAD_OK;
}

static enum sim_head_error rules_check(struct sim_head *h)
{
	if (h->major != 1 && !h->h2_preface)
		return refuse(h, 505, "unsupported protocol version");
	if (h->minor >= 1 && !h->has_host && !h->h2_preface)
		return refuse(h, 400, "missing required Host header");
	for (size_t i = 0; i < h->host.n; i++)
		if ((unsigned char)h->host.p[i] <= 0x20 || strchr("\"<>\\^`{|}", h->host.p[i]))
			return refuse(h, 400, "malformed Host header");
	for (size_t i = 0; i < h->headers_n; i++) {
		if (!token_ok(h->headers[i].name))
			return refuse(h, 400, "invalid header name");
		if (!value_ok(h->headers[i].value))
			return refuse(h, 400, "invalid header value");
	}
	return HEAD_OK;
}

/* False while the empty line that ends the head has not come; looks only where it can be. */
static bool head_whole(struct span in)
{
	const char *p = in.p;
	const char *end = in.p + in.n;

	while ((p = memchr(p, '\n', (size_t)(end - p)))) {
		p++;
		if (p < end && *p == '\n')
			return true;
		if (p + 1 < end && p[0] == '\r' && p[1] == '\n')
			return true;
	}
	return false;
}

enum sim_head_error sim_head_parse(struct arena *a, struct span in, struct sim_head *out, size_t *used)
{
	struct span rest = in;
	struct span line;
	enum sim_head_error err;

	out->length = -1;
	if (!line_take(&rest, &line))
		return in.n > HEAD_LIMIT ? refuse(out, 431, NULL) : HEAD_MORE;
	err = request_line(a, line, out);
	if (err)
		return err;
	if (!head_whole(in)) {
		if (in.n > HEAD_LIMIT)
			return refuse(out, 431, NULL);
		return HEAD_MORE;
	}
	for (;;) {
		if (!line_take(&rest, &line))
			return HEAD_MORE;
		if (!line.n)
			break;
		if (!header_line(a, line, out))
			return refuse(out, 400, NULL);
	}
	*used = in.n - rest.n;
	if (*used > HEAD_LIMIT)
		return refuse(out, 431, NULL);
	err = framing_read(out);
	return err ? err : rules_check(out);
}

struct span sim_head_get(const struct sim_head *h, const char *name)
{
	for (size_t i = 0; i < h->headers_n; i++)
		if (span_caseeq(h->headers[i].name, span_of(name)))
			return h->headers[i].value;
	return (struct span){"", 0};
}
