/* What tsa.conf(5) calls a default is what route/ calls one: two lists of numbers that must not drift apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "route/breaker.h"
#include "route/choose.h"
#include "route/decide.h"
#include "route/gate.h"
#include "route/order.h"
#include "route/reload.h"
#include "route/retry.h"

#define SAME(a, b) assert_true((double)(a) > (double)(b)-1e-6 && (double)(a) < (double)(b) + 1e-6)

static struct conf *c;
static const struct conf_routing *r;

static int setup(void **state)
{
	const struct conf_adhoc nothing = {.n_listen = 0};
	static struct conf_report report;

	(void)state;
	if (conf_adhoc_make(&nothing, &c, &report) < 0)
		return -1;
	r = &c->routing;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	conf_destroy(&c);
	return 0;
}

static void of_the_decision(void **state)
{
	struct decide_conf d;

	(void)state;
	decide_conf_default(&d);
	assert_int_equal(r->selection, d.mode);
	assert_int_equal(r->gpu_awareness, d.gpu_aware);
	assert_int_equal(r->multi_category, d.multi_category);
	SAME(r->near, d.near);
	SAME(r->hot, d.hot);
	SAME(r->hold, d.hold);
	assert_int_equal(r->spread_ns, d.spread_ns);
	assert_int_equal(r->stale_ns, d.stale_ns);
	assert_int_equal(r->probe_every, d.probe_every);
#define TERM(name, weight_, meaning) SAME(r->weights.name, d.weight[DECIDE_TERM_##name]);
	DECIDE_TERMS(TERM)
#undef TERM
	/* the words of one and the numbers of the other */
	assert_int_equal(CONF_SELECT_BASIC, DECIDE_BASIC);
	assert_int_equal(CONF_SELECT_ROUND_ROBIN, DECIDE_ROUND_ROBIN);
}

static void of_what_is_left_alone(void **state)
{
	struct breaker_conf b;
	struct retry_conf t;
	struct gate_conf g;

	(void)state;
	breaker_conf_default(&b);
	retry_conf_default(&t);
	gate_conf_default(&g);
	assert_int_equal(r->slow.p95_ns, g.limit_ns);
	SAME(r->slow.back, g.back);
	SAME(r->slow.answers, g.least_n);
	assert_int_equal(r->slow.forget_ns, g.stale_ns);
	assert_int_equal(r->breaker.failures, b.failures);
	assert_int_equal(r->breaker.pause_ns, b.pause_ns);
	assert_int_equal(r->breaker.longest_ns, b.most_ns);
	assert_int_equal(r->breaker.trial_ns, b.trial_ns);
	SAME(r->retries.share, t.share);
	SAME(r->retries.per_second, t.per_s);
	SAME(r->retries.most, t.most);
}

static void of_waiting(void **state)
{
	struct order_conf o;

	(void)state;
	order_conf_default(&o);
	assert_int_equal(r->wait.bytes, o.most_bytes);
	SAME(r->wait.tenant * 100, o.tenant_percent);
	assert_int_equal(r->wait.work_ns, o.most_ns);
	SAME(r->wait.gamma, o.gamma);
	SAME(r->wait.prompt_weight, o.w_input);
	SAME(r->wait.answer_weight, o.w_output);
	SAME(r->wait.slack, o.slack);
	assert_int_equal(r->wait.interactive.handicap_ns, o.class[ORDER_INTERACTIVE].handicap_ns);
	assert_int_equal(r->wait.normal.handicap_ns, o.class[ORDER_NORMAL].handicap_ns);
	assert_int_equal(r->wait.batch.handicap_ns, o.class[ORDER_BATCH].handicap_ns);
	SAME(r->wait.interactive.share * 100, o.class[ORDER_INTERACTIVE].percent);
	SAME(r->wait.normal.share * 100, o.class[ORDER_NORMAL].percent);
	SAME(r->wait.batch.share * 100, o.class[ORDER_BATCH].percent);
}

static void of_the_choice(void **state)
{
	struct choose_conf k;
	struct tax_conf t;

	(void)state;
	choose_conf_default(&k);
	tax_conf_default(&t);
	SAME(r->automatic.complexity, k.complexity);
	SAME(r->automatic.confidence, k.confidence);
	SAME(r->automatic.reasoning_share, k.reasoning_share);
	assert_int_equal(r->automatic.window, k.window);
	assert_int_equal(r->automatic.hook.addr.len, 0);
	SAME(r->scores.base, t.base);
	SAME(r->scores.benchmarks, t.benchmarks);
	SAME(r->scores.only, t.only);
	SAME(r->scores.first, t.first);
	SAME(r->scores.other, t.other);
	SAME(r->scores.unlisted, t.unlisted);
	assert_int_equal(CONF_RELOAD_ROUTE, RELOAD_ROUTE);
	assert_int_equal(CONF_RELOAD_REFUSE, RELOAD_REFUSE);
	assert_int_equal(r->reload, RELOAD_CLAMP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_the_decision),
		cmocka_unit_test(of_what_is_left_alone),
		cmocka_unit_test(of_waiting),
		cmocka_unit_test(of_the_choice),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
