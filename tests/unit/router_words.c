/* Names, origins, progress lines and carried bytes: what the router decides about foreign text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "router/progress.h"
#include "router/router.h"

static void model_names_fold_to_one_key(void **state)
{
	static const struct {
		const char *name, *key; /* key NULL: refused */
	} CASES[] = {
		{"tiny", "tiny:latest"},
		{"tiny:latest", "tiny:latest"},
		{"Qwen3:8B", "qwen3:8b"},
		{"  tiny\t", "tiny:latest"},
		{"registry.ollama.ai/library/tiny:1b", "tiny:1b"},
		{"library/tiny", "tiny:latest"},
		{"ns/alias:v1", "ns/alias:v1"},
		{"host.example:5000/ns/m", "host.example:5000/ns/m:latest"},
		{"tiny:local", "tiny:latest"},
		{"tiny:1b:local", "tiny:1b"},
		{"", NULL},
		{"   ", NULL},
		{"a b", NULL},
		{"a\"b", NULL},
		{"a\\b", NULL},
		{"a\x01", NULL},
		{"caf\xc3\xa9", NULL},
	};
	char key[ROUTER_KEY], longest[400];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		bool ok = model_key(CASES[i].name, key);

		assert_int_equal(ok, CASES[i].key != NULL);
		if (ok)
			assert_string_equal(key, CASES[i].key);
	}
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	assert_false(model_key(longest, key));
	longest[ROUTER_KEY - 1 - sizeof(":latest")] = 0;
	assert_true(model_key(longest, key));
	assert_true(strlen(key) < ROUTER_KEY);
}

static void pages_of_this_machine_may_others_not(void **state)
{
	static const struct {
		const char *origin, *host;
		bool        ok;
	} CASES[] = {
		{"http://localhost", "x", true},
		{"http://localhost:3000", "x", true},
		{"https://127.0.0.1:8443", "x", true},
		{"http://0.0.0.0", "x", true},
		{"app://anything", "x", true},
		{"vscode-webview://abc", "x", true},
		{"http://llm.example:8480", "llm.example:8480", true},
		{"http://llm.example", "llm.example:8480", false},
		{"http://localhost:3000.evil.example", "x", false},
		{"http://localhost.evil.example", "x", false},
		{"http://localhost:", "x", false},
		{"http://localhost:123456", "x", false},
		{"http://evil.example", "x", false},
		{"null", "x", false},
		{"", "", false},
		{"http://", "", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
		assert_int_equal(origin_allowed(span_of(CASES[i].origin), span_of(CASES[i].host)), CASES[i].ok);
}

static void names_that_anybody_can_point_here_are_not_ours(void **state)
{
	static const struct {
		const char *host;
		bool ok;
	} CASES[] = {
		{"", true},
		{"localhost", true},
		{"LocalHost:8480", true},
		{"127.0.0.1:8480", true},
		{"192.168.1.7", true},
		{"[::1]:8480", true},
		{"box", true},
		{"BOX:1", true},
		{"box.local", true},
		{"a.internal:80", true},
		{"a.localhost", true},
		{"evil.example", false},
		{"evil.example:8480", false},
		{"localhost.", false},
		{"localhost.evil.example", false},
		{"local", false},
		{".local", false},
		{"evillocal", false},
		{"127.0.0.1.evil.example", false},
		{"127.1", false},
		{"2130706433", false},
		{"x", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
		assert_int_equal(host_allowed(span_of(CASES[i].host), "box"), CASES[i].ok);
	assert_true(host_allowed(span_of("evil.example"), "evil.example"));
	assert_false(host_allowed(span_of("a"), ""));
}

static size_t feed(struct progress *p, unsigned part, const char *line, char *buf, size_t size, bool *success, bool *error)
{
	return progress_line(p, part, line, strlen(line), buf, size, success, error);
}

static void two_stores_pull_as_one(void **state)
{
	struct progress *p = progress_create();
	char buf[512];
	bool success, error;

	(void)state;
	assert_non_null(p);
	assert_true(feed(p, 0, "{\"status\":\"pulling manifest\"}", buf, sizeof(buf), &success, &error) > 0);
	assert_int_equal(feed(p, 1, "{\"status\":\"pulling manifest\"}", buf, sizeof(buf), &success, &error), 0);
	assert_true(feed(p, 0, "{\"status\":\"pulling a\",\"digest\":\"sha256:a\",\"total\":100,\"completed\":40}", buf, sizeof(buf), &success, &error) > 0);
	assert_true(feed(p, 1, "{\"status\":\"pulling a\",\"digest\":\"sha256:a\",\"total\":100,\"completed\":10}", buf, sizeof(buf), &success, &error) > 0);
	assert_non_null(strstr(buf, "\"total\":200"));
	assert_non_null(strstr(buf, "\"completed\":50"));
	assert_int_equal(feed(p, 0, "{\"status\":\"success\"}", buf, sizeof(buf), &success, &error), 0);
	assert_true(success);
	assert_int_equal(feed(p, 1, "{\"error\":\"no room\"}", buf, sizeof(buf), &success, &error), 0);
	assert_true(error);
	assert_string_equal(buf, "no room");
	assert_int_equal(feed(p, 1, "not json", buf, sizeof(buf), &success, &error), 0);
	assert_int_equal(feed(p, 1, "[1]", buf, sizeof(buf), &success, &error), 0);
	assert_false(success || error);
	progress_destroy(&p);
	assert_null(p);
}

static void carried_bytes_are_bounded(void **state)
{
	struct carry c = {0};

	(void)state;
	assert_int_equal(carry_add(&c, "hello", 5, 8), 0);
	assert_int_equal(carry_add(&c, "worl", 4, 8), -E2BIG);
	assert_int_equal(c.n, 5);
	assert_int_equal(carry_add(&c, "abc", 3, 8), 0);
	carry_drop(&c, 5);
	assert_int_equal(c.n, 3);
	assert_memory_equal(c.p, "abc", 3);
	carry_drop(&c, 99);
	assert_int_equal(c.n, 0);
	assert_null(c.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model_names_fold_to_one_key),
		cmocka_unit_test(pages_of_this_machine_may_others_not),
		cmocka_unit_test(names_that_anybody_can_point_here_are_not_ours),
		cmocka_unit_test(two_stores_pull_as_one),
		cmocka_unit_test(carried_bytes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
