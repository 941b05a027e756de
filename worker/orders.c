#include "worker/orders.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "shm/fds.h"

#define ORDERS_FDS   (SHM_FDS_COUNT + 1)
#define ORPHAN_TRIES 25U /* of PROC_REHELLO_NS: five seconds without the state directory */

static void retry_arm(struct orders *o)
{
	struct timeval tv = {.tv_usec = PROC_REHELLO_NS / NS_PER_US};

	evtimer_add(o->again, &tv);
}

static void line_lost(struct orders *o)
{
	if (o->ev)
		event_free(o->ev);
	o->ev = NULL;
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
	retry_arm(o);
}

static int hello_say(struct orders *o)
{
	struct proc_hello h = {.role = o->role, .index = o->index, .gen = o->gen, .self = o->self};

	h.layout = (uint32_t)shm_layout_hash();
	return proc_send(o->fd, PROC_HELLO, o->gen, 0, 0, &h, sizeof(h), NULL, 0);
}

static void fds_close(const int *fds, unsigned n)
{
	while (n)
		if (fds[--n] >= 0)
			close(fds[n]);
}

static void on_line(evutil_socket_t fd, short what, void *arg)
{
	struct orders *o = arg;
	const struct proc_msg *m;
	const void *payload;
	int fds[ORDERS_FDS];
	unsigned n_fds = 0;
	int rc;

	(void)fd, (void)what;
	for (int turns = 0; turns < 16; turns++) {
		rc = proc_recv(o->fd, o->buf, &m, &payload, fds, ORDERS_FDS, &n_fds);
		if (rc == -EAGAIN || rc == -EINTR)
			return;
		if (rc <= 0) {
			if (rc == 0)
				log_notice("the supervisor is gone; work goes on while a new one is looked for");
			else
				log_err("the line to the supervisor broke: %s; a new one is looked for", strerror(-rc));
			line_lost(o);
			return;
		}
		if (m->type == PROC_PING)
			orders_say(o, PROC_PONG, m->arg, NULL, 0);
		else if (!o->settled || m->gen == o->gen)
			o->take(o->arg, m, payload, fds, n_fds);
		fds_close(fds, n_fds);
		if (o->fd < 0)
			return;
	}
}

static int line_watch(struct orders *o)
{
	o->settled = false;
	o->ev = event_new(o->base, o->fd, EV_READ | EV_PERSIST, on_line, o);
	return o->ev && event_add(o->ev, NULL) == 0 ? hello_say(o) : -ENOMEM;
}

static bool dir_gone(struct orders *o)
{
	if (access(o->dir, F_OK) == 0 || errno != ENOENT)
		o->orphan_tries = 0;
	else
		o->orphan_tries++;
	return o->orphan_tries > ORPHAN_TRIES;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct orders *o = arg;
	int rc;

	(void)fd, (void)what;
	rc = o->ctl_path[0] ? proc_rehello_connect(o->ctl_path) : -ENOENT;
	if (rc < 0) {
		/* Without a configuration we do not know where to look, and no supervisor knows of us. */
		if (!o->ctl_path[0] || dir_gone(o))
			o->orphaned(o->arg);
		else
			retry_arm(o);
		return;
	}
	o->orphan_tries = 0;
	o->fd = rc;
	rc = line_watch(o);
	if (rc) {
		line_lost(o);
		return;
	}
	log_notice("found a new supervisor and said hello");
	if (o->joined)
		o->joined(o->arg);
}

int orders_open(struct orders *o, struct event_base *base, enum proc_role role, struct why *why)
{
	int rc;

	o->base = base;
	o->fd = PROC_ORDERS_FD;
	o->role = role;
	o->self.pid = (uint64_t)getpid();
	rc = proc_start_time(getpid(), &o->self.start);
	if (rc)
		return why_set(why, rc, "cannot read my own start time from /proc: %s; is /proc mounted?", strerror(-rc));
	o->again = evtimer_new(base, on_again, o);
	rc = o->again ? line_watch(o) : -ENOMEM;
	return rc ? why_set(why, rc, "cannot say hello to the supervisor: %s", strerror(-rc)) : 0;
}

void orders_close(struct orders *o)
{
	if (o->ev)
		event_free(o->ev);
	if (o->again)
		event_free(o->again);
	o->ev = o->again = NULL;
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}

void orders_configure(struct orders *o, const struct proc_common *c)
{
	o->index = c->index;
	o->gen = c->gen;
	memcpy(o->ctl_path, c->ctl_path, sizeof(o->ctl_path));
	o->ctl_path[sizeof(o->ctl_path) - 1] = 0;
	memcpy(o->dir, c->dir, sizeof(o->dir));
	o->dir[sizeof(o->dir) - 1] = 0;
	o->settled = true;
}

void orders_say(struct orders *o, enum proc_type type, uint64_t arg, const void *payload, size_t len)
{
	int rc;

	if (o->fd < 0)
		return;
	rc = proc_send(o->fd, type, o->gen, 0, arg, payload, len, NULL, 0);
	if (rc == -EPIPE || rc == -ECONNRESET)
		line_lost(o);
	else if (rc)
		log_warning("could not tell the supervisor (message %d): %s", (int)type, strerror(-rc));
}
