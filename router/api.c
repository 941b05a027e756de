/* tsa's own HTTP interface: who answers which route, and what all of them share. */
#include "router/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/bug.h"
#include "base/clock.h"
#include "http/query.h"

#define NO_MEMORY "the service is short of memory; try again in a second"

/* --- routes ---------------------------------------------------------------------------------------------------------------------- */

void api_answer(struct exchange *x)
{
	static const struct {
		enum route_id id;
		void (*write)(struct router *r, struct json_out *o); /* what it says depends on nothing of the request */
		void (*answer)(struct exchange *x);
	} TABLE[] = {
		{ROUTE_ID_API_BALANCER, api_balancer, NULL},
		{ROUTE_ID_API_ROUTING, api_routing, NULL},
		{ROUTE_ID_API_CAPACITY, api_capacity, NULL},
		{ROUTE_ID_API_CACHE, api_no_cache, NULL},
		{ROUTE_ID_API_CACHE_LAYERS, api_no_cache, NULL},
		{ROUTE_ID_API_ROUTE, NULL, api_route},
		{ROUTE_ID_API_CLASSIFY, NULL, api_classify},
		{ROUTE_ID_API_FEEDBACK, NULL, api_feedback},
		{ROUTE_ID_API_FEEDBACK_SUMMARY, api_feedback_summary, NULL},
		{ROUTE_ID_API_FEEDBACK_RECENT, NULL, api_feedback_recent},
		{ROUTE_ID_API_OLLAMA_HEALTH, api_ollama_health, NULL},
		{ROUTE_ID_HEALTH, api_health, NULL},
		{ROUTE_ID_HEALTH_DETAILS, api_health_details, NULL},
		{ROUTE_ID_API_HEALTH, api_health_public, NULL},
		{ROUTE_ID_API_HEALTH_DETAILS, api_health_details, NULL},
		{ROUTE_ID_API_METRICS_HEALTH, api_health_metrics, NULL},
		{ROUTE_ID_API_RAG_HEALTH, api_health_rag, NULL},
		{ROUTE_ID_API_AUTH_HEALTH, api_health_auth, NULL},
		{ROUTE_ID_API_TEST, api_test, NULL},
		{ROUTE_ID_METRICS, NULL, api_metrics},
		{ROUTE_ID_MR_ROUTE, NULL, api_agents_route},
		{ROUTE_ID_MR_ASSIGNMENTS, NULL, api_agents_list},
		{ROUTE_ID_MR_ASSIGNMENT, NULL, api_agents_put},
		{ROUTE_ID_MR_AUTO_ASSIGN, NULL, api_agents_assign},
		{ROUTE_ID_MR_STATS, NULL, api_agents_stats},
	};
	struct json_out o = {0};
	unsigned i = 0;

	while (i < ARRAY_SIZE(TABLE) && TABLE[i].id != x->route->id)
		i++;
	BUG_ON(i == ARRAY_SIZE(TABLE)); /* a route of this kind in routes.def without a line above */
	if (TABLE[i].answer) {
		TABLE[i].answer(x);
		return;
	}
	TABLE[i].write(x->r, &o);
	api_send(x, 200, &o);
}

/* As the replaced service's framework did; a query goes along. */
bool api_redirect(struct exchange *x, const struct http_head *h)
{
	struct span path = h->path, tail;
	const struct route *route;
	char plain[256], extra[2048];
	struct http_out o = {.p = extra, .cap = sizeof(extra) - 1};
	char target[1024];
	int n;

	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	if (path.n == h->path.n || http_path_decode(path, plain, sizeof(plain)) < 0)
		return false;
	route = route_find(plain, &tail);
	if (!route || route->dialect != DIALECT_TSA)
		return false;
	n = snprintf(target, sizeof(target), "%.*s%s%.*s", SPAN_ARG(path), h->query.n ? "?" : "", SPAN_ARG(h->query));
	if (n < 0 || (size_t)n >= sizeof(target))
		return false;
	http_out_header(&o, "Location", span_of(target));
	if (o.overflow)
		return false;
	extra[o.len] = 0;
	answer_body(x, 307, NULL, extra, "", 0);
	return true;
}

bool api_refused(struct exchange *x, const char *path, unsigned method)
{
	static const char NO_METHOD[] = "{\"detail\":\"Method Not Allowed\"}", NOT_FOUND[] = "{\"detail\":\"Not Found\"}";
	char allow[64], extra[96];

	if (!x->route && route_dialect_of(path) == DIALECT_TSA) {
		answer_body(x, 404, "application/json", NULL, NOT_FOUND, sizeof(NOT_FOUND) - 1);
		return true;
	}
	if (!x->route || x->route->dialect != DIALECT_TSA || x->route->methods & (1U << method))
		return false;
	snprintf(extra, sizeof(extra), "Allow: %s\r\n", route_allow(x->route, allow, sizeof(allow)));
	answer_body(x, 405, "application/json", extra, NO_METHOD, sizeof(NO_METHOD) - 1);
	return true;
}

bool api_head(struct exchange *x, const struct http_head *h)
{
	if (!h->query.n)
		return true;
	x->query = strndup(h->query.p, h->query.n);
	if (!x->query)
		answer_error(x, 503, 1, NO_MEMORY);
	return x->query;
}

/* --- answers --------------------------------------------------------------------------------------------------------------------- */

void api_send(struct exchange *x, unsigned status, struct json_out *o)
{
	if (o->failed)
		answer_error(x, 503, 1, NO_MEMORY);
	else
		answer_body(x, status, "application/json", NULL, o->p, o->n);
	json_out_free(o);
}

void api_timestamp(struct json_out *o, const char *key, uint64_t wall_ns)
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	char text[32];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	json_out_format(o, key, "%s.%06u", text, (unsigned)(wall_ns % NS_PER_S / NS_PER_US));
}

/* --- requests -------------------------------------------------------------------------------------------------------------------- */

/* Says its type that the body is JSON?  What has none is taken for it. */
static bool is_json(const char *type)
{
	size_t n = strcspn(type, ";");
	const char *plus;

	while (n && (type[n - 1] == ' ' || type[n - 1] == '\t'))
		n--;
	if (n < 12 || strncasecmp(type, "application/", 12) != 0)
		return false;
	plus = memrchr(type, '+', n);
	return (n == 16 && strncasecmp(type + 12, "json", 4) == 0) ||
	       (plus && type + n - plus == 5 && strncasecmp(plus, "+json", 5) == 0);
}

static void errors_begin(struct json_out *errors)
{
	json_out_object(errors, NULL);
	json_out_array(errors, "detail");
}

/* What is wrong stands in `errors`, or `rc` says why nothing could be looked at. */
static void refuse(struct exchange *x, int rc, struct json_out *errors)
{
	if (rc == 0 || rc == -EINVAL) {
		json_out_end(errors);
		json_out_end(errors);
		api_send(x, 422, errors);
		return;
	}
	json_out_free(errors);
	if (rc == -EILSEQ)
		answer_error(x, 400, 0, "There was an error parsing the body");
	else
		answer_error(x, 503, 1, NO_MEMORY);
}

struct json_object *api_check(struct exchange *x, int rc, struct json_object *in, const struct field *table, unsigned n,
			      const char *where)
{
	struct json_out errors = {0};

	errors_begin(&errors);
	if (rc == 0 && fields_check(table, n, in, where, &errors)) {
		json_out_free(&errors);
		return in;
	}
	json_object_put(in);
	refuse(x, rc, &errors);
	return NULL;
}

struct json_object *api_body(struct exchange *x, const struct field *table, unsigned n)
{
	const char *body = x->body ? x->body + EX_HEADROOM : "";
	struct json_object *in = NULL;
	struct json_out errors = {0};
	int rc = -EINVAL;

	errors_begin(&errors);
	if (is_json(exchange_type(x)))
		rc = fields_parse(body, x->body_len, &in, &errors);
	else
		fields_no_object(body, x->body_len, &errors);
	if (rc < 0) {
		refuse(x, rc, &errors);
		return NULL;
	}
	json_out_free(&errors);
	return api_check(x, rc, in, table, n, "body");
}

struct json_object *api_query(struct exchange *x, const struct field *table, unsigned n)
{
	struct json_object *in = NULL;
	int rc = query_parse(span_of(x->query ? x->query : ""), &in);

	return api_check(x, rc, in, table, n, "query");
}
