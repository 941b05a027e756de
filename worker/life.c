#include "worker/life.h"

#include "base/bug.h"

#define GO(state, action)                                                                                                          \
	{                                                                                                                          \
		SHM_STATE_##state, LIFE_ACT_##action                                                                               \
	}

/* Rows say what may happen in a state.  What is asked for twice, or comes late, is listed with action NONE on purpose. */
static const struct life_step TABLE[SHM_STATE_COUNT][LIFE_EV_COUNT] =
	{
		[SHM_STATE_NONE] =
			{
				[LIFE_EV_BEGIN] = GO(STARTING, START),
				[LIFE_EV_STOP] = GO(STOPPED, EXIT),
			},
		[SHM_STATE_STARTING] =
			{
				[LIFE_EV_ANSWERS] = GO(UP, LOOK),
				[LIFE_EV_DIED] = GO(BACKOFF, PAUSE),
				[LIFE_EV_LATE] = GO(BACKOFF, KILL),
				[LIFE_EV_BLOCKED] = GO(BACKOFF, PAUSE),
				[LIFE_EV_RECYCLE] = GO(DRAINING, DRAIN),
				[LIFE_EV_STOP] = GO(DRAINING, DRAIN),
			},
		[SHM_STATE_UP] =
			{
				[LIFE_EV_TARGET] = GO(WARMING, WARM),
				[LIFE_EV_ADRIFT] = GO(UP, NONE),
				[LIFE_EV_LOST] = GO(SICK, NONE),
				[LIFE_EV_DIED] = GO(BACKOFF, PAUSE),
				[LIFE_EV_RECYCLE] = GO(DRAINING, DRAIN),
				[LIFE_EV_STOP] = GO(DRAINING, DRAIN),
			},
		[SHM_STATE_WARMING] =
			{
				[LIFE_EV_TARGET] = GO(WARMING, WARM),
				[LIFE_EV_ADRIFT] = GO(UP, LOOK),
				[LIFE_EV_ABLE] = GO(READY, NONE),
				[LIFE_EV_UNABLE] = GO(WARMING, NONE),
				[LIFE_EV_WEDGED] = GO(SICK, HEAL),
				[LIFE_EV_LOST] = GO(SICK, NONE),
				[LIFE_EV_DIED] = GO(BACKOFF, PAUSE),
				[LIFE_EV_RECYCLE] = GO(DRAINING, DRAIN),
				[LIFE_EV_STOP] = GO(DRAINING, DRAIN),
			},
		[SHM_STATE_READY] =
			{
				[LIFE_EV_TARGET] = GO(READY, NONE),
				[LIFE_EV_ADRIFT] = GO(UP, LOOK),
				[LIFE_EV_ABLE] = GO(READY, NONE),
				[LIFE_EV_UNABLE] = GO(SICK, HEAL),
				[LIFE_EV_WEDGED] = GO(SICK, HEAL),
				[LIFE_EV_LOST] = GO(SICK, NONE),
				[LIFE_EV_DIED] = GO(BACKOFF, PAUSE),
				[LIFE_EV_RECYCLE] = GO(DRAINING, DRAIN),
				[LIFE_EV_STOP] = GO(DRAINING, DRAIN),
			},
		[SHM_STATE_SICK] =
			{
				[LIFE_EV_ANSWERS] = GO(UP, LOOK),
				[LIFE_EV_TARGET] = GO(SICK, NONE),
				[LIFE_EV_ADRIFT] = GO(UP, LOOK),
				[LIFE_EV_ABLE] = GO(READY, NONE),
				[LIFE_EV_UNABLE] = GO(SICK, HEAL),
				[LIFE_EV_WEDGED] = GO(SICK, HEAL),
				[LIFE_EV_LOST] = GO(SICK, NONE),
				[LIFE_EV_DIED] = GO(BACKOFF, PAUSE),
				[LIFE_EV_LATE] = GO(BACKOFF, KILL),
				[LIFE_EV_RECYCLE] = GO(DRAINING, DRAIN),
				[LIFE_EV_STOP] = GO(DRAINING, DRAIN),
			},
		[SHM_STATE_DRAINING] =
			{
				[LIFE_EV_DRAINED] = GO(DRAINING, END),
				[LIFE_EV_ENDED] = GO(STARTING, START),
				[LIFE_EV_GONE] = GO(STOPPED, EXIT),
				[LIFE_EV_RECYCLE] = GO(DRAINING, NONE),
				[LIFE_EV_STOP] = GO(DRAINING, DRAIN), /* with the supervisor's own patience */
			},
		[SHM_STATE_BACKOFF] =
			{
				[LIFE_EV_RETRY] = GO(STARTING, START),
				[LIFE_EV_SPENT] = GO(QUARANTINED, NONE),
				[LIFE_EV_DIED] = GO(BACKOFF, NONE), /* what KILL ended is reaped */
				[LIFE_EV_RECYCLE] = GO(STARTING, START),
				[LIFE_EV_STOP] = GO(DRAINING, DRAIN),
			},
		[SHM_STATE_QUARANTINED] =
			{
				[LIFE_EV_DIED] = GO(QUARANTINED, NONE),
				[LIFE_EV_RECYCLE] = GO(STARTING, START),
				[LIFE_EV_STOP] = GO(DRAINING, DRAIN),
			},
		[SHM_STATE_STOPPED] =
			{
				[LIFE_EV_STOP] = GO(STOPPED, NONE),
				[LIFE_EV_RECYCLE] = GO(STOPPED, NONE),
			},
};

static const char *const WORDS[LIFE_EV_COUNT] = {
	"none", "begin",   "answers", "target", "adrift",  "able",    "unable", "wedged", "lost", "died",
	"late", "blocked", "retry",   "spent",  "recycle", "drained", "ended",  "gone",   "stop",
};

struct life_step life_next(enum shm_state state, enum life_event event)
{
	BUG_ON(state >= SHM_STATE_COUNT || event <= LIFE_EV_NONE || event >= LIFE_EV_COUNT);
	return TABLE[state][event];
}

const char *life_event_word(enum life_event event)
{
	return event < LIFE_EV_COUNT ? WORDS[event] : "unknown";
}
