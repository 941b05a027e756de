/* tests/unit/http_table.h - one cmocka test per row of a table, so that each rule shows under its own name. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/span.h"

/* Literals with NUL bytes in them keep their length. */
#define RAW(s) {(s), sizeof(s) - 1}

struct table {
	struct CMUnitTest tests[512];
	size_t            n;
};

/* Adds a test per row; a row begins with `const char *name`, and is the test's *state. */
static inline void table_add(struct table *t, void *rows, size_t n, size_t row_size, CMUnitTestFunction test)
{
	for (size_t i = 0; i < n; i++) {
		char *row = (char *)rows + i * row_size;
		const char *name;

		assert_true(t->n < ARRAY_SIZE(t->tests));
		memcpy(&name, row, sizeof(name));
		t->tests[t->n++] = (struct CMUnitTest){.name = name, .test_func = test, .initial_state = row};
	}
}

#define TABLE_ADD(t, rows, test) table_add((t), (rows), ARRAY_SIZE(rows), sizeof((rows)[0]), (test))
#define TEST_ADD(t, test)        ((t)->tests[(t)->n++] = (struct CMUnitTest)cmocka_unit_test(test))

static inline int table_run(const char *group, const struct table *t)
{
	return _cmocka_run_group_tests(group, t->tests, t->n, NULL, NULL);
}

/* A copy without a byte to spare, so that a checker sees any look beyond the end.  Free it. */
static inline char *exact_copy(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	if (n)
		memcpy(copy, p, n);
	return copy;
}
