/* What reached the simulator, and its control routes. */
#include "tools/sim/sim.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#define JSON_TYPE  "application/json; charset=utf-8"
#define LAST_BYTES 65536U /* remembered of a request head, and of its body */

static struct sim_route_stats *stats_of(const struct sim_ex *ex)
{
	return &ex->in->routes[ex->route ? (size_t)(ex->route - sim_routes) : sim_routes_n];
}

static bool own_route(const struct sim_ex *ex)
{
	return ex->route && !strncmp(ex->route->path, "/sim", 4);
}

void sim_stats_request(struct sim_ex *ex)
{
	struct sim_route_stats *s = stats_of(ex);
	const struct buf *head = &ex->conn->head_buf;
	size_t n = ex->conn->head_n;

	s->requests++;
	if (own_route(ex))
		return;
	s->last_head.n = 0;
	s->last_body.n = 0;
	buf_put(&s->last_head, head->p, n < LAST_BYTES ? n : LAST_BYTES);
}

void sim_stats_body(struct sim_ex *ex)
{
	struct sim_route_stats *s = stats_of(ex);

	if (own_route(ex))
		return;
	s->last_body.n = 0;
	buf_put(&s->last_body, ex->body.p, ex->body.n < LAST_BYTES ? ex->body.n : LAST_BYTES);
}

/* --- control routes --------------------------------------------------------------------------------------------------- */

void handle_sim(struct sim_ex *ex)
{
	struct buf *b = &ex->scratch;

	b->n = 0;
	buf_lit(b,
		"{\"simulator\":\"ollama-sim\",\"version\":\"" TSA_VERSION "\",\"note\":\"This is a simulator of an Ollama server. "
		"It has no model; its answers are made up.\",\"plays\":");
	buf_json_text(b, sim_conf.version);
	buf_printf(b, ",\"generation\":\"%s\",\"port\":%u,\"pid\":%d}\n", sim_conf.new_generation ? "new" : "old", ex->in->port,
		   getpid());
	resp_full(ex, 200, JSON_TYPE, buf_view(b));
}

static unsigned fds_count(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n - 3; /* ".", ".." and the directory itself */
}

static void last_head_write(struct buf *b, struct span head)
{
	const char *comma = "";
	bool first = true;

	buf_lit(b, ",\"headers\":[");
	while (head.n) {
		const char *nl = memchr(head.p, '\n', head.n);
		size_t n = nl ? (size_t)(nl - head.p) : head.n;
		size_t text = n && head.p[n - 1] == '\r' ? n - 1 : n;

		if (!text)
			break;
		if (!first) {
			buf_text(b, comma);
			buf_json(b, (struct span){head.p, text});
			comma = ",";
		}
		first = false;
		n += nl != NULL;
		head.p += n;
		head.n -= n;
	}
	buf_lit(b, "]");
}

static void route_write(struct buf *b, const struct sim_route_stats *s, const char *method, const char *path)
{
	buf_printf(b, "\"%s%s%s\":{\"requests\":%llu", method, *method ? " " : "", path, (unsigned long long)s->requests);
	if (s->last_head.n) {
		const char *end = memchr(s->last_head.p, '\n', s->last_head.n);

		buf_lit(b, ",\"line\":");
		buf_json(b,
			 (struct span){s->last_head.p, end ? (size_t)(end - s->last_head.p) - (end[-1] == '\r') : s->last_head.n});
		last_head_write(b, buf_view(&s->last_head));
		buf_lit(b, ",\"body\":");
		buf_json(b, buf_view(&s->last_body));
	}
	buf_lit(b, "}");
}

static void runners_write(struct buf *b, struct sim_inst *in)
{
	struct sim_runner *r;
	const char *comma = "";
	char name[SIM_NAME_BYTES];
	unsigned waiting;
	struct sim_ex *ex;

	buf_lit(b, ",\"runners\":[");
	TAILQ_FOREACH(r, &in->runners, link)
	{
		waiting = 0;
		TAILQ_FOREACH(ex, &r->waiting, link)
		waiting++;
		sim_name_display(&r->name, name, sizeof(name));
		buf_printf(
			b,
			"%s{\"name\":\"%s\",\"state\":\"%s\",\"dead\":%s,\"wedged\":%s,\"refs\":%u,\"slots\":%u,\"slots_used\":%u,\"slots_lost\":%u,"
			"\"waiting\":%u,\"context_length\":%u,\"pid\":%d,\"port\":%u}",
			comma, name, r->state == RUNNER_READY ? "ready" : "loading", r->dead ? "true" : "false",
			r->wedged ? "true" : "false", r->refs, r->slots, r->slots_used, r->slots_lost, waiting, r->ctx, (int)r->pid, r->port);
		comma = ",";
	}
	buf_lit(b, "]");
}

/* Answers that a fault silenced in their middle. */
static unsigned held_count(const struct sim_inst *in)
{
	const struct sim_runner *r;
	const struct sim_ex *ex;
	unsigned n = 0;

	TAILQ_FOREACH(r, &in->runners, link)
	TAILQ_FOREACH(ex, &r->admitted, rlink)
	n += ex->fault_stuck;
	return n;
}

void handle_sim_stats(struct sim_ex *ex)
{
	struct sim_inst *in = ex->in;
	const struct sim_stats *s = &in->stats;
	struct buf *b = &ex->scratch;
	const char *comma = "";

	b->n = 0;
	buf_printf(b,
		   "{\"requests\":%llu,\"connections\":%llu,\"open_connections\":%llu,\"active\":%llu,\"open_fds\":%u,\"leaked_"
		   "fds\":%llu",
		   (unsigned long long)s->requests, (unsigned long long)s->connections, (unsigned long long)s->open_connections,
		   (unsigned long long)s->active, fds_count(), (unsigned long long)s->leaked);
	buf_printf(b,
		   ",\"generations\":{\"started\":%llu,\"finished\":%llu,\"cancelled\":%llu,\"broken\":%llu,\"tokens\":%llu}"
		   ",\"loads\":{\"started\":%llu,\"finished\":%llu,\"unloads\":%llu},\"queued\":%u,\"held\":%u,\"refused_busy\":%llu",
		   (unsigned long long)s->gens_started, (unsigned long long)s->gens_finished, (unsigned long long)s->gens_cancelled,
		   (unsigned long long)s->gens_broken, (unsigned long long)s->tokens, (unsigned long long)s->loads_started,
		   (unsigned long long)s->loads_finished, (unsigned long long)s->unloads, sim_sched_queued(in), held_count(in),
		   (unsigned long long)s->refused_busy);
	runners_write(b, in);
	buf_lit(b, ",\"routes\":{");
	for (size_t i = 0; i <= sim_routes_n; i++) {
		if (!in->routes[i].requests)
			continue;
		buf_text(b, comma);
		route_write(b, &in->routes[i], i < sim_routes_n ? sim_routes[i].method : "",
			    i < sim_routes_n ? sim_routes[i].path : "other");
		comma = ",";
	}
	buf_lit(b, "}}\n");
	resp_full(ex, 200, JSON_TYPE, buf_view(b));
}

void handle_sim_fault(struct sim_ex *ex)
{
	struct why why;

	if (!sim_request_read(ex, NULL))
		return;
	if (sim_fault_add(ex->in, ex->json, &why))
		sim_ex_fail(ex, 400, why.text);
	else
		resp_full(ex, 200, JSON_TYPE, SPAN_LIT("{\"ok\":true}\n"));
}

void handle_sim_release(struct sim_ex *ex)
{
	sim_fault_release(ex->in);
	resp_full(ex, 200, JSON_TYPE, SPAN_LIT("{\"ok\":true}\n"));
}

/* Faults and counters go; with ?runners every idle runner goes too. */
void handle_sim_reset(struct sim_ex *ex)
{
	struct sim_inst *in = ex->in;
	struct sim_stats s = {
		.open_connections = in->stats.open_connections, .leaked = in->stats.leaked, .active = in->stats.active};

	sim_fault_clear(in);
	in->stats = s;
	for (size_t i = 0; i <= sim_routes_n; i++) {
		in->routes[i].requests = 0;
		in->routes[i].last_head.n = 0;
		in->routes[i].last_body.n = 0;
	}
	if (memmem(ex->head.query.p, ex->head.query.n, "runners", 7))
		sim_sched_reset(in);
	resp_full(ex, 200, JSON_TYPE, SPAN_LIT("{\"ok\":true}\n"));
}
