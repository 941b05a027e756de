#include "http/prompt.h"

#include <string.h>

/* The last two texts of the user. */
struct texts {
	struct view_value last, before;
	bool images;
};

static void text_add(struct texts *t, const struct view_value *v)
{
	if (v->kind != VIEW_STRING || v->empty)
		return;
	t->before = t->last;
	t->last = *v;
}

static bool string_is(const struct view_value *v, const char *text)
{
	char buf[24];

	return v->kind == VIEW_STRING && view_string(v, buf, sizeof(buf)) >= 0 && strcmp(buf, text) == 0;
}

/* {"type": "text", "text": …} of OpenAI and Anthropic, {"type": "input_text", …} of responses; images of all three. */
static void part_look(struct texts *t, const struct view_value *part)
{
	struct view_walk w = view_walk_begin(part);
	struct view_value v, type = {0}, text = {0};
	struct span key;

	while (view_walk_next(&w, &key, &v)) {
		if (view_key_is(key, "type"))
			type = v;
		else if (view_key_is(key, "text"))
			text = v;
	}
	if (type.kind == VIEW_ABSENT || string_is(&type, "text") || string_is(&type, "input_text"))
		text_add(t, &text);
	t->images |= string_is(&type, "image_url") || string_is(&type, "image") || string_is(&type, "input_image");
}

static void content_look(struct texts *t, const struct view_value *content)
{
	struct view_walk w = view_walk_begin(content);
	struct view_value part;

	text_add(t, content);
	while (content->kind == VIEW_ARRAY && view_walk_next(&w, NULL, &part)) {
		if (part.kind == VIEW_OBJECT)
			part_look(t, &part);
		else
			text_add(t, &part);
	}
}

static void message_look(struct texts *t, const struct view_value *message)
{
	struct view_walk w = view_walk_begin(message);
	struct view_value v, role = {0}, content = {0};
	struct span key;

	if (message->kind == VIEW_STRING) {
		text_add(t, message);
		return;
	}
	while (message->kind == VIEW_OBJECT && view_walk_next(&w, &key, &v)) {
		if (view_key_is(key, "role"))
			role = v;
		else if (view_key_is(key, "content"))
			content = v;
		else if (view_key_is(key, "images"))
			t->images |= v.kind == VIEW_ARRAY && !v.empty;
	}
	if (string_is(&role, "user"))
		content_look(t, &content);
}

static void list_look(struct texts *t, const struct view_value *list)
{
	struct view_walk w = view_walk_begin(list);
	struct view_value v;

	text_add(t, list);
	while (list->kind == VIEW_ARRAY && view_walk_next(&w, NULL, &v))
		message_look(t, &v);
}

void prompt_find(const struct view *v, struct prompt *out)
{
	const struct view_value *tools = &v->at[VIEW_K_TOOLS], *images = &v->at[VIEW_K_IMAGES];
	struct texts t = {0};
	char last[PROMPT_SHORT];
	size_t n;

	list_look(&t, &v->at[VIEW_K_PROMPT]);
	list_look(&t, &v->at[VIEW_K_INPUT]);
	list_look(&t, &v->at[VIEW_K_MESSAGES]);
	out->tools = tools->kind == VIEW_ARRAY && !tools->empty;
	out->images = t.images || (images->kind == VIEW_ARRAY && !images->empty);
	out->n = 0;
	if (t.last.raw.n < PROMPT_SHORT && t.before.kind == VIEW_STRING) {
		n = view_text(&t.last, last, sizeof(last));
		out->n = view_text(&t.before, out->text, sizeof(out->text) - sizeof(last) - 1);
		out->text[out->n++] = '\n';
		memcpy(out->text + out->n, last, n);
		out->n += n;
	} else {
		out->n = view_text(&t.last, out->text, sizeof(out->text));
	}
}
