/* The life of a child explored to the end: the table of supervisor/life.c as it is linked into tsad, beside a world that does
 * everything it can in every order: the child says its words, loses its line, hangs, dies; forks fail; the operator restarts, reloads
 * and stops; the supervisor dies and its successor adopts.
 *
 * What children.c, slots.c, reload.c and adopt.c do around the table is told here again, in short; the functions have the names of
 * theirs.  Times are left out: a deadline that is armed may come at any moment.
 *
 * Claims, for a worker and for a router:
 *	possible	no event meets a cell of the table that says "this cannot happen"
 *	single		never two processes, and a process is known exactly in STARTING, RUNNING and STOPPING
 *	budget		quarantine only when the budget of failures is spent
 *	clock		every state that waits for somebody has a deadline, and no other has one
 *	ends		a stop ends, even if the child does nothing but die when it is killed
 *	heard		who says HELLO is answered, who is READY counts as such, who hangs is killed, a restart restarts
 *	kept		what the configuration names is running, or on its way, or quarantined; what it does not name is on its way out
 *
 * usage: life	exit status 1, and the shortest story that breaks a claim, when one is broken. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "shm/reader.h"
#include "supervisor/life.h"

#define BUDGET  3 /* failures; PROC_BUDGET is 10, and nothing depends on the number */
#define CHOICES 16
#define STEPS   64 /* of a stop, at most */

/* All there is to know.  Small numbers, so that a world is a number, too. */
struct world {
	unsigned state : 3;    /* enum shm_child */
	unsigned failures : 2; /* against the budget */
	bool router : 1;
	bool process : 1; /* the supervisor knows of one */
	bool lives : 1;   /* there is one */
	bool greeted : 1;
	bool killed : 1;
	bool worked : 1;
	bool adopted : 1; /* of an earlier supervisor, and has not said HELLO yet */
	bool line : 1;    /* orders can be sent */
	bool timer : 1;
	bool wanted : 1;
	bool used : 1;       /* a worker: it has a slot */
	bool configured : 1; /* the configuration names it */
	bool orphan : 1;     /* a worker: its Ollama is being ended */
	bool up : 1;         /* the service is not stopping */
	bool told : 1;       /* to stop with the service */
};

static struct world w;
static const char *broken; /* the claim, or NULL */
static char how[128];

/* A cell of the table that is taken out on trial: the event changes nothing. */
static unsigned deaf_state = SHM_CHILD_COUNT, deaf_event = LIFE_EVENT_COUNT;
static bool reached[SHM_CHILD_COUNT][LIFE_EVENT_COUNT];
static unsigned done[LIFE_ACTION_COUNT]; /* how often, since the event began */

static void claim(bool holds, const char *name, const char *what)
{
	if (holds || broken)
		return;
	broken = name;
	snprintf(how, sizeof(how), "%s", what);
}

/* --- choices: each event is taken once for every way it can go ------------------------------------------------------------------- */

static struct {
	bool taken[CHOICES];
	unsigned n, at;
} path;

static bool maybe(void)
{
	BUG_ON(path.at == CHOICES);
	if (path.at == path.n)
		path.taken[path.n++] = false;
	return path.taken[path.at++];
}

static bool path_next(void)
{
	while (path.n && path.taken[path.n - 1])
		path.n--;
	if (path.n)
		path.taken[path.n - 1] = true;
	return path.n;
}

/* --- what the supervisor does around the table ------------------------------------------------------------------------------------- */

static void feed(enum life_event event, bool from_outside);

static void child_stop(bool wanted)
{
	w.wanted = wanted;
	feed(LIFE_STOP, false);
}

static void process_watch(bool line)
{
	w.process = true;
	w.greeted = w.killed = w.worked = false;
	w.line = line;
}

static void act_spawn(void)
{
	claim(!w.lives, "single", "a process is started while one lives");
	w.wanted = true;
	w.timer = true;
	if (maybe()) {
		feed(LIFE_SPAWN_FAILED, false);
		return;
	}
	w.lives = true;
	w.adopted = false;
	process_watch(true);
}

static void act_await(void)
{
	w.wanted = w.configured;
	if (maybe()) { /* it died a moment ago */
		w.lives = false;
		feed(LIFE_SPAWN_FAILED, false);
		return;
	}
	w.adopted = true;
	process_watch(false);
	w.timer = true;
}

static void act_pause(bool from_outside)
{
	if (!w.wanted || !w.up) {
		feed(LIFE_STOP, false);
		return;
	}
	if (!from_outside && ++w.failures == BUDGET) {
		feed(LIFE_SPENT, false);
		return;
	}
	if (maybe())
		w.timer = true;
	else
		feed(LIFE_TIMER, false);
}

static void slot_settle(void)
{
	if (w.orphan)
		return;
	if (maybe()) {
		w.orphan = true;
		return;
	}
	if (!w.up)
		return;
	if (!w.configured) {
		w.used = false;
		return;
	}
	feed(LIFE_START, false);
}

static void act_gone(void)
{
	w.timer = false;
	if (!w.router)
		slot_settle();
	else if (w.up && w.wanted)
		feed(LIFE_START, false);
}

static void perform(enum life_action action, bool from_outside)
{
	done[action]++;
	if (action == LIFE_SPAWN) {
		act_spawn();
	} else if (action == LIFE_AWAIT) {
		act_await();
	} else if (action == LIFE_WELCOME) {
		w.greeted = true;
		w.timer |= w.state == SHM_CHILD_STARTING;
	} else if (action == LIFE_SETTLE) {
		w.worked = true;
		w.timer = false;
	} else if (action == LIFE_PAUSE) {
		act_pause(from_outside);
	} else if (action == LIFE_QUARANTINE) {
		claim(w.failures == BUDGET, "budget", "quarantine before the budget is spent");
		w.timer = false;
	} else if (action == LIFE_KILL) {
		w.killed |= w.process;
	} else if (action == LIFE_SEND_STOP) {
		w.timer = true;
	} else if (action == LIFE_GONE) {
		act_gone();
	}
}

static void feed(enum life_event event, bool from_outside)
{
	struct life_step s = life_next(w.state, event);

	reached[w.state][event] = true;
	if (w.state == deaf_state && event == deaf_event)
		return;
	if (s.action == LIFE_BUG) {
		claim(false, "possible", life_event_word(event));
		return;
	}
	if (event == LIFE_LIFT && !w.process) {
		w.failures = 0;
		w.timer = false;
	}
	w.state = s.next & 7U;
	perform(s.action, from_outside);
}

/* --- what may happen: each returns false where it cannot ----------------------------------------------------------------------------- */

static bool says_hello(void)
{
	bool adopted = w.adopted && w.state == SHM_CHILD_STARTING;

	if (!w.process || (w.line && w.greeted))
		return false;
	w.adopted = false;
	w.line = true;
	feed(LIFE_HELLO, false);
	claim(done[LIFE_WELCOME] || done[LIFE_SEND_STOP], "heard", "its HELLO is not answered");
	if (!adopted || !w.process)
		return true;
	if (w.router && maybe())
		feed(LIFE_READY, false); /* it brought its sockets, so it serves */
	if (!w.configured)
		child_stop(false);
	else if (!w.router && maybe())
		child_stop(true); /* the configuration has changed */
	return true;
}

static bool says_ready(void)
{
	if (!w.process || !w.line || !w.greeted)
		return false;
	feed(LIFE_READY, false);
	claim(w.state == SHM_CHILD_RUNNING || w.state == SHM_CHILD_STOPPING, "heard", "it is ready and does not count as such");
	return true;
}

static bool loses_its_line(void)
{
	if (!w.process || !w.line)
		return false;
	w.line = false;
	return true;
}

static bool dies(void)
{
	if (!w.process)
		return false;
	w.lives = w.process = w.line = w.adopted = false;
	feed(LIFE_DIED, !w.killed && w.worked && maybe());
	return true;
}

static bool deadline_comes(void)
{
	if (!w.timer)
		return false;
	w.timer = false;
	feed(LIFE_TIMER, false);
	return true;
}

static bool hangs(void)
{
	if (!w.process || !w.greeted || w.killed)
		return false;
	feed(LIFE_PONG_LATE, false);
	claim(w.killed, "heard", "it hangs and is not killed");
	return true;
}

static bool orphan_ends(void)
{
	if (!w.orphan)
		return false;
	w.orphan = false;
	slot_settle();
	return true;
}

static bool operator_restarts(void)
{
	bool at_rest = w.state == SHM_CHILD_BACKOFF || w.state == SHM_CHILD_QUARANTINED, runs = w.state == SHM_CHILD_RUNNING;

	if (w.router || !w.used || !w.up)
		return false;
	feed(LIFE_LIFT, false);
	claim((!at_rest || done[LIFE_SPAWN]) && (!runs || done[LIFE_SEND_RESTART]), "heard", "a restart restarts nothing");
	return true;
}

static bool reload_removes(void)
{
	if (!w.up || !w.configured)
		return false;
	w.configured = false;
	if (w.router ? w.state != SHM_CHILD_NONE && w.state != SHM_CHILD_STOPPED : w.state != SHM_CHILD_STOPPING)
		child_stop(false);
	else
		w.wanted = false;
	return true;
}

static bool reload_restarts(void)
{
	if (!w.up || w.router || !w.used)
		return false;
	w.configured = true;
	w.failures = 0;
	child_stop(true);
	return true;
}

static bool reload_changes(void)
{
	if (!w.up || !w.configured)
		return false;
	if (w.router) {
		w.wanted = true;
		if (w.state != SHM_CHILD_STOPPING)
			feed(w.state == SHM_CHILD_QUARANTINED ? LIFE_LIFT : LIFE_START, false);
		return true;
	}
	w.failures = 0;
	if (w.state == SHM_CHILD_QUARANTINED)
		feed(LIFE_LIFT, false);
	return true;
}

static bool reload_adds(void)
{
	if (!w.up || w.configured || (!w.router && w.used))
		return false;
	w.configured = w.used = true;
	if (w.router)
		return reload_changes();
	w.failures = 0;
	feed(LIFE_START, false);
	return true;
}

static bool service_stops(void)
{
	w.up = false;
	return true;
}

static bool stop_reaches_it(void)
{
	if (w.up)
		return false;
	w.told = true;
	if (w.state != SHM_CHILD_NONE && w.state != SHM_CHILD_STOPPED)
		child_stop(false);
	return true;
}

/* The successor of a supervisor that was not stopping; one that was leaves nothing to take over. */
static bool supervisor_dies(void)
{
	if (!w.up)
		return false;
	w.state = SHM_CHILD_NONE;
	w.failures = 0;
	w.process = w.greeted = w.killed = w.worked = w.line = w.timer = w.wanted = w.adopted = w.orphan = false;
	if (w.lives && maybe())
		w.lives = false; /* meanwhile */
	if (w.lives)
		feed(LIFE_FOUND, false);
	else if (!w.router && w.used && !w.configured)
		w.used = false;
	else if (!w.router && w.used)
		slot_settle();
	else if (w.router && w.configured)
		feed(LIFE_START, false);
	return true;
}

static const struct {
	const char *name;
	bool (*happen)(void);
} EVENTS[] = {
	{"it says HELLO", says_hello},
	{"it says READY", says_ready},
	{"its line breaks", loses_its_line},
	{"it dies", dies},
	{"the deadline comes", deadline_comes},
	{"it does not answer pings", hangs},
	{"its Ollama has ended", orphan_ends},
	{"tsactl restart", operator_restarts},
	{"a reload removes it", reload_removes},
	{"a reload restarts it", reload_restarts},
	{"a reload changes it", reload_changes},
	{"a reload adds it", reload_adds},
	{"the service stops", service_stops},
	{"the stop reaches it", stop_reaches_it},
	{"the supervisor dies and its successor starts", supervisor_dies},
};

/* --- claims about a world at rest ------------------------------------------------------------------------------------------------- */

static void rest_check(void)
{
	bool waits = w.state == SHM_CHILD_STARTING || w.state == SHM_CHILD_STOPPING || w.state == SHM_CHILD_BACKOFF;
	bool has = w.state == SHM_CHILD_STARTING || w.state == SHM_CHILD_RUNNING || w.state == SHM_CHILD_STOPPING;
	bool off = w.state == SHM_CHILD_NONE || w.state == SHM_CHILD_STOPPED;
	bool named = w.configured && (w.router || w.used);

	claim(w.process == has, "single", "the state does not tell whether there is a process");
	claim(w.process == w.lives, "single", "a process lives that nobody knows of");
	claim(!waits || w.timer || w.killed, "clock", "it waits without a deadline");
	claim(waits || !w.timer, "clock", "a deadline is left over");
	claim(!w.up || !named || !off || w.orphan, "kept", "it is configured and nobody will start it");
	claim(!w.up || w.configured || off || w.state == SHM_CHILD_STOPPING || w.adopted, "kept",
	      "it is not configured and nobody will stop it");
}

/* Nothing helps but the clock and SIGKILL. */
static void stop_check(void)
{
	struct world kept = w;

	path.n = path.at = 0;
	service_stops();
	stop_reaches_it();
	for (unsigned i = 0; i < STEPS && (w.state != SHM_CHILD_STOPPED || w.orphan) && w.state != SHM_CHILD_NONE; i++)
		if (!(w.killed && dies()) && !deadline_comes() && !orphan_ends())
			break;
	claim(w.state == SHM_CHILD_STOPPED || w.state == SHM_CHILD_NONE, "ends", "a stop does not end");
	w = kept;
}

/* --- the search: breadth first, so that a story is as short as it can be ------------------------------------------------------------- */

#define WORLDS (1U << 20)

static uint32_t number_of(struct world x)
{
	uint32_t n = 0;

	memcpy(&n, &x, sizeof(x) < sizeof(n) ? sizeof(x) : sizeof(n));
	return n;
}

_Static_assert(sizeof(struct world) <= 4 && WORLDS >= 1U << 20, "a world is a number below WORLDS");

static struct known {
	bool seen;
	uint8_t event;   /* that led here, */
	uint32_t before; /* from here */
} known[WORLDS];

static uint32_t queue[WORLDS];
static unsigned queue_n;

static void world_add(uint32_t before, unsigned event)
{
	uint32_t n = number_of(w);

	BUG_ON(n >= WORLDS);
	if (known[n].seen)
		return;
	known[n] = (struct known){.seen = true, .event = (uint8_t)event, .before = before};
	queue[queue_n++] = n;
}

static void story_tell(uint32_t n, uint32_t first)
{
	if (n == first)
		return;
	story_tell(known[n].before, first);
	printf("\t%s\n", EVENTS[known[n].event].name);
}

static bool explore(const char *what, struct world first)
{
	uint64_t steps = 0;

	memset(known, 0, sizeof(known));
	queue_n = 0;
	broken = NULL;
	w = first;
	world_add(0, 0);
	for (unsigned q = 0; q < queue_n; q++)
		for (unsigned e = 0; e < ARRAY_SIZE(EVENTS); e++) {
			path.n = 0;
			do {
				path.at = 0;
				memcpy(&w, &queue[q], sizeof(w));
				memset(done, 0, sizeof(done));
				if (!EVENTS[e].happen())
					break;
				steps++;
				rest_check();
				if (!broken) {
					unsigned kept_n = path.n;
					bool taken[CHOICES];

					memcpy(taken, path.taken, sizeof(taken));
					stop_check();
					memcpy(path.taken, taken, sizeof(taken));
					path.n = kept_n;
				}
				if (broken && !what)
					return false;
				if (broken) {
					printf("%s: BROKEN %s: %s\n", what, broken, how);
					story_tell(queue[q], number_of(first));
					printf("\t%s\n", EVENTS[e].name);
					return false;
				}
				world_add(queue[q], e);
			} while (path_next());
		}
	if (what)
		printf("%s: %u worlds, %llu steps; possible single budget clock ends heard kept: all hold\n", what, queue_n,
		       (unsigned long long)steps);
	return true;
}

static const struct world WORKER = {.up = true}, ROUTER = {.up = true, .router = true};

struct cell {
	enum shm_child state;
	enum life_event event;
};

static bool listed(const struct cell *cells, size_t n, unsigned state, unsigned event)
{
	for (size_t i = 0; i < n; i++)
		if (cells[i].state == state && cells[i].event == event)
			return true;
	return false;
}

/* Cells that nobody comes by today: their callers ask first. */
static bool cells_reached(void)
{
	static const struct cell SHUT[] = {
		{SHM_CHILD_STOPPING, LIFE_START},
		{SHM_CHILD_QUARANTINED, LIFE_START},
		{SHM_CHILD_STOPPED, LIFE_FOUND},
	};
	bool good = true;

	for (unsigned s = 0; s < SHM_CHILD_COUNT; s++)
		for (unsigned e = 0; e < LIFE_EVENT_COUNT; e++) {
			bool wanted = life_next(s, e).action != LIFE_BUG && !listed(SHUT, ARRAY_SIZE(SHUT), s, e);

			if (wanted != reached[s][e]) {
				printf("table: %s %s \"%s\"\n", shm_child_word(s), wanted ? "never meets" : "can meet",
				       life_event_word(e));
				good = false;
			}
		}
	return good;
}

/* The claims need the table: taken out, each cell that does something breaks one. */
static bool cells_needed(void)
{
	static const struct cell SPARE[] = {
		{SHM_CHILD_NONE, LIFE_STOP},     /* nothing runs, and the slot is given up when its Ollama has ended */
		{SHM_CHILD_STOPPED, LIFE_FOUND}, /* not reached */
		{SHM_CHILD_STOPPING, LIFE_STOP}, /* asks again, with another drain */
	};
	unsigned needed = 0;
	bool good = true;

	for (deaf_state = 0; deaf_state < SHM_CHILD_COUNT; deaf_state++)
		for (deaf_event = 0; deaf_event < LIFE_EVENT_COUNT; deaf_event++) {
			enum life_action action = life_next(deaf_state, deaf_event).action;

			if (action == LIFE_BUG || action == LIFE_REST || listed(SPARE, ARRAY_SIZE(SPARE), deaf_state, deaf_event))
				continue;
			needed++;
			if (explore(NULL, WORKER) && explore(NULL, ROUTER)) {
				printf("table: while %s nobody misses \"%s\"\n", shm_child_word(deaf_state),
				       life_event_word(deaf_event));
				good = false;
			}
		}
	if (good)
		printf("table: each of %u cells is needed by a claim\n", needed);
	return good;
}

int main(void)
{
	bool good = explore("worker", WORKER);

	good = explore("router", ROUTER) && good;
	return good && cells_reached() && cells_needed() ? 0 : 1;
}
