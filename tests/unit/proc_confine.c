/* A child keeps what the treaty gives it and nothing else, and says so when it was started by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/proc.h"

/* Each runs in a process of its own, for there is no way back; its exit status is the number of the check that failed. */
static void run(int (*in_child)(void))
{
	int wstatus = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(in_child());
	assert_int_equal(waitpid(pid, &wstatus, 0), pid);
	assert_true(WIFEXITED(wstatus));
	assert_int_equal(WEXITSTATUS(wstatus), 0);
}

static int orders_open(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 || dup2(pair[0], PROC_ORDERS_FD) < 0)
		return -1;
	return 0;
}

static int confined(void)
{
	struct rlimit core;
	struct sigaction pipe_action;
	struct why why;
	sigset_t mask;

	sigfillset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (orders_open() < 0 || dup2(STDIN_FILENO, 77) < 0)
		return 1;
	if (proc_confine_early(&why) != 0)
		return 2;
	if (fcntl(77, F_GETFD) != -1 || fcntl(PROC_ORDERS_FD, F_GETFD) == -1 || fcntl(STDERR_FILENO, F_GETFD) == -1)
		return 3;
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
		return 4;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 5;
	if (sigaction(SIGPIPE, NULL, &pipe_action) < 0 || pipe_action.sa_handler != SIG_IGN)
		return 6;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	return sigismember(&mask, SIGTERM) ? 7 : 0;
}

static int started_by_hand(void)
{
	struct why why = {""};

	close(PROC_ORDERS_FD);
	if (proc_confine_early(&why) != -EBADF || !strstr(why.text, "started by tsad"))
		return 1;
	if (dup2(STDIN_FILENO, PROC_ORDERS_FD) < 0)
		return 2;
	return proc_confine_early(&why) == -EBADF ? 0 : 3;
}

static int other_user(void)
{
	struct why why = {""};

	if (proc_confine_user(0, 0, &why) != 0)
		return 1;
	if (geteuid() != 0) /* who is not root cannot become another, and is told so */
		return proc_confine_user(geteuid() + 1, getegid(), &why) == -EPERM && why.text[0] ? 0 : 2;
	if (proc_confine_user(65534, 65534, &why) != 0 || geteuid() != 65534 || getegid() != 65534)
		return 3;
	if (proc_confine_user(65534, 65534, &why) != 0)
		return 4;
	return setresuid(0, 0, 0) == -1 ? 0 : 5;
}

static void child_is_confined(void **state)
{
	(void)state;
	run(confined);
}

static void hand_start_is_told(void **state)
{
	(void)state;
	run(started_by_hand);
}

static void user_is_changed_for_good(void **state)
{
	(void)state;
	run(other_user);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(child_is_confined),
		cmocka_unit_test(hand_start_is_told),
		cmocka_unit_test(user_is_changed_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
