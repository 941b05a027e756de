/* What an operator may ask for: one handler for each verb of ctl/verbs.def. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/scan.h"

struct request {
	struct sup_peer *peer;
	struct sup *sup;
	enum ctl_verb verb;
	struct sup_slot *slot; /* of the first word, where the verb takes a name */
	const char *model;     /* the second word, or empty */
	const char *const *words;
	unsigned n;
};

static void asked(const struct request *r)
{
	char text[192];

	snprintf(text, sizeof(text), "asked; `tsactl instance %s` shows the progress", r->slot->name);
	sup_control_answer(r->peer, r->verb, 0, text);
}

static void do_board(const struct request *r)
{
	sup_control_answer_board(r->peer);
}

static void drain_set(const struct request *r, bool drained)
{
	char text[192];

	r->slot->drained = drained;
	r->sup->dirty = true;
	sup_slot_publish(r->slot);
	snprintf(text, sizeof(text), "%s %s", r->slot->name,
		 drained ? "gets no new requests; those it has run to their end" : "is welcome to new requests again");
	sup_control_answer(r->peer, r->verb, 0, text);
}

static void do_drain(const struct request *r)
{
	drain_set(r, true);
}

static void do_undrain(const struct request *r)
{
	drain_set(r, false);
}

static void do_restart(const struct request *r)
{
	if (r->slot->due)
		sup_roll_begin(r->slot);
	else
		sup_child_feed(&r->slot->child, LIFE_LIFT);
	asked(r);
}

/* An order that only a worker that does its work can follow. */
static void order(const struct request *r, enum proc_type type)
{
	struct sup_child *c = &r->slot->child;
	size_t len = *r->model ? strlen(r->model) + 1 : 0;
	char text[256];

	if (len > PROC_MODEL) {
		snprintf(text, sizeof(text), "a model name has at most %d bytes", PROC_MODEL - 1);
		sup_control_answer(r->peer, r->verb, -EINVAL, text);
	} else if (c->state != SHM_CHILD_RUNNING || sup_orders_send(c, type, 0, 0, r->model, len) < 0) {
		snprintf(text, sizeof(text),
			 "the worker of %s does not take orders now (it is %s); try again when `tsactl instance %s` shows it "
			 "running",
			 r->slot->name, shm_child_word(c->state), r->slot->name);
		sup_control_answer(r->peer, r->verb, -EAGAIN, text);
	} else {
		asked(r);
	}
}

static void do_warm(const struct request *r)
{
	order(r, PROC_WARM);
}

static void do_unload(const struct request *r)
{
	order(r, PROC_UNLOAD);
}

static void do_reload(const struct request *r)
{
	struct why why;
	int err = sup_reload(r->sup, &why);

	sup_control_answer(r->peer, r->verb, err, why.text);
}

/* Answered when the new program has said what it makes of the configuration. */
static void do_upgrade(const struct request *r)
{
	struct why why;
	int err = sup_upgrade_begin(r->sup, r->peer->number, &why);

	if (err < 0)
		sup_control_answer(r->peer, r->verb, err, why.text);
}

static void do_version(const struct request *r)
{
	sup_control_answer(r->peer, r->verb, 0, TSA_VERSION);
}

/* Answered when the routers have. */
static void do_explain(const struct request *r)
{
	struct why why;
	int err = r->n == 2 ? sup_explain_begin(r->sup, r->peer->number, r->words[0], r->words[1], &why)
			    : why_set(&why, -EINVAL, "explain takes what it is about, prompt or request, and the text");

	if (err < 0)
		sup_control_answer(r->peer, r->verb, err, why.text);
}

/* Complete: one for each verb, so that ctl_request_parse() lets none through that is missing here. */
static void (*const HANDLERS[CTL_VERB_COUNT])(const struct request *) = {
	[CTL_BOARD] = do_board, [CTL_DRAIN] = do_drain,   [CTL_UNDRAIN] = do_undrain, [CTL_RESTART] = do_restart,
	[CTL_WARM] = do_warm,   [CTL_UNLOAD] = do_unload, [CTL_RELOAD] = do_reload,   [CTL_VERSION] = do_version,
	[CTL_UPGRADE] = do_upgrade, [CTL_EXPLAIN] = do_explain,
};

static void name_unknown(const struct request *r, const char *name)
{
	char names[400], text[512];

	snprintf(text, sizeof(text), "there is no instance %.64s; there are: %s", name,
		 sup_slot_names(r->sup, names, sizeof(names)));
	sup_control_answer(r->peer, r->verb, -ENOENT, text);
}

void sup_verb_do(struct sup_peer *p, enum ctl_verb verb, const char *const *words, unsigned n)
{
	const struct ctl_verb_info *info = &ctl_verbs()[verb];
	struct log_about about = {.event = LOG_EV_OPERATOR};
	struct request r = {.peer = p, .sup = p->sup, .verb = verb, .model = n > 1 ? words[1] : "", .words = words, .n = n};

	if (info->min) {
		r.slot = sup_slot_find(p->sup, words[0]);
		if (!r.slot) {
			name_unknown(&r, words[0]);
			return;
		}
	}
	if (verb != CTL_BOARD && verb != CTL_VERSION && verb != CTL_EXPLAIN) { /* the others change something */
		if (p->sup->phase != SUP_UP) {
			sup_control_answer(p, verb, -ESHUTDOWN, "tsad is stopping");
			return;
		}
		about.slot = r.slot ? r.slot->name : NULL;
		log_line(LOG_NOTICE_, &about, "user %u (process %d) asks: %s%s%s%s%s", (unsigned)p->uid, (int)p->pid, info->word,
			 n ? " " : "", n ? words[0] : "", n > 1 ? " " : "", r.model);
	}
	HANDLERS[verb](&r);
}
