/* Heads under construction: bounded, and never with a byte that would end a line. */
#include "tests/unit/http_table.h"

#include "http/http.h"

static struct http_out out_of(char *buf, size_t size)
{
	return (struct http_out){buf, size, 0, false};
}

static void text_is(const struct http_out *o, const char *want)
{
	assert_false(o->overflow);
	assert_int_equal(o->len, strlen(want));
	assert_memory_equal(o->p, want, o->len);
}

static void test_head(void **state)
{
	char buf[256];
	struct http_out o = out_of(buf, sizeof(buf));

	(void)state;
	http_out_status(&o, 429);
	http_out_header(&o, "Content-Type", SPAN_LIT("application/json"));
	http_out_header(&o, "X-Tab", SPAN_LIT("a\tb \xff"));
	http_out_header(&o, "X-Empty", SPAN_LIT(""));
	http_out_header_num(&o, "Content-Length", 0);
	http_out_header_num(&o, "X-Large", UINT64_MAX);
	http_out_text(&o, "\r\n");
	text_is(&o, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nX-Tab: a\tb \xff\r\nX-Empty: \r\n"
		    "Content-Length: 0\r\nX-Large: 18446744073709551615\r\n\r\n");
}

static void test_unknown_status(void **state)
{
	char buf[64];
	struct http_out o = out_of(buf, sizeof(buf));

	(void)state;
	http_out_status(&o, 799);
	text_is(&o, "HTTP/1.1 799 \r\n");
	assert_string_equal(http_status_text(799), "");
	assert_string_equal(http_status_text(200), "OK");
	assert_string_equal(http_status_text(505), "HTTP Version Not Supported");
}

static void test_exact_fit(void **state)
{
	char *buf = exact_copy("abc", 3);
	struct http_out o = out_of(buf, 3);

	(void)state;
	http_out_bytes(&o, "xyz", 3);
	text_is(&o, "xyz");
	http_out_bytes(&o, "", 0);
	assert_false(o.overflow);
	http_out_bytes(&o, "!", 1);
	assert_true(o.overflow);
	assert_int_equal(o.len, 3);
	free(buf);
}

static void test_overflow_stays(void **state)
{
	char buf[4];
	struct http_out o = out_of(buf, sizeof(buf));

	(void)state;
	http_out_text(&o, "12345");
	http_out_text(&o, "1");
	assert_true(o.overflow);
	assert_int_equal(o.len, 0);
}

struct row {
	const char *name;
	const char *header;
	struct span value;
};

static struct row REFUSED[] = {
	{"CR LF in a value", "X", RAW("a\r\nB: c")},
	{"CR in a value", "X", RAW("a\r")},
	{"LF in a value", "X", RAW("\na")},
	{"NUL in a value", "X", RAW("a\0b")},
	{"control byte after a long run", "X", RAW("0123456789012345678901234567890123456789\x01")},
	{"DEL in a value", "X", RAW("\x7f")},
	{"empty name", "", RAW("a")},
	{"colon in a name", "X:Y", RAW("a")},
	{"CR LF in a name", "X\r\nY", RAW("a")},
	{"blank in a name", "X Y", RAW("a")},
};

static void test_refused(void **state)
{
	const struct row *row = *state;
	char buf[128];
	struct http_out o = out_of(buf, sizeof(buf));

	http_out_header(&o, row->header, row->value);
	assert_true(o.overflow);
	assert_int_equal(o.len, 0);
}

static void test_refused_number(void **state)
{
	char buf[128];
	struct http_out o = out_of(buf, sizeof(buf));

	(void)state;
	http_out_header_num(&o, "a b", 1);
	assert_true(o.overflow);
	assert_int_equal(o.len, 0);
}

static void test_chunk_head(void **state)
{
	static const size_t SIZES[] = {0, 1, 9, 10, 15, 16, 255, 256, 4096, 65535, 65536, 1 << 20, SIZE_MAX - 1, SIZE_MAX};
	char buf[20], want[24];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(SIZES); i++) {
		size_t n = http_chunk_head(buf, SIZES[i]);

		assert_int_equal(n, snprintf(want, sizeof(want), "%zx\r\n", SIZES[i]));
		assert_memory_equal(buf, want, n);
	}
}

int main(void)
{
	static struct table t;

	TEST_ADD(&t, test_head);
	TEST_ADD(&t, test_unknown_status);
	TEST_ADD(&t, test_exact_fit);
	TEST_ADD(&t, test_overflow_stays);
	TABLE_ADD(&t, REFUSED, test_refused);
	TEST_ADD(&t, test_refused_number);
	TEST_ADD(&t, test_chunk_head);
	return table_run("http_out", &t);
}
