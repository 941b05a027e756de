/* Numbers, durations, sizes and names: what is taken, and the sentence for what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/scan.h"

static void durations_need_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t    ns;
	} GOOD[] = {
		{"0s", 0}, {"5s", 5 * NS_PER_S}, {"1.5s", 1500 * NS_PER_MS}, {"250ms", 250 * NS_PER_MS}, {"10us", 10 * NS_PER_US},
		{"7ns", 7}, {"2m", 120 * NS_PER_S}, {"1h", 3600 * NS_PER_S}, {"1d", 86400 * NS_PER_S},
	};
	static const struct {
		const char *text, *says;
	} BAD[] = {
		{"5", "has no unit"}, {"", "does not begin with a number"}, {"s", "does not begin with a number"}, {"5 s", "unknown unit"},
		{"-1s", "does not begin with a number"}, {"5x", "unknown unit"}, {"1.s", "no digit after the point"},
		{"99999999999999999999s", "does not begin"}, {"400000d", "too large"},
	};
	struct why why;
	uint64_t ns = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(GOOD); i++) {
		assert_int_equal(scan_duration_ns(GOOD[i].text, &ns, &why), 0);
		assert_int_equal(ns, GOOD[i].ns);
	}
	ns = 42;
	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++) {
		assert_int_not_equal(scan_duration_ns(BAD[i].text, &ns, &why), 0);
		assert_non_null(strstr(why.text, BAD[i].says));
		assert_int_equal(ns, 42);
	}
}

static void sizes_are_binary_unless_said(void **state)
{
	struct why why;
	uint64_t v;

	(void)state;
	assert_int_equal(scan_size_bytes("16KiB", &v, &why), 0);
	assert_int_equal(v, 16384);
	assert_int_equal(scan_size_bytes("1MB", &v, &why), 0);
	assert_int_equal(v, 1000000);
	assert_int_equal(scan_size_bytes("1.5G", &v, &why), 0);
	assert_int_equal(v, 3ULL << 29);
	assert_int_not_equal(scan_size_bytes("16", &v, &why), 0);
	assert_non_null(strstr(why.text, "no unit"));
	assert_int_not_equal(scan_size_bytes("9999999999TiB", &v, &why), 0);
}

static void numbers_stay_in_their_range(void **state)
{
	struct why why;
	uint64_t v = 1;

	(void)state;
	assert_int_equal(scan_u64("18446744073709551615", 0, UINT64_MAX, &v, &why), 0);
	assert_true(v == UINT64_MAX);
	assert_int_not_equal(scan_u64("18446744073709551616", 0, UINT64_MAX, &v, &why), 0);
	assert_int_not_equal(scan_u64("0", 1, 5, &v, &why), 0);
	assert_non_null(strstr(why.text, "from 1 to 5"));
	assert_int_not_equal(scan_u64("1 ", 0, 5, &v, &why), 0);
	assert_int_not_equal(scan_u64("0x1", 0, 5, &v, &why), 0);
}

static void names_are_plain(void **state)
{
	(void)state;
	assert_true(scan_name_ok("chat-0", 63));
	assert_true(scan_name_ok("a", 1));
	assert_false(scan_name_ok("", 63));
	assert_false(scan_name_ok("-a", 63));
	assert_false(scan_name_ok("a/b", 63));
	assert_false(scan_name_ok("a b", 63));
	assert_false(scan_name_ok("ab", 1));
}

static void durations_print_as_people_write_them(void **state)
{
	char buf[32];

	(void)state;
	assert_string_equal(scan_duration_text(1500 * NS_PER_MS, buf, sizeof(buf)), "1.5s");
	assert_string_equal(scan_duration_text(250 * NS_PER_MS, buf, sizeof(buf)), "250ms");
	assert_string_equal(scan_duration_text(7200 * NS_PER_S, buf, sizeof(buf)), "2h");
	assert_string_equal(scan_duration_text(CLOCK_NEVER, buf, sizeof(buf)), "never");
}

static void deadlines_never_wrap_or_fire_early(void **state)
{
	(void)state;
	assert_true(clock_after_ns(UINT64_MAX - 5, 10) == CLOCK_NEVER);
	assert_int_equal(clock_after_ns(5, 10), 15);
	assert_int_equal(clock_until_ms(100, 100), 0);
	assert_int_equal(clock_until_ms(0, 1), 1);
	assert_int_equal(clock_until_ms(0, NS_PER_MS), 1);
	assert_int_equal(clock_until_ms(0, NS_PER_MS + 1), 2);
	clock_fake(77);
	assert_int_equal(clock_now_ns(), 77);
	clock_fake(0);
	assert_true(clock_now_ns() > 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_need_units),          cmocka_unit_test(sizes_are_binary_unless_said),
		cmocka_unit_test(numbers_stay_in_their_range),   cmocka_unit_test(names_are_plain),
		cmocka_unit_test(durations_print_as_people_write_them), cmocka_unit_test(deadlines_never_wrap_or_fire_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
