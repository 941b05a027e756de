/* From method and path to a handler, with the redirects and refusals of the two routers a real server has in a row. */
#include "tools/sim/sim.h"

#include <string.h>

/* The control routes of the simulator itself are last: a real server has none of them. */
const struct sim_route sim_routes[] = {
	{"HEAD", "/", BODY_NONE, &dialect_plain, handle_root, false},
	{"HEAD", "/api/version", BODY_NONE, &dialect_plain, handle_version, false},
	{"HEAD", "/api/tags", BODY_NONE, &dialect_plain, handle_tags, false},
	{"HEAD", "/api/blobs/:", BODY_NONE, &dialect_plain, handle_blob_head, false},
	{"GET", "/", BODY_NONE, &dialect_plain, handle_root, false},
	{"GET", "/api/version", BODY_NONE, &dialect_plain, handle_version, false},
	{"GET", "/api/status", BODY_NONE, &dialect_plain, handle_status, false},
	{"GET", "/api/tags", BODY_NONE, &dialect_plain, handle_tags, false},
	{"GET", "/api/ps", BODY_NONE, &dialect_plain, handle_ps, false},
	{"GET", "/api/experimental/model-recommendations", BODY_NONE, &dialect_plain, handle_recommendations, false},
	{"GET", "/v1/models", BODY_NONE, &dialect_oai, handle_oai_models, false},
	{"GET", "/v1/models/:", BODY_NONE, &dialect_oai, handle_oai_model, false},
	{"POST", "/api/pull", BODY_JSON, &dialect_plain, handle_pull, false},
	{"POST", "/api/push", BODY_JSON, &dialect_plain, handle_push, false},
	{"POST", "/api/show", BODY_JSON, &dialect_plain, handle_show, false},
	{"POST", "/api/create", BODY_JSON, &dialect_plain, handle_create, false},
	{"POST", "/api/copy", BODY_JSON, &dialect_plain, handle_copy, false},
	{"POST", "/api/blobs/:", BODY_RAW, &dialect_plain, handle_blob_post, false},
	{"POST", "/api/me", BODY_RAW, &dialect_plain, handle_me, false},
	{"POST", "/api/signout", BODY_RAW, &dialect_plain, handle_me, false},
	{"POST", "/api/experimental/web_search", BODY_RAW, &dialect_plain, handle_cloud_only, false},
	{"POST", "/api/experimental/web_fetch", BODY_RAW, &dialect_plain, handle_cloud_only, false},
	{"POST", "/api/generate", BODY_JSON, &dialect_generate, handle_generate, true},
	{"POST", "/api/chat", BODY_JSON, &dialect_chat, handle_chat, true},
	{"POST", "/api/embed", BODY_JSON, &dialect_plain, handle_embed, true},
	{"POST", "/api/embeddings", BODY_JSON, &dialect_plain, handle_embeddings, true},
	{"POST", "/v1/chat/completions", BODY_JSON, &dialect_oai_chat, handle_oai_chat, true},
	{"POST", "/v1/completions", BODY_JSON, &dialect_oai_cmpl, handle_oai_completions, true},
	{"POST", "/v1/embeddings", BODY_JSON, &dialect_oai, handle_oai_embeddings, true},
	{"POST", "/v1/responses", BODY_JSON, &dialect_oai_responses, handle_oai_responses, true},
	{"POST", "/v1/audio/transcriptions", BODY_RAW, &dialect_audio, handle_oai_audio, true},
	{"POST", "/v1/images/generations", BODY_JSON, &dialect_audio, handle_oai_image, true},
	{"POST", "/v1/images/edits", BODY_JSON, &dialect_audio, handle_oai_image_edit, true},
	{"POST", "/v1/messages", BODY_JSON, &dialect_anthropic, handle_anthropic, true},
	{"DELETE", "/api/delete", BODY_JSON, &dialect_plain, handle_delete, false},
	{"DELETE", "/api/user/keys/:", BODY_RAW, &dialect_plain, handle_me, false},
	{"GET", "/sim", BODY_NONE, &dialect_plain, handle_sim, false},
	{"GET", "/sim/stats", BODY_NONE, &dialect_plain, handle_sim_stats, false},
	{"POST", "/sim/fault", BODY_JSON, &dialect_plain, handle_sim_fault, false},
	{"POST", "/sim/release", BODY_RAW, &dialect_plain, handle_sim_release, false},
	{"POST", "/sim/reset", BODY_RAW, &dialect_plain, handle_sim_reset, false},
};
const size_t sim_routes_n = sizeof(sim_routes) / sizeof(sim_routes[0]);

/* Gone with the release that the new generation stands for. */
static bool route_absent(const struct sim_route *r)
{
	return sim_conf.new_generation && strncmp(r->path, "/v1/images/", 11) == 0;
}

static bool path_matches(const struct sim_route *r, struct span path, struct span *param)
{
	size_t n = strlen(r->path);

	if (r->path[n - 1] != ':')
		return span_eq(path, (struct span){r->path, n});
	n--;
	if (path.n <= n || memcmp(path.p, r->path, n))
		return false;
	*param = (struct span){path.p + n, path.n - n};
	return !memchr(param->p, '/', param->n);
}

static const struct sim_route *route_find(struct span method, struct span path, struct span *param)
{
	for (size_t i = 0; i < sim_routes_n; i++)
		if (span_eq(method, span_of(sim_routes[i].method)) && path_matches(&sim_routes[i], path, param) &&
		    !route_absent(&sim_routes[i]))
			return &sim_routes[i];
	return NULL;
}

/* "" , "." and ".." segments leave the path, as Go's path.Clean does it; a trailing slash stays. */
static struct span path_clean(struct arena *a, struct span p)
{
	char *out = arena_alloc(a, p.n + 2);
	size_t n = 0;
	size_t i = 0;

	while (i < p.n) {
		size_t from;
		struct span seg;

		while (i < p.n && p.p[i] == '/')
			i++;
		from = i;
		while (i < p.n && p.p[i] != '/')
			i++;
		seg = (struct span){p.p + from, i - from};
		if (!seg.n || span_eq(seg, SPAN_LIT(".")))
			continue;
		if (span_eq(seg, SPAN_LIT(".."))) {
			while (n && out[--n] != '/')
				;
			continue;
		}
		out[n++] = '/';
		memcpy(out + n, seg.p, seg.n);
		n += seg.n;
	}
	if (!n || (p.n > 1 && p.p[p.n - 1] == '/' && out[n - 1] != '/'))
		out[n++] = '/';
	return (struct span){out, n};
}

static void html_escape(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		const char *e = s.p[i] == '&'    ? "&amp;"
				: s.p[i] == '<'  ? "&lt;"
				: s.p[i] == '>'  ? "&gt;"
				: s.p[i] == '"'  ? "&#34;"
				: s.p[i] == '\'' ? "&#39;"
						 : NULL;

		if (e)
			buf_text(out, e);
		else
			buf_put(out, s.p + i, 1);
	}
}

static void redirect(struct sim_ex *ex, int status, struct span path)
{
	struct buf location = {0};
	struct buf body = {0};
	bool get = span_eq(ex->head.method, SPAN_LIT("GET"));
	bool head = span_eq(ex->head.method, SPAN_LIT("HEAD"));

	buf_span(&location, path);
	buf_span(&location, ex->head.query);
	buf_put(&location, "", 1);
	resp_field(ex, "Location", location.p);
	location.n--;
	if (get) {
		buf_lit(&body, "<a href=\"");
		html_escape(&body, buf_view(&location));
		buf_printf(&body, "\">%s</a>.\n\n", resp_reason(status));
	}
	resp_full(ex, status, get || head ? "text/html; charset=utf-8" : NULL, buf_view(&body));
	buf_fini(&location);
	buf_fini(&body);
}

/* The methods that the path knows, in the order the real server names them. */
static bool allow_field(struct sim_ex *ex, struct span path)
{
	static const char *const methods[] = {"HEAD", "GET", "POST", "DELETE"};
	struct buf allow = {0};
	struct span param;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (route_find(span_of(methods[i]), path, &param))
			buf_printf(&allow, "%s%s", allow.n ? ", " : "", methods[i]);
	if (!allow.n)
		return false;
	buf_put(&allow, "", 1);
	resp_field(ex, "Allow", allow.p);
	buf_fini(&allow);
	return true;
}

void sim_route_enter(struct sim_ex *ex)
{
	struct span path = ex->head.path;
	struct span clean = path_clean(&ex->arena, ex->head.raw_path);
	struct span param = {0};
	struct span shorter = {path.p, path.n ? path.n - 1 : 0};
	bool known;

	if (!span_eq(clean, ex->head.raw_path) && !span_eq(ex->head.method, SPAN_LIT("CONNECT"))) {
		sim_stats_request(ex);
		redirect(ex, 307, clean);
		return;
	}
	ex->route = route_find(ex->head.method, path, &param);
	sim_stats_request(ex);
	if (ex->route) {
		ex->param = param;
		ex->dialect = ex->route->dialect;
		if (sim_check_refuse(ex))
			ex->route = NULL;
		return;
	}
	if (path.n > 1 && path.p[path.n - 1] == '/' && route_find(ex->head.method, shorter, &param)) {
		redirect(ex, span_eq(ex->head.method, SPAN_LIT("GET")) ? 301 : 307, shorter);
		return;
	}
	known = allow_field(ex, path);
	if (sim_check_refuse(ex))
		return;
	if (known)
		resp_full(ex, 405, "text/plain", SPAN_LIT("405 method not allowed"));
	else
		resp_full(ex, 404, "text/plain", SPAN_LIT("404 page not found"));
}
