/* tools/load/loop.h - one epoll, one heap of deadlines, one thread.
 *
 * Every sub-command of tsa-load runs in one loop that ends by itself: when its work is done, at its time limit, or at SIGINT or
 * SIGTERM.  What listens embeds a `struct source` or a `struct timer`; the loop owns neither. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"

struct loop;

struct source {
	void (*ready)(struct source *s, uint32_t events); /* EPOLL… bits */
	void (*bury)(struct source *s);                   /* frees the owner, after the events of this turn */
	struct source *next;                              /* of those to bury */
};

struct timer {
	void (*fire)(struct timer *t, uint64_t now_ns);
	uint64_t due_ns;
	unsigned place; /* in the heap, from 1; 0: not armed */
};

enum loop_end { LOOP_DONE = 0, LOOP_TIME, LOOP_SIGNAL, LOOP_BROKEN };

/* `timers` is the most that will be armed at a time.  *out is the caller's to destroy.  0, or -errno with `why`. */
int loop_create(uint64_t limit_ns, unsigned timers, struct loop **out, struct why *why);
void loop_destroy(struct loop **loop);

/* Watch `fd` until it is closed.  0 or -errno. */
int loop_watch(struct loop *loop, int fd, uint32_t events, struct source *s);

/* Free the owner of `s` once no event of this turn can name it any more.  Its descriptor is closed by the caller. */
void loop_bury(struct loop *loop, struct source *s);

/* Arm, or arm anew.  Fires once, never early. */
void loop_timer_arm(struct loop *loop, struct timer *t, uint64_t due_ns);
void loop_timer_disarm(struct loop *loop, struct timer *t);

/* The work is done: loop_run returns after this turn. */
void loop_stop(struct loop *loop);
enum loop_end loop_run(struct loop *loop);
