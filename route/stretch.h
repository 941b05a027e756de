/* route/stretch.h - how much longer one waits than the queue before it says.  Pure; the clock is the caller's.
 *
 * Who comes later and is shorter, or of a better class, goes first: under steady overload the work that stands before a long request
 * says little of its wait.  What is in the way is learned instead from those that waited: the factor that nearly none of them exceeds
 * (about one in fifty).  An admission that goes by it refuses at once what would wait in vain. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct stretch {
	float factor; /* 0: nothing learned, counts as 1 */
	uint64_t since_ns;
};

/* 1 .. 8; forgotten with age. */
float stretch_factor(const struct stretch *s, uint64_t now_ns);

/* One that was predicted to wait `guess_ns`, when the factor was `then`, has waited; `in_vain`: until its deadline, without a turn.
 * Those that were let in together by one factor raise it once, not each again. */
void stretch_learn(struct stretch *s, float then, uint64_t guess_ns, uint64_t waited_ns, bool in_vain, uint64_t now_ns);
