/* Children: the actions behind the table of supervisor/life.c. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"

/* --- small facts ---------------------------------------------------------------------------------------------------------- */

static struct log_about about(const struct sup_child *c, enum log_event event)
{
	struct log_about a = {.event = event, .gen = c->gen};

	if (c->role == PROC_WORKER)
		a.slot = sup_slot_of(c)->name;
	return a;
}

bool sup_child_has_process(const struct sup_child *c)
{
	return c->process.pid != 0;
}

struct sup_child *sup_child_next(struct sup *sup, struct sup_child *c)
{
	unsigned slot = !c ? 0 : c->role == PROC_WORKER ? c->index + 1 : SHM_SLOTS;

	if (slot < SHM_SLOTS)
		return &sup->slots[slot].child;
	if (c && c->role == PROC_WORKER)
		return &sup->host;
	if (c && c->role == PROC_HOST)
		return &sup->routers[0];
	return c && c->index + 1 < SHM_ROUTERS ? &sup->routers[c->index + 1] : NULL;
}

struct sup_child *sup_child_by_pid(struct sup *sup, pid_t pid)
{
	struct sup_child *c = sup_child_next(sup, NULL);

	while (c && c->process.pid != (uint64_t)pid)
		c = sup_child_next(sup, c);
	return c;
}

static void why_note(struct sup_child *c, const char *text)
{
	if (text != c->why)
		snprintf(c->why, sizeof(c->why), "%s", text);
}

/* --- timer and process events --------------------------------------------------------------------------------------------- */

static void timer_due(struct sup_child *c)
{
	c->timer_ns = CLOCK_NEVER;
	c->next_ns = 0;
	if (c->state == SHM_CHILD_STARTING && sup_child_has_process(c) && !c->killed)
		why_note(c, c->greeted ? "was not ready in time" : "did not say HELLO in time");
	else if (c->state == SHM_CHILD_STOPPING && !c->killed)
		why_note(c, "did not stop in time");
	sup_child_feed(c, LIFE_TIMER);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	timer_due(arg);
}

void sup_child_tick(struct sup_child *c, uint64_t now_ns)
{
	if (now_ns >= c->timer_ns)
		timer_due(c);
}

void sup_child_timer(struct sup_child *c, uint64_t after_ns)
{
	struct timeval tv = {.tv_sec = (time_t)(after_ns / NS_PER_S), .tv_usec = (suseconds_t)(after_ns % NS_PER_S / NS_PER_US)};

	evtimer_del(&c->ev_timer);
	c->timer_ns = CLOCK_NEVER;
	if (after_ns != CLOCK_NEVER && evtimer_add(&c->ev_timer, &tv) < 0)
		c->timer_ns = clock_after_ns(clock_now_ns(), after_ns);
}

static void on_process(evutil_socket_t fd, short what, void *arg)
{
	struct sup_child *c = arg;
	siginfo_t info = {0};
	int wstatus = -1;

	(void)what;
	/* An adopted child may have another parent: then how it ended stays unknown. */
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
		wstatus = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0) : W_EXITCODE(0, info.si_status);
	sup_child_died(c, wstatus);
}

/* Takes pidfd in any case. */
static int process_watch(struct sup_child *c, const struct proc_process *p, int pidfd, bool ours)
{
	event_assign(&c->ev_process, c->sup->base, pidfd, EV_READ | EV_PERSIST, on_process, c);
	if (event_add(&c->ev_process, NULL) < 0) {
		close(pidfd);
		return -ENOMEM;
	}
	c->process = *p;
	c->pidfd = pidfd;
	c->ours = ours;
	c->worked = false;
	c->killed = false;
	c->aborted = false;
	c->foreign = false;
	c->replaced = false;
	c->greeted = false;
	c->behind = false;
	c->ping_sent_ns = 0;
	c->born_ns = clock_now_ns();
	c->since_wall_ns = clock_wall_ns();
	c->sup->dirty = true;
	return 0;
}

static void process_forget(struct sup_child *c)
{
	event_del(&c->ev_process);
	close(c->pidfd);
	c->pidfd = -1;
	memset(&c->process, 0, sizeof(c->process));
	sup_orders_close(c);
	c->since_wall_ns = clock_wall_ns();
	c->sup->dirty = true;
}

void sup_child_init(struct sup_child *c, struct sup *sup, enum proc_role role, unsigned index)
{
	c->sup = sup;
	c->role = role;
	c->index = index;
	c->pidfd = c->orders = -1;
	c->timer_ns = CLOCK_NEVER;
	evtimer_assign(&c->ev_timer, sup->base, on_timer, c);
	if (role == PROC_ROUTER)
		snprintf(c->label, sizeof(c->label), "router %u", index);
	else
		snprintf(c->label, sizeof(c->label), "%s", role == PROC_HOST ? "host worker" : "worker");
}

void sup_child_kill(struct sup_child *c, const char *why)
{
	if (!sup_child_has_process(c) || c->killed)
		return;
	why_note(c, why);
	c->killed = true;
	log_warning("%s (process %llu) %s and is killed", c->label, (unsigned long long)c->process.pid, c->why);
	if (pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		log_err("cannot kill %s (process %llu): %s", c->label, (unsigned long long)c->process.pid, strerror(errno));
}

/* --- actions -------------------------------------------------------------------------------------------------------------- */

/* Takes `orders` in any case. */
static int watch_try(struct sup_child *c, pid_t pid, int orders)
{
	struct proc_process p = {.pid = (uint64_t)pid};
	int pidfd = pidfd_open(pid, 0), err = pidfd < 0 ? -errno : proc_start_time(pid, &p.start);

	if (err == 0) {
		err = process_watch(c, &p, pidfd, true);
		pidfd = -1;
	}
	if (err < 0) {
		if (pidfd >= 0)
			close(pidfd);
		close(orders);
		return err;
	}
	err = sup_orders_attach(c, orders);
	if (err < 0)
		process_forget(c);
	return err;
}

static int spawn_try(struct sup_child *c, struct why *why)
{
	int pair[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return why_set(why, -errno, "cannot make a socket pair: %s", strerror(errno));
	pid = sup_spawn(c, pair[1], why);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return pid;
	}
	err = watch_try(c, pid, pair[0]);
	if (err == 0)
		return 0;
	/* Our own child keeps its pid until we wait for it, so this cannot meet a stranger. */
	kill(pid, SIGKILL);
	return why_set(why, err, "cannot watch the new process: %s", strerror(-err));
}

static void act_spawn(struct sup_child *c)
{
	struct log_about a;
	struct why why = {""};

	c->gen++; /* first, so that nothing an older life left counts any more */
	c->next_ns = 0;
	c->wanted = true;
	c->born_ns = clock_now_ns();
	sup_child_timer(c, PROC_HELLO_NS);
	sup_board_child(c);
	if (spawn_try(c, &why) < 0) {
		why_note(c, why.text);
		sup_child_feed(c, LIFE_SPAWN_FAILED);
		return;
	}
	/* Written at once: should we die now, our successor must know of this process. */
	sup_adopt_save(c->sup);
	sup_board_child(c);
	a = about(c, LOG_EV_CHILD_STARTED);
	log_line(LOG_INFO_, &a, "%s started as process %llu (generation %u)", c->label, (unsigned long long)c->process.pid, c->gen);
}

/* Does the configuration in force have a place for it? */
static bool configured(const struct sup_child *c)
{
	if (c->role == PROC_WORKER)
		return sup_slot_of(c)->conf != NULL;
	return c->role == PROC_HOST || c->index < c->sup->conf->routers;
}

/* c->process names the living process; sup_adopt_recall() has put it there. */
static void act_await(struct sup_child *c)
{
	struct proc_process p = c->process;
	int pidfd = proc_pidfd(&p);

	c->wanted = configured(c); /* should it end before it says HELLO, nobody asks again */
	memset(&c->process, 0, sizeof(c->process));
	if (pidfd < 0 || process_watch(c, &p, pidfd, false) < 0) {
		sup_child_feed(c, LIFE_SPAWN_FAILED);
		return;
	}
	sup_child_timer(c, PROC_ADOPT_NS);
}

static void act_welcome(struct sup_child *c)
{
	c->greeted = true;
	if (c->state == SHM_CHILD_STARTING)
		sup_child_timer(c, SUP_READY_NS);
	sup_orders_welcome(c);
}

static void act_settle(struct sup_child *c)
{
	c->worked = true;
	sup_child_timer(c, CLOCK_NEVER);
	log_debug("%s is ready after %llums", c->label, (unsigned long long)((clock_now_ns() - c->born_ns) / NS_PER_MS));
}

static uint32_t random_u32(void)
{
	uint32_t r = 0;

	(void)!getrandom(&r, sizeof(r), GRND_NONBLOCK); /* jitter: any number will do, also 0 */
	return r;
}

/* How long a child that has just ended waits for its next life; CLOCK_NEVER: its budget is spent. */
static uint64_t pause_of(struct sup_child *c, bool killed_from_outside)
{
	uint64_t now = clock_now_ns();
	uint64_t lived_ns = now - c->born_ns;
	uint64_t pause_ns;

	if (killed_from_outside)
		return life_killed_pause(lived_ns);
	pause_ns = proc_backoff_fail(&c->backoff, now, lived_ns, random_u32());
	return life_fleet_pause(&c->sup->fleet, now, pause_ns);
}

static void act_pause(struct sup_child *c, bool killed_from_outside)
{
	struct log_about a = about(c, LOG_EV_CHILD_DIED);
	uint64_t pause_ns;
	char text[32];

	/* One that was to be started again by another configuration is so now. */
	if (!c->wanted || c->sup->phase != SUP_UP || (c->role == PROC_WORKER && sup_slot_of(c)->due)) {
		sup_child_feed(c, LIFE_STOP);
		return;
	}
	pause_ns = pause_of(c, killed_from_outside);
	if (pause_ns == CLOCK_NEVER) {
		sup_child_feed(c, LIFE_SPENT);
		return;
	}
	c->restarts++;
	c->next_ns = clock_now_ns() + pause_ns;
	if (pause_ns)
		snprintf(text, sizeof(text), "in %llums", (unsigned long long)(pause_ns / NS_PER_MS));
	log_line(LOG_WARNING_, &a, "%s: %s; started again %s", c->label, c->why, pause_ns ? text : "now");
	sup_board_child(c);
	if (pause_ns)
		sup_child_timer(c, pause_ns);
	else
		sup_child_feed(c, LIFE_TIMER);
}

static void act_quarantine(struct sup_child *c)
{
	struct log_about a = about(c, LOG_EV_QUARANTINE);

	sup_child_timer(c, CLOCK_NEVER);
	if (c->role == PROC_WORKER)
		log_line(
			LOG_ERR_, &a,
			"%s failed %u times in %llu minutes and is left alone (last: %s); mend the cause, then `tsactl restart %s`",
			c->label, PROC_BUDGET, PROC_BUDGET_NS / NS_PER_S / 60, c->why, sup_slot_of(c)->name);
	else
		log_line(LOG_ERR_, &a,
			 "%s failed %u times in %llu minutes and is left alone (last: %s); mend the cause, then `tsactl reload`",
			 c->label, PROC_BUDGET, PROC_BUDGET_NS / NS_PER_S / 60, c->why);
}

static void act_send_stop(struct sup_child *c)
{
	uint64_t own_ns = c->role == PROC_WORKER ? c->sup->conf->stop_ns : 0;
	uint64_t bound_ns = c->orders < 0 ? PROC_ADOPT_NS : c->drain_ns + own_ns + SUP_STOP_MARGIN_NS;

	sup_child_timer(c, bound_ns);
	sup_orders_stop(c);
}

static void act_gone(struct sup_child *c)
{
	sup_child_timer(c, CLOCK_NEVER);
	c->next_ns = 0;
	log_debug("%s is stopped", c->label);
	sup_board_child(c);
	if (c->role == PROC_WORKER)
		sup_slot_settle(sup_slot_of(c));
	else if (c->sup->phase != SUP_UP)
		sup_stop_step(c->sup);
	else if (c->wanted)
		sup_child_feed(c, LIFE_START);
}

/* --- the machine ---------------------------------------------------------------------------------------------------------- */

static void lift(struct sup_child *c)
{
	proc_backoff_lift(&c->backoff);
	sup_child_timer(c, CLOCK_NEVER);
}

static void perform(struct sup_child *c, enum life_action action, bool killed_from_outside)
{
	switch (action) {
	case LIFE_SPAWN:
		act_spawn(c);
		return;
	case LIFE_AWAIT:
		act_await(c);
		return;
	case LIFE_WELCOME:
		act_welcome(c);
		return;
	case LIFE_SETTLE:
		act_settle(c);
		return;
	case LIFE_PAUSE:
		act_pause(c, killed_from_outside);
		return;
	case LIFE_QUARANTINE:
		act_quarantine(c);
		return;
	case LIFE_KILL:
		sup_child_kill(c, c->why);
		return;
	case LIFE_SEND_STOP:
		act_send_stop(c);
		return;
	case LIFE_SEND_RESTART:
		sup_orders_send(c, PROC_RESTART, 0, 0, NULL, 0);
		return;
	case LIFE_GONE:
		act_gone(c);
		return;
	case LIFE_BUG:
	case LIFE_REST:
	case LIFE_ACTION_COUNT:
		return;
	}
}

static void step(struct sup_child *c, enum life_event event, bool killed_from_outside)
{
	struct life_step s = life_next(c->state, event);

	if (s.action == LIFE_BUG) {
		log_err("%s: \"%s\" cannot happen while it is %s; ignored, please report it", c->label, life_event_word(event),
			shm_child_word(c->state));
		return;
	}
	if (event == LIFE_LIFT && !sup_child_has_process(c))
		lift(c);
	if (s.next != c->state) {
		log_debug("%s: %s, so %s -> %s", c->label, life_event_word(event), shm_child_word(c->state),
			  shm_child_word(s.next));
		c->state = s.next;
		c->sup->dirty = true;
		sup_board_child(c);
	}
	perform(c, s.action, killed_from_outside);
}

void sup_child_feed(struct sup_child *c, enum life_event event)
{
	step(c, event, false);
}

void sup_child_stop(struct sup_child *c, uint64_t drain_ns, bool wanted)
{
	c->drain_ns = drain_ns;
	c->wanted = wanted;
	sup_child_feed(c, LIFE_STOP);
}

/* The sentence of a death that nobody asked for. */
static void death_describe(struct sup_child *c, int wstatus, bool oom)
{
	char text[SHM_TEXT];

	if (c->killed || c->replaced || c->aborted)
		return; /* who did it has said why */
	if (wstatus < 0)
		snprintf(text, sizeof(text), "ended while no supervisor was there to see how");
	else if (WIFEXITED(wstatus))
		snprintf(text, sizeof(text), "exited with status %d", WEXITSTATUS(wstatus));
	else
		snprintf(text, sizeof(text), "was ended by signal %d (%s)%s", WTERMSIG(wstatus),
			 sigdescr_np(WTERMSIG(wstatus)) ?: "unknown", oom ? ", the OOM killer" : "");
	why_note(c, text);
}

void sup_child_died(struct sup_child *c, int wstatus)
{
	bool sigkill = wstatus >= 0 && WIFSIGNALED(wstatus) && WTERMSIG(wstatus) == SIGKILL;
	bool oom = sigkill && !c->killed && sup_orphans_oom(c->sup);

	if (c->state != SHM_CHILD_STOPPING)
		death_describe(c, wstatus, oom);
	process_forget(c);
	step(c, LIFE_DIED, c->replaced || (sigkill && !c->killed && !oom && c->worked));
}
