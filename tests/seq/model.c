/* shm/seq.h explored to the end: every death of a writer, every order in which a reader may see what was stored.
 *
 * The header itself runs here, not a description of it: its atomics and its memcpy lead to a memory that keeps every store ever
 * made, and a load may return any of those that the machine allows.  Two machines:
 *
 *	tso	stores become visible in the order they were made, loads happen in theirs: x86-64
 *	c11	a load returns any store not older than what its thread must know; to have acquired a released store is to know all
 *		that its writer knew.  Weaker than any processor: what holds here holds on ARM and against the compiler, too
 *
 * The story: a writer of generation 1 publishes twice, or dies in the middle of it, after any of its stores; the supervisor reaps it
 * and publishes generation 2 on the owner line, or dies, too; a writer of generation 2 goes on with the same line, and may also die or
 * just be slow.  Meanwhile a reader takes the owner line and twice the line.  Claimed for each of its executions:
 *
 *	whole		a settled copy is one publication
 *	forward		the second copy is not older than the first
 *	void		nothing of a writer before the re-arming is in what a reader takes for current: the generation that it read before
 *	bounded		at most `tries` passes, whatever stands there
 *	back		a reader who comes after everything gets the last publication if it was finished, else nothing
 *
 * usage: model	exit status 1 when a claim is broken; a machine on which one is broken is left at the first execution that does it. */
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t memory_load(const _Atomic uint64_t *at, memory_order order);
static void memory_store(_Atomic uint64_t *at, uint64_t value, memory_order order);
static void *memory_copy(void *to, const void *from, size_t n);

#undef atomic_load_explicit
#undef atomic_store_explicit
#define atomic_load_explicit(at, order)         memory_load((at), (order))
#define atomic_store_explicit(at, value, order) memory_store((at), (value), (order))
#define memcpy(to, from, n)                     memory_copy((to), (from), (n))
#include "shm/seq.h"
#undef memcpy

#define WORDS        2 /* of a payload: one is never torn, and more add executions but no new orders between two of them */
#define PUBLICATIONS 2 /* of each writer */
#define WRITERS      2
#define TRIES        2
#define LOCATIONS    (1 + WORDS + 1 + 1) /* the line, then the owner line: its sequence word and the generation */
#define MESSAGES     (2 + 2 * WRITERS * PUBLICATIONS)
#define CHOICES      64
#define FOREVER      UINT32_MAX

/* --- memory ------------------------------------------------------------------------------------------------------------------- */

struct message {
	uint64_t value;
	unsigned time;             /* of all stores, this was the so manieth */
	bool released;             /* whoever acquires it knows what its writer knew: */
	unsigned known[LOCATIONS]; /* the oldest store of each location that may be read from then on */
};

static struct {
	struct message at[MESSAGES];
	unsigned n;
} history[LOCATIONS];

static _Atomic uint64_t places[LOCATIONS]; /* their addresses are what the header works with */
#define LINE_SEQ   (&places[0])
#define LINE_WORDS (&places[1])
#define OWNER_SEQ  (&places[1 + WORDS])
#define OWNER_WORD (&places[2 + WORDS])

enum machine { TSO, C11, MACHINES };
static const char *const MACHINE_WORDS[MACHINES] = {"tso", "c11"};

static enum machine machine;
static bool writing;         /* the thread that runs now is a writer; there is one at a time, and it knows everything */
static unsigned stores_left; /* until it dies */
static unsigned time_now;    /* stores made */
static jmp_buf death;

static struct {
	unsigned known[LOCATIONS];
	unsigned time; /* tso: no load returns a store that was over by then */
	unsigned loads;
} reader;

/* The path through the tree of what loads may return: what was taken, and how many there were to take. */
static struct {
	unsigned taken[CHOICES];
	unsigned of[CHOICES];
	unsigned n;
	unsigned at;
} path;

static unsigned choose(unsigned n)
{
	if (path.at == path.n) {
		if (path.n == CHOICES)
			abort();
		path.taken[path.n] = 0;
		path.of[path.n++] = n;
	}
	return path.taken[path.at++];
}

/* The next path in order; false after the last. */
static bool path_next(void)
{
	while (path.n && path.taken[path.n - 1] + 1 == path.of[path.n - 1])
		path.n--;
	if (!path.n)
		return false;
	path.taken[path.n - 1]++;
	return true;
}

static void message_add(unsigned where, uint64_t value, bool released)
{
	struct message *m = &history[where].at[history[where].n++];

	if (history[where].n > MESSAGES)
		abort();
	*m = (struct message){.value = value, .time = time_now++, .released = released};
	for (unsigned i = 0; i < LOCATIONS; i++)
		m->known[i] = history[i].n ? history[i].n - 1 : 0;
}

static void memory_init(void)
{
	time_now = 0;
	for (unsigned i = 0; i < LOCATIONS; i++)
		history[i].n = 0;
	for (unsigned i = 0; i < LOCATIONS; i++)
		message_add(i, 0, false);
}

static unsigned oldest_readable(unsigned where)
{
	unsigned first = reader.known[where];

	while (machine == TSO && first + 1 < history[where].n && history[where].at[first + 1].time <= reader.time)
		first++;
	return first;
}

static uint64_t memory_load(const _Atomic uint64_t *at, memory_order order)
{
	unsigned where = (unsigned)(at - places), first, i;
	const struct message *m;

	if (writing)
		return history[where].at[history[where].n - 1].value;
	first = oldest_readable(where);
	i = first + choose(history[where].n - first);
	m = &history[where].at[i];
	reader.known[where] = i;
	if (m->time > reader.time)
		reader.time = m->time;
	reader.loads++;
	if (order == memory_order_acquire && m->released)
		for (unsigned l = 0; l < LOCATIONS; l++)
			if (m->known[l] > reader.known[l])
				reader.known[l] = m->known[l];
	return m->value;
}

static void memory_store(_Atomic uint64_t *at, uint64_t value, memory_order order)
{
	if (stores_left == 0)
		longjmp(death, 1);
	if (stores_left != FOREVER)
		stores_left--;
	message_add((unsigned)(at - places), value, order == memory_order_release);
}

static bool shared(const void *p)
{
	return (const char *)p >= (const char *)places && (const char *)p < (const char *)(places + LOCATIONS);
}

/* A copy without atomics is, at best, one load or store a word that orders nothing. */
static void *memory_copy(void *to, const void *from, size_t n)
{
	if (!shared(to) && !shared(from))
		return memcpy(to, from, n);
	for (size_t i = 0; i < n / 8; i++)
		if (shared(to))
			memory_store((_Atomic uint64_t *)to + i, ((const uint64_t *)from)[i], memory_order_relaxed);
		else
			((uint64_t *)to)[i] = memory_load((const _Atomic uint64_t *)from + i, memory_order_relaxed);
	return to;
}

/* --- the story ---------------------------------------------------------------------------------------------------------------- */

/* Word i of publication k of generation g; no two publications have a word in common. */
static uint64_t word_of(unsigned g, unsigned k, unsigned i)
{
	return g * 100 + k * 10 + i;
}

/* True: it lived to the end. */
static bool writer_run(unsigned gen, unsigned stores)
{
	writing = true;
	stores_left = stores;
	if (setjmp(death) == 0) {
		for (unsigned k = 1; k <= PUBLICATIONS; k++) {
			uint64_t payload[WORDS];

			for (unsigned i = 0; i < WORDS; i++)
				payload[i] = word_of(gen, k, i);
			shm_seq_store(LINE_SEQ, LINE_WORDS, WORDS, payload);
		}
		writing = false;
		return true;
	}
	writing = false;
	return false;
}

static bool owner_publish(uint64_t gen, unsigned stores)
{
	writing = true;
	stores_left = stores;
	if (setjmp(death) == 0) {
		shm_seq_store(OWNER_SEQ, OWNER_WORD, 1, &gen);
		writing = false;
		return true;
	}
	writing = false;
	return false;
}

enum claim { WHOLE, FORWARD, VOID, BOUNDED, BACK, CLAIMS };
static const char *const CLAIM_WORDS[CLAIMS] = {"whole", "forward", "void", "bounded", "back"};

struct tally {
	uint64_t executions;
	uint64_t settled;
	uint64_t current;
	uint64_t broken[CLAIMS];
};

static bool copy_whole(const uint64_t copy[WORDS])
{
	for (unsigned i = 1; i < WORDS; i++)
		if (copy[i] != (copy[0] ? copy[0] + i : 0))
			return false;
	return true;
}

static bool take(uint64_t copy[WORDS], struct tally *t)
{
	unsigned before = reader.loads;
	bool settled = shm_seq_load(LINE_SEQ, LINE_WORDS, WORDS, copy, TRIES);

	t->broken[BOUNDED] += reader.loads - before > TRIES * (WORDS + 2);
	t->settled += settled;
	t->broken[WHOLE] += settled && !copy_whole(copy);
	return settled;
}

/* A reader at any time: it takes the owner line and then, twice, the line. */
static void reader_run(struct tally *t)
{
	uint64_t gen = 0, first[WORDS], second[WORDS];
	bool early;

	memset(&reader, 0, sizeof(reader));
	if (!shm_seq_load(OWNER_SEQ, OWNER_WORD, 1, &gen, 1))
		gen = 0;
	early = take(first, t);
	if (early && gen && first[0] / 100 == gen) {
		t->current++;
		for (unsigned i = 1; i < WORDS; i++)
			t->broken[VOID] += first[i] / 100 != gen;
	}
	if (take(second, t) && early)
		t->broken[FORWARD] += second[0] < first[0];
}

/* A reader who knows that everything is over. */
static void reader_last(struct tally *t, uint64_t expected)
{
	uint64_t copy[WORDS];
	bool settled;

	memset(&reader, 0, sizeof(reader));
	reader.time = time_now;
	for (unsigned i = 0; i < LOCATIONS; i++)
		reader.known[i] = history[i].n - 1;
	settled = shm_seq_load(LINE_SEQ, LINE_WORDS, WORDS, copy, TRIES);
	t->broken[BACK] += settled != (expected != UINT64_MAX) || (settled && (copy[0] != expected || !copy_whole(copy)));
}

/* The first word of what the line holds after writer `gen` made `stores` of its `all` stores; UINT64_MAX: unfinished. */
static uint64_t left_by(unsigned gen, unsigned stores, unsigned all, uint64_t before)
{
	unsigned each = all / PUBLICATIONS;

	if (stores == 0)
		return before;
	return stores % each ? UINT64_MAX : word_of(gen, stores / each, 0);
}

static bool broken(const struct tally *t)
{
	uint64_t sum = 0;

	for (unsigned c = 0; c < CLAIMS; c++)
		sum += t->broken[c];
	return sum != 0;
}

/* Every execution of a reader beside what the writers stored, or as many as it takes to break a claim. */
static void reader_everywhere(struct tally *t, uint64_t expected)
{
	path.n = 0;
	do {
		path.at = 0;
		t->executions++;
		reader_run(t);
	} while (!broken(t) && path_next());
	path.n = path.at = 0;
	reader_last(t, expected);
}

static void story(struct tally *t, unsigned all)
{
	unsigned owner_all = all / PUBLICATIONS - WORDS + 1;

	for (unsigned d1 = 0; d1 <= all && !broken(t); d1++)
		for (unsigned ds = 0; ds <= owner_all && !broken(t); ds++)
			for (unsigned d2 = 0; d2 <= (ds == owner_all ? all : 0) && !broken(t); d2++) {
				uint64_t left;

				memory_init();
				(void)owner_publish(1, FOREVER);
				(void)writer_run(1, d1);
				left = left_by(1, d1, all, 0);
				if (owner_publish(2, ds))
					(void)writer_run(2, d2);
				reader_everywhere(t, left_by(2, d2, all, left));
			}
}

/* How many stores a writer makes that does not die. */
static unsigned stores_count(void)
{
	memory_init();
	(void)writer_run(1, FOREVER);
	return time_now - LOCATIONS;
}

int main(void)
{
	unsigned all = stores_count();
	int status = 0;

	for (machine = 0; machine < MACHINES; machine++) {
		struct tally t = {0};

		story(&t, all);
		printf("%s: %llu executions, %llu settled copies, %llu current;", MACHINE_WORDS[machine],
		       (unsigned long long)t.executions, (unsigned long long)t.settled, (unsigned long long)t.current);
		for (unsigned c = 0; c < CLAIMS; c++)
			printf(" %s %s", CLAIM_WORDS[c], t.broken[c] ? "BROKEN" : "holds");
		printf("\n");
		status |= broken(&t);
	}
	return status;
}
