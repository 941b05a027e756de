/* base/file.h - reading the small files of /proc and /sys. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* A whole file, cut at size - 1 and NUL-terminated (it may hold other NULs).  Its length, or -errno, and then buf is empty. */
ssize_t file_read(const char *path, char *buf, size_t size);
