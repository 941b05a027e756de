/* The top rung: is it able to produce a token?  Asked on an idle instance alone; a busy one shows it by its traffic. */
#include <stdio.h>

#include "worker/judge.h"
#include "worker/worker.h"

#define ABLE_ERRORS 2U
#define ABLE_TWICE  5U /* after errors it is asked again in 1 s, doubled up to five times */

static void able_ok(struct worker *w, const struct probe_reply *r, uint64_t now_ns)
{
	struct model *m = catalog_find(&w->catalog, w->ladder.able_model);
	enum shm_state state = worker_state(w);

	w->ladder.able_fails = 0;
	w->vital.able_ns = r->took_ns;
	w->vital.able_at_ns = now_ns;
	w->vital.fail_streak = 0;
	if (m)
		m->resident = true;
	if (state == SHM_STATE_WARMING || state == SHM_STATE_SICK || state == SHM_STATE_READY)
		worker_event(w, LIFE_EV_ABLE, PROBE_OK, "%s", "");
}

static void wedged(struct worker *w, const char *text)
{
	struct log_about about = worker_about(w, LOG_EV_WEDGED, w->ladder.able_model);
	enum shm_state state = worker_state(w);

	if (state != SHM_STATE_WARMING && state != SHM_STATE_READY && state != SHM_STATE_SICK)
		return;
	snprintf(w->heal.model, sizeof(w->heal.model), "%s", w->ladder.able_model);
	log_line(LOG_WARNING_, &about, "%s: answers its control routes but no token: %s", w->conf.name, text);
	worker_event(w, LIFE_EV_WEDGED, PROBE_WEDGED, "%s", text);
}

/* A question had no answer in time: wedged, unless others were served meanwhile (it was only slow), or it is silent altogether
 * (that is for /api/version to find). */
static bool still_wedged(const struct worker *w)
{
	return w->traffic.served == w->ladder.able_served && w->ladder.answered_ns > w->ladder.able_begun_ns;
}

void able_silent(struct worker *w, const char *text)
{
	if (still_wedged(w))
		wedged(w, text);
}

static void able_failed(struct worker *w, const struct probe_reply *r, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;
	struct model *m = catalog_find(&w->catalog, l->able_model);
	enum shm_state state = worker_state(w);
	char text[SHM_TEXT];

	ladder_fail_count(w);
	l->able_due_ns = now_ns + (NS_PER_S << (l->able_fails < ABLE_TWICE ? l->able_fails : ABLE_TWICE));
	if (r->outcome == PROBE_SILENT || r->outcome == PROBE_SLOW) {
		able_silent(w, "a one-token request on the idle instance had no answer in time");
		return;
	}
	if (r->outcome == PROBE_INCAPABLE && m && !model_embeds(m)) { /* tells nothing of its capabilities, and cannot generate */
		m->embed_only = true;
		l->able_due_ns = now_ns;
		return;
	}
	if (r->outcome == PROBE_NOT_FOUND) {
		ladder_look(w);
		return;
	}
	if (r->outcome == PROBE_BUSY || r->outcome == PROBE_REFUSED || r->outcome == PROBE_LOCAL)
		return; /* nothing was tried */
	l->able_fails++;
	if (probe_outcome_info(r->outcome)->grade == PROBE_NOISE && l->able_fails < ABLE_ERRORS)
		return;
	snprintf(text, sizeof(text), "%.60s: %.90s", l->able_model, r->why.text);
	if (state == SHM_STATE_WARMING || state == SHM_STATE_READY || state == SHM_STATE_SICK)
		worker_event(w, LIFE_EV_UNABLE, r->outcome, "%s", text);
}

static void on_able(void *arg, const struct probe_reply *r)
{
	struct worker *w = arg;
	uint64_t now = clock_now_ns();

	w->ladder.able = NULL;
	if (r->outcome == PROBE_OK)
		able_ok(w, r, now);
	else
		able_failed(w, r, now);
}

/* A sound runner answers within milliseconds, whatever it works on.  Errors are for the routers to count. */
static void on_ping(void *arg, const struct probe_reply *r)
{
	struct worker *w = arg;

	w->ladder.able = NULL;
	if (r->outcome == PROBE_SILENT || r->outcome == PROBE_SLOW)
		able_silent(w, "requests are in flight, none ends, and its runner does not answer");
}

void able_question(struct worker *w, const struct model *m, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;

	snprintf(l->able_model, sizeof(l->able_model), "%s", m->name);
	l->able_begun_ns = now_ns;
	l->able_served = w->traffic.served;
}

static void able_ask(struct worker *w, const struct model *m, bool ping, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;
	bool embeds = model_embeds(m);
	enum probe_kind kind = ping ? (embeds ? PROBE_LOAD_EMBED : PROBE_LOAD) : (embeds ? PROBE_ABLE_EMBED : PROBE_ABLE);

	able_question(w, m, now_ns);
	if (ping)
		l->pinged_ns = now_ns;
	else
		l->able_tried_ns = now_ns;
	if (probe_ollama_ask(w->http, kind, m->name, clock_after_ns(now_ns, w->conf.able_ns), ping ? on_ping : on_able, w,
			     &l->able))
		l->able_due_ns = now_ns + NS_PER_S;
}

void able_now(struct worker *w)
{
	w->ladder.able_due_ns = 0;
	w->ladder.able_fails = 0;
}

/* Somebody saw a token lately: the worker before us, of this very process; or a router, since we look. */
static bool vouched(const struct worker *w)
{
	if (w->inherited && (w->ollama.process.pid || !traffic_idle(w)))
		return true;
	return !traffic_idle(w) && w->traffic.served_ns > w->state_since_ns;
}

/* WARMING and SICK: load what must be loaded, then ask for one token.  A busy instance shows by its traffic that it is able. */
static void able_pursue(struct worker *w, uint64_t now_ns)
{
	const struct model *m = catalog_target(&w->catalog, now_ns);

	if (!m)
		return;
	if (!m->resident) {
		if (now_ns >= m->retry_ns && !w->loads.call)
			(void)loads_want(w, m->name, LOAD_WARM);
	} else if (vouched(w)) {
		w->inherited = false;
		worker_event(w, LIFE_EV_ABLE, PROBE_OK, "%s", "");
	} else if (traffic_idle(w) && now_ns >= w->ladder.able_due_ns && !w->loads.call) {
		able_ask(w, m, false, now_ns);
	}
}

/* Any of those in memory may be the one that does not answer: in turn. */
static const struct model *ping_next(struct worker *w)
{
	const struct catalog *c = &w->catalog;

	for (unsigned i = 0; i < c->n; i++) {
		const struct model *m = &c->at[++w->ladder.ping_turn % c->n];

		if (m->available && m->resident)
			return m;
	}
	return NULL;
}

/* READY: test seldom, and look whether it still produces. */
static void able_watch(struct worker *w, uint64_t now_ns)
{
	const struct ladder *l = &w->ladder;
	const struct model *m = catalog_target(&w->catalog, now_ns);
	struct judge_facts f = {
		.now_ns = now_ns,
		.in_flight = w->traffic.in_flight,
		.fail_streak = w->traffic.fail_streak,
		.failed_ns = w->traffic.failed_ns,
		.used_ns = w->traffic.used_ns,
		.moved_ns = w->traffic.moved_ns,
		.proof_ns = w->vital.able_at_ns > w->traffic.served_ns ? w->vital.able_at_ns : w->traffic.served_ns,
		.tried_ns = l->able_tried_ns,
		.pinged_ns = l->pinged_ns,
		.took_ns = w->vital.able_ns,
		.runners_known = l->work.known,
		.runners_idle_since_ns = l->work.idle_since_ns,
		.probe_ns = w->conf.probe_ns,
		.able_ns = w->conf.able_ns,
		.warm_ns = w->conf.warm_ns,
	};

	if (!m || !m->resident || w->loads.call)
		return;
	switch (judge_able(&f)) {
	case JUDGE_TRY:
		if (now_ns >= l->able_due_ns)
			able_ask(w, m, false, now_ns);
		break;
	case JUDGE_PING:
		m = ping_next(w);
		if (m)
			able_ask(w, m, true, now_ns);
		break;
	case JUDGE_WEDGED:
		wedged(w, "requests fail, none ends, and its runners do not work");
		break;
	default:
		break;
	}
}

void able_tick(struct worker *w, uint64_t now_ns)
{
	enum shm_state state = worker_state(w);

	if (w->ladder.able || !w->ladder.answers)
		return;
	if (state == SHM_STATE_READY)
		able_watch(w, now_ns);
	else if (state == SHM_STATE_WARMING || (state == SHM_STATE_SICK && !w->heal.next_ns && !w->heal.places))
		able_pursue(w, now_ns);
}
