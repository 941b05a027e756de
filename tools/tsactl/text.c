#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/tsactl/tsactl.h"

const char *text_span(uint64_t ns, char *buf, size_t size)
{
	const unsigned long long s = ns / NS_PER_S;

	if (ns == 0)
		snprintf(buf, size, "0s");
	else if (ns < NS_PER_MS)
		snprintf(buf, size, "%.2fms", (double)ns / 1e6);
	else if (ns < NS_PER_S)
		snprintf(buf, size, "%llums", (unsigned long long)(ns / NS_PER_MS));
	else if (s < 10)
		snprintf(buf, size, "%.1fs", (double)ns / 1e9);
	else if (s < 120)
		snprintf(buf, size, "%llus", s);
	else if (s < 7200)
		snprintf(buf, size, "%llum%02llus", s / 60, s % 60);
	else if (s < 48 * 3600)
		snprintf(buf, size, "%lluh%02llum", s / 3600, s / 60 % 60);
	else
		snprintf(buf, size, "%llud%lluh", s / 86400, s / 3600 % 24);
	return buf;
}

const char *text_bytes(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double v = (double)bytes;
	unsigned u = 0;

	while (v >= 1024 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		u++;
	}
	snprintf(buf, size, u == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, units[u]);
	return buf;
}

const char *text_when(uint64_t wall_ns, char *buf, size_t size)
{
	time_t t = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(buf, size, "?");
	return buf;
}

const char *text_iso(uint64_t wall_ns, char *buf, size_t size)
{
	time_t t = (time_t)(wall_ns / NS_PER_S);
	char date[32];
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm))
		snprintf(buf, size, "?");
	else
		snprintf(buf, size, "%s.%03lluZ", date, (unsigned long long)(wall_ns % NS_PER_S / NS_PER_MS));
	return buf;
}

/* Length of the well-formed UTF-8 character at `at` if a terminal only shows it, 0 otherwise; `at` ends with a NUL. */
static size_t char_bytes(const char *at)
{
	const unsigned char *p = (const unsigned char *)at;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	/* What is longer than it need be, a surrogate, beyond Unicode, or a control character of two bytes shows in the second byte. */
	unsigned char low = p[0] == 0xf0 ? 0x90 : p[0] == 0xe0 || p[0] == 0xc2 ? 0xa0 : 0x80;
	unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;

	if (n == 1)
		return !iscntrl(p[0]);
	if (n && (p[1] < low || p[1] > high))
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

const char *text_clean(const char *from, char *buf, size_t size)
{
	size_t at = 0;

	while (*from) {
		size_t n = char_bytes(from), step = n ? n : 1;

		if (at + step >= size)
			break;
		if (n)
			memcpy(buf + at, from, n);
		else
			buf[at] = '?';
		at += step;
		from += step;
	}
	buf[at] = 0;
	return buf;
}

bool tone_on(void)
{
	static int on = -1;
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (on < 0)
		on = isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
	return on;
}

const char *tone_begin(enum tone t)
{
	static const char *const codes[] = {
		[TONE_PLAIN] = "",       [TONE_GOOD] = "\033[32m", [TONE_WARN] = "\033[33m",
		[TONE_BAD] = "\033[31m", [TONE_DIM] = "\033[2m",   [TONE_HEAD] = "\033[1m",
	};

	return tone_on() ? codes[t] : "";
}

const char *tone_end(void)
{
	return tone_on() ? "\033[0m" : "";
}

enum tone tone_of_state(const struct view_slot *s)
{
	if (s->life != VIEW_FRESH || s->vital.state == SHM_STATE_SICK || s->vital.state == SHM_STATE_BACKOFF ||
	    s->vital.state == SHM_STATE_QUARANTINED || s->owner.child_state == SHM_CHILD_QUARANTINED)
		return TONE_BAD;
	if (s->vital.state != SHM_STATE_READY || s->owner.wanted != SHM_WANT_RUN || s->breaker)
		return TONE_WARN;
	return TONE_GOOD;
}
