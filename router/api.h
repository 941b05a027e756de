/* router/api.h - private: tsa's own HTTP interface, tsa-api(7).
 *
 * It answers what clients of the service that tsa replaces ask for, with the fields and types that they read, from what the router sees
 * on the board and has counted itself.  Bodies are text (http/json_out.h); a want of memory becomes a 503 in api_send(). */
#pragma once

#include <json-c/json.h>

#include "http/fields.h"
#include "http/json_out.h"
#include "router/router.h"

/* What all living routers count of an instance. */
struct api_figures {
	uint64_t served, failed, aborted; /* since their routers began */
	uint64_t in_flight, queued;
	uint64_t mean_ns; /* moving average of whole answers; 0 none yet */
	uint64_t p95_ns;
};

void api_figures_take(struct router *r, unsigned slot, struct api_figures *out);

/* Is router `i` one whose counts matter: this one, or another that lives? */
bool api_counts(const struct router *r, unsigned i);

/* It takes requests. */
bool api_usable(const struct router *r, unsigned slot);
/* Instances that take requests, and all. */
unsigned api_usable_count(const struct router *r, unsigned *all);
/* Its base address, without a slash at the end. */
const char *api_url(const struct router *r, unsigned slot, char buf[96]);
/* The round trip of its last probe in seconds; negative: not known. */
double api_probe_s(const struct router *r, unsigned slot);

/* "timestamp": now, UTC, with microseconds, without a zone. */
void api_timestamp(struct json_out *o, const char *key, uint64_t wall_ns);

/* Answer with what was written; `o` is freed and the exchange ends. */
void api_send(struct exchange *x, unsigned status, struct json_out *o);

/* The body as an object that keeps to the table, the caller's.  NULL: the exchange has been answered. */
struct json_object *api_body(struct exchange *x, const struct field *table, unsigned n);
/* The same of the query; all values are strings. */
struct json_object *api_query(struct exchange *x, const struct field *table, unsigned n);

/* Check `in`, made with the result `rc`, and take it over. */
struct json_object *api_check(struct exchange *x, int rc, struct json_object *in, const struct field *table, unsigned n,
			      const char *where);

/* --- api_stats.c: what happened ----------------------------------------------------------------------------------------------- */

void api_balancer(struct router *r, struct json_out *o);
void api_routing(struct router *r, struct json_out *o);
void api_capacity(struct router *r, struct json_out *o);
void api_no_cache(struct router *r, struct json_out *o);

/* --- api_health.c: is it well ------------------------------------------------------------------------------------------------- */

void api_ollama_health(struct router *r, struct json_out *o);
void api_health(struct router *r, struct json_out *o);
void api_health_public(struct router *r, struct json_out *o);
void api_health_details(struct router *r, struct json_out *o);
/* The members of /api/status that are not Ollama's. */
void api_status_members(struct router *r, struct json_out *o);
void api_health_metrics(struct router *r, struct json_out *o);
void api_health_rag(struct router *r, struct json_out *o);
void api_health_auth(struct router *r, struct json_out *o);
void api_test(struct router *r, struct json_out *o);

/* --- api_route.c: what tsa would do ------------------------------------------------------------------------------------------------ */

/* For a question that is not sent to anybody. */
struct api_advice {
	struct classify_result kind;          /* zero without weights */
	struct model *model;                  /* NULL: there is none for it */
	const char *second;                   /* next best, or NULL */
	const struct choose_candidate *skill; /* of the model, until the next advice; NULL: nothing was ranked */
	bool decided;                         /* `slot` is what a request would get; else a guess */
	unsigned slot;
	float finish_ns; /* predicted, from sending it */
};

/* Of x, which gets the model's name in its answer.  `fixed`: this model in any case, or NULL. */
void api_advise(struct exchange *x, struct span text, const struct auto_wish *wish, struct model *fixed, struct api_advice *out);
/* "reasoning", in the old grammar; `speed`: it was asked for. */
void api_reasoning(const struct router *r, const struct api_advice *a, bool speed, struct json_out *o);
void api_route(struct exchange *x);
void api_classify(struct exchange *x);

/* --- api_agents.c: /api/v1/model-router ------------------------------------------------------------------------------------------ */

void api_agents_route(struct exchange *x);
void api_agents_list(struct exchange *x);
void api_agents_put(struct exchange *x);
void api_agents_assign(struct exchange *x);
void api_agents_stats(struct exchange *x);

/* --- feedback.c: what users think of it -------------------------------------------------------------------------------------------- */

void api_feedback(struct exchange *x);
void api_feedback_summary(struct router *r, struct json_out *o);
void api_feedback_recent(struct exchange *x);

/* --- api_metrics.c: for Prometheus ---------------------------------------------------------------------------------------------- */

void api_metrics(struct exchange *x);
