/* /v1/responses.  The streamed events come from maps, so their keys are sorted; the answer in one piece comes from a struct. */
#include "tools/sim/sim.h"

#include <stdio.h>
#include <string.h>

enum phase { PHASE_NONE = 0, PHASE_REASONING, PHASE_MESSAGE, PHASE_CALL };

static void ids_ensure(struct sim_ex *ex)
{
	if (ex->id[0])
		return;
	snprintf(ex->id, sizeof(ex->id), "resp_%u", (unsigned)(text_random() % 999999));
	ex->created_s = (int64_t)(clock_wall_ns() / NS_PER_S);
}

static void item_id_make(struct sim_ex *ex, const char *prefix, const char *suffix)
{
	snprintf(ex->item_id, sizeof(ex->item_id), "%s_%u%s", prefix, (unsigned)(text_random() % 999999), suffix);
}

static double number_or(const struct sim_ex *ex, const char *key, double otherwise)
{
	const struct json *j = json_get(ex->json, key);

	return j && j->type == JSON_NUMBER ? json_number(j) : otherwise;
}

static void json_or_null(struct buf *b, const struct json *j)
{
	if (j)
		json_write(b, j, true);
	else
		buf_lit(b, "null");
}

static void tools_write(struct sim_ex *ex, struct buf *b, bool sorted)
{
	static const char *const in_struct[] = {"type", "name", "description", "strict", "parameters"};
	static const char *const in_map[] = {"description", "name", "parameters", "strict", "type"};
	const char *const *keys = sorted ? in_map : in_struct;

	buf_lit(b, "[");
	for (const struct json *t = ex->tools ? ex->tools->child : NULL; t; t = t->next) {
		buf_text(b, t == ex->tools->child ? "{" : ",{");
		for (size_t i = 0; i < 5; i++) {
			buf_printf(b, "%s\"%s\":", i ? "," : "", keys[i]);
			json_or_null(b, json_get(t, keys[i]));
		}
		buf_lit(b, "}");
	}
	buf_lit(b, "]");
}

static void reasoning_write(struct sim_ex *ex, struct buf *b)
{
	struct span effort = json_get_text(json_get(ex->json, "reasoning"), "effort");

	if (!effort.n) {
		buf_lit(b, "null");
		return;
	}
	buf_lit(b, "{\"effort\":");
	buf_json(b, effort);
	buf_lit(b, ",\"summary\":");
	json_or_null(b, json_get(json_get(ex->json, "reasoning"), "summary"));
	buf_lit(b, "}");
}

/* --- the pieces of an output ------------------------------------------------------------------------------------------ */

static void reasoning_item(struct sim_ex *ex, struct buf *b, const char *id, bool sorted)
{
	if (!sorted)
		buf_printf(b, "{\"id\":\"%s\",\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":", id);
	else
		buf_lit(b, "{\"encrypted_content\":");
	buf_json(b, buf_view(&ex->gen.thinking));
	if (!sorted) {
		buf_lit(b, "}],\"encrypted_content\":");
		buf_json(b, buf_view(&ex->gen.thinking));
		buf_lit(b, "}");
		return;
	}
	buf_printf(b, ",\"id\":\"%s\",\"summary\":[{\"text\":", id);
	buf_json(b, buf_view(&ex->gen.thinking));
	buf_lit(b, ",\"type\":\"summary_text\"}],\"type\":\"reasoning\"}");
}

static void message_item(struct sim_ex *ex, struct buf *b, const char *id, bool sorted)
{
	if (!sorted) {
		buf_printf(b, "{\"id\":\"%s\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[",
			   id);
		buf_lit(b, "{\"type\":\"output_text\",\"text\":");
		buf_json(b, buf_view(&ex->gen.text));
		buf_lit(b, ",\"annotations\":[],\"logprobs\":[]}]}");
		return;
	}
	buf_lit(b, "{\"content\":[{\"annotations\":[],\"logprobs\":[],\"text\":");
	buf_json(b, buf_view(&ex->gen.text));
	buf_printf(
		b,
		",\"type\":\"output_text\"}],\"id\":\"%s\",\"role\":\"assistant\",\"status\":\"completed\",\"type\":\"message\"}",
		id);
}

static void call_item(struct sim_ex *ex, struct buf *b, const char *id, bool sorted)
{
	if (!sorted)
		buf_printf(b, "{\"id\":\"%s\",\"type\":\"function_call\",\"status\":\"completed\",\"call_id\":\"%s\",\"name\":", id,
			   ex->gen.call_id);
	else
		buf_lit(b, "{\"arguments\":");
	buf_json(b, sorted ? ex->gen.answer.tool_args : ex->gen.answer.tool_name);
	if (!sorted) {
		buf_lit(b, ",\"arguments\":");
		buf_json(b, ex->gen.answer.tool_args);
		buf_lit(b, "}");
		return;
	}
	buf_printf(b, ",\"call_id\":\"%s\",\"id\":\"%s\",\"name\":", ex->gen.call_id, id);
	buf_json(b, ex->gen.answer.tool_name);
	buf_lit(b, ",\"status\":\"completed\",\"type\":\"function_call\"}");
}

/* --- the answer in one piece ------------------------------------------------------------------------------------------ */

static void output_write(struct sim_ex *ex, struct buf *b)
{
	char id[64];

	buf_lit(b, "[");
	if (ex->gen.thinking.n) {
		item_id_make(ex, "rs", "");
		reasoning_item(ex, b, ex->item_id, false);
		buf_lit(b, ",");
	}
	if (ex->gen.tool_called) {
		snprintf(id, sizeof(id), "fc_%s_0", ex->id);
		call_item(ex, b, id, false);
	} else {
		item_id_make(ex, "msg", "");
		message_item(ex, b, ex->item_id, false);
	}
	buf_lit(b, "]");
}

static void usage_write(struct buf *b, const struct sim_summary *sum, bool sorted)
{
	buf_printf(b,
		   sorted ? "{\"input_tokens\":%u,\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":%u,"
			    "\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":%u}"
			  : "{\"input_tokens\":%u,\"output_tokens\":%u,\"total_tokens\":%u,\"input_tokens_details\":{\"cached_"
			    "tokens\":0},"
			    "\"output_tokens_details\":{\"reasoning_tokens\":0}}",
		   sum->prompt_tokens, sum->eval_tokens, sum->prompt_tokens + sum->eval_tokens);
}

static void finish_whole(struct sim_ex *ex, const struct sim_summary *sum)
{
	struct buf *b = &ex->scratch;

	b->n = 0;
	ids_ensure(ex);
	buf_printf(b, "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%lld,\"completed_at\":%lld,\"status\":\"completed\"",
		   ex->id, (long long)ex->created_s, (long long)(clock_wall_ns() / NS_PER_S));
	buf_lit(b, ",\"incomplete_details\":null,\"model\":");
	buf_json(b, ex->model_text);
	buf_lit(b, ",\"previous_response_id\":null,\"instructions\":");
	json_or_null(b, json_get(ex->json, "instructions"));
	buf_lit(b, ",\"output\":");
	output_write(ex, b);
	buf_lit(b, ",\"error\":null,\"tools\":");
	tools_write(ex, b, false);
	buf_lit(b, ",\"tool_choice\":\"auto\",\"truncation\":\"disabled\",\"parallel_tool_calls\":true,\"text\":{\"format\":{"
		   "\"type\":\"text\"}}"
		   ",\"top_p\":");
	buf_float64(b, number_or(ex, "top_p", 1));
	buf_lit(b, ",\"presence_penalty\":0,\"frequency_penalty\":0,\"top_logprobs\":0,\"temperature\":");
	buf_float64(b, number_or(ex, "temperature", 1));
	buf_lit(b, ",\"reasoning\":");
	reasoning_write(ex, b);
	buf_lit(b, ",\"usage\":");
	usage_write(b, sum, false);
	buf_lit(b, ",\"max_output_tokens\":");
	json_or_null(b, json_get(ex->json, "max_output_tokens"));
	buf_lit(b, ",\"max_tool_calls\":null,\"store\":false,\"background\":false,\"service_tier\":\"default\",\"metadata\":{}"
		   ",\"safety_identifier\":null,\"prompt_cache_key\":null}\n");
	resp_full(ex, 200, "application/json", buf_view(b));
}

/* --- the events ------------------------------------------------------------------------------------------------------- */

/* `head` and `tail` are what stands before and after sequence_number in the sorted object. */
static void event_send(struct sim_ex *ex, const char *type, const struct buf *head, const char *tail)
{
	char number[32];

	if (!ex->head_sent) {
		resp_begin(ex, 200, "text/event-stream");
		resp_field(ex, "Cache-Control", "no-cache");
		resp_field(ex, "Connection", "keep-alive");
		resp_flush(ex);
	}
	resp_write(ex, SPAN_LIT("event: "));
	resp_write(ex, span_of(type));
	resp_write(ex, SPAN_LIT("\ndata: "));
	resp_write(ex, buf_view(head));
	snprintf(number, sizeof(number), ",\"sequence_number\":%d", ex->seq++);
	resp_write(ex, span_of(number));
	resp_write(ex, span_of(tail));
	resp_write(ex, SPAN_LIT(",\"type\":\""));
	resp_write(ex, span_of(type));
	resp_write(ex, SPAN_LIT("\"}\n\n"));
	resp_flush(ex);
}

/* The whole response object inside an event; `sum` NULL = in progress.  `outputs` is the list written so far. */
static void response_event(struct sim_ex *ex, const char *type, const struct sim_summary *sum, const struct buf *outputs)
{
	struct buf b = {0};

	buf_lit(&b, "{\"response\":{\"background\":false,\"completed_at\":");
	if (sum)
		buf_i64(&b, (int64_t)(clock_wall_ns() / NS_PER_S));
	else
		buf_lit(&b, "null");
	buf_printf(&b,
		   ",\"created_at\":%lld,\"error\":null,\"frequency_penalty\":0,\"id\":\"%s\",\"incomplete_details\":null,"
		   "\"instructions\":",
		   (long long)ex->created_s, ex->id);
	json_or_null(&b, json_get(ex->json, "instructions"));
	buf_lit(&b, ",\"max_output_tokens\":");
	json_or_null(&b, json_get(ex->json, "max_output_tokens"));
	buf_lit(&b, ",\"max_tool_calls\":null,\"metadata\":{},\"model\":");
	buf_json(&b, ex->model_text);
	buf_lit(&b, ",\"object\":\"response\",\"output\":[");
	if (outputs)
		buf_span(&b, buf_view(outputs));
	buf_lit(&b, "],\"parallel_tool_calls\":true,\"presence_penalty\":0,\"previous_response_id\":null,\"prompt_cache_key\":null,"
		    "\"reasoning\":");
	reasoning_write(ex, &b);
	buf_lit(&b, ",\"safety_identifier\":null,\"service_tier\":\"default\",\"status\":");
	buf_text(&b, sum ? "\"completed\"" : "\"in_progress\"");
	buf_lit(&b, ",\"store\":false,\"temperature\":");
	buf_float64(&b, number_or(ex, "temperature", 1));
	buf_lit(&b, ",\"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\",\"tools\":");
	tools_write(ex, &b, true);
	buf_lit(&b, ",\"top_logprobs\":0,\"top_p\":");
	buf_float64(&b, number_or(ex, "top_p", 1));
	buf_lit(&b, ",\"truncation\":\"disabled\",\"usage\":");
	if (sum)
		usage_write(&b, sum, true);
	else
		buf_lit(&b, "null");
	buf_lit(&b, "}");
	event_send(ex, type, &b, "");
	buf_fini(&b);
}

static void stream_start(struct sim_ex *ex)
{
	if (ex->id[0])
		return;
	ids_ensure(ex);
	response_event(ex, "response.created", NULL, NULL);
	response_event(ex, "response.in_progress", NULL, NULL);
}

static void event_printf(struct sim_ex *ex, const char *type, const char *tail, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void event_printf(struct sim_ex *ex, const char *type, const char *tail, const char *fmt, ...)
{
	struct buf b = {0};
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_text(&b, text);
	event_send(ex, type, &b, tail);
	buf_fini(&b);
}

/* An event whose object begins with one string of any length. */
static void event_text(struct sim_ex *ex, const char *type, const char *before, struct span text, const char *after,
		       const char *tail)
{
	struct buf b = {0};

	buf_text(&b, before);
	buf_json(&b, text);
	buf_text(&b, after);
	event_send(ex, type, &b, tail);
	buf_fini(&b);
}

/* Say that an output is complete, and keep it for the last event. */
static void item_done(struct sim_ex *ex, void (*write)(struct sim_ex *, struct buf *, const char *, bool))
{
	struct buf b = {0};

	if (ex->outputs.n)
		buf_lit(&ex->outputs, ",");
	write(ex, &ex->outputs, ex->item_id, true);
	buf_lit(&b, "{\"item\":");
	write(ex, &b, ex->item_id, true);
	buf_printf(&b, ",\"output_index\":%d", ex->block);
	event_send(ex, "response.output_item.done", &b, "");
	buf_fini(&b);
	ex->block++;
}

static void reasoning_end(struct sim_ex *ex)
{
	struct buf t = {0};

	buf_lit(&t, ",\"summary_index\":0,\"text\":");
	buf_json(&t, buf_view(&ex->gen.thinking));
	buf_put(&t, "", 1);
	event_printf(ex, "response.reasoning_summary_text.done", t.p, "{\"item_id\":\"%s\",\"output_index\":%d", ex->item_id,
		     ex->block);
	buf_fini(&t);
	item_done(ex, reasoning_item);
}

static void message_begin(struct sim_ex *ex)
{
	item_id_make(ex, "msg", "");
	event_printf(
		ex, "response.output_item.added", "",
		"{\"item\":{\"content\":[],\"id\":\"%s\",\"role\":\"assistant\",\"status\":\"in_progress\",\"type\":\"message\"},"
		"\"output_index\":%d",
		ex->item_id, ex->block);
	event_printf(ex, "response.content_part.added", "",
		     "{\"content_index\":0,\"item_id\":\"%s\",\"output_index\":%d,\"part\":{\"annotations\":[],\"logprobs\":[],"
		     "\"text\":\"\","
		     "\"type\":\"output_text\"}",
		     ex->item_id, ex->block);
}

static void message_end(struct sim_ex *ex)
{
	struct buf t = {0};
	char before[256];

	buf_lit(&t, ",\"text\":");
	buf_json(&t, buf_view(&ex->gen.text));
	buf_put(&t, "", 1);
	event_printf(ex, "response.output_text.done", t.p,
		     "{\"content_index\":0,\"item_id\":\"%s\",\"logprobs\":[],\"output_index\":%d", ex->item_id, ex->block);
	buf_fini(&t);
	snprintf(before, sizeof(before),
		 "{\"content_index\":0,\"item_id\":\"%s\",\"output_index\":%d,\"part\":{\"annotations\":[],\"logprobs\":[],"
		 "\"text\":",
		 ex->item_id, ex->block);
	event_text(ex, "response.content_part.done", before, buf_view(&ex->gen.text), ",\"type\":\"output_text\"}", "");
	item_done(ex, message_item);
}

static void call_send(struct sim_ex *ex)
{
	struct buf b = {0};
	char after[128];

	item_id_make(ex, "fc", "_0");
	buf_printf(&b, "{\"item\":{\"arguments\":\"\",\"call_id\":\"%s\",\"id\":\"%s\",\"name\":", ex->gen.call_id, ex->item_id);
	buf_json(&b, ex->gen.answer.tool_name);
	buf_printf(&b, ",\"status\":\"in_progress\",\"type\":\"function_call\"},\"output_index\":%d", ex->block);
	event_send(ex, "response.output_item.added", &b, "");
	buf_fini(&b);
	snprintf(after, sizeof(after), ",\"item_id\":\"%s\",\"output_index\":%d", ex->item_id, ex->block);
	event_text(ex, "response.function_call_arguments.delta", "{\"delta\":", ex->gen.answer.tool_args, after, "");
	event_text(ex, "response.function_call_arguments.done", "{\"arguments\":", ex->gen.answer.tool_args, after, "");
	item_done(ex, call_item);
}

static void item_responses(struct sim_ex *ex, const struct sim_item *item)
{
	char after[160];

	stream_start(ex);
	if (item->kind != PIECE_THINKING && ex->phase == PHASE_REASONING) {
		reasoning_end(ex);
		ex->phase = PHASE_NONE;
	}
	if (item->kind == PIECE_TOOL) {
		ex->phase = PHASE_CALL;
		call_send(ex);
		return;
	}
	if (item->kind == PIECE_THINKING && ex->phase != PHASE_REASONING) {
		item_id_make(ex, "rs", "");
		event_printf(ex, "response.output_item.added", "",
			     "{\"item\":{\"id\":\"%s\",\"summary\":[],\"type\":\"reasoning\"},\"output_index\":%d", ex->item_id,
			     ex->block);
		ex->phase = PHASE_REASONING;
	}
	if (item->kind == PIECE_TEXT && ex->phase != PHASE_MESSAGE) {
		message_begin(ex);
		ex->phase = PHASE_MESSAGE;
	}
	if (item->kind == PIECE_THINKING) {
		snprintf(after, sizeof(after), ",\"item_id\":\"%s\",\"output_index\":%d", ex->item_id, ex->block);
		event_text(ex, "response.reasoning_summary_text.delta", "{\"delta\":", item->text, after, ",\"summary_index\":0");
		return;
	}
	snprintf(after, sizeof(after), ",\"item_id\":\"%s\",\"logprobs\":[],\"output_index\":%d", ex->item_id, ex->block);
	event_text(ex, "response.output_text.delta", "{\"content_index\":0,\"delta\":", item->text, after, "");
}

static void finish_responses(struct sim_ex *ex, const struct sim_summary *sum)
{
	if (!ex->stream) {
		finish_whole(ex, sum);
		return;
	}
	if (sum->done) {
		stream_start(ex);
		if (ex->phase == PHASE_REASONING)
			reasoning_end(ex);
		if (ex->phase == PHASE_MESSAGE)
			message_end(ex);
		response_event(ex, "response.completed", sum, &ex->outputs);
	}
	resp_end(ex);
}

static void broken_responses(struct sim_ex *ex, const char *message)
{
	(void)ex;
	(void)message;
}

static void loaded_responses(struct sim_ex *ex, const char *reason)
{
	finish_responses(ex, &(struct sim_summary){.done = true, .reason = reason});
}

static void error_responses(struct sim_ex *ex, int status, const char *message, struct buf *out, bool translation)
{
	dialect_oai.error(ex, status, message, out, translation);
}

const struct sim_dialect dialect_oai_responses = {
	.item = item_responses,
	.finish = finish_responses,
	.broken = broken_responses,
	.loaded = loaded_responses,
	.error = error_responses,
	.error_newline = true,
	.sse_headers = true,
};

/* --- requests --------------------------------------------------------------------------------------------------------- */

static const struct sim_field request_fields[] = {
	{"model", FIELD_STRING, "string", NULL},
	{"stream", FIELD_BOOL, "bool", NULL},
	{"instructions", FIELD_STRING, "string", NULL},
	{"max_output_tokens", FIELD_INT, "int", NULL},
	{"temperature", FIELD_FLOAT, "float64", NULL},
	{"top_p", FIELD_FLOAT, "float64", NULL},
	{"tools", FIELD_SLICE, "[]openai.ResponsesTool", NULL},
};
static const struct sim_schema request_schema = {"ResponsesRequest", "openai.ResponsesRequest", request_fields,
						 sizeof(request_fields) / sizeof(request_fields[0])};

static bool input_ok(struct sim_ex *ex, const struct json *input)
{
	char text[160];

	if (!input || input->type == JSON_STRING || input->type == JSON_ARRAY)
		return true;
	snprintf(text, sizeof(text),
		 "input must be a string or array: json: cannot unmarshal %s into Go value of type []json.RawMessage",
		 json_type_name(input->type));
	ex->translation = true;
	sim_ex_fail(ex, 400, text);
	return false;
}

/* A plain text is one message of the user. */
static const struct json *input_messages(struct sim_ex *ex, const struct json *input)
{
	static const struct json role = {.type = JSON_STRING, .text = {"user", 4}, .key = {"role", 4}};
	struct json *content;
	struct json *message;
	struct json *list;

	if (!input || input->type != JSON_STRING)
		return input;
	content = arena_alloc(&ex->arena, sizeof(*content));
	message = arena_alloc(&ex->arena, sizeof(*message));
	list = arena_alloc(&ex->arena, sizeof(*list));
	*content = (struct json){.type = JSON_STRING, .text = input->text, .key = {"content", 7}};
	*message = (struct json){.type = JSON_OBJECT, .child = arena_alloc(&ex->arena, sizeof(*message))};
	*message->child = role;
	message->child->next = content;
	*list = (struct json){.type = JSON_ARRAY, .child = message};
	return list;
}

void handle_oai_responses(struct sim_ex *ex)
{
	const struct json *input;
	struct span effort;

	if (!sim_request_read(ex, &request_schema))
		return;
	input = json_get(ex->json, "input");
	if (!input_ok(ex, input))
		return;
	ex->stream = json_get_bool(ex->json, "stream", false);
	ex->max_tokens = json_get_i64(ex->json, "max_output_tokens", -1);
	ex->tools = json_get(ex->json, "tools");
	ex->tools_given = json_count(ex->tools) > 0;
	effort = json_get_text(json_get(ex->json, "reasoning"), "effort");
	if (!sim_request_model(ex, MISSING_PLAIN, true, false) ||
	    sim_request_lacks(ex, ex->conf.embed || ex->conf.broken, "chat", false) ||
	    sim_request_lacks(ex, ex->tools_given && !ex->conf.tools, "tools", true) ||
	    sim_request_lacks(ex, effort.n && !span_eq(effort, SPAN_LIT("none")) && !ex->conf.thinking, "thinking", false) ||
	    !sim_request_options(ex, NULL))
		return;
	ex->think = ex->conf.thinking && !span_eq(effort, SPAN_LIT("none"));
	sim_render_chat(ex, input_messages(ex, input));
	if (input && (input->type == JSON_STRING ? input->text.n : json_count(input)))
		sim_request_generate(ex);
	else
		sim_request_load(ex);
}
