#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/tsactl/tsactl.h"
#include "tools/tsactl/words.h"

#define LOOK_NS    (50ULL * NS_PER_MS) /* a look at the board costs microseconds */
#define TIMEOUT_NS (30ULL * NS_PER_S)

/* --- look until it is so --------------------------------------------------------------------------------------------------------- */

struct looking {
	const struct options *o;
	struct shm_reader *reader;
	struct view *view;
	int err; /* of the last try to reach a supervisor */
	struct why why;
};

/* A fresh view: of the board at hand, or of a new supervisor's. */
static bool look(struct looking *l)
{
	struct shm_reader *reader = NULL;
	struct view *view = NULL;

	if (l->view) {
		view_refresh(l->view);
		if (!l->view->stale)
			return true;
	}
	l->err = view_open(l->o->state, &reader, &view, &l->why);
	if (l->err < 0)
		return false;
	view_close(&l->reader, &l->view);
	l->reader = reader;
	l->view = view;
	return true;
}

static void pause_until(uint64_t at_ns)
{
	const struct timespec t = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

int wait_until(const struct options *o, uint64_t timeout_ns, wait_fn *done, const void *what)
{
	struct looking l = {.o = o, .err = -ECONNREFUSED};
	const uint64_t deadline = clock_after_ns(clock_now_ns(), timeout_ns);
	struct why not_yet = {""};
	bool seen = false;
	char span[24];
	int rc = 0;

	for (;;) {
		uint64_t next = clock_after_ns(clock_now_ns(), LOOK_NS);

		if (look(&l)) {
			seen = true;
			rc = done(l.view, what, &not_yet);
		}
		if (rc != 0 || next >= deadline)
			break;
		pause_until(next);
	}
	view_close(&l.reader, &l.view);
	if (rc > 0)
		return EXIT_DONE;
	if (rc < 0)
		return complain(o, EXIT_REFUSED, "%s", not_yet.text);
	text_span(timeout_ns, span, sizeof(span));
	if (!seen)
		return complain(o, link_exit(l.err), "%s (waited %s)", l.why.text, span);
	return complain(o, EXIT_TIMED_OUT, "waited %s: %s", span, *not_yet.text ? not_yet.text : l.why.text);
}

/* --- wait ready, wait serving ------------------------------------------------------------------------------------------------------ */

struct goal {
	const char *name; /* of the one instance that matters, as typed; NULL: all */
	bool any;         /* one ready instance is enough */
};

static bool slot_ready(const struct view_slot *s)
{
	bool wanted = s->owner.wanted == SHM_WANT_RUN || s->owner.wanted == SHM_WANT_RESTART;

	return wanted && view_slot_ready(s);
}

static int routers_ready(const struct view *v, struct why *why)
{
	unsigned good = 0;

	for (unsigned i = 0; i < v->n_routers; i++)
		good += v->routers[i].life == VIEW_FRESH && v->routers[i].child.state == SHM_CHILD_RUNNING;
	if (v->header.stopping)
		return why_set(why, -ESHUTDOWN, "the service is stopping");
	if (!good)
		return why_set(why, 0, "no router runs yet");
	return 1;
}

/* One that will not become ready by itself ends the wait. */
static int slot_judge(const struct view *v, const struct view_slot *s, struct why *why)
{
	char text[400], state[120];
	bool trouble = view_slot_trouble(v, s, text, sizeof(text)) != NULL;

	if (view_slot_drained(s))
		return why_set(why, -ECANCELED, "%s is drained and gets no requests; `tsactl undrain %s` takes it back",
			       s->owner.name, s->owner.name);
	if (slot_ready(s))
		return 1;
	if (s->owner.child_state == SHM_CHILD_QUARANTINED || s->vital.state == SHM_STATE_QUARANTINED)
		return why_set(why, -ECANCELED, "%s is quarantined: %.280s", s->owner.name,
			       trouble ? text : "`tsactl restart` lifts it");
	view_state_text(s, state, sizeof(state));
	return why_set(why, 0, "%s is %s%s%.240s", s->owner.name, state, trouble ? ": " : "", trouble ? text : "");
}

static int goal_all(const struct view *v, struct why *why)
{
	for (unsigned i = 0; i < v->n_slots; i++) {
		const struct view_slot *s = &v->slots[i];
		int rc = s->owner.wanted == SHM_WANT_STOP ? 1 : slot_judge(v, s, why);

		if (rc <= 0)
			return rc;
	}
	return 1;
}

static int goal_any(const struct view *v, struct why *why)
{
	for (unsigned i = 0; i < v->n_slots; i++)
		if (slot_ready(&v->slots[i]))
			return 1;
	return why_set(why, 0, "no instance is ready yet");
}

static int goal_one(const struct view *v, const char *name, struct why *why)
{
	const char *names[SHM_SLOTS];
	char list[300];
	unsigned at;
	int rc;

	for (unsigned i = 0; i < v->n_slots; i++)
		names[i] = v->slots[i].owner.name;
	rc = words_match(name, names, v->n_slots, &at);
	if (rc < 0) {
		words_list(name, names, v->n_slots, list, sizeof(list));
		return rc == -ENOTUNIQ ? why_set(why, rc, "\"%s\" may mean %s; write more of it", name, list) :
					 why_set(why, rc, "there is no instance \"%s\"; write %s", name, list);
	}
	return slot_judge(v, &v->slots[at], why);
}

static int goal_reached(const struct view *v, const void *what, struct why *why)
{
	const struct goal *g = what;
	int rc = routers_ready(v, why);

	if (rc <= 0)
		return rc;
	if (g->name)
		return goal_one(v, g->name, why);
	return g->any ? goal_any(v, why) : goal_all(v, why);
}

int run_wait(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	static const char *const goals[] = {"ready", "serving"};
	struct goal goal = {.name = n > 1 ? words[1] : NULL};
	unsigned which;
	int rc = words_match(words[0], goals, ARRAY_SIZE(goals), &which), code;

	(void)c;
	if (rc < 0)
		return complain_word(o, rc, "thing to wait for", words[0], goals, ARRAY_SIZE(goals));
	goal.any = which == 1;
	if (goal.any && goal.name)
		return complain(o, EXIT_USAGE, "\"wait serving\" takes no name; write wait ready %s", goal.name);
	code = wait_until(o, o->timeout_ns ? o->timeout_ns : TIMEOUT_NS, goal_reached, &goal);
	if (code == EXIT_DONE && o->json)
		printf("{\"ok\": true}\n");
	return code;
}
