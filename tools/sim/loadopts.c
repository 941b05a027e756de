/* The options of a request that decide how a runner is started, and when another value means a reload. */
#include "tools/sim/sim.h"

#include <errno.h>
#include <string.h>

enum kind { KIND_INT, KIND_FLOAT, KIND_BOOL, KIND_ARRAY };

static const struct {
	const char *key;
	enum kind kind;
} known[] = {
	{"num_keep", KIND_INT},
	{"seed", KIND_INT},
	{"num_predict", KIND_INT},
	{"top_k", KIND_INT},
	{"repeat_last_n", KIND_INT},
	{"num_ctx", KIND_INT},
	{"num_batch", KIND_INT},
	{"num_gpu", KIND_INT},
	{"main_gpu", KIND_INT},
	{"num_thread", KIND_INT},
	{"draft_num_predict", KIND_INT},
	{"top_p", KIND_FLOAT},
	{"min_p", KIND_FLOAT},
	{"typical_p", KIND_FLOAT},
	{"temperature", KIND_FLOAT},
	{"repeat_penalty", KIND_FLOAT},
	{"presence_penalty", KIND_FLOAT},
	{"frequency_penalty", KIND_FLOAT},
	{"use_mmap", KIND_BOOL},
	{"stop", KIND_ARRAY},
};

static int option_check(const struct json *m, size_t i, struct why *why)
{
	static const struct {
		enum json_type type;
		const char *name;
	} wants[] = {
		[KIND_INT] = {JSON_NUMBER, "integer"},
		[KIND_FLOAT] = {JSON_NUMBER, "float32"},
		[KIND_BOOL] = {JSON_BOOL, "boolean"},
		[KIND_ARRAY] = {JSON_ARRAY, "array"},
	};

	if (m->type == wants[known[i].kind].type)
		return 0;
	return why_set(why, -EINVAL, "option \"%s\" must be of type %s", known[i].key, wants[known[i].kind].name);
}

int sim_loadopts_read(const struct json *options, const struct sim_model_conf *m, struct sim_loadopts *out, struct why *why)
{
	struct sim_loadopts o = {.num_gpu = -1, .use_mmap = -1, .shift = 1};
	const struct json *mmap = json_get(options, "use_mmap");

	for (const struct json *e = options ? options->child : NULL; e; e = e->next)
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (e->type != JSON_NULL && span_eq(e->key, span_of(known[i].key)) && option_check(e, i, why))
				return -EINVAL;
	o.num_ctx = json_get_i64(options, "num_ctx", m->num_ctx);
	if (o.num_ctx && o.num_ctx < 4)
		o.num_ctx = o.num_ctx < 0 ? (int64_t)m->ctx_trained : 4;
	o.num_batch = json_get_i64(options, "num_batch", 0);
	o.num_gpu = json_get_i64(options, "num_gpu", -1);
	o.main_gpu = json_get_i64(options, "main_gpu", 0);
	o.main_gpu_given = json_get(options, "main_gpu") != NULL;
	o.num_thread = json_get_i64(options, "num_thread", 0);
	if (mmap)
		o.use_mmap = mmap->yes;
	*out = o;
	return 0;
}

static uint32_t ctx_automatic(void)
{
	return sim_conf.ctx_default ? sim_conf.ctx_default : 4096;
}

uint32_t sim_loadopts_ctx(const struct sim_loadopts *o, const struct sim_model_conf *m)
{
	int64_t ctx = o->num_ctx ? o->num_ctx : ctx_automatic();

	if (m->vision && ctx < 2048)
		ctx = 2048;
	return ctx > m->ctx_trained ? m->ctx_trained : (uint32_t)ctx;
}

bool sim_loadopts_reload(const struct sim_loadopts *a, const struct sim_loadopts *b, const struct sim_model_conf *m)
{
	if (a->num_thread != b->num_thread || a->use_mmap != b->use_mmap || (b->num_gpu >= 0 && a->num_gpu != b->num_gpu))
		return true;
	if (sim_conf.new_generation) {
		bool both_automatic = !a->num_ctx && !b->num_ctx && !sim_conf.ctx_default;

		if (!both_automatic && sim_loadopts_ctx(a, m) != sim_loadopts_ctx(b, m))
			return true;
		if (a->main_gpu_given != b->main_gpu_given || a->main_gpu != b->main_gpu || a->shift != b->shift)
			return true;
		return (a->num_batch || b->num_batch) && a->num_batch != b->num_batch;
	}
	if ((a->num_ctx ? a->num_ctx : ctx_automatic()) != (b->num_ctx ? b->num_ctx : ctx_automatic()))
		return true;
	return (a->num_batch ? a->num_batch : 512) != (b->num_batch ? b->num_batch : 512) || a->main_gpu != b->main_gpu;
}
