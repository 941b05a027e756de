/* What hurts is found, what does not is called fine, and text that is not what it should be is nobody's symptom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "tools/tsactl/symptoms.h"

static const struct finding *find(const struct findings *f, const char *part)
{
	for (unsigned i = 0; i < f->n; i++)
		if (strstr(f->at[i].what, part))
			return &f->at[i];
	return NULL;
}

/* A finding of this grade that says `part` and names a remedy. */
static void expect(const struct findings *f, enum grade grade, const char *part)
{
	const struct finding *at = find(f, part);

	assert_non_null(at);
	assert_int_equal(at->grade, grade);
	assert_true(grade == GRADE_FINE || *at->remedy);
}

#define ENV(text) .env = text, .env_len = sizeof(text)

static void versions_known_to_be_bad_are_named(void **state)
{
	static const struct {
		const char *version, *part;
		enum grade grade;
	} CASES[] = {
		{"0.1.33", "CVE-2024-37032", GRADE_BAD},     {"0.1.34", "CVE-2026-7482", GRADE_WARN},
		{"0.17.0", "CVE-2026-7482", GRADE_WARN},     {"0.17.1", "CVE-2026-7020", GRADE_WARN},
		{"0.20.2", "CVE-2026-7020", GRADE_WARN},     {"0.20.3", "not known to be bad", GRADE_FINE},
		{"0.30.0", "prompt_eval_count", GRADE_NOTE}, {"0.33.0-rc2", "not known to be bad", GRADE_FINE},
		{"0.9.6", "by itself how many", GRADE_WARN}, {"v0.24.0", "not known to be bad", GRADE_FINE},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct findings f = {0};

		symptoms_version(&f, &(struct symptom_instance){.about = "instance a", .version = CASES[i].version});
		expect(&f, CASES[i].grade, CASES[i].part);
		findings_free(&f);
	}
}

static void a_version_that_is_none_is_only_noted(void **state)
{
	static const char *const NONE[] = {"0.0.0", "dev", "1.2", "0.24.0x", "99999.1.1"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(NONE); i++) {
		struct findings f = {0};

		symptoms_version(&f, &(struct symptom_instance){.about = "instance a", .version = NONE[i]});
		assert_int_equal(f.n, 1);
		assert_int_equal(f.at[0].grade, GRADE_NOTE);
		findings_free(&f);
	}
}

static void settings_of_an_ollama_that_hurt_are_found(void **state)
{
	static const struct {
		struct symptom_instance is;
		const char *part;
		enum grade grade;
	} CASES[] = {
		{{.slots = 2, ENV("HOME=/")}, "works on 1: the others wait", GRADE_BAD},
		{{.slots = 4, ENV("OLLAMA_NUM_PARALLEL=2")}, "sends it 4", GRADE_BAD},
		{{.slots = 1, ENV("OLLAMA_NUM_PARALLEL=4")}, "could work on 4", GRADE_NOTE},
		{{.slots = 1, ENV("OLLAMA_MAX_QUEUE=0")}, "OLLAMA_MAX_QUEUE is 0", GRADE_BAD},
		{{.slots = 1, ENV("OLLAMA_KEEP_ALIVE=0")}, "after every answer", GRADE_WARN},
		{{.slots = 1, ENV("OLLAMA_HOST=0.0.0.0:11434")}, "go around tsa", GRADE_WARN},
		{{.slots = 1, ENV("OLLAMA_HOST=http://[::]:1")}, "go around tsa", GRADE_WARN},
		{{.slots = 1, ENV("OLLAMA_HOST=:11434")}, "go around tsa", GRADE_WARN},
		{{.slots = 1, ENV("OLLAMA_ORIGINS=*")}, "any web page", GRADE_NOTE},
		{{.slots = 1, ENV("OLLAMA_DEBUG_LOG_REQUESTS=1")}, "body of every request", GRADE_WARN},
		{{.slots = 1, .models = 5, ENV("OLLAMA_MAX_LOADED_MODELS=2")}, "keeps 2 in memory", GRADE_WARN},
		{{.slots = 1, .models = 5, ENV("A=b")}, "keeps 3 in memory", GRADE_NOTE},
		{{.slots = 1, .sharing = 2, ENV("A=b")}, "deletes what it does not know", GRADE_WARN},
		{{.slots = 1, .sharing = 2, ENV("OLLAMA_NOPRUNE=1")}, "nothing known to hurt", GRADE_FINE},
		{{.slots = 1, ENV("OLLAMA_HOST=127.0.0.1:11434\0OLLAMA_NUM_PARALLEL=1\0OLLAMA_DEBUG=0")},
		 "nothing known to hurt",
		 GRADE_FINE},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct symptom_instance is = CASES[i].is;
		struct findings f = {0};

		is.about = "instance a";
		is.version = "0.24.0";
		symptoms_environment(&f, &is);
		expect(&f, CASES[i].grade, CASES[i].part);
		findings_free(&f);
	}
}

static void an_environment_is_read_only_as_far_as_it_goes(void **state)
{
	static const char CUT[] = {'A', '=', '1', '\0', 'B', '=', '2'};

	(void)state;
	assert_string_equal(symptoms_env_get(CUT, sizeof(CUT), "A"), "1");
	assert_null(symptoms_env_get(CUT, sizeof(CUT), "B"));
	assert_null(symptoms_env_get("AB=1", 5, "A"));
	assert_null(symptoms_env_get("", 0, "A"));
}

static void threads_that_do_not_fit_are_found_by_generation(void **state)
{
	static const struct {
		struct symptom_instance is;
		const char *part;
		enum grade grade;
	} CASES[] = {
		{{.version = "0.24.0", .cpus = 4, .cores = 48}, "starts 48 threads", GRADE_BAD},
		{{.version = "0.31.0", .cpus = 4, .cores = 48, ENV("A=b")}, "not told how many", GRADE_WARN},
		{{.version = "0.31.0", .cpus = 4, .cores = 48, ENV("LLAMA_ARG_THREADS=8")}, "not told how many", GRADE_WARN},
		{{.version = "0.31.0", .cpus = 4, .cores = 48, ENV("LLAMA_ARG_THREADS=4")}, "4 threads fit", GRADE_FINE},
	};
	struct findings f = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct symptom_instance is = CASES[i].is;

		is.about = "instance a";
		symptoms_threads(&f, &is);
		expect(&f, CASES[i].grade, CASES[i].part);
		findings_free(&f);
	}
	symptoms_threads(&f, &(struct symptom_instance){.about = "a", .version = "0.24.0", .cpus = 96, .cores = 48});
	symptoms_threads(&f, &(struct symptom_instance){.about = "a", .version = "0.24.0", .cpus = 0, .cores = 48});
	assert_int_equal(f.n, 0);
}

static void the_kinds_of_cgroups_are_told_apart(void **state)
{
	static const struct {
		const char *mounts, *controllers, *part;
		enum grade grade;
	} CASES[] = {
		{"cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "cpuset cpu io memory pids\n", "cgroup v2 with", GRADE_FINE},
		{"cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "cpu io memory pids\n", "without the controllers cpuset", GRADE_WARN},
		{"cgroup2 /x cgroup2 rw 0 0\ncgroup /y cgroup rw,cpu 0 0\n", "", "side by side", GRADE_NOTE},
		{"cgroup /y cgroup rw,cpu 0 0\n", "", "v1 alone", GRADE_NOTE},
		{"proc /proc proc rw 0 0\n", "", "none at all", GRADE_NOTE},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct findings f = {0};

		symptoms_cgroups(&f, CASES[i].mounts, CASES[i].controllers);
		expect(&f, CASES[i].grade, CASES[i].part);
		findings_free(&f);
	}
}

static void want_of_memory_and_swapping_are_found(void **state)
{
	struct findings f = {0};

	(void)state;
	symptoms_memory(&f, "MemTotal:  1000000 kB\nMemAvailable: 100000 kB\nSwapTotal: 500000 kB\nSwapFree: 100000 kB\n");
	expect(&f, GRADE_WARN, "10 % of the memory");
	expect(&f, GRADE_WARN, "390 MiB are swapped out");
	findings_free(&f);
	symptoms_memory(&f, "MemTotal:  1000000 kB\nMemAvailable: 900000 kB\n");
	assert_int_equal(f.n, 1);
	expect(&f, GRADE_FINE, "90 % of the memory");
	findings_free(&f);
	symptoms_memory(&f, "garbage");
	assert_int_equal(f.n, 0);
}

static void each_kernel_setting_has_a_value_that_hurts_and_one_that_does_not(void **state)
{
	static const struct {
		const char *path, *hurts, *fine;
	} CASES[] = {
		{"vm/zone_reclaim_mode", "1\n", "0\n"},    {"vm/overcommit_memory", "2\n", "1\n"},
		{"net/core/somaxconn", "128\n", "4096\n"}, {"kernel/pid_max", "4096\n", "32768\n"},
		{"fs/nr_open", "1024\n", "1048576\n"},
	};
	unsigned n = 0;

	(void)state;
	while (symptoms_setting_path(n))
		n++;
	assert_int_equal(n, ARRAY_SIZE(CASES));
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct findings f = {0};

		assert_true(symptoms_setting(&f, CASES[i].path, CASES[i].hurts));
		expect(&f, GRADE_WARN, CASES[i].path);
		assert_false(symptoms_setting(&f, CASES[i].path, CASES[i].fine));
		assert_false(symptoms_setting(&f, CASES[i].path, "x"));
		assert_int_equal(f.n, 1);
		findings_free(&f);
	}
}

static void processors_are_counted(void **state)
{
	(void)state;
	assert_int_equal(symptoms_cpus_count("0-3,8\n"), 5);
	assert_int_equal(symptoms_cpus_count("\t7\n"), 1);
	assert_int_equal(symptoms_cpus_count("3-1"), 0);
	assert_int_equal(symptoms_cpus_count("1,x"), 0);
	assert_int_equal(symptoms_cpus_count(""), 0);
	assert_int_equal(
		symptoms_cores_count(
			"processor\t: 0\nphysical id\t: 0\ncore id\t\t: 0\n\nprocessor\t: 1\nphysical id\t: 0\ncore id\t\t: 0\n\n"
			"processor\t: 2\nphysical id\t: 1\ncore id\t\t: 0\n"),
		2);
	assert_int_equal(symptoms_cores_count("processor\t: 0\nprocessor\t: 1\n"), 2);
	assert_int_equal(symptoms_cores_count(""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_known_to_be_bad_are_named),
		cmocka_unit_test(a_version_that_is_none_is_only_noted),
		cmocka_unit_test(settings_of_an_ollama_that_hurt_are_found),
		cmocka_unit_test(an_environment_is_read_only_as_far_as_it_goes),
		cmocka_unit_test(threads_that_do_not_fit_are_found_by_generation),
		cmocka_unit_test(the_kinds_of_cgroups_are_told_apart),
		cmocka_unit_test(want_of_memory_and_swapping_are_found),
		cmocka_unit_test(each_kernel_setting_has_a_value_that_hurts_and_one_that_does_not),
		cmocka_unit_test(processors_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
