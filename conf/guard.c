/* libconfuse reads the files, but its lexer is trusting: bytes it does not know vanish without a word, ${NAME} becomes whatever
 * stands in the environment, a string or comment that is never closed swallows the rest of the file, and (3.3) a comment counts as
 * two lines more.  So every file passes here first: what would be misread in silence is told with the line where it begins, and
 * comments are blanked. */
#include <string.h>

#include "conf/loading.h"

#define GUARD_DEPTH 8    /* the grammar needs 3 */
#define GUARD_WORD  4000 /* bytes of one word */

struct guard {
	struct conf_loading *l;
	char *p;
	char *end;
	unsigned line;
	unsigned depth;
	unsigned opened[GUARD_DEPTH]; /* line of each brace that is still open */
};

static bool guard_bad_byte(struct guard *g, unsigned char c)
{
	if (c == 0)
		conf_error(g->l, g->l->file, g->line, "there is a NUL byte here: this is not a text file");
	else if (c == '\r')
		conf_error(g->l, g->l->file, g->line, "the lines end in CR LF; convert the file to LF: sed -i 's/\\r$//' FILE");
	else
		conf_error(g->l, g->l->file, g->line, "there is a control byte (0x%02x) here; take it out", c);
	return false;
}

static bool guard_bytes(struct guard *g)
{
	for (const char *p = g->p; p < g->end; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '\n')
			g->line++;
		else if ((c < 0x20 && c != '\t') || c == 0x7f)
			return guard_bad_byte(g, c);
	}
	g->line = 1;
	return true;
}

static void guard_line_comment(struct guard *g)
{
	while (g->p < g->end && *g->p != '\n')
		*g->p++ = ' ';
}

static bool guard_comment(struct guard *g)
{
	const unsigned began = g->line;
	char *p = g->p + 2;

	while (p + 1 < g->end && (p[0] != '*' || p[1] != '/'))
		p++;
	if (p + 1 >= g->end) {
		conf_error(g->l, g->l->file, began, "the comment that begins here is never closed; end it with */");
		return false;
	}
	for (; g->p < p + 2; g->p++) {
		if (*g->p == '\n')
			g->line++;
		else
			*g->p = ' ';
	}
	return true;
}

/* The lexer's other escapes make control bytes, and a NUL among them would cut the value off. */
static bool guard_escape(struct guard *g, char quote)
{
	const char next = g->p + 1 < g->end ? g->p[1] : 0;

	if (next != '\\' && next != quote) {
		conf_error(g->l, g->l->file, g->line, "a backslash stands only before \\ or %c; write \\\\ for one backslash",
			   quote);
		return false;
	}
	g->p++;
	return true;
}

/* The two kinds of quotes differ: only double ones know escapes and would expand ${NAME}. */
static bool guard_string(struct guard *g)
{
	const char quote = *g->p;
	const char *began = g->p++;

	for (; g->p < g->end && *g->p != '\n'; g->p++) {
		if (*g->p == quote) {
			g->p++;
			return true;
		}
		if (g->p - began > GUARD_WORD) {
			conf_error(g->l, g->l->file, g->line, "this string is longer than %d bytes; shorten it", GUARD_WORD);
			return false;
		}
		if (*g->p == '\\' && !guard_escape(g, quote))
			return false;
		if (quote == '"' && *g->p == '$' && g->p + 1 < g->end && g->p[1] == '{') {
			conf_error(g->l, g->l->file, g->line,
				   "${…} is not expanded here; write the value itself, or '${…}' in single quotes");
			return false;
		}
	}
	conf_error(g->l, g->l->file, g->line, "the string is not closed on its line; end it with %c", quote);
	return false;
}

static bool guard_word(struct guard *g)
{
	const char *began = g->p;

	while (g->p < g->end && !strchr(" #\"'\t\n={}()+,*", *g->p))
		g->p++;
	if (g->p - began > GUARD_WORD) {
		conf_error(g->l, g->l->file, g->line, "this word is longer than %d bytes; shorten it", GUARD_WORD);
		return false;
	}
	if (g->p > began && g->p[-1] == '$' && g->p < g->end && *g->p == '{') {
		conf_error(g->l, g->l->file, g->line,
			   "${…} is not expanded here; write the value itself, or '${…}' in single quotes");
		return false;
	}
	return true;
}

static bool guard_brace(struct guard *g)
{
	if (*g->p == '{') {
		if (g->depth == GUARD_DEPTH) {
			conf_error(g->l, g->l->file, g->line, "braces are nested deeper than %d; close some", GUARD_DEPTH);
			return false;
		}
		g->opened[g->depth++] = g->line;
	} else if (g->depth == 0) {
		conf_error(g->l, g->l->file, g->line, "there is a } too many here; take it out");
		return false;
	} else {
		g->depth--;
	}
	g->p++;
	return true;
}

/* One token, blank or comment. */
static bool guard_step(struct guard *g)
{
	const char c = *g->p, next = g->p + 1 < g->end ? g->p[1] : 0;

	if (c == '\n')
		g->line++;
	if (c == '#' || (c == '/' && next == '/')) {
		guard_line_comment(g);
		return true;
	}
	if (c == '/' && next == '*')
		return guard_comment(g);
	if (c == '"' || c == '\'')
		return guard_string(g);
	if (c == '{' || c == '}')
		return guard_brace(g);
	if (c == '(' || c == ')' || c == '*' || (c == '+' && next != '=')) {
		conf_error(g->l, g->l->file, g->line, "%c stands alone here; put the whole value between double quotes", c);
		return false;
	}
	if (strchr(" \t\n=,+", c)) {
		g->p++;
		return true;
	}
	return guard_word(g);
}

bool conf_guard(struct conf_loading *l, char *text, size_t n)
{
	struct guard g = {.l = l, .p = text, .end = text + n, .line = 1};

	if (!guard_bytes(&g))
		return false;
	while (g.p < g.end)
		if (!guard_step(&g))
			return false;
	if (g.depth) {
		conf_error(l, l->file, g.opened[g.depth - 1], "the { here is never closed; write } where the section or list ends");
		return false;
	}
	return true;
}
