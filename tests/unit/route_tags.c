/* Tags are bits: known ones the same everywhere, an operator's own after them, a client's never added. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "route/tags.h"

static void known_tags_have_their_bits(void **state)
{
	struct tags t;
	uint64_t set = 0;

	(void)state;
	tags_init(&t);
	assert_int_equal(tags_find(&t, "Code"), TAG_BIT(CODE));
	assert_int_equal(tags_add(&t, "LONG-context", &set, NULL), 0);
	assert_int_equal(set, TAG_BIT(LONG_CONTEXT));
	assert_int_equal(t.n, TAG_KNOWN_COUNT);
}

static void an_operators_tag_gets_one_bit(void **state)
{
	struct tags t;
	uint64_t a = 0, b = 0;

	(void)state;
	tags_init(&t);
	assert_int_equal(tags_add(&t, "Legal", &a, NULL), 0);
	assert_int_equal(tags_add(&t, "legal", &b, NULL), 0);
	assert_int_equal(a, b);
	assert_int_equal(tags_find(&t, "LEGAL"), a);
	assert_string_equal(t.name[TAG_KNOWN_COUNT], "legal");
}

static void required_tags_are_a_hard_rule(void **state)
{
	struct tags t;

	(void)state;
	tags_init(&t);
	assert_true(tags_cover(TAG_BIT(CODE) | TAG_BIT(FAST), TAG_BIT(CODE)));
	assert_false(tags_cover(TAG_BIT(CODE), TAG_BIT(CODE) | TAG_BIT(VISION)));
	assert_true(tags_cover(0, 0));
	/* what nobody has is covered by nobody, and asking for it does not make it exist */
	assert_int_equal(tags_find(&t, "unheard-of"), TAGS_NOBODY);
	assert_false(tags_cover(~TAGS_NOBODY, tags_find(&t, "unheard-of")));
	assert_int_equal(t.n, TAG_KNOWN_COUNT);
}

static void a_full_table_says_so(void **state)
{
	struct tags t;
	struct why why = {""};
	uint64_t set = 0, before;
	char name[16];

	(void)state;
	tags_init(&t);
	for (unsigned i = TAG_KNOWN_COUNT; i < TAGS_MOST; i++) {
		snprintf(name, sizeof(name), "own-%u", i);
		assert_int_equal(tags_add(&t, name, &set, NULL), 0);
	}
	before = set;
	assert_int_equal(tags_add(&t, "one-more", &set, &why), -ENOSPC);
	assert_int_equal(set, before);
	assert_string_equal(why.text, "there are 63 different tags already, and \"one-more\" is one more; use fewer");
	assert_int_equal(set & TAGS_NOBODY, 0);
	assert_int_equal(tags_add(&t, "own-62", &set, NULL), 0);
}

static void what_is_no_name_is_refused(void **state)
{
	static const char *const bad[] = {"", "two words", "-x", "a,b", "a-tag-that-is-longer-than-all-tags"};
	struct why why = {""};
	struct tags t;
	uint64_t set = 0;

	(void)state;
	tags_init(&t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(tags_add(&t, bad[i], &set, &why), -EINVAL);
	assert_int_equal(set, 0);
	assert_non_null(strstr(why.text, "is not a tag; write up to 31 letters"));
}

static void sets_read_as_names(void **state)
{
	struct tags t;
	char buf[64], small[6];

	(void)state;
	tags_init(&t);
	assert_string_equal(tags_text(&t, 0, buf, sizeof(buf)), "-");
	assert_string_equal(tags_text(&t, TAG_BIT(FAST) | TAG_BIT(CODE), buf, sizeof(buf)), "code, fast");
	assert_string_equal(tags_text(&t, TAG_BIT(CODE) | TAGS_NOBODY, buf, sizeof(buf)), "code, (one that no instance has)");
	assert_string_equal(tags_text(&t, TAG_BIT(CODE) | TAG_BIT(FAST), small, sizeof(small)), "code,");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_tags_have_their_bits), cmocka_unit_test(an_operators_tag_gets_one_bit),
		cmocka_unit_test(required_tags_are_a_hard_rule), cmocka_unit_test(a_full_table_says_so),
		cmocka_unit_test(what_is_no_name_is_refused), cmocka_unit_test(sets_read_as_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
