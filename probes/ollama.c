/* What may be asked of an Ollama: one row per question.  No row carries an option or a keep_alive that could make Ollama load a
 * model again or change how long it stays; UNLOAD alone says keep_alive 0, which is how one unloads. */
#include "probes/probes.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

struct question {
	const char *path;
	size_t max_bytes;
	const char *member; /* what comes after the model in the body, as JSON; NULL: a GET */
	void (*take)(struct probe_reply *r, const struct probe_answer *a, struct probe_models *models);
};

struct ask_state {
	const struct question *q;
	enum probe_kind kind;
	void (*done)(void *arg, const struct probe_reply *r);
	void *arg;
};

static void fail_parse(struct probe_reply *r, int rc)
{
	if (rc)
		r->outcome = PROBE_GARBAGE;
}

static void take_version(struct probe_reply *r, const struct probe_answer *a, struct probe_models *models)
{
	(void)models;
	fail_parse(r, probe_version_parse(a->body, a->n, r->version, sizeof(r->version), &r->why));
}

static void take_models(struct probe_reply *r, const struct probe_answer *a, struct probe_models *models)
{
	if (!models) {
		r->outcome = PROBE_LOCAL;
		return;
	}
	fail_parse(r, probe_models_parse(a->body, a->n, models, &r->why));
	r->models = models;
}

static void take_show(struct probe_reply *r, const struct probe_answer *a, struct probe_models *models)
{
	(void)models;
	fail_parse(r, probe_show_parse(a->body, a->n, &r->caps, &r->why));
}

static void take_done(struct probe_reply *r, const struct probe_answer *a, struct probe_models *models)
{
	(void)models;
	fail_parse(r, probe_done_parse(a->body, a->n, &r->why));
}

static void take_embed(struct probe_reply *r, const struct probe_answer *a, struct probe_models *models)
{
	(void)models;
	fail_parse(r, probe_embed_parse(a->body, a->n, r->kind == PROBE_LOAD_EMBED, &r->why));
}

#define KB 1024UL
#define MB (1024UL * 1024UL)

static const struct question QUESTIONS[PROBE_KIND_COUNT] = {
	[PROBE_VERSION] = {"/api/version", 4 * KB, NULL, take_version},
	[PROBE_TAGS] = {"/api/tags", 8 * MB, NULL, take_models},
	[PROBE_PS] = {"/api/ps", 2 * MB, NULL, take_models},
	[PROBE_SHOW] = {"/api/show", 16 * MB, "", take_show},
	[PROBE_ABLE] = {"/api/generate", 64 * KB, ",\"prompt\":\"hi\",\"stream\":false,\"options\":{\"num_predict\":1}", take_done},
	[PROBE_ABLE_EMBED] = {"/api/embed", 2 * MB, ",\"input\":\"hi\"", take_embed},
	[PROBE_LOAD] = {"/api/generate", 64 * KB, ",\"stream\":false", take_done},
	[PROBE_LOAD_EMBED] = {"/api/embed", 64 * KB, ",\"input\":\"\"", take_embed},
	[PROBE_UNLOAD] = {"/api/generate", 64 * KB, ",\"keep_alive\":0", take_done},
};

static void on_answer(void *arg, const struct probe_answer *a)
{
	struct ask_state *s = arg;
	struct probe_reply r = {.kind = s->kind, .outcome = a->outcome, .status = a->status, .took_ns = a->took_ns, .why = a->why};
	struct probe_models *models = NULL;

	if (r.outcome == PROBE_OK) {
		if (s->kind == PROBE_TAGS || s->kind == PROBE_PS)
			models = calloc(1, sizeof(*models));
		s->q->take(&r, a, models);
	}
	if (r.outcome != PROBE_OK && !r.why.text[0])
		why_set(&r.why, 0, "%s", probe_outcome_info(r.outcome)->sentence);
	s->done(s->arg, &r);
	free(models);
	free(s);
}

/* {"model":"…" and what follows; the caller's to free. */
static char *body_make(const char *model, const char *member)
{
	json_object *name = json_object_new_string(model);
	const char *quoted = name ? json_object_to_json_string_ext(name, JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
	size_t size = quoted ? strlen(quoted) + strlen(member) + 16 : 0;
	char *body = quoted ? malloc(size) : NULL;

	if (body)
		snprintf(body, size, "{\"model\":%s%s}", quoted, member);
	json_object_put(name);
	return body;
}

int probe_ollama_ask(struct probe_http *h, enum probe_kind kind, const char *model, uint64_t deadline_ns,
		     void (*done)(void *arg, const struct probe_reply *r), void *arg, struct probe_call **out)
{
	const struct question *q = &QUESTIONS[kind];
	struct probe_ask ask = {
		.path = q->path, .deadline_ns = deadline_ns, .max_bytes = q->max_bytes, .done = on_answer, .drop = free};
	struct ask_state *s;
	char *body = NULL;
	int rc;

	BUG_ON(kind <= PROBE_KIND_NONE || kind >= PROBE_KIND_COUNT || (q->member && !model));
	s = calloc(1, sizeof(*s));
	if (s && q->member)
		body = body_make(model, q->member);
	if (!s || (q->member && !body)) {
		free(s);
		return -ENOMEM;
	}
	*s = (struct ask_state){.q = q, .kind = kind, .done = done, .arg = arg};
	ask.body = body;
	ask.arg = s;
	rc = probe_http_start(h, &ask, out);
	free(body);
	if (rc)
		free(s);
	return rc;
}
