/* The weights file as bytes, or a sentence. */
#include <errno.h>
#include <fcntl.h>
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

#include "conf/weights.h"

static int file_make(char *path, off_t size)
{
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static void whole_file(void **state)
{
	char path[] = "/tmp/tsa-weights-XXXXXX";
	struct conf_weights w = {NULL, 0};
	int fd = file_make(path, 0);

	(void)state;
	assert_int_equal(write(fd, "12345", 5), 5);
	assert_int_equal(conf_weights_read(path, &w, NULL), 0);
	assert_int_equal(w.len, 5);
	assert_memory_equal(w.bytes, "12345", 5);
	conf_weights_free(&w);
	assert_null(w.bytes);
	close(fd);
	unlink(path);
}

static void refusals_name_the_file(void **state)
{
	char path[] = "/tmp/tsa-weights-XXXXXX";
	struct conf_weights w = {NULL, 7};
	struct why why = {""};
	int fd = file_make(path, (off_t)CONF_WEIGHTS_BYTES_MAX + 1);

	(void)state;
	assert_int_equal(conf_weights_read(path, &w, &why), -EFBIG);
	assert_non_null(strstr(why.text, path));
	assert_int_equal(ftruncate(fd, (off_t)CONF_WEIGHTS_BYTES_MAX), 0);
	assert_int_equal(conf_weights_read(path, &w, &why), 0);
	conf_weights_free(&w);
	unlink(path);
	close(fd);
	w.len = 7;
	assert_int_equal(conf_weights_read(path, &w, &why), -ENOENT);
	assert_non_null(strstr(why.text, path));
	assert_int_equal(conf_weights_read("/tmp", &w, &why), -EINVAL);
	assert_int_equal(conf_weights_read("/dev/null", &w, &why), -EINVAL);
	assert_int_equal(w.len, 7);
}

static void a_path_there_is(void **state)
{
	char path[4096];

	(void)state;
	conf_weights_path(path, sizeof(path));
	assert_non_null(strstr(path, "classifier.weights"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_file),
		cmocka_unit_test(refusals_name_the_file),
		cmocka_unit_test(a_path_there_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
