/* Now, later or no: requests wait here, not in Ollama, and are bound to an instance only when it has a place free.
 *
 * routing.order holds who waits and says who goes next; decision.c says where to, and may have somebody wait although a place is free. */
#include "router/router.h"

#include <string.h>

#include "base/bug.h"
#include "base/clock.h"

#define PASSES_MOST 32 /* of those that would rather wait, looked at in one turn */

bool queue_has_way(struct exchange *x)
{
	enum decide_verdict v = decision_make(x, clock_now_ns())->result.verdict;

	return v == DECIDE_TAKE || v == DECIDE_WAIT || v == DECIDE_LOAD || v == DECIDE_LOADING;
}

/* --- places ------------------------------------------------------------------------------------------------------------------ */

static void publish_in_flight(struct router *r, unsigned slot)
{
	if (r->page)
		atomic_store_explicit(&r->page->slot[slot].in_flight, r->slots[slot].in_flight, memory_order_seq_cst);
}

static bool may_generate(struct router *r)
{
	return !r->conf.active || view_active(r) < r->conf.active;
}

static bool has_room(struct router *r, unsigned slot)
{
	return r->slots[slot].used && view_in_flight(r, slot) < r->conf.slots[slot].places;
}

/* Take a place.  With several routers: publish the claim, then look; two that claim at once both see each other and at least
 * one steps back, so an instance never gets more than its places. */
static bool place_take(struct router *r, unsigned slot)
{
	if (!may_generate(r))
		return false;
	r->slots[slot].in_flight++;
	publish_in_flight(r, slot);
	if (view_in_flight(r, slot) > r->conf.slots[slot].places) {
		r->slots[slot].in_flight--;
		publish_in_flight(r, slot);
		return false;
	}
	r->active++;
	shm_set(&r->count->active, r->active);
	return true;
}

static void place_free(struct router *r, unsigned slot)
{
	r->slots[slot].in_flight--;
	r->active--;
	shm_set(&r->count->active, r->active);
	publish_in_flight(r, slot);
}

void place_release(struct router *r, unsigned slot, uint64_t hold_ns)
{
	if (hold_ns && r->n_ghosts < ROUTER_GHOSTS) {
		r->ghosts[r->n_ghosts++] =
			(struct ghost){.until_ns = clock_after_ns(clock_now_ns(), hold_ns), .slot = (uint8_t)slot};
		return;
	}
	place_free(r, slot);
	queue_pump(r);
}

/* Places of abandoned prompts that the instance has worked off by now. */
static void ghosts_tick(struct router *r, uint64_t now_ns)
{
	for (unsigned i = 0; i < r->n_ghosts;) {
		if (r->ghosts[i].until_ns > now_ns) {
			i++;
			continue;
		}
		place_free(r, r->ghosts[i].slot);
		r->ghosts[i] = r->ghosts[--r->n_ghosts];
	}
}

unsigned queue_retry_after_s(const struct router *r)
{
	return order_retry_after_s(&r->routing.order, clock_now_ns());
}

/* --- in and out ---------------------------------------------------------------------------------------------------------------- */

static struct exchange *exchange_of(struct order_item *item)
{
	return container_of(item, struct exchange, item);
}

static struct model *model_of(struct order_lane *lane)
{
	return container_of(lane, struct model, lane);
}

static void count_waiting(struct router *r)
{
	shm_set(&r->count->waiting, r->routing.order.n);
}

static void set_attributed(struct router *r, struct exchange *x, int slot)
{
	if (x->queued_at >= 0) {
		r->slots[x->queued_at].queued--;
		if (r->page)
			shm_set(&r->page->slot[x->queued_at].queued, r->slots[x->queued_at].queued);
	}
	x->queued_at = (int8_t)slot;
	if (slot >= 0) {
		r->slots[slot].queued++;
		if (r->page)
			shm_set(&r->page->slot[slot].queued, r->slots[slot].queued);
	}
}

/* The instance that one who waits would most likely go to: where fewest are, by share of places. */
static int likely(struct router *r, const struct order_lane *lane)
{
	int best = -1;
	double least = 0;

	for (uint64_t bits = lane->slots.bits[0]; bits; bits &= bits - 1) {
		unsigned i = (unsigned)__builtin_ctzll(bits);
		double share = (double)(r->slots[i].in_flight + r->slots[i].queued) / (r->conf.slots[i].places + 1e-9);

		if (best < 0 || share < least) {
			best = (int)i;
			least = share;
		}
	}
	return best;
}

static void left_queue(struct exchange *x, uint64_t now_ns)
{
	struct router *r = x->r;

	count_waiting(r);
	set_attributed(r, x, -1);
	x->queue_ns += now_ns - x->wait_since_ns;
	wish_check(r, x->model);
}

void queue_remove(struct exchange *x)
{
	order_remove(&x->r->routing.order, &x->item);
	left_queue(x, clock_now_ns());
}

static bool is_final(enum decide_verdict v)
{
	return v == DECIDE_UNKNOWN || v == DECIDE_NEVER || v == DECIDE_FAILED;
}

/* No place will ever come, as things stand: say so.  True when the exchange has been answered. */
static bool refuse(struct exchange *x, enum decide_verdict v)
{
	if (is_final(v) && (auto_relax(x) || auto_next(x))) {
		queue_submit(x);
		return true;
	}
	if (is_final(v) && hook_ask(x))
		return true;
	switch (v) {
	case DECIDE_UNKNOWN:
		answer_no_model(x);
		return true;
	case DECIDE_NEVER:
		answer_error(x, 503, 5,
			     "no instance that has the model '%s' takes requests: all are drained, stopped or quarantined, or lack what the "
			     "request requires; see `tsactl instances`",
			     x->model->key);
		return true;
	case DECIDE_FAILED:
		answer_error(x, 503, 10,
			     "every instance that has the model '%s' failed to load it; see `tsactl instances` for the reason",
			     x->model->key);
		return true;
	default:
		return false;
	}
}

/* Send it where the decision says.  False: the place is gone. */
static bool go(struct exchange *x, const struct decision *d, uint64_t now_ns)
{
	struct router *r = x->r;
	unsigned slot = (unsigned)d->result.slot;
	enum decide_reason reason = d->result.reason;

	if (!place_take(r, slot))
		return false;
	if (x->item.flow) {
		order_take(&r->routing.order, &x->item, now_ns);
		left_queue(x, now_ns);
	} else {
		order_charge(&r->routing.order, &x->item, now_ns);
	}
	decision_keep(r);
	exchange_dispatch(x, slot, reason, x->model->resident & (1ULL << slot));
	return true;
}

/* --- a new one ------------------------------------------------------------------------------------------------------------------- */

static void refuse_busy(struct exchange *x, enum order_refusal why, uint64_t wait_ns)
{
	struct router *r = x->r;
	unsigned retry = queue_retry_after_s(r), told = answer_retry_s(x, retry);

	x->waited = true;
	x->ahead = r->routing.order.n;
	x->guess_ns = wait_ns;
	if (why == ORDER_REFUSE_COUNT)
		answer_error(x, 429, retry, "the service is busy: %u requests wait already; try again in %u s", r->routing.order.n, told);
	else if (why == ORDER_REFUSE_TENANT)
		answer_error(x, 429, retry, "the service is busy: your requests that wait are the most for one client already; try again in %u s",
			     told);
	else if (why == ORDER_REFUSE_BYTES)
		answer_error(x, 429, retry, "the service is busy: the requests that wait are too large together; try again in %u s", told);
	else
		answer_error(x, 429, retry, "the service is busy: this request would wait about %llu s, which is too long; try again in %u s",
			     (unsigned long long)(wait_ns / NS_PER_S), told);
}

static bool any_room(struct router *r)
{
	if (!may_generate(r))
		return false;
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (has_room(r, i))
			return true;
	return false;
}

bool queue_shut(struct exchange *x)
{
	struct routing *t = &x->r->routing;
	const struct tenant *tenant = tenant_find(t, x->tenant_key);
	enum order_refusal why = order_full(&t->order, tenant ? &tenant->order : NULL, x->item.class);

	if (why == ORDER_REFUSE_NONE || any_room(x->r))
		return false;
	refuse_busy(x, why, UINT64_MAX);
	return true;
}

/* One that was under way already keeps its place in the order, and no limit counts. */
static enum order_refusal add(struct exchange *x, uint64_t now_ns)
{
	struct order *o = &x->r->routing.order;

	x->item.bytes = x->body_cap;
	if (!x->attempts || LIST_EMPTY(&o->spare))
		return order_add(o, &x->item, now_ns);
	order_put_back(o, &x->item);
	return ORDER_REFUSE_NONE;
}

static uint64_t wait_most_ns(const struct exchange *x)
{
	const struct proc_routing *p = &x->r->conf.routing;

	return x->item.class == ORDER_INTERACTIVE ? p->interactive.wait_ns : x->item.class == ORDER_BATCH ? p->batch.wait_ns : p->normal.wait_ns;
}

static void enqueue(struct exchange *x, uint64_t now_ns, const struct decide_result *d)
{
	struct router *r = x->r;
	bool loading = d && (d->verdict == DECIDE_LOAD || d->verdict == DECIDE_LOADING);
	enum order_refusal why = add(x, now_ns);

	if (why != ORDER_REFUSE_NONE) {
		wish_check(r, x->model);
		refuse_busy(x, why, order_wait_ns(&r->routing.order, &x->item, now_ns));
		return;
	}
	if (!x->waited)
		order_position(&r->routing.order, &x->item, &x->ahead, &x->guess_ns);
	x->waited = true;
	x->state = EX_WAIT;
	x->wait_since_ns = now_ns;
	/* A load takes as long as it takes; a place must come within the deadline of the class. */
	x->deadline_ns = loading ? x->total_ns : clock_after_ns(now_ns, wait_most_ns(x));
	if (x->deadline_ns > x->total_ns)
		x->deadline_ns = x->total_ns;
	count_waiting(r);
	set_attributed(r, x, d && d->slot >= 0 ? d->slot : likely(r, &x->model->lane));
	if (d && d->verdict == DECIDE_LOAD && x->model->wish < 0)
		wish_make(r, x->model, (unsigned)d->slot, now_ns);
	queue_poll(r, true);
}

/* Some instance of the lane could take it at once, or there is none for it and the decision has to say why. */
static bool worth_deciding(struct router *r, const struct exchange *x)
{
	uint64_t can = x->model->lane.slots.bits[0] & ~x->item.tried.bits[0];

	if (!can)
		return true;
	for (uint64_t bits = can; bits; bits &= bits - 1)
		if (has_room(r, (unsigned)__builtin_ctzll(bits)))
			return may_generate(r);
	return false;
}

void queue_submit(struct exchange *x)
{
	struct router *r = x->r;
	uint64_t now = clock_now_ns();
	struct decision *d = NULL;

	view_refresh(r, now);
	learn_expect(x, now);
	x->item.lane = &x->model->lane;
	/* Those who came first go first. */
	if (x->model->lane.waiting)
		queue_pump(r);
	lane_refresh(r, x->model, now);
	if (worth_deciding(r, x)) {
		d = decision_make(x, now);
		if (d->result.verdict == DECIDE_TAKE && go(x, d, now))
			return;
		if (refuse(x, d->result.verdict))
			return;
	}
	enqueue(x, now, d ? &d->result : NULL);
}

/* --- those that wait --------------------------------------------------------------------------------------------------------------- */

/* One of a lane that no instance can take now: what stands in its way stands in the way of all of them. */
static void lane_look(struct router *r, struct model *m, uint64_t now_ns)
{
	while (m->lane.waiting) {
		struct exchange *x = exchange_of(LIST_FIRST(&m->lane.flows)->root);
		const struct decide_result *d = &decision_make(x, now_ns)->result;

		if (d->verdict == DECIDE_LOAD && m->wish < 0)
			wish_make(r, m, (unsigned)d->slot, now_ns);
		if (d->spread >= 0 && m->wish < 0)
			wish_make(r, m, (unsigned)d->spread, now_ns);
		if (!is_final(d->verdict))
			return;
		decision_keep(r);
		queue_remove(x);
		refuse(x, d->verdict);
	}
}

/* Those whom the lane's instances cannot serve, for want of a tag or of room in the context: what can is not there yet, or no more. */
static void strays_look(struct router *r, struct model *m, uint64_t now_ns)
{
	struct order_item *item;

	order_round(&r->routing.order);
	for (unsigned n = 0; n < PASSES_MOST && (item = order_stray(&r->routing.order, &m->lane)); n++) {
		struct exchange *x = exchange_of(item);
		struct decision *d = decision_make(x, now_ns);
		enum decide_verdict v = d->result.verdict;

		order_pass(&r->routing.order, item);
		if (v == DECIDE_LOAD && m->wish < 0)
			wish_make(r, m, (unsigned)d->result.slot, now_ns);
		if (v == DECIDE_TAKE)
			go(x, d, now_ns);
		if (!is_final(v))
			continue;
		decision_keep(r);
		queue_remove(x);
		refuse(x, v);
	}
}

static void lanes_look(struct router *r, uint64_t now_ns)
{
	struct order_lane *l, *next;

	for (l = LIST_FIRST(&r->routing.order.busy); l; l = next) {
		struct model *m = model_of(l);

		next = LIST_NEXT(l, busy);
		if (m->lane_epoch == r->routing.lane_epoch)
			continue;
		lane_refresh(r, m, now_ns);
		if (!l->slots.bits[0] || r->conf.routing.spread_ns)
			lane_look(r, m, now_ns);
		if (l->slots.bits[0])
			strays_look(r, m, now_ns);
	}
}

static struct order_set free_set(struct router *r)
{
	struct order_set set = {{0}};

	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (has_room(r, i))
			order_set_add(&set, i);
	return set;
}

static void pump(struct router *r, uint64_t now_ns)
{
	struct order_set room = free_set(r);
	struct order_item *item;
	unsigned passes = 0;

	order_round(&r->routing.order);
	while (passes < PASSES_MOST && may_generate(r) && (item = order_best(&r->routing.order, &room, now_ns))) {
		struct exchange *x = exchange_of(item);
		struct decision *d = decision_make(x, now_ns);
		int slot = d->result.slot;

		if (d->result.verdict == DECIDE_TAKE && go(x, d, now_ns)) {
			if (!has_room(r, (unsigned)slot))
				order_set_del(&room, (unsigned)slot);
			continue;
		}
		passes++;
		order_pass(&r->routing.order, item);
	}
}

void queue_pump(struct router *r)
{
	uint64_t now = clock_now_ns();

	if (!r->routing.order.n)
		queue_poll(r, false);
	if (r->pumping || !r->routing.order.n)
		return;
	r->pumping = true;
	view_refresh(r, now);
	lanes_look(r, now);
	pump(r, now);
	r->pumping = false;
}

void queue_say_again(struct router *r)
{
	if (!r->page)
		return;
	for (unsigned i = 0; i < r->n_models; i++)
		if (r->models[i].wish >= 0)
			wish_say(r, &r->models[i]);
	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		publish_in_flight(r, i);
		shm_set(&r->page->slot[i].queued, r->slots[i].queued);
		shm_set(&r->page->slot[i].fail_streak, r->slots[i].fail_streak);
		breaker_publish(r, i);
	}
	shm_set(&r->count->active, r->active);
	count_waiting(r);
	shm_set(&r->count->conns, r->n_clients);
}

void queue_tick(struct router *r, uint64_t now_ns)
{
	ghosts_tick(r, now_ns);
	view_refresh(r, now_ns);
	routing_tick(r);
	for (unsigned i = 0; i < r->n_models; i++)
		wish_check(r, &r->models[i]);
	queue_pump(r);
}
