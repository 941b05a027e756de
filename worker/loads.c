/* Loads: one at a time, on a connection that is never dropped before its deadline: Ollama kills a load whose requester leaves.  At
 * the deadline the drop is wanted: it is the one cure for a runner that died before it listened. */
#include <stdio.h>
#include <string.h>

#include "worker/worker.h"

#define BUSY_NS     (1ULL * NS_PER_S)
#define RETRY_NS    (5ULL * NS_PER_S)
#define RETRY_TWICE 6U /* 5 s doubled six times: 320 s */

static void fill(struct load *l, const char *model, enum load_why why)
{
	snprintf(l->model, sizeof(l->model), "%s", model);
	l->why = why;
}

/* The primary goes first, then in the order of asking. */
bool loads_want(struct worker *w, const char *model, enum load_why why)
{
	struct loads *q = &w->loads;
	struct model *m = catalog_find(&w->catalog, model);
	unsigned at = 0;

	if (!m || !m->available)
		return false;
	if (why == LOAD_ORDER) {
		m->retry_ns = 0;
		m->held = m->leaving = false;
	}
	if (q->call && probe_name_same(q->now.model, model))
		return true;
	for (unsigned i = 0; i < q->n; i++)
		if (probe_name_same(q->waiting[i].model, model))
			return true;
	if (q->n == LOADS_WAITING)
		return false;
	if (strcmp(w->catalog.primary, m->name) != 0)
		at = q->n;
	memmove(&q->waiting[at + 1], &q->waiting[at], (q->n - at) * sizeof(q->waiting[0]));
	fill(&q->waiting[at], m->name, why);
	q->n++;
	return true;
}

static void load_good(struct worker *w, struct model *m, const struct probe_reply *r, uint64_t now_ns)
{
	struct log_about about = worker_about(w, LOG_EV_MODEL_LOADED, m->name);
	char took[32];

	m->loading = false;
	m->resident = true;
	m->loaded_ns = now_ns;
	m->failures = 0;
	m->retry_ns = 0;
	if (!w->loads.resident_before) {
		m->load_ns = r->took_ns;
		w->vital.loads++;
		log_line(LOG_INFO_, &about, "%s: loaded %s in %s", w->conf.name, m->name,
			 scan_duration_text(r->took_ns, took, sizeof(took)));
	}
	if (strcmp(w->catalog.primary, m->name) == 0)
		w->loads.touched_ns = now_ns;
	w->ladder.ps_due_ns = w->ladder.able_due_ns = w->ladder.sample_due_ns = 0;
	publish_models(w);
}

static void load_bad(struct worker *w, struct model *m, const struct probe_reply *r, uint64_t now_ns)
{
	struct log_about about = worker_about(w, LOG_EV_MODEL_FAILED, m->name);
	bool late = r->outcome == PROBE_SILENT || r->outcome == PROBE_SLOW;
	unsigned twice = m->failures < RETRY_TWICE ? m->failures : RETRY_TWICE;
	char pause[32], text[SHM_TEXT];

	m->loading = m->resident = false;
	m->failures++;
	m->retry_ns = now_ns + (RETRY_NS << twice);
	w->vital.load_failures++;
	w->vital.fails++;
	snprintf(text, sizeof(text), "%.60s: %.90s", m->name, late ? probe_outcome_info(PROBE_LOAD_LATE)->sentence : r->why.text);
	log_line(LOG_WARNING_, &about, "%s: could not load %s; tried again in %s", w->conf.name, text,
		 scan_duration_text(RETRY_NS << twice, pause, sizeof(pause)));
	w->ladder.tags_due_ns = w->ladder.ps_due_ns = 0;
	publish_models(w);
	if (worker_state(w) == SHM_STATE_WARMING || worker_state(w) == SHM_STATE_SICK)
		worker_event(w, LIFE_EV_UNABLE, late ? PROBE_LOAD_LATE : PROBE_LOAD_FAILED, "%s", text);
}

static void on_load(void *arg, const struct probe_reply *r)
{
	struct worker *w = arg;
	struct loads *q = &w->loads;
	struct model *m = catalog_find(&w->catalog, q->now.model);
	uint64_t now = clock_now_ns();

	q->call = NULL;
	if (!m)
		return;
	if (r->outcome == PROBE_OK) {
		load_good(w, m, r, now);
	} else if (r->outcome == PROBE_BUSY || r->outcome == PROBE_REFUSED || r->outcome == PROBE_LOCAL) {
		m->loading = false; /* not the model's fault: once more, soon */
		q->pause_ns = now + BUSY_NS;
		(void)loads_want(w, m->name, q->now.why);
		publish_models(w);
	} else if (r->outcome == PROBE_INCAPABLE && !q->embed && !model_embeds(m)) {
		m->loading = false; /* it cannot generate; whether it can embed, the next try tells */
		m->embed_only = true;
		(void)loads_want(w, m->name, q->now.why);
		publish_models(w);
	} else {
		load_bad(w, m, r, now);
	}
}

static void load_begin(struct worker *w, uint64_t now_ns)
{
	struct loads *q = &w->loads;
	struct model *m;

	q->now = q->waiting[0];
	q->n--;
	memmove(&q->waiting[0], &q->waiting[1], q->n * sizeof(q->waiting[0]));
	m = catalog_find(&w->catalog, q->now.model);
	if (!m || !m->available || (m->resident && q->now.why == LOAD_WISH))
		return;
	q->resident_before = m->resident;
	q->embed = model_embeds(m);
	if (probe_ollama_ask(w->http, q->embed ? PROBE_LOAD_EMBED : PROBE_LOAD, m->name, clock_after_ns(now_ns, w->conf.load_ns),
			     on_load, w, &q->call)) {
		q->pause_ns = now_ns + BUSY_NS;
		return;
	}
	m->loading = !m->resident;
	publish_models(w);
}

static void on_unload(void *arg, const struct probe_reply *r)
{
	struct worker *w = arg;
	struct log_about about = worker_about(w, LOG_EV_OPERATOR, w->loads.unloading);

	w->loads.unload = NULL;
	w->ladder.ps_due_ns = 0;
	if (r->outcome == PROBE_OK)
		log_line(LOG_INFO_, &about, "%s: unloads %s", w->conf.name, w->loads.unloading);
	else
		log_line(LOG_WARNING_, &about, "%s: could not unload %s: %s", w->conf.name, w->loads.unloading, r->why.text);
}

bool loads_unload(struct worker *w, const char *model)
{
	struct model *m = catalog_find(&w->catalog, model);

	if (!m)
		return false;
	m->held = m->leaving = true;
	for (unsigned i = 0; i < w->loads.n; i++)
		if (probe_name_same(w->loads.waiting[i].model, model)) {
			w->loads.n--;
			memmove(&w->loads.waiting[i], &w->loads.waiting[i + 1], (w->loads.n - i) * sizeof(w->loads.waiting[0]));
			break;
		}
	return true;
}

/* One after another.  Each is asked once: Ollama unloads when the model is idle, and whoever uses it afterwards shall have it. */
static void unload_tick(struct worker *w, uint64_t now_ns)
{
	for (unsigned i = 0; i < w->catalog.n; i++) {
		struct model *m = &w->catalog.at[i];

		if (!m->leaving || (w->loads.call && strcmp(w->loads.now.model, m->name) == 0))
			continue;
		m->leaving = false;
		if (!m->resident)
			continue;
		snprintf(w->loads.unloading, sizeof(w->loads.unloading), "%s", m->name);
		if (probe_ollama_ask(w->http, PROBE_UNLOAD, m->name, clock_after_ns(now_ns, w->conf.answer_ns), on_unload, w,
				     &w->loads.unload))
			m->leaving = true;
		return;
	}
}

/* The primary stays loaded: an empty request restarts Ollama's idle clock, and loads it again when it went. */
static void warm_tick(struct worker *w, uint64_t now_ns)
{
	struct loads *q = &w->loads;
	const struct model *m = w->catalog.primary[0] ? catalog_find(&w->catalog, w->catalog.primary) : NULL;

	if (worker_state(w) != SHM_STATE_READY || !m || !m->available || m->held || q->call || q->n || !traffic_idle(w))
		return;
	if (now_ns < m->retry_ns || now_ns < clock_after_ns(q->touched_ns, w->conf.warm_ns))
		return;
	q->touched_ns = now_ns;
	(void)loads_want(w, m->name, LOAD_TOUCH);
}

void loads_tick(struct worker *w, uint64_t now_ns)
{
	struct loads *q = &w->loads;
	enum shm_state state = worker_state(w);
	bool may = w->ladder.answers && (state == SHM_STATE_WARMING || state == SHM_STATE_READY || state == SHM_STATE_SICK);

	if (!may)
		return;
	warm_tick(w, now_ns);
	if (!q->unload)
		unload_tick(w, now_ns);
	if (!q->call && !w->ladder.able && q->n && now_ns >= q->pause_ns)
		load_begin(w, now_ns);
}

void loads_reset(struct worker *w)
{
	probe_call_cancel(&w->loads.call);
	probe_call_cancel(&w->loads.unload);
	memset(&w->loads, 0, sizeof(w->loads));
}
