/* route/retry.h - how much trying again the service may do: a budget over all requests.
 *
 * Each request pays a share of a token in, each retry takes a whole one out; a small allowance per second lets a quiet service retry
 * at all.  So a broken fleet sees at most 1 + share times its traffic, not attempts times. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct retry_conf {
	float share; /* retries per request: 0.2 */
	float per_s; /* and so many a second besides: 2 */
	float most;  /* tokens kept: 20 */
};

/* Zero starts with a full purse. */
struct retry {
	float spent; /* tokens missing from `most` */
	uint64_t last_ns;
};

void retry_conf_default(struct retry_conf *conf);
void retry_request(struct retry *r, const struct retry_conf *conf);
/* May one be made now?  If so it is paid for. */
bool retry_take(struct retry *r, const struct retry_conf *conf, uint64_t now_ns);
