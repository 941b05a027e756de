#include "route/order.h"

#include <math.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "route/order_tree.h"

#define MEAN_N       256  /* requests that the mean work looks back on */
#define DRAIN_TAU_NS 60e9 /* memory of the drain rate */
#define RETRY_MOST_S 120
#define TAKEN_TAU_NS 30e9  /* memory of what each class was given */
#define SPREAD       2     /* standard deviations that a promise leaves room for; works are about as spread as exponential ones */
#define LARGER_MOST  2     /* times the queue looks longer to large work than to that of the mean */
#define LEFT_LEAST   0.1   /* of the places remains to everybody */

void order_conf_default(struct order_conf *conf)
{
	*conf = (struct order_conf){
		.gamma = 0.011,
		.w_input = 1,
		.w_output = 2,
		.most_n = 512,
		.most_bytes = 256ULL << 20,
		.tenant_percent = 75,
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

/* Of the first one that ever waits, its own. */
static double mean_of(const struct order *o, const struct order_item *x)
{
	return o->mean_ns > 0 ? o->mean_ns : (double)x->work_ns;
}

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

static void taken_add(struct order_taken *t, const struct order_item *x, uint64_t now_ns)
{
	double left = now_ns > t->at_ns ? exp(-(double)(now_ns - t->at_ns) / TAKEN_TAU_NS) : 1;

	t->at_ns = now_ns;
	for (unsigned i = 0; i < ORDER_CLASSES; i++)
		t->ns[i] *= left;
	t->ns[x->class] += (double)x->work_ns;
}

/* By the classes better than `below`. */
static double taken_ns(const struct order_taken *t, unsigned below, uint64_t now_ns)
{
	double sum = 0;

	for (unsigned i = 0; i < below; i++)
		sum += t->ns[i];
	return sum > 0 && now_ns > t->at_ns ? sum * exp(-(double)(now_ns - t->at_ns) / TAKEN_TAU_NS) : sum;
}

void order_charge(struct order *o, struct order_item *x, uint64_t now_ns)
{
	double cost = o->conf.w_input * x->input_tokens + o->conf.w_output * x->output_tokens;

	taken_add(&o->taken, x, now_ns);
	taken_add(&x->tenant->taken, x, now_ns);
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

static struct order_flow *flow_of(struct order *o, const struct order_item *x)
{
	struct order_lane *l = x->lane;
	struct order_flow *f;

	LIST_FOREACH(f, &l->flows, of_lane)
	{
		if (f->tenant == x->tenant && f->class == x->class)
			return f;
	}
	f = LIST_FIRST(&o->spare);
	if (!f)
		return NULL;
	LIST_REMOVE(f, of_lane);
	*f = (struct order_flow){.tenant = x->tenant, .lane = l, .class = x->class};
	LIST_INSERT_HEAD(&l->flows, f, of_lane);
	return f;
}

static void link_item(struct order *o, struct order_item *x, struct order_flow *f)
{
	struct order_lane *l = x->lane;

	tenant_enter(o, x->tenant);
	x->tenant->bytes += x->bytes;
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
	x->tenant->bytes -= x->bytes;
	tenant_leave(o, x->tenant);
}

/* A queue of one holds one, of any class. */
static uint32_t percent_of(uint32_t n, uint32_t percent)
{
	uint32_t share = (uint32_t)((uint64_t)n * percent / 100);

	return share || !n ? share : 1;
}

enum order_refusal order_full(const struct order *o, const struct order_tenant *t, enum order_class class)
{
	if (o->n >= percent_of(o->conf.most_n, o->conf.class[class].percent))
		return ORDER_REFUSE_COUNT;
	return t && t->waiting >= percent_of(o->conf.most_n, o->conf.tenant_percent) ? ORDER_REFUSE_TENANT : ORDER_REFUSE_NONE;
}

/* How long one added now may wait. */
struct prospect {
	bool never; /* no instance takes its lane: nothing can be said */
	double ahead_ns, more_ns; /* by what waits already; by what runs, and by what may be longer than expected */
};

static struct prospect prospect_of(const struct order *o, const struct order_item *x, uint64_t now_ns);

/* Large work is let in only while the queue is short: whom else to refuse under overload?  So more are served, and they wait less.  Not
 * below the mean: there all are alike. */
static double larger(const struct order *o, const struct order_item *x)
{
	double share = (double)x->work_ns / mean_of(o, x);

	return share < 1 ? 1 : share > LARGER_MOST ? LARGER_MOST : share;
}

static enum order_refusal refuse(const struct order *o, const struct order_item *x, const struct prospect *p)
{
	const struct order_class_conf *c = &o->conf.class[x->class];
	enum order_refusal full = order_full(o, x->tenant, x->class);

	if (full != ORDER_REFUSE_NONE)
		return full;
	if (o->bytes + x->bytes > o->conf.most_bytes / 100 * c->percent)
		return ORDER_REFUSE_BYTES;
	if (x->tenant->bytes + x->bytes > o->conf.most_bytes / 100 * o->conf.tenant_percent)
		return ORDER_REFUSE_TENANT;
	if (p->never)
		return ORDER_REFUSE_NONE;
	if (o->conf.most_ns && !x->guessed && p->ahead_ns + p->more_ns > (double)o->conf.most_ns)
		return ORDER_REFUSE_WAIT;
	return p->ahead_ns * larger(o, x) + p->more_ns > (double)c->deadline_ns ? ORDER_REFUSE_DEADLINE : ORDER_REFUSE_NONE;
}

static void mean_learn(struct order *o, uint64_t work_ns)
{
	double n = (double)(o->seq + 1 < MEAN_N ? o->seq + 1 : MEAN_N);

	o->mean_ns += ((double)work_ns - o->mean_ns) / n;
}

enum order_refusal order_add(struct order *o, struct order_item *x, uint64_t now_ns)
{
	struct prospect p = prospect_of(o, x, now_ns);
	enum order_refusal no = refuse(o, x, &p);
	struct order_flow *f;

	if (no != ORDER_REFUSE_NONE)
		return no;
	f = flow_of(o, x);
	if (!f)
		return ORDER_REFUSE_COUNT;
	mean_learn(o, x->work_ns);
	x->seq = o->seq++;
	x->since_ns = now_ns;
	x->deadline_ns = clock_after_ns(now_ns, o->conf.class[x->class].deadline_ns);
	x->latest_ns = x->deadline_ns == CLOCK_NEVER || p.never ? CLOCK_NEVER : x->deadline_ns - (uint64_t)(p.ahead_ns + p.more_ns);
	x->charged = 0;
	x->key = key_of(o, x, now_ns);
	/* What was silent before had nothing to do. */
	if (!o->n) {
		o->drained_ns = now_ns;
		o->begun = true;
	}
	link_item(o, x, f);
	return ORDER_REFUSE_NONE;
}

void order_put_back(struct order *o, struct order_item *x)
{
	struct order_flow *f = flow_of(o, x);

	BUG_ON(!f || x->flow);
	order_settle(o, x, 0, 0);
	link_item(o, x, f);
}

void order_take(struct order *o, struct order_item *x, uint64_t now_ns)
{
	order_charge(o, x, now_ns);
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

static bool admissible(const struct order *o, const struct order_item *x, const struct order_set *free)
{
	return x->passed != o->round && may_go(x->lane, x, free);
}

static struct order_item *first_of(const struct order *o, const struct order_flow *f, const struct order_set *free)
{
	struct order_item *x = tree_first(f->root);

	while (x && !admissible(o, x, free))
		x = tree_next(x);
	return x;
}

/* No time is left to let others pass: the oldest. */
static struct order_item *pressed_of(const struct order *o, const struct order_flow *f, const struct order_set *free, uint64_t now_ns)
{
	struct order_item *x = f->root->soonest_ns <= now_ns ? tree_eldest(f->root) : NULL;

	return x && admissible(o, x, free) ? x : NULL;
}

static bool sooner(const struct order_item *a, const struct order_item *b)
{
	return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

/* Within a class, one that is pressed takes the turn of whoever would be next, and that of worse classes.  A better class keeps its. */
struct turn {
	struct order_item *next, *pressed;
};

static void turn_offer(struct turn *t, struct order_item *next, struct order_item *pressed)
{
	if (!t->next || sooner(next, t->next))
		t->next = next;
	if (pressed && (!t->pressed || pressed->since_ns < t->pressed->since_ns))
		t->pressed = pressed;
}

struct order_item *order_best(struct order *o, const struct order_set *free, uint64_t now_ns)
{
	struct turn turns[ORDER_CLASSES] = {0}, *best = &turns[0];
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
			if (f->first && f->tenant->counter <= least + o->conf.slack)
				turn_offer(&turns[f->class], f->first, pressed_of(o, f, free, now_ns));
		}
	}
	for (unsigned i = 1; i < ORDER_CLASSES; i++)
		if (turns[i].next && (!best->next || (!best->pressed && sooner(turns[i].next, best->next))))
			best = &turns[i];
	return best->pressed ? best->pressed : best->next;
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

/* What goes before an item with this key; with `own`, all that came before it and is of its class or a better one, for that may be
 * promised to go first, and `own` is its tenant's part.  `*places` they share: 0 when no instance takes its lane. */
static struct ahead before_item(const struct order *o, const struct order_item *x, int64_t key, uint64_t seq, struct ahead *own,
				unsigned *places)
{
	struct order_set reach = x->lane->slots;
	struct ahead a = {0, 0};
	const struct order_lane *l;
	const struct order_flow *f;

	LIST_FOREACH(l, &o->busy, busy)
	{
		if (l != x->lane && !meets(&l->slots, &x->lane->slots))
			continue;
		for (unsigned i = 0; i < ARRAY_SIZE(reach.bits); i++)
			reach.bits[i] |= l->slots.bits[i];
		LIST_FOREACH(f, &l->flows, of_lane)
		{
			uint64_t n = f->root->sum_n, work = f->root->sum_ns;

			if (f->tenant != x->tenant)
				continue;
			if (!own || f->class > x->class)
				tree_before(f->root, key, seq, &n, &work);
			ahead_add(&a, n, work);
		}
	}
	if (own)
		*own = a;
	others_ahead(o, x, &a);
	*places = capacity(o, &x->lane->slots) ? capacity(o, &reach) : 0;
	return a;
}

/* Those on the instances now have on average a whole work left between them until the next place is free. */
static double wait_of(const struct order *o, const struct order_item *x, double work_ns, double places)
{
	return (work_ns + mean_of(o, x)) / places;
}

void order_position(const struct order *o, const struct order_item *x, unsigned *ahead, uint64_t *wait_ns)
{
	unsigned places;
	struct ahead a = before_item(o, x, x->key, x->seq, NULL, &places);

	*ahead = (unsigned)a.n;
	*wait_ns = places ? (uint64_t)wait_of(o, x, (double)a.work_ns, places) : UINT64_MAX;
}

/* The share of the places that the item can count on, by what others have had of late: other tenants, who may have theirs again but
 * leave it its turns, and better classes of its own. */
static double left_by_others(const struct order *o, const struct order_item *x, uint64_t now_ns)
{
	double mine = taken_ns(&x->tenant->taken, ORDER_CLASSES, now_ns), better = taken_ns(&x->tenant->taken, x->class, now_ns);
	double all = 0, others, left, turns = 2;
	const struct order_tenant *t;

	for (unsigned i = 0; i < ORDER_SLOTS; i++)
		all += o->places[i] * TAKEN_TAU_NS;
	others = all > 0 ? (taken_ns(&o->taken, ORDER_CLASSES, now_ns) - mine) / all : 0;
	better = all > 0 ? better / all : 0;
	LIST_FOREACH(t, &o->active, active)
	{
		turns += t != x->tenant;
	}
	left = (1 - others > 1 / turns ? 1 - others : 1 / turns) - better;
	return left > LEFT_LEAST ? left : LEFT_LEAST;
}

static struct prospect prospect_of(const struct order *o, const struct order_item *x, uint64_t now_ns)
{
	struct ahead own = {0, 0}, all;
	double left = left_by_others(o, x, now_ns), mean = mean_of(o, x), work;
	unsigned places;

	all = before_item(o, x, key_of(o, x, now_ns), o->seq, &own, &places);
	if (!places)
		return (struct prospect){.never = true};
	/* Behind all that waits, or behind its own while newcomers of others take their turns: whichever is longer. */
	work = (double)own.work_ns / left > (double)all.work_ns ? (double)own.work_ns / left : (double)all.work_ns;
	return (struct prospect){.ahead_ns = work / places, .more_ns = (mean + SPREAD * mean * sqrt((double)all.n) / left) / places};
}

uint64_t order_wait_ns(const struct order *o, const struct order_item *x, uint64_t now_ns)
{
	struct prospect p = prospect_of(o, x, now_ns);

	return p.never ? UINT64_MAX : (uint64_t)(p.ahead_ns + p.more_ns);
}

void order_drained(struct order *o, uint64_t work_ns, uint64_t now_ns)
{
	double span = now_ns > o->drained_ns ? (double)(now_ns - o->drained_ns) : 0;
	double left = exp(-span / DRAIN_TAU_NS);
	bool first = o->begun;

	o->drained_ns = now_ns;
	o->begun = false;
	/* Without a queue the rate is that of the demand, not of the service; and who ends first was at work before the queue began. */
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
