/* router/loop.h - the router's event loop: epoll and a few timers.
 *
 * Not libevent, whose bookkeeping cost a connection 170 bytes and an event as much as the rest of a relayed chunk (it remains for its
 * buffers).  One thread.  What a callback frees has to stay in memory until the turn is over: events of it may still be at hand. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#define LOOP_EVENTS 64 /* of one turn; timers have to wait for no more */

struct loop_timer {
	TAILQ_ENTRY(loop_timer) link;
	uint64_t due_ns; /* 0: not set */
	void (*fire)(struct loop_timer *t);
};

struct loop {
	int fd;    /* -1: closed */
	bool stop; /* the turn at hand is the last one and ends with the callback that set this */
	TAILQ_HEAD(loop_timers, loop_timer) timers; /* soonest first */
	struct epoll_event events[LOOP_EVENTS];     /* of the turn at hand */
};

/* A descriptor; it stays its owner's.  Edge-triggered where its owner asks for EPOLLET. */
struct loop_io {
	int fd;          /* -1: closed */
	uint32_t events; /* asked for; 0: not watched */
	struct loop *loop;
	void (*ready)(struct loop_io *io, uint32_t events); /* EPOLL* */
};

/* 0 or -errno. */
int loop_init(struct loop *l);
void loop_fini(struct loop *l);

void loop_io_init(struct loop_io *io, struct loop *l, int fd, void (*ready)(struct loop_io *io, uint32_t events));
/* Hear of `events` (not 0) from now on.  What is ready already is told, also where it was told before.  0 or -errno. */
int loop_io_watch(struct loop_io *io, uint32_t events);
/* Hear of nothing any more. */
void loop_io_unwatch(struct loop_io *io);
/* The same for one whose descriptor is closed now, which takes it out of the kernel's list; fd becomes -1. */
void loop_io_forget(struct loop_io *io);

/* Once, at `due_ns` or up to a millisecond later; a time set before is replaced.  Times mostly grow: one that is before many others is
 * looked for from the end. */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t due_ns);
void loop_timer_clear(struct loop *l, struct loop_timer *t);

/* Wait for events or the next timer, and serve them.  Each callback sees one time (clock_hold()).  0, or -errno of epoll. */
int loop_turn(struct loop *l);
