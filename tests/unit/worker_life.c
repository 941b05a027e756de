/* Every state is left by what may happen in it, every listed cell leads to a real state, and the way of a healthy and of a dying
 * instance is the one the documentation tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bug.h"
#include "shm/layout.h"
#include "worker/life.h"

struct leg {
	enum life_event event;
	enum shm_state next;
	enum life_action action;
};

static void walk(enum shm_state from, const struct leg *legs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct life_step step = life_next(from, legs[i].event);

		assert_int_equal(step.next, legs[i].next);
		assert_int_equal(step.action, legs[i].action);
		from = step.next;
	}
}

static void a_healthy_life(void **state)
{
	static const struct leg LEGS[] = {
		{LIFE_EV_BEGIN, SHM_STATE_STARTING, LIFE_ACT_START}, {LIFE_EV_ANSWERS, SHM_STATE_UP, LIFE_ACT_LOOK},
		{LIFE_EV_TARGET, SHM_STATE_WARMING, LIFE_ACT_WARM},  {LIFE_EV_ABLE, SHM_STATE_READY, LIFE_ACT_NONE},
		{LIFE_EV_ABLE, SHM_STATE_READY, LIFE_ACT_NONE},      {LIFE_EV_STOP, SHM_STATE_DRAINING, LIFE_ACT_DRAIN},
		{LIFE_EV_DRAINED, SHM_STATE_DRAINING, LIFE_ACT_END}, {LIFE_EV_GONE, SHM_STATE_STOPPED, LIFE_ACT_EXIT},
	};

	(void)state;
	walk(SHM_STATE_NONE, LEGS, ARRAY_SIZE(LEGS));
}

static void deaths_pause_and_end_in_quarantine_until_lifted(void **state)
{
	static const struct leg LEGS[] = {
		{LIFE_EV_DIED, SHM_STATE_BACKOFF, LIFE_ACT_PAUSE},     {LIFE_EV_RETRY, SHM_STATE_STARTING, LIFE_ACT_START},
		{LIFE_EV_LATE, SHM_STATE_BACKOFF, LIFE_ACT_KILL},      {LIFE_EV_DIED, SHM_STATE_BACKOFF, LIFE_ACT_NONE},
		{LIFE_EV_RETRY, SHM_STATE_STARTING, LIFE_ACT_START},   {LIFE_EV_BLOCKED, SHM_STATE_BACKOFF, LIFE_ACT_PAUSE},
		{LIFE_EV_SPENT, SHM_STATE_QUARANTINED, LIFE_ACT_NONE}, {LIFE_EV_RECYCLE, SHM_STATE_STARTING, LIFE_ACT_START},
	};

	(void)state;
	walk(SHM_STATE_READY, LEGS, ARRAY_SIZE(LEGS));
}

static void a_wedge_is_healed_or_ends_in_a_restart(void **state)
{
	static const struct leg HEALED[] = {
		{LIFE_EV_WEDGED, SHM_STATE_SICK, LIFE_ACT_HEAL},
		{LIFE_EV_ABLE, SHM_STATE_READY, LIFE_ACT_NONE},
	};
	static const struct leg RESTARTED[] = {
		{LIFE_EV_WEDGED, SHM_STATE_SICK, LIFE_ACT_HEAL},       {LIFE_EV_WEDGED, SHM_STATE_SICK, LIFE_ACT_HEAL},
		{LIFE_EV_RECYCLE, SHM_STATE_DRAINING, LIFE_ACT_DRAIN}, {LIFE_EV_DRAINED, SHM_STATE_DRAINING, LIFE_ACT_END},
		{LIFE_EV_ENDED, SHM_STATE_STARTING, LIFE_ACT_START},
	};

	(void)state;
	walk(SHM_STATE_READY, HEALED, ARRAY_SIZE(HEALED));
	walk(SHM_STATE_READY, RESTARTED, ARRAY_SIZE(RESTARTED));
}

/* A lost instance sends nobody to its runner: what does not answer at all is waited for, or killed when it is ours. */
static void a_lost_one_is_not_healed_but_looked_for(void **state)
{
	static const struct leg BACK[] = {
		{LIFE_EV_LOST, SHM_STATE_SICK, LIFE_ACT_NONE},
		{LIFE_EV_ANSWERS, SHM_STATE_UP, LIFE_ACT_LOOK},
	};
	static const struct leg HANGS[] = {
		{LIFE_EV_LOST, SHM_STATE_SICK, LIFE_ACT_NONE},
		{LIFE_EV_LATE, SHM_STATE_BACKOFF, LIFE_ACT_KILL},
	};

	(void)state;
	walk(SHM_STATE_READY, BACK, ARRAY_SIZE(BACK));
	walk(SHM_STATE_READY, HANGS, ARRAY_SIZE(HANGS));
}

static void orders_and_deaths_are_taken_in_every_state(void **state)
{
	(void)state;
	for (int s = SHM_STATE_NONE; s < SHM_STATE_COUNT; s++) {
		assert_int_not_equal(life_next((enum shm_state)s, LIFE_EV_STOP).next, SHM_STATE_NONE);
		if (s != SHM_STATE_NONE)
			assert_int_not_equal(life_next((enum shm_state)s, LIFE_EV_RECYCLE).next, SHM_STATE_NONE);
		if (s != SHM_STATE_NONE && s != SHM_STATE_DRAINING && s != SHM_STATE_STOPPED)
			assert_int_not_equal(life_next((enum shm_state)s, LIFE_EV_DIED).next, SHM_STATE_NONE);
	}
}

/* Exhaustively: an unlisted cell says so and does nothing; a listed one names a state and an action that exist; START happens only
 * on the way to STARTING; only a token leads to READY. */
static void every_cell_is_sound(void **state)
{
	unsigned listed = 0;

	(void)state;
	for (int s = SHM_STATE_NONE; s < SHM_STATE_COUNT; s++)
		for (int e = LIFE_EV_NONE + 1; e < LIFE_EV_COUNT; e++) {
			struct life_step step = life_next((enum shm_state)s, (enum life_event)e);

			assert_true(step.next < SHM_STATE_COUNT && step.action < LIFE_ACT_COUNT);
			if (step.next == SHM_STATE_NONE) {
				assert_int_equal(step.action, LIFE_ACT_NONE);
				continue;
			}
			listed++;
			if (step.action == LIFE_ACT_START)
				assert_int_equal(step.next, SHM_STATE_STARTING);
			if (step.next == SHM_STATE_STARTING)
				assert_int_equal(step.action, LIFE_ACT_START);
			if (step.next == SHM_STATE_READY)
				assert_true(e == LIFE_EV_ABLE || s == SHM_STATE_READY);
			if (step.action == LIFE_ACT_EXIT)
				assert_int_equal(step.next, SHM_STATE_STOPPED);
		}
	assert_in_range(listed, 50, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_healthy_life),
		cmocka_unit_test(deaths_pause_and_end_in_quarantine_until_lifted),
		cmocka_unit_test(a_wedge_is_healed_or_ends_in_a_restart),
		cmocka_unit_test(a_lost_one_is_not_healed_but_looked_for),
		cmocka_unit_test(orders_and_deaths_are_taken_in_every_state),
		cmocka_unit_test(every_cell_is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
