/* The heart: four times a second what no event tells is looked after. */
#include "supervisor/supervisor.h"

#include <errno.h>

#include "base/clock.h"

#define GAP_NS   (1 * NS_PER_S) /* we were stopped, or the machine slept: what children owe us may lie in their sockets */
#define RETRY_NS (1 * NS_PER_S)

static void children_tick(struct sup *sup, uint64_t now_ns, bool forgive)
{
	for (struct sup_child *c = sup_child_next(sup, NULL); c; c = sup_child_next(sup, c)) {
		sup_child_tick(c, now_ns);
		if (!sup_child_has_process(c))
			continue;
		if (forgive && c->ping_sent_ns)
			c->ping_sent_ns = now_ns;
		sup_orders_catch_up(c);
		sup_orders_ping(c, now_ns);
		sup_child_replace_tick(c, now_ns);
	}
}

static void retries_tick(struct sup *sup, uint64_t now_ns)
{
	if (now_ns < sup->retry_ns)
		return;
	sup->retry_ns = now_ns + RETRY_NS;
	sup_board_mend(sup);
	sup_board_lines(sup);
	sup_listen_settle(sup);
	if (sup->reload_owed)
		sup_reload_ask(sup);
	if (sup->dirty)
		sup_adopt_save(sup);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct sup *sup = arg;
	uint64_t now = clock_now_ns();
	bool gap = now - sup->tick_ns > GAP_NS;

	(void)fd;
	(void)what;
	sup->tick_ns = now;
	children_tick(sup, now, gap);
	sup_roll_step(sup, now);
	sup_leave_tick(sup, now);
	sup_board_header(sup);
	sup_notify_tick(sup, now);
	/* Facts go into the state file with the next tick; births and Ollamas at once, where they happen. */
	if (sup->dirty && !sup->unsaved)
		sup_adopt_save(sup);
	retries_tick(sup, now);
	if (now - sup->log_flush_ns > LOG_WINDOW_NS) {
		sup->log_flush_ns = now;
		log_flush();
	}
}

int sup_tick_start(struct sup *sup, struct why *why)
{
	struct timeval tv = {.tv_usec = SUP_TICK_NS / NS_PER_US};

	sup->tick_ns = sup->log_flush_ns = clock_now_ns();
	event_assign(&sup->ev_tick, sup->base, -1, EV_PERSIST, on_tick, sup);
	return event_add(&sup->ev_tick, &tv) < 0 ? why_set(why, -ENOMEM, "no memory for the supervisor's clock; raise MemoryMax= of the service") : 0;
}
