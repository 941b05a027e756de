/* The tokenizers of the toy models behind the recorded exchanges, so that prompts of theirs are counted as they were.
 *
 * Their vocabularies follow a rule: after the control tokens and the 256 bytes come all syllables of a letter and one of nine
 * letters, first with a blank before them, then without.  The scripted model adds whole phrases. */
#include "tools/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define ID_BYTE     3U
#define ID_BLANK_XY 259U
#define ID_XY       493U
#define ID_PHRASE   727U

static const char *const phrases[] = {
	"<|go-think|>",
	"<think>",
	"\nLet",
	" me",
	" think.\n",
	"</think>",
	"\n\nThe",
	" answer",
	" is",
	" forty",
	"-two",
	".",
	"<|go-inthink|>",
	"Thoughts",
	" first",
	".\n</think>\n\n",
	"Then",
	" words",
	"!",
	"<|go-tool|>",
	"<tool_call>",
	"\n{\"name\": ",
	"\"get_weather\"",
	", \"arguments\": ",
	"{\"city\": ",
	"\"Paris\"}",
	"}\n",
	"</tool_call>",
	"<|go-html|>",
	"a<b>",
	" &amp;",
	" \"q\"",
	" \xe2\x80\xa8",
	"\t\\",
	" done",
	"<|go-json|>",
	"{",
	"\"k\"",
	" :",
	" [1,",
	"2]",
	"} ",
	"<|go-short|>",
	"Hello",
	" world",
	"<|go-none|>",
	"<|go-rep|>",
	"again ",
	"<|go-long|>",
};
#define PHRASES (sizeof(phrases) / sizeof(phrases[0]))

struct tokens {
	uint32_t *ids;
	size_t n;
	size_t cap;
};

static void token_add(struct tokens *t, uint32_t id)
{
	if (t->n < t->cap)
		t->ids[t->n] = id;
	t->n++;
}

/* The rank of a syllable, or -1. */
static int syllable(const char *p)
{
	static const char seconds[] = "aeiounrst";
	const char *at = p[1] ? strchr(seconds, p[1]) : NULL;

	return p[0] >= 'a' && p[0] <= 'z' && at ? 9 * (p[0] - 'a') + (int)(at - seconds) : -1;
}

static int rank_compare(const void *a, const void *b)
{
	const int *x = a;
	const int *y = b;

	return x[0] != y[0] ? (x[0] > y[0]) - (x[0] < y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

/* Pairs of letters become syllables in the order of their rank, as merges do; first[i] tells where one begins. */
static void run_pair(const char *p, size_t n, bool *first)
{
	int(*all)[2] = sim_alloc((n + 1) * sizeof(*all));
	bool *used = sim_alloc(n + 1);
	size_t count = 0;

	for (size_t i = 0; i + 1 < n; i++) {
		int rank = syllable(p + i);

		if (rank < 0)
			continue;
		all[count][0] = rank;
		all[count++][1] = (int)i;
	}
	qsort(all, count, sizeof(*all), rank_compare);
	for (size_t k = 0; k < count; k++) {
		int i = all[k][1];

		if (used[i] || used[i + 1])
			continue;
		used[i] = used[i + 1] = true;
		first[i] = true;
	}
	free(all);
	free(used);
}

static void bytes_add(struct tokens *t, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* A blank is spelled U+2581. */
		if (p[i] == ' ') {
			bytes_add(t, "\xe2\x96\x81", 3);
			continue;
		}
		token_add(t, ID_BYTE + (unsigned char)p[i]);
	}
}

static void syllables_add(struct tokens *t, struct span s)
{
	bool *first = sim_alloc(s.n + 1);

	run_pair(s.p, s.n, first);
	for (size_t i = 0; i < s.n;) {
		bool blank = s.p[i] == ' ' && i + 1 < s.n && first[i + 1];

		if (blank || first[i]) {
			token_add(t, blank ? ID_BLANK_XY + (uint32_t)syllable(s.p + i + 1) : ID_XY + (uint32_t)syllable(s.p + i));
			i += blank ? 3 : 2;
			continue;
		}
		bytes_add(t, s.p + i, 1);
		i++;
	}
	free(first);
}

/* Cut `s` at the phrases from the `from`th longest on. */
static void phrases_add(struct tokens *t, struct span s, size_t length)
{
	while (s.n && length) {
		for (size_t k = 0; k < PHRASES; k++) {
			const char *at;

			if (strlen(phrases[k]) != length)
				continue;
			at = memmem(s.p, s.n, phrases[k], length);
			if (!at)
				continue;
			phrases_add(t, (struct span){s.p, (size_t)(at - s.p)}, length);
			token_add(t, ID_PHRASE + (uint32_t)k);
			phrases_add(t, (struct span){at + length, s.n - (size_t)(at + length - s.p)}, length);
			return;
		}
		length--;
	}
	if (s.n)
		syllables_add(t, s);
}

/* Word pieces: a word begins with a syllable or a letter, and goes on with the longest there is. */
static void pieces_add(struct tokens *t, struct span s)
{
	for (size_t i = 0; i < s.n;) {
		if (s.p[i] == ' ' || s.p[i] == '\n' || s.p[i] == '\t') {
			i++;
			continue;
		}
		token_add(t, 1);
		i += i + 1 < s.n && syllable(s.p + i) >= 0 ? 2 : 1;
	}
}

size_t sim_toy_tokens(enum sim_tokenizer kind, struct span text, uint32_t *ids, size_t cap)
{
	struct tokens t = {.ids = ids, .cap = cap};
	struct buf b = {0};

	switch (kind) {
	case TOKENS_SYLLABLES:
		if (!text.n)
			break;
		buf_lit(&b, " ");
		buf_span(&b, text);
		syllables_add(&t, buf_view(&b));
		break;
	case TOKENS_SCRIPT:
		phrases_add(&t, text, 24);
		break;
	case TOKENS_PIECES:
		pieces_add(&t, text);
		break;
	default:
		break;
	}
	buf_fini(&b);
	return t.n;
}
