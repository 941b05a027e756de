#include <stdarg.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/tsactl/tsactl.h"

static void line(const char *what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(const char *what, const char *fmt, ...)
{
	char raw[600], clean[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	printf("%-12s %s\n", what, text_clean(raw, clean, sizeof(clean)));
}

static void state_print(const struct view *v, const struct view_slot *s)
{
	char text[400], span[24];

	printf("%s%s%s\n", tone_begin(TONE_HEAD), s->owner.name, tone_end());
	printf("%-12s %s%s%s\n", "state", tone_begin(tone_of_state(s)), view_state_text(s, text, sizeof(text)), tone_end());
	if (s->vital.since_wall_ns && v->now_wall_ns > s->vital.since_wall_ns) {
		text_when(s->vital.since_wall_ns, text, sizeof(text));
		line("since", "%s (%s)", text, text_span(v->now_wall_ns - s->vital.since_wall_ns, span, sizeof(span)));
	}
	if (s->life == VIEW_FRESH || s->life == VIEW_STALE)
		line("reason", "%s%s%s", view_reason_word(s->vital.reason), *s->vital.why ? ": " : "", s->vital.why);
	if (view_slot_trouble(v, s, text, sizeof(text)))
		line("trouble", "%s", text);
	line("url", "%s (%s)", s->owner.url, s->owner.adopted ? "adopted" : "started by tsa");
	if (*s->owner.tags)
		line("tags", "%s", s->owner.tags);
	line("wanted", "%s%s", view_wanted_word(s->owner.wanted), s->owner.pinned ? ", pinned" : "");
}

static void work_print(const struct view *v, const struct view_slot *s)
{
	char p50[24], p95[24];

	line("requests", "%llu of %llu slots busy, %llu queued", (unsigned long long)s->in_flight,
	     (unsigned long long)s->owner.places, (unsigned long long)s->queued);
	line("so far", "%llu served, %llu failed, %llu left by their clients", (unsigned long long)s->served,
	     (unsigned long long)s->failed, (unsigned long long)s->aborted);
	if (view_latency(v, s, true, 0.5)) {
		text_span(view_latency(v, s, true, 0.5), p50, sizeof(p50));
		line("first byte", "%s median, %s p95", p50, text_span(view_latency(v, s, true, 0.95), p95, sizeof(p95)));
	}
	if (view_latency(v, s, false, 0.5)) {
		text_span(view_latency(v, s, false, 0.5), p50, sizeof(p50));
		line("last byte", "%s median, %s p95", p50, text_span(view_latency(v, s, false, 0.95), p95, sizeof(p95)));
	}
	for (unsigned r = 0; r < v->n_routers; r++) {
		const struct shm_rslot *at =
			v->routers[r].counters ? shm_router_slot(v->reader, v->routers[r].index, s->index) : NULL;
		char what[24];

		if (!at)
			continue;
		snprintf(what, sizeof(what), "router %u", v->routers[r].index);
		line(what, "%llu busy, %llu queued, %llu served, %llu failed, breaker %s",
		     (unsigned long long)shm_get(&at->in_flight), (unsigned long long)shm_get(&at->queued),
		     (unsigned long long)shm_get(&at->served), (unsigned long long)shm_get(&at->failed),
		     view_breaker_word(shm_get(&at->breaker)));
	}
}

static void worker_print(const struct view *v, const struct view_slot *s)
{
	const struct shm_owner *o = &s->owner;
	char span[24], when[40];

	text_when(o->child_since_wall_ns, when, sizeof(when));
	line("worker", "pid %llu, %s since %s, generation %llu, %llu restarts", (unsigned long long)o->child_pid,
	     shm_child_word(o->child_state), o->child_since_wall_ns ? when : "?", (unsigned long long)o->gen,
	     (unsigned long long)o->child_restarts);
	line("heartbeat", "%s, %s ago", view_life_word(s->life), text_span(s->age_ns, span, sizeof(span)));
	if (o->child_next_ns > v->now_ns)
		line("", "the next one starts in %s", text_span(o->child_next_ns - v->now_ns, span, sizeof(span)));
	if (*o->why)
		line("last death", "%s", o->why);
}

static const char *span_or_dash(uint64_t ns, char *buf, size_t size)
{
	return ns ? text_span(ns, buf, size) : "-";
}

static void ollama_print(const struct view *v, const struct view_slot *s)
{
	const struct shm_vital *t = &s->vital;
	char a[24], b[24], c[24], d[24], text[160] = "";

	if (s->life != VIEW_FRESH && s->life != VIEW_STALE)
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(t->runner_pids); i++)
		if (t->runner_pids[i])
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%llu", *text ? " " : ", runners ",
				 (unsigned long long)t->runner_pids[i]);
	if (t->ollama_pid)
		line("ollama", "%s, pid %llu%s", *t->version ? t->version : "version unknown", (unsigned long long)t->ollama_pid,
		     text);
	else
		line("ollama", "%s, pid unknown", *t->version ? t->version : "version unknown");
	if (t->rss_bytes)
		line("", "memory %s, processor %s, %llu descriptors%s", text_bytes(t->rss_bytes, a, sizeof(a)),
		     text_span(t->cpu_ns, b, sizeof(b)), (unsigned long long)t->fds, t->fds_limit ? "" : ", not watched");
	if (t->fds_limit)
		line("", "drained and restarted above %llu descriptors", (unsigned long long)t->fds_limit);
	line("", "%llu starts, %llu recycled, %llu orphans ended", (unsigned long long)t->starts, (unsigned long long)t->recycles,
	     (unsigned long long)t->orphans);
	if (t->death_kind)
		line("", "last death: %s", view_death_text(t, text, sizeof(text)));
	if (t->next_ns > v->now_ns)
		line("", "started again in %s", text_span(t->next_ns - v->now_ns, a, sizeof(a)));
	line("probes", "version %s, tags %s, ps %s, token %s", span_or_dash(t->up_ns, a, sizeof(a)),
	     span_or_dash(t->tags_ns, b, sizeof(b)), span_or_dash(t->ps_ns, c, sizeof(c)), span_or_dash(t->able_ns, d, sizeof(d)));
	line("", "%llu failed, %llu of them just now in a row", (unsigned long long)t->fails, (unsigned long long)t->fail_streak);
	line("loads", "%llu, %llu of them failed", (unsigned long long)t->loads, (unsigned long long)t->load_failures);
}

static const struct {
	uint64_t flag;
	const char *word;
} FLAGS[] = {
	{SHM_MODEL_PRIMARY, "primary"},   {SHM_MODEL_LOADING, "loading"}, {SHM_MODEL_FAILED, "failed"},
	{SHM_MODEL_EMBED, "embedding"},   {SHM_MODEL_TOOLS, "tools"},     {SHM_MODEL_VISION, "vision"},
	{SHM_MODEL_THINKING, "thinking"},
};

static void model_print(const struct view *v, const struct shm_model *m)
{
	char text[400], a[24];

	if (m->flags & SHM_MODEL_RESIDENT)
		snprintf(text, sizeof(text), "in memory, %s", text_bytes(m->resident_bytes, a, sizeof(a)));
	else
		snprintf(text, sizeof(text), "%s", m->flags & SHM_MODEL_AVAILABLE ? "on disk" : "missing");
	if (!(m->flags & SHM_MODEL_RESIDENT) && m->size_bytes)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %s", text_bytes(m->size_bytes, a, sizeof(a)));
	for (size_t i = 0; i < ARRAY_SIZE(FLAGS); i++)
		if (m->flags & FLAGS[i].flag)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %s", FLAGS[i].word);
	if ((m->flags & SHM_MODEL_RESIDENT) && m->expires_wall_ns > v->now_wall_ns && m->expires_wall_ns != UINT64_MAX)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", for %s more",
			 text_span(m->expires_wall_ns - v->now_wall_ns, a, sizeof(a)));
	if (m->load_ns)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", loaded in %s", text_span(m->load_ns, a, sizeof(a)));
	line("model", "%s: %s", m->name, text);
}

int run_instance(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	struct shm_reader *reader = NULL;
	const struct view_slot *s;
	struct view *v = NULL;
	struct why why = {""};
	int code = EXIT_DONE, rc = view_open(o->state, &reader, &v, &why);

	(void)c, (void)n;
	if (rc < 0)
		return complain(o, link_exit(rc), "%s", why.text);
	s = view_slot_find(o, v, words[0], &code);
	if (s && o->json) {
		json_print(json_instance(v, s, true));
	} else if (s) {
		state_print(v, s);
		work_print(v, s);
		worker_print(v, s);
		ollama_print(v, s);
		for (unsigned i = 0; i < s->models.n && i < SHM_MODELS; i++)
			model_print(v, &s->models.at[i]);
	}
	view_close(&reader, &v);
	return code;
}
