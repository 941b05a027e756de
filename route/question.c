#include "route/question.h"

#include "base/bug.h"

/* Small talk is short. */
#define CHAT_WORDS_MAX 10

static const enum question_type OF_CATEGORY[CATEGORY_COUNT] = {
	[CATEGORY_GENERAL] = QUESTION_FACTUAL,   [CATEGORY_MATH] = QUESTION_MATH,         [CATEGORY_CODE] = QUESTION_CODE,
	[CATEGORY_REASONING] = QUESTION_FACTUAL, [CATEGORY_CREATIVE] = QUESTION_CREATIVE, [CATEGORY_NLP] = QUESTION_FACTUAL,
	[CATEGORY_DATA] = QUESTION_MATH,         [CATEGORY_SAFETY] = QUESTION_FACTUAL,
};

static bool looks_technical(const struct classify_result *r)
{
	unsigned technical = r->cues.group[GROUP_TECHNICAL], code = r->cues.group[GROUP_CODE];

	switch (r->category) {
	case CATEGORY_MATH:
	case CATEGORY_CREATIVE:
		return false;
	case CATEGORY_CODE:
	case CATEGORY_DATA:
		return technical > code;
	default:
		return technical > 0;
	}
}

static bool looks_chatty(const struct classify_result *r)
{
	return r->cues.group[GROUP_CHAT] > 0 && r->cues.words <= CHAT_WORDS_MAX && r->category != CATEGORY_CODE &&
	       r->category != CATEGORY_MATH;
}

enum question_type question_type_of(const struct classify_result *r)
{
	if (looks_chatty(r))
		return QUESTION_CHAT;
	if (looks_technical(r))
		return QUESTION_TECHNICAL;
	return OF_CATEGORY[r->category];
}

const char *question_type_name(enum question_type type)
{
	static const char *const NAMES[] = {
		[QUESTION_FACTUAL] = "factual",   [QUESTION_TECHNICAL] = "technical", [QUESTION_CODE] = "code",
		[QUESTION_CREATIVE] = "creative", [QUESTION_MATH] = "math",           [QUESTION_CHAT] = "chat",
	};

	return type < ARRAY_SIZE(NAMES) ? NAMES[type] : "";
}

const char *question_level_name(enum classify_level level)
{
	static const char *const NAMES[] = {"simple", "moderate", "complex"};

	return level < ARRAY_SIZE(NAMES) ? NAMES[level] : "";
}
