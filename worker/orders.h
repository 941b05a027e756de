/* worker/orders.h - the supervisor's line to this process: HELLO, orders, and a new HELLO when the supervisor was replaced.
 * Used by the worker of an instance and by the host worker. */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "proc/proc.h"
#include "shm/fds.h"

struct orders {
	struct event_base *base;
	struct event *ev;    /* on the socket, or NULL while there is none */
	struct event *again; /* tries to find a new supervisor */
	int fd;
	bool settled; /* a configuration came over this socket: from now on other generations' messages are dropped */
	uint32_t role, index, gen;
	char ctl_path[108];
	char dir[PROC_PATH];
	unsigned orphan_tries;
	struct proc_process self;
	/* A message; descriptors of *fds that are kept are set to -1 there, the others are closed afterwards. */
	void (*take)(void *arg, const struct proc_msg *m, const void *payload, int *fds, unsigned n_fds);
	void (*joined)(void *arg);   /* a new supervisor has taken our HELLO */
	void (*orphaned)(void *arg); /* the state directory is gone or was never told: no supervisor can find us again */
	void *arg;
	_Alignas(8) char buf[PROC_MSG_MAX];
};

/* Take over descriptor PROC_ORDERS_FD and say HELLO.  0 or -errno with `why`. */
int orders_open(struct orders *o, struct event_base *base, enum proc_role role, struct why *why);
void orders_close(struct orders *o);

/* What the configuration says about who we are and where a new supervisor would listen. */
void orders_configure(struct orders *o, const struct proc_common *c);

/* Without a supervisor the message is lost on purpose: a new one is told everything again by `joined`. */
void orders_say(struct orders *o, enum proc_type type, uint64_t arg, const void *payload, size_t len);
