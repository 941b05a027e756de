#include "proc/proc.h"

#include <string.h>

#include "base/clock.h"

#define DOUBLINGS 6 /* 1 s doubled six times is past the cap of 60 s */

/* The pause after the n-th failure in a row: none, 1 s, 2 s, 4 s … 60 s, less up to a quarter. */
static uint64_t pause_ns(unsigned n, uint32_t random)
{
	uint64_t pause;

	if (n <= 1)
		return 0;
	pause = n - 2 >= DOUBLINGS ? PROC_BACKOFF_MAX_NS : PROC_BACKOFF_MIN_NS << (n - 2);
	return pause - (pause / 4 * (random >> 16) >> 16);
}

uint64_t proc_backoff_fail(struct proc_backoff *b, uint64_t now_ns, uint64_t lived_ns, uint32_t random)
{
	b->at_ns[b->next] = now_ns;
	b->next = (b->next + 1) % PROC_BUDGET;
	if (b->kept < PROC_BUDGET)
		b->kept++;
	b->n = lived_ns >= PROC_STEADY_NS ? 1 : b->n + 1;
	/* In a full ring the place written next holds the oldest failure. */
	if (b->kept == PROC_BUDGET && now_ns - b->at_ns[b->next] < PROC_BUDGET_NS)
		return CLOCK_NEVER;
	return pause_ns(b->n, random);
}

void proc_backoff_lift(struct proc_backoff *b)
{
	memset(b, 0, sizeof(*b));
}
