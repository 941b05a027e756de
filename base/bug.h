/* base/bug.h - our own mistakes.
 *
 * BUG_ON is for states that this program itself must have caused: it aborts a worker or a router, which the supervisor then
 * restarts.  Never put other people's bytes in it.  In the supervisor each use needs a comment that defends it. */
#pragma once

#include <stdint.h>

#define CACHE_LINE 64

#define BUG_ON(cond)                                                                                                           \
	do {                                                                                                                   \
		if (__builtin_expect(!!(cond), 0))                                                                             \
			bug_abort(__FILE__, __LINE__, #cond);                                                                  \
	} while (0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The live object that embeds `member` at `ptr`. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* Says where on standard error, without allocating, then abort(3). */
void bug_abort(const char *file, int line, const char *what) __attribute__((noreturn, cold));
