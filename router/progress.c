#include "router/progress.h"

#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#define LAYERS 128 /* of one model; more are told as they come, not summed */
#define SEEN   64  /* different status words */
#define WORD   96

struct layer {
	char     digest[WORD];
	uint64_t total[64];
	uint64_t done[64];
};

struct progress {
	struct layer layers[LAYERS];
	unsigned     n_layers;
	char         seen[SEEN][WORD];
	unsigned     n_seen;
};

struct progress *progress_create(void)
{
	return calloc(1, sizeof(struct progress));
}

void progress_destroy(struct progress **p)
{
	free(*p);
	*p = NULL;
}

static struct layer *layer_of(struct progress *p, const char *digest)
{
	for (unsigned i = 0; i < p->n_layers; i++)
		if (strcmp(p->layers[i].digest, digest) == 0)
			return &p->layers[i];
	if (p->n_layers == LAYERS || strlen(digest) >= WORD)
		return NULL;
	memcpy(p->layers[p->n_layers].digest, digest, strlen(digest) + 1);
	return &p->layers[p->n_layers++];
}

/* A status is told once, by whoever says it first. */
static bool is_new(struct progress *p, const char *status)
{
	for (unsigned i = 0; i < p->n_seen; i++)
		if (strncmp(p->seen[i], status, WORD - 1) == 0)
			return false;
	if (p->n_seen < SEEN)
		snprintf(p->seen[p->n_seen++], WORD, "%s", status);
	return true;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

static uint64_t number_of(struct json_object *o, const char *key)
{
	struct json_object *v;
	int64_t n = json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : 0;

	return n > 0 ? (uint64_t)n : 0;
}

/* Without memory the line keeps the number of its own instance. */
static void number_set(struct json_object *o, const char *key, uint64_t n)
{
	struct json_object *v = json_object_new_int64((int64_t)n);

	if (v && json_object_object_add(o, key, v))
		json_object_put(v);
}

/* The bytes of a layer over all instances: a client's bar then shows the whole. */
static void sum_layer(struct layer *l, unsigned part, struct json_object *o)
{
	uint64_t total = 0, done = 0;

	l->total[part] = number_of(o, "total");
	l->done[part] = number_of(o, "completed");
	for (unsigned i = 0; i < 64; i++) {
		total += l->total[i];
		done += l->done[i];
	}
	number_set(o, "total", total);
	if (done)
		number_set(o, "completed", done);
}

static size_t told(struct json_object *o, char *buf, size_t size)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	int n = text ? snprintf(buf, size, "%s\n", text) : 0;

	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

size_t progress_line(struct progress *p, unsigned part, const char *line, size_t n, char *buf, size_t size, bool *success, bool *error)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *o = tok ? json_tokener_parse_ex(tok, line, (int)n) : NULL;
	const char *status, *digest, *failed;
	size_t out = 0;

	*success = *error = false;
	if (tok)
		json_tokener_free(tok);
	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return 0;
	}
	status = text_of(o, "status");
	digest = text_of(o, "digest");
	failed = text_of(o, "error");
	if (failed) {
		*error = true;
		snprintf(buf, size, "%s", failed);
	} else if (status && strcmp(status, "success") == 0) {
		*success = true;
	} else if (digest) {
		struct layer *l = layer_of(p, digest);

		if (l && part < 64)
			sum_layer(l, part, o);
		out = told(o, buf, size);
	} else if (!status || is_new(p, status)) {
		out = told(o, buf, size);
	}
	json_object_put(o);
	return out;
}
