/* route/order.h - the router-held queue: who goes next to a place that is free.  Intrusive and pure: the caller owns all memory and
 * the clock; every operation is O(log waiting) or O(tenants × models that wait).
 *
 * Who waits (struct order_item) belongs to a lane (the model: where it can go) and a tenant (who pays).  Items of one tenant and one
 * class in one lane form a flow, a balanced tree by key:
 *
 *     key = arrival − boost(expected work) + handicap(class),     boost(s) = ln((1 − exp(−γ)) / (1 − exp(−γs))) / γ
 *
 * the γ-boost: small work arrives "earlier".  γ and s are in units of the mean expected work, so one setting fits fast and slow fleets.
 * Work is taken as at least ORDER_LEAST of the mean, so a boost has a bound, and so has starvation: whoever arrives more than
 * order_bound_ns() after an item can never overtake it within its tenant.  Larger γ: nearer to arrival order; smaller: nearer to
 * shortest first.  (Azure conversation trace, 12 one-slot instances, load 0.9: see tests/unit/route_order.c for mean and worst wait.)
 *
 * Who is let in is served: `latest_ns` is the moment from which the work that came before an item, and must go before it, fills the time
 * until its deadline.  Until then others may overtake it; when it has come for any item of a flow, the flow serves its oldest.  So the
 * order is by key while there is time, and by arrival under overload; an item that cannot have such a moment is refused by order_add().
 * The promise is as good as the expected work; room for two standard deviations is left.
 *
 * Between tenants: virtual token counters.  The tenant with the smallest counter goes first; a dispatch charges w_input × prompt +
 * w_output × expected answer, the end settles the difference, who returns from idleness is lifted to the least counter of those who
 * wait.  Tenants within `slack` of the least are equals and the key decides.  The order of one tenant alone is never disturbed;
 * classes weigh within a tenant, so that calling everything interactive gains nothing against others. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define ORDER_SLOTS    128
#define ORDER_LEAST    0.01 /* of the mean work: shorter is not shorter */
#define ORDER_TENANT_1 1.0  /* the weight of an ordinary tenant */

/* A set of instances. */
struct order_set {
	uint64_t bits[ORDER_SLOTS / 64];
};

enum order_class { ORDER_INTERACTIVE = 0, ORDER_NORMAL, ORDER_BATCH, ORDER_CLASSES };

struct order_class_conf {
	uint64_t handicap_ns; /* added to the key: 0, 30 s, 10 min */
	uint64_t deadline_ns; /* longest wait, CLOCK_NEVER for none */
	uint32_t percent;     /* of the limits below that this class may fill: 100, 90, 50 */
};

struct order_conf {
	double gamma;    /* per mean work: 0.011 */
	double w_input;  /* 1 */
	double w_output; /* 2 */
	double slack;    /* weighted tokens: 0 */
	uint32_t most_n;
	uint64_t most_bytes;
	uint64_t most_ns; /* predicted wait; 0: not limited */
	uint32_t tenant_percent; /* of most_n and most_bytes that one tenant may fill: 75 */
	struct order_class_conf class[ORDER_CLASSES];
};

void order_conf_default(struct order_conf *conf);

/* Work that was given a place lately, by class: decayed sums as of at_ns. */
struct order_taken {
	double ns[ORDER_CLASSES];
	uint64_t at_ns;
};

/* The caller's, zeroed but for `weight`; must outlive its items and what it has running. */
struct order_tenant {
	double weight;  /* share of the service relative to others; 0 counts as 1 */
	double counter; /* weighted tokens / weight */
	uint32_t waiting;
	uint64_t bytes;
	struct order_taken taken;
	LIST_ENTRY(order_tenant) active; /* of those that wait */
};

/* The caller's, zeroed; one per model (or per set of instances that serve the same requests). */
struct order_lane {
	struct order_set slots; /* that could take its items now: the model resident, ready, not broken.  The caller keeps it. */
	uint32_t waiting;
	uint64_t work_ns;
	uint64_t bytes;
	LIST_HEAD(, order_flow) flows;
	LIST_ENTRY(order_lane) busy; /* of those with items */
};

/* One who waits.  The caller fills the first part before order_add(). */
struct order_item {
	struct order_tenant *tenant;
	struct order_lane *lane;
	enum order_class class;
	bool guessed;     /* nothing is known of its work: most_ns does not count */
	uint64_t work_ns; /* expected service time: speed_work_ns() */
	uint32_t input_tokens;
	uint32_t output_tokens; /* expected */
	uint64_t bytes;         /* held for it */
	struct order_set tried; /* instances that it must not go to */
	/* set by order_add() */
	uint64_t since_ns;
	uint64_t deadline_ns;
	int64_t key;
	uint64_t latest_ns; /* from then on nobody of its flow overtakes it; CLOCK_NEVER: no instance took its lane when it came */
	double charged;     /* weighted tokens, by order_take() */
	/* private: the tree */
	struct order_flow *flow; /* NULL: does not wait */
	struct order_item *up, *left, *right;
	uint64_t seq;
	uint64_t sum_ns;      /* work of the subtree */
	uint64_t soonest_ns;  /* latest_ns of the subtree */
	uint64_t eldest_ns;   /* since_ns of the subtree */
	uint32_t sum_n;
	uint32_t rank;   /* heap order of the treap */
	uint64_t passed; /* the round in which it was passed over */
};

/* Memory for one (tenant, lane, class) with items; as many as items may wait are always enough. */
struct order_flow {
	struct order_tenant *tenant;
	struct order_lane *lane;
	enum order_class class;
	struct order_item *root;
	struct order_item *first; /* admissible one of the present search, by key */
	LIST_ENTRY(order_flow) of_lane;
};

struct order {
	struct order_conf conf;
	LIST_HEAD(, order_tenant) active;
	LIST_HEAD(, order_lane) busy;
	LIST_HEAD(, order_flow) spare;
	uint32_t n;
	uint32_t class_n[ORDER_CLASSES];
	uint64_t bytes;
	uint64_t work_ns;
	double mean_ns;      /* expected work of those who came lately */
	double idle_counter; /* of the last tenant that left the queue */
	uint64_t seq;
	uint64_t round;
	struct order_taken taken;
	/* measured drain */
	double drain_ns; /* expected work finished, decayed */
	double drain_n;
	double drain_span_ns;
	uint64_t drained_ns; /* when a place was given back last, or when the queue began */
	bool begun;          /* the queue began after that */
	uint16_t places[ORDER_SLOTS]; /* of each instance: the caller sets them with order_places() */
};

/* Why one may not wait: REFUSAL(name, word, sentence). */
#define ORDER_REFUSALS(REFUSAL)                                                                                                    \
	REFUSAL(NONE, "none", "it may wait")                                                                                       \
	REFUSAL(COUNT, "queue-full", "too many requests wait")                                                                     \
	REFUSAL(BYTES, "queue-bytes", "the requests that wait hold too much memory")                                               \
	REFUSAL(TENANT, "queue-tenant", "too many requests of its tenant wait")                                                    \
	REFUSAL(WAIT, "queue-wait", "the predicted wait is longer than the limit")                                                 \
	REFUSAL(DEADLINE, "queue-deadline", "the predicted wait is longer than the deadline of its class")

enum order_refusal {
#define REFUSAL(name, word, sentence) ORDER_REFUSE_##name,
	ORDER_REFUSALS(REFUSAL)
#undef REFUSAL
		ORDER_REFUSAL_COUNT
};

/* `flows`: memory for at least conf->most_n of them. */
void order_init(struct order *o, const struct order_conf *conf, struct order_flow *flows, unsigned n_flows);
/* After a reload: limits and weights; who waits keeps its key. */
void order_conf_set(struct order *o, const struct order_conf *conf);
void order_places(struct order *o, unsigned slot, unsigned places);

/* May one more of this class and tenant (NULL: one who has nothing here) wait, as far as numbers go?  ORDER_REFUSE_NONE, or why not. */
enum order_refusal order_full(const struct order *o, const struct order_tenant *tenant, enum order_class class);
/* Let `item` wait.  ORDER_REFUSE_NONE, or why not, with nothing changed. */
enum order_refusal order_add(struct order *o, struct order_item *item, uint64_t now_ns);
/* Put one back that was taken and came to nothing (failover), with its old place in the order; no limits, its charge undone. */
void order_put_back(struct order *o, struct order_item *item);

/* Who should go next to any of the instances in `free`, or NULL.  Not removed.  Items passed in this round are left out. */
struct order_item *order_best(struct order *o, const struct order_set *free, uint64_t now_ns);
/* A new round: all may be looked at again.  Call it once before a run of order_best(). */
void order_round(struct order *o);
/* Not this one in this round: the decision would rather have it wait. */
void order_pass(struct order *o, struct order_item *item);

/* One of the lane whom none of its instances may serve, not passed in this round; or NULL.  The caller has to see what becomes of it, for
 * order_best() will not name it. */
struct order_item *order_stray(const struct order *o, const struct order_lane *lane);

/* It goes: removed, and its tenant charged. */
void order_take(struct order *o, struct order_item *item, uint64_t now_ns);
/* It leaves: removed, nothing charged.  No effect on an item that does not wait. */
void order_remove(struct order *o, struct order_item *item);
/* What was taken, or sent without waiting, has ended with these tokens (0, 0: nothing was done). */
void order_settle(struct order *o, struct order_item *item, uint64_t input_tokens, uint64_t output_tokens);
/* Sent without waiting: charge its tenant as order_take() would. */
void order_charge(struct order *o, struct order_item *item, uint64_t now_ns);

/* Where it stands: items before it (0: next) and expected ns until its turn (UINT64_MAX: no instance takes its lane now).  Exact
 * order for one tenant; between tenants as if they took turns. */
void order_position(const struct order *o, const struct order_item *item, unsigned *ahead, uint64_t *wait_ns);
/* The longest that one added now may wait, as predicted: behind all that a promise was made to.  This is what admission goes by. */
uint64_t order_wait_ns(const struct order *o, const struct order_item *item, uint64_t now_ns);

/* A request of expected work `work_ns` has given its place back. */
void order_drained(struct order *o, uint64_t work_ns, uint64_t now_ns);
/* Seconds after which a refused client may try again: queued work / measured drain rate, 1 .. 120. */
unsigned order_retry_after_s(const struct order *o, uint64_t now_ns);

/* How much later one may arrive and still overtake, within a tenant: the bound on starvation. */
uint64_t order_bound_ns(const struct order *o);

const char *order_refusal_text(enum order_refusal refusal);
const char *order_class_text(enum order_class class);

static inline void order_set_add(struct order_set *s, unsigned slot)
{
	s->bits[slot / 64] |= 1ULL << (slot % 64);
}

static inline void order_set_del(struct order_set *s, unsigned slot)
{
	s->bits[slot / 64] &= ~(1ULL << (slot % 64));
}

static inline bool order_set_has(const struct order_set *s, unsigned slot)
{
	return s->bits[slot / 64] >> (slot % 64) & 1;
}
