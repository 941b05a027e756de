/* Listening sockets: given by the supervisor, who keeps them too, so that no connection is refused while a router restarts. */
#include "router/router.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/log.h"

#define ACCEPT_BATCH 64
#define OWN_FDS      32 /* listeners, the board, the event loop, the supervisor, the log, and a few to spare */

static void pause_listening(struct router *r, bool on)
{
	bool all = true;

	if (!on && r->accepting)
		return;
	for (unsigned i = 0; i < r->n_listeners; i++) {
		if (on)
			loop_io_unwatch(&r->listeners[i].io);
		else if (loop_io_watch(&r->listeners[i].io, EPOLLIN))
			all = false; /* the next tick tries again */
	}
	r->accepting = !on && all;
}

static bool is_loopback(int fd)
{
	struct sockaddr_storage sa = {0};
	const struct sockaddr_in *in = (const void *)&sa;
	const struct sockaddr_in6 *in6 = (const void *)&sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return false;
	return sa.ss_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) : ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static void on_accept(struct loop_io *io, uint32_t events)
{
	struct listener *l = container_of(io, struct listener, io);
	struct router *r = l->r;

	(void)events;
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage peer = {0};
		socklen_t len = sizeof(peer);
		int c;

		if (r->n_clients >= r->room) {
			/* Those beyond the limit wait in the kernel's backlog. */
			pause_listening(r, true);
			break;
		}
		c = accept4(io->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (c < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
			log_warning("cannot accept connections for now: out of descriptors or memory; raise LimitNOFILE or lower "
				    "limits.connections");
			pause_listening(r, true); /* the next tick, or a client that leaves, resumes */
			break;
		}
		if (c < 0)
			break;
		client_accept(r, c, l->loopback, (struct sockaddr *)&peer);
	}
}

void listen_resume(struct router *r)
{
	if (!r->accepting && !r->draining && r->configured && r->n_clients < r->room)
		pause_listening(r, false);
}

void listen_measure(struct router *r)
{
	unsigned own = OWN_FDS, room = r->conf.conns, was = r->room;
	struct rlimit fds;

	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (r->conf.slots[i].used)
			own += r->conf.slots[i].places + ROUTER_IDLE_SPARE;
	if (getrlimit(RLIMIT_NOFILE, &fds) == 0 && fds.rlim_cur != RLIM_INFINITY && fds.rlim_cur < (uint64_t)room + own)
		room = (unsigned)(fds.rlim_cur > 2 * own ? fds.rlim_cur - own : fds.rlim_cur / 2);
	r->room = room;
	if (room != was && room < r->conf.conns)
		log_warning("router %u: %u connections at a time and not %u, for there are %llu descriptors; raise LimitNOFILE or "
			    "lower "
			    "limits.connections",
			    r->conf.common.index, room, r->conf.conns, (unsigned long long)fds.rlim_cur);
}

void listen_stop(struct router *r)
{
	pause_listening(r, true);
	for (unsigned i = 0; i < r->n_listeners; i++) {
		close(r->listeners[i].io.fd);
		loop_io_forget(&r->listeners[i].io);
	}
	r->n_listeners = 0;
}

void listen_set(struct router *r, const int *fds, unsigned n)
{
	listen_stop(r);
	if (gethostname(r->machine, sizeof(r->machine)) < 0)
		r->machine[0] = 0;
	for (unsigned i = 0; i < n; i++) {
		struct listener *l;
		int one = 1;

		if (r->n_listeners == ROUTER_LISTENERS) {
			close(fds[i]);
			continue;
		}
		/* Inherited by accepted sockets: one call here instead of one per connection. */
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		(void)fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK);
		l = &r->listeners[r->n_listeners++];
		l->r = r;
		l->loopback = is_loopback(fds[i]);
		loop_io_init(&l->io, &r->loop, fds[i], on_accept);
	}
	listen_resume(r);
}
