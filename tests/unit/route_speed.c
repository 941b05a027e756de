/* Learned speeds and lengths: priors, robustness, forgetting, what is still to come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/clock.h"
#include "route/speed.h"

#define NEAR(value, want, share) assert_true((value) > (want) * (1 - (share)) && (value) < (want) * (1 + (share)))

static const uint64_t T = 1000 * NS_PER_S;

static void never_used_is_the_prior(void **state)
{
	struct speed s = {0};

	(void)state;
	assert_true(speed_ns(&s, &SPEED_DECODE, 7.0F, T) == 7.0F);
	assert_true(speed_ns(NULL, &SPEED_DECODE, 7.0F, T) == 7.0F);
	speed_learn(&s, &SPEED_DECODE, 0, 100, T);
	speed_learn(&s, &SPEED_DECODE, 100, 0, T);
	assert_true(speed_ns(&s, &SPEED_DECODE, 7.0F, T) == 7.0F);
}

static void learns_fast_and_slow_instances(void **state)
{
	static const float TRUE_NS[] = {2e6F, 5e7F, 1e8F, 8e8F};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(TRUE_NS); i++) {
		struct speed s = {0};

		for (unsigned k = 0; k < 10; k++)
			speed_learn(&s, &SPEED_DECODE, 200, (uint64_t)(200 * TRUE_NS[i]), T);
		NEAR(speed_ns(&s, &SPEED_DECODE, SPEED_DECODE_NS, T), TRUE_NS[i], 0.06F);
	}
}

static void one_hiccup_is_clipped_a_change_is_followed(void **state)
{
	struct speed s = {0};

	(void)state;
	for (unsigned k = 0; k < 40; k++)
		speed_learn(&s, &SPEED_DECODE, 200, 200 * 100 * NS_PER_MS, T);
	/* A pause of ten minutes in the middle of an answer. */
	speed_learn(&s, &SPEED_DECODE, 200, 600 * NS_PER_S, T);
	assert_true(speed_ns(&s, &SPEED_DECODE, 1e8F, T) < 1.3e8F);
	for (unsigned k = 0; k < 60; k++)
		speed_learn(&s, &SPEED_DECODE, 200, 200 * 300 * NS_PER_MS, T);
	NEAR(speed_ns(&s, &SPEED_DECODE, 1e8F, T), 3e8F, 0.1F);
}

static void stale_decays_to_the_prior(void **state)
{
	struct speed s = {0};
	float before = 0;

	(void)state;
	for (unsigned k = 0; k < 40; k++)
		speed_learn(&s, &SPEED_DECODE, 200, 200 * 400 * NS_PER_MS, T);
	before = speed_ns(&s, &SPEED_DECODE, 1e8F, T);
	for (uint64_t age = 600; age < 20000; age += 600) {
		float now = speed_ns(&s, &SPEED_DECODE, 1e8F, T + age * NS_PER_S);

		assert_true(now <= before);
		before = now;
	}
	NEAR(before, 1e8F, 0.01F);
}

/* Instance's estimate as the prior of the model's: one request of a model on a known slow machine is not taken for a fast one. */
static void priors_chain(void **state)
{
	struct speed machine = {0}, model = {0};

	(void)state;
	for (unsigned k = 0; k < 40; k++)
		speed_learn(&machine, &SPEED_DECODE, 200, 200 * 500 * NS_PER_MS, T);
	float prior = speed_ns(&machine, &SPEED_DECODE, SPEED_DECODE_NS, T);

	NEAR(speed_ns(&model, &SPEED_DECODE, prior, T), 5e8F, 0.05F);
	speed_learn(&model, &SPEED_DECODE, 10, 10 * 100 * NS_PER_MS, T);
	assert_true(speed_ns(&model, &SPEED_DECODE, prior, T) > 3e8F);
}

static void loads(void **state)
{
	struct speed s = {0};

	(void)state;
	/* 4 GiB at 1 GB/s and two seconds. */
	NEAR(speed_load_ns(NULL, 4ULL << 30, T), 6.2e9F, 0.03F);
	speed_load_learn(&s, 4ULL << 30, 42 * NS_PER_S, T);
	NEAR(speed_load_ns(&s, 4ULL << 30, T), 4e10F, 0.1F);
	NEAR(speed_load_ns(&s, 8ULL << 30, T), 8e10F, 0.1F);
}

static void lengths(void **state)
{
	struct speed_output o = {0};

	(void)state;
	assert_true(speed_output_rest(&o, 256, 0, 0, T) == 256);
	assert_true(speed_output_rest(NULL, 256, 0, 100, T) == 100);
	for (unsigned k = 0; k < 300; k++)
		speed_output_learn(&o, k % 2 ? 50 : 1000, T);
	NEAR(speed_output_rest(&o, 256, 0, 0, T), 525, 0.15F);
	/* Limited to 100, the short ones stay short. */
	NEAR(speed_output_rest(&o, 256, 0, 100, T), 75, 0.15F);
	/* Past 200 it is a long one, and most of it is still to come; near its end little. */
	NEAR(speed_output_rest(&o, 256, 200, 0, T), 800, 0.15F);
	assert_true(speed_output_rest(&o, 256, 900, 0, T) < 200);
	assert_true(speed_output_rest(&o, 256, 100, 100, T) == 0);
	NEAR(speed_output_quantile(&o, 256, 0.25F, T), 50, 0.2F);
	NEAR(speed_output_quantile(&o, 256, 0.9F, T), 1000, 0.2F);
	/* A month later hardly anything is known. */
	NEAR(speed_output_rest(&o, 256, 0, 0, T + 30 * 86400 * NS_PER_S), 256, 0.05F);
}

static void whatever_comes(void **state)
{
	static const uint64_t LENGTHS[] = {0, 1, 2, 3, 1000, 16384, 1ULL << 40, UINT64_MAX};
	struct speed_output o = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(LENGTHS); i++)
		for (unsigned k = 0; k < 1000; k++)
			speed_output_learn(&o, LENGTHS[i], T + k);
	assert_true(o.sum_n <= 513);
	for (unsigned i = 0; i < ARRAY_SIZE(LENGTHS); i++) {
		float rest = speed_output_rest(&o, 256, LENGTHS[i], 0, T);

		assert_true(rest >= 0 && rest <= 65536);
	}
	assert_int_equal(speed_tokens(NULL, UINT64_MAX / 4, UINT64_MAX / 4, T), UINT32_MAX);
}

static void tokens_of_text(void **state)
{
	struct speed learned = {0};

	(void)state;
	assert_int_equal(speed_tokens(NULL, 0, 0, T), 0);
	assert_int_equal(speed_tokens(NULL, 1, 0, T), 1);
	assert_int_equal(speed_tokens(NULL, 4000, 0, T), 1000);
	assert_int_equal(speed_tokens(NULL, 0, 2500, T), 1000);
	/* Code takes more tokens: 2.5 bytes each. */
	for (unsigned k = 0; k < 50; k++)
		speed_learn(&learned, &SPEED_TEXT, 1000, 2500, T);
	assert_in_range(speed_tokens(&learned, 4000, 0, T), 1500, 1620);
	assert_int_equal(speed_work_ns(5e6F, 1e8F, 200, 10), 2 * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_used_is_the_prior),
		cmocka_unit_test(learns_fast_and_slow_instances),
		cmocka_unit_test(one_hiccup_is_clipped_a_change_is_followed),
		cmocka_unit_test(stale_decays_to_the_prior),
		cmocka_unit_test(priors_chain),
		cmocka_unit_test(loads),
		cmocka_unit_test(lengths),
		cmocka_unit_test(whatever_comes),
		cmocka_unit_test(tokens_of_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
