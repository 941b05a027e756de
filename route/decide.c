#include "route/decide.h"

#include <math.h>

#include "base/bug.h"
#include "base/clock.h"
#include "route/affinity.h"

void decide_conf_default(struct decide_conf *conf)
{
	*conf = (struct decide_conf){
		.mode = DECIDE_FULL,
		.gpu_aware = true,
		.multi_category = true,
		.near = 0.05F,
		.hot = 0.75F,
		.hold = 2.0F,
		.probe_every = 50,
		.prior_n = 8.0F,
		.stale_ns = 300 * NS_PER_S,
		.prior_health = 0.95F,
		.prior_feedback = 0.5F,
		.weight =
			{
#define TERM(name, weight, meaning) [DECIDE_TERM_##name] = weight,
				DECIDE_TERMS(TERM)
#undef TERM
			},
	};
}

/* --- hard rules ----------------------------------------------------------------------------------------------------------------- */

static enum decide_exclude exclude(const struct decide_conf *conf, const struct decide_request *rq, const struct decide_slot *s)
{
	if (!s->has)
		return DECIDE_EXCLUDE_MODEL;
	if (rq->required & ~s->tags)
		return DECIDE_EXCLUDE_TAGS;
	if (!conf->multi_category && !s->primary)
		return DECIDE_EXCLUDE_CATEGORY;
	if (s->narrow)
		return DECIDE_EXCLUDE_CONTEXT;
	if (s->coming)
		return DECIDE_EXCLUDE_COMING;
	if (!s->ready)
		return DECIDE_EXCLUDE_STOPPED;
	if (!s->places)
		return DECIDE_EXCLUDE_PLACES;
	if (s->tried)
		return DECIDE_EXCLUDE_TRIED;
	if (s->penalty)
		return DECIDE_EXCLUDE_PENALTY;
	if (!s->resident && !s->loading && s->failed)
		return DECIDE_EXCLUDE_LOAD_FAILED;
	if (!s->resident && !s->loading && s->need_bytes && s->room_bytes && s->need_bytes > s->room_bytes)
		return DECIDE_EXCLUDE_NO_MEMORY;
	if (s->broken)
		return DECIDE_EXCLUDE_BREAKER;
	if (conf->gpu_aware && s->gpu_sick)
		return DECIDE_EXCLUDE_GPU;
	return s->slow ? DECIDE_EXCLUDE_SLOW : DECIDE_EXCLUDE_NONE;
}

/* Unhealthy, but a request might still succeed. */
static bool might_work(enum decide_exclude e)
{
	return e == DECIDE_EXCLUDE_BREAKER || e == DECIDE_EXCLUDE_GPU || e == DECIDE_EXCLUDE_SLOW;
}

static enum decide_tier tier_of(const struct decide_slot *s)
{
	if (s->resident)
		return s->in_flight < s->places ? DECIDE_TIER_FREE : DECIDE_TIER_BUSY;
	return s->loading ? DECIDE_TIER_LOADING : DECIDE_TIER_COLD;
}

static bool hot(const struct decide_conf *conf, const struct decide_slot *s)
{
	return (float)s->in_flight >= ceilf(conf->hot * (float)s->places);
}

/* Nothing can take it: say what stands in the way. */
static enum decide_verdict obstacle(const struct decide_result *out)
{
	enum decide_verdict v = DECIDE_UNKNOWN;

	for (unsigned i = 0; i < out->n; i++) {
		enum decide_exclude e = (enum decide_exclude)out->candidate[i].exclude;

		if (e == DECIDE_EXCLUDE_MODEL)
			continue;
		if (e == DECIDE_EXCLUDE_COMING || e == DECIDE_EXCLUDE_TRIED || e == DECIDE_EXCLUDE_PENALTY)
			return DECIDE_SOON;
		if (e == DECIDE_EXCLUDE_LOAD_FAILED)
			v = DECIDE_FAILED;
		else if (v == DECIDE_UNKNOWN)
			v = DECIDE_NEVER;
	}
	return v;
}

/* --- the composite score ---------------------------------------------------------------------------------------------------------- */

/* A mean of n samples, drawn to the prior as it was known from prior_n others. */
static float shrink(float mean, float n, float prior, float prior_n)
{
	return (mean * n + prior * prior_n) / (n + prior_n);
}

/* What a sample still counts at that age: half at stale_ns, a third at twice that. */
static float fresh(const struct decide_conf *conf, uint64_t age_ns)
{
	return (float)conf->stale_ns / ((float)conf->stale_ns + (float)age_ns);
}

static float finish_ns(const struct decide_request *rq, const struct decide_slot *s, enum decide_tier tier, bool bound)
{
	uint32_t saved = bound ? rq->bound_tokens : 0;
	float prompt = (float)(rq->prompt_tokens > saved ? rq->prompt_tokens - saved : 0);
	float ns = (float)s->ahead_ns + s->prefill_ns * prompt + s->decode_ns * (float)rq->output_tokens;

	if (tier == DECIDE_TIER_COLD || tier == DECIDE_TIER_LOADING)
		ns += (float)s->load_ns;
	return ns > 1.0F ? ns : 1.0F;
}

/* The p95 of what nobody has measured: given, or the mean over those that have one. */
static float prior_p95(const struct decide_request *rq, const struct decide_slot *slots, const struct decide_result *out)
{
	float sum = 0, n = 0;

	if (rq->p95_prior_ns)
		return (float)rq->p95_prior_ns;
	for (unsigned i = 0; i < out->n; i++) {
		if (out->candidate[i].tier != out->tier || !slots[i].p95_ns)
			continue;
		sum += (float)slots[i].p95_ns;
		n += 1;
	}
	return n > 0 ? sum / n : 1.0F;
}

static float fit(const struct decide_request *rq, const struct decide_slot *s)
{
	float model = s->fit > 0 ? s->fit : 0.5F;

	if (!rq->optional)
		return model;
	/* Half for the model, half for the wishes that it meets. */
	return 0.5F * model +
	       0.5F * (float)__builtin_popcountll(rq->optional & s->tags) / (float)__builtin_popcountll(rq->optional);
}

/* The raw terms: larger is better, any scale. */
static void raw_terms(const struct decide_conf *conf, const struct decide_request *rq, const struct decide_slot *s, float p95_prior,
		      bool bound, struct decide_candidate *c)
{
	float keep = fresh(conf, s->age_ns);
	float p95 = shrink((float)s->p95_ns, s->p95_ns ? s->p95_n * keep : 0, p95_prior, conf->prior_n);

	c->term[DECIDE_TERM_latency] = 1.0F / (p95 > 1.0F ? p95 : 1.0F);
	c->term[DECIDE_TERM_queue] = (float)s->places / (float)(s->places + s->in_flight + s->queued);
	c->term[DECIDE_TERM_fit] = fit(rq, s);
	c->term[DECIDE_TERM_health] = shrink(s->health, s->health_n * keep, conf->prior_health, conf->prior_n);
	c->term[DECIDE_TERM_feedback] = shrink(s->feedback, s->feedback_n, conf->prior_feedback, conf->prior_n);
	c->term[DECIDE_TERM_completion] = 1.0F / c->finish_ns;
	c->term[DECIDE_TERM_affinity] = bound ? 1.0F : 0.0F;
	c->term[DECIDE_TERM_memory] =
		c->tier == DECIDE_TIER_COLD && s->room_bytes ? 1.0F - (float)s->need_bytes / (float)s->room_bytes : 1.0F;
}

/* Is the bound instance still worth preferring in the deciding tier? */
static bool bound_worth(const struct decide_request *rq, const struct decide_slot *slots, const struct decide_result *out)
{
	uint64_t best = UINT64_MAX;
	float saved;

	if (rq->bound < 0 || (unsigned)rq->bound >= out->n || out->candidate[rq->bound].tier != out->tier)
		return false;
	for (unsigned i = 0; i < out->n; i++)
		if (out->candidate[i].tier == out->tier && slots[i].ahead_ns < best)
			best = slots[i].ahead_ns;
	saved = slots[rq->bound].prefill_ns * (float)rq->bound_tokens;
	return affinity_worth((uint64_t)saved, slots[rq->bound].ahead_ns, best);
}

static void score(const struct decide_conf *conf, const struct decide_request *rq, const struct decide_slot *slots, bool worth,
		  struct decide_result *out)
{
	float p95 = prior_p95(rq, slots, out), most[DECIDE_TERM_COUNT] = {0}, total = 0;

	for (unsigned i = 0; i < out->n; i++) {
		struct decide_candidate *c = &out->candidate[i];

		if (c->tier != out->tier)
			continue;
		raw_terms(conf, rq, &slots[i], p95, worth && rq->bound == (int)i, c);
		for (unsigned t = 0; t < DECIDE_TERM_COUNT; t++)
			most[t] = c->term[t] > most[t] ? c->term[t] : most[t];
	}
	for (unsigned t = 0; t < DECIDE_TERM_COUNT; t++) {
		most[t] = most[t] > 0 ? 1.0F / most[t] : 0;
		total += conf->weight[t];
	}
	total = total > 0 ? 1.0F / total : 0;
	for (unsigned i = 0; i < out->n; i++) {
		struct decide_candidate *c = &out->candidate[i];
		float sum = 0;

		if (c->tier != out->tier)
			continue;
		for (unsigned t = 0; t < DECIDE_TERM_COUNT; t++) {
			c->term[t] *= most[t];
			sum += c->term[t] * conf->weight[t];
		}
		c->score = sum * total;
	}
}

/* --- choosing within a tier ------------------------------------------------------------------------------------------------------- */

/* a is less loaded than b, by share of its places.  Integer arithmetic: a/pa < b/pb. */
static bool lighter(const struct decide_slot *a, const struct decide_slot *b)
{
	return (uint64_t)a->in_flight * b->places < (uint64_t)b->in_flight * a->places;
}

/* Walk from `turn` on, so that equal ones are taken in turn. */
static void choose_least(const struct decide_slot *slots, unsigned turn, struct decide_result *out)
{
	unsigned ties = 0;

	for (unsigned k = 0; k < out->n; k++) {
		unsigned i = (k + turn) % out->n;

		if (out->candidate[i].tier != out->tier)
			continue;
		if (out->slot < 0 || lighter(&slots[i], &slots[out->slot])) {
			out->slot = (int)i;
			ties = 1;
		} else if (!lighter(&slots[out->slot], &slots[i])) {
			ties++;
		}
	}
	out->reason = ties > 1 ? DECIDE_REASON_TURN : DECIDE_REASON_LEAST;
}

/* The turn-th of those that `in` says. */
static void choose_turn(const bool *in, unsigned n_in, unsigned turn, struct decide_result *out)
{
	unsigned k = n_in ? turn % n_in : 0;

	for (unsigned i = 0; i < out->n; i++)
		if (in[i] && !k--) {
			out->slot = (int)i;
			return;
		}
}

static void choose_round(unsigned turn, struct decide_result *out)
{
	bool in[DECIDE_SLOTS];

	for (unsigned i = 0; i < out->n; i++)
		in[i] = out->candidate[i].tier == out->tier;
	choose_turn(in, out->n_tier, turn, out);
}

/* The best score; those near it take turns, unless one of them is where the session is. */
static void choose_score(const struct decide_conf *conf, const struct decide_request *rq, unsigned turn, bool worth,
			 struct decide_result *out)
{
	bool in[DECIDE_SLOTS];
	float best = -1;
	unsigned n = 0;

	for (unsigned i = 0; i < out->n; i++) {
		const struct decide_candidate *c = &out->candidate[i];

		if (c->tier == out->tier && !c->hot && c->score > best)
			best = c->score;
	}
	for (unsigned i = 0; i < out->n; i++) {
		const struct decide_candidate *c = &out->candidate[i];

		in[i] = c->tier == out->tier && !c->hot && c->score >= best * (1.0F - conf->near);
		n += in[i];
	}
	if (worth && in[rq->bound]) {
		out->slot = rq->bound;
		out->reason = DECIDE_REASON_AFFINITY;
		return;
	}
	choose_turn(in, n, turn, out);
	out->reason = n > 1 ? DECIDE_REASON_TURN : DECIDE_REASON_SCORE;
}

static void choose_full(const struct decide_conf *conf, const struct decide_request *rq, const struct decide_slot *slots,
			unsigned turn, struct decide_result *out)
{
	bool worth = bound_worth(rq, slots, out);
	unsigned cold = 0;

	score(conf, rq, slots, worth, out);
	for (unsigned i = 0; i < out->n; i++) {
		struct decide_candidate *c = &out->candidate[i];

		c->hot = c->tier == DECIDE_TIER_FREE && hot(conf, &slots[i]);
		cold += c->tier == out->tier && !c->hot;
	}
	if (cold) {
		choose_score(conf, rq, turn, worth, out);
	} else {
		choose_least(slots, turn, out);
		out->reason = DECIDE_REASON_HOT;
	}
}

/* --- beyond the tier --------------------------------------------------------------------------------------------------------------- */

/* The session's instance is busy, but waiting for it ends sooner than working the prompt off anew. */
static void hold(const struct decide_conf *conf, const struct decide_request *rq, struct decide_result *out)
{
	const struct decide_candidate *b;

	if (conf->hold <= 0 || out->tier != DECIDE_TIER_FREE || rq->bound < 0 || (unsigned)rq->bound >= out->n)
		return;
	b = &out->candidate[rq->bound];
	if (b->tier != DECIDE_TIER_BUSY || out->candidate[out->slot].finish_ns < conf->hold * (b->finish_ns + (float)rq->waited_ns))
		return;
	out->verdict = DECIDE_WAIT;
	out->reason = DECIDE_REASON_HOLD;
	out->slot = rq->bound;
}

/* All places are taken for long: one more instance should hold the model, if that is done before the wait is over. */
static void spread(const struct decide_conf *conf, const struct decide_slot *slots, struct decide_result *out)
{
	float best = INFINITY, busy = INFINITY;

	if (!conf->spread_ns || out->tier != DECIDE_TIER_BUSY)
		return;
	for (unsigned i = 0; i < out->n; i++) {
		const struct decide_candidate *c = &out->candidate[i];

		if (c->tier == DECIDE_TIER_LOADING)
			return;
		if (c->tier == DECIDE_TIER_BUSY && slots[i].ahead_ns <= conf->spread_ns)
			return;
		if (c->tier == DECIDE_TIER_BUSY && c->finish_ns < busy)
			busy = c->finish_ns;
	}
	for (unsigned i = 0; i < out->n; i++) {
		const struct decide_candidate *c = &out->candidate[i];

		if (c->tier == DECIDE_TIER_COLD && c->finish_ns < best && c->finish_ns < busy) {
			best = c->finish_ns;
			out->spread = (int)i;
		}
	}
}

/* Now and then one that was excluded as slow shows whether it still is. */
static bool probe(const struct decide_conf *conf, const struct decide_slot *slots, unsigned turn, struct decide_result *out)
{
	bool in[DECIDE_SLOTS];
	unsigned n = 0;

	if (!conf->probe_every || turn % conf->probe_every)
		return false;
	for (unsigned i = 0; i < out->n; i++) {
		in[i] = out->candidate[i].exclude == DECIDE_EXCLUDE_SLOW && tier_of(&slots[i]) == DECIDE_TIER_FREE;
		n += in[i];
	}
	if (!n)
		return false;
	choose_turn(in, n, turn / conf->probe_every, out);
	out->verdict = DECIDE_TAKE;
	out->reason = DECIDE_REASON_PROBE;
	out->tier = DECIDE_TIER_FREE;
	return true;
}

/* --- the decision ------------------------------------------------------------------------------------------------------------------ */

/* The first tier that somebody is in. */
static void deciding_tier(struct decide_result *out)
{
	unsigned n[DECIDE_TIERS] = {0};

	for (unsigned i = 0; i < out->n; i++)
		n[out->candidate[i].tier]++;
	out->tier = DECIDE_TIER_NONE;
	for (unsigned t = DECIDE_TIER_FREE; t < DECIDE_TIERS && out->tier == DECIDE_TIER_NONE; t++)
		if (n[t])
			out->tier = (enum decide_tier)t;
	out->n_tier = out->tier == DECIDE_TIER_NONE ? 0 : n[out->tier];
}

static void look(const struct decide_conf *conf, const struct decide_request *rq, const struct decide_slot *slots, unsigned n,
		 struct decide_result *out)
{
	for (unsigned i = 0; i < n; i++) {
		struct decide_candidate *c = &out->candidate[i];
		enum decide_exclude e = exclude(conf, rq, &slots[i]);

		*c = (struct decide_candidate){.exclude = (uint8_t)e};
		if (e == DECIDE_EXCLUDE_NONE)
			c->tier = (uint8_t)tier_of(&slots[i]);
		if (slots[i].has)
			c->finish_ns = finish_ns(rq, &slots[i], tier_of(&slots[i]), rq->bound == (int)i);
	}
	deciding_tier(out);
}

/* Nobody is healthy: what might work takes part again, in turn. */
static void look_unhealthy(const struct decide_slot *slots, struct decide_result *out)
{
	for (unsigned i = 0; i < out->n; i++) {
		struct decide_candidate *c = &out->candidate[i];

		if (might_work((enum decide_exclude)c->exclude))
			c->tier = (uint8_t)tier_of(&slots[i]);
	}
	deciding_tier(out);
	out->unhealthy = out->tier != DECIDE_TIER_NONE;
}

static void choose(const struct decide_conf *conf, const struct decide_request *rq, const struct decide_slot *slots, unsigned turn,
		   struct decide_result *out)
{
	if (out->unhealthy || conf->mode == DECIDE_ROUND_ROBIN)
		choose_round(turn, out);
	else if (conf->mode == DECIDE_BASIC)
		choose_least(slots, turn, out);
	else
		choose_full(conf, rq, slots, turn, out);
	if (out->unhealthy)
		out->reason = DECIDE_REASON_UNHEALTHY;
	else if (out->n_tier == 1)
		out->reason = DECIDE_REASON_ONLY;
	else if (conf->mode == DECIDE_ROUND_ROBIN)
		out->reason = DECIDE_REASON_ROUND;
}

void decide(const struct decide_conf *conf, const struct decide_request *rq, const struct decide_slot *slots, unsigned n,
	    unsigned turn, struct decide_result *out)
{
	static const enum decide_verdict OF[DECIDE_TIERS] = {
		[DECIDE_TIER_FREE] = DECIDE_TAKE,
		[DECIDE_TIER_BUSY] = DECIDE_WAIT,
		[DECIDE_TIER_LOADING] = DECIDE_LOADING,
		[DECIDE_TIER_COLD] = DECIDE_LOAD,
	};

	BUG_ON(n > DECIDE_SLOTS);
	out->verdict = DECIDE_NONE;
	out->reason = DECIDE_REASON_NONE;
	out->slot = out->spread = -1;
	out->n = n;
	out->unhealthy = out->released = false;
	look(conf, rq, slots, n, out);
	if (conf->mode == DECIDE_FULL && probe(conf, slots, turn, out))
		return;
	if (out->tier == DECIDE_TIER_NONE && obstacle(out) != DECIDE_SOON)
		look_unhealthy(slots, out);
	if (out->tier == DECIDE_TIER_NONE) {
		out->verdict = obstacle(out);
		return;
	}
	choose(conf, rq, slots, turn, out);
	out->verdict = OF[out->tier];
	if (conf->mode == DECIDE_FULL && !out->unhealthy) {
		hold(conf, rq, out);
		spread(conf, slots, out);
		out->released = rq->bound >= 0 && out->slot != rq->bound;
	}
}
