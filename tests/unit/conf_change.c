/* What the command line makes, and what a changed instance costs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"

static struct conf_report report;

static void nothing_said_means_the_usual_ollama(void **state)
{
	const struct conf_adhoc a = {.n_listen = 0};
	struct conf *c = NULL;

	(void)state;
	assert_int_equal(conf_adhoc_make(&a, &c, &report), 0);
	assert_int_equal(report.n, 1);
	assert_string_equal(report.text[0],
			    "command line: warning: no instance is named: looking for an Ollama at http://127.0.0.1:11434 "
			    "(--adopt URL names another)");
	assert_int_equal(c->n_instances, 1);
	assert_string_equal(c->instances[0].name, "ollama-11434");
	assert_true(c->instances[0].adopted);
	assert_int_equal(c->instances[0].places, 1);
	assert_int_equal(c->n_listen, 1);
	assert_string_equal(c->listen[0].text, "127.0.0.1:8480");
	conf_destroy(&c);
}

static void the_command_line_names_instances(void **state)
{
	const struct conf_adhoc a = {.listen = {"0.0.0.0:9000", "[::1]:9001"},
				     .n_listen = 2,
				     .adopt = {"http://127.0.0.1:11501", "chat=http://localhost:11502/", "127.0.0.1"},
				     .n_adopt = 3,
				     .slots = 4,
				     .state_dir = "/tmp/x"};
	struct conf *c = NULL;

	(void)state;
	assert_int_equal(conf_adhoc_make(&a, &c, &report), 0);
	assert_int_equal(report.n, 0);
	assert_int_equal(c->n_listen, 2);
	assert_string_equal(c->state_dir, "/tmp/x");
	assert_string_equal(c->instances[0].name, "ollama-11501");
	assert_string_equal(c->instances[1].name, "chat");
	assert_string_equal(c->instances[1].addr.text, "127.0.0.1:11502");
	assert_string_equal(c->instances[2].addr.text, "127.0.0.1:11434");
	assert_int_equal(c->instances[2].places, 4);
	conf_destroy(&c);
}

static void a_bad_command_line_is_told(void **state)
{
	const struct conf_adhoc a = {
		.listen = {"nowhere:1"},
		.n_listen = 1,
		.adopt = {"a b=http://127.0.0.1:1", "x=http://127.0.0.1:2", "x=http://127.0.0.1:3", "http://127.0.0.1:2"},
		.n_adopt = 4};
	struct conf *c = NULL;

	(void)state;
	assert_int_equal(conf_adhoc_make(&a, &c, &report), -EINVAL);
	assert_null(c);
	assert_int_equal(report.errors, 4);
	assert_string_equal(report.text[0],
			    "command line: --listen: \"nowhere\" is not a numeric address, and names are not resolved; "
			    "write for example 127.0.0.1 or [::1]");
	assert_string_equal(report.text[1],
			    "command line: \"a b\" is not a name for an instance; write up to 63 letters, digits, - _ and .");
	assert_string_equal(report.text[2], "command line: --adopt: two instances are called \"x\"; write NAME=127.0.0.1:3");
	assert_string_equal(report.text[3], "command line: --adopt: 127.0.0.1:2 is named twice; take one out");
}

static struct conf_instance base_instance(void)
{
	struct conf_instance i = {.name = "a", .places = 2, .n_models = 1, .fds_limit = 100};
	static char argv[] = "ollama\0serve", env[] = "A=1";

	snprintf(i.models[0], sizeof(i.models[0]), "m");
	assert_int_equal(conf_addr_parse("127.0.0.1:1", 0, &i.addr, NULL), 0);
	i.argv = argv;
	i.argv_len = sizeof(argv);
	i.env = env;
	i.env_len = sizeof(env);
	return i;
}

static void changes_cost_what_they_must(void **state)
{
	struct conf_instance a = base_instance(), b = a;

	(void)state;
	a.line = 1;
	b.line = 7;
	assert_int_equal(conf_instance_change(&a, &b), CONF_SAME);
	snprintf(b.models[0], sizeof(b.models[0]), "n");
	assert_int_equal(conf_instance_change(&a, &b), CONF_LIVE);
	b = a;
	b.memory_max_bytes = 1;
	assert_int_equal(conf_instance_change(&a, &b), CONF_LIVE);
	b = a;
	b.pinned = true;
	assert_int_equal(conf_instance_change(&a, &b), CONF_LIVE);
	b = a;
	b.places = 3; /* OLLAMA_NUM_PARALLEL is read once */
	assert_int_equal(conf_instance_change(&a, &b), CONF_RESTART);
	a.adopted = b.adopted = true;
	assert_int_equal(conf_instance_change(&a, &b), CONF_LIVE);
	b.adopted = false;
	assert_int_equal(conf_instance_change(&a, &b), CONF_RESTART);
	a = b = base_instance();
	b.env_len--;
	assert_int_equal(conf_instance_change(&a, &b), CONF_RESTART);
	b = a;
	assert_int_equal(conf_addr_parse("127.0.0.1:2", 0, &b.addr, NULL), 0);
	assert_int_equal(conf_instance_change(&a, &b), CONF_RESTART);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_said_means_the_usual_ollama),
		cmocka_unit_test(the_command_line_names_instances),
		cmocka_unit_test(a_bad_command_line_is_told),
		cmocka_unit_test(changes_cost_what_they_must),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
