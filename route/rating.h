/* route/rating.h - what users think of the answers of one model on one instance: a mean that forgets.  Pure.
 *
 * Every rating counts half after RATING_HALF_NS.  What a mean of so few is worth beside others is the decision's business
 * (route/decide.h draws it to a prior). */
#pragma once

#include <stdint.h>

#define RATING_HALF_NS (7ULL * 24 * 3600 * 1000000000ULL) /* models and prompts change in weeks, not in hours */
#define RATING_MOST    200.0F                             /* a new voice is heard, however many came before */

struct rating {     /* zero: nobody has said anything */
	float mean; /* 0 bad .. 1 good */
	float n;    /* ratings, as they counted at `at_ns` */
	uint64_t at_ns;
};

/* `value` 0..1. */
void rating_add(struct rating *r, float value, uint64_t now_ns);

/* What they count now. */
float rating_weight(const struct rating *r, uint64_t now_ns);
