/* The JSON view: one row per rule, and every prefix of a sound body is refused. */
#include <errno.h>

#include "tests/unit/http_table.h"

#include "http/view.h"

static const char *const KEYS[VIEW_KEY_COUNT] = {
#define VIEW_KEY(id, key) [VIEW_K_##id] = key,
#include "http/view_keys.def"
#undef VIEW_KEY
};

struct row {
	const char     *name;
	struct span     body;
	enum view_fault fault;
	const char     *facts; /* of a sound body */
	size_t          at;    /* of the trouble otherwise */
};

static void facts_of(const struct view *v, char *buf, size_t size)
{
	static const char KINDS[] = "-0FTNSAO";
	size_t n = 0;

	for (unsigned i = 0; i < VIEW_KEY_COUNT; i++)
		if (v->at[i].kind != VIEW_ABSENT)
			n += (size_t)snprintf(buf + n, size - n, "%s=%c%s%.*s ", KEYS[i], KINDS[v->at[i].kind], v->at[i].empty ? "e" : "",
					      SPAN_ARG(v->at[i].raw));
	if (v->num_predict.p)
		n += (size_t)snprintf(buf + n, size - n, "num_predict:%.*s ", SPAN_ARG(v->num_predict));
	for (unsigned i = 0; i < v->n_reload; i++)
		n += (size_t)snprintf(buf + n, size - n, "%s:%.*s ", v->reload[i].name, SPAN_ARG(v->reload[i].raw));
	snprintf(buf + n, size - n, "%llu", (unsigned long long)v->text_bytes);
}

static enum view_fault scan(const char *p, size_t n, char *facts, size_t size, size_t *at)
{
	static struct view v;
	char *copy = exact_copy(p, n);
	enum view_fault fault = view_scan((struct span){copy, n}, &v, at);

	if (fault == VIEW_OK)
		facts_of(&v, facts, size);
	free(copy);
	return fault;
}

static bool blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void test_row(void **state)
{
	const struct row *row = *state;
	char facts[512];
	size_t at = 12345, n = row->body.n;
	enum view_fault fault = scan(row->body.p, n, facts, sizeof(facts), &at);

	assert_int_equal(fault, row->fault);
	assert_int_equal(view_scan(row->body, &(struct view){0}, NULL), row->fault);
	if (fault != VIEW_OK) {
		assert_int_equal(at, row->at);
		return;
	}
	assert_string_equal(facts, row->facts);
	while (n && blank(row->body.p[n - 1]))
		n--;
	for (size_t i = 0; i < n; i++)
		assert_int_not_equal(scan(row->body.p, i, facts, sizeof(facts), &at), VIEW_OK);
}

static struct row SOUND[] = {
	{"empty object", RAW("{}"), VIEW_OK, "0", 0},
	{"blanks all around", RAW(" \t\r\n{ \t\r\n} \t\r\n"), VIEW_OK, "0", 0},
	{"a chat", RAW("{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":false}"), VIEW_OK,
	 "model=S\"a\" stream=Ffalse messages=A[{\"role\":\"user\",\"content\":\"hi\"}] 7", 0},
	{"every kind",
	 RAW("{\"model\":null,\"stream\":true,\"think\":false,\"max_tokens\":-1.5e+3,\"prompt\":\"x\",\"tools\":[1],\"format\":{\"a\":1}}"), VIEW_OK,
	 "model=0null stream=Ttrue prompt=S\"x\" tools=A[1] format=O{\"a\":1} think=Ffalse max_tokens=N-1.5e+3 1", 0},
	{"empty values", RAW("{\"prompt\":\"\",\"messages\":[ ],\"options\":{ },\"format\":{\n}}"), VIEW_OK,
	 "options=Oe{ } prompt=Se\"\" messages=Ae[ ] format=Oe{\n} 0", 0},
	{"blanks around a value are not of it", RAW("{ \"model\" : \"a\" , \"stream\" : true }"), VIEW_OK, "model=S\"a\" stream=Ttrue 1", 0},
	{"case folds", RAW("{\"MoDeL\":\"a\"}"), VIEW_OK, "model=S\"a\" 1", 0},
	{"long s folds", RAW("{\"\xc5\xbftream\":false}"), VIEW_OK, "stream=Ffalse 0", 0},
	{"escaped long s folds", RAW("{\"\\u017Ftream\":false}"), VIEW_OK, "stream=Ffalse 0", 0},
	{"Kelvin folds", RAW("{\"\xe2\x84\xaa" "eep_alive\":1}"), VIEW_OK, "keep_alive=N1 0", 0},
	{"escaped Kelvin folds", RAW("{\"\\u212aeep_alive\":1}"), VIEW_OK, "keep_alive=N1 0", 0},
	{"escaped letters fold", RAW("{\"\\u006d\\u004Fdel\":1}"), VIEW_OK, "model=N1 0", 0},
	{"an underscore does not fold", RAW("{\"keep-alive\":1,\"keep\\u007falive\":1}"), VIEW_OK, "0", 0},
	{"a name within a name", RAW("{\"mode\":1,\"models\":2,\"xmodel\":3}"), VIEW_OK, "0", 0},
	{"a name inside a value", RAW("{\"x\":{\"model\":1},\"y\":[{\"stream\":1}]}"), VIEW_OK, "0", 0},
	{"unknown keys may repeat", RAW("{\"x\":1,\"x\":2,\"X\":3}"), VIEW_OK, "0", 0},
	{"keys below may repeat", RAW("{\"format\":{\"model\":1,\"model\":2}}"), VIEW_OK, "format=O{\"model\":1,\"model\":2} 0", 0},
	{"long key", RAW("{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}"), VIEW_OK, "0", 0},
	{"empty key", RAW("{\"\":1}"), VIEW_OK, "0", 0},
	{"key with other escapes", RAW("{\"mode\\n\":1,\"\\\"model\":2}"), VIEW_OK, "0", 0},
	{"key with invalid UTF-8", RAW("{\"model\xff\":1,\"\xc5\":2,\"\xe2\x84\":3}"), VIEW_OK, "0", 0},
	{"neighbours of long s and Kelvin", RAW("{\"\xc5\xbetream\":1,\"\xe2\x84\xab" "eep_alive\":2,\"\xe2\x85\xaa" "eep_alive\":3,\"\\u017etream\":4}"), VIEW_OK, "0", 0},
	{"escaped NUL", RAW("{\"prompt\":\"\\u0000\"}"), VIEW_OK, "prompt=S\"\\u0000\" 6", 0},
	{"key with a surrogate", RAW("{\"model\\ud800\":1}"), VIEW_OK, "0", 0},
	{"options that reload", RAW("{\"options\":{\"num_ctx\":1,\"temperature\":0.5,\"num_batch\":2,\"num_gpu\":3,\"main_gpu\":4,\"use_mmap\":true,"
				    "\"num_thread\":6,\"draft_num_predict\":null}}"), VIEW_OK,
	 "options=O{\"num_ctx\":1,\"temperature\":0.5,\"num_batch\":2,\"num_gpu\":3,\"main_gpu\":4,\"use_mmap\":true,\"num_thread\":6,"
	 "\"draft_num_predict\":null} num_ctx:1 num_batch:2 num_gpu:3 main_gpu:4 use_mmap:true num_thread:6 draft_num_predict:null 0", 0},
	{"options fold", RAW("{\"Options\":{\"NUM_CTX\" : [1] }}"), VIEW_OK, "options=O{\"NUM_CTX\" : [1] } num_ctx:[1] 0", 0},
	{"the limit of an answer", RAW("{\"max_tokens\":1,\"max_output_tokens\":2,\"num_predict\":3,\"options\":{\"NUM_PREDICT\": 4 ,\"num_ctx\":5}}"), VIEW_OK,
	 "options=O{\"NUM_PREDICT\": 4 ,\"num_ctx\":5} max_tokens=N1 max_output_tokens=N2 num_predict:4 num_ctx:5 0", 0},
	{"options that are none", RAW("{\"options\":[{\"num_ctx\":1}]}"), VIEW_OK, "options=A[{\"num_ctx\":1}] 0", 0},
	{"options deeper down", RAW("{\"options\":{\"x\":{\"num_ctx\":1}},\"y\":{\"options\":{\"num_ctx\":1}}}"), VIEW_OK,
	 "options=O{\"x\":{\"num_ctx\":1}} 0", 0},
	{"text is counted anywhere, keys are not", RAW("{\"a\":\"12\",\"b\":[\"345\",{\"cc\":\"6\"}],\"options\":{\"stop\":[\"7\"]}}"), VIEW_OK,
	 "options=O{\"stop\":[\"7\"]} 7", 0},
	{"every escape", RAW("{\"prompt\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"}"), VIEW_OK,
	 "prompt=S\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\" 34", 0},
	{"lone surrogate, as Go", RAW("{\"prompt\":\"\\ud800\"}"), VIEW_OK, "prompt=S\"\\ud800\" 6", 0},
	{"invalid UTF-8 in a string, as Go", RAW("{\"prompt\":\"\xff\x80\"}"), VIEW_OK, "prompt=S\"\xff\x80\" 2", 0},
	{"DEL in a string", RAW("{\"prompt\":\"\x7f\"}"), VIEW_OK, "prompt=S\"\x7f\" 1", 0},
	{"numbers", RAW("{\"a\":[0,-0,1,10,-1,0.5,1.25,1e5,1E5,1e+5,1e-5,1.5e10,0e0]}"), VIEW_OK, "0", 0},
	{"number too large for any machine", RAW("{\"a\":1e99999,\"b\":123456789012345678901234567890}"), VIEW_OK, "0", 0},
	{"nested", RAW("{\"a\":[[],[[]],{},{\"b\":[{}]},[{\"c\":{}}, 1 , 2]]}"), VIEW_OK, "0", 0},
};

static struct row UNSOUND[] = {
	{"nothing", RAW(""), VIEW_EMPTY, NULL, 0},
	{"blanks only", RAW(" \n\t\r"), VIEW_EMPTY, NULL, 4},
	{"null", RAW("null"), VIEW_NOT_OBJECT, NULL, 0},
	{"array", RAW("[{}]"), VIEW_NOT_OBJECT, NULL, 0},
	{"string", RAW("\"a\""), VIEW_NOT_OBJECT, NULL, 0},
	{"number", RAW(" 1"), VIEW_NOT_OBJECT, NULL, 1},
	{"byte order mark", RAW("\xef\xbb\xbf{}"), VIEW_SYNTAX, NULL, 0},
	{"text", RAW("hello"), VIEW_SYNTAX, NULL, 0},
	{"form feed before", RAW("\f{}"), VIEW_SYNTAX, NULL, 0},
	{"no-break space before", RAW("\xc2\xa0{}"), VIEW_SYNTAX, NULL, 0},
	{"second object", RAW("{}{}"), VIEW_TRAILING, NULL, 2},
	{"brace too many", RAW("{} }"), VIEW_TRAILING, NULL, 3},
	{"NUL after", RAW("{}\0"), VIEW_TRAILING, NULL, 2},
	{"comment", RAW("{/**/}"), VIEW_SYNTAX, NULL, 1},
	{"open object", RAW("{"), VIEW_SYNTAX, NULL, 1},
	{"comma alone", RAW("{,}"), VIEW_SYNTAX, NULL, 1},
	{"comma at the end", RAW("{\"a\":1,}"), VIEW_SYNTAX, NULL, 7},
	{"comma at the end of an array", RAW("{\"a\":[1,]}"), VIEW_SYNTAX, NULL, 8},
	{"comma first in an array", RAW("{\"a\":[,1]}"), VIEW_SYNTAX, NULL, 6},
	{"no comma", RAW("{\"a\":1 \"b\":2}"), VIEW_SYNTAX, NULL, 7},
	{"no colon", RAW("{\"a\" 1}"), VIEW_SYNTAX, NULL, 5},
	{"no value", RAW("{\"a\":}"), VIEW_SYNTAX, NULL, 5},
	{"key without quotes", RAW("{a:1}"), VIEW_SYNTAX, NULL, 1},
	{"key in single quotes", RAW("{'a':1}"), VIEW_SYNTAX, NULL, 1},
	{"number for a key", RAW("{1:1}"), VIEW_SYNTAX, NULL, 1},
	{"key below without quotes", RAW("{\"a\":{b:1}}"), VIEW_SYNTAX, NULL, 6},
	{"no colon below", RAW("{\"a\":{\"b\" 1}}"), VIEW_SYNTAX, NULL, 10},
	{"second key below without quotes", RAW("{\"a\":{\"b\":1,c:1}}"), VIEW_SYNTAX, NULL, 12},
	{"comma at the end below", RAW("{\"a\":{\"b\":1,}}"), VIEW_SYNTAX, NULL, 12},
	{"array closed by a brace", RAW("{\"a\":[1}}"), VIEW_SYNTAX, NULL, 7},
	{"object closed by a bracket", RAW("{\"a\":{\"b\":1]}"), VIEW_SYNTAX, NULL, 11},
	{"body closed by a bracket", RAW("{\"a\":1]"), VIEW_SYNTAX, NULL, 6},
	{"open string", RAW("{\"a\":\"b"), VIEW_SYNTAX, NULL, 7},
	{"newline in a string", RAW("{\"a\":\"b\nc\"}"), VIEW_SYNTAX, NULL, 7},
	{"NUL in a string", RAW("{\"a\":\"b\0c\"}"), VIEW_SYNTAX, NULL, 7},
	{"HTAB in a string", RAW("{\"a\":\"\t\"}"), VIEW_SYNTAX, NULL, 6},
	{"control byte in a key", RAW("{\"a\x1f\":1}"), VIEW_SYNTAX, NULL, 3},
	{"unknown escape", RAW("{\"a\":\"\\x\"}"), VIEW_SYNTAX, NULL, 6},
	{"escaped single quote", RAW("{\"a\":\"\\'\"}"), VIEW_SYNTAX, NULL, 6},
	{"three digits", RAW("{\"a\":\"\\u123\"}"), VIEW_SYNTAX, NULL, 6},
	{"no digits", RAW("{\"a\":\"\\u\"}"), VIEW_SYNTAX, NULL, 6},
	{"digits with a sign", RAW("{\"a\":\"\\u+123\"}"), VIEW_SYNTAX, NULL, 6},
	{"backslash at the end", RAW("{\"a\":\"\\"), VIEW_SYNTAX, NULL, 6},
	{"number 01", RAW("{\"a\":01}"), VIEW_SYNTAX, NULL, 6},
	{"number +1", RAW("{\"a\":+1}"), VIEW_SYNTAX, NULL, 5},
	{"number .5", RAW("{\"a\":.5}"), VIEW_SYNTAX, NULL, 5},
	{"number 1.", RAW("{\"a\":1.}"), VIEW_SYNTAX, NULL, 7},
	{"number 1e", RAW("{\"a\":1e}"), VIEW_SYNTAX, NULL, 7},
	{"number 1e+", RAW("{\"a\":1e+}"), VIEW_SYNTAX, NULL, 8},
	{"number -", RAW("{\"a\":-}"), VIEW_SYNTAX, NULL, 6},
	{"number 0x1", RAW("{\"a\":0x1}"), VIEW_SYNTAX, NULL, 6},
	{"NaN", RAW("{\"a\":NaN}"), VIEW_SYNTAX, NULL, 5},
	{"Infinity", RAW("{\"a\":-Infinity}"), VIEW_SYNTAX, NULL, 6},
	{"True", RAW("{\"a\":True}"), VIEW_SYNTAX, NULL, 5},
	{"tru", RAW("{\"a\":tru}"), VIEW_SYNTAX, NULL, 5},
	{"truefalse", RAW("{\"a\":truefalse}"), VIEW_SYNTAX, NULL, 9},
	{"falsy", RAW("{\"a\":falsy}"), VIEW_SYNTAX, NULL, 5},
	{"nul", RAW("{\"a\":nul"), VIEW_SYNTAX, NULL, 5},
	{"key twice", RAW("{\"model\":\"a\",\"model\":\"b\"}"), VIEW_DUPLICATE, NULL, 13},
	{"key twice, case", RAW("{\"model\":\"a\",\"MODEL\":\"b\"}"), VIEW_DUPLICATE, NULL, 13},
	{"key twice, escape", RAW("{\"model\":\"a\",\"\\u006dodel\":\"b\"}"), VIEW_DUPLICATE, NULL, 13},
	{"key twice, long s", RAW("{\"\xc5\xbftream\":true,\"stream\":false}"), VIEW_DUPLICATE, NULL, 16},
	{"key twice, Kelvin", RAW("{\"keep_alive\":1,\"\\u212aeep_alive\":2}"), VIEW_DUPLICATE, NULL, 16},
	{"key twice after null", RAW("{\"model\":null,\"model\":\"b\"}"), VIEW_DUPLICATE, NULL, 14},
	{"options twice", RAW("{\"options\":{},\"options\":{\"num_ctx\":1}}"), VIEW_DUPLICATE, NULL, 14},
	{"option twice", RAW("{\"options\":{\"num_ctx\":1,\"Num_Ctx\":2}}"), VIEW_DUPLICATE, NULL, 24},
	{"syntax in options", RAW("{\"options\":{\"num_ctx\":1,}}"), VIEW_SYNTAX, NULL, 24},
	{"options with an open value", RAW("{\"options\":{\"num_ctx\":"), VIEW_SYNTAX, NULL, 22},
};

/* --- depth ------------------------------------------------------------------------------------------------------------- */

/* {"a":[[…]]} with `n` containers in all, brackets only. */
static char *deep_body(unsigned n, size_t *len)
{
	size_t arrays = n - 1, at = 5;
	char *p = malloc(6 + 2 * arrays + 2);

	assert_non_null(p);
	memcpy(p, "{\"a\":", 5);
	memset(p + at, '[', arrays);
	memset(p + at + arrays, ']', arrays);
	p[at + 2 * arrays] = '}';
	*len = at + 2 * arrays + 1;
	return p;
}

static void test_deepest(void **state)
{
	struct view v;
	size_t n, at;
	char *p = deep_body(VIEW_DEPTH_MAX, &n);

	(void)state;
	assert_int_equal(view_scan((struct span){p, n}, &v, &at), VIEW_OK);
	free(p);
	p = deep_body(VIEW_DEPTH_MAX + 1, &n);
	assert_int_equal(view_scan((struct span){p, n}, &v, &at), VIEW_DEEP);
	assert_int_equal(at, 5 + VIEW_DEPTH_MAX - 1);
	free(p);
}

/* Objects and arrays taking turns: each level must be closed by its own kind. */
static void test_deep_kinds(void **state)
{
	char p[4 * 400 + 2];
	size_t n = 0, at;
	struct view v;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		memcpy(p + n, "{\"\":[", 5);
		n += 5;
	}
	for (unsigned i = 0; i < 200; i++) {
		p[n++] = ']';
		p[n++] = '}';
	}
	assert_int_equal(view_scan((struct span){p, n}, &v, &at), VIEW_OK);
	for (size_t i = 1000; i < n; i++) {
		char saved = p[i];

		p[i] = saved == ']' ? '}' : ']';
		assert_int_equal(view_scan((struct span){p, n}, &v, &at), VIEW_SYNTAX);
		assert_int_equal(at, i);
		p[i] = saved;
	}
}

/* --- strings ----------------------------------------------------------------------------------------------------------- */

struct string_row {
	const char *name;
	struct span raw;
	const char *text;
	int         err;
};

static struct string_row STRINGS[] = {
	{"plain", RAW("\"llama3:8b\""), "llama3:8b", 0},
	{"empty text", RAW("\"\""), "", 0},
	{"simple escapes", RAW("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), "\"\\/\b\f\n\r\t", 0},
	{"escaped ASCII", RAW("\"\\u0061\\u007F\""), "a\x7f", 0},
	{"escape of two bytes", RAW("\"\\u00e9\\u07ff\""), "\xc3\xa9\xdf\xbf", 0},
	{"escape of three bytes", RAW("\"\\u0800\\uFFFF\""), "\xe0\xa0\x80\xef\xbf\xbf", 0},
	{"surrogate pair", RAW("\"\\ud83d\\uDE00\""), "\xf0\x9f\x98\x80", 0},
	{"first and last pair", RAW("\"\\ud800\\udc00\\udbff\\udfff\""), "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 0},
	{"UTF-8 as it stands", RAW("\"\xc3\xa9\xf0\x9f\x98\x80\""), "\xc3\xa9\xf0\x9f\x98\x80", 0},
	{"fits exactly", RAW("\"012345678901234567890123456789\""), "012345678901234567890123456789", 0},
	{"too long by one", RAW("\"0123456789012345678901234567890\""), NULL, -ENAMETOOLONG},
	{"escaped NUL", RAW("\"a\\u0000\""), NULL, -EILSEQ},
	{"high half alone", RAW("\"\\ud800\""), NULL, -EILSEQ},
	{"high half before text", RAW("\"\\ud800abcdef\""), NULL, -EILSEQ},
	{"high half before another escape", RAW("\"\\ud800\\n12345\""), NULL, -EILSEQ},
	{"high half twice", RAW("\"\\ud800\\ud800\""), NULL, -EILSEQ},
	{"low half alone", RAW("\"\\udc00\""), NULL, -EILSEQ},
	{"low half first", RAW("\"\\udc00\\ud800\""), NULL, -EILSEQ},
	{"invalid UTF-8", RAW("\"a\xff\""), NULL, -EILSEQ},
	{"UTF-8 cut by the quote", RAW("\"\xc3\""), NULL, -EILSEQ},
};

static void test_string(void **state)
{
	const struct string_row *row = *state;
	char *raw = exact_copy(row->raw.p, row->raw.n), *buf = malloc(31);
	struct view_value v = {{raw, row->raw.n}, VIEW_STRING, row->raw.n == 2};
	int n = view_string(&v, buf, 31);

	if (row->text) {
		assert_int_equal(n, strlen(row->text));
		assert_string_equal(buf, row->text);
	} else {
		assert_int_equal(n, row->err);
	}
	free(raw);
	free(buf);
}

static void test_string_of_other_kinds(void **state)
{
	struct view v;
	char buf[4];

	(void)state;
	assert_int_equal(view_scan(SPAN_LIT("{\"model\":1,\"name\":\"\",\"from\":null,\"input\":\"x\"}"), &v, NULL), VIEW_OK);
	assert_int_equal(view_string(&v.at[VIEW_K_MODEL], buf, sizeof(buf)), -EINVAL);
	assert_int_equal(view_string(&v.at[VIEW_K_PROMPT], buf, sizeof(buf)), -EINVAL);
	assert_int_equal(view_string(&v.at[VIEW_K_NAME], buf, 0), -ENAMETOOLONG);
	assert_int_equal(view_string(&v.at[VIEW_K_INPUT], buf, 1), -ENAMETOOLONG);
	assert_true(view_is_blank(&v.at[VIEW_K_NAME]));
	assert_true(view_is_blank(&v.at[VIEW_K_FROM]));
	assert_true(view_is_blank(&v.at[VIEW_K_PROMPT]));
	assert_false(view_is_blank(&v.at[VIEW_K_INPUT]));
	assert_false(view_is_blank(&v.at[VIEW_K_MODEL]));
}

static void test_fault_texts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VIEW_FAULT_COUNT; i++)
		assert_true(strlen(view_fault_text((enum view_fault)i)) > 10);
	assert_non_null(view_fault_text(VIEW_FAULT_COUNT));
}

int main(void)
{
	static struct table t;

	TABLE_ADD(&t, SOUND, test_row);
	TABLE_ADD(&t, UNSOUND, test_row);
	TEST_ADD(&t, test_deepest);
	TEST_ADD(&t, test_deep_kinds);
	TABLE_ADD(&t, STRINGS, test_string);
	TEST_ADD(&t, test_string_of_other_kinds);
	TEST_ADD(&t, test_fault_texts);
	return table_run("http_view", &t);
}
