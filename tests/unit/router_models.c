/* The table of models is bounded: what no instance has and nobody asks for makes room, the one asked for longest ago first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "router/router.h"

static struct router r;
static struct pair pair;
static unsigned freed;

/* Of router/learn.c, which does much more. */
struct pair *pair_find(const struct routing *t, const struct model *m, unsigned slot)
{
	(void)t;
	return m->pair[slot] ? &pair : NULL;
}

void pair_free(struct pair *p)
{
	assert_ptr_equal(p, &pair);
	freed++;
}

static struct model *intern(unsigned n)
{
	char key[ROUTER_KEY];

	snprintf(key, sizeof(key), "m%u:latest", n);
	return model_intern(&r, key);
}

static void a_full_table_forgets_what_was_asked_for_longest_ago(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROUTER_MODELS; i++)
		intern(i)->slots = 1;
	assert_null(intern(ROUTER_MODELS));
	assert_ptr_equal(intern(7), &r.models[7]);

	for (unsigned i = 10; i < 16; i++) {
		r.models[i].slots = 0;
		r.models[i].figures_ns = 100 - i;
	}
	r.models[15].users = 1;
	r.models[14].wish = 3;
	r.slots[5].short_of = &r.models[13];
	r.models[12].pair[63] = 1;

	assert_ptr_equal(intern(ROUTER_MODELS), &r.models[12]);
	assert_int_equal(freed, 1);
	assert_null(model_find(&r, "m12:latest"));
	assert_int_equal(r.models[12].pair[63], 0);
	r.models[12].slots = 1;
	assert_ptr_equal(intern(12), &r.models[11]);
	r.models[11].slots = 1;
	assert_ptr_equal(intern(11), &r.models[10]);
	r.models[10].slots = 1;
	assert_null(intern(10)); /* the rest is in use in one way or another */
	assert_int_equal(r.n_models, ROUTER_MODELS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_full_table_forgets_what_was_asked_for_longest_ago)};
	int rc;

	r.models = calloc(ROUTER_MODELS, sizeof(*r.models));
	BUG_ON(!r.models);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	free(r.models);
	return rc;
}
