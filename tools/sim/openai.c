/* The OpenAI routes: chat, completions, embeddings, models. */
#include "tools/sim/sim.h"

#include <stdio.h>
#include <string.h>

/* --- errors ----------------------------------------------------------------------------------------------------------- */

static void error_oai(struct sim_ex *ex, int status, const char *message, struct buf *out, bool translation)
{
	(void)ex;
	(void)translation;
	buf_lit(out, "{\"error\":{\"message\":");
	buf_json_text(out, message);
	buf_printf(out, ",\"type\":\"%s\",\"param\":null,\"code\":null}}",
		   status == 400   ? "invalid_request_error"
		   : status == 404 ? "not_found_error"
				   : "api_error");
}

/* An error of the layer that translates, not of what it translates to. */
static void fail_translation(struct sim_ex *ex, const char *message)
{
	ex->translation = true;
	sim_ex_fail(ex, 400, message);
}

/* --- chat and completions --------------------------------------------------------------------------------------------- */

static int64_t created_now(struct sim_ex *ex)
{
	if (!ex->created_s || !sim_conf.new_generation)
		ex->created_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	return ex->created_s;
}

static void id_ensure(struct sim_ex *ex, const char *prefix)
{
	if (!ex->id[0])
		snprintf(ex->id, sizeof(ex->id), "%s-%u", prefix, (unsigned)(text_random() % 999));
}

static void chunk_begin(struct sim_ex *ex, struct buf *b, bool lost)
{
	struct span model = lost ? (struct span){"", 0} : ex->model_text;

	id_ensure(ex, "chatcmpl");
	buf_printf(b, "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%lld,\"model\":", ex->id,
		   (long long)created_now(ex));
	buf_json(b, model);
	buf_lit(b, ",\"system_fingerprint\":\"fp_ollama\",\"choices\":[");
}

static void call_write(struct sim_ex *ex, struct buf *b)
{
	buf_printf(b, ",\"tool_calls\":[{\"id\":\"%s\",\"index\":0,\"type\":\"function\",\"function\":{\"name\":", ex->gen.call_id);
	buf_json(b, ex->gen.answer.tool_name);
	buf_lit(b, ",\"arguments\":");
	buf_json(b, ex->gen.answer.tool_args);
	buf_lit(b, "}}]");
}

static void chunk_send(struct sim_ex *ex, struct buf *b)
{
	if (!ex->head_sent)
		resp_begin(ex, 200, "text/event-stream");
	resp_write(ex, buf_view(b));
}

static void item_chat(struct sim_ex *ex, const struct sim_item *item)
{
	struct buf *b = &ex->scratch;
	struct span none = {"", 0};

	b->n = 0;
	chunk_begin(ex, b, false);
	buf_lit(b, "{\"index\":0,\"delta\":{");
	if (!ex->phase || !sim_conf.new_generation)
		buf_lit(b, "\"role\":\"assistant\",");
	ex->phase = 1;
	buf_lit(b, "\"content\":");
	buf_json(b, item->kind == PIECE_TEXT ? item->text : none);
	if (item->kind == PIECE_THINKING) {
		buf_lit(b, ",\"reasoning\":");
		buf_json(b, item->text);
	}
	if (item->kind == PIECE_TOOL)
		call_write(ex, b);
	buf_lit(b, "},\"finish_reason\":null}]}\n\n");
	chunk_send(ex, b);
	resp_flush(ex);
}

static void usage_write(struct buf *b, const struct sim_summary *sum)
{
	buf_printf(b, "\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u}", sum->prompt_tokens,
		   sum->eval_tokens, sum->prompt_tokens + sum->eval_tokens);
}

static const char *chat_reason(const struct sim_ex *ex, const struct sim_summary *sum)
{
	return ex->gen.tool_called && strcmp(sum->reason, "stop") == 0 ? "tool_calls" : sum->reason;
}

static void chat_finish_stream(struct sim_ex *ex, const struct sim_summary *sum)
{
	struct buf *b = &ex->scratch;

	if (!sum->done) {
		resp_end(ex);
		return;
	}
	chunk_begin(ex, b, false);
	buf_printf(b, "{\"index\":0,\"delta\":{%s},\"finish_reason\":\"%s\"}]}\n\n",
		   sim_conf.new_generation ? "" : "\"role\":\"assistant\",\"content\":\"\"", chat_reason(ex, sum));
	if (ex->include_usage) {
		chunk_begin(ex, b, false);
		buf_lit(b, "],");
		usage_write(b, sum);
		buf_lit(b, "}\n\n");
	}
	buf_lit(b, "data: [DONE]\n\n");
	chunk_send(ex, b);
	resp_flush(ex);
	resp_end(ex);
}

static void logprobs_write(struct sim_ex *ex, struct buf *b)
{
	struct span text;
	char scratch[32];
	const char *comma = "";

	buf_lit(b, ",\"logprobs\":{\"content\":[");
	for (uint32_t i = 0; i < ex->gen.next; i++) {
		if (sim_answer_piece(&ex->gen.answer, i, &text, scratch) != PIECE_TEXT)
			continue;
		buf_text(b, comma);
		sim_logprob_write(ex, b, text);
		comma = ",";
	}
	buf_lit(b, "]}");
}

static void finish_chat(struct sim_ex *ex, const struct sim_summary *sum)
{
	struct buf *b = &ex->scratch;

	b->n = 0;
	if (ex->stream) {
		chat_finish_stream(ex, sum);
		return;
	}
	id_ensure(ex, "chatcmpl");
	buf_printf(b, "{\"id\":\"%s\",\"object\":\"chat.completion\",\"created\":%lld,\"model\":", ex->id,
		   (long long)created_now(ex));
	buf_json(b, ex->model_text);
	buf_lit(b,
		",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
	buf_json(b, buf_view(&ex->gen.text));
	if (ex->gen.thinking.n) {
		buf_lit(b, ",\"reasoning\":");
		buf_json(b, buf_view(&ex->gen.thinking));
	}
	if (ex->gen.tool_called)
		call_write(ex, b);
	buf_lit(b, "},\"finish_reason\":");
	if (sum->done)
		buf_printf(b, "\"%s\"", chat_reason(ex, sum));
	else
		buf_lit(b, "null");
	if (ex->logprobs)
		logprobs_write(ex, b);
	buf_lit(b, "}],");
	usage_write(b, sum);
	buf_lit(b, "}\n");
	resp_full(ex, 200, "application/json", buf_view(b));
}

/* The text of the error is lost on the way; what is left of it is an empty chunk of an empty model. */
static void broken_chat(struct sim_ex *ex, const char *message)
{
	struct buf *b = &ex->scratch;

	(void)message;
	b->n = 0;
	chunk_begin(ex, b, true);
	buf_lit(b, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n");
	chunk_send(ex, b);
	resp_flush(ex);
}

static void cmpl_chunk(struct sim_ex *ex, struct buf *b, struct span text, const char *reason, struct span model)
{
	id_ensure(ex, "cmpl");
	buf_printf(b, "data: {\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%lld,\"choices\":[{\"text\":", ex->id,
		   (long long)created_now(ex));
	buf_json(b, text);
	buf_lit(b, ",\"index\":0,\"finish_reason\":");
	if (reason)
		buf_json_text(b, reason);
	else
		buf_lit(b, "null");
	buf_lit(b, "}],\"model\":");
	buf_json(b, model);
	buf_lit(b, ",\"system_fingerprint\":\"fp_ollama\"");
	if (ex->include_usage)
		buf_lit(b, ",\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}");
	buf_lit(b, "}\n\n");
}

static void item_cmpl(struct sim_ex *ex, const struct sim_item *item)
{
	struct span none = {"", 0};

	ex->scratch.n = 0;
	cmpl_chunk(ex, &ex->scratch, item->kind == PIECE_TEXT ? item->text : none, NULL, ex->model_text);
	chunk_send(ex, &ex->scratch);
	resp_flush(ex);
}

static void cmpl_finish_stream(struct sim_ex *ex, const struct sim_summary *sum)
{
	struct buf *b = &ex->scratch;

	if (!sum->done) {
		resp_end(ex);
		return;
	}
	cmpl_chunk(ex, b, (struct span){"", 0}, sum->reason, ex->model_text);
	if (ex->include_usage) {
		buf_printf(b,
			   "data: {\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%lld,\"choices\":[],\"model\":", ex->id,
			   (long long)created_now(ex));
		buf_json(b, ex->model_text);
		buf_lit(b, ",\"system_fingerprint\":\"fp_ollama\",");
		usage_write(b, sum);
		buf_lit(b, "}\n\n");
	}
	buf_lit(b, "data: [DONE]\n\n");
	chunk_send(ex, b);
	/* The answer of an empty prompt is one piece with a length. */
	if (strcmp(sum->reason, "load") != 0)
		resp_flush(ex);
	resp_end(ex);
}

static void finish_cmpl(struct sim_ex *ex, const struct sim_summary *sum)
{
	struct buf *b = &ex->scratch;

	b->n = 0;
	if (ex->stream) {
		cmpl_finish_stream(ex, sum);
		return;
	}
	id_ensure(ex, "cmpl");
	buf_printf(b, "{\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%lld,\"model\":", ex->id,
		   (long long)created_now(ex));
	buf_json(b, ex->model_text);
	buf_lit(b, ",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"text\":");
	buf_json(b, buf_view(&ex->gen.text));
	buf_lit(b, ",\"index\":0,\"finish_reason\":");
	if (sum->done)
		buf_json_text(b, sum->reason);
	else
		buf_lit(b, "null");
	buf_lit(b, "}],");
	usage_write(b, sum);
	buf_lit(b, "}\n");
	resp_full(ex, 200, "application/json", buf_view(b));
}

static void broken_cmpl(struct sim_ex *ex, const char *message)
{
	(void)message;
	ex->scratch.n = 0;
	cmpl_chunk(ex, &ex->scratch, (struct span){"", 0}, NULL, (struct span){"", 0});
	chunk_send(ex, &ex->scratch);
	resp_flush(ex);
}

static void loaded_cmpl(struct sim_ex *ex, const char *reason)
{
	finish_cmpl(ex, &(struct sim_summary){.done = true, .reason = reason});
}

const struct sim_dialect dialect_oai = {.error = error_oai, .error_newline = true};
const struct sim_dialect dialect_oai_chat = {
	.item = item_chat,
	.finish = finish_chat,
	.broken = broken_chat,
	.error = error_oai,
	.error_newline = true,
};
const struct sim_dialect dialect_oai_cmpl = {
	.item = item_cmpl,
	.finish = finish_cmpl,
	.broken = broken_cmpl,
	.loaded = loaded_cmpl,
	.error = error_oai,
	.error_newline = true,
};

static const struct sim_field stream_options_fields[] = {{"include_usage", FIELD_BOOL, "bool", NULL}};
static const struct sim_schema stream_options_schema = {"StreamOptions", "openai.StreamOptions", stream_options_fields, 1};
static const struct sim_field message_fields[] = {
	{"role", FIELD_STRING, "string", NULL},      {"content", FIELD_ANY, NULL, NULL},
	{"reasoning", FIELD_STRING, "string", NULL}, {"tool_calls", FIELD_SLICE, "[]openai.ToolCall", NULL},
	{"name", FIELD_STRING, "string", NULL},      {"tool_call_id", FIELD_STRING, "string", NULL},
};
static const struct sim_schema message_schema = {"Message", "openai.Message", message_fields, 6};

#define SAMPLING_FIELDS                                                                                                            \
	{"model", FIELD_STRING, "string", NULL}, {"stream", FIELD_BOOL, "bool", NULL},                                             \
		{"stream_options", FIELD_STRUCT, "openai.StreamOptions", &stream_options_schema},                                  \
		{"max_tokens", FIELD_INT, "int", NULL}, {"seed", FIELD_INT, "int", NULL}, {"stop", FIELD_ANY, NULL, NULL},         \
		{"temperature", FIELD_FLOAT, "float64", NULL}, {"frequency_penalty", FIELD_FLOAT, "float64", NULL},                \
		{"presence_penalty", FIELD_FLOAT, "float64", NULL},                                                                \
	{                                                                                                                          \
		"top_p", FIELD_FLOAT, "float64", NULL                                                                              \
	}

static const struct sim_field chat_fields[] = {
	SAMPLING_FIELDS,
	{"messages", FIELD_SLICE, "[]openai.Message", &message_schema},
	{"response_format", FIELD_STRUCT, "openai.ResponseFormat", &(const struct sim_schema){"ResponseFormat", NULL, NULL, 0}},
	{"tools", FIELD_SLICE, "[]api.Tool", NULL},
	{"reasoning_effort", FIELD_STRING, "string", NULL},
	{"logprobs", FIELD_BOOL, "bool", NULL},
	{"top_logprobs", FIELD_INT, "int", NULL},
};
static const struct sim_schema chat_schema = {"ChatCompletionRequest", "openai.ChatCompletionRequest", chat_fields,
					      sizeof(chat_fields) / sizeof(chat_fields[0])};

static const struct sim_field cmpl_fields[] = {
	SAMPLING_FIELDS,
	{"prompt", FIELD_STRING, "string", NULL},
	{"suffix", FIELD_STRING, "string", NULL},
};
static const struct sim_schema cmpl_schema = {"CompletionRequest", "openai.CompletionRequest", cmpl_fields,
					      sizeof(cmpl_fields) / sizeof(cmpl_fields[0])};

/* A part of a message that the translation refuses; NULL when it is fine. */
static const char *part_refusal(const struct json *part)
{
	struct span type = json_get_text(part, "type");
	struct span url;

	if (span_eq(type, SPAN_LIT("text")))
		return json_get(part, "text") ? NULL : "invalid message format";
	if (!span_eq(type, SPAN_LIT("image_url")))
		return "invalid message format";
	url = json_get_text(json_get(part, "image_url"), "url");
	if (url.n > 7 && (!memcmp(url.p, "http://", 7) || !memcmp(url.p, "https:/", 7)))
		return "image URLs are not currently supported, please use base64 encoded data instead";
	if (url.n < 5 || memcmp(url.p, "data:", 5) || memchr(url.p, '!', url.n))
		return "invalid image input";
	return NULL;
}

static const char *message_refusal(const struct json *m)
{
	const struct json *content = json_get(m, "content");
	const struct json *calls = json_get(m, "tool_calls");
	const char *bad = NULL;

	for (const struct json *c = calls ? calls->child : NULL; c; c = c->next) {
		struct span args = json_get_text(json_get(c, "function"), "arguments");
		struct arena a = {0};
		struct json *j;
		struct why why;

		if (json_parse(&a, args, &j, &why) || j->type != JSON_OBJECT)
			bad = "invalid tool call arguments";
		arena_fini(&a);
	}
	if (bad)
		return bad;
	if (!content)
		return json_count(calls) ? NULL : "invalid message content type: <nil>";
	if (content->type == JSON_NUMBER)
		return "invalid message content type: float64";
	if (content->type == JSON_BOOL)
		return "invalid message content type: bool";
	if (content->type == JSON_OBJECT)
		return "invalid message content type: map[string]interface {}";
	for (const struct json *p = content->type == JSON_ARRAY ? content->child : NULL; p && !bad; p = p->next)
		bad = part_refusal(p);
	return bad;
}

/* `reasoning_effort`: sets ex->think.  False when answered. */
static bool effort_read(struct sim_ex *ex, struct span effort, bool *asked)
{
	static const char *const all[] = {"high", "medium", "low", "max", "none", "minimal", "xhigh", "ultra"};
	size_t n = sim_conf.new_generation ? 8 : 5;

	*asked = effort.n > 0;
	if (!effort.n)
		return true;
	for (size_t i = 0; i < n; i++) {
		if (!span_eq(effort, span_of(all[i])))
			continue;
		*asked = !span_eq(effort, SPAN_LIT("none"));
		ex->think = *asked;
		return true;
	}
	{
		char text[160];

		snprintf(text, sizeof(text),
			 "invalid reasoning value: '" SPAN_FMT "' (must be \"high\", \"medium\", \"low\", \"max\", or \"none\")",
			 SPAN_ARG(effort));
		fail_translation(ex, text);
	}
	return false;
}

static void sampling_read(struct sim_ex *ex)
{
	ex->stream = json_get_bool(ex->json, "stream", false);
	ex->include_usage = json_get_bool(json_get(ex->json, "stream_options"), "include_usage", false);
	ex->max_tokens = json_get_i64(ex->json, "max_tokens", -1);
	/* The translation drops a zero. */
	if (!ex->max_tokens)
		ex->max_tokens = -1;
	ex->stop = json_get(ex->json, "stop");
}

void handle_oai_chat(struct sim_ex *ex)
{
	const struct json *messages;
	const char *bad = NULL;
	bool effort = false;
	bool capable_default;

	if (!sim_request_read(ex, &chat_schema))
		return;
	messages = json_get(ex->json, "messages");
	sampling_read(ex);
	if (!json_count(messages)) {
		fail_translation(ex, "[] is too short - 'messages'");
		return;
	}
	for (const struct json *m = messages->child; m && !bad; m = m->next)
		bad = message_refusal(m);
	if (bad) {
		fail_translation(ex, bad);
		return;
	}
	if (!effort_read(ex, json_get_text(ex->json, "reasoning_effort"), &effort))
		return;
	capable_default = !json_get_text(ex->json, "reasoning_effort").n;
	ex->tools = json_get(ex->json, "tools");
	ex->tools_given = json_count(ex->tools) > 0;
	ex->logprobs = json_get_bool(ex->json, "logprobs", false);
	ex->top_logprobs = json_get_i64(ex->json, "top_logprobs", 0);
	if (!sim_request_model(ex, MISSING_PLAIN, true, false) ||
	    sim_request_lacks(ex, ex->conf.embed || ex->conf.broken, "chat", false) ||
	    sim_request_lacks(ex, ex->tools_given && !ex->conf.tools, "tools", true) ||
	    sim_request_lacks(ex, effort && !ex->conf.thinking, "thinking", false) || !sim_request_options(ex, NULL))
		return;
	if (capable_default)
		ex->think = ex->conf.thinking;
	sim_render_chat(ex, messages);
	sim_request_generate(ex);
}

void handle_oai_completions(struct sim_ex *ex)
{
	if (!sim_request_read(ex, &cmpl_schema))
		return;
	sampling_read(ex);
	if (!sim_request_model(ex, MISSING_PLAIN, false, false) ||
	    sim_request_lacks(ex, ex->conf.embed || ex->conf.broken, "generate", false) ||
	    sim_request_lacks(ex, json_get_text(ex->json, "suffix").n && !ex->conf.insert, "insert", true) ||
	    !sim_request_options(ex, NULL))
		return;
	ex->think = ex->conf.thinking;
	sim_render_generate(ex);
	if (ex->user.n)
		sim_request_generate(ex);
	else
		sim_request_load(ex);
}

/* --- embeddings ------------------------------------------------------------------------------------------------------- */

static void base64_write(struct buf *b, const unsigned char *p, size_t n)
{
	static const char a[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	buf_lit(b, "\"");
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0U);
		char q[4] = {a[v >> 18], a[v >> 12 & 63], i + 1 < n ? a[v >> 6 & 63] : '=', i + 2 < n ? a[v & 63] : '='};

		buf_put(b, q, 4);
	}
	buf_lit(b, "\"");
}

static void vector_write(struct sim_ex *ex, struct buf *b, struct span text, unsigned index)
{
	uint32_t dim = sim_embed_dim(ex);
	float *v = arena_alloc(&ex->arena, 8192 * sizeof(*v));

	sim_embed_vector(ex, text, v, true);
	buf_printf(b, "%s{\"object\":\"embedding\",\"embedding\":", index ? "," : "");
	if (span_eq(json_get_text(ex->json, "encoding_format"), SPAN_LIT("base64"))) {
		base64_write(b, (const unsigned char *)v, dim * sizeof(*v));
	} else {
		buf_lit(b, "[");
		for (uint32_t i = 0; i < dim; i++) {
			if (i)
				buf_lit(b, ",");
			buf_float32(b, v[i]);
		}
		buf_lit(b, "]");
	}
	buf_printf(b, ",\"index\":%u}", index);
}

static void embeddings_done(struct sim_ex *ex)
{
	const struct json *in = ex->embed_input;
	struct buf *b = &ex->scratch;
	unsigned index = 0;

	b->n = 0;
	buf_lit(b, "{\"object\":\"list\",\"data\":[");
	if (in->type == JSON_STRING)
		vector_write(ex, b, in->text, 0);
	for (const struct json *e = in->type == JSON_ARRAY ? in->child : NULL; e; e = e->next)
		vector_write(ex, b, e->text, index++);
	buf_lit(b, "],\"model\":");
	buf_json(b, ex->model_text);
	buf_printf(b, ",\"usage\":{\"prompt_tokens\":%u,\"total_tokens\":%u}}\n", ex->gen.prompt_tokens, ex->gen.prompt_tokens);
	resp_full(ex, 200, "application/json", buf_view(b));
}

static const struct sim_field embed_fields[] = {
	{"model", FIELD_STRING, "string", NULL},
	{"input", FIELD_ANY, NULL, NULL},
	{"dimensions", FIELD_INT, "int", NULL},
	{"encoding_format", FIELD_STRING, "string", NULL},
};
static const struct sim_schema embed_schema = {"EmbedRequest", "openai.EmbedRequest", embed_fields, 4};

void handle_oai_embeddings(struct sim_ex *ex)
{
	const struct json *input;
	struct span format;
	char text[200];

	if (!sim_request_read(ex, &embed_schema))
		return;
	input = json_get(ex->json, "input");
	format = json_get_text(ex->json, "encoding_format");
	if (format.n && !span_caseeq(format, SPAN_LIT("float")) && !span_caseeq(format, SPAN_LIT("base64"))) {
		snprintf(text, sizeof(text),
			 "Invalid value for 'encoding_format' = " SPAN_FMT ". Supported values: ['float', 'base64'].",
			 SPAN_ARG(format));
		fail_translation(ex, text);
		return;
	}
	if (!input || (input->type == JSON_ARRAY && !input->child)) {
		fail_translation(ex, "invalid input");
		return;
	}
	ex->translation = false;
	ex->dimensions = json_get_i64(ex->json, "dimensions", 0);
	if (!sim_embed_input_ok(ex, input) || !sim_request_model(ex, MISSING_TRY_PULLING, false, false) ||
	    !sim_request_options(ex, NULL))
		return;
	sim_embed_run(ex, input, embeddings_done);
}

/* --- models ----------------------------------------------------------------------------------------------------------- */

static void model_write(struct buf *b, const struct sim_model *m, struct span id)
{
	buf_lit(b, "{\"id\":");
	buf_json(b, id);
	buf_printf(b, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"%s\"}", (long long)(m->modified_ns / NS_PER_S),
		   m->name.ns);
}

void handle_oai_models(struct sim_ex *ex)
{
	struct buf *b = &ex->scratch;
	struct sim_model *m;
	const char *comma = "";
	char name[SIM_NAME_BYTES];

	b->n = 0;
	buf_lit(b, "{\"object\":\"list\",\"data\":");
	buf_text(b, TAILQ_EMPTY(&ex->in->models) ? "null" : "[");
	TAILQ_FOREACH(m, &ex->in->models, link)
	{
		sim_name_display(&m->name, name, sizeof(name));
		buf_text(b, comma);
		model_write(b, m, span_of(name));
		comma = ",";
	}
	buf_text(b, TAILQ_EMPTY(&ex->in->models) ? "}\n" : "]}\n");
	resp_full(ex, 200, "application/json", buf_view(b));
}

void handle_oai_model(struct sim_ex *ex)
{
	struct sim_name name;
	struct sim_model *m;
	struct buf *b = &ex->scratch;

	if (!sim_name_parse(ex->param, &name)) {
		sim_ex_fail(ex, 400, "invalid model name");
		return;
	}
	m = sim_store_find(ex->in, &name);
	if (!m) {
		sim_ex_failf(ex, 404, "model '" SPAN_FMT "' not found", SPAN_ARG(ex->param));
		return;
	}
	b->n = 0;
	model_write(b, m, ex->param);
	buf_lit(b, "\n");
	resp_full(ex, 200, "application/json", buf_view(b));
}
