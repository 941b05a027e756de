/* shm/hist.h - latency histograms in shared memory: log buckets, one writer, mergeable by adding.
 *
 * Bucket bounds grow by 2^(1/18) = 1.0393, so the middle of a bucket is within 2 % (1.96 %) of everything in it.  512 buckets
 * span 2^15 ns = 32.8 µs to 3.3 hours; what is shorter counts in the first, what is longer in the last.  A count wraps at 2^32. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "shm/layout.h"

/* The bucket of a duration. */
unsigned shm_hist_bucket(uint64_t ns);

/* The middle of a bucket, ns. */
uint64_t shm_hist_value(unsigned bucket);

/* Count one.  One writer only. */
void shm_hist_add(_Atomic uint32_t *hist, uint64_t ns);

/* The q-quantile (0 < q < 1) of a histogram, or 0 when it is empty.  A torn reading only moves the answer by a bucket. */
uint64_t shm_hist_quantile(const _Atomic uint32_t *hist, double q);
