/* The image of registry and catalogue: what goes in comes out, and no byte that is wrong goes unnoticed or does harm. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/image.h"

static const char MODELS[] = "{\"models\": ["
			     "{\"name\": \"coder-33b\", \"hf_repo\": \"a/b\", \"gpu_memory\": \"20GB (Q4_K_M), 24GB (Q6_K)\", "
			     "\"orchestration_categories\": [\"code\", \"math\"], \"benchmarks\": {\"HumanEval\": 70.5}, \"aliases\": [\"coder:33b\"], "
			     "\"agent_types\": [\"inference\"], \"capabilities\": [\"tools\"], \"context_length\": 16384},"
			     "{\"name\": \"small\", \"hf_repo\": \"c/d\", \"gpu_memory\": \"2GB\"}]}";
static const char CATEGORIES[] = "{\"categories\": {\"code\": {\"models\": [\"coder-33b\", \"small\"], \"benchmarks\": [\"HumanEval\"]},"
				 "\"code_python\": {\"parent\": \"code\", \"models\": [\"coder-33b\"], \"complexity\": \"complex\"},"
				 "\"math\": {}}}";

static struct conf_report report;

static char *make(size_t *n)
{
	struct conf_registry *r = NULL;
	struct conf_catalogue *c = NULL;
	void *bytes = NULL;
	struct why why;

	assert_int_equal(conf_registry_parse("m", MODELS, strlen(MODELS), &r, &report), 0);
	assert_int_equal(conf_catalogue_parse("c", CATEGORIES, strlen(CATEGORIES), &c, &report), 0);
	assert_int_equal(conf_image_make(r, c, &bytes, n, &why), 0);
	conf_registry_destroy(&r);
	conf_catalogue_destroy(&c);
	return bytes;
}

static void what_goes_in_comes_out(void **state)
{
	struct conf_registry *r = NULL;
	struct conf_catalogue *c = NULL;
	struct why why;
	size_t n, again_n;
	char *bytes = make(&n);
	void *again;

	(void)state;
	assert_int_equal(conf_image_open(bytes, n, &r, &c, &why), 0);
	assert_int_equal(r->n, 2);
	assert_string_equal(r->models[0].name, "coder-33b");
	assert_string_equal(r->models[0].aliases[0], "coder:33b");
	assert_int_equal(r->models[0].memory.n, 2);
	assert_int_equal(r->models[0].context_tokens, 16384);
	assert_int_equal(c->n, 3);
	assert_string_equal(c->categories[0].models[1], "small");
	assert_string_equal(c->categories[1].parent, "code");
	assert_string_equal(c->categories[1].models[0], "coder-33b");
	assert_int_equal(conf_image_make(r, c, &again, &again_n, &why), 0);
	assert_int_equal(again_n, n);
	assert_memory_equal(again, bytes, n);
	free(again);
	free(bytes);
	conf_registry_destroy(&r);
	conf_catalogue_destroy(&c);
}

static void either_may_be_missing(void **state)
{
	struct conf_registry *r = NULL;
	struct conf_catalogue *c = NULL;
	struct conf_image_head h;
	struct why why;
	void *bytes;
	size_t n;

	(void)state;
	assert_int_equal(conf_image_make(NULL, NULL, &bytes, &n, &why), 0);
	assert_int_equal(n, sizeof(struct conf_image_head));
	assert_int_equal(conf_image_open(bytes, n, &r, &c, &why), 0);
	assert_null(r);
	assert_null(c);
	/* names of nobody */
	memcpy(&h, bytes, sizeof(h));
	free(bytes);
	h.names = 1;
	bytes = calloc(1, n + CONF_MODEL_NAME);
	memcpy(bytes, &h, sizeof(h));
	assert_int_equal(conf_image_open(bytes, n + CONF_MODEL_NAME, &r, &c, &why), -EINVAL);
	free(bytes);
}

/* An image with one change.  `at` is behind the head. */
struct change {
	const char *what;
	size_t at;
	size_t n;
	unsigned char with[8];
};

#define MODEL(member)	 offsetof(struct conf_registry_model, member)
#define CATEGORY(member) (2 * sizeof(struct conf_registry_model) + offsetof(struct conf_category, member))
#define SECOND		 sizeof(struct conf_category)
#define NAMES		 (2 * sizeof(struct conf_registry_model) + 3 * sizeof(struct conf_category))

static void every_lie_is_refused(void **state)
{
	static const struct change rows[] = {
		{"a model without a name", MODEL(name), 1, {0}},
		{"two models of one name", MODEL(name), 6, "small"},
		{"more variants than there is room for", MODEL(memory.n), 4, {CONF_VARIANTS + 1}},
		{"more categories than there is room for", MODEL(n_categories), 4, {17}},
		{"a category without a name", MODEL(categories[1]), 1, {0}},
		{"more aliases than there is room for", MODEL(n_aliases), 4, {0, 0, 0, 0x80}},
		{"more benchmarks than there is room for", MODEL(n_benchmarks), 4, {33}},
		{"a score that is no number", MODEL(benchmarks[0].value), 8, {0, 0, 0, 0, 0, 0, 0xf8, 0x7f}},
		{"endless parameters", MODEL(parameters), 8, {0, 0, 0, 0, 0, 0, 0xf0, 0x7f}},
		{"an unknown agent", MODEL(agents), 4, {0x40}},
		{"an unknown ability", MODEL(capabilities), 4, {0x40}},
		{"a category without an id", CATEGORY(id), 1, {0}},
		{"two categories of one id", CATEGORY(id) + SECOND, 5, "code"},
		{"a parent that is none", CATEGORY(parent) + SECOND, 5, "cobe"},
		{"a circle of two", CATEGORY(parent), 12, "code_pyt"}, /* completed below */
		{"a category that is its own parent", CATEGORY(parent), 5, "code"},
		{"an unknown complexity", CATEGORY(complexity), 4, {9}},
		{"more models than there are names", CATEGORY(n_models), 4, {4}},
		{"fewer models than there are names", CATEGORY(n_models), 4, {1}},
		{"a model of a category without a name", NAMES + CONF_MODEL_NAME, 1, {0}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf_registry *r = NULL;
		struct conf_catalogue *c = NULL;
		struct why why = {""};
		size_t n;
		char *bytes = make(&n), *at = bytes + sizeof(struct conf_image_head) + rows[i].at;

		if (rows[i].n > sizeof(rows[i].with))
			memcpy(at, "code_python", 12);
		else
			memcpy(at, rows[i].with, rows[i].n);
		if (conf_image_open(bytes, n, &r, &c, &why) != -EINVAL || !why.text[0] || r || c)
			fail_msg("%s is let through", rows[i].what);
		free(bytes);
	}
}

/* Texts without an end, in every field that holds one. */
static void texts_end(void **state)
{
	static const struct {
		size_t at, n;
	} rows[] = {
		{MODEL(name), CONF_MODEL_NAME},
		{MODEL(repo), CONF_MODEL_NAME},
		{MODEL(memory.at[1].variant), 24},
		{MODEL(size), 4}, /* a count, not a text: any value but a small one */
		{MODEL(categories[0]), CONF_CATEGORY_NAME},
		{MODEL(categories[1]), CONF_CATEGORY_NAME},
		{MODEL(aliases[0]), CONF_MODEL_NAME},
		{MODEL(benchmarks[0].name), CONF_BENCHMARK_NAME},
		{CATEGORY(id), CONF_CATEGORY_NAME},
		{CATEGORY(parent), CONF_CATEGORY_NAME},
		{CATEGORY(benchmarks[0]), CONF_BENCHMARK_NAME},
		{NAMES, CONF_MODEL_NAME},
		{NAMES + CONF_MODEL_NAME, CONF_MODEL_NAME},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf_registry *r = NULL;
		struct conf_catalogue *c = NULL;
		size_t n;
		char *bytes = make(&n);

		memset(bytes + sizeof(struct conf_image_head) + rows[i].at, 'x', rows[i].n);
		assert_int_equal(conf_image_open(bytes, n, &r, &c, NULL), -EINVAL);
		free(bytes);
	}
}

static void no_length_but_the_right_one(void **state)
{
	struct conf_registry *r = NULL;
	struct conf_catalogue *c = NULL;
	size_t n;
	char *bytes = make(&n);

	(void)state;
	for (size_t k = 0; k < n; k += k < 64 ? 1 : 101) {
		char *cut = malloc(k ? k : 1);

		memcpy(cut, bytes, k);
		assert_int_equal(conf_image_open(cut, k, &r, &c, NULL), -EINVAL);
		free(cut);
	}
	for (size_t k = 0; k < sizeof(struct conf_image_head) - 4; k++) {
		bytes[k] ^= 0x20;
		assert_int_equal(conf_image_open(bytes, n, &r, &c, NULL), -EINVAL);
		bytes[k] ^= 0x20;
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(either_may_be_missing),
		cmocka_unit_test(every_lie_is_refused),
		cmocka_unit_test(texts_end),
		cmocka_unit_test(no_length_but_the_right_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
