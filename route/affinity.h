/* route/affinity.h - which instance holds the prefix of a session.  A fixed table in the caller's memory, 8-way sets, least recently
 * used out first; no allocation.
 *
 * Bind on success, keep when the client leaves, drop on failure; let go when the detour costs more than the prefix saves.  With one
 * prompt slot per instance, as Ollama has by default, affinity pays for live sessions only: hence the age, and hence a bonus among
 * equals rather than a rule. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define AFFINITY_WAYS   8
#define AFFINITY_AGE_NS (600ULL * 1000000000ULL) /* what other balancers use for sessions: ten minutes */

struct affinity_entry {
	uint64_t key; /* 0: free */
	uint64_t used_ns;
	uint32_t tokens; /* of the conversation when last answered: what the cache holds */
	uint32_t gen;    /* of the instance, cut to 32 bits: a restarted one has lost its cache */
	uint16_t slot;
};

struct affinity {
	struct affinity_entry *entry;
	uint32_t n_sets; /* a power of two */
	uint64_t age_ns;
};

enum affinity_outcome { AFFINITY_SUCCESS = 0, AFFINITY_CANCEL, AFFINITY_FAILURE };

/* `n` entries at `memory`, rounded down to a power of two of sets.  0, or -EINVAL when there is not one set. */
int affinity_init(struct affinity *a, struct affinity_entry *memory, unsigned n, uint64_t age_ns);

/* A key of a session or prefix within a tenant and model; `hash` of whatever names the session.  Never 0. */
uint64_t affinity_key(uint64_t tenant, uint64_t model, uint64_t hash);
/* 64-bit FNV-1a with a final mix, to be continued with its own result: for headers and first turns. */
uint64_t affinity_hash(uint64_t seed, const void *p, uint64_t n);

/* The live binding of a key, or NULL.  The entry may be read until the next call that changes the table. */
const struct affinity_entry *affinity_find(const struct affinity *a, uint64_t key, uint64_t now_ns);

/* An answer from `slot` ended so; `tokens` = prompt + answer. */
void affinity_report(struct affinity *a, uint64_t key, uint16_t slot, uint32_t gen, uint32_t tokens, enum affinity_outcome outcome,
		     uint64_t now_ns);

/* Forget all bindings to an instance. */
void affinity_drop_slot(struct affinity *a, uint16_t slot);

/* Is the bound instance worth it?  Its extra wait over the best other one must not exceed the prefill that it saves. */
bool affinity_worth(uint64_t saved_ns, uint64_t ahead_bound_ns, uint64_t ahead_best_ns);
