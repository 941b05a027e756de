#include "route/search.h"

#include <string.h>

#include "base/bug.h"

#define WORDS_MOST 512
#define WORD_MOST  24 /* bytes of a word; no keyword is longer */

struct words {
	unsigned n;
	char at[WORDS_MOST][WORD_MOST];
};

static const struct search_advice ADVICE[SEARCH_KIND_COUNT] = {
#define SEARCH(id, name, confidence, threshold, web, chunks, strategy, words) {name, confidence, threshold, web, chunks, strategy},
#include "route/search.def"
#undef SEARCH
};

static const char *const KEYWORDS[SEARCH_KIND_COUNT] = {
#define SEARCH(id, name, confidence, threshold, web, chunks, strategy, words) words,
#include "route/search.def"
#undef SEARCH
};

static bool is_word(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '\'' || c == '+' || c >= 0x80;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static void words_take(struct span text, struct words *w)
{
	size_t i = 0, n = text.n < SEARCH_BYTES ? text.n : SEARCH_BYTES;

	w->n = 0;
	while (i < n && w->n < WORDS_MOST) {
		unsigned len = 0;

		while (i < n && !is_word((unsigned char)text.p[i]))
			i++;
		for (; i < n && is_word((unsigned char)text.p[i]); i++)
			if (len < WORD_MOST - 1)
				w->at[w->n][len++] = lower(text.p[i]);
		w->at[w->n][len] = 0;
		w->n += len > 0;
	}
}

/* Stands the keyword, its parts one after another, in the text? */
static bool has_keyword(const struct words *w, struct span keyword)
{
	for (unsigned from = 0; from < w->n; from++) {
		struct span left = keyword;
		unsigned k = from;

		for (; left.n && k < w->n; k++) {
			const char *end = memchr(left.p, '_', left.n);
			size_t n = end ? (size_t)(end - left.p) : left.n;

			if (strlen(w->at[k]) != n || memcmp(w->at[k], left.p, n) != 0)
				break;
			n += end ? 1 : 0;
			left.p += n;
			left.n -= n;
		}
		if (!left.n)
			return true;
	}
	return false;
}

static void keywords_find(const struct words *w, enum search_kind kind, struct search_result *out)
{
	for (const char *p = KEYWORDS[kind]; *p && out->n < SEARCH_KEYWORDS;) {
		struct span keyword = {p, strcspn(p, " ")};

		if (has_keyword(w, keyword))
			out->keyword[out->n++] = keyword;
		p += keyword.n + (p[keyword.n] == ' ');
	}
}

/* Last year, this one or the next. */
static bool has_year(const struct words *w, unsigned year)
{
	for (unsigned i = 0; i < w->n; i++) {
		const char *p = w->at[i];
		unsigned v = 0;

		if (strlen(p) != 4 || strspn(p, "0123456789") != 4)
			continue;
		for (; *p; p++)
			v = v * 10 + (unsigned)(*p - '0');
		if (v + 1 >= year && v <= year + 1)
			return true;
	}
	return false;
}

void search_look(struct span text, enum question_type type, unsigned year, struct search_result *out)
{
	struct words w;

	words_take(text, &w);
	*out = (struct search_result){.kind = SEARCH_GENERAL_KNOWLEDGE};
	for (unsigned k = 0; k < SEARCH_KIND_COUNT; k++) {
		keywords_find(&w, (enum search_kind)k, out);
		out->by_words = out->n > 0;
		out->by_year = k == SEARCH_CURRENT_EVENTS && has_year(&w, year);
		if (out->by_words || out->by_year) {
			out->kind = (enum search_kind)k;
			return;
		}
	}
	if (type == QUESTION_TECHNICAL)
		out->kind = SEARCH_TECHNICAL_DOCS;
	else if (type == QUESTION_CODE)
		out->kind = SEARCH_CODE_EXAMPLES;
}

const struct search_advice *search_advice(enum search_kind kind)
{
	BUG_ON(kind >= SEARCH_KIND_COUNT);
	return &ADVICE[kind];
}

double search_threshold(enum search_kind kind, double base)
{
	double own = search_advice(kind)->threshold;

	if (kind == SEARCH_CURRENT_EVENTS)
		return base > 0.7 ? base : 0.7;
	if (kind == SEARCH_TECHNICAL_DOCS)
		return base < own ? base : own;
	return own;
}
