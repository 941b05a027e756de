/* Sealed files: what is mapped cannot change, and nothing else is mapped. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "proc/proc.h"

static void what_was_made_is_mapped_and_stays(void **state)
{
	struct proc_sealed s = {0};
	int fd = proc_sealed_make("test", "some bytes", 11);

	(void)state;
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(proc_sealed_map(fd, 11, &s, NULL), 0);
	close(fd);
	assert_int_equal(s.n, 11);
	assert_string_equal(s.bytes, "some bytes");
	proc_sealed_unmap(&s);
	assert_null(s.bytes);
}

static void nothing_else_is_mapped(void **state)
{
	struct proc_sealed s = {0};
	struct why why = {""};
	int fd = proc_sealed_make("test", "some bytes", 11), pipes[2];

	(void)state;
	assert_int_equal(proc_sealed_map(fd, 10, &s, &why), -EPROTO);
	assert_non_null(strstr(why.text, "11 bytes"));
	close(fd);
	fd = proc_sealed_make("test", "", 0);
	assert_int_equal(proc_sealed_map(fd, 10, &s, &why), -EPROTO);
	close(fd);
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(proc_sealed_map(fd, 10, &s, &why), -EPROTO);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(proc_sealed_map(fd, 10, &s, &why), -EPROTO);
	close(fd);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(proc_sealed_map(pipes[0], 10, &s, &why), -EPROTO);
	close(pipes[0]);
	close(pipes[1]);
	assert_null(s.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_made_is_mapped_and_stays),
		cmocka_unit_test(nothing_else_is_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
