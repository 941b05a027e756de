/* Without memory a query and a body are refused as such and nothing is left behind; what was being written says that it failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/fields.h"
#include "http/query.h"
#include "tests/unit/failing_memory.h"

static int take_query(struct json_object **out)
{
	return query_parse(SPAN_LIT("a=1&b=%e4%bd%a0&c"), out);
}

/* Without members: json-c 0.16 looks for a key that it got no memory for, and dies of it (tests/sweep/run). */
static int take_body(struct json_object **out)
{
	struct json_out errors = {0};
	int rc = fields_parse("{}", 2, out, &errors);

	json_out_free(&errors);
	return rc;
}

/* Every allocation fails once. */
static void starve(int (*take)(struct json_object **))
{
	for (fail_at = 1;; fail_at++) {
		struct json_object *o = NULL;
		long before = living;
		int rc;

		count = 0;
		rc = take(&o);
		if (rc == 0)
			assert_non_null(o);
		else
			assert_true(rc == -ENOMEM && !o);
		json_object_put(o);
		assert_int_equal(living, before);
		if (count < fail_at)
			break;
	}
	assert_true(fail_at > 4);
	fail_at = 0;
}

static void sanitized_skip(void)
{
	if (!SANITIZED)
		return;
	print_message("skipped: a sanitizer has the allocator to itself\n");
	skip();
}

static void a_query_is_refused(void **state)
{
	(void)state;
	sanitized_skip();
	starve(take_query);
}

static void a_body_is_refused(void **state)
{
	(void)state;
	sanitized_skip();
	starve(take_body);
}

static void an_answer_says_that_it_failed(void **state)
{
	struct json_out o = {0};

	(void)state;
	sanitized_skip();
	json_out_array(&o, NULL);
	count = 0;
	fail_at = 1;
	for (unsigned i = 0; i < 2000; i++)
		json_out_uint(&o, NULL, i);
	fail_at = 0;
	json_out_end(&o);
	assert_true(o.failed);
	/* What could not grow is what it was, and nothing comes after the gap. */
	assert_true(o.n <= 1024);
	assert_memory_equal(o.p, "[0,1,2", 6);
	json_out_free(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_is_refused),
		cmocka_unit_test(a_body_is_refused),
		cmocka_unit_test(an_answer_says_that_it_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
