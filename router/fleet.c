/* Routes that the router answers for the whole fleet: what is there, what is loaded, is it well. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "router/api.h"
#include "router/fan.h"

#define FLEET_NS  (5ULL * NS_PER_S) /* for an instance's control route; one that is slower is left out and named */
#define NO_MEMORY "the service is short of memory; try again in a second"
#define NATIVE    "application/json; charset=utf-8"
#define JSON_STYLE (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

/* --- lists: the union over the instances ------------------------------------------------------------------------------------------ */

struct list {
	const char *array; /* member that holds the list */
	const char *key;   /* what makes two entries the same model */
	const char *newest; /* of two, the one with the later time here stays; NULL: the first */
};

static const struct list *list_of(enum route_id id)
{
	static const struct list TAGS = {"models", "name", NULL}, PS = {"models", "name", "expires_at"}, MODELS = {"data", "id", NULL};

	return id == ROUTE_ID_TAGS ? &TAGS : id == ROUTE_ID_PS ? &PS : &MODELS;
}

static const char *member_text(struct json_object *o, const char *key)
{
	struct json_object *v;
	const char *text = key && json_object_object_get_ex(o, key, &v) && v ? json_object_get_string(v) : NULL;

	return text ? text : ""; /* null, or no memory for the digits of a number */
}

/* One more owner of the entry, at place `i` or behind the last.  False: no memory. */
static bool entry_keep(struct json_object *into, size_t i, struct json_object *entry)
{
	int rc = i < json_object_array_length(into) ? json_object_array_put_idx(into, i, json_object_get(entry))
						     : json_object_array_add(into, json_object_get(entry));

	if (rc)
		json_object_put(entry);
	return rc == 0;
}

/* Put one entry into the union, or in the place of an older one of the same model.  False: no memory. */
static bool merge_entry(struct json_object *into, struct json_object *entry, const struct list *l)
{
	const char *name = member_text(entry, l->key);
	size_t n = json_object_array_length(into);

	if (!json_object_is_type(entry, json_type_object) || !*name)
		return true;
	for (size_t i = 0; i < n; i++) {
		struct json_object *have = json_object_array_get_idx(into, i);

		if (strcmp(member_text(have, l->key), name) != 0)
			continue;
		if (l->newest && strcmp(member_text(entry, l->newest), member_text(have, l->newest)) > 0)
			return entry_keep(into, i, entry);
		return true;
	}
	return n >= ROUTER_MODELS || entry_keep(into, n, entry);
}

/* What is no list adds nothing.  False: no memory. */
static bool merge_part(struct json_object *into, const struct fetch *f, const struct list *l)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *o, *array;
	bool kept = true;

	if (!tok)
		return false;
	o = f->body.n ? json_tokener_parse_ex(tok, f->body.p, (int)f->body.n) : NULL;
	json_tokener_free(tok);
	if (json_object_object_get_ex(o, l->array, &array) && json_object_is_type(array, json_type_array))
		for (size_t i = 0; i < json_object_array_length(array) && i < ROUTER_MODELS && kept; i++)
			kept = merge_entry(into, json_object_array_get_idx(array, i), l);
	json_object_put(o);
	return kept;
}

/* The member takes `value` over, also when there is no memory for it: then false. */
static bool member_add(struct json_object *o, const char *key, struct json_object *value)
{
	if (json_object_object_add(o, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

/* The answers as one object; NULL: no memory. */
static struct json_object *list_make(const struct fan *fan, const struct list *l, bool v1)
{
	struct json_object *top = json_object_new_object(), *into = json_object_new_array();
	struct json_object *kind = v1 ? json_object_new_string("list") : NULL;
	bool whole = top && into && (kind || !v1);

	for (unsigned i = 0; i < fan->n && whole; i++)
		whole = fan->parts[i].status != 200 || merge_part(into, &fan->parts[i], l);
	if (!whole) {
		json_object_put(kind);
		json_object_put(into);
		json_object_put(top);
		return NULL;
	}
	/* With no models at all Ollama says null here. */
	if (v1 && json_object_array_length(into) == 0) {
		json_object_put(into);
		into = NULL;
	}
	whole = !v1 || member_add(top, "object", kind);
	if (whole && member_add(top, l->array, into))
		return top;
	if (!whole)
		json_object_put(into);
	json_object_put(top);
	return NULL;
}

static void finish_list(struct fan *fan)
{
	struct exchange *x = fan->x;
	bool v1 = x->route->id == ROUTE_ID_V1_MODELS;
	struct json_object *top;
	char failed[256], extra[320] = "";
	unsigned answered = 0;
	const char *text;

	for (unsigned i = 0; i < fan->n; i++)
		answered += fan->parts[i].status == 200;
	if (*fan_failed_names(fan, failed, sizeof(failed)))
		snprintf(extra, sizeof(extra), "X-TSA-Partial: %s\r\n", failed);
	if (!answered) {
		answer_error(x, 503, 2, "no instance answers; see `tsactl instances`");
		return;
	}
	top = list_make(fan, list_of(x->route->id), v1);
	text = top ? json_object_to_json_string_ext(top, JSON_STYLE) : NULL;
	if (text)
		answer_body(x, 200, v1 ? "application/json" : NATIVE, extra, text, strlen(text));
	else
		answer_error(x, 503, 1, NO_MEMORY);
	json_object_put(top);
}

static void begin_list(struct exchange *x, const char *path)
{
	static const struct fan_ops OPS = {.finish = finish_list};
	int rc = fan_start(x, fan_answering(x->r), HTTP_GET, path, (struct span){0}, FLEET_NS, &OPS, NULL);

	if (rc)
		answer_error(x, 503, 2, rc == -ENOENT ? "no instance answers yet; see `tsactl instances`" : NO_MEMORY);
}

/* --- one instance answers for all: show, a single model --------------------------------------------------------------------------- */

static void finish_one(struct fan *fan)
{
	struct exchange *x = fan->x;
	struct fetch *f = &fan->parts[0];
	const char *name = x->r->conf.slots[f->slot].name;

	if (f->status)
		answer_body(x, f->status, f->type, NULL, f->body.p ? f->body.p : "", f->body.n);
	else
		answer_error(x, 502, 1, "the instance %s did not answer: %s; see `tsactl instance %s`", name, f->why, name);
}

/* Ask one answering instance that has the model. */
static void begin_one(struct exchange *x, const char *name, enum http_method method, const char *path, struct span body)
{
	static const struct fan_ops OPS = {.finish = finish_one};
	char key[ROUTER_KEY];
	uint64_t can;

	if (strlen(name) >= sizeof(x->model_text) || (name[0] && !model_key(name, key))) {
		answer_error(x, 400, 0, "invalid model name");
		return;
	}
	memcpy(x->model_text, name, strlen(name) + 1);
	if (!name[0]) {
		answer_error(x, 400, 0, "model is required");
		return;
	}
	exchange_model(x, model_find(x->r, key));
	can = x->model ? x->model->slots & fan_answering(x->r) : 0;
	if (!can) {
		if (x->route->id == ROUTE_ID_SHOW && !strchr(name, ':'))
			snprintf(x->model_text, sizeof(x->model_text), "%.100s:latest", name);
		answer_no_model(x);
		return;
	}
	/* The lowest bit: any of them will do, and the same one keeps its answers alike. */
	if (fan_start(x, can & -can, method, path, body, FLEET_NS, &OPS, NULL))
		answer_error(x, 503, 1, NO_MEMORY);
}

static void begin_show(struct exchange *x)
{
	struct span body = {x->body ? x->body + EX_HEADROOM : "", x->body_len};
	const struct view_value *model;
	char name[512] = "";
	struct view v;
	enum view_fault fault = view_scan(body, &v, NULL);

	if (fault != VIEW_OK) {
		answer_error(x, 400, 0, "%s", view_fault_text(fault));
		return;
	}
	/* Ollama's own command line writes an empty "model" beside the "name" it means. */
	model = view_is_blank(&v.at[VIEW_K_MODEL]) ? &v.at[VIEW_K_NAME] : &v.at[VIEW_K_MODEL];
	if (model->kind > VIEW_NULL && view_string(model, name, sizeof(name)) < 0) {
		answer_error(x, 400, 0, "invalid model name");
		return;
	}
	begin_one(x, name, HTTP_POST, "/api/show", body);
}

static void begin_model(struct exchange *x)
{
	char path[160];

	/* The segment was decoded; only characters that need no encoding get through model_key(). */
	snprintf(path, sizeof(path), "/v1/models/%s", x->tail);
	begin_one(x, x->tail, HTTP_GET, path, (struct span){0});
}

/* --- said by the router alone ------------------------------------------------------------------------------------------------------ */

/* "0.24.0" < "0.30.1": number by number. */
static int version_order(const char *a, const char *b)
{
	for (int i = 0; i < 3; i++) {
		unsigned long x = strtoul(a, NULL, 10), y = strtoul(b, NULL, 10);

		if (x != y)
			return x < y ? -1 : 1;
		a += strcspn(a, ".");
		b += strcspn(b, ".");
		a += *a == '.';
		b += *b == '.';
	}
	return 0;
}

/* The oldest version of the fleet: what a client may rely on everywhere. */
static void say_version(struct exchange *x)
{
	const char *least = NULL;
	char body[96];

	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		const struct slot *s = &x->r->slots[i];

		if (s->used && s->version[0] && (!least || version_order(s->version, least) < 0))
			least = s->version;
	}
	if (!least) {
		answer_error(x, 503, 2, "no instance answers yet; see `tsactl instances`");
		return;
	}
	snprintf(body, sizeof(body), "{\"version\":\"%.31s\"}", least);
	answer_body(x, 200, NATIVE, NULL, body, strlen(body));
}

static void say_ready(struct exchange *x)
{
	unsigned ready = 0, all = 0;
	char text[160];

	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		const struct slot *s = &x->r->slots[i];

		all += s->used;
		ready += s->used && s->wanted == SHM_WANT_RUN && s->state == SHM_STATE_READY;
	}
	if (x->r->draining)
		snprintf(text, sizeof(text), "not ready: this router is stopping\n");
	else if (ready)
		snprintf(text, sizeof(text), "ready: %u of %u instances\n", ready, all);
	else
		snprintf(text, sizeof(text), "not ready: 0 of %u instances are ready; see `tsactl instances`\n", all);
	answer_body(x, ready && !x->r->draining ? 200 : 503, "text/plain", NULL, text, strlen(text));
}

static void say_root(struct exchange *x)
{
	static const char TEXT[] = "Ollama is running";

	answer_body(x, 200, "text/plain; charset=utf-8", NULL, TEXT, sizeof(TEXT) - 1);
}

/* The routes to the cloud are never served, which is what Ollama calls disabled.  Its clients read nothing else; those of the replaced
 * service read the other members. */
static void say_status(struct exchange *x)
{
	struct json_out o = {0};

	json_out_object(&o, NULL);
	json_out_raw(&o, "cloud", SPAN_LIT("{\"disabled\":true,\"source\":\"config\"}"));
	api_status_members(x->r, &o);
	json_out_end(&o);
	if (o.failed)
		answer_error(x, 503, 1, NO_MEMORY);
	else
		answer_body(x, 200, NATIVE, NULL, o.p, o.n);
	json_out_free(&o);
}

static void say_healthy(struct exchange *x)
{
	answer_body(x, 200, "text/plain", NULL, "ok\n", 3);
}

static void list_native(struct exchange *x)
{
	begin_list(x, x->route->path);
}

void fleet_answer(struct exchange *x)
{
	static const struct {
		enum route_id id;
		void (*answer)(struct exchange *x);
	} TABLE[] = {
		{ROUTE_ID_ROOT, say_root},       {ROUTE_ID_VERSION, say_version},   {ROUTE_ID_TAGS, list_native}, {ROUTE_ID_PS, list_native},
		{ROUTE_ID_V1_MODELS, list_native}, {ROUTE_ID_V1_MODEL, begin_model}, {ROUTE_ID_SHOW, begin_show},  {ROUTE_ID_STATUS, say_status},
		{ROUTE_ID_HEALTHZ, say_healthy}, {ROUTE_ID_READYZ, say_ready},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(TABLE); i++)
		if (TABLE[i].id == x->route->id) {
			TABLE[i].answer(x);
			return;
		}
	BUG_ON(true); /* a route of this kind in routes.def without a line above */
}
