/* A token is asked for where it costs nobody anything; a busy instance is wedged only when nothing moves and failures pile up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bug.h"
#include "base/clock.h"
#include "worker/judge.h"

#define NOW (100000 * NS_PER_S)

static struct judge_facts quiet(void)
{
	return (struct judge_facts){.now_ns = NOW,
				    .moved_ns = NOW,
				    .proof_ns = NOW - NS_PER_S,
				    .tried_ns = NOW - NS_PER_S,
				    .took_ns = 50 * NS_PER_MS,
				    .probe_ns = NS_PER_S,
				    .able_ns = 30 * NS_PER_S,
				    .warm_ns = 120 * NS_PER_S};
}

static void a_quiet_instance_is_tried_now_and_then(void **state)
{
	struct judge_facts f = quiet();

	(void)state;
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.proof_ns = f.tried_ns = NOW - 29 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.proof_ns = f.tried_ns = NOW - 31 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_TRY);
	f.tried_ns = NOW - NS_PER_S; /* just asked, and failed in a way that says nothing */
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.probe_ns = 10 * NS_PER_S; /* thirty of these are more than the model stays loaded for */
	f.proof_ns = f.tried_ns = NOW - 119 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.proof_ns = f.tried_ns = NOW - 121 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_TRY);
}

static void a_used_one_keeps_its_cache(void **state)
{
	struct judge_facts f = quiet();

	(void)state;
	f.proof_ns = f.tried_ns = NOW - 3600 * NS_PER_S;
	f.used_ns = NOW - 60 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.used_ns = NOW - 121 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_TRY);
}

static void a_slow_one_is_tried_seldom(void **state)
{
	struct judge_facts f = quiet();

	(void)state;
	f.took_ns = 5 * NS_PER_S;
	f.proof_ns = f.tried_ns = NOW - 99 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.proof_ns = f.tried_ns = NOW - 101 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_TRY);
}

static void failures_make_an_idle_one_suspect_at_once(void **state)
{
	struct judge_facts f = quiet();

	(void)state;
	f.used_ns = NOW - NS_PER_S;
	f.fail_streak = 1;
	f.failed_ns = NOW - NS_PER_MS;
	assert_int_equal(judge_able(&f), JUDGE_TRY);
	f.tried_ns = NOW; /* once for each failure */
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.tried_ns = 0;
	f.proof_ns = NOW; /* a token came after it */
	assert_int_equal(judge_able(&f), JUDGE_FINE);
}

static void a_working_busy_one_is_left_alone(void **state)
{
	struct judge_facts f = quiet();

	(void)state;
	f.in_flight = 1;
	f.fail_streak = 20;
	f.runners_known = true;
	f.moved_ns = NOW - 3600 * NS_PER_S;
	f.runners_idle_since_ns = NOW; /* they work */
	f.proof_ns = f.tried_ns = 0;
	assert_int_equal(judge_able(&f), JUDGE_FINE);
}

static void a_busy_one_that_does_not_work_is_wedged(void **state)
{
	struct judge_facts f = quiet();

	(void)state;
	f.in_flight = 1;
	f.fail_streak = 3;
	f.runners_known = true;
	f.runners_idle_since_ns = NOW - 3600 * NS_PER_S; /* idle for an hour, but the request came this second */
	f.moved_ns = NOW - NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.moved_ns = NOW - 11 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_WEDGED);
	f.fail_streak = 0; /* nothing failed yet: one long answer, or a reader that stalls, looks the same */
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.moved_ns = NOW - 89 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.moved_ns = NOW - 91 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_PING);
	f.pinged_ns = NOW - NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.pinged_ns = NOW - 91 * NS_PER_S;
	assert_int_equal(judge_able(&f), JUDGE_PING);
}

static void without_sight_of_the_runners_only_failures_count(void **state)
{
	struct judge_facts f = quiet();

	(void)state;
	f.in_flight = 1;
	f.moved_ns = NOW - 3600 * NS_PER_S;
	f.pinged_ns = NOW;
	f.fail_streak = 3;
	assert_int_equal(judge_able(&f), JUDGE_FINE);
	f.fail_streak = 6;
	assert_int_equal(judge_able(&f), JUDGE_WEDGED);
}

static void a_wait_beside_an_idle_runner_is_in_vain(void **state)
{
	struct judge_wait f = {.now_ns = NOW, .since_ns = NOW - 60 * NS_PER_S, .able_ns = 30 * NS_PER_S, .idle_since_ns = NOW, .runners = 1};

	(void)state;
	assert_false(judge_wait(&f)); /* it works: a long prompt */
	f.idle_since_ns = NOW - 11 * NS_PER_S;
	assert_true(judge_wait(&f));
	f.whole = true;
	assert_true(judge_wait(&f));
	f.since_ns = NOW - 9 * NS_PER_S; /* idle for longer, but nobody waited */
	assert_false(judge_wait(&f));
}

static void a_wait_whose_runner_cannot_be_told_takes_longer(void **state)
{
	struct judge_wait f = {.now_ns = NOW, .since_ns = NOW - 89 * NS_PER_S, .able_ns = 30 * NS_PER_S, .idle_since_ns = NOW};

	(void)state;
	assert_false(judge_wait(&f));
	f.since_ns = NOW - 91 * NS_PER_S;
	assert_true(judge_wait(&f)); /* not ours to see */
	f.runners = 2;
	assert_true(judge_wait(&f)); /* perhaps the other one works */
	f.runners = 1;
	assert_false(judge_wait(&f));
	f.runners = 0;
	f.whole = true;
	assert_false(judge_wait(&f)); /* a long answer looks the same */
}

/* An idle runner wakes up: a tick of 10 ms every few seconds.  For minutes. */
static void a_tick_now_and_then_is_no_work(void **state)
{
	struct judge_work k = {0};
	uint64_t cpu = 650 * NS_PER_MS;

	(void)state;
	judge_work_take(&k, 1, cpu, NOW);
	assert_true(k.known);
	assert_int_equal(k.idle_since_ns, NOW);
	for (unsigned i = 1; i <= 3000; i++)
		judge_work_take(&k, 1, cpu + i / 15 * 10 * NS_PER_MS, NOW + i * 100 * NS_PER_MS);
	assert_int_equal(k.idle_since_ns, NOW);
}

static void work_is_seen_before_anyone_asks(void **state)
{
	struct judge_work k = {0};

	(void)state;
	judge_work_take(&k, 1, 0, NOW);
	for (unsigned i = 1; i <= 30; i++)
		judge_work_take(&k, 1, 0, NOW + i * 100 * NS_PER_MS);
	assert_int_equal(k.idle_since_ns, NOW);
	/* In the middle of a span: not first at its end. */
	judge_work_take(&k, 1, 60 * NS_PER_MS, NOW + 3100 * NS_PER_MS);
	assert_int_equal(k.idle_since_ns, NOW + 3100 * NS_PER_MS);
	/* A twentieth of a processor. */
	for (unsigned i = 1; i <= 100; i++) {
		uint64_t now = NOW + (3100 + i * 100) * NS_PER_MS;

		judge_work_take(&k, 1, (60 + i / 2 * 10) * NS_PER_MS, now);
		assert_true(now - k.idle_since_ns <= 400 * NS_PER_MS);
	}
}

static void other_runners_are_watched_anew(void **state)
{
	struct judge_work k = {0};

	(void)state;
	judge_work_take(&k, 1, 500 * NS_PER_MS, NOW);
	judge_work_take(&k, 0, 0, NOW + NS_PER_S);
	assert_false(k.known);
	judge_work_take(&k, 1, 0, NOW + 2 * NS_PER_S); /* a new one: its loading was not seen */
	assert_true(k.known);
	assert_int_equal(k.idle_since_ns, NOW + 2 * NS_PER_S);
	judge_work_take(&k, 2, 10 * NS_PER_MS, NOW + 4 * NS_PER_S);
	assert_int_equal(k.idle_since_ns, NOW + 2 * NS_PER_S);
	judge_work_take(&k, 1, 0, NOW + 5 * NS_PER_S); /* one of them ended: less than before */
	assert_int_equal(k.idle_since_ns, NOW + 5 * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quiet_instance_is_tried_now_and_then),
		cmocka_unit_test(a_used_one_keeps_its_cache),
		cmocka_unit_test(a_slow_one_is_tried_seldom),
		cmocka_unit_test(failures_make_an_idle_one_suspect_at_once),
		cmocka_unit_test(a_working_busy_one_is_left_alone),
		cmocka_unit_test(a_busy_one_that_does_not_work_is_wedged),
		cmocka_unit_test(without_sight_of_the_runners_only_failures_count),
		cmocka_unit_test(a_wait_beside_an_idle_runner_is_in_vain),
		cmocka_unit_test(a_wait_whose_runner_cannot_be_told_takes_longer),
		cmocka_unit_test(a_tick_now_and_then_is_no_work),
		cmocka_unit_test(work_is_seen_before_anyone_asks),
		cmocka_unit_test(other_runners_are_watched_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
