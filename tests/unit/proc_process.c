/* A process is named by pid and start time: a pid that is used again is never taken for the old process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/proc.h"

static void own_start_time_is_steady(void **state)
{
	uint64_t a = 0, b = 1;

	(void)state;
	assert_int_equal(proc_start_time(getpid(), &a), 0);
	assert_int_equal(proc_start_time(getpid(), &b), 0);
	assert_true(a > 0);
	assert_int_equal(a, b);
}

static void odd_process_names_do_not_shift_fields(void **state)
{
	uint64_t plain, odd;

	(void)state;
	assert_int_equal(proc_start_time(getpid(), &plain), 0);
	prctl(PR_SET_NAME, "a) R 1 (b", 0, 0, 0);
	assert_int_equal(proc_start_time(getpid(), &odd), 0);
	assert_int_equal(plain, odd);
}

static void absent_process_is_esrch(void **state)
{
	struct proc_process none = {.pid = 0}, huge = {.pid = UINT64_MAX};
	uint64_t start = 77;

	(void)state;
	assert_int_equal(proc_start_time(0, &start), -ESRCH);
	assert_int_equal(start, 77);
	assert_int_equal(proc_pidfd(&none), -ESRCH);
	assert_int_equal(proc_pidfd(&huge), -ESRCH);
}

/* promise 24 */
static void pidfd_is_for_exactly_this_process(void **state)
{
	struct proc_process p = {.pid = (uint64_t)getpid()};
	int fd;

	(void)state;
	assert_int_equal(proc_start_time(getpid(), &p.start), 0);
	fd = proc_pidfd(&p);
	assert_true(fd >= 0);
	close(fd);
	p.start++;
	assert_int_equal(proc_pidfd(&p), -ESRCH);
}

static void pidfd_tells_the_end(void **state)
{
	struct proc_process p;
	struct pollfd pfd = {.events = POLLIN};
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	p.pid = (uint64_t)pid;
	assert_int_equal(proc_start_time(pid, &p.start), 0);
	pfd.fd = proc_pidfd(&p);
	assert_true(pfd.fd >= 0);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	kill(pid, SIGKILL);
	assert_int_equal(poll(&pfd, 1, 5000), 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(pfd.fd);
	assert_int_equal(proc_pidfd(&p), -ESRCH);
}

static void rehello_needs_a_listener(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "/tmp/tsa-unit-proc-XXXXXX"};
	char longer[200];
	int listener, fd;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	assert_int_equal(proc_rehello_connect(longer), -ENAMETOOLONG);
	close(mkstemp(sa.sun_path));
	unlink(sa.sun_path);
	assert_int_equal(proc_rehello_connect(sa.sun_path), -ENOENT);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(listener, 1), 0);
	fd = proc_rehello_connect(sa.sun_path);
	assert_true(fd >= 0);
	close(fd);
	close(listener);
	assert_int_equal(proc_rehello_connect(sa.sun_path), -ECONNREFUSED);
	unlink(sa.sun_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_start_time_is_steady), cmocka_unit_test(odd_process_names_do_not_shift_fields),
		cmocka_unit_test(absent_process_is_esrch),  cmocka_unit_test(pidfd_is_for_exactly_this_process),
		cmocka_unit_test(pidfd_tells_the_end),      cmocka_unit_test(rehello_needs_a_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
