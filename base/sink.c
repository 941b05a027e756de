#include "base/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket" /* systemd's native protocol, see its JOURNAL_NATIVE_PROTOCOL page */

static struct {
	int  journal; /* -1: standard error is no journal */
	int  fd;      /* standard error, or the same thing opened anew */
	bool socket;  /* takes MSG_DONTWAIT */
	bool ask;     /* can only be asked beforehand whether it would wait */
} sink = {.journal = -1, .fd = STDERR_FILENO};

/* systemd sets JOURNAL_STREAM=dev:inode of the stream it gave us; a redirected standard error is no journal. */
static bool stderr_is_journal(const struct stat *st)
{
	const char *env = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;

	return env && sscanf(env, "%llu:%llu", &dev, &ino) == 2 && st->st_dev == dev && st->st_ino == ino;
}

void sink_open(void)
{
	struct stat st;
	int fd;

	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	if (stderr_is_journal(&st))
		sink.journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	sink.socket = S_ISSOCK(st.st_mode);
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return;
	/* O_NONBLOCK on the one we were given would be set for the shell and everybody else who has it, too. */
	fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	sink.ask = fd < 0;
	if (fd >= 0)
		sink.fd = fd;
}

bool sink_is_journal(void)
{
	return sink.journal >= 0;
}

int sink_entry(const char *entry, size_t n)
{
	static const struct sockaddr_un TO = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};

	/* Not connected: a journal that was started again is found by its path. */
	return sendto(sink.journal, entry, n, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&TO, sizeof(TO)) < 0 ? -errno : 0;
}

int sink_line(const char *line, size_t n)
{
	struct pollfd p = {.fd = sink.fd, .events = POLLOUT};
	ssize_t sent;

	if (sink.ask && poll(&p, 1, 0) != 1)
		return -EAGAIN;
	sent = sink.socket ? send(sink.fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(sink.fd, line, n);
	return sent < 0 ? -errno : 0;
}
