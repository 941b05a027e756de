/* Is it well: the several answers to that which clients of the replaced service read.  Nothing of it needs a key; see tsa-api(7). */
#include "router/api.h"

#include "base/clock.h"

#define NOT_CONFIGURED "not_configured" /* what tsa does without */

static bool some_usable(const struct router *r)
{
	unsigned all;

	return api_usable_count(r, &all) > 0;
}

/* healthy: all; degraded: some; unhealthy: none. */
static const char *fleet_word(const struct router *r)
{
	unsigned all, n = api_usable_count(r, &all);

	return n == 0 ? "unhealthy" : n < all ? "degraded" : "healthy";
}

/* --- ollama-health ---------------------------------------------------------------------------------------------------------------- */

/* When its worker looked last, Unix seconds; 0: never, as far as this router knows. */
static double last_check_s(const struct router *r, unsigned slot)
{
	uint64_t now = clock_now_ns();
	struct shm_vital v;

	if (!r->board || shm_read_vital(r->board, slot, &v) || v.gen != r->slots[slot].gen || !v.beat_ns || v.beat_ns > now)
		return 0;
	return (double)(clock_wall_ns() - (now - v.beat_ns)) / 1e9;
}

static void instance_health(struct router *r, unsigned i, struct json_out *o)
{
	double probe_s = api_probe_s(r, i);
	char url[96];

	json_out_object(o, NULL);
	json_out_text(o, "name", r->conf.slots[i].name);
	json_out_text(o, "url", api_url(r, i, url));
	json_out_bool(o, "healthy", api_usable(r, i));
	if (probe_s < 0) {
		json_out_text(o, "response_time", "unknown");
		json_out_text(o, "load_score", "unknown");
	} else {
		json_out_format(o, "response_time", "%.2fs", probe_s);
		json_out_format(o, "load_score", "%.2f", probe_s);
	}
	json_out_fixed(o, "last_check", last_check_s(r, i), 6);
	json_out_end(o);
}

void api_ollama_health(struct router *r, struct json_out *o)
{
	unsigned all, n = api_usable_count(r, &all);

	json_out_object(o, NULL);
	json_out_text(o, "status", n ? "healthy" : "degraded");
	json_out_uint(o, "healthy_instances", n);
	json_out_uint(o, "total_instances", all);
	json_out_array(o, "instances");
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (r->conf.slots[i].used)
			instance_health(r, i, o);
	json_out_end(o);
	json_out_end(o);
}

/* --- the service ------------------------------------------------------------------------------------------------------------------ */

void api_health(struct router *r, struct json_out *o)
{
	unsigned all, n = api_usable_count(r, &all);

	json_out_object(o, NULL);
	json_out_text(o, "status", n ? "healthy" : "degraded");
	json_out_text(o, "service", "tsa");
	json_out_text(o, "database", NOT_CONFIGURED);
	if (!n)
		json_out_text(o, "error", "no instance is ready; see `tsactl instances`");
	json_out_format(o, "message", "%u of %u instances are ready", n, all);
	json_out_end(o);
}

void api_health_public(struct router *r, struct json_out *o)
{
	json_out_object(o, NULL);
	json_out_text(o, "status", some_usable(r) ? "ok" : "degraded");
	json_out_end(o);
}

static void instances_map(struct router *r, struct json_out *o)
{
	json_out_object(o, "ollama_instances");
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (r->conf.slots[i].used)
			json_out_bool(o, r->conf.slots[i].name, api_usable(r, i));
	json_out_end(o);
}

void api_health_details(struct router *r, struct json_out *o)
{
	json_out_object(o, NULL);
	json_out_text(o, "status", some_usable(r) ? "ok" : "degraded");
	json_out_text(o, "db", NOT_CONFIGURED);
	json_out_null(o, "reranker_model");
	json_out_object(o, "services");
	json_out_text(o, "database", NOT_CONFIGURED);
	json_out_text(o, "ollama", fleet_word(r));
	instances_map(r, o);
	json_out_end(o);
	api_timestamp(o, "timestamp", clock_wall_ns());
	json_out_end(o);
}

void api_status_members(struct router *r, struct json_out *o)
{
	json_out_text(o, "status", some_usable(r) ? "ok" : "degraded");
	json_out_object(o, "services");
	json_out_text(o, "router", r->draining ? "stopping" : "ok");
	json_out_text(o, "ollama", fleet_word(r));
	json_out_text(o, "database", NOT_CONFIGURED);
	json_out_end(o);
	json_out_object(o, "performance_targets");
	json_out_fixed(o, "queue_s", (double)r->conf.queue_ns / 1e9, 1);
	json_out_fixed(o, "first_byte_s", (double)r->conf.first_ns / 1e9, 1);
	json_out_fixed(o, "total_s", (double)r->conf.total_ns / 1e9, 1);
	json_out_end(o);
	api_timestamp(o, "timestamp", clock_wall_ns());
}

void api_health_metrics(struct router *r, struct json_out *o)
{
	json_out_object(o, NULL);
	json_out_text(o, "status", fleet_word(r));
	api_timestamp(o, "timestamp", clock_wall_ns());
	json_out_object(o, "services");
	json_out_bool(o, "database", r->board); /* what tsa keeps its state in */
	instances_map(r, o);
	json_out_end(o);
	json_out_end(o);
}

void api_health_rag(struct router *r, struct json_out *o)
{
	bool ok = some_usable(r);

	json_out_object(o, NULL);
	json_out_text(o, "status", ok ? "healthy" : "degraded");
	json_out_text(o, "ollama", ok ? "ok" : "error");
	json_out_text(o, "reranker", r->draining ? "error" : "ok"); /* the old name of the service that is asked */
	json_out_end(o);
}

void api_health_auth(struct router *r, struct json_out *o)
{
	(void)r;
	json_out_object(o, NULL);
	json_out_text(o, "status", "healthy"); /* nobody is turned away for want of a key */
	json_out_end(o);
}

void api_test(struct router *r, struct json_out *o)
{
	json_out_object(o, NULL);
	json_out_text(o, "status", "test_ok");
	json_out_format(o, "message", "router %u of tsa %s answers", r->conf.common.index, TSA_VERSION);
	json_out_end(o);
}
