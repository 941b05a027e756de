/* The service manager: what it is told (sd_notify(3)) and what it keeps for us over a crash.  Never blocks: its socket may be full. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fdpass.h"

#define BOARD_NAME "board"

#define STATUS_NS (1 * NS_PER_S)
#define EXTEND_NS (5 * NS_PER_S)  /* how often more time is asked for while draining or starting ... */
#define EXTRA_NS  (20 * NS_PER_S) /* ... and how much */

/* --- the socket -------------------------------------------------------------------------------------------------------------------- */

static int manager_connect(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(sa.sun_path) || (path[0] != '/' && path[0] != '@'))
		return -1;
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@')
		sa.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&sa, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int say_with(struct sup *sup, const char *text, const int *fds, unsigned n_fds)
{
	return sup->notify.fd < 0 ? 0 : fdpass_send(sup->notify.fd, text, strlen(text), fds, n_fds);
}

int sup_notify_say(struct sup *sup, const char *text)
{
	return say_with(sup, text, NULL, 0);
}

/* --- what it shall keep ------------------------------------------------------------------------------------------------------------- */

/* Orders to keep or forget must all arrive, and in order: those that find its queue full wait for the next tick. */
static void pending_add(struct sup *sup, const char *text, int fd)
{
	struct sup_note *n;

	if (sup->notify.n_pending == ARRAY_SIZE(sup->notify.pending)) {
		log_warning("the service manager does not listen; after a crash some sockets will have to be made anew");
		return;
	}
	n = &sup->notify.pending[sup->notify.n_pending++];
	snprintf(n->text, sizeof(n->text), "%s", text);
	n->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0); /* the caller may close his before it is sent */
}

static void pending_flush(struct sup *sup)
{
	struct sup_notify *n = &sup->notify;
	unsigned sent = 0;

	while (sent < n->n_pending) {
		struct sup_note *note = &n->pending[sent];

		if (say_with(sup, note->text, &note->fd, note->fd < 0 ? 0 : 1) == -EAGAIN)
			break;
		if (note->fd >= 0)
			close(note->fd);
		sent++;
	}
	memmove(n->pending, n->pending + sent, (n->n_pending - sent) * sizeof(n->pending[0]));
	n->n_pending -= sent;
}

static void order(struct sup *sup, const char *text, int fd)
{
	if (sup->notify.fd < 0)
		return;
	pending_add(sup, text, fd);
	pending_flush(sup);
}

void sup_notify_keep(struct sup *sup, const char *name, int fd)
{
	char text[160];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	order(sup, text, fd);
}

void sup_notify_forget(struct sup *sup, const char *name)
{
	char text[160];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	order(sup, text, -1);
}

/* The whole board in one message; which file is which is told by its stamp when it comes back. */
int sup_notify_keep_board(struct sup *sup)
{
	return say_with(sup, "FDSTORE=1\nFDNAME=" BOARD_NAME "\nFDPOLL=0", &sup->board.owner, SHM_FDS_COUNT);
}

void sup_notify_forget_board(struct sup *sup)
{
	sup_notify_forget(sup, BOARD_NAME);
}

/* --- reload ---------------------------------------------------------------------------------------------------------------------------- */

void sup_notify_reloading(struct sup *sup)
{
	char text[96];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(clock_now_ns() / NS_PER_US));
	(void)sup_notify_say(sup, text);
}

void sup_notify_reloaded(struct sup *sup)
{
	(void)sup_notify_say(sup, "READY=1");
}

/* --- what was kept -------------------------------------------------------------------------------------------------------------------- */

/* Where a file of the board belongs, or NULL. */
static int *board_place(struct shm_fds *board, int fd)
{
	struct shm_stamp stamp;

	if (pread(fd, &stamp, sizeof(stamp), 0) != (ssize_t)sizeof(stamp))
		return NULL;
	if (stamp.kind == SHM_KIND_OWNER)
		return &board->owner;
	if (stamp.kind == SHM_KIND_HOST)
		return &board->host;
	if (stamp.kind == SHM_KIND_ROUTER && stamp.index < SHM_ROUTERS)
		return &board->router[stamp.index];
	return stamp.kind == SHM_KIND_VITAL && stamp.index < SHM_SLOTS ? &board->vital[stamp.index] : NULL;
}

static void kept_take(struct sup *sup, struct shm_fds *board, const char *name, int fd)
{
	int *place = strcmp(name, BOARD_NAME) == 0 ? board_place(board, fd) : NULL;

	if (place && *place < 0)
		*place = fd;
	else
		sup_listen_offer(sup, fd); /* it closes what is no listening socket */
}

void sup_notify_open(struct sup *sup, struct shm_fds *board)
{
	uint64_t watchdog_us = 0;
	char **names = NULL;
	int *at = &board->owner;
	int kept[SHM_FDS_COUNT + CONF_LISTEN * SHM_ROUTERS];
	int n;

	for (unsigned i = 0; i < SHM_FDS_COUNT; i++)
		at[i] = -1;
	sup->notify.fd = manager_connect();
	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		sup->notify.watchdog_ns = watchdog_us * NS_PER_US / 3;
	n = sd_listen_fds_with_names(1, &names);
	for (int i = 0; i < n; i++) {
		kept_take(sup, board, names[i], SD_LISTEN_FDS_START + i);
		free(names[i]);
	}
	free(names);
	n = (int)sup_upgrade_kept(kept, ARRAY_SIZE(kept));
	for (int i = 0; i < n; i++)
		kept_take(sup, board, BOARD_NAME, kept[i]);
}

/* --- as the moment asks ------------------------------------------------------------------------------------------------------------------ */

/* Readiness and hearts are read off the board for people and for the watchdog only; no child is started or ended by them. */
static void status_make(struct sup *sup, char *out, size_t size)
{
	unsigned used = 0, ready = 0, routers = 0, quarantined = 0;

	for (unsigned i = 0; i < SHM_SLOTS; i++) {
		struct shm_vital vital;

		if (!sup->slots[i].used)
			continue;
		used++;
		quarantined += sup->slots[i].child.state == SHM_CHILD_QUARANTINED;
		ready += shm_read_vital(sup->reader, i, &vital) == 0 && vital.gen == sup->slots[i].child.gen &&
			 vital.state == SHM_STATE_READY;
	}
	for (unsigned i = 0; i < SHM_ROUTERS; i++)
		routers += sup->routers[i].state == SHM_CHILD_RUNNING;
	snprintf(out, size, "STATUS=%s%u of %u instances ready, %u router%s", sup->phase == SUP_UP ? "" : "stopping: ", ready, used,
		 routers, routers == 1 ? "" : "s");
	if (quarantined)
		snprintf(out + strlen(out), size - strlen(out), ", %u quarantined", quarantined);
}

static void status_say(struct sup *sup, uint64_t now_ns)
{
	char text[sizeof(sup->notify.status)];

	if (now_ns < sup->notify.status_next_ns)
		return;
	sup->notify.status_next_ns = now_ns + STATUS_NS;
	status_make(sup, text, sizeof(text));
	if (strcmp(text, sup->notify.status) != 0 && sup_notify_say(sup, text) == 0)
		snprintf(sup->notify.status, sizeof(sup->notify.status), "%s", text);
}

static bool routers_ready(const struct sup *sup)
{
	for (unsigned i = 0; i < sup->conf->routers; i++)
		if (sup->routers[i].state != SHM_CHILD_RUNNING)
			return false;
	return sup->listening;
}

static void ready_say(struct sup *sup)
{
	struct log_about about = {.event = LOG_EV_READY};

	if (sup->notify.ready || sup->phase != SUP_UP || !routers_ready(sup))
		return;
	if (sup_notify_say(sup, "READY=1") < 0)
		return; /* again with the next tick */
	sup->notify.ready = true;
	log_line(LOG_NOTICE_, &about, "serving on %s", sup->header.listen);
}

/* A router that runs and whose heart stands still is one that we failed to notice; a lost lock means another tsad may start. */
static bool checks_pass(struct sup *sup, uint64_t now_ns, const char **what)
{
	*what = "the lock file was taken away; stop tsad and start it again";
	if (!sup_place_holds(sup))
		return false;
	*what = "a router runs and its heart stands still";
	for (unsigned i = 0; i < SHM_ROUTERS; i++) {
		const struct sup_child *c = &sup->routers[i];
		uint64_t beat_ns = shm_get(&shm_router_counters(sup->reader, i)->beat_ns);

		if (c->state == SHM_CHILD_RUNNING && now_ns > beat_ns + 2 * PROC_PONG_NS && now_ns > c->born_ns + 2 * PROC_PONG_NS)
			return false;
	}
	return true;
}

static void watchdog_say(struct sup *sup, uint64_t now_ns)
{
	const char *what;
	bool pass;

	if (now_ns < sup->notify.watchdog_next_ns)
		return;
	sup->notify.watchdog_next_ns = now_ns + (sup->notify.watchdog_ns ? sup->notify.watchdog_ns : STATUS_NS);
	pass = checks_pass(sup, now_ns, &what);
	if (!pass && !sup->notify.sick)
		log_err("%s; the watchdog is not fed", what);
	sup->notify.sick = !pass;
	if (pass && sup->notify.watchdog_ns)
		(void)sup_notify_say(sup, "WATCHDOG=1");
}

/* More time is worth asking for while routers come up, not for one that fails again and again. */
static bool routers_fail(const struct sup *sup)
{
	for (unsigned i = 0; i < sup->conf->routers; i++)
		if (sup->routers[i].state == SHM_CHILD_BACKOFF || sup->routers[i].state == SHM_CHILD_QUARANTINED)
			return true;
	return false;
}

static void extend_say(struct sup *sup, uint64_t now_ns)
{
	char text[64];

	if (sup->phase == SUP_UP && (sup->notify.ready || routers_fail(sup)))
		return;
	if (now_ns < sup->notify.extend_next_ns)
		return;
	sup->notify.extend_next_ns = now_ns + EXTEND_NS;
	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%llu", EXTRA_NS / NS_PER_US);
	(void)sup_notify_say(sup, text);
}

void sup_notify_tick(struct sup *sup, uint64_t now_ns)
{
	pending_flush(sup);
	ready_say(sup);
	status_say(sup, now_ns);
	watchdog_say(sup, now_ns);
	extend_say(sup, now_ns);
}
