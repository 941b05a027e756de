/* Listening sockets, and the timer of an exchange. */
#include "tools/sim/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void conn_accept(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	for (int i = 0; i < 64; i++) {
		int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (s < 0)
			return;
		sim_conn_open(arg, s);
	}
}

static void accept_begin(evutil_socket_t fd, short what, void *arg)
{
	struct sim_inst *in = arg;

	(void)fd;
	(void)what;
	event_add(in->accept, NULL);
}

static int address_read(const char *host, uint16_t port, struct sockaddr_storage *ss, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ss;

	*ss = (struct sockaddr_storage){0};
	if (!*host || !strcmp(host, "localhost"))
		host = *host ? "127.0.0.1" : "0.0.0.0";
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*len = sizeof(*v4);
		return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*len = sizeof(*v6);
		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	}
	return -EINVAL;
}

static uint16_t port_of(int fd, uint16_t otherwise)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len))
		return otherwise;
	return ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&ss)->sin6_port
					      : ((struct sockaddr_in *)(void *)&ss)->sin_port);
}

int sim_conn_listen(struct sim_inst *in, const char *host, uint16_t port, struct why *why)
{
	struct sockaddr_storage ss;
	struct timeval delay = {.tv_sec = (time_t)(sim_conf.start_delay_ns / NS_PER_S),
				.tv_usec = (suseconds_t)(sim_conf.start_delay_ns % NS_PER_S / NS_PER_US)};
	socklen_t len = 0;
	int one = 1;
	int loopback = address_read(host, port, &ss, &len);

	if (loopback < 0)
		return why_set(why, -EINVAL, "listen tcp: lookup %s: no such host", host);
	in->loopback = loopback;
	in->listen_fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (in->listen_fd < 0)
		return why_set(why, -errno, "socket: %s", strerror(errno));
	setsockopt(in->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(in->listen_fd, (struct sockaddr *)&ss, len) || listen(in->listen_fd, 4096)) {
		int err = errno;

		close(in->listen_fd);
		return why_set(why, -err, "listen tcp %s:%u: bind: %s", host, port,
			       err == EADDRINUSE ? "address already in use" : strerror(err));
	}
	in->port = port_of(in->listen_fd, port);
	in->accept = event_new(sim_base, in->listen_fd, EV_READ | EV_PERSIST, conn_accept, in);
	if (!sim_conf.start_delay_ns)
		return event_add(in->accept, NULL);
	return event_base_once(sim_base, -1, EV_TIMEOUT, accept_begin, in, &delay);
}

/* --- timers of an exchange -------------------------------------------------------------------------------------------- */

static void ex_timer_fire(evutil_socket_t fd, short what, void *arg)
{
	struct sim_ex *ex = arg;
	void (*fn)(struct sim_ex *) = ex->on_timer;

	(void)fd;
	(void)what;
	ex->on_timer = NULL;
	if (fn && ex->active)
		fn(ex);
}

void sim_ex_timer(struct sim_ex *ex, uint64_t at_ns, void (*fn)(struct sim_ex *ex))
{
	uint64_t now = clock_now_ns();
	uint64_t wait = at_ns > now ? at_ns - now : 0;
	struct timeval tv = {.tv_sec = (time_t)(wait / NS_PER_S), .tv_usec = (suseconds_t)((wait % NS_PER_S + 999) / NS_PER_US)};

	if (tv.tv_usec >= 1000000) {
		tv.tv_sec++;
		tv.tv_usec -= 1000000;
	}
	if (!ex->timer)
		ex->timer = event_new(sim_base, -1, 0, ex_timer_fire, ex);
	ex->on_timer = fn;
	event_add(ex->timer, &tv);
}

void sim_ex_timer_stop(struct sim_ex *ex)
{
	ex->on_timer = NULL;
	if (ex->timer)
		event_del(ex->timer);
}
