#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "conf/json.h"

#define ROOM_FIRST 64

/* Strings are decoded where they stand, in a copy of the text: what is decoded is never longer than what was written. */
struct reader {
	struct conf_json *j;
	char *p; /* the copy ends with a NUL, which no rule accepts */
	char *end;
	uint32_t line, column; /* of *p */
	unsigned depth;
	struct conf_json_fault *fault;
};

static int value_read(struct reader *r, uint32_t parent, const char *key, uint32_t rank, uint32_t *out);

static int bad(struct reader *r, const char *what)
{
	r->fault->line = r->line;
	r->fault->column = r->column;
	if (r->p == r->end)
		return why_set(&r->fault->why, -EINVAL, "the file ends where %s", what);
	if ((unsigned char)*r->p < 0x20 || (unsigned char)*r->p >= 0x7f)
		return why_set(&r->fault->why, -EINVAL, "there is a byte 0x%02x where %s", (unsigned char)*r->p, what);
	return why_set(&r->fault->why, -EINVAL, "there is a %c where %s", *r->p, what);
}

static void step(struct reader *r)
{
	r->column += ((unsigned char)*r->p & 0xc0) != 0x80;
	r->p++;
}

static void blanks_skip(struct reader *r)
{
	for (; *r->p == ' ' || *r->p == '\t' || *r->p == '\r' || *r->p == '\n'; r->p++)
		if (*r->p == '\n') {
			r->line++;
			r->column = 1;
		} else {
			r->column++;
		}
}

/* --- strings ----------------------------------------------------------------------------------------------------------------- */

static int hex4(struct reader *r, uint32_t *out)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 4; i++, step(r)) {
		const char c = *r->p;

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return bad(r, "four hexadecimal digits should be");
	}
	*out = v;
	return 0;
}

static char *utf8_put(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* Behind \u.  Half of a pair alone means nothing: it becomes U+FFFD. */
static int unicode_read(struct reader *r, char **to)
{
	uint32_t c, low = 0;
	int rc = hex4(r, &c);

	if (rc == 0 && c == 0)
		rc = bad(r, "the string goes on after a NUL, which has no place in it");
	if (rc == 0 && c >= 0xd800 && c < 0xdc00 && r->p[0] == '\\' && r->p[1] == 'u') {
		step(r), step(r);
		rc = hex4(r, &low);
		c = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
	}
	if (rc < 0)
		return rc;
	*to = utf8_put(*to, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
	return 0;
}

static int escape_read(struct reader *r, char **to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	const char *found;

	step(r);
	if (*r->p == 'u') {
		step(r);
		return unicode_read(r, to);
	}
	found = *r->p ? strchr(from, *r->p) : NULL;
	if (!found)
		return bad(r, "one of \" \\ / b f n r t u should be, after a backslash");
	*(*to)++ = into[found - from];
	step(r);
	return 0;
}

/* From the opening quote to behind the closing one. */
static int string_read(struct reader *r, const char **out)
{
	char *const begin = r->p + 1, *to = begin;
	int rc;

	for (step(r); *r->p != '"';) {
		if ((unsigned char)*r->p < 0x20)
			return bad(r, "a string goes on; write \" at its end, and \\n for a line's end in it");
		if (*r->p == '\\') {
			rc = escape_read(r, &to);
			if (rc < 0)
				return rc;
			continue;
		}
		*to++ = *r->p;
		step(r);
	}
	step(r); /* before the NUL, which may take the quote's place */
	*to = 0;
	*out = begin;
	return 0;
}

/* --- numbers and words --------------------------------------------------------------------------------------------------------- */

/* Digits beyond what a double can tell apart are counted, not added. */
static unsigned digits_read(struct reader *r, double *value, long *beyond)
{
	unsigned n = 0;

	for (; *r->p >= '0' && *r->p <= '9'; step(r), n++)
		if (*value < 1e17)
			*value = *value * 10 + (*r->p - '0');
		else
			++*beyond;
	return n;
}

/* Powers of ten are exact up to 10^22, so that what people write is read exactly. */
static double scaled(double mantissa, long exponent)
{
	const long most = exponent < 0 ? -exponent : exponent;
	double power = 1;

	for (long i = 0; i < most && i < 400; i++)
		power *= 10;
	if (mantissa == 0)
		return 0;
	return exponent < 0 ? mantissa / power : mantissa * power;
}

/* Behind the e. */
static int exponent_read(struct reader *r, long *out)
{
	const bool minus = *r->p == '-';
	double value = 0;
	long beyond = 0;

	if (minus || *r->p == '+')
		step(r);
	if (!digits_read(r, &value, &beyond))
		return bad(r, "a digit should be, after the e");
	if (value > 100000)
		value = 100000;
	*out += minus ? -(long)value : (long)value;
	return 0;
}

static int number_read(struct reader *r, double *out)
{
	const bool minus = *r->p == '-';
	double mantissa = 0;
	long exponent = 0, dropped = 0;
	int rc = 0;

	if (minus)
		step(r);
	if (r->p[0] == '0' && r->p[1] >= '0' && r->p[1] <= '9')
		return bad(r, "a number begins; it has no 0 before other digits");
	if (!digits_read(r, &mantissa, &exponent))
		return bad(r, "a digit should be");
	if (*r->p == '.') {
		const long digits = (step(r), (long)digits_read(r, &mantissa, &dropped));

		if (!digits)
			return bad(r, "a digit should be, after the point");
		exponent -= digits - dropped;
	}
	if (*r->p == 'e' || *r->p == 'E') {
		step(r);
		rc = exponent_read(r, &exponent);
	}
	if (rc == 0)
		*out = scaled(mantissa, exponent) * (minus ? -1 : 1);
	return rc;
}

static int word_read(struct reader *r, struct conf_json_value *v)
{
	static const struct {
		const char *word;
		enum conf_json_kind kind;
	} WORDS[] = {{"null", CONF_JSON_NULL}, {"false", CONF_JSON_FALSE}, {"true", CONF_JSON_TRUE}};

	for (size_t i = 0; i < ARRAY_SIZE(WORDS); i++) {
		const size_t n = strlen(WORDS[i].word);

		if (strncmp(r->p, WORDS[i].word, n) == 0) {
			v->kind = WORDS[i].kind;
			r->p += n;
			r->column += (uint32_t)n;
			return 0;
		}
	}
	return bad(r, "a value should be: \"text\", a number, true, false, null, [ or {");
}

/* --- arrays, objects ----------------------------------------------------------------------------------------------------------- */

/* The key and the colon. */
static int key_read(struct reader *r, const char **key)
{
	int rc;

	if (*r->p != '"')
		return bad(r, "a member should be: \"name\": value");
	rc = string_read(r, key);
	if (rc < 0)
		return rc;
	blanks_skip(r);
	if (*r->p != ':')
		return bad(r, "a colon should be, after a member's name");
	step(r);
	blanks_skip(r);
	return 0;
}

/* From behind the opening bracket to behind the closing one. */
static int children_read(struct reader *r, uint32_t self, char close)
{
	uint32_t last = 0, one;
	const char *key;
	int rc;

	blanks_skip(r);
	for (uint32_t rank = 0; *r->p != close || rank; rank++) {
		key = NULL;
		rc = close == '}' ? key_read(r, &key) : 0;
		if (rc == 0)
			rc = value_read(r, self, key, rank, &one);
		if (rc < 0)
			return rc;
		if (last)
			r->j->at[last].next = one;
		else
			r->j->at[self].child = one;
		last = one;
		blanks_skip(r);
		if (*r->p == close)
			break;
		if (*r->p != ',')
			return bad(r, close == '}' ? "a comma or } should be" : "a comma or ] should be");
		step(r);
		blanks_skip(r);
	}
	step(r);
	return 0;
}

static int value_add(struct reader *r, uint32_t *out)
{
	struct conf_json *j = r->j;
	struct conf_json_value *at;

	if (j->n == CONF_JSON_VALUES)
		return bad(r, "one value more than can be read stands; split the file");
	if (j->n == j->room) {
		at = realloc(j->at, (size_t)j->room * 2 * sizeof(*at));
		if (!at)
			return why_set(&r->fault->why, -ENOMEM, "there is no memory to read it");
		j->at = at;
		j->room *= 2;
	}
	*out = j->n++;
	return 0;
}

static int nested_read(struct reader *r, uint32_t self)
{
	const char close = *r->p == '[' ? ']' : '}';
	int rc;

	if (r->depth == CONF_JSON_DEPTH)
		return bad(r, "one more level begins than can be read");
	r->depth++;
	step(r);
	rc = children_read(r, self, close);
	r->depth--;
	return rc;
}

static int value_read(struct reader *r, uint32_t parent, const char *key, uint32_t rank, uint32_t *out)
{
	struct conf_json_value v = {.line = r->line, .column = r->column, .parent = parent, .rank = rank, .key = key, .text = ""};
	int rc = value_add(r, out);

	if (rc < 0)
		return rc;
	if (*r->p == '{' || *r->p == '[') {
		v.kind = *r->p == '{' ? CONF_JSON_OBJECT : CONF_JSON_ARRAY;
		r->j->at[*out] = v;
		return nested_read(r, *out);
	}
	if (*r->p == '"') {
		v.kind = CONF_JSON_STRING;
		rc = string_read(r, &v.text);
	} else if (*r->p == '-' || (*r->p >= '0' && *r->p <= '9')) {
		v.kind = CONF_JSON_NUMBER;
		rc = number_read(r, &v.number);
	} else {
		rc = word_read(r, &v);
	}
	r->j->at[*out] = v;
	return rc;
}

static int whole_read(struct reader *r)
{
	uint32_t root;
	int rc;

	if (strncmp(r->p, "\xef\xbb\xbf", 3) == 0)
		r->p += 3;
	blanks_skip(r);
	rc = value_read(r, 0, NULL, 0, &root);
	if (rc < 0)
		return rc;
	blanks_skip(r);
	return r->p == r->end ? 0 : bad(r, "the file should end");
}

int conf_json_parse(const char *text, size_t n, struct conf_json *out, struct conf_json_fault *fault)
{
	struct conf_json j = {.room = ROOM_FIRST};
	struct reader r = {.j = &j, .line = 1, .column = 1, .fault = fault};
	int rc;

	memset(fault, 0, sizeof(*fault));
	j.text = malloc(n + 1);
	j.at = malloc(j.room * sizeof(*j.at));
	if (!j.text || !j.at) {
		conf_json_fini(&j);
		return why_set(&fault->why, -ENOMEM, "there is no memory to read it");
	}
	memcpy(j.text, text, n);
	j.text[n] = 0;
	r.p = j.text;
	r.end = j.text + n;
	rc = whole_read(&r);
	if (rc < 0) {
		conf_json_fini(&j);
		return rc;
	}
	*out = j;
	return 0;
}

void conf_json_fini(struct conf_json *j)
{
	free(j->text);
	free(j->at);
	memset(j, 0, sizeof(*j));
}

/* --- looking around ------------------------------------------------------------------------------------------------------------ */

const struct conf_json_value *conf_json_first(const struct conf_json *j, const struct conf_json_value *v)
{
	return v && v->child ? &j->at[v->child] : NULL;
}

const struct conf_json_value *conf_json_next(const struct conf_json *j, const struct conf_json_value *v)
{
	return v->next ? &j->at[v->next] : NULL;
}

const struct conf_json_value *conf_json_get(const struct conf_json *j, const struct conf_json_value *v, const char *key)
{
	const struct conf_json_value *found = NULL;

	for (const struct conf_json_value *c = conf_json_first(j, v); c; c = conf_json_next(j, c))
		if (c->key && strcmp(c->key, key) == 0)
			found = c;
	return found;
}

char *conf_json_path(const struct conf_json *j, const struct conf_json_value *v, char *buf, size_t size)
{
	uint32_t chain[CONF_JSON_DEPTH + 1];
	unsigned depth = 0;
	size_t n = 0;

	for (uint32_t i = (uint32_t)(v - j->at); i; i = j->at[i].parent)
		chain[depth++] = i;
	snprintf(buf, size, "%s", depth ? "" : "the file");
	while (depth-- > 0 && n < size) {
		const struct conf_json_value *one = &j->at[chain[depth]];

		if (one->key)
			n += (size_t)snprintf(buf + n, size - n, "%s%.60s", n ? "." : "", one->key);
		else
			n += (size_t)snprintf(buf + n, size - n, "[%u]", one->rank);
	}
	for (char *p = buf; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = '?';
	return buf;
}

const char *conf_json_kind_text(enum conf_json_kind kind)
{
	static const char *const TEXT[CONF_JSON_COUNT] = {"nothing",  "null",     "false",    "true",
							  "a number", "a string", "an array", "an object"};

	return TEXT[kind];
}
