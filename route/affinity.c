#include "route/affinity.h"

#include <errno.h>
#include <string.h>

#define FNV_START 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

/* Spread every bit over the word (the finalizer of splitmix64). */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

int affinity_init(struct affinity *a, struct affinity_entry *memory, unsigned n, uint64_t age_ns)
{
	uint32_t sets = 1;

	if (n < AFFINITY_WAYS)
		return -EINVAL;
	while (sets * 2 * AFFINITY_WAYS <= n)
		sets *= 2;
	*a = (struct affinity){.entry = memory, .n_sets = sets, .age_ns = age_ns};
	memset(memory, 0, (size_t)sets * AFFINITY_WAYS * sizeof(*memory));
	return 0;
}

uint64_t affinity_hash(uint64_t seed, const void *p, uint64_t n)
{
	const unsigned char *s = p;
	uint64_t h = FNV_START ^ seed;

	for (uint64_t i = 0; i < n; i++)
		h = (h ^ s[i]) * FNV_PRIME;
	return mix(h);
}

uint64_t affinity_key(uint64_t tenant, uint64_t model, uint64_t hash)
{
	uint64_t key = mix(mix(mix(tenant + 1) ^ model) + hash);

	return key ? key : 1;
}

static struct affinity_entry *set_of(const struct affinity *a, uint64_t key)
{
	return &a->entry[(key & (a->n_sets - 1)) * AFFINITY_WAYS];
}

static bool alive(const struct affinity *a, const struct affinity_entry *e, uint64_t now_ns)
{
	return e->key && now_ns < e->used_ns + a->age_ns;
}

static struct affinity_entry *find(const struct affinity *a, uint64_t key, uint64_t now_ns)
{
	struct affinity_entry *e = set_of(a, key);

	for (unsigned i = 0; i < AFFINITY_WAYS; i++)
		if (e[i].key == key && alive(a, &e[i], now_ns))
			return &e[i];
	return NULL;
}

const struct affinity_entry *affinity_find(const struct affinity *a, uint64_t key, uint64_t now_ns)
{
	return find(a, key, now_ns);
}

/* The entry of the key, or a free or aged one, or the one used longest ago. */
static struct affinity_entry *place(const struct affinity *a, uint64_t key)
{
	struct affinity_entry *e = set_of(a, key), *oldest = e;

	for (unsigned i = 0; i < AFFINITY_WAYS; i++) {
		if (e[i].key == key)
			return &e[i];
		if (!e[i].key || (oldest->key && e[i].used_ns < oldest->used_ns))
			oldest = e[i].key || oldest->key ? &e[i] : oldest;
	}
	return oldest;
}

void affinity_report(struct affinity *a, uint64_t key, uint16_t slot, uint32_t gen, uint32_t tokens, enum affinity_outcome outcome,
		     uint64_t now_ns)
{
	struct affinity_entry *e;

	switch (outcome) {
	case AFFINITY_SUCCESS:
		*place(a, key) = (struct affinity_entry){.key = key, .used_ns = now_ns, .tokens = tokens, .gen = gen, .slot = slot};
		break;
	case AFFINITY_CANCEL:
		e = find(a, key, now_ns);
		if (e && e->slot == slot && e->gen == gen)
			e->used_ns = now_ns;
		break;
	case AFFINITY_FAILURE:
		e = find(a, key, now_ns);
		if (e && e->slot == slot)
			e->key = 0;
		break;
	}
}

void affinity_drop_slot(struct affinity *a, uint16_t slot)
{
	for (uint32_t i = 0; i < a->n_sets * AFFINITY_WAYS; i++)
		if (a->entry[i].slot == slot)
			a->entry[i].key = 0;
}

bool affinity_worth(uint64_t saved_ns, uint64_t ahead_bound_ns, uint64_t ahead_best_ns)
{
	return ahead_bound_ns <= ahead_best_ns || ahead_bound_ns - ahead_best_ns <= saved_ns;
}
