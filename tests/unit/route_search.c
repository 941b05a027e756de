/* Kinds of queries: whole words decide, in the order of the table; where none does, the question's type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "route/search.h"

static void words_decide_in_their_order(void **state)
{
	static const struct {
		const char *text;
		enum question_type type;
		enum search_kind kind;
	} CASES[] = {
		{"Where is the installation guide of the gateway?", QUESTION_FACTUAL, SEARCH_TECHNICAL_DOCS},
		{"How do I install the RNI?", QUESTION_TECHNICAL, SEARCH_TECHNICAL_DOCS},
		{"What are the latest models?", QUESTION_FACTUAL, SEARCH_CURRENT_EVENTS},
		{"Who won in 2026?", QUESTION_FACTUAL, SEARCH_CURRENT_EVENTS},
		{"Who won in 2024?", QUESTION_FACTUAL, SEARCH_CURRENT_EVENTS},
		{"Who won in 2023?", QUESTION_FACTUAL, SEARCH_GENERAL_KNOWLEDGE},
		{"Who won in 2027?", QUESTION_FACTUAL, SEARCH_GENERAL_KNOWLEDGE},
		{"Who won 20250 of them?", QUESTION_FACTUAL, SEARCH_GENERAL_KNOWLEDGE},
		{"Python function to parse dates", QUESTION_CODE, SEARCH_CODE_EXAMPLES},
		{"HOW   TO\ttie a tie", QUESTION_FACTUAL, SEARCH_HOW_TO},
		{"cats vs. dogs", QUESTION_FACTUAL, SEARCH_COMPARISON},
		{"The printer does not work", QUESTION_FACTUAL, SEARCH_TROUBLESHOOTING},
		{"The capital of France?", QUESTION_FACTUAL, SEARCH_GENERAL_KNOWLEDGE}, /* no "api" in it */
		{"learning to paint", QUESTION_FACTUAL, SEARCH_GENERAL_KNOWLEDGE},
		{"Which ports does the collector listen on", QUESTION_TECHNICAL, SEARCH_TECHNICAL_DOCS},
		{"", QUESTION_FACTUAL, SEARCH_GENERAL_KNOWLEDGE},
		{"\xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80 \x01\x02", QUESTION_FACTUAL, SEARCH_GENERAL_KNOWLEDGE},
	};
	struct search_result r;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		search_look(span_of(CASES[i].text), CASES[i].type, 2025, &r);
		assert_string_equal(search_advice(r.kind)->name, search_advice(CASES[i].kind)->name);
	}
}

static void keywords_are_told(void **state)
{
	struct search_result r;

	(void)state;
	search_look(SPAN_LIT("compare A versus B, the difference between them"), QUESTION_FACTUAL, 2025, &r);
	assert_int_equal(r.n, 3);
	assert_true(span_eq(r.keyword[0], SPAN_LIT("versus")) && span_eq(r.keyword[2], SPAN_LIT("difference_between")));
}

static void any_length_is_bounded(void **state)
{
	enum { N = 1 << 20 };
	char *text = malloc(N);
	struct search_result r;

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < N; i++)
		text[i] = i % 2 ? ' ' : 'a';
	memcpy(text + SEARCH_BYTES, " latest ", 8);
	search_look((struct span){text, N}, QUESTION_FACTUAL, 2025, &r);
	assert_int_equal(r.kind, SEARCH_GENERAL_KNOWLEDGE);
	memset(text, 'a', N);
	search_look((struct span){text, N}, QUESTION_FACTUAL, 2025, &r);
	assert_int_equal(r.kind, SEARCH_GENERAL_KNOWLEDGE);
	free(text);
}

static void thresholds_follow_the_kind(void **state)
{
	(void)state;
	assert_float_equal(search_threshold(SEARCH_CURRENT_EVENTS, 0.3), 0.7, 0);
	assert_float_equal(search_threshold(SEARCH_CURRENT_EVENTS, 0.9), 0.9, 0);
	assert_float_equal(search_threshold(SEARCH_TECHNICAL_DOCS, 0.3), 0.2, 0);
	assert_float_equal(search_threshold(SEARCH_TECHNICAL_DOCS, 0.1), 0.1, 0);
	assert_float_equal(search_threshold(SEARCH_COMPARISON, 0.9), 0.5, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_decide_in_their_order),
		cmocka_unit_test(keywords_are_told),
		cmocka_unit_test(any_length_is_bounded),
		cmocka_unit_test(thresholds_follow_the_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
