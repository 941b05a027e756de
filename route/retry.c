#include "route/retry.h"

#include "base/clock.h"

void retry_conf_default(struct retry_conf *conf)
{
	*conf = (struct retry_conf){.share = 0.2F, .per_s = 2.0F, .most = 20.0F};
}

static void give(struct retry *r, float tokens)
{
	r->spent = r->spent > tokens ? r->spent - tokens : 0.0F;
}

void retry_request(struct retry *r, const struct retry_conf *conf)
{
	give(r, conf->share);
}

bool retry_take(struct retry *r, const struct retry_conf *conf, uint64_t now_ns)
{
	if (now_ns > r->last_ns) {
		give(r, conf->per_s * (float)(now_ns - r->last_ns) / (float)NS_PER_S);
		r->last_ns = now_ns;
	}
	if (r->spent + 1.0F > conf->most)
		return false;
	r->spent += 1.0F;
	return true;
}
