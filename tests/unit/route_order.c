/* The queue: the tree against a plain sort, starvation bounded, tokens shared fairly, limits, and mean and worst wait on a trace. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/clock.h"
#include "route/order.h"

#define MANY 512

/* splitmix64: the same schedules on every machine. */
static uint64_t seed;

static uint64_t any(void)
{
	uint64_t x = seed += 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static uint64_t below(uint64_t n)
{
	return any() % n;
}

static struct order o;
static struct order_conf conf;
static struct order_flow flows[MANY];
static struct order_item items[MANY];
static struct order_tenant tenants[8];
static struct order_lane lanes[4];
static const struct order_set ALL = {{~0ULL, ~0ULL}};

static int fresh(void **state)
{
	(void)state;
	order_conf_default(&conf);
	conf.most_n = MANY;
	conf.tenant_percent = 100;
	for (unsigned i = 0; i < ORDER_CLASSES; i++)
		conf.class[i].deadline_ns = CLOCK_NEVER;
	memset(items, 0, sizeof(items));
	memset(tenants, 0, sizeof(tenants));
	memset(lanes, 0, sizeof(lanes));
	for (unsigned i = 0; i < ARRAY_SIZE(lanes); i++)
		lanes[i].slots = ALL;
	order_init(&o, &conf, flows, MANY);
	order_places(&o, 0, 1);
	seed = 1;
	return 0;
}

static struct order_item *item(unsigned i, unsigned tenant, unsigned lane, uint64_t work_ns)
{
	items[i] = (struct order_item){.tenant = &tenants[tenant], .lane = &lanes[lane], .class = ORDER_NORMAL, .work_ns = work_ns};
	return &items[i];
}

static void add(unsigned i, unsigned tenant, unsigned lane, uint64_t work_ns, uint64_t now_ns)
{
	assert_int_equal(order_add(&o, item(i, tenant, lane, work_ns), now_ns), ORDER_REFUSE_NONE);
}

/* --- order ------------------------------------------------------------------------------------------------------------------------- */

static bool sooner(const struct order_item *a, const struct order_item *b)
{
	return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

/* Against a plain search: who is next, how many are before, and how much work. */
static void same_as_sorting(void **state)
{
	bool in[MANY] = {false};
	uint64_t now = NS_PER_S;

	(void)state;
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i = (unsigned)below(200);
		struct order_item *best = NULL;
		uint64_t work = 0, wait;
		unsigned n = 0, ahead;

		now += below(NS_PER_S);
		if (in[i])
			order_remove(&o, &items[i]);
		else
			add(i, 0, (unsigned)below(3), 1 + below(30 * NS_PER_S), now);
		in[i] = !in[i];
		for (unsigned k = 0; k < 200; k++)
			if (in[k] && (!best || sooner(&items[k], best)))
				best = &items[k];
		assert_ptr_equal(order_best(&o, &ALL, 0), best);
		if (!in[i])
			continue;
		for (unsigned k = 0; k < 200; k++) {
			if (!in[k] || !sooner(&items[k], &items[i]))
				continue;
			n++;
			work += items[k].work_ns;
		}
		order_position(&o, &items[i], &ahead, &wait);
		assert_int_equal(ahead, n);
		assert_true(wait >= work && wait <= work + 31 * NS_PER_S);
	}
	for (unsigned i = 0; i < 200; i++)
		order_remove(&o, &items[i]);
	assert_int_equal(o.n, 0);
	assert_int_equal(o.work_ns, 0);
	assert_true(LIST_EMPTY(&o.active) && LIST_EMPTY(&o.busy));
}

static void short_before_long_but_not_for_ever(void **state)
{
	(void)state;
	add(0, 0, 0, 20 * NS_PER_S, NS_PER_S);
	add(1, 0, 0, 2 * NS_PER_S, 2 * NS_PER_S);
	assert_ptr_equal(order_best(&o, &ALL, 0), &items[1]);
	order_remove(&o, &items[1]);
	/* Whoever arrives after the bound is behind, however short. */
	add(2, 0, 0, 1, NS_PER_S + order_bound_ns(&o) + NS_PER_S);
	assert_ptr_equal(order_best(&o, &ALL, 0), &items[0]);
}

/* No item is overtaken by one that came more than the bound later, whatever the works and classes. */
static void starvation_is_bounded(void **state)
{
	(void)state;
	for (unsigned run = 0; run < 200; run++) {
		uint64_t now = NS_PER_S, bound = 0;
		unsigned n = 0;

		fresh(NULL);
		seed = run;
		conf.gamma = 0.002 + (double)below(200) / 100;
		order_conf_set(&o, &conf);
		for (; n < 300; n++) {
			item(n, 0, 0, 1 + below(1ULL << (20 + below(16))));
			items[n].class = (enum order_class)below(ORDER_CLASSES);
			if (order_add(&o, &items[n], now) != ORDER_REFUSE_NONE)
				break;
			bound = order_bound_ns(&o) > bound ? order_bound_ns(&o) : bound;
			now += below(bound / 20);
		}
		while (o.n) {
			struct order_item *x = order_best(&o, &ALL, 0);

			for (unsigned i = 0; i < n; i++)
				if (items[i].flow)
					assert_true(x->since_ns <= items[i].since_ns + bound);
			order_take(&o, x, 0);
		}
	}
}

static void classes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		item(i, 0, 0, NS_PER_S)->class = (enum order_class)(2 - i);
		assert_int_equal(order_add(&o, &items[i], (i + 1) * NS_PER_S), ORDER_REFUSE_NONE);
	}
	for (unsigned i = 0; i < 3; i++) {
		struct order_item *x = order_best(&o, &ALL, 0);

		assert_int_equal(x->class, i);
		order_take(&o, x, 0);
	}
}

/* --- lanes -------------------------------------------------------------------------------------------------------------------------- */

static struct order_set one(unsigned slot)
{
	struct order_set s = {{0}};

	order_set_add(&s, slot);
	return s;
}

static void only_where_the_model_is(void **state)
{
	struct order_set at3 = one(3), at100 = one(100), both = one(3);
	unsigned ahead;
	uint64_t wait;

	(void)state;
	order_set_add(&both, 100);
	lanes[0].slots = at3;
	lanes[1].slots = at100;
	add(0, 0, 0, NS_PER_S, NS_PER_S);
	add(1, 0, 1, NS_PER_S, 2 * NS_PER_S);
	add(2, 0, 1, NS_PER_S, 3 * NS_PER_S);
	assert_ptr_equal(order_best(&o, &at100, 0), &items[1]);
	assert_ptr_equal(order_best(&o, &at3, 0), &items[0]);
	assert_ptr_equal(order_best(&o, &both, 0), &items[0]);
	assert_null(order_best(&o, &(struct order_set){{0}}, 0));
	/* It failed there: the next one may go. */
	items[1].tried = at100;
	assert_ptr_equal(order_best(&o, &at100, 0), &items[2]);
	items[1].tried = (struct order_set){{0}};
	order_round(&o);
	order_pass(&o, &items[1]);
	assert_ptr_equal(order_best(&o, &at100, 0), &items[2]);
	order_round(&o);
	assert_ptr_equal(order_best(&o, &at100, 0), &items[1]);
	/* Lanes that share no instance do not stand in each other's way. */
	order_places(&o, 100, 2);
	order_position(&o, &items[2], &ahead, &wait);
	assert_int_equal(ahead, 1);
	assert_int_equal(wait, NS_PER_S);
	order_position(&o, &items[0], &ahead, &wait);
	assert_int_equal(ahead, 0);
	assert_true(wait == UINT64_MAX); /* slot 3 has no places */
}

/* --- tenants ------------------------------------------------------------------------------------------------------------------------ */

static void returning_tenant_has_no_credit(void **state)
{
	unsigned served[2] = {0};

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		add(i, 0, 0, NS_PER_S, NS_PER_S);
		items[i].output_tokens = 100;
	}
	for (unsigned i = 0; i < 50; i++)
		order_take(&o, order_best(&o, &ALL, 0), 0);
	/* Tenant 1 was away all the time; from now on they take turns. */
	for (unsigned i = 100; i < 200; i++) {
		add(i, 1, 0, NS_PER_S, 2 * NS_PER_S);
		items[i].output_tokens = 100;
	}
	for (unsigned i = 0; i < 40; i++) {
		struct order_item *x = order_best(&o, &ALL, 0);

		served[x->tenant - tenants]++;
		order_take(&o, x, 0);
	}
	assert_in_range(served[1], 19, 21);
}

static void weights_and_slack(void **state)
{
	unsigned served[2] = {0};

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		add(i, i % 2, 0, NS_PER_S, NS_PER_S + i);
		items[i].output_tokens = 100;
	}
	tenants[1].weight = 3;
	for (unsigned i = 0; i < 80; i++) {
		struct order_item *x = order_best(&o, &ALL, 0);

		served[x->tenant - tenants]++;
		order_take(&o, x, 0);
	}
	assert_in_range(served[1], 59, 61);
	/* Within the slack the key decides. */
	conf.slack = 1e9;
	order_conf_set(&o, &conf);
	for (unsigned i = 0, last = 0; i < 40; i++) {
		struct order_item *x = order_best(&o, &ALL, 0);

		assert_true(i == 0 || x->since_ns > items[last].since_ns);
		last = (unsigned)(x - items);
		order_take(&o, x, 0);
	}
}

/* One random schedule of two to four tenants on 1..8 places.  Service is counted as it is given: the prompt when it starts, the answer
 * as it comes.  Returns the largest difference of service between two tenants over a time in which both always had requests waiting,
 * as a share of the bound. */
struct running {
	struct order_item *x;
	uint64_t from_ns, end_ns;
	uint32_t output;
};

#define MOST_IN  2000
#define MOST_OUT 500

struct schedule {
	struct running run[8];
	unsigned n_run, places, n_tenants;
	uint32_t output[MANY]; /* what each really answers */
	double served[4];      /* of what has ended, and prompts */
	double low[4][4], high[4][4];
	bool together[4][4];
};

static double served_by(const struct schedule *s, unsigned t, uint64_t now_ns)
{
	double sum = s->served[t];

	for (unsigned i = 0; i < s->n_run; i++) {
		const struct running *r = &s->run[i];

		if (r->x->tenant == &tenants[t])
			sum += 2.0 * r->output * (double)(now_ns - r->from_ns) / (double)(r->end_ns - r->from_ns);
	}
	return sum;
}

static double gap_seen(struct schedule *s, uint64_t now_ns)
{
	double worst = 0;

	for (unsigned f = 0; f < s->n_tenants; f++) {
		for (unsigned g = 0; g < f; g++) {
			double d = served_by(s, f, now_ns) - served_by(s, g, now_ns);

			if (!tenants[f].waiting || !tenants[g].waiting) {
				s->together[f][g] = false;
				continue;
			}
			if (!s->together[f][g])
				s->low[f][g] = s->high[f][g] = d;
			s->together[f][g] = true;
			s->low[f][g] = d < s->low[f][g] ? d : s->low[f][g];
			s->high[f][g] = d > s->high[f][g] ? d : s->high[f][g];
			if (s->high[f][g] - s->low[f][g] > worst)
				worst = s->high[f][g] - s->low[f][g];
		}
	}
	return worst;
}

static void start_all(struct schedule *s, uint64_t now_ns)
{
	struct order_item *x;

	while (s->n_run < s->places && (x = order_best(&o, &ALL, 0))) {
		uint32_t out = s->output[x - items];

		order_take(&o, x, 0);
		s->served[x->tenant - tenants] += x->input_tokens;
		s->run[s->n_run++] = (struct running){
			.x = x, .from_ns = now_ns, .end_ns = now_ns + (out + x->input_tokens / 10 + 1) * NS_PER_MS, .output = out};
	}
}

static void end_one(struct schedule *s, unsigned i)
{
	struct order_item *x = s->run[i].x;

	s->served[x->tenant - tenants] += 2.0 * s->run[i].output;
	order_settle(&o, x, x->input_tokens, s->run[i].output);
	s->run[i] = s->run[--s->n_run];
}

static double schedule_run(uint64_t number)
{
	struct schedule s = {0};
	uint64_t now = NS_PER_S, next = now;
	unsigned added = 0;
	double worst = 0;

	seed = number;
	s.places = 1 + (unsigned)below(8);
	s.n_tenants = 2 + (unsigned)below(3);
	unsigned greedy = (unsigned)below(s.n_tenants), total = 60 + (unsigned)below(100);
	uint64_t pause = 1 + below(300);

	while (added < total || s.n_run) {
		unsigned first = 0;

		for (unsigned i = 1; i < s.n_run; i++)
			if (s.run[i].end_ns < s.run[first].end_ns)
				first = i;
		if (added < total && (!s.n_run || next <= s.run[first].end_ns)) {
			unsigned t = below(3) ? greedy : (unsigned)below(s.n_tenants);
			struct order_item *x = item(added, t, 0, NS_PER_S);

			now = next;
			x->input_tokens = 1 + (uint32_t)below(t == greedy ? MOST_IN : MOST_IN / 4);
			x->output_tokens = MOST_OUT / 2;
			s.output[added++] = (uint32_t)below(MOST_OUT + 1);
			assert_int_equal(order_add(&o, x, now), ORDER_REFUSE_NONE);
			next = now + below(pause) * NS_PER_MS;
		} else {
			now = s.run[first].end_ns;
			end_one(&s, first);
		}
		worst = gap_seen(&s, now) > worst ? gap_seen(&s, now) : worst;
		start_all(&s, now);
		worst = gap_seen(&s, now) > worst ? gap_seen(&s, now) : worst;
	}
	/* 2·max(w_p·L, w_q·M), M: the tokens that may be in the works at once. */
	return worst / (2.0 * 2.0 * s.places * (MOST_IN + MOST_OUT));
}

static void tokens_are_shared_fairly(void **state)
{
	unsigned broken_without = 0;
	double most = 0;

	(void)state;
	for (unsigned run = 0; run < 10000; run++) {
		double share;

		fresh(NULL);
		share = schedule_run(run);
		assert_true(share <= 1.0);
		most = share > most ? share : most;
	}
	print_message("largest gap of service in 10000 schedules: %.2f of the bound\n", most);
	/* The bound says something: without counters it does not hold. */
	for (unsigned run = 0; run < 500; run++) {
		fresh(NULL);
		conf.w_input = conf.w_output = 0;
		order_conf_set(&o, &conf);
		broken_without += schedule_run(run) > 1.0;
	}
	print_message("without counters it is broken in %u of 500\n", broken_without);
	assert_true(broken_without > 0);
}

/* --- limits ------------------------------------------------------------------------------------------------------------------------- */

static void limits(void **state)
{
	(void)state;
	conf.most_n = 4;
	conf.most_bytes = 1000;
	order_conf_set(&o, &conf);
	item(0, 0, 0, NS_PER_S)->bytes = 800;
	assert_int_equal(order_add(&o, &items[0], NS_PER_S), ORDER_REFUSE_NONE);
	item(1, 0, 0, NS_PER_S)->bytes = 300;
	assert_int_equal(order_add(&o, &items[1], NS_PER_S), ORDER_REFUSE_BYTES);
	assert_null(items[1].flow);
	for (unsigned i = 1; i < 3; i++)
		add(i, 0, 0, NS_PER_S, NS_PER_S);
	/* A normal one may fill 90 % of four places, an interactive one all. */
	assert_int_equal(order_add(&o, item(3, 0, 0, NS_PER_S), NS_PER_S), ORDER_REFUSE_COUNT);
	item(3, 0, 0, NS_PER_S)->class = ORDER_INTERACTIVE;
	assert_int_equal(order_add(&o, &items[3], NS_PER_S), ORDER_REFUSE_NONE);
	assert_string_equal(order_refusal_text(ORDER_REFUSE_COUNT), "queue-full");
}

static void one_tenant_leaves_room_for_others(void **state)
{
	(void)state;
	conf.most_n = 40;
	conf.most_bytes = 1000;
	conf.tenant_percent = 75;
	order_conf_set(&o, &conf);
	for (unsigned i = 0; i < 30; i++)
		add(i, 0, 0, NS_PER_S, NS_PER_S);
	assert_int_equal(order_add(&o, item(30, 0, 0, NS_PER_S), NS_PER_S), ORDER_REFUSE_TENANT);
	assert_string_equal(order_refusal_text(ORDER_REFUSE_TENANT), "queue-tenant");
	/* Somebody else has the rest, up to the limit of the class. */
	for (unsigned i = 30; i < 36; i++)
		add(i, 1, 0, NS_PER_S, NS_PER_S);
	assert_int_equal(order_add(&o, item(36, 1, 0, NS_PER_S), NS_PER_S), ORDER_REFUSE_COUNT);
	for (unsigned i = 0; i < 36; i++)
		order_remove(&o, &items[i]);
	/* The same of bytes, and what has left is given back. */
	item(0, 0, 0, NS_PER_S)->bytes = 700;
	assert_int_equal(order_add(&o, &items[0], NS_PER_S), ORDER_REFUSE_NONE);
	item(1, 0, 0, NS_PER_S)->bytes = 100;
	assert_int_equal(order_add(&o, &items[1], NS_PER_S), ORDER_REFUSE_TENANT);
	items[1].tenant = &tenants[1];
	assert_int_equal(order_add(&o, &items[1], NS_PER_S), ORDER_REFUSE_NONE);
	order_remove(&o, &items[0]);
	assert_int_equal(tenants[0].bytes, 0);
}

static void predicted_wait_refuses(void **state)
{
	(void)state;
	conf.class[ORDER_NORMAL].deadline_ns = 41 * NS_PER_S;
	order_conf_set(&o, &conf);
	/* What waits, what runs, and room for two standard deviations: 10 + 10 + 20 s. */
	add(0, 0, 0, 10 * NS_PER_S, NS_PER_S);
	assert_int_equal(order_wait_ns(&o, item(1, 0, 0, 10 * NS_PER_S), NS_PER_S), 40 * NS_PER_S);
	add(1, 0, 0, 10 * NS_PER_S, NS_PER_S);
	assert_int_equal(order_add(&o, item(2, 0, 0, 10 * NS_PER_S), NS_PER_S), ORDER_REFUSE_DEADLINE);
	order_remove(&o, &items[1]);
	/* To twice the work the queue looks twice as long. */
	assert_int_equal(order_add(&o, item(1, 0, 0, 20 * NS_PER_S), NS_PER_S), ORDER_REFUSE_DEADLINE);
	conf.class[ORDER_NORMAL].deadline_ns = CLOCK_NEVER;
	conf.most_ns = 41 * NS_PER_S;
	order_conf_set(&o, &conf);
	add(1, 0, 0, 10 * NS_PER_S, NS_PER_S);
	assert_int_equal(order_add(&o, item(2, 0, 0, 10 * NS_PER_S), NS_PER_S), ORDER_REFUSE_WAIT);
	item(2, 0, 0, 10 * NS_PER_S)->guessed = true;
	assert_int_equal(order_add(&o, &items[2], NS_PER_S), ORDER_REFUSE_NONE);
	/* Nothing takes the model now: how long that lasts is not known here. */
	lanes[1].slots = (struct order_set){{0}};
	assert_int_equal(order_add(&o, item(3, 0, 1, 10 * NS_PER_S), NS_PER_S), ORDER_REFUSE_NONE);
}

static void one_that_is_pressed_takes_the_turn(void **state)
{
	uint64_t t = NS_PER_S, soonest;

	(void)state;
	for (unsigned i = 0; i < ORDER_CLASSES; i++)
		conf.class[i].deadline_ns = 100 * NS_PER_S;
	order_conf_set(&o, &conf);
	add(0, 0, 0, 20 * NS_PER_S, t);
	assert_int_equal(items[0].latest_ns, t + 80 * NS_PER_S); /* behind what runs, as long as it is itself */
	add(1, 0, 0, 2 * NS_PER_S, t + 1);
	assert_ptr_equal(order_best(&o, &ALL, t + 2), &items[1]);
	assert_ptr_equal(order_best(&o, &ALL, items[0].latest_ns), &items[0]);
	/* One that came later has less time: what came before it hurries for its sake. */
	soonest = items[1].latest_ns;
	for (unsigned i = 2; i < 8; i++) {
		add(i, 0, 0, 3 * NS_PER_S, t + i);
		soonest = items[i].latest_ns < soonest ? items[i].latest_ns : soonest;
	}
	assert_true(soonest < items[0].latest_ns);
	assert_ptr_equal(order_best(&o, &ALL, soonest - 1), &items[1]);
	assert_ptr_equal(order_best(&o, &ALL, soonest), &items[0]);
	/* A better class keeps its turn. */
	item(8, 0, 0, NS_PER_S)->class = ORDER_INTERACTIVE;
	assert_int_equal(order_add(&o, &items[8], t + 60 * NS_PER_S), ORDER_REFUSE_NONE);
	items[8].key = items[1].key - 1;
	order_remove(&o, &items[8]);
	items[8].latest_ns = CLOCK_NEVER;
	order_put_back(&o, &items[8]);
	assert_ptr_equal(order_best(&o, &ALL, soonest), &items[8]);
	/* One that cannot go there stops nobody. */
	items[0].tried = ALL;
	order_remove(&o, &items[8]);
	assert_ptr_equal(order_best(&o, &ALL, soonest), &items[1]);
}

/* Overload for a while, a crowd at its start. */
struct load {
	double load;
	unsigned places, tenants;
	uint64_t deadline_s;
	bool guess;    /* the true work is exponential with the expected one as its mean; else as expected */
	bool classes;  /* one in ten is of another class than normal */
	unsigned vain; /* of ten thousand let in, that wait in vain at most */
};

/* How many were let in, waited in vain, and which share of the time the places worked. */
struct rush {
	unsigned in, vain;
	double busy;
};

#define RUSH_S 2000

static double exponential(void)
{
	return -log(((double)below(1 << 30) + 1) / (1 << 30));
}

static void expire(struct rush *r, uint64_t now)
{
	for (unsigned i = 0; i < MANY; i++)
		if (items[i].flow && items[i].deadline_ns <= now) {
			r->vain++;
			order_remove(&o, &items[i]);
		}
}

static void arrive(struct rush *r, const struct load *c, uint64_t now, uint64_t *takes_ns)
{
	unsigned i = 0;

	while (items[i].flow)
		i++;
	item(i, (unsigned)below(c->tenants), 0, below(4) ? NS_PER_S / 4 + below(NS_PER_S) : 2 * NS_PER_S + below(4 * NS_PER_S));
	items[i].input_tokens = (uint32_t)(items[i].work_ns / NS_PER_MS);
	if (c->classes)
		items[i].class = below(10) ? ORDER_NORMAL : (enum order_class)below(ORDER_CLASSES);
	takes_ns[i] = c->guess ? (uint64_t)((double)items[i].work_ns * exponential()) : items[i].work_ns;
	r->in += order_add(&o, &items[i], now) == ORDER_REFUSE_NONE;
}

static struct rush rush(const struct load *c)
{
	unsigned places = c->places;
	static uint64_t takes_ns[MANY];
	uint64_t now = NS_PER_S, next = now, idle_at[8] = {0};
	struct rush r = {0};

	order_places(&o, 0, places);
	for (unsigned i = 0; i < 200; i++)
		arrive(&r, c, now, takes_ns);
	while (now < RUSH_S * NS_PER_S) {
		unsigned k = 0;
		struct order_item *x;

		for (unsigned i = 1; i < places; i++)
			k = idle_at[i] < idle_at[k] ? i : k;
		now = next < idle_at[k] ? next : idle_at[k] > now ? idle_at[k] : now;
		expire(&r, now);
		if (now == next) {
			arrive(&r, c, now, takes_ns);
			next += (uint64_t)(exponential() * 1.5625e9 / c->load / places) + 1;
		}
		x = idle_at[k] <= now ? order_best(&o, &ALL, now) : NULL;
		if (x) {
			order_take(&o, x, now);
			idle_at[k] = now + takes_ns[x - items];
			r.busy += (double)takes_ns[x - items] / 1e9 / RUSH_S / places;
		} else if (idle_at[k] <= now) {
			idle_at[k] = next;
		}
	}
	return r;
}

static void who_is_let_in_gets_a_turn(void **state)
{
	static const struct load CASES[] = {
		{1.25, 1, 1, 20, false, false, 0}, {1.75, 1, 1, 20, false, false, 0}, {10, 1, 1, 20, false, false, 0},
		{1.75, 4, 1, 10, false, false, 0}, {1.75, 4, 1, 10, false, true, 50}, {1.25, 1, 1, 20, true, false, 200},
		{1.75, 1, 1, 20, true, false, 200}, {10, 1, 1, 20, true, true, 200}, {1.75, 4, 1, 10, true, true, 100},
		{1.75, 4, 3, 10, true, true, 100}, {10, 4, 8, 10, true, true, 250},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct rush r;

		fresh(NULL);
		for (unsigned c = 0; c < ORDER_CLASSES; c++)
			conf.class[c].deadline_ns = CASES[i].deadline_s * NS_PER_S;
		order_conf_set(&o, &conf);
		r = rush(&CASES[i]);
		print_message("load %5.2f, %u places, %u tenants, %s: %5u let in, %u in vain, busy %.3f\n", CASES[i].load, CASES[i].places,
			      CASES[i].tenants, CASES[i].guess ? "guessed" : "known  ", r.in, r.vain, r.busy);
		assert_true(r.vain * 10000ULL <= (uint64_t)CASES[i].vain * r.in);
		assert_true(r.busy > (CASES[i].load > 1.5 ? 0.95 : 0.87)); /* a short queue runs empty at times */
	}
}

static void retry_after_follows_the_drain(void **state)
{
	uint64_t now = NS_PER_S;

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		add(i, 0, 0, 2 * NS_PER_S, now);
	/* Nothing measured: one place, a second of work a second. */
	assert_in_range(order_retry_after_s(&o, now), 42, 42);
	/* Four seconds for what was expected to take two. */
	for (unsigned i = 0; i < 40; i++)
		order_drained(&o, 2 * NS_PER_S, now += 4 * NS_PER_S);
	assert_in_range(order_retry_after_s(&o, now), 80, 86);
	assert_int_equal(order_retry_after_s(&o, now + 3600 * NS_PER_S), 120);
	for (unsigned i = 0; i < 20; i++)
		order_remove(&o, &items[i]);
	assert_in_range(order_retry_after_s(&o, now), 1, 5);
}

/* A rush after a quiet hour: that nothing ended in the hour says nothing of how fast places become free. */
static void retry_after_forgets_the_quiet_before(void **state)
{
	uint64_t now = NS_PER_S;

	(void)state;
	add(0, 0, 0, 2 * NS_PER_S, now);
	for (unsigned i = 0; i < 3; i++)
		order_drained(&o, 2 * NS_PER_S, now += 2 * NS_PER_S);
	order_remove(&o, &items[0]);
	order_drained(&o, 2 * NS_PER_S, now += 2 * NS_PER_S);
	now += 3600 * NS_PER_S;
	for (unsigned i = 0; i < 20; i++)
		add(i, 0, 0, 2 * NS_PER_S, now);
	assert_in_range(order_retry_after_s(&o, now), 40, 44);
	order_drained(&o, 2 * NS_PER_S, now += NS_PER_S);
	assert_in_range(order_retry_after_s(&o, now), 40, 44);
	order_drained(&o, 2 * NS_PER_S, now += 2 * NS_PER_S);
	assert_in_range(order_retry_after_s(&o, now), 40, 44);
	/* In a queue silence does count. */
	assert_int_equal(order_retry_after_s(&o, now + 3600 * NS_PER_S), 120);
}

static void put_back_keeps_the_place(void **state)
{
	(void)state;
	add(0, 0, 0, NS_PER_S, NS_PER_S);
	items[0].input_tokens = 7;
	add(1, 0, 0, NS_PER_S, 2 * NS_PER_S);
	order_take(&o, &items[0], 0);
	assert_true(tenants[0].counter == 7.0);
	order_put_back(&o, &items[0]);
	assert_true(tenants[0].counter == 0.0);
	assert_ptr_equal(order_best(&o, &ALL, 0), &items[0]);
}

/* --- the trace ------------------------------------------------------------------------------------------------------------------------ */

#define TRACE   "../shared/data/traces/az_conv.csv"
#define TRACE_N 20000
#define PLACES  12

static struct {
	double at_s, work_s, hat_s;
} trace[TRACE_N];

/* Arrivals scaled to load 0.9; work = prompt/300 + answer/30 s; what the queue sees has the mean answer in place of the real one. */
static unsigned trace_read(void)
{
	FILE *f = fopen(TRACE, "re");
	double out = 0, work = 0, first, scale;
	char line[128];
	unsigned n = 0;

	if (!f)
		return 0;
	while (n < TRACE_N && fgets(line, sizeof(line), f)) {
		unsigned h, m, in, gen;
		double s;

		if (sscanf(line, "%*d-%*d-%*d %u:%u:%lf,%u,%u", &h, &m, &s, &in, &gen) != 5)
			continue;
		trace[n].at_s = h * 3600 + m * 60 + s;
		trace[n].hat_s = in / 300.0;
		trace[n].work_s = in / 300.0 + gen / 30.0;
		out += gen;
		work += trace[n++].work_s;
	}
	(void)fclose(f);
	first = trace[0].at_s;
	scale = n ? work / (PLACES * 0.9 * (trace[n - 1].at_s - first)) : 0;
	for (unsigned i = 0; i < n; i++) {
		trace[i].at_s = (trace[i].at_s - first) * scale;
		trace[i].hat_s += out / n / 30;
	}
	return n;
}

struct outcome {
	double mean, most;
};

static unsigned earliest(const double *free_s)
{
	unsigned k = 0;

	for (unsigned i = 1; i < PLACES; i++)
		k = free_s[i] < free_s[k] ? i : k;
	return k;
}

static struct outcome ours(unsigned n, double gamma)
{
	struct order_item *x = calloc(n, sizeof(*x));
	static struct order_flow flow[4];
	struct outcome r = {0, 0};
	double free_s[PLACES] = {0};
	unsigned next = 0;

	assert_non_null(x);
	fresh(NULL);
	conf.gamma = gamma;
	conf.most_n = UINT32_MAX;
	conf.most_bytes = UINT64_MAX;
	order_init(&o, &conf, flow, ARRAY_SIZE(flow));
	for (unsigned served = 0; served < n; served++) {
		unsigned k = earliest(free_s);
		double t = free_s[k];
		struct order_item *best;

		if (!o.n && trace[next].at_s > t)
			t = trace[next].at_s;
		for (; next < n && trace[next].at_s <= t; next++) {
			x[next] = (struct order_item){.tenant = &tenants[0],
						      .lane = &lanes[0],
						      .class = ORDER_NORMAL,
						      .work_ns = (uint64_t)(trace[next].hat_s * 1e9)};
			assert_int_equal(order_add(&o, &x[next], NS_PER_S + (uint64_t)(trace[next].at_s * 1e9)), ORDER_REFUSE_NONE);
		}
		best = order_best(&o, &ALL, 0);
		order_take(&o, best, 0);
		free_s[k] = t + trace[best - x].work_s;
		r.mean += (free_s[k] - trace[best - x].at_s) / n;
		if (free_s[k] - trace[best - x].at_s > r.most)
			r.most = free_s[k] - trace[best - x].at_s;
	}
	free(x);
	return r;
}

/* Bound on arrival to the instance with fewest requests, each a first come, first served queue of its own. */
static struct outcome least_outstanding(unsigned n)
{
	static double end[PLACES][TRACE_N];
	unsigned head[PLACES] = {0}, tail[PLACES] = {0};
	struct outcome r = {0, 0};

	for (unsigned i = 0; i < n; i++) {
		unsigned best = i % PLACES;
		double from;

		for (unsigned k = 0; k < PLACES; k++)
			while (head[k] < tail[k] && end[k][head[k]] <= trace[i].at_s)
				head[k]++;
		for (unsigned j = 0; j < PLACES; j++) {
			unsigned k = (i + j) % PLACES;

			if (tail[k] - head[k] < tail[best] - head[best])
				best = k;
		}
		from = tail[best] > head[best] ? end[best][tail[best] - 1] : trace[i].at_s;
		end[best][tail[best]++] = from + trace[i].work_s;
		r.mean += (from + trace[i].work_s - trace[i].at_s) / n;
	}
	return r;
}

static void azure_conversation_trace(void **state)
{
	struct outcome fcfs, lor, tsa;
	unsigned n = trace_read();

	(void)state;
	if (!n) {
		print_message("skipped: the recorded trace is not at hand\n");
		skip();
	}
	fcfs = ours(n, 1e3);
	lor = least_outstanding(n);
	order_conf_default(&conf);
	tsa = ours(n, conf.gamma);
	print_message("mean: least outstanding %.1f s, first come %.1f s, tsa %.1f s (%.2f); worst: first come %.0f s, tsa %.0f s "
		      "(%.2f)\n",
		      lor.mean, fcfs.mean, tsa.mean, tsa.mean / lor.mean, fcfs.most, tsa.most, tsa.most / fcfs.most);
	/* The figures known for first come, first served on this trace hold the model to the published one. */
	assert_true(fcfs.mean > 60 && fcfs.mean < 62 && fcfs.most < 270);
	assert_true(tsa.mean <= 0.70 * lor.mean);
	assert_true(tsa.most <= 3.5 * fcfs.most);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(same_as_sorting, fresh),
		cmocka_unit_test_setup(short_before_long_but_not_for_ever, fresh),
		cmocka_unit_test_setup(starvation_is_bounded, fresh),
		cmocka_unit_test_setup(classes, fresh),
		cmocka_unit_test_setup(only_where_the_model_is, fresh),
		cmocka_unit_test_setup(returning_tenant_has_no_credit, fresh),
		cmocka_unit_test_setup(weights_and_slack, fresh),
		cmocka_unit_test_setup(tokens_are_shared_fairly, fresh),
		cmocka_unit_test_setup(limits, fresh),
		cmocka_unit_test_setup(predicted_wait_refuses, fresh),
		cmocka_unit_test_setup(who_is_let_in_gets_a_turn, fresh),
		cmocka_unit_test_setup(one_tenant_leaves_room_for_others, fresh),
		cmocka_unit_test_setup(one_that_is_pressed_takes_the_turn, fresh),
		cmocka_unit_test_setup(retry_after_follows_the_drain, fresh),
		cmocka_unit_test_setup(retry_after_forgets_the_quiet_before, fresh),
		cmocka_unit_test_setup(put_back_keeps_the_place, fresh),
		cmocka_unit_test_setup(azure_conversation_trace, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
