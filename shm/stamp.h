/* shm/stamp.h - private to shm/: what a file of the board must look like before anyone maps it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "shm/fds.h"
#include "shm/layout.h"

#define SHM_INDEX_ANY UINT64_MAX

/* Which file stands at one position of struct shm_fds. */
struct shm_place {
	enum shm_kind kind;
	uint64_t index; /* or SHM_INDEX_ANY, for a caller that was handed one file and not told whose */
};

struct shm_place shm_place_of(unsigned position);

/* Size of a file of this kind: its struct in whole pages. */
size_t shm_file_bytes(enum shm_kind kind);

/* The boot id of the running machine; zeros where a sandbox hides /proc/sys, and then boots are not compared. */
void shm_boot_id(uint64_t out[2]);

/* The stamp of a new file. */
void shm_stamp_make(struct shm_place place, const uint64_t board_id[2], const uint64_t boot_id[2], struct shm_stamp *out);

/* Judge a stamp that should be the one of `place`; ids of zeros are not compared.  0; -EPROTO and a sentence. */
int shm_stamp_check(const struct shm_stamp *s, struct shm_place place, const uint64_t boot_id[2], const uint64_t board_id[2],
		    struct why *why);

/* Judge the file behind `fd` without mapping it: size, seals, stamp, boot.  `board_id` holds the board the caller is looking at, or
 * zeros, and is then filled in.  0; -EPROTO and a sentence; -errno of fstat(2) or pread(2). */
int shm_file_check(int fd, struct shm_place place, const uint64_t boot_id[2], uint64_t board_id[2], struct why *why);

/* Map a checked file shared, PROT_READ or PROT_READ | PROT_WRITE.  0 or -errno of mmap(2). */
int shm_file_map(int fd, enum shm_kind kind, int prot, void **out, struct why *why);
void shm_file_unmap(const void *file, enum shm_kind kind);
