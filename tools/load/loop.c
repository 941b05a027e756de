#include "tools/load/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"

#define TURN_EVENTS 256

struct loop {
	int epoll;
	int signals;
	bool stopped;
	bool signalled;
	uint64_t limit_ns; /* absolute */
	struct source signal_source;
	struct source *dead;
	struct timer **heap; /* [1 .. n] */
	unsigned n;
	unsigned cap;
};

static void loop_signal_ready(struct source *s, uint32_t events)
{
	struct loop *loop = container_of(s, struct loop, signal_source);

	(void)events;
	loop->signalled = true;
	loop->stopped = true;
}

static int loop_signals_open(struct loop *loop)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	loop->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop->signals < 0)
		return -errno;
	loop->signal_source.ready = loop_signal_ready;
	return loop_watch(loop, loop->signals, EPOLLIN, &loop->signal_source);
}

int loop_create(uint64_t limit_ns, unsigned timers, struct loop **out, struct why *why)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int err;

	if (!loop)
		return why_set(why, -ENOMEM, "out of memory");
	loop->signals = -1;
	loop->cap = timers;
	loop->heap = calloc((size_t)timers + 1, sizeof(*loop->heap));
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->limit_ns = clock_after_ns(clock_now_ns(), limit_ns);
	err = loop->heap ? (loop->epoll < 0 ? -errno : loop_signals_open(loop)) : -ENOMEM;
	if (err) {
		loop_destroy(&loop);
		return why_set(why, err, "the event loop cannot start: %s", strerror(-err));
	}
	/* The default slack of 50 us would batch what is meant to come one by one. */
	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	*out = loop;
	return 0;
}

void loop_destroy(struct loop **loop)
{
	struct loop *l = *loop;

	*loop = NULL;
	if (!l)
		return;
	if (l->signals >= 0)
		close(l->signals);
	if (l->epoll >= 0)
		close(l->epoll);
	free(l->heap);
	free(l);
}

int loop_watch(struct loop *loop, int fd, uint32_t events, struct source *s)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

void loop_bury(struct loop *loop, struct source *s)
{
	s->next = loop->dead;
	loop->dead = s;
}

static void heap_put(struct loop *loop, unsigned place, struct timer *t)
{
	loop->heap[place] = t;
	t->place = place;
}

/* Move `t` from `place` to where it belongs, towards the root or away from it. */
static void heap_settle(struct loop *loop, unsigned place, struct timer *t)
{
	while (place > 1 && loop->heap[place / 2]->due_ns > t->due_ns) {
		heap_put(loop, place, loop->heap[place / 2]);
		place /= 2;
	}
	for (unsigned child; (child = place * 2) <= loop->n; place = child) {
		if (child < loop->n && loop->heap[child + 1]->due_ns < loop->heap[child]->due_ns)
			child++;
		if (loop->heap[child]->due_ns >= t->due_ns)
			break;
		heap_put(loop, place, loop->heap[child]);
	}
	heap_put(loop, place, t);
}

void loop_timer_arm(struct loop *loop, struct timer *t, uint64_t due_ns)
{
	t->due_ns = due_ns;
	if (!t->place) {
		BUG_ON(loop->n == loop->cap);
		t->place = ++loop->n;
	}
	heap_settle(loop, t->place, t);
}

void loop_timer_disarm(struct loop *loop, struct timer *t)
{
	unsigned place = t->place;
	struct timer *last;

	if (!place)
		return;
	t->place = 0;
	last = loop->heap[loop->n--];
	if (last != t)
		heap_settle(loop, place, last);
}

static void loop_fire(struct loop *loop)
{
	uint64_t now_ns = clock_now_ns();

	while (loop->n && loop->heap[1]->due_ns <= now_ns && !loop->stopped) {
		struct timer *t = loop->heap[1];

		loop_timer_disarm(loop, t);
		t->fire(t, now_ns);
	}
}

static int loop_wait(struct loop *loop, struct epoll_event *events, uint64_t now_ns)
{
	uint64_t due_ns = loop->n && loop->heap[1]->due_ns < loop->limit_ns ? loop->heap[1]->due_ns : loop->limit_ns;
	uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
	struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S), .tv_nsec = (long)(wait_ns % NS_PER_S)};
	int n = epoll_pwait2(loop->epoll, events, TURN_EVENTS, &wait, NULL);

	/* Linux before 5.11, and valgrind. */
	if (n < 0 && errno == ENOSYS)
		return epoll_wait(loop->epoll, events, TURN_EVENTS, (int)clock_until_ms(now_ns, due_ns));
	return n;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

enum loop_end loop_run(struct loop *loop)
{
	struct epoll_event events[TURN_EVENTS];
	uint64_t now_ns;

	while (!loop->stopped && (now_ns = clock_now_ns()) < loop->limit_ns) {
		int n = loop_wait(loop, events, now_ns);

		if (n < 0 && errno != EINTR)
			return LOOP_BROKEN;
		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;

			s->ready(s, events[i].events);
		}
		loop_fire(loop);
		while (loop->dead) {
			struct source *s = loop->dead;

			loop->dead = s->next;
			s->bury(s);
		}
	}
	if (loop->signalled)
		return LOOP_SIGNAL;
	return loop->stopped ? LOOP_DONE : LOOP_TIME;
}
