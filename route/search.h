/* route/search.h - what POST /api/classify-query answers: how a document search should go about a query.
 *
 * tsa searches no documents; clients of the service that it replaces ask this before they do.  Words decide, and where none does the
 * classifier's question type.  Pure; only the first SEARCH_BYTES are looked at. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "route/question.h"

#define SEARCH_BYTES    4096
#define SEARCH_KEYWORDS 16

enum search_kind {
#define SEARCH(id, name, confidence, threshold, web, chunks, strategy, words) SEARCH_##id,
#include "route/search.def"
#undef SEARCH
	SEARCH_KIND_COUNT
};

struct search_result {
	enum search_kind kind;
	bool by_year;  /* a year of about now */
	bool by_words; /* else by the question type, or by nothing */
	unsigned n;
	struct span keyword[SEARCH_KEYWORDS]; /* that decided, in the words of search.def; static */
};

struct search_advice {
	const char *name;
	double confidence;
	double threshold; /* the kind's own */
	bool web_first;
	unsigned chunks;
	const char *strategy;
};

/* `year` is the present one. */
void search_look(struct span text, enum question_type type, unsigned year, struct search_result *out);

const struct search_advice *search_advice(enum search_kind kind);

/* The threshold to use where the caller has `base`. */
double search_threshold(enum search_kind kind, double base);
