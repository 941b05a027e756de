/* POST /api/intelligent-route and /api/classify-query: what tsa would do with a question, for those who then ask an instance themselves. */
#include "router/api.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/bug.h"
#include "base/clock.h"
#include "route/question.h"
#include "route/search.h"

#define FALLBACKS       2
#define SHORT_WORDS     5     /* who asks so little wants to know soon */
#define CONTEXT_LEAST   8192  /* of `require_context` */
#define CONTEXT_UNKNOWN 4096  /* what the replaced service said of models it did not know */
#define STRENGTH_FAST   0.45F /* up to some four billion parameters */
#define SKILL_HIGH      75.0F

/* --- which model, which instance --------------------------------------------------------------------------------------------------- */

/* 1 for the first that is configured. */
static unsigned ordinal(const struct router *r, unsigned slot)
{
	unsigned n = 1;

	for (unsigned i = 0; i < slot; i++)
		n += r->conf.slots[i].used != 0;
	return n;
}

/* Where nothing was decided: one that takes requests and has the model, one that has it, the first. */
static unsigned fallback_slot(const struct router *r, const struct model *m)
{
	uint64_t all = 0, usable = 0, has = m ? m->slots : 0, best;

	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		all |= r->conf.slots[i].used ? 1ULL << i : 0;
		usable |= api_usable(r, i) ? 1ULL << i : 0;
	}
	best = usable & has ? usable & has : all & has ? all & has : usable ? usable : all;
	return best ? (unsigned)__builtin_ctzll(best) : 0;
}

/* Which instance a request for the model would get. */
static void place(struct exchange *x, struct api_advice *out, uint64_t now_ns)
{
	const struct decision *d;

	exchange_model(x, out->model);
	learn_expect(x, now_ns);
	d = decision_make(x, now_ns);
	if (d->result.slot >= 0) {
		out->decided = true;
		out->slot = (unsigned)d->result.slot;
		out->finish_ns = d->result.candidate[out->slot].finish_ns;
	}
	decision_keep(x->r);
}

void api_advise(struct exchange *x, struct span text, const struct auto_wish *wish, struct model *fixed, struct api_advice *out)
{
	struct router *r = x->r;
	uint64_t now = clock_now_ns();
	const struct classify_result *kind;
	const struct choose_result *ranking;
	struct model *m;

	*out = (struct api_advice){0};
	x->text_bytes = text.n;
	x->tenant = tenant_enter(&r->routing, x->tenant_key, now);
	m = auto_explain(x, text.n ? text.p : "", text.n, wish, &kind, &ranking);
	m = fixed ? fixed : m;
	if (kind)
		out->kind = *kind;
	out->model = m;
	out->slot = fallback_slot(r, m);
	if (!m)
		return;
	if (ranking->n)
		out->skill = &ranking->candidate[m - r->models];
	for (unsigned i = 0; i < ranking->n && !out->second; i++)
		if (ranking->order[i] != m - r->models)
			out->second = r->models[ranking->order[i]].key;
	place(x, out, now);
}

/* --- intelligent-route -------------------------------------------------------------------------------------------------------------- */

static unsigned excluded(struct router *r, struct json_object *in, const char *keys[ROUTER_MODELS])
{
	struct json_object *list;
	unsigned n = 0;

	if (!json_object_object_get_ex(in, "exclude_models", &list))
		return 0;
	for (size_t i = 0; i < json_object_array_length(list) && n < ROUTER_MODELS; i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(list, i));
		struct model *m;
		char key[ROUTER_KEY];

		if (!name || !model_key(name, key))
			continue;
		m = model_find(r, key);
		if (m)
			keys[n++] = m->key;
	}
	return n;
}

void api_reasoning(const struct router *r, const struct api_advice *a, bool speed, struct json_out *o)
{
	const struct choose_model *c = a->model ? &r->automatic.choice[a->model - r->models] : NULL;
	const struct choose_candidate *s = a->skill;
	bool special = s && s->link <= CHOOSE_LINK_PARENT && s->category != TAX_GENERAL;

	if (!a->model)
		json_out_text(o, "reasoning", "Global fallback model");
	else if (!a->decided || !api_usable(r, a->slot))
		json_out_format(o, "reasoning", "Fallback model on instance %u", ordinal(r, a->slot));
	else
		json_out_format(o, "reasoning", "Selected %s on instance %u for %s%s%s%s", a->model->key, ordinal(r, a->slot),
				question_type_name(question_type_of(&a->kind)), special ? " (specialized)" : "",
				s && speed && c->strength <= STRENGTH_FAST ? " (fast)" : "",
				s && s->skill >= SKILL_HIGH ? " (high quality)" : "");
}

static uint64_t context_of(const struct router *r, const struct api_advice *a)
{
	uint64_t tokens = a->model ? a->model->context[a->slot] : 0;

	if (!tokens && a->skill)
		tokens = r->automatic.choice[a->model - r->models].registry_context;
	return tokens ? tokens : CONTEXT_UNKNOWN;
}

/* The first others that take requests. */
static void write_fallbacks(const struct router *r, unsigned slot, struct json_out *o)
{
	unsigned n = 0;
	char url[96];

	json_out_array(o, "fallback_options");
	for (unsigned i = 0; i < PROC_SLOTS && n < FALLBACKS; i++) {
		double probe_s;

		if (i == slot || !api_usable(r, i))
			continue;
		probe_s = api_probe_s(r, i);
		json_out_object(o, NULL);
		json_out_text(o, "instance", r->conf.slots[i].name);
		json_out_text(o, "url", api_url(r, i, url));
		json_out_format(o, "load_score", "%.2fs", probe_s < 0 ? 0 : probe_s);
		json_out_end(o);
		n++;
	}
	json_out_end(o);
}

/* Short questions that are not hard are asked in a hurry, whatever they say. */
static bool in_a_hurry(const struct router *r, struct span text)
{
	struct classify_result kind;

	if (!r->automatic.classifier)
		return false;
	classify_prompt(r->automatic.classifier, text.p, text.n, &kind);
	return kind.cues.words <= SHORT_WORDS && kind.level != LEVEL_HIGH;
}

void api_route(struct exchange *x)
{
	static const struct field TABLE[] = {
		{"query", FIELD_STRING, true, false},
		{"prefer_speed", FIELD_BOOL, false, false},
		{"require_context", FIELD_BOOL, false, false},
		{"exclude_models", FIELD_STRINGS, false, false},
	};
	struct router *r = x->r;
	struct json_object *in = api_body(x, TABLE, ARRAY_SIZE(TABLE));
	const char *keys[ROUTER_MODELS];
	struct auto_wish wish = {.exclude = keys};
	struct api_advice a;
	struct json_out o = {0};
	struct span text;
	char url[96];

	if (!in)
		return;
	text = fields_text(in, "query");
	wish.speed = fields_bool(in, "prefer_speed", false) || in_a_hurry(r, text);
	wish.context_tokens = fields_bool(in, "require_context", false) ? CONTEXT_LEAST : 0;
	wish.n_exclude = excluded(r, in, keys);
	api_advise(x, text, &wish, NULL, &a);
	json_out_object(&o, NULL);
	json_out_text(&o, "selected_model", a.model ? a.model->key : "auto");
	json_out_text(&o, "selected_instance", r->conf.slots[a.slot].name);
	json_out_text(&o, "instance_url", api_url(r, a.slot, url));
	json_out_text(&o, "question_type", question_type_name(question_type_of(&a.kind)));
	json_out_text(&o, "complexity", question_level_name(a.kind.level));
	api_reasoning(r, &a, wish.speed, &o);
	json_out_uint(&o, "context_length", context_of(r, &a));
	write_fallbacks(r, a.slot, &o);
	json_out_end(&o);
	json_object_put(in);
	api_send(x, 200, &o);
}

/* --- classify-query ----------------------------------------------------------------------------------------------------------------- */

static unsigned this_year(void)
{
	time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
	struct tm tm;

	gmtime_r(&now, &tm);
	return (unsigned)tm.tm_year + 1900;
}

static void write_kind(const struct search_result *s, struct json_out *o)
{
	const struct search_advice *a = search_advice(s->kind);

	json_out_object(o, "classification");
	json_out_text(o, "query_type", a->name);
	json_out_fixed(o, "confidence", a->confidence, 2);
	json_out_format(o, "reasoning", "%s: %s", a->name,
			s->by_words                           ? "words of that kind"
			: s->by_year                          ? "a year of about now"
			: s->kind == SEARCH_GENERAL_KNOWLEDGE ? "nothing tells otherwise"
							      : "what the question is about");
	json_out_array(o, "keywords_matched");
	for (unsigned i = 0; i < s->n; i++) {
		char text[64];

		span_copy(text, sizeof(text), s->keyword[i]);
		for (char *p = text; *p; p++)
			*p = *p == '_' ? ' ' : *p;
		json_out_text(o, NULL, text);
	}
	json_out_end(o);
	json_out_bool(o, "prefer_web_search", a->web_first);
	json_out_end(o);
}

void api_classify(struct exchange *x)
{
	static const struct field TABLE[] = {{"query", FIELD_STRING, false, false},
					     {"confidence_threshold", FIELD_NUMBER, false, false}};
	struct json_object *in = api_body(x, TABLE, ARRAY_SIZE(TABLE));
	struct classify_result kind = {0};
	struct search_result s;
	struct json_out o = {0};
	struct span text;
	double threshold;

	if (!in)
		return;
	text = fields_text(in, "query");
	threshold = fields_number(in, "confidence_threshold", 0.3);
	if (!text.n) {
		json_object_put(in);
		answer_error(x, 400, 0, "Query is required");
		return;
	}
	if (x->r->automatic.classifier)
		classify_prompt(x->r->automatic.classifier, text.p, text.n, &kind);
	search_look(text, question_type_of(&kind), this_year(), &s);
	json_out_object(&o, NULL);
	json_out_span(&o, "query", text);
	write_kind(&s, &o);
	json_out_object(&o, "optimization");
	json_out_fixed(&o, "suggested_confidence_threshold", search_threshold(s.kind, threshold), 2);
	json_out_uint(&o, "max_context_chunks", search_advice(s.kind)->chunks);
	json_out_text(&o, "search_strategy", search_advice(s.kind)->strategy);
	json_out_end(&o);
	json_out_fixed(&o, "original_threshold", threshold, 4);
	json_out_end(&o);
	json_object_put(in);
	api_send(x, 200, &o);
}
