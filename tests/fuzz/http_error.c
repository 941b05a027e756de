/* What the router writes of itself: whatever bytes a message holds, an error answer is well-formed in its dialect and stays one line
 * or one event, and a header that was taken reads back as it was.
 *
 * Two bytes choose dialect, status and room; the rest is the message, a path and a header's value. */
#include "tests/fuzz/slow_json.h"

#include "http/dialect.h"
#include "http/http.h"

static void json_check(const char *p, size_t n)
{
	static struct slow_json s;

	CHECK(slow_object(&s, p, n, 8));
	CHECK(!memchr(p, '<', n));
	for (size_t i = 0; i < n; i++)
		CHECK((unsigned char)p[i] >= 0x20 && (unsigned char)p[i] != 0x7f);
}

static void error_check(enum dialect d, unsigned status, const char *message, const char *id, size_t room)
{
	char *buf = malloc(room ? room : 1);
	size_t n;

	CHECK(buf);
	n = dialect_error(d, status, message, id, buf, room);
	CHECK(room ? n < room && buf[n] == 0 && strlen(buf) == n : n == 0);
	CHECK(*dialect_error_type(d));
	if (d == DIALECT_PLAIN) {
		for (size_t i = 0; i < n; i++)
			CHECK((unsigned char)buf[i] >= 0x20 && buf[i] != 0x7f);
	} else if (n) {
		bool line = d == DIALECT_OPENAI || d == DIALECT_ANTHROPIC;

		json_check(buf, n - line);
		CHECK(!line || buf[n - 1] == '\n');
	}
	free(buf);
}

static void stream_check(enum stream_shape shape, const char *message, size_t room)
{
	char *buf = malloc(room ? room : 1), *json;
	struct stream_watch w;
	size_t n;

	CHECK(buf);
	n = dialect_stream_error(shape, message, buf, room);
	CHECK(room ? n < room && buf[n] == 0 : n == 0);
	CHECK(!n || shape != STREAM_NONE);
	if (n) {
		json = shape == STREAM_NDJSON ? buf : strstr(buf, "data: ") + 6;
		json_check(json, (size_t)(strchr(json, '\n') - json));
		CHECK(strchr(json, '\n') + (shape == STREAM_NDJSON ? 1 : 2) == buf + n);
		stream_watch_init(&w, shape);
		stream_watch_feed(&w, buf, n);
		CHECK(!(w.flags & STREAM_SAW_FINAL) && !stream_watch_midline(&w));
		CHECK(shape == STREAM_SSE_OPENAI || w.flags & STREAM_SAW_ERROR);
	}
	free(buf);
}

/* Through the writer and back through the parser. */
static void header_check(struct span value, unsigned status)
{
	static struct http_head head;
	static const struct http_limits LIMITS = {8192, 8};
	static char buf[8192];
	struct http_out o = {buf, sizeof(buf) - 2, 0, false};
	struct http_fault fault;

	http_out_status(&o, status);
	http_out_header(&o, "X-Text", value);
	http_out_header_num(&o, "X-Number", value.n * 0x9e3779b97f4a7c15ULL);
	if (o.overflow)
		return;
	http_out_text(&o, "Content-Length: 0\r\n");
	if (o.overflow)
		return;
	memcpy(buf + o.len, "\r\n", 2);
	CHECK(http_response_parse(buf, o.len + 2, 0, &LIMITS, HTTP_GET, &head, &fault) == HTTP_DONE);
	while (value.n && (*value.p == ' ' || *value.p == '\t'))
		value.p++, value.n--;
	while (value.n && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
		value.n--;
	CHECK(head.n_headers == 3 && head.status == status && span_eq(http_header_find(&head, "x-text"), value));
	CHECK(span_eq(head.reason, span_of(http_status_text(status))));
}

/* A name with any byte in it is either a token or refused. */
static void name_check(const char *name)
{
	char buf[512];
	struct http_out text = {buf, sizeof(buf), 0, false}, number = text;
	size_t token = strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	bool good = token && !name[token] && token + 5 < sizeof(buf);

	http_out_header(&text, name, SPAN_LIT("1"));
	http_out_header_num(&number, name, 1);
	CHECK(text.overflow == !good && number.overflow == !good);
}

/* A chunk's head is read by the decoder as the size that was meant. */
static void chunk_check(size_t bytes)
{
	char line[20];
	size_t n = http_chunk_head(line, bytes), used;
	unsigned n_out = 0;
	struct http_body body;
	struct http_fault fault;

	http_body_init(&body, HTTP_BODY_CHUNKED, 0);
	CHECK(n <= sizeof(line) && http_body_feed(&body, line, n, &used, NULL, &n_out, &fault) == HTTP_MORE);
	CHECK(used == n && body.left == bytes);
}

static void route_check(const char *path)
{
	char allow[32];
	struct span tail;
	const struct route *r = route_find(path, &tail);

	if (!r) {
		CHECK(route_dialect_of(path) <= DIALECT_TSA);
		return;
	}
	CHECK(strlen(route_allow(r, allow, sizeof(allow))) > 0 && strlen(allow) < sizeof(allow) - 1);
	CHECK(r->dialect == route_dialect_of(path) || r->dialect == DIALECT_PLAIN || r->dialect == DIALECT_NATIVE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned STATUSES[] = {400, 401, 403, 404, 405, 429, 500, 502, 503, 504, 529};
	unsigned status;
	size_t room;
	char *message;

	if (size < 2)
		return 0;
	status = STATUSES[data[0] / 4 % (sizeof(STATUSES) / sizeof(STATUSES[0]))];
	room = data[1] < 200 ? (size_t)data[1] * 3 : 4096;
	message = malloc(size - 1);
	CHECK(message);
	memcpy(message, data + 2, size - 2);
	message[size - 2] = 0;
	error_check((enum dialect)(data[0] % 5), status, message, data[1] & 1 ? message : NULL, room);
	stream_check((enum stream_shape)(data[0] % 5), message, room);
	header_check((struct span){message, size - 2}, status);
	name_check(message);
	chunk_check(((size_t)data[0] << 8 | data[1]) << data[0] % 40);
	route_check(message);
	free(message);
	return 0;
}
