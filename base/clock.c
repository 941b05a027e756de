#include "base/clock.h"

#include <time.h>

static uint64_t fake_ns, held_ns;

static uint64_t clock_read(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_now_ns(void)
{
	if (fake_ns)
		return fake_ns;
	return held_ns ? held_ns : clock_read(CLOCK_MONOTONIC);
}

void clock_hold(void)
{
	held_ns = clock_read(CLOCK_MONOTONIC);
}

void clock_release(void)
{
	held_ns = 0;
}

uint64_t clock_wall_ns(void)
{
	return fake_ns ? fake_ns : clock_read(CLOCK_REALTIME);
}

uint64_t clock_after_ns(uint64_t now_ns, uint64_t span_ns)
{
	return span_ns > CLOCK_NEVER - now_ns ? CLOCK_NEVER : now_ns + span_ns;
}

uint64_t clock_until_ms(uint64_t now_ns, uint64_t deadline_ns)
{
	if (deadline_ns <= now_ns)
		return 0;
	return (deadline_ns - now_ns - 1) / NS_PER_MS + 1;
}

void clock_fake(uint64_t now_ns)
{
	fake_ns = now_ns;
}
