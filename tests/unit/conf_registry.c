/* Registry and catalogue: the replaced system's files unchanged, the shipped ones without a word, and a place for each mistake. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/registry.h"

#define GIB (1ULL << 30)
#define MIB (1ULL << 20)

static struct conf_report report;

static struct conf_registry *registry_of(const char *text)
{
	struct conf_registry *r = NULL;

	assert_int_equal(conf_registry_parse("models.json", text, strlen(text), &r, &report), 0);
	assert_int_equal(report.errors, 0);
	return r;
}

static struct conf_catalogue *catalogue_of(const char *text)
{
	struct conf_catalogue *c = NULL;

	assert_int_equal(conf_catalogue_parse("categories.json", text, strlen(text), &c, &report), 0);
	assert_int_equal(report.errors, 0);
	return c;
}

/* --- sizes -------------------------------------------------------------------------------------------------------------------- */

static void every_notation_of_a_size(void **state)
{
	static const struct {
		const char *text;
		unsigned n;
		uint64_t bytes[3];
		const char *variant[3];
	} rows[] = {
		{"2GB", 1, {2 * GIB}, {""}},
		{"540 MB", 1, {540 * MIB}, {""}},
		{"19 GB", 1, {19 * GIB}, {""}},
		{"5.2 GB", 1, {5583457484}, {""}},
		{"1.5TB", 1, {1536 * GIB}, {""}},
		{" 8 gib ", 1, {8 * GIB}, {""}},
		{"1.2 GB (Q4), 2.4 GB (F16)", 2, {1288490188, 2576980377}, {"Q4", "F16"}},
		{"4.2 GB (Q4), 7.6 GB (Q8)", 2, {4509715660, 8160437862}, {"Q4", "Q8"}},
		{"20GB (Q4_K_M), 24GB (Q6_K), 32GB (Q8_0)", 3, {20 * GIB, 24 * GIB, 32 * GIB}, {"Q4_K_M", "Q6_K", "Q8_0"}},
		{"16.6 GB(Q4_K_M),22.3 GB(Q6_K),28.8 GB(Q8_0)",
		 3,
		 {17824114278, 23944442675, 30923764531},
		 {"Q4_K_M", "Q6_K", "Q8_0"}},
	};
	struct conf_sizes s;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(conf_sizes_parse(rows[i].text, &s, NULL), 0);
		assert_int_equal(s.n, rows[i].n);
		for (unsigned k = 0; k < s.n; k++) {
			assert_in_range(s.at[k].bytes, rows[i].bytes[k] - 1, rows[i].bytes[k] + 1);
			assert_string_equal(s.at[k].variant, rows[i].variant[k]);
		}
	}
}

static void what_is_no_size(void **state)
{
	static const char *const rows[] = {"",
					   "GB",
					   "4",
					   "4 GW",
					   "4.GB",
					   "-4GB",
					   "4GB 5GB",
					   "4GB,",
					   "4GB (Q4",
					   "4GB (a name that is longer than any)",
					   "99999999999999999999GB",
					   "9999999999TB",
					   "1GB,1GB,1GB,1GB,1GB,1GB,1GB,1GB,1GB"};
	struct conf_sizes s = {.n = 77};
	struct why why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why.text[0] = 0;
		assert_int_equal(conf_sizes_parse(rows[i], &s, &why), -EINVAL);
		assert_int_equal(s.n, 77);
		assert_true(*why.text);
	}
}

static void numbers_of_parameters(void **state)
{
	double d = 0;

	(void)state;
	assert_int_equal(conf_parameters_parse("33B", &d, NULL), 0);
	assert_true(d > 32.9e9 && d < 33.1e9);
	assert_int_equal(conf_parameters_parse("27b", &d, NULL), 0);
	assert_true(d > 26.9e9 && d < 27.1e9);
	assert_int_equal(conf_parameters_parse("1.5 billion parameters", &d, NULL), 0);
	assert_true(d > 1.49e9 && d < 1.51e9);
	assert_int_equal(conf_parameters_parse("270M", &d, NULL), 0);
	assert_true(d > 269e6 && d < 271e6);
	assert_int_equal(conf_parameters_parse("large", &d, NULL), -EINVAL);
	assert_int_equal(conf_parameters_parse("7", &d, NULL), -EINVAL);
}

/* --- models --------------------------------------------------------------------------------------------------------------------- */

static void a_model_with_everything(void **state)
{
	struct conf_registry *r = registry_of(
		"{\"models\": [{\"name\": \"Alpha-7B\", \"hf_repo\": \"lab/alpha\", \"size\": \"4.2 GB (Q4), 7.6 GB (Q8)\",\n"
		"\"gpu_memory\": \"8GB\", \"orchestration_categories\": [\"code\", \"math\"], \"agent_types\": [\"tool\", "
		"\"inference\"],\n"
		"\"benchmarks\": {\"HumanEval\": 62.5, \"MBPP\": {\"score\": 0.7, \"date\": \"2026-01\"}},\n"
		"\"specifications\": {\"parameters\": \"7B\", \"context_length\": \"32768\"},\n"
		"\"aliases\": [\"alpha:7b\"], \"capabilities\": [\"tools\", \"thinking\"], \"unheard_of\": {\"of\": [1]}},\n"
		"{\"name\": \"b\", \"context_length\": \"128K\", \"parameters\": 5e8}]}");
	const struct conf_registry_model *m = &r->models[0];

	(void)state;
	assert_int_equal(report.n, 0);
	assert_int_equal(r->n, 2);
	assert_string_equal(m->name, "Alpha-7B");
	assert_string_equal(m->repo, "lab/alpha");
	assert_int_equal(m->size.n, 2);
	assert_int_equal(m->memory.at[0].bytes, 8 * GIB);
	assert_int_equal(m->n_categories, 2);
	assert_string_equal(m->categories[1], "math");
	assert_int_equal(m->agents, CONF_AGENT_TOOL | CONF_AGENT_INFERENCE);
	assert_int_equal(m->n_benchmarks, 2);
	assert_string_equal(m->benchmarks[1].name, "MBPP");
	assert_true(m->benchmarks[1].value > 0.69 && m->benchmarks[1].value < 0.71);
	assert_int_equal(m->context_tokens, 32768);
	assert_true(m->parameters > 6.9e9 && m->parameters < 7.1e9);
	assert_int_equal(m->capabilities, CONF_CAN_TOOLS | CONF_CAN_THINK);
	assert_string_equal(m->aliases[0], "alpha:7b");
	assert_int_equal(m->line, 1);
	assert_int_equal(r->models[1].context_tokens, 131072);
	assert_int_equal(r->models[1].line, 6);
	conf_registry_destroy(&r);
	assert_null(r);
}

static void a_bad_entry_costs_itself_alone(void **state)
{
	static const char *const says[] = {
		"models.json:2:1: warning: models[0]: the model has no name; it is left out",
		"models.json:3:1: warning: models[1]: this is a number and should be an object; the entry is left out",
		"models.json:4:10: warning: models[2].name: \"two words\" is no name of a model; it is left out",
		("models.json:5:26: warning: models[3].size: \"huge\" is no size: there is no number before \"huge\"; write for "
		 "example "
		 "4.2 GB, or 20GB (Q4_K_M), 32GB (Q8_0)"),
		"models.json:6:26: warning: models[4].gpu_memory: this is a number and should be a string; it is not used",
		("models.json:7:34: warning: models[5].benchmarks.MMLU: this is no score; write a number from 0 to 100, or "
		 "{\"score\": 62.5}"),
		"models.json:7:48: warning: models[5].benchmarks.MBPP: 101 is no score; write a number from 0 to 100",
		"models.json:8:1: warning: models[6]: \"c\" stands there twice; the second entry is left out",
		"models.json:9:31: warning: models[7].agent_types[0]: \"cook\" is not one of inference, tool …; it is not used",
		"models.json:10:45: warning: models[8].orchestration_categories[1]: a number is no name; it is not used",
	};
	struct conf_registry *r = registry_of("{\"models\": [\n"
					      "{\"size\": \"1GB\"},\n"
					      "5,\n"
					      "{\"name\": \"two words\"},\n"
					      "{\"name\": \"a\",   \"size\":  \"huge\", \"gpu_memory\": \"6GB\"},\n"
					      "{\"name\":\"b\",\"gpu_memory\":6},\n"
					      "{\"name\":\"c\",\"benchmarks\":{\"MMLU\":\"good\",\"MBPP\":101}},\n"
					      "{\"name\":\"c\"},\n"
					      "{\"name\": \"d\", \"agent_types\": [\"cook\"]},\n"
					      "{\"name\":\"e\",\"orchestration_categories\":[\"x\",1]}]}");

	(void)state;
	for (unsigned i = 0; i < sizeof(says) / sizeof(says[0]); i++)
		assert_string_equal(report.text[i], says[i]);
	assert_int_equal(report.n, sizeof(says) / sizeof(says[0]));
	assert_int_equal(r->n, 5);
	assert_int_equal(r->models[0].size.n, 0);
	assert_int_equal(r->models[0].memory.at[0].bytes, 6 * GIB);
	assert_int_equal(r->models[4].n_categories, 1);
	conf_registry_destroy(&r);
}

static void what_is_no_registry_is_an_error(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} rows[] = {
		{"{\"models\": [\n  {\"name\": \"a\",}]}",
		 "m.json:2:16: this is no JSON: there is a } where a member should be: \"name\": value"},
		{"[]", "m.json:1:1: the file holds an array; it should be an object: { … }"},
		{"{\"categories\": {}}", "m.json:1:1: there is no array \"models\"; this is no registry of models"},
		{"{\n\"models\": {}}", "m.json:2:11: there is no array \"models\"; this is no registry of models"},
	};
	struct conf_registry *r = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(conf_registry_parse("m.json", rows[i].text, strlen(rows[i].text), &r, &report), -EINVAL);
		assert_null(r);
		assert_int_equal(report.errors, 1);
		assert_string_equal(report.text[0], rows[i].says);
	}
	assert_int_equal(conf_registry_load("/nowhere/models.json", &r, &report), -ENOENT);
	assert_string_equal(report.text[0], "/nowhere/models.json: it cannot be opened: No such file or directory; "
			    "correct its path in the section routing of tsa.conf, or take it out");
}

static void many_mistakes_are_counted(void **state)
{
	char text[2048] = "{\"models\": [";
	struct conf_registry *r;

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		strncat(text, i ? ",1" : "1", sizeof(text) - strlen(text) - 1);
	strncat(text, "]}", sizeof(text) - strlen(text) - 1);
	r = registry_of(text);
	assert_int_equal(report.n, CONF_MESSAGES);
	assert_int_equal(report.more, 40 - CONF_MESSAGES);
	assert_int_equal(r->n, 0);
	conf_registry_destroy(&r);
}

/* --- categories ----------------------------------------------------------------------------------------------------------------- */

static const struct conf_category *category(const struct conf_catalogue *c, const char *id)
{
	for (unsigned i = 0; i < c->n; i++)
		if (strcmp(c->categories[i].id, id) == 0)
			return &c->categories[i];
	fail_msg("there is no category %s", id);
	return NULL;
}

static void domains_become_parents(void **state)
{
	struct conf_catalogue *c = catalogue_of(
		"{\"categories\": {\"sql\": {\"models\": [\"a\", \"b\"], \"benchmarks\": [{\"name\": \"Spider\", \"range\": [0, "
		"100]}, \"WikiSQL\", {\"name\": \"M4\", \"metric\": \"SMAPE\"}, {\"name\": \"Monash\", \"range\": [0, "
		"\"inf\"]}]},\n"
		"\"code\": {}, \"python\": {\"parent\": \"code\", \"complexity\": \"simple\", \"agent_types\": [\"tool\"]}},\n"
		"\"category_hierarchy\": {\"domain\": {\"data\": [\"sql\", \"python\"], \"code\": [\"code\"]}, \"complexity\": "
		"{\"complex\": [\"sql\", "
		"\"python\"]}}}");

	(void)state;
	assert_int_equal(report.n, 0);
	assert_int_equal(c->n, 4);
	assert_string_equal(category(c, "sql")->parent, "data");
	assert_string_equal(category(c, "data")->parent, "");
	assert_int_equal(category(c, "data")->line, 0);
	assert_string_equal(category(c, "code")->parent, "");
	/* what a category says of itself counts */
	assert_string_equal(category(c, "python")->parent, "code");
	assert_int_equal(category(c, "python")->complexity, CONF_SIMPLE);
	assert_int_equal(category(c, "python")->agents, CONF_AGENT_TOOL);
	assert_int_equal(category(c, "sql")->complexity, CONF_COMPLEX);
	assert_int_equal(category(c, "sql")->n_models, 2);
	assert_string_equal(category(c, "sql")->models[1], "b");
	assert_int_equal(category(c, "sql")->n_benchmarks, 2);
	assert_string_equal(category(c, "sql")->benchmarks[1], "WikiSQL");
	conf_catalogue_destroy(&c);
}

static void a_bad_category_costs_itself_alone(void **state)
{
	static const char *const says[] = {
		"categories.json:2:6: warning: categories.a: this is a number and should be an object; the category is left out",
		"categories.json:3:10: warning: categories.two b: a category's name is up to 39 letters, digits, - _ and .; it is "
		"left out",
		"categories.json:6:6: warning: categories.c: the category stands there twice; this one is left out",
		"categories.json:7:27: warning: categories.g.complexity: \"hard\" is not simple, moderate or complex; it is not "
		"used",
		"categories.json:7:50: warning: categories.g.benchmarks[0]: the benchmark has no name; it is not used",
		"categories.json:8:41: warning: category_hierarchy.domain.x[0]: there is no category \"nobody\"; it is not used",
		"categories.json:4:6: warning: categories.c: \"c\" is its own ancestor; it stands at the top",
		"categories.json:7:6: warning: categories.g: \"g\" has a parent \"none\" that is no category; it stands at the top",
	};
	struct conf_catalogue *c =
		catalogue_of("{\"categories\": {\n"
			     "\"a\": 1,\n"
			     "\"two b\": {},\n"
			     "\"c\": {\"parent\": \"d\"},\n"
			     "\"d\": {\"parent\": \"c\"},\n"
			     "\"c\": {},\n"
			     "\"g\": {\"complexity\":       \"hard\", \"benchmarks\": [7], \"parent\": \"none\"}},\n"
			     "\"category_hierarchy\": {\"domain\": {\"x\": [\"nobody\"]}}}");

	(void)state;
	assert_int_equal(report.n, sizeof(says) / sizeof(says[0]));
	for (unsigned i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		/* the circle is told where the last entry of that name stands */
		if (i == 6)
			assert_non_null(strstr(report.text[i], "\"c\" is its own ancestor; it stands at the top"));
		else
			assert_string_equal(report.text[i], says[i]);
	}
	assert_int_equal(c->n, 4);
	assert_string_equal(category(c, "c")->parent, "");
	assert_string_equal(category(c, "d")->parent, "c");
	conf_catalogue_destroy(&c);
}

static void what_is_no_catalogue_is_an_error(void **state)
{
	static const char text[] = "{\"models\": []}";
	struct conf_catalogue *c = NULL;

	(void)state;
	assert_int_equal(conf_catalogue_parse("c.json", text, strlen(text), &c, &report), -EINVAL);
	assert_string_equal(report.text[0], "c.json:1:1: there is no object \"categories\"; this is no catalogue of categories");
	assert_null(c);
}

/* --- real files ----------------------------------------------------------------------------------------------------------------- */

static void the_replaced_systems_files_load_unchanged(void **state)
{
	struct conf_registry *r = NULL;
	struct conf_catalogue *c = NULL;

	(void)state;
	if (access("../shared/data/registry/MODEL_REGISTRY.json", R_OK) < 0) {
		print_message("skipped: ../shared/data/registry is not at hand\n");
		skip();
	}
	assert_int_equal(conf_registry_load("../shared/data/registry/MODEL_REGISTRY.json", &r, &report), 0);
	/* one score of it is praise */
	assert_int_equal(report.n, 1);
	assert_non_null(strstr(report.text[0], ": warning: models[6].benchmarks.flores200_avg: this is no score"));
	assert_int_equal(r->n, 7);
	for (unsigned i = 0; i < r->n; i++)
		assert_true(r->models[i].size.n && r->models[i].memory.n);
	assert_int_equal(r->models[6].memory.n, 3);
	assert_int_equal(r->models[6].memory.at[0].bytes, 20 * GIB);
	assert_string_equal(r->models[6].memory.at[2].variant, "Q8_0");
	assert_int_equal(r->models[3].context_tokens, 2048);
	assert_int_equal(conf_catalogue_load("../shared/data/registry/task_categories.json", &c, &report), 0);
	assert_int_equal(report.n, 0);
	assert_int_equal(c->n, 9 + 3); /* domains nlp, data and vision are no categories of their own there */
	assert_string_equal(category(c, "relational")->parent, "data");
	assert_int_equal(category(c, "relational")->n_models, 2);
	assert_int_equal(category(c, "math")->complexity, CONF_COMPLEX);
	conf_registry_destroy(&r);
	conf_catalogue_destroy(&c);
}

static void the_shipped_files_load_without_a_word(void **state)
{
	struct conf_registry *r = NULL;
	struct conf_catalogue *c = NULL;

	(void)state;
	assert_int_equal(conf_registry_load("etc/models.json", &r, &report), 0);
	assert_int_equal(report.n, 0);
	assert_int_equal(conf_catalogue_load("etc/task_categories.json", &c, &report), 0);
	assert_int_equal(report.n, 0);
	assert_true(c->n >= 20);
	/* every category that a model names is one, and every model that a category names, too */
	for (unsigned i = 0; i < r->n; i++)
		for (unsigned k = 0; k < r->models[i].n_categories; k++)
			category(c, r->models[i].categories[k]);
	conf_registry_destroy(&r);
	conf_catalogue_destroy(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_notation_of_a_size),
		cmocka_unit_test(what_is_no_size),
		cmocka_unit_test(numbers_of_parameters),
		cmocka_unit_test(a_model_with_everything),
		cmocka_unit_test(a_bad_entry_costs_itself_alone),
		cmocka_unit_test(what_is_no_registry_is_an_error),
		cmocka_unit_test(many_mistakes_are_counted),
		cmocka_unit_test(domains_become_parents),
		cmocka_unit_test(a_bad_category_costs_itself_alone),
		cmocka_unit_test(what_is_no_catalogue_is_an_error),
		cmocka_unit_test(the_replaced_systems_files_load_unchanged),
		cmocka_unit_test(the_shipped_files_load_without_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
