/* supervisor/state.h - what a supervisor leaves behind for its successor, as text; pure.
 *
 * DIR/state is written to a temporary name and renamed, so a reader sees a whole one.  It is still foreign bytes when it is read:
 * another version may have written it, or somebody's editor.  One line is one fact; a line that does not fit is an error. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "proc/proc.h"
#include "shm/layout.h"

#define STATE_CHILDREN (SHM_SLOTS + SHM_ROUTERS + 1)
#define STATE_TEXT_MAX (64 * 1024)

struct state_child {
	enum proc_role role;
	uint32_t index;
	uint32_t gen;
	struct proc_process process; /* pid 0: none now; the line keeps generation and place */
	uint64_t identity;           /* of a worker: what its Ollama was started with; another one means to start it again */
	uint32_t places;             /* of a worker: what it works by, as the next two */
	bool adopted;
	char addr[sizeof(((struct proc_addr *)0)->text)]; /* ""; it is not known, or no worker */
	char name[PROC_NAME];                             /* instance of a worker; "-" for the others */
};

struct state_ollama {
	uint32_t slot;
	struct proc_process process;
	char name[PROC_NAME]; /* of the instance */
};

struct state {
	uint64_t boot_id[2]; /* processes of another boot are gone */
	uint64_t board_id[2];
	uint64_t sup_gen;
	struct proc_process sup;
	bool stopping; /* it was told to end; should it die, nobody shall take over what it leaves */
	unsigned n_children;
	unsigned n_ollamas;
	unsigned n_drained;
	struct state_child children[STATE_CHILDREN];
	struct state_ollama ollamas[SHM_SLOTS];
	char drained[SHM_SLOTS][PROC_NAME];
};

/* Write `s` as text.  Its length, or -E2BIG. */
int state_print(const struct state *s, char *buf, size_t size);

/* Read `n` bytes.  0; -EINVAL with line and reason in `why`; *out untouched on failure. */
int state_parse(const char *text, size_t n, struct state *out, struct why *why);
