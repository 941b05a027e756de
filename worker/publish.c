/* The worker's page of the board.  The models line goes first, so that whoever sees models_change move finds the new one. */
#include <stdio.h>
#include <string.h>

#include "worker/worker.h"

#define MODELS_AGAIN_NS NS_PER_S

#define TEXT_SET(dst, ...)                                                                                                         \
	do {                                                                                                                       \
		memset((dst), 0, sizeof(dst));                                                                                     \
		snprintf((dst), sizeof(dst), __VA_ARGS__);                                                                         \
	} while (0)

void publish_vital(struct worker *w)
{
	uint64_t now = clock_now_ns();

	if (!w->page || !w->announced)
		return;
	w->vital.gen = w->conf.common.gen;
	w->vital.beat_ns = now;
	w->vital.fds_limit = w->conf.fds_limit;
	w->vital.ollama_pid = w->conf.adopted ? w->adopted.pid : w->ollama.process.pid;
	w->vital.ollama_start = w->conf.adopted ? w->adopted.start : w->ollama.process.start;
	w->vital.next_ns = worker_state(w) == SHM_STATE_BACKOFF ? w->ollama.retry_ns : 0;
	w->beat_due_ns = now + PROC_BEAT_NS;
	shm_vital_publish(w->page, &w->vital);
}

void publish_models(struct worker *w)
{
	struct shm_models next = {.gen = w->conf.common.gen};

	if (!w->page || !w->announced)
		return;
	catalog_show(&w->catalog, clock_now_ns(), &next);
	if (memcmp(&next, &w->shown, sizeof(next)) == 0)
		return;
	w->shown = next;
	shm_models_publish(w->page, &next);
	w->vital.models = next.n;
	w->vital.models_change++;
	publish_vital(w);
}

void publish_reason(struct worker *w, enum probe_outcome reason, const char *text)
{
	w->vital.reason = reason;
	TEXT_SET(w->vital.why, "%s", text);
}

void publish_tick(struct worker *w, uint64_t now_ns)
{
	if (now_ns < w->beat_due_ns)
		return;
	publish_models(w); /* a FAILED mark goes when its time is over */
	/* Damage to a line that seldom changes must not last. */
	if (w->page && w->announced && now_ns >= w->models_due_ns) {
		w->models_due_ns = now_ns + MODELS_AGAIN_NS;
		shm_models_publish(w->page, &w->shown);
	}
	publish_vital(w);
}
