/* Streams: no cut changes what was seen, and where all lines are sound it is what a slow reader of whole lines sees. */
#include "tests/fuzz/slow_json.h"

#include "http/dialect.h"

#define DEPTH 400 /* of the slow reader; the stream watch itself only counts */

struct seen {
	unsigned flags;
	uint64_t items;
	bool     midline;
};

static void watch(enum stream_shape shape, const char *p, size_t n, size_t step, struct cuts *cuts, struct seen *out)
{
	struct stream_watch w;
	size_t at = 0;

	stream_watch_init(&w, shape);
	do {
		size_t piece = step ? cuts_below(cuts, step) + 1 : n;
		char *copy;

		piece = piece > n - at ? n - at : piece;
		copy = exact_copy(p + at, piece);
		stream_watch_feed(&w, copy, piece);
		free(copy);
		at += piece;
	} while (at < n);
	*out = (struct seen){w.flags, w.items, stream_watch_midline(&w)};
}

static bool raw_is(const struct slow_member *m, const char *text)
{
	return m->raw_n == strlen(text) && memcmp(m->raw, text, m->raw_n) == 0;
}

/* Whether the text of the line has an escaped key: those the watch does not resolve, on purpose. */
static bool odd_keys(const char *p, size_t n)
{
	return memchr(p, '\\', n) != NULL;
}

/* One NDJSON object.  False when the two readers may differ on it. */
static bool slow_ndjson(const char *p, size_t n, struct seen *out)
{
	static struct slow_json s;
	bool done = false, success = false, error = false;

	if (!slow_object(&s, p, n, DEPTH) || s.n == SLOW_MEMBERS_MAX || odd_keys(p, n))
		return false;
	for (unsigned i = 0; i < s.n; i++) {
		const struct slow_member *m = &s.members[i];

		if (slow_key_is(m, "done"))
			done = raw_is(m, "true");
		if (slow_key_is(m, "status"))
			success = raw_is(m, "\"success\"");
		if (slow_key_is(m, "error") && !raw_is(m, "null"))
			error = true;
	}
	out->flags |= (done || success ? STREAM_SAW_FINAL : 0) | (error ? STREAM_SAW_ERROR : 0);
	out->items += !done && !success && !error;
	return true;
}

static bool blank_line(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
			return false;
	return true;
}

static bool slow_lines(const char *p, size_t n, struct seen *out)
{
	const char *end = p + n;

	memset(out, 0, sizeof(*out));
	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline : end;
		size_t len = (size_t)(stop - p);

		if (!blank_line(p, len) && !slow_ndjson(p, len, out))
			return false;
		out->midline = !newline && !blank_line(p, len);
		p = newline ? newline + 1 : end;
	}
	return true;
}

struct slow_event {
	char     name[64];
	bool     data, done, error, output;
	unsigned lines;
};

static void event_dispatch(enum stream_shape shape, struct slow_event *e, struct seen *out)
{
	size_t n = strlen(e->name);
	bool error = e->error || strcmp(e->name, "error") == 0, final = e->done, output = e->output;

	if (shape == STREAM_SSE_ANTHROPIC) {
		final = strcmp(e->name, "message_stop") == 0;
		output = strcmp(e->name, "content_block_delta") == 0;
	} else if (shape == STREAM_SSE_RESPONSES) {
		final = !strcmp(e->name, "response.completed") || !strcmp(e->name, "response.incomplete") || !strcmp(e->name, "response.failed");
		output = n > 6 && strcmp(e->name + n - 6, ".delta") == 0;
	}
	if (e->data) {
		out->flags |= (final ? STREAM_SAW_FINAL : 0) | (error ? STREAM_SAW_ERROR : 0);
		out->items += output && !final && !error;
	}
	memset(e, 0, sizeof(*e));
}

/* One field of an event.  False when the two readers may differ on it. */
static bool event_line(enum stream_shape shape, const char *p, size_t n, struct slow_event *e)
{
	static struct slow_json s;
	const char *colon = memchr(p, ':', n), *text;
	size_t text_n;

	e->lines++;
	if (!colon)
		return true;
	text = colon + 1 < p + n && colon[1] == ' ' ? colon + 2 : colon + 1;
	text_n = (size_t)(p + n - text);
	if (colon - p == 5 && memcmp(p, "event", 5) == 0) {
		if (text_n > 44 || memchr(text, 0, text_n) || e->error || !strcmp(e->name, "error"))
			return false;
		memcpy(e->name, text, text_n);
		e->name[text_n] = 0;
	} else if (colon - p == 4 && memcmp(p, "data", 4) == 0) {
		e->data = true;
		if (text_n && text[0] == '{') {
			if (!slow_object(&s, text, text_n, DEPTH) || s.n == SLOW_MEMBERS_MAX || odd_keys(text, text_n))
				return false;
			for (unsigned i = 0; i < s.n; i++)
				if (slow_key_is(&s.members[i], "error") && !raw_is(&s.members[i], "null"))
					e->error = true;
			e->output |= shape == STREAM_SSE_OPENAI;
		} else if (shape == STREAM_SSE_OPENAI && text_n == 6 && memcmp(text, "[DONE]", 6) == 0) {
			e->done = true;
		}
	}
	return true;
}

static bool slow_events(enum stream_shape shape, const char *p, size_t n, struct seen *out)
{
	const char *end = p + n;
	struct slow_event e = {0};

	memset(out, 0, sizeof(*out));
	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline;
		size_t len;

		if (!newline)
			break;
		len = (size_t)(stop - p);
		if (len && p[len - 1] == '\r')
			len--;
		if (!len)
			event_dispatch(shape, &e, out);
		else if (!event_line(shape, p, len, &e))
			return false;
		p = newline + 1;
	}
	out->midline = p < end || e.lines;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum stream_shape shape;
	struct cuts cuts = {size * 7919 + 1};
	struct seen whole, cut, slow;
	const char *p;
	bool sure;

	if (!size)
		return 0;
	shape = data[0] == 0xff ? STREAM_NONE : (enum stream_shape)(1 + data[0] % 4);
	p = (const char *)data + 1;
	size--;
	watch(shape, p, size, 0, &cuts, &whole);
	watch(shape, p, size, 1, &cuts, &cut);
	CHECK(cut.flags == whole.flags && cut.items == whole.items && cut.midline == whole.midline);
	watch(shape, p, size, 23, &cuts, &cut);
	CHECK(cut.flags == whole.flags && cut.items == whole.items && cut.midline == whole.midline);
	if (shape == STREAM_NONE) {
		CHECK(!whole.flags && !whole.items && !whole.midline);
		return 0;
	}
	sure = shape == STREAM_NDJSON ? slow_lines(p, size, &slow) : slow_events(shape, p, size, &slow);
	if (sure) {
		CHECK(slow.flags == whole.flags);
		CHECK(slow.items == whole.items);
		CHECK(slow.midline == whole.midline);
	}
	return 0;
}
