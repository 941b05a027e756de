/* Bodies: one row per rule, each fed whole, at every cut, byte by byte, and with room for one slice at a time. */
#include "tests/unit/http_table.h"

#include "http/http.h"

struct row {
	const char       *name;
	enum http_framing framing;
	uint64_t          length;
	struct span       raw;
	enum http_result  result;
	const char       *payload; /* what came out, also before a refusal */
	size_t            used; /* of raw, when it is done */
};

struct outcome {
	enum http_result result;
	size_t           used;
	size_t           n;
	char             payload[256];
};

/* Feed one piece, `room` slices at a time. */
static void feed(struct http_body *body, const char *p, size_t n, unsigned room, struct outcome *o)
{
	char *copy = exact_copy(p, n);
	struct http_fault fault;
	size_t at = 0, used;

	do {
		struct span out[4];
		unsigned n_out = room;

		o->result = http_body_feed(body, copy + at, n - at, &used, out, &n_out, &fault);
		assert_true(n_out <= room);
		assert_true(used <= n - at);
		for (unsigned i = 0; i < n_out; i++) {
			assert_true(out[i].n > 0);
			assert_true(out[i].p >= copy + at && out[i].p + out[i].n <= copy + at + used);
			memcpy(o->payload + o->n, out[i].p, out[i].n);
			o->n += out[i].n;
		}
		at += used;
		if (o->result == HTTP_BAD)
			assert_int_equal(fault.status, 400);
	} while (o->result == HTTP_MORE && used && at < n);
	o->used += at;
	free(copy);
}

static void run(const struct row *row, size_t cut, unsigned room, struct outcome *o)
{
	struct http_body body;

	memset(o, 0, sizeof(*o));
	http_body_init(&body, row->framing, row->length);
	feed(&body, row->raw.p, cut, room, o);
	if (o->result == HTTP_MORE)
		feed(&body, row->raw.p + cut, row->raw.n - cut, room, o);
	assert_int_equal(http_body_done(&body), o->result == HTTP_DONE);
}

static void same(const struct outcome *a, const struct outcome *b)
{
	assert_int_equal(a->result, b->result);
	assert_int_equal(a->used, b->used);
	assert_int_equal(a->n, b->n);
	assert_memory_equal(a->payload, b->payload, a->n);
}

static void test_row(void **state)
{
	const struct row *row = *state;
	struct outcome whole, part, step = {.result = HTTP_MORE};
	struct http_body body;

	run(row, row->raw.n, 4, &whole);
	assert_int_equal(whole.result, row->result);
	assert_int_equal(whole.n, strlen(row->payload));
	assert_memory_equal(whole.payload, row->payload, whole.n);
	if (row->result == HTTP_DONE)
		assert_int_equal(whole.used, row->used);
	for (size_t cut = 0; cut <= row->raw.n; cut++)
		for (unsigned room = 1; room <= 3; room += 2) {
			run(row, cut, room, &part);
			same(&whole, &part);
		}
	http_body_init(&body, row->framing, row->length);
	for (size_t i = 0; i < row->raw.n && step.result == HTTP_MORE; i++)
		feed(&body, row->raw.p + i, 1, 1, &step);
	if (row->raw.n)
		same(&whole, &step);
}

#define C HTTP_BODY_CHUNKED, 0

static struct row ROWS[] = {
	{"none", HTTP_BODY_NONE, 0, RAW("GET"), HTTP_DONE, "", 0},
	{"length", HTTP_BODY_LENGTH, 5, RAW("helloGET"), HTTP_DONE, "hello", 5},
	{"length 0", HTTP_BODY_LENGTH, 0, RAW("GET"), HTTP_DONE, "", 0},
	{"length not there yet", HTTP_BODY_LENGTH, 6, RAW("hello"), HTTP_MORE, "hello", 5},
	{"until close", HTTP_BODY_CLOSE, 0, RAW("all of it"), HTTP_MORE, "all of it", 9},
	{"one chunk", C, RAW("5\r\nhello\r\n0\r\n\r\nGET"), HTTP_DONE, "hello", 15},
	{"two chunks", C, RAW("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), HTTP_DONE, "hello world", 26},
	{"empty", C, RAW("0\r\n\r\n"), HTTP_DONE, "", 5},
	{"hexadecimal in both cases", C, RAW("a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n"), HTTP_DONE, "01234567890123456789a", 36},
	{"leading zeros", C, RAW("0005\r\nhello\r\n000\r\n\r\n"), HTTP_DONE, "hello", 20},
	{"CR LF inside a chunk", C, RAW("4\r\n\r\n\r\n\r\n0\r\n\r\n"), HTTP_DONE, "\r\n\r\n", 14},
	{"not there yet", C, RAW("5\r\nhel"), HTTP_MORE, "hel", 6},
	{"last empty line missing", C, RAW("0\r\n"), HTTP_MORE, "", 3},
	{"largest size begins", C, RAW("3fffffffffffffff\r\nx"), HTTP_MORE, "x", 19},

	{"size 0x5", C, RAW("0x5\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"size +5", C, RAW("+5\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"size -1", C, RAW("-1\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"blank before a size", C, RAW(" 5\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"blank after a size", C, RAW("5 \r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"blank in a size", C, RAW("5 5\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"no size", C, RAW("\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"size of other letters", C, RAW("g\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"size of 2^62", C, RAW("4000000000000000\r\n"), HTTP_BAD, "", 0},
	{"size of 2^64", C, RAW("10000000000000000\r\n"), HTTP_BAD, "", 0},
	{"size overflows to 5", C, RAW("f0000000000000005\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"size of seventeen zeros", C, RAW("00000000000000005\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"extension", C, RAW("5;a=b\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"extension of the last chunk", C, RAW("5\r\nhello\r\n0;a\r\n\r\n"), HTTP_BAD, "hello", 0},
	{"LF ends a size", C, RAW("5\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"CR without LF after a size", C, RAW("5\rhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
	{"chunk longer than its size", C, RAW("4\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "hell", 0},
	{"chunk shorter than its size", C, RAW("6\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "hello\r", 0},
	{"LF ends a chunk", C, RAW("5\r\nhello\n0\r\n\r\n"), HTTP_BAD, "hello", 0},
	{"CR without LF after a chunk", C, RAW("5\r\nhello\r0\r\n\r\n"), HTTP_BAD, "hello", 0},
	{"trailer", C, RAW("5\r\nhello\r\n0\r\nX: y\r\n\r\n"), HTTP_BAD, "hello", 0},
	{"LF after the last chunk", C, RAW("0\r\n\n"), HTTP_BAD, "", 0},
	{"CR without LF at the end", C, RAW("0\r\n\rX"), HTTP_BAD, "", 0},
	{"NUL in a size", C, RAW("5\0\r\nhello\r\n0\r\n\r\n"), HTTP_BAD, "", 0},
};

static void test_refused_for_ever(void **state)
{
	struct http_body body;
	struct http_fault fault;
	struct span out;
	unsigned n_out = 1;
	size_t used;

	(void)state;
	http_body_init(&body, HTTP_BODY_CHUNKED, 0);
	assert_int_equal(http_body_feed(&body, "x", 1, &used, &out, &n_out, &fault), HTTP_BAD);
	assert_int_equal(used, 0);
	n_out = 1;
	assert_int_equal(http_body_feed(&body, "0\r\n\r\n", 5, &used, &out, &n_out, &fault), HTTP_BAD);
	assert_false(http_body_done(&body));
}

static void test_full_slices(void **state)
{
	static const char RAWTEXT[] = "1\r\na\r\n1\r\nb\r\n0\r\n\r\n";
	struct http_body body;
	struct http_fault fault;
	struct span out;
	unsigned n_out = 0;
	size_t used;

	(void)state;
	http_body_init(&body, HTTP_BODY_CHUNKED, 0);
	assert_int_equal(http_body_feed(&body, RAWTEXT, sizeof(RAWTEXT) - 1, &used, &out, &n_out, &fault), HTTP_MORE);
	assert_int_equal(used, 3);
	n_out = 1;
	/* Framing after the last slice that fits is taken along. */
	assert_int_equal(http_body_feed(&body, RAWTEXT + 3, sizeof(RAWTEXT) - 4, &used, &out, &n_out, &fault), HTTP_MORE);
	assert_int_equal(n_out, 1);
	assert_int_equal(used, 6);
	assert_int_equal(http_body_feed(&body, RAWTEXT + 9, sizeof(RAWTEXT) - 10, &used, &out, &n_out, &fault), HTTP_DONE);
	assert_int_equal(used, 8);
}

int main(void)
{
	static struct table t;

	TABLE_ADD(&t, ROWS, test_row);
	TEST_ADD(&t, test_refused_for_ever);
	TEST_ADD(&t, test_full_slices);
	return table_run("http_body", &t);
}
