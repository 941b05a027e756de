#include "route/pick.h"

#include "base/bug.h"

/* a is less loaded than b: by share of its places, then by count.  Integer arithmetic: a/pa < b/pb. */
static bool lighter(const struct pick_slot *a, const struct pick_slot *b)
{
	uint64_t left = (uint64_t)a->in_flight * b->places;
	uint64_t right = (uint64_t)b->in_flight * a->places;

	return left < right;
}

static bool usable(const struct pick_slot *s)
{
	return s->has && s->ready && !s->avoid && s->places > 0;
}

struct choice {
	int best;      /* -1 none */
	unsigned ties; /* candidates as good as the best, itself included */
	unsigned n;    /* candidates seen */
};

/* Walk the slots from `turn` on, so that equal ones are taken in turn. */
static struct choice choose(const struct pick_slot *slots, unsigned n, unsigned turn, bool (*fits)(const struct pick_slot *))
{
	struct choice c = {.best = -1};

	for (unsigned k = 0; k < n; k++) {
		unsigned i = (k + turn) % n;

		if (!fits(&slots[i]))
			continue;
		c.n++;
		if (c.best < 0 || lighter(&slots[i], &slots[c.best])) {
			c.best = (int)i;
			c.ties = 1;
		} else if (!lighter(&slots[c.best], &slots[i])) {
			c.ties++;
		}
	}
	return c;
}

static bool fits_now(const struct pick_slot *s)
{
	return usable(s) && s->resident && s->in_flight < s->places;
}

static bool fits_later(const struct pick_slot *s)
{
	return usable(s) && s->resident;
}

static bool fits_loading(const struct pick_slot *s)
{
	return usable(s) && s->loading;
}

static bool fits_cold(const struct pick_slot *s)
{
	return usable(s) && !s->failed;
}

/* Nothing can take it now: say what stands in the way. */
static enum pick_verdict obstacle(const struct pick_slot *slots, unsigned n)
{
	enum pick_verdict v = PICK_UNKNOWN;

	for (unsigned i = 0; i < n; i++) {
		if (!slots[i].has)
			continue;
		if (slots[i].coming || (slots[i].ready && slots[i].avoid))
			return PICK_SOON;
		if (slots[i].ready && slots[i].failed)
			v = PICK_FAILED;
		else if (v == PICK_UNKNOWN)
			v = PICK_NEVER;
	}
	return v;
}

struct pick_result pick(const struct pick_slot *slots, unsigned n, unsigned turn)
{
	static const struct {
		bool (*fits)(const struct pick_slot *);
		enum pick_verdict verdict;
	} LADDER[] = {
		{fits_now, PICK_TAKE},
		{fits_later, PICK_WAIT},
		{fits_loading, PICK_LOADING},
		{fits_cold, PICK_LOAD},
	};

	for (unsigned i = 0; n && i < ARRAY_SIZE(LADDER); i++) {
		struct choice c = choose(slots, n, turn, LADDER[i].fits);

		if (c.best >= 0)
			return (struct pick_result){.verdict = LADDER[i].verdict,
						    .slot = (unsigned)c.best,
						    .reason = c.n == 1     ? REASON_ONLY
							      : c.ties > 1 ? REASON_TURN
									   : REASON_LEAST};
	}
	return (struct pick_result){.verdict = obstacle(slots, n)};
}

const char *pick_reason_text(enum pick_reason reason)
{
	static const char *const TEXT[REASON_COUNT] = {
		[REASON_NONE] = "none",
		[REASON_ONLY] = "only-candidate",
		[REASON_LEAST] = "least-outstanding",
		[REASON_TURN] = "equal-in-turn",
	};

	return reason < REASON_COUNT ? TEXT[reason] : "none";
}
