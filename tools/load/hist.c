#include "tools/load/hist.h"

#include <math.h>

static unsigned hist_place(uint64_t ns)
{
	unsigned shift, place;

	if (ns < 2 * HIST_SUB)
		return (unsigned)ns;
	shift = 63U - (unsigned)__builtin_clzll(ns) - 7U;
	place = (shift << 7) + (unsigned)(ns >> shift);
	return place < HIST_BUCKETS ? place : HIST_BUCKETS - 1;
}

static uint64_t hist_value_ns(unsigned place)
{
	unsigned shift;

	if (place < 2 * HIST_SUB)
		return place;
	shift = (place >> 7) - 1;
	return ((uint64_t)(place - (shift << 7)) << shift) + (1ULL << shift) / 2;
}

void hist_add(struct hist *h, uint64_t ns)
{
	h->buckets[hist_place(ns)]++;
	h->n++;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

uint64_t hist_quantile_ns(const struct hist *h, double share)
{
	uint64_t want = (uint64_t)ceil(share * (double)h->n), seen = 0;

	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= want && seen)
			return hist_value_ns(i) < h->max_ns ? hist_value_ns(i) : h->max_ns;
	}
	return h->max_ns;
}
