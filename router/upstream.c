/* An instance's side of the wire: pooled connections, requests written afresh, answers taken strictly. */
#include "router/router.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"

#define INTERIM_MAX 8 /* 1xx heads before an answer; a flood of them is an attack */

static const struct conn_ops OPS;

static struct upstream *of(struct conn *c)
{
	return container_of(c, struct upstream, c);
}

static void close_and_bury(struct upstream *up)
{
	LIST_REMOVE(up, link);
	if (up->state == UP_IDLE)
		up->r->slots[up->slot].n_idle--;
	conn_close(&up->c, false);
	carry_free(&up->in);
	up->owner = NULL;
	shm_add(&up->r->count->upstreams, UINT64_MAX);
	router_bury(up->r, &up->grave);
}

void upstream_abandon(struct upstream *up)
{
	close_and_bury(up);
}

/* Tell the user, then it is gone; a pooled connection has no user to tell. */
static void fail(struct upstream *up, const char *why, bool connect_failed)
{
	const struct up_user *user = up->user;
	void *owner = up->owner;

	close_and_bury(up);
	if (owner)
		user->broken(owner, why, connect_failed);
}

static int open_socket(const struct proc_addr *a, bool *connecting)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
	const struct sockaddr *sa = (const struct sockaddr *)&in;
	socklen_t len = sizeof(in);
	int one = 1, fd;

	memcpy(&in.sin_addr, a->ip, sizeof(in.sin_addr));
	if (a->family == AF_INET6) {
		memcpy(&in6.sin6_addr, a->ip, sizeof(in6.sin6_addr));
		sa = (const struct sockaddr *)&in6;
		len = sizeof(in6);
	}
	fd = socket(a->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*connecting = false;
	if (connect(fd, sa, len) < 0) {
		int err = errno;

		if (err != EINPROGRESS) {
			close(fd);
			return -err;
		}
		*connecting = true;
	}
	return fd;
}

static const struct proc_addr *addr_of(const struct router *r, unsigned slot)
{
	return slot == UP_HOOK ? &r->conf.routing.automatic.hook : &r->conf.slots[slot].addr;
}

static int connect_new(struct router *r, unsigned slot, struct upstream **out, struct why *why)
{
	const struct proc_addr *a = addr_of(r, slot);
	struct upstream *up;
	bool connecting;
	int fd = open_socket(a, &connecting);

	if (fd < 0)
		return why_set(why, fd, "cannot connect to %s: %s", a->text, strerror(-fd));
	up = calloc(1, sizeof(*up));
	if (!up || conn_init(&up->c, &r->loop, fd, &OPS, connecting)) {
		if (!up)
			close(fd);
		else
			conn_close(&up->c, false);
		free(up);
		return why_set(why, -ENOMEM, "out of memory for a connection to %s", a->text);
	}
	up->r = r;
	up->slot = (uint8_t)slot;
	up->moves = slot == UP_HOOK ? 0 : r->slots[slot].moves;
	up->state = connecting ? UP_CONNECT : UP_HEAD;
	up->deadline_ns = clock_after_ns(clock_now_ns(), r->conf.connect_ns);
	LIST_INSERT_HEAD(&r->busy, up, link);
	shm_add(&r->count->upstreams, 1);
	*out = up;
	return 0;
}

static struct upstream *take_idle(struct router *r, unsigned slot)
{
	struct upstream *up = LIST_FIRST(&r->slots[slot].idle);

	if (!up)
		return NULL;
	LIST_REMOVE(up, link);
	r->slots[slot].n_idle--;
	LIST_INSERT_HEAD(&r->busy, up, link);
	up->state = UP_HEAD;
	return up;
}

bool upstream_is_shortage(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS || err == -EADDRNOTAVAIL;
}

int upstream_send(struct router *r, unsigned slot, enum http_method method, char *p, size_t n, bool fresh,
		  const struct up_user *user, void *owner, struct upstream **out, struct why *why)
{
	struct upstream *up = fresh || slot == UP_HOOK ? NULL : take_idle(r, slot);
	bool pooled = up != NULL;
	int rc = pooled ? 0 : connect_new(r, slot, &up, why);

	if (rc)
		return rc;
	up->user = user;
	up->owner = owner;
	up->method = (uint8_t)method;
	up->interim = 0;
	up->todo = (struct iovec){p, n};
	if (up->state != UP_CONNECT)
		rc = conn_writev(&up->c, &up->todo, 1);
	if (rc == 0) {
		*out = up;
		return 0;
	}
	close_and_bury(up);
	/* A pooled connection that the instance had closed: nothing was lost yet, so take a new one. */
	if (pooled)
		return upstream_send(r, slot, method, p, n, true, user, owner, out, why);
	return why_set(why, rc, "cannot send to %s: %s", addr_of(r, slot)->text, strerror(-rc));
}

void upstream_pause(struct upstream *up, bool paused)
{
	conn_pause(&up->c, paused);
}

/* The answer is complete: back to the pool, or closed.  Before its user hears of it, who may want to send the next request. */
static void finish(struct upstream *up, bool junk)
{
	struct slot *s;

	up->owner = NULL;
	up->served++;
	if (up->slot == UP_HOOK) {
		close_and_bury(up);
		return;
	}
	s = &up->r->slots[up->slot];
	if (!up->reuse || junk || up->c.out || up->moves != s->moves ||
	    s->n_idle >= up->r->conf.slots[up->slot].places + ROUTER_IDLE_SPARE || !s->used) {
		close_and_bury(up);
		return;
	}
	LIST_REMOVE(up, link);
	LIST_INSERT_HEAD(&s->idle, up, link);
	s->n_idle++;
	up->state = UP_IDLE;
	conn_pause(&up->c, false);
}

/* Body bytes.  False: this connection is done or gone. */
static bool take_body(struct upstream *up, const char *p, size_t n)
{
	struct http_fault fault;
	struct span parts[ROUTER_PARTS];

	for (;;) {
		const struct up_user *user = up->user;
		void *owner = up->owner;
		unsigned n_parts = ROUTER_PARTS;
		size_t used = 0;
		enum http_result res = http_body_feed(&up->body, p, n, &used, parts, &n_parts, &fault);

		if (res == HTTP_BAD) {
			fail(up, fault.reason, false);
			return false;
		}
		p += used;
		n -= used;
		if (res == HTTP_DONE) {
			finish(up, n > 0);
			user->bytes(owner, parts, n_parts, true);
			return false;
		}
		if (n_parts)
			user->bytes(owner, parts, n_parts, false);
		if (!up->owner)
			return false;
		if (!n || !used)
			return true;
	}
}

/* Head bytes at p, the first `seen` of them looked at before.  HTTP_DONE: up->r->head holds it. */
static enum http_result take_head(struct upstream *up, const char *p, size_t n, size_t seen, struct http_fault *fault)
{
	const struct http_limits limits = {.head_bytes = HTTP_HEAD_BYTES, .headers_max = HTTP_HEADERS_MAX};
	enum http_result res = http_response_parse(p, n, seen, &limits, (enum http_method)up->method, &up->r->head, fault);

	if (res == HTTP_DONE && up->r->head.status == 101) {
		*fault = (struct http_fault){502, "the instance switched protocols unasked"};
		return HTTP_BAD;
	}
	if (res == HTTP_DONE && up->r->head.status < 200 && ++up->interim > INTERIM_MAX) {
		*fault = (struct http_fault){502, "the instance sent too many interim answers"};
		return HTTP_BAD;
	}
	return res;
}

/* The final head is there: tell the user, who may leave.  False: gone or complete. */
static bool begin_answer(struct upstream *up)
{
	const struct http_head *h = &up->r->head;
	const struct up_user *user = up->user;
	void *owner = up->owner;

	up->reuse = h->keep_alive && h->framing != HTTP_BODY_CLOSE && !up->c.out;
	up->state = UP_BODY;
	http_body_init(&up->body, h->framing, h->content_length);
	user->head(owner, h);
	return up->owner != NULL;
}

/* Keep the part of a head that has come; `held` is what was kept before, when it begins there. */
static void keep(struct upstream *up, struct carry *held, const char *p, size_t n)
{
	if (p == held->p) {
		up->in = *held;
		*held = (struct carry){0};
	} else if (carry_add(&up->in, p, n, HTTP_HEAD_BYTES + ROUTER_SCRATCH)) {
		fail(up, "out of memory for an answer head", false);
	}
}

/* Bytes that begin with a head or with the rest of one; interim heads are passed over. */
static void feed_heads(struct upstream *up, const char *p, size_t n)
{
	struct http_fault fault = {0};
	struct carry held = {0};
	size_t seen = up->in.n;

	if (seen) {
		if (carry_add(&up->in, p, n, HTTP_HEAD_BYTES + ROUTER_SCRATCH)) {
			fail(up, "out of memory for an answer head", false);
			return;
		}
		held = up->in;
		up->in = (struct carry){0};
		p = held.p;
		n = held.n;
	}
	while (n) {
		enum http_result res = take_head(up, p, n, seen, &fault);

		seen = 0;
		if (res == HTTP_BAD)
			fail(up, fault.reason, false);
		else if (res == HTTP_MORE)
			keep(up, &held, p, n);
		if (res != HTTP_DONE)
			break;
		p += up->r->head.head_bytes;
		n -= up->r->head.head_bytes;
		if (up->r->head.status >= 200) {
			if (begin_answer(up))
				take_body(up, p, n);
			break;
		}
	}
	carry_free(&held);
}

static void feed(struct upstream *up, const char *p, size_t n)
{
	if (up->state == UP_HEAD)
		feed_heads(up, p, n);
	else
		take_body(up, p, n);
}

static void at_eof(struct upstream *up)
{
	const struct up_user *user = up->user;
	void *owner = up->owner;

	if (up->state == UP_BODY && up->body.framing == HTTP_BODY_CLOSE) {
		up->reuse = false;
		finish(up, false);
		user->bytes(owner, NULL, 0, true);
		return;
	}
	fail(up,
	     up->state == UP_BODY ? "the instance closed the connection inside its answer"
				  : "the instance closed the connection without an answer",
	     false);
}

/* A server that takes no more of the request may have said why.  False: nothing has come. */
static bool read_last_words(struct upstream *up)
{
	ssize_t n = conn_read(&up->c, up->r->scratch, sizeof(up->r->scratch));

	if (n <= 0)
		return false;
	feed(up, up->r->scratch, (size_t)n);
	return true;
}

static void readable(struct conn *c)
{
	struct upstream *up = of(c);
	struct router *r = up->r;
	ssize_t n = conn_read(c, r->scratch, sizeof(r->scratch));

	if (n == -EAGAIN)
		return;
	if (n == 0)
		at_eof(up);
	else if (n < 0)
		fail(up, n == -ECONNREFUSED ? "connection refused" : "the connection to the instance broke",
		     up->state == UP_CONNECT);
	else if (up->state == UP_IDLE)
		fail(up, "bytes on an idle connection", false);
	else
		feed(up, r->scratch, (size_t)n);
	exchange_flush_head(r);
}

static void drained(struct conn *c)
{
	struct upstream *up = of(c);
	int err = 0;
	socklen_t len = sizeof(err);

	if (up->state != UP_CONNECT)
		return;
	getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err == 0) {
		up->state = UP_HEAD;
		err = -conn_write_kept(c, up->todo.iov_base, up->todo.iov_len);
	}
	if (err)
		fail(up, strerror(err), true);
}

static void broken(struct conn *c)
{
	struct upstream *up = of(c);
	struct router *r = up->r;

	if (up->state != UP_HEAD || !read_last_words(up))
		fail(up, "the instance stopped taking the request", up->state == UP_CONNECT);
	exchange_flush_head(r);
}

static const struct conn_ops OPS = {.readable = readable, .drained = drained, .broken = broken};

void upstream_tick(struct router *r, uint64_t now_ns)
{
	struct upstream *up, *next;

	for (up = LIST_FIRST(&r->busy); up; up = next) {
		next = LIST_NEXT(up, link);
		if (up->state == UP_CONNECT && up->deadline_ns <= now_ns) {
			fail(up, "no connection within the connect deadline", true);
			next = LIST_FIRST(&r->busy); /* its user may have opened and closed others */
		}
	}
}

void upstream_drop_idle(struct router *r, int slot)
{
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		while ((slot < 0 || (unsigned)slot == i) && !LIST_EMPTY(&r->slots[i].idle))
			close_and_bury(LIST_FIRST(&r->slots[i].idle));
}
