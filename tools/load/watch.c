#include "tools/load/watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* A whole small file of /proc, NUL-terminated; its length, or 0. */
static size_t proc_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	buf[0] = 0;
	if (fd < 0)
		return 0;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = 0;
	return (size_t)n;
}

static void tasks_take(pid_t pid, struct watch_state *out)
{
	char path[300], text[128];
	uint64_t cpu_ns, wait_ns;
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return;
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.32s/schedstat", (int)pid, e->d_name);
		if (proc_read(path, text, sizeof(text)) && sscanf(text, "%" SCNu64 " %" SCNu64, &cpu_ns, &wait_ns) == 2) {
			out->cpu_ns += cpu_ns;
			out->wait_ns += wait_ns;
		}
	}
	closedir(dir);
}

static void stat_take(pid_t pid, struct watch_state *out)
{
	char path[64], text[1024];
	const char *rest;
	uint64_t tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t user, system;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	proc_read(path, text, sizeof(text));
	rest = strrchr(text, ')'); /* the name before it may hold anything */
	/* Fields 14 and 15 of proc(5); the first after the name is the third. */
	if (rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user, &system) == 2) {
		out->user_ns = user * tick_ns;
		out->system_ns = system * tick_ns;
	}
}

static uint64_t rss_take(pid_t pid)
{
	char path[64], text[2048];
	const char *line;
	uint64_t kib = 0, pages = 0;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	proc_read(path, text, sizeof(text));
	line = strstr(text, "\nRss:");
	if (line && sscanf(line, "\nRss: %" SCNu64, &kib) == 1)
		return kib * 1024;
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (proc_read(path, text, sizeof(text)) && sscanf(text, "%*u %" SCNu64, &pages) == 1)
		return pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

struct watch_state watch_take(pid_t pid)
{
	struct watch_state s = {0};

	stat_take(pid, &s);
	tasks_take(pid, &s);
	if (!s.cpu_ns)
		s.cpu_ns = s.user_ns + s.system_ns;
	s.rss_bytes = rss_take(pid);
	return s;
}
