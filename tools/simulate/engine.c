/* Events in order of time; a slot that becomes free is taken by the next of the instance's own queue, or offered to the policy. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/simulate/simulate.h"

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->seq < b->seq);
}

static void swap(struct sim_event *a, struct sim_event *b)
{
	struct sim_event t = *a;

	*a = *b;
	*b = t;
}

static void event_add(struct sim *s, uint64_t at_ns, int32_t request)
{
	unsigned i = s->n_events++;

	BUG_ON(s->n_events > s->cap_events);
	s->events[i] = (struct sim_event){.at_ns = at_ns, .seq = s->seq++, .request = request};
	for (; i && earlier(&s->events[i], &s->events[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&s->events[i], &s->events[(i - 1) / 2]);
}

static struct sim_event event_pop(struct sim *s)
{
	struct sim_event first = s->events[0];
	unsigned i = 0;

	s->events[0] = s->events[--s->n_events];
	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= s->n_events)
			return first;
		if (child + 1 < s->n_events && earlier(&s->events[child + 1], &s->events[child]))
			child++;
		if (!earlier(&s->events[child], &s->events[i]))
			return first;
		swap(&s->events[child], &s->events[i]);
		i = child;
	}
}

uint64_t sim_service_ns(const struct sim *s, unsigned request, unsigned instance)
{
	return (uint64_t)((double)s->trace.at[request].work_ns / s->instance[instance].speed);
}

void sim_start(struct sim *s, unsigned request, unsigned instance)
{
	struct sim_instance *i = &s->instance[instance];
	struct sim_request *r = &s->trace.at[request];

	BUG_ON(i->busy >= i->slots || r->instance >= 0);
	i->busy++;
	r->instance = (int16_t)instance;
	r->start_ns = s->now_ns;
	r->end_ns = s->now_ns + sim_service_ns(s, request, instance);
	i->busy_ns += r->end_ns - r->start_ns;
	event_add(s, r->end_ns, (int32_t)request);
}

void sim_bind(struct sim *s, unsigned request, unsigned instance)
{
	struct sim_instance *i = &s->instance[instance];

	if (i->busy < i->slots) {
		sim_start(s, request, instance);
		return;
	}
	s->trace.at[request].next = -1;
	if (i->tail >= 0)
		s->trace.at[i->tail].next = (int32_t)request;
	else
		i->head = (int32_t)request;
	i->tail = (int32_t)request;
	i->queued++;
}

void sim_refuse(struct sim *s, unsigned request)
{
	s->trace.at[request].refused = true;
}

void sim_wake_at(struct sim *s, uint64_t at_ns)
{
	if (at_ns < s->now_ns)
		at_ns = s->now_ns;
	if (at_ns >= s->wake_ns)
		return;
	s->wake_ns = at_ns;
	event_add(s, at_ns, -1);
}

/* SplitMix64. */
uint64_t sim_random(struct sim *s)
{
	uint64_t z = s->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

unsigned sim_below(struct sim *s, unsigned n)
{
	return (unsigned)((unsigned __int128)sim_random(s) * n >> 64);
}

static void finish(struct sim *s, unsigned request)
{
	struct sim_instance *i = &s->instance[s->trace.at[request].instance];
	int32_t next = i->head;

	i->busy--;
	if (next >= 0) {
		i->head = s->trace.at[next].next;
		if (i->head < 0)
			i->tail = -1;
		i->queued--;
		sim_start(s, (unsigned)next, (unsigned)s->trace.at[request].instance);
	}
	if (s->policy->done)
		s->policy->done(s, request);
}

/* A wake that was asked for again, and earlier, finds its time passed and means nothing. */
static void wake(struct sim *s, uint64_t at_ns)
{
	if (at_ns < s->wake_ns)
		return;
	s->wake_ns = CLOCK_NEVER;
	if (s->policy->wake)
		s->policy->wake(s);
}

static void run(struct sim *s)
{
	for (unsigned next = 0; next < s->trace.n || s->n_events;) {
		if (s->n_events && (next == s->trace.n || s->events[0].at_ns <= s->trace.at[next].arrive_ns)) {
			struct sim_event e = event_pop(s);

			s->now_ns = e.at_ns;
			if (e.request >= 0)
				finish(s, (unsigned)e.request);
			else
				wake(s, e.at_ns);
		} else {
			s->now_ns = s->trace.at[next].arrive_ns;
			s->policy->arrive(s, next++);
		}
	}
}

int sim_run(const struct sim_options *o, const struct sim_policy *p, const struct sim_trace *t, struct sim_trace *out,
	    struct why *why)
{
	struct sim *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	if (!s)
		return why_set(why, rc, "no memory for a simulation");
	s->policy = p;
	s->options = o;
	s->random = o->seed;
	s->wake_ns = CLOCK_NEVER;
	s->n_instances = o->instances;
	/* An arrival and an end may each ask for one wake. */
	s->cap_events = o->instances * o->slots + 2 * t->n + 2;
	s->events = calloc(s->cap_events, sizeof(*s->events));
	for (unsigned i = 0; i < o->instances; i++)
		s->instance[i] = (struct sim_instance){
			.speed = o->n_speeds ? o->speeds[i % o->n_speeds] : 1, .slots = o->slots, .head = -1, .tail = -1};
	if (s->events)
		rc = trace_copy(t, &s->trace);
	if (rc == 0)
		rc = p->create ? p->create(s, o) : 0;
	if (rc == 0) {
		run(s);
		*out = s->trace;
		s->trace.at = NULL;
	} else {
		why_set(why, rc, "no memory to simulate %u requests", t->n);
	}
	if (p->destroy)
		p->destroy(s);
	trace_free(&s->trace);
	free(s->events);
	free(s);
	return rc;
}
