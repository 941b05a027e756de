/* Words as uncased vocabularies know them, from any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "route/text.h"

/* All words, joined by '|'. */
static const char *words(const char *text, size_t len, char *out, size_t size)
{
	struct text_walk walk;
	struct text_word w;
	size_t at = 0;

	out[0] = 0;
	text_walk_init(&walk, text, len);
	while (text_walk_next(&walk, &w))
		at += (size_t)snprintf(out + at, at < size ? size - at : 0, "%s%.*s", at ? "|" : "", w.len, w.bytes);
	return out;
}

static void folds_and_splits(void **state)
{
	static const char *const CASES[][2] = {
		{"Hello, World!", "hello|,|world|!"},
		{"  \t\n ", ""},
		{"", ""},
		{"Ça coûte 5€ à Łódź", "ca|coute|5€|a|łodz"},
		{"x×y=2", "x×y|=|2"},
		{"don't", "don|'|t"},
		{"e\xcc\x81t\xc3\xa9", "ete"},
		{"Είναι ΟΚ", "ειναι|οκ"},
		{"Йогурт ЁЛКА", "иогурт|елка"},
		{"中文 text", "中|文|text"},
		{"がぱづ", "かはつ"},
		{"a\xe2\x80\x8b"
		 "b\xef\xbb\xbf",
		 "ab"},
		{"“q”", "“|q|”"},
	};
	char out[256];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++)
		assert_string_equal(words(CASES[i][0], strlen(CASES[i][0]), out, sizeof(out)), CASES[i][1]);
}

static void broken_utf8_is_passed_over(void **state)
{
	static const char *const CASES[] = {"a\xff"
					    "b",
					    "a\xc0\x80"
					    "b",
					    "a\xed\xa0\x80"
					    "b",
					    "a\xf5\x80\x80\x80"
					    "b",
					    "a\xe2\x82"};
	char out[64];

	(void)state;
	for (unsigned i = 0; i + 1 < ARRAY_SIZE(CASES); i++)
		assert_string_equal(words(CASES[i], strlen(CASES[i]), out, sizeof(out)), "ab");
	assert_string_equal(words(CASES[4], 3, out, sizeof(out)), "a");
	assert_string_equal(words("a\0b", 3, out, sizeof(out)), "ab");
}

static void reading_is_bounded(void **state)
{
	static char text[100000];
	struct text_walk walk;
	struct text_word w;
	size_t bytes = 0;

	(void)state;
	memset(text, 'q', sizeof(text));
	text_walk_init(&walk, text, sizeof(text));
	while (text_walk_next(&walk, &w)) {
		assert_in_range(w.len, 1, TEXT_WORD_MAX);
		bytes += w.len;
	}
	assert_int_equal(bytes, TEXT_READ_MAX);
}

static void foreign_letters_are_counted(void **state)
{
	struct text_walk walk;
	struct text_word w;

	(void)state;
	text_walk_init(&walk, "abc мир é 7", strlen("abc мир é 7"));
	while (text_walk_next(&walk, &w))
		;
	assert_int_equal(walk.letters, 8);
	assert_int_equal(walk.foreign, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folds_and_splits),
		cmocka_unit_test(broken_utf8_is_passed_over),
		cmocka_unit_test(reading_is_bounded),
		cmocka_unit_test(foreign_letters_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
