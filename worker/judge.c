#include "worker/judge.h"

#include "base/clock.h"

#define STREAK_WEDGED 3U   /* failures in a row that make a busy instance suspect */
#define STREAK_BLIND  6U   /* likewise, when its runners cannot be watched */
#define QUIET_PROBES  120U /* unused for so many probes: nobody's conversation is in its cache any more */
#define PROOF_PROBES  30U  /* between two tests of a quiet instance */
#define TEST_SHARE    20U  /* a test of t is not repeated within TEST_SHARE × t */
#define STILL_ABLES   3U   /* nothing moves for so many times `able` while requests are in flight: ask the runner's health */

#define WORK_SPAN_NS (1ULL * NS_PER_S)
#define WORK_CPU_NS  (20ULL * NS_PER_MS) /* in one span: two ticks; whoever computes a token uses more */

static bool past(uint64_t now_ns, uint64_t since_ns, uint64_t span_ns)
{
	return now_ns >= clock_after_ns(since_ns, span_ns);
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void judge_work_take(struct judge_work *k, unsigned runners, uint64_t cpu_ns, uint64_t now_ns)
{
	bool anew = !runners || !k->known || cpu_ns < k->cpu_ns;

	k->known = runners > 0;
	if (anew || cpu_ns - k->cpu_ns >= WORK_CPU_NS)
		k->idle_since_ns = now_ns;
	else if (!past(now_ns, k->since_ns, WORK_SPAN_NS))
		return;
	k->since_ns = now_ns;
	k->cpu_ns = cpu_ns;
}

static enum judge_verdict judge_busy(const struct judge_facts *f)
{
	uint64_t still = later(f->moved_ns, f->runners_known ? f->runners_idle_since_ns : 0);

	if (f->fail_streak >= (f->runners_known ? STREAK_WEDGED : STREAK_BLIND) && past(f->now_ns, still, f->able_ns / 3))
		return JUDGE_WEDGED;
	/* Perhaps one long answer, perhaps a reader that stalls, perhaps a stopped runner. */
	return past(f->now_ns, later(still, f->pinged_ns), STILL_ABLES * f->able_ns) ? JUDGE_PING : JUDGE_FINE;
}

enum judge_verdict judge_able(const struct judge_facts *f)
{
	uint64_t share = TEST_SHARE * f->took_ns;
	uint64_t pause = PROOF_PROBES * f->probe_ns;

	if (f->in_flight)
		return judge_busy(f);
	/* Requests failed since the last token was seen: that is reason enough to ask at once. */
	if (f->fail_streak && f->failed_ns > f->proof_ns && f->failed_ns > f->tried_ns)
		return JUDGE_TRY;
	if (f->used_ns && !past(f->now_ns, f->used_ns, QUIET_PROBES * f->probe_ns))
		return JUDGE_FINE;
	if (pause < share)
		pause = share;
	if (pause > f->warm_ns && f->warm_ns > share)
		pause = f->warm_ns;
	return past(f->now_ns, later(f->proof_ns, f->tried_ns), pause) ? JUDGE_TRY : JUDGE_FINE;
}

bool judge_wait(const struct judge_wait *f)
{
	if (f->runners && past(f->now_ns, later(f->since_ns, f->idle_since_ns), f->able_ns / 3))
		return true;
	return !f->whole && f->runners != 1 && past(f->now_ns, f->since_ns, STILL_ABLES * f->able_ns);
}
