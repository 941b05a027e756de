/* What tsactl shows of foreign bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "tools/tsactl/tsactl.h"

static void only_what_can_be_shown(void **state)
{
	static const struct {
		const char *from;
		const char *to;
	} cases[] = {
		{"plain", "plain"},
		{"a\nb\x7f\x1b[2J", "a?b??[2J"},
		{"\u00e4 \u2192 \u65e5 \U0001f600", "\u00e4 \u2192 \u65e5 \U0001f600"},
		{"cut \xe2\x86", "cut ??"},
		{"cut \xe2\x86 here", "cut ?? here"},
		{"\xc0\xaf \xe0\x80\xaf \xed\xa0\x80 \xf5\x80 \xf4\x90\x80\x80", "?? ??? ??? ?? ????"},
		{"\xff\x80\xc2\x9b", "????"}, /* the last two: a terminal's CSI */
	};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(text_clean(cases[i].from, buf, sizeof(buf)), cases[i].to);
}

static void what_does_not_fit_ends_between_characters(void **state)
{
	char buf[6];

	(void)state;
	assert_string_equal(text_clean("abc\u2192d", buf, sizeof(buf)), "abc");
	assert_string_equal(text_clean("ab\u2192d", buf, sizeof(buf)), "ab\u2192");
	assert_string_equal(text_clean("abcdefg", buf, sizeof(buf)), "abcde");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_can_be_shown),
		cmocka_unit_test(what_does_not_fit_ends_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
