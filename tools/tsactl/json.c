#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/tsactl/tsactl.h"

/* --- small words ----------------------------------------------------------------------------------------------------------------- */

static void put(struct json_object *o, const char *key, struct json_object *value)
{
	json_object_object_add(o, key, value);
}

static void put_number(struct json_object *o, const char *key, uint64_t v)
{
	put(o, key, json_object_new_uint64(v));
}

static void put_bool(struct json_object *o, const char *key, bool v)
{
	put(o, key, json_object_new_boolean(v));
}

/* Empty text is null; bytes that are not text have become '?'. */
static void put_text(struct json_object *o, const char *key, const char *text)
{
	char clean[512];

	put(o, key, *text ? json_object_new_string(text_clean(text, clean, sizeof(clean))) : NULL);
}

/* A time that has not come is null. */
static void put_when(struct json_object *o, const char *key, uint64_t wall_ns)
{
	char text[40];

	put(o, key, wall_ns && wall_ns != UINT64_MAX ? json_object_new_string(text_iso(wall_ns, text, sizeof(text))) : NULL);
}

/* Whole microseconds, so that the text is short. */
static void put_ms(struct json_object *o, const char *key, uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", (double)ns / 1e6);
	put(o, key, ns ? json_object_new_double_s((double)ns / 1e6, text) : NULL);
}

static void put_seconds(struct json_object *o, const char *key, uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", (double)ns / 1e9);
	put(o, key, json_object_new_double_s((double)ns / 1e9, text));
}

static void put_pid(struct json_object *o, const char *key, uint64_t pid)
{
	put(o, key, pid ? json_object_new_uint64(pid) : NULL);
}

/* --- models ------------------------------------------------------------------------------------------------------------------------ */

static const struct {
	uint64_t flag;
	const char *key;
} FLAGS[] = {
	{SHM_MODEL_RESIDENT, "resident"}, {SHM_MODEL_LOADING, "loading"},       {SHM_MODEL_AVAILABLE, "available"},
	{SHM_MODEL_PRIMARY, "primary"},   {SHM_MODEL_CONFIGURED, "configured"}, {SHM_MODEL_FAILED, "failed"},
	{SHM_MODEL_EMBED, "embed"},       {SHM_MODEL_TOOLS, "tools"},           {SHM_MODEL_VISION, "vision"},
	{SHM_MODEL_THINKING, "thinking"},
};

static struct json_object *json_model(const struct shm_model *m, bool full)
{
	struct json_object *o = json_object_new_object();
	char digest[80];

	put_text(o, "name", m->name);
	for (size_t i = 0; i < ARRAY_SIZE(FLAGS); i++)
		put_bool(o, FLAGS[i].key, (m->flags & FLAGS[i].flag) != 0);
	put_number(o, "size_bytes", m->size_bytes);
	put_number(o, "resident_bytes", m->resident_bytes);
	put_number(o, "vram_bytes", m->vram_bytes);
	put_number(o, "context", m->context);
	put_when(o, "expires", m->expires_wall_ns);
	put_ms(o, "load_ms", m->load_ns);
	put_when(o, "used", m->used_wall_ns);
	if (full) {
		for (unsigned i = 0; i < 4; i++)
			snprintf(digest + 16 * i, sizeof(digest) - 16 * i, "%016llx", (unsigned long long)m->digest[i]);
		put_text(o, "digest", digest);
	}
	return o;
}

/* --- an instance ---------------------------------------------------------------------------------------------------------------------- */

static struct json_object *json_latency(const struct view *v, const struct view_slot *s, bool first_byte)
{
	struct json_object *o = json_object_new_object();

	put_ms(o, "p50_ms", view_latency(v, s, first_byte, 0.50));
	put_ms(o, "p95_ms", view_latency(v, s, first_byte, 0.95));
	put_ms(o, "p99_ms", view_latency(v, s, first_byte, 0.99));
	return o;
}

static struct json_object *json_worker(const struct view *v, const struct view_slot *s)
{
	struct json_object *o = json_object_new_object();

	put_pid(o, "pid", s->owner.child_pid);
	put_number(o, "generation", s->owner.gen);
	put_text(o, "state", shm_child_word(s->owner.child_state));
	put_number(o, "restarts", s->owner.child_restarts);
	put_when(o, "since", s->owner.child_since_wall_ns);
	put_seconds(o, "next_start_s", s->owner.child_next_ns > v->now_ns ? s->owner.child_next_ns - v->now_ns : 0);
	put_text(o, "why", s->owner.why);
	put_text(o, "heartbeat", view_life_word(s->life));
	put_ms(o, "heartbeat_age_ms", s->age_ns);
	return o;
}

static void put_probes(struct json_object *o, const struct view *v, const struct shm_vital *vital)
{
	struct json_object *p = json_object_new_object();

	put_ms(p, "version_ms", vital->up_ns);
	put_ms(p, "tags_ms", vital->tags_ns);
	put_ms(p, "ps_ms", vital->ps_ns);
	put_ms(p, "able_ms", vital->able_ns);
	put(p, "able_age_s",
	    vital->able_at_ns && vital->able_at_ns <= v->now_ns ? json_object_new_uint64((v->now_ns - vital->able_at_ns) / NS_PER_S)
								: NULL);
	put(o, "probes", p);
}

static void put_process(struct json_object *o, const struct view *v, const struct shm_vital *vital)
{
	struct json_object *p = json_object_new_object(), *runners = json_object_new_array();
	char death[128];

	put_text(p, "version", vital->version);
	for (unsigned i = 0; i < ARRAY_SIZE(vital->runner_pids); i++)
		if (vital->runner_pids[i])
			json_object_array_add(runners, json_object_new_uint64(vital->runner_pids[i]));
	put(p, "runner_pids", runners);
	put_number(p, "fds", vital->fds);
	put_number(p, "fds_limit", vital->fds_limit);
	put_number(p, "rss_bytes", vital->rss_bytes);
	put_seconds(p, "cpu_s", vital->cpu_ns);
	put_number(p, "starts", vital->starts);
	put_number(p, "recycles", vital->recycles);
	put_number(p, "orphans", vital->orphans);
	put_seconds(p, "next_start_s", vital->next_ns > v->now_ns ? vital->next_ns - v->now_ns : 0);
	put_text(p, "last_death", vital->death_kind ? view_death_text(vital, death, sizeof(death)) : "");
	put(o, "ollama", p);
}

static const char *const WISHES[] = {"none", "warm", "keep", "unload"};

static struct json_object *json_wishes(const struct view *v, const struct view_router *r, const struct view_slot *s)
{
	struct json_object *list = json_object_new_array();
	struct shm_wish wish;

	for (unsigned n = 0; n < SHM_WISHES; n++) {
		struct json_object *o;

		if (shm_read_wish(v->reader, r->index, s->index, n, &wish) < 0 || wish.gen != r->child.gen || !wish.kind ||
		    wish.kind >= ARRAY_SIZE(WISHES))
			continue;
		o = json_object_new_object();
		put_text(o, "kind", WISHES[wish.kind]);
		put_text(o, "model", wish.model);
		put_seconds(o, "age_s", v->now_ns > wish.since_ns ? v->now_ns - wish.since_ns : 0);
		json_object_array_add(list, o);
	}
	return list;
}

/* What each router knows of the instance. */
static struct json_object *json_slot_routers(const struct view *v, const struct view_slot *s)
{
	struct json_object *list = json_object_new_array();

	for (unsigned r = 0; r < v->n_routers; r++) {
		const struct shm_rslot *at =
			v->routers[r].counters ? shm_router_slot(v->reader, v->routers[r].index, s->index) : NULL;
		struct json_object *o;

		if (!at)
			continue;
		o = json_object_new_object();
		put_number(o, "router", v->routers[r].index);
#define X(name, meaning)                                                                                                           \
	if (strcmp(#name, "breaker") != 0)                                                                                         \
		put_number(o, #name, shm_get(&at->name));
		SHM_RSLOT_COUNTERS(X)
#undef X
		put_text(o, "breaker", view_breaker_word(shm_get(&at->breaker)));
		put(o, "wishes", json_wishes(v, &v->routers[r], s));
		json_object_array_add(list, o);
	}
	return list;
}

struct json_object *json_instance(const struct view *v, const struct view_slot *s, bool full)
{
	struct json_object *o = json_object_new_object(), *models = json_object_new_array();
	char text[400];

	put_text(o, "name", s->owner.name);
	put_text(o, "url", s->owner.url);
	put_text(o, "state", view_state_word(s));
	put_text(o, "wanted", view_wanted_word(s->owner.wanted));
	put_text(o, "text", view_state_text(s, text, sizeof(text)));
	put_text(o, "trouble", view_slot_trouble(v, s, text, sizeof(text)) ? text : "");
	put_number(o, "slots", s->owner.places);
	put_number(o, "in_flight", s->in_flight);
	put_number(o, "queued", s->queued);
	put_pid(o, "worker_pid", s->owner.child_pid);
	put_pid(o, "ollama_pid", s->vital.ollama_pid);
	put_bool(o, "adopted", s->owner.adopted);
	put_bool(o, "pinned", s->owner.pinned);
	put_text(o, "tags", s->owner.tags);
	put_text(o, "breaker", view_breaker_word(s->breaker));
	put_when(o, "since", s->vital.since_wall_ns);
	put_text(o, "reason", view_reason_word(s->vital.reason));
	put_text(o, "why", s->vital.why);
	put_number(o, "fail_streak", s->vital.fail_streak);
	put_number(o, "fails", s->vital.fails);
	put_number(o, "served", s->served);
	put_number(o, "failed", s->failed);
	put_number(o, "aborted", s->aborted);
	put_number(o, "loads", s->vital.loads);
	put_number(o, "load_failures", s->vital.load_failures);
	put(o, "first_byte", json_latency(v, s, true));
	put(o, "last_byte", json_latency(v, s, false));
	put(o, "worker", json_worker(v, s));
	put_process(o, v, &s->vital);
	put_probes(o, v, &s->vital);
	for (unsigned i = 0; i < s->models.n && i < SHM_MODELS; i++)
		json_object_array_add(models, json_model(&s->models.at[i], full));
	put(o, "models", models);
	if (full)
		put(o, "routers", json_slot_routers(v, s));
	return o;
}

struct json_object *json_instances(const struct view *v, bool full)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < v->n_slots; i++)
		json_object_array_add(list, json_instance(v, &v->slots[i], full));
	return list;
}

/* --- routers, host, all ------------------------------------------------------------------------------------------------------------- */

static struct json_object *json_router(const struct view *v, const struct view_router *r)
{
	struct json_object *o = json_object_new_object(), *counters = json_object_new_object();

	put_number(o, "index", r->index);
	put_pid(o, "pid", r->child.pid);
	put_text(o, "state", shm_child_word(r->child.state));
	put_number(o, "generation", r->child.gen);
	put_number(o, "restarts", r->child.restarts);
	put_when(o, "since", r->child.since_wall_ns);
	put_seconds(o, "next_start_s", r->child.next_ns > v->now_ns ? r->child.next_ns - v->now_ns : 0);
	put_text(o, "why", r->child.why);
	put_text(o, "heartbeat", view_life_word(r->life));
	put_ms(o, "heartbeat_age_ms", r->age_ns);
	if (r->counters) {
#define X(name, meaning)                                                                                                           \
	if (strcmp(#name, "beat_ns") != 0)                                                                                         \
		put_number(counters, #name, shm_get(&r->counters->name));
		SHM_ROUTER_COUNTERS(X)
#undef X
	}
	put(o, "counters", counters);
	return o;
}

struct json_object *json_routers(const struct view *v)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < v->n_routers; i++)
		json_object_array_add(list, json_router(v, &v->routers[i]));
	return list;
}

static struct json_object *json_gpu(const struct shm_gpu *g)
{
	struct json_object *o = json_object_new_object();

	put_text(o, "name", g->name);
	put_bool(o, "healthy", g->healthy);
	put_number(o, "memory_total_bytes", g->mem_total_bytes);
	put_number(o, "memory_used_bytes", g->mem_used_bytes);
	put_number(o, "busy_permille", g->util_permille);
	put_number(o, "temperature_mc", g->temp_mc);
	return o;
}

static struct json_object *json_host(const struct view *v)
{
	struct json_object *o = json_object_new_object(), *gpus = json_object_new_array();
	const struct shm_host *h = &v->host;

	put_pid(o, "worker_pid", v->host_child.pid);
	put_text(o, "worker_state", shm_child_word(v->host_child.state));
	put_text(o, "heartbeat", view_life_word(v->host_life));
	put_number(o, "cpus", h->cpus_online);
	put_number(o, "load1_permille", h->load1_permille);
	put_number(o, "memory_total_bytes", h->mem_total_bytes);
	put_number(o, "memory_available_bytes", h->mem_available_bytes);
	put_number(o, "swap_total_bytes", h->swap_total_bytes);
	put_number(o, "swap_free_bytes", h->swap_free_bytes);
	put_bool(o, "pressure_known", h->psi_known);
	put_number(o, "memory_some_avg10_permyriad", h->mem_some_avg10_permyriad);
	put_number(o, "memory_full_avg10_permyriad", h->mem_full_avg10_permyriad);
	put_number(o, "memory_some_avg60_permyriad", h->mem_some_avg60_permyriad);
	put_number(o, "memory_full_avg60_permyriad", h->mem_full_avg60_permyriad);
	for (unsigned i = 0; i < h->gpus && i < SHM_GPUS; i++)
		json_object_array_add(gpus, json_gpu(&h->gpu[i]));
	put(o, "gpus", gpus);
	return o;
}

static struct json_object *json_listen(const char *listen)
{
	struct json_object *list = json_object_new_array();

	while (*(listen += strspn(listen, " "))) {
		size_t n = strcspn(listen, " ");

		json_object_array_add(list, json_object_new_string_len(listen, (int)n));
		listen += n;
	}
	return list;
}

static struct json_object *json_supervisor(const struct view *v)
{
	struct json_object *o = json_object_new_object();
	const struct shm_header *h = &v->header;

	put_pid(o, "pid", h->sup_pid);
	put_text(o, "version", h->version);
	put_number(o, "generation", h->sup_gen);
	put_when(o, "since", h->sup_since_wall_ns);
	put_seconds(o, "uptime_s",
		    h->sup_since_wall_ns && v->now_wall_ns > h->sup_since_wall_ns ? v->now_wall_ns - h->sup_since_wall_ns : 0);
	put_text(o, "heartbeat", view_life_word(!v->header_ok ? VIEW_UNSETTLED : v->stale ? VIEW_STALE : VIEW_FRESH));
	put_ms(o, "heartbeat_age_ms", v->age_ns);
	put_bool(o, "stopping", h->stopping);
	put(o, "listen", json_listen(h->listen));
	put_number(o, "reloads_ok", h->reloads_ok);
	put_number(o, "reloads_bad", h->reloads_bad);
	put_when(o, "reloaded", h->reload_wall_ns);
	put_text(o, "reload_error", h->reload_text);
	return o;
}

struct json_object *json_status(const struct view *v)
{
	struct json_object *o = json_object_new_object(), *board = json_object_new_object();

	put_text(o, "version", TSA_VERSION);
	put(o, "supervisor", json_supervisor(v));
	put(o, "routers", json_routers(v));
	put(o, "instances", json_instances(v, false));
	put(o, "host", json_host(v));
	put_number(board, "torn", shm_reader_torn(v->reader));
	put_number(board, "bad", shm_reader_bad(v->reader));
	put(o, "board", board);
	return o;
}

void json_print(struct json_object *o)
{
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
