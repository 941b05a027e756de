/* Sizes, offsets and alignment are what fields.def and tsa-board(5) say.  `shm_layout table` prints them, one member a line. */
#include "tests/board.h"

#include <stdio.h>
#include <string.h>

#include "base/bug.h"

enum row_kind { ROW_BEGIN, ROW_FIELD, ROW_END, ROW_END_PACKED };

struct row {
	enum row_kind kind;
	const char *type;
	const char *member;
	size_t at;
	size_t bytes;
	size_t align;
};

static const struct row ROWS[] = {
#define BEGIN(type)             {ROW_BEGIN, #type, "", 0, 0, alignof(struct type)},
#define FIELD(type, member, at) {ROW_FIELD, #type, #member, at, sizeof(((struct type *)0)->member), 0},
#define END(type, bytes)        {ROW_END, #type, "", bytes, 0, 0},
#define END_PACKED(type, bytes) {ROW_END_PACKED, #type, "", bytes, 0, 0},
#include "shm/fields.def"
#undef BEGIN
#undef FIELD
#undef END
#undef END_PACKED
};

static void table_print(void)
{
	printf("%-24s %-20s %8s %8s\n", "struct", "member", "offset", "bytes");
	for (size_t i = 0; i < ARRAY_SIZE(ROWS); i++) {
		if (ROWS[i].kind == ROW_BEGIN)
			printf("%-24s %-20s %8s %8s\n", ROWS[i].type, "", "", "");
		else if (ROWS[i].kind == ROW_FIELD)
			printf("%-24s %-20s %8zu %8zu\n", ROWS[i].type, ROWS[i].member, ROWS[i].at, ROWS[i].bytes);
		else
			printf("%-24s %-20s %8s %8zu\n", ROWS[i].type, "(all)", "", ROWS[i].at);
	}
}

static void members_follow_each_other(void **state)
{
	size_t next = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ROWS); i++) {
		const struct row *r = &ROWS[i];

		if (r->kind == ROW_BEGIN) {
			next = 0;
		} else if (r->kind == ROW_FIELD) {
			assert_true(r->at >= next);
			assert_int_equal(r->at % 4, 0);
			next = r->at + r->bytes;
		} else if (r->kind == ROW_END_PACKED) {
			assert_int_equal(next, r->at);
			assert_int_equal(r->at % 8, 0);
		} else {
			assert_true(r->at >= next && r->at - next < CACHE_LINE);
			assert_int_equal(r->at % CACHE_LINE, 0);
		}
	}
}

static void no_two_lines_share_a_cache_line(void **state)
{
	(void)state;
	for (size_t i = 0; i + 1 < ARRAY_SIZE(ROWS); i++)
		if (ROWS[i].kind == ROW_BEGIN && strcmp(ROWS[i + 1].member, "seq") == 0)
			assert_int_equal(ROWS[i].align, CACHE_LINE);
	assert_int_equal(offsetof(struct shm_router_file, counters) % CACHE_LINE, 0);
	assert_int_equal(offsetof(struct shm_router_file, slot) % CACHE_LINE, 0);
	assert_int_equal(sizeof(struct shm_rslot) % CACHE_LINE, 0);
}

static void every_file_begins_with_its_stamp(void **state)
{
	(void)state;
	assert_int_equal(offsetof(struct shm_owner_file, stamp), 0);
	assert_int_equal(offsetof(struct shm_vital_file, stamp), 0);
	assert_int_equal(offsetof(struct shm_host_file, stamp), 0);
	assert_int_equal(offsetof(struct shm_router_file, stamp), 0);
}

static void magic_reads_TSBOARD1(void **state)
{
	const uint64_t magic = SHM_MAGIC;

	(void)state;
	assert_memory_equal(&magic, "TSBOARD1", 8);
}

static void positions_name_every_file_once(void **state)
{
	unsigned n[SHM_KIND_COUNT] = {0};

	(void)state;
	for (unsigned i = 0; i < SHM_FDS_COUNT; i++) {
		struct shm_place p = shm_place_of(i);

		assert_in_range(p.kind, SHM_KIND_OWNER, SHM_KIND_COUNT - 1);
		assert_int_equal(p.index, n[p.kind]);
		n[p.kind]++;
	}
	assert_int_equal(n[SHM_KIND_OWNER], 1);
	assert_int_equal(n[SHM_KIND_HOST], 1);
	assert_int_equal(n[SHM_KIND_ROUTER], SHM_ROUTERS);
	assert_int_equal(n[SHM_KIND_VITAL], SHM_SLOTS);
}

/* FNV-1a 64 of what fields.def and states.def say, computed from the same rows by other code. */
static void hash_covers_names_offsets_and_sizes(void **state)
{
	uint64_t h = 0xcbf29ce484222325ULL;
	const char *const states[] = {
#define STATE(name, word, sentence) word,
#include "shm/states.def"
#undef STATE
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ROWS) + ARRAY_SIZE(states); i++) {
		const struct row *r = i < ARRAY_SIZE(ROWS) ? &ROWS[i] : NULL;
		const char *name = !r ? states[i - ARRAY_SIZE(ROWS)] : r->kind == ROW_BEGIN ? r->type : r->member;
		uint64_t numbers[2] = {0, 0};

		if (!r)
			numbers[0] = i - ARRAY_SIZE(ROWS);
		else if (r->kind == ROW_FIELD)
			numbers[0] = r->at, numbers[1] = r->bytes;
		else
			numbers[1] = r->at;
		for (size_t k = 0; k < strlen(name); k++)
			h = (h ^ (unsigned char)name[k]) * 0x100000001b3ULL;
		for (size_t k = 0; k < sizeof(numbers); k++)
			h = (h ^ ((const unsigned char *)numbers)[k]) * 0x100000001b3ULL;
	}
	for (const char *p = TSA_VERSION; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3ULL;
	assert_true(h == shm_layout_hash());
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_follow_each_other),        cmocka_unit_test(no_two_lines_share_a_cache_line),
		cmocka_unit_test(every_file_begins_with_its_stamp), cmocka_unit_test(magic_reads_TSBOARD1),
		cmocka_unit_test(positions_name_every_file_once),   cmocka_unit_test(hash_covers_names_offsets_and_sizes),
	};

	if (argc > 1 && strcmp(argv[1], "table") == 0) {
		table_print();
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
