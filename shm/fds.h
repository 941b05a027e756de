/* shm/fds.h - the descriptors of a whole board, in the order they travel, and the number that says whether two programs agree on it. */
#pragma once

#include "shm/layout.h"

/* One open descriptor per file, or -1.  Travels as an array in member order: FDS_COUNT descriptors in one message. */
struct shm_fds {
	int owner;
	int host;
	int router[SHM_ROUTERS];
	int vital[SHM_SLOTS];
};

#define SHM_FDS_COUNT (2 + SHM_ROUTERS + SHM_SLOTS)

_Static_assert(sizeof(struct shm_fds) == SHM_FDS_COUNT * sizeof(int), "shm_fds is sent as an array of int");

/* FNV-1a over names, offsets and sizes of shm/fields.def, the words of shm/states.def and the version of tsa: two programs that differ
 * in it must not share a board. */
uint64_t shm_layout_hash(void);
