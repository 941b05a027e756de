#include "http/usage.h"

#include <stddef.h>
#include <string.h>

#define DIGITS_MOST 18 /* what fits 64 bits surely */

static const struct {
	struct span name; /* with its quotes and colon */
	size_t at;
} MEMBERS[] = {
#define MEMBER(text, member) {{"\"" text "\":", sizeof(text) + 2}, offsetof(struct usage, member)}
	MEMBER("prompt_eval_count", prompt_tokens), MEMBER("eval_count", output_tokens), MEMBER("prompt_eval_duration", prompt_ns),
	MEMBER("eval_duration", output_ns),	    MEMBER("load_duration", load_ns),	 MEMBER("prompt_tokens", prompt_tokens),
	MEMBER("completion_tokens", output_tokens), MEMBER("input_tokens", prompt_tokens), MEMBER("output_tokens", output_tokens),
#undef MEMBER
};

/* A plain integer; 0 for anything else. */
static uint64_t number(const char *p, const char *end)
{
	uint64_t v = 0;
	unsigned n = 0;

	while (p < end && *p == ' ')
		p++;
	for (; p < end && *p >= '0' && *p <= '9' && n < DIGITS_MOST; p++, n++)
		v = v * 10 + (uint64_t)(*p - '0');
	return v;
}

void usage_scan(struct span tail, struct usage *out)
{
	const char *end = tail.p + tail.n;

	memset(out, 0, sizeof(*out));
	/* One pass over the quotes: a name begins behind one. */
	for (const char *p = tail.p; p < end && (p = memchr(p, '"', (size_t)(end - p))); p++)
		for (unsigned i = 0; i < sizeof(MEMBERS) / sizeof(MEMBERS[0]); i++) {
			uint64_t v;

			if ((size_t)(end - p) <= MEMBERS[i].name.n || memcmp(p, MEMBERS[i].name.p, MEMBERS[i].name.n) != 0)
				continue;
			v = number(p + MEMBERS[i].name.n, end);
			/* Anthropic's stream says output_tokens more than once, the last one counts. */
			if (v)
				memcpy((char *)out + MEMBERS[i].at, &v, sizeof(v));
			break;
		}
}
