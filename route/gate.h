/* route/gate.h - keep an instance out while its 95th percentile is over the limit, with hysteresis.
 *
 * Out above the limit, in again below `back` of it: an instance on the edge does not flap.  What brings it back is fresh figures from
 * the share of traffic that decide() still sends there, or the age of the old ones: after `stale_ns` without an answer nothing is known. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct gate_conf {
	uint64_t limit_ns; /* 0: no limit */
	float back;        /* 0.8 */
	float least_n;     /* answers below which nothing is concluded: 10 */
	uint64_t stale_ns; /* 10 minutes */
};

/* Per (instance, class); zero is "in". */
struct gate {
	bool out;
	uint64_t since_ns;
};

void gate_conf_default(struct gate_conf *conf);

/* `p95_ns` of `n` answers, the last of them `age_ns` ago.  True when the instance is out. */
bool gate_update(struct gate *g, const struct gate_conf *conf, uint64_t p95_ns, float n, uint64_t age_ns, uint64_t now_ns);
