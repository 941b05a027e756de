/* What the routers' pages say about this slot: how much runs on it, how it goes, which models they wish for. */
#include <stdio.h>
#include <string.h>

#include "worker/worker.h"

#define ALIVE_EVERY_NS  (100ULL * NS_PER_MS)
#define WISHES_EVERY_NS (500ULL * NS_PER_MS) /* unfulfilled wishes are looked at again */

bool traffic_idle(const struct worker *w)
{
	return w->traffic.in_flight == 0;
}

/* A page counts while its router is the one the supervisor knows: what a dead one left there is void. */
static void alive_look(struct worker *w)
{
	struct traffic *t = &w->traffic;

	for (unsigned r = 0; r < SHM_ROUTERS; r++) {
		struct shm_router_ident ident;
		struct shm_child_line child;

		if (shm_read_router_child(w->reader, r, &child) || shm_read_router_ident(w->reader, r, &ident))
			continue; /* unsettled just now: what was known goes on */
		t->alive[r] = ident.gen && ident.gen == child.gen &&
			      (child.state == SHM_CHILD_STARTING || child.state == SHM_CHILD_RUNNING ||
			       child.state == SHM_CHILD_STOPPING);
		if (t->gen[r] == ident.gen)
			continue;
		t->gen[r] = ident.gen;
		memset(t->seen[r], 0, sizeof(t->seen[r]));
		memset(t->wish[r], 0, sizeof(t->wish[r]));
	}
}

static void counters_look(struct worker *w, uint64_t now_ns)
{
	struct traffic *t = &w->traffic, next = {0};

	for (unsigned r = 0; r < SHM_ROUTERS; r++) {
		const struct shm_rslot *s = t->alive[r] ? shm_router_slot(w->reader, r, w->conf.common.index) : NULL;
		uint64_t streak;

		if (!s)
			continue;
		next.in_flight += shm_get(&s->in_flight);
		next.served += shm_get(&s->served);
		next.failed += shm_get(&s->failed);
		streak = shm_get(&s->fail_streak);
		if (streak > next.fail_streak)
			next.fail_streak = streak;
		if (shm_get(&s->used_ns) > next.used_ns)
			next.used_ns = shm_get(&s->used_ns);
	}
	/* A router that begins anew takes its totals with it: only growth tells something. */
	if (t->known && next.served > t->served)
		t->served_ns = now_ns;
	if (t->known && next.failed > t->failed)
		t->failed_ns = now_ns;
	if (next.in_flight == 0 || next.served > t->served || !t->known)
		t->moved_ns = now_ns;
	t->in_flight = next.in_flight;
	t->served = next.served;
	t->failed = next.failed;
	t->fail_streak = next.fail_streak;
	t->used_ns = next.used_ns;
	t->known = true;
}

static void wish_warm(struct worker *w, const struct shm_wish *wish, uint64_t now_ns)
{
	struct model *m = catalog_find(&w->catalog, wish->model);

	if (!m || !m->available) {
		/* Pulled a moment ago, perhaps; at most one look per round of wishes. */
		if (w->ladder.tags_due_ns > now_ns + WISHES_EVERY_NS && !w->ladder.tags)
			w->ladder.tags_due_ns = now_ns;
		return;
	}
	m->used_wall_ns = clock_wall_ns();
	m->held = m->leaving = false;
	if (!m->resident && !m->loading && now_ns >= m->retry_ns)
		(void)loads_want(w, m->name, LOAD_WISH);
}

static void wish_act(struct worker *w, const struct shm_wish *wish, bool news, uint64_t now_ns)
{
	const struct model *m;

	if (wish->kind == SHM_WISH_WARM) {
		wish_warm(w, wish, now_ns);
	} else if (wish->kind == SHM_WISH_UNLOAD && news) {
		m = catalog_find(&w->catalog, wish->model);
		if (m && m->resident)
			(void)loads_unload(w, m->name);
	}
}

static void wishes_look(struct worker *w, uint64_t now_ns)
{
	struct traffic *t = &w->traffic;
	bool round = now_ns >= t->wishes_due_ns;
	enum shm_state state = worker_state(w);

	if (state != SHM_STATE_READY && state != SHM_STATE_WARMING)
		return;
	if (round)
		t->wishes_due_ns = now_ns + WISHES_EVERY_NS;
	for (unsigned r = 0; r < SHM_ROUTERS; r++) {
		const struct shm_rslot *s = t->alive[r] ? shm_router_slot(w->reader, r, w->conf.common.index) : NULL;

		for (unsigned n = 0; s && n < SHM_WISHES; n++) {
			uint64_t seq = shm_get(&s->wish[n].seq);
			bool news = seq != t->seen[r][n];

			if (news && shm_read_wish(w->reader, r, w->conf.common.index, n, &t->wish[r][n]))
				continue;
			t->seen[r][n] = seq;
			if ((news || round) && t->wish[r][n].gen == t->gen[r])
				wish_act(w, &t->wish[r][n], news, now_ns);
		}
	}
}

static bool is_complaint(const struct worker *w, unsigned r, const struct shm_wish *wish)
{
	return w->traffic.alive[r] && wish->gen == w->traffic.gen[r] && wish->kind >= SHM_WISH_STUCK;
}

/* The worst one, and of those the oldest. */
static void complaints_look(struct worker *w)
{
	struct traffic *t = &w->traffic;
	const struct shm_wish *worst = NULL;

	for (unsigned r = 0; worker_state(w) == SHM_STATE_READY && r < SHM_ROUTERS; r++)
		for (unsigned n = 0; n < SHM_WISHES; n++) {
			const struct shm_wish *c = &t->wish[r][n];

			if (is_complaint(w, r, c) &&
			    (!worst || c->kind < worst->kind || (c->kind == worst->kind && c->since_ns < worst->since_ns)))
				worst = c;
		}
	t->complaint = worst ? (enum shm_wish_kind)worst->kind : SHM_WISH_NONE;
	t->complaint_ns = worst ? worst->since_ns : 0;
	snprintf(t->complaint_of, sizeof(t->complaint_of), "%s", worst ? worst->model : "");
}

void traffic_tick(struct worker *w, uint64_t now_ns)
{
	if (now_ns >= w->traffic.alive_due_ns) {
		w->traffic.alive_due_ns = now_ns + ALIVE_EVERY_NS;
		alive_look(w);
	}
	counters_look(w, now_ns);
	wishes_look(w, now_ns);
	complaints_look(w);
}
