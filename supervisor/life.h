/* supervisor/life.h - the life of a child as a table and pure functions: what happened, what to do now.
 *
 * No clock, no descriptor, no process in here: facts in, a step out.  children.c performs the actions. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/layout.h"

enum life_event {
	LIFE_NONE = 0,
#define LIFE_EVENT(name, meaning) LIFE_##name,
#include "supervisor/life_events.def"
#undef LIFE_EVENT
	LIFE_EVENT_COUNT
};

enum life_action {
	LIFE_BUG = 0,      /* unlisted: this cannot happen; logged and ignored */
	LIFE_REST,         /* nothing to do */
	LIFE_SPAWN,        /* a new generation: fork, exec, wait for its HELLO */
	LIFE_AWAIT,        /* watch a living process of an earlier supervisor until it says HELLO */
	LIFE_WELCOME,      /* send it the board, its configuration, its sockets */
	LIFE_SETTLE,       /* it does its work: stop the clock of its start */
	LIFE_PAUSE,        /* it failed: find out how long to wait, or that the budget is spent */
	LIFE_QUARANTINE,   /* leave it alone until the operator lifts it */
	LIFE_KILL,         /* SIGKILL by pidfd; its death follows */
	LIFE_SEND_STOP,    /* ask it to drain and end, and start the clock of its stop */
	LIFE_SEND_RESTART, /* a worker: end and start the Ollama again, drained */
	LIFE_GONE,         /* it ended as asked, or was not there */
	LIFE_ACTION_COUNT
};

struct life_step {
	enum shm_child next;
	enum life_action action;
};

/* The step from `state` on `event`; {state, LIFE_BUG} for an unlisted cell. */
struct life_step life_next(enum shm_child state, enum life_event event);

/* What happened, as half a sentence for logs. */
const char *life_event_word(enum life_event event);

/* --- the budget of all children together: a machine in trouble is not helped by restarting everything quickly ----------------- */

#define LIFE_FLEET_BUDGET    60U                      /* failures of all children ... */
#define LIFE_FLEET_BUDGET_NS (600ULL * 1000000000ULL) /* ... in so long: each further restart waits for the longest pause */

struct life_fleet {
	uint64_t at_ns[LIFE_FLEET_BUDGET]; /* ring of failures */
	unsigned next;
	unsigned kept;
};

/* Record a failure; the pause that the child's own history asks for, or the longest one when the budget is spent. */
uint64_t life_fleet_pause(struct life_fleet *fleet, uint64_t now_ns, uint64_t pause_ns);

/* --- a child that somebody else killed ------------------------------------------------------------------------------------- */

#define LIFE_KILLED_FLOOR_NS (250ULL * 1000000ULL) /* between two starts of a child that is killed from outside */

/* A child that worked and was ended by a SIGKILL that is neither ours nor the OOM killer's did not fail: it comes back at once,
 * and at most four times a second.  The pause. */
uint64_t life_killed_pause(uint64_t lived_ns);
