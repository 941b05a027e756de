#include "shm/hist.h"

#include <stddef.h>

/* 18 buckets to the octave: the bound of bucket 18 * o + s is 2^(SHORTEST + o + s/18) ns.  A float logarithm would cost more than
 * all the rest of the count, and its last bit differs between C libraries; this is integers and two small tables. */
#define PER_OCTAVE 18U
#define SHORTEST   15U /* log2 of the bound of bucket 0: 32.8 µs */

/* 2^(s/18) as a fraction with the point after the first of 32 bits. */
static const uint32_t BOUNDS[PER_OCTAVE] = {
	0x80000000, 0x85067242, 0x8a3f65c4, 0x8facd61e, 0x9550d2d5, 0x9b2d8025, 0xa14517cc, 0xa799e9ec, 0xae2e5de2,
	0xb504f334, 0xbc204285, 0xc382fe8f, 0xcb2ff52a, 0xd32a105c, 0xdb745777, 0xe411f03a, 0xed062009, 0xf6544d27,
};

/* The bucket at the lower end of each 32nd of an octave.  A 32nd is narrower than the narrowest bucket (2^(1/18) = 1.0393), so at
 * most one bound lies within and one comparison settles it. */
static const uint8_t CELLS[32] = {
	0, 0, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8, 8, 9, 9, 10, 11, 11, 12, 12, 13, 13, 14, 14, 14, 15, 15, 16, 16, 17, 17,
};

unsigned shm_hist_bucket(uint64_t ns)
{
	unsigned octave, s, bucket;
	uint32_t top;

	if (ns < 1ULL << SHORTEST)
		return 0;
	octave = 63U - (unsigned)__builtin_clzll(ns);
	top = (uint32_t)(ns << (63U - octave) >> 32);
	s = CELLS[top >> 26 & 31];
	if (s + 1 < PER_OCTAVE && top >= BOUNDS[s + 1])
		s++;
	bucket = (octave - SHORTEST) * PER_OCTAVE + s;
	return bucket < SHM_HIST_BUCKETS ? bucket : SHM_HIST_BUCKETS - 1;
}

static uint64_t bound(unsigned bucket)
{
	unsigned exponent = SHORTEST + bucket / PER_OCTAVE;
	uint64_t fraction = BOUNDS[bucket % PER_OCTAVE];

	return exponent >= 31 ? fraction << (exponent - 31) : fraction >> (31 - exponent);
}

uint64_t shm_hist_value(unsigned bucket)
{
	if (bucket >= SHM_HIST_BUCKETS)
		bucket = SHM_HIST_BUCKETS - 1;
	return (bound(bucket) + bound(bucket + 1)) / 2;
}

void shm_hist_add(_Atomic uint32_t *hist, uint64_t ns)
{
	_Atomic uint32_t *count = &hist[shm_hist_bucket(ns)];

	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

uint64_t shm_hist_quantile(const _Atomic uint32_t *hist, double q)
{
	uint64_t total = 0, seen = 0;
	double rank;

	for (unsigned i = 0; i < SHM_HIST_BUCKETS; i++)
		total += atomic_load_explicit(&hist[i], memory_order_relaxed);
	if (!total)
		return 0;
	rank = q * (double)total;
	for (unsigned i = 0; i < SHM_HIST_BUCKETS; i++) {
		uint32_t n = atomic_load_explicit(&hist[i], memory_order_relaxed);

		seen += n;
		if (n && (double)seen >= rank)
			return shm_hist_value(i);
	}
	return shm_hist_value(SHM_HIST_BUCKETS - 1);
}
