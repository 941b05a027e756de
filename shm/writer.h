/* shm/writer.h - the door for writers: make a board, publish my own lines.
 *
 * Used by the supervisor (owner file), worker (its vital file), host worker, router (its file).  Everything here is plain stores
 * to shared memory: it never blocks and cannot fail once mapped.  writer.c holds the only stores to the board in the tree. */
#pragma once

#include "base/why.h"
#include "shm/fds.h"
#include "shm/layout.h"

/* Make the files of a new board: sized, stamped, sealed against shrinking and growing, close-on-exec, mode 0400 for others.
 * *out are writable descriptors, the caller's to close.  0 or -errno of memfd_create(2), ftruncate(2), fcntl(2). */
int shm_board_create(struct shm_fds *out, struct why *why);

/* Re-open each descriptor read-only, for handing out.  0 or -errno; on failure nothing is left open. */
int shm_fds_readonly(const struct shm_fds *fds, struct shm_fds *out, struct why *why);
void shm_fds_close(struct shm_fds *fds);

/* Check a board that came back over a crash.  0; -EPROTO: a file is missing, or has another size, version, layout, place, boot or
 * board (`why` says which); -errno of fstat(2) or pread(2). */
int shm_fds_check(const struct shm_fds *fds, struct why *why);

/* Map a file for writing.  The descriptor stays the caller's.  NULL and `why` on failure (errno of mmap(2), or a stamp that does
 * not fit).  Unmap with shm_unmap. */
struct shm_owner_file *shm_owner_map(int fd, struct why *why);
struct shm_vital_file *shm_vital_map(int fd, struct why *why);
struct shm_host_file *shm_host_map(int fd, struct why *why);
struct shm_router_file *shm_router_map(int fd, struct why *why);
void shm_unmap(void *file, enum shm_kind kind);

/* Publish a line.  A line that a killed writer left odd becomes even again by the next publication. */
void shm_header_publish(struct shm_owner_file *f, const struct shm_header *v);
void shm_router_child_publish(struct shm_owner_file *f, unsigned router, const struct shm_child_line *v);
void shm_host_child_publish(struct shm_owner_file *f, const struct shm_child_line *v);
void shm_slot_publish(struct shm_owner_file *f, unsigned slot, const struct shm_owner *v);
void shm_vital_publish(struct shm_vital_file *f, const struct shm_vital *v);
void shm_models_publish(struct shm_vital_file *f, const struct shm_models *v);
void shm_host_publish(struct shm_host_file *f, const struct shm_host *v);
void shm_router_ident_publish(struct shm_router_file *f, const struct shm_router_ident *v);
void shm_wish_publish(struct shm_router_file *f, unsigned slot, unsigned n, const struct shm_wish *v);

/* A router's page begins anew: every counter and wish 0.  Call before the ident of a new generation is published. */
void shm_router_clear(struct shm_router_file *f);

/* The same router goes on with a page of another board: counters and latencies move over, wishes do not. */
void shm_router_carry(struct shm_router_file *to, const struct shm_router_file *from);

/* Counters: this process is the only writer, so a load and a store do; no locked instruction. */
static inline void shm_add(_Atomic uint64_t *word, uint64_t n)
{
	atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void shm_set(_Atomic uint64_t *word, uint64_t v)
{
	atomic_store_explicit(word, v, memory_order_relaxed);
}
