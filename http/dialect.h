/* http/dialect.h - the routes of Ollama's three dialects and of tsa's own, and how each says that something went wrong.
 *
 * A table, not a set of habits: every route with its methods, where its model name stands, whether it streams when nothing is
 * said, and who answers it.  Pure; allocates nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "http/http.h"

enum dialect { DIALECT_NATIVE = 0, DIALECT_OPENAI, DIALECT_ANTHROPIC, DIALECT_PLAIN /* text: /healthz and unknown paths */, DIALECT_TSA };

/* Who answers. */
enum route_kind {
	ROUTE_UNKNOWN = 0,
	ROUTE_INFER,  /* balanced over the instances that have the model */
	ROUTE_FLEET,  /* answered by the router for the whole fleet */
	ROUTE_MANAGE, /* changes a model store: refused unless the configuration allows it, then sent to every instance concerned */
	ROUTE_REFUSE, /* never served: account, cloud and debug routes */
	ROUTE_OWN,    /* tsa's own: /healthz, /readyz */
	ROUTE_API,    /* tsa's own: decisions, figures, health (tsa-api(7)) */
};

/* Stream shape, and so what counts as its end. */
enum stream_shape {
	STREAM_NONE = 0,
	STREAM_NDJSON,        /* final object "done":true; pull and create: "status":"success" */
	STREAM_SSE_OPENAI,    /* data: [DONE] */
	STREAM_SSE_RESPONSES, /* event response.completed */
	STREAM_SSE_ANTHROPIC, /* event message_stop */
};

enum route_id {
#define ROUTE(id, path, get, post, other, dialect, kind, shape, default_stream) ROUTE_ID_##id,
#include "http/routes.def"
#undef ROUTE
	ROUTE_ID_COUNT
};

struct route {
	enum route_id id;
	const char *path; /* decoded; a last segment of '*' stands for any one segment */
	unsigned methods; /* bit 1 << enum http_method */
	enum dialect dialect;
	enum route_kind kind;
	enum stream_shape shape;
	bool default_stream; /* streams when the body does not say */
};

/* The route of a decoded path (http_path_decode), or NULL.  *tail is the last segment where the pattern ends in '*'. */
const struct route *route_find(const char *path, struct span *tail);

/* The dialect to answer an unknown path in, from its first segments. */
enum dialect route_dialect_of(const char *path);

/* "GET, HEAD" for the Allow header of a 405, into `buf`. */
const char *route_allow(const struct route *r, char *buf, size_t size);

/* The body of an error answer in a dialect, complete and NUL-terminated, into `buf`; its length.  A message that does not fit is cut
 * between characters; 0 when not even an empty one fits.  Bytes of `message` are escaped as Go's encoder does, invalid UTF-8 replaced.
 * Native: {"error":...}; TSA: {"detail":...}; OpenAI and Anthropic end in a newline, as Ollama's do.  OpenAI's type is Ollama's choice too: api_error but for
 * 400 and 404, so also for 429 and 503; the official client picks its exception by the status.  `request_id` is Anthropic's, may be NULL. */
size_t dialect_error(enum dialect d, unsigned status, const char *message, const char *request_id, char *buf, size_t size);

/* The Content-Type of that body. */
const char *dialect_error_type(enum dialect d);

/* What to append to a stream that broke after output began, so that no client takes it for complete; its length.  NDJSON
 * {"error":...}; OpenAI data: {"error":{...}}; Anthropic event: error; Responses event: error with the documented members (the sequence
 * number is not known here and is 0) and an error object, without which the official clients would go on as if nothing were.  Send a
 * newline before it where stream_watch_midline() says so, and no final event after it. */
size_t dialect_stream_error(enum stream_shape shape, const char *message, char *buf, size_t size);

/* --- the end of a stream ------------------------------------------------------------------------------------------------ */

/* Watches a response body pass by and knows whether its final object came.  One cache line of state, fed with any cuts, well under a
 * nanosecond a byte.  Exact: text that merely contains the words does not count, because only top-level keys of a line's object (NDJSON)
 * and whole lines of a whole event (SSE) do, and only when that object is closed or that event has its empty line.
 * Final is "done":true or "status":"success"; data: [DONE]; event message_stop; event response.completed, .incomplete or .failed.
 * Keys written with escapes and lines ended by CR alone, which no model server writes, are not seen: such a stream counts as broken. */
struct stream_watch {
	uint64_t items; /* NDJSON: objects that are neither final nor an error; SSE: events that carry output */
	uint32_t depth; /* of nested JSON, the line's own object being 1 */
	uint16_t marks; /* what the line or event at hand has said so far */
	uint8_t shape;
	uint8_t state;
	uint8_t flags; /* STREAM_SAW_* */
	uint8_t key;   /* of the top-level member at hand */
	uint8_t word_n;
	char word[45]; /* a key, a value or an event name: long enough for every one that matters */
};

#define STREAM_SAW_FINAL 1u
#define STREAM_SAW_ERROR 2u /* an {"error":…} line or an error event came from upstream itself */

void stream_watch_init(struct stream_watch *w, enum stream_shape shape);
void stream_watch_feed(struct stream_watch *w, const char *p, size_t n);
/* True when the stream is inside a line or, SSE, an event: what is appended must then begin with a newline. */
bool stream_watch_midline(const struct stream_watch *w);
