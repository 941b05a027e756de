/* JSON to values that know where they stand; what is no JSON is told with line and column. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/json.h"

static struct conf_json j;
static struct conf_json_fault fault;

static int parse(const char *text)
{
	return conf_json_parse(text, strlen(text), &j, &fault);
}

static int teardown(void **state)
{
	(void)state;
	conf_json_fini(&j);
	return 0;
}

static void values_know_their_places(void **state)
{
	const struct conf_json_value *v;
	char path[64];

	(void)state;
	assert_int_equal(parse("{\n  \"models\": [1, {\"size\":\n\ttrue}], \"\xc3\xa4\": null\n}\n"), 0);
	v = conf_json_get(&j, &j.at[0], "models");
	assert_int_equal(v->kind, CONF_JSON_ARRAY);
	assert_int_equal(v->line, 2);
	assert_int_equal(v->column, 13);
	v = conf_json_get(&j, conf_json_next(&j, conf_json_first(&j, v)), "size");
	assert_int_equal(v->kind, CONF_JSON_TRUE);
	assert_int_equal(v->line, 3);
	assert_int_equal(v->column, 2);
	assert_string_equal(conf_json_path(&j, v, path, sizeof(path)), "models[1].size");
	assert_string_equal(conf_json_path(&j, &j.at[0], path, sizeof(path)), "the file");
	v = conf_json_get(&j, &j.at[0], "\xc3\xa4");
	assert_int_equal(v->kind, CONF_JSON_NULL);
	/* a letter of two bytes is one column */
	assert_int_equal(v->column, 15);
	assert_string_equal(conf_json_path(&j, v, path, sizeof(path)), "??");
	assert_null(conf_json_get(&j, &j.at[0], "sizes"));
	assert_null(conf_json_get(&j, v, "size"));
	assert_null(conf_json_get(&j, NULL, "size"));
}

static void strings_lose_their_escapes(void **state)
{
	(void)state;
	assert_int_equal(parse("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20ac\\ud83d\\ude00\""), 0);
	assert_string_equal(j.at[0].text, "a\"\\/\b\f\n\r\tA\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
	conf_json_fini(&j);
	/* halves of a pair that stand alone */
	assert_int_equal(parse("[\"\\ud83d\", \"\\ude00x\", \"\\ud83d\\u0041\"]"), 0);
	assert_string_equal(j.at[1].text, "\xef\xbf\xbd");
	assert_string_equal(j.at[2].text, "\xef\xbf\xbdx");
	assert_string_equal(j.at[3].text, "\xef\xbf\xbd");
}

static void numbers_are_read_exactly_where_people_write_them(void **state)
{
	static const struct {
		const char *text;
		double value;
	} rows[] = {
		{"0", 0.0},          {"-0", 0.0},      {"7", 7.0},      {"62.5", 62.5},     {"0.9", 0.9},
		{"-1.25e2", -125.0}, {"1E-2", 0.01},   {"81.7", 81.7},  {"0.1", 0.1},       {"1e400", INFINITY},
		{"1e-400", 0.0},     {"32768", 32768}, {"1.5e3", 1500}, {"0.000001", 1e-6}, {"0e99999999999", 0.0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i].text), 0);
		assert_int_equal(j.at[0].kind, CONF_JSON_NUMBER);
		if (!(j.at[0].number >= rows[i].value && j.at[0].number <= rows[i].value))
			fail_msg("%s became %.17g", rows[i].text, j.at[0].number);
		conf_json_fini(&j);
	}
	assert_int_equal(parse("123456789012345678901234567890.123456789012345678901234567890"), 0);
	assert_true(fabs(j.at[0].number / 1.2345678901234568e29 - 1) < 1e-15);
}

static void the_last_of_two_members_counts(void **state)
{
	(void)state;
	assert_int_equal(parse("\xef\xbb\xbf{\"a\": 1, \"a\": 2}"), 0);
	assert_int_equal((int)conf_json_get(&j, &j.at[0], "a")->number, 2);
	assert_int_equal(conf_json_get(&j, &j.at[0], "a")->rank, 1);
}

static void what_is_no_json_is_told(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *says;
	} rows[] = {
		{"", 1, 1, "the file ends where a value should be: \"text\", a number, true, false, null, [ or {"},
		{"{\"a\": 1,\n}", 2, 1, "there is a } where a member should be: \"name\": value"},
		{"[1 2]", 1, 4, "there is a 2 where a comma or ] should be"},
		{"{\"a\" 1}", 1, 6, "there is a 1 where a colon should be, after a member's name"},
		{"{\"a\": 1", 1, 8, "the file ends where a comma or } should be"},
		{"[1,]", 1, 4, "there is a ] where a value should be: \"text\", a number, true, false, null, [ or {"},
		{"[01]", 1, 2, "there is a 0 where a number begins; it has no 0 before other digits"},
		{"[1.]", 1, 4, "there is a ] where a digit should be, after the point"},
		{"[1e]", 1, 4, "there is a ] where a digit should be, after the e"},
		{"[-]", 1, 3, "there is a ] where a digit should be"},
		{"\"a\nb\"", 1, 3,
		 "there is a byte 0x0a where a string goes on; write \" at its end, and \\n for a line's end in it"},
		{"\"\\x\"", 1, 3, "there is a x where one of \" \\ / b f n r t u should be, after a backslash"},
		{"\"\\u12g4\"", 1, 6, "there is a g where four hexadecimal digits should be"},
		{"\"\\u0000\"", 1, 8, "there is a \" where the string goes on after a NUL, which has no place in it"},
		{"tru", 1, 1, "there is a t where a value should be: \"text\", a number, true, false, null, [ or {"},
		{"{} {}", 1, 4, "there is a { where the file should end"},
		{"{'a': 1}", 1, 2, "there is a ' where a member should be: \"name\": value"},
		{"\"open", 1, 6, "the file ends where a string goes on; write \" at its end, and \\n for a line's end in it"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i].text), -EINVAL);
		assert_string_equal(fault.why.text, rows[i].says);
		assert_int_equal(fault.line, rows[i].line);
		assert_int_equal(fault.column, rows[i].column);
		assert_null(j.at);
	}
}

static void a_nul_does_not_end_the_file(void **state)
{
	(void)state;
	assert_int_equal(conf_json_parse("[1]\0", 4, &j, &fault), -EINVAL);
	assert_string_equal(fault.why.text, "there is a byte 0x00 where the file should end");
}

static void nesting_has_an_end(void **state)
{
	char text[2 * CONF_JSON_DEPTH + 3];

	(void)state;
	memset(text, '[', CONF_JSON_DEPTH);
	memset(text + CONF_JSON_DEPTH, ']', CONF_JSON_DEPTH);
	text[2 * CONF_JSON_DEPTH] = 0;
	assert_int_equal(parse(text), 0);
	conf_json_fini(&j);
	memset(text, '[', CONF_JSON_DEPTH + 1);
	memset(text + CONF_JSON_DEPTH + 1, ']', CONF_JSON_DEPTH + 1);
	text[2 * CONF_JSON_DEPTH + 2] = 0;
	assert_int_equal(parse(text), -EINVAL);
	assert_string_equal(fault.why.text, "there is a [ where one more level begins than can be read");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(values_know_their_places, teardown),
		cmocka_unit_test_teardown(strings_lose_their_escapes, teardown),
		cmocka_unit_test_teardown(numbers_are_read_exactly_where_people_write_them, teardown),
		cmocka_unit_test_teardown(the_last_of_two_members_counts, teardown),
		cmocka_unit_test(what_is_no_json_is_told),
		cmocka_unit_test(a_nul_does_not_end_the_file),
		cmocka_unit_test_teardown(nesting_has_an_end, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
