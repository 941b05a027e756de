/* Retry budget; the gate of slow instances. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "route/gate.h"
#include "route/retry.h"

static const uint64_t T = 1000 * NS_PER_S;

static void a_broken_fleet_sees_a_share_more(void **state)
{
	struct retry_conf conf;
	struct retry r = {0};
	unsigned retries = 0;

	(void)state;
	retry_conf_default(&conf);
	/* 1000 requests a second for ten seconds, each of which fails and would be tried twice more. */
	for (uint64_t i = 0; i < 10000; i++) {
		retry_request(&r, &conf);
		retries += retry_take(&r, &conf, T + i * NS_PER_MS);
		retries += retry_take(&r, &conf, T + i * NS_PER_MS);
	}
	assert_in_range(retries, 2000, 2000 + 20 + 20);
}

static void a_quiet_service_may_retry(void **state)
{
	struct retry_conf conf;
	struct retry r = {0};
	unsigned n = 0;

	(void)state;
	retry_conf_default(&conf);
	while (retry_take(&r, &conf, T))
		n++;
	assert_int_equal(n, 20);
	assert_true(retry_take(&r, &conf, T + NS_PER_S));
	/* A clock that stands still or goes back gives nothing. */
	while (retry_take(&r, &conf, T + NS_PER_S))
		n++;
	assert_false(retry_take(&r, &conf, T));
	assert_int_equal(n, 21);
}

static void gate_has_hysteresis(void **state)
{
	struct gate_conf conf;
	struct gate g = {0};

	(void)state;
	gate_conf_default(&conf);
	/* Without a limit nothing is out. */
	assert_false(gate_update(&g, &conf, UINT64_MAX, 1000, 0, T));
	conf.limit_ns = 1000;
	assert_false(gate_update(&g, &conf, 1000, 100, 0, T));
	assert_false(gate_update(&g, &conf, 5000, 9, 0, T)); /* too few */
	assert_true(gate_update(&g, &conf, 1001, 100, 0, T + 1));
	assert_true(g.since_ns == T + 1);
	/* On the edge it stays out, and keeps its time. */
	assert_true(gate_update(&g, &conf, 900, 100, 0, T + 2));
	assert_true(g.since_ns == T + 1);
	assert_false(gate_update(&g, &conf, 790, 100, 0, T + 3));
	assert_false(gate_update(&g, &conf, 900, 100, 0, T + 4));
	/* What has not answered for long is not known to be slow. */
	assert_true(gate_update(&g, &conf, 9000, 100, 0, T + 5));
	assert_false(gate_update(&g, &conf, 9000, 100, conf.stale_ns, T + 6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_broken_fleet_sees_a_share_more),
		cmocka_unit_test(a_quiet_service_may_retry),
		cmocka_unit_test(gate_has_hysteresis),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
