/* A weights file that is not one is refused, with a sentence that says what to do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "conf/weights.h"
#include "route/weights.h"

#define HEAD_BYTES 192

static struct conf_weights shipped;
static struct weights out;

/* Four bytes at `at` become `value`; with `mended`, the checksum fits again.  What weights_read() says. */
static int changed(size_t at, uint32_t value, bool mended, struct why *why)
{
	unsigned char *copy = malloc(shipped.len);
	uint32_t h = 0x811c9dc5u;
	int rc;

	assert_non_null(copy);
	memcpy(copy, shipped.bytes, shipped.len);
	memcpy(copy + at, &value, sizeof(value));
	for (size_t i = 20; i < shipped.len; i++)
		h = (h ^ copy[i]) * 0x01000193u;
	if (mended)
		memcpy(copy + 16, &h, sizeof(h));
	rc = weights_read(copy, shipped.len, &out, why);
	free(copy);
	return rc;
}

static void shipped_weights_are_sound(void **state)
{
	(void)state;
	assert_int_equal(weights_read(shipped.bytes, shipped.len, &out, NULL), 0);
	assert_in_range(shipped.len, 1000000, 2000000);
	assert_true(out.n_pieces > 10000 && out.abstain_below < 0.6f && out.unsafe_from > 0);
}

static void each_fault_is_named(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		bool mended;
		const char *says;
	} CASES[] = {
		{0, 0, true, "do not begin with their mark"},
		{8, 99, true, "version is 99"},
		{12, 5, true, "say they have 5 bytes"},
		{16, 0, false, "damaged"},
		{20, 0xffffffff, true, "do not make weights of"},
		{24, 64, true, "vector width is 64"},
		{28, 1, true, "number of cues"},
		{32, 1, true, "list of cues"},
		{36, 47, true, "hidden units"},
		{40, 9, true, "categories is 9"},
		{44, 0xfffffff0, true, "do not make weights of"},
		{48, 0x7fc00000, true, "scale or temperature"},
		{52, 0, true, "scale or temperature"},
		{56, 0x40000000, true, "no probability"},
		{60, 0x7fc00000, true, "no probability"},
		{64, 0x78787878, true, "category 0 is not \"general\""},
		{HEAD_BYTES, 0x7f800000, true, "no training gives"},
		{HEAD_BYTES + 400000, 0x01010101, false, "damaged"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct why why = {""};

		assert_int_equal(changed(CASES[i].at, CASES[i].value, CASES[i].mended, &why), -EINVAL);
		if (!strstr(why.text, CASES[i].says))
			fail_msg("byte %zu: \"%s\" does not say \"%s\"", CASES[i].at, why.text, CASES[i].says);
	}
}

static void cut_short(void **state)
{
	static const size_t LENGTHS[] = {0, 1, 7, 8, 63, 191, 192, 193, 60000, 1000000};
	struct why why = {""};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(LENGTHS); i++) {
		char *copy = malloc(LENGTHS[i] + 1); /* a look beyond the end is seen under AddressSanitizer */

		assert_non_null(copy);
		memcpy(copy, shipped.bytes, LENGTHS[i]);
		assert_int_equal(weights_read(copy, LENGTHS[i], &out, &why), -EINVAL);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shipped_weights_are_sound),
		cmocka_unit_test(each_fault_is_named),
		cmocka_unit_test(cut_short),
	};
	struct why why = {""};
	int failed;

	if (conf_weights_read("etc/classifier.weights", &shipped, &why) < 0) {
		fprintf(stderr, "%s\n", why.text);
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	conf_weights_free(&shipped);
	return failed;
}
