#include "proc/proc.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

int proc_confine_early(struct why *why)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct rlimit none = {0, 0};
	struct stat st;
	sigset_t empty;

	if (fstat(PROC_ORDERS_FD, &st) < 0 || !S_ISSOCK(st.st_mode))
		return why_set(why, -EBADF,
			       "descriptor %d is not the supervisor's socket; this program is started by tsad, not by hand",
			       PROC_ORDERS_FD);
	if (close_range(PROC_ORDERS_FD + 1, ~0U, 0) < 0)
		return why_set(why, -errno, "cannot close inherited descriptors: %s; a Linux kernel of 5.9 or later is needed",
			       strerror(errno));
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return why_set(why, -errno, "cannot forbid core dumps: %s", strerror(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return why_set(why, -errno, "cannot give up gaining privileges: %s", strerror(errno));
	sigemptyset(&empty);
	if (sigaction(SIGPIPE, &ignore, NULL) < 0 || sigprocmask(SIG_SETMASK, &empty, NULL) < 0)
		return why_set(why, -errno, "cannot set up signals: %s", strerror(errno));
	return 0;
}

int proc_confine_user(uint32_t uid, uint32_t gid, struct why *why)
{
	if (uid == 0 || (geteuid() == uid && getuid() == uid)) /* a later configuration says it again */
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return why_set(why, -errno, "cannot become user %u, group %u: %s", uid, gid, strerror(errno));
	if (setresuid(0, 0, 0) == 0)
		return why_set(why, -EPERM, "became user %u but could still return to root; refusing to go on", uid);
	return 0;
}
