#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/loading.h"

static bool number(const char **p, unsigned *out)
{
	unsigned v = 0;
	const char *s = *p;

	for (; *s >= '0' && *s <= '9' && v < CONF_CPUS; s++)
		v = v * 10 + (unsigned)(*s - '0');
	if (s == *p)
		return false;
	*p = s;
	*out = v;
	return true;
}

/* One item, "8" or "0-3".  0, or -errno told. */
static int item_parse(const char **p, struct conf_cpuset *set, const char *text, struct why *why)
{
	unsigned first, last;

	if (!number(p, &first))
		return why_set(why, -EINVAL, "\"%.60s\" is not a list of numbers; write for example \"0-3,8\"", text);
	last = first;
	if (**p == '-') {
		++*p;
		if (!number(p, &last))
			return why_set(why, -EINVAL, "\"%.60s\" has a - without a number after it; write for example \"0-3,8\"",
				       text);
	}
	if (first >= CONF_CPUS || last >= CONF_CPUS)
		return why_set(why, -EINVAL, "\"%.60s\" has a number above %d", text, CONF_CPUS - 1);
	if (first > last)
		return why_set(why, -EINVAL, "\"%.60s\" counts down; write %u-%u", text, last, first);
	for (unsigned i = first; i <= last; i++) {
		uint64_t bit = 1ULL << (i % 64);

		if (set->bits[i / 64] & bit)
			return why_set(why, -EINVAL, "\"%.60s\" names %u twice; take one out", text, i);
		set->bits[i / 64] |= bit;
		set->count++;
	}
	return 0;
}

int conf_cpuset_parse(const char *text, struct conf_cpuset *out, struct why *why)
{
	struct conf_cpuset set = {0};
	const char *p = text;
	int rc;

	if (strlen(text) >= sizeof(set.text))
		return why_set(why, -EINVAL, "this list is longer than %zu bytes; join neighbours to ranges", sizeof(set.text) - 1);
	for (;;) {
		rc = item_parse(&p, &set, text, why);
		if (rc < 0)
			return rc;
		if (!*p)
			break;
		if (*p++ != ',')
			return why_set(why, -EINVAL, "\"%.60s\" has a \"%c\" in it; write for example \"0-3,8\"", text, p[-1]);
	}
	snprintf(set.text, sizeof(set.text), "%s", text);
	*out = set;
	return 0;
}

bool conf_cpuset_overlap(const struct conf_cpuset *a, const struct conf_cpuset *b, unsigned *first)
{
	for (unsigned i = 0; i < CONF_CPUS / 64; i++)
		if (a->bits[i] & b->bits[i]) {
			*first = i * 64 + (unsigned)__builtin_ctzll(a->bits[i] & b->bits[i]);
			return true;
		}
	return false;
}
