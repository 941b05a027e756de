/* Byte classes against the words of the RFC, and the fast runs against the plain ones. */
#include "tests/unit/http_table.h"

#include "http/bytes.h"

static void test_classes(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		bool digit = c >= '0' && c <= '9', letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool token = digit || letter || (c && strchr("!#$%&'*+-.^_`|~", c));

		assert_int_equal(byte_is((char)c, BYTE_TOKEN), token);
		assert_int_equal(byte_is((char)c, BYTE_TARGET), c > 0x20 && c < 0x7f && c != '#');
		assert_int_equal(byte_is((char)c, BYTE_HOST), digit || letter || c == '-' || c == '.' || c == '_');
		assert_int_equal(byte_is((char)c, BYTE_DIGIT), digit);
		assert_int_equal(byte_is((char)c, BYTE_ESCAPE), c && strchr("\"\\/bfnrt", c));
		assert_int_equal(byte_is((char)c, BYTE_CONTROL), c < 0x20 || c == 0x7f);
		assert_int_equal(byte_hex((char)c), digit                  ? c - '0'
						    : c >= 'a' && c <= 'f' ? c - 'a' + 10
						    : c >= 'A' && c <= 'F' ? c - 'A' + 10
									   : -1);
	}
}

static size_t plain_string(const unsigned char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')
		i++;
	return i;
}

static size_t plain_text(const unsigned char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] >= 0x20 && p[i] != 0x7f)
		i++;
	return i;
}

/* Every byte value at every place of every short length, at every alignment, among fillers next to the limits. */
static void test_runs(void **state)
{
	static const unsigned char FILLERS[] = {'a', 0x80, 0xff, 0x20, 0x21, 0x7e};

	(void)state;
	for (size_t f = 0; f < sizeof(FILLERS); f++)
		for (size_t n = 0; n <= 40; n += n < 20 ? 1 : 7)
			for (size_t at = 0; at < n; at++)
				for (int c = 0; c < 256; c++) {
					char *p = malloc(n);

					assert_non_null(p);
					memset(p, FILLERS[f], n);
					p[at] = (char)c;
					assert_int_equal(run_string(p, n), plain_string((unsigned char *)p, n));
					assert_int_equal(run_string_portable(p, n), plain_string((unsigned char *)p, n));
					assert_int_equal(run_text(p, n), plain_text((unsigned char *)p, n));
					assert_int_equal(run_text_portable(p, n), plain_text((unsigned char *)p, n));
					free(p);
				}
}

static void test_runs_of_nothing(void **state)
{
	(void)state;
	assert_int_equal(run_string("", 0), 0);
	assert_int_equal(run_text("", 0), 0);
	assert_int_equal(run_string_portable("", 0), 0);
	assert_int_equal(run_text_portable("", 0), 0);
}

struct utf8_row {
	const char *name;
	struct span text;
	unsigned    length;
};

static struct utf8_row UTF8[] = {
	{"nothing", RAW(""), 0},
	{"ASCII", RAW("a"), 1},
	{"NUL is a character", RAW("\0"), 1},
	{"two bytes", RAW("\xc2\x80"), 2},
	{"three bytes", RAW("\xe0\xa0\x80"), 3},
	{"four bytes", RAW("\xf0\x90\x80\x80"), 4},
	{"last before the surrogates", RAW("\xed\x9f\xbf"), 3},
	{"first after the surrogates", RAW("\xee\x80\x80"), 3},
	{"last of all", RAW("\xf4\x8f\xbf\xbf"), 4},
	{"beyond the last", RAW("\xf4\x90\x80\x80"), 0},
	{"lead byte f5", RAW("\xf5\x80\x80\x80"), 0},
	{"surrogate", RAW("\xed\xa0\x80"), 0},
	{"overlong of two", RAW("\xc0\x80"), 0},
	{"overlong of two, c1", RAW("\xc1\xbf"), 0},
	{"overlong of three", RAW("\xe0\x9f\xbf"), 0},
	{"overlong of four", RAW("\xf0\x8f\xbf\xbf"), 0},
	{"lone continuation", RAW("\x80"), 0},
	{"cut after one of two", RAW("\xc3"), 0},
	{"cut after two of three", RAW("\xe2\x82"), 0},
	{"cut after three of four", RAW("\xf0\x9f\x98"), 0},
	{"second byte no continuation", RAW("\xc3("), 0},
	{"third byte no continuation", RAW("\xe2\x82("), 0},
	{"fourth byte no continuation", RAW("\xf0\x9f\x98("), 0},
};

static void test_utf8(void **state)
{
	const struct utf8_row *row = *state;
	char *copy = exact_copy(row->text.p, row->text.n);

	assert_int_equal(byte_utf8(copy, row->text.n), row->length);
	free(copy);
}

int main(void)
{
	static struct table t;

	TEST_ADD(&t, test_classes);
	TEST_ADD(&t, test_runs);
	TEST_ADD(&t, test_runs_of_nothing);
	TABLE_ADD(&t, UTF8, test_utf8);
	return table_run("http_bytes", &t);
}
