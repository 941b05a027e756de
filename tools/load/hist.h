/* tools/load/hist.h - many durations in little room: exact to one part in 128. */
#pragma once

#include <stdint.h>

#define HIST_SUB     128U             /* buckets in each doubling */
#define HIST_BUCKETS (HIST_SUB * 36U) /* up to 2^42 ns, a good hour */

struct hist {
	uint64_t n;
	uint64_t max_ns;
	uint32_t buckets[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t ns);

/* The duration that `share` (0..1) of those recorded do not exceed; 0 when there is none. */
uint64_t hist_quantile_ns(const struct hist *h, double share);
