#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "tools/tsactl/tsactl.h"

#define LINK_NS (10ULL * NS_PER_S) /* the supervisor never blocks: a later answer is none */

/* The control sockets where a supervisor may be, the likeliest first: root's, else the user's own. */
static unsigned paths_make(const char *state, char paths[3][108])
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	char dirs[3][256];
	unsigned n = 0, kept = 0;

	if (state)
		snprintf(dirs[n++], sizeof(dirs[0]), "%s", state);
	else {
		if (geteuid() != 0 && run && *run)
			snprintf(dirs[n++], sizeof(dirs[0]), "%s/tsa", run);
		if (geteuid() != 0)
			snprintf(dirs[n++], sizeof(dirs[0]), "/tmp/tsa-%u", (unsigned)geteuid());
		snprintf(dirs[n++], sizeof(dirs[0]), "/run/tsa");
	}
	for (unsigned i = 0; i < n; i++)
		if (snprintf(paths[kept], sizeof(paths[0]), "%s/control", dirs[i]) < (int)sizeof(paths[0]))
			kept++;
	return kept;
}

static int path_connect(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int link_open(const char *state, struct why *why)
{
	char paths[3][108];
	unsigned n = paths_make(state, paths);
	int fd = -ENAMETOOLONG;

	if (!n)
		return why_set(why, -ECONNREFUSED,
			       "the path %.60s… is too long for a socket in it; name a shorter one with --state", state);
	for (unsigned i = 0; i < n; i++) {
		fd = path_connect(paths[i]);
		if (fd >= 0)
			return fd;
		if (fd == -EACCES || fd == -EPERM)
			return why_set(
				why, -EACCES,
				"you may not speak to %s: be root, the user tsad runs as, or in the group that tsa.conf names",
				paths[i]);
		if (fd == -EAGAIN)
			return why_set(why, -EAGAIN, "the supervisor behind %s takes no more connections now: try again", paths[i]);
	}
	return why_set(why, -ECONNREFUSED, "no supervisor answers at %s%s%s: is tsad running? (--state DIR names another place)",
		       paths[0], n > 1 ? " or " : "", n > 1 ? paths[n - 1] : "");
}

static int answer_wait(int fd, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		uint64_t ms = clock_until_ms(clock_now_ns(), deadline_ns);
		int n = poll(&p, 1, ms > 60000 ? 60000 : (int)ms);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (ms == 0)
			return -ETIMEDOUT;
	}
}

static int answer_take(int fd, struct answer *out, struct shm_fds *fds, struct why *why)
{
	int got[SHM_FDS_COUNT];
	unsigned n_got = 0;
	enum ctl_verb verb;
	const char *text;
	ssize_t n = fdpass_recv(fd, out->text, sizeof(out->text) - 1, got, SHM_FDS_COUNT, &n_got);
	int rc;

	if (n <= 0)
		return why_set(why, n < 0 ? (int)n : -EPIPE, "the supervisor closed the connection without an answer%s%s",
			       n < 0 ? ": " : "; you may not be allowed to ask", n < 0 ? strerror((int)-n) : "");
	rc = ctl_answer_parse(out->text, (size_t)n, sizeof(out->text), &verb, &out->status, &text);
	if (rc < 0)
		why_set(why, rc, "the answer makes no sense: tsad and tsactl seem to be of different versions");
	else
		memmove(out->text, text, strlen(text) + 1);
	if (rc == 0 && fds && out->status == 0) {
		if (n_got == SHM_FDS_COUNT) {
			memcpy(fds, got, sizeof(got));
			return 0;
		}
		rc = why_set(why, -EPROTO,
			     "the board has %u files and should have %d: tsad and tsactl seem to be of different versions", n_got,
			     SHM_FDS_COUNT);
	}
	for (unsigned i = 0; i < n_got; i++)
		close(got[i]);
	return rc;
}

int link_ask(const char *state, enum ctl_verb verb, const char *const *words, unsigned n, struct answer *out, struct shm_fds *fds,
	     struct why *why)
{
	char request[CTL_REQUEST_MAX];
	int len = ctl_request_pack(verb, words, n, request, sizeof(request), why);
	int fd, rc;

	if (len < 0)
		return len;
	fd = link_open(state, why);
	if (fd < 0)
		return fd;
	rc = fdpass_send(fd, request, (size_t)len, NULL, 0);
	if (rc < 0)
		why_set(why, rc, "the request could not be sent: %s", strerror(-rc));
	else if ((rc = answer_wait(fd, clock_after_ns(clock_now_ns(), LINK_NS))) < 0)
		why_set(why, rc,
			"the supervisor took the request and has not answered for 10s: does it hang? (see journalctl -u tsa)");
	else
		rc = answer_take(fd, out, fds, why);
	close(fd);
	return rc;
}

enum tsactl_exit link_exit(int err)
{
	return err == -ETIMEDOUT ? EXIT_TIMED_OUT : err == -E2BIG ? EXIT_USAGE : EXIT_NO_SUPERVISOR;
}
