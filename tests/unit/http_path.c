/* Paths: decoded once, and nothing left that a second decoding or a cleaning could change. */
#include <errno.h>

#include "tests/unit/http_table.h"

#include "http/http.h"

struct row {
	const char *name;
	struct span path;
	const char *decoded; /* NULL: refused */
};

static struct row ROWS[] = {
	{"root", RAW("/"), "/"},
	{"plain", RAW("/api/chat"), "/api/chat"},
	{"escaped letter", RAW("/api/%64elete"), "/api/delete"},
	{"small and capital digits", RAW("/%4a%4A"), "/JJ"},
	{"escaped percent is decoded once", RAW("/a%2564"), "/a%64"},
	{"colon and blank", RAW("/v1/models/a%3Ab%20c"), "/v1/models/a:b c"},
	{"UTF-8", RAW("/%c3%a9"), "/\xc3\xa9"},
	{"three points are a name", RAW("/..."), "/..."},
	{"point in a name", RAW("/.a/b."), "/.a/b."},
	{"query mark escaped", RAW("/a%3fb"), "/a?b"},

	{"empty", RAW(""), NULL},
	{"no slash", RAW("a"), NULL},
	{"asterisk", RAW("*"), NULL},
	{"escaped slash", RAW("/api%2Fversion"), NULL},
	{"escaped slash in small letters", RAW("/api%2fversion"), NULL},
	{"escaped first slash", RAW("%2Fapi"), NULL},
	{"backslash", RAW("/api\\version"), NULL},
	{"escaped backslash", RAW("/api%5cversion"), NULL},
	{"NUL", RAW("/api/chat%00x"), NULL},
	{"control byte", RAW("/api/chat%0a"), NULL},
	{"escaped DEL", RAW("/%7f"), NULL},
	{"raw NUL", RAW("/a\0b"), NULL},
	{"bad first digit", RAW("/%g0"), NULL},
	{"bad second digit", RAW("/%0g"), NULL},
	{"one digit", RAW("/%4"), NULL},
	{"no digit", RAW("/%"), NULL},
	{"two slashes", RAW("//api/chat"), NULL},
	{"two slashes inside", RAW("/api//chat"), NULL},
	{"slash at the end", RAW("/api/chat/"), NULL},
	{"only slashes", RAW("//"), NULL},
	{"point", RAW("/./api"), NULL},
	{"point at the end", RAW("/api/."), NULL},
	{"two points", RAW("/v1/../api/delete"), NULL},
	{"two points at the end", RAW("/api/.."), NULL},
	{"escaped points", RAW("/v1/%2e%2e/api/delete"), NULL},
	{"one point escaped", RAW("/v1/.%2E/api"), NULL},
	{"too long by one", RAW("/0123456789012345678901234567890"), NULL},
	{"as long as fits", RAW("/012345678901234567890123456789"), "/012345678901234567890123456789"},
};

static void test_row(void **state)
{
	const struct row *row = *state;
	char *raw = exact_copy(row->path.p, row->path.n), *buf = malloc(32);
	int n = http_path_decode((struct span){raw, row->path.n}, buf, 32);

	if (row->decoded) {
		assert_int_equal(n, strlen(row->decoded));
		assert_string_equal(buf, row->decoded);
	} else {
		assert_int_equal(n, -EINVAL);
	}
	free(raw);
	free(buf);
}

static void test_no_room(void **state)
{
	char buf[1];

	(void)state;
	assert_int_equal(http_path_decode(SPAN_LIT("/"), buf, 0), -EINVAL);
	assert_int_equal(http_path_decode(SPAN_LIT("/"), buf, 1), -EINVAL);
}

int main(void)
{
	static struct table t;

	TABLE_ADD(&t, ROWS, test_row);
	TEST_ADD(&t, test_no_room);
	return table_run("http_path", &t);
}
