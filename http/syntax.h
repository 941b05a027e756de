/* http/syntax.h - where a JSON text goes wrong, in the words and at the place that clients of the replaced service were told.
 *
 * The grammar is the one of its parser: RFC 8259 plus NaN, Infinity and -Infinity; duplicate keys are fine.  Pure and bounded: one pass,
 * no recursion, nesting to SYNTAX_DEPTH. */
#pragma once

#include <stddef.h>

#define SYNTAX_DEPTH 512

struct syntax_fault {
	size_t at;        /* characters (not bytes) before the fault */
	const char *what; /* "Expecting value" */
};

/* 0; -EINVAL with the fault; -EILSEQ: not UTF-8 (`at` is where). */
int syntax_check(const char *text, size_t n, struct syntax_fault *fault);
