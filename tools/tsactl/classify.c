/* tsactl classify: what the router would think of prompts, without a router.  JSON lines in, JSON lines out. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/weights.h"
#include "route/classify.h"
#include "route/question.h"
#include "tools/tsactl/tsactl.h"

#define READ_STEP  (64u << 10)
#define JSON_DEPTH 32

/* Standard input, line by line, of any length; answers are written out before it waits for more. */
struct lines {
	char *bytes;
	size_t at, len, size; /* `at`: of the next line */
	bool ended;
};

/* 1: something came; 0: the end; -errno. */
static int lines_fill(struct lines *l)
{
	ssize_t n;

	if (l->at) {
		memmove(l->bytes, l->bytes + l->at, l->len - l->at);
		l->len -= l->at;
		l->at = 0;
	}
	if (l->size - l->len < READ_STEP) {
		size_t size = 2 * l->size + READ_STEP;
		char *bytes = realloc(l->bytes, size);

		if (!bytes)
			return -ENOMEM;
		l->bytes = bytes;
		l->size = size;
	}
	fflush(stdout);
	do
		n = read(STDIN_FILENO, l->bytes + l->len, l->size - l->len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	l->len += (size_t)n;
	return n > 0;
}

/* 1 and the next line without its end; 0: no more; -errno. */
static int lines_next(struct lines *l, const char **line, size_t *len)
{
	size_t seen = 0;

	for (;;) {
		char *start = l->bytes + l->at,
		     *end = l->len > l->at + seen ? memchr(start + seen, '\n', l->len - l->at - seen) : NULL;
		int rc;

		if (end || (l->ended && l->len > l->at)) {
			*line = start;
			*len = end ? (size_t)(end - start) : l->len - l->at;
			l->at += *len + (end != NULL);
			return 1;
		}
		if (l->ended)
			return 0;
		seen = l->len - l->at;
		rc = lines_fill(l);
		if (rc < 0)
			return rc;
		l->ended = rc == 0;
	}
}

static struct json_object *number(double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.4f", value);
	return json_object_new_double_s(value, text);
}

static void tag_add(struct json_object *all, struct json_object *part, const char *tag)
{
	json_object_array_add(all, json_object_new_string(tag));
	json_object_array_add(part, json_object_new_string(tag));
}

/* A category that is sure is required of an instance; everything else is preferred. */
static void tags_put(struct json_object *j, const struct classify_result *r)
{
	struct json_object *all = json_object_new_array(), *required = json_object_new_array(), *optional = json_object_new_array();

	tag_add(all, r->sure && r->category != CATEGORY_GENERAL ? required : optional, category_tag(r->category));
	for (uint64_t left = r->tags; left; left &= left - 1)
		tag_add(all, optional, cue_tag_name((enum cue_tag)__builtin_ctzll(left)));
	json_object_object_add(j, "tags", all);
	json_object_object_add(j, "required", required);
	json_object_object_add(j, "optional", optional);
}

static struct json_object *cues_list(const struct cues *c)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < CUE_COUNT; i++)
		if (cue_has(c, (enum cue)i))
			json_object_array_add(list, json_object_new_string(cue_name((enum cue)i)));
	return list;
}

static void answer_print(struct json_object *id, const struct classify_result *r)
{
	static const char *const DOUBTS[] = {[DOUBT_UNSURE] = "unsure", [DOUBT_FOREIGN] = "foreign", [DOUBT_REPEATS] = "repeats"};
	struct json_object *j = json_object_new_object();

	if (id)
		json_object_object_add(j, "id", json_object_get(id));
	json_object_object_add(j, "category", json_object_new_string(category_name(r->category)));
	tags_put(j, r);
	json_object_object_add(j, "complexity", number(r->complexity));
	json_object_object_add(j, "level", json_object_new_string(classify_level_name(r->level)));
	json_object_object_add(j, "confidence", number(r->confidence));
	if (r->doubt) {
		json_object_object_add(j, "likeliest", json_object_new_string(category_name(r->likeliest)));
		json_object_object_add(j, "likeliest_confidence", number(r->probability[r->likeliest]));
		json_object_object_add(j, "doubt", json_object_new_string(DOUBTS[r->doubt]));
	}
	json_object_object_add(j, "safety", json_object_new_boolean(r->unsafe));
	json_object_object_add(j, "safety_score", number(r->probability[CATEGORY_SAFETY]));
	json_object_object_add(j, "question_type", json_object_new_string(question_type_name(question_type_of(r))));
	json_object_object_add(j, "question_complexity", json_object_new_string(question_level_name(r->level)));
	json_object_object_add(j, "cues", cues_list(&r->cues));
	puts(json_object_to_json_string_ext(j, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(j);
}

static void error_print(unsigned long line, const char *what)
{
	struct json_object *j = json_object_new_object();

	json_object_object_add(j, "error", json_object_new_string(what));
	json_object_object_add(j, "line", json_object_new_int64((int64_t)line));
	puts(json_object_to_json_string_ext(j, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(j);
}

/* The object of a line, the caller's; NULL: the line is none, and *what says why. */
static struct json_object *line_parse(struct json_tokener *tok, const char *line, size_t len, const char **what)
{
	struct json_object *j = NULL;

	*what = "the line is no JSON object";
	if (len > INT_MAX)
		return NULL;
	json_tokener_reset(tok);
	j = json_tokener_parse_ex(tok, line, (int)len);
	if (json_tokener_get_error(tok) == json_tokener_continue && !j)
		*what = "the line ends inside its JSON object";
	for (size_t at = json_tokener_get_parse_end(tok); j && at < len; at++)
		if (!strchr(" \t\r", line[at])) {
			*what = "something follows the JSON object of the line";
			json_object_put(j);
			return NULL;
		}
	if (j && !json_object_is_type(j, json_type_object)) {
		json_object_put(j);
		return NULL;
	}
	return j;
}

/* Whether the line was good. */
static bool line_answer(const struct classifier *c, struct json_tokener *tok, const char *line, size_t len, unsigned long n)
{
	struct json_object *j, *text = NULL, *id = NULL;
	struct classify_result result;
	const char *what;
	bool good;

	j = line_parse(tok, line, len, &what);
	if (!j) {
		error_print(n, what);
		return false;
	}
	json_object_object_get_ex(j, "id", &id);
	good = json_object_object_get_ex(j, "text", &text) && json_object_is_type(text, json_type_string);
	if (good) {
		classify_prompt(c, json_object_get_string(text), (size_t)json_object_get_string_len(text), &result);
		answer_print(id, &result);
	} else {
		error_print(n, "the object has no string \"text\"");
	}
	json_object_put(j);
	return good;
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr(" \t\r", line[i]))
			return false;
	return true;
}

static int lines_answer(const struct options *o, const struct classifier *c, struct json_tokener *tok)
{
	struct lines lines = {NULL};
	unsigned long n = 0, bad = 0;
	const char *line;
	size_t len;
	int rc;

	while ((rc = lines_next(&lines, &line, &len)) > 0 && !ferror(stdout)) {
		n++;
		if (!is_blank(line, len))
			bad += !line_answer(c, tok, line, len, n);
	}
	free(lines.bytes);
	if (rc < 0)
		return complain(o, EXIT_REFUSED, "standard input, after line %lu: %s", n, strerror(-rc));
	if (bad) {
		fprintf(stderr, "tsactl: %lu of %lu lines held no prompt; each was answered with an error\n", bad, n);
		return EXIT_REFUSED;
	}
	return EXIT_DONE;
}

int run_classify(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	struct classifier *classifier = NULL;
	struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH);
	struct conf_weights weights = {NULL, 0};
	struct why why = {""};
	char path[PATH_MAX];
	int code;

	(void)c, (void)words, (void)n;
	conf_weights_path(path, sizeof(path));
	if (o->weights)
		snprintf(path, sizeof(path), "%s", o->weights);
	if (conf_weights_read(path, &weights, &why) < 0)
		code = complain(o, EXIT_REFUSED, "%s", why.text);
	else if (classify_create(weights.bytes, weights.len, &classifier, &why) < 0)
		code = complain(o, EXIT_REFUSED, "%s: %s", path, why.text);
	else
		code = tok ? lines_answer(o, classifier, tok) : complain(o, EXIT_REFUSED, "no memory");
	classify_destroy(&classifier);
	conf_weights_free(&weights);
	if (tok)
		json_tokener_free(tok);
	return code;
}
