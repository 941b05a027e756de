/* The router's end of the treaty: orders from the supervisor, and a new supervisor found when the old one is gone. */
#include "router/router.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"

static void say(struct router *r, enum proc_type type, uint64_t arg)
{
	if (r->orders >= 0)
		(void)proc_send(r->orders, type, r->conf.common.gen, 0, arg, NULL, 0, NULL, 0);
}

void orders_explained(struct router *r, uint64_t number, bool known, const char *text)
{
	if (r->orders >= 0)
		(void)proc_send(r->orders, PROC_EXPLAINED, r->conf.common.gen, known, number, text, strlen(text) + 1, NULL, 0);
}

/* On a socket to a new supervisor the listening sockets go along: nobody else may have kept them. */
static int say_hello(struct router *r, int sock)
{
	struct proc_hello h = {.role = PROC_ROUTER,
			       .index = r->conf.common.index,
			       .gen = r->conf.common.gen,
			       .layout = (uint32_t)shm_layout_hash(),
			       .self = r->self};
	int fds[ROUTER_LISTENERS];

	for (unsigned i = 0; i < r->n_listeners; i++)
		fds[i] = r->listeners[i].io.fd;
	return proc_send(sock, PROC_HELLO, r->conf.common.gen, 0, 0, &h, sizeof(h), fds, r->n_listeners);
}

static void lost(struct router *r);

/* At the start the supervisor tries again with a new router; later it is asked to send the board once more. */
static void board_refuse(struct router *r, const char *why)
{
	log_err("cannot use the board: %s", why);
	if (r->page && r->orders >= 0) {
		lost(r);
		return;
	}
	r->failed = true;
	r->loop.stop = true;
}

static void take_board(struct router *r, const int *fds, unsigned n)
{
	struct why why = {0};
	struct shm_fds board;
	struct shm_reader *reader = NULL;
	struct shm_router_file *page;

	if (n != 1 + SHM_FDS_COUNT) {
		why_set(&why, -EPROTO, "it has %u files instead of %d; tsad and tsa-router must be of one build", n, 1 + SHM_FDS_COUNT);
		board_refuse(r, why.text);
		return;
	}
	memcpy(&board, fds + 1, sizeof(board));
	page = shm_router_map(fds[0], &why);
	if (!page || shm_reader_open(&board, &reader, &why)) {
		shm_unmap(page, SHM_KIND_ROUTER);
		board_refuse(r, why.text);
		return;
	}
	if (r->page && r->published == r->page) {
		shm_router_carry(page, r->page);
		r->published = page;
	}
	shm_reader_close(&r->board);
	shm_unmap(r->page, SHM_KIND_ROUTER);
	r->board = reader;
	r->page = page;
	r->count = &page->counters;
	router_publish(r);
}

/* Places, deadlines and limits change under running requests; addresses only for slots that were free. */
static void take_conf(struct router *r, const struct proc_router_conf *conf)
{
	struct why why = {0};

	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (memcmp(&r->conf.slots[i].addr, &conf->slots[i].addr, sizeof(conf->slots[i].addr)) != 0) {
			r->slots[i].moves++; /* busy ones go when they are done */
			routing_forget_slot(r, i);
			upstream_drop_idle(r, (int)i);
		}
	r->conf = *conf;
	if (r->conf.conns == 0 || r->conf.headers == 0 || r->conf.headers > HTTP_HEADERS_MAX || r->conf.routers > SHM_ROUTERS) {
		log_err("the supervisor sent limits this router cannot keep; both programs must be of one build");
		r->conf.headers = HTTP_HEADERS_MAX;
	}
	log_set_level((enum log_level)conf->common.log_level);
	if (proc_confine_user(conf->common.uid, conf->common.gid, &why)) {
		log_err("cannot give up root: %s", why.text);
		r->failed = true;
		r->loop.stop = true;
		return;
	}
	routing_take(r);
	auto_take(r);
	r->configured = true;
	router_publish(r);
	view_refresh(r, clock_now_ns());
	listen_measure(r);
	listen_resume(r);
}

static void start_drain(struct router *r, uint64_t ms)
{
	log_notice("router %u: stopping, %u connections have up to %llums to finish", r->conf.common.index, r->n_clients, (unsigned long long)ms);
	r->draining = true;
	r->cut = false;
	r->drain_ns = clock_after_ns(clock_now_ns(), ms * NS_PER_MS);
	listen_stop(r);
}

static void obey(struct router *r, const struct proc_msg *m, const void *payload, int *fds, unsigned n_fds)
{
	switch ((enum proc_type)m->type) {
	case PROC_BOARD:
		take_board(r, fds, n_fds);
		break;
	case PROC_CONF:
		if (m->len == sizeof(struct proc_router_conf))
			take_conf(r, payload);
		break;
	case PROC_FACTS:
		auto_facts(r, m->flags, fds, n_fds);
		break;
	case PROC_EXPLAIN:
		explain(r, m->flags, m->arg, payload);
		break;
	case PROC_LISTEN:
		listen_set(r, fds, n_fds);
		n_fds = 0; /* kept */
		break;
	case PROC_PING:
		say(r, PROC_PONG, m->arg);
		break;
	case PROC_STOP:
		start_drain(r, m->arg);
		break;
	default:
		log_warning("an order of kind %u is not for a router", m->type);
		break;
	}
	while (n_fds)
		close(fds[--n_fds]);
	if (!r->ready_said && r->configured && r->page && r->n_listeners) {
		r->ready_said = true;
		say(r, PROC_READY, 0);
	}
}

static void lost(struct router *r)
{
	/* Before its configuration a router does not even know where to look for the next supervisor, who knows nothing of it either. */
	if (!r->configured) {
		log_notice("router: the supervisor is gone before it said what to do");
		r->loop.stop = true;
		return;
	}
	loop_io_unwatch(&r->orders_io);
	close(r->orders);
	loop_io_forget(&r->orders_io);
	r->orders = -1;
	r->rehello_ns = 0;
}

static void on_orders(struct loop_io *io, uint32_t events)
{
	struct router *r = container_of(io, struct router, orders_io);
	const struct proc_msg *m;
	const void *payload;
	int fds[1 + SHM_FDS_COUNT];
	unsigned n_fds = 0;
	int rc = proc_recv(io->fd, r->message, &m, &payload, fds, ARRAY_SIZE(fds), &n_fds);

	(void)events;
	if (rc == 1)
		obey(r, m, payload, fds, n_fds);
	else if (rc != -EAGAIN && rc != -EINTR) {
		if (rc == 0)
			log_warning("router %u: the supervisor is gone; serving on and looking for a new one", r->conf.common.index);
		else
			log_err("router %u: the line to the supervisor broke: %s; serving on and looking for a new one", r->conf.common.index,
				strerror(-rc));
		lost(r);
	}
}

/* 0, or -errno: the socket stays the caller's. */
static int attach(struct router *r, int sock)
{
	int err;

	loop_io_init(&r->orders_io, &r->loop, sock, on_orders);
	err = loop_io_watch(&r->orders_io, EPOLLIN);
	if (err == 0)
		r->orders = sock;
	return err;
}

int orders_start(struct router *r, struct why *why)
{
	int err;

	r->self.pid = (uint64_t)getpid();
	err = proc_start_time(getpid(), &r->self.start);
	if (err)
		return why_set(why, err, "cannot read my own start time from /proc: %s; is /proc mounted?", strerror(-err));
	err = attach(r, PROC_ORDERS_FD);
	if (err == 0)
		err = say_hello(r, PROC_ORDERS_FD);
	return err ? why_set(why, err, "cannot say hello to the supervisor: %s", strerror(-err)) : 0;
}

void orders_stop(struct router *r)
{
	if (r->orders >= 0) {
		loop_io_unwatch(&r->orders_io);
		close(r->orders);
		loop_io_forget(&r->orders_io);
	}
	r->count = &r->spare;
	shm_reader_close(&r->board);
	shm_unmap(r->page, SHM_KIND_ROUTER);
	r->page = NULL;
}

void orders_tick(struct router *r, uint64_t now_ns)
{
	int sock;

	if (r->orders >= 0 || now_ns < r->rehello_ns || !r->conf.common.ctl_path[0])
		return;
	r->rehello_ns = clock_after_ns(now_ns, PROC_REHELLO_NS);
	sock = proc_rehello_connect(r->conf.common.ctl_path);
	if (sock < 0)
		return;
	if (say_hello(r, sock) || attach(r, sock))
		close(sock);
}
