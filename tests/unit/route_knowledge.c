/* Registry and categories by way of their image: the taxonomy is that of the files, and without an image that of nobody. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/image.h"
#include "route/knowledge.h"

static const char MODELS[] = "{\"models\": [{\"name\": \"coder\", \"hf_repo\": \"a/b\", \"gpu_memory\": \"20GB\", \"orchestration_categories\": [\"code\"],"
			     "\"benchmarks\": {\"HumanEval\": 80}}]}";
static const char TREE[] = "{\"categories\": {\"code\": {\"benchmarks\": [\"HumanEval\"]}, \"code_python\": {\"parent\": \"code\"}}}";

static void the_files_come_through(void **state)
{
	static struct conf_report report;
	struct conf_registry *r = NULL;
	struct conf_catalogue *c = NULL;
	static struct tax_conf conf;
	static struct knowledge k;
	void *bytes = NULL;
	size_t n = 0;

	(void)state;
	tax_conf_default(&conf);
	assert_int_equal(conf_registry_parse("m", MODELS, strlen(MODELS), &r, &report), 0);
	assert_int_equal(conf_catalogue_parse("c", TREE, strlen(TREE), &c, &report), 0);
	assert_int_equal(conf_image_make(r, c, &bytes, &n, NULL), 0);
	conf_registry_destroy(&r);
	conf_catalogue_destroy(&c);
	assert_int_equal(knowledge_init(&k, &conf, bytes, n, NULL), 0);
	free(bytes); /* not needed any more */
	assert_string_equal(k.registry->models[0].name, "coder");
	assert_true(tax_below(&k.tax, tax_find(&k.tax, "code_python"), TAX_CODE));
	assert_true(tax_score(&k.tax.entry[0], TAX_CODE)->score > 80);
	knowledge_fini(&k);
	assert_null(k.registry);
}

static void nothing_is_known_without_an_image(void **state)
{
	static struct tax_conf conf;
	static struct knowledge k;
	struct why why = {""};

	(void)state;
	tax_conf_default(&conf);
	assert_int_equal(knowledge_init(&k, &conf, NULL, 0, NULL), 0);
	assert_null(k.registry);
	assert_int_equal(tax_find(&k.tax, "code"), TAX_CODE);
	knowledge_fini(&k);
	assert_int_equal(knowledge_init(&k, &conf, "no image", 8, &why), -EINVAL);
	assert_true(why.text[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_files_come_through),
		cmocka_unit_test(nothing_is_known_without_an_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
