/* worker/life.h - the life of one instance: a table of states and events, and nothing else.  Pure. */
#pragma once

#include "shm/layout.h"

enum life_event {
	LIFE_EV_NONE = 0,
	LIFE_EV_BEGIN,   /* the first configuration came */
	LIFE_EV_ANSWERS, /* /api/version answered, which it did not before */
	LIFE_EV_TARGET,  /* there is a model to try */
	LIFE_EV_ADRIFT,  /* there is no model to try any more */
	LIFE_EV_ABLE,    /* one token came */
	LIFE_EV_UNABLE,  /* the model could not be loaded, or answered with errors */
	LIFE_EV_WEDGED,  /* it answers its control routes and no token */
	LIFE_EV_LOST,    /* it does not answer any more, but nobody saw it die */
	LIFE_EV_DIED,    /* its process ended unasked */
	LIFE_EV_LATE,    /* its process lives and has not answered for too long */
	LIFE_EV_BLOCKED, /* it could not be started at all */
	LIFE_EV_RETRY,   /* the pause is over */
	LIFE_EV_SPENT,   /* it failed too often */
	LIFE_EV_RECYCLE, /* drain, end, start again: descriptors, healing, the operator */
	LIFE_EV_DRAINED, /* nothing runs on it, or the patience for that is over */
	LIFE_EV_ENDED,   /* its process is gone, as was asked; start it again */
	LIFE_EV_GONE,    /* its process is gone, as was asked; that is all */
	LIFE_EV_STOP,    /* the supervisor wants it stopped */
	LIFE_EV_COUNT
};

enum life_action {
	LIFE_ACT_NONE = 0,
	LIFE_ACT_START, /* start or adopt the Ollama */
	LIFE_ACT_LOOK,  /* ask what it has and what is resident */
	LIFE_ACT_WARM,  /* load the target and try it */
	LIFE_ACT_HEAL,  /* the next step of healing */
	LIFE_ACT_PAUSE, /* count the failure; arm the pause, or raise SPENT */
	LIFE_ACT_KILL,  /* end its process at once, then as PAUSE */
	LIFE_ACT_DRAIN, /* wait until nothing runs on it */
	LIFE_ACT_END,   /* end its process politely */
	LIFE_ACT_EXIT,  /* the worker's work is done */
	LIFE_ACT_COUNT
};

struct life_step {
	enum shm_state next; /* SHM_STATE_NONE: this must not happen here, a bug */
	enum life_action action;
};

struct life_step life_next(enum shm_state state, enum life_event event);

const char *life_event_word(enum life_event event);
