#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

ssize_t file_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t n = 0;
	ssize_t got = 0;
	int err = 0;

	buf[0] = 0;
	if (fd < 0)
		return -errno;
	while (n < size - 1 && (got = read(fd, buf + n, size - 1 - n)) > 0)
		n += (size_t)got;
	if (got < 0)
		err = -errno;
	close(fd);
	buf[err ? 0 : n] = 0;
	return err ? err : (ssize_t)n;
}
