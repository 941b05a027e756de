#include "http/view.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "http/bytes.h"

/* --- the parts of JSON ------------------------------------------------------------------------------------------------- */

struct cursor {
	const char *p;
	const char *end;
	uint64_t text_bytes;
};

static void blanks_skip(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
		c->p++;
}

/* The four digits of a \u escape at `p`; -1 when they are not all there. */
static int hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (unsigned i = 0; i < 4; i++) {
		int digit = byte_hex(p[i]);

		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

/* What follows the escape at the backslash `p`; NULL when it is none. */
static const char *escape_end(const char *p, const char *end)
{
	if (end - p < 2)
		return NULL;
	if (byte_is(p[1], BYTE_ESCAPE))
		return p + 2;
	return p[1] == 'u' && hex4(p + 2, end) >= 0 ? p + 6 : NULL;
}

/* Whole steps of the inside of a string at `p`.  Where it stopped: at the closing quote, at a byte that may not stand there, or with
 * less than a step left.  The stops of a step are taken from its mask one by one, so that an escape costs no new load: in code and
 * in prose with line ends there is one every few dozen bytes. */
static const char *string_steps(const char *p, const char *end)
{
	while (end - p >= BYTE_STEP) {
		uint32_t stops = run_string_stops_step(p);
		const char *step = p;

		p += BYTE_STEP;
		while (stops) {
			const char *at = step + __builtin_ctz(stops);
			const char *next = *at == '\\' ? escape_end(at, end) : NULL;

			if (!next)
				return at;
			if (next - step >= BYTE_STEP) {
				p = next;
				break;
			}
			stops &= ~0U << (next - step);
		}
	}
	return p;
}

/* At a quote. */
static bool string_skip(struct cursor *c)
{
	const char *p = c->p + 1, *next = string_steps(p, c->end);
	bool closed = false;

	while (next && !closed) {
		p = next + run_string(next, (size_t)(c->end - next));
		closed = p < c->end && *p == '"';
		next = p < c->end && *p == '\\' ? escape_end(p, c->end) : NULL;
	}
	c->p = p + closed;
	return closed;
}

static bool digits_skip(struct cursor *c)
{
	const char *from = c->p;

	while (c->p < c->end && byte_is(*c->p, BYTE_DIGIT))
		c->p++;
	return c->p > from;
}

static bool number_skip(struct cursor *c)
{
	if (*c->p == '-')
		c->p++;
	if (c->p < c->end && *c->p == '0')
		c->p++;
	else if (!digits_skip(c))
		return false;
	if (c->p < c->end && *c->p == '.') {
		c->p++;
		if (!digits_skip(c))
			return false;
	}
	if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
		c->p++;
		if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
			c->p++;
		if (!digits_skip(c))
			return false;
	}
	return true;
}

static bool word_skip(struct cursor *c, const char *word, size_t n)
{
	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
		return false;
	c->p += n;
	return true;
}

/* A string, number or literal. */
static bool scalar_skip(struct cursor *c)
{
	const char *from = c->p;

	switch (*c->p) {
	case '"':
		if (!string_skip(c))
			return false;
		c->text_bytes += (uint64_t)(c->p - from) - 2;
		return true;
	case 't':
		return word_skip(c, "true", 4);
	case 'f':
		return word_skip(c, "false", 5);
	case 'n':
		return word_skip(c, "null", 4);
	default:
		return number_skip(c);
	}
}

/* --- values of any depth, without recursion ---------------------------------------------------------------------------- */

/* Which of the open containers are objects, one bit each. */
struct nest {
	uint64_t object[(VIEW_DEPTH_MAX + 63) / 64];
};

static void nest_set(struct nest *n, unsigned level, bool object)
{
	uint64_t bit = 1ULL << level % 64;

	n->object[level / 64] = (n->object[level / 64] & ~bit) | (object ? bit : 0);
}

static bool nest_is_object(const struct nest *n, unsigned level)
{
	return n->object[level / 64] >> level % 64 & 1;
}

/* "key" and its colon. */
static bool key_skip(struct cursor *c)
{
	blanks_skip(c);
	if (c->p == c->end || *c->p != '"' || !string_skip(c))
		return false;
	blanks_skip(c);
	if (c->p == c->end || *c->p != ':')
		return false;
	c->p++;
	return true;
}

/* After a value that stands in container `level`: closes what ends here.  *level falls to `floor` when the outermost value is
 * complete; otherwise another value follows. */
static bool value_end(struct cursor *c, const struct nest *nest, unsigned floor, unsigned *level)
{
	while (*level > floor) {
		bool object = nest_is_object(nest, *level - 1);

		blanks_skip(c);
		if (c->p == c->end)
			return false;
		if (*c->p == ',') {
			c->p++;
			return !object || key_skip(c);
		}
		if (*c->p != (object ? '}' : ']'))
			return false;
		c->p++;
		--*level;
	}
	return true;
}

/* An array or object that stands `depth` containers deep. */
static enum view_fault container_skip(struct cursor *c, unsigned depth)
{
	struct nest nest = {{0}};
	unsigned level = depth;

	do {
		bool object;

		blanks_skip(c);
		if (c->p == c->end)
			return VIEW_SYNTAX;
		object = *c->p == '{';
		if (object || *c->p == '[') {
			if (level == VIEW_DEPTH_MAX)
				return VIEW_DEEP;
			nest_set(&nest, level++, object);
			c->p++;
			blanks_skip(c);
			if (c->p == c->end)
				return VIEW_SYNTAX;
			if (*c->p != (object ? '}' : ']')) {
				if (object && !key_skip(c))
					return VIEW_SYNTAX;
				continue;
			}
		} else if (!scalar_skip(c)) {
			return VIEW_SYNTAX;
		}
		if (!value_end(c, &nest, depth, &level))
			return VIEW_SYNTAX;
	} while (level > depth);
	return VIEW_OK;
}

/* A value that stands `depth` containers deep. */
static enum view_fault value_skip(struct cursor *c, unsigned depth)
{
	if (c->p < c->end && (*c->p == '{' || *c->p == '['))
		return container_skip(c, depth);
	return c->p < c->end && scalar_skip(c) ? VIEW_OK : VIEW_SYNTAX;
}

/* --- keys -------------------------------------------------------------------------------------------------------------- */

static const struct span TOP_KEYS[VIEW_KEY_COUNT] = {
#define VIEW_KEY(id, key) [VIEW_K_##id] = {key, sizeof(key) - 1},
#include "http/view_keys.def"
#undef VIEW_KEY
};

/* Those whose change reloads, and behind them what bounds the answer. */
static const struct span OPTION_KEYS[] = {
	{"num_ctx", 7},     {"num_batch", 9},          {"num_gpu", 7},     {"main_gpu", 8}, {"use_mmap", 8},
	{"num_thread", 10}, {"draft_num_predict", 17}, {"num_predict", 11},
};
#define RELOAD_KEYS (ARRAY_SIZE(OPTION_KEYS) - 1)
_Static_assert(RELOAD_KEYS <= VIEW_ADJUST_MAX, "make VIEW_ADJUST_MAX larger");

#define KEY_BYTES_MAX 24 /* longer than any key above */

/* One character of a key at *p as it folds, escapes resolved: a byte below 0x80, or -1 when it folds to no ASCII character. */
static int key_char(const char **p, const char *end)
{
	const unsigned char *u = (const unsigned char *)*p;
	int code = u[0];

	if (code == '\\') {
		if (u[1] != 'u') {
			*p += 2;
			return -1; /* no key of ours has a character that needs this kind of escape, nor '/' */
		}
		code = hex4(*p + 2, end);
		*p += 6;
	} else if (code == 0xc5 && end - *p >= 2 && u[1] == 0xbf) {
		code = 0x17f;
		*p += 2;
	} else if (code == 0xe2 && end - *p >= 3 && u[1] == 0x84 && u[2] == 0xaa) {
		code = 0x212a;
		*p += 3;
	} else {
		*p += 1;
	}
	if (code == 0x17f)
		return 's';
	if (code == 0x212a)
		return 'k';
	return code < 0x80 ? byte_lower((char)code) : -1;
}

/* The place of the key in `keys`, or `n_keys`.  `raw` has been skipped by string_skip(), so its escapes are sound. */
static unsigned key_find(struct span raw, const struct span *keys, unsigned n_keys)
{
	const char *p = raw.p + 1, *end = raw.p + raw.n - 1;
	char folded[KEY_BYTES_MAX];
	size_t n = 0;

	while (p < end) {
		int c = key_char(&p, end);

		if (c < 0 || n == sizeof(folded))
			return n_keys;
		folded[n++] = (char)c;
	}
	for (unsigned i = 0; i < n_keys; i++)
		if (keys[i].n == n && memcmp(keys[i].p, folded, n) == 0)
			return i;
	return n_keys;
}

/* --- objects whose keys matter ----------------------------------------------------------------------------------------- */

static enum view_kind kind_of(char first)
{
	switch (first) {
	case '{':
		return VIEW_OBJECT;
	case '[':
		return VIEW_ARRAY;
	case '"':
		return VIEW_STRING;
	case 't':
		return VIEW_TRUE;
	case 'f':
		return VIEW_FALSE;
	case 'n':
		return VIEW_NULL;
	default:
		return VIEW_NUMBER;
	}
}

static bool value_empty(struct span raw)
{
	struct cursor c = {raw.p + 1, raw.p + raw.n, 0};

	if (raw.p[0] == '"')
		return raw.n == 2;
	if (raw.p[0] != '[' && raw.p[0] != '{')
		return false;
	blanks_skip(&c);
	return c.p + 1 == c.end;
}

static enum view_fault options_scan(struct cursor *c, struct view *out);

static enum view_fault top_value(struct cursor *c, unsigned key, struct view *out)
{
	const char *from;
	enum view_fault fault;

	blanks_skip(c);
	from = c->p;
	if (key == VIEW_K_OPTIONS && from < c->end && *from == '{')
		fault = options_scan(c, out);
	else
		fault = value_skip(c, 1);
	if (fault == VIEW_OK && key < VIEW_KEY_COUNT) {
		struct view_value *v = &out->at[key];

		v->raw = (struct span){from, (size_t)(c->p - from)};
		v->kind = kind_of(*from);
		v->empty = value_empty(v->raw);
	}
	return fault;
}

static enum view_fault option_value(struct cursor *c, unsigned key, struct view *out)
{
	const char *from;
	enum view_fault fault;

	blanks_skip(c);
	from = c->p;
	fault = value_skip(c, 2);
	if (fault == VIEW_OK && key < RELOAD_KEYS)
		out->reload[out->n_reload++] = (struct view_option){OPTION_KEYS[key].p, {from, (size_t)(c->p - from)}};
	else if (fault == VIEW_OK && key == RELOAD_KEYS)
		out->num_predict = (struct span){from, (size_t)(c->p - from)};
	return fault;
}

/* An object, at its brace.  Each value goes to `value` with the place of its key in `keys`. */
static enum view_fault object_scan(struct cursor *c, const struct span *keys, unsigned n_keys,
				   enum view_fault (*value)(struct cursor *c, unsigned key, struct view *out), struct view *out)
{
	uint64_t seen = 0;

	c->p++;
	blanks_skip(c);
	if (c->p < c->end && *c->p == '}') {
		c->p++;
		return VIEW_OK;
	}
	for (;;) {
		const char *from;
		enum view_fault fault;
		unsigned key;

		blanks_skip(c);
		from = c->p;
		if (c->p == c->end || *c->p != '"' || !string_skip(c))
			return VIEW_SYNTAX;
		key = key_find((struct span){from, (size_t)(c->p - from)}, keys, n_keys);
		if (key < n_keys && seen >> key & 1) {
			c->p = from;
			return VIEW_DUPLICATE;
		}
		seen |= key < n_keys ? 1ULL << key : 0;
		blanks_skip(c);
		if (c->p == c->end || *c->p != ':')
			return VIEW_SYNTAX;
		c->p++;
		fault = value(c, key, out);
		if (fault != VIEW_OK)
			return fault;
		blanks_skip(c);
		if (c->p == c->end || (*c->p != ',' && *c->p != '}'))
			return VIEW_SYNTAX;
		if (*c->p++ == '}')
			return VIEW_OK;
	}
}

static enum view_fault options_scan(struct cursor *c, struct view *out)
{
	return object_scan(c, OPTION_KEYS, ARRAY_SIZE(OPTION_KEYS), option_value, out);
}

static enum view_fault body_scan(struct cursor *c, struct view *out)
{
	enum view_fault fault;

	blanks_skip(c);
	if (c->p == c->end)
		return VIEW_EMPTY;
	if (*c->p != '{')
		return memchr("[\"-0123456789tfn", *c->p, 16) ? VIEW_NOT_OBJECT : VIEW_SYNTAX;
	fault = object_scan(c, TOP_KEYS, VIEW_KEY_COUNT, top_value, out);
	if (fault != VIEW_OK)
		return fault;
	blanks_skip(c);
	return c->p == c->end ? VIEW_OK : VIEW_TRAILING;
}

enum view_fault view_scan(struct span body, struct view *out, size_t *at)
{
	struct cursor c = {body.p, body.p + body.n, 0};
	enum view_fault fault;

	memset(out, 0, sizeof(*out));
	fault = body_scan(&c, out);
	out->text_bytes = c.text_bytes;
	if (fault != VIEW_OK && at)
		*at = (size_t)(c.p - body.p);
	return fault;
}

const char *view_fault_text(enum view_fault fault)
{
	static const char *const TEXTS[VIEW_FAULT_COUNT] = {
		[VIEW_OK] = "the body is sound",
		[VIEW_EMPTY] = "missing request body; send a JSON object",
		[VIEW_SYNTAX] = "the body is not valid JSON; check its syntax",
		[VIEW_NOT_OBJECT] = "the body is not a JSON object; send one, for example {\"model\":\"auto\"}",
		[VIEW_DUPLICATE] = "two keys of one object in the body have the same name, case ignored; send each key once",
		[VIEW_TRAILING] = "something follows the JSON object in the body; send one object and nothing else",
		[VIEW_DEEP] = "the body is nested too deeply; send fewer than a thousand levels",
	};

	return (unsigned)fault < VIEW_FAULT_COUNT ? TEXTS[fault] : TEXTS[VIEW_SYNTAX];
}

/* --- what stands inside a value ---------------------------------------------------------------------------------------- */

struct view_walk view_walk_begin(const struct view_value *v)
{
	if (v->kind != VIEW_ARRAY && v->kind != VIEW_OBJECT)
		return (struct view_walk){0};
	return (struct view_walk){v->raw.p + 1, v->raw.p + v->raw.n - 1, v->kind == VIEW_OBJECT};
}

bool view_walk_next(struct view_walk *w, struct span *key, struct view_value *v)
{
	struct cursor c = {w->p, w->end, 0};
	const char *from;

	blanks_skip(&c);
	if (c.p < c.end && *c.p == ',')
		c.p++;
	blanks_skip(&c);
	if (c.p == c.end)
		return false;
	from = c.p;
	if (w->object && !key_skip(&c))
		return false;
	if (key)
		*key = w->object ? (struct span){from, (size_t)(c.p - from)} : (struct span){0};
	blanks_skip(&c);
	from = c.p;
	if (value_skip(&c, 1) != VIEW_OK)
		return false;
	v->raw = (struct span){from, (size_t)(c.p - from)};
	v->kind = kind_of(*from);
	v->empty = value_empty(v->raw);
	w->p = c.p;
	return true;
}

bool view_key_is(struct span key, const char *name)
{
	const struct span one = {name, strlen(name)};
	size_t n = key.n;

	/* up to the colon */
	while (n && key.p[n - 1] != '"')
		n--;
	return n >= 2 && key_find((struct span){key.p, n}, &one, 1) == 0;
}

/* --- the text of a string ---------------------------------------------------------------------------------------------- */

/* The character of the escape at *p; -1 for NUL and for half of a surrogate pair. */
static int escape_read(const char **p, const char *end)
{
	static const char NAMES[] = "bfnrt", CHARS[] = "\b\f\n\r\t";
	const char *name;
	int code, low;

	if ((*p)[1] != 'u') {
		name = strchr(NAMES, (*p)[1]);
		code = name ? CHARS[name - NAMES] : (*p)[1];
		*p += 2;
		return code;
	}
	code = hex4(*p + 2, end);
	*p += 6;
	if (code < 0xd800 || code > 0xdfff)
		return code ? code : -1;
	if (code > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
		return -1;
	low = hex4(*p + 2, end);
	if (low < 0xdc00 || low > 0xdfff)
		return -1;
	*p += 6;
	return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}

static unsigned utf8_write(int code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

/* The next piece of a string's text: plain characters as they stand, or a single one, which `utf8` may have to hold.  Empty: what stood
 * there is no character. */
static struct span piece_next(const char **at, const char *end, char utf8[4])
{
	const char *begin = *at, *p = begin;
	int code;

	while (p < end && *p != '\\' && (unsigned char)*p < 0x80)
		p++;
	*at = p;
	if (p > begin)
		return (struct span){begin, (size_t)(p - begin)};
	if (*p == '\\') {
		code = escape_read(at, end);
		return (struct span){utf8, code < 0 ? 0 : utf8_write(code, utf8)};
	}
	code = (int)byte_utf8(p, (size_t)(end - p));
	*at = p + (code ? code : 1);
	return (struct span){p, (size_t)code};
}

int view_string(const struct view_value *v, char *buf, size_t size)
{
	const char *p, *end;
	char utf8[4];
	size_t n = 0;

	if (v->kind != VIEW_STRING)
		return -EINVAL;
	p = v->raw.p + 1;
	end = v->raw.p + v->raw.n - 1;
	while (p < end) {
		struct span piece = piece_next(&p, end, utf8);

		if (!piece.n)
			return -EILSEQ;
		if (n + piece.n >= size)
			return -ENAMETOOLONG;
		memcpy(buf + n, piece.p, piece.n);
		n += piece.n;
	}
	if (!size)
		return -ENAMETOOLONG;
	buf[n] = 0;
	return (int)n;
}

size_t view_text(const struct view_value *v, char *buf, size_t size)
{
	const char *p, *end;
	char utf8[4];
	size_t n = 0;

	if (v->kind != VIEW_STRING)
		return 0;
	p = v->raw.p + 1;
	end = v->raw.p + v->raw.n - 1;
	while (p < end && n < size) {
		struct span piece = piece_next(&p, end, utf8);

		if (!piece.n)
			piece = SPAN_LIT("?");
		if (piece.n > size - n && (unsigned char)piece.p[0] >= 0x80)
			break;
		if (piece.n > size - n)
			piece.n = size - n;
		memcpy(buf + n, piece.p, piece.n);
		n += piece.n;
	}
	return n;
}
