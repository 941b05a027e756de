#include "router/loop.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "base/clock.h"

int loop_init(struct loop *l)
{
	*l = (struct loop){.fd = epoll_create1(EPOLL_CLOEXEC)};
	TAILQ_INIT(&l->timers);
	return l->fd < 0 ? -errno : 0;
}

void loop_fini(struct loop *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	clock_release();
}

/* --- descriptors ------------------------------------------------------------------------------------------------------------------ */

void loop_io_init(struct loop_io *io, struct loop *l, int fd, void (*ready)(struct loop_io *io, uint32_t events))
{
	*io = (struct loop_io){.fd = fd, .loop = l, .ready = ready};
}

int loop_io_watch(struct loop_io *io, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = io};
	int rc = epoll_ctl(io->loop->fd, io->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, io->fd, &ev);

	if (rc && errno == EEXIST) /* it could not be taken out before */
		rc = epoll_ctl(io->loop->fd, EPOLL_CTL_MOD, io->fd, &ev);
	if (rc)
		return -errno;
	io->events = events;
	return 0;
}

void loop_io_unwatch(struct loop_io *io)
{
	struct epoll_event unused = {0};

	(void)epoll_ctl(io->loop->fd, EPOLL_CTL_DEL, io->fd, &unused); /* where that fails loop_turn() tries again */
	io->events = 0;
}

void loop_io_forget(struct loop_io *io)
{
	io->events = 0;
	io->fd = -1;
}

/* --- timers ----------------------------------------------------------------------------------------------------------------------- */

void loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	if (t->due_ns)
		TAILQ_REMOVE(&l->timers, t, link);
	t->due_ns = 0;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t due_ns)
{
	struct loop_timer *before;

	loop_timer_clear(l, t);
	t->due_ns = due_ns ? due_ns : 1;
	for (before = TAILQ_LAST(&l->timers, loop_timers); before && before->due_ns > due_ns;)
		before = TAILQ_PREV(before, loop_timers, link);
	if (before)
		TAILQ_INSERT_AFTER(&l->timers, before, t, link);
	else
		TAILQ_INSERT_HEAD(&l->timers, t, link);
}

static int wait_ms(const struct loop *l)
{
	const struct loop_timer *first = TAILQ_FIRST(&l->timers);
	uint64_t ms = first ? clock_until_ms(clock_now_ns(), first->due_ns) : INT_MAX;

	return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* A callback that sets its timer anew sets it for later than the one time that it sees, so there is an end. */
static void timers_fire(struct loop *l)
{
	uint64_t now = clock_now_ns();
	struct loop_timer *t;

	while (!l->stop && (t = TAILQ_FIRST(&l->timers)) && t->due_ns <= now) {
		loop_timer_clear(l, t);
		t->fire(t);
	}
}

/* --- the loop --------------------------------------------------------------------------------------------------------------------- */

int loop_turn(struct loop *l)
{
	int n = epoll_wait(l->fd, l->events, LOOP_EVENTS, wait_ms(l)), err = n < 0 ? errno : 0;

	for (int i = 0; i < n && !l->stop; i++) {
		struct loop_io *io = l->events[i].data.ptr;

		clock_hold();
		if (io->events)
			io->ready(io, l->events[i].events);
		else if (io->fd >= 0) /* else it was closed while another one was served */
			loop_io_unwatch(io);
	}
	if (n <= 0)
		clock_hold();
	timers_fire(l);
	return err == EINTR ? 0 : -err;
}
