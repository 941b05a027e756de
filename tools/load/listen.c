#include "tools/load/listen.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/bug.h"

static void listener_ready(struct source *s, uint32_t events)
{
	struct listener *l = container_of(s, struct listener, source);
	int fd, one = 1;

	(void)events;
	while ((fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		l->accepted(l, fd);
	}
}

static int listener_open(struct listener *l, const struct addr *a, struct loop *loop, bool json, struct why *why)
{
	struct addr real;
	int one = 1, err;

	l->fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return why_set(why, -errno, "no socket: %s", strerror(errno));
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(l->fd, &a->sa, a->len) < 0 || listen(l->fd, 4096) < 0)
		return why_set(why, -errno, "cannot listen on %s: %s; take another port, or 0 for a free one", a->text,
			       strerror(errno));
	err = addr_of_socket(l->fd, &real);
	if (!err)
		err = loop_watch(loop, l->fd, EPOLLIN, &l->source);
	if (err)
		return why_set(why, err, "cannot listen on %s: %s", a->text, strerror(-err));
	printf(json ? "{\"listening\":\"%s\"}\n" : "listening on %s\n", real.text);
	fflush(stdout);
	return 0;
}

int listeners_open(struct listener *l, const struct options *o, struct loop *loop, void (*accepted)(struct listener *, int),
		   void *owner, struct why *why)
{
	int err = 0;

	for (unsigned i = 0; i < o->n_listen; i++)
		l[i] = (struct listener){.source.ready = listener_ready, .fd = -1, .accepted = accepted, .owner = owner};
	for (unsigned i = 0; i < o->n_listen && !err; i++)
		err = listener_open(&l[i], &o->listen[i], loop, o->json, why);
	return err;
}

void listeners_close(struct listener *l, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (l[i].fd >= 0)
			close(l[i].fd);
}
