/* The breaker: what counts, one trial at a time, growing pauses, stale reports, and random histories against its rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/clock.h"
#include "route/breaker.h"

static struct breaker_conf conf;
static struct breaker b;
static uint64_t now;

static int fresh(void **state)
{
	(void)state;
	breaker_conf_default(&conf);
	memset(&b, 0, sizeof(b));
	now = 1000 * NS_PER_S;
	return 0;
}

static bool send(enum breaker_event event)
{
	struct breaker_ticket t;

	assert_true(breaker_enter(&b, &conf, now, &t));
	return breaker_report(&b, &conf, &t, event, now);
}

static void send_n(unsigned n, enum breaker_event event)
{
	while (n--)
		(void)send(event);
}

static void opens_after_n_in_a_row(void **state)
{
	static const enum breaker_event BAD[] = {BREAKER_CRASH, BREAKER_TIMEOUT, BREAKER_CONNECT, BREAKER_SERVER_ERROR};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(BAD); i++) {
		fresh(NULL);
		send_n(4, BAD[i]);
		assert_int_equal(b.state, BREAKER_CLOSED);
		/* A success between starts the count anew. */
		assert_false(send(BREAKER_OK));
		send_n(4, BAD[i]);
		assert_true(send(BAD[i]));
		assert_int_equal(b.state, BREAKER_OPEN);
		assert_int_equal(b.last, BAD[i]);
		assert_false(breaker_allows(&b, now));
	}
}

static void what_says_nothing_of_health(void **state)
{
	static const enum breaker_event NEUTRAL[] = {BREAKER_CLIENT_ERROR, BREAKER_NO_MODEL, BREAKER_LEFT};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(NEUTRAL); i++) {
		send_n(1000, NEUTRAL[i]);
		assert_int_equal(b.state, BREAKER_CLOSED);
		/* Nor do they end a streak. */
		fresh(NULL);
		send_n(4, BREAKER_CRASH);
		send_n(3, NEUTRAL[i]);
		assert_true(send(BREAKER_CRASH));
		fresh(NULL);
	}
	/* Busy now and then is normal; only busy is not. */
	send_n(19, BREAKER_BUSY);
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_true(send(BREAKER_BUSY));
}

static void one_trial_at_a_time(void **state)
{
	struct breaker_ticket t, other;

	(void)state;
	send_n(5, BREAKER_CRASH);
	now += conf.pause_ns - 1;
	assert_false(breaker_enter(&b, &conf, now, &t));
	now++;
	assert_true(breaker_enter(&b, &conf, now, &t));
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	assert_false(breaker_allows(&b, now));
	assert_false(breaker_enter(&b, &conf, now, &other));
	assert_true(breaker_report(&b, &conf, &t, BREAKER_OK, now));
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_int_equal(b.opens, 0);
}

static void a_trial_that_tells_nothing_leaves_room_for_the_next(void **state)
{
	struct breaker_ticket t;

	(void)state;
	send_n(5, BREAKER_CRASH);
	now += conf.pause_ns;
	assert_false(send(BREAKER_LEFT));
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	/* One that never reports is replaced after a while, and its late word is not heard. */
	assert_true(breaker_enter(&b, &conf, now, &t));
	now += conf.trial_ns;
	assert_true(send(BREAKER_OK));
	assert_false(breaker_report(&b, &conf, &t, BREAKER_CRASH, now));
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_int_equal(b.points, 0);
}

static void pauses_grow_to_a_limit(void **state)
{
	uint64_t last = 0;

	(void)state;
	send_n(5, BREAKER_CRASH);
	for (unsigned i = 0; i < 10; i++) {
		uint64_t pause = b.until_ns - now;

		assert_true(pause == conf.most_ns || pause > last);
		assert_true(pause <= conf.most_ns);
		last = pause;
		now = b.until_ns;
		assert_true(send(BREAKER_TIMEOUT));
	}
	assert_true(last == conf.most_ns);
	now = b.until_ns;
	(void)send(BREAKER_OK);
	send_n(5, BREAKER_CRASH);
	assert_true(b.until_ns - now == conf.pause_ns);
}

static void probes_alone_do_not_close(void **state)
{
	(void)state;
	send_n(5, BREAKER_CRASH);
	now += conf.pause_ns;
	for (unsigned i = 0; i < 100; i++)
		assert_false(breaker_report(&b, &conf, NULL, BREAKER_PROBE_OK, now));
	assert_int_equal(b.state, BREAKER_OPEN);
	/* They do not end a streak either, but failing ones add to it. */
	fresh(NULL);
	send_n(4, BREAKER_CRASH);
	assert_false(breaker_report(&b, &conf, NULL, BREAKER_PROBE_OK, now));
	assert_false(breaker_report(&b, &conf, NULL, BREAKER_PROBE_FAIL, now));
	assert_true(breaker_report(&b, &conf, NULL, BREAKER_PROBE_FAIL, now));
}

static void answers_from_before_do_not_count(void **state)
{
	struct breaker_ticket early, late;

	(void)state;
	assert_true(breaker_enter(&b, &conf, now, &early));
	send_n(5, BREAKER_CRASH);
	assert_false(breaker_report(&b, &conf, &early, BREAKER_OK, now));
	assert_int_equal(b.state, BREAKER_OPEN);
	/* Sent by force, because every instance is unhealthy: it worked. */
	breaker_force(&b, &late);
	assert_true(breaker_report(&b, &conf, &late, BREAKER_OK, now));
	assert_int_equal(b.state, BREAKER_CLOSED);
}

/* Random histories: never two trials at once, never open without enough failures, never closed by anything but a success. */
static void random_histories(void **state)
{
	uint64_t x = 88172645463325252ULL;

	(void)state;
	for (unsigned run = 0; run < 200; run++) {
		struct breaker_ticket held[8];
		unsigned n = 0;

		fresh(NULL);
		for (unsigned step = 0; step < 500; step++) {
			enum breaker_state was = b.state;
			enum breaker_event event;
			bool probe, changed;

			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			now += x % (2 * NS_PER_S);
			if (n < 8 && x >> 40 & 1 && breaker_enter(&b, &conf, now, &held[n])) {
				assert_true(was != BREAKER_HALF_OPEN || held[n].trial);
				assert_true(was == BREAKER_CLOSED || !breaker_allows(&b, now));
				n++;
				continue;
			}
			event = (enum breaker_event)((x >> 20) % BREAKER_EVENT_COUNT);
			probe = event == BREAKER_PROBE_OK || event == BREAKER_PROBE_FAIL;
			if (!probe && !n)
				continue;
			was = b.state;
			changed = breaker_report(&b, &conf, probe ? NULL : &held[n - 1], event, now);
			n -= !probe;
			assert_true(changed == (was != b.state));
			if (changed && b.state == BREAKER_CLOSED)
				assert_int_equal(event, BREAKER_OK);
			if (changed && b.state == BREAKER_OPEN)
				assert_true(event >= BREAKER_BUSY && event != BREAKER_PROBE_OK);
		}
	}
}

static void words(void **state)
{
	(void)state;
	assert_string_equal(breaker_event_text(BREAKER_NO_MODEL), "no-model");
	assert_string_equal(breaker_state_text(BREAKER_HALF_OPEN), "half-open");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(opens_after_n_in_a_row, fresh),
		cmocka_unit_test_setup(what_says_nothing_of_health, fresh),
		cmocka_unit_test_setup(one_trial_at_a_time, fresh),
		cmocka_unit_test_setup(a_trial_that_tells_nothing_leaves_room_for_the_next, fresh),
		cmocka_unit_test_setup(pauses_grow_to_a_limit, fresh),
		cmocka_unit_test_setup(probes_alone_do_not_close, fresh),
		cmocka_unit_test_setup(answers_from_before_do_not_count, fresh),
		cmocka_unit_test_setup(random_histories, fresh),
		cmocka_unit_test_setup(words, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
