#include "route/reload.h"

#include <stdio.h>
#include <string.h>

#define BIT(option) (1U << (option))

static const char *const NAMES[RELOAD_OPTION_COUNT] = {
#define RELOAD_OPTION(id, name) [RELOAD_##id] = name,
	RELOAD_OPTIONS(RELOAD_OPTION)
#undef RELOAD_OPTION
};

/* What differs from how the model is loaded, as far as the values tell: num_ctx is judged by itself. */
static unsigned demands(const struct reload_asked *asked)
{
	unsigned set = asked->set & ~BIT(RELOAD_NUM_CTX);

	return asked->num_gpu < 0 ? set & ~BIT(RELOAD_NUM_GPU) : set;
}

static uint64_t longest(const uint64_t *contexts, unsigned n, bool *unknown)
{
	uint64_t most = 0;

	*unknown = n == 0;
	for (unsigned i = 0; i < n; i++) {
		*unknown = *unknown || !contexts[i];
		most = contexts[i] > most ? contexts[i] : most;
	}
	return most;
}

/* The least context of all; 0: one of them is not known. */
static uint64_t shortest(const uint64_t *contexts, unsigned n)
{
	uint64_t least = n ? contexts[0] : 0;

	for (unsigned i = 1; i < n; i++)
		least = contexts[i] < least ? contexts[i] : least;
	return least;
}

void reload_decide(enum reload_policy policy, const struct reload_asked *asked, const uint64_t *contexts, unsigned n,
		   struct reload_result *out)
{
	const uint64_t wanted = asked->set & BIT(RELOAD_NUM_CTX) && asked->num_ctx > 0 ? (uint64_t)asked->num_ctx : 0;
	const unsigned others = demands(asked);
	bool unknown;
	const uint64_t most = longest(contexts, n, &unknown), least = shortest(contexts, n);
	const bool too_long = most && !unknown && wanted > most;

	*out = (struct reload_result){.verdict = asked->set ? RELOAD_ADJUST : RELOAD_AS_IS, .remove = asked->set};
	if (policy == RELOAD_REFUSE && (others || too_long)) {
		*out = (struct reload_result){.verdict = RELOAD_NO, .given_context = too_long ? most : 0};
		while (!too_long && !(others & BIT(out->refused)))
			out->refused++;
	} else if (policy == RELOAD_CLAMP) {
		out->given_context = wanted && least && wanted > least ? least : 0;
	} else if (wanted > least) {
		/* whose context is not known counts only while nobody is known to have enough */
		out->need_context = wanted <= most ? wanted : unknown ? 0 : most;
		out->given_context = too_long ? most : 0;
	}
}

enum reload_option reload_option_find(const char *name)
{
	unsigned i = 0;

	while (i < RELOAD_OPTION_COUNT && strcmp(NAMES[i], name) != 0)
		i++;
	return i;
}

const char *reload_option_text(enum reload_option option)
{
	return NAMES[option];
}

char *reload_adjusted_text(const struct reload_result *r, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = 0;
	for (unsigned i = 0; i < RELOAD_OPTION_COUNT; i++) {
		if (!(r->remove & BIT(i)) || n >= size)
			continue;
		n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", NAMES[i]);
		if (i == RELOAD_NUM_CTX && r->given_context && n < size)
			n += (size_t)snprintf(buf + n, size - n, "=%llu", (unsigned long long)r->given_context);
	}
	return buf;
}

char *reload_refused_text(const struct reload_result *r, char *buf, size_t size)
{
	if (r->given_context)
		snprintf(buf, size, "num_ctx is more than the %llu tokens this model has here; write at most %llu, or leave it out",
			 (unsigned long long)r->given_context, (unsigned long long)r->given_context);
	else
		snprintf(buf, size, "%s would load the model anew for everybody; leave it out", NAMES[r->refused]);
	return buf;
}
