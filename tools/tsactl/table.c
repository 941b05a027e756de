#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "tools/tsactl/tsactl.h"
#include "tools/tsactl/words.h"

#define COLUMNS_MAX 32

/* The columns that -o names, or the usual ones.  Their number, or a negative exit status. */
static int columns_choose(const struct options *o, const struct column *columns, unsigned n,
			  const struct column *chosen[COLUMNS_MAX])
{
	const char *names[COLUMNS_MAX], *at = o->columns;
	unsigned n_chosen = 0, found;
	char word[64];
	int rc;

	for (unsigned i = 0; i < n; i++) {
		names[i] = columns[i].name;
		if (!at && columns[i].usual)
			chosen[n_chosen++] = &columns[i];
	}
	while (at && *at) {
		size_t len = strcspn(at, ",");

		snprintf(word, sizeof(word), "%.*s", (int)(len < 60 ? len : 60), at);
		rc = words_match(word, names, n, &found);
		if (rc < 0)
			return -complain_word(o, rc, "column", word, names, n);
		if (n_chosen == COLUMNS_MAX)
			return -complain(o, EXIT_USAGE, "there may be %d columns; name fewer after -o", COLUMNS_MAX);
		chosen[n_chosen++] = &columns[found];
		at += len + (at[len] == ',');
	}
	if (!n_chosen)
		return -complain(o, EXIT_USAGE, "no column is named after -o; write for example -o %s,%s", names[0], names[1]);
	return (int)n_chosen;
}

/* Bytes of UTF-8 that follow another take no room. */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void cell_print(const char *text, size_t room, bool right, bool last, enum tone tone)
{
	size_t pad = width(text) < room ? room - width(text) : 0;

	printf("%*s%s%s%s%*s%s", right ? (int)pad : 0, "", tone_begin(tone), text, tone == TONE_PLAIN ? "" : tone_end(),
	       right || last ? 0 : (int)pad, "", last ? "\n" : "  ");
}

static void row_print(const struct view *v, const struct column *const *chosen, unsigned n, const size_t *room, unsigned row)
{
	for (unsigned c = 0; c < n; c++) {
		char raw[CELL] = "", text[CELL];

		chosen[c]->cell(v, row, raw);
		text_clean(raw, text, sizeof(text));
		cell_print(*text ? text : "-", room[c], chosen[c]->right, c + 1 == n,
			   chosen[c]->tone ? chosen[c]->tone(v, row) : TONE_PLAIN);
	}
}

int table_print(const struct options *o, const struct view *v, const struct column *columns, unsigned n, unsigned rows)
{
	const struct column *chosen[COLUMNS_MAX];
	size_t room[COLUMNS_MAX];
	int n_chosen;

	BUG_ON(n > COLUMNS_MAX);
	n_chosen = columns_choose(o, columns, n, chosen);
	if (n_chosen < 0)
		return -n_chosen;
	for (int c = 0; c < n_chosen; c++) {
		room[c] = strlen(chosen[c]->heading);
		for (unsigned r = 0; r < rows; r++) {
			char raw[CELL] = "";

			chosen[c]->cell(v, r, raw);
			if (width(raw) > room[c])
				room[c] = width(raw);
		}
	}
	for (int c = 0; c < n_chosen; c++)
		cell_print(chosen[c]->heading, room[c], chosen[c]->right, c + 1 == n_chosen, TONE_HEAD);
	for (unsigned r = 0; r < rows; r++)
		row_print(v, chosen, (unsigned)n_chosen, room, r);
	return EXIT_DONE;
}
