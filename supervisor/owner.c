/* Who has the port that we want: for the message to the operator, as far as /proc lets us see. */
#include "supervisor/supervisor.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"

#define TCP_LISTENING 0x0aU /* of proc_net_tcp(5) */
#define LINE_BYTES    256

struct wanted {
	char address[33]; /* as those tables write it */
	unsigned port;
	bool any; /* the address is a wildcard */
};

static void wanted_make(const struct sockaddr_storage *sa, struct wanted *out)
{
	const struct sockaddr_in *v4 = (const void *)sa;
	const struct sockaddr_in6 *v6 = (const void *)sa;
	const uint32_t *w = v6->sin6_addr.s6_addr32;

	if (sa->ss_family == AF_INET6)
		snprintf(out->address, sizeof(out->address), "%08X%08X%08X%08X", w[0], w[1], w[2], w[3]);
	else
		snprintf(out->address, sizeof(out->address), "%08X", v4->sin_addr.s_addr);
	out->port = ntohs(sa->ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
	out->any = strspn(out->address, "0") == strlen(out->address);
}

/* The inode of a socket in `table` that is in the way; 0: none. */
static unsigned long inode_find(const char *table, const struct wanted *want)
{
	char line[LINE_BYTES], address[33];
	unsigned long inode = 0;
	FILE *f = fopen(table, "re");

	while (f && !inode && fgets(line, sizeof(line), f)) {
		unsigned port, state;
		unsigned long found;

		if (sscanf(line, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %lu", address, &port, &state,
			   &found) != 4)
			continue;
		if (port == want->port && state == TCP_LISTENING &&
		    (want->any || strcmp(address, want->address) == 0 || strspn(address, "0") == strlen(address)))
			inode = found;
	}
	if (f)
		fclose(f);
	return inode;
}

static bool holds(const char *pid, unsigned long inode)
{
	char path[300], want[48], text[48];
	DIR *d;
	bool found = false;

	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	for (struct dirent *e; d && !found && (e = readdir(d));) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, text, sizeof(text) - 1);

		found = n > 0 && (size_t)n == strlen(want) && memcmp(text, want, (size_t)n) == 0;
	}
	if (d)
		closedir(d);
	return found;
}

static void name_read(const char *pid, char *out, size_t size)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(out, (int)size, f))
		snprintf(out, size, "unknown");
	out[strcspn(out, "\n")] = 0;
	if (f)
		fclose(f);
}

bool sup_owner_find(const struct sockaddr_storage *sa, char *out, size_t size)
{
	struct wanted want;
	unsigned long inode;
	char name[32];
	DIR *proc;
	bool found = false;

	wanted_make(sa, &want);
	inode = inode_find(sa->ss_family == AF_INET6 ? "/proc/net/tcp6" : "/proc/net/tcp", &want);
	if (!inode && sa->ss_family == AF_INET) /* a wildcard of both families */
		inode = inode_find("/proc/net/tcp6", &want);
	proc = inode ? opendir("/proc") : NULL;
	for (struct dirent *e; proc && !found && (e = readdir(proc));) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || !holds(e->d_name, inode))
			continue;
		name_read(e->d_name, name, sizeof(name));
		snprintf(out, size, "process %.10s (%s)", e->d_name, name);
		found = true;
	}
	if (proc)
		closedir(proc);
	return found;
}
