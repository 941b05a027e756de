/* Memory may end at any allocation: a load then ends with -ENOMEM and a sentence, and has given everything back. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "tests/unit/failing_memory.h"

static char dir[64];
static struct conf_report report;

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void file_write(const char *name, const char *text)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void example_link(const char *name, const char *example)
{
	char path[PATH_MAX];

	assert_non_null(realpath(example, path));
	assert_int_equal(symlink(path, path_of(name)), 0);
}

/* The shipped files, and one instance with what they leave out. */
static int setup(void **state)
{
	char text[300];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/tsa-conf-XXXXXX");
	if (!mkdtemp(dir) || mkdir(path_of("instances.d"), 0755) < 0)
		return -1;
	example_link("tsa.conf", "etc/tsa.conf");
	example_link("instances.d/chat.conf", "etc/instances.d/chat.conf.example");
	example_link("instances.d/embed.conf", "etc/instances.d/embed.conf.example");
	file_write("env", "A=1\nB=2\n");
	snprintf(text, sizeof(text),
		 "instance \"x\" { command = {\"ollama\", \"serve\"} listen = 127.0.0.1:21501 models = {m} environment = {\"C=3\", "
		 "\"D=4\"} environment_file = \"%s\" }\n",
		 path_of("env"));
	file_write("instances.d/x.conf", text);
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = {"instances.d/chat.conf", "instances.d/embed.conf", "instances.d/x.conf", "env",
					    "tsa.conf"};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(path_of(files[i]));
	rmdir(path_of("instances.d"));
	return rmdir(dir);
}

static int load(struct conf **c)
{
	return conf_load(path_of("tsa.conf"), c, &report);
}

static int adhoc(struct conf **c)
{
	const struct conf_adhoc a = {.listen = {"127.0.0.1:8480"}, .n_listen = 1, .adopt = {"a=127.0.0.1:1"}, .n_adopt = 1};

	return conf_adhoc_make(&a, c, &report);
}

static void failure_check(int rc, const struct conf *c)
{
	assert_int_equal(rc, -ENOMEM);
	assert_null(c);
	assert_true(report.errors > 0 && report.n > 0);
	assert_non_null(strstr(report.text[report.n - 1], "memory"));
}

/* Returns how many allocations it takes when none fails.  The C library may do without some of its own. */
static unsigned each_failure(int (*make)(struct conf **c), unsigned instances)
{
	unsigned n = 0;

	do {
		const long before = living;
		struct conf *c = NULL;
		int rc;

		count = 0;
		fail_at = ++n;
		rc = make(&c);
		fail_at = 0;
		if (rc < 0)
			failure_check(rc, c);
		else
			assert_int_equal(c->n_instances, instances);
		conf_destroy(&c);
		assert_int_equal(living, before);
	} while (count >= n);
	return n - 1;
}

static void a_load_survives_the_end_of_memory_anywhere(void **state)
{
	(void)state;
	if (SANITIZED) {
		print_message("skipped: a sanitizer has the allocator to itself\n");
		skip();
	}
	assert_true(each_failure(load, 4) > 20);
}

static void so_does_the_command_line(void **state)
{
	(void)state;
	if (SANITIZED) {
		print_message("skipped: a sanitizer has the allocator to itself\n");
		skip();
	}
	assert_true(each_failure(adhoc, 1) >= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_load_survives_the_end_of_memory_anywhere, setup, teardown),
		cmocka_unit_test(so_does_the_command_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
