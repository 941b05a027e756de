/* Routes that change the store: copy, delete, create, pull, push, blobs. */
#include "tools/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json; charset=utf-8"

static const struct sim_field store_fields[] = {
	{"model", FIELD_STRING, "string", NULL},         {"name", FIELD_STRING, "string", NULL},
	{"source", FIELD_STRING, "string", NULL},        {"destination", FIELD_STRING, "string", NULL},
	{"from", FIELD_STRING, "string", NULL},          {"stream", FIELD_BOOL, "bool", NULL},
	{"insecure", FIELD_BOOL, "bool", NULL},          {"template", FIELD_STRING, "string", NULL},
	{"system", FIELD_STRING, "string", NULL},        {"parameters", FIELD_MAP, "map[string]interface {}", NULL},
	{"files", FIELD_MAP, "map[string]string", NULL},
};
#define STORE_SCHEMA(go)                                                                                                           \
	static const struct sim_schema go##_schema = {#go, "api." #go, store_fields, sizeof(store_fields) / sizeof(store_fields[0])}
STORE_SCHEMA(CopyRequest);
STORE_SCHEMA(DeleteRequest);
STORE_SCHEMA(CreateRequest);
STORE_SCHEMA(PullRequest);
STORE_SCHEMA(PushRequest);

static void name_take(struct sim_ex *ex)
{
	if (!ex->model_text.n)
		ex->model_text = json_get_text(ex->json, "name");
	ex->stream = json_get_bool(ex->json, "stream", true);
}

/* --- copy and delete -------------------------------------------------------------------------------------------------- */

void handle_copy(struct sim_ex *ex)
{
	struct span source;
	struct span destination;
	struct sim_name from;
	struct sim_name to;
	struct sim_model *m;
	struct sim_model_conf conf;

	if (!sim_request_read(ex, &CopyRequest_schema))
		return;
	source = json_get_text(ex->json, "source");
	destination = json_get_text(ex->json, "destination");
	if (!sim_name_parse(source, &from)) {
		sim_ex_failf(ex, 400, "source \"" SPAN_FMT "\" is invalid", SPAN_ARG(source));
		return;
	}
	if (!sim_name_parse(destination, &to)) {
		sim_ex_failf(ex, 400, "destination \"" SPAN_FMT "\" is invalid", SPAN_ARG(destination));
		return;
	}
	m = sim_store_find(ex->in, &from);
	if (!m) {
		sim_ex_failf(ex, 404, "model \"" SPAN_FMT "\" not found", SPAN_ARG(source));
		return;
	}
	conf = m->conf;
	sim_store_add(ex->in, &to, &conf);
	resp_full(ex, 200, NULL, (struct span){"", 0});
}

void handle_delete(struct sim_ex *ex)
{
	struct sim_name name;
	struct sim_model *m;

	if (!sim_request_read(ex, &DeleteRequest_schema))
		return;
	name_take(ex);
	if (!ex->model_text.n) {
		sim_ex_fail(ex, 400, "model is required");
		return;
	}
	if (!sim_name_parse(ex->model_text, &name)) {
		sim_ex_failf(ex, 400, "name \"" SPAN_FMT "\" is invalid", SPAN_ARG(ex->model_text));
		return;
	}
	m = sim_store_find(ex->in, &name);
	if (!m) {
		sim_ex_failf(ex, 404, "model '" SPAN_FMT "' not found", SPAN_ARG(ex->model_text));
		return;
	}
	sim_store_remove(ex->in, m);
	resp_full(ex, 200, NULL, (struct span){"", 0});
}

/* --- progress --------------------------------------------------------------------------------------------------------- */

/* One progress object; the last one of an answer in one piece is the answer. */
static void progress(struct sim_ex *ex, struct buf *line)
{
	if (!ex->stream)
		return;
	buf_lit(line, "\n");
	if (!ex->head_sent)
		resp_begin(ex, 200, "application/x-ndjson");
	resp_write(ex, buf_view(line));
	resp_flush(ex);
}

static void progress_status(struct sim_ex *ex, const char *fmt, const char *arg)
{
	struct buf *b = &ex->scratch;

	b->n = 0;
	buf_lit(b, "{\"status\":\"");
	buf_printf(b, "%s%s", fmt, arg);
	buf_lit(b, "\"}");
	progress(ex, b);
}

static void progress_success(struct sim_ex *ex)
{
	progress_status(ex, "success", "");
	if (ex->stream)
		resp_end(ex);
	else
		resp_full(ex, 200, "application/json", SPAN_LIT("{\"status\":\"success\"}"));
}

static void progress_fail(struct sim_ex *ex, int status, const char *message)
{
	struct buf *b = &ex->scratch;

	b->n = 0;
	buf_lit(b, "{\"error\":");
	buf_json_text(b, message);
	buf_lit(b, "}");
	if (ex->stream && ex->head_sent) {
		progress(ex, b);
		resp_end(ex);
		return;
	}
	resp_begin(ex, status, "application/json");
	resp_write(ex, buf_view(b));
	if (ex->stream)
		resp_flush(ex);
	resp_end(ex);
}

/* What a host says that cannot be reached: nobody at a loopback address, no such name elsewhere. */
static void unreachable(struct sim_ex *ex, const struct sim_name *n, const char *prefix, const char *verb, bool push,
			const char *weights)
{
	struct buf b = {0};
	bool insecure = json_get_bool(ex->json, "insecure", false);
	char host[352];

	snprintf(host, sizeof(host), "%s", n->host);
	buf_printf(&b, "%s%s \"%s://%s/v2/%s/%s/", prefix, verb, insecure ? "http" : "https", n->host, n->ns, n->model);
	if (push)
		buf_printf(&b, "blobs/sha256:%s\": ", weights);
	else
		buf_printf(&b, "manifests/%s\": ", n->tag);
	if (!strncmp(host, "127.", 4))
		buf_printf(&b, "dial tcp %s: connect: connection refused", host);
	else
		buf_printf(&b, "dial tcp: lookup %s: no such host", host);
	buf_put(&b, "", 1);
	progress_fail(ex, 500, b.p);
	buf_fini(&b);
}

/* --- pull ------------------------------------------------------------------------------------------------------------- */

static void pulled_conf(const struct sim_name *name, struct sim_model_conf *out)
{
	char text[SIM_NAME_BYTES];

	*out = sim_conf.models_n ? sim_conf.models[0] : (struct sim_model_conf){.ctx_trained = 4096, .dim = 64};
	sim_name_full(name, text, sizeof(text));
	sha256_hex(text, strlen(text), out->weights);
	out->parent[0] = 0;
}

static void pull_step(struct sim_ex *ex)
{
	struct buf *b = &ex->scratch;
	struct sim_model_conf conf;
	uint64_t total;

	pulled_conf(&ex->name, &conf);
	total = conf.size_bytes ? conf.size_bytes : 1000000;
	if (ex->seq < 4) {
		b->n = 0;
		buf_printf(b, "{\"status\":\"pulling %.12s\",\"digest\":\"sha256:%s\",\"total\":%llu", conf.weights, conf.weights,
			   (unsigned long long)total);
		if (ex->seq)
			buf_printf(b, ",\"completed\":%llu",
				   (unsigned long long)(total / 3 * (uint64_t)ex->seq + (ex->seq == 3 ? total % 3 : 0)));
		buf_lit(b, "}");
		progress(ex, b);
		ex->seq++;
		sim_conn_send(ex->conn);
		sim_ex_timer(ex, clock_after_ns(clock_now_ns(), 20 * NS_PER_MS), pull_step);
		return;
	}
	ex->wait = WAIT_NONE;
	progress_status(ex, "verifying sha256 digest", "");
	progress_status(ex, "writing manifest", "");
	sim_store_add(ex->in, &ex->name, &conf);
	progress_success(ex);
}

void handle_pull(struct sim_ex *ex)
{
	if (!sim_request_read(ex, &PullRequest_schema))
		return;
	name_take(ex);
	if (!sim_name_parse(ex->model_text, &ex->name)) {
		sim_ex_fail(ex, 400, "invalid model name");
		return;
	}
	progress_status(ex, "pulling manifest", "");
	/* A registry on this very machine is somebody's closed port. */
	if (sim_conf.pull_fails || !strncmp(ex->name.host, "127.", 4)) {
		unreachable(ex, &ex->name, "pull model manifest: ", "Get", false, "");
		return;
	}
	ex->wait = WAIT_TIMER;
	pull_step(ex);
}

/* --- push ------------------------------------------------------------------------------------------------------------- */

void handle_push(struct sim_ex *ex)
{
	struct sim_model *m;
	char text[1400];

	if (!sim_request_read(ex, &PushRequest_schema))
		return;
	name_take(ex);
	if (!sim_name_parse(ex->model_text, &ex->name)) {
		sim_ex_fail(ex, 400, "model is required");
		return;
	}
	m = sim_store_find(ex->in, &ex->name);
	progress_status(ex, "retrieving manifest", "");
	if (!m) {
		snprintf(text, sizeof(text), "open /models/manifests/%s/%s/%s/%s: no such file or directory", ex->name.host,
			 ex->name.ns, ex->name.model, ex->name.tag);
		progress_fail(ex, 500, text);
		return;
	}
	unreachable(ex, &m->name, "", "Head", true, m->conf.weights);
}

/* --- create ----------------------------------------------------------------------------------------------------------- */

static void parameters_take(struct sim_model_conf *conf, const struct json *parameters)
{
	size_t n = 0;

	for (const struct json *p = parameters ? parameters->child : NULL; p; p = p->next) {
		for (const struct json *v = p->type == JSON_ARRAY ? p->child : p; v; v = p->type == JSON_ARRAY ? v->next : NULL) {
			struct span text = v->type == JSON_STRING ? v->text : v->raw;
			int w = snprintf(conf->parameters + n, sizeof(conf->parameters) - n, SPAN_FMT " " SPAN_FMT "\n",
					 SPAN_ARG(p->key), SPAN_ARG(text));

			if (w > 0 && n + (size_t)w < sizeof(conf->parameters))
				n += (size_t)w;
		}
	}
	conf->parameters[n] = 0;
	conf->num_ctx = (uint32_t)json_get_i64(parameters, "num_ctx", conf->num_ctx);
}

static bool create_from(struct sim_ex *ex, struct span from, struct sim_model_conf *conf)
{
	struct sim_name name;
	struct sim_model *m;
	char display[SIM_NAME_BYTES];

	if (!sim_name_parse(from, &name)) {
		progress_fail(ex, 400, "invalid model name");
		return false;
	}
	m = sim_store_find(ex->in, &name);
	if (!m) {
		unreachable(ex, &name, "pull model manifest: ", "Get", false, "");
		return false;
	}
	*conf = m->conf;
	sim_name_display(&m->name, display, sizeof(display));
	snprintf(conf->parent, sizeof(conf->parent), "%.127s", display);
	progress_status(ex, "using existing layer sha256:", conf->weights);
	return true;
}

/* Weights that were uploaded as a blob. */
static bool create_files(struct sim_ex *ex, const struct json *files, struct sim_model_conf *conf)
{
	struct span digest = files->child && files->child->type == JSON_STRING ? files->child->text : (struct span){"", 0};
	char hex[65];

	if (digest.n != 71 || memcmp(digest.p, "sha256", 6) || !span_copy(hex, sizeof(hex), (struct span){digest.p + 7, 64}) ||
	    !sim_blob_known(ex->in, hex)) {
		progress_fail(ex, 400, "invalid digest format");
		return false;
	}
	*conf = (struct sim_model_conf){
		.family = "llama",
		.parameter_size = "1K",
		.quantization = "unknown",
		.template = "{{ .Prompt }}",
		.size_bytes = 1000,
		.load_ns = 300 * NS_PER_MS,
		.ctx_trained = 4096,
		.dim = 64,
		.prefill_per_s = 2000,
		.decode_per_s = 50,
	};
	memcpy(conf->weights, hex, sizeof(conf->weights));
	progress_status(ex, "parsing GGUF", "");
	progress_status(ex, "using existing layer sha256:", hex);
	return true;
}

void handle_create(struct sim_ex *ex)
{
	struct sim_model_conf conf = {0};
	const struct json *files;
	struct span from;
	char layer[65];

	if (!sim_request_read(ex, &CreateRequest_schema))
		return;
	name_take(ex);
	if (!sim_name_parse(ex->model_text, &ex->name)) {
		sim_ex_fail(ex, 400, "invalid model name");
		return;
	}
	from = json_get_text(ex->json, "from");
	files = json_get(ex->json, "files");
	if (!from.n && !json_count(files)) {
		progress_fail(ex, 400, "neither 'from' or 'files' was specified");
		return;
	}
	if (from.n ? !create_from(ex, from, &conf) : !create_files(ex, files, &conf))
		return;
	if (json_get(ex->json, "template"))
		span_copy(conf.template, sizeof(conf.template), json_get_text(ex->json, "template"));
	if (json_get(ex->json, "system"))
		span_copy(conf.system, sizeof(conf.system), json_get_text(ex->json, "system"));
	if (json_get(ex->json, "parameters"))
		parameters_take(&conf, json_get(ex->json, "parameters"));
	sha256_hex(conf.parameters, strlen(conf.parameters), layer);
	progress_status(ex, "creating new layer sha256:", layer);
	progress_status(ex, "writing manifest", "");
	sim_store_add(ex->in, &ex->name, &conf);
	progress_success(ex);
}

/* --- blobs ------------------------------------------------------------------------------------------------------------ */

/* "sha256:<hex>" or "sha256-<hex>"; answers 400 otherwise. */
static bool digest_take(struct sim_ex *ex, char hex[65])
{
	struct span d = ex->param;
	bool ok = d.n == 71 && !memcmp(d.p, "sha256", 6) && (d.p[6] == ':' || d.p[6] == '-');

	for (size_t i = 7; ok && i < d.n; i++)
		ok = strchr("0123456789abcdefABCDEF", d.p[i]) != NULL;
	if (ok)
		span_copy(hex, 65, (struct span){d.p + 7, 64});
	else
		sim_ex_fail(ex, 400, "invalid digest format");
	return ok;
}

void handle_blob_head(struct sim_ex *ex)
{
	char hex[65];

	if (!digest_take(ex, hex))
		return;
	if (sim_blob_known(ex->in, hex))
		resp_full(ex, 200, NULL, (struct span){"", 0});
	else
		sim_ex_failf(ex, 404, "blob \"sha256:%s\" not found", hex);
}

void handle_blob_post(struct sim_ex *ex)
{
	char hex[65];
	char got[65];

	if (!digest_take(ex, hex))
		return;
	if (sim_blob_known(ex->in, hex)) {
		resp_full(ex, 200, NULL, (struct span){"", 0});
		return;
	}
	sha256_hex(ex->body.p, ex->body.n, got);
	if (strcmp(hex, got) != 0) {
		sim_ex_failf(ex, 400, "digest mismatch, expected \"sha256:%s\", got \"sha256:%s\"", hex, got);
		return;
	}
	sim_blob_add(ex->in, hex, ex->body.n);
	resp_full(ex, 201, NULL, (struct span){"", 0});
}

/* --- what belongs to the cloud ---------------------------------------------------------------------------------------- */

void handle_me(struct sim_ex *ex)
{
	sim_ex_fail(ex, 503, "account unavailable");
}

void handle_cloud_only(struct sim_ex *ex)
{
	bool search = memmem(ex->head.path.p, ex->head.path.n, "search", 6) != NULL;

	sim_ex_failf(ex, 403, "ollama cloud is disabled: web %s is unavailable", search ? "search" : "fetch");
}

void handle_recommendations(struct sim_ex *ex)
{
	resp_full(ex, 200, JSON_TYPE,
		  SPAN_LIT("{\"recommendations\":[{\"model\":\"sim-chat\",\"description\":\"Simulated "
			   "words\",\"vram_bytes\":1000000000}]}"));
}
