/* tools/simulate/simulate.h - private to tsa-simulate: a discrete-event simulation of a fleet under a recorded trace of requests.
 *
 * The fleet: instances, each with a speed and a number of slots; a request takes one slot for ctx / (prefill × speed) + gen /
 * (decode × speed) seconds, is never interrupted, and the slots of an instance do not slow one another down.  A policy either binds a
 * request to an instance when it arrives (the instance's own first-in-first-out queue) or holds it until a slot is free.
 *
 * The policy `tsa` is the router's own code: route/order.c, route/decide.c, route/speed.c.  It knows the prompt's length and what it has
 * learned; the true lengths of answers and the speeds of the instances are hidden from it.  One thread, no clock, no randomness but
 * the seeded one: the same arguments give the same figures. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

#define SIM_INSTANCES 128

struct sim_request {
	uint64_t arrive_ns; /* scaled to the load */
	uint32_t ctx, gen;  /* tokens; the answer's length is known to clairvoyant policies alone */
	uint64_t work_ns;   /* at speed 1 */
	uint64_t start_ns, end_ns;
	int32_t next;     /* in its instance's queue; -1 none */
	int16_t instance; /* -1: refused or not yet bound */
	bool refused;
};

struct sim_trace {
	struct sim_request *at; /* by arrival */
	unsigned n;
};

struct sim_instance {
	double speed;
	unsigned slots;
	unsigned busy;
	unsigned queued;
	int32_t head, tail; /* of its own queue */
	uint64_t busy_ns;   /* slot time used */
};

struct sim_options {
	const char *trace;
	const char *policies;  /* "a,b", NULL: all */
	const char *csv, *svg; /* files, or NULL */
	unsigned instances;
	unsigned slots;
	double speeds[SIM_INSTANCES]; /* in turn over the instances */
	unsigned n_speeds;
	double load;            /* offered work / capacity over the whole trace; 0: arrivals as recorded */
	double prefill, decode; /* tokens/s at speed 1 */
	uint64_t seed;
	unsigned rows;        /* only the first so many; 0 all */
	unsigned cap;         /* prompts are cut to so many tokens; 0 never */
	unsigned queue;       /* requests that `tsa` lets wait; 0 no limit */
	uint64_t deadline_ns; /* that `tsa` lets one wait; 0 no limit */
	double gamma;         /* of `tsa`; 0: the router's default */
	bool json;
};

struct sim;

/* One way to choose.  `create` may fail for want of memory; the others may be NULL. */
struct sim_policy {
	const char *name;
	const char *help;
	int (*create)(struct sim *s, const struct sim_options *o);
	void (*destroy)(struct sim *s);
	void (*arrive)(struct sim *s, unsigned request);
	void (*done)(struct sim *s, unsigned request); /* its slot is free again */
	void (*wake)(struct sim *s);                   /* at the time asked for with sim_wake_at() */
};

struct sim_event {
	uint64_t at_ns;
	uint32_t seq;    /* keeps the order of events at one moment */
	int32_t request; /* -1: a wake */
};

struct sim {
	const struct sim_policy *policy;
	const struct sim_options *options;
	struct sim_trace trace;
	struct sim_instance instance[SIM_INSTANCES];
	unsigned n_instances;
	uint64_t now_ns;
	uint64_t random;
	struct sim_event *events; /* heap: one for each slot in use, and one wake */
	unsigned n_events, cap_events;
	uint32_t seq;
	uint64_t wake_ns; /* CLOCK_NEVER: none */
	void *state;      /* the policy's */
};

/* What a policy did, over all requests. */
struct sim_figures {
	double mean, p50, p95, p99, max; /* of the sojourn, s: arrival to end of the answer */
	double slowdown;                 /* mean of sojourn / own work at speed 1 */
	double fairness;                 /* Jain's index of the slowdowns: 1 when all are alike, 1/n when one has it all */
	double goodput;                  /* work served within the trace's span / capacity */
	unsigned served, refused;
};

/* --- trace.c ------------------------------------------------------------------------------------------------------------------- */
/* Read a CSV with the columns TIMESTAMP, ContextTokens and GeneratedTokens, or JSON lines with timestamp (ms), input_length and
 * output_length.  0; -errno or -EINVAL with `why` that names the line. */
int trace_load(const struct sim_options *o, struct sim_trace *out, struct why *why);
/* Fill in the work and scale the arrivals to the load. */
void trace_scale(const struct sim_options *o, struct sim_trace *t);
/* The same requests, as if nothing had happened yet.  0 or -ENOMEM. */
int trace_copy(const struct sim_trace *from, struct sim_trace *out);
void trace_free(struct sim_trace *t);

/* --- engine.c ------------------------------------------------------------------------------------------------------------------ */
int sim_run(const struct sim_options *o, const struct sim_policy *p, const struct sim_trace *t, struct sim_trace *out,
	    struct why *why);
void sim_start(struct sim *s, unsigned request, unsigned instance); /* the instance must have a slot free */
void sim_bind(struct sim *s, unsigned request, unsigned instance);  /* start it there, or put it into the instance's queue */
void sim_refuse(struct sim *s, unsigned request);
void sim_wake_at(struct sim *s, uint64_t at_ns);
uint64_t sim_service_ns(const struct sim *s, unsigned request, unsigned instance);
uint64_t sim_random(struct sim *s);
unsigned sim_below(struct sim *s, unsigned n); /* uniform, 0 .. n - 1 */

/* --- policies.c, tsa.c ------------------------------------------------------------------------------------------------------------ */
extern const struct sim_policy SIM_POLICIES[];
extern const unsigned SIM_POLICY_COUNT;
extern const struct sim_policy SIM_TSA;

/* --- report.c, plot.c ------------------------------------------------------------------------------------------------------------- */
struct sim_result {
	const struct sim_policy *policy;
	struct sim_figures figures;
	double *sojourn; /* of those served, s, ascending */
	unsigned n;
};

int figures_make(const struct sim_options *o, const struct sim_trace *t, struct sim_result *out); /* 0 or -ENOMEM */
void report_json(const struct sim_result *r, unsigned n);
void report_table(const struct sim_options *o, const struct sim_trace *t, const struct sim_result *r, unsigned n);
int report_csv(const char *path, const struct sim_result *r, unsigned n, struct why *why);
int plot_svg(const char *path, const struct sim_options *o, const struct sim_result *r, unsigned n, struct why *why);
