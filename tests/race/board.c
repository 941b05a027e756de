/* Writers killed in mid-line: readers take whole publications or none, never wait, and the next writer is readable at once.
 *
 *	board [KILLS [SEED]]	default 1000 kills; a long run is for example `board 100000`
 *
 * Every byte of a publication follows from its generation and number, so a copy that mixes two publications is recognised whatever
 * its words.  The same harness is turned on writers with a known mistake, to show that it would notice. */
#include "tests/board.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/scan.h"
#include "shm/seq.h"
#include "shm/sum.h"

#define WRITERS   2                   /* at a time, each on its own slot */
#define SETTLE_NS (20ULL * NS_PER_S)  /* a new writer that is not seen by then is a failure; a starved machine needs seconds */
#define READ_MAX  2000                /* reads between two kills, at most */
#define BOUND_NS  (50ULL * NS_PER_MS) /* of CPU time for one read: 64 passes take 3 µs, the rest is what a busy host steals */
#define THREAD_N  20000               /* publications in the threaded test */

static struct board b;
static uint64_t kills = 1000; /* promises ask for so many */
static uint64_t seed;

static uint64_t random_below(uint64_t n)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return seed % n;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- publications that can be recognised -------------------------------------------------------------------------------------- */

static void numbers_fill(void *payload, size_t bytes, uint64_t gen, uint64_t n)
{
	uint64_t x = gen * 0x9e3779b97f4a7c15ULL ^ n * 0xbf58476d1ce4e5b9ULL;

	for (size_t i = 0; i < bytes / 8; i++) {
		uint64_t word = x + i * 0x94d049bb133111ebULL;

		memcpy((char *)payload + i * 8, &word, 8);
	}
}

/* Publication `n` of generation `gen`: gen and n stand where a reader finds them, what has a range is brought into it. */
static void vital_fill(struct shm_vital *v, uint64_t gen, uint64_t n)
{
	numbers_fill(v, sizeof(*v), gen, n);
	v->gen = gen;
	v->beat_ns = n;
	v->state %= SHM_STATE_COUNT;
	v->ollama_pid >>= 42;
	for (size_t i = 0; i < ARRAY_SIZE(v->runner_pids); i++)
		v->runner_pids[i] >>= 42;
	v->death_kind %= SHM_DEATH_COUNT;
	v->models %= SHM_MODELS + 1;
	v->version[sizeof(v->version) - 1] = 0;
	v->why[sizeof(v->why) - 1] = 0;
}

static void models_fill(struct shm_models *m, uint64_t gen, uint64_t n)
{
	numbers_fill(m, sizeof(*m), gen, n);
	m->gen = gen;
	m->n %= SHM_MODELS + 1;
	for (size_t i = 0; i < SHM_MODELS; i++)
		m->at[i].name[SHM_MODEL_NAME - 1] = 0;
	m->at[0].flags = n;
}

static const struct shm_vital ZERO_VITAL;
static const struct shm_models ZERO_MODELS;

static bool vital_whole(const struct shm_vital *v)
{
	struct shm_vital want;

	vital_fill(&want, v->gen, v->beat_ns);
	return memcmp(v, &want, sizeof(want)) == 0 || memcmp(v, &ZERO_VITAL, sizeof(want)) == 0;
}

static bool models_whole(const struct shm_models *m)
{
	struct shm_models want;

	models_fill(&want, m->gen, m->at[0].flags);
	return memcmp(m, &want, sizeof(want)) == 0 || memcmp(m, &ZERO_MODELS, sizeof(want)) == 0;
}

/* --- writers ------------------------------------------------------------------------------------------------------------------ */

typedef void store_fn(_Atomic uint64_t *seq, _Atomic uint64_t *words, size_t n, const void *payload);

static void words_store(_Atomic uint64_t *words, size_t n, const void *payload)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t word;

		memcpy(&word, (const char *)payload + i * 8, 8);
		atomic_store_explicit(&words[i], word, memory_order_release);
	}
}

/* Mistake: a plain copy; the sequence moves on, but never says that the line is being written. */
static void store_without_mark(_Atomic uint64_t *seq, _Atomic uint64_t *words, size_t n, const void *payload)
{
	words_store(words, n, payload);
	atomic_fetch_add(seq, 2);
}

/* Mistake: counts up before and after.  Right until a writer dies in between; from then on even means "being written". */
static void store_counting_up(_Atomic uint64_t *seq, _Atomic uint64_t *words, size_t n, const void *payload)
{
	atomic_fetch_add(seq, 1);
	words_store(words, n, payload);
	atomic_fetch_add(seq, 1);
}

/* Mistake: says "whole" before it is. */
static void store_even_too_soon(_Atomic uint64_t *seq, _Atomic uint64_t *words, size_t n, const void *payload)
{
	uint64_t odd = atomic_load(seq) | 1;

	atomic_store(seq, odd);
	words_store(words, n / 2, payload);
	atomic_store(seq, odd + 1);
	words_store(words + n / 2, n - n / 2, (const char *)payload + n / 2 * 8);
}

/* As the product's writer does it: the payload, and its sum in the last word. */
static void store_line(store_fn *store, _Atomic uint64_t *seq, _Atomic uint64_t *words, size_t n, const void *payload)
{
	uint64_t whole[SHM_WORDS(struct shm_models) + 1];

	memcpy(whole, payload, (n - 1) * 8);
	whole[n - 1] = shm_sum(payload, n - 1);
	store(seq, words, n, whole);
}

/* Publishes flat out until it is killed.  NULL: through the door that the product uses. */
static void writer_run(unsigned slot, uint64_t gen, store_fn *store)
{
	struct shm_vital_file *f = b.vital[slot];

	for (uint64_t n = 1;; n++) {
		struct shm_vital v;
		struct shm_models m;

		vital_fill(&v, gen, n);
		models_fill(&m, gen, n);
		if (store) {
			store_line(store, &f->vital.seq, f->vital.words, ARRAY_SIZE(f->vital.words), &v);
			store_line(store, &f->models.seq, f->models.words, ARRAY_SIZE(f->models.words), &m);
		} else {
			shm_vital_publish(f, &v);
			shm_models_publish(f, &m);
		}
	}
}

static pid_t writer_fork(unsigned slot, uint64_t gen, store_fn *store)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			writer_run(slot, gen, store);
		_exit(1);
	}
	return pid;
}

static bool writer_kill(pid_t pid)
{
	int status;

	return kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* --- what was seen ------------------------------------------------------------------------------------------------------------ */

struct tally {
	uint64_t reads;
	uint64_t settled;
	uint64_t unsettled;
	uint64_t nonsense;   /* settled, and refused by the reader's own rules */
	uint64_t mixed;      /* settled, accepted, and of two publications */
	uint64_t unguarded;  /* words of a dead writer's line that are a mix: what a reader without the protocol would take */
	uint64_t half_lines; /* lines that a killed writer left odd */
	uint64_t half_wrong; /* lines of dead writers whose answer was not what the sequence word demands */
	uint64_t unseen;     /* new writers that were not seen in time */
	uint64_t broken;     /* fork or kill did not do what it should */
	uint64_t slowest_ns;
};

static void tally_count(struct tally *t, int err, bool whole, uint64_t took_ns)
{
	t->reads++;
	t->settled += err == 0;
	t->unsettled += err == -EAGAIN;
	t->nonsense += err == -EBADMSG;
	t->mixed += err == 0 && !whole;
	if (took_ns > t->slowest_ns)
		t->slowest_ns = took_ns;
}

static int vital_look(const struct shm_reader *r, struct tally *t, unsigned slot, uint64_t *gen)
{
	struct shm_vital v;
	uint64_t since = cpu_ns();
	int err = shm_read_vital(r, slot, &v);

	tally_count(t, err, err || vital_whole(&v), cpu_ns() - since);
	if (!err)
		*gen = v.gen;
	return err;
}

static int models_look(const struct shm_reader *r, struct tally *t, unsigned slot, uint64_t *gen)
{
	struct shm_models m;
	uint64_t since = cpu_ns();
	int err = shm_read_models(r, slot, &m);

	tally_count(t, err, err || models_whole(&m), cpu_ns() - since);
	if (!err)
		*gen = m.gen;
	return err;
}

/* Nobody writes any more: an odd line must read as unsettled, an even one as settled. */
static void dead_look(struct tally *t, unsigned slot)
{
	struct shm_vital_file *f = b.vital[slot];
	bool vital_odd = f->vital.seq & 1, models_odd = f->models.seq & 1;
	struct shm_vital v;
	struct shm_models m;
	uint64_t gen;

	t->half_wrong += (vital_look(b.reader, t, slot, &gen) == -EAGAIN) != vital_odd;
	t->half_wrong += (models_look(b.reader, t, slot, &gen) == -EAGAIN) != models_odd;
	t->half_lines += (uint64_t)vital_odd + models_odd;
	memcpy(&v, f->vital.words, sizeof(v));
	memcpy(&m, f->models.words, sizeof(m));
	t->unguarded += (uint64_t)!vital_whole(&v) + !models_whole(&m);
}

/* Until both lines of the slot show generation `gen`. */
static bool seen_in_time(struct tally *t, unsigned slot, uint64_t gen)
{
	uint64_t deadline = clock_after_ns(clock_now_ns(), SETTLE_NS), vital_gen = 0, models_gen = 0;

	while (vital_gen != gen || models_gen != gen) {
		if (clock_now_ns() > deadline)
			return false;
		vital_look(b.reader, t, slot, &vital_gen);
		models_look(b.reader, t, slot, &models_gen);
		if (vital_gen != gen)
			sched_yield(); /* it may not have run yet, on a machine with fewer processors than writers */
	}
	return true;
}

/* --- kill -9 ------------------------------------------------------------------------------------------------------------------ */

struct victim {
	pid_t pid;
	uint64_t gen;
};

static void one_kill(struct tally *t, struct victim *victim, unsigned slot, store_fn *store, bool wait)
{
	if (wait && !seen_in_time(t, slot, victim->gen))
		t->unseen++;
	for (uint64_t i = random_below(READ_MAX); i; i--) {
		uint64_t gen;

		vital_look(b.reader, t, (unsigned)random_below(WRITERS), &gen);
		if (i % 8 == 0)
			models_look(b.reader, t, (unsigned)random_below(WRITERS), &gen);
	}
	if (!writer_kill(victim->pid))
		t->broken++;
	dead_look(t, slot);
	victim->gen++;
	victim->pid = writer_fork(slot, victim->gen, store);
	if (victim->pid < 0)
		t->broken++;
}

/* `n` times: kill one of the writers at a random moment, look at what it left, start its successor on the same line.  `wait`: every
 * second one is first seen to publish; the others may die before their first store.  No assertion while children live. */
static void kills_run(struct tally *t, uint64_t n, store_fn *store)
{
	struct victim victims[WRITERS];

	board_init(&b);
	for (unsigned i = 0; i < WRITERS; i++)
		victims[i] = (struct victim){.pid = writer_fork(i, 1, store), .gen = 1};
	for (uint64_t i = 0; i < n && !t->broken && !t->unseen; i++)
		one_kill(t, &victims[i % WRITERS], (unsigned)(i % WRITERS), store, !store && random_below(2));
	for (unsigned i = 0; i < WRITERS; i++) {
		if (!store && !t->broken && !seen_in_time(t, i, victims[i].gen))
			t->unseen++;
		if (victims[i].pid > 0 && !writer_kill(victims[i].pid))
			t->broken++;
	}
	board_fini(&b);
}

static void tally_say(const char *what, uint64_t n, const struct tally *t)
{
	print_message("# %s: %llu kills, %llu lines left half-written, %llu of them a mix of two publications\n", what,
		      (unsigned long long)n, (unsigned long long)t->half_lines, (unsigned long long)t->unguarded);
	print_message("# %s: %llu reads, %llu settled, %llu unsettled, %llu refused, %llu TORN; slowest %llu us\n", what,
		      (unsigned long long)t->reads, (unsigned long long)t->settled, (unsigned long long)t->unsettled,
		      (unsigned long long)t->nonsense, (unsigned long long)t->mixed, (unsigned long long)t->slowest_ns / 1000);
}

/* promise 8 */
static void killed_writers_never_tear_a_reader(void **state)
{
	struct tally t = {0};

	(void)state;
	kills_run(&t, kills, NULL);
	tally_say("killed", kills, &t);
	assert_int_equal(t.broken, 0);
	assert_int_equal(t.unseen, 0);
	assert_int_equal(t.mixed, 0);
	assert_int_equal(t.nonsense, 0);
	assert_int_equal(t.half_wrong, 0);
	assert_true(t.slowest_ns < BOUND_NS);
	assert_true(t.settled > kills);
	assert_true(kills < 100 || (t.half_lines > 0 && t.unguarded > 0)); /* the harness does hit writers in mid-line */
}

/* Turned on a writer with a mistake, the same harness finds copies that the sequence word promised whole and are not. */
static void mistake_is_caught(const char *what, store_fn *store)
{
	uint64_t deadline = clock_after_ns(clock_now_ns(), SETTLE_NS), n = 0;
	struct tally t = {0};

	while (!t.mixed && !t.nonsense && !t.broken && clock_now_ns() < deadline) {
		kills_run(&t, 10, store);
		n += 10;
	}
	tally_say(what, n, &t);
	assert_int_equal(t.broken, 0);
	assert_true(t.mixed + t.nonsense > 0);
}

static void a_writer_without_mark_is_caught(void **state)
{
	(void)state;
	mistake_is_caught("no odd mark", store_without_mark);
}

static void a_writer_that_counts_up_is_caught(void **state)
{
	(void)state;
	mistake_is_caught("counting up", store_counting_up);
}

static void a_writer_that_is_even_too_soon_is_caught(void **state)
{
	(void)state;
	mistake_is_caught("even too soon", store_even_too_soon);
}

/* --- threads, for the race checker -------------------------------------------------------------------------------------------- */

static atomic_bool writer_done;

/* Dies in mid-line as far as the line can tell: odd, some words, nothing more. */
static void vital_abandon(struct shm_vital_file *f, const struct shm_vital *v, size_t words)
{
	uint64_t odd = atomic_load_explicit(&f->vital.seq, memory_order_relaxed) | 1;

	atomic_store_explicit(&f->vital.seq, odd, memory_order_relaxed);
	words_store(f->vital.words, words, v);
}

static void *thread_write(void *arg)
{
	(void)arg;
	for (uint64_t n = 1; n <= THREAD_N; n++) {
		struct shm_vital v;
		struct shm_models m;

		vital_fill(&v, 1, n);
		models_fill(&m, 1, n);
		if (n % 4 == 0)
			vital_abandon(b.vital[0], &v, n % SHM_WORDS(v));
		else
			shm_vital_publish(b.vital[0], &v);
		shm_models_publish(b.vital[0], &m);
		shm_add(&b.router[0]->counters.requests, 1);
	}
	atomic_store(&writer_done, true);
	return NULL;
}

static void *thread_read(void *arg)
{
	struct tally *t = arg;
	struct shm_reader *r = NULL;
	uint64_t gen, last = 0;

	if (shm_reader_open(&b.ro, &r, NULL)) {
		t->broken++;
		return NULL;
	}
	while (!atomic_load(&writer_done)) {
		uint64_t now = shm_get(&shm_router_counters(r, 0)->requests);

		t->broken += now < last;
		last = now;
		vital_look(r, t, 0, &gen);
		models_look(r, t, 0, &gen);
	}
	shm_reader_close(&r);
	return NULL;
}

static void threads_never_tear_a_reader(void **state)
{
	struct tally t[2] = {{0}, {0}};
	pthread_t readers[2], writer;

	(void)state;
	board_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		assert_int_equal(pthread_create(&readers[i], NULL, thread_read, &t[i]), 0);
	assert_int_equal(pthread_create(&writer, NULL, thread_write, NULL), 0);
	pthread_join(writer, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		pthread_join(readers[i], NULL);
		tally_say("threads", 0, &t[i]);
		assert_int_equal(t[i].broken + t[i].mixed + t[i].nonsense, 0);
	}
	board_fini(&b);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_writers_never_tear_a_reader), cmocka_unit_test(a_writer_without_mark_is_caught),
		cmocka_unit_test(a_writer_that_counts_up_is_caught),  cmocka_unit_test(a_writer_that_is_even_too_soon_is_caught),
		cmocka_unit_test(threads_never_tear_a_reader),
	};
	struct why why;

	seed = clock_now_ns() | 1;
	if ((argc > 1 && scan_u64(argv[1], 1, UINT32_MAX, &kills, &why)) ||
	    (argc > 2 && scan_u64(argv[2], 1, UINT64_MAX, &seed, &why))) {
		fprintf(stderr, "%s\nusage: board [KILLS [SEED]]\n", why.text);
		return 2;
	}
	print_message("# seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
