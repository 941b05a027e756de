/* The birth of a child: exec of its program with exactly what proc/proc.h promises it. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"

#define ENV_TEXT 4096

/* What a child may know of our environment.  Never NOTIFY_SOCKET, LISTEN_FDS or WATCHDOG_USEC: those are between the service
 * manager and us.  The sanitizers' options are there for builds that have them. */
static const char *const ENV_PASSED[] = {"PATH",           "HOME",         "LANG",          "TZ",
					 "JOURNAL_STREAM", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"};

static char env_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; /* where nobody set one */

struct env {
	char *at[ARRAY_SIZE(ENV_PASSED) + 2];
	char text[ENV_TEXT];
};

static void env_make(struct env *env)
{
	size_t n = 0, used = 0;

	if (!getenv("PATH"))
		env->at[n++] = env_path;
	for (size_t i = 0; i < ARRAY_SIZE(ENV_PASSED); i++) {
		const char *value = getenv(ENV_PASSED[i]);
		size_t need = value ? strlen(ENV_PASSED[i]) + strlen(value) + 2 : 0;

		if (!value || need > sizeof(env->text) - used)
			continue;
		snprintf(env->text + used, need, "%s=%s", ENV_PASSED[i], value);
		env->at[n++] = env->text + used;
		used += need;
	}
	env->at[n] = NULL;
}

static const char *const PROGRAMS[PROC_ROLE_COUNT] = {
	[PROC_WORKER] = "tsa-worker", [PROC_HOST] = "tsa-worker", [PROC_ROUTER] = "tsa-router"};

/* argv tells `ps` who is who. */
static void argument_make(const struct sup_child *c, char *out, size_t size)
{
	if (c->role == PROC_ROUTER)
		snprintf(out, size, "%u", c->index);
	else
		snprintf(out, size, "%s", c->role == PROC_HOST ? "--host" : sup_slot_of(c)->name);
}

static int actions_add(posix_spawn_file_actions_t *a, int orders)
{
	int err = posix_spawn_file_actions_addopen(a, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

	if (!err)
		err = posix_spawn_file_actions_adddup2(a, orders, PROC_ORDERS_FD);
	if (!err)
		err = posix_spawn_file_actions_addclosefrom_np(a, PROC_ORDERS_FD + 1);
	return err;
}

/* A session of its own: an interrupt typed at the terminal reaches only the supervisor, who then drains. */
static int attributes_set(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	err = posix_spawnattr_setsigmask(attr, &none);
	if (!err)
		err = posix_spawnattr_setsigdefault(attr, &all);
	if (!err)
		err = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	return err;
}

/* An instance shall be the OOM killer's first choice, and its worker goes with it before the supervisor does. */
static void oom_score_raise(pid_t pid)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, "100", 3); /* a worker that is killed a little later than it could be is no reason not to start it */
	close(fd);
}

pid_t sup_spawn(const struct sup_child *c, int orders, struct why *why)
{
	char program[PROC_PATH + 16], name[16], argument[PROC_NAME];
	char *argv[] = {name, argument, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	struct env env;
	pid_t pid = -1;
	int err;

	snprintf(name, sizeof(name), "%s", PROGRAMS[c->role]);
	snprintf(program, sizeof(program), "%s/%s", c->sup->libexec, name);
	argument_make(c, argument, sizeof(argument));
	env_make(&env);
	err = posix_spawn_file_actions_init(&actions);
	if (err)
		return why_set(why, -err, "cannot prepare the start of %s: %s", program, strerror(err));
	err = posix_spawnattr_init(&attr);
	if (!err) {
		err = actions_add(&actions, orders);
		if (!err)
			err = attributes_set(&attr);
		if (!err)
			err = posix_spawn(&pid, program, &actions, &attr, argv, env.at);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	if (err)
		return why_set(why, -err, "cannot start %s: %s", program, strerror(err));
	if (c->role == PROC_WORKER)
		oom_score_raise(pid);
	return pid;
}
