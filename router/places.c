/* The places of a model inside an instance, as they look from here: who waits in there although it should have a place.
 *
 * Ollama can lose a place of a loaded model for ever (park.c says how), and does not know it.  Seen from here: with none left, no
 * answer begins any more; with some left, one begins only when another ends, at fewer at a time than there once were.  Both
 * are told to the worker as a wish for its slot; it looks closer and heals.
 *
 * Only streams show when their place begins to work.  What an answer in one piece does before its first byte cannot be seen. */
#include "base/clock.h"
#include "base/log.h"
#include "router/router.h"

#include <string.h>

#define SHORT_TEXT   1000U             /* prompts below it do not count */
#define OVERDUE      3U                /* times the expected time */
#define SLACK_NS     (250 * NS_PER_MS) /* and so much */
#define UNKNOWN_NS   (30 * NS_PER_S)   /* expected, while nothing was learned yet */
#define SHORT_HITS   6U                /* waits in a row, each for the end of another */
#define SHORT_LONGER (1800 * NS_PER_S) /* not older than that */

static struct place_watch *watch_of(const struct exchange *x)
{
	return &x->model->at[x->slot];
}

static uint64_t expected_ns(const struct exchange *x)
{
	const struct slot *s = &x->r->slots[x->slot];
	uint64_t first = x->stream ? s->stream_ns : s->whole_ns;

	if (!first || (s->text_bytes >= SHORT_TEXT && !s->ns_per_byte))
		return UNKNOWN_NS;
	return first + s->ns_per_byte * s->text_bytes; /* prompts are worked off one after another */
}

void places_sent(struct exchange *x)
{
	struct slot *s = &x->r->slots[x->slot];

	x->begun = false;
	x->ends = watch_of(x)->ends;
	s->text_bytes += x->text_bytes;
	x->due_ns = x->cold ? CLOCK_NEVER : clock_after_ns(x->sent_ns, OVERDUE * expected_ns(x) + SLACK_NS);
}

static void average(uint64_t *avg, uint64_t ns)
{
	*avg = *avg ? (*avg * 7 + ns) / 8 : ns;
}

/* What this beginning says of the time that others will take.  A wait for somebody else's place says nothing. */
static void learn(struct exchange *x, uint64_t took_ns)
{
	struct slot *s = &x->r->slots[x->slot];

	if (!x->stream)
		average(&s->whole_ns, took_ns);
	else if (x->text_bytes >= SHORT_TEXT)
		average(&s->ns_per_byte, took_ns / x->text_bytes);
	else
		average(&s->stream_ns, took_ns);
}

/* A stream has begun, the `n`th of its model at a time.  `waited`: late, and only after another one had ended. */
static void count(struct exchange *x, unsigned n, bool waited, uint64_t now_ns)
{
	struct slot *s = &x->r->slots[x->slot];
	struct place_watch *w = watch_of(x);

	if (n >= w->most || (!waited && n > w->ceiling)) {
		w->hits = w->ceiling = 0;
		w->most = (uint8_t)(n < w->most ? w->most : n < UINT8_MAX ? n : UINT8_MAX);
	} else if (waited) {
		if (!w->hits || now_ns - w->since_ns > SHORT_LONGER) {
			w->since_ns = now_ns;
			w->hits = 0;
		}
		if (w->hits < UINT8_MAX)
			w->hits++;
		if (n > w->ceiling)
			w->ceiling = (uint8_t)n;
	}
	if (w->hits >= SHORT_HITS)
		s->short_of = x->model;
	else if (s->short_of == x->model)
		s->short_of = NULL;
}

void places_begun(struct exchange *x, bool good)
{
	struct place_watch *w = watch_of(x);
	uint64_t now = clock_now_ns();
	bool waited = now > x->due_ns && x->ends != w->ends;

	if (x->begun)
		return;
	x->begun = true;
	x->r->slots[x->slot].text_bytes -= x->text_bytes;
	w->begun++;
	w->begun_ns = now;
	if (x->cold || !good)
		return;
	if (!waited)
		learn(x, now - x->sent_ns);
	if (x->stream)
		count(x, w->begun, waited, now);
}

void places_left(struct exchange *x)
{
	struct place_watch *w = watch_of(x);

	if (!x->begun)
		x->r->slots[x->slot].text_bytes -= x->text_bytes;
	else
		w->begun--;
	w->ends++;
	x->begun = false;
	x->due_ns = CLOCK_NEVER;
}

/* --- what the worker shall know -------------------------------------------------------------------------------------------------- */

struct complaint {
	const struct model *model; /* NULL: none */
	enum shm_wish_kind kind;
	uint64_t since_ns;
};

static bool overdue(const struct exchange *x, uint64_t now_ns)
{
	return x->state == EX_SENT && x->slot >= 0 && x->due_ns <= now_ns;
}

/* Its worker agrees.  By then it was admitted, so that closing it costs no descriptor. */
static bool waits_in_vain(const struct exchange *x, uint64_t now_ns)
{
	const struct slot *s = &x->r->slots[x->slot];

	return s->state == SHM_STATE_SICK && s->reason == SHM_REASON_PLACES && now_ns - x->sent_ns >= x->r->conf.park_ns;
}

/* Only where nothing of its model has begun since it was sent, and nothing is under way. */
static void complain(struct complaint *c, const struct exchange *x)
{
	const struct place_watch *w = watch_of(x);
	enum shm_wish_kind kind = x->stream ? SHM_WISH_STUCK : SHM_WISH_STILL;

	if (w->begun || w->begun_ns > x->sent_ns || (c->model && c->kind == SHM_WISH_STUCK && kind == SHM_WISH_STILL))
		return;
	if (!c->model || c->kind != kind || x->due_ns < c->since_ns)
		*c = (struct complaint){x->model, kind, x->due_ns};
}

static void wish_publish(struct router *r, unsigned slot, const struct complaint *c)
{
	struct slot *s = &r->slots[slot];
	struct shm_wish w = {.gen = r->conf.common.gen, .kind = c->kind, .since_ns = c->since_ns};
	int n = s->complaint_n;

	for (int i = 0; n < 0 && i < (int)SHM_WISHES; i++)
		if (!(s->wishes & (1U << i)))
			n = i;
	if (n < 0 || !r->page)
		return; /* later */
	if (c->model)
		memcpy(w.model, c->model->key, strlen(c->model->key) + 1);
	else
		w = (struct shm_wish){0};
	shm_wish_publish(r->page, slot, (unsigned)n, &w);
	s->wishes = (uint8_t)(c->model ? s->wishes | 1U << n : s->wishes & ~(1U << n));
	s->complaint_n = (int8_t)(c->model ? n : -1);
	s->complaint_of = c->model;
	s->complaint_ns = c->since_ns;
}

static void tell(struct router *r, unsigned slot, struct complaint *c)
{
	struct slot *s = &r->slots[slot];

	if (s->state != SHM_STATE_READY) {
		if (s->short_of)
			s->short_of->at[slot].hits = 0;
		s->short_of = NULL;
		*c = (struct complaint){0};
	} else if (!c->model && s->short_of) {
		*c = (struct complaint){s->short_of, SHM_WISH_SHORT, s->short_of->at[slot].since_ns};
	}
	if (c->model != s->complaint_of || (c->model && c->since_ns != s->complaint_ns))
		wish_publish(r, slot, c);
}

void places_forget(struct router *r)
{
	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		struct slot *s = &r->slots[i];

		if (s->complaint_n >= 0)
			s->wishes &= (uint8_t) ~(1U << s->complaint_n);
		s->complaint_n = -1;
		s->complaint_of = NULL;
	}
}

void places_tick(struct router *r, uint64_t now_ns)
{
	struct complaint at[PROC_SLOTS] = {0};
	struct exchange *x, *next;

	for (x = LIST_FIRST(&r->exchanges); x; x = next) {
		next = LIST_NEXT(x, link);
		if (x->dead || !overdue(x, now_ns))
			continue;
		if (waits_in_vain(x, now_ns))
			exchange_take_back(x);
		else
			complain(&at[x->slot], x);
	}
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (r->slots[i].used || r->slots[i].complaint_of)
			tell(r, i, &at[i]);
}
