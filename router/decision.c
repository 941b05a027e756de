/* Facts for one decision: what the board says, what was learned, what this request has been through. */
#include "router/router.h"

#include <string.h>

#include "base/clock.h"

bool slot_coming(const struct slot *s)
{
	bool wanted = s->wanted == SHM_WANT_RUN || (s->wanted == SHM_WANT_DRAIN && s->child == SHM_CHILD_STOPPING);

	return wanted && s->child != SHM_CHILD_QUARANTINED && s->state != SHM_STATE_QUARANTINED &&
	       !(s->wanted == SHM_WANT_RUN && s->state == SHM_STATE_READY);
}

bool slot_usable(const struct slot *s)
{
	return s->used && s->wanted == SHM_WANT_RUN && s->state == SHM_STATE_READY;
}

/* --- lanes --------------------------------------------------------------------------------------------------------------------- */

void lane_changed(struct router *r)
{
	r->routing.lane_epoch++;
}

static bool kept_out(const struct pair *p, uint64_t now_ns)
{
	if (!p)
		return false;
	for (unsigned c = 0; c < ORDER_CLASSES; c++)
		if (p->latency[c].gate.out)
			return true;
	return !breaker_allows(&p->breaker, now_ns);
}

void lane_refresh(struct router *r, struct model *m, uint64_t now_ns)
{
	struct order_set well = {{0}}, any = {{0}};

	if (m->lane_epoch == r->routing.lane_epoch)
		return;
	m->lane_epoch = r->routing.lane_epoch;
	for (uint64_t bits = m->resident & m->slots; bits; bits &= bits - 1) {
		unsigned i = (unsigned)__builtin_ctzll(bits);

		if (!slot_usable(&r->slots[i]) || r->slots[i].penalty_ns > now_ns)
			continue;
		order_set_add(&any, i);
		if (!kept_out(pair_find(&r->routing, m, i), now_ns))
			order_set_add(&well, i);
	}
	/* Where all are unhealthy, what might work has to do. */
	m->lane.slots = well.bits[0] ? well : any;
}

/* --- sessions ------------------------------------------------------------------------------------------------------------------ */

int session_bound(const struct exchange *x, uint64_t now_ns, uint32_t *tokens)
{
	struct router *r = x->r;
	const struct affinity_entry *e;

	if (!x->session || !r->conf.routing.affinity)
		return -1;
	e = affinity_find(&r->routing.affinity, x->session, now_ns);
	/* One that has been started again since has lost what it held. */
	if (!e || e->slot >= PROC_SLOTS || !r->slots[e->slot].used || e->gen != r->slots[e->slot].cache)
		return -1;
	*tokens = e->tokens < x->item.input_tokens ? e->tokens : x->item.input_tokens;
	return e->slot;
}

/* --- facts --------------------------------------------------------------------------------------------------------------------- */

/* Until one of the instance's places is free, as predicted. */
static uint64_t ahead_ns(const struct router *r, unsigned slot, uint64_t now_ns)
{
	const struct exchange *x;
	uint64_t soonest = UINT64_MAX;

	LIST_FOREACH(x, &r->slots[slot].running, on_slot)
	{
		uint64_t left = learn_rest_ns(x, now_ns);

		soonest = left < soonest ? left : soonest;
	}
	return soonest == UINT64_MAX ? 0 : soonest; /* all are those of other routers */
}

static void figures(struct router *r, const struct exchange *x, struct pair *p, struct decide_slot *f, uint64_t now_ns)
{
	const struct latency *l;

	if (!p) {
		f->prefill_ns = x->model->prefill_ns;
		f->decode_ns = x->model->decode_ns;
		return;
	}
	pair_figures(r, p, now_ns);
	l = &p->latency[x->item.class];
	f->broken = !breaker_allows(&p->breaker, now_ns);
	f->slow = l->gate.out;
	f->health = p->ok;
	f->health_n = p->ok_n;
	f->feedback = p->rating.mean;
	f->feedback_n = rating_weight(&p->rating, now_ns);
	f->p95_ns = l->stale ? 0 : l->p95_ns;
	f->p95_n = l->stale ? 0 : (float)(l->sum[0] + l->sum[1]);
	f->age_ns = p->last_ns ? now_ns - p->last_ns : 0;
	f->prefill_ns = p->prefill_ns;
	f->decode_ns = p->decode_ns;
}

static void fill(struct router *r, const struct exchange *x, unsigned i, struct decide_slot *f, uint64_t now_ns)
{
	const struct slot *s = &r->slots[i];
	const struct model *m = x->model;
	uint64_t bit = 1ULL << i;

	*f = (struct decide_slot){
		.has = true,
		.resident = m->resident & bit,
		.loading = (m->loading & bit) || m->wish == (int)i,
		.failed = m->failed & bit,
		.ready = s->wanted == SHM_WANT_RUN && s->state == SHM_STATE_READY,
		.coming = slot_coming(s),
		.narrow = x->narrow & bit,
		.tried = order_set_has(&x->item.tried, i),
		.penalty = s->penalty_ns > now_ns,
		.primary = !x->secondary,
		.gpu_sick = r->routing.gpus_sick && s->vram,
		.places = (uint16_t)r->conf.slots[i].places,
		.in_flight = (uint16_t)view_in_flight(r, i),
		.queued = (uint16_t)s->queued,
		.tags = r->routing.slot_tags[i],
		.fit = x->fit,
	};
	figures(r, x, pair_find(&r->routing, m, i), f, now_ns);
	if (f->resident)
		return;
	f->load_ns = m->load_ns ? m->load_ns : (uint64_t)speed_load_ns(NULL, m->size_bytes, now_ns);
	if (!s->adopted && r->routing.room_bytes) {
		f->need_bytes = m->size_bytes;
		f->room_bytes = r->routing.room_bytes + s->resident_bytes;
	}
}

/* How long a full instance stays full matters only where somebody might wait for it. */
static void fill_ahead(struct router *r, const struct decide_request *rq, struct decide_slot *slots, unsigned n, uint64_t now_ns)
{
	bool room = false;

	for (unsigned i = 0; i < n && !room; i++)
		room = slots[i].resident && slots[i].ready && slots[i].in_flight < slots[i].places;
	for (unsigned i = 0; i < n; i++)
		if (slots[i].has && slots[i].in_flight >= slots[i].places && (!room || rq->bound == (int)i))
			slots[i].ahead_ns = ahead_ns(r, i, now_ns);
}

struct decision *decision_make(struct exchange *x, uint64_t now_ns)
{
	struct router *r = x->r;
	struct routing *t = &r->routing;
	struct decision *d = &t->decisions[t->next];
	unsigned n = x->model->slots ? 64U - (unsigned)__builtin_clzll(x->model->slots) : 0;

	d->id = 0; /* not kept yet */
	d->rq = (struct decide_request){
		.required = x->required,
		.optional = x->optional,
		.prompt_tokens = x->item.input_tokens,
		.output_tokens = x->item.output_tokens,
		.waited_ns = x->state == EX_WAIT ? now_ns - x->wait_since_ns : 0,
	};
	d->rq.bound = session_bound(x, now_ns, &d->rq.bound_tokens);
	for (unsigned i = 0; i < n; i++)
		if (r->slots[i].used && x->model->slots & (1ULL << i))
			fill(r, x, i, &d->slot[i], now_ns);
		else
			d->slot[i] = (struct decide_slot){.has = false};
	fill_ahead(r, &d->rq, d->slot, n, now_ns);
	d->turn = t->turn++;
	decide(&t->decide, &d->rq, d->slot, n, d->turn, &d->result);
	x->at_home = d->rq.bound >= 0 && d->rq.bound == d->result.slot;
	d->id = x->id;
	d->class = (uint8_t)x->item.class;
	d->attempt = (uint8_t)(x->attempts + 1);
	d->kind = x->kind;
	d->automatic = x->automatic;
	d->confidence = x->confidence;
	d->complexity = x->complexity;
	memcpy(d->model, x->model->key, sizeof(d->model));
	d->tenant = x->tenant->key;
	return d;
}

void decision_keep(struct router *r)
{
	struct routing *t = &r->routing;

	t->decisions[t->next].wall_ns = clock_wall_ns();
	t->next = (t->next + 1) % ROUTER_DECISIONS;
	t->decisions[t->next].id = 0;
}

const struct decision *decision_find(const struct router *r, uint64_t id)
{
	const struct routing *t = &r->routing;

	for (unsigned k = 0; k < ROUTER_DECISIONS; k++) {
		const struct decision *d = &t->decisions[(t->next + ROUTER_DECISIONS - k) % ROUTER_DECISIONS];

		if (d->id == id)
			return d;
	}
	return NULL;
}
