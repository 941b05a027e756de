/* What the routers say of requests that wait inside the instance, and what is true of it.
 *
 * A router sees that no answer begins; it cannot see why.  Here the runner's processor time tells whether somebody works, and an
 * empty request, which needs no place, whether the runner is sound.  A sound one that has nothing to do while requests wait for it
 * has lost places (router/park.c says how); the cure is an unload, which no running answer notices. */
#include <stdio.h>

#include "base/bug.h"
#include "worker/judge.h"
#include "worker/worker.h"

#define SHORT_REST_NS   (300ULL * NS_PER_S) /* after a cure of a partial loss: it may have been something else */
#define SHORT_TWICE     6U                  /* 300 s doubled six times: 5 h */
#define SHORT_FORGOTTEN 4U                  /* untroubled for so many rests: the next one is a new one */

_Static_assert(PROBE_PLACES == SHM_REASON_PLACES, "the routers know it by its number");

static const char *words(enum shm_wish_kind kind)
{
	return kind == SHM_WISH_SHORT ? "begin to be answered only when another one ends, fewer at a time than before"
				      : "get no answer, although its runner is sound and has nothing to do";
}

static void declare(struct worker *w, const struct model *m, uint64_t now_ns)
{
	struct log_about about = worker_about(w, LOG_EV_WEDGED, m->name);
	struct heal *h = &w->heal;
	char text[SHM_TEXT];

	if (w->traffic.complaint == SHM_WISH_SHORT) {
		if (now_ns - h->short_ns > SHORT_FORGOTTEN * (SHORT_REST_NS << h->shorts))
			h->shorts = 0;
		else if (h->shorts < SHORT_TWICE)
			h->shorts++;
		h->short_ns = now_ns;
	}
	h->places = true;
	snprintf(h->model, sizeof(h->model), "%s", m->name);
	snprintf(text, sizeof(text), "requests for %.60s %s", m->name, words(w->traffic.complaint));
	log_line(LOG_WARNING_, &about,
		 "%s: has lost places: %s; it gets no new requests, and the model is loaded anew when those that run have ended",
		 w->conf.name, text);
	worker_event(w, LIFE_EV_WEDGED, PROBE_PLACES, "%s", text);
}

static void on_sound(void *arg, const struct probe_reply *r)
{
	struct worker *w = arg;
	struct model *m = catalog_find(&w->catalog, w->ladder.able_model);

	w->ladder.able = NULL;
	if (worker_state(w) != SHM_STATE_READY || !m)
		return;
	if (r->outcome == PROBE_SILENT || r->outcome == PROBE_SLOW)
		able_silent(w, "requests wait for an answer, and its runner does not answer");
	else if (r->outcome == PROBE_OK && w->traffic.complaint && probe_name_same(w->traffic.complaint_of, m->name))
		declare(w, m, clock_now_ns());
}

static bool due(const struct worker *w, uint64_t now_ns)
{
	const struct heal *h = &w->heal;
	struct judge_wait f = {
		.now_ns = now_ns,
		.since_ns = w->traffic.complaint_ns,
		.able_ns = w->conf.able_ns,
		.idle_since_ns = w->ladder.work.idle_since_ns,
		.whole = w->traffic.complaint == SHM_WISH_STILL,
	};

	if (w->traffic.complaint == SHM_WISH_SHORT)
		return !h->short_ns || now_ns - h->short_ns > SHORT_REST_NS << h->shorts;
	for (unsigned i = 0; w->ladder.work.known && i < ARRAY_SIZE(w->vital.runner_pids); i++)
		f.runners += w->vital.runner_pids[i] != 0;
	return judge_wait(&f);
}

void places_tick(struct worker *w, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;
	const struct model *m;

	if (worker_state(w) != SHM_STATE_READY || !w->traffic.complaint || l->able || !l->answers || w->loads.call ||
	    now_ns < l->sound_due_ns || !due(w, now_ns))
		return;
	m = catalog_find(&w->catalog, w->traffic.complaint_of);
	if (!m || !m->resident)
		return;
	l->sound_due_ns = clock_after_ns(now_ns, NS_PER_S);
	able_question(w, m, now_ns);
	(void)probe_ollama_ask(w->http, model_embeds(m) ? PROBE_LOAD_EMBED : PROBE_LOAD, m->name,
			       clock_after_ns(now_ns, w->conf.able_ns), on_sound, w, &l->able);
}
