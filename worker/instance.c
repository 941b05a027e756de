/* The Ollama's process: start or adopt, watch, end, remember how it died.  Never two of one instance, never a stranger's. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker/worker.h"

#define LEFTOVERS_MAX 64
#define CHECK_NS      (2ULL * NS_PER_S) /* a stranger on the address answers, or at least connects, within this */
#define LOG_LOOK_NS   (10ULL * NS_PER_S)

void instance_init(struct worker *w)
{
	struct instance *i = &w->ollama;

	snprintf(i->dir, sizeof(i->dir), "%s/instances/%s", w->conf.common.dir, w->conf.name);
	snprintf(i->mark, sizeof(i->mark), "%s=%s", MARK_NAME, i->dir);
	i->late_ns = i->kill_ns = i->reap_ns = i->retry_ns = CLOCK_NEVER;
}

void instance_say(struct worker *w)
{
	if (!w->conf.adopted)
		orders_say(&w->orders, PROC_OLLAMA, 0, &w->ollama.process, sizeof(w->ollama.process));
}

bool instance_signal(const struct proc_process *p, int sig)
{
	int fd = proc_pidfd(p);
	bool sent = fd >= 0 && pidfd_send_signal(fd, sig, NULL, 0) == 0;

	if (fd >= 0)
		close(fd);
	return sent;
}

static unsigned marked_find(const struct worker *w, struct probe_stat list[LEFTOVERS_MAX])
{
	return probe_marked_find(w->ollama.mark, list, LEFTOVERS_MAX);
}

/* Whatever still carries our mark, except the Ollama itself: runners that outlived it hold memory and serve nobody. */
static unsigned leftovers_kill(struct worker *w)
{
	struct probe_stat list[LEFTOVERS_MAX];
	unsigned n = marked_find(w, list), killed = 0;

	for (unsigned k = 0; k < n; k++) {
		struct proc_process p = {.pid = (uint64_t)list[k].pid, .start = list[k].start};

		if (p.pid != w->ollama.process.pid && instance_signal(&p, SIGKILL))
			killed++;
	}
	return killed;
}

/* --- death -------------------------------------------------------------------------------------------------------------------- */

static void death_text(const struct worker *w, enum shm_death kind, int code, char *buf, size_t size)
{
	char lived[32], error[SHM_TEXT];

	if (w->ollama.started_ns)
		scan_duration_text(clock_now_ns() - w->ollama.started_ns, lived, sizeof(lived));
	else
		snprintf(lived, sizeof(lived), "a time unknown");
	if (kind == SHM_DEATH_EXIT)
		snprintf(buf, size, "Ollama exited with status %d after %s%s", code, lived,
			 code == 127 ? "; its command could not be run" : "");
	else if (kind == SHM_DEATH_OOM)
		snprintf(buf, size, "Ollama was killed by signal %d after %s: the kernel ran out of memory", code, lived);
	else if (kind == SHM_DEATH_SIGNAL)
		snprintf(buf, size, "Ollama was killed by signal %d (%s%s) after %s", code, strsignal(code),
			 code == SIGKILL && !w->ollama.killed ? ", perhaps the OOM killer" : "", lived);
	else
		snprintf(buf, size, "Ollama ended after %s; nobody saw how", lived);
	if (kind == SHM_DEATH_EXIT && code && spawn_log_error(w, error, sizeof(error)))
		snprintf(buf + strlen(buf), size - strlen(buf), ": %.90s", error);
}

static void process_unwatch(struct instance *i)
{
	if (i->ev)
		event_free(i->ev);
	i->ev = NULL;
	if (i->pidfd >= 0)
		close(i->pidfd);
	i->pidfd = -1;
}

/* Forget the process and everything that was known of it; end what it left behind. */
static void process_clear(struct worker *w)
{
	struct instance *i = &w->ollama;
	unsigned orphans;

	process_unwatch(i);
	memset(&i->process, 0, sizeof(i->process));
	i->child = false;
	i->late_ns = i->kill_ns = i->reap_ns = CLOCK_NEVER;
	orphans = leftovers_kill(w);
	if (orphans)
		log_warning("%s: ended %u processes that Ollama left behind", w->conf.name, orphans);
	w->vital.orphans += orphans;
	w->inherited = false;
	catalog_forget(&w->catalog);
	ladder_reset(w);
	loads_reset(w);
	heal_reset(w);
	instance_say(w);
}

static void process_dead(struct worker *w, enum shm_death kind, int code)
{
	struct log_about about = worker_about(w, LOG_EV_OLLAMA_DIED, NULL);
	bool asked = w->ollama.ending;
	char text[SHM_TEXT];

	death_text(w, kind, code, text, sizeof(text));
	if (!asked) {
		w->vital.death_kind = kind;
		w->vital.death_code = (uint64_t)code;
		w->vital.death_wall_ns = clock_wall_ns();
	}
	log_line(asked ? LOG_INFO_ : LOG_WARNING_, &about, "%s: %s", w->conf.name, text);
	process_clear(w);
	w->ollama.ending = w->ollama.killed = false;
	if (worker_state(w) == SHM_STATE_DRAINING)
		worker_event(w, w->drain.stopping ? LIFE_EV_GONE : LIFE_EV_ENDED, PROBE_NONE, "%s", "");
	else
		worker_event(w, LIFE_EV_DIED, worker_state(w) == SHM_STATE_BACKOFF ? PROBE_NONE : PROBE_DIED, "%s", text);
}

static bool oom_happened(const struct worker *w)
{
	return probe_oom_count() > w->ollama.oom_before;
}

static void process_waited(struct worker *w, bool signalled, int code, bool oom)
{
	enum shm_death kind = !signalled ? SHM_DEATH_EXIT : SHM_DEATH_SIGNAL;

	if (signalled && code == SIGKILL && !w->ollama.killed && oom)
		kind = SHM_DEATH_OOM;
	process_dead(w, kind, code);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	siginfo_t si = {0};

	(void)what;
	if (!w->ollama.child && w->ollama.ending) {
		process_dead(w, SHM_DEATH_UNKNOWN, 0);
		return;
	}
	if (!w->ollama.child) { /* its first worker died; the supervisor reaps it and tells */
		event_del(w->ollama.ev);
		w->ollama.reap_ns = clock_after_ns(clock_now_ns(), REAPED_WAIT_NS);
		return;
	}
	if (waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG) == 0 && si.si_pid)
		process_waited(w, si.si_code != CLD_EXITED, si.si_status, oom_happened(w));
}

void instance_reaped(struct worker *w, const struct proc_reaped *r)
{
	const struct proc_process *p = &w->ollama.process;

	if (p->pid == 0 || w->ollama.child || p->pid != r->process.pid || p->start != r->process.start)
		return;
	if (WIFSIGNALED(r->wstatus))
		process_waited(w, true, WTERMSIG(r->wstatus), r->oom || oom_happened(w));
	else
		process_waited(w, false, WEXITSTATUS(r->wstatus), false);
}

/* --- start -------------------------------------------------------------------------------------------------------------------- */

/* When a process began, by our clock. */
static uint64_t began_ns(const struct proc_process *p)
{
	uint64_t now = clock_now_ns(), ticks = (uint64_t)sysconf(_SC_CLK_TCK), age;
	struct timespec boot;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	age = (uint64_t)boot.tv_sec * NS_PER_S + (uint64_t)boot.tv_nsec - p->start * (NS_PER_S / ticks);
	return age < now ? now - age : now;
}

static int process_watch(struct worker *w, const struct proc_process *p, int pidfd, bool child)
{
	struct instance *i = &w->ollama;

	i->ev = event_new(w->base, pidfd, EV_READ | EV_PERSIST, on_end, w);
	if (!i->ev || event_add(i->ev, NULL)) {
		if (i->ev)
			event_free(i->ev);
		i->ev = NULL;
		close(pidfd);
		return -ENOMEM;
	}
	i->process = *p;
	i->pidfd = pidfd;
	i->child = child;
	i->ending = i->killed = false;
	i->started_ns = began_ns(p);
	i->late_ns = clock_after_ns(clock_now_ns(), w->conf.start_ns);
	i->oom_before = probe_oom_count();
	w->ladder.version_due_ns = w->ladder.sample_due_ns = 0;
	instance_say(w);
	publish_vital(w);
	return 0;
}

/* An Ollama that an earlier worker of this instance started is the instance. */
static bool adopt(struct worker *w, const struct proc_process *p, const char *how)
{
	struct log_about about = worker_about(w, LOG_EV_OLLAMA_STARTED, NULL);
	int fd = proc_pidfd(p);

	if (fd < 0 || process_watch(w, p, fd, false))
		return false;
	log_line(LOG_NOTICE_, &about, "%s: goes on with the Ollama that already runs, process %llu (%s)", w->conf.name,
		 (unsigned long long)p->pid, how);
	return true;
}

static bool adopt_marked(struct worker *w)
{
	struct probe_stat list[LEFTOVERS_MAX];
	unsigned n = marked_find(w, list);

	for (unsigned k = 0; k < n; k++) {
		struct proc_process p = {.pid = (uint64_t)list[k].pid, .start = list[k].start};

		if (list[k].pid == list[k].session && adopt(w, &p, "found by its environment"))
			return true;
	}
	return false;
}

static void spawn(struct worker *w)
{
	struct log_about about = worker_about(w, LOG_EV_OLLAMA_STARTED, NULL);
	struct proc_process p;
	struct why why = {0};
	int pidfd, rc;

	w->ollama.log_from = spawn_log_size(w);
	rc = spawn_ollama(w, &p, &pidfd, &why);

	if (!rc) {
		rc = process_watch(w, &p, pidfd, true);
		if (rc)
			instance_signal(&p, SIGKILL);
	}
	if (rc) {
		bool command = rc == -ENOENT || rc == -EACCES;

		worker_event(w, LIFE_EV_BLOCKED, command ? PROBE_NO_COMMAND : PROBE_LOCAL, "%s",
			     why.text[0] ? why.text : strerror(-rc));
		return;
	}
	w->vital.starts++;
	publish_reason(w, PROBE_STARTING, probe_outcome_info(PROBE_STARTING)->sentence);
	log_line(LOG_NOTICE_, &about, "%s: started \"%s\" as process %llu on %s", w->conf.name, w->conf.argv,
		 (unsigned long long)p.pid, w->conf.addr.text);
	publish_vital(w);
}

static void on_check(void *arg, const struct probe_answer *a)
{
	struct worker *w = arg;

	w->ollama.check = NULL;
	if (worker_state(w) != SHM_STATE_STARTING)
		return;
	if (a->outcome == PROBE_REFUSED)
		spawn(w);
	else
		worker_event(w, LIFE_EV_BLOCKED, a->outcome == PROBE_LOCAL ? PROBE_LOCAL : PROBE_STRANGER,
			     "another process already uses %s; stop it, or adopt it with url = http://%s", w->conf.addr.text,
			     w->conf.addr.text);
}

void instance_start(struct worker *w)
{
	struct probe_ask ask = {.path = "/api/version", .max_bytes = 4096, .done = on_check, .arg = w};
	struct proc_process left = w->conf.ollama;
	unsigned orphans;

	w->ladder.version_due_ns = 0;
	if (worker_state(w) == SHM_STATE_STARTING && w->vital.reason == PROBE_NONE)
		publish_reason(w, w->conf.adopted ? PROBE_NONE : PROBE_STARTING,
			       w->conf.adopted ? "it has not answered yet" : probe_outcome_info(PROBE_STARTING)->sentence);
	if (w->conf.adopted || w->ollama.process.pid) /* one that is being killed: its death is an event of its own */
		return;
	memset(&w->conf.ollama, 0, sizeof(w->conf.ollama));
	if ((left.pid && adopt(w, &left, "told by the supervisor")) || adopt_marked(w))
		return;
	w->inherited = false;
	orphans = leftovers_kill(w);
	if (orphans)
		log_warning("%s: ended %u processes that an earlier Ollama left behind", w->conf.name, orphans);
	w->vital.orphans += orphans;
	ask.deadline_ns = clock_after_ns(clock_now_ns(), CHECK_NS);
	if (probe_http_start(w->http, &ask, &w->ollama.check))
		worker_event(w, LIFE_EV_BLOCKED, PROBE_LOCAL, "no memory to look at its address");
}

/* --- end ---------------------------------------------------------------------------------------------------------------------- */

void instance_end(struct worker *w)
{
	struct instance *i = &w->ollama;

	probe_call_cancel(&i->check);
	if (!i->process.pid) {
		worker_event(w, w->drain.stopping ? LIFE_EV_GONE : LIFE_EV_ENDED, PROBE_NONE, "%s", "");
		return;
	}
	i->ending = true;
	i->kill_ns = clock_after_ns(clock_now_ns(), w->conf.stop_ns);
	if (pidfd_send_signal(i->pidfd, SIGTERM, NULL, 0) && errno != ESRCH)
		log_err("%s: SIGTERM to process %llu failed: %s", w->conf.name, (unsigned long long)i->process.pid,
			strerror(errno));
}

void instance_kill(struct worker *w)
{
	struct instance *i = &w->ollama;

	probe_call_cancel(&i->check);
	if (!i->process.pid)
		return;
	i->killed = true;
	i->kill_ns = CLOCK_NEVER;
	if (pidfd_send_signal(i->pidfd, SIGKILL, NULL, 0) && errno != ESRCH)
		log_err("%s: SIGKILL to process %llu failed: %s", w->conf.name, (unsigned long long)i->process.pid,
			strerror(errno));
}

void instance_pause(struct worker *w)
{
	struct instance *i = &w->ollama;
	uint64_t now = clock_now_ns();
	uint64_t pause = proc_backoff_fail(&i->backoff, now, i->started_ns ? now - i->started_ns : 0, arc4random());
	struct log_about about = worker_about(w, LOG_EV_QUARANTINE, NULL);
	char last[SHM_TEXT];

	i->started_ns = 0;
	if (pause != CLOCK_NEVER) {
		i->retry_ns = clock_after_ns(now, pause);
		publish_vital(w);
		return;
	}
	snprintf(last, sizeof(last), "%s", w->vital.why);
	log_line(LOG_ERR_, &about, "%s: failed %u times in %us and is left alone; last: %s; mend it, then `tsactl restart %s`",
		 w->conf.name, PROC_BUDGET, (unsigned)(PROC_BUDGET_NS / NS_PER_S), last, w->conf.name);
	worker_event(w, LIFE_EV_SPENT, PROBE_SPENT, "%.*s", (int)sizeof(last) - 1, last);
}

static bool hangs(const struct worker *w, uint64_t now_ns)
{
	return worker_state(w) == SHM_STATE_SICK && w->ollama.process.pid && !w->ladder.answers && w->ladder.lost_ns &&
	       now_ns - w->ladder.lost_ns > w->conf.start_ns;
}

void instance_tick(struct worker *w, uint64_t now_ns)
{
	struct instance *i = &w->ollama;
	enum shm_state state = worker_state(w);

	if (now_ns >= i->reap_ns) {
		process_dead(w, SHM_DEATH_UNKNOWN, 0);
	} else if (i->ending && now_ns >= i->kill_ns) {
		log_warning("%s: Ollama did not end within its time after SIGTERM and is killed", w->conf.name);
		instance_kill(w);
	} else if (state == SHM_STATE_STARTING && i->process.pid && now_ns >= i->late_ns) {
		i->late_ns = CLOCK_NEVER;
		worker_event(w, LIFE_EV_LATE, PROBE_START_LATE, "%s", probe_outcome_info(PROBE_START_LATE)->sentence);
	} else if (hangs(w, now_ns)) {
		worker_event(w, LIFE_EV_LATE, PROBE_HANGS, "%s", probe_outcome_info(PROBE_HANGS)->sentence);
	} else if (state == SHM_STATE_BACKOFF && !i->process.pid && now_ns >= i->retry_ns) {
		i->retry_ns = CLOCK_NEVER;
		worker_event(w, LIFE_EV_RETRY, PROBE_NONE, "%s", "");
	}
	if (now_ns >= i->log_ns) {
		i->log_ns = clock_after_ns(now_ns, LOG_LOOK_NS);
		spawn_log_trim(w);
	}
}

void instance_close(struct worker *w)
{
	struct instance *i = &w->ollama;

	probe_call_cancel(&i->check);
	process_unwatch(i);
}
