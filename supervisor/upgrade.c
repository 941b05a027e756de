/* Upgrade in place: the program on the disk, another version perhaps, takes over this process.
 *
 * It is a crash that was prepared for: the state file is written, sockets and board go along as open descriptors, and the new program
 * finds the living children as it would after any crash.  Those of another build it replaces; see sup_adopt_hello(). */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/scan.h"

#define KEPT_ENV "TSA_KEPT"
#define KEPT_MAX (SHM_FDS_COUNT + CONF_LISTEN * SHM_ROUTERS)
#define CHECK_S  8 /* for the new program to read the configuration; tsactl waits for 10 s */
#define ARGS_MAX 64

/* --- what goes along --------------------------------------------------------------------------------------------------------------- */

static unsigned kept_list(const struct sup *sup, int fds[KEPT_MAX])
{
	const int *board = &sup->board.owner;
	unsigned n = 0;

	for (unsigned i = 0; i < SHM_FDS_COUNT; i++)
		fds[n++] = board[i];
	for (unsigned i = 0; i < sup->n_listeners; i++)
		for (unsigned r = 0; r < SHM_ROUTERS; r++)
			if (sup->listeners[i].fd[r] >= 0)
				fds[n++] = sup->listeners[i].fd[r];
	return n;
}

static void kept_flag(const int *fds, unsigned n, int flag)
{
	for (unsigned i = 0; i < n; i++)
		(void)fcntl(fds[i], F_SETFD, flag);
}

unsigned sup_upgrade_kept(int *fds, unsigned max)
{
	char *text = getenv(KEPT_ENV);
	unsigned n = 0;

	while (text && *text && n < max) {
		char *end;
		long fd = strtol(text, &end, 10);

		if (end == text || fd < 0 || fd > 1 << 20)
			break;
		text = end;
		/* All that is opened here is closed on exec from its birth: what is not came from our predecessor. */
		if (fd > STDERR_FILENO && fcntl((int)fd, F_GETFD) == 0) {
			(void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
			fds[n++] = (int)fd;
		}
	}
	unsetenv(KEPT_ENV);
	return n;
}

static int kept_tell(const int *fds, unsigned n)
{
	char text[KEPT_MAX * 8];
	size_t used = 0;

	for (unsigned i = 0; i < n; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%d ", fds[i]);
	return setenv(KEPT_ENV, text, 1) < 0 ? -errno : 0;
}

/* Returns only when it failed, and then nothing has changed. */
static int become(struct sup *sup)
{
	int fds[KEPT_MAX];
	unsigned n = kept_list(sup, fds);
	int err = kept_tell(fds, n);

	if (err < 0)
		return err;
	sup_adopt_save(sup);
	log_flush();
	kept_flag(fds, n, 0);
	/* Our signals stay blocked over it, on purpose: unblocked, one that comes before the new program takes them would end the
	 * supervisor.  They wait for its signalfd, and it sets a mask of its own; see signals_take(). */
	execv(sup->program, sup->argv);
	err = -errno;
	kept_flag(fds, n, FD_CLOEXEC);
	unsetenv(KEPT_ENV);
	return err;
}

/* --- the check --------------------------------------------------------------------------------------------------------------------- */

static struct sup_peer *asker(struct sup *sup)
{
	for (unsigned i = 0; i < CTL_PEERS; i++)
		if (sup->peers[i].fd >= 0 && sup->peers[i].number == sup->upgrade.peer_number)
			return &sup->peers[i];
	return NULL;
}

static void tell(struct sup *sup, int status, const char *text)
{
	struct sup_peer *p = asker(sup);

	if (p)
		sup_control_answer(p, CTL_UPGRADE, status, text);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct sup *sup = arg;

	(void)fd;
	(void)what;
	kill(sup->upgrade.pid, SIGKILL); /* not waited for yet, so it is still ours */
}

void sup_upgrade_checked(struct sup *sup, int wstatus)
{
	struct why why;
	int err;

	evtimer_del(&sup->upgrade.ev_late);
	sup->upgrade.pid = 0;
	if (sup->phase != SUP_UP) {
		tell(sup, -ESHUTDOWN, "tsad is stopping");
		return;
	}
	if (!WIFEXITED(wstatus) || WEXITSTATUS(wstatus) != 0) {
		why_set(&why, 0,
			"%s -n does not call the configuration good (%s %d; its words are in the log); nothing has changed",
			sup->program, WIFEXITED(wstatus) ? "status" : "signal",
			WIFEXITED(wstatus) ? WEXITSTATUS(wstatus) : WTERMSIG(wstatus));
		log_err("upgrade refused: %s", why.text);
		tell(sup, -EINVAL, why.text);
		return;
	}
	log_notice("%s takes over as process %d", sup->program, (int)getpid());
	tell(sup, 0, "the program on the disk takes over; `tsactl version` shows which one it is");
	err = become(sup);
	log_err("cannot execute %s: %s; this tsad goes on, nothing has changed", sup->program, strerror(-err));
}

/* With no signal blocked: it takes none, so it must be possible to end it. */
static int check_start(pid_t *pid, const char *program, char *const *argv)
{
	posix_spawnattr_t attr;
	sigset_t none;
	int err = posix_spawnattr_init(&attr);

	if (err)
		return err;
	sigemptyset(&none);
	err = posix_spawnattr_setsigmask(&attr, &none);
	if (!err)
		err = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	if (!err)
		err = posix_spawn(pid, program, NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	return err;
}

int sup_upgrade_begin(struct sup *sup, uint64_t peer_number, struct why *why)
{
	static char check[] = "-n";
	struct timeval late = {.tv_sec = CHECK_S};
	char *argv[ARGS_MAX + 2];
	unsigned n = 0;
	int err;

	if (sup->upgrade.pid)
		return why_set(why, -EBUSY, "an upgrade is on its way");
	if (!sup->listening)
		return why_set(why, -EAGAIN, "tsad is still starting; try again in a few seconds");
	for (; sup->argv[n]; n++) {
		if (n == ARGS_MAX)
			return why_set(why, -E2BIG, "tsad was started with more than %d arguments", ARGS_MAX);
		argv[n] = sup->argv[n];
	}
	argv[n++] = check;
	argv[n] = NULL;
	/* A program that cannot even read the configuration must not become the supervisor. */
	err = check_start(&sup->upgrade.pid, sup->program, argv);
	if (err) {
		sup->upgrade.pid = 0;
		return why_set(why, -err, "cannot start %s: %s; nothing has changed", sup->program, strerror(err));
	}
	sup->upgrade.peer_number = peer_number;
	evtimer_assign(&sup->upgrade.ev_late, sup->base, on_late, sup);
	if (evtimer_add(&sup->upgrade.ev_late, &late) < 0)
		on_late(-1, 0, sup); /* unwatched it could keep every later upgrade waiting; its death is told as a refusal */
	return 0;
}
