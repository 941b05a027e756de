/* Slots: the truth about which instance has which place, and how its worker is doing. */
#include "supervisor/supervisor.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"

struct sup_slot *sup_slot_of(const struct sup_child *c)
{
	return c->role == PROC_WORKER ? &c->sup->slots[c->index] : NULL;
}

struct sup_slot *sup_slot_find(struct sup *sup, const char *name)
{
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		if (sup->slots[i].used && strcmp(sup->slots[i].name, name) == 0)
			return &sup->slots[i];
	return NULL;
}

struct sup_slot *sup_slot_free(struct sup *sup)
{
	for (unsigned i = 0; i < SHM_SLOTS; i++)
		if (!sup->slots[i].used)
			return &sup->slots[i];
	return NULL;
}

void sup_slot_take(struct sup_slot *slot, const char *name)
{
	slot->used = true;
	slot->drained = slot->due = false;
	slot->conf = NULL;
	memset(&slot->ollama, 0, sizeof(slot->ollama));
	snprintf(slot->name, sizeof(slot->name), "%s", name);
	snprintf(slot->child.label, sizeof(slot->child.label), "worker %s", name);
	slot->child.why[0] = 0;
	slot->child.restarts = 0;
	proc_backoff_lift(&slot->child.backoff);
}

void sup_slot_adapt(struct sup_slot *slot)
{
	slot->due = false;
	slot->adopted = slot->conf->adopted;
	slot->places = slot->conf->places;
	slot->identity = conf_instance_identity(slot->conf);
	sup_handoff_addr(&slot->conf->addr, &slot->addr);
}

static void slot_give_up(struct sup_slot *slot)
{
	struct sup *sup = slot->child.sup;

	log_notice("instance %s has left the configuration and is stopped", slot->name);
	slot->used = false;
	slot->drained = slot->due = false;
	slot->name[0] = 0;
	sup->dirty = true;
	sup_slot_publish(slot);
	sup_orders_routers(sup, false);
}

void sup_slot_settle(struct sup_slot *slot)
{
	struct sup_child *c = &slot->child;
	struct sup *sup = c->sup;

	if (slot->orphan.process.pid)
		return; /* it calls again when that has ended */
	if (slot->ollama.pid && !slot->adopted) {
		sup_orphan_end(slot);
		return;
	}
	if (sup->phase != SUP_UP) {
		sup_stop_step(sup);
		return;
	}
	if (!slot->conf) {
		slot_give_up(slot);
		return;
	}
	sup_slot_adapt(slot);
	sup_orders_routers(sup, false);
	sup_child_feed(c, LIFE_START);
}

static enum shm_wanted slot_wanted(const struct sup_slot *slot)
{
	if (!slot->used)
		return SHM_WANT_NONE;
	if (!slot->conf)
		return SHM_WANT_STOP;
	/* A worker that stops to be started again drains its instance. */
	if (slot->drained || slot->child.state == SHM_CHILD_STOPPING)
		return SHM_WANT_DRAIN;
	return slot->due ? SHM_WANT_RESTART : SHM_WANT_RUN;
}

static void tags_join(const struct conf_instance *conf, char *out, size_t size)
{
	size_t n = 0;

	for (unsigned i = 0; i < conf->n_tags && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", i ? " " : "", conf->tags[i]);
}

void sup_slot_publish(struct sup_slot *slot)
{
	const struct sup_child *c = &slot->child;
	struct shm_owner line = {
		.gen = c->gen,
		.used = slot->used,
		.wanted = slot_wanted(slot),
		.places = slot->places,
		.pinned = slot->conf ? slot->conf->pinned : 0,
		.adopted = slot->adopted,
		.conf_gen = slot->conf_gen,
		.child_pid = c->process.pid,
		.child_start = c->process.start,
		.child_state = c->state,
		.child_restarts = c->restarts,
		.child_since_wall_ns = c->since_wall_ns,
		.child_next_ns = c->next_ns,
	};

	snprintf(line.name, sizeof(line.name), "%s", slot->name);
	if (slot->used)
		snprintf(line.url, sizeof(line.url), "http://%s", slot->addr.text);
	if (slot->conf)
		tags_join(slot->conf, line.tags, sizeof(line.tags));
	snprintf(line.why, sizeof(line.why), "%s", c->why);
	shm_slot_publish(c->sup->owner, c->index, &line);
}

const char *sup_slot_names(const struct sup *sup, char *buf, size_t size)
{
	size_t n = 0;

	snprintf(buf, size, "none");
	for (unsigned i = 0; i < SHM_SLOTS && n < size; i++)
		if (sup->slots[i].used)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", sup->slots[i].name);
	return buf;
}
