/* Words shorten to unambiguous beginnings; a wrong one is answered with the right ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tools/tsactl/words.h"

static const char *const WORDS[] = {"instance", "instances", "restart", "reload", "routers", "wait", "warm"};
#define N 7

static void expect(const char *typed, int rc, unsigned at)
{
	unsigned got = 99;

	assert_int_equal(words_match(typed, WORDS, N, &got), rc);
	assert_int_equal(got, rc ? 99 : at);
}

static void whole_words_win_over_longer_ones(void **state)
{
	(void)state;
	expect("instance", 0, 0);
	expect("instances", 0, 1);
	expect("wait", 0, 5);
}

static void beginnings_must_be_unambiguous(void **state)
{
	(void)state;
	expect("wai", 0, 5);
	expect("rel", 0, 3);
	expect("ro", 0, 4);
	expect("re", -ENOTUNIQ, 0);
	expect("inst", -ENOTUNIQ, 0);
	expect("w", -ENOTUNIQ, 0);
	expect("waits", -ENOENT, 0);
	expect("x", -ENOENT, 0);
}

static void nothing_is_no_beginning(void **state)
{
	unsigned got = 99;
	static const char *const one[] = {"only"};

	(void)state;
	expect("", -ENOTUNIQ, 0);
	assert_int_equal(words_match("", one, 1, &got), -ENOENT);
	assert_int_equal(words_match("o", one, 0, &got), -ENOENT);
	assert_int_equal(got, 99);
}

static void the_valid_words_are_named(void **state)
{
	char buf[200], tiny[8];

	(void)state;
	assert_string_equal(words_list("re", WORDS, N, buf, sizeof(buf)), "restart or reload");
	assert_string_equal(words_list("r", WORDS, N, buf, sizeof(buf)), "restart, reload or routers");
	assert_string_equal(words_list("x", WORDS, N, buf, sizeof(buf)),
			    "instance, instances, restart, reload, routers, wait or warm");
	assert_string_equal(words_list("x", WORDS, N, tiny, sizeof(tiny)), "instanc");
	assert_string_equal(words_list("x", WORDS, 0, buf, sizeof(buf)), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_words_win_over_longer_ones),
		cmocka_unit_test(beginnings_must_be_unambiguous),
		cmocka_unit_test(nothing_is_no_beginning),
		cmocka_unit_test(the_valid_words_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
