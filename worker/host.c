/* The host worker: memory, pressure, load and GPUs on the host page. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/worker.h"

struct host {
	struct event_base *base;
	struct event *tick;
	struct orders orders;
	struct proc_host_conf conf;
	bool configured, announced;
	bool failed; /* it cannot go on and has said why */
	struct shm_host_file *page;
	struct shm_host now;
	struct probe_gpus *gpus;
	uint64_t look_due_ns, flush_due_ns;
};

static void look_memory(struct shm_host *out)
{
	struct probe_pressure p = {0};
	struct probe_memory m;

	if (probe_memory_read(&m) == 0) {
		out->mem_total_bytes = m.total_bytes;
		out->mem_available_bytes = m.available_bytes;
		out->swap_total_bytes = m.swap_total_bytes;
		out->swap_free_bytes = m.swap_free_bytes;
	}
	out->psi_known = probe_pressure_read(&p) == 0;
	out->mem_some_avg10_permyriad = p.some_avg10;
	out->mem_some_avg60_permyriad = p.some_avg60;
	out->mem_full_avg10_permyriad = p.full_avg10;
	out->mem_full_avg60_permyriad = p.full_avg60;
}

static void look_gpus(struct host *h)
{
	struct probe_gpu gpus[PROBE_GPUS];
	unsigned n = probe_gpus_read(h->gpus, gpus);

	_Static_assert(PROBE_GPUS == SHM_GPUS, "every GPU that is probed has its place on the board");
	h->now.gpus = n;
	for (unsigned i = 0; i < n; i++) {
		struct shm_gpu *g = &h->now.gpu[i];

		_Static_assert(sizeof(g->name) == sizeof(gpus[i].name), "names are copied whole");
		g->mem_total_bytes = gpus[i].mem_total_bytes;
		g->mem_used_bytes = gpus[i].mem_used_bytes;
		g->util_permille = gpus[i].util_permille;
		g->temp_mc = gpus[i].temp_mc;
		g->healthy = gpus[i].healthy;
		memset(g->name, 0, sizeof(g->name));
		memcpy(g->name, gpus[i].name, strlen(gpus[i].name));
	}
}

static void look(struct host *h)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	look_memory(&h->now);
	(void)probe_loadavg_read(&h->now.load1_permille);
	h->now.cpus_online = cpus > 0 ? (uint64_t)cpus : 0;
	look_gpus(h);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct host *h = arg;
	uint64_t now = clock_now_ns();

	(void)fd, (void)what;
	if (!h->configured || !h->page)
		return;
	if (now >= h->look_due_ns) {
		h->look_due_ns = now + h->conf.probe_ns;
		look(h);
	}
	h->now.gen = h->conf.common.gen;
	h->now.beat_ns = now;
	shm_host_publish(h->page, &h->now);
	if (now >= h->flush_due_ns) {
		h->flush_due_ns = now + LOG_WINDOW_NS;
		log_flush();
	}
}

static void take_board(struct host *h, const int *fds, unsigned n)
{
	struct why why;
	struct shm_host_file *page = n ? shm_host_map(fds[0], &why) : NULL;

	if (!page) {
		log_err("the host page cannot be mapped: %s", n ? why.text : "no descriptor came with it");
		h->failed = true;
		if (!h->page)
			event_base_loopbreak(h->base);
		return;
	}
	shm_unmap(h->page, SHM_KIND_HOST);
	h->page = page;
}

static void take_conf(struct host *h, const void *payload, size_t len)
{
	struct why why;

	if (len != sizeof(h->conf)) {
		log_err("the supervisor sent a configuration of %zu bytes instead of %zu; were tsad and tsa-worker built together?",
			len, sizeof(h->conf));
		h->failed = true;
		event_base_loopbreak(h->base);
		return;
	}
	memcpy(&h->conf, payload, sizeof(h->conf));
	orders_configure(&h->orders, &h->conf.common);
	log_set_level((enum log_level)h->conf.common.log_level);
	if (!h->configured && proc_confine_user(h->conf.common.uid, h->conf.common.gid, &why)) {
		log_err("%s", why.text);
		h->failed = true;
		event_base_loopbreak(h->base);
		return;
	}
	h->configured = true;
	h->look_due_ns = 0;
}

static void take_order(void *arg, const struct proc_msg *m, const void *payload, int *fds, unsigned n_fds)
{
	struct host *h = arg;

	if (m->type == PROC_BOARD)
		take_board(h, fds, n_fds);
	else if (m->type == PROC_CONF)
		take_conf(h, payload, m->len);
	else if (m->type == PROC_STOP)
		event_base_loopbreak(h->base); /* event_base_loopexit() needs memory */
	else
		log_debug("an order that does not concern the host worker: %u", (unsigned)m->type);
	if (h->configured && h->page && !h->announced) {
		h->announced = true;
		on_tick(-1, 0, h);
		orders_say(&h->orders, PROC_READY, 0, NULL, 0);
	}
}

static void joined(void *arg)
{
	struct host *h = arg;

	if (h->announced)
		orders_say(&h->orders, PROC_READY, 0, NULL, 0);
}

static void orphaned(void *arg)
{
	struct host *h = arg;

	log_notice("the state directory is gone, and the supervisor with it: the host worker ends");
	event_base_loopbreak(h->base);
}

int host_serve(void)
{
	struct host *h = calloc(1, sizeof(*h));
	struct timeval beat = {.tv_usec = PROC_BEAT_NS / NS_PER_US};
	struct why why = {0};
	int rc = -ENOMEM;

	if (!h) {
		log_err("the host worker cannot start: no memory; raise MemoryMax= of the service");
		return 1;
	}
	h->base = event_base_new();
	h->tick = h->base ? event_new(h->base, -1, EV_PERSIST, on_tick, h) : NULL;
	h->orders.take = take_order;
	h->orders.joined = joined;
	h->orders.orphaned = orphaned;
	h->orders.arg = h;
	if (h->tick && event_add(h->tick, &beat) == 0)
		rc = orders_open(&h->orders, h->base, PROC_HOST, &why);
	if (rc == 0 && probe_gpus_create(&h->gpus, &why))
		log_warning("GPUs are not watched: %s", why.text);
	if (rc < 0) {
		log_err("the host worker cannot start: %s", why.text[0] ? why.text : strerror(-rc));
	} else if (event_base_dispatch(h->base) < 0) {
		log_err("the event loop of the host worker failed: %s", strerror(errno));
		h->failed = true;
	}
	rc = rc < 0 || h->failed;
	probe_gpus_destroy(&h->gpus);
	orders_close(&h->orders);
	shm_unmap(h->page, SHM_KIND_HOST);
	if (h->tick)
		event_free(h->tick);
	if (h->base)
		event_base_free(h->base);
	free(h);
	return rc;
}
