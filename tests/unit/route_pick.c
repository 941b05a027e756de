/* Which instance: resident before cold, least loaded first, ties in turn, and a verdict for each way of not being possible. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bug.h"
#include "route/pick.h"

#define READY(flight, n) .has = true, .ready = true, .places = (n), .in_flight = (flight)

static void resident_before_cold(void **state)
{
	const struct pick_slot s[] = {{READY(0, 4)}, {READY(3, 4), .resident = true}};
	struct pick_result r = pick(s, 2, 0);

	(void)state;
	assert_int_equal(r.verdict, PICK_TAKE);
	assert_int_equal(r.slot, 1);
	assert_int_equal(r.reason, REASON_ONLY);
}

static void least_share_of_places(void **state)
{
	/* 3 of 8 is a lighter load than 1 of 2. */
	const struct pick_slot s[] = {{READY(1, 2), .resident = true}, {READY(3, 8), .resident = true}};
	struct pick_result r = pick(s, 2, 0);

	(void)state;
	assert_int_equal(r.verdict, PICK_TAKE);
	assert_int_equal(r.slot, 1);
	assert_int_equal(r.reason, REASON_LEAST);
}

static void ties_rotate(void **state)
{
	const struct pick_slot s[] = {{READY(0, 1), .resident = true}, {READY(0, 1), .resident = true}, {READY(0, 1), .resident = true}};
	unsigned seen[3] = {0};

	(void)state;
	for (unsigned turn = 0; turn < 30; turn++) {
		struct pick_result r = pick(s, 3, turn);

		assert_int_equal(r.reason, REASON_TURN);
		seen[r.slot]++;
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(seen[i], 10);
}

static void full_waits_and_never_overbooks(void **state)
{
	const struct pick_slot s[] = {{READY(2, 2), .resident = true}, {READY(1, 1), .resident = true}, {READY(0, 9)}};
	struct pick_result r = pick(s, 3, 0);

	(void)state;
	/* The cold one is not loaded while residents are merely busy. */
	assert_int_equal(r.verdict, PICK_WAIT);
	assert_true(r.slot < 2);
}

static void cold_asks_the_least_loaded(void **state)
{
	const struct pick_slot s[] = {{READY(2, 4)}, {READY(0, 4)}, {READY(0, 4), .failed = true}};
	struct pick_result r = pick(s, 3, 0);

	(void)state;
	assert_int_equal(r.verdict, PICK_LOAD);
	assert_int_equal(r.slot, 1);
}

static void one_load_is_enough(void **state)
{
	const struct pick_slot s[] = {{READY(0, 4)}, {READY(3, 4), .loading = true}};
	struct pick_result r = pick(s, 2, 0);

	(void)state;
	assert_int_equal(r.verdict, PICK_LOADING);
	assert_int_equal(r.slot, 1);
}

static void obstacles_have_names(void **state)
{
	static const struct {
		struct pick_slot  s;
		enum pick_verdict want;
	} CASES[] = {
		{{.ready = true, .places = 1}, PICK_UNKNOWN},
		{{.has = true, .coming = true, .places = 1}, PICK_SOON},
		{{READY(0, 1), .resident = true, .avoid = true}, PICK_SOON},
		{{READY(0, 1), .failed = true}, PICK_FAILED},
		{{.has = true, .places = 1}, PICK_NEVER},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
		assert_int_equal(pick(&CASES[i].s, 1, 0).verdict, CASES[i].want);
	assert_int_equal(pick(NULL, 0, 0).verdict, PICK_UNKNOWN);
}

static void a_place_of_zero_is_never_taken(void **state)
{
	const struct pick_slot s[] = {{READY(0, 0), .resident = true}};

	(void)state;
	assert_int_not_equal(pick(s, 1, 0).verdict, PICK_TAKE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resident_before_cold),  cmocka_unit_test(least_share_of_places),      cmocka_unit_test(ties_rotate),
		cmocka_unit_test(full_waits_and_never_overbooks), cmocka_unit_test(cold_asks_the_least_loaded), cmocka_unit_test(one_load_is_enough),
		cmocka_unit_test(obstacles_have_names),  cmocka_unit_test(a_place_of_zero_is_never_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
