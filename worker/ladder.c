/* The ladder of probes: it lives (version), what it has (tags), what is resident (ps), it is able (one token).  Beside it, what its
 * processes use.  Each rung has one request at a time and its own clock. */
#include <stdio.h>
#include <string.h>

#include "worker/judge.h"
#include "worker/worker.h"

#define PS_NS_MIN    (10ULL * NS_PER_S) /* it may stall for seconds while a model is unloaded (ollama-api.md 4.1) */
#define AGAIN_NS     (200ULL * NS_PER_MS)
#define TAGS_NS      (5ULL * NS_PER_S)
#define TAGS_PROBES  10U
#define LOST_REFUSED 2U
#define LOST_SILENT  2U
#define PS_NOISE     3U /* one 500 is a known race */
#define ABLE_ERRORS  2U
#define ABLE_TWICE   5U                 /* after errors it is asked again in 1 s, doubled up to five times */
#define LISTENER_NS  (60ULL * NS_PER_S) /* between two searches for the process behind an adopted address */

static uint64_t soon(const struct worker *w, uint64_t now_ns)
{
	return now_ns + (w->conf.probe_ns < AGAIN_NS ? w->conf.probe_ns : AGAIN_NS);
}

static bool probing(enum shm_state s)
{
	return s == SHM_STATE_UP || s == SHM_STATE_WARMING || s == SHM_STATE_READY || s == SHM_STATE_SICK;
}

static void count_fail(struct worker *w)
{
	w->vital.fails++;
	w->vital.fail_streak++;
}

/* --- it lives --------------------------------------------------------------------------------------------------------------------- */

/* A build from source says 0.0.0; then the argv of its runner tells the generation. */
static void version_set(struct worker *w, const char *version)
{
	bool tell = strcmp(version, "0.0.0") == 0 && w->ladder.runners_known;

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
		if (w->conf.adopted && w->vital.reason != r->outcome)
			publish_reason(w, r->outcome, probe_outcome_info(r->outcome)->sentence);
		return;
	}
	count_fail(w);
	l->lost++;
	if (l->lost < (r->outcome == PROBE_REFUSED ? LOST_REFUSED : LOST_SILENT))
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

/* --- what it has, what is resident ------------------------------------------------------------------------------------------------ */

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
		count_fail(w);
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
			count_fail(w);
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

/* --- it is able ------------------------------------------------------------------------------------------------------------------- */

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
	log_line(LOG_WARNING_, &about, "%s: answers its control routes but no token: %s", w->conf.name, text);
	worker_event(w, LIFE_EV_WEDGED, PROBE_WEDGED, "%s", text);
}

static void able_failed(struct worker *w, const struct probe_reply *r, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;
	struct model *m = catalog_find(&w->catalog, l->able_model);
	enum shm_state state = worker_state(w);
	char text[SHM_TEXT];

	count_fail(w);
	l->able_due_ns = now_ns + (NS_PER_S << (l->able_fails < ABLE_TWICE ? l->able_fails : ABLE_TWICE));
	if (r->outcome == PROBE_SILENT || r->outcome == PROBE_SLOW) {
		/* Wedged, unless others were served meanwhile, or it is silent altogether: that is for /api/version to find. */
		if (w->traffic.served == l->able_served && l->answered_ns > l->able_tried_ns)
			wedged(w, "a one-token request on the idle instance had no answer in time");
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
	if (r->outcome == PROBE_BUSY || r->outcome == PROBE_REFUSED || r->outcome == PROBE_LOCAL || ++l->able_fails < ABLE_ERRORS)
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

static void able_ask(struct worker *w, const struct model *m, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;
	enum probe_kind kind = model_embeds(m) ? PROBE_ABLE_EMBED : PROBE_ABLE;

	snprintf(l->able_model, sizeof(l->able_model), "%s", m->name);
	l->able_tried_ns = now_ns;
	l->able_served = w->traffic.served;
	if (probe_ollama_ask(w->http, kind, m->name, clock_after_ns(now_ns, w->conf.able_ns), on_able, w, &l->able))
		l->able_due_ns = now_ns + NS_PER_S;
}

void ladder_able_now(struct worker *w)
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
		able_ask(w, m, now_ns);
	}
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
		.took_ns = w->vital.able_ns,
		.runners_known = l->runners_known,
		.runners_idle_since_ns = l->runners_idle_since_ns,
		.probe_ns = w->conf.probe_ns,
		.able_ns = w->conf.able_ns,
		.warm_ns = w->conf.warm_ns,
	};

	if (!m || !m->resident || w->loads.call)
		return;
	switch (judge_able(&f)) {
	case JUDGE_TRY:
		if (now_ns >= l->able_due_ns)
			able_ask(w, m, now_ns);
		break;
	case JUDGE_WEDGED:
		wedged(w, "requests are in flight, none ends, and its runners do not work");
		break;
	default:
		break;
	}
}

static void able_tick(struct worker *w, uint64_t now_ns)
{
	enum shm_state state = worker_state(w);

	if (w->ladder.able || !w->ladder.answers)
		return;
	if (state == SHM_STATE_READY)
		able_watch(w, now_ns);
	else if (state == SHM_STATE_WARMING || (state == SHM_STATE_SICK && !w->heal.next_ns))
		able_pursue(w, now_ns);
}

/* --- what its processes use --------------------------------------------------------------------------------------------------------- */

static void runners_take(struct worker *w, const struct probe_tree *t, uint64_t now_ns, uint64_t elapsed_ns)
{
	struct ladder *l = &w->ladder;
	uint64_t cpu = 0;

	memset(w->vital.runner_pids, 0, sizeof(w->vital.runner_pids));
	for (unsigned i = 0; i < t->n_runners; i++) {
		w->vital.runner_pids[i] = (uint64_t)t->runners[i].pid;
		cpu += t->runners[i].cpu_ns;
	}
	/* Idle is less than a hundredth of one processor. */
	if (!t->n_runners || !l->runners_known || cpu < l->runners_cpu_ns || cpu - l->runners_cpu_ns > elapsed_ns / 100)
		l->runners_idle_since_ns = now_ns;
	l->runners_known = t->n_runners > 0;
	l->runner_new = t->n_runners && t->runners[0].server;
	l->runners_cpu_ns = cpu;
}

static void climbing(struct worker *w)
{
	struct log_about about = worker_about(w, LOG_EV_RECYCLED, NULL);

	if (w->conf.adopted) {
		if (w->ladder.climbed)
			return;
		w->ladder.climbed = true;
		log_line(LOG_WARNING_, &about,
			 "%s: %llu open descriptors, above %u; it is not ours to restart: restart it when it is idle", w->conf.name,
			 (unsigned long long)w->vital.fds, w->conf.fds_limit);
		return;
	}
	log_line(LOG_NOTICE_, &about, "%s: %llu open descriptors, above %u; it is drained and started again", w->conf.name,
		 (unsigned long long)w->vital.fds, w->conf.fds_limit);
	w->vital.recycles++;
	worker_event(w, LIFE_EV_RECYCLE, PROBE_CLIMBING, "%llu descriptors, above %u", (unsigned long long)w->vital.fds,
		     w->conf.fds_limit);
}

/* The process behind an adopted address, where /proc shows it to us. */
static pid_t process_of(struct worker *w, uint64_t now_ns)
{
	struct probe_stat s;
	pid_t pid = (pid_t)w->ollama.process.pid;

	if (pid || !w->conf.adopted)
		return pid;
	if (w->adopted.pid && probe_stat_read((pid_t)w->adopted.pid, &s) == 0 && s.start == w->adopted.start)
		return (pid_t)w->adopted.pid;
	memset(&w->adopted, 0, sizeof(w->adopted));
	if (now_ns < w->adopted_due_ns || !w->ladder.answers)
		return 0;
	w->adopted_due_ns = now_ns + LISTENER_NS;
	if (probe_listener_find(w->conf.addr.text, &pid) || probe_stat_read(pid, &s))
		return 0;
	w->adopted.pid = (uint64_t)pid;
	w->adopted.start = s.start;
	return pid;
}

static void sample(struct worker *w, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;
	pid_t pid = process_of(w, now_ns);
	struct probe_tree t;
	uint64_t fds = 0;

	if (!pid || probe_tree_read(pid, &t)) {
		w->vital.fds = w->vital.rss_bytes = w->vital.cpu_ns = 0;
		l->runners_known = false;
		memset(w->vital.runner_pids, 0, sizeof(w->vital.runner_pids));
		return;
	}
	w->vital.rss_bytes = t.rss_bytes;
	w->vital.cpu_ns = t.cpu_ns;
	runners_take(w, &t, now_ns, now_ns - l->sampled_ns);
	l->sampled_ns = now_ns;
	if (probe_fds_count(pid, &fds) == 0)
		w->vital.fds = fds;
	w->ollama.oom_before = probe_oom_count();
	if (w->conf.fds_limit && fds > w->conf.fds_limit && worker_state(w) == SHM_STATE_READY)
		climbing(w);
	else
		l->climbed = fds > w->conf.fds_limit;
}

/* --- the tick ------------------------------------------------------------------------------------------------------------------------ */

void ladder_tick(struct worker *w, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;
	enum shm_state state = worker_state(w);
	uint64_t answer_by = clock_after_ns(now_ns, w->conf.answer_ns);
	bool begun = state == SHM_STATE_STARTING && (w->conf.adopted || w->ollama.process.pid);

	if (now_ns >= l->sample_due_ns) {
		l->sample_due_ns = now_ns + w->conf.probe_ns;
		sample(w, now_ns);
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
