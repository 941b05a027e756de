/* The rules that tsa is measured against. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/simulate/simulate.h"

/* --- bound at arrival --------------------------------------------------------------------------------------------------------------- */

static unsigned outstanding(const struct sim *s, unsigned i)
{
	return s->instance[i].busy + s->instance[i].queued;
}

static void arrive_random(struct sim *s, unsigned request)
{
	sim_bind(s, request, sim_below(s, s->n_instances));
}

static void arrive_round_robin(struct sim *s, unsigned request)
{
	sim_bind(s, request, request % s->n_instances);
}

static void arrive_p2c(struct sim *s, unsigned request)
{
	unsigned a = sim_below(s, s->n_instances), b = a;

	if (s->n_instances > 1) {
		b = sim_below(s, s->n_instances - 1);
		b += b >= a;
	}
	sim_bind(s, request, outstanding(s, b) < outstanding(s, a) ? b : a);
}

/* The least `cost`; equal ones are taken in turn. */
static unsigned least(struct sim *s, unsigned request, double (*cost)(const struct sim *s, unsigned i))
{
	unsigned best = request % s->n_instances;
	double best_cost = cost(s, best);

	for (unsigned k = 1; k < s->n_instances; k++) {
		unsigned i = (request + k) % s->n_instances;
		double c = cost(s, i);

		if (c < best_cost) {
			best = i;
			best_cost = c;
		}
	}
	return best;
}

static double cost_outstanding(const struct sim *s, unsigned i)
{
	return (double)outstanding(s, i) / s->instance[i].slots;
}

/* Speeds known, not learned. */
static double cost_speed(const struct sim *s, unsigned i)
{
	return (outstanding(s, i) + 1.0) / s->instance[i].slots / s->instance[i].speed;
}

static void arrive_least(struct sim *s, unsigned request)
{
	sim_bind(s, request, least(s, request, cost_outstanding));
}

static void arrive_speed(struct sim *s, unsigned request)
{
	sim_bind(s, request, least(s, request, cost_speed));
}

/* --- the rule of the replaced balancer ------------------------------------------------------------------------------------------------
 * Mean response time of the last 100 successes in ms, plus 100 × failed / total; the lowest wins, equals in configured order; no count
 * of what is under way.  Nothing fails here, so the second term is 0. */

#define WINDOW 100

struct window {
	double ms[WINDOW];
	double sum;
	unsigned n, at;
};

static int replaced_create(struct sim *s, const struct sim_options *o)
{
	(void)o;
	s->state = calloc(s->n_instances, sizeof(struct window));
	return s->state ? 0 : -ENOMEM;
}

static void state_free(struct sim *s)
{
	free(s->state);
}

static void replaced_arrive(struct sim *s, unsigned request)
{
	const struct window *w = s->state;
	unsigned best = 0;

	for (unsigned i = 1; i < s->n_instances; i++)
		if ((w[i].n ? w[i].sum / w[i].n : 0) < (w[best].n ? w[best].sum / w[best].n : 0))
			best = i;
	sim_bind(s, request, best);
}

static void replaced_done(struct sim *s, unsigned request)
{
	const struct sim_request *r = &s->trace.at[request];
	struct window *w = (struct window *)s->state + r->instance;
	double ms = (double)(r->end_ns - r->arrive_ns) / 1e6;

	w->sum += ms - w->ms[w->at];
	w->ms[w->at] = ms;
	w->at = (w->at + 1) % WINDOW;
	if (w->n < WINDOW)
		w->n++;
}

/* --- held until a slot is free ---------------------------------------------------------------------------------------------------------- */

/* A heap of requests: by arrival, or by true work.  The quickest free instance takes the first. */
struct held {
	unsigned *at;
	unsigned n;
	bool by_work;
};

static bool held_before(const struct sim *s, const struct held *h, unsigned a, unsigned b)
{
	uint64_t x = h->by_work ? s->trace.at[a].work_ns : a, y = h->by_work ? s->trace.at[b].work_ns : b;

	return x < y || (x == y && a < b);
}

static void held_add(struct sim *s, struct held *h, unsigned request)
{
	unsigned i = h->n++;

	for (; i && held_before(s, h, request, h->at[(i - 1) / 2]); i = (i - 1) / 2)
		h->at[i] = h->at[(i - 1) / 2];
	h->at[i] = request;
}

static unsigned held_pop(struct sim *s, struct held *h)
{
	unsigned first = h->at[0], last = h->at[--h->n], i = 0;

	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= h->n)
			break;
		if (child + 1 < h->n && held_before(s, h, h->at[child + 1], h->at[child]))
			child++;
		if (!held_before(s, h, h->at[child], last))
			break;
		h->at[i] = h->at[child];
		i = child;
	}
	h->at[i] = last;
	return first;
}

static int held_create(struct sim *s, bool by_work)
{
	struct held *h = calloc(1, sizeof(*h));

	if (h)
		h->at = calloc(s->trace.n + 1, sizeof(*h->at));
	s->state = h;
	if (!h || !h->at)
		return -ENOMEM;
	h->by_work = by_work;
	return 0;
}

static int fcfs_create(struct sim *s, const struct sim_options *o)
{
	(void)o;
	return held_create(s, false);
}

static int shortest_create(struct sim *s, const struct sim_options *o)
{
	(void)o;
	return held_create(s, true);
}

static void held_destroy(struct sim *s)
{
	struct held *h = s->state;

	if (h)
		free(h->at);
	free(h);
}

static void held_go(struct sim *s)
{
	struct held *h = s->state;

	while (h->n) {
		int best = -1;

		for (unsigned i = 0; i < s->n_instances; i++)
			if (s->instance[i].busy < s->instance[i].slots &&
			    (best < 0 || s->instance[i].speed > s->instance[best].speed))
				best = (int)i;
		if (best < 0)
			return;
		sim_start(s, held_pop(s, h), (unsigned)best);
	}
}

static void held_arrive(struct sim *s, unsigned request)
{
	held_add(s, s->state, request);
	held_go(s);
}

static void held_done(struct sim *s, unsigned request)
{
	(void)request;
	held_go(s);
}

const struct sim_policy SIM_POLICIES[] = {
	{"random", "any instance", NULL, NULL, arrive_random, NULL, NULL},
	{"round-robin", "each instance in turn", NULL, NULL, arrive_round_robin, NULL, NULL},
	{"p2c", "the less loaded of two random instances", NULL, NULL, arrive_p2c, NULL, NULL},
	{"least-outstanding", "the fewest requests per slot", NULL, NULL, arrive_least, NULL, NULL},
	{"speed-weighted", "the fewest requests per slot and speed; speeds are known to it", NULL, NULL, arrive_speed, NULL, NULL},
	{"replaced", "the lowest mean response time of the last 100 answers", replaced_create, state_free, replaced_arrive,
	 replaced_done, NULL},
	{"fcfs", "one queue, first come, first served, the quickest free instance", fcfs_create, held_destroy, held_arrive,
	 held_done, NULL},
	{"shortest-first", "one queue, the shortest first; the true lengths are known to it", shortest_create, held_destroy,
	 held_arrive, held_done, NULL},
};
const unsigned SIM_POLICY_COUNT = ARRAY_SIZE(SIM_POLICIES);
