/* route/question.h - the six question types and three levels that POST /api/intelligent-route answers with, from what classify_prompt() found.
 *
 * The classifier knows eight categories; the types of the service that tsa replaces are not a partition of them ("technical" is a topic,
 * "chat" a tone), so words decide those two. */
#pragma once

#include "route/classify.h"

enum question_type {
	QUESTION_FACTUAL = 0,
	QUESTION_TECHNICAL,
	QUESTION_CODE,
	QUESTION_CREATIVE,
	QUESTION_MATH,
	QUESTION_CHAT,
	QUESTION_TYPE_COUNT
};

enum question_type question_type_of(const struct classify_result *r);
const char *question_type_name(enum question_type type);

/* "simple", "moderate" or "complex": the level of complexity in that service's words. */
const char *question_level_name(enum classify_level level);
