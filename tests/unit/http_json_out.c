/* What is written is JSON, in the order of the calls, whatever bytes go in. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "http/json_out.h"

static void expect(struct json_out *o, const char *want)
{
	assert_false(o->failed);
	assert_int_equal(o->n, strlen(want));
	assert_memory_equal(o->p, want, o->n);
	json_out_free(o);
	assert_null(o->p);
}

static void members_stand_in_the_order_of_the_calls(void **state)
{
	struct json_out o = {0};

	(void)state;
	json_out_object(&o, NULL);
	json_out_text(&o, "z", "a\"b\\c\n\x01");
	json_out_text(&o, "none", NULL);
	json_out_array(&o, "list");
	json_out_uint(&o, NULL, UINT64_MAX);
	json_out_fixed(&o, NULL, 2.0 / 3, 2);
	json_out_object(&o, NULL);
	json_out_end(&o);
	json_out_fixed(&o, NULL, (double)INFINITY, 2);
	json_out_end(&o);
	json_out_format(&o, "rate", "%.1f%%", 97.5);
	json_out_bool(&o, "yes", true);
	json_out_raw(&o, "raw", SPAN_LIT("[1]"));
	json_out_object_named(&o, SPAN_LIT("a\"\n"));
	json_out_uint(&o, "n", 1);
	json_out_end(&o);
	json_out_object_named(&o, SPAN_LIT(""));
	json_out_end(&o);
	json_out_bool(&o, "last", false);
	json_out_end(&o);
	json_out_finish(&o);
	assert_int_equal(strlen(o.p), o.n);
	expect(&o, "{\"z\":\"a\\\"b\\\\c\\n\\u0001\",\"none\":null,\"list\":[18446744073709551615,0.67,{},null],\"rate\":\"97.5%\","
		   "\"yes\":true,\"raw\":[1],\"a\\\"\\n\":{\"n\":1},\"\":{},\"last\":false}");
}

static void text_is_utf8_and_keeps_its_nuls(void **state)
{
	struct json_out o = {0};

	(void)state;
	json_out_span(&o, NULL, SPAN_LIT("\xe4\xbd\xa0 \xff\xf0\x9f\x98\x80\0/"));
	expect(&o, "\"\xe4\xbd\xa0 \xef\xbf\xbd\xf0\x9f\x98\x80\\u0000/\"");
}

static void long_texts_fit(void **state)
{
	enum { N = 100000 };
	char *text = malloc(N + 1);
	struct json_out o = {0};

	(void)state;
	assert_non_null(text);
	memset(text, 'x', N);
	text[N] = 0;
	json_out_array(&o, NULL);
	json_out_text(&o, NULL, text);
	json_out_text(&o, NULL, text);
	json_out_end(&o);
	assert_int_equal(o.n, 2 * N + 7);
	assert_memory_equal(o.p + o.n - 3, "x\"]", 3);
	json_out_free(&o);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_stand_in_the_order_of_the_calls),
		cmocka_unit_test(text_is_utf8_and_keeps_its_nuls),
		cmocka_unit_test(long_texts_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
