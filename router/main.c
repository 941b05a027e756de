/* tsa-router: read the board, decide, queue, proxy.  Started by tsad with its orders on descriptor 3; see proc/proc.h. */
#include "router/router.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"

#define HEAP_BODY_BYTES  (4 * 1024 * 1024)  /* larger blocks go to the kernel at once */
#define HEAP_SPARE_BYTES (16 * 1024 * 1024) /* freed memory kept at hand */
#define POLL_NS          (5 * NS_PER_MS)    /* the board is looked at so often while somebody waits */

void router_bury(struct router *r, struct grave *g)
{
	g->next = r->graves;
	r->graves = g;
}

/* What was freed in a turn may have been at hand until its end. */
static void graves_clear(struct router *r)
{
	while (r->graves) {
		struct grave *g = r->graves;

		r->graves = g->next;
		free(g);
	}
}

void router_publish(struct router *r)
{
	struct shm_router_ident id = {.gen = r->conf.common.gen,
				      .pid = r->self.pid,
				      .start = r->self.start,
				      .since_wall_ns = r->since_wall_ns,
				      .conf_gen = r->conf.common.conf_gen};

	if (!r->page || !r->configured)
		return;
	if (r->published_gen != id.gen || r->published != r->page) {
		shm_router_clear(r->page);
		wishes_forget(r);
		places_forget(r);
		for (unsigned i = 0; i < PROC_SLOTS; i++)
			shm_set(&r->page->slot[i].in_flight, r->slots[i].in_flight);
		shm_set(&r->page->counters.conns, r->n_clients);
		r->published_gen = id.gen;
		r->published = r->page;
	}
	shm_router_ident_publish(r->page, &id);
}

static void on_tick(struct loop_timer *t)
{
	struct router *r = container_of(t, struct router, tick);
	uint64_t now = clock_now_ns();

	loop_timer_set(&r->loop, t, clock_after_ns(now, ROUTER_TICK_NS));
	shm_set(&r->count->beat_ns, now);
	if (now - r->lag_since_ns >= NS_PER_S) {
		r->lag_since_ns = now;
		r->lag_ns = 0;
	}
	if (r->tick_ns && now - r->tick_ns > ROUTER_TICK_NS + r->lag_ns)
		r->lag_ns = now - r->tick_ns - ROUTER_TICK_NS;
	shm_set(&r->count->lag_ns, r->lag_ns);
	r->tick_ns = now;
	orders_tick(r, now);
	if (r->configured && now >= r->again_ns) {
		r->again_ns = clock_after_ns(now, ROUTER_AGAIN_NS);
		router_publish(r);
		queue_say_again(r);
	}
	if (r->configured) {
		queue_tick(r, now);
		client_tick(r, now);
		exchange_tick(r, now);
		places_tick(r, now);
		upstream_tick(r, now);
		listen_measure(r);
		listen_resume(r);
	}
	if (r->draining && !r->cut && now >= r->drain_ns) {
		r->cut = true;
		r->drain_ns = clock_after_ns(now, ROUTER_CUT_NS);
		exchange_cut_all(r);
	}
	/* Requests whose clients have left are parked: closing them now would harm their instance (exchange.c). */
	if (r->draining && ((r->n_clients == 0 && LIST_EMPTY(&r->exchanges)) || (r->cut && (r->n_clients == 0 || now >= r->drain_ns))))
		r->loop.stop = true;
}

static void on_poll(struct loop_timer *t)
{
	struct router *r = container_of(t, struct router, poll);

	loop_timer_set(&r->loop, t, clock_after_ns(clock_now_ns(), POLL_NS));
	queue_pump(r);
}

void queue_poll(struct router *r, bool on)
{
	if (!on)
		loop_timer_clear(&r->loop, &r->poll);
	else if (!r->poll.due_ns)
		loop_timer_set(&r->loop, &r->poll, clock_after_ns(clock_now_ns(), POLL_NS));
}

/* The soft limit is for programs that use select(2). */
static void raise_descriptors(void)
{
	struct rlimit fds;

	if (getrlimit(RLIMIT_NOFILE, &fds) == 0 && fds.rlim_cur < fds.rlim_max) {
		fds.rlim_cur = fds.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &fds);
	}
}

/* Everything goes, so that a leak checker sees what was lost on the way. */
static void router_destroy(struct router *r)
{
	r->pumping = true; /* nobody is sent anywhere any more */
	listen_stop(r);
	while (!LIST_EMPTY(&r->clients))
		client_free(LIST_FIRST(&r->clients), true);
	while (!LIST_EMPTY(&r->exchanges))
		exchange_free(LIST_FIRST(&r->exchanges));
	upstream_drop_idle(r, -1);
	graves_clear(r);
	orders_stop(r);
	loop_fini(&r->loop);
	free(r->models);
	routing_fini(&r->routing);
	feedback_fini(&r->feedback);
	auto_fini(&r->automatic);
	free(r);
}

static struct router *router_create(void)
{
	struct router *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->tick.fire = on_tick;
	r->poll.fire = on_poll;
	r->count = &r->spare;
	places_forget(r);
	r->orders = -1;
	r->since_wall_ns = clock_wall_ns();
	if (getrandom(&r->next_id, sizeof(r->next_id), GRND_NONBLOCK) != (ssize_t)sizeof(r->next_id))
		r->next_id = clock_wall_ns();
	r->models = calloc(ROUTER_MODELS, sizeof(*r->models));
	if (loop_init(&r->loop) == 0 && r->models && routing_init(&r->routing) && auto_init(&r->automatic)) {
		loop_timer_set(&r->loop, &r->tick, clock_after_ns(clock_now_ns(), ROUTER_TICK_NS));
		return r;
	}
	router_destroy(r);
	return NULL;
}

static void serve(struct router *r)
{
	int err = 0;

	while (!r->loop.stop && !err) {
		err = loop_turn(&r->loop);
		graves_clear(r);
	}
	if (!err)
		return;
	log_err("the event loop failed: %s; the supervisor starts the router again", strerror(-err));
	r->failed = true;
}

int main(int argc, char **argv)
{
	struct why why = {0};
	struct router *r;
	int err, status;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("tsa-router %s\n", TSA_VERSION);
		return 0;
	}
	err = proc_confine_early(&why); /* first: it closes what is open */
	log_open("tsa-router", LOG_INFO_);
	trace_on_crash("tsa-router");
	if (err < 0) {
		log_err("%s; tsa-router is started by tsad, not by hand", why.text);
		return 1;
	}
	/* A long conversation's body lives for milliseconds: give its pages back to the heap, not to the kernel, which would have to
	 * clear them anew for the next one (13 of 145 us per 200 KB request). */
	mallopt(M_MMAP_THRESHOLD, HEAP_BODY_BYTES);
	mallopt(M_TRIM_THRESHOLD, HEAP_SPARE_BYTES);
	raise_descriptors();
	r = router_create();
	if (!r) {
		log_err("no memory or no descriptor is left to start with; raise MemoryMax= or LimitNOFILE= of the service");
		return 1;
	}
	if (orders_start(r, &why)) {
		log_err("%s", why.text);
		r->failed = true;
	} else {
		serve(r);
	}
	log_notice("router %u: ends", r->conf.common.index);
	status = r->failed;
	router_destroy(r);
	log_flush();
	return status;
}
