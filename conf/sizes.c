/* Sizes as people write them into a registry of models. */
#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "base/span.h"
#include "conf/registry.h"

#define EXAMPLE "write for example 4.2 GB, or 20GB (Q4_K_M), 32GB (Q8_0)"

static const struct {
	const char *name;
	unsigned shift;
} UNITS[] = {{"KIB", 10}, {"KB", 10}, {"MIB", 20}, {"MB", 20}, {"GIB", 30}, {"GB", 30}, {"TIB", 40}, {"TB", 40}};

static void blanks_skip(const char **p)
{
	*p += strspn(*p, " \t");
}

/* digits[.digits] as whole and billionths.  False: none, or too many. */
static bool number_read(const char **p, uint64_t *whole, uint64_t *billionths)
{
	const char *s = *p;
	uint64_t scale = 100000000;

	*whole = *billionths = 0;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(*whole, 10, whole) || __builtin_add_overflow(*whole, (uint64_t)(*s - '0'), whole))
			return false;
	if (s == *p)
		return false;
	if (*s == '.') {
		const char *first = ++s;

		for (; *s >= '0' && *s <= '9'; s++, scale /= 10)
			*billionths += scale * (uint64_t)(*s - '0');
		if (s == first)
			return false;
	}
	*p = s;
	return true;
}

/* The word of letters at *p, in upper case. */
static void word_read(const char **p, char *buf, size_t size)
{
	size_t n = 0;

	for (; (**p >= 'a' && **p <= 'z') || (**p >= 'A' && **p <= 'Z'); ++*p)
		if (n + 1 < size)
			buf[n++] = (char)(**p & ~0x20);
	buf[n] = 0;
}

static int bytes_read(const char **p, uint64_t *out, struct why *why)
{
	uint64_t whole, billionths, bytes;
	char unit[8];

	if (!number_read(p, &whole, &billionths))
		return why_set(why, -EINVAL, "there is no number before \"%.24s\"; " EXAMPLE, *p);
	blanks_skip(p);
	word_read(p, unit, sizeof(unit));
	if (!*unit)
		return why_set(why, -EINVAL, "a number has no unit; " EXAMPLE);
	for (size_t i = 0; i < ARRAY_SIZE(UNITS); i++) {
		const uint64_t scale = 1ULL << UNITS[i].shift;

		if (strcmp(unit, UNITS[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(whole, scale, &bytes) || bytes > INT64_MAX - scale)
			return why_set(why, -EINVAL, "that is larger than any memory; " EXAMPLE);
		*out = bytes + (uint64_t)((double)scale * ((double)billionths / 1e9));
		return 0;
	}
	return why_set(why, -EINVAL, "the unit \"%.8s\" is not known; " EXAMPLE, unit);
}

/* "(Q4_K_M)", if there is one. */
static int variant_read(const char **p, char *buf, size_t size, struct why *why)
{
	struct span name;

	buf[0] = 0;
	blanks_skip(p);
	if (**p != '(')
		return 0;
	name.p = ++*p;
	name.n = strcspn(name.p, "(),");
	if (name.p[name.n] != ')' || !span_copy(buf, size, name))
		return why_set(why, -EINVAL, "what stands in brackets is no variant of a model; " EXAMPLE);
	*p = name.p + name.n + 1;
	blanks_skip(p);
	return 0;
}

int conf_sizes_parse(const char *text, struct conf_sizes *out, struct why *why)
{
	struct conf_sizes s = {0};
	const char *p = text;
	int rc;

	for (;;) {
		if (s.n == CONF_VARIANTS)
			return why_set(why, -EINVAL, "more than %d sizes are named; take some out", CONF_VARIANTS);
		blanks_skip(&p);
		rc = bytes_read(&p, &s.at[s.n].bytes, why);
		if (rc == 0)
			rc = variant_read(&p, s.at[s.n].variant, sizeof(s.at[0].variant), why);
		if (rc < 0)
			return rc;
		s.n++;
		if (*p != ',')
			break;
		p++;
	}
	if (*p)
		return why_set(why, -EINVAL, "\"%.24s\" follows a size; " EXAMPLE, p);
	*out = s;
	return 0;
}

int conf_parameters_parse(const char *text, double *out, struct why *why)
{
	uint64_t whole, billionths;
	const char *p = text;
	char unit[16];
	double scale;

	blanks_skip(&p);
	if (!number_read(&p, &whole, &billionths))
		return why_set(why, -EINVAL, "\"%.24s\" does not begin with a number; write for example 270M or 33B", text);
	blanks_skip(&p);
	word_read(&p, unit, sizeof(unit));
	scale = unit[0] == 'M' ? 1e6 : unit[0] == 'B' ? 1e9 : unit[0] == 'T' ? 1e12 : 0;
	if (scale == 0 || (unit[1] && strcmp(unit + 1, "ILLION") != 0))
		return why_set(why, -EINVAL, "\"%.24s\" has no unit; write for example 270M or 33B", text);
	*out = ((double)whole + (double)billionths / 1e9) * scale;
	return 0;
}
