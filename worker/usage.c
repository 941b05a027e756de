/* What the Ollama and its runners use of the machine, and what follows from its descriptors. */
#include <string.h>

#include "worker/worker.h"

#define LISTENER_NS (60ULL * NS_PER_S) /* between two searches for the process behind an adopted address */

static void runners_take(struct worker *w, const struct probe_tree *t, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;
	uint64_t cpu = 0;

	memset(w->vital.runner_pids, 0, sizeof(w->vital.runner_pids));
	for (unsigned i = 0; i < t->n_runners; i++) {
		w->vital.runner_pids[i] = (uint64_t)t->runners[i].pid;
		cpu += t->runners[i].cpu_ns;
	}
	judge_work_take(&l->work, t->n_runners, cpu, now_ns);
	l->runner_new = t->n_runners && t->runners[0].server;
}

static void climbing(struct worker *w)
{
	struct log_about about = worker_about(w, LOG_EV_RECYCLED, NULL);

	if (w->conf.adopted) {
		if (w->ladder.climbed)
			return;
		w->ladder.climbed = true;
		log_line(LOG_WARNING_, &about,
			 "%s: %llu open descriptors, above %u; it is not ours to restart: restart it when it is idle", w->conf.name,
			 (unsigned long long)w->vital.fds, w->conf.fds_limit);
		return;
	}
	log_line(LOG_NOTICE_, &about, "%s: %llu open descriptors, above %u; it is drained and started again", w->conf.name,
		 (unsigned long long)w->vital.fds, w->conf.fds_limit);
	w->vital.recycles++;
	worker_event(w, LIFE_EV_RECYCLE, PROBE_CLIMBING, "%llu descriptors, above %u", (unsigned long long)w->vital.fds,
		     w->conf.fds_limit);
}

/* The process behind an adopted address, where /proc shows it to us. */
static pid_t process_of(struct worker *w, uint64_t now_ns)
{
	struct probe_stat s;
	pid_t pid = (pid_t)w->ollama.process.pid;

	if (pid || !w->conf.adopted)
		return pid;
	if (w->adopted.pid && probe_stat_read((pid_t)w->adopted.pid, &s) == 0 && s.start == w->adopted.start)
		return (pid_t)w->adopted.pid;
	memset(&w->adopted, 0, sizeof(w->adopted));
	if (now_ns < w->adopted_due_ns || !w->ladder.answers)
		return 0;
	w->adopted_due_ns = now_ns + LISTENER_NS;
	if (probe_listener_find(w->conf.addr.text, &pid) || probe_stat_read(pid, &s))
		return 0;
	w->adopted.pid = (uint64_t)pid;
	w->adopted.start = s.start;
	return pid;
}

void usage_sample(struct worker *w, uint64_t now_ns)
{
	struct ladder *l = &w->ladder;
	pid_t pid = process_of(w, now_ns);
	struct probe_tree t;
	uint64_t fds = 0;

	if (!pid || probe_tree_read(pid, &t)) {
		w->vital.fds = w->vital.rss_bytes = w->vital.cpu_ns = 0;
		l->work.known = false;
		memset(w->vital.runner_pids, 0, sizeof(w->vital.runner_pids));
		return;
	}
	w->vital.rss_bytes = t.rss_bytes;
	w->vital.cpu_ns = t.cpu_ns;
	runners_take(w, &t, now_ns);
	if (probe_fds_count(pid, &fds) == 0)
		w->vital.fds = fds;
	w->ollama.oom_before = probe_oom_count();
	if (w->conf.fds_limit && fds > w->conf.fds_limit && worker_state(w) == SHM_STATE_READY)
		climbing(w);
	else
		l->climbed = fds > w->conf.fds_limit;
}
