/* Reads beside writers that publish flat out: how long one takes, how often it tries again, and whether one was ever torn.
 *
 *	hammer [READS [WRITERS]]	default 10,000,000 beside one; exit status 1 when a copy was a mix of two publications
 *
 * It is built from shm/seq.h as it is, and from copies of it with one mistake (tests/seq/mistakes), which it must notice.  Lines
 * are those of three sizes that routers read most.  Every word of a publication follows from its number, so a mix is recognised
 * whatever its words.  Threads and not processes, because then the race checker can look on; to the memory it is the same. */
#include "shm/seq.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/scan.h"
#include "shm/layout.h"
#include "shm/reader.h"

#define WRITERS   8
#define COPIES    2 /* lines of each kind per writer; few, so that reader and writer meet often */
#define WORDS_MAX ARRAY_SIZE(((struct shm_vital_line *)0)->words)
#define STEP      0x94d049bb133111ebULL

struct lines {
	struct shm_router_ident_line ident[COPIES];
	struct shm_child_line_line child[COPIES];
	struct shm_vital_line vital[COPIES];
};

/* One line, whatever its kind. */
struct line {
	_Atomic uint64_t *seq;
	_Atomic uint64_t *words;
	size_t n;
};

#define KINDS      3
#define LINE_COUNT (KINDS * COPIES)

struct writer {
	struct lines lines;
	struct line at[LINE_COUNT];
	uint64_t publications;
	pthread_t thread;
};

struct tally {
	uint64_t settled;
	uint64_t unsettled; /* SHM_TRIES passes and no whole copy */
	uint64_t retries;
	uint64_t torn;
};

static struct writer writers[WRITERS];
static unsigned n_writers = 1;
static atomic_bool over;

static void payload_fill(uint64_t *payload, size_t n, uint64_t number)
{
	for (size_t i = 0; i < n; i++)
		payload[i] = number + i * STEP;
}

static bool payload_whole(const uint64_t *copy, size_t n)
{
	uint64_t wrong = 0;

	for (size_t i = 0; i < n; i++)
		wrong |= copy[i] ^ (copy[0] + i * STEP);
	return !wrong;
}

static void publish(const struct line *l, uint64_t number)
{
	uint64_t payload[WORDS_MAX];

	payload_fill(payload, l->n, number);
	shm_seq_store(l->seq, l->words, l->n, payload);
}

#define LINE(l) ((struct line){&(l).seq, (l).words, ARRAY_SIZE((l).words)})

static void writer_init(struct writer *w)
{
	for (unsigned i = 0; i < COPIES; i++) {
		w->at[i * KINDS] = LINE(w->lines.ident[i]);
		w->at[i * KINDS + 1] = LINE(w->lines.child[i]);
		w->at[i * KINDS + 2] = LINE(w->lines.vital[i]);
	}
	for (unsigned i = 0; i < LINE_COUNT; i++)
		publish(&w->at[i], 1);
}

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	uint64_t number = 2;

	for (; !atomic_load_explicit(&over, memory_order_relaxed); number++)
		for (unsigned i = 0; i < LINE_COUNT; i++)
			publish(&w->at[i], number);
	w->publications = number * LINE_COUNT;
	return NULL;
}

static void read_one(const struct line *l, struct tally *t)
{
	uint64_t copy[WORDS_MAX];
	unsigned tries = 0;

	while (!shm_seq_try(l->seq, l->words, l->n, copy)) {
		if (++tries == SHM_TRIES) {
			t->unsettled++;
			return;
		}
		shm_seq_pause();
	}
	t->retries += tries;
	t->settled++;
	t->torn += !payload_whole(copy, l->n);
}

static void read_until(uint64_t goal, struct tally *t)
{
	while (t->settled < goal)
		for (unsigned w = 0; w < n_writers; w++)
			for (unsigned i = 0; i < LINE_COUNT; i++)
				read_one(&writers[w].at[i], t);
}

static void say(const struct tally *t, uint64_t took_ns)
{
	uint64_t publications = 0;

	for (unsigned i = 0; i < n_writers; i++)
		publications += writers[i].publications;
	printf("%" PRIu64 " reads beside %u writer%s and %" PRIu64 " publications in %.1f s: %.1f ns/read, %.3f retries/read, "
	       "%" PRIu64 " never settled, %" PRIu64 " torn\n",
	       t->settled, n_writers, n_writers == 1 ? "" : "s", publications, (double)took_ns / 1e9,
	       (double)took_ns / (double)t->settled, (double)t->retries / (double)t->settled, t->unsettled, t->torn);
}

int main(int argc, char **argv)
{
	uint64_t reads = 10 * 1000 * 1000, writers_wanted = 1, since;
	struct tally t = {0};
	struct why why;

	if ((argc > 1 && scan_u64(argv[1], 1, UINT64_MAX, &reads, &why)) ||
	    (argc > 2 && scan_u64(argv[2], 1, WRITERS, &writers_wanted, &why))) {
		fprintf(stderr, "%s\nusage: hammer [READS [WRITERS]]\n", why.text);
		return 2;
	}
	n_writers = (unsigned)writers_wanted;
	for (unsigned i = 0; i < n_writers; i++) {
		writer_init(&writers[i]);
		if (pthread_create(&writers[i].thread, NULL, writer_run, &writers[i])) {
			fprintf(stderr, "hammer: no thread for a writer\n");
			return 2;
		}
	}
	since = clock_now_ns();
	read_until(reads, &t);
	since = clock_now_ns() - since;
	atomic_store(&over, true);
	for (unsigned i = 0; i < n_writers; i++)
		pthread_join(writers[i].thread, NULL);
	say(&t, since);
	return t.torn != 0;
}
