/* shm/hist.h - latency histograms in shared memory: log buckets, one writer, mergeable by adding.
 *
 * Bucket i holds values in [lo(i), lo(i+1)), the bounds growing by a factor of 1.04, so the middle of a bucket is within 2 % of
 * everything in it.  512 buckets span 1 µs to more than 9 minutes... see hist.c for the exact range; below and above are clamped. */
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
