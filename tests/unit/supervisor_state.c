/* The state file comes back as it was written; cut, longer, changed or foreign, it is refused with a line number and changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "supervisor/state.h"

static struct state sample, got, untouched;
static char text[STATE_TEXT_MAX];

static void sample_make(unsigned children)
{
	memset(&sample, 0, sizeof(sample));
	sample.boot_id[0] = 0xfedcba9876543210ULL;
	sample.board_id[1] = 1;
	sample.sup_gen = 3;
	sample.sup = (struct proc_process){4711, 123456};
	sample.stopping = children > 16;
	for (unsigned i = 0; i < children; i++) {
		sample.children[i] =
			(struct state_child){.role = PROC_WORKER, .index = i, .gen = UINT32_MAX, .process = {INT32_MAX, INT64_MAX}, .identity = UINT64_MAX};
		snprintf(sample.children[i].name, PROC_NAME, "%063u", i);
		if (i % 2 == 0) {
			sample.children[i].adopted = i % 4 == 0;
			sample.children[i].places = UINT32_MAX - i;
			snprintf(sample.children[i].addr, sizeof(sample.children[i].addr), "%058u:1234", i);
		}
		sample.ollamas[i] = (struct state_ollama){.slot = i, .process = {INT32_MAX, INT64_MAX}};
		snprintf(sample.ollamas[i].name, PROC_NAME, "%063u", i);
		snprintf(sample.drained[i], PROC_NAME, "%063u", i);
	}
	sample.n_children = sample.n_ollamas = sample.n_drained = children;
	for (unsigned i = 0; i < SHM_ROUTERS && children; i++)
		sample.children[sample.n_children++] = (struct state_child){.role = PROC_ROUTER, .index = i, .gen = 9, .name = "-"};
	if (children)
		sample.children[sample.n_children++] = (struct state_child){.role = PROC_HOST, .gen = 1, .name = "-"};
}

static int parse(const char *bytes, size_t n)
{
	struct why why = {""};
	int err;

	memset(&got, 0x55, sizeof(got));
	memset(&untouched, 0x55, sizeof(untouched));
	err = state_parse(bytes, n, &got, &why);
	if (err < 0) {
		assert_int_equal(err, -EINVAL);
		assert_true(why.text[0]);
		assert_memory_equal(&got, &untouched, sizeof(got));
	}
	return err;
}

static void assert_same_process(const struct proc_process *a, const struct proc_process *b)
{
	assert_int_equal(a->pid, b->pid);
	assert_int_equal(a->start, b->start);
}

/* Member by member: what a compiler leaves in the gaps between them is not a fact. */
static void assert_same(const struct state *a, const struct state *b)
{
	assert_memory_equal(a->boot_id, b->boot_id, sizeof(a->boot_id));
	assert_memory_equal(a->board_id, b->board_id, sizeof(a->board_id));
	assert_int_equal(a->sup_gen, b->sup_gen);
	assert_same_process(&a->sup, &b->sup);
	assert_int_equal(a->stopping, b->stopping);
	assert_int_equal(a->n_children, b->n_children);
	for (unsigned i = 0; i < a->n_children; i++) {
		const struct state_child *x = &a->children[i], *y = &b->children[i];

		assert_int_equal(x->role, y->role);
		assert_int_equal(x->index, y->index);
		assert_int_equal(x->gen, y->gen);
		assert_same_process(&x->process, &y->process);
		assert_int_equal(x->identity, y->identity);
		assert_string_equal(x->name, y->name);
		assert_string_equal(x->addr, y->addr);
		assert_int_equal(x->places, y->places);
		assert_int_equal(x->adopted, y->adopted);
	}
	assert_int_equal(a->n_ollamas, b->n_ollamas);
	for (unsigned i = 0; i < a->n_ollamas; i++) {
		assert_int_equal(a->ollamas[i].slot, b->ollamas[i].slot);
		assert_same_process(&a->ollamas[i].process, &b->ollamas[i].process);
		assert_string_equal(a->ollamas[i].name, b->ollamas[i].name);
	}
	assert_int_equal(a->n_drained, b->n_drained);
	for (unsigned i = 0; i < a->n_drained; i++)
		assert_string_equal(a->drained[i], b->drained[i]);
}

static void round_trip(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= SHM_SLOTS; n += 16) {
		int len;

		sample_make(n);
		len = state_print(&sample, text, sizeof(text));
		assert_true(len > 0);
		assert_int_equal(parse(text, (size_t)len), 0);
		assert_same(&got, &sample);
	}
}

static void too_small_a_buffer_is_said(void **state)
{
	int len;

	(void)state;
	sample_make(2);
	len = state_print(&sample, text, sizeof(text));
	assert_int_equal(state_print(&sample, text, (size_t)len), -E2BIG);
	assert_int_equal(state_print(&sample, text, 1), -E2BIG);
}

static void every_truncation_is_refused(void **state)
{
	int len;

	(void)state;
	sample_make(2);
	len = state_print(&sample, text, sizeof(text));
	for (int i = 0; i < len; i++)
		assert_int_equal(parse(text, (size_t)i), -EINVAL);
}

/* A flipped byte gives another number or an error, never a crash or an index out of range. */
static void every_flipped_byte_is_survived(void **state)
{
	int len;

	(void)state;
	sample_make(2);
	len = state_print(&sample, text, sizeof(text));
	for (int i = 0; i < len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			text[i] = (char)(text[i] ^ (1 << bit));
			if (parse(text, (size_t)len) == 0)
				for (unsigned c = 0; c < got.n_children; c++)
					assert_true(got.children[c].index < SHM_SLOTS);
			text[i] = (char)(text[i] ^ (1 << bit));
		}
}

static void foreign_lines_are_refused(void **state)
{
	static const char *const BAD[] = {
		"child worker 64 1 1 1 0000000000000000 a\n",
		"child router 8 1 1 1 0000000000000000 -\n",
		"child host 1 1 1 1 0000000000000000 -\n",
		"child cook 0 1 1 1 0000000000000000 -\n",
		"child worker 0 1 1 a\n",
		"child worker 0 1 1 1 0000000000000000 a b\n",
		"child worker 0 4294967296 1 1 0000000000000000 a\n",
		"child worker 0 1 2147483648 1 0000000000000000 a\n",
		"child worker 0 1 -1 1 0000000000000000 a\n",
		"child worker 0 1 1 1 0000000000000000 ../a\n",
		"child worker 0 1 1 1 0000000000000000 a\nchild worker 0 1 1 1 0000000000000000 b\n",
		"ollama 64 1 1 a\n",
		"ollama 0 1 1 a\nollama 0 1 1 a\n",
		"drained /etc/passwd\n",
		"drained\n",
		"stopping 1\n",
		"boot 0 0\n",
		"board 000000000000000g 0000000000000000\n",
		"supervisor 1 2\n",
		"\n",
		" \n",
		"a b c d e f g h i j\n",
		"end\nend\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++) {
		int n = snprintf(text, sizeof(text), "tsa-state 1\n%send\n", BAD[i]);

		assert_int_equal(parse(text, (size_t)n), -EINVAL);
	}
	assert_int_equal(parse("tsa-state 2\nend\n", strlen("tsa-state 2\nend\n")), -EINVAL);
	assert_int_equal(parse("", 0), -EINVAL);
}

static void more_than_there_can_be_is_refused(void **state)
{
	int n = snprintf(text, sizeof(text), "tsa-state 1\n");

	(void)state;
	for (unsigned i = 0; i <= SHM_SLOTS; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "drained a%u\n", i);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "end\n");
	assert_int_equal(parse(text, (size_t)n), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(too_small_a_buffer_is_said),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_flipped_byte_is_survived),
		cmocka_unit_test(foreign_lines_are_refused),
		cmocka_unit_test(more_than_there_can_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
