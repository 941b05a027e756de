/* Memory may end at any allocation while registry and catalogue are read: -ENOMEM, a sentence, and everything given back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/registry.h"
#include "tests/unit/failing_memory.h"

static struct conf_report report;

static int registry_once(void)
{
	struct conf_registry *r = NULL;
	int rc = conf_registry_load("etc/models.json", &r, &report);

	assert_int_equal(rc == 0, r != NULL);
	assert_true(rc < 0 || r->n > 10);
	conf_registry_destroy(&r);
	return rc;
}

static int catalogue_once(void)
{
	struct conf_catalogue *c = NULL;
	int rc = conf_catalogue_load("etc/task_categories.json", &c, &report);

	assert_int_equal(rc == 0, c != NULL);
	assert_true(rc < 0 || c->n >= 20);
	conf_catalogue_destroy(&c);
	return rc;
}

static unsigned each_failure(int (*once)(void))
{
	unsigned n = 0;
	int rc;

	do {
		const long before = living;

		count = 0;
		fail_at = ++n;
		rc = once();
		fail_at = 0;
		assert_int_equal(living, before);
		if (rc < 0) {
			assert_int_equal(rc, -ENOMEM);
			assert_int_equal(report.errors, 1);
			assert_non_null(strstr(report.text[report.n - 1], "memory"));
		}
	} while (rc < 0);
	return n - 1;
}

static void the_registry_survives_the_end_of_memory_anywhere(void **state)
{
	(void)state;
	if (SANITIZED) {
		print_message("skipped: a sanitizer has the allocator to itself\n");
		skip();
	}
	assert_in_range(each_failure(registry_once), 5, 50);
}

static void so_does_the_catalogue(void **state)
{
	(void)state;
	if (SANITIZED) {
		print_message("skipped: a sanitizer has the allocator to itself\n");
		skip();
	}
	assert_in_range(each_failure(catalogue_once), 5, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_registry_survives_the_end_of_memory_anywhere),
		cmocka_unit_test(so_does_the_catalogue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
