#include "conf/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"

#define NAME "classifier.weights"

void conf_weights_path(char *path, size_t size)
{
	/* build/tsactl, and build/SANITIZERS/tsactl */
	static const char *const BESIDE[] = {"/../etc/" NAME, "/../../etc/" NAME};
	char exe[PATH_MAX], try[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	exe[n > 0 ? n : 0] = 0;
	slash = strrchr(exe, '/');
	for (unsigned i = 0; slash && i < ARRAY_SIZE(BESIDE); i++) {
		snprintf(try, sizeof(try), "%.*s%s", (int)(slash - exe), exe, BESIDE[i]);
		if (strlen(try) < size && access(try, R_OK) == 0) {
			snprintf(path, size, "%s", try);
			return;
		}
	}
	snprintf(path, size, "%s", TSA_DATADIR "/" NAME);
}

static int file_check(int fd, const char *path, size_t *len, struct why *why)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return why_set(why, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return why_set(why, -EINVAL, "%s is no file; name the classifier's weights", path);
	if (st.st_size > (off_t)CONF_WEIGHTS_BYTES_MAX)
		return why_set(why, -EFBIG, "%s has %lld bytes, weights have at most %u; name the classifier's weights", path,
			       (long long)st.st_size, CONF_WEIGHTS_BYTES_MAX);
	*len = (size_t)st.st_size;
	return 0;
}

static int bytes_read(int fd, const char *path, char *to, size_t len, struct why *why)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(fd, to + at, len - at);

		if (n < 0 && errno != EINTR)
			return why_set(why, -errno, "%s: %s", path, strerror(errno));
		if (n == 0)
			return why_set(why, -EINVAL, "%s became shorter while it was read; try again", path);
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int conf_weights_read(const char *path, struct conf_weights *out, struct why *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;
	char *bytes = NULL;
	size_t len = 0;

	if (fd < 0)
		return why_set(why, -errno, "%s: %s; the classifier's weights come with tsa", path, strerror(errno));
	rc = file_check(fd, path, &len, why);
	if (rc == 0) {
		bytes = malloc(len ? len : 1);
		rc = bytes ? bytes_read(fd, path, bytes, len, why) : why_set(why, -ENOMEM, "no memory for %s", path);
	}
	close(fd);
	if (rc < 0)
		free(bytes);
	else
		*out = (struct conf_weights){bytes, len};
	return rc;
}

void conf_weights_free(struct conf_weights *w)
{
	free(w->bytes);
	*w = (struct conf_weights){NULL, 0};
}
