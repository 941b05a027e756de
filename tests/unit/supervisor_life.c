/* Every state by every event: what is listed is what the operator is promised, and everything else is a bug that is ignored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bug.h"
#include "base/clock.h"
#include "proc/proc.h"
#include "supervisor/life.h"

#define N SHM_CHILD_NONE
#define S SHM_CHILD_STARTING
#define R SHM_CHILD_RUNNING
#define P SHM_CHILD_STOPPING
#define B SHM_CHILD_BACKOFF
#define Q SHM_CHILD_QUARANTINED
#define D SHM_CHILD_STOPPED

/* The whole table a second time, written by hand: a change of one is a change of both. */
static const struct {
	enum shm_child state;
	enum life_event event;
	enum shm_child next;
	enum life_action action;
} PROMISED[] = {
	{N, LIFE_START, S, LIFE_SPAWN},       {N, LIFE_FOUND, S, LIFE_AWAIT},        {N, LIFE_STOP, D, LIFE_GONE},
	{N, LIFE_LIFT, N, LIFE_REST},
	{S, LIFE_START, S, LIFE_REST},        {S, LIFE_SPAWN_FAILED, B, LIFE_PAUSE}, {S, LIFE_HELLO, S, LIFE_WELCOME},
	{S, LIFE_READY, R, LIFE_SETTLE},      {S, LIFE_DIED, B, LIFE_PAUSE},         {S, LIFE_TIMER, S, LIFE_KILL},
	{S, LIFE_PONG_LATE, S, LIFE_KILL},    {S, LIFE_STOP, P, LIFE_SEND_STOP},     {S, LIFE_LIFT, S, LIFE_REST},
	{R, LIFE_START, R, LIFE_REST},        {R, LIFE_HELLO, R, LIFE_WELCOME},      {R, LIFE_READY, R, LIFE_REST},
	{R, LIFE_DIED, B, LIFE_PAUSE},        {R, LIFE_PONG_LATE, R, LIFE_KILL},     {R, LIFE_STOP, P, LIFE_SEND_STOP},
	{R, LIFE_LIFT, R, LIFE_SEND_RESTART}, {P, LIFE_START, P, LIFE_REST},         {P, LIFE_HELLO, P, LIFE_SEND_STOP},
	{P, LIFE_READY, P, LIFE_REST},        {P, LIFE_DIED, D, LIFE_GONE},          {P, LIFE_TIMER, P, LIFE_KILL},
	{P, LIFE_PONG_LATE, P, LIFE_KILL},    {P, LIFE_STOP, P, LIFE_SEND_STOP},     {P, LIFE_LIFT, P, LIFE_REST},
	{B, LIFE_START, B, LIFE_REST},        {B, LIFE_SPENT, Q, LIFE_QUARANTINE},   {B, LIFE_TIMER, S, LIFE_SPAWN},
	{B, LIFE_STOP, D, LIFE_GONE},         {B, LIFE_LIFT, S, LIFE_SPAWN},         {Q, LIFE_START, Q, LIFE_REST},
	{Q, LIFE_STOP, D, LIFE_GONE},         {Q, LIFE_LIFT, S, LIFE_SPAWN},         {D, LIFE_START, S, LIFE_SPAWN},
	{D, LIFE_FOUND, S, LIFE_AWAIT},       {D, LIFE_STOP, D, LIFE_REST},          {D, LIFE_LIFT, D, LIFE_REST},
};

static void every_cell_is_as_promised(void **state)
{
	(void)state;
	for (int st = 0; st < SHM_CHILD_COUNT; st++)
		for (int ev = 0; ev < LIFE_EVENT_COUNT; ev++) {
			struct life_step want = {(enum shm_child)st, LIFE_BUG}, got;

			for (size_t i = 0; i < ARRAY_SIZE(PROMISED); i++)
				if ((int)PROMISED[i].state == st && (int)PROMISED[i].event == ev)
					want = (struct life_step){PROMISED[i].next, PROMISED[i].action};
			got = life_next((enum shm_child)st, (enum life_event)ev);
			assert_int_equal(got.next, want.next);
			assert_int_equal(got.action, want.action);
		}
}

static void nonsense_moves_nothing(void **state)
{
	struct life_step step = life_next((enum shm_child)99, LIFE_START);

	(void)state;
	assert_int_equal(step.next, 99);
	assert_int_equal(step.action, LIFE_BUG);
	step = life_next(R, (enum life_event)99);
	assert_int_equal(step.next, R);
	assert_int_equal(step.action, LIFE_BUG);
}

static bool has_process(enum shm_child st)
{
	return st == S || st == R || st == P;
}

/* "Never two of anything": a new process is started only where there is none, and a death always leaves none behind. */
static void never_two_processes(void **state)
{
	(void)state;
	for (int st = 0; st < SHM_CHILD_COUNT; st++)
		for (int ev = 0; ev < LIFE_EVENT_COUNT; ev++) {
			struct life_step step = life_next((enum shm_child)st, (enum life_event)ev);

			if (step.action == LIFE_SPAWN || step.action == LIFE_AWAIT)
				assert_false(has_process((enum shm_child)st));
			if (ev == LIFE_DIED && step.action != LIFE_BUG)
				assert_false(has_process(step.next));
			if (has_process((enum shm_child)st) && !has_process(step.next))
				assert_true(ev == LIFE_DIED || ev == LIFE_SPAWN_FAILED);
		}
}

static void every_state_can_be_left_by_stop_and_restart(void **state)
{
	(void)state;
	for (int st = 0; st < SHM_CHILD_COUNT; st++) {
		struct life_step step = life_next((enum shm_child)st, LIFE_STOP);

		assert_int_not_equal(step.action, LIFE_BUG);
		assert_true(step.next == P || step.next == D);
	}
	assert_int_equal(life_next(D, LIFE_START).action, LIFE_SPAWN);
	assert_int_equal(life_next(Q, LIFE_LIFT).action, LIFE_SPAWN);
}

static void every_event_has_a_meaning(void **state)
{
	(void)state;
	for (int ev = 0; ev < LIFE_EVENT_COUNT; ev++)
		assert_true(life_event_word((enum life_event)ev)[0]);
	assert_string_equal(life_event_word((enum life_event)99), life_event_word(LIFE_NONE));
}

/* promise 27 */
static void fleet_in_trouble_is_restarted_slowly(void **state)
{
	struct life_fleet fleet = {0};
	uint64_t now = 1000 * NS_PER_S;

	(void)state;
	for (unsigned i = 1; i < LIFE_FLEET_BUDGET; i++)
		assert_int_equal(life_fleet_pause(&fleet, now += NS_PER_S, 7), 7);
	assert_int_equal(life_fleet_pause(&fleet, now += NS_PER_S, 7), PROC_BACKOFF_MAX_NS);
	assert_int_equal(life_fleet_pause(&fleet, now += LIFE_FLEET_BUDGET_NS, 7), 7);
}

static void killed_from_outside_comes_back_at_once(void **state)
{
	(void)state;
	assert_int_equal(life_killed_pause(NS_PER_S), 0);
	assert_int_equal(life_killed_pause(LIFE_KILLED_FLOOR_NS), 0);
	assert_int_equal(life_killed_pause(0), LIFE_KILLED_FLOOR_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_is_as_promised),
		cmocka_unit_test(nonsense_moves_nothing),
		cmocka_unit_test(never_two_processes),
		cmocka_unit_test(every_state_can_be_left_by_stop_and_restart),
		cmocka_unit_test(every_event_has_a_meaning),
		cmocka_unit_test(fleet_in_trouble_is_restarted_slowly),
		cmocka_unit_test(killed_from_outside_comes_back_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
