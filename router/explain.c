/* Why: what this router would do with a prompt, or did with a request, with everything it was made from, as JSON. */
#include "router/router.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define MODELS_SHOWN 48 /* the best of them, then those left out: an answer has its limit */

static void put(struct json_object *o, const char *key, struct json_object *v)
{
	json_object_object_add(o, key, v);
}

static void put_text(struct json_object *o, const char *key, const char *text)
{
	put(o, key, json_object_new_string(text));
}

/* Three decimals say all that is known. */
static void put_real(struct json_object *o, const char *key, double v)
{
	char text[40];

	snprintf(text, sizeof(text), "%.3f", v);
	put(o, key, json_object_new_double_s(v, text));
}

static void put_ms(struct json_object *o, const char *key, double ns)
{
	put(o, key, json_object_new_int64((int64_t)(ns / (double)NS_PER_MS)));
}

/* --- which model ----------------------------------------------------------------------------------------------------------------- */

static struct json_object *kind_json(const struct classify_result *k)
{
	static const char *const DOUBTS[] = {
		[DOUBT_NONE] = "none", [DOUBT_UNSURE] = "unsure", [DOUBT_FOREIGN] = "foreign", [DOUBT_REPEATS] = "repeats"};
	struct json_object *o = json_object_new_object(), *tags = json_object_new_array(), *cues = json_object_new_array();

	put_text(o, "category", category_name(k->category));
	put_text(o, "likeliest", category_name(k->likeliest));
	put_text(o, "doubt", DOUBTS[k->doubt]);
	put_real(o, "confidence", (double)k->confidence);
	put_real(o, "complexity", (double)k->complexity);
	put_text(o, "level", classify_level_name(k->level));
	put(o, "sure", json_object_new_boolean(k->sure));
	put(o, "unsafe", json_object_new_boolean(k->unsafe));
	for (uint64_t bits = k->tags; bits; bits &= bits - 1)
		json_object_array_add(tags, json_object_new_string(cue_tag_name((enum cue_tag)__builtin_ctzll(bits))));
	put(o, "tags", tags);
	for (unsigned i = 0; i < CUE_COUNT; i++)
		if (cue_has(&k->cues, (enum cue)i))
			json_object_array_add(cues, json_object_new_string(cue_name((enum cue)i)));
	put(o, "cues", cues);
	return o;
}

static struct json_object *model_json(const struct router *r, const struct choose_candidate *c, const struct choose_model *m)
{
	struct json_object *o = json_object_new_object();
	const struct automatic *a = &r->automatic;

	put_text(o, "model", m->name);
	put_text(o, "registry", m->match == MATCH_NONE ? "" : a->known.registry->models[m->match].name);
	put_text(o, "excluded", c->exclude ? choose_exclude_text(c->exclude) : "");
	if (c->exclude) {
		put_text(o, "why", choose_exclude_help(c->exclude));
		return o;
	}
	put_text(o, "link", choose_link_text(c->link));
	put_text(o, "why", choose_link_help(c->link));
	put_text(o, "category", a->known.tax.category[c->category].name);
	put_real(o, "score", (double)c->score);
	put_real(o, "skill", (double)c->skill);
	put_real(o, "size", (double)c->size);
	put_real(o, "ready", (double)c->ready);
	return o;
}

static struct json_object *models_json(const struct router *r, const struct choose_result *ranking)
{
	struct json_object *list = json_object_new_array();
	unsigned shown = 0;

	for (unsigned i = 0; i < ranking->n && shown < MODELS_SHOWN; i++, shown++) {
		unsigned at = ranking->order[i];

		json_object_array_add(list, model_json(r, &ranking->candidate[at], &r->automatic.choice[at]));
	}
	for (unsigned i = 0; i < r->n_models && shown < MODELS_SHOWN; i++)
		if (ranking->candidate[i].exclude) {
			json_object_array_add(list, model_json(r, &ranking->candidate[i], &r->automatic.choice[i]));
			shown++;
		}
	return list;
}

static struct json_object *reasoning_json(const struct automatic *a, const struct choose_result *ranking)
{
	struct json_object *o = json_object_new_object();

	put_real(o, "share", a->share.share);
	put_real(o, "most", a->conf.reasoning_share);
	put_real(o, "from_complexity", ranking->threshold);
	put_real(o, "below_confidence", a->conf.confidence);
	put(o, "wanted_in_vain", json_object_new_boolean(ranking->wanted));
	return o;
}

/* --- which instance -------------------------------------------------------------------------------------------------------------- */

static struct json_object *instance_json(const struct router *r, const struct decision *d, unsigned i)
{
	const struct decide_candidate *c = &d->result.candidate[i];
	const struct decide_slot *s = &d->slot[i];
	struct json_object *o = json_object_new_object(), *terms = json_object_new_object();

	put_text(o, "instance", r->conf.slots[i].name);
	put_text(o, "excluded", c->exclude ? exclude_text(c->exclude) : "");
	put_text(o, "why", c->exclude ? exclude_help(c->exclude) : "");
	put_text(o, "tier", decide_tier_text(c->tier));
	put(o, "resident", json_object_new_boolean(s->resident));
	put(o, "in_flight", json_object_new_int(s->in_flight));
	put(o, "places", json_object_new_int(s->places));
	if (!c->exclude) {
		put_real(o, "score", (double)c->score);
		put_ms(o, "finish_ms", (double)c->finish_ns);
		for (unsigned t = 0; t < DECIDE_TERM_COUNT; t++)
			put_real(terms, decide_term_text(t), (double)c->term[t]);
	}
	put(o, "terms", terms);
	return o;
}

static struct json_object *weights_json(const struct decide_conf *conf)
{
	struct json_object *o = json_object_new_object();

	for (unsigned t = 0; t < DECIDE_TERM_COUNT; t++)
		put_real(o, decide_term_text(t), (double)conf->weight[t]);
	return o;
}

static struct json_object *decision_json(const struct router *r, const struct decision *d)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	const struct decide_result *res = &d->result;

	put_text(o, "model", d->model);
	put_text(o, "mode", decide_mode_text(r->routing.decide.mode));
	put_text(o, "verdict", decide_verdict_text(res->verdict));
	put_text(o, "reason", decide_reason_text(res->reason));
	put_text(o, "why", decide_reason_help(res->reason));
	put_text(o, "winner", res->slot >= 0 ? r->conf.slots[res->slot].name : "");
	put_text(o, "tier", decide_tier_text(res->tier));
	put_text(o, "class", order_class_text(d->class));
	put(o, "prompt_tokens", json_object_new_int64(d->rq.prompt_tokens));
	put(o, "output_tokens", json_object_new_int64(d->rq.output_tokens));
	put(o, "weights", weights_json(&r->routing.decide));
	for (unsigned i = 0; i < res->n; i++)
		if (res->candidate[i].exclude != DECIDE_EXCLUDE_MODEL)
			json_object_array_add(list, instance_json(r, d, i));
	put(o, "instances", list);
	return o;
}

/* --- questions ------------------------------------------------------------------------------------------------------------------- */

/* A request that nobody sends. */
static struct json_object *prompt_explain(struct router *r, const char *text)
{
	uint64_t now = clock_now_ns();
	struct exchange *x = exchange_create(r, NULL);
	struct json_object *o = json_object_new_object();
	const struct classify_result *kind;
	const struct choose_result *ranking;
	struct model *m;

	if (!x) {
		json_object_put(o);
		return NULL;
	}
	view_refresh(r, now);
	x->text_bytes = strlen(text);
	x->tenant = tenant_enter(&r->routing, 0, now);
	m = auto_explain(x, text, strlen(text), NULL, &kind, &ranking);
	put_text(o, "model", m ? m->key : "");
	if (kind) {
		put(o, "prompt", kind_json(kind));
		put_text(o, "category", r->automatic.known.tax.category[x->category < 0 ? TAX_GENERAL : x->category].name);
		put(o, "reasoning", reasoning_json(&r->automatic, ranking));
		put(o, "models", models_json(r, ranking));
	} else {
		put_text(o, "note",
			 r->automatic.classifier ? "routing.auto.enabled is no: auto means default_model"
						 : "nothing is classified without weights: auto means default_model");
	}
	if (m) {
		exchange_model(x, m);
		learn_expect(x, now);
		put(o, "decision", decision_json(r, decision_make(x, now)));
	}
	exchange_free(x);
	return o;
}

static struct json_object *request_explain(struct router *r, const char *text)
{
	char *end;
	uint64_t id = strtoull(text, &end, 16);
	const struct decision *d = *end || !id ? NULL : decision_find(r, id);
	struct json_object *o;

	if (!d)
		return NULL;
	o = json_object_new_object();
	put_text(o, "request", text);
	put(o, "attempt", json_object_new_int(d->attempt));
	put(o, "auto", json_object_new_boolean(d->automatic));
	if (d->kind) {
		put_text(o, "category", category_name((enum category)(d->kind - 1)));
		put_real(o, "confidence", (double)d->confidence);
		put_real(o, "complexity", (double)d->complexity);
	}
	put(o, "decision", decision_json(r, d));
	return o;
}

void explain(struct router *r, uint32_t about, uint64_t number, const char *text)
{
	static const char UNKNOWN[] = "no router remembers that request: it keeps the last ones that were sent to an instance";
	static const char EMPTY[] = "there is no memory for an answer";
	struct json_object *o = !r->configured ? NULL : about == PROC_EXPLAIN_REQUEST ? request_explain(r, text) : prompt_explain(r, text);
	const char *said = o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN) : NULL;

	if (!said || strlen(said) >= PROC_EXPLAIN_MAX) {
		said = about == PROC_EXPLAIN_REQUEST ? UNKNOWN : EMPTY;
		orders_explained(r, number, false, said);
	} else {
		orders_explained(r, number, true, said);
	}
	json_object_put(o);
}
