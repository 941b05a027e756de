#include "http/head.h"

#include <string.h>

#include "base/bug.h"
#include "http/bytes.h"

enum http_result head_bad(struct http_fault *fault, unsigned status, const char *reason)
{
	fault->status = status;
	fault->reason = reason;
	return HTTP_BAD;
}

/* --- the end of a head ------------------------------------------------------------------------------------------------- */

static enum http_result control_bad(const char *buf, size_t at, struct http_fault *fault)
{
	if (at == 0 && buf[0] == 0x16)
		return head_bad(fault, 400, "TLS bytes on a plain HTTP port; write http:// and not https://");
	if (buf[at] == '\n')
		return head_bad(fault, 400, "a line of the head ends in LF alone; end lines with CR LF");
	if (buf[at] == '\r')
		return head_bad(fault, 400, "a CR without LF in the head; end lines with CR LF");
	if (buf[at] == 0)
		return head_bad(fault, 400, "a NUL byte in the head; remove it");
	return head_bad(fault, 400, "a control byte in the head; only HTAB may stand in a header value");
}

static enum http_result end_missing(const char *buf, size_t n, size_t base, const struct http_limits *limits,
				    struct http_fault *fault)
{
	size_t have = n < limits->head_bytes ? n : limits->head_bytes;

	if (n < limits->head_bytes)
		return HTTP_MORE;
	if (have <= base || !memchr(buf + base, '\n', have - base))
		return head_bad(fault, 414, "the first line is longer than a whole head may be; shorten the request target");
	return head_bad(fault, 431, "the head is too large; send fewer or shorter header lines");
}

enum http_result head_end_find(const char *buf, size_t n, size_t base, size_t seen, const struct http_limits *limits, size_t *end,
			       struct http_fault *fault)
{
	size_t have = n < limits->head_bytes ? n : limits->head_bytes;
	size_t i = seen > base ? seen : base;

	/* A CR that was the last byte then has not been judged yet. */
	if (i > base && i <= n && buf[i - 1] == '\r')
		i--;
	while (i < have) {
		i += run_text(buf + i, have - i);
		if (i == have)
			break;
		if (buf[i] == '\t') {
			i++;
			continue;
		}
		if (buf[i] != '\r')
			return control_bad(buf, i, fault);
		if (i + 1 == have)
			break;
		if (buf[i + 1] != '\n')
			return control_bad(buf, i, fault);
		if (i > base && buf[i - 1] == '\n') {
			*end = i + 2;
			return HTTP_DONE;
		}
		i += 2;
	}
	return end_missing(buf, n, base, limits, fault);
}

/* --- header names ------------------------------------------------------------------------------------------------------ */

static const struct span NAMES[HTTP_H_COUNT] = {
#define HEADER(id, name) [HTTP_H_##id] = {name, sizeof(name) - 1},
#include "http/headers.def"
#undef HEADER
};

#define NAME_SLOTS 256 /* a power of two, several times the number of names, so that probing ends at once */
_Static_assert(HTTP_H_COUNT * 4 <= NAME_SLOTS, "make NAME_SLOTS larger");

static unsigned name_slot(const char *p, size_t n)
{
	return ((unsigned)n * 7 + ((unsigned)p[0] | 0x20) * 5 + ((unsigned)p[n - 1] | 0x20) * 3) % NAME_SLOTS;
}

/* The names by hash, filled at first use; each process has one thread. */
static const uint8_t *name_table(void)
{
	static uint8_t slots[NAME_SLOTS];
	static bool filled;

	for (unsigned id = 1; !filled && id < HTTP_H_COUNT; id++) {
		unsigned s = name_slot(NAMES[id].p, NAMES[id].n);

		while (slots[s])
			s = (s + 1) % NAME_SLOTS;
		slots[s] = (uint8_t)id;
	}
	filled = true;
	return slots;
}

static bool name_eq(const char *name, const char *lower, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (byte_lower(name[i]) != lower[i])
			return false;
	return true;
}

static enum http_header_id name_id(struct span name, const uint8_t *table)
{
	for (unsigned s = name_slot(name.p, name.n); table[s]; s = (s + 1) % NAME_SLOTS) {
		struct span known = NAMES[table[s]];

		if (known.n == name.n && name_eq(name.p, known.p, name.n))
			return table[s];
	}
	return HTTP_H_OTHER;
}

/* --- lists ------------------------------------------------------------------------------------------------------------- */

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span trimmed(const char *p, const char *end)
{
	while (p < end && blank(*p))
		p++;
	while (end > p && blank(end[-1]))
		end--;
	return (struct span){p, (size_t)(end - p)};
}

/* The next element of a comma-separated list; false at its end.  *rest shrinks. */
static bool list_next(struct span *rest, struct span *item)
{
	const char *comma;

	if (!rest->p)
		return false;
	comma = rest->n ? memchr(rest->p, ',', rest->n) : NULL;
	*item = trimmed(rest->p, comma ? comma : rest->p + rest->n);
	*rest = comma ? (struct span){comma + 1, rest->n - (size_t)(comma + 1 - rest->p)} : (struct span){NULL, 0};
	return true;
}

struct span http_header_get(const struct http_head *head, enum http_header_id id)
{
	for (unsigned i = 0; i < head->n_headers; i++)
		if (head->headers[i].id == id)
			return head->headers[i].value;
	return (struct span){NULL, 0};
}

struct span http_header_find(const struct http_head *head, const char *name)
{
	struct span want = span_of(name);

	for (unsigned i = 0; i < head->n_headers; i++)
		if (span_caseeq(head->headers[i].name, want))
			return head->headers[i].value;
	return (struct span){NULL, 0};
}

bool http_header_has_token(const struct http_head *head, enum http_header_id id, const char *token)
{
	struct span want = span_of(token), item;

	for (unsigned i = 0; i < head->n_headers; i++) {
		struct span rest = head->headers[i].value;

		if (head->headers[i].id != id)
			continue;
		while (list_next(&rest, &item))
			if (span_caseeq(item, want))
				return true;
	}
	return false;
}

/* --- header lines ------------------------------------------------------------------------------------------------------ */

/* Connection may name headers that end here.  One that names what frames or addresses the message would make the next hop read
 * another message than this one. */
static enum http_result connection_note(struct span value, struct head_facts *facts, struct http_fault *fault)
{
	struct span item;

	while (list_next(&value, &item)) {
		if (span_caseeq(item, SPAN_LIT("close")))
			facts->close = true;
		else if (span_caseeq(item, SPAN_LIT("keep-alive")))
			facts->keep_alive = true;
		else if (span_caseeq(item, SPAN_LIT("content-length")) || span_caseeq(item, SPAN_LIT("transfer-encoding")) ||
			 span_caseeq(item, SPAN_LIT("host")))
			return head_bad(fault, 400,
					"Connection names a header that frames or addresses the message; remove it from the list");
	}
	return HTTP_DONE;
}

static enum http_result header_note(const struct http_header *h, struct http_head *out, struct head_facts *facts,
				    struct http_fault *fault)
{
	switch (h->id) {
	case HTTP_H_HOST:
		facts->n_host++;
		out->host = h->value;
		break;
	case HTTP_H_CONTENT_LENGTH:
		facts->n_length++;
		facts->length = h->value;
		break;
	case HTTP_H_TRANSFER_ENCODING:
		facts->n_coding++;
		facts->coding = h->value;
		break;
	case HTTP_H_EXPECT:
		facts->n_expect++;
		facts->expect = h->value;
		break;
	case HTTP_H_CONTENT_TYPE:
		facts->n_type++;
		break;
	case HTTP_H_UPGRADE:
		facts->upgrade = h->value;
		break;
	case HTTP_H_CONNECTION:
		return connection_note(h->value, facts, fault);
	default:
		break;
	}
	return HTTP_DONE;
}

static enum http_result name_bad(const char *line, const char *at, struct http_fault *fault)
{
	if (at == line && blank(*at))
		return head_bad(fault, 400, "a header line begins with a blank; folded lines are not accepted, write one line");
	if (at == line && *at == ':')
		return head_bad(fault, 400, "a header line without a name; remove it");
	if (blank(*at))
		return head_bad(fault, 400, "a blank in a header name or before its colon; remove it");
	if (*at == '\r')
		return head_bad(fault, 400, "a header line without a colon; write Name: value");
	return head_bad(fault, 400, "a byte in a header name that may not stand there; use letters, digits and -");
}

enum http_result head_lines_parse(const char *p, const char *end, unsigned headers_max, struct http_head *out,
				  struct head_facts *facts, struct http_fault *fault)
{
	const uint8_t *table = name_table();
	unsigned n = 0;

	while (p < end - 2) {
		struct http_header *h = &out->headers[n];
		const char *colon = p, *cr;

		while (byte_is(*colon, BYTE_TOKEN))
			colon++;
		if (colon == p || *colon != ':')
			return name_bad(p, colon, fault);
		if (n == headers_max || n == HTTP_HEADERS_MAX)
			return head_bad(fault, 431, "too many header lines; send fewer");
		cr = memchr(colon, '\r', (size_t)(end - colon));
		BUG_ON(!cr); /* head_end_find() saw the lines end */
		h->name = (struct span){p, (size_t)(colon - p)};
		h->value = trimmed(colon + 1, cr);
		h->id = name_id(h->name, table);
		out->n_headers = ++n;
		if (h->id && header_note(h, out, facts, fault) == HTTP_BAD)
			return HTTP_BAD;
		p = cr + 2;
	}
	return HTTP_DONE;
}

/* --- framing ----------------------------------------------------------------------------------------------------------- */

#define LENGTH_DIGITS 18 /* 10^18 < 2^62: no sum of such a length and a head can wrap */

static enum http_result length_parse(struct span text, uint64_t *out, struct http_fault *fault)
{
	uint64_t v = 0;

	if (!text.n)
		return head_bad(fault, 400, "Content-Length is empty; send its digits or leave it out");
	for (size_t i = 0; i < text.n; i++) {
		if (!byte_is(text.p[i], BYTE_DIGIT))
			return head_bad(fault, 400, "Content-Length is not one whole number; send its digits alone");
		if (i == LENGTH_DIGITS)
			return head_bad(fault, 400, "Content-Length is too long a number; send the length of the body");
		v = v * 10 + (uint64_t)(text.p[i] - '0');
	}
	*out = v;
	return HTTP_DONE;
}

enum http_result head_framing_judge(const struct head_facts *facts, struct http_head *out, struct http_fault *fault)
{
	out->framing = HTTP_BODY_NONE;
	if (facts->n_coding) {
		if (facts->n_coding > 1)
			return head_bad(fault, 400, "two Transfer-Encoding lines; send one");
		if (facts->n_length)
			return head_bad(fault, 400, "Transfer-Encoding beside Content-Length; send one of them");
		if (out->minor == 0)
			return head_bad(fault, 400,
					"Transfer-Encoding in an HTTP/1.0 message; send Content-Length, or speak HTTP/1.1");
		if (!facts->coding.n)
			return head_bad(fault, 400, "Transfer-Encoding is empty; send chunked or leave it out");
		if (!span_caseeq(facts->coding, SPAN_LIT("chunked")))
			return head_bad(fault, 501,
					"the only transfer coding known here is chunked; send the body so or with Content-Length");
		out->framing = HTTP_BODY_CHUNKED;
		return HTTP_DONE;
	}
	if (!facts->n_length)
		return HTTP_DONE;
	if (facts->n_length > 1)
		return head_bad(fault, 400, "two Content-Length lines; send one");
	out->framing = HTTP_BODY_LENGTH;
	return length_parse(facts->length, &out->content_length, fault);
}

enum http_result head_version_parse(const char *p, size_t n, struct http_head *out, struct http_fault *fault)
{
	if (n != 8 || memcmp(p, "HTTP/", 5) != 0 || !byte_is(p[5], BYTE_DIGIT) || p[6] != '.' || !byte_is(p[7], BYTE_DIGIT))
		return head_bad(fault, 400,
				"the first line does not name an HTTP version as HTTP/1.1; check for a blank in the target");
	if (p[5] != '1' || p[7] > '1')
		return head_bad(fault, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here; use one of them");
	out->minor = (unsigned)(p[7] - '0');
	return HTTP_DONE;
}
