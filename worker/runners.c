/* Which runner is it?  Where an instance holds several models, only the one that does not answer its own health route dies: the
 * others may be in the middle of somebody's conversation.  Where each of them answers, none is to be trusted. */
#include <signal.h>
#include <stdio.h>

#include "worker/worker.h"

#define HEALTH_NS    (1ULL * NS_PER_S) /* a sound one answers within milliseconds */
#define HEALTH_BYTES 4096

static void on_health(void *arg, const struct probe_answer *a)
{
	struct suspect *s = arg;

	s->call = NULL;
	s->sound = a->status != 0;
}

static void ask(struct worker *w, struct suspect *s, unsigned port)
{
	struct probe_ask ask = {.path = "/health", .max_bytes = HEALTH_BYTES, .done = on_health, .arg = s};
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	ask.deadline_ns = clock_after_ns(clock_now_ns(), HEALTH_NS);
	if (probe_http_create(w->base, address, &s->http, NULL) == 0)
		(void)probe_http_start(s->http, &ask, &s->call);
}

bool runners_kill(struct worker *w)
{
	struct suspects *all = &w->heal.suspects;
	struct probe_tree t;

	runners_reset(w);
	if (!w->ollama.process.pid || probe_tree_read((pid_t)w->ollama.process.pid, &t))
		return false;
	for (unsigned i = 0; i < t.n_runners; i++) {
		struct suspect *s = &all->at[all->n++];

		s->process = (struct proc_process){.pid = (uint64_t)t.runners[i].pid, .start = t.runners[i].start};
		if (t.n_runners > 1)
			ask(w, s, t.runners[i].port);
	}
	return all->n > 0;
}

void runners_tick(struct worker *w)
{
	struct suspects *all = &w->heal.suspects;
	unsigned sound = 0, killed = 0;

	for (unsigned i = 0; i < all->n; i++) {
		if (all->at[i].call)
			return;
		sound += all->at[i].sound;
	}
	for (unsigned i = 0; i < all->n; i++)
		if ((!all->at[i].sound || sound == all->n) && instance_signal(&all->at[i].process, SIGKILL))
			killed++;
	if (killed)
		log_notice("%s: killed %u of %u runners that produced nothing", w->conf.name, killed, all->n);
	runners_reset(w);
}

void runners_reset(struct worker *w)
{
	struct suspects *all = &w->heal.suspects;

	for (unsigned i = 0; i < all->n; i++) {
		probe_call_cancel(&all->at[i].call);
		probe_http_destroy(&all->at[i].http);
		all->at[i] = (struct suspect){0};
	}
	all->n = 0;
}
