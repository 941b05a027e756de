/* What answers say of their cost, in the words of each dialect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/usage.h"

static struct usage scan(const char *text)
{
	struct usage u;

	memset(&u, 0xff, sizeof(u));
	usage_scan((struct span){text, strlen(text)}, &u);
	return u;
}

static void native(void **state)
{
	struct usage u = scan("{\"model\":\"m\",\"done\":true,\"context\":[1,2,3],\"total_duration\":99,\"load_duration\":7,"
			      "\"prompt_eval_count\":26,\"prompt_eval_duration\":130079000,\"eval_count\":259,\"eval_duration\":4232710000}\n");

	(void)state;
	assert_int_equal(u.prompt_tokens, 26);
	assert_int_equal(u.prompt_ns, 130079000);
	assert_int_equal(u.output_tokens, 259);
	assert_int_equal(u.output_ns, 4232710000);
	assert_int_equal(u.load_ns, 7);
}

static void openai(void **state)
{
	struct usage u = scan("}],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":5,\"total_tokens\":16}}\n\ndata: [DONE]\n\n");

	(void)state;
	assert_int_equal(u.prompt_tokens, 11);
	assert_int_equal(u.output_tokens, 5);
	assert_int_equal(u.output_ns, 0);
}

static void anthropic_last_one_counts(void **state)
{
	struct usage u = scan("{\"usage\":{\"input_tokens\": 9,\"output_tokens\":1}}\ndata: {\"usage\":{\"output_tokens\":15}}\n");

	(void)state;
	assert_int_equal(u.prompt_tokens, 9);
	assert_int_equal(u.output_tokens, 15);
}

/* Text of a model is escaped inside its string. */
static void words_of_a_model_forge_nothing(void **state)
{
	struct usage u = scan("{\"response\":\"\\\"eval_count\\\":777, \\\"prompt_eval_count\\\":888\",\"eval_count\":3}");

	(void)state;
	assert_int_equal(u.output_tokens, 3);
	assert_int_equal(u.prompt_tokens, 0);
}

static void oddities(void **state)
{
	(void)state;
	assert_int_equal(scan("").output_tokens, 0);
	assert_int_equal(scan(":1:\":2").output_tokens, 0);
	assert_int_equal(scan("_eval_count\":12").output_tokens, 0);
	assert_int_equal(scan("\"eval_count\":").output_tokens, 0);
	assert_int_equal(scan("\"eval_count\":-4").output_tokens, 0);
	assert_int_equal(scan("\"eval_count\":null").output_tokens, 0);
	assert_int_equal(scan("al_count\":12,\"eval_count\":4").output_tokens, 4);
	assert_int_equal(scan("\"eval_count\":99999999999999999999999").output_tokens, 999999999999999999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(native),
		cmocka_unit_test(openai),
		cmocka_unit_test(anthropic_last_one_counts),
		cmocka_unit_test(words_of_a_model_forge_nothing),
		cmocka_unit_test(oddities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
