#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/load/listen.h"
#include "tools/load/load.h"
#include "tools/load/loop.h"

#define READ_BYTES 65536

struct pair;

struct leg {
	struct source source;
	struct pair *pair;
	struct leg *other;
	int fd;
	char *pending; /* not yet taken by this leg's peer */
	size_t pending_n;
	size_t pending_sent;
};

struct pair {
	struct leg legs[2]; /* client, upstream */
	struct loop *loop;
	bool ending; /* one side is done; close when nothing is pending */
	bool closed;
};

struct forward {
	struct loop *loop;
	const struct options *options;
	struct listener listeners[OPTIONS_LISTEN];
};

static void pair_bury(struct source *s)
{
	struct pair *pair = container_of(s, struct leg, source)->pair;

	free(pair->legs[0].pending);
	free(pair->legs[1].pending);
	free(pair);
}

static void pair_close(struct pair *pair)
{
	if (pair->closed)
		return;
	pair->closed = true;
	for (unsigned i = 0; i < 2; i++)
		if (pair->legs[i].fd >= 0)
			close(pair->legs[i].fd);
	loop_bury(pair->loop, &pair->legs[0].source);
}

/* Keep what the peer of `to` does not take now. */
static bool leg_keep(struct leg *to, const char *p, size_t n)
{
	to->pending = malloc(n);
	if (!to->pending)
		return false;
	memcpy(to->pending, p, n);
	to->pending_n = n;
	to->pending_sent = 0;
	return true;
}

static bool leg_send(struct leg *to, const char *p, size_t n)
{
	ssize_t sent = send(to->fd, p, n, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN)
		return false;
	if (sent < 0)
		sent = 0;
	return (size_t)sent == n || leg_keep(to, p + sent, n - (size_t)sent);
}

static bool leg_flush(struct leg *leg)
{
	ssize_t n = send(leg->fd, leg->pending + leg->pending_sent, leg->pending_n - leg->pending_sent, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN;
	leg->pending_sent += (size_t)n;
	if (leg->pending_sent == leg->pending_n) {
		free(leg->pending);
		leg->pending = NULL;
	}
	return true;
}

/* Move what `from` has to the other leg, until that one is full. */
static void leg_pump(struct leg *from, bool to_end)
{
	static char buf[READ_BYTES];
	ssize_t n;

	while (!from->other->pending) {
		n = recv(from->fd, buf, sizeof(buf), 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			from->pair->ending = true;
			return;
		}
		if (!leg_send(from->other, buf, (size_t)n)) {
			pair_close(from->pair);
			return;
		}
		if (n < (ssize_t)sizeof(buf) && !to_end)
			return;
	}
}

static void leg_ready(struct source *s, uint32_t events)
{
	struct leg *leg = container_of(s, struct leg, source);
	struct pair *pair = leg->pair;

	if (pair->closed)
		return;
	if (leg->pending && (events & EPOLLOUT)) {
		if (!leg_flush(leg)) {
			pair_close(pair);
			return;
		}
		/* The other leg may have been left unread; its edge will not come again. */
		if (!leg->pending)
			leg_pump(leg->other, true);
	}
	if (!pair->closed && (events & ~(uint32_t)EPOLLOUT))
		leg_pump(leg, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
	if (pair->ending && !pair->legs[0].pending && !pair->legs[1].pending)
		pair_close(pair);
}

static void forward_accepted(struct listener *l, int fd)
{
	struct forward *f = l->owner;
	const struct addr *to = &f->options->to;
	const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
	struct pair *pair = calloc(1, sizeof(*pair));
	int one = 1;

	if (!pair) {
		close(fd);
		return;
	}
	pair->loop = f->loop;
	for (unsigned i = 0; i < 2; i++)
		pair->legs[i] = (struct leg){
			.source = {.ready = leg_ready, .bury = pair_bury}, .pair = pair, .other = &pair->legs[1 - i], .fd = -1};
	pair->legs[0].fd = fd;
	pair->legs[1].fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (pair->legs[1].fd < 0) {
		pair_close(pair);
		return;
	}
	setsockopt(pair->legs[1].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((connect(pair->legs[1].fd, &to->sa, to->len) < 0 && errno != EINPROGRESS) ||
	    loop_watch(f->loop, pair->legs[0].fd, events, &pair->legs[0].source) < 0 ||
	    loop_watch(f->loop, pair->legs[1].fd, events, &pair->legs[1].source) < 0)
		pair_close(pair);
}

int forward_run(const struct options *o, struct why *why)
{
	static struct forward f;
	int status = EXIT_NOT_AS_ASKED;

	f.options = o;
	if (loop_create(o->time_given ? o->time_ns : 600 * NS_PER_S, 0, &f.loop, why))
		return status;
	if (listeners_open(f.listeners, o, f.loop, forward_accepted, &f, why) == 0)
		status = loop_run(f.loop) == LOOP_BROKEN ? EXIT_NOT_AS_ASKED : EXIT_AS_ASKED;
	listeners_close(f.listeners, o->n_listen);
	loop_destroy(&f.loop);
	return status;
}
