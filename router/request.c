/* What a request asks for: its route, its model, and what must not reach an instance as it stands. */
#include "router/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

#define ORIGIN_MAX 159 /* bytes of an Origin; the longest of a browser's own schemes has about 80 */
#define TAIL_MAX   71  /* of a path's last segment: a digest */
#define TYPE_MAX   111 /* of a media type: multipart with its boundary */

/* --- route --------------------------------------------------------------------------------------------------------------------- */

/* Browsers: a page that may not use the service gets what Ollama gives it, an empty 403; a preflight is answered here. */
static bool check_origin(struct exchange *x, const struct http_head *h)
{
	struct span origin = http_header_get(h, HTTP_H_ORIGIN);

	if (!origin.p)
		return true;
	/* Hardly a client is a browser: the others do not pay for its room. */
	x->origin = origin_allowed(origin, h->host) ? span_dup(origin, ORIGIN_MAX) : NULL;
	if (!x->origin) {
		answer_body(x, 403, NULL, NULL, "", 0);
		return false;
	}
	if (h->method == HTTP_OPTIONS) {
		answer_body(x, 204, NULL,
			    "Access-Control-Allow-Methods: GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS\r\n"
			    "Access-Control-Allow-Headers: Authorization, Content-Type, User-Agent, Accept, X-Requested-With, "
			    "X-Api-Key, Anthropic-Version, Anthropic-Beta, X-Stainless-Lang, X-Stainless-Package-Version, X-Stainless-Os, "
			    "X-Stainless-Arch, X-Stainless-Retry-Count, X-Stainless-Runtime, X-Stainless-Runtime-Version, X-Stainless-Async, "
			    "X-Stainless-Helper-Method, X-Stainless-Poll-Helper, X-Stainless-Custom-Poll-Interval, X-Stainless-Timeout\r\n"
			    "Access-Control-Max-Age: 43200\r\n",
			    "", 0);
		return false;
	}
	return true;
}

static bool check_kind(struct exchange *x)
{
	switch (x->route->kind) {
	case ROUTE_REFUSE:
		answer_error(x, 403, 0, "%s is not served through tsa; ask the instance itself, on its own port", x->route->path);
		return false;
	case ROUTE_MANAGE:
		if (x->r->conf.manage)
			return true;
		answer_error(x, 403, 0, "%s changes a model store, which this service does not allow; the operator can permit it with `management = allow` in tsa.conf",
			     x->route->path);
		return false;
	default:
		return true;
	}
}

/* A page of a name that its owner has pointed at this machine is none of this machine's pages, whatever its origin says. */
static bool check_host(struct exchange *x, const struct http_head *h)
{
	if (!x->client->loopback || host_allowed(h->host, x->r->machine))
		return true;
	answer_error(x, 403, 0,
		     "this service listens for its own machine only and does not answer to the name %.*s; use localhost or 127.0.0.1, or have "
		     "tsa listen on an address of the network",
		     (int)(h->host.n < 80 ? h->host.n : 80), h->host.p);
	return false;
}

const char *exchange_type(const struct exchange *x)
{
	return x->content_type ? x->content_type : "application/json";
}

/* A segment of the path, and the type of the body where it is another than nearly all requests have.  False: answered. */
static bool keep_texts(struct exchange *x, struct span tail, struct span type)
{
	bool plain = !type.n || type.n > TYPE_MAX || span_eq(type, SPAN_LIT("application/json"));

	if (tail.n > TAIL_MAX) {
		answer_plain(x, 404, NULL, "404 page not found");
		return false;
	}
	x->tail = tail.p ? span_dup(tail, TAIL_MAX) : NULL;
	x->content_type = plain ? NULL : span_dup(type, TYPE_MAX);
	if ((!tail.p || x->tail) && (plain || x->content_type))
		return true;
	answer_error(x, 503, 1, "the service is short of memory; try again in a second");
	return false;
}

bool exchange_route(struct exchange *x, const struct http_head *h)
{
	struct http_fault bad = {400, "the path is not acceptable: it holds an encoded '/', a dot segment, a bad escape or a control byte"};
	struct span tail = {0}, type = http_header_get(h, HTTP_H_CONTENT_TYPE);
	char path[256], allow[64];

	x->method = (uint8_t)h->method;
	if (http_path_decode(h->path, path, sizeof(path)) < 0) {
		if (!api_redirect(x, h))
			answer_error(x, bad.status, 0, "%s", bad.reason);
		return false;
	}
	x->route = route_find(path, &tail);
	if (!check_host(x, h) || !check_origin(x, h) || api_refused(x, path, h->method))
		return false;
	if (!x->route) {
		answer_plain(x, 404, NULL, "404 page not found");
		return false;
	}
	if (!(x->route->methods & (1U << h->method))) {
		char extra[96];

		snprintf(extra, sizeof(extra), "Allow: %s\r\n", route_allow(x->route, allow, sizeof(allow)));
		answer_plain(x, 405, extra, "405 method not allowed");
		return false;
	}
	if (http_header_get(h, HTTP_H_CONTENT_ENCODING).p) {
		answer_error(x, 415, 0, "a request body with Content-Encoding cannot be routed; send it unencoded");
		return false;
	}
	if (!keep_texts(x, tail, type))
		return false;
	if (x->route->kind == ROUTE_API && !api_head(x, h))
		return false;
	return check_kind(x) && (x->route->kind != ROUTE_INFER || session_head(x, h));
}

/* --- model --------------------------------------------------------------------------------------------------------------------- */

static bool is_auto(const char *name)
{
	return name[0] == 0 || strcasecmp(name, "auto") == 0;
}

void exchange_rename(struct exchange *x, struct model *m)
{
	struct span body = {x->body + EX_HEADROOM, x->body_len};
	char quoted[ROUTER_KEY + 2];
	struct view v;

	BUG_ON(view_scan(body, &v, NULL) != VIEW_OK || v.at[VIEW_K_MODEL].kind != VIEW_STRING); /* both were seen to when it came */
	snprintf(quoted, sizeof(quoted), "\"%s\"", m->key);
	adjust_splice(x, v.at[VIEW_K_MODEL].raw.p, v.at[VIEW_K_MODEL].raw.n, quoted, strlen(quoted));
	memcpy(x->model_text, m->key, sizeof(x->model_text));
	exchange_model(x, m);
	adjust_tried(x);
	x->session = 0; /* what is cached is of the other model */
}

static bool is_embed_route(const struct route *route)
{
	return route->id == ROUTE_ID_EMBED || route->id == ROUTE_ID_EMBEDDINGS || route->id == ROUTE_ID_V1_EMBEDDINGS;
}

/* Resolve the name to a model of the fleet.  False: answered. */
static bool resolve(struct exchange *x, const char *name, const struct view *v, bool *is_default)
{
	const struct model *def;
	char key[ROUTER_KEY];
	bool answered;

	*is_default = is_auto(name);
	if (*is_default) {
		def = auto_model(x, v, &answered);
		if (!def && !answered)
			answer_error(x, 503, 2, "no instance has a model for this request yet; see `tsactl instances`");
		if (!def)
			return false;
		memcpy(key, def->key, sizeof(key));
		memcpy(x->model_text, def->key, sizeof(x->model_text));
	} else if (strlen(name) >= sizeof(x->model_text) || !model_key(name, key)) {
		answer_error(x, 400, 0, "invalid model name");
		return false;
	} else {
		memcpy(x->model_text, name, strlen(name) + 1);
		if (v)
			auto_label(x, v);
	}
	exchange_model(x, model_find(x->r, key));
	if (!x->model || !x->model->slots) {
		answer_no_model(x);
		return false;
	}
	return true;
}

/* An empty prompt with keep_alive 0 asks Ollama to unload the model, for everybody. */
static bool asks_unload(const struct exchange *x, const struct view *v)
{
	const struct view_value *keep = &v->at[VIEW_K_KEEP_ALIVE];
	bool empty = x->route->id == ROUTE_ID_GENERATE ? view_is_blank(&v->at[VIEW_K_PROMPT])
		     : x->route->id == ROUTE_ID_CHAT   ? view_is_blank(&v->at[VIEW_K_MESSAGES])
						       : false;

	return empty && ((keep->kind == VIEW_NUMBER && keep->raw.p[0] == '0' && strtod(keep->raw.p, NULL) == 0.0) ||
			 (keep->kind == VIEW_STRING && (span_eq(keep->raw, SPAN_LIT("\"0\"")) || span_eq(keep->raw, SPAN_LIT("\"0s\"")))));
}

/* The answer's limit, where the dialect has it and Ollama obeys it; 0: none.  (It ignores max_completion_tokens, and takes zero and less
 * for no limit.) */
static uint32_t most_tokens(const struct exchange *x, const struct view *v)
{
	struct span raw = v->num_predict;
	double n;

	if (x->route->dialect != DIALECT_NATIVE)
		raw = v->at[x->route->id == ROUTE_ID_V1_RESPONSES ? VIEW_K_MAX_OUTPUT_TOKENS : VIEW_K_MAX_TOKENS].raw;
	n = raw.n ? strtod(raw.p, NULL) : 0; /* a value of another kind is no number: 0 */
	return n >= 1 && n < UINT32_MAX ? (uint32_t)n : 0;
}

static bool look_json(struct exchange *x)
{
	struct view v;
	char name[512];
	struct span body = {x->body ? x->body + EX_HEADROOM : "", x->body_len};
	enum view_fault fault = view_scan(body, &v, NULL);
	const struct view_value *model = &v.at[VIEW_K_MODEL];
	bool is_default;

	if (fault != VIEW_OK) {
		answer_error(x, 400, 0, "%s", view_fault_text(fault));
		return false;
	}
	if (model->kind == VIEW_ABSENT && x->route->dialect == DIALECT_NATIVE)
		model = &v.at[VIEW_K_NAME];
	name[0] = 0;
	if (model->kind > VIEW_NULL && view_string(model, name, sizeof(name)) < 0) {
		answer_error(x, 400, 0, model->kind == VIEW_STRING ? "invalid model name" : "the value of \"model\" must be a string");
		return false;
	}
	x->embed = is_embed_route(x->route);
	x->stream = v.at[VIEW_K_STREAM].kind == VIEW_TRUE || (v.at[VIEW_K_STREAM].kind <= VIEW_NULL && x->route->default_stream);
	x->text_bytes = v.text_bytes;
	x->most_tokens = most_tokens(x, &v);
	if (asks_unload(x, &v)) {
		answer_error(x, 403, 0, "models are loaded and unloaded by tsa; the operator can do it with `tsactl unload NAME MODEL`");
		return false;
	}
	if (!resolve(x, name, &v, &is_default))
		return false;
	session_body(x, &v);
	return adjust_body(x, &v, is_default);
}

/* The model field of a multipart form: name="model", an empty line, the value. */
static bool look_form(struct exchange *x)
{
	static const char FIELD[] = "name=\"model\"";
	const char *body = x->body ? x->body + EX_HEADROOM : "";
	const char *end = body + x->body_len;
	const char *p = memmem(body, x->body_len, FIELD, sizeof(FIELD) - 1);
	char name[ROUTER_KEY] = "";
	bool is_default;

	if (p && (p = memmem(p, (size_t)(end - p), "\r\n\r\n", 4))) {
		const char *eol;

		p += 4;
		eol = memmem(p, (size_t)(end - p), "\r\n", 2);
		if (!eol || !span_copy(name, sizeof(name), (struct span){p, (size_t)(eol - p)}))
			p = NULL;
	}
	if (!p || is_auto(name)) {
		answer_error(x, 400, 0, "the form needs a field \"model\" that names a model; `auto` is not possible here");
		return false;
	}
	return resolve(x, name, NULL, &is_default);
}

bool exchange_look(struct exchange *x)
{
	return x->route->id == ROUTE_ID_V1_AUDIO ? look_form(x) : look_json(x);
}
