/* Children of another build, and routers that leave while their successors serve already.  Those take no new connections, their streams
 * have the configured time to end, and they are watched to their end. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"

#define KILL_AGAIN_NS (5 * NS_PER_S)

static void leaver_over(struct sup_leaver *l)
{
	struct sup *sup = l->sup;

	event_del(&l->ev_process);
	close(l->pidfd);
	close(l->orders);
	memset(&l->process, 0, sizeof(l->process));
	if (sup->phase != SUP_UP)
		sup_stop_step(sup);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct sup_leaver *l = arg;

	(void)fd;
	(void)what;
	log_info("the old router, process %llu, has ended", (unsigned long long)l->process.pid);
	leaver_over(l);
}

/* How long it has left goes along, so that an order that is late does not give it more. */
static void leaver_say_stop(struct sup_leaver *l, uint64_t now_ns)
{
	uint64_t left_ns = l->drain_ns > now_ns ? l->drain_ns - now_ns : 0;

	l->untold = proc_send(l->orders, PROC_STOP, l->gen, 0, left_ns / NS_PER_MS, NULL, 0, NULL, 0) < 0;
}

static void leaver_ask(struct sup_leaver *l, uint64_t drain_ns)
{
	uint64_t now_ns = clock_now_ns();

	l->drain_ns = clock_after_ns(now_ns, drain_ns);
	l->late_ns = clock_after_ns(l->drain_ns, SUP_STOP_MARGIN_NS);
	leaver_say_stop(l, now_ns);
}

static void leaver_tick(struct sup_leaver *l, uint64_t now_ns)
{
	if (l->untold)
		leaver_say_stop(l, now_ns);
	if (now_ns < l->late_ns)
		return;
	log_warning("the old router, process %llu, did not stop in time and is killed", (unsigned long long)l->process.pid);
	l->late_ns = clock_after_ns(now_ns, KILL_AGAIN_NS);
	(void)pidfd_send_signal(l->pidfd, SIGKILL, NULL, 0); /* ESRCH: its end is being told */
}

void sup_leave_tick(struct sup *sup, uint64_t now_ns)
{
	for (size_t i = 0; i < ARRAY_SIZE(sup->leavers); i++)
		if (sup->leavers[i].process.pid)
			leaver_tick(&sup->leavers[i], now_ns);
}

static struct sup_leaver *leaver_free(struct sup *sup)
{
	for (size_t i = 0; i < ARRAY_SIZE(sup->leavers); i++)
		if (sup->leavers[i].process.pid == 0)
			return &sup->leavers[i];
	return NULL;
}

/* Takes both descriptors, unless there is no memory: -ENOMEM. */
static int leaver_watch(struct sup_leaver *l, struct sup *sup, const struct proc_process *p, uint32_t gen, int pidfd, int orders)
{
	*l = (struct sup_leaver){.sup = sup, .process = *p, .gen = gen, .pidfd = pidfd, .orders = orders};
	event_assign(&l->ev_process, sup->base, pidfd, EV_READ, on_end, l);
	if (event_add(&l->ev_process, NULL) < 0) {
		memset(&l->process, 0, sizeof(l->process));
		return -ENOMEM;
	}
	leaver_ask(l, sup->conf->drain_ns);
	return 0;
}

int sup_leave_child(struct sup_child *c)
{
	struct sup_leaver *l = leaver_free(c->sup);
	int pidfd, orders, err;

	if (!l || c->orders < 0)
		return -EBUSY;
	pidfd = fcntl(c->pidfd, F_DUPFD_CLOEXEC, 0);
	orders = pidfd < 0 ? -1 : fcntl(c->orders, F_DUPFD_CLOEXEC, 0);
	err = orders < 0 ? -errno : leaver_watch(l, c->sup, &c->process, c->gen, pidfd, orders);
	if (err < 0) {
		if (pidfd >= 0)
			close(pidfd);
		if (orders >= 0)
			close(orders);
	}
	return err;
}

int sup_leave_stranger(struct sup *sup, int fd, const struct proc_hello *hello)
{
	struct sup_leaver *l = leaver_free(sup);
	int pidfd = l ? proc_pidfd(&hello->self) : -EBUSY;
	int err = pidfd < 0 ? pidfd : leaver_watch(l, sup, &hello->self, hello->gen, pidfd, fd);

	if (err < 0 && pidfd >= 0)
		close(pidfd);
	return err;
}

void sup_leave_stop(struct sup *sup, uint64_t drain_ns)
{
	for (size_t i = 0; i < ARRAY_SIZE(sup->leavers); i++)
		if (sup->leavers[i].process.pid)
			leaver_ask(&sup->leavers[i], drain_ns);
}

unsigned sup_leave_count(const struct sup *sup)
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sup->leavers); i++)
		n += sup->leavers[i].process.pid != 0;
	return n;
}

/* --- which child, and when ---------------------------------------------------------------------------------------------------------- */

static void replace_now(struct sup_child *c)
{
	c->replaced = true;
	if (c->role == PROC_ROUTER && sup_leave_child(c) == 0)
		sup_child_died(c, -1); /* for its place it has */
	else if (c->role == PROC_ROUTER || sup_orders_send(c, PROC_STOP, PROC_STOP_KEEP, 0, NULL, 0) < 0)
		sup_child_kill(c, c->why);
}

void sup_child_replace(struct sup_child *c)
{
	snprintf(c->why, sizeof(c->why), "is of another build than tsad and is replaced");
	if (c->role != PROC_ROUTER) {
		replace_now(c);
		return;
	}
	c->foreign = true;
	sup_child_timer(c, CLOCK_NEVER);
}

static bool instances_known(const struct sup *sup)
{
	struct shm_vital vital;

	for (unsigned i = 0; i < SHM_SLOTS; i++)
		if (sup->slots[i].used && (shm_read_vital(sup->reader, i, &vital) < 0 || vital.gen != sup->slots[i].child.gen ||
					   vital.state != SHM_STATE_READY))
			return false;
	return true;
}

void sup_child_replace_tick(struct sup_child *c, uint64_t now_ns)
{
	if (c->foreign && (instances_known(c->sup) || now_ns - c->born_ns > SUP_REPLACE_NS))
		replace_now(c);
}
