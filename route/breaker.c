#include "route/breaker.h"

#include "base/bug.h"
#include "base/clock.h"

static const struct {
	uint32_t points;
	bool proof;
	const char *word;
} EVENTS[BREAKER_EVENT_COUNT] = {
#define EVENT(name, points, proof, word) [BREAKER_##name] = {points, proof, word},
	BREAKER_EVENTS(EVENT)
#undef EVENT
};

void breaker_conf_default(struct breaker_conf *conf)
{
	*conf = (struct breaker_conf){
		.failures = 5, .pause_ns = 5 * NS_PER_S, .most_ns = 120 * NS_PER_S, .trial_ns = 120 * NS_PER_S};
}

bool breaker_allows(const struct breaker *b, uint64_t now_ns)
{
	switch (b->state) {
	case BREAKER_OPEN:
		return now_ns >= b->until_ns;
	case BREAKER_HALF_OPEN:
		return now_ns >= b->trial_until_ns;
	default:
		return true;
	}
}

static void change(struct breaker *b, enum breaker_state state)
{
	b->state = state;
	b->gen++;
	b->points = 0;
	b->trial_until_ns = 0;
}

bool breaker_enter(struct breaker *b, const struct breaker_conf *conf, uint64_t now_ns, struct breaker_ticket *ticket)
{
	if (!breaker_allows(b, now_ns))
		return false;
	if (b->state == BREAKER_OPEN)
		change(b, BREAKER_HALF_OPEN);
	if (b->state == BREAKER_HALF_OPEN) {
		b->trial++;
		b->trial_until_ns = clock_after_ns(now_ns, conf->trial_ns);
		*ticket = (struct breaker_ticket){.gen = b->gen, .trial = b->trial};
		return true;
	}
	*ticket = (struct breaker_ticket){.gen = b->gen};
	return true;
}

void breaker_force(const struct breaker *b, struct breaker_ticket *ticket)
{
	*ticket = (struct breaker_ticket){.gen = b->gen};
}

static void open_it(struct breaker *b, const struct breaker_conf *conf, uint64_t now_ns)
{
	uint64_t pause = conf->pause_ns;

	for (uint32_t i = 0; i < b->opens && pause < conf->most_ns; i++)
		pause *= 2;
	if (pause > conf->most_ns)
		pause = conf->most_ns;
	change(b, BREAKER_OPEN);
	b->opens++;
	b->until_ns = clock_after_ns(now_ns, pause);
}

static void close_it(struct breaker *b)
{
	change(b, BREAKER_CLOSED);
	b->opens = 0;
}

/* The one request that was let through. */
static bool trial_report(struct breaker *b, const struct breaker_conf *conf, enum breaker_event event, uint64_t now_ns)
{
	if (EVENTS[event].proof) {
		close_it(b);
		return true;
	}
	if (EVENTS[event].points) {
		open_it(b, conf, now_ns);
		return true;
	}
	/* It told nothing: the next request is the trial. */
	b->trial_until_ns = 0;
	return false;
}

bool breaker_report(struct breaker *b, const struct breaker_conf *conf, const struct breaker_ticket *ticket,
		    enum breaker_event event, uint64_t now_ns)
{
	BUG_ON((unsigned)event >= BREAKER_EVENT_COUNT);
	if (ticket && ticket->gen != b->gen)
		return false;
	if (EVENTS[event].points)
		b->last = event;
	if (ticket && ticket->trial)
		return ticket->trial == b->trial && trial_report(b, conf, event, now_ns);
	if (b->state == BREAKER_CLOSED) {
		b->points = EVENTS[event].proof ? 0 : b->points + EVENTS[event].points;
		if (EVENTS[event].proof)
			b->opens = 0;
		if (b->points < conf->failures * BREAKER_POINT)
			return false;
		open_it(b, conf, now_ns);
		return true;
	}
	/* Sent by force through an open breaker: success is proof, failure is no news. */
	if (ticket && EVENTS[event].proof) {
		close_it(b);
		return true;
	}
	return false;
}

const char *breaker_event_text(enum breaker_event event)
{
	return (unsigned)event < BREAKER_EVENT_COUNT ? EVENTS[event].word : "unknown";
}

const char *breaker_state_text(enum breaker_state state)
{
	static const char *const TEXT[] = {"closed", "open", "half-open"};

	return (unsigned)state < ARRAY_SIZE(TEXT) ? TEXT[state] : "unknown";
}
