/* What happened, per instance and over all: tsa's own figures in the fields and types of the replaced service's answers. */
#include "router/api.h"

#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"

/* --- figures --------------------------------------------------------------------------------------------------------------------- */

static void hist_add(_Atomic uint32_t *sum, const _Atomic uint32_t *hist)
{
	for (unsigned i = 0; i < SHM_HIST_BUCKETS; i++)
		atomic_store_explicit(&sum[i],
				      atomic_load_explicit(&sum[i], memory_order_relaxed) +
					      atomic_load_explicit(&hist[i], memory_order_relaxed),
				      memory_order_relaxed);
}

bool api_counts(const struct router *r, unsigned i)
{
	return i == r->conf.common.index || view_sibling(r, i);
}

void api_figures_take(struct router *r, unsigned slot, struct api_figures *out)
{
	_Atomic uint32_t hist[SHM_HIST_BUCKETS] = {0};
	double mean_ns = 0;

	*out = (struct api_figures){0};
	for (unsigned i = 0; r->board && i < r->conf.routers && i < SHM_ROUTERS; i++) {
		const struct shm_rslot *s = api_counts(r, i) ? shm_router_slot(r->board, i, slot) : NULL;
		uint64_t served = s ? shm_get(&s->served) : 0;

		if (!s)
			continue;
		out->served += served;
		out->failed += shm_get(&s->failed);
		out->aborted += shm_get(&s->aborted);
		out->in_flight += shm_get(&s->in_flight);
		out->queued += shm_get(&s->queued);
		mean_ns += (double)served * (double)shm_get(&s->total_ewma_ns);
		hist_add(hist, s->total_hist);
	}
	out->mean_ns = out->served ? (uint64_t)(mean_ns / (double)out->served) : 0;
	out->p95_ns = shm_hist_quantile(hist, 0.95);
}

bool api_usable(const struct router *r, unsigned slot)
{
	const struct slot *s = &r->slots[slot];

	return s->used && s->wanted == SHM_WANT_RUN && s->state == SHM_STATE_READY;
}

unsigned api_usable_count(const struct router *r, unsigned *all)
{
	unsigned n = 0;

	*all = 0;
	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		*all += r->conf.slots[i].used != 0;
		n += api_usable(r, i);
	}
	return n;
}

const char *api_url(const struct router *r, unsigned slot, char buf[96])
{
	snprintf(buf, 96, "http://%s", r->conf.slots[slot].addr.text);
	return buf;
}

double api_probe_s(const struct router *r, unsigned slot)
{
	struct shm_vital v;

	if (!r->board || shm_read_vital(r->board, slot, &v) || v.gen != r->slots[slot].gen || !v.up_ns)
		return -1;
	return (double)v.up_ns / 1e9;
}

/* --- load-balancer-stats --------------------------------------------------------------------------------------------------------- */

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void balancer_instance(struct router *r, unsigned i, const struct api_figures *f, struct json_out *o)
{
	uint64_t total = f->served + f->failed;
	char url[96];

	json_out_object(o, api_url(r, i, url));
	json_out_bool(o, "healthy", api_usable(r, i));
	json_out_uint(o, "total_requests", total);
	json_out_uint(o, "successful_requests", f->served);
	json_out_uint(o, "failed_requests", f->failed);
	json_out_format(o, "average_response_time", "%.2fms", ms(f->mean_ns));
	json_out_format(o, "success_rate", "%.1f%%", percent(f->served, total));
	if (api_usable(r, i))
		json_out_format(o, "load_score", "%.2f", ms(f->mean_ns) + percent(f->failed, total));
	else
		json_out_text(o, "load_score", "inf");
	json_out_end(o);
}

void api_balancer(struct router *r, struct json_out *o)
{
	struct api_figures f, sum = {0};
	unsigned all, usable = api_usable_count(r, &all);

	json_out_object(o, NULL);
	json_out_bool(o, "success", r->board);
	if (r->board) {
		json_out_object(o, "instances");
		for (unsigned i = 0; i < PROC_SLOTS; i++) {
			if (!r->conf.slots[i].used)
				continue;
			api_figures_take(r, i, &f);
			balancer_instance(r, i, &f, o);
			sum.served += f.served;
			sum.failed += f.failed;
		}
		json_out_end(o);
		json_out_object(o, "overall");
		json_out_uint(o, "total_requests", sum.served + sum.failed);
		json_out_uint(o, "successful_requests", sum.served);
		json_out_uint(o, "failed_requests", sum.failed);
		json_out_format(o, "overall_success_rate", "%.1f%%", percent(sum.served, sum.served + sum.failed));
		json_out_uint(o, "healthy_instances", usable);
		json_out_uint(o, "total_instances", all);
		json_out_end(o);
	} else {
		json_out_text(o, "error", "this router has no board yet; try again in a second");
	}
	api_timestamp(o, "timestamp", clock_wall_ns());
	json_out_end(o);
}

/* --- routing-metrics --------------------------------------------------------------------------------------------------------------- */

/* Is `word` one of the blank-separated words of `list`? */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
	return false;
}

/* What the operator says of the instance, and what follows from the models that it has. */
static void capabilities(struct router *r, unsigned i, const struct shm_models *models, struct json_out *o)
{
	static const struct {
		uint64_t flag;
		const char *word;
	} FOLLOWS[] = {{SHM_MODEL_EMBED, "embedding"},
		       {SHM_MODEL_TOOLS, "tools"},
		       {SHM_MODEL_VISION, "vision"},
		       {SHM_MODEL_THINKING, "thinking"}};
	struct shm_owner owner = {0};
	uint64_t flags = 0;
	bool chats = false;

	if (shm_read_slot(r->board, i, &owner))
		owner.tags[0] = 0;
	for (uint64_t k = 0; k < models->n && k < SHM_MODELS; k++) {
		flags |= models->at[k].flags;
		chats |= !(models->at[k].flags & SHM_MODEL_EMBED);
	}
	json_out_array(o, "capabilities");
	for (const char *p = owner.tags; *p;) {
		size_t n = strcspn(p, " ");

		if (n)
			json_out_span(o, NULL, (struct span){p, n});
		p += n + (p[n] == ' ');
	}
	if (chats && !has_word(owner.tags, "general"))
		json_out_text(o, NULL, "general");
	for (unsigned k = 0; k < ARRAY_SIZE(FOLLOWS); k++)
		if (flags & FOLLOWS[k].flag && !has_word(owner.tags, FOLLOWS[k].word))
			json_out_text(o, NULL, FOLLOWS[k].word);
	json_out_end(o);
}

/* Names of what is in memory; the bytes they take. */
static uint64_t residents(const struct shm_models *models, const char *key, struct json_out *o)
{
	uint64_t bytes = 0;

	json_out_array(o, key);
	for (uint64_t k = 0; k < models->n && k < SHM_MODELS; k++)
		if (models->at[k].flags & SHM_MODEL_RESIDENT) {
			json_out_text(o, NULL, models->at[k].name);
			bytes += models->at[k].resident_bytes;
		}
	json_out_end(o);
	return bytes;
}

static void models_of(struct router *r, unsigned i, struct shm_models *out)
{
	if (!r->board || shm_read_models(r->board, i, out) || out->gen != r->slots[i].gen)
		out->n = 0;
}

static void routing_instance(struct router *r, unsigned i, struct json_out *o)
{
	struct shm_models models;
	struct api_figures f;
	char url[96];

	api_figures_take(r, i, &f);
	models_of(r, i, &models);
	json_out_object(o, NULL);
	json_out_text(o, "instance_id", r->conf.slots[i].name);
	json_out_text(o, "url", api_url(r, i, url));
	json_out_bool(o, "healthy", api_usable(r, i));
	json_out_fixed(o, "avg_latency_ms", ms(f.mean_ns), 1);
	json_out_fixed(o, "p95_latency_ms", ms(f.p95_ns), 1);
	json_out_uint(o, "active_sessions", f.in_flight);
	json_out_uint(o, "queue_depth", f.queued);
	capabilities(r, i, &models, o);
	residents(&models, "models_loaded", o);
	json_out_uint(o, "decisions_total", f.served + f.failed + f.aborted + f.in_flight);
	json_out_end(o);
}

void api_routing(struct router *r, struct json_out *o)
{
	json_out_object(o, NULL);
	json_out_bool(o, "success", r->board);
	if (r->board) {
		json_out_array(o, "instances");
		for (unsigned i = 0; i < PROC_SLOTS; i++)
			if (r->conf.slots[i].used)
				routing_instance(r, i, o);
		json_out_end(o);
	} else {
		json_out_text(o, "error", "this router has no board yet; try again in a second");
	}
	api_timestamp(o, "timestamp", clock_wall_ns());
	json_out_end(o);
}

/* --- capacity-status ---------------------------------------------------------------------------------------------------------------- */

static uint64_t waiting(const struct router *r)
{
	uint64_t n = 0;

	for (unsigned i = 0; r->board && i < r->conf.routers && i < SHM_ROUTERS; i++)
		if (api_counts(r, i))
			n += shm_get(&shm_router_counters(r->board, i)->waiting);
	return n;
}

static void memory(const struct router *r, struct json_out *o)
{
	struct shm_host h;

	if (r->board && shm_read_host(r->board, &h) == 0 && h.mem_total_bytes) {
		json_out_fixed(o, "free_memory_pct", percent(h.mem_available_bytes, h.mem_total_bytes), 1);
		json_out_uint(o, "total_memory_bytes", h.mem_total_bytes);
	} else {
		json_out_null(o, "free_memory_pct");
		json_out_null(o, "total_memory_bytes");
	}
}

static void capacity_instance(struct router *r, unsigned i, struct json_out *o)
{
	struct shm_models models;

	models_of(r, i, &models);
	json_out_object(o, NULL);
	json_out_text(o, "instance_id", r->conf.slots[i].name);
	json_out_uint(o, "slots", r->conf.slots[i].places);
	json_out_uint(o, "slots_in_use", view_in_flight(r, i));
	json_out_uint(o, "resident_bytes", residents(&models, "resident_models", o));
	json_out_end(o);
}

void api_capacity(struct router *r, struct json_out *o)
{
	unsigned all, usable = api_usable_count(r, &all), active = view_active(r);
	uint64_t queued = waiting(r), places = 0, free_places = 0, most;

	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		unsigned used = r->conf.slots[i].used ? view_in_flight(r, i) : 0;

		places += r->conf.slots[i].used ? r->conf.slots[i].places : 0;
		if (api_usable(r, i) && used < r->conf.slots[i].places)
			free_places += r->conf.slots[i].places - used;
	}
	most = r->conf.active ? r->conf.active : places;
	json_out_object(o, NULL);
	json_out_bool(o, "success", true);
	json_out_text(o, "status",
		      !usable                          ? "degraded"
		      : !free_places || active >= most ? "saturated"
		      : usable < all                   ? "degraded"
						       : "ok");
	json_out_uint(o, "active_generations", active);
	json_out_uint(o, "max_active_generations", most);
	json_out_uint(o, "queued", queued);
	memory(r, o);
	json_out_array(o, "instances");
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (r->conf.slots[i].used)
			capacity_instance(r, i, o);
	json_out_end(o);
	api_timestamp(o, "timestamp", clock_wall_ns());
	json_out_end(o);
}

/* --- caches ---------------------------------------------------------------------------------------------------------------------- */

void api_no_cache(struct router *r, struct json_out *o)
{
	(void)r;
	json_out_object(o, NULL);
	json_out_bool(o, "success", true);
	json_out_object(o, "cache");
	json_out_bool(o, "enabled", false);
	json_out_end(o);
	api_timestamp(o, "timestamp", clock_wall_ns());
	json_out_end(o);
}
