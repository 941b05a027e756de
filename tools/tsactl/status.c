#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/tsactl/tsactl.h"

/* --- columns ---------------------------------------------------------------------------------------------------------------------- */

#define SLOT(v, row)   (&(v)->slots[row])
#define ROUTER(v, row) (&(v)->routers[row])

#define NUMBER_CELL(fn, value)                                                                                                     \
	static void fn(const struct view *v, unsigned row, char *buf)                                                              \
	{                                                                                                                          \
		snprintf(buf, CELL, "%llu", (unsigned long long)(value));                                                          \
	}
#define TEXT_CELL(fn, value)                                                                                                       \
	static void fn(const struct view *v, unsigned row, char *buf)                                                              \
	{                                                                                                                          \
		snprintf(buf, CELL, "%s", value);                                                                                  \
	}
/* 0: not known, left empty. */
#define SPAN_CELL(fn, ns)                                                                                                          \
	static void fn(const struct view *v, unsigned row, char *buf)                                                              \
	{                                                                                                                          \
		const uint64_t span_ns = ns;                                                                                       \
                                                                                                                                   \
		if (span_ns)                                                                                                       \
			text_span(span_ns, buf, CELL);                                                                             \
	}
#define PID_CELL(fn, pid)                                                                                                          \
	static void fn(const struct view *v, unsigned row, char *buf)                                                              \
	{                                                                                                                          \
		const uint64_t process = pid;                                                                                      \
                                                                                                                                   \
		if (process)                                                                                                       \
			snprintf(buf, CELL, "%llu", (unsigned long long)process);                                                  \
	}

TEXT_CELL(slot_name, SLOT(v, row)->owner.name)
TEXT_CELL(slot_url, SLOT(v, row)->owner.url)
TEXT_CELL(slot_tags, SLOT(v, row)->owner.tags)
TEXT_CELL(slot_wanted, view_wanted_word(SLOT(v, row)->owner.wanted))
TEXT_CELL(slot_breaker, view_breaker_word(SLOT(v, row)->breaker))
TEXT_CELL(slot_why, SLOT(v, row)->vital.why)
TEXT_CELL(slot_version, SLOT(v, row)->vital.version)
TEXT_CELL(slot_reason, view_reason_word(SLOT(v, row)->vital.reason))
NUMBER_CELL(slot_slots, SLOT(v, row)->owner.places)
NUMBER_CELL(slot_flight, SLOT(v, row)->in_flight)
NUMBER_CELL(slot_queued, SLOT(v, row)->queued)
NUMBER_CELL(slot_served, SLOT(v, row)->served)
NUMBER_CELL(slot_failed, SLOT(v, row)->failed)
NUMBER_CELL(slot_aborted, SLOT(v, row)->aborted)
NUMBER_CELL(slot_fds, SLOT(v, row)->vital.fds)
NUMBER_CELL(slot_restarts, SLOT(v, row)->owner.child_restarts)
PID_CELL(slot_worker, SLOT(v, row)->owner.child_pid)
PID_CELL(slot_ollama, SLOT(v, row)->vital.ollama_pid)
SPAN_CELL(slot_first, view_latency(v, SLOT(v, row), true, 0.95))
SPAN_CELL(slot_total, view_latency(v, SLOT(v, row), false, 0.95))
SPAN_CELL(slot_beat, SLOT(v, row)->age_ns)
SPAN_CELL(slot_age, SLOT(v, row)->vital.since_wall_ns && v->now_wall_ns > SLOT(v, row)->vital.since_wall_ns
			    ? v->now_wall_ns - SLOT(v, row)->vital.since_wall_ns
			    : 0)

static void slot_state(const struct view *v, unsigned row, char *buf)
{
	view_state_text(SLOT(v, row), buf, CELL);
}

static enum tone slot_tone(const struct view *v, unsigned row)
{
	return tone_of_state(SLOT(v, row));
}

/* Those in memory first: that is what decides how fast an answer comes. */
static void slot_models(const struct view *v, unsigned row, char *buf)
{
	const struct shm_models *m = &SLOT(v, row)->models;
	unsigned resident = 0, available = 0;
	const char *first = NULL;

	for (unsigned i = 0; i < m->n && i < SHM_MODELS; i++) {
		available += (m->at[i].flags & SHM_MODEL_AVAILABLE) != 0;
		if (!(m->at[i].flags & SHM_MODEL_RESIDENT))
			continue;
		resident++;
		if (!first || (m->at[i].flags & SHM_MODEL_PRIMARY))
			first = m->at[i].name;
	}
	if (resident > 1)
		snprintf(buf, CELL, "%.60s +%u (%u/%u)", first, resident - 1, resident, available);
	else if (m->n)
		snprintf(buf, CELL, "%.60s (%u/%u)", first ? first : "none", resident, available);
}

static void slot_rss(const struct view *v, unsigned row, char *buf)
{
	if (SLOT(v, row)->vital.rss_bytes)
		text_bytes(SLOT(v, row)->vital.rss_bytes, buf, CELL);
}

static const struct column SLOT_COLUMNS[] = {
	{"name", "INSTANCE", false, true, slot_name, NULL},
	{"state", "STATE", false, true, slot_state, slot_tone},
	{"age", "FOR", true, true, slot_age, NULL},
	{"slots", "SLOTS", true, true, slot_slots, NULL},
	{"in_flight", "BUSY", true, true, slot_flight, NULL},
	{"queued", "QUEUED", true, true, slot_queued, NULL},
	{"models", "MODEL IN MEMORY", false, true, slot_models, NULL},
	{"url", "URL", false, false, slot_url, NULL},
	{"wanted", "WANTED", false, false, slot_wanted, NULL},
	{"breaker", "BREAKER", false, false, slot_breaker, NULL},
	{"reason", "REASON", false, false, slot_reason, NULL},
	{"why", "WHY", false, false, slot_why, NULL},
	{"tags", "TAGS", false, false, slot_tags, NULL},
	{"served", "SERVED", true, false, slot_served, NULL},
	{"failed", "FAILED", true, false, slot_failed, NULL},
	{"aborted", "ABORTED", true, false, slot_aborted, NULL},
	{"first", "FIRST-P95", true, false, slot_first, NULL},
	{"total", "LAST-P95", true, false, slot_total, NULL},
	{"worker", "WORKER", true, false, slot_worker, NULL},
	{"ollama", "OLLAMA", true, false, slot_ollama, NULL},
	{"restarts", "RESTARTS", true, false, slot_restarts, NULL},
	{"rss", "MEMORY", true, false, slot_rss, NULL},
	{"fds", "FDS", true, false, slot_fds, NULL},
	{"beat", "HEARD", true, false, slot_beat, NULL},
	{"version", "VERSION", false, false, slot_version, NULL},
};

#define COUNTER(v, row, name) (ROUTER(v, row)->counters ? shm_get(&ROUTER(v, row)->counters->name) : 0)
NUMBER_CELL(router_index, ROUTER(v, row)->index)
NUMBER_CELL(router_conns, COUNTER(v, row, conns))
NUMBER_CELL(router_active, COUNTER(v, row, active))
NUMBER_CELL(router_waiting, COUNTER(v, row, waiting))
NUMBER_CELL(router_requests, COUNTER(v, row, requests))
NUMBER_CELL(router_answered, COUNTER(v, row, answered))
NUMBER_CELL(router_429, COUNTER(v, row, refused_429))
NUMBER_CELL(router_503, COUNTER(v, row, refused_503))
NUMBER_CELL(router_4xx, COUNTER(v, row, refused_4xx))
NUMBER_CELL(router_failed, COUNTER(v, row, failed))
NUMBER_CELL(router_aborted, COUNTER(v, row, aborted))
NUMBER_CELL(router_failovers, COUNTER(v, row, failovers))
NUMBER_CELL(router_parked, COUNTER(v, row, parked))
NUMBER_CELL(router_upstreams, COUNTER(v, row, upstreams))
NUMBER_CELL(router_restarts, ROUTER(v, row)->child.restarts)
PID_CELL(router_pid, ROUTER(v, row)->child.pid)
SPAN_CELL(router_lag, COUNTER(v, row, lag_ns))
SPAN_CELL(router_beat, ROUTER(v, row)->age_ns)
TEXT_CELL(router_why, ROUTER(v, row)->child.why)

static void router_state(const struct view *v, unsigned row, char *buf)
{
	char age[24];
	int n = snprintf(buf, CELL, "%s", shm_child_word(ROUTER(v, row)->child.state));

	if (ROUTER(v, row)->life == VIEW_STALE)
		snprintf(buf + n, CELL - (size_t)n, ", stale %s", text_span(ROUTER(v, row)->age_ns, age, sizeof(age)));
}

static enum tone router_tone(const struct view *v, unsigned row)
{
	return ROUTER(v, row)->life == VIEW_FRESH && ROUTER(v, row)->child.state == SHM_CHILD_RUNNING ? TONE_GOOD : TONE_BAD;
}

static const struct column ROUTER_COLUMNS[] = {
	{"router", "ROUTER", true, true, router_index, NULL},
	{"pid", "PID", true, true, router_pid, NULL},
	{"state", "STATE", false, true, router_state, router_tone},
	{"connections", "CONNS", true, true, router_conns, NULL},
	{"active", "BUSY", true, true, router_active, NULL},
	{"waiting", "WAITING", true, true, router_waiting, NULL},
	{"answered", "ANSWERED", true, true, router_answered, NULL},
	{"429", "429", true, true, router_429, NULL},
	{"503", "503", true, true, router_503, NULL},
	{"failed", "FAILED", true, true, router_failed, NULL},
	{"requests", "REQUESTS", true, false, router_requests, NULL},
	{"4xx", "4XX", true, false, router_4xx, NULL},
	{"aborted", "ABORTED", true, false, router_aborted, NULL},
	{"failovers", "FAILOVERS", true, false, router_failovers, NULL},
	{"parked", "PARKED", true, false, router_parked, NULL},
	{"upstreams", "UPSTREAMS", true, false, router_upstreams, NULL},
	{"restarts", "RESTARTS", true, false, router_restarts, NULL},
	{"lag", "LAG", true, false, router_lag, NULL},
	{"beat", "HEARD", true, false, router_beat, NULL},
	{"why", "WHY", false, false, router_why, NULL},
};

/* --- status ----------------------------------------------------------------------------------------------------------------------- */

static void trouble_print(const char *who, const char *text)
{
	printf("%s! %s: %s%s\n", tone_begin(TONE_BAD), who, text, tone_end());
}

static void supervisor_print(const struct view *v)
{
	const struct shm_header *h = &v->header;
	uint64_t up = v->now_wall_ns > h->sup_since_wall_ns ? v->now_wall_ns - h->sup_since_wall_ns : 0;
	char span[24], text[SHM_TEXT];

	printf("%stsa %s%s  supervisor %llu up %s  listening on %s%s\n", tone_begin(TONE_HEAD),
	       text_clean(h->version, text, sizeof(text)), tone_end(), (unsigned long long)h->sup_pid,
	       text_span(up, span, sizeof(span)), *h->listen ? h->listen : "nothing", h->stopping ? "  stopping" : "");
}

static void host_print(const struct view *v)
{
	const struct shm_host *h = &v->host;
	char available[24], total[24];

	if (v->host_life != VIEW_FRESH || !h->mem_total_bytes)
		return;
	printf("host  %llu processors, load %.1f  memory %s of %s available", (unsigned long long)h->cpus_online,
	       (double)h->load1_permille / 1000, text_bytes(h->mem_available_bytes, available, sizeof(available)),
	       text_bytes(h->mem_total_bytes, total, sizeof(total)));
	if (h->psi_known)
		printf(", stalled %.1f%%", (double)h->mem_some_avg10_permyriad / 100);
	printf("\n");
}

/* One that stops does so because somebody asked for it. */
static bool router_missing(const struct view *v, const struct view_router *r)
{
	bool asked = r->child.state == SHM_CHILD_STOPPING || (r->child.state == SHM_CHILD_STOPPED && v->header.stopping);

	return !asked && (r->life != VIEW_FRESH || r->child.state != SHM_CHILD_RUNNING);
}

static void troubles_print(const struct view *v)
{
	const struct shm_header *h = &v->header;
	char text[400], span[24], clean[400];

	if (!v->header_ok)
		trouble_print("supervisor", "its line of the board cannot be read: did it end in the middle of a word? try again");
	else if (v->stale) {
		snprintf(text, sizeof(text), "not heard of for %s, though its socket answers; see journalctl -u tsa",
			 text_span(v->age_ns, span, sizeof(span)));
		trouble_print("supervisor", text);
	}
	if (*h->reload_text) {
		snprintf(text, sizeof(text), "the last reload was refused and changed nothing: %s",
			 text_clean(h->reload_text, clean, sizeof(clean)));
		trouble_print("configuration", text);
	}
	for (unsigned i = 0; i < v->n_routers; i++)
		if (router_missing(v, &v->routers[i])) {
			char who[32];

			snprintf(who, sizeof(who), "router %u", v->routers[i].index);
			snprintf(text, sizeof(text), "%s, heartbeat %s%s%s; the supervisor starts it again by itself",
				 shm_child_word(v->routers[i].child.state), view_life_word(v->routers[i].life),
				 *v->routers[i].child.why ? ": " : "", text_clean(v->routers[i].child.why, clean, sizeof(clean)));
			trouble_print(who, text);
		}
	for (unsigned i = 0; i < v->n_slots; i++)
		if (view_slot_trouble(v, &v->slots[i], text, sizeof(text)))
			trouble_print(v->slots[i].owner.name, text_clean(text, clean, sizeof(clean)));
}

/* -o names columns of instances here: it is the table people want. */
static int status_print(const struct options *o, const struct view *v)
{
	struct options usual = *o;
	int code;

	usual.columns = NULL;
	supervisor_print(v);
	host_print(v);
	if (v->n_routers) {
		printf("\n");
		code = table_print(&usual, v, ROUTER_COLUMNS, ARRAY_SIZE(ROUTER_COLUMNS), v->n_routers);
		if (code)
			return code;
	}
	printf("\n");
	code = table_print(o, v, SLOT_COLUMNS, ARRAY_SIZE(SLOT_COLUMNS), v->n_slots);
	if (code == EXIT_DONE && !v->n_slots)
		printf("there is no instance; write one into tsa.conf, then `tsactl reload`\n");
	if (code == EXIT_DONE)
		troubles_print(v);
	return code;
}

static int instances_print(const struct options *o, const struct view *v)
{
	return table_print(o, v, SLOT_COLUMNS, ARRAY_SIZE(SLOT_COLUMNS), v->n_slots);
}

static int routers_print(const struct options *o, const struct view *v)
{
	return table_print(o, v, ROUTER_COLUMNS, ARRAY_SIZE(ROUTER_COLUMNS), v->n_routers);
}

static struct json_object *instances_json(const struct view *v)
{
	return json_instances(v, false);
}

/* What the board says now, for a program or for people. */
static int show(const struct options *o, struct json_object *(*json)(const struct view *),
		int (*print)(const struct options *, const struct view *))
{
	struct shm_reader *reader = NULL;
	struct view *v = NULL;
	struct why why = {""};
	int code = EXIT_DONE, rc = view_open(o->state, &reader, &v, &why);

	if (rc < 0)
		return complain(o, link_exit(rc), "%s", why.text);
	if (o->json)
		json_print(json(v));
	else
		code = print(o, v);
	view_close(&reader, &v);
	return code;
}

int run_status(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	(void)c, (void)words, (void)n;
	return show(o, json_status, status_print);
}

int run_instances(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	(void)c, (void)words, (void)n;
	return show(o, instances_json, instances_print);
}

int run_routers(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	(void)c, (void)words, (void)n;
	return show(o, json_routers, routers_print);
}
