#include "route/complexity.h"

#include "base/bug.h"
#include "route/classify.h"

/* What a cue adds. */
static const struct {
	enum cue cue;
	float add;
} CUES[] = {
	{CUE_WORDS_6, 0.03f},     {CUE_WORDS_10, 0.05f}, {CUE_WORDS_18, 0.08f}, {CUE_WORDS_35, 0.08f}, {CUE_WORDS_70, 0.05f},
	{CUE_WORDS_140, 0.03f},   {CUE_CUT, 0.05f},      {CUE_COMMAS_5, 0.06f}, {CUE_LIST, 0.04f},     {CUE_QUESTIONS_2, 0.04f},
	{CUE_SENTENCES_4, 0.03f}, {CUE_FENCE, 0.04f},    {CUE_LATEX, 0.08f},    {CUE_OPEN_WHY, 0.06f}, {CUE_OPEN_HOW, 0.06f},
};

/* What words of a group add: the first, each further one, and at most how much together. */
static const struct {
	enum cue_group group;
	float first, more, most;
} GROUPS[] = {
	{GROUP_HARD, 0.26f, 0.08f, 0.50f},
	{GROUP_MIDDLE, 0.14f, 0.05f, 0.24f},
	{GROUP_EASY, -0.10f, 0.0f, 0.0f},
	{GROUP_CHAT, -0.05f, 0.0f, 0.0f},
};

static const float BASE[CATEGORY_COUNT] = {
	[CATEGORY_GENERAL] = 0.16f,  [CATEGORY_MATH] = 0.24f, [CATEGORY_CODE] = 0.24f, [CATEGORY_REASONING] = 0.30f,
	[CATEGORY_CREATIVE] = 0.24f, [CATEGORY_NLP] = 0.16f,  [CATEGORY_DATA] = 0.26f, [CATEGORY_SAFETY] = 0.16f,
};

static float group_score(const struct cues *c, unsigned i)
{
	unsigned n = c->group[GROUPS[i].group];
	float add = n ? GROUPS[i].first + (float)(n - 1) * GROUPS[i].more : 0;

	return GROUPS[i].most > 0 && add > GROUPS[i].most ? GROUPS[i].most : add;
}

float complexity_score(const struct cues *c, unsigned category)
{
	float score = category < CATEGORY_COUNT ? BASE[category] : 0;
	bool asks_more = c->group[GROUP_HARD] || c->group[GROUP_MIDDLE]; /* "what is the role of" is no "what is" */

	for (unsigned i = 0; i < ARRAY_SIZE(CUES); i++)
		score += cue_has(c, CUES[i].cue) ? CUES[i].add : 0;
	for (unsigned i = 0; i < ARRAY_SIZE(GROUPS); i++)
		if (GROUPS[i].first > 0 || !asks_more)
			score += group_score(c, i);
	return score < 0 ? 0 : score > 1 ? 1 : score;
}
