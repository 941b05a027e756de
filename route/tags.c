#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bug.h"
#include "base/scan.h"
#include "route/tags.h"

static const char *const KNOWN[TAG_KNOWN_COUNT] = {
#define KNOWN_TAG(id, name, meaning) [TAG_KNOWN_##id] = name,
	KNOWN_TAGS(KNOWN_TAG)
#undef KNOWN_TAG
};

_Static_assert((int)TAG_KNOWN_COUNT < TAGS_MOST, "there is room for the operator's own tags");

void tags_init(struct tags *t)
{
	memset(t, 0, sizeof(*t));
	for (unsigned i = 0; i < TAG_KNOWN_COUNT; i++)
		snprintf(t->name[i], TAGS_NAME, "%s", KNOWN[i]);
	t->n = TAG_KNOWN_COUNT;
}

uint64_t tags_find(const struct tags *t, const char *name)
{
	for (unsigned i = 0; i < t->n; i++)
		if (strcasecmp(t->name[i], name) == 0)
			return 1ULL << i;
	return TAGS_NOBODY;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

int tags_add(struct tags *t, const char *name, uint64_t *set, struct why *why)
{
	uint64_t bit = tags_find(t, name);

	if (bit != TAGS_NOBODY) {
		*set |= bit;
		return 0;
	}
	if (!scan_name_ok(name, TAGS_NAME - 1))
		return why_set(why, -EINVAL, "\"%.40s\" is not a tag; write up to %d letters, digits, - _ and .", name, TAGS_NAME - 1);
	if (t->n == TAGS_MOST)
		return why_set(why, -ENOSPC, "there are %d different tags already, and \"%.40s\" is one more; use fewer", TAGS_MOST,
			       name);
	for (size_t i = 0; i <= strlen(name); i++)
		t->name[t->n][i] = lower(name[i]);
	*set |= 1ULL << t->n++;
	return 0;
}

char *tags_text(const struct tags *t, uint64_t set, char *buf, size_t size)
{
	size_t n = 0;

	snprintf(buf, size, "-");
	for (unsigned i = 0; i < t->n && n < size; i++)
		if (set & 1ULL << i)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", t->name[i]);
	if (set & TAGS_NOBODY && n < size)
		snprintf(buf + n, size - n, "%s(one that no instance has)", n ? ", " : "");
	return buf;
}
