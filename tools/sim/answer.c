/* What a model says: words, scripts chosen by markers, a thought, a tool call. */
#include "tools/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A leading \1 marks thinking, \2 a part of a character that is not whole yet, \3 a tag around the thinking. */
static const char *const say_short[] = {"Hello", " world", NULL};
static const char *const say_none[] = {NULL};
static const char *const say_again[] = {"again ", NULL};
static const char *const say_html[] = {"a<b>", " &amp;", " \"q\"",           " \xe2\x80\xa8", "\t\\", "\2",
				       "\2",   "\2",     "\xf0\x9f\x98\x80", " done",         NULL};
static const char *const say_json[] = {
	"{\"k\":", "\n", "{\"name\":", " \"get_weather\",", " \"arguments\":", " {\"city\":", " \"Paris\"", "}}", "\n", "}", NULL};
static const char *const say_think[] = {"\3",      "\1Let", "\1 me",  "\1 think.\n", "\3", "The",
					" answer", " is",   " forty", "-two",        ".",  NULL};
static const char *const say_long[] = {" aa", " et", "ht",  " gr", "bu",  " us", " hi", " ur", "ze",  " ia", " xn",
				       "fe",  " mr", "qe",  " wn", " no", "qa",  "ua",  "zu",  " rn", "sr",  " vt",
				       " ua", "ae",  " ai", "st",  " xi", " mt", "wa",  " at", NULL};

static const struct {
	const char *marker;
	const char *const *script;
	bool endless;
	bool repeats;
} scripts[] = {
	{"<|go-short|>", say_short, false, false}, {"<|go-none|>", say_none, false, false},
	{"<|go-long|>", say_long, true, false},    {"<|go-rep|>", say_again, true, true},
	{"<|go-html|>", say_html, false, false},   {"<|go-json|>", say_json, false, false},
	{"<|go-think|>", say_think, false, false}, {"<|go-tool|>", say_short, false, false},
};

static void script_choose(struct span prompt, struct sim_answer *a)
{
	a->script = say_long;
	a->endless = true;
	a->hidden_end = true;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		size_t n = strlen(scripts[i].marker);

		if (prompt.n < n || memcmp(prompt.p + prompt.n - n, scripts[i].marker, n))
			continue;
		a->script = scripts[i].script;
		a->endless = scripts[i].endless;
		a->repeats = scripts[i].repeats;
	}
}

/* The text after `key` in the user's message, up to a blank; n = 0 when it is not there. */
static struct span marker_value(struct span user, const char *key)
{
	const char *at = user.n ? memmem(user.p, user.n, key, strlen(key)) : NULL;
	struct span v = {"", 0};

	if (!at)
		return v;
	v.p = at + strlen(key);
	while (v.p + v.n < user.p + user.n && !strchr(" \t\r\n", v.p[v.n]))
		v.n++;
	return v;
}

static void words_choose(struct sim_ex *ex, struct sim_answer *a)
{
	struct span tokens = marker_value(ex->user, "sim:tokens=");
	struct span delay = marker_value(ex->user, "sim:delay=");
	struct why why;
	int64_t ns;
	char text[24];

	a->words = ex->conf.tokens ? ex->conf.tokens : sim_conf.tokens;
	if (tokens.n && span_copy(text, sizeof(text), tokens))
		a->words = (uint32_t)strtoul(text, NULL, 10);
	if (delay.n && !sim_go_duration(delay, &ns, &why) && ns >= 0) {
		a->delay = true;
		a->delay_ns = (uint64_t)ns;
	}
	a->echo = marker_value(ex->user, "sim:echo=");
	if (ex->think && ex->conf.thinking)
		a->thinking = 4;
}

/* An argument for each declared parameter. */
static struct span arguments_invent(struct sim_ex *ex, const struct json *params)
{
	const struct json *properties = json_get(params, "properties");
	struct buf b = {0};
	struct span out;

	buf_lit(&b, "{");
	for (const struct json *p = properties ? properties->child : NULL; p; p = p->next) {
		struct span type = json_get_text(p, "type");

		if (p != properties->child)
			buf_lit(&b, ",");
		buf_json(&b, p->key);
		buf_lit(&b, ":");
		if (span_eq(p->key, SPAN_LIT("city")))
			buf_lit(&b, "\"Paris\"");
		else if (span_eq(type, SPAN_LIT("integer")) || span_eq(type, SPAN_LIT("number")))
			buf_lit(&b, "1");
		else if (span_eq(type, SPAN_LIT("boolean")))
			buf_lit(&b, "true");
		else if (span_eq(type, SPAN_LIT("array")))
			buf_lit(&b, "[]");
		else if (span_eq(type, SPAN_LIT("object")))
			buf_lit(&b, "{}");
		else
			buf_lit(&b, "\"sim\"");
	}
	buf_lit(&b, "}");
	out = (struct span){arena_copy(&ex->arena, buf_view(&b)), b.n};
	buf_fini(&b);
	return out;
}

/* Call the first tool.  The forms of the dialects differ by where they keep name and schema. */
static void tool_choose(struct sim_ex *ex, struct sim_answer *a)
{
	const struct json *tool = ex->tools->child;
	const struct json *function = json_get(tool, "function");
	const struct json *params;

	if (!function)
		function = tool;
	params = json_get(function, "parameters");
	if (!params)
		params = json_get(function, "input_schema");
	a->tool = true;
	a->tool_tokens = 9;
	a->tool_name = json_get_text(function, "name");
	a->tool_args = arguments_invent(ex, params);
}

void sim_answer_choose(struct sim_ex *ex, struct sim_answer *out)
{
	struct sim_answer a = {0};

	if (ex->conf.tools && ex->tools_given && json_count(ex->tools))
		tool_choose(ex, &a);
	else if (ex->conf.answers == ANSWERS_SCRIPT)
		script_choose(ex->prompt, &a);
	else if (ex->conf.answers == ANSWERS_THINK && ex->think)
		a = (struct sim_answer){.script = say_think, .hidden_end = true};
	else if (ex->conf.answers == ANSWERS_THINK || ex->conf.answers == ANSWERS_TOOL)
		a = (struct sim_answer){.script = say_short, .hidden_end = true};
	else if (ex->conf.answers == ANSWERS_SYLLABLES)
		a = (struct sim_answer){.script = say_long, .hidden_end = true};
	else
		words_choose(ex, &a);
	*out = a;
}

enum sim_piece sim_answer_piece(const struct sim_answer *a, uint32_t i, struct span *text, char scratch[32])
{
	const char *s;
	uint32_t n = 0;

	if (a->tool) {
		*text = (struct span){"", 0};
		return i + 1 < a->tool_tokens ? PIECE_HIDDEN : i + 1 == a->tool_tokens ? PIECE_TOOL : PIECE_END;
	}
	if (a->script) {
		while (a->script[n])
			n++;
		if (a->endless)
			i %= n;
		if (i >= n)
			return PIECE_END;
		s = a->script[i];
		*text = span_of(*s >= '\1' && *s <= '\3' ? s + 1 : s);
		return *s == '\1' ? PIECE_THINKING : *s == '\2' ? PIECE_HIDDEN : *s == '\3' ? PIECE_TAG : PIECE_TEXT;
	}
	if (i < a->thinking) {
		*text = (struct span){scratch, (size_t)snprintf(scratch, 32, i ? " think%u" : "think%u", i)};
		return PIECE_THINKING;
	}
	i -= a->thinking;
	if (i >= a->words)
		return PIECE_END;
	if (a->echo.n)
		*text = a->echo;
	else
		*text = (struct span){scratch, (size_t)snprintf(scratch, 32, i ? " tok%u" : "tok%u", i)};
	return PIECE_TEXT;
}
