#include "route/order.h"

#include <math.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "route/order_tree.h"

#define MEAN_N       256  /* requests that the mean work looks back on */
#define DRAIN_TAU_NS 60e9 /* memory of the drain rate */
#define RETRY_MOST_S 120
#define TELLING      4 /* part of the deadline from which on a predicted wait is looked at */

void order_conf_default(struct order_conf *conf)
{
	*conf = (struct order_conf){
		.gamma = 0.011,
		.w_input = 1,
		.w_output = 2,
		.most_n = 512,
		.most_bytes = 256ULL << 20,
		.class =
			{
				[ORDER_INTERACTIVE] = {.deadline_ns = 120 * NS_PER_S, .percent = 100},
				[ORDER_NORMAL] = {.handicap_ns = 30 * NS_PER_S, .deadline_ns = 300 * NS_PER_S, .percent = 90},
				[ORDER_BATCH] = {.handicap_ns = 600 * NS_PER_S, .deadline_ns = 3600 * NS_PER_S, .percent = 50},
			},
	};
}

void order_init(struct order *o, const struct order_conf *conf, struct order_flow *flows, unsigned n_flows)
{
	memset(o, 0, sizeof(*o));
	o->conf = *conf;
	o->round = 1;
	LIST_INIT(&o->active);
	LIST_INIT(&o->busy);
	LIST_INIT(&o->spare);
	for (unsigned i = 0; i < n_flows; i++)
		LIST_INSERT_HEAD(&o->spare, &flows[i], of_lane);
}

void order_conf_set(struct order *o, const struct order_conf *conf)
{
	o->conf = *conf;
}

void order_places(struct order *o, unsigned slot, unsigned places)
{
	BUG_ON(slot >= ORDER_SLOTS);
	o->places[slot] = (uint16_t)places;
}

/* --- sets ----------------------------------------------------------------------------------------------------------------------- */

static bool meets(const struct order_set *a, const struct order_set *b)
{
	for (unsigned i = 0; i < ARRAY_SIZE(a->bits); i++)
		if (a->bits[i] & b->bits[i])
			return true;
	return false;
}

static bool may_go(const struct order_lane *l, const struct order_item *x, const struct order_set *free)
{
	for (unsigned i = 0; i < ARRAY_SIZE(free->bits); i++)
		if (l->slots.bits[i] & ~x->tried.bits[i] & free->bits[i])
			return true;
	return false;
}

/* --- the key -------------------------------------------------------------------------------------------------------------------- */

/* The γ-boost of a work, less that of the mean work: zero for ordinary work, positive for shorter.  Relative to the mean, because the
 * boost itself is hundreds of mean works, and a mean that drifts must not put all newcomers before or behind all who wait. */
static double boost_ns(const struct order *o, double work_ns)
{
	double gamma = o->conf.gamma, mean = o->mean_ns > 0 ? o->mean_ns : work_ns;
	double s = mean > 0 ? work_ns / mean : 1;

	if (gamma <= 0)
		return 0;
	return log(expm1(-gamma) / expm1(-gamma * (s > ORDER_LEAST ? s : ORDER_LEAST))) / gamma * mean;
}

static int64_t key_of(const struct order *o, const struct order_item *x, uint64_t now_ns)
{
	return (int64_t)(now_ns + o->conf.class[x->class].handicap_ns) - (int64_t)boost_ns(o, (double)x->work_ns);
}

uint64_t order_bound_ns(const struct order *o)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < ORDER_CLASSES; i++)
		if (o->conf.class[i].handicap_ns > most)
			most = o->conf.class[i].handicap_ns;
	if (o->mean_ns <= 0)
		return most;
	return most + (uint64_t)(boost_ns(o, 0) - boost_ns(o, INFINITY));
}

/* --- tenants ---------------------------------------------------------------------------------------------------------------------- */

static double weight_of(const struct order_tenant *t)
{
	return t->weight > 0 ? t->weight : ORDER_TENANT_1;
}

/* One who was away gets no credit for it. */
static void tenant_enter(struct order *o, struct order_tenant *t)
{
	const struct order_tenant *other;
	double least = o->idle_counter;

	if (t->waiting++)
		return;
	if (!LIST_EMPTY(&o->active))
		least = INFINITY;
	LIST_FOREACH(other, &o->active, active)
	{
		if (other->counter < least)
			least = other->counter;
	}
	if (t->counter < least)
		t->counter = least;
	LIST_INSERT_HEAD(&o->active, t, active);
}

static void tenant_leave(struct order *o, struct order_tenant *t)
{
	if (--t->waiting)
		return;
	LIST_REMOVE(t, active);
	o->idle_counter = t->counter;
}

void order_charge(struct order *o, struct order_item *x)
{
	double cost = o->conf.w_input * x->input_tokens + o->conf.w_output * x->output_tokens;

	x->tenant->counter += (cost - x->charged) / weight_of(x->tenant);
	x->charged = cost;
}

void order_settle(struct order *o, struct order_item *x, uint64_t input_tokens, uint64_t output_tokens)
{
	double cost = o->conf.w_input * (double)input_tokens + o->conf.w_output * (double)output_tokens;

	x->tenant->counter += (cost - x->charged) / weight_of(x->tenant);
	x->charged = 0;
}

/* --- in and out ------------------------------------------------------------------------------------------------------------------- */

static struct order_flow *flow_of(struct order *o, struct order_lane *l, struct order_tenant *t)
{
	struct order_flow *f;

	LIST_FOREACH(f, &l->flows, of_lane)
	{
		if (f->tenant == t)
			return f;
	}
	f = LIST_FIRST(&o->spare);
	if (!f)
		return NULL;
	LIST_REMOVE(f, of_lane);
	*f = (struct order_flow){.tenant = t, .lane = l};
	LIST_INSERT_HEAD(&l->flows, f, of_lane);
	return f;
}

static void link_item(struct order *o, struct order_item *x, struct order_flow *f)
{
	struct order_lane *l = x->lane;

	tenant_enter(o, x->tenant);
	if (!l->waiting++)
		LIST_INSERT_HEAD(&o->busy, l, busy);
	l->work_ns += x->work_ns;
	l->bytes += x->bytes;
	o->n++;
	o->class_n[x->class]++;
	o->bytes += x->bytes;
	o->work_ns += x->work_ns;
	x->flow = f;
	x->passed = 0;
	tree_insert(&f->root, x);
}

void order_remove(struct order *o, struct order_item *x)
{
	struct order_flow *f = x->flow;
	struct order_lane *l = x->lane;

	if (!f)
		return;
	tree_remove(&f->root, x);
	x->flow = NULL;
	if (!f->root) {
		LIST_REMOVE(f, of_lane);
		LIST_INSERT_HEAD(&o->spare, f, of_lane);
	}
	if (!--l->waiting)
		LIST_REMOVE(l, busy);
	l->work_ns -= x->work_ns;
	l->bytes -= x->bytes;
	o->n--;
	o->class_n[x->class]--;
	o->bytes -= x->bytes;
	o->work_ns -= x->work_ns;
	tenant_leave(o, x->tenant);
}

/* A queue of one holds one, of any class. */
static uint32_t percent_of(uint32_t n, uint32_t percent)
{
	uint32_t share = (uint32_t)((uint64_t)n * percent / 100);

	return share || !n ? share : 1;
}

static uint64_t guess_ns(const struct order *o, const struct order_item *x, uint64_t now_ns);
static float factor_of(const struct order *o, const struct order_item *x, uint64_t now_ns);

static enum order_refusal refuse(const struct order *o, struct order_item *x, uint64_t now_ns)
{
	const struct order_class_conf *c = &o->conf.class[x->class];
	uint64_t wait;

	if (o->n >= percent_of(o->conf.most_n, c->percent))
		return ORDER_REFUSE_COUNT;
	if (o->bytes + x->bytes > o->conf.most_bytes / 100 * c->percent)
		return ORDER_REFUSE_BYTES;
	x->guess_ns = guess_ns(o, x, now_ns);
	if (x->guess_ns == UINT64_MAX)
		return ORDER_REFUSE_NONE;
	x->stretch = factor_of(o, x, now_ns);
	wait = (uint64_t)((double)x->guess_ns * (double)x->stretch);
	if (o->conf.most_ns && wait > o->conf.most_ns)
		return ORDER_REFUSE_WAIT;
	return wait > c->deadline_ns ? ORDER_REFUSE_DEADLINE : ORDER_REFUSE_NONE;
}

static void mean_learn(struct order *o, uint64_t work_ns)
{
	double n = (double)(o->seq + 1 < MEAN_N ? o->seq + 1 : MEAN_N);

	o->mean_ns += ((double)work_ns - o->mean_ns) / n;
}

enum order_refusal order_add(struct order *o, struct order_item *x, uint64_t now_ns)
{
	enum order_refusal no = refuse(o, x, now_ns);
	struct order_flow *f;

	if (no != ORDER_REFUSE_NONE)
		return no;
	f = flow_of(o, x->lane, x->tenant);
	if (!f)
		return ORDER_REFUSE_COUNT;
	mean_learn(o, x->work_ns);
	x->seq = o->seq++;
	x->since_ns = now_ns;
	x->deadline_ns = clock_after_ns(now_ns, o->conf.class[x->class].deadline_ns);
	x->charged = 0;
	x->key = key_of(o, x, now_ns);
	link_item(o, x, f);
	return ORDER_REFUSE_NONE;
}

void order_put_back(struct order *o, struct order_item *x)
{
	struct order_flow *f = flow_of(o, x->lane, x->tenant);

	BUG_ON(!f || x->flow);
	order_settle(o, x, 0, 0);
	x->guess_ns = UINT64_MAX; /* what it still waits was never predicted */
	link_item(o, x, f);
}

void order_take(struct order *o, struct order_item *x)
{
	order_charge(o, x);
	order_remove(o, x);
}

/* --- who goes ---------------------------------------------------------------------------------------------------------------------- */

void order_round(struct order *o)
{
	o->round++;
}

void order_pass(struct order *o, struct order_item *x)
{
	x->passed = o->round;
}

struct order_item *order_stray(const struct order *o, const struct order_lane *l)
{
	const struct order_flow *f;

	LIST_FOREACH(f, &l->flows, of_lane)
	{
		for (struct order_item *x = tree_first(f->root); x; x = tree_next(x))
			if (x->passed != o->round && !may_go(l, x, &l->slots))
				return x;
	}
	return NULL;
}

static struct order_item *first_of(const struct order *o, const struct order_flow *f, const struct order_set *free)
{
	struct order_item *x = tree_first(f->root);

	while (x && (x->passed == o->round || !may_go(f->lane, x, free)))
		x = tree_next(x);
	return x;
}

static bool sooner(const struct order_item *a, const struct order_item *b)
{
	return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

struct order_item *order_best(struct order *o, const struct order_set *free)
{
	struct order_item *best = NULL;
	struct order_lane *l;
	struct order_flow *f;
	double least = INFINITY;

	LIST_FOREACH(l, &o->busy, busy)
	{
		bool open = meets(&l->slots, free);

		LIST_FOREACH(f, &l->flows, of_lane)
		{
			f->first = open ? first_of(o, f, free) : NULL;
			if (f->first && f->tenant->counter < least)
				least = f->tenant->counter;
		}
	}
	LIST_FOREACH(l, &o->busy, busy)
	{
		LIST_FOREACH(f, &l->flows, of_lane)
		{
			if (f->first && f->tenant->counter <= least + o->conf.slack && (!best || sooner(f->first, best)))
				best = f->first;
		}
	}
	return best;
}

/* --- how long ---------------------------------------------------------------------------------------------------------------------- */

struct ahead {
	uint64_t n, work_ns;
};

static void ahead_add(struct ahead *a, uint64_t n, uint64_t work_ns)
{
	a->n += n;
	a->work_ns += work_ns;
}

/* Everything of other tenants on the same instances goes before, but not more of each than the item's own tenant has before and
 * with it: they take turns. */
static void others_ahead(const struct order *o, const struct order_item *x, struct ahead *a)
{
	uint64_t share_n = a->n + 1, share_ns = a->work_ns + x->work_ns;
	const struct order_tenant *t;
	const struct order_lane *l;
	const struct order_flow *f;

	LIST_FOREACH(t, &o->active, active)
	{
		struct ahead theirs = {0, 0};

		if (t == x->tenant)
			continue;
		LIST_FOREACH(l, &o->busy, busy)
		{
			if (l != x->lane && !meets(&l->slots, &x->lane->slots))
				continue;
			LIST_FOREACH(f, &l->flows, of_lane)
			{
				if (f->tenant == t)
					ahead_add(&theirs, f->root->sum_n, f->root->sum_ns);
			}
		}
		ahead_add(a, theirs.n < share_n ? theirs.n : share_n, theirs.work_ns < share_ns ? theirs.work_ns : share_ns);
	}
}

static unsigned capacity(const struct order *o, const struct order_set *slots)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(slots->bits); i++)
		for (uint64_t m = slots->bits[i]; m; m &= m - 1)
			n += o->places[i * 64 + (unsigned)__builtin_ctzll(m)];
	return n;
}

static struct ahead before_item(const struct order *o, const struct order_item *x, int64_t key, uint64_t seq, uint64_t *wait_ns)
{
	struct order_set reach = x->lane->slots;
	struct ahead a = {0, 0};
	const struct order_lane *l;
	const struct order_flow *f;
	unsigned places;

	LIST_FOREACH(l, &o->busy, busy)
	{
		if (l != x->lane && !meets(&l->slots, &x->lane->slots))
			continue;
		for (unsigned i = 0; i < ARRAY_SIZE(reach.bits); i++)
			reach.bits[i] |= l->slots.bits[i];
		LIST_FOREACH(f, &l->flows, of_lane)
		{
			uint64_t n, work;

			if (f->tenant != x->tenant)
				continue;
			tree_before(f->root, key, seq, &n, &work);
			ahead_add(&a, n, work);
		}
	}
	others_ahead(o, x, &a);
	places = capacity(o, &x->lane->slots) ? capacity(o, &reach) : 0;
	/* Those on the instances now have on average a whole work left between them until the next place is free. */
	*wait_ns = places ? (uint64_t)(((double)a.work_ns + o->mean_ns) / places) : UINT64_MAX;
	return a;
}

void order_position(const struct order *o, const struct order_item *x, unsigned *ahead, uint64_t *wait_ns)
{
	*ahead = (unsigned)before_item(o, x, x->key, x->seq, wait_ns).n;
}

static uint64_t guess_ns(const struct order *o, const struct order_item *x, uint64_t now_ns)
{
	uint64_t wait;

	before_item(o, x, key_of(o, x, now_ns), o->seq, &wait);
	return wait;
}

static unsigned size_of(const struct order *o, const struct order_item *x)
{
	double share = o->mean_ns > 0 ? (double)x->work_ns / o->mean_ns : 1;

	return share < 0.5 ? 0 : share < 1 ? 1 : share < 2 ? 2 : share < 4 ? 3 : 4;
}

static float factor_of(const struct order *o, const struct order_item *x, uint64_t now_ns)
{
	return stretch_factor(&o->stretch[x->class][size_of(o, x)], now_ns);
}

uint64_t order_wait_ns(const struct order *o, const struct order_item *x, uint64_t now_ns)
{
	uint64_t guess = guess_ns(o, x, now_ns);

	return guess == UINT64_MAX ? guess : (uint64_t)((double)guess * (double)factor_of(o, x, now_ns));
}

void order_waited(struct order *o, const struct order_item *x, bool in_vain, uint64_t now_ns)
{
	uint64_t longest = o->conf.class[x->class].deadline_ns;

	/* Short waits are those of a short queue: nothing is decided by them. */
	if (x->guess_ns == UINT64_MAX || (!in_vain && (float)x->guess_ns * x->stretch < (float)longest / TELLING))
		return;
	stretch_learn(&o->stretch[x->class][size_of(o, x)], x->stretch, x->guess_ns, now_ns - x->since_ns, in_vain, now_ns);
}

void order_drained(struct order *o, uint64_t work_ns, uint64_t now_ns)
{
	double span = now_ns > o->drained_ns ? (double)(now_ns - o->drained_ns) : 0;
	double left = exp(-span / DRAIN_TAU_NS);
	bool first = !o->drained_ns;

	o->drained_ns = now_ns;
	/* Without a queue the rate is that of the demand, not of the service. */
	if (first || !o->n)
		return;
	o->drain_ns = o->drain_ns * left + (double)work_ns;
	o->drain_n = o->drain_n * left + 1;
	o->drain_span_ns = o->drain_span_ns * left + span;
}

unsigned order_retry_after_s(const struct order *o, uint64_t now_ns)
{
	double rate = 0, s;
	unsigned places = 0;

	for (unsigned i = 0; i < ORDER_SLOTS; i++)
		places += o->places[i];
	/* Nothing has ended for a while: the rate sinks with the silence. */
	if (o->drain_span_ns > 0)
		rate = o->drain_ns / (o->drain_span_ns + (now_ns > o->drained_ns ? (double)(now_ns - o->drained_ns) : 0));
	else
		rate = places;
	s = rate > 0 ? ((double)o->work_ns + o->mean_ns) / rate / (double)NS_PER_S : RETRY_MOST_S;
	return s < 1 ? 1 : s > RETRY_MOST_S ? RETRY_MOST_S : (unsigned)ceil(s);
}

/* --- words ---------------------------------------------------------------------------------------------------------------------------- */

const char *order_refusal_text(enum order_refusal refusal)
{
	static const char *const TEXT[ORDER_REFUSAL_COUNT] = {
#define REFUSAL(name, word, sentence) [ORDER_REFUSE_##name] = word,
		ORDER_REFUSALS(REFUSAL)
#undef REFUSAL
	};

	return (unsigned)refusal < ORDER_REFUSAL_COUNT ? TEXT[refusal] : "unknown";
}

const char *order_class_text(enum order_class class)
{
	static const char *const TEXT[ORDER_CLASSES] = {"interactive", "normal", "batch"};

	return (unsigned)class < ORDER_CLASSES ? TEXT[class] : "unknown";
}
