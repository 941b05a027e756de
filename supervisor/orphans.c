/* What is left when its parent is gone: waited for, reported, ended. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/file.h"

/* --- the OOM killer ------------------------------------------------------------------------------------------------------------ */

/* The number behind "oom_kill " in memory.events of a cgroup or in /proc/vmstat.  False: no such file or line. */
static bool oom_kill_read(const char *path, uint64_t *out)
{
	char text[16384];
	const char *p;

	if (file_read(path, text, sizeof(text)) <= 0)
		return false;
	p = strstr(text, "oom_kill ");
	if (!p)
		return false;
	*out = 0;
	for (p += strlen("oom_kill "); *p >= '0' && *p <= '9'; p++)
		*out = *out * 10 + (uint64_t)(*p - '0');
	return true;
}

/* memory.events of our own cgroup (v2) counts everything below it. */
static bool cgroup_events(char *out, size_t size)
{
	char text[1024];
	char *p, *end;

	if (file_read("/proc/self/cgroup", text, sizeof(text)) <= 0)
		return false;
	p = strstr(text, "0::/");
	if (!p)
		return false;
	p += strlen("0::");
	end = strchr(p, '\n');
	if (end)
		*end = 0;
	return (size_t)snprintf(out, size, "/sys/fs/cgroup%s/memory.events", p) < size;
}

bool sup_orphans_oom(struct sup *sup)
{
	char path[1100];
	uint64_t kills = 0;
	bool known = cgroup_events(path, sizeof(path)) && oom_kill_read(path, &kills);
	bool more;

	if (!known && !oom_kill_read("/proc/vmstat", &kills))
		return false;
	more = kills > sup->oom_kills;
	sup->oom_kills = kills;
	return more;
}

/* --- waiting ------------------------------------------------------------------------------------------------------------------ */

static struct sup_slot *slot_by_ollama(struct sup *sup, pid_t pid)
{
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		if (sup->slots[i].ollama.pid == (uint64_t)pid)
			return &sup->slots[i];
	return NULL;
}

/* Its worker asked the kernel in vain: the process was the worker's predecessor's child and came to us. */
static void ollama_reaped(struct sup_slot *slot, int wstatus)
{
	struct proc_reaped reaped = {.process = slot->ollama, .wstatus = wstatus};

	if (WIFSIGNALED(wstatus) && WTERMSIG(wstatus) == SIGKILL)
		reaped.oom = sup_orphans_oom(slot->child.sup);
	memset(&slot->ollama, 0, sizeof(slot->ollama));
	slot->child.sup->dirty = true;
	if (slot->child.orders >= 0)
		sup_orders_send(&slot->child, PROC_REAPED, 0, reaped.process.pid, &reaped, sizeof(reaped));
}

static void reaped(struct sup *sup, pid_t pid, int wstatus)
{
	struct sup_child *c = sup_child_by_pid(sup, pid);
	struct sup_slot *slot = slot_by_ollama(sup, pid);

	if (c)
		sup_child_died(c, wstatus);
	else if (slot)
		ollama_reaped(slot, wstatus);
	else if (pid == sup->upgrade.pid)
		sup_upgrade_checked(sup, wstatus);
	else
		log_debug("an orphan, process %d, ended", (int)pid);
}

void sup_orphans_reap(struct sup *sup)
{
	siginfo_t info;

	for (;;) {
		memset(&info, 0, sizeof(info));
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
			return;
		reaped(sup, info.si_pid,
		       info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0) : W_EXITCODE(0, info.si_status));
	}
}

/* --- ending an Ollama without a worker ------------------------------------------------------------------------------------------- */

static void group_signal(const struct proc_process *p, int pidfd, int sig)
{
	pid_t pid = (pid_t)p->pid;

	if (pidfd_send_signal(pidfd, sig, NULL, 0) < 0)
		return;
	/* Its runners are in its process group, and the descriptor has just told that the group's leader is still the one we mean. */
	if (sig == SIGKILL && getpgid(pid) == pid)
		kill(-pid, SIGKILL);
}

static void orphan_over(struct sup_slot *slot)
{
	struct sup_orphan *o = &slot->orphan;

	event_del(&o->ev_process);
	evtimer_del(&o->ev_timer);
	close(o->pidfd);
	memset(&o->process, 0, sizeof(o->process));
	memset(&slot->ollama, 0, sizeof(slot->ollama));
	slot->child.sup->dirty = true;
	sup_slot_settle(slot);
}

static void on_orphan_end(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	orphan_over(arg);
}

static void on_orphan_late(evutil_socket_t fd, short what, void *arg)
{
	struct sup_slot *slot = arg;
	struct timeval tv = {.tv_sec = SUP_STOP_MARGIN_NS / NS_PER_S};

	(void)fd;
	(void)what;
	if (slot->orphan.killed) {
		/* Not even SIGKILL ends a process that hangs in the kernel; waiting for it would only make us hang as well. */
		log_err("the Ollama of %s (process %llu) cannot be killed; it is left alone", slot->name,
			(unsigned long long)slot->orphan.process.pid);
		orphan_over(slot);
		return;
	}
	slot->orphan.killed = true;
	group_signal(&slot->orphan.process, slot->orphan.pidfd, SIGKILL);
	if (evtimer_add(&slot->orphan.ev_timer, &tv) < 0)
		orphan_over(slot);
}

void sup_orphan_end(struct sup_slot *slot)
{
	struct sup *sup = slot->child.sup;
	struct sup_orphan *o = &slot->orphan;
	struct timeval tv = {.tv_sec = (time_t)(sup->conf->stop_ns / NS_PER_S), .tv_usec = 1};

	o->process = slot->ollama;
	o->killed = false;
	o->pidfd = proc_pidfd(&o->process);
	if (o->pidfd < 0) {
		memset(&o->process, 0, sizeof(o->process));
		memset(&slot->ollama, 0, sizeof(slot->ollama));
		sup_slot_settle(slot);
		return;
	}
	log_notice("the Ollama of %s (process %llu) has no worker any more and is ended", slot->name,
		   (unsigned long long)o->process.pid);
	event_assign(&o->ev_process, sup->base, o->pidfd, EV_READ, on_orphan_end, slot);
	evtimer_assign(&o->ev_timer, sup->base, on_orphan_late, slot);
	if (event_add(&o->ev_process, NULL) < 0 || evtimer_add(&o->ev_timer, &tv) < 0) {
		log_warning("no memory to wait for it; it is killed");
		group_signal(&o->process, o->pidfd, SIGKILL);
		orphan_over(slot);
		return;
	}
	group_signal(&o->process, o->pidfd, SIGTERM);
}

/* --- at the very end ----------------------------------------------------------------------------------------------------------- */

#define END_ROUNDS 50
#define END_NAP_MS 20

/* Our own children cannot be mistaken: their pids are theirs until we wait for them. */
static unsigned children_kill(void)
{
	char text[4096], path[64];
	unsigned n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	(void)file_read(path, text, sizeof(text));
	for (const char *p = text; *p; p = strchr(p, ' ') ? strchr(p, ' ') + 1 : "") {
		uint64_t pid = 0;

		for (const char *d = p; *d >= '0' && *d <= '9'; d++)
			pid = pid * 10 + (uint64_t)(*d - '0');
		if (pid && kill((pid_t)pid, SIGKILL) == 0)
			n++;
	}
	return n;
}

void sup_orphans_end_all(void)
{
	unsigned first = children_kill();

	for (unsigned i = 0; i < END_ROUNDS; i++) {
		siginfo_t info = {0};

		while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
			info.si_pid = 0;
		if (children_kill() == 0)
			break;
		poll(NULL, 0, END_NAP_MS);
	}
	if (first)
		log_notice("%u orphans of the Ollamas ended", first);
}

/* --- tsad --reap ---------------------------------------------------------------------------------------------------------------- */

#define SWEEP_TERM_MS 10000
#define SWEEP_KILL_MS 2000

struct left_over {
	struct proc_process process;
	int pidfd;
};

struct sweep {
	unsigned n;
	unsigned ended;
	struct left_over at[STATE_CHILDREN];
};

static void sweep_add(struct sweep *s, const struct proc_process *p)
{
	struct left_over *l = &s->at[s->n];

	l->process = *p;
	l->pidfd = proc_pidfd(p);
	if (l->pidfd >= 0)
		s->n++;
}

/* Signal all, then wait until they are gone or the time is up; what is gone leaves the list. */
static void sweep_signal(struct sweep *s, int sig, unsigned limit_ms)
{
	uint64_t deadline_ns = clock_now_ns() + limit_ms * NS_PER_MS;

	for (unsigned i = 0; i < s->n; i++)
		group_signal(&s->at[i].process, s->at[i].pidfd, sig);
	while (s->n) {
		struct pollfd pfd = {.fd = s->at[s->n - 1].pidfd, .events = POLLIN};

		if (poll(&pfd, 1, (int)clock_until_ms(clock_now_ns(), deadline_ns)) != 1)
			return;
		close(pfd.fd);
		s->n--;
		s->ended++;
	}
}

/* ExecStopPost= runs after a crash, too.  Then the service comes back at once and takes over what lives. */
static bool comes_back(void)
{
	static const char *const RESTARTED[] = {"signal", "core-dump", "watchdog", "oom-kill", "exit-code"};
	const char *result = getenv("SERVICE_RESULT");

	for (size_t i = 0; result && i < ARRAY_SIZE(RESTARTED); i++)
		if (strcmp(result, RESTARTED[i]) == 0)
			return true;
	return false;
}

int sup_orphans_sweep(struct sup *sup)
{
	static struct sweep children, ollamas;
	static struct state state;

	sup_adopt_read(sup, &state);
	/* Killed in the middle of its stop it does not come back. */
	if (!state.stopping && comes_back())
		return 0;
	for (unsigned i = 0; i < state.n_children; i++)
		sweep_add(&children, &state.children[i].process);
	for (unsigned i = 0; i < state.n_ollamas; i++)
		sweep_add(&ollamas, &state.ollamas[i].process);
	/* Children first: a living worker would start its Ollama again. */
	sweep_signal(&children, SIGKILL, SWEEP_KILL_MS);
	sweep_signal(&ollamas, SIGTERM, SWEEP_TERM_MS);
	sweep_signal(&ollamas, SIGKILL, SWEEP_KILL_MS);
	if (children.ended + ollamas.ended)
		log_notice("%u left-over processes ended", children.ended + ollamas.ended);
	if (children.n + ollamas.n) {
		log_err("%u left-over processes cannot be ended", children.n + ollamas.n);
		return SUP_EXIT_FAILED;
	}
	sup_adopt_remove(sup);
	return 0;
}
