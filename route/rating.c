#include "route/rating.h"

#include <math.h>

float rating_weight(const struct rating *r, uint64_t now_ns)
{
	float age = now_ns > r->at_ns ? (float)(now_ns - r->at_ns) / (float)RATING_HALF_NS : 0;

	return r->n * exp2f(-age);
}

void rating_add(struct rating *r, float value, uint64_t now_ns)
{
	float n = rating_weight(r, now_ns);

	if (n > RATING_MOST - 1)
		n = RATING_MOST - 1;
	r->mean = (r->mean * n + value) / (n + 1);
	r->n = n + 1;
	r->at_ns = now_ns;
}
