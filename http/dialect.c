#include "http/dialect.h"

#include <string.h>

#include "base/bug.h"
#include "http/bytes.h"

/* --- routes ------------------------------------------------------------------------------------------------------------ */

#define BIT(method) (1u << HTTP_##method)
#define OTHER(column) ((column) == 1 ? BIT(DELETE) : (column) == 2 ? BIT(PUT) : 0u)
#define READS(get)  ((get) == 1 ? BIT(GET) | BIT(HEAD) : (get) == 2 ? BIT(GET) : (get) == 3 ? BIT(HEAD) : 0u)

struct route_row {
	struct route route;
	size_t path_n;
};

static const struct route_row ROUTES[ROUTE_ID_COUNT] = {
#define ROUTE(id, path, get, post, other, dialect, kind, shape, stream)                                                            \
	{{ROUTE_ID_##id, path, READS(get) | ((post) ? BIT(POST) : 0u) | OTHER(other), DIALECT_##dialect, ROUTE_##kind,             \
	  STREAM_##shape, stream},                                                                                                 \
	 sizeof(path) - 1},
#include "http/routes.def"
#undef ROUTE
};

static bool route_matches(const struct route_row *row, const char *path, size_t n, struct span *tail)
{
	size_t stem = row->path_n - 1;

	if (row->route.path[stem] != '*')
		return row->path_n == n && memcmp(row->route.path, path, n) == 0;
	if (n <= stem || memcmp(row->route.path, path, stem) != 0 || memchr(path + stem, '/', n - stem))
		return false;
	*tail = (struct span){path + stem, n - stem};
	return true;
}

const struct route *route_find(const char *path, struct span *tail)
{
	size_t n = strlen(path);

	*tail = (struct span){NULL, 0};
	for (size_t i = 0; i < ARRAY_SIZE(ROUTES); i++)
		if (route_matches(&ROUTES[i], path, n, tail))
			return &ROUTES[i].route;
	return NULL;
}

static bool under(const char *path, struct span stem)
{
	return strncmp(path, stem.p, stem.n) == 0 && (path[stem.n] == '/' || !path[stem.n]);
}

/* Where only tsa's own routes are, or, for the last one, where a client of the replaced service asks for what it never answered. */
static bool is_tsa(const char *path)
{
	static const struct span STEMS[] = {SPAN_LIT("/api/v1"), SPAN_LIT("/api/optimization-stats")};

	for (size_t i = 0; i < ARRAY_SIZE(STEMS); i++)
		if (under(path, STEMS[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(ROUTES); i++)
		if (ROUTES[i].route.dialect == DIALECT_TSA && under(path, (struct span){ROUTES[i].route.path, ROUTES[i].path_n}))
			return true;
	return false;
}

enum dialect route_dialect_of(const char *path)
{
	if (is_tsa(path))
		return DIALECT_TSA;
	if (under(path, SPAN_LIT("/v1/messages")))
		return DIALECT_ANTHROPIC;
	if (under(path, SPAN_LIT("/v1")))
		return DIALECT_OPENAI;
	if (under(path, SPAN_LIT("/api")))
		return DIALECT_NATIVE;
	return DIALECT_PLAIN;
}

const char *route_allow(const struct route *r, char *buf, size_t size)
{
	static const struct {
		unsigned bit;
		const char *name;
	} METHODS[] = {{BIT(GET), "GET"}, {BIT(HEAD), "HEAD"}, {BIT(POST), "POST"}, {BIT(PUT), "PUT"}, {BIT(DELETE), "DELETE"}};
	struct http_out o = {buf, size ? size - 1 : 0, 0, false};

	for (size_t i = 0; i < ARRAY_SIZE(METHODS); i++) {
		if (!(r->methods & METHODS[i].bit))
			continue;
		if (o.len)
			http_out_text(&o, ", ");
		http_out_text(&o, METHODS[i].name);
	}
	if (size)
		buf[o.len] = 0;
	return buf;
}

/* --- JSON text --------------------------------------------------------------------------------------------------------- */

/* The escape of the character at `p`, `n` bytes long, into `buf`, as Go's encoder writes it; false when it stands for itself. */
static bool escape_of(const char *p, unsigned n, char buf[8])
{
	static const char HEX[] = "0123456789abcdef";
	static const char NAMED[] = "\"\\\n\r\t", NAMES[] = "\"\\nrt";
	const char *named = n == 1 && *p ? strchr(NAMED, *p) : NULL;
	unsigned char c = (unsigned char)*p;

	if (named) {
		memcpy(buf, "\\", 1);
		buf[1] = NAMES[named - NAMED];
		buf[2] = 0;
		return true;
	}
	if (n == 0) {
		memcpy(buf, "\\ufffd", 7);
		return true;
	}
	if (n == 1 && (c < 0x20 || c == 0x7f || c == '<' || c == '>' || c == '&')) {
		memcpy(buf, "\\u00", 4);
		buf[4] = HEX[c >> 4];
		buf[5] = HEX[c & 15];
		buf[6] = 0;
		return true;
	}
	if (n == 3 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0)) {
		memcpy(buf, p[2] == '\xa8' ? "\\u2028" : "\\u2029", 7);
		return true;
	}
	return false;
}

/* As much of `text` as fits, cut between characters. */
static void json_text(struct http_out *o, const char *text)
{
	size_t left = strlen(text);
	bool ends = false;

	while (left && !ends) {
		unsigned n = byte_utf8(text, left);
		char escape[8];

		if (escape_of(text, n, escape))
			http_out_text(o, escape);
		else
			http_out_bytes(o, text, n);
		ends = o->overflow;
		text += n ? n : 1;
		left -= n ? n : 1;
	}
	o->overflow = false;
}

/* `before`, the escaped text, `after`: always whole; only the text is cut.  0 when not even an empty text fits. */
static size_t json_wrap(const char *before, const char *text, const char *after, char *buf, size_t size)
{
	struct http_out o = {buf, size ? size - 1 : 0, 0, false};
	size_t reserve = strlen(after);

	if (!size)
		return 0;
	buf[0] = 0;
	if (o.cap < strlen(before) + reserve)
		return 0;
	o.cap -= reserve;
	http_out_text(&o, before);
	json_text(&o, text);
	o.cap += reserve;
	http_out_text(&o, after);
	buf[o.len] = 0;
	return o.len;
}

/* --- errors ------------------------------------------------------------------------------------------------------------ */

struct error_type {
	unsigned status;
	const char *openai;
	const char *anthropic;
};

/* Ollama's words, so that a client cannot tell who answered.  OpenAI's own service says other things for 429, but its clients go by
 * the status. */
static const struct error_type *error_type(unsigned status)
{
	static const struct error_type TYPES[] = {
		{400, "invalid_request_error", "invalid_request_error"},
		{401, "api_error", "authentication_error"},
		{403, "api_error", "permission_error"},
		{404, "not_found_error", "not_found_error"},
		{429, "api_error", "rate_limit_error"},
		{503, "api_error", "overloaded_error"},
		{529, "api_error", "overloaded_error"},
		{0, "api_error", "api_error"},
	};
	size_t i = 0;

	while (TYPES[i].status && TYPES[i].status != status)
		i++;
	return &TYPES[i];
}

static size_t openai_error(const struct error_type *type, const char *message, char *buf, size_t size)
{
	char after[96];
	struct http_out o = {after, sizeof(after) - 1, 0, false};

	http_out_text(&o, "\",\"type\":\"");
	http_out_text(&o, type->openai);
	http_out_text(&o, "\",\"param\":null,\"code\":null}}\n");
	after[o.len] = 0;
	return json_wrap("{\"error\":{\"message\":\"", message, after, buf, size);
}

static size_t anthropic_error(const struct error_type *type, const char *message, const char *request_id, char *buf, size_t size)
{
	char before[96], after[128];
	struct http_out o = {before, sizeof(before) - 1, 0, false};

	http_out_text(&o, "{\"type\":\"error\",\"error\":{\"type\":\"");
	http_out_text(&o, type->anthropic);
	http_out_text(&o, "\",\"message\":\"");
	before[o.len] = 0;
	if (request_id)
		json_wrap("\"},\"request_id\":\"", request_id, "\"}\n", after, sizeof(after));
	return json_wrap(before, message, request_id ? after : "\"}}\n", buf, size);
}

/* A line of text for people: what could drive a terminal becomes '?'. */
static size_t plain_error(const char *message, char *buf, size_t size)
{
	size_t n = 0;

	if (!size)
		return 0;
	for (; message[n] && n + 1 < size; n++)
		buf[n] = byte_is(message[n], BYTE_CONTROL) ? '?' : message[n];
	buf[n] = 0;
	return n;
}

size_t dialect_error(enum dialect d, unsigned status, const char *message, const char *request_id, char *buf, size_t size)
{
	switch (d) {
	case DIALECT_OPENAI:
		return openai_error(error_type(status), message, buf, size);
	case DIALECT_ANTHROPIC:
		return anthropic_error(error_type(status), message, request_id, buf, size);
	case DIALECT_PLAIN:
		return plain_error(message, buf, size);
	case DIALECT_TSA:
		return json_wrap("{\"detail\":\"", message, "\"}", buf, size);
	case DIALECT_NATIVE:
		break;
	}
	return json_wrap("{\"error\":\"", message, "\"}", buf, size);
}

const char *dialect_error_type(enum dialect d)
{
	switch (d) {
	case DIALECT_OPENAI:
	case DIALECT_ANTHROPIC:
	case DIALECT_TSA:
		return "application/json";
	case DIALECT_PLAIN:
		return "text/plain";
	case DIALECT_NATIVE:
		break;
	}
	return "application/json; charset=utf-8";
}

size_t dialect_stream_error(enum stream_shape shape, const char *message, char *buf, size_t size)
{
	switch (shape) {
	case STREAM_NDJSON:
		return json_wrap("{\"error\":\"", message, "\"}\n", buf, size);
	case STREAM_SSE_OPENAI:
		return json_wrap("data: {\"error\":{\"message\":\"", message,
				 "\",\"type\":\"api_error\",\"param\":null,\"code\":null}}\n\n", buf, size);
	case STREAM_SSE_ANTHROPIC:
		return json_wrap("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"",
				 message, "\"}}\n\n", buf, size);
	case STREAM_SSE_RESPONSES:
		/* The members that are documented, and the one that makes the official clients raise. */
		return json_wrap(
			"event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":\"server_error\",\"param\":null,"
			"\"message\":\"the stream broke off; see error\",\"error\":{\"type\":\"server_error\",\"message\":\"",
			message, "\"}}\n\n", buf, size);
	case STREAM_NONE:
		break;
	}
	if (size)
		buf[0] = 0;
	return 0;
}
