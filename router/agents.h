/* router/agents.h - private: which model answers for which kind of agent, as the model-router routes of the orchestration service had it.
 *
 * An agent is a kind of work: a category of the registry, or what an operator has given a model to.  In this router's memory alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proc/proc.h"

#define AGENTS_MOST 64
#define AGENTS_ID   80

struct agent {
	char id[AGENTS_ID];
	char model[PROC_MODEL]; /* "": there is none for it */
	bool pinned;            /* by somebody, not by tsa */
	float score;            /* of the model at this work, 0..100 */
	uint64_t updated_wall_ns;
	uint64_t decisions;
};

struct agents {
	unsigned n; /* 0: nobody has asked yet */
	struct agent at[AGENTS_MOST];
	uint64_t auto_wall_ns; /* last automatic assignment */
};
