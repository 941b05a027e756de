/* Reload: load a second configuration, see that it can be had, then change what changed and nothing else. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"

struct tally {
	unsigned added, removed, changed, restarted; /* instances */
	unsigned opened, closed;                     /* addresses listened on */
};

/* --- checks: nothing is touched here ------------------------------------------------------------------------------------------------ */

static const struct conf_instance *instance_find(const struct conf *conf, const char *name)
{
	for (unsigned i = 0; i < conf->n_instances; i++)
		if (strcmp(conf->instances[i].name, name) == 0)
			return &conf->instances[i];
	return NULL;
}

/* Those that leave keep their slots until they have stopped. */
static int room_check(struct sup *sup, const struct conf *conf, struct why *why)
{
	unsigned need = 0;

	for (unsigned i = 0; i < SHM_SLOTS; i++)
		need += sup->slots[i].used;
	for (unsigned i = 0; i < conf->n_instances; i++)
		need += !sup_slot_find(sup, conf->instances[i].name);
	if (need <= SHM_SLOTS)
		return 0;
	return why_set(why, -EBUSY,
		       "%u instances would be needed, with those that are still stopping, and there is room for %d; reload again "
		       "when they have stopped",
		       need, SHM_SLOTS);
}

static int load_check(struct sup *sup, struct conf **out, struct why *why)
{
	static struct conf_report report; /* large; there is one thread */
	const char *first;
	int err;

	memset(&report, 0, sizeof(report));
	err = sup_options_load(&sup->options, out, &report);
	first = sup_options_report(&report);
	if (err == 0)
		return 0;
	if (!first)
		return why_set(why, err, "cannot read %s: %s", sup->options.conf_path, strerror(-err));
	if (report.errors > 1)
		return why_set(why, err, "%s (and %u more; `tsad -n` shows all)", first, report.errors - 1);
	return why_set(why, err, "%s", first);
}

/* --- commit ---------------------------------------------------------------------------------------------------------------------- */

/* What separates the slot's running life from `now`. */
static enum conf_change slot_differs(const struct sup_slot *slot, const struct conf_instance *now)
{
	if (!slot->conf)
		return CONF_RESTART; /* it was leaving */
	if (slot->due && conf_instance_identity(now) == slot->identity)
		return CONF_LIVE; /* there and back before its turn came */
	return conf_instance_change(slot->conf, now);
}

static void slot_change(struct sup_slot *slot, const struct conf_instance *now, struct tally *t)
{
	enum conf_change change = slot_differs(slot, now);
	bool waits = slot->due && conf_instance_identity(now) != slot->identity;

	slot->conf = now;
	if (change == CONF_SAME) {
		if (slot->child.orders >= 0)
			sup_orders_conf(&slot->child); /* deadlines and the log level are the service's, and may differ */
		return;
	}
	slot->conf_gen++;
	sup_place_tell(now);
	proc_backoff_lift(&slot->child.backoff); /* what failed was the old one */
	if (change == CONF_RESTART || waits) {
		t->restarted++;
		sup_roll_add(slot);
		return;
	}
	t->changed++;
	sup_slot_adapt(slot);
	sup_slot_publish(slot);
	if (slot->child.orders >= 0)
		sup_orders_conf(&slot->child);
	else if (slot->child.state == SHM_CHILD_QUARANTINED)
		sup_child_feed(&slot->child, LIFE_LIFT);
}

static void slot_remove(struct sup_slot *slot, struct tally *t)
{
	if (slot->conf)
		t->removed++;
	slot->conf = NULL;
	slot->due = false;
	if (slot->child.state != SHM_CHILD_STOPPING)
		sup_child_stop(&slot->child, slot->child.sup->conf->drain_ns, false);
	else
		slot->child.wanted = false;
	sup_slot_publish(slot);
}

static void slot_add(struct sup *sup, const struct conf_instance *inst, struct tally *t)
{
	struct sup_slot *slot = sup_slot_free(sup); /* room_check() has counted */
	struct why why;

	sup_slot_take(slot, inst->name);
	slot->conf = inst;
	slot->conf_gen++;
	t->added++;
	sup_place_tell(inst);
	if (sup_place_instance(sup, inst->name, &why) < 0)
		log_err("%s", why.text);
	sup_slot_adapt(slot);
	sup_child_feed(&slot->child, LIFE_START);
}

/* `old` is still whole: the slots' configurations point into it. */
static void slots_commit(struct sup *sup, const struct conf *now, struct tally *t)
{
	for (unsigned i = 0; i < SHM_SLOTS; i++) {
		struct sup_slot *slot = &sup->slots[i];
		const struct conf_instance *inst;

		if (!slot->used)
			continue;
		inst = instance_find(now, slot->name);
		if (!inst)
			slot_remove(slot, t);
		else
			slot_change(slot, inst, t);
	}
	for (unsigned i = 0; i < now->n_instances; i++)
		if (!sup_slot_find(sup, now->instances[i].name))
			slot_add(sup, &now->instances[i], t);
}

static void routers_commit(struct sup *sup)
{
	for (unsigned i = 0; i < SHM_ROUTERS; i++) {
		struct sup_child *c = &sup->routers[i];

		if (i >= sup->conf->routers) {
			if (c->state != SHM_CHILD_NONE && c->state != SHM_CHILD_STOPPED)
				sup_child_stop(c, sup->conf->drain_ns, false);
			continue;
		}
		c->wanted = true;
		if (c->state != SHM_CHILD_STOPPING)
			sup_child_feed(c, c->state == SHM_CHILD_QUARANTINED ? LIFE_LIFT : LIFE_START);
	}
	if (sup->host.state == SHM_CHILD_QUARANTINED)
		sup_child_feed(&sup->host, LIFE_LIFT);
	else if (sup->host.orders >= 0)
		sup_orders_conf(&sup->host);
}

/* Addresses of `a` that `b` does not have, told one by one. */
static unsigned listen_differs(const struct conf *a, const struct conf *b, const char *what)
{
	unsigned n = 0;

	for (unsigned i = 0; i < a->n_listen; i++) {
		bool in_both = false;

		for (unsigned j = 0; j < b->n_listen; j++)
			in_both |= strcmp(a->listen[i].text, b->listen[j].text) == 0;
		if (in_both)
			continue;
		log_notice("%s %s", what, a->listen[i].text);
		n++;
	}
	return n;
}

/* What only a start can change. */
static void warn_fixed(const struct sup *sup, const struct conf *now)
{
	if (strcmp(sup->conf->user, now->user) != 0)
		log_warning("user = \"%s\" takes effect when tsad is started again", now->user);
	if (strcmp(sup->conf->group, now->group) != 0)
		log_warning("group = \"%s\" takes effect when tsad is started again", now->group);
	if (!sup->options.state_dir && strcmp(sup->conf->state_dir, now->state_dir) != 0)
		log_warning("state_dir = \"%s\" takes effect when tsad is started again", now->state_dir);
}

static void commit(struct sup *sup, struct conf *now, struct sup_facts facts, struct sup_listener made[CONF_LISTEN], struct tally *t)
{
	struct conf *old = sup->conf;

	warn_fixed(sup, now);
	sup->conf = now;
	sup->conf_gen++;
	sup_facts_close(&sup->facts);
	sup->facts = facts;
	log_set_level(sup_options_level(&sup->options, now));
	slots_commit(sup, now, t);
	t->opened = listen_differs(now, old, "listening on");
	t->closed = listen_differs(old, now, "no longer listening on");
	conf_destroy(&old);
	routers_commit(sup);
	/* Sends all routers the new configuration as well. */
	sup_listen_commit(sup, now, made);
	sup_roll_step(sup, clock_now_ns());
	sup->dirty = true;
}

static int refuse(struct sup *sup, int err, struct why *why)
{
	struct log_about about = {.event = LOG_EV_RELOAD_REFUSED};

	log_line(LOG_ERR_, &about, "reload refused, the old configuration stays: %s", why->text);
	sup->header.reloads_bad++;
	sup->header.reload_wall_ns = clock_wall_ns();
	snprintf(sup->header.reload_text, sizeof(sup->header.reload_text), "%.*s", (int)sizeof(sup->header.reload_text) - 1,
		 why->text);
	sup_board_header(sup);
	return err;
}

int sup_reload(struct sup *sup, struct why *why)
{
	struct log_about about = {.event = LOG_EV_RELOADED};
	struct sup_listener made[CONF_LISTEN];
	struct sup_facts facts = {-1, -1};
	struct tally t = {0};
	struct conf *now = NULL;
	int err;

	why->text[0] = 0;
	if (sup->phase != SUP_UP)
		return why_set(why, -ESHUTDOWN, "tsad is stopping");
	if (!sup->listening)
		return why_set(why, -EAGAIN, "tsad is still starting; try again in a few seconds");
	sup_notify_reloading(sup);
	err = load_check(sup, &now, why);
	if (err == 0)
		err = room_check(sup, now, why);
	if (err == 0)
		err = sup_facts_load(now, &facts, why);
	if (err == 0)
		err = sup_listen_make(sup, now, made, why);
	if (err < 0) {
		sup_facts_close(&facts);
		conf_destroy(&now);
		err = refuse(sup, err, why);
	} else {
		commit(sup, now, facts, made, &t);
		why_set(why, 0,
			"reloaded: instances: %u added, %u removed, %u to restart%s, %u changed while running; listeners: %u added, "
			"%u removed",
			t.added, t.removed, t.restarted, t.restarted > 1 ? " one after another" : "", t.changed, t.opened, t.closed);
		sup->header.reloads_ok++;
		sup->header.reload_wall_ns = clock_wall_ns();
		memset(sup->header.reload_text, 0, sizeof(sup->header.reload_text));
		sup_board_header(sup);
		log_line(LOG_NOTICE_, &about, "%s", why->text);
	}
	sup_notify_reloaded(sup);
	return err;
}

void sup_reload_ask(struct sup *sup)
{
	struct why why;

	sup->reload_owed = !sup->listening && sup->phase == SUP_UP;
	if (!sup->reload_owed)
		(void)sup_reload(sup, &why); /* it has logged why */
}
