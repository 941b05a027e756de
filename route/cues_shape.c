/* The shape of a prompt: one pass over the bytes that are read, and a look at its very end. */
#include <string.h>

#include "base/bug.h"
#include "route/cues.h"

struct shape {
	const unsigned char *text, *end;
	const unsigned char *line; /* its first byte */
	unsigned lines, blank, indented, listed, options, rows, longest_line, first_line;
	unsigned digits, numbers, commas, line_commas, line_spaces;
	unsigned fences, backticks, dollars, latex_marks, latex_words, money, percents;
	unsigned arithmetic, equations, calls, semicolons, operators, snakes, camels, paths, tags;
	unsigned parens, braces, brackets, questions, colons, quotes, uppers, capitals, blanks, stops;
	unsigned name; /* length of the identifier that ends here */
	unsigned uppers_here;
};

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool is_upper(unsigned char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_lower(unsigned char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_name(unsigned char c)
{
	return is_digit(c) || is_upper(c) || is_lower(c) || c == '_';
}

static bool is_space(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The byte `n` after `p`, or NUL beyond the end. */
static unsigned char after(const struct shape *s, const unsigned char *p, unsigned n)
{
	return (size_t)(s->end - p) > n ? p[n] : 0;
}

static unsigned char before(const struct shape *s, const unsigned char *p)
{
	return p > s->text ? p[-1] : 0;
}

static unsigned char next_solid(const struct shape *s, const unsigned char *p)
{
	for (p++; p < s->end && *p == ' '; p++)
		;
	return p < s->end ? *p : 0;
}

static unsigned char last_solid(const struct shape *s, const unsigned char *p)
{
	while (p > s->text && p[-1] == ' ')
		p--;
	return before(s, p);
}

/* "A)", "(b)", "C." and the like. */
static bool is_option(const struct shape *s, const unsigned char *p)
{
	bool open = *p == '(';
	unsigned char letter = after(s, p, open), mark = after(s, p, open + 1u);

	return (letter | 32) >= 'a' && (letter | 32) <= 'e' && (mark == ')' || (!open && (mark == '.' || mark == ':')));
}

static void line_begin(struct shape *s, const unsigned char *p)
{
	unsigned indent = 0;

	s->line = p;
	s->line_commas = s->line_spaces = 0;
	while (p < s->end && (*p == ' ' || *p == '\t')) {
		indent += *p == '\t' ? 4 : 1;
		p++;
	}
	if (p == s->end || *p == '\n' || *p == '\r') {
		s->blank += p < s->end && s->lines > 0;
		return;
	}
	s->lines++;
	s->indented += indent >= 2;
	s->options += is_option(s, p);
	if (*p == '-' || *p == '*' || (*p == 0xe2 && after(s, p, 1) == 0x80 && after(s, p, 2) == 0xa2))
		s->listed += after(s, p, 1) == ' ' || *p == 0xe2;
	if (is_digit(*p)) {
		while (p < s->end && is_digit(*p))
			p++;
		s->listed += p < s->end && (*p == '.' || *p == ')') && after(s, p, 1) == ' ';
	}
}

static void line_end(struct shape *s, const unsigned char *p)
{
	unsigned len = (unsigned)(p - s->line);

	if (s->lines == 1 && !s->first_line)
		s->first_line = len;
	if (len > s->longest_line)
		s->longest_line = len;
	s->rows += s->line_commas >= 2 && s->line_spaces <= s->line_commas + 1;
}

static void digit_take(struct shape *s, const unsigned char *p)
{
	unsigned char last = before(s, p);

	s->digits++;
	if (!is_digit(last) && last != '.' && last != ',')
		s->numbers++;
}

static void letter_take(struct shape *s, const unsigned char *p)
{
	unsigned char last = before(s, p);

	if (is_upper(*p)) {
		s->uppers_here++;
		s->camels += is_lower(last) && is_lower(after(s, p, 1));
		s->capitals += last == ' ' && is_lower(after(s, p, 1)) && last_solid(s, p) != '.' && last_solid(s, p) != '?';
	}
}

static void word_finish(struct shape *s)
{
	s->uppers += s->uppers_here >= 2 && s->uppers_here == s->name;
	s->name = s->uppers_here = 0;
}

static void operator_take(struct shape *s, const unsigned char *p)
{
	unsigned char next = after(s, p, 1), left = last_solid(s, p), right = next_solid(s, p);
	bool spaced = before(s, p) == ' ' && next == ' ';
	static const char PAIRS[][3] = {"==", "!=", "=>", "->", "::", "&&", "||", "+=", "</", "/*", "//", "<-", "++"};

	for (unsigned i = 0; i < ARRAY_SIZE(PAIRS); i++)
		if (*p == (unsigned char)PAIRS[i][0] && next == (unsigned char)PAIRS[i][1])
			s->operators += *p != '/' || before(s, p) != ':';
	if (is_digit(left) && (is_digit(right) || right == '(') && (*p != '-' || spaced) && *p != '=' && *p != '<' && *p != '&' &&
	    *p != '|' && *p != '!' && *p != ':')
		s->arithmetic++;
	if (*p == '=' && next != '=' && (is_name(left) || left == ')') && (is_name(right) || right == '-' || right == '\\'))
		s->equations++;
	if (*p == '/' && (before(s, p) == ' ' || before(s, p) == '.' || before(s, p) == '~') && is_lower(next))
		s->paths++;
	if (*p == '-' && before(s, p) == ' ' && (next == '-' || (is_name(next) && !is_digit(next))))
		s->paths++;
	if (*p == '<' && (is_lower(next) || next == '/'))
		s->tags++;
}

static void dollar_take(struct shape *s, const unsigned char *p)
{
	unsigned char next = after(s, p, 1);

	s->dollars++;
	s->money += is_digit(next);
	s->latex_marks += next == '\\' || next == '(' || ((is_lower(next) || is_upper(next)) && !is_name(after(s, p, 2)));
}

static void stop_take(struct shape *s, const unsigned char *p)
{
	unsigned char next = after(s, p, 1);

	s->stops += next == ' ' || next == '\n';
	s->paths += *p == '.' && s->name >= 2 && is_lower(next) && is_lower(after(s, p, 2));
}

static void open_take(struct shape *s, const unsigned char *p)
{
	s->parens++;
	s->calls += s->name >= 3 && !is_digit(before(s, p));
	s->options += before(s, p) == ' ' && is_option(s, p);
}

static void mark_take(struct shape *s, const unsigned char *p)
{
	unsigned char next = after(s, p, 1);

	switch (*p) {
	case ' ':
		s->line_spaces++;
		s->options += is_upper(next) && after(s, p, 2) == ')';
		break;
	case ',':
		s->commas++;
		s->line_commas++;
		break;
	case '`':
		s->backticks++;
		s->fences += next == '`' && after(s, p, 2) == '`';
		break;
	case '\\':
		s->latex_words += (is_lower(next) && is_lower(after(s, p, 2))) || next == '(' || next == '[' || next == '{';
		break;
	case '$':
		dollar_take(s, p);
		break;
	case '%':
		s->percents += is_digit(before(s, p));
		break;
	case '(':
		open_take(s, p);
		break;
	case '{':
		s->braces++;
		break;
	case '[':
		s->brackets++;
		break;
	case ';':
		s->semicolons += next == '\n' || next == '\r' || next == '}' || !next;
		break;
	case '?':
		s->questions++;
		stop_take(s, p);
		break;
	case '.':
	case '!':
		stop_take(s, p);
		operator_take(s, p);
		break;
	case ':':
		s->colons += next == ' ' || next == '\n';
		operator_take(s, p);
		break;
	case '"':
		s->quotes++;
		break;
	case '+':
	case '-':
	case '*':
	case '/':
	case '^':
	case '=':
	case '<':
	case '&':
	case '|':
		operator_take(s, p);
		break;
	case 0xe2: /* curly quotes, the euro */
		s->quotes += next == 0x80 && (after(s, p, 2) == 0x9c || after(s, p, 2) == 0x9d);
		s->money += next == 0x82 && after(s, p, 2) == 0xac;
		break;
	case 0xc2: /* the pound */
		s->money += next == 0xa3;
		break;
	default:
		break;
	}
}

static void shape_scan(struct shape *s)
{
	line_begin(s, s->text);
	for (const unsigned char *p = s->text; p < s->end; p++) {
		if (is_name(*p)) {
			if (is_digit(*p))
				digit_take(s, p);
			else if (*p == '_') {
				s->snakes += s->name > 0 && (is_lower(after(s, p, 1)) || is_upper(after(s, p, 1)));
				s->blanks += after(s, p, 1) == '_' && after(s, p, 2) == '_';
			} else {
				letter_take(s, p);
			}
			s->name++;
			continue;
		}
		mark_take(s, p);
		word_finish(s);
		if (*p == '\n') {
			line_end(s, p);
			line_begin(s, p + 1);
		}
	}
	word_finish(s);
	line_end(s, s->end);
}

/* The last byte that is no space, of the whole prompt; looks at no more than its last 64. */
static unsigned char ending_of(const char *text, size_t len)
{
	for (size_t i = len, least = len > 64 ? len - 64 : 0; i > least; i--)
		if (!is_space((unsigned char)text[i - 1]))
			return (unsigned char)text[i - 1];
	return 0;
}

static void ending_set(unsigned char last, uint64_t *bits)
{
	enum cue cue = last == '?' ? CUE_END_QUESTION : last == '.' ? CUE_END_STOP : last == ':' ? CUE_END_COLON : CUE_END_OTHER;

	if (last && last < 0x80 && !is_name(last))
		bits[cue / 64] |= 1ULL << (cue % 64);
}

static void shape_cues(const struct shape *s, struct cues *c)
{
	unsigned bytes = (unsigned)(s->end - s->text);
	const struct {
		enum cue cue;
		bool on;
	} CUES[] = {
		{CUE_CUT, c->cut},
		{CUE_LINES_2, s->lines >= 2},
		{CUE_LINES_5, s->lines >= 5},
		{CUE_LINES_12, s->lines >= 12},
		{CUE_BLANK_LINE, s->blank > 0 && s->lines > 1},
		{CUE_LONG_LINES, s->longest_line >= 300},
		{CUE_INDENT, s->indented >= 2},
		{CUE_FENCE, s->fences > 0},
		{CUE_BACKTICK, s->backticks >= 2},
		{CUE_LATEX, s->latex_words > 0 || (s->dollars >= 2 && s->latex_marks > 0)},
		{CUE_OPTIONS, s->options >= 2},
		{CUE_LIST, s->listed >= 2},
		{CUE_SHORT_LINE_FIRST, s->lines >= 2 && s->first_line <= 160 && bytes >= 200 && bytes >= 3 * s->first_line},
		{CUE_NUMBER_1, s->numbers >= 1},
		{CUE_NUMBER_3, s->numbers >= 3},
		{CUE_NUMBER_8, s->numbers >= 8},
		{CUE_DIGIT_SHARE, s->digits * 7 >= bytes && s->digits},
		{CUE_ARITHMETIC, s->arithmetic > 0},
		{CUE_EQUATION, s->equations > 0},
		{CUE_CURRENCY, s->money > 0},
		{CUE_PERCENT, s->percents > 0},
		{CUE_PARENS, s->parens > 0},
		{CUE_BRACES, s->braces > 0},
		{CUE_BRACKETS, s->brackets > 0},
		{CUE_TAGS, s->tags > 0},
		{CUE_CALL, s->calls > 0},
		{CUE_SEMICOLON, s->semicolons > 0},
		{CUE_CODE_OPERATOR, s->operators > 0},
		{CUE_SNAKE, s->snakes > 0},
		{CUE_CAMEL, s->camels > 0},
		{CUE_PATH, s->paths > 0},
		{CUE_COMMA_ROWS, s->rows >= 2},
		{CUE_QUESTIONS_2, s->questions >= 2},
		{CUE_COLON, s->colons > 0},
		{CUE_QUOTES, s->quotes >= 2},
		{CUE_UPPER, s->uppers >= 2},
		{CUE_NAMES, s->capitals >= 3},
		{CUE_LOWER_START, bytes && is_lower(s->text[0])},
		{CUE_COMMAS_5, s->commas >= 5},
		{CUE_BLANK_FILL, s->blanks > 0},
		{CUE_SENTENCES_4, s->stops >= 3},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(CUES); i++)
		if (CUES[i].on)
			c->bits[CUES[i].cue / 64] |= 1ULL << (CUES[i].cue % 64);
}

void cues_begin(const char *text, size_t len, struct cues_state *s, struct cues *out)
{
	const unsigned char *bytes = (const unsigned char *)text;
	struct shape shape = {.text = bytes, .end = bytes + (len < TEXT_READ_MAX ? len : TEXT_READ_MAX)};

	memset(out, 0, sizeof(*out));
	memset(s, 0, sizeof(*s));
	out->cut = len > TEXT_READ_MAX;
	shape_scan(&shape);
	shape_cues(&shape, out);
	ending_set(ending_of(text, len), out->bits);
	out->commas = shape.commas;
	out->questions = shape.questions;
	out->lines = shape.lines;
	out->sentences = shape.stops;
}
