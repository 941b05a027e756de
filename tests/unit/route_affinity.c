/* Sessions stay where their prefix is: bind, keep, drop, age, least recently used out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/clock.h"
#include "route/affinity.h"

#define N 64

static struct affinity a;
static struct affinity_entry memory[N];
static const uint64_t T = 1000 * NS_PER_S;

static int fresh(void **state)
{
	(void)state;
	memset(memory, 0xee, sizeof(memory));
	return affinity_init(&a, memory, N, AFFINITY_AGE_NS);
}

static int bound_to(uint64_t key, uint64_t now)
{
	const struct affinity_entry *e = affinity_find(&a, key, now);

	return e ? e->slot : -1;
}

static void life_of_a_binding(void **state)
{
	(void)state;
	assert_int_equal(bound_to(7, T), -1);
	/* Only success binds. */
	affinity_report(&a, 7, 3, 1, 100, AFFINITY_CANCEL, T);
	affinity_report(&a, 7, 3, 1, 100, AFFINITY_FAILURE, T);
	assert_int_equal(bound_to(7, T), -1);
	affinity_report(&a, 7, 3, 1, 100, AFFINITY_SUCCESS, T);
	assert_int_equal(bound_to(7, T), 3);
	assert_int_equal(affinity_find(&a, 7, T)->tokens, 100);
	/* A client that leaves keeps it; a failure elsewhere does, too. */
	affinity_report(&a, 7, 3, 1, 0, AFFINITY_CANCEL, T + 1);
	affinity_report(&a, 7, 4, 1, 0, AFFINITY_FAILURE, T + 1);
	assert_int_equal(bound_to(7, T), 3);
	assert_int_equal(affinity_find(&a, 7, T + 1)->tokens, 100);
	/* Success elsewhere moves it. */
	affinity_report(&a, 7, 5, 1, 300, AFFINITY_SUCCESS, T + 2);
	assert_int_equal(bound_to(7, T + 2), 5);
	affinity_report(&a, 7, 5, 1, 0, AFFINITY_FAILURE, T + 3);
	assert_int_equal(bound_to(7, T + 3), -1);
}

static void ages(void **state)
{
	(void)state;
	affinity_report(&a, 7, 3, 1, 100, AFFINITY_SUCCESS, T);
	assert_int_equal(bound_to(7, T + AFFINITY_AGE_NS - 1), 3);
	assert_int_equal(bound_to(7, T + AFFINITY_AGE_NS), -1);
}

static void slot_forgotten(void **state)
{
	(void)state;
	for (uint64_t k = 1; k <= 8; k++)
		affinity_report(&a, k, (uint16_t)(k % 2), 1, 1, AFFINITY_SUCCESS, T);
	affinity_drop_slot(&a, 1);
	for (uint64_t k = 1; k <= 8; k++)
		assert_int_equal(bound_to(k, T), k % 2 ? -1 : 0);
}

/* A full table never loses the session used last, and always keeps the AFFINITY_WAYS latest. */
static void least_recently_used_goes(void **state)
{
	uint64_t x = 88172645463325252ULL, latest[AFFINITY_WAYS] = {0};

	(void)state;
	for (uint64_t step = 0; step < 10000; step++) {
		uint64_t key;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		key = affinity_key(x % 3, 0, x % 1000);
		assert_true(key);
		affinity_report(&a, key, (uint16_t)(x % 12), 1, 1, AFFINITY_SUCCESS, T + step);
		latest[step % AFFINITY_WAYS] = key;
		for (unsigned i = 0; i < AFFINITY_WAYS && i <= step; i++)
			assert_true(bound_to(latest[i], T + step) >= 0);
	}
}

static void keys_and_hashes(void **state)
{
	(void)state;
	assert_true(affinity_key(1, 2, 3) != affinity_key(2, 2, 3));
	assert_true(affinity_key(1, 2, 3) != affinity_key(1, 3, 3));
	assert_true(affinity_hash(0, "ab", 2) == affinity_hash(0, "ab", 2));
	assert_true(affinity_hash(0, "ab", 2) != affinity_hash(0, "ba", 2));
	assert_true(affinity_hash(affinity_hash(0, "a", 1), "b", 1) != affinity_hash(affinity_hash(0, "", 0), "ab", 2));
	assert_int_equal(affinity_init(&a, memory, AFFINITY_WAYS - 1, 1), -EINVAL);
	assert_int_equal(affinity_init(&a, memory, 3 * AFFINITY_WAYS, 1), 0);
	assert_int_equal(a.n_sets, 2);
}

static void worth_while_it_saves(void **state)
{
	(void)state;
	assert_true(affinity_worth(0, 5, 5));
	assert_true(affinity_worth(10, 15, 5));
	assert_false(affinity_worth(10, 16, 5));
	assert_true(affinity_worth(0, 1, 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(life_of_a_binding, fresh), cmocka_unit_test_setup(ages, fresh),
		cmocka_unit_test_setup(slot_forgotten, fresh),    cmocka_unit_test_setup(least_recently_used_goes, fresh),
		cmocka_unit_test_setup(keys_and_hashes, fresh),   cmocka_unit_test_setup(worth_while_it_saves, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
