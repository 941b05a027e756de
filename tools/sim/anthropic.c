/* /v1/messages. */
#include "tools/sim/sim.h"

#include <stdio.h>
#include <string.h>

static void error_anthropic(struct sim_ex *ex, int status, const char *message, struct buf *out, bool translation)
{
	static const struct {
		int status;
		const char *type;
	} types[] = {{400, "invalid_request_error"}, {401, "authentication_error"}, {403, "permission_error"},
		     {404, "not_found_error"},       {429, "rate_limit_error"},     {503, "overloaded_error"},
		     {529, "overloaded_error"}};
	const char *type = "api_error";
	char id[25];

	(void)ex;
	(void)translation;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].status == status)
			type = types[i].type;
	text_id(id, 24, true);
	buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", type);
	buf_json_text(out, message);
	buf_printf(out, "},\"request_id\":\"req_%s\"}", id);
}

/* --- answers ---------------------------------------------------------------------------------------------------------- */

static void id_ensure(struct sim_ex *ex)
{
	if (ex->id[0])
		return;
	memcpy(ex->id, "msg_", 4);
	text_id(ex->id + 4, 24, true);
}

/* One event, in a chunk of its own. */
static void event_send(struct sim_ex *ex, const char *type, struct buf *data)
{
	if (!ex->head_sent) {
		resp_begin(ex, 200, "text/event-stream");
		resp_field(ex, "Cache-Control", "no-cache");
		resp_field(ex, "Connection", "keep-alive");
	}
	resp_write(ex, SPAN_LIT("event: "));
	resp_write(ex, span_of(type));
	resp_write(ex, SPAN_LIT("\ndata: "));
	buf_lit(data, "\n\n");
	resp_write(ex, buf_view(data));
	resp_flush(ex);
}

/* `tokens` of the prompt are a guess, characters over four, unless the answer is over before it began. */
static void message_start(struct sim_ex *ex, uint32_t tokens)
{
	struct buf *b = &ex->scratch;

	if (ex->id[0])
		return;
	id_ensure(ex);
	b->n = 0;
	buf_printf(b,
		   "{\"type\":\"message_start\",\"message\":{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":",
		   ex->id);
	buf_json(b, ex->model_text);
	buf_printf(b, ",\"content\":[],\"usage\":{\"input_tokens\":%u,\"output_tokens\":0}}}", tokens);
	event_send(ex, "message_start", b);
	ex->block = -1;
	ex->phase = PIECE_END;
}

static void block_stop(struct sim_ex *ex)
{
	struct buf *b = &ex->scratch;

	if (ex->phase == PIECE_END)
		return;
	b->n = 0;
	buf_printf(b, "{\"type\":\"content_block_stop\",\"index\":%d}", ex->block);
	event_send(ex, "content_block_stop", b);
	ex->phase = PIECE_END;
}

static void block_start(struct sim_ex *ex, enum sim_piece kind)
{
	struct buf *b = &ex->scratch;

	if (ex->phase == (int)kind)
		return;
	block_stop(ex);
	ex->block++;
	ex->phase = (int)kind;
	b->n = 0;
	buf_printf(b, "{\"type\":\"content_block_start\",\"index\":%d,\"content_block\":{", ex->block);
	if (kind == PIECE_TOOL) {
		buf_printf(b, "\"type\":\"tool_use\",\"id\":\"%s\",\"name\":", ex->gen.call_id);
		buf_json(b, ex->gen.answer.tool_name);
		buf_lit(b, ",\"input\":{}");
	} else {
		buf_text(b, kind == PIECE_THINKING ? "\"type\":\"thinking\",\"thinking\":\"\"" : "\"type\":\"text\",\"text\":\"\"");
	}
	buf_lit(b, "}}");
	event_send(ex, "content_block_start", b);
}

static void item_anthropic(struct sim_ex *ex, const struct sim_item *item)
{
	struct buf *b = &ex->scratch;

	message_start(ex, (uint32_t)ex->gen.prompt_guess);
	block_start(ex, item->kind);
	b->n = 0;
	buf_printf(b, "{\"type\":\"content_block_delta\",\"index\":%d,\"delta\":", ex->block);
	if (item->kind == PIECE_TOOL) {
		buf_lit(b, "{\"type\":\"input_json_delta\",\"partial_json\":");
		buf_json(b, ex->gen.answer.tool_args);
	} else {
		buf_text(b, item->kind == PIECE_THINKING ? "{\"type\":\"thinking_delta\",\"thinking\":"
							 : "{\"type\":\"text_delta\",\"text\":");
		buf_json(b, item->text);
	}
	buf_lit(b, "}}");
	event_send(ex, "content_block_delta", b);
	if (item->kind == PIECE_TOOL)
		block_stop(ex);
}

static const char *stop_reason(const struct sim_ex *ex, const struct sim_summary *sum)
{
	if (ex->gen.tool_called)
		return "tool_use";
	if (!strcmp(sum->reason, "stop"))
		return "end_turn";
	return !strcmp(sum->reason, "length") ? "max_tokens" : "stop_sequence";
}

static void finish_stream(struct sim_ex *ex, const struct sim_summary *sum)
{
	struct buf *b = &ex->scratch;

	if (!sum->done) {
		resp_end(ex);
		return;
	}
	message_start(ex, sum->prompt_tokens);
	block_stop(ex);
	b->n = 0;
	buf_printf(b,
		   "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\"},\"usage\":{\"input_tokens\":%u,\"output_"
		   "tokens\":%u}}",
		   stop_reason(ex, sum), sum->prompt_tokens, sum->eval_tokens);
	event_send(ex, "message_delta", b);
	b->n = 0;
	buf_lit(b, "{\"type\":\"message_stop\"}");
	event_send(ex, "message_stop", b);
	resp_end(ex);
}

static void content_write(struct sim_ex *ex, struct buf *b)
{
	struct sim_gen *g = &ex->gen;
	const char *comma = "";

	if (!g->thinking.n && !g->text.n && !g->tool_called) {
		buf_lit(b, "null");
		return;
	}
	buf_lit(b, "[");
	if (g->thinking.n) {
		buf_lit(b, "{\"type\":\"thinking\",\"thinking\":");
		buf_json(b, buf_view(&g->thinking));
		buf_lit(b, "}");
		comma = ",";
	}
	if (g->text.n) {
		buf_printf(b, "%s{\"type\":\"text\",\"text\":", comma);
		buf_json(b, buf_view(&g->text));
		buf_lit(b, "}");
		comma = ",";
	}
	if (g->tool_called) {
		buf_printf(b, "%s{\"type\":\"tool_use\",\"id\":\"%s\",\"name\":", comma, g->call_id);
		buf_json(b, g->answer.tool_name);
		buf_lit(b, ",\"input\":");
		buf_span(b, g->answer.tool_args);
		buf_lit(b, "}");
	}
	buf_lit(b, "]");
}

static void finish_anthropic(struct sim_ex *ex, const struct sim_summary *sum)
{
	struct buf *b = &ex->scratch;

	b->n = 0;
	if (ex->stream) {
		finish_stream(ex, sum);
		return;
	}
	id_ensure(ex);
	buf_printf(b, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", ex->id);
	buf_json(b, ex->model_text);
	buf_lit(b, ",\"content\":");
	content_write(ex, b);
	if (sum->done)
		buf_printf(b, ",\"stop_reason\":\"%s\"", stop_reason(ex, sum));
	buf_printf(b, ",\"usage\":{\"input_tokens\":%u,\"output_tokens\":%u}}\n", sum->prompt_tokens, sum->eval_tokens);
	resp_full(ex, 200, "application/json", buf_view(b));
}

/* A failure after output began says nothing at all. */
static void broken_anthropic(struct sim_ex *ex, const char *message)
{
	(void)ex;
	(void)message;
}

static void loaded_anthropic(struct sim_ex *ex, const char *reason)
{
	finish_anthropic(ex, &(struct sim_summary){.done = true, .reason = reason});
}

const struct sim_dialect dialect_anthropic = {
	.item = item_anthropic,
	.finish = finish_anthropic,
	.broken = broken_anthropic,
	.loaded = loaded_anthropic,
	.error = error_anthropic,
	.error_newline = true,
	.sse_headers = true,
};

/* --- requests --------------------------------------------------------------------------------------------------------- */

static const struct sim_field message_fields[] = {
	{"role", FIELD_STRING, "string", NULL},
	{"content", FIELD_TEXT_OR_BLOCKS, "[]anthropic.ContentBlock", NULL},
};
static const struct sim_schema message_schema = {"MessageParam", "anthropic.MessageParam", message_fields, 2};
static const struct sim_field request_fields[] = {
	{"model", FIELD_STRING, "string", NULL},
	{"max_tokens", FIELD_INT, "int", NULL},
	{"messages", FIELD_SLICE, "[]anthropic.MessageParam", &message_schema},
	{"stream", FIELD_BOOL, "bool", NULL},
	{"temperature", FIELD_FLOAT, "float64", NULL},
	{"top_p", FIELD_FLOAT, "float64", NULL},
	{"top_k", FIELD_INT, "int", NULL},
	{"stop_sequences", FIELD_SLICE, "[]string", NULL},
	{"tools", FIELD_SLICE, "[]anthropic.Tool", NULL},
};
static const struct sim_schema request_schema = {"MessagesRequest", "anthropic.MessagesRequest", request_fields,
						 sizeof(request_fields) / sizeof(request_fields[0])};

static void fail_translation(struct sim_ex *ex, const char *message)
{
	ex->translation = true;
	sim_ex_fail(ex, 400, message);
}

/* Any block that a model would see?  *refusal is set for one that cannot be translated. */
static bool blocks_any(struct sim_ex *ex, const struct json *messages, const char **refusal)
{
	bool any = false;
	char text[160];

	for (const struct json *m = messages->child; m; m = m->next) {
		const struct json *content = json_get(m, "content");

		if (!content || content->type == JSON_STRING) {
			any |= content != NULL;
			continue;
		}
		for (const struct json *b = content->child; b; b = b->next) {
			struct span type = json_get_text(b, "type");
			struct span source = json_get_text(json_get(b, "source"), "type");

			if (span_eq(type, SPAN_LIT("image")) && !span_eq(source, SPAN_LIT("base64")) && !*refusal) {
				snprintf(text, sizeof(text),
					 "invalid image source type: " SPAN_FMT ". Only base64 images are supported.",
					 SPAN_ARG(source));
				*refusal = arena_copy(&ex->arena, span_of(text));
			}
			any |= span_eq(type, SPAN_LIT("text")) || span_eq(type, SPAN_LIT("image")) ||
			       span_eq(type, SPAN_LIT("tool_use")) || span_eq(type, SPAN_LIT("tool_result")) ||
			       span_eq(type, SPAN_LIT("thinking"));
		}
	}
	return any;
}

static uint64_t chars_of(const struct json *content)
{
	uint64_t n = 0;

	if (!content)
		return 0;
	if (content->type == JSON_STRING)
		return content->text.n;
	for (const struct json *b = content->type == JSON_ARRAY ? content->child : NULL; b; b = b->next)
		n += json_get_text(b, "text").n + json_get_text(b, "thinking").n + chars_of(json_get(b, "content"));
	return n;
}

static void tokens_guess_make(struct sim_ex *ex, const struct json *messages)
{
	uint64_t chars = chars_of(json_get(ex->json, "system"));

	for (const struct json *m = messages->child; m; m = m->next)
		chars += json_get_text(m, "role").n + chars_of(json_get(m, "content"));
	for (const struct json *t = ex->tools ? ex->tools->child : NULL; t; t = t->next) {
		const struct json *schema = json_get(t, "input_schema");

		chars += json_get_text(t, "name").n + json_get_text(t, "description").n + (schema ? schema->raw.n : 0);
	}
	ex->gen.prompt_guess = chars / 4;
}

void handle_anthropic(struct sim_ex *ex)
{
	const struct json *messages;
	const char *refusal = NULL;
	bool any;

	if (!sim_request_read(ex, &request_schema))
		return;
	messages = json_get(ex->json, "messages");
	ex->max_tokens = json_get_i64(ex->json, "max_tokens", 0);
	if (!ex->model_text.n) {
		fail_translation(ex, "model is required");
		return;
	}
	if (ex->max_tokens <= 0) {
		fail_translation(ex, "max_tokens is required and must be positive");
		return;
	}
	if (!json_count(messages)) {
		fail_translation(ex, "messages is required");
		return;
	}
	any = blocks_any(ex, messages, &refusal);
	if (refusal) {
		fail_translation(ex, refusal);
		return;
	}
	ex->stream = json_get_bool(ex->json, "stream", false);
	ex->stop = json_get(ex->json, "stop_sequences");
	ex->tools = json_get(ex->json, "tools");
	ex->tools_given = json_count(ex->tools) > 0;
	if (!sim_request_model(ex, MISSING_PLAIN, true, false) ||
	    sim_request_lacks(ex, ex->conf.embed || ex->conf.broken, "chat", false) ||
	    sim_request_lacks(ex, ex->tools_given && !ex->conf.tools, "tools", true) || !sim_request_options(ex, NULL))
		return;
	ex->think = ex->conf.thinking && !span_eq(json_get_text(json_get(ex->json, "thinking"), "type"), SPAN_LIT("disabled"));
	tokens_guess_make(ex, messages);
	if (!any) {
		sim_request_load(ex);
		return;
	}
	sim_render_chat(ex, messages);
	sim_request_generate(ex);
}
