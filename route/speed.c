#include "route/speed.h"

#include <math.h>

#include "base/clock.h"

const struct speed_conf SPEED_PREFILL = {.prior_tokens = 512, .most_tokens = 16384, .clip = 4, .half_ns = 600 * NS_PER_S};
const struct speed_conf SPEED_DECODE = {.prior_tokens = 64, .most_tokens = 4096, .clip = 4, .half_ns = 600 * NS_PER_S};
const struct speed_conf SPEED_TEXT = {.prior_tokens = 1024, .most_tokens = 65536, .clip = 4, .half_ns = 86400 * NS_PER_S};

/* "Tokens" are KiB; a load is a hundred thousand of them, so that one measured load outweighs the guess; disks do not change by the
 * hour. */
static const struct speed_conf SPEED_LOAD = {
	.prior_tokens = 262144, .most_tokens = 67108864, .clip = 32, .half_ns = 86400 * NS_PER_S};

#define LOAD_NS_PER_KIB 1000.0F /* 1 GB/s */
#define OUTPUT_PRIOR_N  2.0F    /* answers that the prior of a length counts for */
#define OUTPUT_MOST_N   512.0F  /* answers remembered */
#define LENGTH_MOST     65536   /* tokens: no answer is longer */
#define OUTPUT_HALF_NS  (86400 * NS_PER_S)

/* What is left of a weight after `age`. */
static float fade(uint64_t last_ns, uint64_t now_ns, uint64_t half_ns)
{
	if (now_ns <= last_ns)
		return 1.0F;
	return exp2f(-(float)(now_ns - last_ns) / (float)half_ns);
}

static float value(const struct speed *s, const struct speed_conf *conf, float prior, float left)
{
	float share = conf->prior_tokens / (s->tokens * left + conf->prior_tokens);

	return s->tokens > 0.0F ? s->ns / s->tokens * (1.0F - share * share) + prior * share * share : prior;
}

float speed_ns(const struct speed *s, const struct speed_conf *conf, float prior, uint64_t now_ns)
{
	return !s ? prior : value(s, conf, prior, fade(s->last_ns, now_ns, conf->half_ns));
}

void speed_learn(struct speed *s, const struct speed_conf *conf, uint64_t tokens, uint64_t ns, uint64_t now_ns)
{
	float per, was, left, n = (float)tokens;

	if (!tokens || !ns)
		return;
	per = (float)ns / n;
	left = fade(s->last_ns, now_ns, conf->half_ns);
	/* A hiccup of minutes must not make an instance slow for minutes.  Too little is known to call the first ones a hiccup. */
	if (s->tokens * left > conf->prior_tokens) {
		was = s->ns / s->tokens;
		per = fminf(per, was * conf->clip);
		per = fmaxf(per, was / conf->clip);
	}
	n = fminf(n, conf->most_tokens / 4);
	if (s->tokens * left + n > conf->most_tokens)
		left *= (conf->most_tokens - n) / (s->tokens * left);
	*s = (struct speed){.ns = s->ns * left + per * n, .tokens = s->tokens * left + n, .last_ns = now_ns};
}

float speed_load_ns(const struct speed *s, uint64_t bytes, uint64_t now_ns)
{
	return SPEED_LOAD_NS + speed_ns(s, &SPEED_LOAD, LOAD_NS_PER_KIB, now_ns) * (float)(bytes / 1024);
}

void speed_load_learn(struct speed *s, uint64_t bytes, uint64_t ns, uint64_t now_ns)
{
	uint64_t fixed = (uint64_t)SPEED_LOAD_NS;

	/* A load from the page cache may be quicker than the fixed part alone. */
	speed_learn(s, &SPEED_LOAD, bytes / 1024, ns > fixed ? ns - fixed : 1, now_ns);
}

/* --- lengths of answers --------------------------------------------------------------------------------------------------------- */

/* Bucket k holds 2^(k/2) .. 2^((k+1)/2) tokens. */
static unsigned bucket_of(uint64_t tokens)
{
	float k = tokens > 1 ? 2.0F * log2f((float)tokens) : 0.0F;

	return k >= SPEED_BUCKETS - 1 ? SPEED_BUCKETS - 1 : (unsigned)k;
}

/* Its middle, tokens: the geometric mean of its ends. */
static float middle(unsigned k)
{
	static const float HALF[2] = {1.18920712F, 1.68179283F}; /* 2^(1/4), 2^(3/4) */

	return HALF[k % 2] * (float)(1U << k / 2);
}

void speed_output_learn(struct speed_output *o, uint64_t tokens, uint64_t now_ns)
{
	float left = fade(o->last_ns, now_ns, OUTPUT_HALF_NS);

	if (o->sum_n * left > OUTPUT_MOST_N - 1.0F)
		left *= (OUTPUT_MOST_N - 1.0F) / (o->sum_n * left);
	for (unsigned k = 0; k < SPEED_BUCKETS; k++) {
		o->n[k] *= left;
		o->tokens[k] *= left;
	}
	o->n[bucket_of(tokens)] += 1.0F;
	o->tokens[bucket_of(tokens)] += tokens < LENGTH_MOST ? (float)tokens : LENGTH_MOST;
	o->sum_n = o->sum_n * left + 1.0F;
	o->last_ns = now_ns;
}

/* What is still to come by the prior alone: lengths as if without memory, so that the expectation does not shrink with progress. */
static float prior_rest(float prior, float most_rest)
{
	return most_rest > 0.0F && most_rest < prior ? most_rest : prior;
}

/* Of an answer in bucket k of which `done` have come.  In the bucket that `done` is in, halfway to its end. */
static float length_rest(const struct speed_output *o, unsigned k, uint64_t done)
{
	float length = o->n[k] > 0.0F ? o->tokens[k] / o->n[k] : middle(k);
	float end = exp2f((float)(k + 1) / 2);

	if (length > (float)done)
		return length - (float)done;
	return end > (float)done ? (end - (float)done) / 2 : 1.0F;
}

float speed_output_rest(const struct speed_output *o, float prior, uint64_t done, uint64_t most, uint64_t now_ns)
{
	float most_rest = most > done ? (float)(most - done) : 0.0F;
	float n = OUTPUT_PRIOR_N, sum, left;

	if (most && most <= done)
		return 0.0F;
	if (!o || o->sum_n <= 0.0F)
		return prior_rest(prior, most_rest);
	sum = n * prior_rest(prior, most_rest);
	left = fade(o->last_ns, now_ns, OUTPUT_HALF_NS);
	for (unsigned k = bucket_of(done ? done : 1); k < SPEED_BUCKETS; k++) {
		float rest = length_rest(o, k, done);

		if (most && rest > most_rest)
			rest = most_rest;
		n += o->n[k] * left;
		sum += o->n[k] * left * rest;
	}
	return sum / n;
}

float speed_output_quantile(const struct speed_output *o, float prior, float q, uint64_t now_ns)
{
	float left, want, seen = 0.0F;
	unsigned at = bucket_of((uint64_t)prior);

	if (!o || o->sum_n <= 0.0F)
		return prior;
	left = fade(o->last_ns, now_ns, OUTPUT_HALF_NS);
	want = q * (o->sum_n * left + OUTPUT_PRIOR_N);
	for (unsigned k = 0; k < SPEED_BUCKETS; k++) {
		seen += o->n[k] * left + (k == at ? OUTPUT_PRIOR_N : 0.0F);
		if (seen >= want)
			return middle(k);
	}
	return middle(SPEED_BUCKETS - 1);
}

uint32_t speed_tokens(const struct speed *learned, uint64_t ascii_bytes, uint64_t other_bytes, uint64_t now_ns)
{
	float per = speed_ns(learned, &SPEED_TEXT, SPEED_TEXT_BYTES, now_ns);
	float tokens = (float)ascii_bytes / per + (float)other_bytes / 2.5F;

	if (tokens >= (float)UINT32_MAX)
		return UINT32_MAX;
	return ascii_bytes + other_bytes && tokens < 1.0F ? 1 : (uint32_t)tokens;
}

uint64_t speed_work_ns(float prefill_ns, float decode_ns, uint64_t prompt_tokens, float output_tokens)
{
	float ns = prefill_ns * (float)prompt_tokens + decode_ns * output_tokens;

	return ns < 1.0F ? 1 : (uint64_t)ns;
}
