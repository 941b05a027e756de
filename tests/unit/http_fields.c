/* Bodies that are wrong are told so in the words and with the places that clients know.  The expected objects are those of the
 * validation library that the replaced service used. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "http/fields.h"
#include "http/syntax.h"

static const struct field TABLE[] = {
	{"query", FIELD_STRING, true, false},      {"prefer_speed", FIELD_BOOL, false, false},
	{"threshold", FIELD_NUMBER, false, false}, {"limit", FIELD_INTEGER, false, false},
	{"models", FIELD_STRINGS, false, false},   {"comment", FIELD_STRING, false, true},
	{"share", FIELD_SHARE, false, true},
};

/* The errors of a body as text, "" when there is none. */
static void expect(const char *body, const char *want)
{
	struct json_out errors = {0};
	struct json_object *o = NULL;
	int rc;

	json_out_array(&errors, NULL);
	rc = fields_parse(body, strlen(body), &o, &errors);
	if (rc == 0)
		assert_int_equal(fields_check(TABLE, ARRAY_SIZE(TABLE), o, "body", &errors), !*want);
	else
		assert_int_equal(rc, -EINVAL);
	json_out_end(&errors);
	assert_false(errors.failed);
	assert_int_equal(errors.n, *want ? strlen(want) : 2);
	assert_memory_equal(errors.p, *want ? want : "[]", errors.n);
	json_out_free(&errors);
	json_object_put(o);
}

#define ERROR(type, loc, msg, input) "[{\"type\":\"" type "\",\"loc\":" loc ",\"msg\":\"" msg "\",\"input\":" input "}]"
#define NO_OBJECT                    "Input should be a valid dictionary or object to extract fields from"

static void a_body_must_be_an_object(void **state)
{
	(void)state;
	expect("", ERROR("missing", "[\"body\"]", "Field required", "null"));
	expect("null", ERROR("missing", "[\"body\"]", "Field required", "null"));
	expect("[]", ERROR("model_attributes_type", "[\"body\"]", NO_OBJECT, "[]"));
	expect("17", ERROR("model_attributes_type", "[\"body\"]", NO_OBJECT, "17"));
	expect("{\"query\":\"x\",}", "[{\"type\":\"json_invalid\",\"loc\":[\"body\",13],\"msg\":\"JSON decode error\",\"input\":{},"
				     "\"ctx\":{\"error\":\"Expecting property name enclosed in double quotes\"}}]");
}

static void fields_are_checked_by_their_kind(void **state)
{
	(void)state;
	expect("{\"query\":\"\",\"more\":[1]}", "");
	expect("\xef\xbb\xbf{\"query\":\"\"}", "");
	expect("{}", ERROR("missing", "[\"body\",\"query\"]", "Field required", "{}"));
	expect("{\"query\":null}", ERROR("string_type", "[\"body\",\"query\"]", "Input should be a valid string", "null"));
	expect("{\"query\":\"a\",\"comment\":null}", "");
	expect("{\"query\":\"a\",\"comment\":1}",
	       ERROR("string_type", "[\"body\",\"comment\"]", "Input should be a valid string", "1"));
	expect("{\"query\":\"a\",\"prefer_speed\":\"maybe\"}",
	       ERROR("bool_parsing", "[\"body\",\"prefer_speed\"]", "Input should be a valid boolean, unable to interpret input",
		     "\"maybe\""));
	expect("{\"query\":\"a\",\"prefer_speed\":[]}",
	       ERROR("bool_type", "[\"body\",\"prefer_speed\"]", "Input should be a valid boolean", "[]"));
	expect("{\"query\":\"a\",\"models\":\"x\"}",
	       ERROR("list_type", "[\"body\",\"models\"]", "Input should be a valid list", "\"x\""));
	expect("{\"query\":\"a\",\"models\":[\"x\",2]}",
	       ERROR("string_type", "[\"body\",\"models\",1]", "Input should be a valid string", "2"));
	expect("{\"query\":\"a\",\"threshold\":\"much\"}",
	       ERROR("float_parsing", "[\"body\",\"threshold\"]",
		     "Input should be a valid number, unable to parse string as a number", "\"much\""));
	expect("{\"query\":\"a\",\"threshold\":{}}",
	       ERROR("float_type", "[\"body\",\"threshold\"]", "Input should be a valid number", "{}"));
	expect("{\"query\":\"a\",\"limit\":1.5}",
	       ERROR("int_from_float", "[\"body\",\"limit\"]",
		     "Input should be a valid integer, got a number with a fractional part", "1.5"));
	expect("{\"query\":\"a\",\"share\":0}", "");
	expect("{\"query\":\"a\",\"share\":-0.5}",
	       "[{\"type\":\"greater_than_equal\",\"loc\":[\"body\",\"share\"],\"msg\":\"Input should be greater than or equal to 0\","
	       "\"input\":-0.5,\"ctx\":{\"ge\":0.0}}]");
	expect("{\"query\":\"a\",\"share\":1.5}",
	       "[{\"type\":\"less_than_equal\",\"loc\":[\"body\",\"share\"],\"msg\":\"Input should be less than or equal to 1\","
	       "\"input\":1.5,\"ctx\":{\"le\":1.0}}]");
	expect("{\"query\":\"a\",\"limit\":\"1e3\"}",
	       ERROR("int_parsing", "[\"body\",\"limit\"]", "Input should be a valid integer, unable to parse string as an integer",
		     "\"1e3\""));
}

static void all_errors_of_a_body_come_at_once(void **state)
{
	struct json_out errors = {0};
	struct json_object *o = NULL, *list;
	static const char BODY[] = "{\"prefer_speed\":\"x\",\"models\":[1,2]}";

	(void)state;
	json_out_array(&errors, NULL);
	assert_int_equal(fields_parse(BODY, strlen(BODY), &o, &errors), 0);
	assert_false(fields_check(TABLE, ARRAY_SIZE(TABLE), o, "body", &errors));
	json_out_end(&errors);
	json_out_raw(&errors, NULL, (struct span){"", 1});
	list = json_tokener_parse(errors.p);
	assert_int_equal(json_object_array_length(list), 4);
	json_object_put(list);
	json_out_free(&errors);
	json_object_put(o);
}

static void booleans_are_lenient(void **state)
{
	static const char *const YES[] = {"true", "1", "1.0", "\"1\"", "\"t\"", "\"TRUE\"", "\"y\"", "\"Yes\"", "\"on\""};
	static const char *const NO[] = {"false", "0", "0.0", "\"0\"", "\"f\"", "\"False\"", "\"n\"", "\"NO\"", "\"off\""};
	char body[64];

	(void)state;
	for (unsigned k = 0; k < 2 * ARRAY_SIZE(YES); k++) {
		const char *word = k % 2 ? NO[k / 2] : YES[k / 2];
		struct json_out errors = {0};
		struct json_object *o = NULL;

		snprintf(body, sizeof(body), "{\"query\":\"q\",\"prefer_speed\":%s}", word);
		assert_int_equal(fields_parse(body, strlen(body), &o, &errors), 0);
		assert_true(fields_check(TABLE, ARRAY_SIZE(TABLE), o, "body", &errors));
		assert_int_equal(fields_bool(o, "prefer_speed", k % 2), !(k % 2));
		assert_true(fields_bool(o, "absent", true));
		assert_false(fields_bool(o, "absent", false));
		assert_string_equal(fields_string(o, "query", ""), "q");
		assert_true(fields_number(o, "threshold", 0.25) == 0.25);
		json_object_put(o);
	}
}

/* A member `name` alone: NULL, or the type of what is wrong with it; *value is what is read of it. */
static const char *wrong_with(const char *name, const char *value_text, double *value)
{
	static const char *const TYPES[] = {"int_parsing", "int_from_float", "int_type", "float_parsing", "float_type"};
	struct json_out errors = {0};
	struct json_object *o = NULL;
	const char *wrong = NULL;
	char body[128];

	snprintf(body, sizeof(body), "{\"query\":\"q\",\"%s\":%s}", name, value_text);
	json_out_array(&errors, NULL);
	assert_int_equal(fields_parse(body, strlen(body), &o, &errors), 0);
	if (!fields_check(TABLE, ARRAY_SIZE(TABLE), o, "body", &errors)) {
		json_out_finish(&errors);
		for (unsigned i = 0; i < ARRAY_SIZE(TYPES); i++)
			wrong = strstr(errors.p, TYPES[i]) ? TYPES[i] : wrong;
		assert_non_null(wrong);
	}
	*value = fields_number(o, name, -777);
	json_out_free(&errors);
	json_object_put(o);
	return wrong;
}

static void numbers_may_be_text(void **state)
{
	static const struct {
		const char *text;
		const char *as_integer, *as_number; /* what is wrong; NULL: nothing */
		double value;
	} CASES[] = {
		{"5", NULL, NULL, 5},
		{"\"5\"", NULL, NULL, 5},
		{"\" \\t5\\n\"", NULL, NULL, 5},
		{"\"-5\"", NULL, NULL, -5},
		{"\"+5\"", NULL, NULL, 5},
		{"\"007\"", NULL, NULL, 7},
		{"5.0", NULL, NULL, 5},
		{"\"5.00\"", NULL, NULL, 5},
		{"true", NULL, NULL, 1},
		{"false", NULL, NULL, 0},
		{"\"5.\"", "int_parsing", NULL, 5},
		{"\".0\"", "int_parsing", NULL, 0},
		{"\"5.5\"", "int_parsing", NULL, 5.5},
		{"5.5", "int_from_float", NULL, 5.5},
		{"\"5e0\"", "int_parsing", NULL, 5},
		{"\"\"", "int_parsing", "float_parsing", -777},
		{"\"  \"", "int_parsing", "float_parsing", -777},
		{"\"5 5\"", "int_parsing", "float_parsing", -777},
		{"\"--5\"", "int_parsing", "float_parsing", -777},
		{"\"5a\"", "int_parsing", "float_parsing", -777},
		{"\"0x5\"", "int_parsing", "float_parsing", -777},
		{"\"0x1p3\"", "int_parsing", "float_parsing", -777},
		{"[5]", "int_type", "float_type", -777},
		{"null", "int_type", "float_type", -777},
	};

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(CASES); i++) {
		const bool whole = i % 2;
		const char *want = whole ? CASES[i / 2].as_integer : CASES[i / 2].as_number, *got;
		double value;

		got = wrong_with(whole ? "limit" : "threshold", CASES[i / 2].text, &value);
		if (!want != !got || (want && strcmp(want, got) != 0) || value != CASES[i / 2].value)
			fail_msg("%s as %s: %s, %g", CASES[i / 2].text, whole ? "an integer" : "a number", got ? got : "fine", value);
	}
}

static void faults_of_syntax_have_their_place(void **state)
{
	static const struct {
		const char *text;
		size_t at;
		const char *what;
	} CASES[] = {
		{"", 0, "Expecting value"},
		{"{", 1, "Expecting property name enclosed in double quotes"},
		{"{\"a\"", 4, "Expecting ':' delimiter"},
		{"{\"a\":", 5, "Expecting value"},
		{"[1,]", 3, "Expecting value"},
		{"[1 2]", 3, "Expecting ',' delimiter"},
		{"\"abc", 0, "Unterminated string starting at"},
		{"\"a\\x\"", 2, "Invalid \\escape"},
		{"\"a\\u12\"", 3, "Invalid \\uXXXX escape"},
		{"\"a\x01\"", 2, "Invalid control character at"},
		{"1.", 1, "Extra data"},
		{"{} x", 3, "Extra data"},
		{"-", 0, "Expecting value"},
		{"[\"\xc3\xa9\", nul]", 6, "Expecting value"}, /* characters, not bytes */
	};
	struct syntax_fault fault;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		assert_int_equal(syntax_check(CASES[i].text, strlen(CASES[i].text), &fault), -EINVAL);
		assert_int_equal(fault.at, CASES[i].at);
		assert_string_equal(fault.what, CASES[i].what);
	}
	static const char FINE[] = "[NaN, -Infinity, 1e5, {\"a\": {\"a\": []}}]";

	assert_int_equal(syntax_check(FINE, strlen(FINE), &fault), 0);
	assert_int_equal(syntax_check("\"\xff\"", 3, &fault), -EILSEQ);
	assert_int_equal(fault.at, 1);
}

static void nesting_is_bounded(void **state)
{
	char deep[2 * SYNTAX_DEPTH + 4];
	struct syntax_fault fault;

	(void)state;
	memset(deep, '[', SYNTAX_DEPTH);
	memset(deep + SYNTAX_DEPTH, ']', SYNTAX_DEPTH);
	assert_int_equal(syntax_check(deep, sizeof(deep) - 4, &fault), 0);
	memset(deep, '[', sizeof(deep));
	assert_int_equal(syntax_check(deep, sizeof(deep), &fault), -EINVAL);
	assert_string_equal(fault.what, "Nested too deeply");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_must_be_an_object),          cmocka_unit_test(fields_are_checked_by_their_kind),
		cmocka_unit_test(all_errors_of_a_body_come_at_once), cmocka_unit_test(booleans_are_lenient),
		cmocka_unit_test(numbers_may_be_text),               cmocka_unit_test(faults_of_syntax_have_their_place),
		cmocka_unit_test(nesting_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
