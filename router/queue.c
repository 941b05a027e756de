/* Now, later or no: requests wait here, not in Ollama, and are bound to an instance only when it has a place free. */
#include "router/router.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

/* Not ready now, but somebody is at it: it starts, heals, or its worker drains it only to start it again. */
static bool coming(const struct slot *s)
{
	bool wanted = s->wanted == SHM_WANT_RUN || (s->wanted == SHM_WANT_DRAIN && s->child == SHM_CHILD_STOPPING);

	return wanted && s->child != SHM_CHILD_QUARANTINED && s->state != SHM_STATE_QUARANTINED &&
	       !(s->wanted == SHM_WANT_RUN && s->state == SHM_STATE_READY);
}

static struct pick_result decide(struct router *r, const struct exchange *x, uint64_t now_ns)
{
	struct pick_slot facts[PROC_SLOTS] = {0};
	const struct model *m = x->model;
	unsigned n = 0;

	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		const struct slot *s = &r->slots[i];
		uint64_t bit = 1ULL << i;

		if (!s->used || !(m->slots & bit))
			continue;
		n = i + 1;
		facts[i] = (struct pick_slot){
			.has = true,
			.resident = m->resident & bit,
			.loading = (m->loading & bit) || m->wish == (int)i,
			.failed = m->failed & bit,
			.ready = s->wanted == SHM_WANT_RUN && s->state == SHM_STATE_READY,
			.coming = coming(s),
			.avoid = s->penalty_ns > now_ns || (x->tried & bit),
			.places = r->conf.slots[i].places,
			.in_flight = view_in_flight(r, i),
		};
	}
	return pick(facts, n, r->rotate++);
}

bool queue_has_way(const struct exchange *x)
{
	enum pick_verdict v = decide(x->r, x, clock_now_ns()).verdict;

	return v == PICK_TAKE || v == PICK_WAIT || v == PICK_LOAD || v == PICK_LOADING;
}

/* --- places ------------------------------------------------------------------------------------------------------------------ */

static void publish_in_flight(struct router *r, unsigned slot)
{
	if (r->page)
		atomic_store_explicit(&r->page->slot[slot].in_flight, r->slots[slot].in_flight, memory_order_seq_cst);
}

/* Take a place.  With several routers: publish the claim, then look; two that claim at once both see each other and at least
 * one steps back, so an instance never gets more than its places. */
static bool place_take(struct router *r, unsigned slot)
{
	if (r->conf.active && view_active(r) >= r->conf.active)
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
	uint64_t now = clock_now_ns();

	r->slots[slot].in_flight--;
	r->active--;
	shm_set(&r->count->active, r->active);
	publish_in_flight(r, slot);
	if (r->last_release_ns) {
		uint64_t gap = now - r->last_release_ns;

		r->drain_rate_ns = r->drain_rate_ns ? (r->drain_rate_ns * 7 + gap) / 8 : gap;
	}
	r->last_release_ns = now;
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
	uint64_t per = r->drain_rate_ns ? r->drain_rate_ns : NS_PER_S;
	uint64_t s = (per * (r->n_waiting + 1) + NS_PER_S - 1) / NS_PER_S;

	return s < 1 ? 1 : s > 120 ? 120 : (unsigned)s;
}

/* --- wishes: which model a worker should load ---------------------------------------------------------------------------------- */

static void wish_clear(struct router *r, struct model *m)
{
	struct shm_wish none = {0};

	if (m->wish < 0)
		return;
	if (r->page)
		shm_wish_publish(r->page, (unsigned)m->wish, m->wish_n, &none);
	r->slots[m->wish].wishes &= (uint8_t) ~(1U << m->wish_n);
	m->wish = -1;
}

static void wish_say(struct router *r, const struct model *m)
{
	struct shm_wish w = {.gen = r->conf.common.gen, .kind = SHM_WISH_WARM, .since_ns = m->wish_ns};

	memcpy(w.model, m->key, strlen(m->key) + 1);
	shm_wish_publish(r->page, (unsigned)m->wish, m->wish_n, &w);
}

static void wish_make(struct router *r, struct model *m, unsigned slot, uint64_t now_ns)
{
	struct slot *s = &r->slots[slot];
	for (unsigned i = 0; i < SHM_WISHES && r->page; i++) {
		if (s->wishes & (1U << i))
			continue;
		s->wishes |= (uint8_t)(1U << i);
		m->wish = (int8_t)slot;
		m->wish_n = (uint8_t)i;
		m->wish_ns = now_ns;
		wish_say(r, m);
		log_line(LOG_INFO_, &(struct log_about){.slot = r->conf.slots[slot].name, .model = m->key},
			 "slot %s %s: asked to load it, %u waiting", r->conf.slots[slot].name, m->key, m->n_waiting);
		return;
	}
}

void queue_wishes_forget(struct router *r)
{
	for (unsigned i = 0; i < r->n_models; i++)
		r->models[i].wish = -1;
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		r->slots[i].wishes = 0;
}

/* A wish ends when it is fulfilled, has failed, lost its slot, or nobody waits any more. */
static void wish_check(struct router *r, struct model *m)
{
	uint64_t bit;

	if (m->wish < 0)
		return;
	bit = 1ULL << m->wish;
	if (!m->n_waiting || (m->resident & bit) || (m->failed & bit) || !(m->slots & bit) ||
	    r->slots[m->wish].state != SHM_STATE_READY)
		wish_clear(r, m);
}

/* --- the queue ---------------------------------------------------------------------------------------------------------------- */

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

void queue_remove(struct exchange *x)
{
	struct router *r = x->r;

	TAILQ_REMOVE(&x->model->waiting, x, wait);
	x->model->n_waiting--;
	r->n_waiting--;
	shm_set(&r->count->waiting, r->n_waiting);
	set_attributed(r, x, -1);
	x->queue_ns += clock_now_ns() - x->wait_since_ns;
	wish_check(r, x->model);
}

static void enqueue(struct exchange *x, uint64_t now_ns, const struct pick_result *p)
{
	struct router *r = x->r;
	bool loading = p->verdict == PICK_LOAD || p->verdict == PICK_LOADING;

	x->state = EX_WAIT;
	x->wait_since_ns = now_ns;
	/* A load takes as long as it takes; a place must come within the queue's deadline. */
	x->deadline_ns = loading ? x->total_ns : clock_after_ns(now_ns, r->conf.queue_ns);
	if (x->deadline_ns > x->total_ns)
		x->deadline_ns = x->total_ns;
	TAILQ_INSERT_TAIL(&x->model->waiting, x, wait);
	x->model->n_waiting++;
	r->n_waiting++;
	shm_set(&r->count->waiting, r->n_waiting);
	queue_poll(r, true);
}

/* No place will ever come, as things stand: say so.  True when the exchange has been answered. */
static bool refuse(struct exchange *x, enum pick_verdict v)
{
	switch (v) {
	case PICK_UNKNOWN:
		answer_no_model(x);
		return true;
	case PICK_NEVER:
		answer_error(x, 503, 5,
			     "no instance that has the model '%s' takes requests: all are drained, stopped or quarantined; see "
			     "`tsactl instances`",
			     x->model->key);
		return true;
	case PICK_FAILED:
		answer_error(x, 503, 10,
			     "every instance that has the model '%s' failed to load it; see `tsactl instances` for the reason",
			     x->model->key);
		return true;
	default:
		return false;
	}
}

/* Try to bind one exchange.  True when it left the queue: dispatched or answered. */
static bool attempt(struct exchange *x, uint64_t now_ns, struct pick_result *p)
{
	struct router *r = x->r;

	*p = decide(r, x, now_ns);
	if (p->verdict == PICK_TAKE && place_take(r, p->slot)) {
		if (x->state == EX_WAIT)
			queue_remove(x);
		exchange_dispatch(x, p->slot, p->reason, x->model->resident & (1ULL << p->slot));
		return true;
	}
	if (p->verdict == PICK_UNKNOWN || p->verdict == PICK_NEVER || p->verdict == PICK_FAILED) {
		if (x->state == EX_WAIT)
			queue_remove(x);
		return refuse(x, p->verdict);
	}
	if (p->verdict == PICK_LOAD && x->model->wish < 0)
		wish_make(r, x->model, p->slot, now_ns);
	return false;
}

void queue_submit(struct exchange *x)
{
	struct router *r = x->r;
	uint64_t now = clock_now_ns();
	struct pick_result p;

	view_refresh(r, now);
	/* Those who came first go first. */
	if (x->model->n_waiting)
		p = decide(r, x, now);
	else if (attempt(x, now, &p))
		return;
	if (r->n_waiting >= r->conf.queue) {
		unsigned retry = queue_retry_after_s(r);

		wish_check(r, x->model);
		answer_error(x, 429, retry, "the service is busy: %u requests wait already; try again in %u s", r->n_waiting,
			     retry);
		return;
	}
	enqueue(x, now, &p);
	if (p.verdict == PICK_WAIT || p.verdict == PICK_LOAD || p.verdict == PICK_LOADING)
		set_attributed(r, x, (int)p.slot);
	else
		set_attributed(r, x, -1);
	/* The wish was made before anybody waited for it. */
	if (p.verdict == PICK_LOAD && x->model->wish < 0)
		wish_make(r, x->model, p.slot, now);
}

/* The oldest waiter of a model, if it may go now.  Who has failed on an instance already may wait for another one: those behind it
 * may not have to. */
static struct exchange *first_ready(struct router *r, struct model *m, uint64_t now_ns)
{
	struct exchange *x;

	TAILQ_FOREACH(x, &m->waiting, wait)
	{
		struct pick_result p = decide(r, x, now_ns);

		if (p.verdict == PICK_LOAD && m->wish < 0)
			wish_make(r, m, p.slot, now_ns);
		else if (p.verdict != PICK_WAIT && p.verdict != PICK_LOADING && p.verdict != PICK_SOON && p.verdict != PICK_LOAD)
			return x;
		if (!x->tried)
			break;
	}
	return NULL;
}

/* Who may go now and has waited longest; the pick is repeated by attempt(). */
static struct exchange *next_ready(struct router *r, uint64_t now_ns)
{
	struct exchange *best = NULL;

	for (unsigned i = 0; i < r->n_models; i++) {
		struct exchange *x = r->models[i].n_waiting ? first_ready(r, &r->models[i], now_ns) : NULL;

		if (x && (!best || x->start_ns < best->start_ns))
			best = x;
	}
	return best;
}

void queue_pump(struct router *r)
{
	uint64_t now = clock_now_ns();
	struct exchange *x;
	struct pick_result p;

	if (!r->n_waiting)
		queue_poll(r, false);
	if (r->pumping || !r->n_waiting)
		return;
	r->pumping = true;
	view_refresh(r, now);
	while ((r->conf.active == 0 || r->active < r->conf.active) && (x = next_ready(r, now)))
		if (!attempt(x, now, &p))
			break;
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
	}
	shm_set(&r->count->active, r->active);
	shm_set(&r->count->waiting, r->n_waiting);
	shm_set(&r->count->conns, r->n_clients);
}

void queue_tick(struct router *r, uint64_t now_ns)
{
	ghosts_tick(r, now_ns);
	view_refresh(r, now_ns);
	for (unsigned i = 0; i < r->n_models; i++)
		wish_check(r, &r->models[i]);
	queue_pump(r);
}
