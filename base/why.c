#include "base/why.h"

#include <stdarg.h>
#include <stdio.h>

int(why_set)(struct why *why, int err, const char *fmt, ...)
{
	if (why) {
		va_list ap;

		va_start(ap, fmt);
		vsnprintf(why->text, sizeof(why->text), fmt, ap);
		va_end(ap);
	}
	return err;
}
