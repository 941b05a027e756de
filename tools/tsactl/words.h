/* tools/tsactl/words.h - words that may be shortened.  Pure. */
#pragma once

#include <stddef.h>

/* The word that `typed` is, or is the only beginning of.  0; -ENOENT: none; -ENOTUNIQ: several begin so. */
int words_match(const char *typed, const char *const *words, unsigned n, unsigned *out);

/* "a, b or c": the words that begin with `typed`, or all of them where none does. */
const char *words_list(const char *typed, const char *const *words, unsigned n, char *buf, size_t size);
