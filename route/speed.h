/* route/speed.h - how fast an instance is, and how long an answer will be: learned, with priors, forgetting.
 *
 * A rate is kept as two decayed sums, nanoseconds and tokens, so that long requests count for what they tell.  Its value is their
 * ratio, drawn to the prior by the square of the prior's share of the tokens: never used is the prior, a hundred tokens say most, and
 * an instance fifty times as fast as the prior is not held back by it.  Sums shrink with age, so stale falls back to the prior by the
 * same rule.  A chain of priors gives the hierarchy: fleet -> instance -> (instance, model, class). */
#pragma once

#include <stdint.h>

#define SPEED_BUCKETS 28 /* of answer lengths: half powers of two, 1 .. 11585 tokens and more */

/* Prior rates of an instance nobody has used: the class of machine that runs without a GPU; a GPU corrects them with one request. */
#define SPEED_PREFILL_NS 5e6F   /* 200 tokens/s */
#define SPEED_DECODE_NS  1e8F   /* 10 tokens/s */
#define SPEED_OUTPUT     256.0F /* tokens of an answer of which nothing is known */
#define SPEED_LOAD_NS    2e9F   /* + size / 1 GB/s: a cold file read from a fast disk; see speed_load_ns() */

/* One learned rate, ns per token.  Zero is "nothing learned". */
struct speed {
	float ns;
	float tokens;
	uint64_t last_ns;
};

struct speed_conf {
	float prior_tokens; /* the prior's weight */
	float most_tokens;  /* memory: older samples fade beyond so many tokens */
	float clip;         /* one sample moves the estimate as if it were at most so many times off: 4 */
	uint64_t half_ns;   /* sums halve in so long: 10 minutes */
};

extern const struct speed_conf SPEED_PREFILL; /* 512 tokens of prior, 16 Ki of memory */
extern const struct speed_conf SPEED_DECODE;  /* 64 and 4 Ki */

/* Learn: `tokens` took `ns`.  Samples without tokens or time are ignored. */
void speed_learn(struct speed *s, const struct speed_conf *conf, uint64_t tokens, uint64_t ns, uint64_t now_ns);

/* ns per token.  `s` may be NULL (nothing learned). */
float speed_ns(const struct speed *s, const struct speed_conf *conf, float prior, uint64_t now_ns);

/* Load time of a model of `bytes`: the last loads measured on the instance, else from the size. */
float speed_load_ns(const struct speed *s, uint64_t bytes, uint64_t now_ns);
void speed_load_learn(struct speed *s, uint64_t bytes, uint64_t ns, uint64_t now_ns);

/* Lengths of answers per (model, class): a decayed histogram.  Zero is "nothing learned". */
struct speed_output {
	float n[SPEED_BUCKETS];
	float tokens[SPEED_BUCKETS]; /* their sum: the mean within a bucket is exact */
	float sum_n;
	uint64_t last_ns;
};

/* Learn one length.  Only of answers that ended by themselves or at a limit: a client that left says nothing. */
void speed_output_learn(struct speed_output *o, uint64_t tokens, uint64_t now_ns);

/* Expected length given that `done` tokens have come and at most `most` may come (0: no limit): tokens still to come. */
float speed_output_rest(const struct speed_output *o, float prior, uint64_t done, uint64_t most, uint64_t now_ns);

/* The q-quantile (0 < q < 1) of lengths; the prior where nothing is known. */
float speed_output_quantile(const struct speed_output *o, float prior, float q, uint64_t now_ns);

/* Tokens of a text: 4 bytes each for ASCII, 2.5 for the rest (most scripts take 2-3 bytes a letter and about a token a letter).
 * `learned` (may be NULL) holds bytes per token as speed_learn(learned, &SPEED_TEXT, SPEED_TEXT_BYTES, tokens, bytes, now) taught it. */
#define SPEED_TEXT_BYTES 4.0F
extern const struct speed_conf SPEED_TEXT;
uint32_t speed_tokens(const struct speed *learned, uint64_t ascii_bytes, uint64_t other_bytes, uint64_t now_ns);

/* Predicted service time of a request, without waiting: ns. */
uint64_t speed_work_ns(float prefill_ns, float decode_ns, uint64_t prompt_tokens, float output_tokens);
