/* The lists of /api/tags and /api/ps become one picture: names as Ollama reads them, residents by digest, the primary by the
 * configuration or by good sense, and nothing of it lost by a list that came late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bug.h"
#include "worker/catalog.h"

static struct catalog *catalog;
static struct probe_models *list;

static int make(void **state)
{
	(void)state;
	catalog = calloc(1, sizeof(*catalog));
	list = calloc(1, sizeof(*list));
	return !catalog || !list;
}

static int drop(void **state)
{
	(void)state;
	free(catalog);
	free(list);
	return 0;
}

static struct probe_model *put(const char *name, uint8_t digest, uint64_t size, unsigned caps)
{
	struct probe_model *m = &list->at[list->n++];

	memset(m, 0, sizeof(*m));
	snprintf(m->name, sizeof(m->name), "%s", name);
	m->digest[0] = digest;
	m->size_bytes = size;
	m->caps = caps;
	return m;
}

static void tags(void)
{
	catalog_take_tags(catalog, list);
	list->n = 0;
}

static void ps(uint64_t asked_ns)
{
	catalog_take_ps(catalog, list, asked_ns);
	list->n = 0;
}

#define CHAT  (PROBE_CAP_KNOWN | PROBE_CAP_COMPLETION)
#define EMBED (PROBE_CAP_KNOWN | PROBE_CAP_EMBEDDING)

static void configured_names_meet_the_stores(void **state)
{
	static const char *const NAMES[] = {"Tiny", "library/big:70b", "absent"};

	(void)state;
	catalog_configure(catalog, NAMES, 3);
	assert_null(catalog_primary_choose(catalog));
	put("other:1b", 9, 1, CHAT);
	put("big:70b", 2, 70, CHAT);
	put("tiny:latest", 1, 2, CHAT);
	tags();
	assert_int_equal(catalog->n, 4);
	assert_string_equal(catalog_primary_choose(catalog)->name, "tiny:latest");
	assert_int_equal(catalog_find(catalog, "big:70b")->configured, 2);
	assert_false(catalog_find(catalog, "absent")->available);
	assert_string_equal(catalog_find(catalog, "TINY")->name, "tiny:latest");
}

static void without_a_configuration_good_sense_chooses(void **state)
{
	(void)state;
	put("embed:latest", 1, 1, EMBED);
	put("large:latest", 2, 100, CHAT);
	put("small:latest", 3, 10, CHAT);
	tags();
	assert_string_equal(catalog_primary_choose(catalog)->name, "small:latest");
	put("large:latest", 2, 120, 0);
	ps(1);
	assert_string_equal(catalog_primary_choose(catalog)->name, "large:latest");
	put("embed:latest", 1, 1, EMBED);
	tags();
	ps(2);
	assert_string_equal(catalog_primary_choose(catalog)->name, "embed:latest");
	tags();
	assert_null(catalog_primary_choose(catalog));
	assert_int_equal(catalog->n, 0);
}

static void the_primary_stays_while_it_is_there(void **state)
{
	struct model *m;

	(void)state;
	put("a:latest", 1, 10, CHAT);
	tags();
	m = catalog_primary_choose(catalog);
	m->load_ns = 1;
	put("a:latest", 1, 10, CHAT);
	put("b:latest", 2, 5, CHAT); /* smaller, pulled later */
	tags();
	assert_string_equal(catalog_primary_choose(catalog)->name, "a:latest");
}

static void copies_are_resident_together(void **state)
{
	(void)state;
	put("a:latest", 1, 10, CHAT);
	put("copy:latest", 1, 10, CHAT);
	put("b:latest", 2, 10, CHAT);
	tags();
	put("copy:latest", 1, 12, 0)->vram_bytes = 12;
	ps(1);
	assert_true(catalog_find(catalog, "a")->resident);
	assert_true(catalog_find(catalog, "copy")->resident);
	assert_false(catalog_find(catalog, "b")->resident);
	assert_int_equal(catalog_find(catalog, "a")->vram_bytes, 12);
	ps(2);
	assert_false(catalog_find(catalog, "a")->resident);
	assert_int_equal(catalog_find(catalog, "a")->vram_bytes, 0);
}

static void an_older_list_takes_no_loaded_model_away(void **state)
{
	struct model *m;

	(void)state;
	put("a:latest", 1, 10, CHAT);
	tags();
	m = catalog_find(catalog, "a");
	m->resident = true;
	m->loaded_ns = 100;
	ps(50); /* asked before the load ended */
	assert_true(m->resident);
	ps(150);
	assert_false(m->resident);
}

static void a_model_that_loads_is_not_resident_yet(void **state)
{
	(void)state;
	put("a:latest", 1, 10, CHAT);
	tags();
	catalog_find(catalog, "a")->loading = true;
	put("a:latest", 1, 12, 0); /* the old engine lists it early */
	ps(1);
	assert_false(catalog_find(catalog, "a")->resident);
}

static void another_model_under_a_name_is_asked_anew(void **state)
{
	struct model *m;

	(void)state;
	put("a:latest", 1, 10, 0);
	tags();
	m = catalog_find(catalog, "a");
	m->caps = CHAT;
	m->show_asked = true;
	m->failures = 3;
	m->retry_ns = 99;
	put("a:latest", 1, 10, 0);
	tags();
	assert_int_equal(catalog_find(catalog, "a")->caps, CHAT);
	assert_int_equal(catalog_find(catalog, "a")->failures, 3);
	put("a:latest", 2, 10, 0);
	tags();
	m = catalog_find(catalog, "a");
	assert_int_equal(m->caps, 0);
	assert_false(m->show_asked);
	assert_int_equal(m->failures, 0);
}

static void the_target_steps_aside_when_it_cannot_be_loaded(void **state)
{
	static const char *const NAMES[] = {"a", "b"};

	(void)state;
	catalog_configure(catalog, NAMES, 2);
	put("a:latest", 1, 10, CHAT);
	put("b:latest", 2, 10, CHAT);
	put("c:latest", 3, 10, CHAT);
	tags();
	catalog_primary_choose(catalog);
	assert_string_equal(catalog_target(catalog, 10)->name, "a:latest");
	catalog_find(catalog, "a")->retry_ns = 100;
	assert_string_equal(catalog_target(catalog, 10)->name, "b:latest");
	catalog_find(catalog, "c")->resident = true;
	assert_string_equal(catalog_target(catalog, 10)->name, "c:latest");
	assert_string_equal(catalog_target(catalog, 100)->name, "a:latest");
}

static void the_board_shows_the_interesting_ones(void **state)
{
	static const char *const NAMES[] = {"m60"};
	static struct shm_models shown;
	char name[200];

	(void)state;
	for (unsigned i = 0; i < 70; i++) {
		snprintf(name, sizeof(name), "m%u:latest", i);
		put(name, (uint8_t)(i + 1), 10, CHAT);
	}
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	put(name, 200, 1, CHAT);
	tags();
	catalog_configure(catalog, NAMES, 1);
	catalog_primary_choose(catalog);
	put("m50:latest", 51, 12, 0);
	ps(1);
	catalog_find(catalog, "m60")->failures = 1;
	catalog_find(catalog, "m60")->retry_ns = 100;
	catalog_show(catalog, 10, &shown);
	assert_int_equal(shown.n, SHM_MODELS);
	assert_string_equal(shown.at[0].name, "m60:latest");
	assert_int_equal(shown.at[0].flags, SHM_MODEL_AVAILABLE | SHM_MODEL_PRIMARY | SHM_MODEL_CONFIGURED | SHM_MODEL_FAILED);
	assert_string_equal(shown.at[1].name, "m50:latest");
	assert_int_equal(shown.at[1].flags, SHM_MODEL_AVAILABLE | SHM_MODEL_RESIDENT);
	assert_int_equal(shown.at[1].digest[0], 51ULL << 56);
	catalog_show(catalog, 100, &shown);
	assert_false(shown.at[0].flags & SHM_MODEL_FAILED);
}

static void what_was_unloaded_stays_so_until_somebody_wants_it(void **state)
{
	struct model *m;

	(void)state;
	put("a:latest", 1, 10, CHAT);
	tags();
	put("a:latest", 1, 10, 0);
	ps(1);
	m = catalog_find(catalog, "a");
	m->held = true;
	put("a:latest", 1, 10, 0); /* not gone yet */
	ps(2);
	assert_true(m->held);
	ps(3);
	assert_true(m->held && !m->resident);
	put("a:latest", 1, 10, 0); /* a client brought it back */
	ps(4);
	assert_true(m->resident && !m->held);
}

static void a_dead_instance_is_forgotten(void **state)
{
	(void)state;
	put("a:latest", 1, 10, CHAT);
	tags();
	put("a:latest", 1, 10, 0);
	ps(1);
	catalog_forget(catalog);
	assert_false(catalog_find(catalog, "a")->resident);
	assert_true(catalog_find(catalog, "a")->available);
	assert_false(catalog->tags_known);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, drop)
	const struct CMUnitTest tests[] = {
		TEST(configured_names_meet_the_stores),
		TEST(without_a_configuration_good_sense_chooses),
		TEST(the_primary_stays_while_it_is_there),
		TEST(copies_are_resident_together),
		TEST(an_older_list_takes_no_loaded_model_away),
		TEST(a_model_that_loads_is_not_resident_yet),
		TEST(another_model_under_a_name_is_asked_anew),
		TEST(the_target_steps_aside_when_it_cannot_be_loaded),
		TEST(the_board_shows_the_interesting_ones),
		TEST(what_was_unloaded_stays_so_until_somebody_wants_it),
		TEST(a_dead_instance_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
