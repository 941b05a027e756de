#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/loading.h"

static int bytes_check(const struct stat *st, size_t most, struct why *why)
{
	if (!S_ISREG(st->st_mode))
		return why_set(why, -EINVAL, "this is not a regular file; write the settings into one");
	if (st->st_size > (off_t)most)
		return why_set(why, -EFBIG, "the file has %lld bytes and may have %zu; split it", (long long)st->st_size, most);
	if (st->st_mode & S_IWOTH)
		return why_set(why, -EPERM, "everybody may write to this file (mode %04o): chmod 0640 it",
			       (unsigned)(st->st_mode & 07777));
	return 0;
}

static int bytes_read(int fd, size_t most, char **text, size_t *n, bool *open_file, struct why *why)
{
	struct stat st;
	size_t have = 0;
	ssize_t got;
	char *buf;
	int rc;

	if (fstat(fd, &st) < 0)
		return why_set(why, -errno, "it cannot be looked at: %s", strerror(errno));
	rc = bytes_check(&st, most, why);
	if (rc < 0)
		return rc;
	buf = malloc(most + 1);
	if (!buf)
		return why_set(why, -ENOMEM, "there is no memory to read it");
	/* to the end, not to st_size: the file may be growing under us */
	while (have < most && (got = pread(fd, buf + have, most - have, (off_t)have)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			rc = why_set(why, -errno, "it cannot be read: %s", strerror(errno));
			free(buf);
			return rc;
		}
		have += (size_t)got;
	}
	buf[have] = 0;
	*text = buf;
	*n = have;
	*open_file = (st.st_mode & S_IROTH) != 0;
	return 0;
}

int conf_bytes_read(const char *path, size_t most, char **text, size_t *n, bool *open_file, struct why *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc;

	if (fd < 0) {
		rc = -errno;
		return why_set(why, rc, "it cannot be opened: %s%s", strerror(-rc),
			       rc == -EACCES ? "; chgrp or chmod it so that tsad may read it" : "");
	}
	rc = bytes_read(fd, most, text, n, open_file, why);
	close(fd);
	return rc;
}
