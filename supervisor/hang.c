/* A child that does not answer: what it does instead, and where. */
#include "supervisor/supervisor.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

/* What a hanging process does, as far as its state tells. */
static const char *hanging_how(pid_t pid)
{
	char path[32], text[512];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	(void)file_read(path, text, sizeof(text));
	p = strrchr(text, ')');
	switch (p && p[1] ? p[2] : 0) {
	case 'R':
		return " and spins";
	case 'D':
		return " and waits for the kernel";
	case 'T':
	case 't':
		return " and is stopped";
	default:
		return "";
	}
}

void sup_child_abort(struct sup_child *c)
{
	snprintf(c->why, sizeof(c->why), "did not answer a ping for %llus%s", PROC_PONG_NS / NS_PER_S,
		 hanging_how((pid_t)c->process.pid));
	c->aborted = true;
	log_warning("%s (process %llu) %s; its stack follows, if it can still tell", c->label, (unsigned long long)c->process.pid,
		    c->why);
	(void)pidfd_send_signal(c->pidfd, SIGABRT, NULL, 0); /* ESRCH: its end is being told */
}
