/* Every file of tests/conf/ is wrong (or doubtful) in its own way; NAME.says holds what must be said about NAME.conf, word for word:
 * "LINE:COLUMN: sentence", or " sentence" where it is about the whole file. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"

#define CORPUS "tests/conf"

static struct conf_report report;

/* Compare one message with one line; the file's own name before it is left out. */
static void message_same(const char *path, const char *message, FILE *says)
{
	char line[512];

	assert_non_null(fgets(line, sizeof(line), says));
	line[strcspn(line, "\n")] = 0;
	assert_int_equal(strncmp(message, path, strlen(path)), 0);
	assert_string_equal(message + strlen(path) + 1, line);
}

static void bad_file_says(const char *path)
{
	struct conf *c = NULL;
	char says_path[300], rest[8];
	FILE *says;
	int rc;

	snprintf(says_path, sizeof(says_path), "%.*s.says", (int)(strlen(path) - 5), path);
	says = fopen(says_path, "re");
	assert_non_null(says);
	rc = conf_load(path, &c, &report);
	assert_int_equal(rc, report.errors ? -EINVAL : 0);
	assert_int_equal(c == NULL, rc < 0);
	assert_true(report.n > 0);
	for (unsigned i = 0; i < report.n; i++)
		message_same(path, report.text[i], says);
	assert_null(fgets(rest, sizeof(rest), says));
	fclose(says);
	conf_destroy(&c);
	assert_null(c);
}

static int conf_files_only(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 5 && strcmp(e->d_name + n - 5, ".conf") == 0;
}

/* promise 20 */
static void each_bad_line_gets_its_sentence(void **state)
{
	struct dirent **entries;
	int n = scandir(CORPUS, &entries, conf_files_only, alphasort);

	(void)state;
	assert_true(n >= 80);
	for (int i = 0; i < n; i++) {
		char path[300];

		snprintf(path, sizeof(path), CORPUS "/%s", entries[i]->d_name);
		bad_file_says(path);
		free(entries[i]);
	}
	free(entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_bad_line_gets_its_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
