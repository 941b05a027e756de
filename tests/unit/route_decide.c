/* The decision: hard rules with their reasons, tiers, each term's pull, ties, hot and cold, sessions, probing, modes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/clock.h"
#include "route/decide.h"

/* OK() names what is ordinary; a case then says again what is not. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define OK(...)                                                                                                                    \
	{                                                                                                                          \
		.has = true, .ready = true, .resident = true, .primary = true, .places = 1, .prefill_ns = 5e6F, .decode_ns = 1e8F, \
		__VA_ARGS__                                                                                                        \
	}

static struct decide_conf conf;
static struct decide_request rq;
static struct decide_result r;

static int fresh(void **state)
{
	(void)state;
	decide_conf_default(&conf);
	rq = (struct decide_request){.prompt_tokens = 400, .output_tokens = 100, .bound = -1};
	memset(&r, 0xee, sizeof(r));
	return 0;
}

static void run(const struct decide_slot *s, unsigned n, unsigned turn)
{
	decide(&conf, &rq, s, n, turn, &r);
}

static void took(enum decide_verdict verdict, int slot, enum decide_reason reason)
{
	assert_string_equal(decide_verdict_text(r.verdict), decide_verdict_text(verdict));
	assert_int_equal(r.slot, slot);
	assert_string_equal(decide_reason_text(r.reason), decide_reason_text(reason));
}

/* --- hard rules ---------------------------------------------------------------------------------------------------------------------- */

static void every_exclusion(void **state)
{
	static const struct {
		struct decide_slot slot;
		enum decide_exclude why;
		enum decide_verdict alone; /* when no other instance is there */
	} CASES[] = {
		{{.ready = true, .places = 1}, DECIDE_EXCLUDE_MODEL, DECIDE_UNKNOWN},
		{OK(.tags = 1), DECIDE_EXCLUDE_TAGS, DECIDE_NEVER},
		{OK(.tags = 3, .primary = false), DECIDE_EXCLUDE_CATEGORY, DECIDE_NEVER},
		{OK(.tags = 3, .narrow = true), DECIDE_EXCLUDE_CONTEXT, DECIDE_NEVER},
		{OK(.tags = 3, .ready = false), DECIDE_EXCLUDE_STOPPED, DECIDE_NEVER},
		{OK(.tags = 3, .ready = false, .coming = true), DECIDE_EXCLUDE_COMING, DECIDE_SOON},
		{OK(.tags = 3, .places = 0), DECIDE_EXCLUDE_PLACES, DECIDE_NEVER},
		{OK(.tags = 3, .tried = true), DECIDE_EXCLUDE_TRIED, DECIDE_SOON},
		{OK(.tags = 3, .penalty = true), DECIDE_EXCLUDE_PENALTY, DECIDE_SOON},
		{OK(.tags = 3, .broken = true), DECIDE_EXCLUDE_BREAKER, DECIDE_TAKE},
		{OK(.tags = 3, .gpu_sick = true), DECIDE_EXCLUDE_GPU, DECIDE_TAKE},
		{OK(.tags = 3, .slow = true), DECIDE_EXCLUDE_SLOW, DECIDE_TAKE},
		{OK(.tags = 3, .resident = false, .failed = true), DECIDE_EXCLUDE_LOAD_FAILED, DECIDE_FAILED},
		{OK(.tags = 3, .resident = false, .need_bytes = 2, .room_bytes = 1), DECIDE_EXCLUDE_NO_MEMORY, DECIDE_NEVER},
	};

	(void)state;
	rq.required = 3;
	conf.multi_category = false;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		const struct decide_slot two[] = {CASES[i].slot, OK(.tags = 7)};

		run(two, 1, 1);
		assert_string_equal(exclude_text((enum decide_exclude)r.candidate[0].exclude), exclude_text(CASES[i].why));
		assert_string_equal(decide_verdict_text(r.verdict), decide_verdict_text(CASES[i].alone));
		assert_true(r.unhealthy == (CASES[i].alone == DECIDE_TAKE));
		run(two, 2, 1);
		took(DECIDE_TAKE, 1, DECIDE_REASON_ONLY);
		assert_int_equal(r.candidate[0].tier, DECIDE_TIER_NONE);
	}
	run(NULL, 0, 0);
	assert_int_equal(r.verdict, DECIDE_UNKNOWN);
}

static void switches(void **state)
{
	const struct decide_slot gpu[] = {OK(.gpu_sick = true)}, second[] = {OK(.primary = false)};

	(void)state;
	conf.gpu_aware = false;
	run(gpu, 1, 1);
	took(DECIDE_TAKE, 0, DECIDE_REASON_ONLY);
	assert_false(r.unhealthy);
	run(second, 1, 1);
	took(DECIDE_TAKE, 0, DECIDE_REASON_ONLY);
}

static void all_unhealthy_in_turn(void **state)
{
	const struct decide_slot s[] = {OK(.broken = true), OK(.slow = true), OK(.ready = false), OK(.broken = true)};
	unsigned seen[4] = {0};

	(void)state;
	for (unsigned turn = 1; turn < 31; turn++) {
		if (turn % conf.probe_every == 0)
			continue;
		run(s, 4, turn);
		took(DECIDE_TAKE, r.slot, DECIDE_REASON_UNHEALTHY);
		assert_true(r.unhealthy);
		seen[r.slot]++;
	}
	assert_int_equal(seen[0] + seen[1] + seen[3], 30);
	assert_true(seen[0] == 10 && seen[1] == 10 && seen[3] == 10);
}

/* --- tiers ----------------------------------------------------------------------------------------------------------------------------- */

static void tiers_in_order(void **state)
{
	struct decide_slot s[] = {OK(.resident = false), OK(.resident = false, .loading = true), OK(.in_flight = 1), OK()};

	(void)state;
	run(s, 4, 1);
	took(DECIDE_TAKE, 3, DECIDE_REASON_ONLY);
	run(s, 3, 1);
	took(DECIDE_WAIT, 2, DECIDE_REASON_ONLY);
	run(s, 2, 1);
	took(DECIDE_LOADING, 1, DECIDE_REASON_ONLY);
	run(s, 1, 1);
	took(DECIDE_LOAD, 0, DECIDE_REASON_ONLY);
}

static void cold_by_load_and_memory(void **state)
{
	struct decide_slot s[] = {OK(.resident = false, .load_ns = 60 * NS_PER_S, .need_bytes = 4, .room_bytes = 100),
				  OK(.resident = false, .load_ns = 5 * NS_PER_S, .need_bytes = 4, .room_bytes = 100),
				  OK(.resident = false, .load_ns = 60 * NS_PER_S, .need_bytes = 4, .room_bytes = 5)};

	(void)state;
	run(s, 3, 1);
	took(DECIDE_LOAD, 1, DECIDE_REASON_SCORE);
	assert_true(r.candidate[0].term[DECIDE_TERM_memory] > 0.9F && r.candidate[2].term[DECIDE_TERM_memory] < 0.3F);
}

static void spreads_when_the_wait_is_long(void **state)
{
	struct decide_slot s[] = {OK(.in_flight = 1, .ahead_ns = 90 * NS_PER_S), OK(.resident = false, .load_ns = 10 * NS_PER_S)};

	(void)state;
	run(s, 2, 1);
	took(DECIDE_WAIT, 0, DECIDE_REASON_ONLY);
	assert_int_equal(r.spread, -1);
	conf.spread_ns = 60 * NS_PER_S;
	run(s, 2, 1);
	took(DECIDE_WAIT, 0, DECIDE_REASON_ONLY);
	assert_int_equal(r.spread, 1);
	s[1].load_ns = 200 * NS_PER_S;
	run(s, 2, 1);
	assert_int_equal(r.spread, -1);
}

/* --- score ------------------------------------------------------------------------------------------------------------------------------ */

/* Each term alone decides when nothing else differs, and its best candidate has 1. */
static void every_term_pulls(void **state)
{
	static const struct {
		struct decide_slot worse;
		enum decide_term term;
	} CASES[] = {
		{OK(.p95_ns = 9000000000, .p95_n = 100), DECIDE_TERM_latency},
		{OK(.queued = 2), DECIDE_TERM_queue},
		{OK(.fit = 0.2F), DECIDE_TERM_fit},
		{OK(.health = 0.3F, .health_n = 100), DECIDE_TERM_health},
		{OK(.feedback = 0.0F, .feedback_n = 200), DECIDE_TERM_feedback},
		{OK(.decode_ns = 4e8F), DECIDE_TERM_completion},
	};

	(void)state;
	conf.near = 0.01F;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct decide_slot two[] = {CASES[i].worse, OK()};

		if (CASES[i].term == DECIDE_TERM_latency)
			two[1].p95_ns = 3000000000, two[1].p95_n = 100;
		run(two, 2, 1);
		took(DECIDE_TAKE, 1, DECIDE_REASON_SCORE);
		assert_true(r.candidate[1].term[CASES[i].term] == 1.0F);
		assert_true(r.candidate[0].term[CASES[i].term] < 0.9F);
		assert_true(r.candidate[0].score < r.candidate[1].score && r.candidate[1].score <= 1.0F);
		/* Without its weight nobody is better. */
		conf.weight[CASES[i].term] = 0;
		run(two, 2, 1);
		took(DECIDE_TAKE, r.slot, DECIDE_REASON_TURN);
		fresh(NULL);
		conf.near = 0.01F;
	}
}

static void optional_tags_raise_the_fit(void **state)
{
	const struct decide_slot s[] = {OK(.tags = 1), OK(.tags = 3), OK(.tags = 0)};

	(void)state;
	rq.optional = 3;
	run(s, 3, 1);
	took(DECIDE_TAKE, 1, DECIDE_REASON_SCORE);
	assert_true(r.candidate[0].term[DECIDE_TERM_fit] > r.candidate[2].term[DECIDE_TERM_fit]);
}

static void never_used_has_a_prior_and_stale_returns_to_it(void **state)
{
	struct decide_slot s[] = {OK(.p95_ns = 2000000000, .p95_n = 500, .health = 1, .health_n = 500), OK(),
				  OK(.p95_ns = 20000000000, .p95_n = 500, .health = 1, .health_n = 500)};

	(void)state;
	rq.p95_prior_ns = 4 * NS_PER_S;
	run(s, 3, 1);
	took(DECIDE_TAKE, 0, DECIDE_REASON_SCORE);
	assert_true(r.candidate[1].score > r.candidate[2].score);
	float before = r.candidate[2].term[DECIDE_TERM_latency], unused = r.candidate[1].term[DECIDE_TERM_latency];

	s[2].age_ns = 1000 * 3600 * NS_PER_S;
	run(s, 3, 1);
	assert_true(r.candidate[2].term[DECIDE_TERM_latency] > before);
	assert_float_equal(r.candidate[2].term[DECIDE_TERM_latency], unused, 0.05);
}

static void ties_rotate(void **state)
{
	const struct decide_slot s[] = {OK(), OK(), OK(.fit = 0.1F), OK()};
	unsigned seen[4] = {0};

	(void)state;
	for (unsigned turn = 0; turn < 30; turn++) {
		run(s, 4, turn);
		took(DECIDE_TAKE, r.slot, DECIDE_REASON_TURN);
		seen[r.slot]++;
	}
	assert_true(seen[0] == 10 && seen[1] == 10 && seen[2] == 0 && seen[3] == 10);
}

/* One of four equals slows down: its share of sequential requests sinks by more than a tenth of all, and comes back. */
static void traffic_shifts_and_returns(void **state)
{
	struct decide_slot s[] = {OK(), OK(), OK(), OK()};
	static const uint64_t P95_S[] = {4, 12, 4};
	unsigned share[3] = {0};

	(void)state;
	for (unsigned phase = 0; phase < 3; phase++) {
		for (unsigned i = 0; i < 4; i++)
			s[i].p95_ns = 4 * NS_PER_S, s[i].p95_n = 100;
		s[2].p95_ns = P95_S[phase] * NS_PER_S;
		for (unsigned turn = 0; turn < 400; turn++) {
			run(s, 4, turn);
			share[phase] += r.slot == 2;
		}
	}
	assert_int_equal(share[0], 100);
	assert_true(share[1] + 40 <= share[0]);
	assert_int_equal(share[2], 100);
}

static void hot_only_when_all_are(void **state)
{
	struct decide_slot s[] = {OK(.places = 4, .in_flight = 3, .decode_ns = 1e7F), OK(.places = 4, .in_flight = 2)};

	(void)state;
	run(s, 2, 1);
	took(DECIDE_TAKE, 1, DECIDE_REASON_SCORE);
	assert_true(r.candidate[0].hot && r.candidate[0].score > r.candidate[1].score);
	s[1].places = 8, s[1].in_flight = 7;
	run(s, 2, 1);
	took(DECIDE_TAKE, 0, DECIDE_REASON_HOT);
}

/* --- sessions ---------------------------------------------------------------------------------------------------------------------------- */

static void session_stays_while_it_pays(void **state)
{
	struct decide_slot s[] = {OK(), OK(), OK()};

	(void)state;
	rq.bound = 2;
	rq.bound_tokens = 300;
	run(s, 3, 1);
	took(DECIDE_TAKE, 2, DECIDE_REASON_AFFINITY);
	/* Its instance is busy for long, and the prefix is short: let go. */
	s[2].in_flight = 1;
	s[2].ahead_ns = 60 * NS_PER_S;
	run(s, 3, 1);
	assert_true(r.verdict == DECIDE_TAKE && r.slot != 2 && r.released);
	/* 30000 tokens are 150 s of work; half a minute of waiting is less. */
	rq.prompt_tokens = 30400;
	rq.bound_tokens = 30000;
	s[2].ahead_ns = 30 * NS_PER_S;
	run(s, 3, 1);
	took(DECIDE_WAIT, 2, DECIDE_REASON_HOLD);
	/* But not for ever, if the place does not come. */
	rq.waited_ns = 60 * NS_PER_S;
	run(s, 3, 1);
	assert_true(r.verdict == DECIDE_TAKE && r.slot != 2);
}

/* --- negative routing -------------------------------------------------------------------------------------------------------------------- */

static void a_share_probes_the_slow(void **state)
{
	const struct decide_slot s[] = {OK(), OK(.slow = true), OK()};
	unsigned slow = 0;

	(void)state;
	for (unsigned turn = 0; turn < 1000; turn++) {
		run(s, 3, turn);
		assert_int_equal(r.verdict, DECIDE_TAKE);
		if (r.slot == 1)
			took(DECIDE_TAKE, 1, DECIDE_REASON_PROBE);
		slow += r.slot == 1;
	}
	assert_int_equal(slow, 1000 / conf.probe_every);
}

/* --- modes ------------------------------------------------------------------------------------------------------------------------------- */

/* May take a request, and has a place free. */
static bool free_now(const struct decide_slot *s)
{
	return s->has && s->ready && !s->tried && s->resident && s->in_flight < s->places;
}

/* basic takes a free one that no other free one undercuts, and never waits while there is one. */
static void basic_is_least_outstanding(void **state)
{
	uint64_t x = 88172645463325252ULL;
	unsigned taken = 0;

	(void)state;
	conf.mode = DECIDE_BASIC;
	for (unsigned k = 0; k < 20000; k++) {
		struct decide_slot d[6];
		bool any = false;

		for (unsigned i = 0; i < 6; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			d[i] = (struct decide_slot){.has = x & 1 || x & 2,
						    .resident = x & 4,
						    .loading = x & 8 && x & 16,
						    .failed = x & 32 && x & 64,
						    .ready = x & 128 || x & 256,
						    .tried = x & 512 && x & 1024,
						    .primary = true,
						    .places = (uint16_t)(1 + (unsigned)(x >> 12) % 3),
						    .in_flight = (uint16_t)((unsigned)(x >> 20) % 4)};
			any |= free_now(&d[i]);
		}
		run(d, 6, k);
		assert_int_equal(r.verdict == DECIDE_TAKE, any);
		if (!any)
			continue;
		taken++;
		assert_true(free_now(&d[r.slot]));
		for (unsigned i = 0; i < 6; i++)
			if (free_now(&d[i]))
				assert_true(d[r.slot].in_flight * d[i].places <= d[i].in_flight * d[r.slot].places);
	}
	assert_true(taken > 1000);
}

static void round_robin(void **state)
{
	const struct decide_slot s[] = {OK(.decode_ns = 1), OK(.in_flight = 1), OK(), OK(.fit = 1)};
	unsigned seen[4] = {0};

	(void)state;
	conf.mode = DECIDE_ROUND_ROBIN;
	for (unsigned turn = 0; turn < 30; turn++) {
		run(s, 4, turn);
		took(DECIDE_TAKE, r.slot, DECIDE_REASON_ROUND);
		seen[r.slot]++;
	}
	assert_true(seen[0] == 10 && seen[1] == 0 && seen[2] == 10 && seen[3] == 10);
}

static void words(void **state)
{
	(void)state;
	for (unsigned i = 0; i < DECIDE_REASON_COUNT; i++)
		assert_true(decide_reason_text((enum decide_reason)i) && decide_reason_help((enum decide_reason)i));
	for (unsigned i = 0; i < DECIDE_EXCLUDE_COUNT; i++)
		assert_true(exclude_text((enum decide_exclude)i) && exclude_help((enum decide_exclude)i));
	assert_string_equal(decide_term_text(DECIDE_TERM_completion), "completion");
	assert_string_equal(decide_mode_text(DECIDE_ROUND_ROBIN), "round-robin");
	assert_string_equal(decide_tier_text(DECIDE_TIER_COLD), "cold");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_exclusion, fresh),
		cmocka_unit_test_setup(switches, fresh),
		cmocka_unit_test_setup(all_unhealthy_in_turn, fresh),
		cmocka_unit_test_setup(tiers_in_order, fresh),
		cmocka_unit_test_setup(cold_by_load_and_memory, fresh),
		cmocka_unit_test_setup(spreads_when_the_wait_is_long, fresh),
		cmocka_unit_test_setup(every_term_pulls, fresh),
		cmocka_unit_test_setup(optional_tags_raise_the_fit, fresh),
		cmocka_unit_test_setup(never_used_has_a_prior_and_stale_returns_to_it, fresh),
		cmocka_unit_test_setup(ties_rotate, fresh),
		cmocka_unit_test_setup(traffic_shifts_and_returns, fresh),
		cmocka_unit_test_setup(hot_only_when_all_are, fresh),
		cmocka_unit_test_setup(session_stays_while_it_pays, fresh),
		cmocka_unit_test_setup(a_share_probes_the_slow, fresh),
		cmocka_unit_test_setup(basic_is_least_outstanding, fresh),
		cmocka_unit_test_setup(round_robin, fresh),
		cmocka_unit_test_setup(words, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
