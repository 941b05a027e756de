/* One connection: bytes in, requests one after the other, bytes out, and what becomes of a client that leaves. */
#include "tools/sim/sim.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 16384U
#define BODY_READ  262144U
#define OUT_HIGH   65536U /* a producer stops here until the client has read */
#define LINGER_MS  500    /* Go's time for a client to read the end before a reset could eat it */
#define KEEP_BYTES 65536U

static TAILQ_HEAD(, sim_conn) ready_list = TAILQ_HEAD_INITIALIZER(ready_list);
static TAILQ_HEAD(, sim_conn) dead_list = TAILQ_HEAD_INITIALIZER(dead_list);
static struct event *ready_event;

static void conn_step(struct sim_conn *c);
static void conn_gone(struct sim_conn *c);

/* --- ends ------------------------------------------------------------------------------------------------------------- */

static void conn_reading(struct sim_conn *c, bool on)
{
	if (c->rd_on == on)
		return;
	c->rd_on = on;
	if (on)
		event_add(c->rd, NULL);
	else
		event_del(c->rd);
}

static void conn_close(struct sim_conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	c->state = CONN_DEAD;
	sim_ex_timer_stop(&c->ex);
	conn_reading(c, false);
	event_del(c->wr);
	if (c->linger)
		event_del(c->linger);
	close(c->fd);
	c->fd = -1;
	c->in->stats.open_connections--;
	TAILQ_REMOVE(&c->in->conns, c, link);
	TAILQ_INSERT_TAIL(&dead_list, c, link);
	event_active(ready_event, 0, 0);
}

static void conn_free(struct sim_conn *c)
{
	event_free(c->rd);
	event_free(c->wr);
	if (c->linger)
		event_free(c->linger);
	if (c->ex.timer)
		event_free(c->ex.timer);
	buf_fini(&c->inb);
	buf_fini(&c->head_buf);
	buf_fini(&c->out);
	buf_fini(&c->body);
	buf_fini(&c->ex.fields);
	buf_fini(&c->ex.pending);
	buf_fini(&c->ex.scratch);
	buf_fini(&c->ex.outputs);
	buf_fini(&c->ex.gen.text);
	buf_fini(&c->ex.gen.thinking);
	arena_fini(&c->ex.arena);
	free(c);
}

static void ready_run(evutil_socket_t fd, short what, void *arg)
{
	struct sim_conn *c;

	(void)fd;
	(void)what;
	(void)arg;
	while ((c = TAILQ_FIRST(&ready_list))) {
		TAILQ_REMOVE(&ready_list, c, ready);
		c->on_ready_list = false;
		if (c->state != CONN_DEAD && c->state != CONN_LEAKED)
			conn_step(c);
	}
	while ((c = TAILQ_FIRST(&dead_list))) {
		TAILQ_REMOVE(&dead_list, c, link);
		conn_free(c);
	}
}

void sim_conn_leak(struct sim_conn *c)
{
	c->state = CONN_LEAKED;
	sim_ex_timer_stop(&c->ex);
	conn_reading(c, false);
	event_del(c->wr);
	c->in->stats.leaked++;
}

void sim_conn_abort(struct sim_conn *c, bool reset)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	if (c->state == CONN_DEAD)
		return;
	if (c->ex.active) {
		sim_sched_release(&c->ex);
		c->ex.active = false;
		c->in->stats.active--;
	}
	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	conn_close(c);
}

static void linger_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	conn_close(arg);
}

/* Everything has been said: end our side, give the client a moment to read it. */
static void conn_linger(struct sim_conn *c)
{
	struct timeval tv = {.tv_usec = LINGER_MS * 1000};

	if (c->eof || c->broken) {
		conn_close(c);
		return;
	}
	c->state = CONN_LINGER;
	shutdown(c->fd, SHUT_WR);
	if (!c->linger)
		c->linger = event_new(sim_base, -1, 0, linger_over, c);
	event_add(c->linger, &tv);
	c->inb.n = 0;
	conn_reading(c, true);
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

bool sim_conn_full(const struct sim_conn *c)
{
	return c->out.n - c->out_sent > OUT_HIGH;
}

void sim_conn_send(struct sim_conn *c)
{
	if (c->state == CONN_DEAD || c->state == CONN_LEAKED)
		return;
	while (c->out_sent < c->out.n && !c->broken) {
		ssize_t n = send(c->fd, c->out.p + c->out_sent, c->out.n - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			c->out_sent += (size_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			event_add(c->wr, NULL);
			return;
		} else if (errno != EINTR) {
			c->broken = true;
		}
	}
	c->out_sent = 0;
	buf_reset(&c->out, KEEP_BYTES);
}

static void conn_writable(evutil_socket_t fd, short what, void *arg)
{
	struct sim_conn *c = arg;

	(void)fd;
	(void)what;
	sim_conn_send(c);
	if (c->broken && c->state == CONN_BUSY && !c->answered)
		conn_gone(c);
	else if (c->ex.active && c->ex.wait == WAIT_TOKENS && !sim_conn_full(c))
		sim_gen_resume(&c->ex);
	conn_step(c);
}

void sim_conn_answered(struct sim_conn *c)
{
	c->answered = true;
	if (c->stepping || c->on_ready_list)
		return;
	c->on_ready_list = true;
	TAILQ_INSERT_TAIL(&ready_list, c, ready);
	event_active(ready_event, 0, 0);
}

/* --- requests --------------------------------------------------------------------------------------------------------- */

static void ex_begin(struct sim_conn *c)
{
	struct sim_ex *ex = &c->ex;
	struct event *timer = ex->timer;
	struct arena arena = ex->arena;
	struct buf fields = ex->fields, pending = ex->pending, scratch = ex->scratch, outputs = ex->outputs;
	struct buf text = ex->gen.text, thinking = ex->gen.thinking;
	struct sim_head head = ex->head;

	*ex = (struct sim_ex){.conn = c, .in = c->in, .timer = timer, .arena = arena, .head = head};
	fields.n = pending.n = scratch.n = outputs.n = text.n = thinking.n = 0;
	ex->fields = fields;
	ex->pending = pending;
	ex->scratch = scratch;
	ex->outputs = outputs;
	ex->gen.text = text;
	ex->gen.thinking = thinking;
	ex->keep_alive_ns = -1;
	ex->max_tokens = -1;
	ex->begun_ns = clock_now_ns();
	ex->active = true;
	c->in->stats.active++;
	c->in->stats.requests++;
	c->answered = false;
	c->close_after = false;
}

/* A head that Go's server answers by itself, in plain text and without a Date. */
static void head_refuse(struct sim_conn *c, const struct sim_head *h)
{
	const char *reason = h->error_status == 400 ? "Bad Request" : resp_reason(h->error_status);

	buf_printf(&c->out, "HTTP/1.1 %d %s", h->error_status, reason);
	if (h->error_text)
		buf_printf(&c->out, ": %s", h->error_text);
	buf_lit(&c->out, "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n");
	if (h->error_status == 501)
		buf_lit(&c->out, "Unsupported transfer encoding");
	else
		buf_printf(&c->out, "%d %s", h->error_status, reason);
	if (h->error_text)
		buf_printf(&c->out, ": %s", h->error_text);
	sim_conn_send(c);
	conn_linger(c);
}

/* The head is whole: keep its bytes, see what there is of the body. */
static void head_accept(struct sim_conn *c, size_t used)
{
	struct buf swap = c->head_buf;
	size_t after = c->inb.n - used;
	size_t whole = c->ex.head.length > 0 ? (size_t)c->ex.head.length : 0;

	ex_begin(c);
	c->head_n = used;
	c->head_buf = c->inb;
	c->inb = swap;
	c->inb.n = 0;
	sim_body_begin(c);
	if (!c->ex.head.chunked && after >= whole) {
		c->ex.body = (struct span){c->head_buf.p + used, whole};
		c->body_done = true;
		c->body_left = 0;
		c->continue_due = false;
		used += whole;
	}
	buf_put(&c->inb, c->head_buf.p + used, c->head_buf.n - used);
}

static void body_dispatch(struct sim_conn *c)
{
	if (!c->ex.body.n)
		c->ex.body = buf_view(&c->body);
	c->state = CONN_BUSY;
	sim_stats_body(&c->ex);
	if (!sim_fault_strike(&c->ex))
		c->ex.route->handle(&c->ex);
}

/* A request begins.  False when its head is not whole. */
static bool step_head(struct sim_conn *c)
{
	struct sim_head head = {0};
	size_t used = 0;
	enum sim_head_error err;

	if (!c->inb.n) {
		if (c->eof)
			conn_close(c);
		return false;
	}
	arena_reset(&c->ex.arena);
	err = sim_head_parse(&c->ex.arena, buf_view(&c->inb), &head, &used);
	if (err == HEAD_BAD) {
		head_refuse(c, &head);
		return false;
	}
	if (err == HEAD_MORE) {
		if (c->eof)
			conn_close(c);
		return false;
	}
	c->ex.head = head;
	head_accept(c, used);
	c->state = CONN_BODY;
	if (head.h2_preface || head.expect_other) {
		c->close_after = true;
		c->state = CONN_BUSY;
		resp_field(&c->ex, "Connection", "close");
		resp_full(&c->ex, head.h2_preface ? 400 : 417, NULL, (struct span){"", 0});
		return true;
	}
	if (c->in->hang_all && memmem(head.path.p, head.path.n, "/sim", 4) != head.path.p) {
		c->state = CONN_BUSY;
		c->ex.wait = WAIT_SILENT;
		return true;
	}
	sim_route_enter(&c->ex);
	if (c->answered || c->state == CONN_DEAD) {
		if (c->state != CONN_DEAD)
			c->state = CONN_BUSY;
		return true;
	}
	if (c->ex.route->body == BODY_NONE)
		body_dispatch(c);
	return true;
}

static bool step_body(struct sim_conn *c)
{
	sim_body_take(c);
	if (!c->body_done && c->eof)
		sim_body_finish(c, "unexpected EOF");
	if (sim_body_suffices(c)) {
		body_dispatch(c);
		return true;
	}
	if (c->continue_due) {
		c->continue_due = false;
		buf_lit(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
	}
	return false;
}

/* The answer is complete: next request, or the end. */
static bool step_answered(struct sim_conn *c)
{
	bool awaits_body = !c->body_done && !c->body_error;

	if (c->ex.active) {
		sim_ex_timer_stop(&c->ex);
		sim_sched_release(&c->ex);
		c->ex.active = false;
		c->in->stats.active--;
		if (sim_conf.log)
			sim_log_access(&c->ex);
	}
	sim_conn_send(c);
	if (c->out.n > c->out_sent && !c->broken)
		return false;
	c->answered = false;
	if (c->broken) {
		conn_close(c);
		return false;
	}
	if (awaits_body && (!c->close_after || c->continue_due)) {
		c->continue_due = false;
		c->state = CONN_DRAIN;
		return true;
	}
	if (c->close_after || c->eof) {
		conn_linger(c);
		return false;
	}
	c->state = CONN_HEAD;
	return true;
}

/* Swallow the body that nobody read. */
static bool step_drain(struct sim_conn *c)
{
	sim_body_take(c);
	if (!c->body_done && !c->eof)
		return false;
	if (c->close_after || c->eof) {
		conn_linger(c);
		return false;
	}
	c->state = CONN_HEAD;
	return true;
}

static void conn_step(struct sim_conn *c)
{
	bool more = true;

	if (c->stepping)
		return;
	c->stepping = true;
	while (more && c->state != CONN_DEAD && c->state != CONN_LEAKED) {
		if (c->answered)
			more = step_answered(c);
		else if (c->state == CONN_HEAD)
			more = step_head(c);
		else if (c->state == CONN_BODY)
			more = step_body(c);
		else if (c->state == CONN_DRAIN)
			more = step_drain(c);
		else
			more = false;
	}
	c->stepping = false;
	if (c->state == CONN_DEAD || c->state == CONN_LEAKED)
		return;
	if (c->state == CONN_BUSY && !c->body_done)
		sim_body_take(c);
	sim_conn_send(c);
	/* Go looks one byte ahead while a handler runs; a second request in the pipe hides the client's end. */
	conn_reading(c, c->state != CONN_BUSY || (!c->inb.n && !c->eof));
}

/* The client has left, or ended its side, while a handler runs. */
static void conn_gone(struct sim_conn *c)
{
	struct sim_ex *ex = &c->ex;

	if (!ex->active || c->answered)
		return;
	ex->gone = true;
	if (ex->wait == WAIT_SILENT || ex->wait == WAIT_TIMER) {
		sim_conn_abort(c, false);
		return;
	}
	if (sim_sched_client_gone(ex))
		sim_conn_leak(c);
}

static void conn_readable(evutil_socket_t fd, short what, void *arg)
{
	struct sim_conn *c = arg;
	size_t room = c->state == CONN_BODY && c->body_left > READ_BYTES ? BODY_READ : READ_BYTES;
	ssize_t n;

	(void)what;
	buf_reserve(&c->inb, room);
	n = recv(fd, c->inb.p + c->inb.n, room, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		c->inb.n += (size_t)n;
	else
		c->eof = true;
	if (n < 0)
		c->broken = true;
	if (c->state == CONN_LINGER) {
		c->inb.n = 0;
		if (c->eof)
			conn_close(c);
		return;
	}
	if (c->eof)
		conn_reading(c, false);
	if (c->eof && c->state == CONN_BUSY)
		conn_gone(c);
	conn_step(c);
}

void sim_conn_open(struct sim_inst *in, int fd)
{
	struct sim_conn *c = sim_alloc(sizeof(*c));
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (!ready_event)
		ready_event = event_new(sim_base, -1, 0, ready_run, NULL);
	c->in = in;
	c->fd = fd;
	c->ex.conn = c;
	c->ex.in = in;
	c->rd = event_new(sim_base, fd, EV_READ | EV_PERSIST, conn_readable, c);
	c->wr = event_new(sim_base, fd, EV_WRITE, conn_writable, c);
	if (!c->rd || !c->wr) {
		fputs("ollama-sim: libevent has no memory\n", stderr);
		exit(1);
	}
	in->stats.connections++;
	in->stats.open_connections++;
	TAILQ_INSERT_TAIL(&in->conns, c, link);
	conn_reading(c, true);
}
