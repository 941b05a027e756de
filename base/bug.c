#include "base/bug.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void bug_abort(const char *file, int line, const char *what)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "%s:%d: BUG: %s; this is a mistake in tsa, please report it\n", file, line, what);

	if (n > 0)
		(void)!write(STDERR_FILENO, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
	abort();
}
