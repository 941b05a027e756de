/* base/scan.h - strict numbers, durations, sizes and names.
 *
 * Bounded, locale-free, whole-string: "5 " or "5x" is an error, not 5.  On failure the output is untouched and `why` says what
 * to write instead, without naming the file or key: the caller knows those. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"

/* Decimal, `min` <= value <= `max`.  0 or -EINVAL. */
int scan_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct why *why);

/* A number and one of ns us ms s m h d, whole or with a fraction ("1.5s").  The unit is mandatory, also for 0.  0 or -EINVAL. */
int scan_duration_ns(const char *text, uint64_t *out_ns, struct why *why);

/* A number and one of B KiB MiB GiB TiB kB MB GB TB (and K M G T for the binary ones).  The unit is mandatory.  0 or -EINVAL. */
int scan_size_bytes(const char *text, uint64_t *out_bytes, struct why *why);

/* A name of letters, digits, '_', '-' and '.', 1..`max` long, beginning with a letter or digit. */
bool scan_name_ok(const char *text, unsigned max);

/* Print a duration as people write it ("1.5s", "250ms", "2h"), into `buf`; returns `buf`. */
const char *scan_duration_text(uint64_t ns, char *buf, unsigned size);
