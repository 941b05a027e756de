/* Options that would load a model anew never reach an instance; the policy says what the client gets instead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "route/reload.h"

#define CTX     (1U << RELOAD_NUM_CTX)
#define GPU     (1U << RELOAD_NUM_GPU)
#define THREADS (1U << RELOAD_NUM_THREAD)

static const uint64_t two[] = {4096, 16384}, unknown[] = {0, 4096}, none[] = {0, 0};

static const struct {
	enum reload_policy policy;
	struct reload_asked asked;
	const uint64_t *contexts;
	unsigned n;
	enum reload_verdict verdict;
	uint64_t need, given;
	const char *text; /* adjusted or refused */
} rows[] = {
	{RELOAD_REFUSE, {0}, two, 2, RELOAD_AS_IS, 0, 0, ""},
	/* clamp: whoever gets it, it is at least the shortest */
	{RELOAD_CLAMP, {CTX, 8192}, two, 2, RELOAD_ADJUST, 0, 4096, "num_ctx=4096"},
	{RELOAD_CLAMP, {CTX, 4096}, two, 2, RELOAD_ADJUST, 0, 0, "num_ctx"},
	{RELOAD_CLAMP, {CTX | THREADS, 2048}, two, 2, RELOAD_ADJUST, 0, 0, "num_ctx, num_thread"},
	{RELOAD_CLAMP, {CTX, 8192}, unknown, 2, RELOAD_ADJUST, 0, 0, "num_ctx"},
	{RELOAD_CLAMP, {CTX, 8192}, NULL, 0, RELOAD_ADJUST, 0, 0, "num_ctx"},
	{RELOAD_CLAMP, {CTX, -1}, two, 2, RELOAD_ADJUST, 0, 0, "num_ctx"},
	/* route: to those that have it, else to those with most */
	{RELOAD_ROUTE, {CTX, 8192}, two, 2, RELOAD_ADJUST, 8192, 0, "num_ctx"},
	{RELOAD_ROUTE, {CTX, 2048}, two, 2, RELOAD_ADJUST, 0, 0, "num_ctx"},
	{RELOAD_ROUTE, {CTX, 32768}, two, 2, RELOAD_ADJUST, 16384, 16384, "num_ctx=16384"},
	{RELOAD_ROUTE, {CTX, 4000}, unknown, 2, RELOAD_ADJUST, 4000, 0, "num_ctx"},
	{RELOAD_ROUTE, {CTX, 8192}, unknown, 2, RELOAD_ADJUST, 0, 0, "num_ctx"},
	{RELOAD_ROUTE, {CTX, 8192}, none, 2, RELOAD_ADJUST, 0, 0, "num_ctx"},
	{RELOAD_ROUTE, {CTX, 8192}, NULL, 0, RELOAD_ADJUST, 0, 0, "num_ctx"},
	{RELOAD_ROUTE, {GPU | THREADS, 0, 99}, two, 2, RELOAD_ADJUST, 0, 0, "num_gpu, num_thread"},
	/* refuse: what cannot be had; what can be had is had from those that have it */
	{RELOAD_REFUSE,
	 {CTX, 32768},
	 two,
	 2,
	 RELOAD_NO,
	 0,
	 16384,
	 "num_ctx is more than the 16384 tokens this model has here; write at most 16384, or leave it out"},
	{RELOAD_REFUSE, {CTX, 8192}, two, 2, RELOAD_ADJUST, 8192, 0, "num_ctx"},
	{RELOAD_REFUSE, {CTX, 8192}, none, 2, RELOAD_ADJUST, 0, 0, "num_ctx"},
	{RELOAD_REFUSE, {GPU, 0, -1}, two, 2, RELOAD_ADJUST, 0, 0, "num_gpu"},
	{RELOAD_REFUSE,
	 {CTX | THREADS, 2048},
	 two,
	 2,
	 RELOAD_NO,
	 0,
	 0,
	 "num_thread would load the model anew for everybody; leave it out"},
	{RELOAD_REFUSE, {GPU, 0, 0}, NULL, 0, RELOAD_NO, 0, 0, "num_gpu would load the model anew for everybody; leave it out"},
	{RELOAD_REFUSE,
	 {1U << RELOAD_SHIFT},
	 two,
	 2,
	 RELOAD_NO,
	 0,
	 0,
	 "shift would load the model anew for everybody; leave it out"},
};

static void policies(void **state)
{
	struct reload_result r;
	char buf[128];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		reload_decide(rows[i].policy, &rows[i].asked, rows[i].contexts, rows[i].n, &r);
		if (r.verdict != rows[i].verdict || r.need_context != rows[i].need || r.given_context != rows[i].given)
			fail_msg("row %zu: verdict %d, need %llu, given %llu", i, (int)r.verdict,
				 (unsigned long long)r.need_context, (unsigned long long)r.given_context);
		assert_int_equal(r.remove, r.verdict == RELOAD_NO ? 0 : rows[i].asked.set);
		if (r.verdict == RELOAD_NO)
			assert_string_equal(reload_refused_text(&r, buf, sizeof(buf)), rows[i].text);
		else
			assert_string_equal(reload_adjusted_text(&r, buf, sizeof(buf)), rows[i].text);
	}
}

static void somebody_may_always_serve_what_is_not_refused(void **state)
{
	(void)state;
	for (unsigned policy = 0; policy < RELOAD_POLICIES; policy++)
		for (int64_t ctx = -1; ctx < 40000; ctx += 777)
			for (uint64_t a = 0; a <= 32768; a += 4096)
				for (uint64_t b = 0; b <= 32768; b += 8192) {
					const struct reload_asked asked = {CTX, ctx, 0};
					const uint64_t contexts[] = {a, b};
					struct reload_result r;

					reload_decide(policy, &asked, contexts, 2, &r);
					assert_true(r.verdict == RELOAD_NO || reload_allows(&r, a) || reload_allows(&r, b));
				}
}

static void options_have_names(void **state)
{
	char tiny[8];
	const struct reload_result r = {.verdict = RELOAD_ADJUST, .remove = CTX | GPU};

	(void)state;
	for (unsigned i = 0; i < RELOAD_OPTION_COUNT; i++)
		assert_int_equal(reload_option_find(reload_option_text(i)), i);
	assert_int_equal(reload_option_find("temperature"), RELOAD_OPTION_COUNT);
	assert_string_equal(reload_adjusted_text(&r, tiny, sizeof(tiny)), "num_ctx");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies),
		cmocka_unit_test(somebody_may_always_serve_what_is_not_refused),
		cmocka_unit_test(options_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
