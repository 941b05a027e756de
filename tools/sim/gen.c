/* One generation: the prompt in silence, then tokens at the model's rate, until the answer, the limit, a stop string or a fault
 * ends it.  A reader that does not read stops it, and its slot stays taken. */
#include "tools/sim/sim.h"

#include <string.h>

#define REPEAT_LIMIT 30 /* identical pieces in a row that this generation of servers lets pass */

static const char text_stopped[] = "model runner has unexpectedly stopped, this may be due to resource limitations or an internal "
				   "error, check ollama server logs for details";
static const char text_broken[] = "an error was encountered while running the model: unexpected EOF";

static void gen_pump(struct sim_ex *ex);

/* Tokenizers of real models differ; one token per four bytes and one for the beginning is as good as any. */
uint32_t sim_tokens_count(const struct sim_ex *ex, struct span text)
{
	uint32_t per = ex->conf.token_bytes ? ex->conf.token_bytes : 4;
	uint64_t n = ex->conf.tokenizer == TOKENS_BYTES
			     ? 1 + (text.n + per - 1) / per
			     : sim_toy_tokens(ex->conf.tokenizer, text, NULL, 0) + (ex->conf.embed ? 2 : 1);
	uint32_t ctx = ex->runner ? ex->runner->ctx : 4096;

	return n > ctx && !ex->no_truncate && !sim_conf.new_generation ? ctx : (uint32_t)n;
}

/* Old servers cut a prompt that is too long, or refuse it when asked to; new ones pass the engine's refusal on as text. */
static bool prompt_refused(struct sim_ex *ex)
{
	uint32_t n = ex->gen.prompt_tokens;

	if (n <= ex->runner->ctx)
		return false;
	if (!sim_conf.new_generation)
		sim_ex_fail(ex, 400, "the input length exceeds the context length");
	else
		sim_ex_failf(ex, 400,
			     "{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size, try "
			     "increasing it\","
			     "\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":%u,\"n_ctx\":%u}}",
			     n, ex->runner->ctx);
	return true;
}

static void gen_prompt_done(struct sim_ex *ex)
{
	ex->wait = WAIT_TOKENS;
	ex->gen.begun = true;
	gen_pump(ex);
	sim_conn_send(ex->conn);
}

static void gen_clock(struct sim_ex *ex)
{
	struct sim_gen *g = &ex->gen;
	struct sim_runner *r = ex->runner;
	uint64_t now = clock_now_ns();
	uint64_t at = r->prefill_free_ns > now ? r->prefill_free_ns : now;
	uint64_t prefill = ex->conf.prefill_per_s ? g->prompt_tokens * NS_PER_S / ex->conf.prefill_per_s : 0;

	g->step_ns = ex->conf.decode_per_s ? NS_PER_S / ex->conf.decode_per_s : 0;
	if (g->answer.delay)
		g->step_ns = g->answer.delay_ns;
	if (ex->fault && ex->fault->kind == FAULT_SLOW && ex->fault->delay_ns > g->step_ns)
		g->step_ns = ex->fault->delay_ns;
	g->prefill_at_ns = at;
	g->first_at_ns = at + prefill;
	r->prefill_free_ns = g->first_at_ns;
	sim_runner_work(r, g->first_at_ns);
	if (ex->fault && ex->fault->kind == FAULT_SLOW)
		g->first_at_ns += ex->fault->delay_ns;
}

void sim_gen_start(struct sim_ex *ex)
{
	struct sim_gen *g = &ex->gen;

	if (ex->late_error) {
		sim_ex_fail(ex, 500, ex->late_error);
		return;
	}
	sim_answer_choose(ex, &g->answer);
	g->prompt_tokens = sim_tokens_count(ex, ex->prompt) + (uint32_t)json_count(ex->context);
	if (prompt_refused(ex))
		return;
	/* Only the old servers take 0 for "no limit"; the new ones hand it to the engine. */
	if (ex->max_tokens > 0)
		g->limit = ex->max_tokens > UINT32_MAX / 2 ? ex->runner->ctx * 10 : (uint32_t)ex->max_tokens;
	else if (g->answer.endless)
		g->limit = ex->max_tokens == 0 && ex->stream && !sim_conf.new_generation ? 0 : ex->runner->ctx * 10;
	gen_clock(ex);
	ex->in->stats.gens_started++;
	ex->wait = WAIT_PROMPT;
	if (ex->runner->wedged)
		return;
	if (g->first_at_ns <= clock_now_ns())
		gen_prompt_done(ex);
	else
		sim_ex_timer(ex, g->first_at_ns, gen_prompt_done);
}

static void gen_finish(struct sim_ex *ex, const char *reason)
{
	struct sim_gen *g = &ex->gen;
	uint64_t now = clock_now_ns();
	struct sim_summary sum = {.done = reason != NULL, .reason = reason};

	if (reason) {
		sum.prompt_tokens = g->prompt_tokens;
		sum.eval_tokens = g->evals;
		sum.total_ns = (int64_t)(now - ex->begun_ns) + 1;
		sum.load_ns = (int64_t)(ex->admitted_ns - ex->begun_ns) + 1;
		sum.prompt_ns = (int64_t)(g->first_at_ns - g->prefill_at_ns) + 1;
		sum.eval_ns = g->evals > 1 ? (int64_t)(now > g->first_at_ns ? now - g->first_at_ns : 0) + 1 : 0;
	}
	ex->in->stats.gens_finished++;
	ex->in->stats.tokens += g->evals;
	ex->wait = WAIT_NONE;
	sim_ex_timer_stop(ex);
	ex->dialect->finish(ex, &sum);
}

/* Where the earliest stop string begins in all that was said; SIZE_MAX when there is none. */
static size_t stop_find(const struct sim_ex *ex)
{
	const struct json *stop = ex->stop;
	const struct buf *t = &ex->gen.text;
	size_t best = SIZE_MAX;

	for (const struct json *s = stop->type == JSON_ARRAY ? stop->child : stop; s;
	     s = stop->type == JSON_ARRAY ? s->next : NULL) {
		const char *at;

		if (s->type != JSON_STRING || !s->text.n || !t->n)
			continue;
		at = memmem(t->p, t->n, s->text.p, s->text.n);
		if (at && (size_t)(at - t->p) < best)
			best = (size_t)(at - t->p);
	}
	return best;
}

static void item_emit(struct sim_ex *ex, const struct sim_item *item)
{
	ex->gen.emitted++;
	if (!ex->stream)
		return;
	ex->gen.handed_ns = clock_now_ns();
	ex->dialect->item(ex, item);
}

/* The text of one token.  True when a stop string ended the answer. */
static bool text_say(struct sim_ex *ex, struct span text)
{
	struct sim_gen *g = &ex->gen;
	size_t before = g->text.n;
	size_t at;

	buf_span(&g->text, text);
	if (ex->stop) {
		at = stop_find(ex);
		if (at != SIZE_MAX) {
			g->text.n = at;
			if (at > before)
				item_emit(ex, &(struct sim_item){.kind = PIECE_TEXT, .text = {g->text.p + before, at - before}});
			gen_finish(ex, "stop");
			return true;
		}
	}
	item_emit(ex, &(struct sim_item){.kind = PIECE_TEXT, .text = text});
	return false;
}

/* One token.  True when the answer ended with it. */
static bool gen_token(struct sim_ex *ex)
{
	struct sim_gen *g = &ex->gen;
	char scratch[32];
	struct span text;
	enum sim_piece kind;

	if (g->limit && g->evals >= g->limit) {
		gen_finish(ex, "length");
		return true;
	}
	kind = sim_answer_piece(&g->answer, g->next, &text, scratch);
	if (kind == PIECE_END) {
		g->evals += g->answer.hidden_end;
		gen_finish(ex, "stop");
		return true;
	}
	if (g->answer.repeats && g->next > REPEAT_LIMIT) {
		gen_finish(ex, NULL);
		return true;
	}
	g->next++;
	g->evals++;
	switch (kind) {
	case PIECE_THINKING:
		buf_span(&g->thinking, text);
		item_emit(ex, &(struct sim_item){.kind = kind, .text = text});
		return false;
	case PIECE_TOOL:
		memcpy(g->call_id, "call_", 5);
		text_id(g->call_id + 5, 8, false);
		g->tool_called = true;
		item_emit(ex, &(struct sim_item){.kind = kind, .call_id = g->call_id});
		return false;
	case PIECE_HIDDEN:
		return false;
	case PIECE_TAG:
		if (ex->dialect->shows_tags)
			item_emit(ex, &(struct sim_item){.kind = kind});
		return false;
	default:
		return text_say(ex, text);
	}
}

/* When the next token, or for an answer in one piece the last one, is due. */
static uint64_t gen_due(const struct sim_ex *ex)
{
	const struct sim_gen *g = &ex->gen;
	uint64_t n = g->next;

	if (!ex->stream) {
		char scratch[32];
		struct span text;

		/* An answer in one piece: look ahead for its length, in strides. */
		if (!g->step_ns)
			return g->first_at_ns;
		while ((!g->limit || n < g->limit) && n < g->next + 1000U &&
		       sim_answer_piece(&g->answer, (uint32_t)n, &text, scratch) != PIECE_END &&
		       !(ex->fault && n >= ex->fault_after))
			n++;
		n = n > g->next ? n - 1 : n;
	}
	return g->first_at_ns + n * g->step_ns;
}

/* The reader has gone.  If that met the hand-over of an item, its producer waits for ever for somebody to take the next one. */
static void gen_unread(struct sim_ex *ex)
{
	if (ex->gen.handed_ns && clock_now_ns() - ex->gen.handed_ns < sim_conf.hand_over_ns)
		sim_sched_slot_lose(ex);
}

static void gen_pump(struct sim_ex *ex)
{
	struct sim_conn *c = ex->conn;

	for (;;) {
		uint64_t due;
		uint32_t stride = 1;

		if (ex->stream && sim_conn_full(c)) {
			sim_conn_send(c);
			if (c->broken) {
				gen_unread(ex);
				sim_gen_cancel(ex);
				sim_conn_answered(c);
				return;
			}
			if (sim_conn_full(c))
				return;
		}
		due = gen_due(ex);
		if (ex->gen.step_ns && due > clock_now_ns()) {
			sim_ex_timer(ex, due, gen_pump);
			sim_runner_work(ex->runner, due);
			break;
		}
		if (!ex->stream && ex->gen.step_ns)
			stride = (uint32_t)((due - ex->gen.first_at_ns) / ex->gen.step_ns) - ex->gen.next + 1;
		while (stride--) {
			if (ex->fault && sim_fault_at_item(ex))
				return;
			if (gen_token(ex))
				return;
		}
	}
	if (c->out.n)
		sim_conn_send(c);
}

void sim_gen_resume(struct sim_ex *ex)
{
	if (ex->runner && ex->runner->wedged)
		return;
	if (ex->wait == WAIT_PROMPT)
		sim_ex_timer(ex, ex->gen.first_at_ns, gen_prompt_done);
	else if (ex->wait == WAIT_TOKENS)
		gen_pump(ex);
	else if (ex->wait == WAIT_EMBED)
		sim_embed_resume(ex);
}

void sim_gen_cancel(struct sim_ex *ex)
{
	struct sim_runner *r = ex->runner;
	uint64_t now = clock_now_ns();

	/* An old runner works an abandoned prompt off; a new one stops at the end of its batch. */
	if (ex->wait == WAIT_PROMPT && sim_conf.new_generation && r->prefill_free_ns == ex->gen.first_at_ns &&
	    ex->conf.prefill_per_s) {
		uint64_t batch = 512 * NS_PER_S / ex->conf.prefill_per_s;

		if (r->prefill_free_ns > now + batch)
			r->prefill_free_ns = now + batch;
	}
	ex->in->stats.gens_cancelled++;
	ex->in->stats.tokens += ex->gen.evals;
	ex->wait = WAIT_NONE;
	sim_ex_timer_stop(ex);
}

static void gen_break(struct sim_ex *ex, const char *message)
{
	if (ex->stream && ex->head_sent) {
		ex->dialect->broken(ex, message);
		resp_end(ex);
	} else if (ex->stream && !ex->gone) {
		sim_ex_fail_streamed(ex, 500, message);
	} else {
		sim_ex_fail(ex, 500, message);
	}
}

void sim_gen_client_gone(struct sim_ex *ex)
{
	gen_unread(ex);
	sim_gen_cancel(ex);
	gen_break(ex, ex->stream && ex->head_sent ? "error reading llm response: context canceled" : "context canceled");
}

void sim_gen_runner_died(struct sim_ex *ex)
{
	bool begun = ex->gen.begun;
	bool embed = ex->wait == WAIT_EMBED;

	ex->in->stats.gens_broken++;
	ex->wait = WAIT_NONE;
	sim_ex_timer_stop(ex);
	if (embed) {
		sim_ex_failf(ex, 400, "do embedding request: Post \"http://127.0.0.1:%u/embedding\": EOF", ex->runner->port);
		return;
	}
	gen_break(ex, begun && (ex->head_sent || !ex->stream) ? text_broken : text_stopped);
}
