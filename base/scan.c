#include "base/scan.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"

struct unit {
	const char *name;
	uint64_t    scale;
};

static const struct unit DURATIONS[] = {
	{"ns", 1},        {"us", NS_PER_US},       {"ms", NS_PER_MS},          {"s", NS_PER_S},
	{"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"d", 24 * 3600 * NS_PER_S},
};

static const struct unit SIZES[] = {
	{"B", 1},
	{"KiB", 1ULL << 10}, {"MiB", 1ULL << 20}, {"GiB", 1ULL << 30}, {"TiB", 1ULL << 40},
	{"K", 1ULL << 10},   {"M", 1ULL << 20},   {"G", 1ULL << 30},   {"T", 1ULL << 40},
	{"kB", 1000ULL},     {"MB", 1000000ULL},  {"GB", 1000000000ULL}, {"TB", 1000000000000ULL},
};

/* Digits at *p as a number; false when there are none or they overflow. */
static bool scan_digits(const char **p, uint64_t *out)
{
	uint64_t v = 0;
	const char *s = *p;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return false;
	*p = s;
	*out = v;
	return true;
}

int scan_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct why *why)
{
	const char *p = text;
	uint64_t v;

	if (!scan_digits(&p, &v) || *p || v < min || v > max)
		return why_set(why, -EINVAL, "\"%.40s\" is not a whole number from %llu to %llu", text, (unsigned long long)min,
			       (unsigned long long)max);
	*out = v;
	return 0;
}

/* number[.fraction]unit -> a whole count of the smallest unit. */
static int scan_with_unit(const char *text, const struct unit *units, size_t n, const char *what, const char *example, uint64_t *out,
			  struct why *why)
{
	const char *p = text;
	uint64_t whole, value, frac_value = 0, scale = 0, frac_div = 1;
	uint64_t frac = 0;

	if (!scan_digits(&p, &whole))
		return why_set(why, -EINVAL, "%s \"%.40s\" does not begin with a number; write for example %s", what, text, example);
	if (*p == '.') {
		p++;
		for (; *p >= '0' && *p <= '9'; p++)
			if (frac_div < 1000000000) {
				frac = frac * 10 + (uint64_t)(*p - '0');
				frac_div *= 10;
			}
		if (frac_div == 1)
			return why_set(why, -EINVAL, "%s \"%.40s\" has no digit after the point; write for example %s", what, text, example);
	}
	if (!*p)
		return why_set(why, -EINVAL, "%s \"%.40s\" has no unit; write for example %s", what, text, example);
	for (size_t i = 0; i < n; i++)
		if (strcmp(p, units[i].name) == 0)
			scale = units[i].scale;
	if (!scale)
		return why_set(why, -EINVAL, "%s \"%.40s\" has the unknown unit \"%.20s\"; write for example %s", what, text, p, example);
	if (frac)
		frac_value = (uint64_t)((double)scale * ((double)frac / (double)frac_div));
	if (__builtin_mul_overflow(whole, scale, &value) || __builtin_add_overflow(value, frac_value, &value) || value > INT64_MAX)
		return why_set(why, -EINVAL, "%s \"%.40s\" is too large", what, text);
	*out = value;
	return 0;
}

int scan_duration_ns(const char *text, uint64_t *out_ns, struct why *why)
{
	return scan_with_unit(text, DURATIONS, ARRAY_SIZE(DURATIONS), "duration", "500ms, 30s or 5m", out_ns, why);
}

int scan_size_bytes(const char *text, uint64_t *out_bytes, struct why *why)
{
	return scan_with_unit(text, SIZES, ARRAY_SIZE(SIZES), "size", "16KiB, 64MiB or 90GiB", out_bytes, why);
}

static bool alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool scan_name_ok(const char *text, unsigned max)
{
	size_t n = strlen(text);

	if (n == 0 || n > max || !alnum(text[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!alnum(text[i]) && !strchr("_-.", text[i]))
			return false;
	return true;
}

const char *scan_duration_text(uint64_t ns, char *buf, unsigned size)
{
	if (ns == CLOCK_NEVER)
		snprintf(buf, size, "never");
	else if (ns < NS_PER_MS)
		snprintf(buf, size, "%lluus", (unsigned long long)(ns / NS_PER_US));
	else if (ns < NS_PER_S)
		snprintf(buf, size, "%llums", (unsigned long long)(ns / NS_PER_MS));
	else if (ns < 120 * NS_PER_S)
		snprintf(buf, size, "%llu.%llus", (unsigned long long)(ns / NS_PER_S), (unsigned long long)(ns % NS_PER_S / (100 * NS_PER_MS)));
	else if (ns < 7200 * NS_PER_S)
		snprintf(buf, size, "%llum", (unsigned long long)(ns / (60 * NS_PER_S)));
	else
		snprintf(buf, size, "%lluh", (unsigned long long)(ns / (3600 * NS_PER_S)));
	return buf;
}
