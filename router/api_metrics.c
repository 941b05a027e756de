/* GET /metrics: the board's counters in the text format of Prometheus, of all living routers, and what dashboards ask of instances. */
#include "router/api.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

struct text {
	char *p;
	size_t n;
	size_t cap;
	bool failed;
};

static void add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *t, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line) || t->failed)
		return;
	if (!t->p || t->cap - t->n < (size_t)n) {
		size_t cap = t->cap ? 2 * t->cap : 16384;
		char *p = realloc(t->p, cap);

		t->failed = !p;
		if (!p)
			return;
		t->p = p;
		t->cap = cap;
	}
	memcpy(t->p + t->n, line, (size_t)n);
	t->n += (size_t)n;
}

/* A word of the board. */
struct series {
	const char *name; /* its member's */
	const char *help;
	size_t offset;
};

/* Totals are those that say so here; the rest of the board's words are gauges. */
static bool is_total(const char *name)
{
	static const char *const TOTALS[] = {"conns_total", "requests", "answered",  "refused_429", "refused_503", "refused_4xx",
					     "failed",      "aborted",  "failovers", "bytes_in",    "bytes_out",   "served"};

	for (unsigned i = 0; i < ARRAY_SIZE(TOTALS); i++)
		if (strcmp(name, TOTALS[i]) == 0)
			return true;
	return false;
}

/* "requests" -> "tsa_router_requests_total", "lag_ns" -> "tsa_router_lag_seconds" */
static bool head(struct text *t, const char *prefix, const char *member, const char *help, char name[96])
{
	size_t n = strlen(member);
	bool ns = n > 3 && strcmp(member + n - 3, "_ns") == 0, total = is_total(member);
	const char *end = ns ? "_seconds" : total && (n < 6 || strcmp(member + n - 6, "_total") != 0) ? "_total" : "";

	snprintf(name, 96, "%s_%.*s%s", prefix, (int)(ns ? n - 3 : n), member, end);
	add(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, total ? "counter" : "gauge");
	return ns;
}

static void value(struct text *t, bool ns, uint64_t v)
{
	if (ns)
		add(t, " %.9f\n", (double)v / 1e9);
	else
		add(t, " %" PRIu64 "\n", v);
}

static void router_words(struct router *r, struct text *t)
{
	static const struct series WORDS[] = {
#define X(member, meaning) {#member, meaning, offsetof(struct shm_router_counters, member)},
		SHM_ROUTER_COUNTERS(X)
#undef X
	};
	char name[96];

	for (unsigned k = 0; k < ARRAY_SIZE(WORDS); k++) {
		bool ns = head(t, "tsa_router", WORDS[k].name, WORDS[k].help, name);

		for (unsigned i = 0; i < r->conf.routers && i < SHM_ROUTERS; i++) {
			const char *page = api_counts(r, i) ? (const char *)shm_router_counters(r->board, i) : NULL;

			if (!page)
				continue;
			add(t, "%s{router=\"%u\"}", name, i);
			value(t, ns, shm_get((const _Atomic uint64_t *)(const void *)(page + WORDS[k].offset)));
		}
	}
}

static void slot_words(struct router *r, struct text *t)
{
	static const struct series WORDS[] = {
#define X(member, meaning) {#member, meaning, offsetof(struct shm_rslot, member)},
		SHM_RSLOT_COUNTERS(X)
#undef X
	};
	char name[96];

	for (unsigned k = 0; k < ARRAY_SIZE(WORDS); k++) {
		bool ns = head(t, "tsa_instance", WORDS[k].name, WORDS[k].help, name);

		for (unsigned n = 0; n < PROC_SLOTS * SHM_ROUTERS; n++) {
			unsigned slot = n / SHM_ROUTERS, i = n % SHM_ROUTERS;
			const char *page;

			if (!r->conf.slots[slot].used || i >= r->conf.routers || !api_counts(r, i))
				continue;
			page = (const char *)shm_router_slot(r->board, i, slot);
			add(t, "%s{instance=\"%s\",router=\"%u\"}", name, r->conf.slots[slot].name, i);
			value(t, ns, shm_get((const _Atomic uint64_t *)(const void *)(page + WORDS[k].offset)));
		}
	}
}

/* Series that exporters and helpers of the replaced service had, under their names. */
static void fleet_words(struct router *r, struct text *t)
{
	struct api_figures f;
	unsigned all, n = api_usable_count(r, &all);
	char url[96];

	add(t,
	    "# HELP ollama_instances_online instances that take requests\n# TYPE ollama_instances_online "
	    "gauge\nollama_instances_online %u\n",
	    n);
	add(t, "# HELP ollama_instance_up 1: the instance takes requests\n# TYPE ollama_instance_up gauge\n");
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (r->conf.slots[i].used)
			add(t, "ollama_instance_up{instance=\"%s\"} %d\n", r->conf.slots[i].name, api_usable(r, i));
	add(t, "# HELP ollama_instance_health_status 1: the instance takes requests\n# TYPE ollama_instance_health_status gauge\n");
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (r->conf.slots[i].used)
			add(t, "ollama_instance_health_status{instance_name=\"%s\",instance_url=\"%s\"} %d\n",
			    r->conf.slots[i].name, api_url(r, i, url), api_usable(r, i));
	add(t,
	    "# HELP tsa_instance_queue_depth waiting requests that would go there first\n# TYPE tsa_instance_queue_depth gauge\n");
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (r->conf.slots[i].used) {
			api_figures_take(r, i, &f);
			add(t, "tsa_instance_queue_depth{instance=\"%s\"} %" PRIu64 "\n", r->conf.slots[i].name, f.queued);
		}
}

void api_metrics(struct exchange *x)
{
	struct text t = {0};

	fleet_words(x->r, &t);
	if (x->r->board) {
		router_words(x->r, &t);
		slot_words(x->r, &t);
	}
	if (t.failed)
		answer_error(x, 503, 1, "the service is short of memory; try again in a second");
	else
		answer_body(x, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, t.p, t.n);
	free(t.p);
}
