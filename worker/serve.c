/* The life of the worker of one instance: orders in, events to states, states to actions. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "worker/worker.h"

enum shm_state worker_state(const struct worker *w)
{
	return (enum shm_state)w->vital.state;
}

struct log_about worker_about(const struct worker *w, enum log_event event, const char *model)
{
	return (struct log_about){.event = event, .slot = w->conf.name, .model = model, .gen = w->conf.common.gen};
}

/* --- states ------------------------------------------------------------------------------------------------------------------- */

static enum log_level level_of(enum shm_state to)
{
	return to == SHM_STATE_SICK || to == SHM_STATE_BACKOFF ? LOG_WARNING_
	       : to == SHM_STATE_QUARANTINED                   ? LOG_ERR_
							       : LOG_NOTICE_;
}

static void say_change(const struct worker *w, enum shm_state from, enum shm_state to, uint64_t lasted_ns)
{
	struct log_about about = worker_about(w, LOG_EV_SLOT_STATE, w->catalog.primary);
	char lasted[32], able[32];

	scan_duration_text(lasted_ns, lasted, sizeof(lasted));
	if (to == SHM_STATE_READY && w->vital.able_ns)
		log_line(level_of(to), &about, "%s: %s -> %s after %s (one token in %s)", w->conf.name, shm_state_word(from),
			 shm_state_word(to), lasted, scan_duration_text(w->vital.able_ns, able, sizeof(able)));
	else
		log_line(level_of(to), &about, "%s: %s -> %s after %s%s%s", w->conf.name, shm_state_word(from), shm_state_word(to),
			 lasted, w->vital.why[0] ? ": " : "", w->vital.why);
}

static void drain_begin(struct worker *w)
{
	uint64_t patience = w->drain.patience_ns ? w->drain.patience_ns : DRAIN_NS;

	if (!w->drain.stopping)
		w->drain.until_ns = clock_after_ns(clock_now_ns(), patience);
	w->drain.patience_ns = 0;
	w->drain.active = true;
}

static void worker_exit(struct worker *w)
{
	publish_vital(w);
	event_base_loopbreak(w->base); /* event_base_loopexit() needs memory */
}

static void act_start(struct worker *w)
{
	w->drain.active = false;
	instance_start(w);
}

static void act_warm(struct worker *w)
{
	able_now(w);
}

static void act_kill(struct worker *w)
{
	instance_kill(w);
	instance_pause(w);
}

static void (*const ACTIONS[LIFE_ACT_COUNT])(struct worker *) = {
	[LIFE_ACT_START] = act_start,   [LIFE_ACT_LOOK] = ladder_look,     [LIFE_ACT_WARM] = act_warm,
	[LIFE_ACT_HEAL] = heal_step,    [LIFE_ACT_PAUSE] = instance_pause, [LIFE_ACT_KILL] = act_kill,
	[LIFE_ACT_DRAIN] = drain_begin, [LIFE_ACT_END] = instance_end,     [LIFE_ACT_EXIT] = worker_exit,
};

void worker_event(struct worker *w, enum life_event ev, enum probe_outcome reason, const char *fmt, ...)
{
	enum shm_state from = worker_state(w);
	struct life_step step = life_next(from, ev);
	uint64_t now = clock_now_ns();
	char text[SHM_TEXT] = "";
	va_list ap;

	if (step.next == SHM_STATE_NONE)
		log_err("%s: %s in state %s must not happen; this is a mistake in tsa, please report it", w->conf.name,
			life_event_word(ev), shm_state_word(from));
	BUG_ON(step.next == SHM_STATE_NONE);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (reason != PROBE_NONE)
		publish_reason(w, reason, text);
	if (step.next != from) {
		w->vital.state = step.next;
		w->vital.since_wall_ns = clock_wall_ns();
		say_change(w, from, step.next, now - w->state_since_ns);
		w->state_since_ns = now;
		if (step.next == SHM_STATE_READY)
			heal_done(w);
	}
	publish_models(w);
	publish_vital(w);
	if (ACTIONS[step.action])
		ACTIONS[step.action](w);
}

static void drain_tick(struct worker *w, uint64_t now_ns)
{
	if (!w->drain.active || worker_state(w) != SHM_STATE_DRAINING)
		return;
	if (!traffic_idle(w) && now_ns < w->drain.until_ns)
		return;
	w->drain.active = false;
	if (!traffic_idle(w))
		log_warning("%s: %llu requests were still running when the patience for them ended", w->conf.name,
			    (unsigned long long)w->traffic.in_flight);
	worker_event(w, LIFE_EV_DRAINED, PROBE_NONE, "%s", "");
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	uint64_t now = clock_now_ns();

	(void)fd, (void)what;
	if (!w->configured || !w->page)
		return;
	traffic_tick(w, now);
	instance_tick(w, now);
	ladder_tick(w, now);
	loads_tick(w, now);
	places_tick(w, now);
	heal_tick(w, now);
	drain_tick(w, now);
	publish_tick(w, now);
	if (now >= w->flush_due_ns) {
		w->flush_due_ns = now + LOG_WINDOW_NS;
		log_flush();
	}
}

/* --- orders ------------------------------------------------------------------------------------------------------------------- */

static void give_up(struct worker *w, const char *text)
{
	log_err("%s", text);
	w->exit_code = 1;
	event_base_loopbreak(w->base);
}

/* Totals of the slot go on where the worker before us left them; a token it saw lately counts while the Ollama is busy. */
static void inherit(struct worker *w)
{
	struct shm_vital old;
	uint64_t now = clock_now_ns();

	if (shm_read_vital(w->reader, w->orders.index, &old) || old.gen == 0 || old.beat_ns > now)
		return;
	w->vital.fails = old.fails;
	w->vital.starts = old.starts;
	w->vital.recycles = old.recycles;
	w->vital.orphans = old.orphans;
	w->vital.loads = old.loads;
	w->vital.load_failures = old.load_failures;
	w->vital.death_kind = old.death_kind;
	w->vital.death_code = old.death_code;
	w->vital.death_wall_ns = old.death_wall_ns;
	w->vital.models_change = old.models_change;
	w->inherited = old.state == SHM_STATE_READY && now - old.beat_ns < 2 * PROC_LASTGOOD_NS &&
		       (w->conf.adopted || (old.ollama_pid == w->conf.ollama.pid && old.ollama_start == w->conf.ollama.start));
	if (w->inherited) {
		w->vital.able_ns = old.able_ns;
		w->vital.able_at_ns = old.able_at_ns;
	}
}

static void take_board(struct worker *w, const int *fds, unsigned n)
{
	struct shm_vital_file *page;
	struct shm_reader *reader;
	struct shm_fds all;
	struct why why;

	if (n != SHM_FDS_COUNT + 1) {
		give_up(w, "the board did not come with all its descriptors; were tsad and tsa-worker built together?");
		return;
	}
	memcpy(&all, fds + 1, sizeof(all));
	page = shm_vital_map(fds[0], &why);
	if (!page || shm_reader_open(&all, &reader, &why)) {
		shm_unmap(page, SHM_KIND_VITAL);
		if (w->page)
			log_err("the new board is not used, the old one goes on: %s", why.text);
		else
			give_up(w, why.text);
		return;
	}
	shm_unmap(w->page, SHM_KIND_VITAL);
	shm_reader_close(&w->reader);
	w->page = page;
	w->reader = reader;
	memset(&w->shown, 0, sizeof(w->shown)); /* a new board knows nothing yet */
	memset(w->traffic.seen, 0, sizeof(w->traffic.seen));
	memset(w->traffic.gen, 0, sizeof(w->traffic.gen));
}

static void conf_apply(struct worker *w)
{
	const char *names[PROC_MODELS];
	unsigned n = w->conf.n_models < PROC_MODELS ? w->conf.n_models : PROC_MODELS;
	char before[sizeof(w->catalog.primary)];

	for (unsigned i = 0; i < n; i++)
		names[i] = w->conf.models[i];
	memcpy(before, w->catalog.primary, sizeof(before));
	catalog_configure(&w->catalog, names, n);
	(void)catalog_primary_choose(&w->catalog);
	if (strcmp(before, w->catalog.primary) != 0)
		w->loads.touched_ns = 0; /* a new primary is loaded as soon as the instance is idle */
	log_set_level((enum log_level)w->conf.common.log_level);
	w->vital.fds_limit = w->conf.fds_limit;
}

static int first_conf(struct worker *w, struct why *why)
{
	int rc;

	w->vital.state = SHM_STATE_NONE;
	w->state_since_ns = clock_now_ns();
	instance_init(w);
	rc = spawn_dir_make(w, why);
	if (!rc)
		rc = proc_confine_user(w->conf.common.uid, w->conf.common.gid, why);
	if (!rc)
		rc = probe_http_create(w->base, w->conf.addr.text, &w->http, why);
	return rc;
}

static void take_conf(struct worker *w, const void *payload, size_t len)
{
	struct proc_process ollama = w->conf.ollama;
	struct why why;

	if (len != sizeof(w->conf)) {
		snprintf(why.text, sizeof(why.text),
			 "a configuration of %zu bytes came instead of %zu; were tsad and tsa-worker built together?", len,
			 sizeof(w->conf));
		give_up(w, why.text);
		return;
	}
	memcpy(&w->conf, payload, sizeof(w->conf));
	orders_configure(&w->orders, &w->conf.common);
	if (w->configured) {
		w->conf.ollama = ollama; /* ours are the newer facts */
	} else if (first_conf(w, &why)) {
		give_up(w, why.text);
		return;
	}
	w->configured = true;
	conf_apply(w);
	publish_models(w);
}

static void begin(struct worker *w)
{
	if (!w->configured || !w->page || w->announced)
		return;
	w->announced = true;
	inherit(w);
	traffic_tick(w, clock_now_ns());
	worker_event(w, LIFE_EV_BEGIN, PROBE_NONE, "%s", "");
	orders_say(&w->orders, PROC_READY, 0, NULL, 0);
}

static void stop(struct worker *w, bool keep, uint64_t drain_ns, const char *text)
{
	if (keep || !w->announced || w->conf.adopted) { /* the Ollama stays: there is nothing of ours to wait for */
		event_base_loopbreak(w->base);
		return;
	}
	w->drain.stopping = true;
	w->drain.until_ns = clock_after_ns(clock_now_ns(), drain_ns);
	worker_event(w, LIFE_EV_STOP, PROBE_ASKED, "%s", text);
}

static void orphaned(void *arg)
{
	stop(arg, false, 0, "the state directory is gone, and the supervisor with it");
}

static void take_restart(struct worker *w)
{
	struct log_about about = worker_about(w, LOG_EV_OPERATOR, NULL);

	proc_backoff_lift(&w->ollama.backoff);
	log_line(LOG_NOTICE_, &about, "%s: the operator asked for a restart", w->conf.name);
	worker_event(w, LIFE_EV_RECYCLE, PROBE_ASKED, "the operator asked for a restart");
}

static void take_warm(struct worker *w, const char *model)
{
	struct log_about about = worker_about(w, LOG_EV_OPERATOR, model);

	if (!*model)
		model = w->catalog.primary;
	if (!*model)
		log_line(LOG_WARNING_, &about, "%s: there is no model to warm; pull one on the instance", w->conf.name);
	else if (!loads_want(w, model, LOAD_ORDER))
		log_line(LOG_WARNING_, &about, "%s: cannot warm \"%s\": the instance does not have it", w->conf.name, model);
}

static void take_unload(struct worker *w, const char *model)
{
	struct log_about about = worker_about(w, LOG_EV_OPERATOR, model);

	if (*model && !loads_unload(w, model))
		log_line(LOG_WARNING_, &about, "%s: cannot unload \"%s\": the instance does not have it", w->conf.name, model);
	for (unsigned i = 0; !*model && i < w->catalog.n; i++)
		if (w->catalog.at[i].resident)
			(void)loads_unload(w, w->catalog.at[i].name);
}

static void take_order(void *arg, const struct proc_msg *m, const void *payload, int *fds, unsigned n_fds)
{
	struct worker *w = arg;
	const char *model = m->len ? payload : "";

	if (m->type == PROC_BOARD)
		take_board(w, fds, n_fds);
	else if (m->type == PROC_CONF)
		take_conf(w, payload, m->len);
	else if (m->type == PROC_STOP)
		stop(w, m->flags & PROC_STOP_KEEP, m->arg * NS_PER_MS, "the supervisor stops it");
	else if (!w->announced)
		log_debug("an order came before the configuration: %u", (unsigned)m->type);
	else if (m->type == PROC_RESTART)
		take_restart(w);
	else if (m->type == PROC_WARM)
		take_warm(w, model);
	else if (m->type == PROC_UNLOAD)
		take_unload(w, model);
	else if (m->type == PROC_REAPED)
		instance_reaped(w, payload);
	else
		log_warning("%s: an order that does not concern a worker: %u", w->conf.name, (unsigned)m->type);
	if (w->configured && w->page && !w->exit_code) {
		begin(w);
		publish_models(w);
		publish_vital(w);
	}
}

static void joined(void *arg)
{
	struct worker *w = arg;

	if (!w->announced)
		return;
	orders_say(&w->orders, PROC_READY, 0, NULL, 0);
	instance_say(w);
}

/* --- the whole ---------------------------------------------------------------------------------------------------------------- */

static void worker_destroy(struct worker *w)
{
	loads_reset(w);
	ladder_reset(w);
	heal_reset(w);
	instance_close(w);
	probe_http_destroy(&w->http);
	orders_close(&w->orders);
	shm_reader_close(&w->reader);
	shm_unmap(w->page, SHM_KIND_VITAL);
	if (w->tick)
		event_free(w->tick);
	if (w->base)
		event_base_free(w->base);
	free(w);
}

int worker_serve(void)
{
	struct worker *w = calloc(1, sizeof(*w));
	struct timeval tick = {.tv_usec = TICK_NS / NS_PER_US};
	struct why why = {0};
	int rc = -ENOMEM;

	if (!w) {
		log_err("the worker cannot start: no memory; raise MemoryMax= of the service");
		return 1;
	}
	w->ollama.pidfd = -1;
	w->orders.take = take_order;
	w->orders.joined = joined;
	w->orders.orphaned = orphaned;
	w->orders.arg = w;
	w->base = event_base_new();
	w->tick = w->base ? event_new(w->base, -1, EV_PERSIST, on_tick, w) : NULL;
	if (w->tick && event_add(w->tick, &tick) == 0)
		rc = orders_open(&w->orders, w->base, PROC_WORKER, &why);
	if (rc < 0)
		log_err("the worker cannot start: %s", why.text[0] ? why.text : strerror(-rc));
	else if (event_base_dispatch(w->base) < 0)
		give_up(w, "the event loop failed");
	rc = rc ? 1 : w->exit_code;
	log_flush();
	worker_destroy(w);
	return rc;
}
