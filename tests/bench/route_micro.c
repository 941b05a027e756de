/* Nanoseconds per decision and per step of the queue, over a full fleet.  The median of many rounds, and the best.
 *
 * make build/bench/route_micro && build/bench/route_micro */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "route/affinity.h"
#include "route/decide.h"
#include "route/order.h"
#include "route/speed.h"

#define INSTANCES 96
#define ROUNDS    101
#define WAITING   1000

/* Keeps a result alive without storing it anywhere. */
static void keep(uint64_t v)
{
	__asm__ volatile("" : : "r"(v) : "memory");
}

static struct decide_slot fleet[INSTANCES];
static struct decide_request request = {
	.required = 1, .optional = 6, .prompt_tokens = 800, .output_tokens = 200, .bound = 17, .bound_tokens = 300};
static struct decide_conf conf;
static struct decide_result result;
static unsigned turn;

static void fleet_make(void)
{
	for (unsigned i = 0; i < INSTANCES; i++)
		fleet[i] = (struct decide_slot){.has = true,
						.resident = true,
						.ready = true,
						.primary = true,
						.places = 4,
						.in_flight = (uint16_t)(i % 3),
						.queued = (uint16_t)(i % 2),
						.tags = 1 | (i % 8),
						.fit = 0.5F + (float)(i % 5) / 10,
						.health = 0.9F + (float)(i % 10) / 100,
						.health_n = (float)i,
						.feedback = 0.5F,
						.feedback_n = (float)(i % 7),
						.p95_ns = (2 + i % 13) * NS_PER_S,
						.p95_n = (float)(i * 3),
						.age_ns = i * NS_PER_S,
						.prefill_ns = 5e6F + (float)i,
						.decode_ns = 5e7F + (float)(i * 100000)};
}

static void decide_once(void)
{
	decide(&conf, &request, fleet, INSTANCES, ++turn, &result);
	keep((uint64_t)result.slot);
}

static struct order order;
static struct order_flow flows[WAITING + 1];
static struct order_item items[WAITING + 1];
static struct order_tenant tenants[10];
static struct order_lane lanes[16];
static const struct order_set ALL = {{~0ULL, ~0ULL}};
static uint64_t now = NS_PER_S;

static void item_add(struct order_item *x, unsigned i)
{
	*x = (struct order_item){.tenant = &tenants[i % ARRAY_SIZE(tenants)],
				 .lane = &lanes[i % ARRAY_SIZE(lanes)],
				 .class = ORDER_NORMAL,
				 .work_ns = (1 + i * 7919 % 30) * NS_PER_S,
				 .input_tokens = 500,
				 .output_tokens = 200};
	BUG_ON(order_add(&order, x, now += NS_PER_MS) != ORDER_REFUSE_NONE);
}

static void order_make(void)
{
	struct order_conf c;

	order_conf_default(&c);
	c.most_n = 2 * (WAITING + 1);
	c.tenant_percent = 100;
	c.class[ORDER_NORMAL].deadline_ns = CLOCK_NEVER;
	order_init(&order, &c, flows, ARRAY_SIZE(flows));
	for (unsigned i = 0; i < INSTANCES; i++)
		order_places(&order, i, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(lanes); i++)
		lanes[i].slots = ALL;
	for (unsigned i = 0; i < WAITING; i++)
		item_add(&items[i], i);
}

/* The best of a thousand who wait goes, another one comes. */
static void order_once(void)
{
	struct order_item *x = order_best(&order, &ALL, now);

	order_take(&order, x, now);
	order_settle(&order, x, x->input_tokens, x->output_tokens);
	item_add(x, ++turn);
}

static void position_once(void)
{
	unsigned ahead;
	uint64_t wait;

	order_position(&order, &items[++turn % WAITING], &ahead, &wait);
	keep(wait);
}

static struct speed speed;

static void speed_once(void)
{
	speed_learn(&speed, &SPEED_DECODE, 200, 200 * 50 * NS_PER_MS, now += NS_PER_MS);
	keep((uint64_t)speed_ns(&speed, &SPEED_DECODE, SPEED_DECODE_NS, now));
}

static struct affinity affinity;
static struct affinity_entry entries[4096];

static void affinity_once(void)
{
	uint64_t key = affinity_key(1, 2, ++turn % 5000);

	keep((uint64_t)affinity_find(&affinity, key, now));
	affinity_report(&affinity, key, 3, 1, 500, AFFINITY_SUCCESS, ++now);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void job_run(const char *name, unsigned times, void (*once)(void))
{
	double ns[ROUNDS];

	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t from = clock_now_ns();

		for (unsigned i = 0; i < times; i++)
			once();
		ns[r] = (double)(clock_now_ns() - from) / times;
	}
	qsort(ns, ROUNDS, sizeof(*ns), by_value);
	printf("%-52s median %8.1f ns  best %8.1f ns\n", name, ns[ROUNDS / 2], ns[0]);
}

int main(void)
{
	fleet_make();
	decide_conf_default(&conf);
	order_make();
	BUG_ON(affinity_init(&affinity, entries, ARRAY_SIZE(entries), AFFINITY_AGE_NS));
	job_run("decision over 96 instances, full", 200, decide_once);
	conf.mode = DECIDE_BASIC;
	job_run("decision over 96 instances, basic", 200, decide_once);
	job_run("queue of 1000, 16 models, 10 tenants: best, take, add", 200, order_once);
	job_run("queue of 1000: position and wait", 200, position_once);
	job_run("speed learned and asked", 2000, speed_once);
	job_run("session found and bound", 2000, affinity_once);
	return 0;
}
