/* The models and blobs of one instance, in memory. */
#include "tools/sim/sim.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct sim_model *sim_store_find(struct sim_inst *in, const struct sim_name *name)
{
	struct sim_model *m;

	TAILQ_FOREACH(m, &in->models, link)
	if (sim_name_same(&m->name, name))
		return m;
	return NULL;
}

struct sim_model *sim_store_find_exact(struct sim_inst *in, const struct sim_name *name)
{
	struct sim_model *m = sim_store_find(in, name);

	return m && !strcmp(m->name.model, name->model) && !strcmp(m->name.tag, name->tag) && !strcmp(m->name.ns, name->ns) ? m
															    : NULL;
}

/* The digest of a manifest depends on what it lists, not on its name: copies share it. */
static void manifest_digest(const struct sim_model_conf *c, char out[65])
{
	struct buf b = {0};

	buf_printf(&b, "%s\n%s\n%s\n%s\n%u", c->weights, c->template, c->system, c->parameters, c->num_ctx);
	sha256_hex(b.p, b.n, out);
	buf_fini(&b);
}

struct sim_model *sim_store_add(struct sim_inst *in, const struct sim_name *name, const struct sim_model_conf *conf)
{
	struct sim_model *m = sim_store_find(in, name);

	if (m) {
		TAILQ_REMOVE(&in->models, m, link);
	} else {
		m = sim_alloc(sizeof(*m));
		m->name = *name;
	}
	m->conf = *conf;
	manifest_digest(conf, m->digest);
	m->modified_ns = clock_wall_ns();
	TAILQ_INSERT_HEAD(&in->models, m, link);
	if (!conf->broken)
		sim_blob_add(in, conf->weights, conf->size_bytes);
	return m;
}

void sim_store_remove(struct sim_inst *in, struct sim_model *m)
{
	TAILQ_REMOVE(&in->models, m, link);
	free(m);
}

void sim_store_fill(struct sim_inst *in)
{
	struct sim_name name;

	for (size_t i = 0; i < sim_conf.models_n; i++)
		if (sim_name_parse(span_of(sim_conf.models[i].name), &name))
			sim_store_add(in, &name, &sim_conf.models[i]);
}

bool sim_blob_known(struct sim_inst *in, const char *digest)
{
	struct sim_blob *b;

	TAILQ_FOREACH(b, &in->blobs, link)
	if (!strcasecmp(b->digest, digest))
		return true;
	return false;
}

void sim_blob_add(struct sim_inst *in, const char *digest, uint64_t size_bytes)
{
	struct sim_blob *b;

	if (sim_blob_known(in, digest))
		return;
	b = sim_alloc(sizeof(*b));
	memcpy(b->digest, digest, strnlen(digest, 64));
	b->size_bytes = size_bytes;
	TAILQ_INSERT_TAIL(&in->blobs, b, link);
}

void sim_details_write(struct buf *out, const struct sim_model_conf *c, const char *parent, bool lengths)
{
	buf_lit(out, "\"details\":{\"parent_model\":");
	buf_json_text(out, parent);
	buf_lit(out, ",\"format\":\"gguf\",\"family\":");
	buf_json_text(out, c->family);
	buf_lit(out, ",\"families\":[");
	buf_json_text(out, c->family);
	buf_lit(out, "],\"parameter_size\":");
	buf_json_text(out, c->parameter_size);
	buf_lit(out, ",\"quantization_level\":");
	buf_json_text(out, c->quantization);
	if (lengths)
		buf_printf(out, ",\"context_length\":%u,\"embedding_length\":%u", c->ctx_trained, c->dim);
	buf_lit(out, "}");
}

void sim_capabilities_write(struct buf *out, const struct sim_model_conf *c)
{
	const struct {
		bool has;
		const char *name;
	} all[] = {
		{c->embed, "embedding"}, {!c->embed, "completion"}, {c->vision, "vision"},
		{c->tools, "tools"},     {c->insert, "insert"},     {c->thinking, "thinking"},
	};
	const char *comma = "";

	buf_lit(out, "\"capabilities\":[");
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!all[i].has)
			continue;
		buf_printf(out, "%s\"%s\"", comma, all[i].name);
		comma = ",";
	}
	buf_lit(out, "]");
}
