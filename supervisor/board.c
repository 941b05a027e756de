/* The supervisor's side of the board: made or taken back, header and child lines written. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"

static bool board_whole(const struct shm_fds *fds)
{
	const int *at = &fds->owner;
	unsigned n = 0;

	while (n < SHM_FDS_COUNT && at[n] >= 0)
		n++;
	return n == SHM_FDS_COUNT;
}

/* A board without its state file is worth nothing: nobody could tell which generations its lines are of. */
static bool board_known(const struct shm_fds *fds, const struct state *state)
{
	struct shm_owner_file *file = shm_owner_map(fds->owner, NULL);
	bool known = file && file->stamp.board_id[0] == state->board_id[0] && file->stamp.board_id[1] == state->board_id[1];

	if (file)
		shm_unmap(file, SHM_KIND_OWNER);
	return known;
}

static bool board_take_back(struct sup *sup, struct shm_fds *kept, const struct state *state)
{
	struct why why = {"it is not the one that the state file names"};

	if (!board_whole(kept)) {
		shm_fds_close(kept);
		return false;
	}
	if (shm_fds_check(kept, &why) < 0 || !board_known(kept, state)) {
		log_notice("the board that the service manager kept is replaced: %s", why.text);
		shm_fds_close(kept);
		return false;
	}
	sup->board = *kept;
	return true;
}

/* What of a board is ours alone: mapped, and open for others to read. */
static int board_map(struct sup *sup, struct why *why)
{
	int err = shm_fds_readonly(&sup->board, &sup->board_ro, why);

	if (err < 0)
		return err;
	sup->owner = shm_owner_map(sup->board.owner, why);
	if (!sup->owner)
		return -EIO;
	err = shm_reader_open(&sup->board_ro, &sup->reader, why);
	if (err < 0)
		return err;
	memcpy(sup->header.boot_id, sup->owner->stamp.boot_id, sizeof(sup->header.boot_id));
	memcpy(sup->header.board_id, sup->owner->stamp.board_id, sizeof(sup->header.board_id));
	return 0;
}

static void board_unmap(struct sup *sup)
{
	shm_reader_close(&sup->reader);
	if (sup->owner)
		shm_unmap(sup->owner, SHM_KIND_OWNER);
	sup->owner = NULL;
	shm_fds_close(&sup->board);
	shm_fds_close(&sup->board_ro);
}

static void board_keep(struct sup *sup)
{
	int err;

	sup_notify_forget_board(sup);
	err = sup_notify_keep_board(sup);
	if (err < 0)
		log_warning("the service manager does not keep the board: %s; after a crash there will be a new one",
			    strerror(-err));
}

int sup_board_open(struct sup *sup, struct shm_fds *kept, const struct state *state, struct why *why)
{
	int err = 0;

	if (!board_take_back(sup, kept, state)) {
		err = shm_board_create(&sup->board, why);
		if (err < 0)
			return err;
		board_keep(sup);
	}
	err = board_map(sup, why);
	if (err < 0)
		return err;
	sup->header.sup_pid = sup->self.pid;
	sup->header.sup_start = sup->self.start;
	sup->header.sup_gen = sup->gen;
	sup->header.sup_since_wall_ns = clock_wall_ns();
	snprintf(sup->header.version, sizeof(sup->header.version), "%s", TSA_VERSION);
	return 0;
}

void sup_board_header(struct sup *sup)
{
	struct shm_header *h = &sup->header;
	size_t n = 0;

	h->sup_beat_ns = clock_now_ns();
	h->routers = sup->conf->routers;
	h->slots_used = 0;
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		if (sup->slots[i].used)
			h->slots_used = i + 1;
	h->stopping = sup->phase != SUP_UP;
	memset(h->listen, 0, sizeof(h->listen));
	for (unsigned i = 0; i < sup->n_listeners && n < sizeof(h->listen); i++)
		n += (size_t)snprintf(h->listen + n, sizeof(h->listen) - n, "%s%s", i ? " " : "", sup->listeners[i].addr.text);
	shm_header_publish(sup->owner, h);
}

void sup_board_child(struct sup_child *c)
{
	struct shm_child_line line = {
		.gen = c->gen,
		.pid = c->process.pid,
		.start = c->process.start,
		.state = c->state,
		.restarts = c->restarts,
		.since_wall_ns = c->since_wall_ns,
		.next_ns = c->next_ns,
	};

	if (c->role == PROC_WORKER) {
		sup_slot_publish(sup_slot_of(c));
		return;
	}
	snprintf(line.why, sizeof(line.why), "%s", c->why);
	if (c->role == PROC_HOST)
		shm_host_child_publish(c->sup->owner, &line);
	else
		shm_router_child_publish(c->sup->owner, c->index, &line);
}

void sup_board_lines(struct sup *sup)
{
	for (struct sup_child *c = sup_child_next(sup, NULL); c; c = sup_child_next(sup, c))
		if (c->gen)
			sup_board_child(c);
}

static int board_renew(struct sup *sup, struct why *why)
{
	struct shm_fds board, ro = sup->board_ro, rw = sup->board;
	struct shm_owner_file *owner = sup->owner;
	struct shm_reader *reader = sup->reader;
	int err = shm_board_create(&board, why);

	if (err < 0)
		return err;
	sup->board = board;
	memset(&sup->board_ro, 0xff, sizeof(sup->board_ro)); /* -1 each */
	sup->owner = NULL;
	sup->reader = NULL;
	err = board_map(sup, why);
	if (err < 0)
		board_unmap(sup);
	/* Now the one that is not needed any more is in `rw`, `ro`, `owner` and `reader`. */
	if (err < 0) {
		sup->board = rw;
		sup->board_ro = ro;
		sup->owner = owner;
		sup->reader = reader;
		return err;
	}
	shm_reader_close(&reader);
	shm_unmap(owner, SHM_KIND_OWNER);
	shm_fds_close(&rw);
	shm_fds_close(&ro);
	return 0;
}

void sup_board_mend(struct sup *sup)
{
	uint64_t now = clock_now_ns();
	struct why why, cause;

	if (now < sup->mend_ns || shm_reader_check(sup->reader, &cause) == 0)
		return;
	sup->mend_ns = now + SUP_MEND_NS;
	if (board_renew(sup, &why) < 0) {
		log_err("the board is damaged (%.200s) and cannot be replaced: %.200s; tried again every second", cause.text, why.text);
		return;
	}
	log_warning("the board is damaged and replaced: %s", cause.text);
	board_keep(sup);
	sup_board_header(sup);
	sup_board_lines(sup);
	sup_adopt_save(sup); /* a successor must know it by its number */
	for (struct sup_child *c = sup_child_next(sup, NULL); c; c = sup_child_next(sup, c))
		if (c->greeted && c->orders >= 0)
			sup_orders_board(c);
}

void sup_board_close(struct sup *sup)
{
	sup_notify_forget_board(sup);
	board_unmap(sup);
}
