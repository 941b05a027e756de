/* Prompts: what a model gets of a request, as far as the simulated models care. */
#include "tools/sim/sim.h"

#include <string.h>
#include <strings.h>

static bool role_known(struct span role)
{
	static const char *const roles[] = {"system", "user", "assistant", "tool"};

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (span_caseeq(role, span_of(roles[i])))
			return true;
	return false;
}

/* Text of a message: a string, or the text parts of a list. */
static void content_append(struct buf *b, const struct json *content)
{
	if (!content)
		return;
	if (content->type == JSON_STRING) {
		buf_span(b, content->text);
		return;
	}
	for (const struct json *part = content->child; content->type == JSON_ARRAY && part; part = part->next) {
		const struct json *inner = json_get(part, "content");

		buf_span(b, json_get_text(part, "text"));
		if (inner)
			content_append(b, inner);
	}
}

/* --- the scripted chat template ---------------------------------------------------------------------------------------- */

/* The tools as the template prints them, whichever dialect they came in. */
static void tools_print(struct buf *b, const struct json *tools)
{
	buf_lit(b, "tools: [");
	for (const struct json *t = tools->child; t; t = t->next) {
		const struct json *f = json_get(t, "function") ? json_get(t, "function") : t;
		const struct json *p = json_get(f, "parameters") ? json_get(f, "parameters") : json_get(f, "input_schema");
		const struct json *required = json_get(p, "required");
		const struct json *properties = json_get(p, "properties");

		buf_text(b, t == tools->child ? "" : ",");
		buf_lit(b, "{\"type\":\"function\",\"function\":{\"name\":");
		buf_json(b, json_get_text(f, "name"));
		buf_lit(b, ",\"description\":");
		buf_json(b, json_get_text(f, "description"));
		buf_lit(b, ",\"parameters\":{\"type\":");
		buf_json(b, json_get_text(p, "type"));
		if (required) {
			buf_lit(b, ",\"required\":");
			json_write(b, required, false);
		}
		buf_lit(b, ",\"properties\":");
		if (properties)
			json_write(b, properties, false);
		else
			buf_lit(b, "{}");
		buf_lit(b, "}}}");
	}
	buf_lit(b, "]\n");
}

static void call_print(struct buf *b, struct span name, const struct json *arguments)
{
	buf_lit(b, "<tool_call>\n{\"name\": \"");
	buf_span(b, name);
	buf_lit(b, "\", \"arguments\": ");
	if (arguments && arguments->type == JSON_STRING)
		buf_span(b, arguments->text);
	else if (arguments)
		json_write(b, arguments, true);
	buf_lit(b, "}\n</tool_call>");
}

/* The calls of an assistant's turn: a list of their own, or blocks among the content. */
static void calls_print(struct buf *b, const struct json *message)
{
	const struct json *calls = json_get(message, "tool_calls");
	const struct json *content = json_get(message, "content");

	for (const struct json *c = calls ? calls->child : NULL; c; c = c->next)
		call_print(b, json_get_text(json_get(c, "function"), "name"), json_get(json_get(c, "function"), "arguments"));
	for (const struct json *c = content && content->type == JSON_ARRAY ? content->child : NULL; c; c = c->next)
		if (span_eq(json_get_text(c, "type"), SPAN_LIT("tool_use")))
			call_print(b, json_get_text(c, "name"), json_get(c, "input"));
}

/* A tool's result travels as a user's turn in one of the dialects. */
static struct span role_of(const struct json *message)
{
	const struct json *content = json_get(message, "content");
	struct span role = json_get_text(message, "role");

	if (content && content->type == JSON_ARRAY && span_eq(json_get_text(content->child, "type"), SPAN_LIT("tool_result")))
		return SPAN_LIT("tool");
	return role;
}

static void turn_print(struct buf *b, const struct json *message)
{
	struct span role = role_of(message);

	calls_print(b, message);
	buf_span(b, role);
	buf_lit(b, ": ");
	content_append(b, json_get(message, "content"));
	buf_lit(b, "\n");
}

static void script_end(struct sim_ex *ex, struct buf *b)
{
	if (ex->conf.answers == ANSWERS_TOOL)
		buf_text(b, ex->tools_given ? "<|go-tool|>" : "<|go-short|>");
	else
		buf_text(b, ex->think ? "<|go-think|>" : "<|go-short|>");
}

static bool has_template(const struct sim_ex *ex)
{
	return ex->conf.answers == ANSWERS_THINK || ex->conf.answers == ANSWERS_TOOL;
}

static struct span keep(struct sim_ex *ex, struct buf *b)
{
	struct span s = {arena_copy(&ex->arena, buf_view(b)), b->n};

	buf_fini(b);
	return s;
}

void sim_render_chat(struct sim_ex *ex, const struct json *messages)
{
	struct buf prompt = {0};
	struct buf user = {0};
	/* A template that knows only prompts leaves system and tool turns out. */
	bool prompts_only = ex->conf.tokenizer != TOKENS_BYTES && !has_template(ex);

	if (has_template(ex) && ex->tools_given)
		tools_print(&prompt, ex->tools);
	for (const struct json *m = messages ? messages->child : NULL; m; m = m->next) {
		struct span role = json_get_text(m, "role");
		bool plain = span_caseeq(role, SPAN_LIT("user")) || span_caseeq(role, SPAN_LIT("assistant"));

		if (!role_known(role))
			continue;
		if (has_template(ex))
			turn_print(&prompt, m);
		else if (plain || !prompts_only)
			content_append(&prompt, json_get(m, "content"));
		if (span_caseeq(role, SPAN_LIT("user"))) {
			user.n = 0;
			content_append(&user, json_get(m, "content"));
		}
	}
	if (has_template(ex))
		script_end(ex, &prompt);
	ex->prompt = keep(ex, &prompt);
	ex->user = keep(ex, &user);
}

/* --- /api/generate ------------------------------------------------------------------------------------------------------ */

/* Replace {{ .Name }} in a template. */
static void template_fill(struct buf *out, struct span t, struct span system, struct span prompt)
{
	while (t.n) {
		const char *open = memmem(t.p, t.n, "{{", 2);
		const char *close = open ? memmem(open, t.n - (size_t)(open - t.p), "}}", 2) : NULL;
		size_t n = close ? (size_t)(open - t.p) : t.n;
		struct span inner;

		buf_put(out, t.p, n);
		if (!close)
			return;
		inner = (struct span){open, (size_t)(close - open)};
		if (memmem(inner.p, inner.n, ".System", 7))
			buf_span(out, system);
		else if (memmem(inner.p, inner.n, ".Prompt", 7))
			buf_span(out, prompt);
		t.n -= (size_t)(close + 2 - t.p);
		t.p = close + 2;
	}
}

static void generate_body(struct sim_ex *ex, struct buf *b)
{
	struct span suffix = json_get_text(ex->json, "suffix");
	size_t images = json_count(json_get(ex->json, "images"));

	if (has_template(ex))
		buf_lit(b, "user: ");
	for (size_t i = 0; i < images; i++)
		buf_printf(b, "[img-%zu]", i);
	if (suffix.n)
		buf_lit(b, "<pre>");
	buf_span(b, ex->user);
	if (suffix.n) {
		buf_lit(b, "<suf>");
		buf_span(b, suffix);
		buf_lit(b, "<mid>");
	}
	if (has_template(ex)) {
		buf_lit(b, "\n");
		script_end(ex, b);
	}
}

void sim_render_generate(struct sim_ex *ex)
{
	struct span template = json_get_text(ex->json, "template");
	struct buf b = {0};

	ex->prompt = ex->user = json_get_text(ex->json, "prompt");
	ex->context = json_get(ex->json, "context");
	if (json_get_bool(ex->json, "raw", false))
		return;
	if (template.n && memmem(template.p, template.n, "{{", 2) && !memmem(template.p, template.n, "}}", 2)) {
		ex->late_error = "template: :1: unclosed action";
		return;
	}
	if (template.n)
		template_fill(&b, template, json_get_text(ex->json, "system"), ex->prompt);
	else
		generate_body(ex, &b);
	ex->prompt = keep(ex, &b);
}

/* --- log probabilities -------------------------------------------------------------------------------------------------- */

static void token_write(struct buf *b, struct span token, const char *logprob)
{
	buf_lit(b, "\"token\":");
	buf_json(b, token);
	buf_printf(b, ",\"logprob\":%s,\"bytes\":[", logprob);
	for (size_t k = 0; k < token.n; k++)
		buf_printf(b, "%s%u", k ? "," : "", (unsigned char)token.p[k]);
	buf_lit(b, "]");
}

void sim_logprob_write(const struct sim_ex *ex, struct buf *b, struct span token)
{
	buf_lit(b, "{");
	token_write(b, token, "-0.25");
	if (ex->top_logprobs > 0) {
		buf_lit(b, ",\"top_logprobs\":[");
		for (int64_t i = 0; i < ex->top_logprobs; i++) {
			buf_text(b, i ? ",{" : "{");
			token_write(b, i ? SPAN_LIT(" or") : token, i ? "-12.5" : "-0.25");
			buf_lit(b, "}");
		}
		buf_lit(b, "]");
	}
	buf_lit(b, "}");
}
