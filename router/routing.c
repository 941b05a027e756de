/* What the configuration says of placing requests, in the words of route/; and the tables that learning needs. */
#include "router/router.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"

bool routing_init(struct routing *t)
{
	t->flows = calloc(ROUTER_FLOWS, sizeof(*t->flows));
	t->tenants = calloc(ROUTER_TENANTS, sizeof(*t->tenants));
	t->pairs = calloc(ROUTER_PAIRS, sizeof(*t->pairs));
	t->decisions = calloc(ROUTER_DECISIONS, sizeof(*t->decisions));
	if (!t->flows || !t->tenants || !t->pairs || !t->decisions)
		return false;
	t->n_tenants = 1; /* who names no key */
	t->lane_epoch = 1;
	order_conf_default(&t->order_conf);
	order_init(&t->order, &t->order_conf, t->flows, ROUTER_FLOWS);
	tags_init(&t->tags);
	return true;
}

void routing_fini(struct routing *t)
{
	free(t->flows);
	free(t->tenants);
	free(t->pairs);
	free(t->decisions);
	free(t->sessions);
}

/* --- the configuration ---------------------------------------------------------------------------------------------------------- */

static void take_decide(const struct proc_routing *p, struct decide_conf *d)
{
	static const enum proc_term TERMS[DECIDE_TERM_COUNT] = {
		[DECIDE_TERM_latency] = PROC_TERM_LATENCY,     [DECIDE_TERM_queue] = PROC_TERM_QUEUE,
		[DECIDE_TERM_fit] = PROC_TERM_FIT,	       [DECIDE_TERM_health] = PROC_TERM_HEALTH,
		[DECIDE_TERM_feedback] = PROC_TERM_FEEDBACK,   [DECIDE_TERM_completion] = PROC_TERM_COMPLETION,
		[DECIDE_TERM_affinity] = PROC_TERM_AFFINITY,   [DECIDE_TERM_memory] = PROC_TERM_MEMORY,
	};

	decide_conf_default(d);
	d->mode = p->selection == PROC_SELECT_ROUND_ROBIN ? DECIDE_ROUND_ROBIN : p->selection == PROC_SELECT_BASIC ? DECIDE_BASIC : DECIDE_FULL;
	d->gpu_aware = p->gpu_awareness;
	d->multi_category = p->multi_category;
	d->near = (float)p->near;
	d->hot = (float)p->hot;
	d->hold = (float)p->hold;
	d->spread_ns = p->spread_ns;
	d->probe_every = p->probe_every;
	d->stale_ns = p->stale_ns;
	for (unsigned i = 0; i < DECIDE_TERM_COUNT; i++)
		d->weight[i] = (float)p->weight[TERMS[i]];
}

static void take_health(const struct proc_routing *p, struct routing *t)
{
	breaker_conf_default(&t->breaker);
	t->breaker.failures = p->breaker_failures;
	t->breaker.pause_ns = p->breaker_pause_ns;
	t->breaker.most_ns = p->breaker_longest_ns;
	t->breaker.trial_ns = p->breaker_trial_ns;
	gate_conf_default(&t->gate);
	t->gate.limit_ns = p->slow_p95_ns;
	t->gate.back = (float)p->slow_back;
	t->gate.least_n = (float)p->slow_answers;
	t->gate.stale_ns = p->slow_forget_ns;
	retry_conf_default(&t->retry_conf);
	t->retry_conf.share = (float)p->retries_share;
	t->retry_conf.per_s = (float)p->retries_per_s;
	t->retry_conf.most = (float)p->retries_most;
	/* Rates fade as the other figures do: half at `stale`, by both their rules. */
	t->prefill_conf = SPEED_PREFILL;
	t->decode_conf = SPEED_DECODE;
	t->prefill_conf.half_ns = t->decode_conf.half_ns = 2 * p->stale_ns;
}

static void take_class(const struct proc_class *p, struct order_class_conf *c)
{
	*c = (struct order_class_conf){
		.handicap_ns = p->handicap_ns,
		.deadline_ns = p->wait_ns,
		.percent = (uint32_t)(p->share * 100 + 0.5),
	};
}

static void take_order(const struct proc_router_conf *conf, struct routing *t)
{
	const struct proc_routing *p = &conf->routing;
	struct order_conf *o = &t->order_conf;

	o->gamma = p->gamma;
	o->w_input = p->prompt_weight;
	o->w_output = p->answer_weight;
	o->slack = p->slack;
	o->most_n = conf->queue;
	o->most_bytes = p->wait_bytes;
	o->tenant_percent = (uint32_t)(p->wait_tenant * 100 + 0.5);
	o->most_ns = p->wait_work_ns;
	take_class(&p->interactive, &o->class[ORDER_INTERACTIVE]);
	take_class(&p->normal, &o->class[ORDER_NORMAL]);
	take_class(&p->batch, &o->class[ORDER_BATCH]);
	order_conf_set(&t->order, o);
}

/* Another size: what was remembered is forgotten, which costs one prefill a session. */
static void take_sessions(const struct proc_routing *p, struct routing *t)
{
	struct affinity_entry *e;

	t->affinity.age_ns = p->affinity_age_ns;
	if (t->sessions && t->n_sessions == p->affinity_entries)
		return;
	e = calloc(p->affinity_entries, sizeof(*e));
	if (!e || affinity_init(&t->affinity, e, p->affinity_entries, p->affinity_age_ns)) {
		log_err("no memory for %u sessions; %s", p->affinity_entries, t->sessions ? "as many as before are remembered" : "none is remembered");
		free(e);
		return;
	}
	free(t->sessions);
	t->sessions = e;
	t->n_sessions = p->affinity_entries;
}

static void take_tags(const struct proc_router_conf *conf, struct routing *t)
{
	struct why why = {0};

	tags_init(&t->tags);
	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		const struct proc_slot *s = &conf->slots[i];

		t->slot_tags[i] = 0;
		for (uint32_t at = 0; s->used && at < s->tags_len && at < PROC_TAGS; at += (uint32_t)strnlen(s->tags + at, PROC_TAGS - at) + 1)
			if (tags_add(&t->tags, s->tags + at, &t->slot_tags[i], &why))
				log_warning("slot %s: %s", s->name, why.text);
	}
}

void routing_take(struct router *r)
{
	struct routing *t = &r->routing;

	take_decide(&r->conf.routing, &t->decide);
	take_health(&r->conf.routing, t);
	take_order(&r->conf, t);
	take_sessions(&r->conf.routing, t);
	take_tags(&r->conf, t);
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		order_places(&t->order, i, r->conf.slots[i].used ? r->conf.slots[i].places : 0);
	lane_changed(r);
}

/* --- time ----------------------------------------------------------------------------------------------------------------------- */

void routing_forget_slot(struct router *r, unsigned slot)
{
	struct routing *t = &r->routing;

	for (unsigned i = 0; i < t->n_pairs; i++)
		if (t->pairs[i].model && t->pairs[i].slot == slot && !t->pairs[i].users)
			pair_free(&t->pairs[i]);
	if (t->sessions)
		affinity_drop_slot(&t->affinity, (uint16_t)slot);
	if (r->page)
		shm_set(&r->page->slot[slot].breaker, 0);
	lane_changed(r);
}

static void host_look(struct router *r)
{
	struct routing *t = &r->routing;
	struct shm_host h;

	if (!r->board || shm_read_host(r->board, &h) || !h.mem_total_bytes)
		return;
	t->room_bytes = h.mem_available_bytes;
	t->gpus_sick = h.gpus > 0;
	for (uint64_t i = 0; i < h.gpus && i < SHM_GPUS; i++)
		if (h.gpu[i].healthy)
			t->gpus_sick = false;
}

void routing_tick(struct router *r)
{
	host_look(r);
	lane_changed(r); /* pauses and penalties end by time */
}
