/* What answers teach: how fast an instance is with a model, how long answers get, how often it fails. */
#include "router/router.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/usage.h"

#define WINDOW_SHARE  5U              /* a latency window is that part of routing.stale: a minute of five */
#define FORGET_STALE  2U              /* times routing.stale without an answer: it is as if it had never been used */
#define WINDOW_MOST   2000            /* answers after which a window is over, too */
#define HEALTH_MOST   50.0F           /* requests that the share of successes looks back on */
#define NOMINAL_NS    NS_PER_S        /* expected of a request to a model that has not answered yet ... */
#define NOMINAL_PART  8U              /* ... but no more than this part of what it may wait: nobody is refused for a mere guess */
#define TOOK_N        32U             /* answers that the time of the model's requests looks back on */
#define YOUNG_N       30U             /* answers before which the rates are mostly priors, which may be wrong by any factor */
#define TEXT_LEAST    200             /* bytes of prompt; a shorter one is mostly template */
#define PARALLEL_LEAST 2U             /* tokens in which a pace can be seen */

/* --- pairs ----------------------------------------------------------------------------------------------------------------------- */

struct pair *pair_find(const struct routing *t, const struct model *m, unsigned slot)
{
	return m->pair[slot] ? &t->pairs[m->pair[slot] - 1] : NULL;
}

void pair_free(struct pair *p)
{
	if (!p->model)
		return;
	p->model->pair[p->slot] = 0;
	p->model = NULL;
}

/* A free one, or of those nobody uses the one that was heard of longest ago, closed breakers first: an open one protects. */
static struct pair *pair_spare(struct routing *t)
{
	struct pair *best = NULL;

	for (unsigned i = 0; i < t->n_pairs; i++) {
		struct pair *p = &t->pairs[i];
		bool closed = p->breaker.state == BREAKER_CLOSED;

		if (!p->model)
			return p;
		if (p->users)
			continue;
		if (!best || (closed && best->breaker.state != BREAKER_CLOSED) ||
		    (closed == (best->breaker.state == BREAKER_CLOSED) && p->last_ns < best->last_ns))
			best = p;
	}
	return t->n_pairs < ROUTER_PAIRS ? &t->pairs[t->n_pairs++] : best;
}

struct pair *pair_make(struct routing *t, struct model *m, unsigned slot)
{
	struct pair *p = pair_find(t, m, slot);

	if (p)
		return p;
	p = pair_spare(t);
	if (!p)
		return NULL;
	pair_free(p);
	memset(p, 0, sizeof(*p));
	p->model = m;
	p->slot = (uint8_t)slot;
	m->pair[slot] = (uint16_t)(p - t->pairs + 1);
	return p;
}

/* --- latency --------------------------------------------------------------------------------------------------------------------- */

static void latency_add(struct latency *l, uint64_t window_ns, uint64_t ns, uint64_t now_ns)
{
	unsigned b = shm_hist_bucket(ns);
	struct gate gate = l->gate;

	if (l->stale)
		*l = (struct latency){.gate = gate};
	if (l->sum[0] && (now_ns - l->since_ns > window_ns || l->sum[0] >= WINDOW_MOST)) {
		memcpy(l->n[1], l->n[0], sizeof(l->n[1]));
		memset(l->n[0], 0, sizeof(l->n[0]));
		l->top[1] = l->top[0];
		l->sum[1] = l->sum[0];
		l->top[0] = 0;
		l->sum[0] = 0;
	}
	if (!l->sum[0])
		l->since_ns = now_ns;
	l->n[0][b]++;
	l->sum[0]++;
	if (b > l->top[0])
		l->top[0] = (uint16_t)b;
	l->last_ns = now_ns;
	l->dirty = true;
	l->stale = false;
}

/* From the slow end, which is near. */
static uint64_t latency_p95(const struct latency *l)
{
	uint32_t left = (l->sum[0] + l->sum[1]) / 20, seen = 0;
	unsigned b = l->top[0] > l->top[1] ? l->top[0] : l->top[1];

	for (; b > 0; b--) {
		seen += (uint32_t)l->n[0][b] + l->n[1][b];
		if (seen > left)
			break;
	}
	return shm_hist_value(b);
}

/* --- derived figures --------------------------------------------------------------------------------------------------------------- */

/* What is thought of an instance's rate with a model before it has shown it: as fast as the model is elsewhere, plainly, so that whom
 * nobody has used yet is not behind those whom a few requests have shown to be ordinary. */
static float prior(const struct speed *model, const struct speed *fleet, float guess)
{
	const struct speed *known = model->tokens > 0 ? model : fleet;

	return known->tokens > 0 ? known->ns / known->tokens : guess;
}

static void model_figures(struct router *r, struct model *m, uint64_t now_ns)
{
	struct routing *t = &r->routing;

	if (m->figures_ns && now_ns - m->figures_ns < ROUTER_FRESH_NS)
		return;
	m->figures_ns = now_ns;
	m->prefill_ns = prior(&m->prefill, &t->prefill, SPEED_PREFILL_NS);
	m->decode_ns = prior(&m->decode, &t->decode, SPEED_DECODE_NS);
	for (unsigned c = 0; c < ORDER_CLASSES; c++)
		m->expect[c] = speed_output_rest(&m->output[c], SPEED_OUTPUT, 0, 0, now_ns);
}

/* Nobody has asked it for long, perhaps because its figures are bad: only a request can tell whether they still hold.  The breaker
 * and the gate have clocks of their own. */
static void forget(struct pair *p)
{
	p->prefill = p->decode = (struct speed){0};
	p->ok = p->ok_n = 0;
	p->last_ns = 0;
	for (unsigned c = 0; c < ORDER_CLASSES; c++)
		p->latency[c].stale = true;
}

void pair_figures(struct router *r, struct pair *p, uint64_t now_ns)
{
	struct routing *t = &r->routing;

	if (p->figures_ns && now_ns - p->figures_ns < ROUTER_FRESH_NS)
		return;
	p->figures_ns = now_ns;
	if (p->last_ns && now_ns - p->last_ns > FORGET_STALE * t->decide.stale_ns)
		forget(p);
	model_figures(r, p->model, now_ns);
	p->prefill_ns = speed_ns(&p->prefill, &t->prefill_conf, p->model->prefill_ns, now_ns);
	p->decode_ns = speed_ns(&p->decode, &t->decode_conf, p->model->decode_ns, now_ns);
	for (unsigned c = 0; c < ORDER_CLASSES; c++) {
		struct latency *l = &p->latency[c];
		bool out = l->gate.out;

		if (!l->sum[0] && !l->sum[1])
			continue;
		if (l->dirty)
			l->p95_ns = latency_p95(l);
		l->dirty = false;
		if (gate_update(&l->gate, &t->gate, l->p95_ns, (float)(l->sum[0] + l->sum[1]), now_ns - l->last_ns, now_ns) == out)
			continue;
		lane_changed(r);
		log_line(LOG_NOTICE_, &(struct log_about){.slot = r->conf.slots[p->slot].name, .model = p->model->key},
			 "slot %s %s: its 95th percentile of %s requests is %llums, %s routing.slow.p95; %s", r->conf.slots[p->slot].name,
			 p->model->key, order_class_text((enum order_class)c), (unsigned long long)(l->p95_ns / NS_PER_MS),
			 out ? "no longer over" : "over", out ? "it is used again" : "left alone but for probing");
	}
}

/* Nothing is known of the model but how long those are under way that have it now. */
static uint64_t nominal_work_ns(const struct exchange *x, uint64_t now_ns)
{
	const struct router *r = x->r;
	uint64_t most = r->routing.order_conf.class[x->item.class].deadline_ns / NOMINAL_PART;
	uint64_t work = most < NOMINAL_NS ? most : NOMINAL_NS;
	const struct exchange *y;

	for (uint64_t bits = x->model->resident; bits; bits &= bits - 1) {
		LIST_FOREACH(y, &r->slots[__builtin_ctzll(bits)].running, on_slot)
		{
			if (y->model == x->model && !y->cold && now_ns - y->sent_ns > work)
				work = now_ns - y->sent_ns;
		}
	}
	return work;
}

/* By rates, and by how far these were off for the model's requests on the whole. */
static uint64_t scaled_work_ns(const struct exchange *x, float output)
{
	const struct model *m = x->model;
	float all = (float)speed_work_ns(m->prefill_ns, m->decode_ns, (uint64_t)m->took_tokens, x->embed ? 0 : m->expect[x->item.class]);
	float off = all > 0 ? m->took_ns / all : 1;

	if (m->took_n >= YOUNG_N)
		off = off < 0.5F ? 0.5F : off > 4 ? 4 : off;
	return (uint64_t)((float)speed_work_ns(m->prefill_ns, m->decode_ns, x->item.input_tokens, output) * off);
}

void learn_expect(struct exchange *x, uint64_t now_ns)
{
	struct router *r = x->r;
	struct model *m = x->model;
	float output;

	model_figures(r, m, now_ns);
	output = x->embed ? 0 : m->expect[x->item.class];
	if (x->most_tokens && (float)x->most_tokens < output)
		output = (float)x->most_tokens;
	x->item.input_tokens = speed_tokens(&m->text, x->text_bytes, 0, now_ns);
	x->item.output_tokens = (uint32_t)output;
	x->item.guessed = !m->took_n;
	x->item.work_ns = m->took_n ? scaled_work_ns(x, output) : nominal_work_ns(x, now_ns);
}

/* --- outcomes -------------------------------------------------------------------------------------------------------------------- */

void breaker_publish(struct router *r, unsigned slot)
{
	const struct routing *t = &r->routing;
	enum breaker_state worst = BREAKER_CLOSED;

	for (unsigned i = 0; i < t->n_pairs && worst != BREAKER_OPEN; i++)
		if (t->pairs[i].model && t->pairs[i].slot == slot && t->pairs[i].breaker.state != BREAKER_CLOSED)
			worst = t->pairs[i].breaker.state;
	if (r->page)
		shm_set(&r->page->slot[slot].breaker, worst);
}

static void breaker_changed(struct router *r, const struct pair *p, uint64_t now_ns)
{
	const char *name = r->conf.slots[p->slot].name;
	const struct log_about about = {.slot = name, .model = p->model->key};

	lane_changed(r);
	breaker_publish(r, p->slot);
	if (p->breaker.state == BREAKER_CLOSED)
		log_line(LOG_NOTICE_, &about, "slot %s %s: its breaker is closed, a request succeeded", name, p->model->key);
	else if (p->breaker.state == BREAKER_OPEN)
		log_line(LOG_WARNING_, &about, "slot %s %s: its breaker is open for %llums after failures, the last one: %s; see `tsactl instance %s`",
			 name, p->model->key, (unsigned long long)((p->breaker.until_ns - now_ns) / NS_PER_MS),
			 breaker_event_text(p->breaker.last), name);
}

void learn_sent(struct exchange *x, uint64_t now_ns)
{
	struct routing *t = &x->r->routing;
	struct pair *p = pair_make(t, x->model, (unsigned)x->slot);

	x->pair = p;
	x->ticketed = true;
	x->first_at_ns = 0;
	x->recent_n = 0;
	if (!p)
		return;
	p->users++;
	if (!breaker_enter(&p->breaker, &t->breaker, now_ns, &x->ticket))
		breaker_force(&p->breaker, &x->ticket);
	else if (x->ticket.trial)
		breaker_changed(x->r, p, now_ns);
}

void learn_tail(struct exchange *x, const char *p, size_t n)
{
	size_t keep = x->recent_n;

	if (n >= USAGE_TAIL) {
		memcpy(x->recent, p + n - USAGE_TAIL, USAGE_TAIL);
		x->recent_n = USAGE_TAIL;
		return;
	}
	if (keep + n > USAGE_TAIL) {
		keep = USAGE_TAIL - n;
		memmove(x->recent, x->recent + x->recent_n - keep, keep);
	}
	memcpy(x->recent + keep, p, n);
	x->recent_n = (uint16_t)(keep + n);
}

/* An attempt of this kind is held against the instance. */
static bool is_failure(enum breaker_event event)
{
	static const uint8_t POINTS[BREAKER_EVENT_COUNT] = {
#define EVENT(name, points, proof, word) [BREAKER_##name] = points,
		BREAKER_EVENTS(EVENT)
#undef EVENT
	};

	return POINTS[event] > 0;
}

static void learn_health(struct pair *p, bool ok, uint64_t now_ns)
{
	p->ok_n = p->ok_n < HEALTH_MOST ? p->ok_n + 1.0F : HEALTH_MOST;
	p->ok += ((ok ? 1.0F : 0.0F) - p->ok) / p->ok_n;
	p->last_ns = now_ns;
}

/* One rate, at every level that it tells something of. */
static void learn_rate(struct speed *pair, struct speed *model, struct speed *fleet, const struct speed_conf *conf, uint64_t tokens,
		       uint64_t ns, uint64_t now_ns)
{
	speed_learn(pair, conf, tokens, ns, now_ns);
	speed_learn(model, conf, tokens, ns, now_ns);
	speed_learn(fleet, conf, tokens, ns, now_ns);
}

/* How fast: by the instance's own words where it gives them, else by the clock, where a stream shows its pace. */
static void learn_speed(struct exchange *x, struct usage *u, uint64_t now_ns)
{
	struct routing *t = &x->r->routing;
	struct pair *p = x->pair;
	struct model *m = x->model;
	uint64_t first = x->first_at_ns - x->sent_ns;

	if (x->embed && !u->prompt_ns)
		u->prompt_ns = now_ns - x->sent_ns;
	if (!u->prompt_ns && x->stream && !x->cold)
		u->prompt_ns = first;
	if (!u->prompt_tokens)
		u->prompt_tokens = x->item.input_tokens;
	if (!u->output_tokens && x->stream)
		u->output_tokens = x->watch.items;
	if (!u->output_ns && x->stream && u->output_tokens >= PARALLEL_LEAST)
		u->output_ns = now_ns - x->first_at_ns;
	/* A prompt that the instance knew already took no time: that says nothing of one that it does not know. */
	if (!x->at_home)
		learn_rate(&p->prefill, &m->prefill, &t->prefill, &t->prefill_conf, u->prompt_tokens, u->prompt_ns, now_ns);
	if (!x->embed)
		learn_rate(&p->decode, &m->decode, &t->decode, &t->decode_conf, u->output_tokens, u->output_ns, now_ns);
}

/* How long it had its place.  A load is no work. */
static void took(struct exchange *x, uint64_t now_ns)
{
	struct model *m = x->model;
	float step;

	if (x->cold)
		return;
	m->took_n++;
	step = 1.0F / (float)(m->took_n < TOOK_N ? m->took_n : TOOK_N);
	m->took_ns += ((float)(now_ns - x->sent_ns) - m->took_ns) * step;
	m->took_tokens += ((float)x->item.input_tokens - m->took_tokens) * step;
}

static void learn_answer(struct exchange *x, struct usage *u, uint64_t now_ns)
{
	struct routing *t = &x->r->routing;
	struct model *m = x->model;

	usage_scan((struct span){x->recent, x->recent_n}, u);
	took(x, now_ns);
	if (u->prompt_tokens && x->text_bytes >= TEXT_LEAST)
		speed_learn(&m->text, &SPEED_TEXT, u->prompt_tokens, x->text_bytes, now_ns);
	if (x->pair)
		learn_speed(x, u, now_ns);
	if (!x->embed && u->output_tokens)
		speed_output_learn(&m->output[x->item.class], u->output_tokens, now_ns);
	if (x->pair)
		latency_add(&x->pair->latency[x->item.class], t->decide.stale_ns / WINDOW_SHARE, now_ns - x->sent_ns, now_ns);
	t->answers++;
}

static void learn_session(struct exchange *x, enum breaker_event event, uint64_t tokens, uint64_t now_ns)
{
	struct slot *s = &x->r->slots[x->slot];
	enum affinity_outcome how = event == BREAKER_OK ? AFFINITY_SUCCESS : is_failure(event) ? AFFINITY_FAILURE : AFFINITY_CANCEL;

	if (x->session)
		affinity_report(&x->r->routing.affinity, x->session, (uint16_t)x->slot, s->cache, (uint32_t)tokens, how, now_ns);
}

void learn_outcome(struct exchange *x, enum breaker_event event)
{
	struct router *r = x->r;
	struct routing *t = &r->routing;
	struct pair *p = x->pair;
	uint64_t now = clock_now_ns();
	struct usage u = {0};

	if (!x->ticketed)
		return;
	x->ticketed = false;
	if (event == BREAKER_OK)
		learn_answer(x, &u, now);
	else if (event == BREAKER_LEFT && x->first_at_ns) /* what was done for it is paid for */
		u = (struct usage){.prompt_tokens = x->item.input_tokens, .output_tokens = x->watch.items};
	learn_session(x, event, u.prompt_tokens + u.output_tokens, now);
	order_settle(&t->order, &x->item, u.prompt_tokens, u.output_tokens);
	order_drained(&t->order, event == BREAKER_OK ? x->item.work_ns : 0, now);
	if (!p)
		return;
	x->pair = NULL;
	p->users--;
	if (event == BREAKER_OK || is_failure(event))
		learn_health(p, event == BREAKER_OK, now);
	if (breaker_report(&p->breaker, &t->breaker, &x->ticket, event, now))
		breaker_changed(r, p, now);
	else if (x->ticket.trial)
		lane_changed(r);
}

uint64_t learn_rest_ns(const struct exchange *x, uint64_t now_ns)
{
	const struct model *m = x->model;
	const struct pair *p = x->pair;
	float prefill = p && p->figures_ns ? p->prefill_ns : m->prefill_ns, decode = p && p->figures_ns ? p->decode_ns : m->decode_ns;
	uint64_t done = x->first_at_ns ? x->watch.items : 0, spent = now_ns - x->sent_ns;
	float left = 0;

	if (!x->first_at_ns) {
		left = prefill * (float)x->item.input_tokens;
		left = left > (float)spent ? left - (float)spent : 0;
	}
	if (!x->embed)
		left += decode * speed_output_rest(&m->output[x->item.class], SPEED_OUTPUT, done, x->most_tokens, now_ns);
	return (uint64_t)left;
}
