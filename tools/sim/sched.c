/* The scheduler of one instance: who gets a runner, who waits, what is loaded, reloaded and thrown out.
 *
 * A request for a resident model that fits the running options is admitted past everything, after a ping.  Every other request
 * goes through one queue of bounded length and one loop, which blocks on its head until that has its runner: loads are serial,
 * and a reload or an eviction that waits for a busy model holds up every load behind it. */
#include "tools/sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define UNLOAD_NS (5 * NS_PER_MS) /* an unload request is answered before the model is gone */

static const char text_busy[] = "server busy, please try again.  maximum pending requests exceeded";

static const char text_load_died[] = "llama runner process has terminated with exit code -1";
static const char text_load_died_new[] = "llama-server process has terminated: exit status 1: ";
static const char text_load_stalled[] = "timed out waiting for llama runner to start - progress 0.00 - ";
static const char text_load_stalled_new[] = "timed out waiting for llama-server to start - ";

static void loop_run(struct sim_inst *in);
static void runner_idle(struct sim_runner *r);
static void runner_load(struct sim_ex *ex);

/* --- runners ---------------------------------------------------------------------------------------------------------- */

struct sim_runner *sim_sched_find(struct sim_inst *in, const char *weights)
{
	struct sim_runner *r;

	TAILQ_FOREACH(r, &in->runners, link)
	if (!strcmp(r->weights, weights))
		return r;
	return NULL;
}

unsigned sim_sched_queued(const struct sim_inst *in)
{
	return in->pending_n;
}

static void runner_free(struct sim_runner *r)
{
	struct sim_inst *in = r->in;

	TAILQ_REMOVE(&in->runners, r, link);
	if (r->expire)
		event_free(r->expire);
	if (r->loading)
		event_free(r->loading);
	sim_runner_kill(r);
	if (in->loop_wait == r)
		in->loop_wait = NULL;
	in->stats.unloads++;
	free(r);
}

/* The idle runner goes; whoever waited for that goes on. */
static void runner_unload(struct sim_runner *r)
{
	struct sim_inst *in = r->in;

	runner_free(r);
	loop_run(in);
}

static void expire_fire(evutil_socket_t fd, short what, void *arg)
{
	struct sim_runner *r = arg;

	(void)fd;
	(void)what;
	if (!r->refs)
		runner_unload(r);
}

static struct timeval tv_of(uint64_t ns)
{
	return (struct timeval){.tv_sec = (time_t)(ns / NS_PER_S), .tv_usec = (suseconds_t)(ns % NS_PER_S / NS_PER_US)};
}

static void expire_later(struct sim_runner *r, uint64_t ns)
{
	struct timeval tv = tv_of(ns);

	if (!r->expire)
		r->expire = event_new(sim_base, -1, 0, expire_fire, r);
	event_add(r->expire, &tv);
}

/* The last admitted request has ended: start the clock, or go at once. */
static void runner_idle(struct sim_runner *r)
{

	if (r->session_ns <= 0 && !sim_conf.max_queue && !r->closing) {
		r->stuck = true; /* its watcher waits, lock in hand, for itself: a channel without room */
		return;
	}
	if (r->session_ns <= 0 || r->closing) {
		runner_unload(r);
		return;
	}
	r->expires_wall_ns = clock_after_ns(clock_wall_ns(), (uint64_t)r->session_ns);
	if (r->session_ns != SIM_FOREVER)
		expire_later(r, (uint64_t)r->session_ns);
}

/* --- admission -------------------------------------------------------------------------------------------------------- */

static void ex_admit(struct sim_ex *ex, struct sim_runner *r)
{
	ex->runner = r;
	ex->wait = WAIT_NONE;
	ex->admitted_ns = clock_now_ns();
	r->refs++;
	TAILQ_INSERT_TAIL(&r->admitted, ex, rlink);
	if (r->expire)
		event_del(r->expire);
	if (ex->keep_alive_ns != -1)
		r->session_ns = ex->keep_alive_ns;
	ex->on_ready(ex);
}

static bool runner_fits(const struct sim_runner *r, const struct sim_ex *ex)
{
	return r->state == RUNNER_READY && !r->hung && !sim_loadopts_reload(&r->opts, &ex->loadopts, &ex->conf);
}

/* Without any room only a loop that waits takes a request. */
static bool queue_full(const struct sim_inst *in)
{
	if (sim_conf.max_queue)
		return in->pending_n >= sim_conf.max_queue;
	return in->pending_n || in->loop_ex || in->loop_wait;
}

/* Into the queue of the loop, or 503. */
static void ex_enqueue(struct sim_ex *ex)
{
	struct sim_inst *in = ex->in;

	if (queue_full(in)) {
		in->stats.refused_busy++;
		ex->wait = WAIT_NONE;
		sim_ex_fail(ex, 503, text_busy);
		return;
	}
	ex->wait = WAIT_QUEUE;
	in->pending_n++;
	TAILQ_INSERT_TAIL(&in->pending, ex, link);
	loop_run(in);
}

/* The ping of a resident runner has come back, or not. */
static void ping_done(struct sim_ex *ex)
{
	struct sim_runner *r = sim_sched_find(ex->in, ex->conf.weights);

	if (r && runner_fits(r, ex) && !r->dead && !r->wedged && !ex->ping_failed) {
		ex_admit(ex, r);
		return;
	}
	ex->ping_failed = false;
	ex_enqueue(ex);
}

void sim_sched_submit(struct sim_ex *ex)
{
	struct sim_runner *r = sim_sched_find(ex->in, ex->conf.weights);
	uint64_t now;

	if (r && r->stuck) {
		ex->wait = WAIT_PING; /* that never comes back */
		return;
	}
	if (!r || !runner_fits(r, ex)) {
		ex_enqueue(ex);
		return;
	}
	if (!sim_conf.ping_ns && !r->wedged) {
		ping_done(ex);
		return;
	}
	now = clock_now_ns();
	ex->wait = WAIT_PING;
	ex->ping_failed = r->wedged;
	sim_ex_timer(ex, clock_after_ns(now, r->wedged ? sim_conf.ping_timeout_ns : sim_conf.ping_ns), ping_done);
}

/* --- the loop --------------------------------------------------------------------------------------------------------- */

/* Idle runners first, then the shortest keep-alive. */
static struct sim_runner *runner_victim(struct sim_inst *in)
{
	struct sim_runner *best = NULL;
	struct sim_runner *r;

	TAILQ_FOREACH(r, &in->runners, link)
	{
		if (r->state != RUNNER_READY)
			continue;
		if (!best || (r->refs == 0 && best->refs) ||
		    ((r->refs == 0) == (best->refs == 0) && r->session_ns < best->session_ns))
			best = r;
	}
	return best;
}

static void runner_close(struct sim_runner *r)
{
	struct sim_inst *in = r->in;

	r->closing = true;
	r->session_ns = 0;
	in->loop_wait = r;
	if (!r->refs)
		runner_free(r);
}

static void loop_retry(evutil_socket_t fd, short what, void *arg)
{
	struct sim_inst *in = arg;
	struct sim_ex *ex = in->loop_ex;
	struct sim_runner *r = ex ? sim_sched_find(in, ex->conf.weights) : NULL;

	(void)fd;
	(void)what;
	/* The second ping has failed as well: out with it. */
	if (r)
		runner_close(r);
	loop_run(in);
}

/* The head of the queue meets a runner of its own model.  True when that settled it. */
static bool loop_resident(struct sim_inst *in, struct sim_ex *ex, struct sim_runner *r)
{
	if (r->state == RUNNER_LOADING) {
		/* Only the overlapping engine gets here: come back when it is ready. */
		in->loop_ex = NULL;
		ex->wait = WAIT_LOAD;
		TAILQ_INSERT_TAIL(&r->loaders, ex, link);
		return true;
	}
	if (runner_fits(r, ex) && r->wedged && !r->dead) {
		struct timeval tv = tv_of(sim_conf.ping_timeout_ns);

		if (!in->loop_timer)
			in->loop_timer = event_new(sim_base, -1, 0, loop_retry, in);
		event_add(in->loop_timer, &tv);
		return true;
	}
	if (runner_fits(r, ex) && !r->dead && !r->wedged) {
		in->loop_ex = NULL;
		ex_admit(ex, r);
		return true;
	}
	runner_close(r);
	return false;
}

/* One attempt to settle the head of the queue.  False when it has to wait. */
static bool loop_turn(struct sim_inst *in)
{
	struct sim_ex *ex = in->loop_ex;
	struct sim_runner *r;
	unsigned loaded = 0;

	if (!ex) {
		ex = TAILQ_FIRST(&in->pending);
		if (!ex)
			return false;
		TAILQ_REMOVE(&in->pending, ex, link);
		in->pending_n--;
		if (ex->gone)
			return true; /* its place is free now; its descriptor never will be */
		in->loop_ex = ex;
	}
	if (ex->wait == WAIT_LOAD || in->loop_wait || (in->loop_timer && event_pending(in->loop_timer, EV_TIMEOUT, NULL)))
		return false;
	if (ex->gone) {
		in->loop_ex = NULL;
		return true;
	}
	r = sim_sched_find(in, ex->conf.weights);
	if (r)
		return loop_resident(in, ex, r) ? in->loop_ex == NULL : true;
	TAILQ_FOREACH(r, &in->runners, link)
	loaded++;
	if (loaded >= sim_conf.max_loaded) {
		r = runner_victim(in);
		if (r)
			runner_close(r);
		return !in->loop_wait;
	}
	runner_load(ex);
	return in->loop_ex == NULL;
}

static void loop_run(struct sim_inst *in)
{
	if (in->running)
		return;
	in->running = true;
	while (loop_turn(in))
		;
	in->running = false;
}

/* --- loading ---------------------------------------------------------------------------------------------------------- */

static struct sim_ex *load_driver(struct sim_runner *r)
{
	struct sim_ex *ex;

	TAILQ_FOREACH(ex, &r->admitted, rlink)
	return ex;
	return NULL;
}

static void load_free_loop(struct sim_inst *in, struct sim_ex *ex)
{
	if (in->loop_ex == ex)
		in->loop_ex = NULL;
}

/* Those who waited for an overlapping load that came to nothing go back into the queue, in their order. */
static void load_end(struct sim_runner *r)
{
	struct sim_inst *in = r->in;
	struct sim_exs again = TAILQ_HEAD_INITIALIZER(again);
	struct sim_ex *ex;

	TAILQ_CONCAT(&again, &r->loaders, link);
	runner_free(r);
	while ((ex = TAILQ_FIRST(&again))) {
		TAILQ_REMOVE(&again, ex, link);
		ex_enqueue(ex);
	}
	loop_run(in);
}

static void load_fail(struct sim_runner *r, const char *message)
{
	struct sim_inst *in = r->in;
	struct sim_ex *ex = load_driver(r);

	if (ex) {
		TAILQ_REMOVE(&r->admitted, ex, rlink);
		load_free_loop(in, ex);
		ex->wait = WAIT_NONE;
		ex->runner = NULL;
		sim_ex_fail(ex, 500, message);
	}
	load_end(r);
}

static void load_done(evutil_socket_t fd, short what, void *arg)
{
	struct sim_runner *r = arg;
	struct sim_inst *in = r->in;
	struct sim_ex *ex = load_driver(r);

	(void)fd;
	(void)what;
	if (r->aborted) {
		load_end(r);
		return;
	}
	if (r->load_error) {
		load_fail(r, r->load_error);
		return;
	}
	r->state = RUNNER_READY;
	in->stats.loads_finished++;
	if (ex) {
		TAILQ_REMOVE(&r->admitted, ex, rlink);
		load_free_loop(in, ex);
		ex_admit(ex, r);
	}
	while ((ex = TAILQ_FIRST(&r->loaders))) {
		TAILQ_REMOVE(&r->loaders, ex, link);
		if (runner_fits(r, ex))
			ex_admit(ex, r);
		else
			ex_enqueue(ex);
	}
	loop_run(in);
}

static struct sim_runner *runner_new(struct sim_ex *ex)
{
	struct sim_runner *r = sim_alloc(sizeof(*r));

	r->in = ex->in;
	memcpy(r->weights, ex->conf.weights, sizeof(r->weights));
	memcpy(r->digest, ex->digest, sizeof(r->digest));
	r->name = ex->name;
	r->conf = ex->conf;
	r->opts = ex->loadopts;
	r->ctx = sim_loadopts_ctx(&ex->loadopts, &ex->conf);
	r->slots = ex->conf.embed ? 1 : ex->conf.parallel ? ex->conf.parallel : sim_conf.parallel;
	r->session_ns = ex->keep_alive_ns == -1 ? sim_conf.keep_alive_ns : ex->keep_alive_ns;
	TAILQ_INIT(&r->waiting);
	TAILQ_INIT(&r->loaders);
	TAILQ_INIT(&r->admitted);
	TAILQ_INSERT_TAIL(&ex->in->runners, r, link);
	return r;
}

/* How long the load takes, and what ends it.  CLOCK_NEVER = without end. */
static uint64_t load_plan(struct sim_runner *r)
{
	struct sim_fault f;

	if (!sim_fault_at_load(r->in, &r->conf, &f))
		return r->conf.load_ns;
	switch (f.kind) {
	case FAULT_HANG_LOAD:
		r->hung = !sim_conf.new_generation;
		r->load_error = sim_conf.new_generation ? text_load_died_new : NULL;
		return r->hung ? CLOCK_NEVER : 0;
	case FAULT_STALL_LOAD:
		r->load_error = sim_conf.new_generation ? text_load_stalled_new : text_load_stalled;
		return sim_conf.load_timeout_ns;
	default:
		memcpy(r->load_text, f.message, sizeof(r->load_text));
		r->load_error = f.message[0] ? r->load_text : sim_conf.new_generation ? text_load_died_new : text_load_died;
		return r->conf.load_ns;
	}
}

static void runner_load(struct sim_ex *ex)
{
	struct sim_inst *in = ex->in;
	struct sim_runner *r = runner_new(ex);
	uint64_t ns = load_plan(r);
	struct timeval tv;

	in->stats.loads_started++;
	ex->wait = WAIT_LOAD;
	ex->runner = r;
	TAILQ_INSERT_TAIL(&r->admitted, ex, rlink);
	if (ex->conf.overlap)
		load_free_loop(in, ex);
	sim_runner_spawn(r);
	r->loading = event_new(sim_base, -1, 0, load_done, r);
	if (ns == CLOCK_NEVER)
		return;
	if (!ns) {
		load_done(-1, 0, r);
		return;
	}
	tv = tv_of(ns);
	event_add(r->loading, &tv);
}

/* --- slots ------------------------------------------------------------------------------------------------------------ */

void sim_sched_slot_take(struct sim_ex *ex)
{
	struct sim_runner *r = ex->runner;

	if (r->slots_used + r->slots_lost < r->slots) {
		r->slots_used++;
		ex->has_slot = true;
		ex->wait = WAIT_NONE;
		ex->on_slot(ex);
		return;
	}
	ex->wait = WAIT_SLOT;
	TAILQ_INSERT_TAIL(&r->waiting, ex, link);
}

void sim_sched_slot_give(struct sim_ex *ex)
{
	struct sim_runner *r = ex->runner;
	struct sim_ex *next;

	if (!ex->has_slot)
		return;
	ex->has_slot = false;
	r->slots_used--;
	next = TAILQ_FIRST(&r->waiting);
	if (!next || r->slots_used + r->slots_lost >= r->slots)
		return;
	TAILQ_REMOVE(&r->waiting, next, link);
	r->slots_used++;
	next->has_slot = true;
	next->wait = WAIT_NONE;
	if (r->dead)
		sim_ex_failf(next, 500, "%s process no longer running: -1 ",
			     sim_conf.new_generation ? "llama-server" : "llama runner");
	else
		next->on_slot(next);
}

void sim_sched_slot_lose(struct sim_ex *ex)
{
	if (!ex->has_slot)
		return;
	ex->has_slot = false;
	ex->runner->slots_used--;
	ex->runner->slots_lost++;
}

void sim_sched_release(struct sim_ex *ex)
{
	struct sim_runner *r = ex->runner;
	struct sim_inst *in = ex->in;

	if (ex->wait == WAIT_SLOT)
		TAILQ_REMOVE(&r->waiting, ex, link);
	if (ex->wait == WAIT_PROMPT || ex->wait == WAIT_TOKENS || ex->wait == WAIT_EMBED)
		sim_gen_cancel(ex);
	ex->wait = WAIT_NONE;
	if (!r)
		return;
	sim_sched_slot_give(ex);
	ex->runner = NULL;
	TAILQ_REMOVE(&r->admitted, ex, rlink);
	if (--r->refs == 0)
		runner_idle(r);
	loop_run(in);
}

/* --- clients that leave ----------------------------------------------------------------------------------------------- */

/* The driver of a load has left: the load dies with it, which takes a moment. */
static void load_abort(struct sim_ex *ex)
{
	struct sim_runner *r = ex->runner;
	struct timeval tv = tv_of(sim_conf.load_abort_ns);

	TAILQ_REMOVE(&r->admitted, ex, rlink);
	load_free_loop(ex->in, ex);
	if (!ex->conf.overlap)
		ex->in->loop_wait = r;
	ex->runner = NULL;
	ex->wait = WAIT_NONE;
	sim_ex_fail(ex, 499, "request canceled");
	r->aborted = true;
	r->load_error = NULL;
	sim_runner_kill(r);
	event_add(r->loading, &tv);
}

bool sim_sched_client_gone(struct sim_ex *ex)
{
	struct sim_inst *in = ex->in;

	switch (ex->wait) {
	case WAIT_PING:
	case WAIT_QUEUE:
		return true;
	case WAIT_LOAD:
		if (ex->runner) {
			load_abort(ex);
			return false;
		}
		{
			struct sim_runner *r = sim_sched_find(in, ex->conf.weights);

			if (r && r->state == RUNNER_LOADING)
				TAILQ_REMOVE(&r->loaders, ex, link);
		}
		return true;
	case WAIT_SLOT:
		TAILQ_REMOVE(&ex->runner->waiting, ex, link);
		ex->wait = WAIT_NONE;
		sim_ex_fail(ex, 500, "context canceled");
		return false;
	case WAIT_PROMPT:
	case WAIT_TOKENS:
	case WAIT_EMBED:
		sim_gen_client_gone(ex);
		return false;
	default:
		/* The head of the queue, waiting for an eviction or a reload: dropped when its turn comes. */
		return in->loop_ex == ex;
	}
}

/* --- unload, crash, wedge --------------------------------------------------------------------------------------------- */

static void unload_later(struct sim_ex *ex)
{
	struct sim_runner *r = sim_sched_find(ex->in, ex->conf.weights);

	if (r && r->state == RUNNER_LOADING) {
		sim_ex_timer(ex, clock_after_ns(clock_now_ns(), 5 * NS_PER_MS), unload_later);
		return;
	}
	sim_sched_unload_request(ex->in, ex->model, ex);
}

void sim_sched_unload_request(struct sim_inst *in, const struct sim_model *m, struct sim_ex *ex)
{
	struct sim_runner *r = sim_sched_find(in, m->conf.weights);

	if (r && r->state == RUNNER_LOADING && r->conf.overlap) {
		ex->wait = WAIT_TIMER;
		unload_later(ex);
		return;
	}
	ex->wait = WAIT_NONE;
	if (r && r->state == RUNNER_READY) {
		r->session_ns = 0;
		r->expires_wall_ns = clock_wall_ns();
		if (!r->refs)
			expire_later(r, UNLOAD_NS);
	}
	ex->dialect->loaded(ex, "unload");
}

/* The runner is gone, and with it everything that it was generating; the table does not notice. */
void sim_sched_crash(struct sim_runner *r)
{
	struct sim_ex *ex;
	struct sim_ex *next;

	if (r->dead)
		return;
	r->dead = true;
	r->wedged = false;
	r->prefill_free_ns = 0;
	if (r->state == RUNNER_LOADING) {
		struct timeval now = {0};

		r->load_error = sim_conf.new_generation ? text_load_died_new : text_load_died;
		if (!r->hung)
			event_add(r->loading, &now);
		return;
	}
	for (ex = TAILQ_FIRST(&r->admitted); ex; ex = next) {
		next = TAILQ_NEXT(ex, rlink);
		if (ex->wait == WAIT_PROMPT || ex->wait == WAIT_TOKENS || ex->wait == WAIT_EMBED)
			sim_gen_runner_died(ex);
	}
}

void sim_sched_wedge(struct sim_runner *r, bool on)
{
	struct sim_ex *ex;

	r->wedged = on;
	if (on && r->work)
		atomic_store(r->work, 0);
	TAILQ_FOREACH(ex, &r->admitted, rlink)
	{
		if (ex->wait != WAIT_PROMPT && ex->wait != WAIT_TOKENS && ex->wait != WAIT_EMBED)
			continue;
		if (on)
			sim_ex_timer_stop(ex);
		else
			sim_gen_resume(ex);
	}
}

/* Forget what is loaded, as after a restart; requests in flight keep what they have. */
void sim_sched_reset(struct sim_inst *in)
{
	struct sim_runner *r = TAILQ_FIRST(&in->runners);

	while (r) {
		struct sim_runner *next = TAILQ_NEXT(r, link);

		if (r->state == RUNNER_READY && !r->refs)
			runner_free(r);
		else
			r->wedged = false;
		r = next;
	}
	loop_run(in);
}
