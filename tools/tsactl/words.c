#include "tools/tsactl/words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool begins(const char *word, const char *typed)
{
	return strncmp(word, typed, strlen(typed)) == 0;
}

int words_match(const char *typed, const char *const *words, unsigned n, unsigned *out)
{
	unsigned found = 0, at = 0;

	for (unsigned i = 0; i < n; i++) {
		if (strcmp(words[i], typed) == 0) {
			*out = i;
			return 0;
		}
		if (begins(words[i], typed)) {
			at = i;
			found++;
		}
	}
	if (found != 1 || !*typed)
		return found > 1 ? -ENOTUNIQ : -ENOENT;
	*out = at;
	return 0;
}

const char *words_list(const char *typed, const char *const *words, unsigned n, char *buf, size_t size)
{
	unsigned total = 0, nth = 0;
	bool all = false;

	for (unsigned i = 0; i < n; i++)
		total += begins(words[i], typed);
	if (total == 0) {
		all = true;
		total = n;
	}
	buf[0] = 0;
	for (unsigned i = 0; i < n; i++) {
		size_t used = strlen(buf);

		if (!all && !begins(words[i], typed))
			continue;
		nth++;
		snprintf(buf + used, size - used, "%s%s", nth == 1 ? "" : nth == total ? " or " : ", ", words[i]);
	}
	return buf;
}
