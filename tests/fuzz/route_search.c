/* Any text: the kind and its keywords are those that a search in one long line of words finds, capitals do not matter, and the question type
 * counts only where no word decides. */
#include <ctype.h>
#include <stdbool.h>

#include "route/search.h"
#include "tests/fuzz/fuzz.h"

#define WORDS_MOST 512

struct kind {
	const char *name, *words;
};

static const struct kind KINDS[SEARCH_KIND_COUNT] = {
#define SEARCH(id, name, confidence, threshold, web, chunks, strategy, words) {name, words},
#include "route/search.def"
#undef SEARCH
};

static bool part_of_word(unsigned char c)
{
	return isalnum(c) || c == '\'' || c == '+' || c > 127;
}

/* Its words in lower case, each between blanks. */
static char *line_of(const char *p, size_t n)
{
	char *line = malloc(2 * n + 3);
	size_t to = 0, i = 0;
	unsigned words = 0;

	CHECK(line);
	line[to++] = ' ';
	while (i < n && words < WORDS_MOST) {
		size_t from = i;

		while (i < n && part_of_word((unsigned char)p[i]))
			line[to++] = (char)tolower((unsigned char)p[i++]);
		if (i > from) {
			line[to++] = ' ';
			words++;
		} else {
			i++;
		}
	}
	line[to] = 0;
	return line;
}

static bool stands_in(const char *line, struct span keyword)
{
	char sought[64];
	size_t n = 0;

	sought[n++] = ' ';
	for (size_t i = 0; i < keyword.n; i++)
		sought[n++] = keyword.p[i] == '_' ? ' ' : keyword.p[i];
	sought[n++] = ' ';
	sought[n] = 0;
	return strstr(line, sought);
}

static bool year_in(const char *line, unsigned year)
{
	char sought[16];

	for (unsigned y = year - 1; y <= year + 1; y++) {
		snprintf(sought, sizeof(sought), " %u ", y);
		if (strstr(line, sought))
			return true;
	}
	return false;
}

/* How many keywords of a kind stand in the line, and that those which were found do. */
static unsigned keywords(const char *line, const char *words, const struct search_result *r)
{
	unsigned n = 0;

	for (const char *p = words; *p; p += strspn(p, " ")) {
		struct span keyword = {p, strcspn(p, " ")};

		if (stands_in(line, keyword)) {
			CHECK(!r || n >= r->n || span_eq(r->keyword[n], keyword));
			n++;
		}
		p += keyword.n;
	}
	return n < SEARCH_KEYWORDS ? n : SEARCH_KEYWORDS;
}

static enum search_kind slow_kind(const char *line, enum question_type type, unsigned year, bool *by_words, bool *by_year)
{
	for (unsigned k = 0; k < SEARCH_KIND_COUNT; k++) {
		*by_words = keywords(line, KINDS[k].words, NULL) > 0;
		*by_year = k == SEARCH_CURRENT_EVENTS && year_in(line, year);
		if (*by_words || *by_year)
			return (enum search_kind)k;
	}
	return type == QUESTION_TECHNICAL ? SEARCH_TECHNICAL_DOCS : type == QUESTION_CODE ? SEARCH_CODE_EXAMPLES : SEARCH_GENERAL_KNOWLEDGE;
}

static void advice_check(enum search_kind kind, double base)
{
	const struct search_advice *a = search_advice(kind);
	double t = search_threshold(kind, base);

	CHECK(strcmp(a->name, KINDS[kind].name) == 0 && *a->strategy && a->chunks);
	CHECK(a->confidence > 0 && a->confidence <= 1 && t >= 0 && t <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum question_type type = size ? (enum question_type)(data[0] % QUESTION_TYPE_COUNT) : QUESTION_FACTUAL;
	unsigned year = size > 1 ? 2000 + data[1] % 100 : 2026;
	const char *text = (const char *)data + (size > 2 ? 2 : size);
	size_t n = size > 2 ? size - 2 : 0, read = n < SEARCH_BYTES ? n : SEARCH_BYTES;
	char *copy = exact_copy(text, n), *line = line_of(text, read);
	struct search_result r, louder;
	bool by_words, by_year;

	search_look((struct span){copy, n}, type, year, &r);
	CHECK(r.kind == slow_kind(line, type, year, &by_words, &by_year) && r.by_words == by_words && r.by_year == by_year);
	CHECK(r.n == (by_words ? keywords(line, KINDS[r.kind].words, &r) : 0));
	for (size_t i = 0; i < n; i++)
		copy[i] = (char)(copy[i] & 0x80 ? copy[i] : toupper(copy[i]));
	search_look((struct span){copy, n}, type, year, &louder);
	CHECK(louder.kind == r.kind && louder.n == r.n && louder.by_year == r.by_year && louder.by_words == r.by_words);
	advice_check(r.kind, size ? data[0] / 255.0 : 0.3);
	free(line);
	free(copy);
	return 0;
}
