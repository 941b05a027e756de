/* tools/load/wire.h - what the load and the stand-in origin say to each other.
 *
 * A request is an ordinary chat request whose first message tells the origin what to answer; an answer is an ordinary chat answer
 * whose text tells the load which request it belongs to, which piece it is and when it was sent.  So every proxy between the two
 * sees plain Ollama or OpenAI traffic, and the load can tell when it shows one stream another's bytes.
 *
 * This codec is for our own two ends, independent of http/: it judges what a proxy made of the bytes.  Nothing here allocates but
 * wire_ask_build. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/why.h"

#define WIRE_MODEL     "bench:latest"
#define WIRE_BODY_MIN  320U /* the smallest request body that holds what must be said */
#define WIRE_CHUNK_MAX 4096U
#define WIRE_REPLY_MAX (1U << 20)
#define WIRE_BODY_MAX  (4U << 20)
#define WIRE_HEAD_MAX  4096U

enum wire_dialect { WIRE_NATIVE = 0, WIRE_OPENAI, WIRE_DIALECT_COUNT };

/* Null-terminated names for the command line, by enum wire_dialect. */
extern const char *const WIRE_DIALECTS[];

/* What the load asks for. */
struct ask {
	uint32_t id;
	uint32_t chunks;   /* items before the final one; 0 with stream false */
	uint32_t delay_us; /* request to first item */
	uint32_t every_us; /* between items, and before the final one */
	uint32_t bytes;    /* of each item, or of the whole body with stream false; at least what the dialect's grammar takes */
};

/* One item of an answer. */
struct piece {
	uint32_t id;
	uint32_t seq;   /* from 0; the final one's is ask.chunks */
	uint64_t at_ns; /* when the origin wrote it, on base/clock.h */
	bool final;
};

/* --- the load's side --------------------------------------------------------------------------------------------------------- */

/* Head and body of a request for `ask`, the body exactly `body_bytes` long, as many messages of a conversation.  *out is the
 * caller's to free.  0 or -ENOMEM. */
int wire_ask_build(enum wire_dialect d, const char *host, const struct ask *ask, bool stream, size_t body_bytes, char **out,
		   size_t *out_n);

/* Put another id into a request that wire_ask_build made. */
void wire_ask_renumber(char *request, size_t n, uint32_t id);

/* Take one line of a stream, or a whole body, apart and check the text that fills it.  1: *out is an item; 0: nothing to count
 * (an empty line, the end mark of SSE: *ended is set); -EPROTO: neither, for example an error object. */
int wire_piece_parse(enum wire_dialect d, struct span line, struct piece *out, bool *ended);

enum wire_step { WIRE_MORE = 0, WIRE_PAYLOAD, WIRE_END, WIRE_BAD };

/* Reads one answer. */
struct answer {
	uint8_t state;
	bool keep_alive;
	uint16_t status;
	uint32_t head_n;
	uint64_t left;
	char head[WIRE_HEAD_MAX];
};

void wire_answer_init(struct answer *a);
/* Take bytes from *in, which is moved on.  WIRE_PAYLOAD: *out is a slice of the body.  WIRE_END: complete; *in is what follows. */
enum wire_step wire_answer_feed(struct answer *a, struct span *in, struct span *out);

/* --- the origin's side ------------------------------------------------------------------------------------------------------- */

struct request {
	struct span method;
	struct span path;
	struct span body;
	bool keep_alive;
	size_t bytes; /* head and body */
};

/* 1: complete; 0: more is needed, at least *need bytes in all (0: not yet known); -EPROTO: refused. */
int wire_request_parse(const char *p, size_t n, struct request *out, size_t *need);

/* What a chat body asks for; false when it does not come from wire_ask_build. */
bool wire_ask_find(struct span body, struct ask *out);

/* "stream" of a body: `otherwise` when it says nothing. */
bool wire_stream_find(struct span body, bool otherwise);

/* Write one item of a stream, or the final one with what follows it, or a whole body; `bytes` long where the text can fill it.
 * `size` is at least WIRE_CHUNK_MAX + 512 (WIRE_REPLY_MAX + 512).  Its length. */
size_t wire_item_write(enum wire_dialect d, const struct piece *p, size_t bytes, char *buf, size_t size);
size_t wire_whole_write(enum wire_dialect d, const struct piece *p, size_t bytes, char *buf, size_t size);

/* Content-Type of a stream. */
const char *wire_stream_type(enum wire_dialect d);
