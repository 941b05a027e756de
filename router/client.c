/* The client's side of the wire: heads, bodies, keep-alive, pipelined requests in order, deadlines. */
#include "router/router.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"

static const struct conn_ops OPS;

static void client_turn(struct client *cl, const char *p, size_t n);

/* Work on what was carried. */
static void turn_carried(struct client *cl)
{
	struct carry held = cl->in;

	cl->in = (struct carry){0};
	client_turn(cl, held.p, held.n);
	carry_free(&held);
}

static struct client *of(struct conn *c)
{
	return container_of(c, struct client, c);
}

/* Requests without a key are told apart by their machine; an IPv6 one by its network of 64 bits, which one machine may use whole. */
static uint64_t peer_hash(const struct sockaddr *peer)
{
	const struct sockaddr_in *in = (const void *)peer;
	const struct sockaddr_in6 *in6 = (const void *)peer;

	if (peer->sa_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET ? 0 : affinity_hash(1, &in->sin_addr, sizeof(in->sin_addr));
	if (peer->sa_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr))
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		return affinity_hash(1, &in6->sin6_addr.s6_addr[12], 4);
	return affinity_hash(1, &in6->sin6_addr, 8);
}

void client_accept(struct router *r, int fd, bool loopback, const struct sockaddr *peer)
{
	struct client *cl = calloc(1, sizeof(*cl));

	if (!cl || conn_init(&cl->c, &r->loop, fd, &OPS, false)) {
		free(cl);
		close(fd);
		return;
	}
	cl->r = r;
	cl->fresh = true;
	cl->loopback = loopback;
	cl->peer = peer_hash(peer);
	cl->deadline_ns = clock_after_ns(clock_now_ns(), r->conf.head_ns);
	LIST_INSERT_HEAD(&r->clients, cl, link);
	r->n_clients++;
	shm_set(&r->count->conns, r->n_clients);
	shm_add(&r->count->conns_total, 1);
}

void client_free(struct client *cl, bool reset)
{
	struct router *r = cl->r;

	if (cl->c.io.fd < 0)
		return;
	LIST_REMOVE(cl, link);
	conn_close(&cl->c, reset);
	carry_free(&cl->in);
	r->n_clients--;
	shm_set(&r->count->conns, r->n_clients);
	if (cl->x) {
		struct exchange *x = cl->x;

		cl->x = NULL;
		exchange_client_gone(x);
	}
	listen_resume(r);
	router_bury(r, &cl->grave);
}

bool client_write(struct client *cl, struct iovec *iov, unsigned n)
{
	if (cl->c.io.fd < 0)
		return false;
	if (conn_writev(&cl->c, iov, n)) {
		client_free(cl, true);
		return false;
	}
	return true;
}

/* The whole answer is with the kernel: end our side, and give the client a moment to read it and to end its own. */
static void half_close(struct client *cl)
{
	shutdown(cl->c.io.fd, SHUT_WR);
	cl->deadline_ns = clock_after_ns(clock_now_ns(), ROUTER_LINGER_NS);
}

/* Answered, and nothing more is wanted from this client.  While it still reads the answer, only the stall limit counts. */
static void linger(struct client *cl)
{
	cl->state = CLIENT_LINGER;
	cl->deadline_ns = CLOCK_NEVER;
	carry_free(&cl->in);
	conn_pause(&cl->c, false);
	if (!cl->c.out)
		half_close(cl);
}

/* Requests that are answered at once must not pile up answers for a client that does not read them. */
static bool must_read_first(const struct client *cl)
{
	return conn_pending(&cl->c) > cl->r->conf.buffer_bytes;
}

/* Wait for a request head; what came of it already is looked at now. */
static void next_head(struct client *cl)
{
	struct router *r = cl->r;

	cl->state = CLIENT_HEAD;
	cl->seen = 0;
	cl->fresh = cl->in.n == 0;
	cl->deadline_ns = clock_after_ns(clock_now_ns(), cl->fresh ? r->conf.idle_ns : r->conf.head_ns);
	conn_pause(&cl->c, false);
	if (cl->in.n && !cl->turning)
		turn_carried(cl);
}

void client_done(struct client *cl)
{
	struct router *r = cl->r;

	cl->x = NULL;
	if (cl->c.io.fd < 0)
		return;
	if (!cl->keep || r->draining) {
		linger(cl);
		return;
	}
	next_head(cl);
}

/* --- request body -------------------------------------------------------------------------------------------------------------- */

#define BODY_STEP (256 * 1024) /* of an announced body, memory for so much is taken at once */

/* Memory for bodies of all requests together. */
static uint64_t body_room(const struct router *r)
{
	uint64_t room = r->conf.body_bytes * ROUTER_BODIES;

	return room > ROUTER_BODIES_MIN ? room : ROUTER_BODIES_MIN;
}

/* Room for `more` payload bytes, and for as many again: a long body takes memory only as it comes. */
static bool body_reserve(struct exchange *x, size_t more)
{
	struct router *r = x->r;
	size_t want = x->body_len + more, cap;
	char *p;

	if (EX_HEADROOM + want + EX_SLACK <= x->body_cap)
		return true;
	want *= 2;
	if (x->in.framing == HTTP_BODY_LENGTH && want < BODY_STEP)
		want = BODY_STEP;
	if (want > x->body_max)
		want = x->body_max;
	cap = EX_HEADROOM + want + EX_SLACK;
	if (r->held_bytes - x->body_cap + cap > body_room(r))
		return false;
	p = realloc(x->body, cap);
	if (!p)
		return false;
	r->held_bytes += cap - x->body_cap;
	x->body = p;
	x->body_cap = cap;
	return true;
}

/* What is left of the body would be taken for the next request, so the connection ends with this answer. */
static void refuse_body(struct exchange *x, unsigned status)
{
	x->client->keep = false;
	if (status == 413)
		answer_error(x, 413, 0, "the request body is larger than %llu bytes, the limit of this service",
			     (unsigned long long)x->r->conf.body_bytes);
	else
		answer_error(x, 429, 1, "the service holds too many large requests at the moment; try again in a second");
}

/* Append payload of the request body.  False: the exchange has been answered. */
static bool body_add(struct exchange *x, const char *p, size_t n)
{
	if (n > x->body_max - x->body_len) {
		refuse_body(x, 413);
		return false;
	}
	if (!body_reserve(x, n)) {
		refuse_body(x, 429);
		return false;
	}
	memcpy(x->body + EX_HEADROOM + x->body_len, p, n);
	x->body_len += n;
	return true;
}

/* Bytes of the body buy time, but no pause longer than the deadline itself: what came fast does not pay for a stop later. */
static void body_came(struct client *cl, size_t n)
{
	struct router *r = cl->r;
	uint64_t longest = clock_after_ns(clock_now_ns(), r->conf.body_ns);

	shm_add(&r->count->bytes_in, n);
	cl->deadline_ns = clock_after_ns(cl->deadline_ns, n * NS_PER_S / r->conf.body_rate_bytes);
	if (cl->deadline_ns > longest)
		cl->deadline_ns = longest;
}

static void body_complete(struct client *cl)
{
	cl->state = CLIENT_BUSY;
	cl->deadline_ns = CLOCK_NEVER;
	exchange_ready(cl->x);
}

/* Bytes of the request body; returns how many belonged to it.  The exchange may be answered or ready afterwards. */
static size_t take_body(struct client *cl, const char *p, size_t n)
{
	struct exchange *x = cl->x;
	size_t total = 0;

	for (;;) {
		struct http_fault fault;
		struct span parts[32];
		unsigned n_parts = 32;
		size_t used = 0;
		enum http_result res = http_body_feed(&x->in, p + total, n - total, &used, parts, &n_parts, &fault);

		for (unsigned i = 0; i < n_parts; i++) {
			body_came(cl, parts[i].n);
			if (!body_add(x, parts[i].p, parts[i].n))
				return n;
		}
		total += used;
		if (res == HTTP_BAD) {
			cl->keep = false;
			answer_error(x, fault.status, 0, "%s", fault.reason);
			return n;
		}
		if (res == HTTP_DONE) {
			body_complete(cl);
			return total;
		}
		if (total == n || !used)
			return total;
	}
}

/* --- request head -------------------------------------------------------------------------------------------------------------- */

static bool say_continue(struct client *cl)
{
	static const char TEXT[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec iov = {.iov_base = (char *)(uintptr_t)TEXT, .iov_len = sizeof(TEXT) - 1};

	return client_write(cl, &iov, 1);
}

/* Of a request that gets no exchange. */
static enum dialect dialect_of(const struct http_head *h)
{
	char path[256];

	return http_path_decode(h->path, path, sizeof(path)) < 0 ? DIALECT_NATIVE : route_dialect_of(path);
}

/* r->head holds a complete request head: begin its exchange.  `more` tells whether body bytes came with it. */
static void begin(struct client *cl, bool more)
{
	struct router *r = cl->r;
	static const struct http_fault NO_MEMORY = {503, "the service is short of memory; try again in a second"};
	const struct http_head *h = &r->head;
	struct exchange *x = exchange_create(r, cl);

	if (!x) {
		answer_fault(cl, dialect_of(h), &NO_MEMORY);
		return;
	}
	cl->x = x;
	cl->minor = (uint8_t)h->minor;
	cl->keep = h->keep_alive;
	cl->state = CLIENT_BODY;
	cl->fresh = false;
	cl->deadline_ns = clock_after_ns(clock_now_ns(), r->conf.body_ns);
	shm_add(&r->count->requests, 1);
	http_body_init(&x->in, h->framing, h->content_length);
	if (!exchange_route(x, h))
		return;
	/* A short body is read all the same, so that the connection can be kept. */
	if (x->route->kind == ROUTE_INFER && h->framing == HTTP_BODY_LENGTH && h->content_length > ROUTER_SCRATCH && queue_shut(x))
		return;
	x->body_max = h->framing == HTTP_BODY_LENGTH ? h->content_length : r->conf.body_bytes;
	if (x->body_max > r->conf.body_bytes) {
		refuse_body(x, 413);
		return;
	}
	if (h->expect_continue && !more && !http_body_done(&x->in))
		say_continue(cl);
}

/* A head at p.  *used tells how many bytes it took; false: stop, nothing more can be read now. */
static bool take_head(struct client *cl, const char *p, size_t n, size_t *used)
{
	struct router *r = cl->r;
	const struct http_limits limits = {.head_bytes = r->conf.head_bytes, .headers_max = r->conf.headers};
	struct http_fault fault = {0};
	enum http_result res = http_request_parse(p, n, cl->seen, &limits, &r->head, &fault);

	if (res == HTTP_BAD) {
		answer_fault(cl, DIALECT_NATIVE, &fault);
		return false;
	}
	if (res == HTTP_MORE) {
		cl->seen = (uint32_t)n;
		return false;
	}
	cl->seen = 0;
	*used = r->head.head_bytes;
	begin(cl, n > *used);
	return true;
}

/* Work through bytes: heads, bodies, the next pipelined request; what cannot be used yet is carried. */
static void client_turn(struct client *cl, const char *p, size_t n)
{
	cl->turning = true;
	for (;;) {
		size_t used = 0;

		if (cl->c.io.fd < 0 || cl->state == CLIENT_LINGER)
			break;
		if (cl->state == CLIENT_HEAD && (n == 0 || must_read_first(cl) || !take_head(cl, p, n, &used)))
			break;
		p += used;
		n -= used;
		if (cl->c.io.fd >= 0 && cl->state == CLIENT_BODY) {
			used = take_body(cl, p, n);
			p += used;
			n -= used;
			if (cl->state == CLIENT_BODY)
				break;
		}
		if (cl->c.io.fd >= 0 && cl->state == CLIENT_BUSY)
			break;
	}
	cl->turning = false;
	if (cl->c.io.fd < 0 || cl->state == CLIENT_LINGER || n == 0)
		return;
	if (carry_add(&cl->in, p, n, ROUTER_CARRY + ROUTER_SCRATCH)) {
		client_free(cl, true);
	} else if (cl->state == CLIENT_BUSY && cl->in.n >= ROUTER_CARRY) {
		conn_pause(&cl->c, true);
	} else if (cl->state == CLIENT_HEAD && must_read_first(cl)) {
		cl->deadline_ns = CLOCK_NEVER; /* the stall limit counts */
		conn_pause(&cl->c, true);
	}
}

/* --- events -------------------------------------------------------------------------------------------------------------------- */

static void discard(struct client *cl, ssize_t n)
{
	if (n == -EAGAIN)
		return;
	if (n <= 0)
		client_free(cl, n < 0);
}

/* Payload bytes that can be read to their place now. */
static size_t room_left(const struct exchange *x)
{
	size_t room = x->body_cap - EX_HEADROOM - EX_SLACK - x->body_len;

	return room < x->in.left ? room : x->in.left;
}

/* The rest of a long body with known length goes where it belongs without a stop in the scratch buffer. */
static bool read_into_body(struct client *cl)
{
	struct exchange *x = cl->x;
	struct http_fault fault;
	struct span part;
	unsigned n_parts = 1;
	size_t used;
	ssize_t n;

	if (cl->state != CLIENT_BODY || x->in.framing != HTTP_BODY_LENGTH || x->in.left < ROUTER_SCRATCH)
		return false;
	if (!body_reserve(x, ROUTER_SCRATCH)) {
		refuse_body(x, 429);
		return true;
	}
	n = conn_read(&cl->c, x->body + EX_HEADROOM + x->body_len, room_left(x));
	if (n == -EAGAIN)
		return true;
	if (n <= 0) {
		client_free(cl, n < 0);
		return true;
	}
	body_came(cl, (size_t)n);
	/* The decoder only counts them: they are where they belong already. */
	http_body_feed(&x->in, x->body + EX_HEADROOM + x->body_len, (size_t)n, &used, &part, &n_parts, &fault);
	x->body_len += (size_t)n;
	if (http_body_done(&x->in))
		body_complete(cl);
	return true;
}

static void got_bytes(struct client *cl, const char *p, size_t n)
{
	struct router *r = cl->r;

	if (cl->state == CLIENT_HEAD && cl->fresh) {
		cl->fresh = false;
		cl->deadline_ns = clock_after_ns(clock_now_ns(), r->conf.head_ns);
	}
	if (cl->in.n && cl->state == CLIENT_HEAD) {
		if (carry_add(&cl->in, p, n, r->conf.head_bytes + ROUTER_SCRATCH))
			client_free(cl, true);
		else
			turn_carried(cl);
		return;
	}
	client_turn(cl, p, n);
}

static void readable(struct conn *c)
{
	struct client *cl = of(c);
	struct router *r = cl->r;
	ssize_t n;

	if (read_into_body(cl))
		return;
	n = conn_read(c, r->scratch, sizeof(r->scratch));
	if (cl->state == CLIENT_LINGER)
		discard(cl, n);
	else if (n == 0 || (n < 0 && n != -EAGAIN))
		client_free(cl, n < 0);
	else if (n > 0)
		got_bytes(cl, r->scratch, (size_t)n);
}

static void drained(struct conn *c)
{
	struct client *cl = of(c);

	if (cl->state == CLIENT_LINGER)
		half_close(cl);
	else if (cl->state == CLIENT_HEAD && c->paused)
		next_head(cl);
	else if (cl->x)
		relay_resume(cl->x);
}

static void broken(struct conn *c)
{
	client_free(of(c), true);
}

static void moved(struct conn *c, size_t n)
{
	of(c)->unread += (int64_t)n;
}

static const struct conn_ops OPS = {.readable = readable, .drained = drained, .broken = broken, .moved = moved};

/* --- deadlines ----------------------------------------------------------------------------------------------------------------- */

static void expired(struct client *cl)
{
	static const struct http_fault SLOW_HEAD = {408, "the request head did not arrive in time; send it at once"};

	switch ((enum client_state)cl->state) {
	case CLIENT_HEAD:
		if (cl->fresh)
			client_free(cl, false);
		else
			answer_fault(cl, DIALECT_NATIVE, &SLOW_HEAD);
		break;
	case CLIENT_BODY:
		cl->keep = false;
		answer_error(cl->x, 408, 0, "the request body did not arrive in time; send it faster or make it smaller");
		break;
	case CLIENT_BUSY:
		break;
	case CLIENT_LINGER:
		client_free(cl, false);
		break;
	}
}

/* A connection on which nobody has asked for anything for a while, though others wait to be let in. */
static bool idles(const struct client *cl, uint64_t now_ns)
{
	const struct router *r = cl->r;
	uint64_t since = cl->deadline_ns - (cl->fresh ? r->conf.idle_ns : r->conf.head_ns);

	return cl->state == CLIENT_HEAD && cl->deadline_ns != CLOCK_NEVER && now_ns - since >= ROUTER_ROOM_NS;
}

/* It does not read its answer, or too slowly.  The kernel takes more only when a third of its buffer is free, which is a megabyte and
 * minutes of a slow reader: so what it holds is looked at.  What was read buys time, but none for later: what was read fast does not
 * pay for a stop. */
static bool stalled(struct client *cl, uint64_t now_ns)
{
	const struct proc_router_conf *conf = &cl->r->conf;
	uint64_t read, paid_ns;
	int held;

	if (!cl->c.stuck_ns) {
		cl->unread = 0;
		return false;
	}
	if (ioctl(cl->c.io.fd, SIOCOUTQ, &held) < 0)
		held = INT_MAX; /* as if nothing were read */
	read = cl->unread > held ? (uint64_t)(cl->unread - held) : 0;
	paid_ns = clock_after_ns(cl->c.stuck_ns, read * NS_PER_S / conf->stall_rate_bytes);
	cl->c.stuck_ns = paid_ns < now_ns ? paid_ns : now_ns;
	cl->unread = held;
	return clock_after_ns(cl->c.stuck_ns, conf->stall_ns) <= now_ns;
}

void client_tick(struct router *r, uint64_t now_ns)
{
	unsigned room = r->n_clients < r->room ? 0 : r->room / 16 + 1;
	struct client *cl, *next;

	for (cl = LIST_FIRST(&r->clients); cl; cl = next) {
		next = LIST_NEXT(cl, link);
		if (cl->c.io.fd < 0)
			continue; /* went while another one was looked at */
		if (stalled(cl, now_ns))
			client_free(cl, true);
		else if (cl->deadline_ns <= now_ns)
			expired(cl);
		else if (room && idles(cl, now_ns) && room--)
			client_free(cl, false);
		else if (r->draining && cl->state == CLIENT_HEAD && cl->fresh)
			client_free(cl, false);
	}
}
