/* The end: routers drain first, then the workers end their Ollamas, then nothing is left. */
#include "supervisor/supervisor.h"

#include "base/clock.h"

static bool alive(const struct sup_child *c)
{
	return c->state != SHM_CHILD_NONE && c->state != SHM_CHILD_STOPPED;
}

static void stop_role(struct sup *sup, enum proc_role role, uint64_t drain_ns)
{
	for (struct sup_child *c = sup_child_next(sup, NULL); c; c = sup_child_next(sup, c))
		if (c->role == role && alive(c))
			sup_child_stop(c, drain_ns, false);
}

static unsigned count_alive(struct sup *sup, enum proc_role role)
{
	unsigned n = 0;

	for (struct sup_child *c = sup_child_next(sup, NULL); c; c = sup_child_next(sup, c))
		n += c->role == role && (alive(c) || (role == PROC_WORKER && sup_slot_of(c)->orphan.process.pid));
	return n;
}

void sup_stop(struct sup *sup)
{
	struct log_about about = {.event = LOG_EV_STOPPED};
	uint64_t drain_ns = sup->phase == SUP_UP ? sup->conf->drain_ns : 0;

	if (sup->phase == SUP_UP) {
		log_line(LOG_NOTICE_, &about, "stopping: requests have up to %llus to end; a second signal cuts that short",
			 (unsigned long long)(drain_ns / NS_PER_S));
		sup->phase = SUP_STOP_ROUTERS;
		sup_board_header(sup); /* routers answer /readyz by it */
		sup_notify_say(sup, "STOPPING=1");
		sup_adopt_save(sup); /* tsad --reap must know it, even if we are killed at it */
	}
	if (sup->phase == SUP_STOP_ROUTERS) {
		stop_role(sup, PROC_ROUTER, drain_ns);
		sup_leave_stop(sup, drain_ns);
		sup_listen_close(sup);
	} else {
		stop_role(sup, PROC_WORKER, 0);
	}
	sup_stop_step(sup);
}

void sup_stop_step(struct sup *sup)
{
	if (sup->phase == SUP_STOP_ROUTERS && count_alive(sup, PROC_ROUTER) + sup_leave_count(sup) == 0) {
		sup->phase = SUP_STOP_WORKERS;
		/* No request is left that a worker could wait for. */
		stop_role(sup, PROC_WORKER, 0);
		stop_role(sup, PROC_HOST, 0);
	}
	if (sup->phase == SUP_STOP_WORKERS && count_alive(sup, PROC_WORKER) + count_alive(sup, PROC_HOST) == 0) {
		sup->phase = SUP_OVER;
		event_base_loopbreak(sup->base);
	}
}
