/* Longest piece first, and a vocabulary that is not one is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "route/pieces.h"

static const char VOCABULARY[] = "play\0##ing\0##in\0##g\0p\0##l\0in\0é";
enum { PLAY, ING, IN_, G, P, L, IN, E_ACUTE };

static struct text_word word(const char *text)
{
	struct text_word w = {.len = (uint8_t)strlen(text)};

	memcpy(w.bytes, text, w.len);
	return w;
}

static void longest_first(void **state)
{
	static const struct {
		const char *word;
		unsigned n;
		uint16_t ids[4];
	} CASES[] = {
		{"playing", 2, {PLAY, ING}},
		{"in", 1, {IN}},
		{"ping", 2, {P, ING}},
		{"pling", 3, {P, L, ING}},
		{"playx", 2, {PLAY, PIECES_UNKNOWN}},
		{"ing", 2, {IN, G}},
		{"zebra", 1, {PIECES_UNKNOWN}},
		{"é", 1, {E_ACUTE}},
	};
	struct pieces *p = NULL;
	struct pieces_scratch s;
	uint16_t ids[8];

	(void)state;
	assert_int_equal(pieces_create(VOCABULARY, sizeof(VOCABULARY), 8, &p, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct text_word w = word(CASES[i].word);

		assert_int_equal(pieces_cut(p, &w, ids, ARRAY_SIZE(ids), &s), CASES[i].n);
		assert_memory_equal(ids, CASES[i].ids, CASES[i].n * sizeof(*ids));
		assert_int_equal(pieces_cut(p, &w, ids, 1, &s), 1);
		assert_int_equal(pieces_cut(p, &w, ids, 0, &s), 0);
	}
	pieces_destroy(&p);
	assert_null(p);
	pieces_destroy(&p);
}

static void not_a_vocabulary(void **state)
{
	static const struct {
		const char *strings;
		size_t len;
		unsigned n;
		const char *says;
	} CASES[] = {
		{"a\0b", 4, 3, "ends after 2 of 3"},
		{"a\0b", 4, 1, "2 bytes stand behind"},
		{"a\0a", 4, 2, "twice"},
		{"a\0\0b", 5, 3, "has 0 bytes"},
		{"ab", 2, 1, "ends after 0 of 1"},
		{"a", 2, 0, "has 0 pieces"},
		{"a", 2, 4000000000u, "has 4000000000 pieces"},
		{"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeee", 50, 1, "has 49 bytes"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct pieces *p = NULL;
		struct why why = {""};

		assert_int_equal(pieces_create(CASES[i].strings, CASES[i].len, CASES[i].n, &p, &why), -EINVAL);
		assert_null(p);
		assert_non_null(strstr(why.text, CASES[i].says));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(longest_first), cmocka_unit_test(not_a_vocabulary)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
