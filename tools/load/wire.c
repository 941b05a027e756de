#include "tools/load/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"

/* The text of a dialect around what an item says. */
struct grammar {
	const char *path;
	const char *stream_type;
	const char *item_before; /* item_before TEXT item_after */
	const char *item_after;
	const char *final_after;
	const char *whole_before;
	const char *whole_after;
};

#define NATIVE_BEFORE                                                                                                              \
	"{\"model\":\"" WIRE_MODEL "\",\"created_at\":\"2026-01-01T00:00:00Z\",\"message\":{\"role\":\"assistant\",\"content\":\""
#define NATIVE_AFTER                                                                                                               \
	"\"},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":541200000,\"load_duration\":1200000,"                       \
	"\"prompt_eval_count\":12,\"prompt_eval_duration\":90000000,\"eval_count\":3,\"eval_duration\":60000000}"
#define OPENAI_HEAD                                                                                                                \
	"\"created\":1767225601,\"model\":\"" WIRE_MODEL "\",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\":0,"

static const struct grammar GRAMMARS[WIRE_DIALECT_COUNT] = {
	[WIRE_NATIVE] =
		{
			.path = "/api/chat",
			.stream_type = "application/x-ndjson",
			.item_before = NATIVE_BEFORE,
			.item_after = "\"},\"done\":false}\n",
			.final_after = NATIVE_AFTER "\n",
			.whole_before = NATIVE_BEFORE,
			.whole_after = NATIVE_AFTER,
		},
	[WIRE_OPENAI] =
		{
			.path = "/v1/chat/completions",
			.stream_type = "text/event-stream",
			.item_before = "data: {\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\"," OPENAI_HEAD
				       "\"delta\":{\"content\":\"",
			.item_after = "\"},\"finish_reason\":null}]}\n\n",
			.final_after = "\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
			.whole_before = "{\"id\":\"chatcmpl-7\",\"object\":\"chat.completion\"," OPENAI_HEAD
					"\"message\":{\"role\":\"assistant\",\"content\":\"",
			.whole_after = "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,"
				       "\"total_tokens\":15}}\n",
		},
};

const char *const WIRE_DIALECTS[] = {[WIRE_NATIVE] = "native", [WIRE_OPENAI] = "openai", [WIRE_DIALECT_COUNT] = NULL};

#define ASK_MARK   "tsa-load/1 " /* then five words of eight hexadecimal digits, each followed by a blank */
#define ASK_WORDS  5
#define WORD_CHARS 8
#define TEXT_CHARS 35 /* of an answer before its filling: id, seq and 16 digits of time, each followed by a blank */

static bool hex_read(const char *p, unsigned digits, uint64_t *out)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < digits; i++) {
		unsigned c = (unsigned char)p[i];

		if (c - '0' < 10)
			v = v << 4 | (c - '0');
		else if (c - 'a' < 6)
			v = v << 4 | (c - 'a' + 10);
		else
			return false;
	}
	*out = v;
	return true;
}

static void hex_write(char *p, unsigned digits, uint64_t v)
{
	while (digits--) {
		p[digits] = "0123456789abcdef"[v & 15];
		v >>= 4;
	}
}

static const char *span_find(struct span where, const char *what)
{
	return memmem(where.p, where.n, what, strlen(what));
}

/* --- bodies of requests -------------------------------------------------------------------------------------------------------- */

#define TURN_BYTES 1500U /* of one message in a long conversation */

static const char PROSE[] =
	"Thank you, that helps.  Please go on with the second part and keep the names as they are.\\n\\nThe report said: "
	"\\\"nothing was lost, and nothing was done twice\\\", which is what the operators had asked for; the numbers are in "
	"the table below.\\n\\n- first reading 12.5\\n- second reading 13.1\\n- third reading 12.9\\n\\nWhy does the third differ "
	"from the second, and would you expect the same next week?  Answer in two or three sentences, please.  ";

static const char *const TURNS[] = {
	"\"},{\"role\":\"assistant\",\"content\":\"",
	"\"},{\"role\":\"user\",\"content\":\"",
};

struct pen {
	char *p;
	size_t n;
};

static void pen_text(struct pen *pen, const char *text)
{
	size_t n = strlen(text);

	memcpy(pen->p + pen->n, text, n);
	pen->n += n;
}

static void pen_prose(struct pen *pen, size_t n)
{
	char *to = pen->p + pen->n;

	for (size_t i = 0; i < n; i++)
		to[i] = PROSE[i % (sizeof(PROSE) - 1)];
	/* Cut inside an escape, its backslash would eat the closing quote. */
	if (n && to[n - 1] == '\\')
		to[n - 1] = '.';
	pen->n += n;
}

static void body_write(struct pen *pen, const struct ask *ask, bool stream, size_t body_bytes)
{
	const char *end = stream ? "\"}],\"stream\":true}" : "\"}],\"stream\":false}";
	const uint32_t words[ASK_WORDS] = {ask->id, ask->chunks, ask->delay_us, ask->every_us, ask->bytes};
	size_t from = pen->n, room;

	pen_text(pen, "{\"model\":\"" WIRE_MODEL "\",\"messages\":[{\"role\":\"user\",\"content\":\"" ASK_MARK);
	for (unsigned i = 0; i < ASK_WORDS; i++) {
		hex_write(pen->p + pen->n, WORD_CHARS, words[i]);
		pen->n += WORD_CHARS;
		pen_text(pen, " ");
	}
	room = body_bytes - (pen->n - from) - strlen(end);
	for (unsigned turn = 0; room; turn++) {
		const char *next = TURNS[turn % ARRAY_SIZE(TURNS)];
		size_t n = room < TURN_BYTES ? room : TURN_BYTES;

		pen_prose(pen, n);
		room -= n;
		if (room > strlen(next)) {
			pen_text(pen, next);
			room -= strlen(next);
		}
	}
	pen_text(pen, end);
}

int wire_ask_build(enum wire_dialect d, const char *host, const struct ask *ask, bool stream, size_t body_bytes, char **out,
		   size_t *out_n)
{
	struct pen pen = {.p = malloc(body_bytes + WIRE_HEAD_MAX)};
	int n;

	BUG_ON(body_bytes < WIRE_BODY_MIN);
	if (!pen.p)
		return -ENOMEM;
	n = snprintf(pen.p, WIRE_HEAD_MAX,
		     "POST %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\n"
		     "Connection: keep-alive\r\nUser-Agent: tsa-load/" TSA_VERSION "\r\nContent-Type: application/json\r\n"
		     "Content-Length: %zu\r\n\r\n",
		     GRAMMARS[d].path, host, body_bytes);
	BUG_ON(n < 0 || (size_t)n >= WIRE_HEAD_MAX);
	pen.n = (size_t)n;
	body_write(&pen, ask, stream, body_bytes);
	*out = pen.p;
	*out_n = pen.n;
	return 0;
}

static const char *ask_words(struct span body)
{
	/* It stands in the first message, so near the beginning. */
	const char *at = span_find((struct span){body.p, body.n < WIRE_HEAD_MAX ? body.n : WIRE_HEAD_MAX}, ASK_MARK);

	if (!at || (size_t)(body.p + body.n - at) < strlen(ASK_MARK) + ASK_WORDS * (WORD_CHARS + 1))
		return NULL;
	return at + strlen(ASK_MARK);
}

void wire_ask_renumber(char *request, size_t n, uint32_t id)
{
	const char *at = ask_words((struct span){request, n});

	BUG_ON(!at);
	hex_write(request + (at - request), WORD_CHARS, id);
}

bool wire_ask_find(struct span body, struct ask *out)
{
	const char *at = ask_words(body);
	uint64_t words[ASK_WORDS];

	if (!at)
		return false;
	for (unsigned i = 0; i < ASK_WORDS; i++)
		if (!hex_read(at + i * (WORD_CHARS + 1), WORD_CHARS, &words[i]))
			return false;
	*out = (struct ask){
		.id = (uint32_t)words[0],
		.chunks = (uint32_t)words[1],
		.delay_us = (uint32_t)words[2],
		.every_us = (uint32_t)words[3],
		.bytes = (uint32_t)words[4],
	};
	return true;
}

bool wire_stream_find(struct span body, bool otherwise)
{
	/* Inside a string the quotes would be escaped, so this is a key.  It is mostly the last one, and the body may be long. */
	size_t tail = body.n < 64 ? body.n : 64;
	const char *at = span_find((struct span){body.p + body.n - tail, tail}, "\"stream\":");

	if (!at)
		at = span_find(body, "\"stream\":");
	if (!at)
		return otherwise;
	for (at += strlen("\"stream\":"); at < body.p + body.n && *at == ' '; at++)
		;
	return at < body.p + body.n && *at == 't';
}

/* --- answers ------------------------------------------------------------------------------------------------------------------- */

static char filling_of(uint32_t id)
{
	return (char)('a' + id % 26);
}

static size_t answer_write(const char *before, const char *after, const struct piece *p, size_t bytes, char *buf, size_t size)
{
	size_t n_before = strlen(before), n_after = strlen(after);
	size_t fixed = n_before + TEXT_CHARS + n_after;
	size_t fill = bytes > fixed ? bytes - fixed : 0;
	char *to = buf + n_before;

	BUG_ON(fixed + fill > size);
	memcpy(buf, before, n_before);
	hex_write(to, WORD_CHARS, p->id);
	to[WORD_CHARS] = ' ';
	hex_write(to + WORD_CHARS + 1, WORD_CHARS, p->seq);
	to[2 * WORD_CHARS + 1] = ' ';
	hex_write(to + 2 * WORD_CHARS + 2, 2 * WORD_CHARS, p->at_ns);
	to[TEXT_CHARS - 1] = ' ';
	memset(to + TEXT_CHARS, filling_of(p->id), fill);
	memcpy(to + TEXT_CHARS + fill, after, n_after);
	return fixed + fill;
}

size_t wire_item_write(enum wire_dialect d, const struct piece *p, size_t bytes, char *buf, size_t size)
{
	const struct grammar *g = &GRAMMARS[d];

	return answer_write(g->item_before, p->final ? g->final_after : g->item_after, p, p->final ? 0 : bytes, buf, size);
}

size_t wire_whole_write(enum wire_dialect d, const struct piece *p, size_t bytes, char *buf, size_t size)
{
	return answer_write(GRAMMARS[d].whole_before, GRAMMARS[d].whole_after, p, bytes, buf, size);
}

const char *wire_stream_type(enum wire_dialect d)
{
	return GRAMMARS[d].stream_type;
}

int wire_piece_parse(enum wire_dialect d, struct span line, struct piece *out, bool *ended)
{
	static const char CONTENT[] = "\"content\":\"";
	const char *end = line.p + line.n, *text, *p;
	uint64_t id, seq, at_ns;
	char fill;

	if (line.n == 0)
		return 0;
	if (d == WIRE_OPENAI && span_eq(line, SPAN_LIT("data: [DONE]"))) {
		*ended = true;
		return 0;
	}
	text = span_find(line, CONTENT);
	if (!text || (size_t)(end - text) < sizeof(CONTENT) + TEXT_CHARS)
		return -EPROTO;
	text += sizeof(CONTENT) - 1;
	if (!hex_read(text, WORD_CHARS, &id) || !hex_read(text + WORD_CHARS + 1, WORD_CHARS, &seq) ||
	    !hex_read(text + 2 * WORD_CHARS + 2, 2 * WORD_CHARS, &at_ns))
		return -EPROTO;
	fill = filling_of((uint32_t)id);
	for (p = text + TEXT_CHARS; p < end && *p == fill; p++)
		;
	if (p == end || *p != '"')
		return -EPROTO;
	out->id = (uint32_t)id;
	out->seq = (uint32_t)seq;
	out->at_ns = at_ns;
	out->final =
		span_find((struct span){p, (size_t)(end - p)}, d == WIRE_NATIVE ? "\"done\":true" : "\"finish_reason\":\"stop\"");
	if (out->final && d == WIRE_NATIVE)
		*ended = true;
	return 1;
}

/* --- framing ------------------------------------------------------------------------------------------------------------------- */

/* The value of the header `name` (lower case), or p == NULL. */
static struct span head_value(const char *head, size_t n, struct span name)
{
	const char *end = head + n, *line = memchr(head, '\n', n);

	while (line && ++line < end) {
		const char *eol = memchr(line, '\n', (size_t)(end - line));
		struct span value;

		if (!eol)
			break;
		if ((size_t)(eol - line) > name.n && line[name.n] == ':' && strncasecmp(line, name.p, name.n) == 0) {
			value.p = line + name.n + 1;
			while (*value.p == ' ')
				value.p++;
			value.n = (size_t)(eol - value.p);
			if (value.n && value.p[value.n - 1] == '\r')
				value.n--;
			return value;
		}
		line = eol;
	}
	return (struct span){NULL, 0};
}

static bool decimal_read(struct span text, uint64_t *out)
{
	uint64_t v = 0;

	if (text.n == 0 || text.n > 12)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text.p[i] - '0');
	}
	*out = v;
	return true;
}

int wire_request_parse(const char *p, size_t n, struct request *out, size_t *need)
{
	const char *end = memmem(p, n < WIRE_HEAD_MAX ? n : WIRE_HEAD_MAX, "\r\n\r\n", 4);
	const char *blank, *blank2;
	struct span length;
	uint64_t body_n = 0;
	size_t head_n;

	*need = 0;
	if (!end)
		return n < WIRE_HEAD_MAX ? 0 : -EPROTO;
	head_n = (size_t)(end - p) + 4;
	blank = memchr(p, ' ', head_n);
	blank2 = blank ? memchr(blank + 1, ' ', head_n - (size_t)(blank + 1 - p)) : NULL;
	if (!blank2)
		return -EPROTO;
	if (head_value(p, head_n, SPAN_LIT("transfer-encoding")).p)
		return -EPROTO;
	length = head_value(p, head_n, SPAN_LIT("content-length"));
	if (length.p && (!decimal_read(length, &body_n) || body_n > WIRE_BODY_MAX))
		return -EPROTO;
	*need = head_n + (size_t)body_n;
	if (n < *need)
		return 0;
	out->method = (struct span){p, (size_t)(blank - p)};
	out->path = (struct span){blank + 1, (size_t)(blank2 - blank - 1)};
	out->body = (struct span){p + head_n, (size_t)body_n};
	out->keep_alive = !span_caseeq(head_value(p, head_n, SPAN_LIT("connection")), SPAN_LIT("close"));
	out->bytes = *need;
	return 1;
}

enum {
	ANSWER_HEAD = 0,
	ANSWER_LENGTH,
	ANSWER_SIZE,
	ANSWER_SIZE_END,
	ANSWER_CHUNK,
	ANSWER_CHUNK_END,
	ANSWER_LAST,
	ANSWER_DONE,
	ANSWER_BAD
};

void wire_answer_init(struct answer *a)
{
	a->state = ANSWER_HEAD;
	a->head_n = 0;
	a->left = 0;
	a->status = 0;
}

static uint8_t answer_head_parse(struct answer *a)
{
	static const char VERSION[] = "HTTP/1.1 ";
	struct span length = head_value(a->head, a->head_n, SPAN_LIT("content-length"));
	uint64_t status;

	if (memcmp(a->head, VERSION, sizeof(VERSION) - 1) != 0 ||
	    !decimal_read((struct span){a->head + sizeof(VERSION) - 1, 3}, &status))
		return ANSWER_BAD;
	a->status = (uint16_t)status;
	a->keep_alive = !span_caseeq(head_value(a->head, a->head_n, SPAN_LIT("connection")), SPAN_LIT("close"));
	if (length.p) {
		if (!decimal_read(length, &a->left))
			return ANSWER_BAD;
		return a->left ? ANSWER_LENGTH : ANSWER_DONE;
	}
	if (span_caseeq(head_value(a->head, a->head_n, SPAN_LIT("transfer-encoding")), SPAN_LIT("chunked")))
		return ANSWER_SIZE;
	return ANSWER_BAD;
}

/* Gather the head; a second copy of at most WIRE_HEAD_MAX bytes per answer. */
static void answer_head_feed(struct answer *a, struct span *in)
{
	size_t n = in->n < sizeof(a->head) - a->head_n ? in->n : sizeof(a->head) - a->head_n;
	uint32_t had = a->head_n, from = had < 3 ? 0 : had - 3;
	const char *end;
	size_t used;

	memcpy(a->head + had, in->p, n);
	a->head_n = (uint32_t)(had + n);
	end = memmem(a->head + from, a->head_n - from, "\r\n\r\n", 4);
	if (!end) {
		in->p += n;
		in->n -= n;
		if (a->head_n == sizeof(a->head))
			a->state = ANSWER_BAD;
		return;
	}
	a->head_n = (uint32_t)(end + 4 - a->head);
	used = a->head_n - had;
	in->p += used;
	in->n -= used;
	a->state = answer_head_parse(a);
	if (a->status == 100)
		wire_answer_init(a);
}

/* One byte of a chunk-size line or of the ends of lines. */
static uint8_t answer_line_feed(struct answer *a, char c)
{
	uint64_t digit;

	switch (a->state) {
	case ANSWER_SIZE:
		if (c == '\r')
			return ANSWER_SIZE_END;
		c = c >= 'A' && c <= 'F' ? (char)(c + 32) : c;
		if (a->left >> 32 || !hex_read(&c, 1, &digit))
			return ANSWER_BAD;
		a->left = a->left << 4 | digit;
		return ANSWER_SIZE;
	case ANSWER_SIZE_END:
		if (c != '\n')
			return ANSWER_BAD;
		return a->left ? ANSWER_CHUNK : ANSWER_LAST;
	case ANSWER_CHUNK_END:
	case ANSWER_LAST:
		if (c == '\r')
			return a->state;
		if (c != '\n')
			return ANSWER_BAD;
		return a->state == ANSWER_LAST ? ANSWER_DONE : ANSWER_SIZE;
	default:
		return ANSWER_BAD;
	}
}

enum wire_step wire_answer_feed(struct answer *a, struct span *in, struct span *out)
{
	while (in->n && a->state != ANSWER_DONE && a->state != ANSWER_BAD) {
		if (a->state == ANSWER_HEAD) {
			answer_head_feed(a, in);
		} else if (a->state == ANSWER_LENGTH || a->state == ANSWER_CHUNK) {
			size_t n = in->n < a->left ? in->n : (size_t)a->left;

			*out = (struct span){in->p, n};
			in->p += n;
			in->n -= n;
			a->left -= n;
			if (!a->left)
				a->state = a->state == ANSWER_LENGTH ? ANSWER_DONE : ANSWER_CHUNK_END;
			return WIRE_PAYLOAD;
		} else {
			a->state = answer_line_feed(a, *in->p);
			in->p++;
			in->n--;
		}
	}
	if (a->state == ANSWER_BAD)
		return WIRE_BAD;
	return a->state == ANSWER_DONE ? WIRE_END : WIRE_MORE;
}
