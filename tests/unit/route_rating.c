/* Ratings: a mean that forgets, and in which one more voice is always heard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route/rating.h"

static void a_mean_of_what_was_said(void **state)
{
	struct rating r = {0};

	(void)state;
	assert_float_equal(rating_weight(&r, 5), 0, 0);
	rating_add(&r, 1, 10);
	assert_float_equal(r.mean, 1, 1e-6);
	rating_add(&r, 0, 10);
	rating_add(&r, 1, 10);
	rating_add(&r, 1, 10);
	assert_float_equal(r.mean, 0.75, 1e-5);
	assert_float_equal(rating_weight(&r, 10), 4, 1e-5);
}

static void old_voices_fade(void **state)
{
	struct rating r = {0};

	(void)state;
	for (int i = 0; i < 8; i++)
		rating_add(&r, 0, 10);
	assert_float_equal(rating_weight(&r, 10 + RATING_HALF_NS), 4, 1e-3);
	assert_float_equal(rating_weight(&r, 10 + 3 * RATING_HALF_NS), 1, 1e-3);
	rating_add(&r, 1, 10 + 3 * RATING_HALF_NS); /* counts as much as the eight do by now */
	assert_float_equal(r.mean, 0.5, 1e-3);
	assert_float_equal(rating_weight(&r, 0), r.n, 0); /* a clock that went back changes nothing */
}

static void one_more_is_always_heard(void **state)
{
	struct rating r = {0};

	(void)state;
	for (int i = 0; i < 100000; i++)
		rating_add(&r, 1, 10);
	assert_true(r.n <= RATING_MOST);
	for (int i = 0; i < 1000; i++)
		rating_add(&r, 0, 10);
	assert_true(r.mean < 0.01F);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mean_of_what_was_said),
		cmocka_unit_test(old_voices_fade),
		cmocka_unit_test(one_more_is_always_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
