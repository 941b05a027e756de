#include "conf/lex.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char VARIABLE[] = "${…} is not expanded here; write the value itself, or '${…}' in single quotes";

/* --- bytes ------------------------------------------------------------------------------------------------------------------- */

static char byte_at(const struct conf_lexer *x, size_t ahead)
{
	return (size_t)(x->end - x->p) > ahead ? x->p[ahead] : 0;
}

static char byte_take(struct conf_lexer *x)
{
	const char c = *x->p++;

	if (c == '\n') {
		x->at.line++;
		x->at.column = 1;
		x->fresh = true;
	} else if (((unsigned char)c & 0xc0) != 0x80) { /* not inside a character of UTF-8 */
		x->at.column++;
	}
	return c;
}

static int byte_check(unsigned char c, struct why *why)
{
	if (c == 0)
		return why_set(why, -EINVAL, "there is a NUL byte here: this is not a text file");
	if (c == '\r')
		return why_set(why, -EINVAL, "the lines end in CR LF; convert the file to LF: sed -i 's/\\r$//' FILE");
	if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f)
		return why_set(why, -EINVAL, "there is a control byte (0x%02x) here; take it out", c);
	return 0;
}

int conf_lexer_init(struct conf_lexer *x, unsigned file, const char *text, size_t n, struct why *why)
{
	const struct conf_lexer begin = {.p = text, .end = text + n, .at = {file, 1, 1}, .fresh = true};
	int rc;

	for (*x = begin; x->p < x->end; byte_take(x)) {
		rc = byte_check((unsigned char)*x->p, why);
		if (rc < 0)
			return rc;
	}
	*x = begin;
	return 0;
}

/* --- tokens ------------------------------------------------------------------------------------------------------------------ */

/* The first fault of a token is the one that is told. */
__attribute__((format(printf, 3, 4))) static void bad(struct conf_token *t, struct conf_place at, const char *fmt, ...)
{
	va_list ap;

	if (t->kind == CONF_TOKEN_BAD)
		return;
	t->kind = CONF_TOKEN_BAD;
	t->at = at;
	va_start(ap, fmt);
	vsnprintf(t->text, sizeof(t->text), fmt, ap);
	va_end(ap);
}

static void put(struct conf_token *t, size_t *n, char c)
{
	if (t->kind == CONF_TOKEN_BAD)
		return;
	if (*n == CONF_WORD_BYTES) {
		bad(t, t->at, "this %s is longer than %d bytes; shorten it", t->kind == CONF_TOKEN_WORD ? "word" : "string",
		    CONF_WORD_BYTES);
		return;
	}
	t->text[(*n)++] = c;
	t->text[*n] = 0;
}

/* Whatever is wrong in it, the string ends at its quote or with its line. */
static void string_read(struct conf_lexer *x, struct conf_token *t)
{
	const char quote = byte_take(x);
	size_t n = 0;
	char c;

	t->kind = CONF_TOKEN_STRING;
	while (x->p < x->end && *x->p != '\n') {
		const struct conf_place at = x->at;

		c = byte_take(x);
		if (c == quote)
			return;
		if (c == '\\') {
			if (byte_at(x, 0) == '\\' || byte_at(x, 0) == quote)
				c = byte_take(x);
			else
				bad(t, at, "a backslash stands only before \\ or %c; write \\\\ for one backslash", quote);
		} else if (c == '$' && quote == '"' && byte_at(x, 0) == '{') {
			bad(t, at, "%s", VARIABLE);
		}
		put(t, &n, c);
	}
	bad(t, t->at, "the string is not closed on its line; end it with %c", quote);
}

/* Bytes that no word has, but that do not end it either: what they stand in was meant as one value. */
static bool odd(const struct conf_lexer *x)
{
	return strchr("()*", *x->p) || (*x->p == '+' && byte_at(x, 1) != '=');
}

static void word_read(struct conf_lexer *x, struct conf_token *t)
{
	size_t n = 0;

	t->kind = CONF_TOKEN_WORD;
	while (x->p < x->end && (odd(x) || !strchr(" \t\n#\"'={}+,", *x->p))) {
		if (odd(x))
			bad(t, x->at, "%c stands outside of quotes here; put the whole value between double quotes", *x->p);
		if (*x->p == '$' && byte_at(x, 1) == '{') {
			bad(t, x->at, "%s", VARIABLE);
			while (x->p < x->end && *x->p != '}' && *x->p != '\n')
				byte_take(x);
			if (byte_at(x, 0) != '}')
				return;
		}
		put(t, &n, byte_take(x));
	}
}

/* Blanks and comments up to the next token.  False: a comment has no end. */
static bool blank_skip(struct conf_lexer *x, struct conf_place *began)
{
	while (x->p < x->end) {
		const char c = *x->p, next = byte_at(x, 1);

		if (c == '#' || (c == '/' && next == '/')) {
			while (x->p < x->end && *x->p != '\n')
				byte_take(x);
		} else if (c == '/' && next == '*') {
			*began = x->at;
			byte_take(x);
			byte_take(x);
			while (x->p < x->end && (*x->p != '*' || byte_at(x, 1) != '/'))
				byte_take(x);
			if (x->p == x->end)
				return false;
			byte_take(x);
			byte_take(x);
		} else if (strchr(" \t\n", c)) {
			byte_take(x);
		} else {
			break;
		}
	}
	return true;
}

static bool mark_read(struct conf_lexer *x, struct conf_token *t)
{
	const char mark = *x->p;

	if (!strchr("{}=,+", mark) || odd(x))
		return false;
	t->kind = (enum conf_token_kind)mark;
	t->text[0] = byte_take(x);
	if (mark == '+')
		t->text[1] = byte_take(x);
	t->text[mark == '+' ? 2 : 1] = 0;
	return true;
}

void conf_lexer_next(struct conf_lexer *x, struct conf_token *out)
{
	struct conf_place began = x->at;
	const bool closed = blank_skip(x, &began);

	out->kind = CONF_TOKEN_END;
	out->at = x->at;
	out->first = x->fresh;
	out->text[0] = 0;
	x->fresh = false;
	if (!closed)
		bad(out, began, "the comment that begins here is never closed; end it with */");
	else if (x->p == x->end || mark_read(x, out))
		return;
	else if (*x->p == '"' || *x->p == '\'')
		string_read(x, out);
	else
		word_read(x, out);
}
