/* Times and identifiers as the answers carry them. */
#include "tools/sim/sim.h"

#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <time.h>

/* One broken-down second is enough for thousands of tokens. */
struct second {
	time_t at;
	char text[24];
	char zone[8];
};

static const char *second_text(struct second *s, time_t at, bool local)
{
	struct tm tm;
	long off;

	if (s->at == at && s->text[0])
		return s->text;
	s->at = at;
	if (local)
		localtime_r(&at, &tm);
	else
		gmtime_r(&at, &tm);
	strftime(s->text, sizeof(s->text), "%Y-%m-%dT%H:%M:%S", &tm);
	off = tm.tm_gmtoff;
	if (off == 0)
		snprintf(s->zone, sizeof(s->zone), "Z");
	else
		snprintf(s->zone, sizeof(s->zone), "%c%02u:%02u", off < 0 ? '-' : '+', (unsigned)(labs(off) / 3600) % 100,
			 (unsigned)(labs(off) / 60 % 60));
	return s->text;
}

void text_time(struct buf *out, uint64_t wall_ns, bool local)
{
	static struct second utc, here;
	struct second *s = local ? &here : &utc;
	uint32_t ns = (uint32_t)(wall_ns % NS_PER_S);
	char frac[10];
	size_t n = 9;

	buf_text(out, second_text(s, (time_t)(wall_ns / NS_PER_S), local));
	if (ns) {
		for (size_t i = 9; i-- > 0; ns /= 10)
			frac[i] = (char)('0' + ns % 10);
		while (frac[n - 1] == '0')
			n--;
		buf_lit(out, ".");
		buf_put(out, frac, n);
	}
	buf_text(out, s->zone);
}

void text_http_date(struct buf *out)
{
	static time_t last;
	static char text[40];
	time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
	struct tm tm;

	if (now != last) {
		last = now;
		gmtime_r(&now, &tm);
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	buf_text(out, text);
}

uint64_t text_random(void)
{
	static uint64_t x;

	if (!x)
		x = clock_wall_ns() | 1;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

void text_id(char *out, unsigned n, bool hex)
{
	static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";

	for (unsigned i = 0; i < n; i++)
		out[i] = alphabet[text_random() % (hex ? 16 : 36)];
	out[n] = 0;
}
