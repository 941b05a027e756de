/* Healing an instance that answers its control routes and no token, from the mildest cure to the strongest:
 *
 *   1  idle: unload the model, which kills its runner; busy: kill the runner that does not answer, which ends stuck streams and lets
 *      Ollama load again
 *   2  the other one of the two
 *   3  end and start the Ollama, when it is ours; else rest, and begin again
 *
 * Where only places were lost, it is unloaded when what runs has ended; see places.c.
 *
 * After each step the ladder tries for a token; what it finds is READY, or the next step. */
#include <stdio.h>
#include <string.h>

#include "worker/worker.h"

#define SETTLE_NS     (2ULL * NS_PER_S)   /* from a cure to the next try: an unload takes up to this long on a discrete GPU */
#define REST_NS       (30ULL * NS_PER_S)  /* after all cures failed on an Ollama that is not ours */
#define REST_TWICE    3U                  /* 30 s doubled three times */
#define STEADY_NS     (300ULL * NS_PER_S) /* untroubled for so long: the next trouble is a new one */
#define HEAL_DRAIN_NS (2ULL * NS_PER_S)   /* what hangs on a wedged instance does not end by waiting */

static void on_unload(void *arg, const struct probe_reply *r)
{
	struct worker *w = arg;

	w->heal.unload = NULL;
	if (r->outcome != PROBE_OK)
		log_warning("%s: the unload that should heal it failed: %s", w->conf.name, r->why.text);
}

static void unload(struct worker *w, struct model *m, uint64_t now_ns)
{
	if (!m || w->heal.unload)
		return;
	log_notice("%s: unloads %s, which kills its runner", w->conf.name, m->name);
	if (probe_ollama_ask(w->http, PROBE_UNLOAD, m->name, clock_after_ns(now_ns, w->conf.answer_ns), on_unload, w,
			     &w->heal.unload))
		return;
	m->resident = false; /* so that it is loaded again, under the load clock, before it is tried */
	m->loaded_ns = 0;
}

/* The model that was asked in vain; when it is gone, the one that will be asked next. */
static struct model *suspect(struct worker *w, uint64_t now_ns)
{
	struct model *m = catalog_find(&w->catalog, w->heal.model);

	return m && m->resident ? m : catalog_target(&w->catalog, now_ns);
}

static void restart_or_rest(struct worker *w, uint64_t now_ns)
{
	struct heal *h = &w->heal;
	char text[sizeof(w->vital.why)];

	h->step = 0;
	if (!w->ollama.process.pid) {
		h->next_ns = now_ns + (REST_NS << (h->rounds < REST_TWICE ? h->rounds : REST_TWICE));
		h->rounds++;
		log_err("%s: unloading did not heal it, and it is not ours to restart: restart this Ollama", w->conf.name);
		return;
	}
	log_warning("%s: neither unloading nor a new runner healed it; it is started again", w->conf.name);
	memcpy(text, w->vital.why, sizeof(text));
	w->drain.patience_ns = HEAL_DRAIN_NS;
	worker_event(w, LIFE_EV_RECYCLE, PROBE_WEDGED, "%.*s", (int)sizeof(text) - 1, text);
}

void heal_step(struct worker *w)
{
	struct heal *h = &w->heal;
	uint64_t now = clock_now_ns();

	if (now - h->stepped_ns > STEADY_NS && worker_state(w) == SHM_STATE_SICK)
		h->step = h->rounds = 0;
	h->stepped_ns = now;
	h->next_ns = now + SETTLE_NS;
	if (h->places) {
		h->next_ns = 0; /* not before what runs has ended */
		return;
	}
	switch (++h->step) {
	case 1:
		if (traffic_idle(w) || !runners_kill(w))
			unload(w, suspect(w, now), now);
		break;
	case 2:
		if (!runners_kill(w))
			unload(w, suspect(w, now), now);
		break;
	default:
		restart_or_rest(w, now);
		break;
	}
}

/* Nothing of ours runs on it any more; or it does, and nothing comes of it. */
static void places_heal(struct worker *w, uint64_t now_ns)
{
	struct heal *h = &w->heal;
	uint64_t idle_since = w->ladder.work.idle_since_ns > w->traffic.moved_ns ? w->ladder.work.idle_since_ns : w->traffic.moved_ns;

	if (traffic_idle(w)) {
		h->places = false;
		h->next_ns = now_ns + SETTLE_NS;
		unload(w, catalog_find(&w->catalog, h->model), now_ns);
	} else if (w->ladder.work.known && now_ns - idle_since > w->conf.able_ns) {
		h->places = false;
		heal_step(w);
	}
}

void heal_done(struct worker *w)
{
	runners_reset(w);
	w->heal.places = false;
	w->heal.next_ns = 0;
}

void heal_tick(struct worker *w, uint64_t now_ns)
{
	struct heal *h = &w->heal;

	if (worker_state(w) != SHM_STATE_SICK)
		return;
	runners_tick(w);
	if (h->places) {
		places_heal(w, now_ns);
	} else if (h->next_ns && now_ns >= h->next_ns) {
		h->next_ns = 0;
		h->tried_ns = now_ns;
		able_now(w);
	} else if (!h->next_ns && w->ladder.answers && !traffic_idle(w) && now_ns - h->tried_ns > w->conf.able_ns) {
		heal_step(w); /* what hangs on it keeps us from asking: that itself is the answer */
	}
}

void heal_reset(struct worker *w)
{
	probe_call_cancel(&w->heal.unload);
	runners_reset(w);
	w->heal.next_ns = 0;
	w->heal.places = false;
}
