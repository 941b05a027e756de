/* The words of a decision, for headers, JSON and people. */
#include "route/decide.h"

#include "base/bug.h"

static const struct {
	const char *word, *sentence;
} REASONS[DECIDE_REASON_COUNT] =
	{
#define REASON(name, word, sentence) [DECIDE_REASON_##name] = {word, sentence},
		DECIDE_REASONS(REASON)
#undef REASON
},
  EXCLUDES[DECIDE_EXCLUDE_COUNT] = {
#define EXCLUDE(name, word, sentence) [DECIDE_EXCLUDE_##name] = {word, sentence},
	  DECIDE_EXCLUDES(EXCLUDE)
#undef EXCLUDE
};

const char *decide_reason_text(enum decide_reason reason)
{
	return (unsigned)reason < DECIDE_REASON_COUNT ? REASONS[reason].word : "unknown";
}

const char *decide_reason_help(enum decide_reason reason)
{
	return (unsigned)reason < DECIDE_REASON_COUNT ? REASONS[reason].sentence : "unknown";
}

const char *exclude_text(enum decide_exclude exclude)
{
	return (unsigned)exclude < DECIDE_EXCLUDE_COUNT ? EXCLUDES[exclude].word : "unknown";
}

const char *exclude_help(enum decide_exclude exclude)
{
	return (unsigned)exclude < DECIDE_EXCLUDE_COUNT ? EXCLUDES[exclude].sentence : "unknown";
}

const char *decide_verdict_text(enum decide_verdict verdict)
{
	static const char *const TEXT[DECIDE_VERDICTS] = {"none", "take",   "wait",  "load",   "loading",
							  "soon", "failed", "never", "unknown"};

	return (unsigned)verdict < DECIDE_VERDICTS ? TEXT[verdict] : "unknown";
}

const char *decide_tier_text(enum decide_tier tier)
{
	static const char *const TEXT[DECIDE_TIERS] = {"none", "free", "busy", "loading", "cold"};

	return (unsigned)tier < DECIDE_TIERS ? TEXT[tier] : "unknown";
}

const char *decide_term_text(enum decide_term term)
{
	static const char *const TEXT[DECIDE_TERM_COUNT] = {
#define TERM(name, weight, meaning) [DECIDE_TERM_##name] = #name,
		DECIDE_TERMS(TERM)
#undef TERM
	};

	return (unsigned)term < DECIDE_TERM_COUNT ? TEXT[term] : "unknown";
}

const char *decide_mode_text(enum decide_mode mode)
{
	static const char *const TEXT[DECIDE_MODES] = {"full", "basic", "round-robin"};

	return (unsigned)mode < DECIDE_MODES ? TEXT[mode] : "unknown";
}
