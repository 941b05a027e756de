#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/tsactl/tsactl.h"
#include "tools/tsactl/words.h"

#define EFFECT_NS (60ULL * NS_PER_S)

/* What was before the order, so that its effect can be told from it. */
struct before {
	enum ctl_verb verb;
	char name[SHM_NAME];
	char model[SHM_MODEL_NAME]; /* "" : the primary one, or all */
	uint64_t wall_ns;
	uint64_t load_failures;
	uint64_t reloads_ok;
	uint64_t reloads_bad;
	/* for reload: configurations as numbers, so that what changes can be told */
	uint64_t sup_gen;
	uint64_t router_conf;
	struct {
		char name[SHM_NAME];
		uint64_t conf_gen;
	} slots[SHM_SLOTS];
	unsigned n_slots;
};

/* --- effects: 1 it is there, 0 not yet, -errno it will not come ------------------------------------------------------------------- */

typedef int effect_fn(const struct view *v, const struct view_slot *s, const struct before *b, struct why *why);

static int effect_drain(const struct view *v, const struct view_slot *s, const struct before *b, struct why *why)
{
	(void)v, (void)b;
	if (s->owner.wanted != SHM_WANT_DRAIN)
		return why_set(why, 0, "%s does not drain yet", s->owner.name);
	if (s->in_flight)
		return why_set(why, 0, "%s still works on %llu requests", s->owner.name, (unsigned long long)s->in_flight);
	return 1;
}

static int ready(const struct view_slot *s, struct why *why)
{
	char state[120];

	if (view_slot_ready(s))
		return 1;
	if (s->vital.state == SHM_STATE_QUARANTINED)
		return why_set(why, -ECANCELED, "%s is quarantined: %s", s->owner.name, s->vital.why);
	return why_set(why, 0, "%s is %s", s->owner.name, view_state_text(s, state, sizeof(state)));
}

static int effect_undrain(const struct view *v, const struct view_slot *s, const struct before *b, struct why *why)
{
	(void)v, (void)b;
	return s->owner.wanted == SHM_WANT_RUN ? ready(s, why) : why_set(why, 0, "%s is not taken back yet", s->owner.name);
}

static int effect_restart(const struct view *v, const struct view_slot *s, const struct before *b, struct why *why)
{
	(void)v;
	if (s->vital.since_wall_ns <= b->wall_ns)
		return why_set(why, 0, "%s has not begun to restart", s->owner.name);
	return ready(s, why);
}

/* The model that the order names; the primary one where it names none. */
static const struct shm_model *model_of(const struct view_slot *s, const char *name)
{
	for (unsigned i = 0; i < s->models.n && i < SHM_MODELS; i++)
		if (*name ? strcmp(s->models.at[i].name, name) == 0 : (s->models.at[i].flags & SHM_MODEL_PRIMARY) != 0)
			return &s->models.at[i];
	return NULL;
}

static int effect_warm(const struct view *v, const struct view_slot *s, const struct before *b, struct why *why)
{
	const struct shm_model *m = model_of(s, b->model);

	(void)v;
	if (s->vital.load_failures > b->load_failures && m && (m->flags & SHM_MODEL_FAILED))
		return why_set(why, -ECANCELED, "%s could not load %s: %s", s->owner.name, m->name, s->vital.why);
	if (m && (m->flags & SHM_MODEL_RESIDENT) && !(m->flags & SHM_MODEL_LOADING))
		return 1;
	return why_set(why, 0, "%s has not loaded %s yet", s->owner.name, m ? m->name : *b->model ? b->model : "its primary model");
}

static int effect_unload(const struct view *v, const struct view_slot *s, const struct before *b, struct why *why)
{
	(void)v;
	for (unsigned i = 0; i < s->models.n && i < SHM_MODELS; i++)
		if ((s->models.at[i].flags & SHM_MODEL_RESIDENT) && (!*b->model || strcmp(s->models.at[i].name, b->model) == 0))
			return why_set(why, 0, "%s still has %s in memory", s->owner.name, s->models.at[i].name);
	return 1;
}

static effect_fn *const EFFECTS[CTL_VERB_COUNT] = {
	[CTL_DRAIN] = effect_drain, [CTL_UNDRAIN] = effect_undrain, [CTL_RESTART] = effect_restart,
	[CTL_WARM] = effect_warm,   [CTL_UNLOAD] = effect_unload,
};

/* Did the reload change it? */
static bool slot_changed(const struct view_slot *s, const struct before *b)
{
	for (unsigned i = 0; i < b->n_slots; i++)
		if (strcmp(s->owner.name, b->slots[i].name) == 0)
			return s->owner.conf_gen != b->slots[i].conf_gen;
	return true;
}

/* What left is gone, what changed is ready again. */
static int slot_settled(const struct view_slot *s, const struct before *b, struct why *why)
{
	if (s->owner.wanted == SHM_WANT_STOP)
		return why_set(why, 0, "%s has left the configuration and still stops", s->owner.name);
	if (s->owner.wanted == SHM_WANT_RESTART)
		return why_set(why, 0, "%s waits for its turn to be started again", s->owner.name);
	return slot_changed(s, b) && !view_slot_drained(s) ? ready(s, why) : 1;
}

/* A router numbers the configuration it works by as its supervisor does. */
static int routers_settled(const struct view *v, const struct before *b, struct why *why)
{
	for (unsigned i = 0; i < v->n_routers; i++) {
		const struct view_router *r = &v->routers[i];

		if (r->index >= v->header.routers)
			return why_set(why, 0, "router %u is no longer configured and still stops", r->index);
		if (r->life != VIEW_FRESH || (v->header.sup_gen == b->sup_gen && r->ident.conf_gen <= b->router_conf))
			return why_set(why, 0, "router %u does not work by the new configuration yet", r->index);
	}
	return 1;
}

static int effect_reload(const struct view *v, const struct before *b, struct why *why)
{
	int rc;

	if (v->header.reloads_bad > b->reloads_bad)
		return why_set(why, -EINVAL, "the configuration was refused: %s", v->header.reload_text);
	if (v->header.reloads_ok <= b->reloads_ok && v->header.sup_gen == b->sup_gen)
		return why_set(why, 0, "the reload has not ended");
	rc = routers_settled(v, b, why);
	for (unsigned i = 0; i < v->n_slots && rc > 0; i++)
		rc = slot_settled(&v->slots[i], b, why);
	return rc;
}

static int effect_seen(const struct view *v, const void *what, struct why *why)
{
	const struct before *b = what;

	if (b->verb == CTL_RELOAD)
		return effect_reload(v, b, why);
	for (unsigned i = 0; i < v->n_slots; i++)
		if (strcmp(v->slots[i].owner.name, b->name) == 0)
			return EFFECTS[b->verb](v, &v->slots[i], b, why);
	return why_set(why, -ENOENT, "%s is no longer configured", b->name);
}

/* --- the order ---------------------------------------------------------------------------------------------------------------------- */

/* The model that `typed` names, shortened or not, into `out`; a full board may have left it out.  An exit status, complained. */
static int model_find(const struct options *o, const struct view_slot *s, const char *typed, char *out)
{
	const char *names[SHM_MODELS];
	unsigned n = 0, at;
	int rc;

	for (; n < s->models.n && n < SHM_MODELS; n++)
		names[n] = s->models.at[n].name;
	if (!n)
		return complain(o, EXIT_REFUSED,
				"%s has shown no model yet; `tsactl instance %s` shows what it is doing, and `ollama pull` gives it one",
				s->owner.name, s->owner.name);
	rc = words_match(typed, names, n, &at);
	if (rc < 0 && n < SHM_MODELS)
		return complain_word(o, rc, "model of this instance", typed, names, n);
	snprintf(out, SHM_MODEL_NAME, "%s", rc == 0 ? names[at] : typed);
	return EXIT_DONE;
}

static void before_number(const struct view *v, struct before *b)
{
	b->reloads_ok = v->header.reloads_ok;
	b->reloads_bad = v->header.reloads_bad;
	b->sup_gen = v->header.sup_gen;
	for (unsigned i = 0; i < v->n_routers; i++)
		if (v->routers[i].ident.conf_gen > b->router_conf)
			b->router_conf = v->routers[i].ident.conf_gen;
	for (; b->n_slots < v->n_slots; b->n_slots++) {
		const struct shm_owner *owner = &v->slots[b->n_slots].owner;

		memcpy(b->slots[b->n_slots].name, owner->name, sizeof(owner->name));
		b->slots[b->n_slots].conf_gen = owner->conf_gen;
	}
}

static int before_take(const struct options *o, enum ctl_verb verb, const char *const *words, unsigned n, struct before *b)
{
	struct shm_reader *reader = NULL;
	const struct view_slot *s = NULL;
	struct view *v = NULL;
	struct why why = {""};
	int code = EXIT_DONE, rc = view_open(o->state, &reader, &v, &why);

	if (rc < 0)
		return complain(o, link_exit(rc), "%s", why.text);
	*b = (struct before){.verb = verb, .wall_ns = v->now_wall_ns};
	before_number(v, b);
	if (n)
		s = view_slot_find(o, v, words[0], &code);
	if (s) {
		memcpy(b->name, s->owner.name, sizeof(b->name));
		b->load_failures = s->vital.load_failures;
		if (n > 1)
			code = model_find(o, s, words[1], b->model);
	}
	view_close(&reader, &v);
	return code;
}

static int order_say(const struct options *o, const struct command *c, const struct answer *a)
{
	struct json_object *j;

	if (a->status < 0)
		return complain(o, EXIT_REFUSED, "%s", *a->text ? a->text : strerror(-a->status));
	if (!o->json) {
		/* what the others answer is a promise, and has been kept by now */
		printf("%s\n", *a->text && (!o->wait || c->verb == CTL_RELOAD || c->verb == CTL_UPGRADE) ? a->text : "done");
		return EXIT_DONE;
	}
	j = json_object_new_object();
	json_object_object_add(j, "ok", json_object_new_boolean(true));
	json_object_object_add(j, "verb", json_object_new_string(c->word));
	json_object_object_add(j, "waited", json_object_new_boolean(o->wait));
	json_object_object_add(j, "text", json_object_new_string(a->text));
	json_print(j);
	return EXIT_DONE;
}

int run_order(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	struct why why = {""};
	const char *sent[2];
	struct before b;
	int code, rc;

	if (!answer)
		return complain(o, EXIT_REFUSED, "there is no memory for an answer");
	code = before_take(o, c->verb, words, n, &b);
	if (code)
		goto out;
	sent[0] = b.name;
	sent[1] = b.model;
	rc = link_ask(o->state, c->verb, sent, n, answer, NULL, &why);
	if (rc < 0) {
		code = complain(o, link_exit(rc), "%s", why.text);
		goto out;
	}
	if (answer->status == 0 && o->wait)
		code = wait_until(o, o->timeout_ns ? o->timeout_ns : EFFECT_NS, effect_seen, &b);
	if (code == EXIT_DONE)
		code = order_say(o, c, answer);
out:
	free(answer);
	return code;
}

/* The board is not looked at: this program may be of the new version, and the board of the old one. */
int run_upgrade(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	uint64_t until_ns = clock_after_ns(clock_now_ns(), o->timeout_ns ? o->timeout_ns : EFFECT_NS);
	struct answer *answer = calloc(1, sizeof(*answer));
	struct why why = {""};
	int code, rc;

	(void)words, (void)n;
	if (!answer)
		return complain(o, EXIT_REFUSED, "there is no memory for an answer");
	rc = link_ask(o->state, c->verb, NULL, 0, answer, NULL, &why);
	if (rc < 0 || answer->status < 0)
		goto out;
	/* Nobody answers but the new program, or the old one when it could not be executed: its log says so. */
	do {
		struct timespec pause = {.tv_nsec = 50 * NS_PER_MS};

		nanosleep(&pause, NULL);
		rc = link_ask(o->state, CTL_VERSION, NULL, 0, answer, NULL, &why);
	} while (rc < 0 && clock_now_ns() < until_ns);
	if (rc == 0 && answer->status == 0) {
		char version[64];

		snprintf(version, sizeof(version), "%.40s", answer->text);
		snprintf(answer->text, sizeof(answer->text), "tsad %s has taken over", version);
	}
out:
	code = rc < 0 ? complain(o, link_exit(rc), "%s", why.text) : order_say(o, c, answer);
	free(answer);
	return code;
}
