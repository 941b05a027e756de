#include "route/gate.h"

#include "base/clock.h"

void gate_conf_default(struct gate_conf *conf)
{
	*conf = (struct gate_conf){.back = 0.8F, .least_n = 10.0F, .stale_ns = 600 * NS_PER_S};
}

static bool out_now(const struct gate *g, const struct gate_conf *conf, uint64_t p95_ns, float n, uint64_t age_ns)
{
	if (!conf->limit_ns || n < conf->least_n || age_ns >= conf->stale_ns)
		return false;
	if (g->out)
		return (float)p95_ns > (float)conf->limit_ns * conf->back;
	return p95_ns > conf->limit_ns;
}

bool gate_update(struct gate *g, const struct gate_conf *conf, uint64_t p95_ns, float n, uint64_t age_ns, uint64_t now_ns)
{
	bool out = out_now(g, conf, p95_ns, n, age_ns);

	if (out != g->out)
		*g = (struct gate){.out = out, .since_ns = now_ns};
	return out;
}
