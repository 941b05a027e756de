/* The router's own objects in place of a model of them: order.c holds who waits, decide.c chooses the instance, speed.c learns. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "route/decide.h"
#include "route/order.h"
#include "route/speed.h"
#include "shm/hist.h"
#include "tools/simulate/simulate.h"

#define HEALTHY_N 100.0F /* requests that the health figure stands for: nothing fails here */

struct learned {
	struct speed prefill, decode;
	_Atomic uint32_t total_hist[SHM_HIST_BUCKETS];
	uint64_t last_ns;
	uint64_t p95_ns;
	unsigned answers;
	int32_t running; /* first request on it, linked by `next` */
};

struct tsa {
	struct order order;
	struct decide_conf conf;
	struct order_tenant tenant;
	struct order_lane lane;
	struct order_item *item; /* by request */
	struct order_flow *flow;
	struct learned *learned;      /* by instance */
	struct speed prefill, decode; /* of the fleet: the prior of each instance */
	struct speed_output output;
	struct decide_result *result;
	struct decide_slot slot[SIM_INSTANCES];
	unsigned turn;
	unsigned expired; /* requests before it no longer wait, or may */
};

static void tsa_destroy(struct sim *s)
{
	struct tsa *t = s->state;

	if (!t)
		return;
	free(t->item);
	free(t->flow);
	free(t->learned);
	free(t->result);
	free(t);
}

static void conf_make(const struct sim *s, const struct sim_options *o, struct order_conf *conf)
{
	order_conf_default(conf);
	if (o->gamma > 0)
		conf->gamma = o->gamma;
	conf->most_n = o->queue ? o->queue : s->trace.n;
	conf->most_bytes = UINT64_MAX;
	conf->most_ns = 0;
	conf->tenant_percent = 100;
	for (unsigned c = 0; c < ORDER_CLASSES; c++) {
		conf->class[c].deadline_ns = o->deadline_ns ? o->deadline_ns : CLOCK_NEVER;
		conf->class[c].percent = 100;
	}
}

static int tsa_create(struct sim *s, const struct sim_options *o)
{
	struct tsa *t = calloc(1, sizeof(*t));
	struct order_conf conf;

	s->state = t;
	if (!t)
		return -ENOMEM;
	conf_make(s, o, &conf);
	t->item = calloc(s->trace.n, sizeof(*t->item));
	t->flow = calloc(conf.most_n, sizeof(*t->flow));
	t->learned = calloc(s->n_instances, sizeof(*t->learned));
	t->result = calloc(1, sizeof(*t->result));
	if (!t->item || !t->flow || !t->learned || !t->result)
		return -ENOMEM;
	decide_conf_default(&t->conf);
	order_init(&t->order, &conf, t->flow, conf.most_n);
	for (unsigned i = 0; i < s->n_instances; i++) {
		t->learned[i].running = -1;
		order_places(&t->order, i, s->instance[i].slots);
		order_set_add(&t->lane.slots, i);
	}
	return 0;
}

/* --- what it knows --------------------------------------------------------------------------------------------------------------------- */

static float fleet_prefill(const struct sim *s, const struct tsa *t)
{
	return speed_ns(&t->prefill, &SPEED_PREFILL, SPEED_PREFILL_NS, s->now_ns);
}

static float fleet_decode(const struct sim *s, const struct tsa *t)
{
	return speed_ns(&t->decode, &SPEED_DECODE, SPEED_DECODE_NS, s->now_ns);
}

/* Tokens that a running request has answered so far: the router sees them pass. */
static uint64_t tokens_done(const struct sim *s, const struct sim_request *r)
{
	double speed = s->instance[r->instance].speed, passed = (double)(s->now_ns - r->start_ns) / 1e9;
	double decoding = passed - r->ctx / (s->options->prefill * speed);

	return decoding > 0 ? (uint64_t)(decoding * s->options->decode * speed) : 0;
}

/* Until a slot of a full instance is free, as predicted. */
static uint64_t ahead_ns(const struct sim *s, const struct tsa *t, unsigned i, float prefill_ns, float decode_ns)
{
	double soonest = 0;

	if (s->instance[i].busy < s->instance[i].slots)
		return 0;
	for (int32_t k = t->learned[i].running; k >= 0; k = s->trace.at[k].next) {
		const struct sim_request *r = &s->trace.at[k];
		uint64_t done = tokens_done(s, r);
		double left = done ? 0 : (double)prefill_ns * r->ctx - (double)(s->now_ns - r->start_ns);

		if (left < 0)
			left = 0;
		left += (double)(decode_ns * speed_output_rest(&t->output, SPEED_OUTPUT, done, 0, s->now_ns));
		if (k == t->learned[i].running || left < soonest)
			soonest = left;
	}
	return (uint64_t)soonest;
}

static void slot_fill(struct sim *s, struct tsa *t, unsigned i)
{
	struct learned *l = &t->learned[i];
	float prefill = speed_ns(&l->prefill, &SPEED_PREFILL, fleet_prefill(s, t), s->now_ns);
	float decode = speed_ns(&l->decode, &SPEED_DECODE, fleet_decode(s, t), s->now_ns);

	t->slot[i] = (struct decide_slot){
		.has = true,
		.resident = true,
		.ready = true,
		.primary = true,
		.places = (uint16_t)s->instance[i].slots,
		.in_flight = (uint16_t)s->instance[i].busy,
		.health = 1,
		.health_n = HEALTHY_N,
		.p95_ns = l->p95_ns,
		.p95_n = (float)l->answers,
		.age_ns = l->answers ? s->now_ns - l->last_ns : 0,
		.prefill_ns = prefill,
		.decode_ns = decode,
		.ahead_ns = ahead_ns(s, t, i, prefill, decode),
	};
}

/* --- what it does ----------------------------------------------------------------------------------------------------------------------- */

static void start(struct sim *s, struct tsa *t, unsigned request, unsigned instance)
{
	sim_start(s, request, instance);
	s->trace.at[request].next = t->learned[instance].running;
	t->learned[instance].running = (int32_t)request;
}

static void decide_for(struct sim *s, struct tsa *t, const struct order_item *item)
{
	const struct decide_request rq = {
		.prompt_tokens = item->input_tokens,
		.output_tokens = item->output_tokens,
		.waited_ns = s->now_ns - item->since_ns,
		.bound = -1,
	};

	for (unsigned i = 0; i < s->n_instances; i++)
		slot_fill(s, t, i);
	decide(&t->conf, &rq, t->slot, s->n_instances, t->turn++, t->result);
}

static void go(struct sim *s)
{
	struct tsa *t = s->state;
	struct order_item *item;

	order_round(&t->order);
	for (;;) {
		struct order_set free_slots = {{0}};
		unsigned n = 0;

		for (unsigned i = 0; i < s->n_instances; i++)
			if (s->instance[i].busy < s->instance[i].slots) {
				order_set_add(&free_slots, i);
				n++;
			}
		item = n ? order_best(&t->order, &free_slots, s->now_ns) : NULL;
		if (!item)
			return;
		decide_for(s, t, item);
		if (t->result->verdict != DECIDE_TAKE) {
			order_pass(&t->order, item);
			/* What it waits for may be later than the next event: look again soon. */
			sim_wake_at(s, s->now_ns + 50 * NS_PER_MS);
			continue;
		}
		order_take(&t->order, item, s->now_ns);
		start(s, t, (unsigned)(item - t->item), (unsigned)t->result->slot);
	}
}

/* The oldest of those whose time is up leave as a client would: with a refusal. */
static void expire(struct sim *s, struct tsa *t)
{
	if (!s->options->deadline_ns)
		return;
	while (t->expired < s->trace.n && t->item[t->expired].tenant && t->item[t->expired].deadline_ns <= s->now_ns) {
		if (t->item[t->expired].flow) {
			order_remove(&t->order, &t->item[t->expired]);
			sim_refuse(s, t->expired);
		}
		t->expired++;
	}
}

static void tsa_arrive(struct sim *s, unsigned request)
{
	struct tsa *t = s->state;
	struct order_item *item = &t->item[request];
	float output = speed_output_rest(&t->output, SPEED_OUTPUT, 0, 0, s->now_ns);

	expire(s, t);
	*item = (struct order_item){
		.tenant = &t->tenant,
		.lane = &t->lane,
		.class = ORDER_NORMAL,
		.input_tokens = s->trace.at[request].ctx,
		.output_tokens = (uint32_t)output,
		.work_ns = speed_work_ns(fleet_prefill(s, t), fleet_decode(s, t), s->trace.at[request].ctx, output),
		.bytes = 1,
	};
	if (order_add(&t->order, item, s->now_ns) != ORDER_REFUSE_NONE) {
		sim_refuse(s, request);
		return;
	}
	go(s);
}

static void learn(struct sim *s, struct tsa *t, const struct sim_request *r)
{
	struct learned *l = &t->learned[r->instance];
	double speed = s->instance[r->instance].speed;
	uint64_t first = (uint64_t)(1e9 * r->ctx / (s->options->prefill * speed));
	uint64_t rest = r->end_ns - r->start_ns > first ? r->end_ns - r->start_ns - first : 0;
	speed_learn(&l->prefill, &SPEED_PREFILL, r->ctx, first, s->now_ns);
	speed_learn(&l->decode, &SPEED_DECODE, r->gen, rest, s->now_ns);
	speed_learn(&t->prefill, &SPEED_PREFILL, r->ctx, first, s->now_ns);
	speed_learn(&t->decode, &SPEED_DECODE, r->gen, rest, s->now_ns);
	speed_output_learn(&t->output, r->gen, s->now_ns);
	shm_hist_add(l->total_hist, r->end_ns - r->start_ns);
	l->p95_ns = shm_hist_quantile(l->total_hist, 0.95);
	l->answers++;
	l->last_ns = s->now_ns;
}

static void tsa_done(struct sim *s, unsigned request)
{
	struct tsa *t = s->state;
	struct sim_request *r = &s->trace.at[request];
	int32_t *at = &t->learned[r->instance].running;

	while (*at != (int32_t)request)
		at = &s->trace.at[*at].next;
	*at = r->next;
	learn(s, t, r);
	order_settle(&t->order, &t->item[request], r->ctx, r->gen);
	order_drained(&t->order, t->item[request].work_ns, s->now_ns);
	expire(s, t);
	go(s);
}

static void tsa_wake(struct sim *s)
{
	expire(s, s->state);
	go(s);
}

const struct sim_policy SIM_TSA = {
	"tsa", "the router's own queue, decision and learning", tsa_create, tsa_destroy, tsa_arrive, tsa_done, tsa_wake};
