/* router/routing.h - private: what one router knows and has learned for its decisions.
 *
 * Memory is bounded by the constants here: what nobody has used for longest makes room.  Everything is of this router alone; a new
 * one learns anew, from priors. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proc/proc.h"
#include "route/affinity.h"
#include "route/breaker.h"
#include "route/decide.h"
#include "route/gate.h"
#include "route/order.h"
#include "route/rating.h"
#include "route/retry.h"
#include "route/speed.h"
#include "route/tags.h"
#include "shm/hist.h"

#define ROUTER_PAIRS     1024 /* (instance, model) of which something is known */
#define ROUTER_TENANTS   256  /* who share the service at a time; more than that count as one */
#define ROUTER_FLOWS     4096 /* (tenant, model) with requests that wait */
#define ROUTER_DECISIONS 64   /* kept to be asked about */
#define ROUTER_FRESH_NS  (100 * NS_PER_MS) /* derived figures are made anew when older */

struct router;
struct model;
struct exchange;

/* Answer times of one class in two windows, the present and the one before it: buckets of shm/hist.h. */
struct latency {
	uint16_t n[2][SHM_HIST_BUCKETS];
	uint16_t top[2]; /* highest bucket in use */
	uint32_t sum[2];
	uint64_t since_ns; /* begin of the present window */
	uint64_t last_ns;
	uint64_t p95_ns; /* as of the last figures */
	bool dirty;
	bool stale; /* too old to count */
	struct gate gate;
};

/* One model on one instance. */
struct pair {
	struct model *model; /* NULL: free */
	uint8_t slot;
	uint32_t users; /* requests under way */
	uint64_t last_ns;    /* last answer, good or bad */
	struct breaker breaker;
	struct speed prefill, decode;
	float prefill_ns, decode_ns; /* as of figures_ns */
	uint64_t figures_ns;
	float ok, ok_n; /* share of requests that succeeded */
	struct rating rating;
	struct latency latency[ORDER_CLASSES];
};

/* Who pays. */
struct tenant {
	struct order_tenant order;
	uint64_t key;
	uint64_t used_ns;
	unsigned users; /* requests here */
};

/* One decision with all that it was made from. */
struct decision {
	uint64_t id; /* of the request; 0: none yet */
	uint64_t wall_ns;
	uint64_t tenant;
	unsigned turn;
	uint8_t class;   /* enum order_class */
	uint8_t attempt; /* 1: the first */
	uint8_t kind;    /* as of the exchange, like the next three */
	bool automatic;
	float confidence;
	float complexity;
	char model[PROC_MODEL];
	struct decide_request rq;
	struct decide_slot slot[PROC_SLOTS]; /* .. result.n */
	struct decide_result result;
};

struct routing {
	struct decide_conf decide;
	struct order_conf order_conf;
	struct breaker_conf breaker;
	struct gate_conf gate;
	struct retry_conf retry_conf;
	struct speed_conf prefill_conf, decode_conf;
	struct order order;
	struct order_flow *flows;
	struct tenant *tenants;
	unsigned n_tenants;
	struct pair *pairs;
	unsigned n_pairs; /* that were ever in use */
	struct affinity affinity;
	struct affinity_entry *sessions;
	unsigned n_sessions;
	struct tags tags;
	uint64_t slot_tags[PROC_SLOTS];
	struct speed prefill, decode; /* of the fleet: what is thought of whom nobody knows */
	struct retry retry;
	uint64_t answers;     /* learned from */
	uint64_t lane_epoch;  /* moves on when an instance may have become usable or unusable */
	uint64_t room_bytes;  /* of the host; 0 not known */
	bool gpus_sick;       /* there are some, and none is well */
	struct decision *decisions; /* a ring; the one being made stands at `next` */
	unsigned next;
	unsigned turn; /* counts decisions */
};

/* --- routing.c ----------------------------------------------------------------------------------------------------------------- */

/* False: no memory; routing_fini() in any case. */
bool routing_init(struct routing *t);
void routing_fini(struct routing *t);
/* Take over r->conf. */
void routing_take(struct router *r);
/* The slot's instance is another one now: forget what was learned of it. */
void routing_forget_slot(struct router *r, unsigned slot);
void routing_tick(struct router *r);

/* --- tenant.c ------------------------------------------------------------------------------------------------------------------ */

/* The tenant of a key (0: whoever names none, from this machine); users is counted up. */
struct tenant *tenant_find(const struct routing *t, uint64_t key); /* NULL: it has nothing here */
struct tenant *tenant_enter(struct routing *t, uint64_t key, uint64_t now_ns);
void tenant_leave(struct tenant *t);

/* --- learn.c ------------------------------------------------------------------------------------------------------------------- */

/* What is known of a model on an instance: NULL when nothing is. */
struct pair *pair_find(const struct routing *t, const struct model *m, unsigned slot);
/* The same, made when there is none; NULL when every pair is in use. */
struct pair *pair_make(struct routing *t, struct model *m, unsigned slot);
/* Bring the derived figures up to date where they are old. */
void pair_figures(struct router *r, struct pair *p, uint64_t now_ns);
void pair_free(struct pair *p);
/* Say on the board how the slot's worst breaker stands. */
void breaker_publish(struct router *r, unsigned slot);

/* Expected tokens and work of a request whose model is known. */
void learn_expect(struct exchange *x, uint64_t now_ns);
/* A request is being sent: its ticket.  One that goes through an open breaker, because all are unhealthy, is no trial. */
void learn_sent(struct exchange *x, uint64_t now_ns);
/* The attempt has ended so; no effect when that was said before. */
void learn_outcome(struct exchange *x, enum breaker_event event);
/* Bytes of an answer pass by: keep the last of them. */
void learn_tail(struct exchange *x, const char *p, size_t n);
/* What the attempt will still take, as predicted. */
uint64_t learn_rest_ns(const struct exchange *x, uint64_t now_ns);

/* --- decision.c ---------------------------------------------------------------------------------------------------------------- */

/* Decide for a request.  The result is good until the next call. */
struct decision *decision_make(struct exchange *x, uint64_t now_ns);
/* It is acted upon: keep it. */
void decision_keep(struct router *r);
/* The last decision made for a request, or NULL: it never came to one, or it is too long ago. */
const struct decision *decision_find(const struct router *r, uint64_t id);
/* Which instances may take what waits for this model now. */
void lane_refresh(struct router *r, struct model *m, uint64_t now_ns);
void lane_changed(struct router *r);
/* The bound instance, or -1, and what it holds of the session. */
int session_bound(const struct exchange *x, uint64_t now_ns, uint32_t *tokens);
