/* /api/generate and /api/chat. */
#include "tools/sim/sim.h"

#include <stdio.h>
#include <string.h>

/* --- answers ---------------------------------------------------------------------------------------------------------- */

static void error_native(struct sim_ex *ex, int status, const char *message, struct buf *out, bool translation)
{
	(void)ex;
	(void)status;
	(void)translation;
	buf_lit(out, "{\"error\":");
	buf_json_text(out, message);
	buf_lit(out, "}");
}

static void object_begin(struct sim_ex *ex, struct buf *b)
{
	buf_lit(b, "{\"model\":");
	buf_json(b, ex->model_text);
	buf_lit(b, ",\"created_at\":\"");
	text_time(b, clock_wall_ns(), false);
	buf_lit(b, "\",");
}

static void call_write(struct sim_ex *ex, struct buf *b)
{
	buf_printf(b, ",\"tool_calls\":[{\"id\":\"%s\",\"function\":{\"index\":0,\"name\":", ex->gen.call_id);
	buf_json(b, ex->gen.answer.tool_name);
	buf_lit(b, ",\"arguments\":");
	buf_span(b, ex->gen.answer.tool_args);
	buf_lit(b, "}}]");
}

/* The part of an object that generate and chat spell differently. */
static void text_write(struct sim_ex *ex, struct buf *b, struct span text, struct span thinking, bool call)
{
	bool chat = ex->dialect == &dialect_chat;

	buf_text(b, chat ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"response\":");
	buf_json(b, text);
	if (thinking.n) {
		buf_lit(b, ",\"thinking\":");
		buf_json(b, thinking);
	}
	if (call && chat)
		call_write(ex, b);
	buf_text(b, chat ? "},\"done\":" : ",\"done\":");
}

static void metric(struct buf *b, const char *key, int64_t v)
{
	if (v)
		buf_printf(b, ",\"%s\":%lld", key, (long long)v);
}

/* The conversation so far as token ids: real ones for the toy models, else as good as their number. */
static void context_write(struct sim_ex *ex, struct buf *b, const struct sim_summary *sum)
{
	size_t n = sum->prompt_tokens + sum->eval_tokens;
	uint32_t *ids = NULL;
	bool first = true;

	if (ex->conf.tokenizer != TOKENS_BYTES) {
		struct buf all = {0};

		buf_span(&all, ex->prompt);
		if (ex->gen.thinking.n) {
			buf_lit(&all, "<think>\n");
			buf_span(&all, buf_view(&ex->gen.thinking));
			buf_lit(&all, "</think>\n\n");
		}
		buf_span(&all, buf_view(&ex->gen.text));
		ids = arena_alloc(&ex->arena, (4 * all.n + 8) * sizeof(*ids));
		n = sim_toy_tokens(ex->conf.tokenizer, buf_view(&all), ids, 4 * all.n + 8);
		buf_fini(&all);
	}
	buf_lit(b, ",\"context\":[");
	for (const struct json *e = ex->context ? ex->context->child : NULL; e; e = e->next, first = false)
		buf_printf(b, "%s" SPAN_FMT, first ? "" : ",", SPAN_ARG(e->text));
	for (size_t i = 0; i < n; i++, first = false)
		buf_printf(b, "%s%u", first ? "" : ",", ids ? ids[i] : 259 + (uint32_t)i % 500);
	buf_lit(b, "]");
}

static void item_native(struct sim_ex *ex, const struct sim_item *item)
{
	struct buf *b = &ex->scratch;
	struct span none = {"", 0};

	b->n = 0;
	if (item->kind == PIECE_TOOL && sim_conf.new_generation)
		return;
	object_begin(ex, b);
	text_write(ex, b, item->kind == PIECE_TEXT ? item->text : none, item->kind == PIECE_THINKING ? item->text : none,
		   item->kind == PIECE_TOOL);
	buf_lit(b, "false");
	if (ex->logprobs) {
		buf_lit(b, ",\"logprobs\":[");
		sim_logprob_write(ex, b, item->text);
		buf_lit(b, "]");
	}
	buf_lit(b, "}\n");
	if (!ex->head_sent)
		resp_begin(ex, 200, "application/x-ndjson");
	resp_write(ex, buf_view(b));
	resp_flush(ex);
}

static void finish_native(struct sim_ex *ex, const struct sim_summary *sum)
{
	struct buf *b = &ex->scratch;
	struct span none = {"", 0};
	bool call = ex->gen.tool_called && (!ex->stream || sim_conf.new_generation);

	b->n = 0;
	if (ex->stream && !sum->done) {
		resp_end(ex);
		return;
	}
	object_begin(ex, b);
	if (ex->stream)
		text_write(ex, b, none, none, call);
	else
		text_write(ex, b, buf_view(&ex->gen.text), buf_view(&ex->gen.thinking), call);
	buf_text(b, sum->done ? "true" : "false");
	if (sum->done) {
		buf_printf(b, ",\"done_reason\":\"%s\"", sum->reason);
		if (ex->dialect == &dialect_generate && !json_get_bool(ex->json, "raw", false))
			context_write(ex, b, sum);
		metric(b, "total_duration", sum->total_ns);
		metric(b, "load_duration", sum->load_ns);
		metric(b, "prompt_eval_count", sum->prompt_tokens);
		metric(b, "prompt_eval_duration", sum->prompt_ns);
		metric(b, "eval_count", sum->eval_tokens);
		metric(b, "eval_duration", sum->eval_ns);
	}
	buf_lit(b, "}");
	if (!ex->stream) {
		resp_full(ex, 200, "application/json; charset=utf-8", buf_view(b));
		return;
	}
	buf_lit(b, "\n");
	if (!ex->head_sent)
		resp_begin(ex, 200, "application/x-ndjson");
	resp_write(ex, buf_view(b));
	resp_flush(ex);
	resp_end(ex);
}

static void broken_native(struct sim_ex *ex, const char *message)
{
	struct buf b = {0};

	error_native(ex, 500, message, &b, false);
	buf_lit(&b, "\n");
	resp_write(ex, buf_view(&b));
	resp_flush(ex);
	buf_fini(&b);
}

static void loaded_native(struct sim_ex *ex, const char *reason)
{
	struct buf *b = &ex->scratch;
	struct span none = {"", 0};

	b->n = 0;
	object_begin(ex, b);
	text_write(ex, b, none, none, false);
	buf_printf(b, "true,\"done_reason\":\"%s\"}", reason);
	resp_full(ex, 200, "application/json; charset=utf-8", buf_view(b));
}

const struct sim_dialect dialect_generate = {
	.item = item_native,
	.finish = finish_native,
	.broken = broken_native,
	.loaded = loaded_native,
	.error = error_native,
	.shows_tags = true,
};
const struct sim_dialect dialect_chat = {
	.item = item_native,
	.finish = finish_native,
	.broken = broken_native,
	.loaded = loaded_native,
	.error = error_native,
};
const struct sim_dialect dialect_plain = {.error = error_native};

/* --- requests --------------------------------------------------------------------------------------------------------- */

static const struct sim_field message_fields[] = {
	{"role", FIELD_STRING, "string", NULL},
	{"content", FIELD_STRING, "string", NULL},
	{"thinking", FIELD_STRING, "string", NULL},
	{"images", FIELD_IMAGES, "[]api.ImageData", NULL},
	{"tool_name", FIELD_STRING, "string", NULL},
	{"tool_call_id", FIELD_STRING, "string", NULL},
	{"tool_calls", FIELD_SLICE, "[]api.ToolCall", NULL},
};
static const struct sim_schema message_schema = {"Message", "api.Message", message_fields, 7};

#define COMMON_FIELDS                                                                                                              \
	{"model", FIELD_STRING, "string", NULL}, {"stream", FIELD_BOOL, "bool", NULL}, {"format", FIELD_ANY, NULL, NULL},          \
		{"keep_alive", FIELD_DURATION, "api.Duration", NULL}, {"options", FIELD_MAP, "map[string]interface {}", NULL},     \
		{"think", FIELD_THINK, NULL, NULL}, {"truncate", FIELD_BOOL, "bool", NULL}, {"shift", FIELD_BOOL, "bool", NULL},   \
		{"logprobs", FIELD_BOOL, "bool", NULL},                                                                            \
	{                                                                                                                          \
		"top_logprobs", FIELD_INT, "int", NULL                                                                             \
	}

static const struct sim_field generate_fields[] = {
	COMMON_FIELDS,
	{"prompt", FIELD_STRING, "string", NULL},
	{"suffix", FIELD_STRING, "string", NULL},
	{"system", FIELD_STRING, "string", NULL},
	{"template", FIELD_STRING, "string", NULL},
	{"context", FIELD_SLICE, "[]int", NULL},
	{"raw", FIELD_BOOL, "bool", NULL},
	{"images", FIELD_IMAGES, "[]api.ImageData", NULL},
	{"_debug_render_only", FIELD_BOOL, "bool", NULL},
};
static const struct sim_schema generate_schema = {"GenerateRequest", "api.GenerateRequest", generate_fields,
						  sizeof(generate_fields) / sizeof(generate_fields[0])};

static const struct sim_field chat_fields[] = {
	COMMON_FIELDS,
	{"messages", FIELD_SLICE, "[]api.Message", &message_schema},
	{"tools", FIELD_SLICE, "api.Tools", NULL},
	{"_debug_render_only", FIELD_BOOL, "bool", NULL},
};
static const struct sim_schema chat_schema = {"ChatRequest", "api.ChatRequest", chat_fields,
					      sizeof(chat_fields) / sizeof(chat_fields[0])};

/* `think` in the request, or the default of the model.  False when the model cannot and was asked to. */
static bool think_read(struct sim_ex *ex)
{
	const struct json *think = json_get(ex->json, "think");

	ex->think = ex->conf.thinking;
	if (!think)
		return true;
	ex->think = think->type == JSON_STRING || think->yes;
	return !ex->think || ex->conf.thinking;
}

/* What the runner refuses: noticed only when it has been loaded. */
static void format_read(struct sim_ex *ex)
{
	const struct json *format = json_get(ex->json, "format");
	struct buf b = {0};
	struct buf q = {0};

	if (!format || format->type == JSON_OBJECT ||
	    (format->type == JSON_STRING && (!format->text.n || span_eq(format->text, SPAN_LIT("json")))))
		return;
	buf_json(&q, format->raw);
	buf_printf(&b, "invalid format: " SPAN_FMT "; expected \"json\" or a valid JSON Schema object", SPAN_ARG(buf_view(&q)));
	ex->late_error = arena_copy(&ex->arena, buf_view(&b));
	buf_fini(&b);
	buf_fini(&q);
}

static void render_only(struct sim_ex *ex)
{
	struct buf *b = &ex->scratch;
	struct span none = {"", 0};

	b->n = 0;
	object_begin(ex, b);
	text_write(ex, b, none, none, false);
	buf_lit(b, "false,\"_debug_info\":{\"rendered_template\":");
	buf_json(b, ex->prompt);
	buf_lit(b, "}}");
	resp_full(ex, 200, "application/json; charset=utf-8", buf_view(b));
}

static bool top_logprobs_ok(struct sim_ex *ex)
{
	int64_t n = json_get_i64(ex->json, "top_logprobs", 0);

	if (n >= 0 && n <= 20)
		return true;
	sim_ex_fail(ex, 400, "top_logprobs must be between 0 and 20");
	return false;
}

/* The request is an unload: answered without a runner. */
static bool unload_asked(struct sim_ex *ex)
{
	const struct json *keep = json_get(ex->json, "keep_alive");
	int64_t ns = -1;
	struct why why;

	if (!keep || sim_keep_alive_read(keep, &ns, &why) || ns != 0)
		return false;
	sim_sched_unload_request(ex->in, ex->model, ex);
	return true;
}

static bool raw_conflicts(const struct sim_ex *ex)
{
	return json_get_bool(ex->json, "raw", false) &&
	       (json_get_text(ex->json, "template").n || json_get_text(ex->json, "system").n ||
		json_count(json_get(ex->json, "context")));
}

void handle_generate(struct sim_ex *ex)
{
	bool empty;

	if (!sim_request_read(ex, &generate_schema) || !sim_request_model(ex, MISSING_PLAIN, false, false) || !top_logprobs_ok(ex))
		return;
	empty = !json_get_text(ex->json, "prompt").n;
	ex->stream = json_get_bool(ex->json, "stream", true);
	ex->logprobs = json_get_bool(ex->json, "logprobs", false);
	ex->top_logprobs = json_get_i64(ex->json, "top_logprobs", 0);
	if (empty && unload_asked(ex))
		return;
	if (raw_conflicts(ex)) {
		sim_ex_fail(ex, 400, "raw mode does not support template, system, or context");
		return;
	}
	if (sim_request_lacks(ex, ex->conf.embed || ex->conf.broken, "generate", false) ||
	    sim_request_lacks(ex, json_get_text(ex->json, "suffix").n && !ex->conf.insert, "insert", true) ||
	    sim_request_lacks(ex, !think_read(ex), "thinking", false) || !sim_request_options(ex, json_get(ex->json, "options")))
		return;
	if (empty) {
		sim_request_load(ex);
		return;
	}
	sim_render_generate(ex);
	format_read(ex);
	if (json_get_bool(ex->json, "_debug_render_only", false)) {
		render_only(ex);
		return;
	}
	sim_request_generate(ex);
}

void handle_chat(struct sim_ex *ex)
{
	const struct json *messages;

	if (!sim_request_read(ex, &chat_schema) || !sim_request_model(ex, MISSING_PLAIN, true, false) || !top_logprobs_ok(ex))
		return;
	messages = json_get(ex->json, "messages");
	ex->stream = json_get_bool(ex->json, "stream", true);
	ex->logprobs = json_get_bool(ex->json, "logprobs", false);
	ex->top_logprobs = json_get_i64(ex->json, "top_logprobs", 0);
	ex->tools = json_get(ex->json, "tools");
	ex->tools_given = json_count(ex->tools) > 0;
	if (!json_count(messages) && unload_asked(ex))
		return;
	if (sim_request_lacks(ex, ex->conf.embed || ex->conf.broken, "chat", false) ||
	    sim_request_lacks(ex, ex->tools_given && !ex->conf.tools, "tools", true) ||
	    sim_request_lacks(ex, !think_read(ex), "thinking", false) || !sim_request_options(ex, json_get(ex->json, "options")))
		return;
	if (!json_count(messages)) {
		sim_request_load(ex);
		return;
	}
	sim_render_chat(ex, messages);
	format_read(ex);
	sim_request_generate(ex);
}
