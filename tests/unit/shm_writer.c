/* A writer maps only what is its own, leaves a line even, and a new router generation begins at zero. */
#include "tests/board.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void publishing_moves_seq_by_two(void **state)
{
	const struct shm_vital v = {.gen = 1};

	(void)state;
	assert_int_equal(b.vital[0]->vital.seq, 0);
	shm_vital_publish(b.vital[0], &v);
	assert_int_equal(b.vital[0]->vital.seq, 2);
	shm_vital_publish(b.vital[0], &v);
	assert_int_equal(b.vital[0]->vital.seq, 4);
}

static void a_line_left_odd_becomes_even(void **state)
{
	const struct shm_vital v = {.gen = 7, .beat_ns = 8};
	struct shm_vital got;

	(void)state;
	atomic_store(&b.vital[1]->vital.seq, 41);
	assert_int_equal(shm_read_vital(b.reader, 1, &got), -EAGAIN);
	shm_vital_publish(b.vital[1], &v);
	assert_int_equal(b.vital[1]->vital.seq, 42);
	assert_int_equal(shm_read_vital(b.reader, 1, &got), 0);
	assert_int_equal(got.beat_ns, 8);
}

static void seq_wraps_round(void **state)
{
	const struct shm_vital v = {.gen = 9};
	struct shm_vital got;

	(void)state;
	atomic_store(&b.vital[2]->vital.seq, UINT64_MAX - 1);
	shm_vital_publish(b.vital[2], &v);
	assert_int_equal(b.vital[2]->vital.seq, 0);
	assert_int_equal(shm_read_vital(b.reader, 2, &got), 0);
	assert_int_equal(got.gen, 9);
}

/* Lines stand side by side: publishing one changes nothing outside it. */
static void a_line_keeps_to_itself(void **state)
{
	static struct shm_owner_file before;
	struct shm_owner v;

	(void)state;
	memset(&v, 0x11, sizeof(v));
	memcpy(&before, b.owner, sizeof(before));
	shm_slot_publish(b.owner, 5, &v);
	assert_memory_equal(&before, b.owner, offsetof(struct shm_owner_file, slot[5]));
	assert_memory_equal((char *)&before + offsetof(struct shm_owner_file, slot[6]),
			    (char *)b.owner + offsetof(struct shm_owner_file, slot[6]),
			    sizeof(before) - offsetof(struct shm_owner_file, slot[6]));
	assert_int_equal(b.owner->slot[5].words[0], 0x1111111111111111);
}

static void router_clear_zeroes_all_but_the_stamp(void **state)
{
	struct shm_router_file *f = b.router[3];
	const struct shm_wish w = {.gen = 1, .kind = SHM_WISH_WARM, .model = "m"};
	struct shm_wish got;

	(void)state;
	shm_add(&f->counters.requests, 3);
	shm_set(&f->counters.lag_ns, 5);
	for (unsigned i = 0; i < SHM_SLOTS; i++) {
		shm_add(&f->slot[i].in_flight, 2);
		shm_set(&f->slot[i].breaker, 1);
		f->slot[i].first_hist[0] = 1;
		f->slot[i].total_hist[SHM_HIST_BUCKETS - 1] = 1;
		for (unsigned n = 0; n < SHM_WISHES; n++)
			shm_wish_publish(f, i, n, &w);
	}
	shm_router_clear(f);
	for (size_t i = 0; i < SHM_WORDS(struct shm_router_counters); i++)
		assert_int_equal(((_Atomic uint64_t *)(void *)&f->counters)[i], 0);
	for (unsigned i = 0; i < SHM_SLOTS; i++) {
		const struct shm_rslot *s = &f->slot[i];

		assert_int_equal(s->in_flight + s->breaker, 0);
		for (unsigned k = 0; k < SHM_HIST_BUCKETS; k++)
			assert_int_equal(s->first_hist[k] + s->total_hist[k], 0);
		for (unsigned n = 0; n < SHM_WISHES; n++) {
			assert_int_equal(shm_read_wish(b.reader, 3, i, n, &got), 0);
			assert_int_equal(got.kind, SHM_WISH_NONE);
			assert_int_equal(got.model[0], 0);
		}
	}
	assert_int_equal(f->stamp.magic, SHM_MAGIC);
}

static void a_router_takes_its_counts_to_another_board(void **state)
{
	const struct shm_wish w = {.gen = 1, .kind = SHM_WISH_WARM, .model = "m"};
	struct shm_router_file *from = b.router[1], *to = b.router[2];
	struct shm_wish got;

	(void)state;
	shm_set(&from->counters.lag_ns, 5);
	shm_set(&from->slot[SHM_SLOTS - 1].total_ewma_ns, 6);
	from->slot[3].first_hist[0] = 7;
	from->slot[3].total_hist[SHM_HIST_BUCKETS - 1] = 8;
	shm_wish_publish(from, 3, 0, &w);
	shm_router_carry(to, from);
	assert_int_equal(to->counters.lag_ns, 5);
	assert_int_equal(to->slot[SHM_SLOTS - 1].total_ewma_ns, 6);
	assert_int_equal(to->slot[3].first_hist[0], 7);
	assert_int_equal(to->slot[3].total_hist[SHM_HIST_BUCKETS - 1], 8);
	assert_int_equal(to->stamp.index, 2);
	assert_int_equal(shm_read_wish(b.reader, 2, 3, 0, &got), 0);
	assert_int_equal(got.kind, SHM_WISH_NONE);
}

static void a_writer_maps_only_its_kind(void **state)
{
	struct why why = {""};

	(void)state;
	assert_null(shm_owner_map(b.rw.vital[0], &why));
	assert_int_equal(errno, EPROTO);
	assert_null(shm_vital_map(b.rw.host, &why));
	assert_null(shm_host_map(b.rw.router[0], &why));
	assert_null(shm_router_map(b.rw.owner, &why));
	assert_null(shm_owner_map(-1, &why));
	assert_int_equal(errno, EBADF);
}

static void a_read_only_descriptor_cannot_be_mapped_for_writing(void **state)
{
	struct why why = {""};

	(void)state;
	assert_null(shm_vital_map(b.ro.vital[0], &why));
	assert_int_equal(errno, EACCES);
	assert_non_null(strstr(why.text, "cannot be mapped for writing"));
}

/* Run `fn` in a child; the signal that ended it. */
static int death_of(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		close(STDERR_FILENO);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void slot_beyond(void)
{
	shm_slot_publish(b.owner, SHM_SLOTS, &(struct shm_owner){0});
}

static void router_beyond(void)
{
	shm_router_child_publish(b.owner, SHM_ROUTERS, &(struct shm_child_line){0});
}

static void wish_beyond(void)
{
	shm_wish_publish(b.router[0], 0, SHM_WISHES, &(struct shm_wish){0});
}

static void an_index_beyond_the_end_stores_nothing(void **state)
{
	(void)state;
	assert_int_equal(death_of(slot_beyond), SIGABRT);
	assert_int_equal(death_of(router_beyond), SIGABRT);
	assert_int_equal(death_of(wish_beyond), SIGABRT);
}

static void unmapping_nothing_is_fine(void **state)
{
	(void)state;
	shm_unmap(NULL, SHM_KIND_OWNER);
	shm_fds_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(publishing_moves_seq_by_two),
		cmocka_unit_test(a_line_left_odd_becomes_even),
		cmocka_unit_test(seq_wraps_round),
		cmocka_unit_test(a_line_keeps_to_itself),
		cmocka_unit_test(router_clear_zeroes_all_but_the_stamp),
		cmocka_unit_test(a_router_takes_its_counts_to_another_board),
		cmocka_unit_test(a_writer_maps_only_its_kind),
		cmocka_unit_test(a_read_only_descriptor_cannot_be_mapped_for_writing),
		cmocka_unit_test(an_index_beyond_the_end_stores_nothing),
		cmocka_unit_test(unmapping_nothing_is_fine),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
