/* Embeddings: vectors that depend on nothing but the text, the same on every machine. */
#include "tools/sim/sim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIM_MAX 8192U

static uint64_t mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

uint32_t sim_embed_dim(const struct sim_ex *ex)
{
	uint32_t dim = ex->conf.dim && ex->conf.dim <= DIM_MAX ? ex->conf.dim : 64;

	return ex->dimensions > 0 && ex->dimensions < dim ? (uint32_t)ex->dimensions : dim;
}

void sim_embed_vector(const struct sim_ex *ex, struct span text, float *out, bool normalise)
{
	uint64_t seed = 0xcbf29ce484222325ULL;
	uint32_t dim = sim_embed_dim(ex);
	double sum = 0;

	for (size_t i = 0; i < text.n; i++)
		seed = (seed ^ (unsigned char)text.p[i]) * 0x100000001b3ULL;
	for (uint32_t i = 0; i < dim; i++) {
		double v = (double)(int64_t)(mix(&seed) >> 11) / (double)(1LL << 52) - 1.0;

		out[i] = (float)v;
		sum += v * v;
	}
	for (uint32_t i = 0; normalise && i < dim; i++)
		out[i] = (float)((double)out[i] / sqrt(sum > 0 ? sum : 1));
}

bool sim_embed_input_ok(struct sim_ex *ex, const struct json *input)
{
	bool ok = !input || input->type == JSON_STRING || input->type == JSON_ARRAY;

	for (const struct json *e = ok && input ? input->child : NULL; e; e = e->next)
		ok &= e->type == JSON_STRING;
	if (!ok)
		sim_ex_fail(ex, 400, "invalid input type");
	return ok;
}

static void embed_finish(struct sim_ex *ex)
{
	ex->in->stats.gens_finished++;
	ex->wait = WAIT_NONE;
	if (ex->fault && sim_fault_at_item(ex))
		return;
	ex->on_slot(ex);
}

void sim_embed_resume(struct sim_ex *ex)
{
	sim_ex_timer(ex, ex->gen.first_at_ns, embed_finish);
}

/* Count the tokens; texts longer than the context are cut, or refused. */
static bool tokens_count(struct sim_ex *ex)
{
	const struct json *in = ex->embed_input;
	uint32_t n = 0;

	if (in->type == JSON_STRING) {
		n = sim_tokens_count(ex, in->text);
		if (!ex->no_truncate && n > ex->runner->ctx)
			n = ex->runner->ctx;
	}
	for (const struct json *e = in->child; in->type == JSON_ARRAY && e; e = e->next) {
		uint32_t one = sim_tokens_count(ex, e->text);

		if (one > ex->runner->ctx && ex->no_truncate)
			n = UINT32_MAX;
		else if (n != UINT32_MAX)
			n += one > ex->runner->ctx ? ex->runner->ctx : one;
	}
	ex->gen.prompt_tokens = n;
	return !ex->no_truncate || (n != UINT32_MAX && (in->type == JSON_ARRAY || n <= ex->runner->ctx));
}

static void embed_slot(struct sim_ex *ex)
{
	struct sim_runner *r = ex->runner;
	struct sim_gen *g = &ex->gen;
	uint64_t now = clock_now_ns();

	ex->on_slot = ex->on_ready;
	if (!tokens_count(ex)) {
		sim_ex_fail(ex, ex->route->handle == handle_embeddings ? 500 : 400, "the input length exceeds the context length");
		return;
	}
	g->prefill_at_ns = r->prefill_free_ns > now ? r->prefill_free_ns : now;
	g->first_at_ns = g->prefill_at_ns + (ex->conf.prefill_per_s ? g->prompt_tokens * NS_PER_S / ex->conf.prefill_per_s : 0);
	r->prefill_free_ns = g->first_at_ns;
	sim_runner_work(r, g->first_at_ns);
	if (ex->fault && ex->fault->kind == FAULT_SLOW)
		g->first_at_ns += ex->fault->delay_ns;
	ex->in->stats.gens_started++;
	ex->wait = WAIT_EMBED;
	if (r->wedged)
		return;
	if (g->first_at_ns <= now)
		embed_finish(ex);
	else
		sim_ex_timer(ex, g->first_at_ns, embed_finish);
}

static void embed_ready(struct sim_ex *ex)
{
	void (*done)(struct sim_ex *) = ex->on_slot;

	if (!ex->embed_input) {
		done(ex);
		return;
	}
	ex->on_ready = done;
	ex->on_slot = embed_slot;
	sim_sched_slot_take(ex);
}

void sim_embed_run(struct sim_ex *ex, const struct json *input, void (*done)(struct sim_ex *ex))
{
	ex->embed_input = input;
	ex->on_slot = done;
	ex->on_ready = embed_ready;
	sim_sched_submit(ex);
}

/* --- the native routes ------------------------------------------------------------------------------------------------ */

static const struct sim_field embed_fields[] = {
	{"model", FIELD_STRING, "string", NULL},
	{"input", FIELD_ANY, NULL, NULL},
	{"keep_alive", FIELD_DURATION, "api.Duration", NULL},
	{"truncate", FIELD_BOOL, "bool", NULL},
	{"dimensions", FIELD_INT, "int", NULL},
	{"options", FIELD_MAP, "map[string]interface {}", NULL},
};
static const struct sim_schema embed_schema = {"EmbedRequest", "api.EmbedRequest", embed_fields, 6};

static const struct sim_field embeddings_fields[] = {
	{"model", FIELD_STRING, "string", NULL},
	{"prompt", FIELD_STRING, "string", NULL},
	{"keep_alive", FIELD_DURATION, "api.Duration", NULL},
	{"options", FIELD_MAP, "map[string]interface {}", NULL},
};
static const struct sim_schema embeddings_schema = {"EmbeddingRequest", "api.EmbeddingRequest", embeddings_fields, 4};

static void vector_write(struct sim_ex *ex, struct buf *b, struct span text, bool normalise)
{
	float *v = arena_alloc(&ex->arena, DIM_MAX * sizeof(*v));
	uint32_t dim = sim_embed_dim(ex);

	sim_embed_vector(ex, text, v, normalise);
	buf_lit(b, "[");
	for (uint32_t i = 0; i < dim; i++) {
		if (i)
			buf_lit(b, ",");
		if (normalise)
			buf_float32(b, v[i]);
		else
			buf_float64(b, (double)v[i]);
	}
	buf_lit(b, "]");
}

static void embed_done(struct sim_ex *ex)
{
	const struct json *in = ex->embed_input;
	struct buf *b = &ex->scratch;
	int64_t total = (int64_t)(clock_now_ns() - ex->begun_ns) + 1;

	b->n = 0;
	buf_lit(b, "{\"model\":");
	buf_json(b, ex->model_text);
	buf_lit(b, ",\"embeddings\":[");
	if (in && in->type == JSON_STRING)
		vector_write(ex, b, in->text, true);
	for (const struct json *e = in && in->type == JSON_ARRAY ? in->child : NULL; e; e = e->next) {
		if (e != in->child)
			buf_lit(b, ",");
		vector_write(ex, b, e->text, true);
	}
	buf_lit(b, "]");
	if (in)
		buf_printf(b, ",\"total_duration\":%lld,\"load_duration\":%lld,\"prompt_eval_count\":%u", (long long)total,
			   (long long)(ex->admitted_ns - ex->begun_ns) + 1, ex->gen.prompt_tokens);
	buf_lit(b, "}");
	resp_full(ex, 200, "application/json; charset=utf-8", buf_view(b));
}

void handle_embed(struct sim_ex *ex)
{
	const struct json *input;

	if (!sim_request_read(ex, &embed_schema))
		return;
	input = json_get(ex->json, "input");
	if (!sim_embed_input_ok(ex, input) || !sim_request_model(ex, MISSING_TRY_PULLING, false, false) ||
	    !sim_request_options(ex, json_get(ex->json, "options")))
		return;
	ex->dimensions = json_get_i64(ex->json, "dimensions", 0);
	if (input && ((input->type == JSON_STRING && !input->text.n) || (input->type == JSON_ARRAY && !input->child)))
		input = NULL;
	sim_embed_run(ex, input, embed_done);
}

static void embeddings_done(struct sim_ex *ex)
{
	struct buf *b = &ex->scratch;

	b->n = 0;
	buf_lit(b, "{\"embedding\":");
	if (ex->embed_input)
		vector_write(ex, b, ex->embed_input->text, false);
	else
		buf_lit(b, "[]");
	buf_lit(b, "}");
	resp_full(ex, 200, "application/json; charset=utf-8", buf_view(b));
}

void handle_embeddings(struct sim_ex *ex)
{
	const struct json *prompt;

	if (!sim_request_read(ex, &embeddings_schema) || !sim_request_model(ex, MISSING_TRY_PULLING, true, true) ||
	    !sim_request_options(ex, json_get(ex->json, "options")))
		return;
	prompt = json_get(ex->json, "prompt");
	ex->no_truncate = true;
	sim_embed_run(ex, prompt && prompt->text.n ? prompt : NULL, embeddings_done);
}
