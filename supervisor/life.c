#include "supervisor/life.h"

#include "base/bug.h"
#include "proc/proc.h"

#define NONE    SHM_CHILD_NONE
#define START   SHM_CHILD_STARTING
#define RUN     SHM_CHILD_RUNNING
#define STOP    SHM_CHILD_STOPPING
#define BACKOFF SHM_CHILD_BACKOFF
#define QUARANT SHM_CHILD_QUARANTINED
#define STOPPED SHM_CHILD_STOPPED

/* A process is there in STARTING, RUNNING and STOPPING, in no other state; so HELLO, READY, DIED and PONG_LATE cannot come in
 * the others, and those cells stay empty. */
static const struct life_step LIFE[SHM_CHILD_COUNT][LIFE_EVENT_COUNT] = {
	[NONE][LIFE_START] = {START, LIFE_SPAWN},
	[NONE][LIFE_FOUND] = {START, LIFE_AWAIT},
	[NONE][LIFE_STOP] = {STOPPED, LIFE_GONE},
	[NONE][LIFE_LIFT] = {NONE, LIFE_REST}, /* an Ollama of its name must end first */

	[START][LIFE_START] = {START, LIFE_REST},
	[START][LIFE_SPAWN_FAILED] = {BACKOFF, LIFE_PAUSE},
	[START][LIFE_HELLO] = {START, LIFE_WELCOME},
	[START][LIFE_READY] = {RUN, LIFE_SETTLE},
	[START][LIFE_DIED] = {BACKOFF, LIFE_PAUSE},
	[START][LIFE_TIMER] = {START, LIFE_KILL},
	[START][LIFE_PONG_LATE] = {START, LIFE_KILL},
	[START][LIFE_STOP] = {STOP, LIFE_SEND_STOP},
	[START][LIFE_LIFT] = {START, LIFE_REST},

	[RUN][LIFE_START] = {RUN, LIFE_REST},
	[RUN][LIFE_HELLO] = {RUN, LIFE_WELCOME}, /* its orders socket broke and it found us again */
	[RUN][LIFE_READY] = {RUN, LIFE_REST},    /* after a new configuration */
	[RUN][LIFE_DIED] = {BACKOFF, LIFE_PAUSE},
	[RUN][LIFE_PONG_LATE] = {RUN, LIFE_KILL},
	[RUN][LIFE_STOP] = {STOP, LIFE_SEND_STOP},
	[RUN][LIFE_LIFT] = {RUN, LIFE_SEND_RESTART},

	[STOP][LIFE_START] = {STOP, LIFE_REST},      /* whoever wants it back says so in `wanted` */
	[STOP][LIFE_HELLO] = {STOP, LIFE_SEND_STOP}, /* it did not hear the first one */
	[STOP][LIFE_READY] = {STOP, LIFE_REST},
	[STOP][LIFE_DIED] = {STOPPED, LIFE_GONE},
	[STOP][LIFE_TIMER] = {STOP, LIFE_KILL},
	[STOP][LIFE_PONG_LATE] = {STOP, LIFE_KILL},
	[STOP][LIFE_STOP] = {STOP, LIFE_SEND_STOP}, /* a shorter drain */
	[STOP][LIFE_LIFT] = {STOP, LIFE_REST},

	[BACKOFF][LIFE_START] = {BACKOFF, LIFE_REST},
	[BACKOFF][LIFE_SPENT] = {QUARANT, LIFE_QUARANTINE},
	[BACKOFF][LIFE_TIMER] = {START, LIFE_SPAWN},
	[BACKOFF][LIFE_STOP] = {STOPPED, LIFE_GONE},
	[BACKOFF][LIFE_LIFT] = {START, LIFE_SPAWN},

	[QUARANT][LIFE_START] = {QUARANT, LIFE_REST},
	[QUARANT][LIFE_STOP] = {STOPPED, LIFE_GONE},
	[QUARANT][LIFE_LIFT] = {START, LIFE_SPAWN},

	[STOPPED][LIFE_START] = {START, LIFE_SPAWN},
	[STOPPED][LIFE_FOUND] = {START, LIFE_AWAIT},
	[STOPPED][LIFE_STOP] = {STOPPED, LIFE_REST},
	[STOPPED][LIFE_LIFT] = {STOPPED, LIFE_REST},
};

static const char *const WORDS[LIFE_EVENT_COUNT] = {
	[LIFE_NONE] = "nothing",
#define LIFE_EVENT(name, meaning) [LIFE_##name] = (meaning),
#include "supervisor/life_events.def"
#undef LIFE_EVENT
};

struct life_step life_next(enum shm_child state, enum life_event event)
{
	struct life_step step = {state, LIFE_BUG};

	if ((unsigned)state < SHM_CHILD_COUNT && (unsigned)event < LIFE_EVENT_COUNT && LIFE[state][event].action != LIFE_BUG)
		step = LIFE[state][event];
	return step;
}

const char *life_event_word(enum life_event event)
{
	return (unsigned)event < LIFE_EVENT_COUNT ? WORDS[event] : WORDS[LIFE_NONE];
}

uint64_t life_fleet_pause(struct life_fleet *fleet, uint64_t now_ns, uint64_t pause_ns)
{
	fleet->at_ns[fleet->next] = now_ns;
	fleet->next = (fleet->next + 1) % LIFE_FLEET_BUDGET;
	if (fleet->kept < LIFE_FLEET_BUDGET)
		fleet->kept++;
	/* In a full ring the place written next holds the oldest failure. */
	if (fleet->kept < LIFE_FLEET_BUDGET || now_ns - fleet->at_ns[fleet->next] >= LIFE_FLEET_BUDGET_NS)
		return pause_ns;
	return pause_ns > PROC_BACKOFF_MAX_NS ? pause_ns : PROC_BACKOFF_MAX_NS;
}

uint64_t life_killed_pause(uint64_t lived_ns)
{
	return lived_ns < LIFE_KILLED_FLOOR_NS ? LIFE_KILLED_FLOOR_NS - lived_ns : 0;
}
