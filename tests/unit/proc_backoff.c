/* Pauses grow from none to 60 s, a steady life begins anew, ten failures in ten minutes are a quarantine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bug.h"
#include "base/clock.h"
#include "proc/proc.h"

#define START (1000 * NS_PER_S)

static void first_failure_costs_no_pause(void **state)
{
	struct proc_backoff b = {0};

	(void)state;
	assert_int_equal(proc_backoff_fail(&b, START, 0, UINT32_MAX), 0);
}

static void pauses_double_up_to_the_cap(void **state)
{
	static const uint64_t SECONDS[] = {0, 1, 2, 4, 8, 16, 32, 60, 60};
	struct proc_backoff b = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(SECONDS); i++)
		assert_int_equal(proc_backoff_fail(&b, START + i, 0, 0), SECONDS[i] * NS_PER_S);
}

static void jitter_takes_a_quarter_at_most(void **state)
{
	struct proc_backoff a = {0}, b = {0};

	(void)state;
	for (unsigned i = 0; i + 1 < PROC_BUDGET; i++) {
		uint64_t whole = proc_backoff_fail(&a, START + i, 0, 0);
		uint64_t least = proc_backoff_fail(&b, START + i, 0, UINT32_MAX);

		assert_in_range(least, whole - whole / 4, whole - whole / 5);
	}
}

static void spent_budget_is_a_quarantine(void **state)
{
	struct proc_backoff b = {0};

	(void)state;
	for (unsigned i = 0; i + 1 < PROC_BUDGET; i++)
		assert_int_not_equal(proc_backoff_fail(&b, START + i * 60 * NS_PER_S, 0, 0), CLOCK_NEVER);
	assert_int_equal(proc_backoff_fail(&b, START + 9 * 60 * NS_PER_S, 0, 0), CLOCK_NEVER);
}

static void old_failures_leave_the_budget(void **state)
{
	struct proc_backoff b = {0};

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_int_not_equal(proc_backoff_fail(&b, START + i * PROC_BUDGET_NS / (PROC_BUDGET - 1), 0, 0), CLOCK_NEVER);
}

static void steady_life_begins_anew(void **state)
{
	struct proc_backoff b = {0};

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		proc_backoff_fail(&b, START + i, 0, 0);
	assert_int_equal(proc_backoff_fail(&b, START + PROC_STEADY_NS, PROC_STEADY_NS, 0), 0);
	assert_int_equal(proc_backoff_fail(&b, START + PROC_STEADY_NS + 1, 1, 0), NS_PER_S);
}

static void lifting_forgets_everything(void **state)
{
	struct proc_backoff b = {0};

	(void)state;
	while (proc_backoff_fail(&b, START, 0, 0) != CLOCK_NEVER)
		;
	proc_backoff_lift(&b);
	assert_int_equal(proc_backoff_fail(&b, START, 0, 0), 0);
	assert_int_equal(proc_backoff_fail(&b, START, 0, 0), NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_failure_costs_no_pause),   cmocka_unit_test(pauses_double_up_to_the_cap),
		cmocka_unit_test(jitter_takes_a_quarter_at_most), cmocka_unit_test(spent_budget_is_a_quarantine),
		cmocka_unit_test(old_failures_leave_the_budget),  cmocka_unit_test(steady_life_begins_anew),
		cmocka_unit_test(lifting_forgets_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
