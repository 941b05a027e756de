/* The query of a target as an object of strings: escapes, blanks, what is no UTF-8, what has no name and what comes twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "http/query.h"

/* The object as JSON. */
static void expect_bytes(const char *query, size_t n, const char *want)
{
	struct json_object *o = NULL;

	assert_int_equal(query_parse((struct span){query, n}, &o), 0);
	assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE), want);
	json_object_put(o);
}

static void expect(const char *query, const char *want)
{
	expect_bytes(query, strlen(query), want);
}

static void pairs(void **state)
{
	(void)state;
	expect("", "{}");
	expect("message_id=12&rating=positive", "{\"message_id\":\"12\",\"rating\":\"positive\"}");
	expect("a=1&a=2", "{\"a\":\"2\"}");
	expect("a", "{\"a\":\"\"}");
	expect("a=", "{\"a\":\"\"}");
	expect("a=b=c", "{\"a\":\"b=c\"}");
	expect("=x&&&=&a=1&", "{\"a\":\"1\"}");
	expect_bytes("a=1&b=2", 5, "{\"a\":\"1\",\"b\":\"\"}");
	expect_bytes("a=1%41", 5, "{\"a\":\"1%4\"}");
}

static void escapes(void **state)
{
	(void)state;
	expect("a=so%20so+so%2Bso", "{\"a\":\"so so so+so\"}");
	expect("%61%3d=%26%3D", "{\"a=\":\"&=\"}");
	expect("a=%e4%bd%a0%E4%BD%A0", "{\"a\":\"\u4f60\u4f60\"}");
	/* none, and so themselves */
	expect("a=%&b=%4&c=%zz&d=%4z&e=100%", "{\"a\":\"%\",\"b\":\"%4\",\"c\":\"%zz\",\"d\":\"%4z\",\"e\":\"100%\"}");
	expect("a=%%41", "{\"a\":\"%A\"}");
	expect("a=x%00y", "{\"a\":\"x\\u0000y\"}");
	expect("a%00b=1&c=2", "{\"c\":\"2\"}");
}

static void what_is_no_utf8(void **state)
{
	(void)state;
	expect("a=%ff%feb", "{\"a\":\"\ufffd\ufffdb\"}");
	expect("a=%e4%bd", "{\"a\":\"\ufffd\ufffd\"}");
	expect("a=\xff", "{\"a\":\"\ufffd\"}");
	expect("a=%ed%a0%80", "{\"a\":\"\ufffd\ufffd\ufffd\"}");
}

static void a_name_that_nobody_asks_for(void **state)
{
	char query[200];

	(void)state;
	for (int n = 127; n <= 128; n++) {
		char want[160] = "{}";

		snprintf(query, sizeof(query), "%0*d=x", n, 7);
		if (n == 127)
			snprintf(want, sizeof(want), "{\"%0*d\":\"x\"}", n, 7);
		expect(query, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs),
		cmocka_unit_test(escapes),
		cmocka_unit_test(what_is_no_utf8),
		cmocka_unit_test(a_name_that_nobody_asks_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
