/* The orders sockets: what is said to a child and what it says. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* --- to the child ------------------------------------------------------------------------------------------------------------ */

/* Its end: another event tells of it. */
static bool is_gone(int err)
{
	return err == -EPIPE || err == -ECONNRESET || err == -ENOTCONN;
}

static int send_with(const struct sup_child *c, enum proc_type type, uint32_t flags, uint64_t arg, const void *payload, size_t len,
		     const int *fds, unsigned n_fds)
{
	return c->orders < 0 ? -ENOTCONN : proc_send(c->orders, type, c->gen, flags, arg, payload, len, fds, n_fds);
}

static void warn(const struct sup_child *c, int err)
{
	if (err < 0 && !is_gone(err))
		log_warning("%s: cannot send it an order: %s", c->label, strerror(-err));
}

int sup_orders_send(struct sup_child *c, enum proc_type type, uint32_t flags, uint64_t arg, const void *payload, size_t len)
{
	int err = send_with(c, type, flags, arg, payload, len, NULL, 0);

	warn(c, err);
	return err;
}

static int own_file(const struct sup_child *c)
{
	const struct shm_fds *b = &c->sup->board;

	if (c->role == PROC_WORKER)
		return b->vital[c->index];
	return c->role == PROC_HOST ? b->host : b->router[c->index];
}

static int send_board(struct sup_child *c)
{
	int fds[1 + SHM_FDS_COUNT];

	fds[0] = own_file(c);
	memcpy(fds + 1, &c->sup->board_ro, sizeof(c->sup->board_ro));
	return send_with(c, PROC_BOARD, 0, 0, NULL, 0, fds, 1 + SHM_FDS_COUNT);
}

static int send_conf(struct sup_child *c)
{
	static union { /* large; there is one thread */
		struct proc_worker_conf worker;
		struct proc_host_conf host;
		struct proc_router_conf router;
	} u;

	switch (c->role) {
	case PROC_WORKER:
		if (!sup_slot_of(c)->conf || sup_slot_of(c)->due)
			return 0; /* the configuration is no longer its own: a STOP follows */
		sup_handoff_worker(sup_slot_of(c), &u.worker);
		return send_with(c, PROC_CONF, 0, 0, &u.worker, sizeof(u.worker), NULL, 0);
	case PROC_HOST:
		sup_handoff_host(c->sup, &u.host);
		return send_with(c, PROC_CONF, 0, 0, &u.host, sizeof(u.host), NULL, 0);
	default:
		sup_handoff_router(c->sup, c, &u.router);
		return send_with(c, PROC_CONF, 0, 0, &u.router, sizeof(u.router), NULL, 0);
	}
}

static int send_facts(struct sup_child *c)
{
	const struct sup_facts *f = &c->sup->facts;
	uint32_t has = 0;
	unsigned n = 0;
	int fds[2];

	if (f->models >= 0) {
		has |= PROC_FACTS_MODELS;
		fds[n++] = f->models;
	}
	if (f->weights >= 0) {
		has |= PROC_FACTS_WEIGHTS;
		fds[n++] = f->weights;
	}
	return c->role == PROC_ROUTER ? send_with(c, PROC_FACTS, has, 0, NULL, 0, fds, n) : 0;
}

static int send_listen(struct sup_child *c)
{
	int fds[CONF_LISTEN];
	unsigned n = sup_listen_sockets(c->sup, c->index, fds);

	/* Until all sockets are known an adopted router goes on with what it has. */
	return c->role == PROC_ROUTER && n ? send_with(c, PROC_LISTEN, 0, 0, NULL, 0, fds, n) : 0;
}

/* A child that does not read falls behind, and so does one for whom there is no memory or descriptor at the moment; the tick tries
 * again, and a missing pong ends it in the end.  A full socket is no news: two configurations of a router fill it, and a start that
 * takes children over has three. */
static void note(struct sup_child *c, int err)
{
	c->behind = err < 0 && !is_gone(err);
	if (err != -EAGAIN)
		warn(c, err);
}

void sup_orders_board(struct sup_child *c)
{
	note(c, send_board(c));
}

void sup_orders_conf(struct sup_child *c)
{
	int err = send_facts(c);

	if (err == 0)
		err = send_conf(c);
	note(c, err);
}

void sup_orders_listen(struct sup_child *c)
{
	note(c, send_listen(c));
}

void sup_orders_welcome(struct sup_child *c)
{
	int err;

	sup_board_mend(c->sup);
	err = send_board(c);
	if (err == 0)
		err = send_facts(c);
	if (err == 0)
		err = send_conf(c);
	if (err == 0)
		err = send_listen(c);
	note(c, err);
}

void sup_orders_stop(struct sup_child *c)
{
	if (c->orders >= 0)
		note(c, send_with(c, PROC_STOP, 0, c->drain_ns / NS_PER_MS, NULL, 0, NULL, 0));
}

void sup_orders_catch_up(struct sup_child *c)
{
	if (!c->behind || c->orders < 0)
		return;
	if (c->state == SHM_CHILD_STOPPING)
		sup_orders_stop(c);
	else
		sup_orders_welcome(c);
}

void sup_orders_routers(struct sup *sup, bool sockets)
{
	for (unsigned i = 0; i < SHM_ROUTERS; i++) {
		struct sup_child *c = &sup->routers[i];

		if (c->orders < 0 || c->foreign || c->state == SHM_CHILD_STOPPING)
			continue;
		sup_orders_conf(c);
		if (sockets && !c->behind)
			sup_orders_listen(c);
	}
}

void sup_orders_ping(struct sup_child *c, uint64_t now_ns)
{
	if (!c->greeted)
		return;
	if (c->ping_sent_ns) {
		if (now_ns - c->ping_sent_ns > PROC_PONG_NS && !c->aborted)
			sup_child_abort(c);
		else if (now_ns - c->ping_sent_ns > PROC_PONG_NS + PROC_ABORT_NS && !c->killed)
			sup_child_feed(c, LIFE_PONG_LATE);
		return;
	}
	if (now_ns < c->ping_next_ns)
		return;
	c->ping_next_ns = now_ns + PROC_PING_NS;
	/* One that cannot be sent counts as sent: the child does not read, or has closed its end and lives on. */
	c->ping_sent_ns = now_ns;
	(void)sup_orders_send(c, PROC_PING, 0, ++c->ping_number, NULL, 0);
}

/* --- from the child --------------------------------------------------------------------------------------------------------- */

static void take_hello(struct sup_child *c, const struct proc_msg *msg, const void *payload)
{
	const struct proc_hello *hello = payload;

	(void)msg;
	if (hello->role != c->role || hello->self.pid != c->process.pid) {
		sup_child_kill(c, "said HELLO as somebody else");
		return;
	}
	if (hello->layout != (uint32_t)shm_layout_hash()) {
		sup_child_kill(c, "is of another build than tsad: install all programs of one version");
		return;
	}
	sup_child_feed(c, LIFE_HELLO);
}

static void take_ready(struct sup_child *c, const struct proc_msg *msg, const void *payload)
{
	(void)msg;
	(void)payload;
	sup_child_feed(c, LIFE_READY);
}

static void take_pong(struct sup_child *c, const struct proc_msg *msg, const void *payload)
{
	(void)payload;
	if (msg->arg == c->ping_number)
		c->ping_sent_ns = 0;
}

static void take_ollama(struct sup_child *c, const struct proc_msg *msg, const void *payload)
{
	struct sup_slot *slot = sup_slot_of(c);

	(void)msg;
	if (!slot) {
		sup_child_kill(c, "spoke of an Ollama, and is no worker");
		return;
	}
	memcpy(&slot->ollama, payload, sizeof(slot->ollama));
	/* At once: a supervisor that dies now leaves an Ollama behind that somebody must know. */
	sup_adopt_save(c->sup);
}

static void (*const TAKE[PROC_TYPE_COUNT])(struct sup_child *, const struct proc_msg *, const void *) = {
	[PROC_HELLO] = take_hello, [PROC_READY] = take_ready, [PROC_PONG] = take_pong, [PROC_OLLAMA] = take_ollama,
	[PROC_EXPLAINED] = sup_explain_take};

static void take(struct sup_child *c, const struct proc_msg *msg, const void *payload)
{
	if (!TAKE[msg->type])
		sup_child_kill(c, "sent an order to its supervisor");
	else if (msg->type == PROC_HELLO || msg->gen == c->gen) /* the first words are said before it knows its generation */
		TAKE[msg->type](c, msg, payload);
	else
		log_debug("%s: a message of generation %u is dropped", c->label, msg->gen);
}

static void on_orders(evutil_socket_t fd, short what, void *arg)
{
	static _Alignas(8) char buf[PROC_MSG_MAX];
	struct sup_child *c = arg;
	const struct proc_msg *msg;
	const void *payload;
	int fds[CONF_LISTEN];
	unsigned n_fds = 0;
	int got;

	(void)what;
	got = proc_recv(fd, buf, &msg, &payload, fds, CONF_LISTEN, &n_fds);
	if (got == -EAGAIN || got == -EINTR)
		return;
	if (got == -EPROTO) {
		sup_child_kill(c, "sent a malformed message");
		return;
	}
	if (got <= 0) {
		/* Either its end follows, or it comes back by the control socket, or a missing pong ends it. */
		sup_orders_close(c);
		return;
	}
	while (n_fds)
		close(fds[--n_fds]);
	take(c, msg, payload);
}

int sup_orders_attach(struct sup_child *c, int fd)
{
	sup_orders_close(c);
	event_assign(&c->ev_orders, c->sup->base, fd, EV_READ | EV_PERSIST, on_orders, c);
	if (event_add(&c->ev_orders, NULL) < 0) {
		close(fd);
		return -ENOMEM;
	}
	c->orders = fd;
	c->ping_sent_ns = 0;
	c->ping_next_ns = clock_now_ns() + PROC_PING_NS;
	return 0;
}

void sup_orders_close(struct sup_child *c)
{
	if (c->orders < 0)
		return;
	event_del(&c->ev_orders);
	close(c->orders);
	c->orders = -1;
}
