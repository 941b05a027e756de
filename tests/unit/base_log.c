/* What a reader of the log sees of lines that are held back. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void lines_held_back_are_told_in_words(void **state)
{
	char text[16384] = "";
	FILE *f = tmpfile();
	int kept = dup(STDERR_FILENO);
	ssize_t n;

	(void)state;
	assert_non_null(f);
	assert_true(kept >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
	log_open("base_log", LOG_INFO_);
	for (int i = 0; i < 100; i++)
		log_warning("%s%s: %5u of %llu%% in %.2f s", "some", "body", 1U, 2ULL, 3.0);
	log_flush();
	n = pread(fileno(f), text, sizeof(text) - 1, 0);
	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	close(kept);
	fclose(f);
	assert_true(n > 0);
	assert_non_null(strstr(text, "somebody:     1 of 2% in 3.00 s"));
	assert_non_null(strstr(text, " more like \"…: … of …% in … s\" in "));
	assert_null(strstr(text, "%s"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lines_held_back_are_told_in_words)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
