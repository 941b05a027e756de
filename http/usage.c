#include "http/usage.h"

#include <stddef.h>
#include <string.h>

#define DIGITS_MOST 18 /* what fits 64 bits surely */

static const struct {
	struct span name; /* with its quotes */
	size_t at;
} MEMBERS[] = {
#define MEMBER(text, member) {{"\"" text "\"", sizeof(text) + 1}, offsetof(struct usage, member)}
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

/* The member whose name ends at `end`. */
static void member(const char *begin, const char *end, uint64_t v, struct usage *out)
{
	for (unsigned i = 0; i < sizeof(MEMBERS) / sizeof(MEMBERS[0]); i++) {
		const struct span *name = &MEMBERS[i].name;

		if ((size_t)(end - begin) >= name->n && end[-2] == name->p[name->n - 2] && memcmp(end - name->n, name->p, name->n) == 0) {
			memcpy((char *)out + MEMBERS[i].at, &v, sizeof(v));
			return;
		}
	}
}

void usage_scan(struct span tail, struct usage *out)
{
	const char *end = tail.p + tail.n;

	memset(out, 0, sizeof(*out));
	if (tail.n < 3)
		return;
	/* Only few colons stand between a name and a number.  What is said twice, as Anthropic's streams do, counts as said last. */
	for (const char *p = tail.p + 2; p < end && (p = memchr(p, ':', (size_t)(end - p))); p++) {
		uint64_t v = p[-1] == '"' ? number(p + 1, end) : 0;

		if (v)
			member(tail.p, p, v, out);
	}
}
