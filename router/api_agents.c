/* /api/v1/model-router: the orchestration service's view of the same decisions, with figures in place of its constants. */
#include "router/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"

#define USE_COSTS 5.0F /* points that `balanced` takes off a model for each agent that has it */

enum strategy { STRATEGY_BALANCED = 0, STRATEGY_GREEDY, STRATEGY_OPTIMAL };

/* `optimal` is greedy: nothing limits how many agents share a model, so that each one's best is the best of all. */
static const char *const STRATEGIES[] = {"balanced", "greedy", "optimal"};

/* --- agents ----------------------------------------------------------------------------------------------------------------------- */

/* Agents that are always there, and the category of each. */
static const struct {
	const char *id;
	const char *category;
} KNOWN[] = {
	{"general", "general"},         {"code", "code"},         {"math", "math"},
	{"reasoning", "reasoning"},     {"creative", "creative"}, {"nlp", "nlp"},
	{"translation", "translation"}, {"rag", "nlp"},           {"data", "data"},
};

/* What an agent of this name works at; a name that the registry knows as a category is one. */
static const char *category_of(const struct router *r, const char *id)
{
	const char *name = id;

	for (unsigned i = 0; i < ARRAY_SIZE(KNOWN); i++)
		if (strcmp(KNOWN[i].id, id) == 0)
			name = KNOWN[i].category;
	if (tax_find(&r->automatic.known.tax, name) == TAX_GENERAL)
		name = strcmp(name, "translation") == 0 ? "nlp" : "general";
	return name;
}

static struct agent *agent_find(struct agents *s, const char *id)
{
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->at[i].id, id) == 0)
			return &s->at[i];
	return NULL;
}

/* NULL: there are AGENTS_MOST others. */
static struct agent *agent_add(struct agents *s, const char *id)
{
	struct agent *a = s->n < AGENTS_MOST ? &s->at[s->n] : NULL;

	if (!a)
		return NULL;
	*a = (struct agent){.updated_wall_ns = clock_wall_ns()};
	span_copy(a->id, sizeof(a->id), span_of(id));
	s->n++;
	return a;
}

static void agent_give(struct agent *a, const char *model, float score)
{
	if (strcmp(a->model, model) != 0)
		a->updated_wall_ns = clock_wall_ns();
	snprintf(a->model, sizeof(a->model), "%s", model);
	a->score = score;
}

/* The best model for an agent.  With `uses`, each use costs, and one as good at the work may be less used. */
static void agent_assign(struct exchange *x, struct agent *a, const unsigned *uses)
{
	struct router *r = x->r;
	struct auto_wish wish = {.category = category_of(r, a->id)};
	const struct classify_result *kind;
	const struct choose_result *rank;
	struct model *m = auto_explain(x, "", 0, &wish, &kind, &rank);
	const struct choose_candidate *first = m && rank->n ? &rank->candidate[m - r->models] : NULL;
	float best = first && uses ? first->score - USE_COSTS * (float)uses[m - r->models] : 0;

	for (unsigned i = 0; first && uses && i < rank->n; i++) {
		const struct choose_candidate *c = &rank->candidate[rank->order[i]];
		float points = c->score - USE_COSTS * (float)uses[rank->order[i]];

		if (c->link != first->link || c->steps != first->steps || points <= best)
			continue;
		best = points;
		m = &r->models[rank->order[i]];
	}
	agent_give(a, m ? m->key : "", first ? rank->candidate[m - r->models].score : 0);
}

/* How good a model is at an agent's work. */
static float score_of(struct exchange *x, const struct agent *a, const struct model *m)
{
	struct auto_wish wish = {.category = category_of(x->r, a->id)};
	const struct classify_result *kind;
	const struct choose_result *rank;

	auto_explain(x, "", 0, &wish, &kind, &rank);
	return rank->n ? rank->candidate[m - x->r->models].score : 0;
}

static void assign_all(struct exchange *x, enum strategy strategy)
{
	struct router *r = x->r;
	unsigned uses[ROUTER_MODELS] = {0};

	for (unsigned i = 0; i < r->agents.n; i++) {
		struct agent *a = &r->agents.at[i];
		struct model *m;

		if (!a->pinned)
			agent_assign(x, a, strategy == STRATEGY_BALANCED ? uses : NULL);
		m = a->model[0] ? model_find(r, a->model) : NULL;
		if (m)
			uses[m - r->models]++;
	}
	r->agents.auto_wall_ns = clock_wall_ns();
}

/* Everybody is here and has a model that there is. */
static void agents_refresh(struct exchange *x)
{
	struct agents *s = &x->r->agents;

	if (!s->n) {
		for (unsigned i = 0; i < ARRAY_SIZE(KNOWN); i++)
			agent_add(s, KNOWN[i].id);
		s->auto_wall_ns = clock_wall_ns();
	}
	for (unsigned i = 0; i < s->n; i++) {
		const struct model *m = s->at[i].model[0] ? model_find(x->r, s->at[i].model) : NULL;

		if (!s->at[i].pinned && (!m || !m->slots))
			agent_assign(x, &s->at[i], NULL);
	}
}

/* --- answers ---------------------------------------------------------------------------------------------------------------------- */

static void answer_failed(struct exchange *x, unsigned status, const char *error)
{
	struct json_out o = {0};

	json_out_object(&o, NULL);
	json_out_bool(&o, "success", false);
	json_out_text(&o, "error", error);
	json_out_end(&o);
	api_send(x, status, &o);
}

/* The body as an object that keeps to the table, or NULL: it has been answered.  An empty one is an empty object if it may. */
static struct json_object *body_take(struct exchange *x, const struct field *table, unsigned n, bool may_be_empty)
{
	struct span body = {x->body ? x->body + EX_HEADROOM : "", x->body_len};
	struct json_out errors = {0};
	struct json_object *in = NULL;
	int rc;

	if (!body.n && may_be_empty)
		body = SPAN_LIT("{}");
	rc = fields_parse(body.p, body.n, &in, &errors);
	if (rc == 0 && !fields_check(table, n, in, "body", &errors)) {
		json_object_put(in);
		in = NULL;
	}
	json_out_free(&errors);
	if (rc == -ENOMEM)
		answer_error(x, 503, 1, "the service is short of memory; try again in a second");
	else if (!in)
		answer_failed(x, 400, "Invalid JSON payload");
	return in;
}

void api_agents_route(struct exchange *x)
{
	static const struct field TABLE[] = {{"input", FIELD_STRING, false, true}, {"agent_type", FIELD_STRING, false, true}};
	struct router *r = x->r;
	struct json_object *in = body_take(x, TABLE, ARRAY_SIZE(TABLE), false);
	struct auto_wish wish = {0};
	struct json_out o = {0};
	struct api_advice a;
	struct agent *agent;
	struct span text;
	const char *type;

	if (!in)
		return;
	agents_refresh(x);
	text = fields_text(in, "input");
	type = fields_string(in, "agent_type", "general");
	agent = agent_find(&r->agents, type);
	/* A general agent's input says what it is about. */
	if (strcmp(type, "general") != 0 || !text.n)
		wish.category = category_of(r, type);
	api_advise(x, text, &wish, agent && agent->pinned ? model_find(r, agent->model) : NULL, &a);
	if (agent)
		agent->decisions++;
	json_out_object(&o, NULL);
	json_out_format(&o, "decision_id", "dec-%" PRIu64, x->id);
	json_out_text(&o, "model_id", a.model ? a.model->key : "auto");
	json_out_text(&o, "agent_type", type);
	json_out_fixed(&o, "confidence", !wish.category ? (double)a.kind.confidence : a.skill ? (double)a.skill->confidence : 1, 2);
	api_reasoning(r, &a, false, &o);
	json_out_fixed(&o, "estimated_latency_ms", (double)a.finish_ns / 1e6, 0);
	json_out_text(&o, "fallback_model", a.second);
	json_out_end(&o);
	json_object_put(in);
	api_send(x, 200, &o);
}

void api_agents_list(struct exchange *x)
{
	const struct agents *s = &x->r->agents;
	struct json_out o = {0};

	agents_refresh(x);
	json_out_object(&o, NULL);
	json_out_array(&o, "assignments");
	for (unsigned i = 0; i < s->n; i++) {
		json_out_object(&o, NULL);
		json_out_text(&o, "agent_id", s->at[i].id);
		json_out_text(&o, "agent_name", s->at[i].id);
		json_out_text(&o, "model_id", s->at[i].model);
		json_out_text(&o, "model_name", s->at[i].model);
		json_out_bool(&o, "auto_assigned", !s->at[i].pinned);
		api_timestamp(&o, "last_updated", s->at[i].updated_wall_ns);
		json_out_fixed(&o, "performance_score", (double)s->at[i].score, 1);
		json_out_end(&o);
	}
	json_out_end(&o);
	json_out_uint(&o, "total", s->n);
	api_timestamp(&o, "last_auto_assign", s->auto_wall_ns);
	json_out_end(&o);
	api_send(x, 200, &o);
}

/* 0, or the status and what is wrong. */
static unsigned agent_put(struct exchange *x, struct json_object *in, struct agent **out, const char **error)
{
	struct router *r = x->r;
	const char *name = fields_string(in, "model_id", NULL);
	bool automatic = fields_bool(in, "auto_assigned", !name);
	struct model *m = NULL;
	struct agent *a;
	char key[ROUTER_KEY];

	agents_refresh(x);
	a = agent_find(&r->agents, x->tail);
	if (name && model_key(name, key))
		m = model_find(r, key);
	if (name && (!m || !m->slots)) {
		*error = "Model not found";
		return 404;
	}
	if (!a)
		a = agent_add(&r->agents, x->tail);
	if (!a) {
		*error = "There are too many assignments";
		return 409;
	}
	if (automatic)
		agent_assign(x, a, NULL);
	else if (m)
		agent_give(a, m->key, score_of(x, a, m));
	a->pinned = !automatic && a->model[0];
	*out = a;
	return 0;
}

void api_agents_put(struct exchange *x)
{
	static const struct field TABLE[] = {{"model_id", FIELD_STRING, false, true}, {"auto_assigned", FIELD_BOOL, false, true}};
	struct json_object *in = body_take(x, TABLE, ARRAY_SIZE(TABLE), false);
	const char *error = NULL;
	struct json_out o = {0};
	struct agent *a = NULL;
	unsigned status;

	if (!in)
		return;
	status = agent_put(x, in, &a, &error);
	json_object_put(in);
	if (status) {
		answer_failed(x, status, error);
		return;
	}
	json_out_object(&o, NULL);
	json_out_bool(&o, "success", true);
	json_out_object(&o, "assignment");
	json_out_text(&o, "agent_id", a->id);
	json_out_text(&o, "model_id", a->model);
	json_out_bool(&o, "auto_assigned", !a->pinned);
	api_timestamp(&o, "updated_at", a->updated_wall_ns);
	json_out_end(&o);
	json_out_end(&o);
	api_send(x, 200, &o);
}

void api_agents_assign(struct exchange *x)
{
	static const struct field TABLE[] = {{"strategy", FIELD_STRING, false, true}};
	struct agents *s = &x->r->agents;
	struct json_object *in = body_take(x, TABLE, ARRAY_SIZE(TABLE), true);
	struct json_out o = {0};
	const char *word;
	unsigned k = 0, n = 0;

	if (!in)
		return;
	word = fields_string(in, "strategy", STRATEGIES[STRATEGY_BALANCED]);
	while (k < ARRAY_SIZE(STRATEGIES) && strcmp(STRATEGIES[k], word) != 0)
		k++;
	json_object_put(in);
	if (k == ARRAY_SIZE(STRATEGIES)) {
		answer_failed(x, 400, "Unknown strategy; it is balanced, greedy or optimal");
		return;
	}
	agents_refresh(x);
	assign_all(x, (enum strategy)k);
	for (unsigned i = 0; i < s->n; i++)
		n += !s->at[i].pinned;
	json_out_object(&o, NULL);
	json_out_bool(&o, "success", true);
	json_out_text(&o, "strategy", STRATEGIES[k]);
	json_out_uint(&o, "assignments_updated", n);
	json_out_array(&o, "assignments");
	for (unsigned i = 0; i < s->n; i++) {
		if (s->at[i].pinned)
			continue;
		json_out_object(&o, NULL);
		json_out_text(&o, "agent_id", s->at[i].id);
		json_out_text(&o, "model_id", s->at[i].model);
		json_out_format(&o, "reason", "scores %.1f of 100 at %s", (double)s->at[i].score, category_of(x->r, s->at[i].id));
		json_out_end(&o);
	}
	json_out_end(&o);
	api_timestamp(&o, "timestamp", s->auto_wall_ns);
	json_out_end(&o);
	api_send(x, 200, &o);
}

/* --- statistics --------------------------------------------------------------------------------------------------------------------- */

static unsigned bits(uint64_t mask)
{
	return (unsigned)__builtin_popcountll(mask);
}

static void write_models(struct router *r, struct json_out *o)
{
	uint64_t now = clock_now_ns();

	json_out_array(o, "model_stats");
	for (unsigned i = 0; i < r->n_models; i++) {
		struct model *m = &r->models[i];
		double ok = 0, n = 0, liked = 0, voices = 0;

		for (unsigned s = 0; s < PROC_SLOTS && m->slots; s++) {
			const struct pair *p = pair_find(&r->routing, m, s);

			if (!p)
				continue;
			ok += (double)p->ok * (double)p->ok_n;
			n += (double)p->ok_n;
			liked += (double)p->rating.mean * (double)rating_weight(&p->rating, now);
			voices += (double)rating_weight(&p->rating, now);
		}
		if (!m->slots)
			continue;
		json_out_object(o, NULL);
		json_out_text(o, "model_id", m->key);
		json_out_uint(o, "instances", bits(m->slots));
		json_out_uint(o, "resident", bits(m->resident));
		json_out_fixed(o, "success_rate", n > 0 ? ok / n : 0, 4);
		json_out_fixed(o, "helpful_rate", voices > 0 ? liked / voices : 0, 4);
		json_out_end(o);
	}
	json_out_end(o);
}

void api_agents_stats(struct exchange *x)
{
	struct router *r = x->r;
	uint64_t served = 0, failed = 0;
	struct json_out o = {0};
	double mean_ns = 0;

	agents_refresh(x);
	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		struct api_figures f = {0};

		if (r->conf.slots[i].used)
			api_figures_take(r, i, &f);
		served += f.served;
		failed += f.failed;
		mean_ns += (double)f.served * (double)f.mean_ns;
	}
	json_out_object(&o, NULL);
	json_out_object(&o, "stats");
	json_out_uint(&o, "total_requests", served + failed);
	json_out_uint(&o, "successful_routes", served);
	json_out_uint(&o, "failed_routes", failed);
	json_out_fixed(&o, "avg_latency_ms", served ? mean_ns / (double)served / 1e6 : 0, 1);
	json_out_fixed(&o, "cache_hit_rate", 0, 1); /* answers are not cached */
	json_out_end(&o);
	write_models(r, &o);
	json_out_array(&o, "agent_stats");
	for (unsigned i = 0; i < r->agents.n; i++) {
		json_out_object(&o, NULL);
		json_out_text(&o, "agent_id", r->agents.at[i].id);
		json_out_text(&o, "model_id", r->agents.at[i].model);
		json_out_uint(&o, "decisions", r->agents.at[i].decisions);
		json_out_end(&o);
	}
	json_out_end(&o);
	api_timestamp(&o, "time_range", r->since_wall_ns);
	api_timestamp(&o, "updated_at", clock_wall_ns());
	json_out_end(&o);
	api_send(x, 200, &o);
}
