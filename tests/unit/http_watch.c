/* The end of a stream: one row per rule, fed whole, at every pair of cuts and byte by byte, and final not one byte too early. */
#include "tests/unit/http_table.h"

#include "http/dialect.h"

#define ND STREAM_NDJSON
#define OA STREAM_SSE_OPENAI
#define RE STREAM_SSE_RESPONSES
#define AN STREAM_SSE_ANTHROPIC
#define F  STREAM_SAW_FINAL
#define E  STREAM_SAW_ERROR

struct row {
	const char       *name;
	enum stream_shape shape;
	const char       *text;
	unsigned          flags;
	unsigned          items;
	bool              midline;
};

static void check(const struct row *row, const struct stream_watch *w)
{
	assert_int_equal(w->flags, row->flags);
	assert_int_equal(w->items, row->items);
	assert_int_equal(stream_watch_midline(w), row->midline);
}

static void feed(struct stream_watch *w, const char *p, size_t n)
{
	char *copy = exact_copy(p, n);

	stream_watch_feed(w, copy, n);
	free(copy);
}

static void test_row(void **state)
{
	const struct row *row = *state;
	size_t n = strlen(row->text);
	struct stream_watch w;

	stream_watch_init(&w, row->shape);
	feed(&w, row->text, n);
	check(row, &w);
	for (size_t a = 0; a <= n; a++) {
		struct stream_watch head;

		stream_watch_init(&head, row->shape);
		feed(&head, row->text, a);
		for (size_t b = a; b <= n; b++) {
			w = head;
			stream_watch_feed(&w, row->text + a, b - a);
			stream_watch_feed(&w, row->text + b, n - b);
			check(row, &w);
		}
	}
	stream_watch_init(&w, row->shape);
	for (size_t i = 0; i < n; i++)
		feed(&w, row->text + i, 1);
	check(row, &w);
}

#define CHAT(text, done) "{\"model\":\"tiny\",\"message\":{\"role\":\"assistant\",\"content\":\"" text "\"},\"done\":" done "}\n"

static struct row ROWS[] = {
	/* NDJSON */
	{"a chat", ND, CHAT("Hel", "false") CHAT("lo", "false") CHAT("", "true"), F, 2, false},
	{"a chat cut off", ND, CHAT("Hel", "false") CHAT("lo", "false"), 0, 2, false},
	{"cut in the final line", ND, CHAT("a", "false") "{\"done\":true,\"total_duration\":12", 0, 1, true},
	{"final without its newline", ND, "{\"done\":true}", F, 0, true},
	{"final first of all members", ND, "{\"done\":true,\"a\":{\"b\":[1,2]}}\n", F, 0, false},
	{"blanks everywhere", ND, " { \"done\" :\ttrue }\r\n", F, 0, false},
	{"empty lines", ND, "\n\r\n \n{\"done\":true}\n\n", F, 0, false},
	{"done in text", ND, CHAT("\\\"done\\\":true}", "false"), 0, 1, false},
	{"done in text after backslashes", ND, CHAT("\\\\\\\"done\\\":true", "false"), 0, 1, false},
	{"text ends in a backslash", ND, "{\"a\":\"\\\\\",\"done\":true}\n", F, 0, false},
	{"done in text of the first level", ND, "{\"response\":\"x\\\",\\\"done\\\":true,\\\"y\\\":\\\"\",\"done\":false}\n", 0, 1, false},
	{"done in text of the first level, plain in between", ND, "{\"response\":\"\\\\\\\",\\\"done\\\":true}\"}\n", 0, 1, false},
	{"blanks of each kind after a word", ND, "{\"done\":true\t}\n{\"done\":false\r,\"a\":1}\n", F, 1, false},
	{"done with a control byte in it", ND, "{\"do\x01ne\":true,\"a\x01\":\"\x02\"}\n", 0, 1, false},
	{"done one level down", ND, "{\"a\":{\"done\":true},\"done\":false}\n", 0, 1, false},
	{"done in an array", ND, "{\"a\":[{\"done\":true}]}\n", 0, 1, false},
	{"done in a key", ND, "{\"\\\"done\\\":true\":1,\"xdone\":true,\"done2\":true}\n", 0, 1, false},
	{"done as a value", ND, "{\"a\":\"done\",\"b\":true}\n", 0, 1, false},
	{"done as text", ND, "{\"done\":\"true\"}\n", 0, 1, false},
	{"done is a number", ND, "{\"done\":1}\n", 0, 1, false},
	{"done is null", ND, "{\"done\":null}\n", 0, 1, false},
	{"done is a control byte", ND, "{\"done\":\x01}\n", 0, 1, false},
	{"done is truest", ND, "{\"done\":truest}\n", 0, 1, false},
	{"done is an object", ND, "{\"done\":{\"done\":true}}\n", 0, 1, false},
	{"done twice, the last counts", ND, "{\"done\":true,\"done\":false}\n{\"done\":false,\"done\":true}\n", F, 1, false},
	{"done in capitals", ND, "{\"DONE\":true}\n", 0, 1, false},
	{"done_reason", ND, "{\"done_reason\":true,\"done\":false}\n", 0, 1, false},
	{"done on the next line", ND, "{\"a\":1,\n\"done\":true}\n", 0, 0, false},
	{"string open at the end of a line", ND, "{\"a\":\"x\n{\"done\":true}\n", F, 0, false},
	{"object open at the end of a line", ND, "{\"a\":{\n{\"done\":true}\n", F, 0, false},
	{"bare word at the end of a line", ND, "{\"done\":true\n", 0, 0, false},
	{"array line", ND, "[{\"done\":true}]\n", 0, 0, false},
	{"text line", ND, "\"done\":true\n", 0, 0, false},
	{"something before the object", ND, "x{\"done\":true}\n", 0, 0, false},
	{"pulled", ND, "{\"status\":\"pulling manifest\"}\n{\"status\":\"success\"}\n", F, 1, false},
	{"success in a longer status", ND, "{\"status\":\"successful\"}\n{\"status\":\"not success\"}\n", 0, 2, false},
	{"success with an escape is another word", ND, "{\"status\":\"succes\\u0073\"}\n", 0, 1, false},
	{"success one level down", ND, "{\"a\":{\"status\":\"success\"}}\n", 0, 1, false},
	{"success of another key", ND, "{\"state\":\"success\"}\n", 0, 1, false},
	{"status is no text", ND, "{\"status\":200}\n", 0, 1, false},
	{"error line", ND, CHAT("a", "false") "{\"error\":\"an error was encountered\"}\n", E, 1, false},
	{"error object", ND, "{\"error\":{\"message\":\"x\"}}\n", E, 0, false},
	{"error array", ND, "{\"error\":[1]}\n", E, 0, false},
	{"error number", ND, "{\"error\":500}\n", E, 0, false},
	{"error null", ND, "{\"error\":null,\"done\":false}\n", 0, 1, false},
	{"error one level down", ND, "{\"a\":{\"error\":\"x\"}}\n", 0, 1, false},
	{"error in text", ND, CHAT("{\\\"error\\\":\\\"x\\\"}", "false"), 0, 1, false},
	{"error cut off", ND, "{\"error\":\"x\"", 0, 0, true},
	{"error and done", ND, "{\"error\":\"x\",\"done\":true}\n", F | E, 0, false},
	{"long key and long word", ND,
	 "{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1,"
	 "\"done\":trueaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n", 0, 1, false},
	{"in the middle of a line", ND, CHAT("a", "false") "{\"mo", 0, 1, true},
	{"nothing", ND, "", 0, 0, false},

	/* OpenAI */
	{"an OpenAI stream", OA, "data: {\"id\":\"a\",\"choices\":[]}\n\ndata: {\"id\":\"b\"}\n\ndata: [DONE]\n\n", F, 2, false},
	{"without DONE", OA, "data: {\"id\":\"a\"}\n\n", 0, 1, false},
	{"DONE without the empty line", OA, "data: {\"id\":\"a\"}\n\ndata: [DONE]\n", 0, 1, true},
	{"DONE without a newline", OA, "data: [DONE]", 0, 0, true},
	{"no blank after the colon", OA, "data:{\"id\":\"a\"}\n\ndata:[DONE]\n\n", F, 1, false},
	{"two blanks after the colon", OA, "data:  [DONE]\n\n", 0, 0, false},
	{"CR LF", OA, "data: {\"id\":\"a\"}\r\n\r\ndata: [DONE]\r\n\r\n", F, 1, false},
	{"DONE in text", OA, "data: {\"a\":\"data: [DONE]\\n\\n\"}\n\n", 0, 1, false},
	{"DONE in another field", OA, "id: [DONE]\nxdata: [DONE]\n: data: [DONE]\n\n", 0, 0, false},
	{"DONE and more", OA, "data: [DONE]x\n\n", 0, 0, false},
	{"less than DONE", OA, "data: [DONE\n\ndata: DONE]\n\ndata\n\ndata:\n\n", 0, 0, false},
	{"comments and other fields", OA, ": ping\n\nretry: 5\nid: 7\ndata: {\"a\":1}\n\ndata: [DONE]\n\n", F, 1, false},
	{"error object in data", OA, "data: {\"error\":{\"message\":\"x\"}}\n\n", E, 0, false},
	{"error null in data", OA, "data: {\"error\":null,\"id\":1}\n\n", 0, 1, false},
	{"error one level down in data", OA, "data: {\"choices\":[{\"error\":1}],\"a\":{\"error\":1}}\n\n", 0, 1, false},
	{"error object that is never closed", OA, "data: {\"error\":\"x\"\n\n", 0, 1, false},
	{"error word that is never closed", OA, "data: {\"error\":x\n\n", 0, 1, false},
	{"error event", OA, "event: error\ndata: {\"message\":\"x\"}\n\n", E, 0, false},
	{"error event after its data", OA, "data: {\"message\":\"x\"}\nevent: error\n\n", E, 0, false},
	{"done means nothing here", OA, "data: {\"done\":true,\"status\":\"success\"}\n\n", 0, 1, false},
	{"message_stop means nothing here", OA, "event: message_stop\ndata: {}\n\n", 0, 1, false},
	{"in an event", OA, "data: {\"a\":1}\n", 0, 0, true},
	{"after an event", OA, "data: {\"a\":1}\n\n", 0, 1, false},
	{"in a field name", OA, "data: {\"a\":1}\n\nda", 0, 1, true},
	{"data object open at the end of a line", OA, "data: {\"a\":\"x\n\ndata: [DONE]\n\n", F, 1, false},

	/* Responses */
	{"a Responses stream", RE,
	 "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"error\":null}}\n\n"
	 "event: response.output_text.delta\ndata: {\"delta\":\"a\"}\n\n"
	 "event: response.function_call_arguments.delta\ndata: {\"delta\":\"a\"}\n\n"
	 "event: response.completed\ndata: {\"type\":\"response.completed\"}\n\n", F, 2, false},
	{"incomplete is an end", RE, "event: response.incomplete\ndata: {}\n\n", F, 0, false},
	{"failed is an end", RE, "event: response.failed\ndata: {}\n\n", F, 0, false},
	{"completed cut off", RE, "event: response.completed\ndata: {\"type\":\"response.completed\"}\n", 0, 0, true},
	{"completed without data", RE, "event: response.completed\n\n", 0, 0, false},
	{"completed in data only", RE, "data: {\"type\":\"response.completed\"}\n\n", 0, 0, false},
	{"longer than completed", RE, "event: response.completed.x\ndata: {}\n\n", 0, 0, false},
	{"the last name of an event counts", RE, "event: response.completed\nevent: x\ndata: {}\n\n", 0, 0, false},
	{"an empty name counts too", RE, "event: response.completed\nevent:\ndata: {}\n\n", 0, 0, false},
	{"name after data", RE, "data: {}\nevent: response.completed\n\n", F, 0, false},
	{"name does not outlive its event", RE, "event: response.completed\n\ndata: {}\n\n", 0, 0, false},
	{"error event of Responses", RE, "event: error\ndata: {\"type\":\"error\"}\n\n", E, 0, false},
	{"error object in Responses data", RE, "data: {\"type\":\"error\",\"error\":{}}\n\n", E, 0, false},
	{"DONE means nothing to Responses", RE, "data: [DONE]\n\n", 0, 0, false},
	{"delta alone is no name", RE, "event: .delta\ndata: {}\n\nevent: xdelta\ndata: {}\n\n", 0, 0, false},
	{"name too long", RE,
	 "event: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.delta\ndata: {}\n\n", 0, 0,
	 false},

	/* Anthropic */
	{"an Anthropic stream", AN,
	 "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: ping\ndata: {}\n\n"
	 "event: content_block_delta\ndata: {\"delta\":{\"text\":\"a\"}}\n\nevent: message_delta\ndata: {}\n\n"
	 "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", F, 1, false},
	{"message_stop in text", AN, "event: content_block_delta\ndata: {\"text\":\"event: message_stop\\n\\n\"}\n\n", 0, 1, false},
	{"message_stop cut off", AN, "event: message_stop\ndata: {\"type\":\"mess", 0, 0, true},
	{"message_stop in CR LF", AN, "event: message_stop\r\ndata: {}\r\n\r\n", F, 0, false},
	{"error event of Anthropic", AN, "event: error\ndata: {\"type\":\"error\",\"error\":{}}\n\n", E, 0, false},
	{"response.completed means nothing here", AN, "event: response.completed\ndata: {}\n\n", 0, 0, false},

	{"no stream", STREAM_NONE, "{\"done\":true}\ndata: [DONE]\n\n", 0, 0, false},
};

/* A prefix of a whole stream is never final: the flag comes with the last byte that matters. */
static void test_not_too_early(void **state)
{
	static const struct {
		enum stream_shape shape;
		const char       *text; /* final with its last byte */
	} STREAMS[] = {
		{ND, CHAT("a", "false") "{\"model\":\"tiny\",\"done\":true,\"done_reason\":\"stop\",\"context\":[1,2,3],\"eval_count\":3}"},
		{ND, "{\"status\":\"verifying\"}\n{\"status\":\"success\"}"},
		{OA, "data: {\"a\":1}\n\ndata: [DONE]\n\n"},
		{RE, "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{}}\n\n"},
		{AN, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(STREAMS); i++) {
		size_t n = strlen(STREAMS[i].text);
		struct stream_watch w;

		stream_watch_init(&w, STREAMS[i].shape);
		for (size_t at = 0; at < n; at++) {
			assert_int_equal(w.flags & F, 0);
			stream_watch_feed(&w, STREAMS[i].text + at, 1);
		}
		assert_int_equal(w.flags, F);
	}
}

/* What we append to a broken stream is an error to our own eyes, and final to nobody. */
static void test_own_error(void **state)
{
	static const enum stream_shape SHAPES[] = {ND, OA, RE, AN};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(SHAPES); i++) {
		struct stream_watch w;
		char buf[512];
		size_t n = dialect_stream_error(SHAPES[i], "the \"model\" died\n", buf, sizeof(buf));

		stream_watch_init(&w, SHAPES[i]);
		stream_watch_feed(&w, buf, n);
		assert_int_equal(w.flags, E);
		assert_false(stream_watch_midline(&w));
	}
}

static void test_deep(void **state)
{
	struct stream_watch w;

	(void)state;
	stream_watch_init(&w, ND);
	stream_watch_feed(&w, "{\"a\":", 5);
	for (unsigned i = 0; i < 100000; i++)
		stream_watch_feed(&w, "[", 1);
	for (unsigned i = 0; i < 100000; i++)
		stream_watch_feed(&w, "]", 1);
	stream_watch_feed(&w, ",\"done\":true}", 13);
	assert_int_equal(w.flags, F);
}

int main(void)
{
	static struct table t;

	TABLE_ADD(&t, ROWS, test_row);
	TEST_ADD(&t, test_not_too_early);
	TEST_ADD(&t, test_own_error);
	TEST_ADD(&t, test_deep);
	return table_run("http_watch", &t);
}
