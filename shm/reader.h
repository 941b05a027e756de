/* shm/reader.h - the door for readers: open a board, take settled copies.
 *
 * Used by routers, workers (wishes), tsactl.  The mappings are read-only; nothing here blocks, allocates (after open) or logs, and
 * every call returns in bounded time whatever bytes are on the board.  reader.c holds the only loads of lines in the tree.
 * Copies are checked before they are handed out: the sum is right, enums in range, counts within their arrays, process ids possible, text
 * NUL-terminated.  One thread per reader. */
#pragma once

#include <stdbool.h>

#include "base/why.h"
#include "shm/fds.h"
#include "shm/layout.h"

#define SHM_TRIES 64 /* passes over a line before a reader gives up */

struct shm_reader;

/* Map all files behind `fds`, which stay the caller's (they may be closed at once); -1 is a file that this reader is not given.
 * 0; -EPROTO: size, seals, magic, version, layout, place, boot or board differ (`why` names which); -ENOMEM; -errno of mmap(2).
 * *out is the caller's, untouched on failure. */
int shm_reader_open(const struct shm_fds *fds, struct shm_reader **out, struct why *why);
void shm_reader_close(struct shm_reader **r);

/* Are the stamps still what they were when the board was opened?  0, or -EPROTO and in `why` the file that is damaged.  No system
 * call: what is mapped is looked at. */
int shm_reader_check(const struct shm_reader *r, struct why *why);

/* Each: 0; -ERANGE no such slot, or its file was not given; -EAGAIN never settled (writer flat out, preempted or killed in
 * mid-line: keep the last good copy and judge its age); -EBADMSG settled but nonsense.  A line that nobody has published yet reads as
 * zeros.  Whether a vital line is of the generation that the owner line names is the caller's question.  *out untouched on failure. */
int shm_read_header(const struct shm_reader *r, struct shm_header *out);
int shm_read_router_child(const struct shm_reader *r, unsigned router, struct shm_child_line *out);
int shm_read_host_child(const struct shm_reader *r, struct shm_child_line *out);
int shm_read_slot(const struct shm_reader *r, unsigned slot, struct shm_owner *out);
int shm_read_vital(const struct shm_reader *r, unsigned slot, struct shm_vital *out);
int shm_read_models(const struct shm_reader *r, unsigned slot, struct shm_models *out);
int shm_read_host(const struct shm_reader *r, struct shm_host *out);
int shm_read_router_ident(const struct shm_reader *r, unsigned router, struct shm_router_ident *out);
int shm_read_wish(const struct shm_reader *r, unsigned router, unsigned slot, unsigned n, struct shm_wish *out);

/* Counters are plain atomic words; NULL when there is no such router or slot. */
const struct shm_router_counters *shm_router_counters(const struct shm_reader *r, unsigned router);
const struct shm_rslot *shm_router_slot(const struct shm_reader *r, unsigned router, unsigned slot);

static inline uint64_t shm_get(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

/* Lines that were refused since open: never settled, or settled but nonsense. */
uint64_t shm_reader_torn(const struct shm_reader *r);
uint64_t shm_reader_bad(const struct shm_reader *r);

/* The word and the sentence of a state; "unknown" for a value out of range. */
const char *shm_state_word(uint64_t state);
const char *shm_state_sentence(uint64_t state);
const char *shm_child_word(uint64_t child_state);
