#include "router/conn.h"

#include <errno.h>
#include <event2/buffer.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"

/* Ask for what is wanted now; a call that changes nothing costs nothing. */
static int conn_update(struct conn *c, bool again)
{
	uint32_t want = EPOLLET | EPOLLRDHUP | (c->paused ? 0U : EPOLLIN) | (c->out ? EPOLLOUT : 0U);

	return want == c->io.events && !again ? 0 : loop_io_watch(&c->io, want);
}

/* Where nobody can be told at once: what cannot be heard of any more is ended, which is heard in any case. */
static void conn_rearm(struct conn *c, bool again)
{
	if (conn_update(c, again) == 0)
		return;
	c->lost = true;
	shutdown(c->io.fd, SHUT_RDWR);
}

/* Everything is with the kernel: give the buffer back. */
static void out_done(struct conn *c)
{
	evbuffer_free(c->out);
	c->out = NULL;
	c->stuck_ns = 0;
}

static int out_open(struct conn *c)
{
	if (c->out)
		return 0;
	c->out = evbuffer_new();
	if (!c->out)
		return -ENOMEM;
	c->stuck_ns = clock_now_ns();
	return 0;
}

static void on_writable(struct conn *c)
{
	if (evbuffer_get_length(c->out) > 0) {
		int n = evbuffer_write(c->out, c->io.fd);

		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			c->ops->broken(c);
			return;
		}
		if (evbuffer_get_length(c->out) > 0) {
			if (n > 0 && c->ops->moved)
				c->ops->moved(c, (size_t)n);
			conn_rearm(c, true); /* it may have been less than the kernel would take */
			return;
		}
	}
	out_done(c);
	conn_rearm(c, false);
	c->ops->drained(c);
}

static void on_ready(struct loop_io *io, uint32_t events)
{
	struct conn *c = container_of(io, struct conn, io);

	if (c->lost) {
		c->ops->broken(c);
		return;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->ended = true;
	if (c->out && events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		on_writable(c);
	if (c->io.fd < 0 || c->paused || !(events & ~(uint32_t)EPOLLOUT))
		return;
	c->ops->readable(c);
	if (c->io.fd >= 0 && !c->paused && (c->more || c->ended))
		conn_rearm(c, true);
}

int conn_init(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops, bool connecting)
{
	*c = (struct conn){.ops = ops};
	loop_io_init(&c->io, l, fd, on_ready);
	if (connecting && out_open(c))
		return -ENOMEM;
	return conn_update(c, false);
}

void conn_close(struct conn *c, bool reset)
{
	if (c->io.fd < 0)
		return;
	if (c->out)
		out_done(c);
	if (reset) {
		struct linger l = {.l_onoff = 1, .l_linger = 0};

		setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	}
	close(c->io.fd);
	loop_io_forget(&c->io);
}

ssize_t conn_read(struct conn *c, void *buf, size_t size)
{
	ssize_t n;

	do
		n = recv(c->io.fd, buf, size, 0);
	while (n < 0 && errno == EINTR);
	c->more = n >= 0 && (size_t)n == size;
	if (n < 0 && errno == EAGAIN)
		c->ended = false;
	return n < 0 ? -errno : n;
}

/* Keep what `done` bytes of the vector left over. */
static int keep_rest(struct conn *c, const struct iovec *iov, unsigned n, size_t done)
{
	if (out_open(c))
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		if (done >= iov[i].iov_len) {
			done -= iov[i].iov_len;
			continue;
		}
		if (evbuffer_add(c->out, (const char *)iov[i].iov_base + done, iov[i].iov_len - done))
			return -ENOMEM;
		done = 0;
	}
	return conn_update(c, false);
}

#define FLAT_BYTES 4096 /* a token's chunk and its framing, or an answer head with a short body */

/* Several short pieces as one: copying them costs less than having the kernel walk a vector. */
static bool flatten(struct iovec *iov, unsigned n, struct iovec *one)
{
	static char flat[FLAT_BYTES]; /* one thread; given to the kernel before the next use */
	size_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		if (iov[i].iov_len > sizeof(flat) - at)
			return false;
		memcpy(flat + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	*one = (struct iovec){flat, at};
	return true;
}

/* What the kernel takes now: a count, or -errno. */
static ssize_t send_now(struct conn *c, struct iovec *iov, unsigned n)
{
	struct iovec one;
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t sent;

	if (n > 1 && flatten(iov, n, &one)) {
		iov = &one;
		n = 1;
	}
	do
		sent = n == 1 ? send(c->io.fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
			      : sendmsg(c->io.fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EAGAIN ? 0 : -errno;
	return sent;
}

int conn_writev(struct conn *c, struct iovec *iov, unsigned n)
{
	size_t total = 0;
	ssize_t sent;

	if (c->out)
		return keep_rest(c, iov, n, 0);
	for (unsigned i = 0; i < n; i++)
		total += iov[i].iov_len;
	sent = send_now(c, iov, n);
	if (sent < 0)
		return (int)sent;
	return (size_t)sent == total ? 0 : keep_rest(c, iov, n, (size_t)sent);
}

int conn_write_kept(struct conn *c, const char *p, size_t n)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
	ssize_t sent = c->out ? 0 : send_now(c, &iov, 1);

	if (sent < 0)
		return (int)sent;
	if ((size_t)sent == n)
		return 0;
	if (out_open(c) || evbuffer_add_reference(c->out, p + sent, n - (size_t)sent, NULL, NULL))
		return -ENOMEM;
	return conn_update(c, false);
}

size_t conn_pending(const struct conn *c)
{
	return c->out ? evbuffer_get_length(c->out) : 0;
}

void conn_pause(struct conn *c, bool paused)
{
	if (c->paused == paused)
		return;
	c->paused = paused;
	conn_rearm(c, false);
}
