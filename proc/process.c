#include "proc/proc.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"

#define STAT_START 22 /* proc_pid_stat(5): starttime */

/* The name in field 2 may hold spaces and parentheses, so counting begins behind the last ')'. */
static int stat_start(const char *text, uint64_t *out)
{
	const char *p = strrchr(text, ')');
	uint64_t v = 0;

	for (unsigned field = 2; p && field < STAT_START; field++)
		p = strchr(p + 1, ' ');
	if (!p || p[1] < '0' || p[1] > '9')
		return -ESRCH;
	for (p++; *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	*out = v;
	return 0;
}

int proc_start_time(pid_t pid, uint64_t *out)
{
	char path[32], text[1024];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	n = file_read(path, text, sizeof(text));
	if (n == 0 || n == -ENOENT)
		return -ESRCH;
	return n < 0 ? (int)n : stat_start(text, out);
}

int proc_pidfd(const struct proc_process *p)
{
	uint64_t start;
	int fd;

	if (p->pid == 0 || p->pid > INT_MAX)
		return -ESRCH;
	fd = pidfd_open((pid_t)p->pid, 0);
	if (fd < 0)
		return errno == EINVAL ? -ESRCH : -errno;
	/* Now that the descriptor pins the process, its start time tells whether it is the one that was meant. */
	if (proc_start_time((pid_t)p->pid, &start) < 0 || start != p->start) {
		close(fd);
		return -ESRCH;
	}
	return fd;
}

int proc_rehello_connect(const char *ctl_path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = strlen(ctl_path);
	int fd, err;

	if (n >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, ctl_path, n + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}
