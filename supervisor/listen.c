/* Listening sockets: bound here, held for ever, so that a router may die and nobody is refused. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"

#define BACKLOG 4096 /* connections that wait while a router is started again; net.core.somaxconn caps it */

static void listeners_clear(struct sup_listener *l, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned r = 0; r < SHM_ROUTERS; r++)
			l[i].fd[r] = -1;
}

static void listeners_close(struct sup_listener *l, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned r = 0; r < SHM_ROUTERS; r++)
			if (l[i].fd[r] >= 0)
				close(l[i].fd[r]);
	listeners_clear(l, n);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a6->sin6_port == b6->sin6_port && memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

static bool listens_on(int fd, const struct conf_addr *addr)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);

	return getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && same_address(&sa, &addr->sa);
}

static int socket_option(int fd, int level, int name)
{
	int one = 1;

	return setsockopt(fd, level, name, &one, sizeof(one)) < 0 ? -errno : 0;
}

static int bind_why(const struct conf_addr *addr, int err, struct why *why)
{
	const char *remedy = "name another address with listen or --listen";
	char owner[64];

	if (err == EADDRINUSE && sup_owner_find(&addr->sa, owner, sizeof(owner)))
		return why_set(why, -err, "%s is in use by %s; stop it, or %s", addr->text, owner, remedy);
	if (err == EADDRINUSE)
		return why_set(why, -err, "%s is in use by another program (`ss -ltnp` shows which); stop it, or %s", addr->text,
			       remedy);
	if (err == EACCES)
		return why_set(why, -err, "%s: ports below 1024 need root or CAP_NET_BIND_SERVICE; %s", addr->text, remedy);
	if (err == EADDRNOTAVAIL)
		return why_set(why, -err, "%s is no address of this machine; %s", addr->text, remedy);
	return why_set(why, -err, "cannot listen on %s: %s; %s", addr->text, strerror(err), remedy);
}

/* `shared`: a sibling of the same address is bound already.  The first one is bound without SO_REUSEPORT: with it, another
 * program of the same user would be joined instead of found out. */
static int socket_bind(const struct conf_addr *addr, bool shared, struct why *why)
{
	int fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return why_set(why, -errno, "cannot make a socket for %s: %s", addr->text, strerror(errno));
	err = socket_option(fd, SOL_SOCKET, SO_REUSEADDR);
	if (err == 0 && shared)
		err = socket_option(fd, SOL_SOCKET, SO_REUSEPORT);
	if (err == 0 && addr->sa.ss_family == AF_INET6)
		err = socket_option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (err == 0 && (bind(fd, (const struct sockaddr *)&addr->sa, addr->len) < 0 || listen(fd, BACKLOG) < 0))
		err = -errno;
	if (err < 0) {
		close(fd);
		return bind_why(addr, -err, why);
	}
	return fd;
}

static ino_t socket_inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* --- the pool ---------------------------------------------------------------------------------------------------------------- */

void sup_listen_offer(struct sup *sup, int fd)
{
	int listening = 0, type = 0;
	socklen_t len = sizeof(listening), type_len = sizeof(type);

	if (sup->pool.n == ARRAY_SIZE(sup->pool.fd) || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 ||
	    !listening || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 || type != SOCK_STREAM) {
		close(fd);
		return;
	}
	/* The service manager and a router may both bring the same socket. */
	for (unsigned i = 0; i < sup->pool.n; i++)
		if (socket_inode(sup->pool.fd[i]) == socket_inode(fd)) {
			close(fd);
			return;
		}
	sup->pool.fd[sup->pool.n++] = fd;
}

/* A pooled socket of this address, now the caller's.  -1: none. */
static int pool_take(struct sup *sup, const struct conf_addr *addr)
{
	for (unsigned i = 0; i < sup->pool.n; i++) {
		int fd = sup->pool.fd[i];

		if (!listens_on(fd, addr))
			continue;
		sup->pool.fd[i] = sup->pool.fd[--sup->pool.n];
		return fd;
	}
	return -1;
}

static void pool_empty(struct sup *sup)
{
	while (sup->pool.n) {
		int fd = sup->pool.fd[--sup->pool.n];

		log_debug("a listening socket that nothing in the configuration asks for is closed");
		close(fd);
	}
}

/* --- a set of listeners ---------------------------------------------------------------------------------------------------------- */

static const struct sup_listener *standing(const struct sup *sup, const struct conf_addr *addr)
{
	for (unsigned i = 0; i < sup->n_listeners; i++)
		if (same_address(&sup->listeners[i].addr.sa, &addr->sa))
			return &sup->listeners[i];
	return NULL;
}

static int socket_for(struct sup *sup, const struct sup_listener *old, const struct conf_addr *addr, unsigned router, bool shared,
		      struct why *why)
{
	int fd = -1;

	if (old && old->fd[router] >= 0) {
		fd = fcntl(old->fd[router], F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return why_set(why, -errno, "cannot duplicate the socket of %s: %s", addr->text, strerror(errno));
		return fd;
	}
	fd = pool_take(sup, addr);
	return fd >= 0 ? fd : socket_bind(addr, shared, why);
}

static int listener_make(struct sup *sup, const struct conf_addr *addr, unsigned routers, struct sup_listener *out, struct why *why)
{
	const struct sup_listener *old = standing(sup, addr);

	out->addr = *addr;
	for (unsigned r = 0; r < routers; r++) {
		int fd = socket_for(sup, old, addr, r, r > 0, why);

		if (fd < 0)
			return fd;
		out->fd[r] = fd;
		/* From here on siblings may join the first one; one socket for each router lets the kernel share out connections. */
		if (routers > 1 && socket_option(fd, SOL_SOCKET, SO_REUSEPORT) < 0)
			return why_set(why, -errno, "cannot share %s between routers: %s; set routers = 1", addr->text,
				       strerror(errno));
	}
	return 0;
}

int sup_listen_make(struct sup *sup, const struct conf *conf, struct sup_listener out[CONF_LISTEN], struct why *why)
{
	int err = 0;

	listeners_clear(out, CONF_LISTEN);
	for (unsigned i = 0; i < conf->n_listen && err == 0; i++)
		err = listener_make(sup, &conf->listen[i], conf->routers, &out[i], why);
	if (err < 0)
		listeners_close(out, CONF_LISTEN);
	return err;
}

/* A name that stays the same as long as address and router do; the service manager forbids colons in it. */
static void socket_name(const struct conf_addr *addr, unsigned router, char *out, size_t size)
{
	snprintf(out, size, "listen-%s-%u", addr->text, router);
	for (char *p = out; *p; p++)
		if (*p == ':')
			*p = '_';
}

static void sockets_keep(struct sup *sup, const struct sup_listener *l, unsigned n, const struct sup_listener *other,
			 unsigned n_other, bool keep)
{
	char name[96];

	for (unsigned i = 0; i < n; i++)
		for (unsigned r = 0; r < SHM_ROUTERS; r++) {
			bool in_both = false;

			for (unsigned j = 0; j < n_other; j++)
				if (same_address(&l[i].addr.sa, &other[j].addr.sa) && other[j].fd[r] >= 0)
					in_both = true;
			if (l[i].fd[r] < 0 || in_both)
				continue;
			socket_name(&l[i].addr, r, name, sizeof(name));
			if (keep)
				sup_notify_keep(sup, name, l[i].fd[r]);
			else
				sup_notify_forget(sup, name);
		}
}

void sup_listen_commit(struct sup *sup, const struct conf *conf, struct sup_listener made[CONF_LISTEN])
{
	struct sup_listener old[CONF_LISTEN];
	unsigned n_old = sup->n_listeners;

	memcpy(old, sup->listeners, sizeof(old));
	memcpy(sup->listeners, made, sizeof(sup->listeners));
	sup->n_listeners = conf->n_listen;
	sockets_keep(sup, sup->listeners, sup->n_listeners, old, n_old, true);
	sockets_keep(sup, old, n_old, sup->listeners, sup->n_listeners, false);
	sup->listening = true;
	sup_orders_routers(sup, true);
	listeners_close(old, n_old);
	sup_board_header(sup);
}

int sup_listen_open(struct sup *sup, struct why *why)
{
	struct sup_listener made[CONF_LISTEN];
	int err;

	if (sup_adopt_awaits_routers(sup))
		return -EAGAIN;
	err = sup_listen_make(sup, sup->conf, made, why);
	if (err < 0)
		return err;
	sup_listen_commit(sup, sup->conf, made);
	pool_empty(sup);
	for (unsigned i = 0; i < sup->n_listeners; i++)
		log_info("listening on %s", sup->listeners[i].addr.text);
	return 0;
}

void sup_listen_settle(struct sup *sup)
{
	struct why why = {""};
	int err;

	if (sup->listening || sup->phase != SUP_UP)
		return;
	err = sup_listen_open(sup, &why);
	if (err < 0 && err != -EAGAIN)
		log_err("%s", why.text);
}

void sup_listen_close(struct sup *sup)
{
	sockets_keep(sup, sup->listeners, sup->n_listeners, NULL, 0, false);
	listeners_close(sup->listeners, sup->n_listeners);
	sup->n_listeners = 0;
	sup->listening = false;
	pool_empty(sup);
}

unsigned sup_listen_sockets(const struct sup *sup, unsigned index, int fds[CONF_LISTEN])
{
	unsigned n = 0;

	for (unsigned i = 0; i < sup->n_listeners; i++)
		if (sup->listeners[i].fd[index] >= 0)
			fds[n++] = sup->listeners[i].fd[index];
	return n;
}
