#include "route/stretch.h"

#include <math.h>

#define MOST   8.0F
#define UP     1.25F  /* one that waited longer than predicted ... */
#define DOWN   0.995F /* ... weighs as much as fifty that did not */
#define TAU_NS 600e9F /* what is above 1 fades with it: a rush hour is over sometime */

float stretch_factor(const struct stretch *s, uint64_t now_ns)
{
	float age = now_ns > s->since_ns ? (float)(now_ns - s->since_ns) : 0;

	return s->factor > 1 ? 1 + (s->factor - 1) * expf(-age / TAU_NS) : 1;
}

void stretch_learn(struct stretch *s, float then, uint64_t guess_ns, uint64_t waited_ns, bool in_vain, uint64_t now_ns)
{
	float f = stretch_factor(s, now_ns);

	if (!in_vain && (float)waited_ns <= (float)guess_ns * f)
		f *= DOWN;
	else if (f < then * UP)
		f = then * UP;
	s->factor = f < 1 ? 1 : f > MOST ? MOST : f;
	s->since_ns = now_ns;
}
