/* The factor that nearly no wait exceeds: found, kept within its bounds, forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "route/stretch.h"

static uint64_t any(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 33;
}

/* Waits of half to four and a half times what was predicted: about one in fifty is longer than what is learned. */
static void few_exceed_it(void **state)
{
	struct stretch s = {0};
	uint64_t seed = 1, now = NS_PER_S;
	unsigned over = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t waited = NS_PER_S / 2 + any(&seed) % 4000 * NS_PER_MS;

		over += i >= 10000 && (float)waited > (float)NS_PER_S * stretch_factor(&s, now);
		stretch_learn(&s, stretch_factor(&s, now), NS_PER_S, waited, false, now);
	}
	assert_in_range(over, 60, 350);
	assert_true(stretch_factor(&s, now) > 3);
}

static void bounds_and_forgetting(void **state)
{
	struct stretch s = {0};
	uint64_t now = NS_PER_S;

	(void)state;
	assert_true(stretch_factor(&s, now) == 1);
	stretch_learn(&s, stretch_factor(&s, now), NS_PER_S, 0, false, now);
	assert_true(stretch_factor(&s, now) == 1);
	for (unsigned i = 0; i < 100; i++)
		stretch_learn(&s, stretch_factor(&s, now), NS_PER_S, 0, true, now);
	assert_true(stretch_factor(&s, now) == 8);
	assert_true(stretch_factor(&s, now + 3600 * NS_PER_S) <= 1.5F);
	/* A clock that is read a moment earlier elsewhere does no harm. */
	assert_true(stretch_factor(&s, 0) == 8);
}

/* A crowd that was let in before anything was known says one thing, not a hundred. */
static void a_crowd_counts_once(void **state)
{
	struct stretch s = {0};

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		stretch_learn(&s, 1, NS_PER_S, 0, true, NS_PER_S);
	assert_true(stretch_factor(&s, NS_PER_S) > 1 && stretch_factor(&s, NS_PER_S) <= 1.5F);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(few_exceed_it), cmocka_unit_test(bounds_and_forgetting),
					   cmocka_unit_test(a_crowd_counts_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
