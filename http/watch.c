#include <string.h>

#include "http/bytes.h"
#include "http/dialect.h"

_Static_assert(sizeof(struct stream_watch) == 64, "one cache line per stream");

enum watch_state {
	W_LINE = 0,    /* NDJSON: before the object of a line */
	W_JUNK,        /* nothing of interest before the next newline */
	W_BETWEEN,     /* in an object, outside strings */
	W_STRING,      /* in a string that does not matter */
	W_STRING_SKIP, /* after its backslash */
	W_WORD,        /* in a string that may matter: a top-level key, the value of "status" */
	W_WORD_SKIP,
	W_BARE,     /* in true, false, null or a number that matters */
	W_FIELD,    /* SSE: from the start of a line up to its colon */
	W_TEXT_GAP, /* SSE: after the colon; one blank is no part of the text */
	W_TEXT_START,
	W_TEXT, /* SSE: text of an event line, or of a data line that is no object */
};

enum watch_key { KEY_NONE = 0, KEY_DONE, KEY_STATUS, KEY_ERROR, FIELD_EVENT, FIELD_DATA };

enum {
	MARK_KEY_NEXT = 1, /* the next string is a key */
	MARK_DONE = 2,     /* of the object at hand, until it is closed */
	MARK_SUCCESS = 4,
	MARK_ERROR = 8,
	MARK_OPEN = 16,    /* SSE: a line of the event was seen */
	MARK_DATA = 32,    /* an event without data does not happen */
	MARK_FINAL = 64,   /* its name, or [DONE] */
	MARK_FAILED = 128, /* its name, or an error object */
	MARK_OUTPUT = 256,
};

#define WORD_LOST 255 /* too long, or with an escape: equal to nothing */

/* Names of SSE events that matter.  A shape's output events that are not listed end in ".delta". */
static const struct {
	enum stream_shape shape;
	unsigned marks;
	struct span name;
} EVENTS[] = {
	{STREAM_SSE_ANTHROPIC, MARK_FINAL, {"message_stop", 12}},
	{STREAM_SSE_ANTHROPIC, MARK_FAILED, {"error", 5}},
	{STREAM_SSE_ANTHROPIC, MARK_OUTPUT, {"content_block_delta", 19}},
	{STREAM_SSE_RESPONSES, MARK_FINAL, {"response.completed", 18}},
	{STREAM_SSE_RESPONSES, MARK_FINAL, {"response.incomplete", 19}},
	{STREAM_SSE_RESPONSES, MARK_FINAL, {"response.failed", 15}},
	{STREAM_SSE_RESPONSES, MARK_FAILED, {"error", 5}},
	{STREAM_SSE_OPENAI, MARK_FAILED, {"error", 5}},
};

static void mark(struct stream_watch *w, unsigned bits)
{
	w->marks = (uint16_t)(w->marks | bits);
}

static void unmark(struct stream_watch *w, unsigned bits)
{
	w->marks = (uint16_t)(w->marks & ~bits);
}

/* --- words ------------------------------------------------------------------------------------------------------------- */

static void word_add(struct stream_watch *w, const char *p, size_t n)
{
	if (w->word_n == WORD_LOST || n > sizeof(w->word) - w->word_n) {
		w->word_n = WORD_LOST;
		return;
	}
	memcpy(w->word + w->word_n, p, n);
	w->word_n = (uint8_t)(w->word_n + n);
}

/* The word at hand; empty when it was lost, which equals no name. */
static struct span word_text(const struct stream_watch *w)
{
	return (struct span){w->word, w->word_n == WORD_LOST ? 0 : w->word_n};
}

#define WORD_IS(word, literal) ((word).n == sizeof(literal) - 1 && memcmp((word).p, literal, sizeof(literal) - 1) == 0)

static enum watch_key key_of(struct span word)
{
	if (WORD_IS(word, "done"))
		return KEY_DONE;
	if (WORD_IS(word, "status"))
		return KEY_STATUS;
	return WORD_IS(word, "error") ? KEY_ERROR : KEY_NONE;
}

/* The word that ended is a top-level key, or the value of one. */
static void word_take(struct stream_watch *w, struct span word)
{
	if (w->marks & MARK_KEY_NEXT) {
		w->key = (uint8_t)key_of(word);
	} else if (w->key == KEY_STATUS) {
		unmark(w, MARK_SUCCESS);
		mark(w, WORD_IS(word, "success") ? MARK_SUCCESS : 0);
	} else if (w->key == KEY_DONE) {
		unmark(w, MARK_DONE);
		mark(w, WORD_IS(word, "true") ? MARK_DONE : 0);
	} else if (w->key == KEY_ERROR && !WORD_IS(word, "null")) {
		mark(w, MARK_ERROR);
	}
}

/* --- one JSON object --------------------------------------------------------------------------------------------------- */

static void object_begin(struct stream_watch *w)
{
	w->state = W_BETWEEN;
	w->depth = 1;
	w->key = KEY_NONE;
	unmark(w, MARK_DONE | MARK_SUCCESS | MARK_ERROR);
	mark(w, MARK_KEY_NEXT);
}

/* The object of a line is closed: only now does it count.  In SSE its event is not over yet. */
static void object_end(struct stream_watch *w)
{
	bool final = w->marks & (MARK_DONE | MARK_SUCCESS), error = w->marks & MARK_ERROR;

	w->state = W_JUNK;
	if (w->shape != STREAM_NDJSON) {
		mark(w, error ? MARK_FAILED : 0);
		return;
	}
	w->flags |= error ? STREAM_SAW_ERROR : 0;
	w->flags |= final ? STREAM_SAW_FINAL : 0;
	w->items += !error && !final;
}

/* A byte of the line's own object, outside strings and nested values.  False when `c` begins a bare word, which takes it. */
static bool top_byte(struct stream_watch *w, char c)
{
	switch (c) {
	case '"':
		if (w->key == KEY_ERROR)
			mark(w, MARK_ERROR);
		w->state = (w->marks & MARK_KEY_NEXT) || w->key == KEY_STATUS ? W_WORD : W_STRING;
		w->word_n = 0;
		return true;
	case ':':
		unmark(w, MARK_KEY_NEXT);
		return true;
	case ',':
		mark(w, MARK_KEY_NEXT);
		w->key = KEY_NONE;
		return true;
	case '{':
	case '[':
		if (w->key == KEY_ERROR)
			mark(w, MARK_ERROR);
		w->depth++;
		return true;
	case '}':
	case ']':
		w->depth = 0;
		object_end(w);
		return true;
	case ' ':
	case '\t':
	case '\r':
		return true;
	default:
		if (w->key == KEY_NONE)
			return true;
		w->state = W_BARE;
		w->word_n = 0;
		return false;
	}
}

/* In a string; stops after its quote, or at a newline, which no string holds. */
static const char *string_feed(struct stream_watch *w, const char *p, const char *end)
{
	bool word = w->state == W_WORD;

	while (p < end) {
		size_t n = run_string(p, (size_t)(end - p));
		bool closed = n < (size_t)(end - p) && p[n] == '"';

		if (word && closed && !w->word_n) {
			word_take(w, (struct span){p, n}); /* not cut: no copy */
		} else if (word) {
			word_add(w, p, n);
			if (closed)
				word_take(w, word_text(w));
		}
		p += n;
		if (closed) {
			w->state = W_BETWEEN;
			return p + 1;
		}
		if (p == end || *p == '\n')
			return p;
		if (*p++ == '\\') {
			w->state = word ? W_WORD_SKIP : W_STRING_SKIP;
			return p;
		}
		w->word_n = WORD_LOST; /* a control byte: no JSON, and no word of ours */
	}
	return p;
}

/* Outside strings; stops at a newline. */
static const char *between_feed(struct stream_watch *w, const char *p, const char *end)
{
	while (p < end && *p != '\n' && w->state == W_BETWEEN) {
		char c = *p;

		if (w->depth == 1) {
			p += top_byte(w, c);
		} else {
			if (c == '"')
				w->state = W_STRING;
			else if (c == '{' || c == '[')
				w->depth++;
			else if (c == '}' || c == ']')
				w->depth--;
			p++;
		}
		if (w->state == W_STRING || w->state == W_WORD)
			p = string_feed(w, p, end);
	}
	return p;
}

/* In a bare word; stops after it, or at a newline, which leaves the object open. */
static const char *bare_feed(struct stream_watch *w, const char *p, const char *end)
{
	for (; p < end; p++) {
		if (*p == '\n')
			return p;
		if (*p == ',' || *p == '}' || *p == ']' || *p == ' ' || *p == '\t' || *p == '\r') {
			word_take(w, word_text(w));
			w->state = W_BETWEEN;
			return p;
		}
		word_add(w, p, 1);
	}
	return p;
}

/* --- SSE --------------------------------------------------------------------------------------------------------------- */

static void event_end(struct stream_watch *w)
{
	unsigned said = w->marks & MARK_DATA ? w->marks & (MARK_FINAL | MARK_FAILED | MARK_OUTPUT) : 0;

	w->flags |= said & MARK_FINAL ? STREAM_SAW_FINAL : 0;
	w->flags |= said & MARK_FAILED ? STREAM_SAW_ERROR : 0;
	w->items += said == MARK_OUTPUT;
	w->marks = 0;
}

static void event_name_take(struct stream_watch *w)
{
	static const struct span DELTA = {".delta", 6};
	struct span word = word_text(w);

	/* The last name counts.  An OpenAI event is told by its data instead. */
	if (w->shape != STREAM_SSE_OPENAI)
		unmark(w, MARK_FINAL | MARK_OUTPUT);
	for (size_t i = 0; i < sizeof(EVENTS) / sizeof(EVENTS[0]); i++)
		if (EVENTS[i].shape == w->shape && span_eq(word, EVENTS[i].name))
			mark(w, EVENTS[i].marks);
	if (w->shape == STREAM_SSE_RESPONSES && word.n > DELTA.n && memcmp(word.p + word.n - DELTA.n, DELTA.p, DELTA.n) == 0)
		mark(w, MARK_OUTPUT);
}

static void sse_line_end(struct stream_watch *w)
{
	bool text = w->state == W_TEXT_GAP || w->state == W_TEXT_START || w->state == W_TEXT;

	if (w->word_n && w->word_n != WORD_LOST && w->word[w->word_n - 1] == '\r')
		w->word_n--;
	if (w->state == W_FIELD && w->word_n == 0) {
		event_end(w);
	} else {
		if (text && w->key == FIELD_EVENT)
			event_name_take(w);
		else if (text && w->shape == STREAM_SSE_OPENAI && WORD_IS(word_text(w), "[DONE]"))
			mark(w, MARK_FINAL);
		unmark(w, MARK_KEY_NEXT);
		mark(w, MARK_OPEN);
	}
	w->state = W_FIELD;
	w->word_n = 0;
}

/* At the colon of a field. */
static void field_take(struct stream_watch *w)
{
	bool event = WORD_IS(word_text(w), "event"), data = WORD_IS(word_text(w), "data");

	w->key = event ? FIELD_EVENT : FIELD_DATA;
	w->state = event || data ? W_TEXT_GAP : W_JUNK;
	w->word_n = 0;
	if (data)
		mark(w, MARK_DATA);
}

/* The first byte of a field's text. */
static void text_begin(struct stream_watch *w, char c)
{
	if (c == '{' && w->key == FIELD_DATA) {
		if (w->shape == STREAM_SSE_OPENAI)
			mark(w, MARK_OUTPUT);
		object_begin(w);
		return;
	}
	w->state = W_TEXT;
	word_add(w, &c, 1);
}

/* One byte of an SSE line outside JSON. */
static void sse_byte(struct stream_watch *w, char c)
{
	switch ((enum watch_state)w->state) {
	case W_FIELD:
		if (c == ':')
			field_take(w);
		else
			word_add(w, &c, 1);
		return;
	case W_TEXT_GAP:
		w->state = W_TEXT_START;
		if (c != ' ')
			text_begin(w, c);
		return;
	case W_TEXT_START:
		text_begin(w, c);
		return;
	default:
		word_add(w, &c, 1);
	}
}

/* --- the whole --------------------------------------------------------------------------------------------------------- */

void stream_watch_init(struct stream_watch *w, enum stream_shape shape)
{
	memset(w, 0, sizeof(*w));
	w->shape = (uint8_t)shape;
	w->state = shape == STREAM_NDJSON ? W_LINE : W_FIELD;
}

static void line_end(struct stream_watch *w)
{
	if (w->shape != STREAM_NDJSON) {
		sse_line_end(w);
		return;
	}
	w->marks = 0;
	w->state = W_LINE;
}

/* Before the object of an NDJSON line. */
static void line_byte(struct stream_watch *w, char c)
{
	if (c == '{')
		object_begin(w);
	else if (c != ' ' && c != '\t' && c != '\r')
		w->state = W_JUNK;
}

/* Bytes up to the next newline or change of state; at least one is taken. */
static const char *line_feed(struct stream_watch *w, const char *p, const char *end)
{
	const char *newline;

	switch ((enum watch_state)w->state) {
	case W_LINE:
		line_byte(w, *p);
		return p + 1;
	case W_JUNK:
		newline = memchr(p, '\n', (size_t)(end - p));
		return newline ? newline : end;
	case W_BETWEEN:
		return between_feed(w, p, end);
	case W_STRING:
	case W_WORD:
		return string_feed(w, p, end);
	case W_STRING_SKIP:
		w->state = W_STRING;
		return p + 1;
	case W_WORD_SKIP:
		w->state = W_WORD;
		w->word_n = WORD_LOST;
		return p + 1;
	case W_BARE:
		return bare_feed(w, p, end);
	case W_FIELD:
	case W_TEXT_GAP:
	case W_TEXT_START:
	case W_TEXT:
		sse_byte(w, *p);
		return p + 1;
	}
	return end;
}

void stream_watch_feed(struct stream_watch *w, const char *p, size_t n)
{
	const char *end = p + n;

	if (w->shape == STREAM_NONE)
		return;
	while (p < end) {
		if (*p == '\n') {
			line_end(w);
			p++;
		} else {
			p = line_feed(w, p, end);
		}
	}
}

bool stream_watch_midline(const struct stream_watch *w)
{
	if (w->shape == STREAM_NONE)
		return false;
	if (w->shape == STREAM_NDJSON)
		return w->state != W_LINE;
	return w->state != W_FIELD || w->word_n || w->marks;
}
