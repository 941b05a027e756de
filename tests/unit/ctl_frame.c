/* Truncated, oversized, unterminated and unknown requests are refused with a sentence; good ones come back word for word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "ctl/ctl.h"

static char buf[CTL_REQUEST_MAX + 64];
static const char *const NAME[] = {"qwen", "qwen3:8b", "more", "x", "x", "x", "x", "x", "x"};

static int parse(size_t n, enum ctl_verb *verb, const char *words[CTL_WORDS], unsigned *n_words)
{
	struct why why = {""};
	int err = ctl_request_parse(buf, n, verb, words, n_words, &why);

	assert_true((err == 0) == (why.text[0] == 0));
	return err;
}

static int parse_only(size_t n)
{
	const char *words[CTL_WORDS];
	enum ctl_verb verb;
	unsigned n_words;

	return parse(n, &verb, words, &n_words);
}

static size_t pack(enum ctl_verb verb, unsigned n)
{
	int len = ctl_request_pack(verb, NAME, n, buf, sizeof(buf), NULL);

	assert_true(len > 0);
	return (size_t)len;
}

static void every_verb_comes_back(void **state)
{
	(void)state;
	for (int v = CTL_NONE + 1; v < CTL_VERB_COUNT; v++) {
		const struct ctl_verb_info *info = &ctl_verbs()[v];
		const char *words[CTL_WORDS];
		enum ctl_verb verb;
		unsigned n;

		assert_int_equal(info->verb, v);
		for (unsigned want = info->min; want <= info->max; want++) {
			assert_int_equal(parse(pack((enum ctl_verb)v, want), &verb, words, &n), 0);
			assert_int_equal(verb, v);
			assert_int_equal(n, want);
			for (unsigned i = 0; i < n; i++)
				assert_string_equal(words[i], NAME[i]);
		}
		assert_int_equal(parse_only(pack((enum ctl_verb)v, info->max + 1)), -EINVAL);
		if (info->min)
			assert_int_equal(parse_only(pack((enum ctl_verb)v, info->min - 1)), -EINVAL);
	}
}

/* promise 19 */
static void every_truncation_is_refused(void **state)
{
	size_t n = pack(CTL_WARM, 2);

	(void)state;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(parse_only(i), -EPROTO);
	assert_int_equal(parse_only(n), 0);
}

/* promise 19 */
static void lengths_are_not_trusted(void **state)
{
	size_t n = pack(CTL_WARM, 1);
	struct ctl_head head;

	(void)state;
	memcpy(&head, buf, sizeof(head));
	head.len = UINT32_MAX;
	memcpy(buf, &head, sizeof(head));
	assert_int_equal(parse_only(n), -EPROTO);
	assert_int_equal(parse_only(CTL_REQUEST_MAX + 1), -EPROTO);
}

static void unterminated_and_empty_words_are_refused(void **state)
{
	size_t n = pack(CTL_WARM, 2);

	(void)state;
	buf[n - 1] = 'x';
	assert_int_equal(parse_only(n), -EPROTO);
	n = pack(CTL_WARM, 2);
	buf[sizeof(struct ctl_head)] = 0;
	assert_int_equal(parse_only(n), -EPROTO);
}

static void too_many_words_are_refused(void **state)
{
	static char longer[CTL_REQUEST_MAX + 1];
	const char *const LONG[] = {longer};
	struct why why;

	(void)state;
	memset(longer, 'a', sizeof(longer) - 1);
	assert_int_equal(ctl_request_pack(CTL_WARM, NAME, CTL_WORDS + 1, buf, sizeof(buf), &why), -E2BIG);
	assert_int_equal(ctl_request_pack(CTL_WARM, LONG, 1, buf, sizeof(buf), &why), -E2BIG);
	assert_true(why.text[0]);
}

static void strangers_are_told_so(void **state)
{
	size_t n;
	struct ctl_head head;

	(void)state;
	n = pack(CTL_RELOAD, 0);
	memcpy(&head, buf, sizeof(head));
	head.version = CTL_PROTOCOL + 1;
	memcpy(buf, &head, sizeof(head));
	assert_int_equal(parse_only(n), -EPROTONOSUPPORT);
	head.version = CTL_PROTOCOL, head.verb = CTL_VERB_COUNT;
	memcpy(buf, &head, sizeof(head));
	assert_int_equal(parse_only(n), -EINVAL);
	head.verb = CTL_NONE;
	memcpy(buf, &head, sizeof(head));
	assert_int_equal(parse_only(n), -EINVAL);
	head.magic = 0;
	memcpy(buf, &head, sizeof(head));
	assert_int_equal(parse_only(n), -EPROTO);
}

static void answers_come_back(void **state)
{
	char answer[256];
	size_t n = ctl_answer_pack(CTL_DRAIN, -ENOENT, "no such instance", answer, sizeof(answer));
	enum ctl_verb verb;
	const char *text;
	int status;

	(void)state;
	assert_int_equal(ctl_answer_parse(answer, n, sizeof(answer), &verb, &status, &text), 0);
	assert_int_equal(verb, CTL_DRAIN);
	assert_int_equal(status, -ENOENT);
	assert_string_equal(text, "no such instance");
	for (size_t i = 0; i < n; i++)
		assert_int_equal(ctl_answer_parse(answer, i, sizeof(answer), &verb, &status, &text), -EPROTO);
	assert_int_equal(ctl_answer_parse(answer, n, n, &verb, &status, &text), -EPROTO);
}

static void long_answers_are_cut(void **state)
{
	char answer[64];
	enum ctl_verb verb;
	const char *text;
	int status;
	size_t n = ctl_answer_pack(CTL_RELOAD, 0, "a sentence that is much longer than the buffer that it must be put into", answer,
				   sizeof(answer) - 1);

	(void)state;
	assert_int_equal(n, sizeof(answer) - 1);
	assert_int_equal(ctl_answer_parse(answer, n, sizeof(answer), &verb, &status, &text), 0);
	assert_int_equal(strlen(text), n - sizeof(struct ctl_head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_verb_comes_back),      cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(lengths_are_not_trusted),    cmocka_unit_test(unterminated_and_empty_words_are_refused),
		cmocka_unit_test(too_many_words_are_refused), cmocka_unit_test(strangers_are_told_so),
		cmocka_unit_test(answers_come_back),          cmocka_unit_test(long_answers_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
