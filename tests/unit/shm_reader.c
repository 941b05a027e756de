/* A reader hands out what was published and nothing that it could not index, loop or print by, in bounded time, whatever the bytes. */
#include "tests/board.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "shm/sum.h"

static struct board b;

static int setup(void **state)
{
	(void)state;
	board_init(&b);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	board_fini(&b);
	return 0;
}

/* --- every line by one shape, so that the tests below are loops --------------------------------------------------------------- */

union payload {
	struct shm_header header;
	struct shm_child_line child;
	struct shm_owner owner;
	struct shm_vital vital;
	struct shm_models models;
	struct shm_host host;
	struct shm_router_ident ident;
	struct shm_wish wish;
	uint64_t words[SHM_WORDS(struct shm_models)];
};

struct line {
	const char *name;
	size_t bytes;
	void (*publish)(const union payload *);
	int (*read)(union payload *);
	_Atomic uint64_t *(*seq)(void);
};

#define LINE(tag, member, pub, rd, seq_word)                                                                                       \
	static void tag##_publish(const union payload *p)                                                                          \
	{                                                                                                                          \
		const void *v = &p->member;                                                                                        \
		pub;                                                                                                               \
	}                                                                                                                          \
	static int tag##_read(union payload *p)                                                                                    \
	{                                                                                                                          \
		void *out = &p->member;                                                                                            \
		return rd;                                                                                                         \
	}                                                                                                                          \
	static _Atomic uint64_t *tag##_seq(void)                                                                                   \
	{                                                                                                                          \
		return &(seq_word);                                                                                                \
	}

LINE(header, header, shm_header_publish(b.owner, v), shm_read_header(b.reader, out), b.owner->header.seq)
LINE(rchild, child, shm_router_child_publish(b.owner, 7, v), shm_read_router_child(b.reader, 7, out), b.owner->router[7].seq)
LINE(hchild, child, shm_host_child_publish(b.owner, v), shm_read_host_child(b.reader, out), b.owner->host.seq)
LINE(slot, owner, shm_slot_publish(b.owner, 63, v), shm_read_slot(b.reader, 63, out), b.owner->slot[63].seq)
LINE(vital, vital, shm_vital_publish(b.vital[9], v), shm_read_vital(b.reader, 9, out), b.vital[9]->vital.seq)
LINE(models, models, shm_models_publish(b.vital[9], v), shm_read_models(b.reader, 9, out), b.vital[9]->models.seq)
LINE(host, host, shm_host_publish(b.host, v), shm_read_host(b.reader, out), b.host->host.seq)
LINE(ident, ident, shm_router_ident_publish(b.router[1], v), shm_read_router_ident(b.reader, 1, out), b.router[1]->ident.seq)
LINE(wish, wish, shm_wish_publish(b.router[1], 63, 3, v), shm_read_wish(b.reader, 1, 63, 3, out), b.router[1]->slot[63].wish[3].seq)

#define ROW(tag, type)                                                                                                             \
	{                                                                                                                          \
#tag, sizeof(struct type), tag##_publish, tag##_read, tag##_seq                                                    \
	}
static const struct line LINES[] = {
	ROW(header, shm_header), ROW(rchild, shm_child_line),  ROW(hchild, shm_child_line),
	ROW(slot, shm_owner),    ROW(vital, shm_vital),        ROW(models, shm_models),
	ROW(host, shm_host),     ROW(ident, shm_router_ident), ROW(wish, shm_wish),
};

enum { HEADER, RCHILD, HCHILD, SLOT, VITAL, MODELS, HOST, IDENT, WISH };

/* --- what was published is what is read --------------------------------------------------------------------------------------- */

/* 1 in every word suits every rule: it is in range everywhere, and a text of 1, NUL, NUL... ends. */
static void ones(union payload *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->words); i++)
		p->words[i] = 1;
}

static void a_line_comes_back_as_published(void **state)
{
	union payload in, out;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(LINES); i++) {
		ones(&in);
		memset(&out, 0xee, sizeof(out));
		LINES[i].publish(&in);
		assert_int_equal(LINES[i].read(&out), 0);
		assert_memory_equal(&in, &out, LINES[i].bytes);
	}
}

static void a_new_board_reads_as_zeros(void **state)
{
	static const union payload ZERO;
	union payload out;
	struct board fresh;

	(void)state;
	board_init(&fresh);
	memset(&out, 0xee, sizeof(out));
	assert_int_equal(shm_read_vital(fresh.reader, 0, &out.vital), 0);
	assert_memory_equal(&out, &ZERO, sizeof(out.vital));
	assert_int_equal(shm_read_slot(fresh.reader, 0, &out.owner), 0);
	assert_memory_equal(&out, &ZERO, sizeof(out.owner));
	board_fini(&fresh);
}

static void the_largest_legal_values_pass(void **state)
{
	union payload p, out;

	(void)state;
	ones(&p);
	p.vital.state = SHM_STATE_COUNT - 1;
	p.vital.models = SHM_MODELS;
	p.vital.ollama_pid = 1 << 22;
	memset(p.vital.why, 'x', SHM_TEXT - 1);
	p.vital.why[SHM_TEXT - 1] = 0;
	vital_publish(&p);
	assert_int_equal(vital_read(&out), 0);
	assert_int_equal(strlen(out.vital.why), SHM_TEXT - 1);
	ones(&p);
	p.models.n = SHM_MODELS;
	models_publish(&p);
	assert_int_equal(models_read(&out), 0);
}

/* --- settled but nonsense ----------------------------------------------------------------------------------------------------- */

struct nonsense {
	unsigned line;
	size_t at;
	size_t text_bytes; /* filled without a NUL; 0: the word becomes `value` */
	uint64_t value;
};

#define BAD_WORD(line, type, member, value)                                                                                        \
	{                                                                                                                          \
		line, offsetof(struct type, member), 0, value                                                                      \
	}
#define BAD_TEXT(line, type, member)                                                                                               \
	{                                                                                                                          \
		line, offsetof(struct type, member), sizeof(((struct type *)0)->member), 0                                         \
	}

static const struct nonsense NONSENSE[] = {
	BAD_WORD(HEADER, shm_header, sup_pid, (1 << 22) + 1),
	BAD_WORD(HEADER, shm_header, routers, SHM_ROUTERS + 1),
	BAD_WORD(HEADER, shm_header, slots_used, SHM_SLOTS + 1),
	BAD_WORD(HEADER, shm_header, stopping, 2),
	BAD_TEXT(HEADER, shm_header, listen),
	BAD_TEXT(HEADER, shm_header, reload_text),
	BAD_TEXT(HEADER, shm_header, version),
	BAD_WORD(RCHILD, shm_child_line, pid, UINT64_MAX),
	BAD_WORD(RCHILD, shm_child_line, state, SHM_CHILD_COUNT),
	BAD_TEXT(RCHILD, shm_child_line, why),
	BAD_WORD(HCHILD, shm_child_line, state, SHM_CHILD_COUNT),
	BAD_WORD(SLOT, shm_owner, used, 2),
	BAD_WORD(SLOT, shm_owner, wanted, SHM_WANT_COUNT),
	BAD_WORD(SLOT, shm_owner, places, (1 << 16) + 1),
	BAD_WORD(SLOT, shm_owner, adopted, 2),
	BAD_WORD(SLOT, shm_owner, child_pid, 1ULL << 32),
	BAD_WORD(SLOT, shm_owner, child_state, SHM_CHILD_COUNT),
	BAD_TEXT(SLOT, shm_owner, name),
	BAD_TEXT(SLOT, shm_owner, url),
	BAD_TEXT(SLOT, shm_owner, tags),
	BAD_TEXT(SLOT, shm_owner, why),
	BAD_WORD(VITAL, shm_vital, state, SHM_STATE_COUNT),
	BAD_WORD(VITAL, shm_vital, ollama_pid, UINT64_MAX),
	BAD_WORD(VITAL, shm_vital, runner_pids[0], UINT64_MAX),
	BAD_WORD(VITAL, shm_vital, runner_pids[1], UINT64_MAX),
	BAD_WORD(VITAL, shm_vital, runner_pids[2], UINT64_MAX),
	BAD_WORD(VITAL, shm_vital, runner_pids[3], UINT64_MAX),
	BAD_WORD(VITAL, shm_vital, death_kind, SHM_DEATH_COUNT),
	BAD_WORD(VITAL, shm_vital, models, SHM_MODELS + 1),
	BAD_TEXT(VITAL, shm_vital, version),
	BAD_TEXT(VITAL, shm_vital, why),
	BAD_WORD(MODELS, shm_models, n, SHM_MODELS + 1),
	BAD_TEXT(MODELS, shm_models, at[0].name),
	BAD_TEXT(MODELS, shm_models, at[SHM_MODELS - 1].name),
	BAD_WORD(HOST, shm_host, psi_known, 2),
	BAD_WORD(HOST, shm_host, gpus, SHM_GPUS + 1),
	BAD_TEXT(HOST, shm_host, gpu[0].name),
	BAD_TEXT(HOST, shm_host, gpu[SHM_GPUS - 1].name),
	BAD_WORD(IDENT, shm_router_ident, pid, UINT64_MAX),
	BAD_WORD(WISH, shm_wish, kind, SHM_WISH_COUNT),
	BAD_TEXT(WISH, shm_wish, model),
};

/* promise 9 */
static void nonsense_is_refused_and_counted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(NONSENSE); i++) {
		const struct nonsense *n = &NONSENSE[i];
		const struct line *l = &LINES[n->line];
		uint64_t bad = shm_reader_bad(b.reader), torn = shm_reader_torn(b.reader);
		union payload p, out, untouched;

		ones(&p);
		if (n->text_bytes)
			memset((char *)&p + n->at, 'x', n->text_bytes);
		else
			p.words[n->at / 8] = n->value;
		memset(&out, 0xee, sizeof(out));
		untouched = out;
		l->publish(&p);
		if (l->read(&out) != -EBADMSG)
			fail_msg("%s, offset %zu: not refused", l->name, n->at);
		assert_memory_equal(&out, &untouched, sizeof(out));
		assert_int_equal(shm_reader_bad(b.reader), bad + 1);
		assert_int_equal(shm_reader_torn(b.reader), torn);
		ones(&p);
		l->publish(&p);
		assert_int_equal(l->read(&out), 0);
	}
}

/* Whatever an accident changes in a settled line, nobody takes it for what its writer said. */
/* promise 9 */
static void any_changed_bit_is_refused_until_the_next_publication(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(LINES); i++) {
		size_t bits = (LINES[i].bytes + 8) * 8; /* the sum, too */
		union payload p, out;

		ones(&p);
		LINES[i].publish(&p);
		for (size_t bit = 0; bit < bits; bit++) {
			_Atomic uint64_t *word = LINES[i].seq() + 1 + bit / 64;
			uint64_t bad = shm_reader_bad(b.reader);

			*word ^= 1ULL << bit % 64;
			if (LINES[i].read(&out) != -EBADMSG)
				fail_msg("%s: bit %zu was changed and nobody noticed", LINES[i].name, bit);
			assert_int_equal(shm_reader_bad(b.reader), bad + 1);
			*word ^= 1ULL << bit % 64;
		}
		assert_int_equal(LINES[i].read(&out), 0);
		*(LINES[i].seq() + 1) ^= 1;
		LINES[i].publish(&p);
		assert_int_equal(LINES[i].read(&out), 0);
	}
}

/* Zeros are sound: a line nobody has published yet. */
static void two_changed_words_do_not_make_up_for_each_other(void **state)
{
	uint64_t words[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, sum;

	(void)state;
	assert_int_equal(shm_sum(words, ARRAY_SIZE(words)), 0);
	sum = shm_sum(words, ARRAY_SIZE(words));
	for (size_t a = 0; a < ARRAY_SIZE(words) * 64; a++)
		for (size_t z = 0; z < a; z++) {
			words[a / 64] ^= 1ULL << a % 64;
			words[z / 64] ^= 1ULL << z % 64;
			if (shm_sum(words, ARRAY_SIZE(words)) == sum)
				fail_msg("bits %zu and %zu", a, z);
			words[a / 64] ^= 1ULL << a % 64;
			words[z / 64] ^= 1ULL << z % 64;
		}
}

static void a_damaged_stamp_is_found_while_mapped(void **state)
{
	struct why why = {""};

	(void)state;
	assert_int_equal(shm_reader_check(b.reader, &why), 0);
	b.vital[9]->stamp.index ^= 1;
	assert_int_equal(shm_reader_check(b.reader, &why), -EPROTO);
	assert_non_null(strstr(why.text, "vital file"));
	b.vital[9]->stamp.index ^= 1;
	b.owner->stamp.board_id[1] ^= 1ULL << 63;
	assert_int_equal(shm_reader_check(b.reader, &why), -EPROTO);
	b.owner->stamp.board_id[1] ^= 1ULL << 63;
	assert_int_equal(shm_reader_check(b.reader, &why), 0);
}

/* --- never settled ------------------------------------------------------------------------------------------------------------ */

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* promise 8 */
static void an_odd_line_is_given_up_soon_and_counted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(LINES); i++) {
		uint64_t torn = shm_reader_torn(b.reader), since;
		union payload out, untouched;

		memset(&out, 0xee, sizeof(out));
		untouched = out;
		atomic_fetch_or(LINES[i].seq(), 1);
		since = cpu_ns();
		assert_int_equal(LINES[i].read(&out), -EAGAIN);
		assert_true(cpu_ns() - since < NS_PER_MS);
		assert_memory_equal(&out, &untouched, sizeof(out));
		assert_int_equal(shm_reader_torn(b.reader), torn + 1);
		ones(&out);
		LINES[i].publish(&out);
		assert_int_equal(LINES[i].read(&out), 0);
	}
}

/* --- any bytes at all --------------------------------------------------------------------------------------------------------- */

static uint64_t random_word(void)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13, x ^= x >> 7, x ^= x << 17;
	return x;
}

static void words_scramble(_Atomic uint64_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		atomic_store_explicit(&words[i], random_word(), memory_order_relaxed);
}

/* promise 9 */
static void random_bytes_end_in_an_answer(void **state)
{
	unsigned answers[3] = {0};

	(void)state;
	for (unsigned round = 0; round < 2000; round++)
		for (size_t i = 0; i < ARRAY_SIZE(LINES); i++) {
			_Atomic uint64_t *seq = LINES[i].seq();
			union payload out;
			uint64_t since;
			int err;

			words_scramble(seq, 1 + LINES[i].bytes / 8);
			if (round % 2) /* a writer gone mad sums up its rubbish, too */
				seq[1 + LINES[i].bytes / 8] = shm_sum((const void *)(uintptr_t)(seq + 1), LINES[i].bytes / 8);
			since = cpu_ns();
			err = LINES[i].read(&out);
			assert_true(cpu_ns() - since < 5 * NS_PER_MS);
			assert_true(err == 0 || err == -EAGAIN || err == -EBADMSG);
			answers[err == 0 ? 0 : err == -EAGAIN ? 1 : 2]++;
		}
	assert_true(answers[1] > 0 && answers[2] > 0);
}

/* --- the edges of the board --------------------------------------------------------------------------------------------------- */

static void there_is_nothing_beyond_the_end(void **state)
{
	union payload p;

	(void)state;
	assert_int_equal(shm_read_slot(b.reader, SHM_SLOTS, &p.owner), -ERANGE);
	assert_int_equal(shm_read_vital(b.reader, SHM_SLOTS, &p.vital), -ERANGE);
	assert_int_equal(shm_read_models(b.reader, UINT32_MAX, &p.models), -ERANGE);
	assert_int_equal(shm_read_router_child(b.reader, SHM_ROUTERS, &p.child), -ERANGE);
	assert_int_equal(shm_read_router_ident(b.reader, SHM_ROUTERS, &p.ident), -ERANGE);
	assert_int_equal(shm_read_wish(b.reader, SHM_ROUTERS, 0, 0, &p.wish), -ERANGE);
	assert_int_equal(shm_read_wish(b.reader, 0, SHM_SLOTS, 0, &p.wish), -ERANGE);
	assert_int_equal(shm_read_wish(b.reader, 0, 0, SHM_WISHES, &p.wish), -ERANGE);
	assert_null(shm_router_counters(b.reader, SHM_ROUTERS));
	assert_null(shm_router_slot(b.reader, SHM_ROUTERS, 0));
	assert_null(shm_router_slot(b.reader, 0, SHM_SLOTS));
}

static void files_not_handed_over_are_not_there(void **state)
{
	struct shm_reader *r = NULL;
	struct shm_fds none;
	union payload p;

	(void)state;
	memset(&none, 0xff, sizeof(none));
	assert_int_equal(shm_reader_open(&none, &r, NULL), 0);
	assert_int_equal(shm_read_header(r, &p.header), -ERANGE);
	assert_int_equal(shm_read_host(r, &p.host), -ERANGE);
	assert_int_equal(shm_read_slot(r, 0, &p.owner), -ERANGE);
	assert_int_equal(shm_read_vital(r, 0, &p.vital), -ERANGE);
	assert_int_equal(shm_read_models(r, 0, &p.models), -ERANGE);
	assert_int_equal(shm_read_host_child(r, &p.child), -ERANGE);
	assert_int_equal(shm_read_router_child(r, 0, &p.child), -ERANGE);
	assert_int_equal(shm_read_router_ident(r, 0, &p.ident), -ERANGE);
	assert_int_equal(shm_read_wish(r, 0, 0, 0, &p.wish), -ERANGE);
	assert_null(shm_router_counters(r, 0));
	assert_null(shm_router_slot(r, 0, 0));
	shm_reader_close(&r);
	assert_null(r);
	shm_reader_close(&r);
	shm_reader_close(NULL);
}

static void the_mapping_outlives_the_descriptors(void **state)
{
	struct shm_fds fds;
	struct shm_reader *r = NULL;
	union payload in, out;

	(void)state;
	assert_int_equal(shm_fds_readonly(&b.rw, &fds, NULL), 0);
	assert_int_equal(shm_reader_open(&fds, &r, NULL), 0);
	shm_fds_close(&fds);
	ones(&in);
	in.vital.beat_ns = 77;
	vital_publish(&in);
	assert_int_equal(shm_read_vital(r, 9, &out.vital), 0);
	assert_int_equal(out.vital.beat_ns, 77);
	shm_reader_close(&r);
}

static void counters_are_seen_as_they_are_written(void **state)
{
	(void)state;
	shm_add(&b.router[2]->counters.requests, 5);
	shm_add(&b.router[2]->slot[40].in_flight, 3);
	shm_add(&b.router[2]->slot[40].in_flight, (uint64_t)-1);
	assert_int_equal(shm_get(&shm_router_counters(b.reader, 2)->requests), 5);
	assert_int_equal(shm_get(&shm_router_slot(b.reader, 2, 40)->in_flight), 2);
}

static void numbers_have_words(void **state)
{
	(void)state;
	assert_string_equal(shm_state_word(SHM_STATE_NONE), "unknown");
	assert_string_equal(shm_state_word(SHM_STATE_READY), "ready");
	assert_string_equal(shm_state_word(SHM_STATE_COUNT), "unknown");
	assert_string_equal(shm_state_word(UINT64_MAX), "unknown");
	assert_non_null(strstr(shm_state_sentence(SHM_STATE_READY), "requests are welcome"));
	assert_string_equal(shm_state_sentence(UINT64_MAX), "unknown");
	assert_string_equal(shm_child_word(UINT64_MAX), "unknown");
	for (uint64_t i = 0; i < SHM_CHILD_COUNT; i++)
		assert_non_null(shm_child_word(i));
	assert_string_equal(shm_child_word(SHM_CHILD_STOPPED), "stopped");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_comes_back_as_published),
		cmocka_unit_test(a_new_board_reads_as_zeros),
		cmocka_unit_test(the_largest_legal_values_pass),
		cmocka_unit_test(nonsense_is_refused_and_counted),
		cmocka_unit_test(an_odd_line_is_given_up_soon_and_counted),
		cmocka_unit_test(random_bytes_end_in_an_answer),
		cmocka_unit_test(there_is_nothing_beyond_the_end),
		cmocka_unit_test(files_not_handed_over_are_not_there),
		cmocka_unit_test(the_mapping_outlives_the_descriptors),
		cmocka_unit_test(counters_are_seen_as_they_are_written),
		cmocka_unit_test(any_changed_bit_is_refused_until_the_next_publication),
		cmocka_unit_test(two_changed_words_do_not_make_up_for_each_other),
		cmocka_unit_test(a_damaged_stamp_is_found_while_mapped),
		cmocka_unit_test(numbers_have_words),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
