#include "tools/load/client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"

const char *const FAIL_WORDS[FAIL_COUNT] = {
#define FAIL(id, word, meaning) [FAIL_##id] = word,
#include "tools/load/fails.def"
#undef FAIL
};

static void client_fail(struct client *c, enum fail fail)
{
	client_close(c);
	c->ops->failed(c, fail);
}

void client_close(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->waiting = false;
}

/* -errno when the connection broke. */
static int client_flush(struct client *c)
{
	while (c->out_sent < c->out_n) {
		ssize_t n = send(c->fd, c->out + c->out_sent, c->out_n - c->out_sent, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		c->out_sent += (size_t)n;
	}
	return 0;
}

/* Take what came.  False when the connection is not this one any more. */
static bool client_feed(struct client *c, struct span in)
{
	unsigned opened = c->opened;

	while (c->waiting) {
		struct span bytes;
		enum wire_step step = wire_answer_feed(&c->answer, &in, &bytes);

		if (step == WIRE_MORE)
			return true;
		if (step == WIRE_BAD || (step == WIRE_END && in.n)) {
			client_fail(c, FAIL_FRAMING);
			return false;
		}
		if (c->answer.status != 200) {
			client_fail(c, FAIL_STATUS);
			return false;
		}
		if (step == WIRE_PAYLOAD) {
			c->ops->payload(c, bytes);
		} else {
			c->waiting = false;
			if (!c->answer.keep_alive)
				client_close(c);
			c->ops->done(c);
			return c->opened == opened && c->fd >= 0;
		}
		if (c->opened != opened || c->fd < 0)
			return false;
	}
	/* Bytes that nobody asked for. */
	client_close(c);
	return false;
}

static void client_read(struct client *c, bool to_end)
{
	static char buf[65536];

	for (;;) {
		ssize_t n = recv(c->fd, buf, sizeof(buf), 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			if (!c->waiting)
				client_close(c);
			else
				client_fail(c, n == 0 ? FAIL_CLOSED : errno == ECONNREFUSED ? FAIL_CONNECT : FAIL_RESET);
			return;
		}
		if (!client_feed(c, (struct span){buf, (size_t)n}))
			return;
		if (n < (ssize_t)sizeof(buf) && !to_end)
			return;
	}
}

static void client_ready(struct source *s, uint32_t events)
{
	struct client *c = container_of(s, struct client, source);

	/* An event of a descriptor closed in this turn may come late; recv and send know the truth. */
	if (c->fd < 0)
		return;
	if (c->out_sent < c->out_n && client_flush(c) < 0) {
		client_fail(c, FAIL_RESET);
		return;
	}
	if (events & ~(uint32_t)EPOLLOUT)
		client_read(c, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

void client_init(struct client *c, struct loop *loop, const struct addr *to, const struct client_ops *ops)
{
	*c = (struct client){.source.ready = client_ready, .ops = ops, .loop = loop, .to = to, .fd = -1};
}

static bool client_open(struct client *c)
{
	int one = 1;

	c->opened++;
	c->fd = socket(c->to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return false;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((connect(c->fd, &c->to->sa, c->to->len) < 0 && errno != EINPROGRESS) ||
	    loop_watch(c->loop, c->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &c->source) < 0) {
		client_close(c);
		return false;
	}
	return true;
}

bool client_send(struct client *c, const char *request, size_t n)
{
	if (c->fd < 0 && !client_open(c))
		return false;
	c->out = request;
	c->out_n = n;
	c->out_sent = 0;
	c->waiting = true;
	wire_answer_init(&c->answer);
	if (client_flush(c) < 0) {
		client_close(c);
		return false;
	}
	return true;
}
