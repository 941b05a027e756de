/* A supervisor and its successor: the state file, and the children that outlived the one that made them. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"

#define STATE_FILE "state"
#define STATE_NEW  "state.new"

/* --- the file ---------------------------------------------------------------------------------------------------------------- */

static void state_child_add(struct state *s, const struct sup_child *c)
{
	struct state_child *out = &s->children[s->n_children];
	const struct sup_slot *slot = sup_slot_of(c);

	if (c->gen == 0)
		return;
	*out = (struct state_child){.role = c->role, .index = c->index, .gen = c->gen, .process = c->process};
	if (slot)
		out->identity = slot->identity;
	if (slot && slot->used && c->process.pid) {
		out->adopted = slot->adopted;
		out->places = slot->places;
		snprintf(out->addr, sizeof(out->addr), "%s", slot->addr.text);
	}
	snprintf(out->name, sizeof(out->name), "%s", slot && slot->used ? slot->name : "-");
	s->n_children++;
}

static void state_make(struct sup *sup, struct state *s)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->boot_id, sup->header.boot_id, sizeof(s->boot_id));
	memcpy(s->board_id, sup->header.board_id, sizeof(s->board_id));
	s->sup_gen = sup->gen;
	s->sup = sup->self;
	s->stopping = sup->phase != SUP_UP;
	for (struct sup_child *c = sup_child_next(sup, NULL); c; c = sup_child_next(sup, c))
		state_child_add(s, c);
	for (unsigned i = 0; i < SHM_SLOTS; i++) {
		const struct sup_slot *slot = &sup->slots[i];

		if (!slot->used)
			continue;
		if (slot->ollama.pid) {
			struct state_ollama *o = &s->ollamas[s->n_ollamas++];

			*o = (struct state_ollama){.slot = i, .process = slot->ollama};
			snprintf(o->name, sizeof(o->name), "%s", slot->name);
		}
		if (slot->drained)
			snprintf(s->drained[s->n_drained++], PROC_NAME, "%s", slot->name);
	}
}

/* The old file stays until the new one is whole.  It lies in memory (/run) or is worth nothing after a power cut, so no fsync. */
static int file_replace(int dir_fd, const char *text, size_t n)
{
	int fd = openat(dir_fd, STATE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, n) != (ssize_t)n)
		err = errno ? -errno : -ENOSPC;
	close(fd);
	if (err == 0 && renameat(dir_fd, STATE_NEW, dir_fd, STATE_FILE) < 0)
		err = -errno;
	if (err < 0)
		unlinkat(dir_fd, STATE_NEW, 0);
	return err;
}

void sup_adopt_save(struct sup *sup)
{
	static struct state state; /* both large; there is one thread */
	static char text[STATE_TEXT_MAX];
	int n, err;

	state_make(sup, &state);
	n = state_print(&state, text, sizeof(text));
	err = n < 0 ? n : file_replace(sup->dir_fd, text, (size_t)n);
	sup->dirty = err < 0;
	if (err < 0 && !sup->unsaved)
		log_warning("cannot write %s/" STATE_FILE
			    ": %s; should tsad die now, its successor would know less; tried again every second",
			    sup->dir, strerror(-err));
	sup->unsaved = err < 0;
}

void sup_adopt_read(struct sup *sup, struct state *out)
{
	static char text[STATE_TEXT_MAX + 1];
	struct why why = {"it cannot be read"};
	int fd = openat(sup->dir_fd, STATE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	memset(out, 0, sizeof(*out));
	if (fd < 0 && errno == ENOENT)
		return;
	n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	if (n >= 0 && state_parse(text, (size_t)n, out, &why) == 0)
		return;
	log_warning("the state file %s/" STATE_FILE " is not used: %s", sup->dir, why.text);
	/* Children that it would have named may live; they report soon, and hold the sockets that we need. */
	sup->strangers_ns = clock_now_ns() + PROC_ADOPT_NS;
}

void sup_adopt_remove(struct sup *sup)
{
	unlinkat(sup->dir_fd, STATE_FILE, 0);
}

/* --- knowing again ------------------------------------------------------------------------------------------------------------ */

static bool lives(const struct proc_process *p)
{
	int fd = proc_pidfd(p);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static struct sup_child *child_at(struct sup *sup, enum proc_role role, unsigned index)
{
	if (role == PROC_WORKER)
		return &sup->slots[index].child;
	return role == PROC_HOST ? &sup->host : &sup->routers[index];
}

/* Where the Ollama of the living worker listens, also when the configuration has moved on. */
static void works_recall(struct sup_slot *slot, const struct state_child *was)
{
	struct conf_addr addr;
	struct why why;

	memset(&slot->addr, 0, sizeof(slot->addr));
	if (!*was->addr || conf_addr_parse(was->addr, 0, &addr, &why) < 0)
		return;
	sup_handoff_addr(&addr, &slot->addr);
	slot->adopted = was->adopted;
	slot->places = was->places;
}

static void child_recall(struct sup *sup, const struct state_child *was, bool same_boot)
{
	struct sup_child *c = child_at(sup, was->role, was->index);
	bool named = strcmp(was->name, "-") != 0;

	c->gen = was->gen;
	if (was->role == PROC_WORKER && named) {
		sup_slot_take(sup_slot_of(c), was->name);
		sup_slot_of(c)->identity = was->identity;
		works_recall(sup_slot_of(c), was);
	}
	if (same_boot && (was->role != PROC_WORKER || named) && lives(&was->process))
		c->process = was->process;
}

/* Instances keep their slots; new ones take what is free. */
static void conf_assign(struct sup *sup)
{
	for (unsigned i = 0; i < sup->conf->n_instances; i++) {
		const struct conf_instance *inst = &sup->conf->instances[i];
		struct sup_slot *slot = sup_slot_find(sup, inst->name);

		if (slot)
			slot->conf = inst;
	}
	for (unsigned i = 0; i < SHM_SLOTS; i++) {
		struct sup_slot *slot = &sup->slots[i];

		if (slot->used && !slot->conf && !slot->child.process.pid && !slot->ollama.pid)
			slot->used = false;
	}
	for (unsigned i = 0; i < sup->conf->n_instances; i++) {
		const struct conf_instance *inst = &sup->conf->instances[i];
		struct sup_slot *slot = sup_slot_find(sup, inst->name);

		if (!slot) {
			slot = sup_slot_free(sup);
			if (!slot) {
				log_err("instance %s has no place: all %d are taken; reload when one has stopped", inst->name,
					SHM_SLOTS);
				continue;
			}
			sup_slot_take(slot, inst->name);
			slot->conf = inst;
		}
	}
}

/* It is not known by what the worker works, but what tells it to stop must know the configuration. */
static void place_adapt(struct sup_slot *slot)
{
	uint64_t was = slot->identity;

	sup_slot_adapt(slot);
	slot->identity = was;
}

static void slot_resume(struct sup_slot *slot)
{
	bool same = slot->conf && slot->identity == conf_instance_identity(slot->conf);

	slot->conf_gen = 1;
	if (!slot->child.process.pid) {
		/* An Ollama of another command or address is not the one that is configured now. */
		if (slot->ollama.pid && same) {
			sup_slot_adapt(slot);
			sup_child_feed(&slot->child, LIFE_START);
			return;
		}
		sup_slot_settle(slot);
		return;
	}
	/* Another configuration than its own has come: it goes on as before until it is its turn, if it is known where it is. */
	if (same)
		sup_slot_adapt(slot);
	else if (slot->conf && slot->addr.family)
		sup_roll_add(slot);
	else if (slot->conf)
		place_adapt(slot);
	sup_child_feed(&slot->child, LIFE_FOUND);
}

void sup_adopt_recall(struct sup *sup, const struct state *state)
{
	bool same_boot = memcmp(state->boot_id, sup->header.boot_id, sizeof(state->boot_id)) == 0;

	for (unsigned i = 0; i < state->n_children; i++)
		child_recall(sup, &state->children[i], same_boot);
	for (unsigned i = 0; i < state->n_ollamas; i++) {
		struct sup_slot *slot = &sup->slots[state->ollamas[i].slot];

		if (same_boot && slot->used && strcmp(slot->name, state->ollamas[i].name) == 0 && lives(&state->ollamas[i].process))
			slot->ollama = state->ollamas[i].process;
	}
	conf_assign(sup);
	for (unsigned i = 0; i < state->n_drained; i++) {
		struct sup_slot *slot = sup_slot_find(sup, state->drained[i]);

		if (slot)
			slot->drained = true;
	}
}

void sup_adopt_start(struct sup *sup)
{
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		if (sup->slots[i].used)
			slot_resume(&sup->slots[i]);
	sup_roll_resume(sup);
	sup_child_feed(&sup->host, sup->host.process.pid ? LIFE_FOUND : LIFE_START);
	for (unsigned i = 0; i < SHM_ROUTERS; i++)
		if (sup->routers[i].process.pid)
			sup_child_feed(&sup->routers[i], LIFE_FOUND);
		else if (i < sup->conf->routers)
			sup_child_feed(&sup->routers[i], LIFE_START);
}

bool sup_adopt_awaits_routers(const struct sup *sup)
{
	if (clock_now_ns() < sup->strangers_ns)
		return true;
	for (unsigned i = 0; i < SHM_ROUTERS; i++) {
		const struct sup_child *c = &sup->routers[i];

		if (sup_child_has_process(c) && !c->ours && !c->greeted && !c->foreign)
			return true;
	}
	return false;
}

/* --- HELLO on the control socket ------------------------------------------------------------------------------------------------- */

/* The one that the state file names, told by the kernel and by itself alike. */
static struct sup_child *hello_child(struct sup *sup, pid_t peer, const struct proc_hello *hello)
{
	static const unsigned PLACES[PROC_ROLE_COUNT] = {[PROC_WORKER] = SHM_SLOTS, [PROC_HOST] = 1, [PROC_ROUTER] = SHM_ROUTERS};
	struct sup_child *c;

	if (hello->role >= PROC_ROLE_COUNT || hello->index >= PLACES[hello->role])
		return NULL;
	c = child_at(sup, (enum proc_role)hello->role, hello->index);
	if (!sup_child_has_process(c) || c->process.pid != (uint64_t)peer || hello->self.pid != c->process.pid ||
	    hello->self.start != c->process.start || hello->gen != c->gen)
		return NULL;
	return c;
}

static void hello_refuse(struct sup *sup, int fd, pid_t peer, const struct proc_hello *hello)
{
	log_warning("process %d said HELLO and is no child that this supervisor knows; it is asked to stop", (int)peer);
	if (hello->role == PROC_ROUTER && hello->self.pid == (uint64_t)peer && sup_leave_stranger(sup, fd, hello) == 0)
		return;
	(void)proc_send(fd, PROC_STOP, hello->gen, PROC_STOP_KEEP, 0, NULL, 0, NULL, 0);
	close(fd);
}

/* Also those of a router that is refused: what it listens on may be what we could not bind. */
static void sockets_take(struct sup *sup, const int *fds, unsigned n_fds)
{
	for (unsigned i = 0; i < n_fds; i++)
		if (sup->listening)
			close(fds[i]);
		else
			sup_listen_offer(sup, fds[i]);
}

static void hello_welcome(struct sup_child *c, bool serves)
{
	struct log_about about = {.event = LOG_EV_CHILD_ADOPTED, .gen = c->gen};
	struct sup_slot *slot = sup_slot_of(c);
	struct sup *sup = c->sup;
	bool taken_over = c->state == SHM_CHILD_STARTING;

	sup_child_feed(c, LIFE_HELLO);
	if (!taken_over || !sup_child_has_process(c))
		return;
	log_line(LOG_NOTICE_, &about, "%s lives on as process %llu (generation %u)", c->label, (unsigned long long)c->process.pid,
		 c->gen);
	if (serves)
		sup_child_feed(c, LIFE_READY);
	if (slot && !slot->conf)
		sup_child_stop(c, sup->conf->drain_ns, false);
	else if (slot && !slot->due && slot->identity != conf_instance_identity(slot->conf))
		sup_child_stop(c, sup->conf->drain_ns, true);
	else if (c->role == PROC_ROUTER && c->index >= sup->conf->routers)
		sup_child_stop(c, sup->conf->drain_ns, false);
}

void sup_adopt_hello(struct sup *sup, int fd, pid_t peer, const struct proc_hello *hello, const int *fds, unsigned n_fds)
{
	struct sup_child *c = hello_child(sup, peer, hello);

	sockets_take(sup, fds, n_fds);
	if (!c) {
		hello_refuse(sup, fd, peer, hello);
		return;
	}
	if (sup_orders_attach(c, fd) < 0) {
		log_warning("%s: no memory to take it over; it will ask again", c->label);
		return;
	}
	if (hello->layout != (uint32_t)shm_layout_hash()) {
		sup_child_replace(c);
		sup_listen_settle(sup);
		return;
	}
	hello_welcome(c, c->role == PROC_ROUTER && n_fds > 0);
	sup_listen_settle(sup);
}
