/* Routes and error shapes: what Ollama's clients read, byte for byte. */
#include <json-c/json.h>

#include "tests/unit/http_table.h"

#include "http/dialect.h"

/* --- routes ------------------------------------------------------------------------------------------------------------ */

struct route_row {
	const char   *name; /* the path */
	enum route_id id;   /* ROUTE_ID_COUNT: there is none */
	const char   *tail;
	const char   *allow;
};

static struct route_row ROUTES[] = {
	{"/", ROUTE_ID_ROOT, NULL, "GET, HEAD"},
	{"/api/version", ROUTE_ID_VERSION, NULL, "GET, HEAD"},
	{"/api/ps", ROUTE_ID_PS, NULL, "GET"},
	{"/api/chat", ROUTE_ID_CHAT, NULL, "POST"},
	{"/api/delete", ROUTE_ID_DELETE, NULL, "DELETE"},
	{"/api/blobs/sha256:00", ROUTE_ID_BLOBS, "sha256:00", "HEAD, POST"},
	{"/api/user/keys/k", ROUTE_ID_USER_KEYS, "k", "DELETE"},
	{"/v1/models", ROUTE_ID_V1_MODELS, NULL, "GET"},
	{"/v1/models/qwen3:8b", ROUTE_ID_V1_MODEL, "qwen3:8b", "GET"},
	{"/v1/chat/completions", ROUTE_ID_V1_CHAT, NULL, "POST"},
	{"/v1/messages", ROUTE_ID_V1_MESSAGES, NULL, "POST"},
	{"/healthz", ROUTE_ID_HEALTHZ, NULL, "GET, HEAD"},
	{"/api/v1/model-router/assignments/code", ROUTE_ID_MR_ASSIGNMENT, "code", "PUT"},
	{"/health", ROUTE_ID_HEALTH, NULL, "GET, HEAD"},
	{"/api/health/details", ROUTE_ID_API_HEALTH_DETAILS, NULL, "GET"},
	{"", ROUTE_ID_COUNT, NULL, NULL},
	{"/api", ROUTE_ID_COUNT, NULL, NULL},
	{"/api/", ROUTE_ID_COUNT, NULL, NULL},
	{"/api/chat/", ROUTE_ID_COUNT, NULL, NULL},
	{"/api/chat2", ROUTE_ID_COUNT, NULL, NULL},
	{"/API/chat", ROUTE_ID_COUNT, NULL, NULL},
	{"/v1/models/", ROUTE_ID_COUNT, NULL, NULL},
	{"/v1/models/a/b", ROUTE_ID_COUNT, NULL, NULL},
	{"/v1/messages/count_tokens", ROUTE_ID_COUNT, NULL, NULL},
	{"/debug/pprof/", ROUTE_ID_COUNT, NULL, NULL},
	{"*", ROUTE_ID_COUNT, NULL, NULL},
};

static void test_route(void **state)
{
	const struct route_row *row = *state;
	struct span tail;
	char allow[32];
	const struct route *r = route_find(row->name, &tail);

	if (row->id == ROUTE_ID_COUNT) {
		assert_null(r);
		assert_null(tail.p);
		return;
	}
	assert_non_null(r);
	assert_int_equal(r->id, row->id);
	assert_string_equal(route_allow(r, allow, sizeof(allow)), row->allow);
	if (row->tail)
		assert_true(span_eq(tail, span_of(row->tail)));
	else
		assert_null(tail.p);
}

/* Every row of the table is found by its own path, and no other. */
static void test_every_route(void **state)
{
	static const char *const PATHS[ROUTE_ID_COUNT] = {
#define ROUTE(id, path, get, post, other, dialect, kind, shape, stream) [ROUTE_ID_##id] = path,
#include "http/routes.def"
#undef ROUTE
	};

	(void)state;
	for (unsigned id = 0; id < ROUTE_ID_COUNT; id++) {
		struct span tail;
		const struct route *r = route_find(PATHS[id], &tail);

		assert_non_null(r);
		assert_int_equal(r->id, id);
		assert_true(r->kind != ROUTE_UNKNOWN && r->methods);
		assert_int_equal(r->dialect == DIALECT_PLAIN ? r->dialect : route_dialect_of(r->path), r->id == ROUTE_ID_ROOT ? DIALECT_PLAIN : r->dialect);
	}
}

static void test_allow_cut(void **state)
{
	struct span tail;
	char allow[6];

	(void)state;
	assert_string_equal(route_allow(route_find("/", &tail), allow, sizeof(allow)), "GET, ");
}

struct dialect_row {
	const char  *name; /* the path */
	enum dialect dialect;
};

static struct dialect_row DIALECTS[] = {
	{"/api/x", DIALECT_NATIVE},	  {"/api", DIALECT_NATIVE},   {"/apix", DIALECT_PLAIN},        {"/v1/x", DIALECT_OPENAI},
	{"/v1", DIALECT_OPENAI},	  {"/v12", DIALECT_PLAIN},    {"/v1/messages/x", DIALECT_ANTHROPIC},
	{"/v1/messagesx", DIALECT_OPENAI}, {"/", DIALECT_PLAIN},      {"", DIALECT_PLAIN},             {"/favicon.ico", DIALECT_PLAIN},
	{"/api/v1/x", DIALECT_TSA},	  {"/health/x", DIALECT_TSA}, {"/healthx", DIALECT_PLAIN},
	{"/api/optimization-stats", DIALECT_TSA},
};

static void test_dialect_of(void **state)
{
	const struct dialect_row *row = *state;

	assert_int_equal(route_dialect_of(row->name), row->dialect);
}

/* --- errors ------------------------------------------------------------------------------------------------------------ */

struct error_row {
	const char  *name;
	enum dialect dialect;
	unsigned     status;
	const char  *message;
	const char  *request_id;
	const char  *body;
};

static struct error_row ERRORS[] = {
	{"native", DIALECT_NATIVE, 404, "model 'x' not found", "req_1", "{\"error\":\"model 'x' not found\"}"},
	{"TSA", DIALECT_TSA, 404, "Not \"Found\"", NULL, "{\"detail\":\"Not \\\"Found\\\"\"}"},
	{"OpenAI 400", DIALECT_OPENAI, 400, "m", NULL,
	 "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}\n"},
	{"OpenAI 404", DIALECT_OPENAI, 404, "m", NULL,
	 "{\"error\":{\"message\":\"m\",\"type\":\"not_found_error\",\"param\":null,\"code\":null}}\n"},
	{"OpenAI 429", DIALECT_OPENAI, 429, "m", NULL, "{\"error\":{\"message\":\"m\",\"type\":\"api_error\",\"param\":null,\"code\":null}}\n"},
	{"OpenAI 503", DIALECT_OPENAI, 503, "m", NULL, "{\"error\":{\"message\":\"m\",\"type\":\"api_error\",\"param\":null,\"code\":null}}\n"},
	{"Anthropic 400", DIALECT_ANTHROPIC, 400, "m", "req_1",
	 "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"m\"},\"request_id\":\"req_1\"}\n"},
	{"Anthropic 401", DIALECT_ANTHROPIC, 401, "m", "r",
	 "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"m\"},\"request_id\":\"r\"}\n"},
	{"Anthropic 403", DIALECT_ANTHROPIC, 403, "m", "r",
	 "{\"type\":\"error\",\"error\":{\"type\":\"permission_error\",\"message\":\"m\"},\"request_id\":\"r\"}\n"},
	{"Anthropic 404", DIALECT_ANTHROPIC, 404, "m", "r",
	 "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"m\"},\"request_id\":\"r\"}\n"},
	{"Anthropic 429", DIALECT_ANTHROPIC, 429, "m", "r",
	 "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"m\"},\"request_id\":\"r\"}\n"},
	{"Anthropic 500", DIALECT_ANTHROPIC, 500, "m", "r",
	 "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\"},\"request_id\":\"r\"}\n"},
	{"Anthropic 503", DIALECT_ANTHROPIC, 503, "m", "r",
	 "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"},\"request_id\":\"r\"}\n"},
	{"Anthropic 529", DIALECT_ANTHROPIC, 529, "m", "r",
	 "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"},\"request_id\":\"r\"}\n"},
	{"Anthropic without an id", DIALECT_ANTHROPIC, 500, "m", NULL, "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\"}}\n"},
	{"Anthropic with a strange id", DIALECT_ANTHROPIC, 500, "m", "\"\n",
	 "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\"},\"request_id\":\"\\\"\\n\"}\n"},
	{"plain", DIALECT_PLAIN, 404, "404 page not found", NULL, "404 page not found"},
	{"plain with what drives terminals", DIALECT_PLAIN, 404, "a\x1b[2J\r\n\x7f", NULL, "a?[2J???"},
	{"escapes", DIALECT_NATIVE, 400, "\"\\\n\r\t\b\x01\x7f", NULL, "{\"error\":\"\\\"\\\\\\n\\r\\t\\u0008\\u0001\\u007f\"}"},
	{"escapes as Go's encoder", DIALECT_NATIVE, 400, "<a>&\xe2\x80\xa8\xe2\x80\xa9", NULL,
	 "{\"error\":\"\\u003ca\\u003e\\u0026\\u2028\\u2029\"}"},
	{"UTF-8 stays", DIALECT_NATIVE, 400, "\xc3\xa9\xf0\x9f\x98\x80\xe2\x80\xa7", NULL, "{\"error\":\"\xc3\xa9\xf0\x9f\x98\x80\xe2\x80\xa7\"}"},
	{"invalid UTF-8 is replaced", DIALECT_NATIVE, 400, "\xff\xc3(\xe2\x82", NULL, "{\"error\":\"\\ufffd\\ufffd(\\ufffd\\ufffd\"}"},
	{"empty message", DIALECT_NATIVE, 400, "", NULL, "{\"error\":\"\"}"},
};

static void test_error(void **state)
{
	const struct error_row *row = *state;
	char buf[512];
	size_t n = dialect_error(row->dialect, row->status, row->message, row->request_id, buf, sizeof(buf));

	assert_string_equal(buf, row->body);
	assert_int_equal(n, strlen(row->body));
}

/* Whatever the room: complete JSON or nothing, within the room, and a prefix of the message. */
static void test_error_cut(void **state)
{
	static const char MESSAGE[] = "a \"quoted\" \xf0\x9f\x98\x80 message\n<with> everything";

	(void)state;
	for (unsigned d = DIALECT_NATIVE; d <= DIALECT_PLAIN; d++)
		for (size_t size = 0; size < 220; size++) {
			char *buf = malloc(size ? size : 1);
			size_t n = dialect_error((enum dialect)d, 400, MESSAGE, "req_0123", buf, size);
			struct json_object *o;

			assert_true(n < size || (!n && !size));
			if (n)
				assert_int_equal(strlen(buf), n);
			if (n && d != DIALECT_PLAIN) {
				o = json_tokener_parse(buf);
				assert_non_null(o);
				json_object_put(o);
			}
			free(buf);
		}
}

static void test_long_request_id(void **state)
{
	char id[300], buf[512];
	struct json_object *o;

	(void)state;
	memset(id, 'x', sizeof(id) - 1);
	id[sizeof(id) - 1] = 0;
	dialect_error(DIALECT_ANTHROPIC, 500, "m", id, buf, sizeof(buf));
	o = json_tokener_parse(buf);
	assert_non_null(o);
	json_object_put(o);
}

static void test_types(void **state)
{
	(void)state;
	assert_string_equal(dialect_error_type(DIALECT_NATIVE), "application/json; charset=utf-8");
	assert_string_equal(dialect_error_type(DIALECT_OPENAI), "application/json");
	assert_string_equal(dialect_error_type(DIALECT_ANTHROPIC), "application/json");
	assert_string_equal(dialect_error_type(DIALECT_PLAIN), "text/plain");
}

struct stream_row {
	const char       *name;
	enum stream_shape shape;
	const char       *text;
};

static struct stream_row STREAMS[] = {
	{"NDJSON stream", STREAM_NDJSON, "{\"error\":\"a \\\"b\\\"\"}\n"},
	{"OpenAI stream", STREAM_SSE_OPENAI,
	 "data: {\"error\":{\"message\":\"a \\\"b\\\"\",\"type\":\"api_error\",\"param\":null,\"code\":null}}\n\n"},
	{"Responses stream", STREAM_SSE_RESPONSES,
	 "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":\"server_error\",\"param\":null,"
	 "\"message\":\"the stream broke off; see error\",\"error\":{\"type\":\"server_error\",\"message\":\"a \\\"b\\\"\"}}\n\n"},
	{"Anthropic stream", STREAM_SSE_ANTHROPIC,
	 "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"a \\\"b\\\"\"}}\n\n"},
	{"no stream", STREAM_NONE, ""},
};

static void test_stream_error(void **state)
{
	const struct stream_row *row = *state;
	char buf[512];

	assert_int_equal(dialect_stream_error(row->shape, "a \"b\"", buf, sizeof(buf)), strlen(row->text));
	assert_string_equal(buf, row->text);
	assert_int_equal(dialect_stream_error(row->shape, "a", buf, 1), 0);
	assert_int_equal(dialect_stream_error(row->shape, "a", buf, 0), 0);
}

int main(void)
{
	static struct table t;

	TABLE_ADD(&t, ROUTES, test_route);
	TEST_ADD(&t, test_every_route);
	TEST_ADD(&t, test_allow_cut);
	TABLE_ADD(&t, DIALECTS, test_dialect_of);
	TABLE_ADD(&t, ERRORS, test_error);
	TEST_ADD(&t, test_error_cut);
	TEST_ADD(&t, test_long_request_id);
	TEST_ADD(&t, test_types);
	TABLE_ADD(&t, STREAMS, test_stream_error);
	return table_run("http_dialect", &t);
}
