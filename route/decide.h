/* route/decide.h - which instance, for one request, and why.  Pure: facts in, decision with its reasons out; no socket, clock,
 * board or allocation.  The router, `tsactl explain`, the simulator and the unit tests link the same object.
 *
 * Three steps:
 *  1. Hard rules exclude (enum decide_exclude); each excluded candidate carries its reason.
 *  2. What is left falls into tiers: a place free on an instance that holds the model in memory, such an instance with all places
 *     taken, one that is loading the model, one that would have to load it.  The first tier that is not empty decides, because a
 *     needless load costs more than any difference in score.
 *  3. Within the tier the composite score decides: the weighted sum of terms, each 0..1 relative to the best candidate (best = 1,
 *     others by ratio), so that milliseconds are never added to percent and noise is not blown up.  Scores within `near` of the
 *     best count as equal and are taken in turn.
 *
 * Against herding there is an absolute limit, not a quantile: an instance with `hot` of its places taken is chosen only when every
 * candidate is that full (a quantile of the fleet's own load ratchets: the favoured few raise the very bound that calls them hot). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DECIDE_SLOTS 128 /* candidates of one decision */

enum decide_mode {
	DECIDE_FULL = 0,    /* the composite score */
	DECIDE_BASIC,       /* least outstanding by share of places, ties in turn */
	DECIDE_ROUND_ROBIN, /* in turn */
	DECIDE_MODES
};

enum decide_verdict {
	DECIDE_NONE = 0,
	DECIDE_TAKE,    /* slot: send it there now */
	DECIDE_WAIT,    /* slot: where it would go; all places are taken, or waiting for it is quicker */
	DECIDE_LOAD,    /* slot: should load the model */
	DECIDE_LOADING, /* slot: loads the model already */
	DECIDE_SOON,    /* an instance that has it is not usable yet, but will be */
	DECIDE_FAILED,  /* every instance that has it failed to load it */
	DECIDE_NEVER,   /* instances that have it are stopped, drained, quarantined, or lack a required tag or the memory */
	DECIDE_UNKNOWN, /* no instance has the model */
	DECIDE_VERDICTS
};

/* Terms of the composite score: TERM(name, default weight, what 1.0 means) */
#define DECIDE_TERMS(TERM)                                                                                                         \
	TERM(latency, 0.15F, "lowest 95th percentile of its class")                                                                \
	TERM(queue, 0.15F, "fewest requests per place")                                                                            \
	TERM(fit, 0.20F, "best model for the category and every optional tag")                                                     \
	TERM(health, 0.10F, "always up, every request succeeded")                                                                  \
	TERM(feedback, 0.05F, "best rated by users")                                                                               \
	TERM(completion, 0.25F, "predicted to finish first")                                                                       \
	TERM(affinity, 0.05F, "holds the session's prefix")                                                                        \
	TERM(memory, 0.05F, "most host memory left after a load")

enum decide_term {
#define TERM(name, weight, meaning) DECIDE_TERM_##name,
	DECIDE_TERMS(TERM)
#undef TERM
		DECIDE_TERM_COUNT
};

/* Why a candidate cannot be taken: EXCLUDE(name, word, sentence).  The word is for headers and JSON, the sentence for people. */
#define DECIDE_EXCLUDES(EXCLUDE)                                                                                                   \
	EXCLUDE(NONE, "none", "not excluded")                                                                                      \
	EXCLUDE(MODEL, "no-model", "does not have the model")                                                                      \
	EXCLUDE(TAGS, "tags", "lacks a required tag")                                                                              \
	EXCLUDE(CATEGORY, "category", "the category is not the model's first, and multi-category is off")                          \
	EXCLUDE(CONTEXT, "context", "has the model with a shorter context than the request needs")                                 \
	EXCLUDE(STOPPED, "stopped", "stopped, drained or quarantined")                                                             \
	EXCLUDE(COMING, "coming", "not ready yet, its worker is at it")                                                            \
	EXCLUDE(PLACES, "no-places", "is given no places")                                                                         \
	EXCLUDE(TRIED, "tried", "failed this very request")                                                                        \
	EXCLUDE(PENALTY, "penalty", "failed a moment ago")                                                                         \
	EXCLUDE(BREAKER, "breaker-open", "its breaker is open for the model, or its one trial is under way")                       \
	EXCLUDE(GPU, "gpu", "its GPU is unhealthy")                                                                                \
	EXCLUDE(SLOW, "slow", "its 95th percentile is over the limit")                                                             \
	EXCLUDE(LOAD_FAILED, "load-failed", "failed to load the model")                                                            \
	EXCLUDE(NO_MEMORY, "memory", "a load would not fit into the host's memory")

enum decide_exclude {
#define EXCLUDE(name, word, sentence) DECIDE_EXCLUDE_##name,
	DECIDE_EXCLUDES(EXCLUDE)
#undef EXCLUDE
		DECIDE_EXCLUDE_COUNT
};

/* Why the winner: REASON(name, word for X-TSA-Route-Reason, sentence). */
#define DECIDE_REASONS(REASON)                                                                                                     \
	REASON(NONE, "none", "nothing was chosen")                                                                                 \
	REASON(ONLY, "only-candidate", "no other instance can take it")                                                            \
	REASON(SCORE, "best-score", "highest composite score")                                                                     \
	REASON(TURN, "equal-in-turn", "several are equally good and take turns")                                                   \
	REASON(AFFINITY, "affinity", "holds the session's prefix and is as good as any")                                           \
	REASON(LEAST, "least-outstanding", "fewest requests per place")                                                            \
	REASON(ROUND, "round-robin", "round robin is configured")                                                                  \
	REASON(HOT, "all-hot", "every candidate is nearly full: the least loaded")                                                 \
	REASON(HOLD, "worth-waiting", "waiting for the instance that holds the prefix ends sooner than a free one would")          \
	REASON(PROBE, "probing", "excluded as slow; a share of traffic finds out whether it still is")                             \
	REASON(UNHEALTHY, "all-unhealthy", "every instance is unhealthy: round robin over what might work")

enum decide_reason {
#define REASON(name, word, sentence) DECIDE_REASON_##name,
	DECIDE_REASONS(REASON)
#undef REASON
		DECIDE_REASON_COUNT
};

/* What an instance that is not excluded could do for the request, best first. */
enum decide_tier { DECIDE_TIER_NONE = 0, DECIDE_TIER_FREE, DECIDE_TIER_BUSY, DECIDE_TIER_LOADING, DECIDE_TIER_COLD, DECIDE_TIERS };

/* From tsa.conf.  decide_conf_default() fills it; every value is reloadable. */
struct decide_conf {
	enum decide_mode mode;
	bool gpu_aware;      /* an unhealthy GPU excludes */
	bool multi_category; /* a model may serve categories that are not its first */
	float weight[DECIDE_TERM_COUNT];
	float near;           /* scores within this share of the best count as equal: 0.05 */
	float hot;            /* share of its places from which an instance is hot: 0.75, rounded up */
	float hold;           /* wait for the bound instance when a free one would take this many times as long; 0: never.  2 */
	uint64_t spread_ns;   /* load the model on one more instance when the wait is predicted longer than this; 0: never */
	uint32_t probe_every; /* one decision in so many may go to an instance excluded as slow; 0: none.  50 */
	float prior_n;        /* samples that a prior counts for: 8 */
	uint64_t stale_ns;    /* age at which figures count half: 5 minutes */
	float prior_health;   /* 0.95 */
	float prior_feedback; /* 0.5 */
};

void decide_conf_default(struct decide_conf *conf);

/* The request.  Zero means "not known" unless said otherwise. */
struct decide_request {
	uint64_t required; /* capability tags, a bit each: an instance must have all of them */
	uint64_t optional; /* tags that raise the fit */
	uint32_t prompt_tokens;
	uint32_t output_tokens; /* expected: route/speed.h */
	uint64_t waited_ns;     /* in the queue so far: a hold never lasts longer than it saves */
	uint64_t p95_prior_ns;  /* of the class over the fleet; 0: the mean of the candidates that have one */
	int32_t bound;          /* candidate that the session is bound to (route/affinity.h), -1 none */
	uint32_t bound_tokens;  /* of the prompt that are in its cache */
};

/* What is known of one instance with respect to the request. */
struct decide_slot {
	/* hard facts */
	bool has;      /* the model is in its store */
	bool resident; /* the model is in memory and has answered */
	bool loading;  /* its worker is loading the model */
	bool failed;   /* its last load of the model failed */
	bool ready;    /* life state READY and wanted to run */
	bool coming;   /* not ready now, but its worker is at it */
	bool tried;    /* failed this request */
	bool narrow;   /* has the model with too short a context */
	bool penalty;  /* failing just now: connection refused a moment ago */
	bool broken;   /* breaker_allows() said no */
	bool slow;     /* gate_update() keeps it out */
	bool gpu_sick;
	bool primary; /* the category is the model's first, or the model was named by the client */
	uint16_t places;
	uint16_t in_flight;
	uint16_t queued; /* waiting requests that would go here first */
	uint64_t tags;
	/* figures */
	float fit;    /* 0..1: benchmark and base score of the model in the category; 0 not known: 0.5 */
	float health; /* 0..1: share of requests that succeeded × share of time up, of `health_n` requests */
	float health_n;
	float feedback; /* 0..1, of `feedback_n` ratings */
	float feedback_n;
	uint64_t p95_ns; /* of the request's class, of `p95_n` answers */
	float p95_n;
	uint64_t age_ns;     /* since its last answer: older figures weigh less */
	float prefill_ns;    /* per prompt token: speed_ns() */
	float decode_ns;     /* per output token */
	uint64_t ahead_ns;   /* predicted until a place is free, 0 when one is */
	uint64_t load_ns;    /* predicted time to load the model */
	uint64_t need_bytes; /* memory that a load takes; 0 not known */
	uint64_t room_bytes; /* memory that a load may take there (host, or the instance's own limit); 0 not known */
};

struct decide_candidate {
	uint8_t exclude; /* enum decide_exclude */
	uint8_t tier;    /* enum decide_tier, NONE when excluded */
	bool hot;
	float term[DECIDE_TERM_COUNT]; /* 0..1, valid in the deciding tier in full mode */
	float score;                   /* their weighted sum / the sum of the weights */
	float finish_ns;               /* predicted completion */
};

struct decide_result {
	enum decide_verdict verdict;
	enum decide_reason reason;
	enum decide_tier tier;
	int32_t slot;    /* valid with TAKE, WAIT, LOAD, LOADING; else -1 */
	int32_t spread;  /* with WAIT: an instance that should load the model, too; else -1 */
	uint32_t n_tier; /* candidates in the deciding tier */
	uint32_t n;      /* entries of `candidate` that are filled */
	bool unhealthy;  /* the round robin over what might work */
	bool released;   /* the session's binding was passed over: it would have cost more than its prefix saves */
	struct decide_candidate candidate[DECIDE_SLOTS];
};

/* Decide.  `n` <= DECIDE_SLOTS; `turn` is any number that grows by one with every decision.  `out` is filled completely up to n. */
void decide(const struct decide_conf *conf, const struct decide_request *rq, const struct decide_slot *slots, unsigned n,
	    unsigned turn, struct decide_result *out);

/* The word of a reason ("best-score"), and its sentence. */
const char *decide_reason_text(enum decide_reason reason);
const char *decide_reason_help(enum decide_reason reason);
const char *exclude_text(enum decide_exclude exclude);
const char *exclude_help(enum decide_exclude exclude);
const char *decide_verdict_text(enum decide_verdict verdict);
const char *decide_tier_text(enum decide_tier tier);
const char *decide_term_text(enum decide_term term);
const char *decide_mode_text(enum decide_mode mode);
