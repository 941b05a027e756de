#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "proc/proc.h"
#include "shm/hist.h"
#include "tools/tsactl/tsactl.h"
#include "tools/tsactl/words.h"

/* --- take a copy --------------------------------------------------------------------------------------------------------------- */

static uint64_t age(const struct view *v, uint64_t beat_ns)
{
	return beat_ns && beat_ns < v->now_ns ? v->now_ns - beat_ns : 0;
}

/* A line counts when it was written under the generation that its owner line names now. */
static enum view_life judge(int rc, bool current, uint64_t beat_ns, uint64_t age_ns)
{
	if (rc < 0)
		return VIEW_UNSETTLED;
	if (!current || !beat_ns)
		return VIEW_NONE;
	return age_ns > PROC_BEAT_LATE_NS ? VIEW_STALE : VIEW_FRESH;
}

static void router_take(struct view *v, struct view_router *r, unsigned index)
{
	const struct shm_router_counters *counters = shm_router_counters(v->reader, index);
	uint64_t beat = counters ? shm_get(&counters->beat_ns) : 0;
	int rc = shm_read_router_ident(v->reader, index, &r->ident);

	r->index = index;
	r->child_ok = shm_read_router_child(v->reader, index, &r->child) == 0;
	r->age_ns = age(v, beat);
	r->life = judge(rc, r->child_ok && r->ident.gen == r->child.gen && r->child.pid, beat, r->age_ns);
	if (r->life == VIEW_FRESH || r->life == VIEW_STALE)
		r->counters = counters;
}

static void slot_add_routers(struct view *v, struct view_slot *s)
{
	for (unsigned r = 0; r < v->n_routers; r++) {
		const struct shm_rslot *at =
			v->routers[r].counters ? shm_router_slot(v->reader, v->routers[r].index, s->index) : NULL;

		if (!at)
			continue;
		s->in_flight += shm_get(&at->in_flight);
		s->queued += shm_get(&at->queued);
		s->served += shm_get(&at->served);
		s->failed += shm_get(&at->failed);
		s->aborted += shm_get(&at->aborted);
		if (s->breaker != 1 && shm_get(&at->breaker) <= 2 && shm_get(&at->breaker))
			s->breaker = shm_get(&at->breaker);
	}
}

static void slot_take(struct view *v, struct view_slot *s)
{
	int rc = shm_read_vital(v->reader, s->index, &s->vital);

	s->age_ns = rc == 0 ? age(v, s->vital.beat_ns) : 0;
	s->life = judge(rc, s->vital.gen == s->owner.gen, s->vital.beat_ns, s->age_ns);
	if (s->life != VIEW_FRESH && s->life != VIEW_STALE)
		memset(&s->vital, 0, sizeof(s->vital));
	else if (shm_read_models(v->reader, s->index, &s->models) < 0 || s->models.gen != s->owner.gen)
		memset(&s->models, 0, sizeof(s->models));
	slot_add_routers(v, s);
}

static void host_take(struct view *v)
{
	int rc = shm_read_host(v->reader, &v->host);

	if (shm_read_host_child(v->reader, &v->host_child) < 0)
		memset(&v->host_child, 0, sizeof(v->host_child));
	v->host_life = judge(rc, v->host.gen == v->host_child.gen && v->host_child.pid, v->host.beat_ns, age(v, v->host.beat_ns));
	if (v->host_life != VIEW_FRESH && v->host_life != VIEW_STALE)
		memset(&v->host, 0, sizeof(v->host));
}

void view_refresh(struct view *v)
{
	const struct shm_reader *reader = v->reader;

	memset(v, 0, sizeof(*v));
	v->reader = reader;
	v->header_ok = shm_read_header(reader, &v->header) == 0;
	v->now_ns = clock_now_ns();
	v->now_wall_ns = clock_wall_ns();
	v->age_ns = age(v, v->header.sup_beat_ns);
	v->stale = !v->header_ok || v->age_ns > PROC_BEAT_LATE_NS;
	for (unsigned i = 0; i < SHM_ROUTERS; i++) {
		struct view_router *r = &v->routers[v->n_routers];

		router_take(v, r, i);
		if (i < v->header.routers || (r->child_ok && r->child.pid))
			v->n_routers++;
		else
			memset(r, 0, sizeof(*r));
	}
	host_take(v);
	for (unsigned i = 0; i < SHM_SLOTS; i++) {
		struct view_slot *s = &v->slots[v->n_slots];

		if (shm_read_slot(reader, i, &s->owner) < 0 || !s->owner.used) {
			memset(&s->owner, 0, sizeof(s->owner));
			continue;
		}
		s->index = i;
		slot_take(v, s);
		v->n_slots++;
	}
}

static void fds_close(struct shm_fds *fds)
{
	int *fd = (int *)fds;

	for (unsigned i = 0; i < SHM_FDS_COUNT; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

int view_open(const char *state, struct shm_reader **reader, struct view **view, struct why *why)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	struct view *v = calloc(1, sizeof(*v));
	struct shm_fds fds;
	int rc = -ENOMEM;

	if (!answer || !v) {
		why_set(why, rc, "there is no memory for a view of the board");
		goto out;
	}
	rc = link_ask(state, CTL_BOARD, NULL, 0, answer, &fds, why);
	if (rc < 0)
		goto out;
	if (answer->status < 0) {
		rc = why_set(why, answer->status, "the supervisor keeps its board to itself: %.300s", answer->text);
		goto out;
	}
	rc = shm_reader_open(&fds, reader, why);
	fds_close(&fds);
	if (rc < 0)
		goto out;
	v->reader = *reader;
	view_refresh(v);
	*view = v;
	v = NULL;
out:
	free(answer);
	free(v);
	return rc;
}

void view_close(struct shm_reader **reader, struct view **view)
{
	shm_reader_close(reader);
	free(*view);
	*view = NULL;
}

/* --- words for it ----------------------------------------------------------------------------------------------------------------- */

bool view_slot_ready(const struct view_slot *s)
{
	return s->owner.child_state == SHM_CHILD_RUNNING && s->life == VIEW_FRESH && s->vital.state == SHM_STATE_READY;
}

bool view_slot_drained(const struct view_slot *s)
{
	return s->owner.wanted == SHM_WANT_DRAIN && s->owner.child_state != SHM_CHILD_STOPPING;
}

const char *view_state_word(const struct view_slot *s)
{
	if (s->life == VIEW_FRESH || s->life == VIEW_STALE)
		return shm_state_word(s->vital.state);
	if (s->owner.child_state == SHM_CHILD_QUARANTINED || s->owner.child_state == SHM_CHILD_STOPPED)
		return shm_child_word(s->owner.child_state);
	return shm_state_word(SHM_STATE_NONE);
}

const char *view_state_text(const struct view_slot *s, char *buf, size_t size)
{
	char late[24];
	int n = snprintf(buf, size, "%s", view_state_word(s));

	if (s->owner.wanted == SHM_WANT_DRAIN && s->vital.state != SHM_STATE_DRAINING)
		n += snprintf(buf + n, size - (size_t)n, s->in_flight ? ", draining" : ", drained");
	if (s->owner.wanted == SHM_WANT_STOP && s->vital.state != SHM_STATE_STOPPED)
		n += snprintf(buf + n, size - (size_t)n, ", stopping");
	if (s->owner.wanted == SHM_WANT_RESTART)
		n += snprintf(buf + n, size - (size_t)n, ", restart due");
	if (s->life == VIEW_STALE)
		n += snprintf(buf + n, size - (size_t)n, ", stale %s", text_span(s->age_ns, late, sizeof(late)));
	if (s->life == VIEW_UNSETTLED)
		n += snprintf(buf + n, size - (size_t)n, ", unsettled");
	if (s->breaker)
		snprintf(buf + n, size - (size_t)n, ", breaker %s", view_breaker_word(s->breaker));
	return buf;
}

static const char *word_of(const char *const *words, size_t n, uint64_t at)
{
	return at < n ? words[at] : "unknown";
}

const char *view_wanted_word(uint64_t wanted)
{
	static const char *const words[] = {"nothing", "run", "drain", "stop", "restart"};

	return word_of(words, ARRAY_SIZE(words), wanted);
}

const char *view_breaker_word(uint64_t breaker)
{
	static const char *const words[] = {"closed", "open", "half open"};

	return word_of(words, ARRAY_SIZE(words), breaker);
}

const char *view_life_word(enum view_life life)
{
	static const char *const words[] = {"silent", "unsettled", "stale", "fresh"};

	return word_of(words, ARRAY_SIZE(words), life);
}

const char *view_death_text(const struct shm_vital *v, char *buf, size_t size)
{
	char when[40];

	text_when(v->death_wall_ns, when, sizeof(when));
	switch (v->death_kind) {
	case SHM_DEATH_EXIT:
		snprintf(buf, size, "exit status %llu at %s", (unsigned long long)v->death_code, when);
		break;
	case SHM_DEATH_SIGNAL:
		snprintf(buf, size, "signal %llu (%s) at %s", (unsigned long long)v->death_code, strsignal((int)v->death_code),
			 when);
		break;
	case SHM_DEATH_OOM:
		snprintf(buf, size, "killed for want of memory at %s", when);
		break;
	case SHM_DEATH_UNKNOWN:
		snprintf(buf, size, "unseen at %s", when);
		break;
	default:
		snprintf(buf, size, "none");
	}
	return buf;
}

#define START_QUIET_NS (5 * NS_PER_S) /* starting so long is nothing to speak of */

/* What a worker's verdict is and what the operator should look at. */
static const struct {
	const char *word;
	const char *sentence;
	const char *look;
} OUTCOMES[] = {
#define OUTCOME(name, word_, grade, sentence_, look_) {word_, sentence_, look_},
#include "probes/outcomes.def"
#undef OUTCOME
};

const char *view_reason_word(uint64_t reason)
{
	return reason < ARRAY_SIZE(OUTCOMES) ? OUTCOMES[reason].word : "unknown";
}

/* An instance that should have answered, or shown a model, by now: the address or the configured model may be wrong. */
static bool takes_long(const struct view_slot *s)
{
	bool waiting = s->vital.state == SHM_STATE_STARTING || s->vital.state == SHM_STATE_UP;

	return waiting && clock_wall_ns() - s->vital.since_wall_ns > START_QUIET_NS;
}

const char *view_slot_trouble(const struct view *v, const struct view_slot *s, char *buf, size_t size)
{
	const struct shm_owner *o = &s->owner;
	char span[24];

	if (o->child_state == SHM_CHILD_QUARANTINED)
		snprintf(buf, size, "its worker failed too often: %s; `tsactl restart %s` tries again",
			 *o->why ? o->why : "see the journal", o->name);
	else if (o->child_state == SHM_CHILD_BACKOFF)
		snprintf(buf, size, "its worker ended (%s); the next one starts in %s", *o->why ? o->why : "see the journal",
			 text_span(o->child_next_ns > v->now_ns ? o->child_next_ns - v->now_ns : 0, span, sizeof(span)));
	else if (s->life == VIEW_STALE)
		snprintf(buf, size, "its worker (pid %llu) has not been heard of for %s; the supervisor replaces it",
			 (unsigned long long)o->child_pid, text_span(s->age_ns, span, sizeof(span)));
	else if (s->vital.state == SHM_STATE_QUARANTINED)
		snprintf(buf, size, "%s; `tsactl restart %s` tries again",
			 *s->vital.why ? s->vital.why : shm_state_sentence(s->vital.state), o->name);
	else if (s->life == VIEW_FRESH && (s->vital.state == SHM_STATE_SICK || s->vital.state == SHM_STATE_BACKOFF || takes_long(s) ||
					   (s->vital.fail_streak && s->vital.state != SHM_STATE_READY)))
		snprintf(buf, size, "%s; look at: %s", *s->vital.why ? s->vital.why : shm_state_sentence(s->vital.state),
			 s->vital.reason < ARRAY_SIZE(OUTCOMES) ? OUTCOMES[s->vital.reason].look : "the log of the instance");
	else if (s->breaker == 1)
		snprintf(buf, size, "a router's breaker is open: requests to it failed in a row; it is tried again by itself");
	else
		return NULL;
	return buf;
}

uint64_t view_latency(const struct view *v, const struct view_slot *s, bool first_byte, double q)
{
	static _Atomic uint32_t sum[SHM_HIST_BUCKETS];

	for (unsigned i = 0; i < SHM_HIST_BUCKETS; i++)
		atomic_store_explicit(&sum[i], 0, memory_order_relaxed);
	for (unsigned r = 0; r < v->n_routers; r++) {
		const struct shm_rslot *at =
			v->routers[r].counters ? shm_router_slot(v->reader, v->routers[r].index, s->index) : NULL;
		const _Atomic uint32_t *hist = at ? first_byte ? at->first_hist : at->total_hist : NULL;

		for (unsigned i = 0; hist && i < SHM_HIST_BUCKETS; i++)
			sum[i] += atomic_load_explicit(&hist[i], memory_order_relaxed);
	}
	return shm_hist_quantile(sum, q);
}

const struct view_slot *view_slot_find(const struct options *o, const struct view *v, const char *typed, int *code)
{
	const char *names[SHM_SLOTS];
	unsigned at;
	int rc;

	for (unsigned i = 0; i < v->n_slots; i++)
		names[i] = v->slots[i].owner.name;
	if (!v->n_slots) {
		*code = complain(o, EXIT_USAGE, "there is no instance; write one into tsa.conf, then `tsactl reload`");
		return NULL;
	}
	rc = words_match(typed, names, v->n_slots, &at);
	if (rc == 0)
		return &v->slots[at];
	*code = complain_word(o, rc, "instance", typed, names, v->n_slots);
	return NULL;
}
