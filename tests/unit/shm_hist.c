/* Every latency from 33 µs to 3.3 hours is found again within 2 %, and quantiles are those of the sorted list. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/clock.h"
#include "shm/hist.h"

#define LOWEST  (1ULL << 15)             /* ns, as hist.h says */
#define HIGHEST (33ULL * 360 * NS_PER_S) /* 3.3 h, likewise */

static double off(uint64_t truth, uint64_t told)
{
	return fabs((double)told - (double)truth) / (double)truth;
}

static void middles_are_within_2_percent(void **state)
{
	double worst = 0;

	(void)state;
	for (uint64_t ns = LOWEST; ns < HIGHEST; ns += ns / 4096 + 1) {
		double e = off(ns, shm_hist_value(shm_hist_bucket(ns)));

		worst = e > worst ? e : worst;
	}
	assert_true(worst <= 0.02);
	assert_true(worst > 0.019); /* the range is not bought with buckets that nothing falls into */
}

/* The tables against the mathematics they stand for: the bucket changes exactly where 2^(15 + i/18) is crossed. */
static void bounds_are_powers_of_two_to_an_eighteenth(void **state)
{
	(void)state;
	for (unsigned i = 1; i < SHM_HIST_BUCKETS; i++) {
		double exact = exp2(15 + i / 18.0);
		uint64_t below = (uint64_t)(exact * (1 - 1e-4)), above = (uint64_t)ceil(exact * (1 + 1e-4));

		assert_int_equal(shm_hist_bucket(below), i - 1);
		assert_int_equal(shm_hist_bucket(above), i);
	}
}

static void bucket_never_falls_as_time_grows(void **state)
{
	unsigned last = 0;

	(void)state;
	for (uint64_t ns = 1; ns < HIGHEST * 2; ns += ns / 10000 + 1) {
		unsigned b = shm_hist_bucket(ns);

		assert_true(b == last || b == last + 1);
		last = b;
	}
	assert_int_equal(last, SHM_HIST_BUCKETS - 1);
}

static void ends_are_clamped(void **state)
{
	(void)state;
	assert_int_equal(shm_hist_bucket(0), 0);
	assert_int_equal(shm_hist_bucket(1), 0);
	assert_int_equal(shm_hist_bucket(LOWEST - 1), 0);
	assert_int_equal(shm_hist_bucket(UINT64_MAX), SHM_HIST_BUCKETS - 1);
	assert_int_equal(shm_hist_value(UINT32_MAX), shm_hist_value(SHM_HIST_BUCKETS - 1));
	assert_true(shm_hist_value(SHM_HIST_BUCKETS - 1) > 3 * 3600 * NS_PER_S);
}

static int by_size(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void quantiles_are_those_of_the_sorted_list(void **state)
{
	static _Atomic uint32_t hist[SHM_HIST_BUCKETS];
	static uint64_t all[20000];
	static const double Q[] = {0.001, 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999};
	uint64_t x = 88172645463325252ULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		all[i] = (uint64_t)exp2(16 + (double)(x % 24000) / 1000.0);
		shm_hist_add(hist, all[i]);
	}
	qsort(all, ARRAY_SIZE(all), sizeof(all[0]), by_size);
	for (size_t i = 0; i < ARRAY_SIZE(Q); i++) {
		size_t rank = (size_t)ceil(Q[i] * ARRAY_SIZE(all)) - 1;

		assert_true(off(all[rank], shm_hist_quantile(hist, Q[i])) <= 0.02);
	}
}

static void an_empty_histogram_has_no_quantile(void **state)
{
	static _Atomic uint32_t hist[SHM_HIST_BUCKETS];

	(void)state;
	assert_int_equal(shm_hist_quantile(hist, 0.5), 0);
}

static void one_value_is_every_quantile(void **state)
{
	static _Atomic uint32_t hist[SHM_HIST_BUCKETS];

	(void)state;
	shm_hist_add(hist, 5 * NS_PER_MS);
	assert_int_equal(shm_hist_quantile(hist, 0.0001), shm_hist_quantile(hist, 0.9999));
	assert_true(off(5 * NS_PER_MS, shm_hist_quantile(hist, 0.5)) <= 0.02);
}

static void histograms_merge_by_adding(void **state)
{
	static _Atomic uint32_t a[SHM_HIST_BUCKETS], b[SHM_HIST_BUCKETS], sum[SHM_HIST_BUCKETS];

	(void)state;
	for (unsigned i = 0; i < 90; i++)
		shm_hist_add(a, NS_PER_MS);
	for (unsigned i = 0; i < 10; i++)
		shm_hist_add(b, NS_PER_S);
	for (unsigned i = 0; i < SHM_HIST_BUCKETS; i++)
		sum[i] = a[i] + b[i];
	assert_true(off(NS_PER_MS, shm_hist_quantile(sum, 0.90)) <= 0.02);
	assert_true(off(NS_PER_S, shm_hist_quantile(sum, 0.91)) <= 0.02);
}

/* The bytes may be anything: all counts at their largest still add up. */
static void full_counts_do_not_overflow(void **state)
{
	static _Atomic uint32_t hist[SHM_HIST_BUCKETS];

	(void)state;
	for (unsigned i = 0; i < SHM_HIST_BUCKETS; i++)
		hist[i] = UINT32_MAX;
	assert_int_equal(shm_hist_quantile(hist, 0.5), shm_hist_value(SHM_HIST_BUCKETS / 2 - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(middles_are_within_2_percent),
		cmocka_unit_test(bounds_are_powers_of_two_to_an_eighteenth),
		cmocka_unit_test(bucket_never_falls_as_time_grows),
		cmocka_unit_test(ends_are_clamped),
		cmocka_unit_test(quantiles_are_those_of_the_sorted_list),
		cmocka_unit_test(an_empty_histogram_has_no_quantile),
		cmocka_unit_test(one_value_is_every_quantile),
		cmocka_unit_test(histograms_merge_by_adding),
		cmocka_unit_test(full_counts_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
