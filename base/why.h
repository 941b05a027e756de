/* base/why.h - the sentence that goes with an error.
 *
 * Ranks 0-2 never log: they return 0 or -errno and leave in a caller-owned `struct why` one sentence that says what happened
 * and what to do about it.  The program that decides logs it, once. */
#pragma once

#include <stddef.h>

struct why {
	char text[384]; /* always NUL-terminated; empty when nothing was said */
};

/* Write the sentence.  `why` may be NULL (the caller does not care).  Returns `err`, so that
 * `return why_set(why, -EINVAL, "...")` is one statement. */
int why_set(struct why *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#ifdef TSA_ANALYZE /* an analyzer looks at one file at a time: it is told that what goes in comes out */
#define why_set(why, err, ...)                                                                                                     \
	({                                                                                                                         \
		const int why_err_ = (err);                                                                                        \
		(void)why_set((why), why_err_, __VA_ARGS__);                                                                       \
		why_err_;                                                                                                          \
	})
#endif
