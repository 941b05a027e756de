/* What /proc tells of an Ollama and its runners.  Small bounded reads; a process may vanish between any two of them. */
#include "probes/probes.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

#define TREE_MAX 256 /* processes of one instance */

bool probe_stat_parse(const char *text, size_t n, struct probe_stat *out)
{
	/* The name may hold blanks and parentheses: the last one ends it. */
	const char *open = memchr(text, '(', n), *close = memrchr(text, ')', n);
	unsigned long long utime, stime, start;
	struct probe_stat s = {0};
	long long rss;
	size_t len;
	int pid, ppid, pgrp, session;
	char state;

	if (!open || !close || close < open || sscanf(text, "%d", &pid) != 1)
		return false;
	if (sscanf(close + 1, " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu %*u %lld", &state,
		   &ppid, &pgrp, &session, &utime, &stime, &start, &rss) != 8)
		return false;
	len = (size_t)(close - open - 1);
	if (len >= sizeof(s.comm))
		len = sizeof(s.comm) - 1;
	memcpy(s.comm, open + 1, len);
	s.pid = pid;
	s.ppid = ppid;
	s.pgrp = pgrp;
	s.session = session;
	s.state = state;
	s.cpu_ns = (utime + stime) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
	s.start = start;
	s.rss_bytes = rss > 0 ? (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
	*out = s;
	return true;
}

int probe_stat_read(pid_t pid, struct probe_stat *out)
{
	char path[64], text[1024];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	n = file_read(path, text, sizeof(text));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	return probe_stat_parse(text, (size_t)n, out) ? 0 : -ESRCH;
}

int probe_fds_count(pid_t pid, uint64_t *out)
{
	char path[64];
	struct dirent *e;
	uint64_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	if (!d)
		return -errno;
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	*out = n;
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool probe_runner_parse(const char *cmdline, size_t n, struct probe_runner *out)
{
	struct probe_runner r = {0};
	const char *end = cmdline + n, *name;
	unsigned word = 0;
	bool model = false, runner = false;

	if (n == 0 || cmdline[n - 1] != 0)
		return false;
	name = base_name(cmdline);
	r.server = strcmp(name, "llama-server") == 0;
	if (!r.server && strcmp(name, "ollama") != 0 && strcmp(name, "ollama_llama_server") != 0)
		return false;
	for (const char *p = cmdline; p < end; p += strlen(p) + 1, word++) {
		const char *next = p + strlen(p) + 1;

		if (word == 1)
			runner = strcmp(p, "runner") == 0;
		if (next < end && strcmp(p, "--model") == 0)
			model = true;
		else if (next < end && strcmp(p, "--port") == 0 && (sscanf(next, "%u", &r.port) != 1 || r.port > 65535))
			r.port = 0;
	}
	if (!model || !r.port || !(r.server || runner)) /* without --model it is a helper that looks for devices */
		return false;
	*out = r;
	return true;
}

static ssize_t pid_file_read(pid_t pid, const char *file, char *buf, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return file_read(path, buf, size);
}

struct pids {
	pid_t at[TREE_MAX];
	unsigned n;
};

static void pids_add(struct pids *p, const char *list)
{
	char *end;

	for (long pid; p->n < TREE_MAX && (pid = strtol(list, &end, 10)) > 0 && end != list; list = end)
		p->at[p->n++] = (pid_t)pid;
}

/* Children stand under the thread that made them, and a Go program has many. */
static void children_add(pid_t pid, struct pids *p)
{
	char path[64], text[4096];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	if (!d)
		return;
	while ((e = readdir(d))) {
		char file[384];

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(file, sizeof(file), "%s/%s/children", path, e->d_name);
		if (file_read(file, text, sizeof(text)) > 0)
			pids_add(p, text);
	}
	closedir(d);
}

static void tree_count(const struct probe_stat *s, struct probe_tree *t)
{
	char cmdline[4096];
	struct probe_runner r;
	ssize_t n;

	t->processes++;
	t->rss_bytes += s->rss_bytes;
	t->cpu_ns += s->cpu_ns;
	if (t->n_runners == PROBE_RUNNERS)
		return;
	n = pid_file_read(s->pid, "cmdline", cmdline, sizeof(cmdline));
	if (n <= 0)
		return;
	if ((size_t)n == sizeof(cmdline) - 1)
		cmdline[n - 1] = 0; /* cut: what stands first is enough */
	if (!probe_runner_parse(cmdline, (size_t)n, &r))
		return;
	r.pid = s->pid;
	r.start = s->start;
	r.cpu_ns = s->cpu_ns;
	t->runners[t->n_runners++] = r;
}

int probe_tree_read(pid_t pid, struct probe_tree *out)
{
	struct pids todo = {.at = {pid}, .n = 1};
	struct probe_tree t = {0};
	struct probe_stat s;
	int rc = probe_stat_read(pid, &s);

	if (rc)
		return rc;
	for (unsigned i = 0; i < todo.n; i++) {
		if (probe_stat_read(todo.at[i], &s) || s.state == 'Z')
			continue;
		tree_count(&s, &t);
		children_add(todo.at[i], &todo);
	}
	*out = t;
	return 0;
}

static bool environ_has(pid_t pid, const char *mark)
{
	static char env[65536]; /* an environment larger than this is not one of ours */
	ssize_t n = pid_file_read(pid, "environ", env, sizeof(env));

	for (const char *p = env; n > 0 && p < env + n; p += strlen(p) + 1)
		if (strcmp(p, mark) == 0)
			return true;
	return false;
}

unsigned probe_marked_find(const char *mark, struct probe_stat *out, unsigned max)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	unsigned n = 0;

	while (d && n < max && (e = readdir(d))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (pid > 0 && pid != getpid() && environ_has(pid, mark) && probe_stat_read(pid, &out[n]) == 0 &&
		    out[n].state != 'Z')
			n++;
	}
	if (d)
		closedir(d);
	return n;
}

/* --- who listens -------------------------------------------------------------------------------------------------------------- */

#define TCP_LISTEN 0x0a

/* The address as /proc/net/tcp and tcp6 write it: words of the machine's byte order in hexadecimal, the port in the other one. */
static bool address_text(const char *address, char *out, size_t size, bool *v6)
{
	const char *colon = strrchr(address, ':');
	char ip[64];
	uint32_t w[4];
	unsigned port;
	size_t n = colon ? (size_t)(colon - address) : 0;

	if (!n || n >= sizeof(ip) || sscanf(colon + 1, "%u", &port) != 1)
		return false;
	memcpy(ip, address, n);
	ip[n] = 0;
	*v6 = ip[0] == '[';
	if (!*v6) {
		if (inet_pton(AF_INET, ip, w) != 1 || (ntohl(w[0]) >> 24) != 127)
			return false;
		snprintf(out, size, "%08X:%04X", w[0], port);
		return true;
	}
	ip[n - 1] = 0;
	if (inet_pton(AF_INET6, ip + 1, w) != 1 || w[0] || w[1] || w[2] || ntohl(w[3]) != 1)
		return false;
	snprintf(out, size, "%08X%08X%08X%08X:%04X", w[0], w[1], w[2], w[3], port);
	return true;
}

/* The socket's inode in one table: the exact address first, then one that listens on all addresses. */
static unsigned long long listener_inode(const char *table, const char *want)
{
	FILE *f = fopen(table, "re");
	unsigned long long inode = 0;
	char line[512], local[80];
	const char *port = strchr(want, ':');
	unsigned state;

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long long ino;
		const char *colon;

		if (sscanf(line, " %*u: %79s %*s %x %*s %*s %*s %*u %*u %llu", local, &state, &ino) != 3 || state != TCP_LISTEN)
			continue;
		colon = strchr(local, ':');
		if (!colon || strcmp(colon, port) != 0)
			continue;
		if (strcmp(local, want) == 0) {
			inode = ino;
			break;
		}
		if (strspn(local, "0") == (size_t)(colon - local))
			inode = ino;
	}
	if (f)
		fclose(f);
	return inode;
}

static bool holds_socket(pid_t pid, const char *link)
{
	char path[64], text[64];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	while (d && !found && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, text, sizeof(text) - 1);

		if (n > 0) {
			text[n] = 0;
			found = strcmp(text, link) == 0;
		}
	}
	if (d)
		closedir(d);
	return found;
}

int probe_listener_find(const char *address, pid_t *out)
{
	char want[80], link[64];
	unsigned long long inode;
	struct dirent *e;
	bool v6, found = false;
	DIR *d;

	if (!address_text(address, want, sizeof(want), &v6))
		return -EINVAL;
	inode = listener_inode(v6 ? "/proc/net/tcp6" : "/proc/net/tcp", want);
	if (!inode && !v6) /* listening on all addresses of both families at once: the Go server's ":port" */
		inode = listener_inode("/proc/net/tcp6", want);
	if (!inode)
		return -ENOENT;
	snprintf(link, sizeof(link), "socket:[%llu]", inode);
	d = opendir("/proc");
	while (d && !found && (e = readdir(d))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		found = pid > 0 && holds_socket(pid, link);
		if (found)
			*out = pid;
	}
	if (d)
		closedir(d);
	return found ? 0 : -ENOENT;
}

/* --- the OOM killer ----------------------------------------------------------------------------------------------------------- */

static uint64_t counter_after(const char *text, const char *word)
{
	const char *p = strstr(text, word);
	unsigned long long v;

	while (p && p != text && p[-1] != '\n')
		p = strstr(p + 1, word);
	return p && sscanf(p + strlen(word), "%llu", &v) == 1 ? v : 0;
}

uint64_t probe_oom_count(void)
{
	char text[16384];

	return file_read("/proc/vmstat", text, sizeof(text)) > 0 ? counter_after(text, "oom_kill ") : 0;
}
