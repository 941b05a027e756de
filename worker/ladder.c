/* The ladder of probes: it lives (version), what it has (tags), what is resident (ps), it is able (one token: able.c).  Each rung
 * has one request at a time and its own clock. */
#include <stdio.h>
#include <string.h>

#include "worker/worker.h"

#define PS_NS_MIN   (10ULL * NS_PER_S) /* it may stall for seconds while a model is unloaded */
#define AGAIN_NS    (200ULL * NS_PER_MS)
#define TAGS_NS     (5ULL * NS_PER_S)
#define TAGS_PROBES 10U
#define LOST_TRIES  2U /* in a row: the second one follows soon, so a dead one is known within half a second */
#define PS_NOISE    3U /* one 500 is a known race */

static uint64_t soon(const struct worker *w, uint64_t now_ns)
{
	return now_ns + (w->conf.probe_ns < AGAIN_NS ? w->conf.probe_ns : AGAIN_NS);
}

static bool probing(enum shm_state s)
{
	return s == SHM_STATE_UP || s == SHM_STATE_WARMING || s == SHM_STATE_READY || s == SHM_STATE_SICK;
}

void ladder_fail_count(struct worker *w)
{
	w->vital.fails++;
	w->vital.fail_streak++;
}

/* --- it lives ----------------------------------------------------------------------------------------------------------------- */

/* A build from source says 0.0.0; then the argv of its runner tells the generation. */
static void version_set(struct worker *w, const char *version)
{
	bool tell = strcmp(version, "0.0.0") == 0 && w->ladder.work.known;

	memset(w->vital.version, 0, sizeof(w->vital.version));
	snprintf(w->vital.version, sizeof(w->vital.version), "%.20s%s", version,
		 !tell                  ? ""
		 : w->ladder.runner_new ? " (new)"
					: " (old)");
}

static void version_ok(struct worker *w, const struct probe_reply *r)
{
	struct ladder *l = &w->ladder;
	enum shm_state state = worker_state(w);
	bool news = !l->answers;

	l->answers = true;
	l->answered_ns = clock_now_ns();
	l->lost = 0;
	l->lost_ns = 0;
	w->vital.up_ns = r->took_ns;
	w->vital.fail_streak = 0;
	version_set(w, r->version);
	if (state == SHM_STATE_STARTING || (state == SHM_STATE_SICK && news))
		worker_event(w, LIFE_EV_ANSWERS, PROBE_OK, "%s", "");
}

static void version_failed(struct worker *w, const struct probe_reply *r, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;
	enum shm_state state = worker_state(w);

	if (state == SHM_STATE_STARTING) { /* expected, until its own deadline */
		if (w->conf.adopted && w->vital.reason != r->outcome) {
			struct log_about about = worker_about(w, LOG_EV_NONE, NULL);

			publish_reason(w, r->outcome, probe_outcome_info(r->outcome)->sentence);
			log_line(LOG_WARNING_, &about, "%s: no Ollama answers at %s yet: %s; start it there, or correct the url", w->conf.name,
				 w->conf.addr.text, probe_outcome_info(r->outcome)->sentence);
		}
		return;
	}
	ladder_fail_count(w);
	l->lost++;
	if (l->lost < LOST_TRIES)
		return;
	if (l->answers)
		l->lost_ns = now_ns;
	l->answers = false;
	if (state != SHM_STATE_SICK)
		worker_event(w, LIFE_EV_LOST, r->outcome, "%s", r->why.text);
}

static void on_version(void *arg, const struct probe_reply *r)
{
	struct worker *w = arg;
	enum shm_state state = worker_state(w);
	uint64_t now = clock_now_ns();

	w->ladder.version = NULL;
	w->ladder.version_due_ns = r->outcome == PROBE_OK ? now + w->conf.probe_ns : soon(w, now);
	if (!probing(state) && state != SHM_STATE_STARTING)
		return;
	if (r->outcome == PROBE_OK)
		version_ok(w, r);
	else
		version_failed(w, r, now);
}

/* --- what it has, what is resident -------------------------------------------------------------------------------------------- */

static void target_look(struct worker *w)
{
	enum shm_state state = worker_state(w);
	const struct model *m;

	if (!w->catalog.tags_known || !w->catalog.ps_known || !probing(state))
		return;
	m = catalog_primary_choose(&w->catalog);
	if (!m && state != SHM_STATE_UP)
		worker_event(w, LIFE_EV_ADRIFT, PROBE_NO_MODEL, "%s", probe_outcome_info(PROBE_NO_MODEL)->sentence);
	else if (!m && w->vital.reason != PROBE_NO_MODEL)
		publish_reason(w, PROBE_NO_MODEL,
			       w->conf.n_models ? "none of its configured models is in its store"
						: probe_outcome_info(PROBE_NO_MODEL)->sentence);
	else if (m && state == SHM_STATE_UP)
		worker_event(w, LIFE_EV_TARGET, PROBE_LOADING, "%s", m->name);
}

static void absent_say(struct worker *w)
{
	for (unsigned i = 0; i < w->catalog.n; i++) {
		struct model *m = &w->catalog.at[i];
		struct log_about about = worker_about(w, LOG_EV_MODEL_FAILED, m->name);

		if (!m->configured || m->available || m->absent_said)
			continue;
		m->absent_said = true;
		log_line(LOG_WARNING_, &about,
			 "%s: %s is configured and not in its store; pull it there, or correct the configuration", w->conf.name,
			 m->name);
	}
}

static void on_tags(void *arg, const struct probe_reply *r)
{
	struct worker *w = arg;
	uint64_t now = clock_now_ns(), every = TAGS_PROBES * w->conf.probe_ns;

	w->ladder.tags = NULL;
	w->ladder.tags_due_ns = now + (every < TAGS_NS ? every : TAGS_NS);
	if (r->outcome != PROBE_OK) {
		ladder_fail_count(w);
		if (!w->catalog.tags_known)
			w->ladder.tags_due_ns = soon(w, now);
		return;
	}
	w->vital.tags_ns = r->took_ns;
	catalog_take_tags(&w->catalog, r->models);
	absent_say(w);
	w->traffic.wishes_due_ns = 0;
	target_look(w);
	publish_models(w);
}

static void on_ps(void *arg, const struct probe_reply *r)
{
	struct worker *w = arg;
	uint64_t now = clock_now_ns();

	w->ladder.ps = NULL;
	w->ladder.ps_due_ns = now + w->conf.probe_ns;
	if (r->outcome != PROBE_OK) {
		if (++w->ladder.ps_fails >= PS_NOISE)
			ladder_fail_count(w);
		return;
	}
	w->ladder.ps_fails = 0;
	w->vital.ps_ns = r->took_ns;
	catalog_take_ps(&w->catalog, r->models, w->ladder.ps_asked_ns);
	target_look(w);
	publish_models(w);
}

void ladder_look(struct worker *w)
{
	/* It may be another process by now: nothing counts that was not asked since. */
	w->catalog.tags_known = w->catalog.ps_known = false;
	w->ladder.tags_due_ns = w->ladder.ps_due_ns = 0;
}

/* Releases before 0.30 tell capabilities by /api/show alone; one question at a time, once for each model. */
static void on_show(void *arg, const struct probe_reply *r)
{
	struct worker *w = arg;
	struct model *m = catalog_find(&w->catalog, w->ladder.show_model);

	w->ladder.show = NULL;
	if (m && r->outcome == PROBE_OK)
		m->caps = r->caps;
	publish_models(w);
}

static void show_ask(struct worker *w, uint64_t now_ns)
{
	for (unsigned i = 0; i < w->catalog.n; i++) {
		struct model *m = &w->catalog.at[i];

		if (!m->available || m->caps || m->show_asked)
			continue;
		m->show_asked = true;
		snprintf(w->ladder.show_model, sizeof(w->ladder.show_model), "%s", m->name);
		(void)probe_ollama_ask(w->http, PROBE_SHOW, m->name, clock_after_ns(now_ns, w->conf.answer_ns), on_show, w,
				       &w->ladder.show);
		return;
	}
}

/* --- the tick ----------------------------------------------------------------------------------------------------------------- */

void ladder_tick(struct worker *w, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;
	enum shm_state state = worker_state(w);
	uint64_t answer_by = clock_after_ns(now_ns, w->conf.answer_ns);
	bool begun = state == SHM_STATE_STARTING && (w->conf.adopted || w->ollama.process.pid);

	if (now_ns >= l->sample_due_ns) {
		l->sample_due_ns = now_ns + w->conf.probe_ns;
		usage_sample(w, now_ns);
		state = worker_state(w);
	}
	if (!probing(state) && !begun)
		return;
	if (!l->version && now_ns >= l->version_due_ns)
		(void)probe_ollama_ask(w->http, PROBE_VERSION, NULL, answer_by, on_version, w, &l->version);
	if (begun || !l->answers)
		return;
	if (!l->tags && now_ns >= l->tags_due_ns)
		(void)probe_ollama_ask(w->http, PROBE_TAGS, NULL, answer_by, on_tags, w, &l->tags);
	if (!l->ps && now_ns >= l->ps_due_ns) {
		l->ps_asked_ns = now_ns;
		(void)probe_ollama_ask(w->http, PROBE_PS, NULL,
				       w->conf.answer_ns < PS_NS_MIN ? clock_after_ns(now_ns, PS_NS_MIN) : answer_by, on_ps, w,
				       &l->ps);
	}
	if (!l->show)
		show_ask(w, now_ns);
	able_tick(w, now_ns);
}

void ladder_reset(struct worker *w)
{
	struct ladder *l = &w->ladder;

	probe_call_cancel(&l->version);
	probe_call_cancel(&l->tags);
	probe_call_cancel(&l->ps);
	probe_call_cancel(&l->able);
	probe_call_cancel(&l->show);
	memset(l, 0, sizeof(*l));
	w->vital.up_ns = w->vital.tags_ns = w->vital.ps_ns = 0;
	w->vital.fds = w->vital.rss_bytes = w->vital.cpu_ns = 0;
	memset(w->vital.runner_pids, 0, sizeof(w->vital.runner_pids));
}
