#include "shm/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bug.h"
#include "shm/seq.h"
#include "shm/stamp.h"
#include "shm/sum.h"

#define PID_LIMIT    (1ULL << 22) /* PID_MAX_LIMIT of the kernel: as pid_t never negative, so never kill(2)'s "everybody" */
#define PLACES_LIMIT (1ULL << 16) /* readers add them up and take percentages */

struct refused {
	uint64_t torn;
	uint64_t bad;
};

struct shm_reader {
	const struct shm_owner_file *owner;
	const struct shm_host_file *host;
	const struct shm_router_file *router[SHM_ROUTERS];
	const struct shm_vital_file *vital[SHM_SLOTS];
	uint64_t boot_id[2], board_id[2];
	struct refused *refused; /* apart, because reading a line leaves the reader as it was */
};

/* --- open and close ----------------------------------------------------------------------------------------------------------- */

/* Where the mapping of one file is kept. */
static const void **mapping_at(struct shm_reader *r, struct shm_place place)
{
	switch (place.kind) {
	case SHM_KIND_OWNER:
		return (const void **)&r->owner;
	case SHM_KIND_HOST:
		return (const void **)&r->host;
	case SHM_KIND_ROUTER:
		return (const void **)&r->router[place.index];
	default:
		return (const void **)&r->vital[place.index];
	}
}

static int files_map(struct shm_reader *r, const struct shm_fds *fds, struct why *why)
{
	const int *fd = &fds->owner;

	shm_boot_id(r->boot_id);
	for (unsigned i = 0; i < SHM_FDS_COUNT; i++) {
		struct shm_place place = shm_place_of(i);
		void *file;
		int err;

		if (fd[i] < 0)
			continue;
		err = shm_file_check(fd[i], place, r->boot_id, r->board_id, why);
		if (!err)
			err = shm_file_map(fd[i], place.kind, PROT_READ, &file, why);
		if (err)
			return err;
		*mapping_at(r, place) = file;
	}
	return 0;
}

int shm_reader_open(const struct shm_fds *fds, struct shm_reader **out, struct why *why)
{
	struct shm_reader *r = calloc(1, sizeof(*r));
	int err = -ENOMEM;

	if (r)
		r->refused = calloc(1, sizeof(*r->refused));
	if (!r || !r->refused)
		why_set(why, err, "no memory to read the board; raise MemoryMax= of the service");
	else
		err = files_map(r, fds, why);
	if (err) {
		shm_reader_close(&r);
		return err;
	}
	*out = r;
	return 0;
}

void shm_reader_close(struct shm_reader **r)
{
	if (!r || !*r)
		return;
	for (unsigned i = 0; i < SHM_FDS_COUNT; i++)
		shm_file_unmap(*mapping_at(*r, shm_place_of(i)), shm_place_of(i).kind);
	free((*r)->refused);
	free(*r);
	*r = NULL;
}

int shm_reader_check(const struct shm_reader *r, struct why *why)
{
	for (unsigned i = 0; i < SHM_FDS_COUNT; i++) {
		struct shm_place place = shm_place_of(i);
		const void *file = *mapping_at((struct shm_reader *)(uintptr_t)r, place);
		struct shm_stamp stamp;
		int err;

		if (!file)
			continue;
		memcpy(&stamp, file, sizeof(stamp));
		err = shm_stamp_check(&stamp, place, r->boot_id, r->board_id, why);
		if (err)
			return err;
	}
	return 0;
}

/* --- what a settled copy must fulfil ------------------------------------------------------------------------------------------ */

/* Checked is what a reader indexes, loops, divides, prints or signals by.  Numbers that are only shown may be anything. */
struct rule {
	size_t at;
	size_t text_bytes; /* a text that must end within them; 0: a word */
	uint64_t max;
};

/* clang-format off */
#define TEXT(type, member)      {offsetof(struct type, member), sizeof(((struct type *)0)->member), 0}
#define WORD(type, member, max) {offsetof(struct type, member), 0, (max)}
/* clang-format on */

static const struct rule HEADER_RULES[] = {
	WORD(shm_header, sup_pid, PID_LIMIT),
	WORD(shm_header, routers, SHM_ROUTERS),
	WORD(shm_header, slots_used, SHM_SLOTS),
	WORD(shm_header, stopping, 1),
	TEXT(shm_header, listen),
	TEXT(shm_header, reload_text),
	TEXT(shm_header, version),
};

static const struct rule CHILD_RULES[] = {
	WORD(shm_child_line, pid, PID_LIMIT),
	WORD(shm_child_line, state, SHM_CHILD_COUNT - 1),
	TEXT(shm_child_line, why),
};

static const struct rule OWNER_RULES[] = {
	WORD(shm_owner, used, 1),
	WORD(shm_owner, wanted, SHM_WANT_COUNT - 1),
	WORD(shm_owner, places, PLACES_LIMIT),
	WORD(shm_owner, adopted, 1),
	WORD(shm_owner, child_pid, PID_LIMIT),
	WORD(shm_owner, child_state, SHM_CHILD_COUNT - 1),
	TEXT(shm_owner, name),
	TEXT(shm_owner, url),
	TEXT(shm_owner, tags),
	TEXT(shm_owner, why),
};

/* `reason` belongs to probes/, whose probe_outcome functions answer for any number. */
static const struct rule VITAL_RULES[] = {
	WORD(shm_vital, state, SHM_STATE_COUNT - 1),
	WORD(shm_vital, ollama_pid, PID_LIMIT),
	WORD(shm_vital, runner_pids[0], PID_LIMIT),
	WORD(shm_vital, runner_pids[1], PID_LIMIT),
	WORD(shm_vital, runner_pids[2], PID_LIMIT),
	WORD(shm_vital, runner_pids[3], PID_LIMIT),
	WORD(shm_vital, death_kind, SHM_DEATH_COUNT - 1),
	WORD(shm_vital, models, SHM_MODELS),
	TEXT(shm_vital, version),
	TEXT(shm_vital, why),
};

static const struct rule MODELS_RULES[] = {WORD(shm_models, n, SHM_MODELS)};
static const struct rule MODEL_RULES[] = {TEXT(shm_model, name)};
static const struct rule HOST_RULES[] = {WORD(shm_host, psi_known, 1), WORD(shm_host, gpus, SHM_GPUS)};
static const struct rule GPU_RULES[] = {TEXT(shm_gpu, name)};
static const struct rule IDENT_RULES[] = {WORD(shm_router_ident, pid, PID_LIMIT)};
static const struct rule WISH_RULES[] = {WORD(shm_wish, kind, SHM_WISH_COUNT - 1), TEXT(shm_wish, model)};

static bool rules_hold(const void *copy, const struct rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const unsigned char *p = (const unsigned char *)copy + rules[i].at;
		uint64_t word;

		if (rules[i].text_bytes) {
			if (!memchr(p, 0, rules[i].text_bytes))
				return false;
			continue;
		}
		memcpy(&word, p, sizeof(word));
		if (word > rules[i].max)
			return false;
	}
	return true;
}

static int judged(const struct shm_reader *r, bool good)
{
	if (good)
		return 0;
	r->refused->bad++;
	return -EBADMSG;
}

/* --- lines -------------------------------------------------------------------------------------------------------------------- */

/* Room for a copy of one payload and its sum: filled as words, read as what it is.  Every word is stored before anyone looks, so the compiler's
 * zeroing of locals, a fifth of the time of a read, is waived. */
#define COPY(type, name)                                                                                                           \
	union {                                                                                                                    \
		struct type v;                                                                                                     \
		uint64_t words[SHM_WORDS(struct type) + 1];                                                                        \
	} name __attribute__((uninitialized))

static int line_take(const struct shm_reader *r, const _Atomic uint64_t *seq, const _Atomic uint64_t *words, uint64_t *copy,
		     size_t n)
{
	if (shm_seq_load(seq, words, n, copy, SHM_TRIES))
		return judged(r, copy[n - 1] == shm_sum(copy, n - 1));
	r->refused->torn++;
	return -EAGAIN;
}

#define TAKE(r, line, copy) line_take((r), &(line)->seq, (line)->words, (copy).words, ARRAY_SIZE((line)->words))
#define HOLD(v, rules)      rules_hold((v), (rules), ARRAY_SIZE(rules))

int shm_read_header(const struct shm_reader *r, struct shm_header *out)
{
	COPY(shm_header, copy);
	int err;

	if (!r->owner)
		return -ERANGE;
	err = TAKE(r, &r->owner->header, copy);
	if (!err)
		err = judged(r, HOLD(&copy.v, HEADER_RULES));
	if (!err)
		*out = copy.v;
	return err;
}

static int child_take(const struct shm_reader *r, const struct shm_child_line_line *line, struct shm_child_line *out)
{
	COPY(shm_child_line, copy);
	int err = TAKE(r, line, copy);

	if (!err)
		err = judged(r, HOLD(&copy.v, CHILD_RULES));
	if (!err)
		*out = copy.v;
	return err;
}

int shm_read_router_child(const struct shm_reader *r, unsigned router, struct shm_child_line *out)
{
	return router < SHM_ROUTERS && r->owner ? child_take(r, &r->owner->router[router], out) : -ERANGE;
}

int shm_read_host_child(const struct shm_reader *r, struct shm_child_line *out)
{
	return r->owner ? child_take(r, &r->owner->host, out) : -ERANGE;
}

int shm_read_slot(const struct shm_reader *r, unsigned slot, struct shm_owner *out)
{
	COPY(shm_owner, copy);
	int err;

	if (slot >= SHM_SLOTS || !r->owner)
		return -ERANGE;
	err = TAKE(r, &r->owner->slot[slot], copy);
	if (!err)
		err = judged(r, HOLD(&copy.v, OWNER_RULES));
	if (!err)
		*out = copy.v;
	return err;
}

int shm_read_vital(const struct shm_reader *r, unsigned slot, struct shm_vital *out)
{
	COPY(shm_vital, copy);
	int err;

	if (slot >= SHM_SLOTS || !r->vital[slot])
		return -ERANGE;
	err = TAKE(r, &r->vital[slot]->vital, copy);
	if (!err)
		err = judged(r, HOLD(&copy.v, VITAL_RULES));
	if (!err)
		*out = copy.v;
	return err;
}

static bool models_hold(const struct shm_models *m)
{
	bool good = HOLD(m, MODELS_RULES);

	for (unsigned i = 0; good && i < SHM_MODELS; i++)
		good = HOLD(&m->at[i], MODEL_RULES);
	return good;
}

int shm_read_models(const struct shm_reader *r, unsigned slot, struct shm_models *out)
{
	COPY(shm_models, copy);
	int err;

	if (slot >= SHM_SLOTS || !r->vital[slot])
		return -ERANGE;
	err = TAKE(r, &r->vital[slot]->models, copy);
	if (!err)
		err = judged(r, models_hold(&copy.v));
	if (!err)
		*out = copy.v;
	return err;
}

static bool host_holds(const struct shm_host *h)
{
	bool good = HOLD(h, HOST_RULES);

	for (unsigned i = 0; good && i < SHM_GPUS; i++)
		good = HOLD(&h->gpu[i], GPU_RULES);
	return good;
}

int shm_read_host(const struct shm_reader *r, struct shm_host *out)
{
	COPY(shm_host, copy);
	int err;

	if (!r->host)
		return -ERANGE;
	err = TAKE(r, &r->host->host, copy);
	if (!err)
		err = judged(r, host_holds(&copy.v));
	if (!err)
		*out = copy.v;
	return err;
}

int shm_read_router_ident(const struct shm_reader *r, unsigned router, struct shm_router_ident *out)
{
	COPY(shm_router_ident, copy);
	int err;

	if (router >= SHM_ROUTERS || !r->router[router])
		return -ERANGE;
	err = TAKE(r, &r->router[router]->ident, copy);
	if (!err)
		err = judged(r, HOLD(&copy.v, IDENT_RULES));
	if (!err)
		*out = copy.v;
	return err;
}

int shm_read_wish(const struct shm_reader *r, unsigned router, unsigned slot, unsigned n, struct shm_wish *out)
{
	COPY(shm_wish, copy);
	int err;

	if (router >= SHM_ROUTERS || slot >= SHM_SLOTS || n >= SHM_WISHES || !r->router[router])
		return -ERANGE;
	err = TAKE(r, &r->router[router]->slot[slot].wish[n], copy);
	if (!err)
		err = judged(r, HOLD(&copy.v, WISH_RULES));
	if (!err)
		*out = copy.v;
	return err;
}

/* --- counters, words ---------------------------------------------------------------------------------------------------------- */

const struct shm_router_counters *shm_router_counters(const struct shm_reader *r, unsigned router)
{
	return router < SHM_ROUTERS && r->router[router] ? &r->router[router]->counters : NULL;
}

const struct shm_rslot *shm_router_slot(const struct shm_reader *r, unsigned router, unsigned slot)
{
	return router < SHM_ROUTERS && slot < SHM_SLOTS && r->router[router] ? &r->router[router]->slot[slot] : NULL;
}

uint64_t shm_reader_torn(const struct shm_reader *r)
{
	return r->refused->torn;
}

uint64_t shm_reader_bad(const struct shm_reader *r)
{
	return r->refused->bad;
}

static const struct {
	const char *word;
	const char *sentence;
} STATES[SHM_STATE_COUNT] = {
#define STATE(name, word, sentence) [SHM_STATE_##name] = {word, sentence},
#include "shm/states.def"
#undef STATE
};

static const char *const CHILD_WORDS[SHM_CHILD_COUNT] = {
	[SHM_CHILD_NONE] = "none",         [SHM_CHILD_STARTING] = "starting", [SHM_CHILD_RUNNING] = "running",
	[SHM_CHILD_STOPPING] = "stopping", [SHM_CHILD_BACKOFF] = "backoff",   [SHM_CHILD_QUARANTINED] = "quarantined",
	[SHM_CHILD_STOPPED] = "stopped",
};

const char *shm_state_word(uint64_t state)
{
	return state < SHM_STATE_COUNT ? STATES[state].word : "unknown";
}

const char *shm_state_sentence(uint64_t state)
{
	return state < SHM_STATE_COUNT ? STATES[state].sentence : "unknown";
}

const char *shm_child_word(uint64_t child_state)
{
	return child_state < SHM_CHILD_COUNT ? CHILD_WORDS[child_state] : "unknown";
}
