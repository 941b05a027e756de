/* route/tags.h - names of what an instance can do, as bits of one 64-bit set.
 *
 * A table is built when a configuration is taken over: every tag of every instance gets a bit, beside the known ones, which have
 * the same bit in every table.  A request's tags are then looked up, never added, so that clients cannot fill the table: a tag that
 * no instance has is TAGS_NOBODY, which stands in no instance's set.  An instance may serve a request only if its set covers the
 * required one; optional tags merely count.  Case is ignored.  Pure; nothing here allocates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

#define TAGS_MOST 63 /* bit 63 is TAGS_NOBODY */
#define TAGS_NAME 32 /* with its NUL; as tags in tsa.conf */

#define TAGS_NOBODY (1ULL << 63)

/* Tags that the code itself speaks of.  KNOWN_TAG(id, name, meaning) */
#define KNOWN_TAGS(X)                                                                                                              \
	X(CHAT, "chat", "answers in words; every model but embedding ones")                                                        \
	X(EMBEDDING, "embedding", "makes vectors")                                                                                 \
	X(TOOLS, "tools", "calls tools")                                                                                           \
	X(VISION, "vision", "sees images")                                                                                         \
	X(THINKING, "thinking", "thinks before it answers")                                                                        \
	X(GENERAL, "general", "for anything")                                                                                      \
	X(CODE, "code", "good at programs")                                                                                        \
	X(MATH, "math", "good at mathematics")                                                                                     \
	X(REASONING, "reasoning", "good at long arguments; usually large and slow")                                                \
	X(CREATIVE, "creative", "good at prose")                                                                                   \
	X(NLP, "nlp", "good at work on given text: summaries, translation, extraction")                                            \
	X(DATA, "data", "good at tables, queries and figures")                                                                     \
	X(SAFETY, "safety", "judges or refuses what is dangerous")                                                                 \
	X(FAST, "fast", "small and quick")                                                                                         \
	X(LONG_CONTEXT, "long-context", "takes long prompts")

enum tag_known {
#define KNOWN_TAG(id, name, meaning) TAG_KNOWN_##id,
	KNOWN_TAGS(KNOWN_TAG)
#undef KNOWN_TAG
	TAG_KNOWN_COUNT
};

#define TAG_BIT(id) (1ULL << TAG_KNOWN_##id)

struct tags {
	unsigned n;
	char name[TAGS_MOST][TAGS_NAME]; /* in lower case; the bit is the index */
};

/* A table with the known tags alone. */
void tags_init(struct tags *t);

/* Add the tag's bit to *set, making one if need be.  0; -EINVAL no name; -ENOSPC the table is full: `why`, and *set is as it was. */
int tags_add(struct tags *t, const char *name, uint64_t *set, struct why *why);

/* The bit of a request's tag; TAGS_NOBODY when no instance has it. */
uint64_t tags_find(const struct tags *t, const char *name);

/* Names of a set, "code, fast", cut at `size`; "-" when it is empty.  Returns `buf`. */
char *tags_text(const struct tags *t, uint64_t set, char *buf, size_t size);

/* The hard rule. */
static inline bool tags_cover(uint64_t have, uint64_t required)
{
	return (required & ~have) == 0;
}
