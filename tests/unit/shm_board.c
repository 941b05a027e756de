/* A board is sealed, private and close-on-exec; readers cannot write to it; a file that does not fit is refused with its reason. */
#include "tests/board.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"

static struct shm_fds rw, ro;

static int setup(void **state)
{
	struct why why = {""};

	(void)state;
	if (shm_board_create(&rw, &why) || shm_fds_readonly(&rw, &ro, &why))
		fail_msg("%s", why.text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	shm_fds_close(&ro);
	shm_fds_close(&rw);
	return 0;
}

static int *nth(struct shm_fds *fds, unsigned i)
{
	return &fds->owner + i;
}

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* --- as born ------------------------------------------------------------------------------------------------------------------ */

static void files_are_whole_pages_sealed_and_close_on_exec(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SHM_FDS_COUNT; i++) {
		int fd = *nth(&rw, i);
		struct stat st;

		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, shm_file_bytes(shm_place_of(i).kind));
		assert_int_equal(st.st_size % sysconf(_SC_PAGESIZE), 0);
		assert_int_equal(st.st_mode & 07777, 0400);
		assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		assert_int_equal(fcntl(*nth(&ro, i), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		assert_int_equal(ftruncate(fd, 0), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(ftruncate(fd, st.st_size * 2), -1);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
		assert_int_equal(errno, EPERM);
	}
}

static void a_new_board_passes_its_own_check(void **state)
{
	struct why why = {""};

	(void)state;
	assert_int_equal(shm_fds_check(&rw, &why), 0);
	assert_int_equal(shm_fds_check(&ro, &why), 0);
}

static void two_boards_have_two_ids(void **state)
{
	struct shm_fds other;
	struct shm_stamp a, b;
	struct why why;

	(void)state;
	assert_int_equal(shm_board_create(&other, &why), 0);
	assert_int_equal(pread(rw.owner, &a, sizeof(a), 0), sizeof(a));
	assert_int_equal(pread(other.owner, &b, sizeof(b), 0), sizeof(b));
	assert_memory_not_equal(a.board_id, b.board_id, sizeof(a.board_id));
	shm_fds_close(&other);
}

/* --- one writer, kept by the kernel ------------------------------------------------------------------------------------------- */

static void a_handed_out_descriptor_refuses_every_write(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SHM_FDS_COUNT; i++) {
		int fd = *nth(&ro, i);
		size_t bytes = shm_file_bytes(shm_place_of(i).kind);
		void *p;

		assert_ptr_equal(mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
		assert_int_equal(errno, EACCES);
		assert_int_equal(pwrite(fd, "x", 1, 0), -1);
		assert_int_equal(errno, EBADF);
		p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(p, MAP_FAILED);
		assert_int_equal(mprotect(p, bytes, PROT_READ | PROT_WRITE), -1);
		assert_int_equal(errno, EACCES);
		munmap(p, bytes);
	}
}

/* Only root can become another user; elsewhere this says so and proves nothing. */
static void another_user_cannot_open_it_for_writing(void **state)
{
	char path[40];
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: only root can become another user\n");
		skip();
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ro.vital[0]);
	pid = fork();
	if (pid == 0) {
		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(2);
		_exit(open(path, O_RDWR | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- nothing is left behind --------------------------------------------------------------------------------------------------- */

/* Let `spare` more descriptors be opened, run, put the limit back. */
static int with_few_descriptors(unsigned spare, int (*fn)(struct shm_fds *, struct why *), struct shm_fds *out, struct why *why)
{
	struct rlimit old, few;
	int err;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = open_fds() + spare;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	err = fn(out, why);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	return err;
}

static int readonly_again(struct shm_fds *out, struct why *why)
{
	return shm_fds_readonly(&rw, out, why);
}

static void failing_half_way_leaves_nothing_open(void **state)
{
	unsigned before = open_fds();
	struct shm_fds out = {.owner = -42};
	struct why why = {""};

	(void)state;
	assert_int_equal(with_few_descriptors(20, shm_board_create, &out, &why), -EMFILE);
	assert_non_null(strstr(why.text, "LimitNOFILE"));
	assert_int_equal(with_few_descriptors(20, readonly_again, &out, &why), -EMFILE);
	assert_int_equal(out.owner, -42);
	assert_int_equal(open_fds(), before);
}

static void closing_twice_is_fine(void **state)
{
	struct shm_fds fds;
	struct why why;

	(void)state;
	assert_int_equal(shm_board_create(&fds, &why), 0);
	shm_fds_close(&fds);
	shm_fds_close(&fds);
	assert_int_equal(fds.vital[SHM_SLOTS - 1], -1);
}

/* --- what does not fit is refused --------------------------------------------------------------------------------------------- */

struct misfit {
	const char *name;
	size_t at; /* of the word of the stamp to change */
	uint64_t xor_by;
	const char *says;
};

static const struct misfit MISFITS[] = {
	{"magic", offsetof(struct shm_stamp, magic), 1, "is no file of a board; install one version"},
	{"version", offsetof(struct shm_stamp, version), 2, "has version 3 and this program knows version 1; install one version"},
	{"layout", offsetof(struct shm_stamp, layout), 1, "was laid out by another build of tsa; install one version"},
	{"kind", offsetof(struct shm_stamp, kind), 1, "the host file of the board stands where the vital file 7 belongs"},
	{"wild kind", offsetof(struct shm_stamp, kind), 1ULL << 63, "the unknown file of the board stands where"},
	{"index", offsetof(struct shm_stamp, index), 1, "the vital file 6 of the board stands where the vital file 7 belongs"},
	{"bytes", offsetof(struct shm_stamp, bytes), 4096, "says that it has 12288 bytes instead of 8192"},
	{"board", offsetof(struct shm_stamp, board_id[1]), 1, "the vital file 7 belongs to another board than the rest"},
	{"boot", offsetof(struct shm_stamp, boot_id[0]), 1, "was made before this machine was last started; restart the service"},
};

static void xor_word(int fd, size_t at, uint64_t by)
{
	uint64_t v;

	assert_int_equal(pread(fd, &v, sizeof(v), (off_t)at), sizeof(v));
	v ^= by;
	assert_int_equal(pwrite(fd, &v, sizeof(v), (off_t)at), sizeof(v));
}

static void each_misfit_is_named(void **state)
{
	unsigned before = open_fds();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(MISFITS); i++) {
		const struct misfit *m = &MISFITS[i];
		struct shm_reader *r = NULL;
		struct why why = {""}, why_reader = {""};

		xor_word(rw.vital[7], m->at, m->xor_by);
		assert_int_equal(shm_fds_check(&rw, &why), -EPROTO);
		assert_int_equal(shm_reader_open(&ro, &r, &why_reader), -EPROTO);
		assert_null(r);
		xor_word(rw.vital[7], m->at, m->xor_by);
		assert_string_equal(why.text, why_reader.text);
		if (!strstr(why.text, m->says))
			fail_msg("%s: \"%s\" does not say \"%s\"", m->name, why.text, m->says);
	}
	assert_int_equal(open_fds(), before);
	assert_int_equal(shm_fds_check(&rw, NULL), 0);
}

/* Judge `fd` in the place of vital file 0. */
static void refused_as_vital(int fd, int err, const char *says)
{
	struct shm_fds fds = ro;
	struct shm_reader *r = NULL;
	struct why why = {""};

	fds.vital[0] = fd;
	assert_int_equal(shm_reader_open(&fds, &r, &why), err);
	assert_int_equal(shm_fds_check(&fds, &why), err);
	if (!strstr(why.text, says))
		fail_msg("\"%s\" does not say \"%s\"", why.text, says);
}

static void sizes_and_seals_are_judged_before_mapping(void **state)
{
	struct shm_stamp stamp;
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int pipes[2];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(pread(rw.vital[0], &stamp, sizeof(stamp), 0), sizeof(stamp));
	refused_as_vital(fd, -EPROTO, "has 0 bytes instead of 8192");
	assert_int_equal(ftruncate(fd, 4096), 0);
	refused_as_vital(fd, -EPROTO, "has 4096 bytes instead of 8192");
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(pwrite(fd, &stamp, sizeof(stamp), 0), sizeof(stamp));
	refused_as_vital(fd, -EPROTO, "could still shrink under its readers");
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	refused_as_vital(fd, -EPROTO, "could still shrink under its readers");
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	close(fd);

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	refused_as_vital(pipes[0], -EPROTO, "has 0 bytes");
	close(pipes[1]);
	close(pipes[0]);
	refused_as_vital(1 << 20, -EBADF, "cannot be looked at");
}

/* A board that came back over a crash must be whole; a reader that was handed a part reads that part. */
static void a_missing_file_fails_the_check_and_not_the_reader(void **state)
{
	struct shm_fds part = ro;
	struct shm_reader *r = NULL;
	struct shm_vital v;
	struct why why = {""};

	(void)state;
	part.vital[2] = -1;
	assert_int_equal(shm_fds_check(&part, &why), -EPROTO);
	assert_non_null(strstr(why.text, "did not come back"));
	assert_int_equal(shm_reader_open(&part, &r, &why), 0);
	assert_int_equal(shm_read_vital(r, 2, &v), -ERANGE);
	assert_int_equal(shm_read_vital(r, 3, &v), 0);
	shm_reader_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_whole_pages_sealed_and_close_on_exec),
		cmocka_unit_test(a_new_board_passes_its_own_check),
		cmocka_unit_test(two_boards_have_two_ids),
		cmocka_unit_test(a_handed_out_descriptor_refuses_every_write),
		cmocka_unit_test(another_user_cannot_open_it_for_writing),
		cmocka_unit_test(failing_half_way_leaves_nothing_open),
		cmocka_unit_test(closing_twice_is_fine),
		cmocka_unit_test(each_misfit_is_named),
		cmocka_unit_test(sizes_and_seals_are_judged_before_mapping),
		cmocka_unit_test(a_missing_file_fails_the_check_and_not_the_reader),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
