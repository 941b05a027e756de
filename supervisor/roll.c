/* Instances whose Ollama must be started again by a reload: one after another, so that the others go on serving. */
#include "supervisor/supervisor.h"

#include "base/clock.h"

/* Requests are welcome there.  Read off the board: only the worker knows it, and a wrong word of it costs no more than patience. */
static bool slot_serves(const struct sup_slot *slot)
{
	const struct sup_child *c = &slot->child;
	struct shm_vital vital;

	return slot->used && !slot->drained && c->state == SHM_CHILD_RUNNING &&
	       shm_read_vital(c->sup->reader, c->index, &vital) == 0 && vital.gen == c->gen && vital.state == SHM_STATE_READY;
}

/* Nobody waits for it any longer. */
static bool slot_is_out(const struct sup_slot *slot)
{
	return !slot->used || !slot->conf || slot->drained || slot->child.state == SHM_CHILD_QUARANTINED;
}

void sup_roll_add(struct sup_slot *slot)
{
	slot->due = true;
	sup_slot_publish(slot);
}

void sup_roll_begin(struct sup_slot *slot)
{
	slot->due = false;
	sup_child_stop(&slot->child, slot->child.sup->conf->drain_ns, true);
	sup_slot_publish(slot);
}

/* It outlived its supervisor and has not reported yet. */
static bool slot_is_awaited(const struct sup_slot *slot)
{
	return slot->child.state == SHM_CHILD_STARTING && !slot->child.ours;
}

/* How long a turn may take. */
static uint64_t turn_ns(const struct conf *conf)
{
	return conf->drain_ns + conf->stop_ns + conf->start_ns + conf->load_ns;
}

void sup_roll_resume(struct sup *sup)
{
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		if (sup->slots[i].used && sup->slots[i].due)
			sup->roll_hold_ns = clock_after_ns(clock_now_ns(), turn_ns(sup->conf));
}

/* Whose turn it was when the last supervisor died is not known: it is over when all serve that shall. */
static bool turn_is_inherited(struct sup *sup, uint64_t now_ns)
{
	if (now_ns >= sup->roll_hold_ns)
		return false;
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		if (!slot_is_out(&sup->slots[i]) && !slot_serves(&sup->slots[i]))
			return true;
	sup->roll_hold_ns = 0;
	return false;
}

/* The last one has its turn until it serves again. */
static bool turn_is_over(struct sup *sup, uint64_t now_ns)
{
	const struct sup_slot *slot = sup->roll_slot;
	struct log_about about = {.event = LOG_EV_RELOADED};

	if (!slot || slot_is_out(slot) || slot_serves(slot))
		return true;
	if (now_ns < sup->roll_until_ns)
		return false;
	about.slot = slot->name;
	log_line(LOG_WARNING_, &about,
		 "%s is not ready in time after its restart by a reload; the next instance is restarted all the same "
		 "(`tsactl instance %s` shows what is wrong)",
		 slot->name, slot->name);
	return true;
}

void sup_roll_step(struct sup *sup, uint64_t now_ns)
{
	const struct conf *conf = sup->conf;
	struct sup_slot *next = NULL;

	if (sup->phase != SUP_UP)
		return;
	for (unsigned i = SHM_SLOTS; i-- > 0;) {
		struct sup_slot *slot = &sup->slots[i];

		if (!slot->used || !slot->due)
			continue;
		if (slot_serves(slot))
			next = slot;
		else if (!slot_is_awaited(slot))
			sup_roll_begin(slot); /* nobody misses it */
	}
	if (sup->roll_slot && turn_is_over(sup, now_ns))
		sup->roll_slot = NULL;
	if (sup->roll_slot || !next || turn_is_inherited(sup, now_ns))
		return;
	sup_roll_begin(next);
	sup->roll_slot = next;
	sup->roll_until_ns = clock_after_ns(now_ns, turn_ns(conf));
}
