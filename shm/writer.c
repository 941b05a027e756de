#include "shm/writer.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/bug.h"
#include "shm/seq.h"
#include "shm/stamp.h"
#include "shm/sum.h"

/* --- mapping ------------------------------------------------------------------------------------------------------------------ */

static void *writable_map(int fd, enum shm_kind kind, struct why *why)
{
	uint64_t boot_id[2], board_id[2] = {0, 0};
	void *file = NULL;
	int err;

	shm_boot_id(boot_id);
	err = shm_file_check(fd, (struct shm_place){kind, SHM_INDEX_ANY}, boot_id, board_id, why);
	if (!err)
		err = shm_file_map(fd, kind, PROT_READ | PROT_WRITE, &file, why);
	if (err)
		errno = -err;
	return file;
}

struct shm_owner_file *shm_owner_map(int fd, struct why *why)
{
	return writable_map(fd, SHM_KIND_OWNER, why);
}

struct shm_vital_file *shm_vital_map(int fd, struct why *why)
{
	return writable_map(fd, SHM_KIND_VITAL, why);
}

struct shm_host_file *shm_host_map(int fd, struct why *why)
{
	return writable_map(fd, SHM_KIND_HOST, why);
}

struct shm_router_file *shm_router_map(int fd, struct why *why)
{
	return writable_map(fd, SHM_KIND_ROUTER, why);
}

void shm_unmap(void *file, enum shm_kind kind)
{
	shm_file_unmap(file, kind);
}

/* --- lines -------------------------------------------------------------------------------------------------------------------- */

/* Only a line and the payload it was laid out for fit together. */
#define PUBLISH(line, value)                                                                                                       \
	do {                                                                                                                       \
		struct {                                                                                                           \
			__typeof__(*(value)) v;                                                                                    \
			uint64_t sum;                                                                                              \
		} whole = {.v = *(value)};                                                                                         \
		_Static_assert(sizeof((line)->words) == sizeof(whole), "a line carries one type and its sum");                     \
		whole.sum = shm_sum(&whole.v, SHM_WORDS(whole.v));                                                                 \
		shm_seq_store(&(line)->seq, (line)->words, ARRAY_SIZE((line)->words), &whole);                                     \
	} while (0)

void shm_header_publish(struct shm_owner_file *f, const struct shm_header *v)
{
	PUBLISH(&f->header, v);
}

/* An index out of range is a mistake of the calling program; in the supervisor the loops over slots and routers end at the same
 * constants, and a store beyond the line would corrupt what every other process reads. */
void shm_router_child_publish(struct shm_owner_file *f, unsigned router, const struct shm_child_line *v)
{
	BUG_ON(router >= SHM_ROUTERS);
	PUBLISH(&f->router[router], v);
}

void shm_host_child_publish(struct shm_owner_file *f, const struct shm_child_line *v)
{
	PUBLISH(&f->host, v);
}

void shm_slot_publish(struct shm_owner_file *f, unsigned slot, const struct shm_owner *v)
{
	BUG_ON(slot >= SHM_SLOTS);
	PUBLISH(&f->slot[slot], v);
}

void shm_vital_publish(struct shm_vital_file *f, const struct shm_vital *v)
{
	PUBLISH(&f->vital, v);
}

void shm_models_publish(struct shm_vital_file *f, const struct shm_models *v)
{
	PUBLISH(&f->models, v);
}

void shm_host_publish(struct shm_host_file *f, const struct shm_host *v)
{
	PUBLISH(&f->host, v);
}

void shm_router_ident_publish(struct shm_router_file *f, const struct shm_router_ident *v)
{
	PUBLISH(&f->ident, v);
}

void shm_wish_publish(struct shm_router_file *f, unsigned slot, unsigned n, const struct shm_wish *v)
{
	BUG_ON(slot >= SHM_SLOTS || n >= SHM_WISHES);
	PUBLISH(&f->slot[slot].wish[n], v);
}

/* --- counters ----------------------------------------------------------------------------------------------------------------- */

static void slot_clear(struct shm_router_file *f, unsigned slot)
{
	static const struct shm_wish NO_WISH;
	struct shm_rslot *s = &f->slot[slot];

#define X(name, meaning) shm_set(&s->name, 0);
	SHM_RSLOT_COUNTERS(X)
#undef X
	for (unsigned i = 0; i < SHM_WISHES; i++)
		shm_wish_publish(f, slot, i, &NO_WISH);
	for (unsigned i = 0; i < SHM_HIST_BUCKETS; i++) {
		atomic_store_explicit(&s->first_hist[i], 0, memory_order_relaxed);
		atomic_store_explicit(&s->total_hist[i], 0, memory_order_relaxed);
	}
}

static void hist_copy(_Atomic uint32_t *to, const _Atomic uint32_t *from)
{
	for (unsigned i = 0; i < SHM_HIST_BUCKETS; i++)
		atomic_store_explicit(&to[i], atomic_load_explicit(&from[i], memory_order_relaxed), memory_order_relaxed);
}

void shm_router_carry(struct shm_router_file *to, const struct shm_router_file *from)
{
#define X(name, meaning) shm_set(&to->counters.name, atomic_load_explicit(&from->counters.name, memory_order_relaxed));
	SHM_ROUTER_COUNTERS(X)
#undef X
	for (unsigned i = 0; i < SHM_SLOTS; i++) {
		struct shm_rslot *s = &to->slot[i];
		const struct shm_rslot *was = &from->slot[i];

#define X(name, meaning) shm_set(&s->name, atomic_load_explicit(&was->name, memory_order_relaxed));
		SHM_RSLOT_COUNTERS(X)
#undef X
		hist_copy(s->first_hist, was->first_hist);
		hist_copy(s->total_hist, was->total_hist);
	}
}

void shm_router_clear(struct shm_router_file *f)
{
#define X(name, meaning) shm_set(&f->counters.name, 0);
	SHM_ROUTER_COUNTERS(X)
#undef X
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		slot_clear(f, i);
}
