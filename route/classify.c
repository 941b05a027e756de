#include "route/classify.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "route/complexity.h"
#include "route/pieces.h"
#include "route/weights.h"

/* From here a wrong category is rarer than one in ten on sources never seen. */
#define SURE_FROM 0.75f

/* "hello", "tell me a joke": a few pieces say little, and no collection of prompts has many such.  What they say must be plain. */
#define BRIEF_PIECES    5
#define BRIEF_SURE_FROM 0.6f

/* A question about a film, a book or a game has to be so many times as likely to be one of harm: most such ask what happens there. */
#define UNSAFE_OF_WORKS 20.0f

struct classifier {
	struct pieces *pieces;
	struct cue_words *words;
	struct weights weights;
};

/* Each piece counts once. */
struct piece_set {
	uint16_t slots[256]; /* id + 1; 0: free */
	int16_t sum[WEIGHTS_WIDTH];
	unsigned count, cut;
	struct pieces_scratch scratch;
};
_Static_assert(CLASSIFY_PIECES * 128 < INT16_MAX, "the sum of all pieces fits");
_Static_assert(PIECES_MAX < UINT16_MAX, "id + 1 fits");

static const char *const NAMES[] = {
#define CATEGORY(id, name, tag) [CATEGORY_##id] = name,
#include "route/categories.def"
#undef CATEGORY
};

static const char *const TAGS[] = {
#define CATEGORY(id, name, tag) [CATEGORY_##id] = tag,
#include "route/categories.def"
#undef CATEGORY
};

/* The category of each finer tag. */
static const uint8_t TAG_CATEGORY[] = {
#define TAG(id, name, category, words) [TAG_##id] = CATEGORY_##category,
#include "route/tags.def"
#undef TAG
};

const char *category_name(enum category c)
{
	return c < CATEGORY_COUNT ? NAMES[c] : "";
}

const char *category_tag(enum category c)
{
	return c < CATEGORY_COUNT ? TAGS[c] : "";
}

const char *classify_level_name(enum classify_level level)
{
	static const char *const LEVELS[] = {"low", "medium", "high"};

	return level < ARRAY_SIZE(LEVELS) ? LEVELS[level] : "";
}

int classify_create(const void *bytes, size_t len, struct classifier **out, struct why *why)
{
	struct classifier *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return why_set(why, -ENOMEM, "no memory for the classifier");
	rc = weights_read(bytes, len, &c->weights, why);
	if (rc == 0)
		rc = pieces_create(c->weights.strings, c->weights.strings_bytes, c->weights.n_pieces, &c->pieces, why);
	if (rc == 0)
		rc = cue_words_create(&c->words, why);
	if (rc < 0)
		classify_destroy(&c);
	else
		*out = c;
	return rc;
}

void classify_destroy(struct classifier **c)
{
	if (!*c)
		return;
	cue_words_destroy(&(*c)->words);
	pieces_destroy(&(*c)->pieces);
	free(*c);
	*c = NULL;
}

/* --- from bytes to numbers ------------------------------------------------------------------------------------------------------- */

/* `restrict` here and below lets the compiler use vector instructions. */
static void row_add(const int8_t *restrict row, int16_t *restrict sum)
{
	for (unsigned k = 0; k < WEIGHTS_WIDTH; k++)
		sum[k] = (int16_t)(sum[k] + row[k]);
}

static void piece_add(const struct weights *w, uint16_t id, struct piece_set *set)
{
	unsigned i = (id * 0x9e3779b1u) >> 24;

	for (; set->slots[i]; i = (i + 1) & 255)
		if (set->slots[i] == id + 1)
			return;
	set->slots[i] = (uint16_t)(id + 1);
	set->count++;
	row_add(w->table + (size_t)id * WEIGHTS_WIDTH, set->sum);
}

static void word_cut(const struct classifier *c, const struct text_word *word, struct piece_set *set, uint16_t ids[TEXT_WORD_MAX])
{
	unsigned left = CLASSIFY_PIECES - set->cut, n;

	n = pieces_cut(c->pieces, word, ids, left < TEXT_WORD_MAX ? left : TEXT_WORD_MAX, &set->scratch);
	for (unsigned i = 0; i < n; i++)
		if (ids[i] != PIECES_UNKNOWN)
			piece_add(&c->weights, ids[i], set);
	set->cut += n;
}

static void prompt_read(const struct classifier *c, const char *text, size_t len, struct piece_set *set, struct cues *cues)
{
	struct cues_state state;
	struct text_walk walk;
	struct text_word word;
	uint16_t ids[TEXT_WORD_MAX];

	memset(set, 0, sizeof(*set));
	cues_begin(text, len, &state, cues);
	text_walk_init(&walk, text, len);
	while (text_walk_next(&walk, &word)) {
		cues_word(c->words, &word, &state, cues);
		if (set->cut < CLASSIFY_PIECES)
			word_cut(c, &word, set, ids);
	}
	cues_end(&walk, &state, cues);
}

/* --- the network -------------------------------------------------------------------------------------------------------------- */

static void input_add(const struct weights_dense *w, unsigned input, float x, float *restrict hidden, float *restrict out)
{
	const float *restrict to_hidden = w->hidden[input], *restrict to_out = w->direct[input];

	for (unsigned h = 0; h < WEIGHTS_HIDDEN; h++)
		hidden[h] += x * to_hidden[h];
	for (unsigned k = 0; k < WEIGHTS_CATEGORIES; k++)
		out[k] += x * to_out[k];
}

static void network_run(const struct weights *w, const struct piece_set *set, const struct cues *cues,
			float out[WEIGHTS_CATEGORIES])
{
	const struct weights_dense *d = &w->dense;
	float scale = set->count ? w->scale / sqrtf((float)set->count) : 0;
	float hidden[WEIGHTS_HIDDEN];

	memcpy(hidden, d->hidden_bias, sizeof(hidden));
	memcpy(out, d->output_bias, sizeof(d->output_bias));
	for (unsigned i = 0; set->count && i < WEIGHTS_WIDTH; i++)
		input_add(d, i, (float)set->sum[i] * scale, hidden, out);
	for (unsigned part = 0; part < ARRAY_SIZE(cues->bits); part++)
		for (uint64_t left = cues->bits[part]; left; left &= left - 1)
			input_add(d, WEIGHTS_WIDTH + part * 64 + (unsigned)__builtin_ctzll(left), 1, hidden, out);
	for (unsigned h = 0; h < WEIGHTS_HIDDEN; h++) {
		float x = hidden[h] > 0 ? hidden[h] : 0;

		for (unsigned k = 0; k < WEIGHTS_CATEGORIES; k++)
			out[k] += x * d->output[h][k];
	}
}

static void probabilities(const float out[CATEGORY_COUNT], float temperature, float p[CATEGORY_COUNT])
{
	float top = out[0], sum = 0;

	for (unsigned k = 1; k < CATEGORY_COUNT; k++)
		top = out[k] > top ? out[k] : top;
	for (unsigned k = 0; k < CATEGORY_COUNT; k++) {
		p[k] = expf((out[k] - top) / temperature);
		sum += p[k];
	}
	for (unsigned k = 0; k < CATEGORY_COUNT; k++)
		p[k] /= sum;
}

/* --- the answer --------------------------------------------------------------------------------------------------------------- */

/* What needs no language to be understood, or says in the text's own what the network takes it for. */
static bool sharp_cue(const struct cues *c, enum category likeliest)
{
	static const uint8_t GROUP_OF[CATEGORY_COUNT] = {
		[CATEGORY_GENERAL] = GROUP_COUNT,       [CATEGORY_MATH] = GROUP_MATH,         [CATEGORY_CODE] = GROUP_CODE,
		[CATEGORY_REASONING] = GROUP_REASONING, [CATEGORY_CREATIVE] = GROUP_CREATIVE, [CATEGORY_NLP] = GROUP_NLP,
		[CATEGORY_DATA] = GROUP_DATA,           [CATEGORY_SAFETY] = GROUP_SAFETY,
	};
	static const enum cue SHARP[] = {CUE_FENCE, CUE_LATEX,     CUE_ARITHMETIC, CUE_EQUATION,
					 CUE_CALL,  CUE_SEMICOLON, CUE_SNAKE,      CUE_CODE_1};

	for (unsigned i = 0; i < ARRAY_SIZE(SHARP); i++)
		if (cue_has(c, SHARP[i]))
			return true;
	return GROUP_OF[likeliest] < GROUP_COUNT && c->group[GROUP_OF[likeliest]] > 0;
}

static uint64_t tags_of(const struct cues *c, enum category category)
{
	uint64_t out = 0;

	for (uint64_t left = c->tags; left; left &= left - 1) {
		unsigned tag = (unsigned)__builtin_ctzll(left);

		if (TAG_CATEGORY[tag] == category)
			out |= 1ULL << tag;
	}
	return out;
}

/* A held-down key, a phrase pasted a hundred times: to the network, the length of a jailbreak with the words of nothing. */
static bool repeats(const struct piece_set *set)
{
	return set->cut >= CLASSIFY_PIECES / 2 && set->count * 8 <= set->cut;
}

static bool is_unsafe(const struct weights *w, const struct classify_result *r)
{
	bool of_works = cue_has(&r->cues, CUE_WORK_1) && cue_has(&r->cues, CUE_END_QUESTION);
	float p = r->probability[CATEGORY_SAFETY], from = w->unsafe_from;

	return p * (1 - from) >= from * (1 - p) * (of_works ? UNSAFE_OF_WORKS : 1);
}

static void answer_make(const struct weights *w, const struct piece_set *set, struct classify_result *r)
{
	enum category best = CATEGORY_GENERAL;

	for (unsigned k = 0; k < CATEGORY_COUNT; k++)
		if (r->probability[k] > r->probability[best])
			best = (enum category)k;
	r->likeliest = r->category = best;
	r->confidence = r->probability[best];
	r->unsafe = is_unsafe(w, r);
	if (r->confidence < w->abstain_below || (set->cut <= BRIEF_PIECES && r->confidence < BRIEF_SURE_FROM))
		r->doubt = DOUBT_UNSURE;
	else if (r->cues.foreign && !sharp_cue(&r->cues, best))
		r->doubt = DOUBT_FOREIGN;
	if (repeats(set)) {
		r->doubt = DOUBT_REPEATS;
		r->unsafe = r->unsafe && (r->cues.group[GROUP_SAFETY] || r->cues.group[GROUP_OVERRIDE]);
	}
	if (r->doubt) {
		r->category = CATEGORY_GENERAL;
		r->confidence = r->probability[CATEGORY_GENERAL];
	}
	r->sure = !r->doubt && r->confidence >= SURE_FROM;
	r->tags = tags_of(&r->cues, r->category);
	r->complexity = complexity_score(&r->cues, best);
	r->level = r->complexity < COMPLEXITY_MEDIUM_FROM ? LEVEL_LOW
		   : r->complexity < COMPLEXITY_HIGH_FROM ? LEVEL_MEDIUM
							  : LEVEL_HIGH;
}

void classify_outputs(const struct classifier *c, const char *text, size_t len, float outputs[CATEGORY_COUNT])
{
	struct piece_set set;
	struct cues cues;

	prompt_read(c, text, len, &set, &cues);
	network_run(&c->weights, &set, &cues, outputs);
}

void classify_prompt(const struct classifier *c, const char *text, size_t len, struct classify_result *out)
{
	float outputs[CATEGORY_COUNT];
	struct piece_set set;

	memset(out, 0, sizeof(*out));
	prompt_read(c, text, len, &set, &out->cues);
	out->pieces = set.cut;
	if (!set.cut) {
		out->confidence = out->probability[CATEGORY_GENERAL] = 1;
		return;
	}
	network_run(&c->weights, &set, &out->cues, outputs);
	probabilities(outputs, c->weights.temperature, out->probability);
	answer_make(&c->weights, &set, out);
}
