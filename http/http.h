/* http/http.h - bytes to facts and facts to bytes: a strict, bounded HTTP/1.1 codec.
 *
 * Used by the router for both sides.  Reject, never repair: what two parsers could read differently is refused.  Nothing here
 * allocates, blocks, logs or owns memory: heads are slices of the caller's buffer and live as long as those bytes do.  Every
 * function returns the same result however the bytes were cut on their way in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define HTTP_HEADERS_MAX 64 /* header lines in one head; nginx and HAProxy allow about 100 */
#define HTTP_HEAD_BYTES  (16 * 1024)

enum http_method {
	HTTP_NONE = 0,
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_PATCH,
	HTTP_OTHER, /* a well-formed token that is none of the above */
	HTTP_METHOD_COUNT
};

/* Header names that the codec or the router acts on; every other line is HTTP_H_OTHER. */
enum http_header_id {
	HTTP_H_OTHER = 0,
#define HEADER(id, name) HTTP_H_##id,
#include "http/headers.def"
#undef HEADER
	HTTP_H_COUNT
};

struct http_header {
	struct span name;  /* as sent */
	struct span value; /* without surrounding blanks */
	enum http_header_id id;
};

/* How the end of a body is known. */
enum http_framing {
	HTTP_BODY_NONE = 0, /* there is none */
	HTTP_BODY_LENGTH,   /* content_length bytes */
	HTTP_BODY_CHUNKED,
	HTTP_BODY_CLOSE, /* responses only: until the peer closes */
};

struct http_head {
	/* requests */
	enum http_method method;
	struct span method_text;
	struct span target; /* as sent */
	struct span path;   /* target up to '?', still percent-encoded; origin-form, or the path of an absolute-form */
	struct span query;  /* after '?', or empty */
	struct span host;
	bool expect_continue;
	/* responses */
	unsigned status; /* 100..999 */
	struct span reason;
	/* both */
	unsigned minor; /* HTTP/1.minor: 0 or 1 */
	enum http_framing framing;
	uint64_t content_length; /* valid when framing is HTTP_BODY_LENGTH */
	bool keep_alive;         /* this message allows another after it */
	size_t head_bytes;       /* length of the head, final empty line included */
	unsigned n_headers;
	struct http_header headers[HTTP_HEADERS_MAX];
};

struct http_limits {
	size_t head_bytes;    /* whole head, request line included */
	unsigned headers_max; /* <= HTTP_HEADERS_MAX */
};

/* What was wrong, as an HTTP status and a sentence with cause and remedy. */
struct http_fault {
	unsigned status;    /* 400, 405, 414, 417, 431, 501, 505; for responses always 502 */
	const char *reason; /* static text */
};

enum http_result {
	HTTP_MORE = 0, /* not all there yet; call again with more bytes appended */
	HTTP_DONE,
	HTTP_BAD, /* *fault says why; answer and close */
};

/* Parse a request head at `buf`.  `seen` is the number of bytes that an earlier HTTP_MORE already looked at (0 the first time),
 * so that a head arriving byte by byte costs linear time.  On HTTP_DONE out->head_bytes were used; the body follows them.
 * Rules (one test each): CRLF line ends only; no empty line before the request line but one CRLF is skipped; no obs-fold; token
 * names; no blank before ':'; no control byte but HTAB in values; exactly one Host on 1.1, a valid one; Content-Length digits
 * only, no list, no duplicate; Transfer-Encoding exactly "chunked", once, 1.1 only, never beside Content-Length; HTTP/1.0 or 1.1;
 * target visible ASCII, origin-form, "*" for OPTIONS, or absolute-form http://; no '#'; Expect only 100-continue; one
 * Content-Type; Connection names no framing header; no CONNECT; no Upgrade but h2c, which is passed over (the JDK's client offers it
 * with every first request). */
enum http_result http_request_parse(const char *buf, size_t n, size_t seen, const struct http_limits *limits, struct http_head *out,
				    struct http_fault *fault);

/* Parse a response head.  `request` tells how the answer is framed (HEAD, ...).  1xx heads parse as any other (framing NONE); 101 is
 * refused.  content_length is also set where an answer to HEAD, or a 304, announces one. */
enum http_result http_response_parse(const char *buf, size_t n, size_t seen, const struct http_limits *limits,
				     enum http_method request, struct http_head *out, struct http_fault *fault);

/* The value of the first header with this id, or an empty span with p == NULL. */
struct span http_header_get(const struct http_head *head, enum http_header_id id);

/* The first header with this name (any case), or p == NULL. */
struct span http_header_find(const struct http_head *head, const char *name);

/* True when the header's comma-separated list holds `token` (any case). */
bool http_header_has_token(const struct http_head *head, enum http_header_id id, const char *token);

/* --- bodies ------------------------------------------------------------------------------------------------------------ */

/* Decoder of one body: 16 bytes, no buffer.  Initialise with http_body_init. */
struct http_body {
	uint64_t left;   /* of the body (LENGTH) or of the current chunk */
	uint8_t framing; /* enum http_framing */
	uint8_t state;
	uint8_t digits; /* of the current chunk-size line */
};

void http_body_init(struct http_body *body, enum http_framing framing, uint64_t content_length);

/* True when the body is complete: nothing that follows belongs to it. */
bool http_body_done(const struct http_body *body);

/* Take bytes.  Up to *n_out slices of payload (within `in`) are stored to `out`; *used says how many input bytes they account
 * for, framing included.  Call again with the rest while HTTP_MORE, *used > 0 and input is left.  Chunk extensions, trailers,
 * bare LF and sizes of 2^62 and more are refused, with status 400: for an answer of a model server read 502.  HTTP_DONE: complete;
 * what follows *used is the next message. */
enum http_result http_body_feed(struct http_body *body, const char *in, size_t n, size_t *used, struct span *out, unsigned *n_out,
				struct http_fault *fault);

/* --- writing ----------------------------------------------------------------------------------------------------------- */

/* A bounded head under construction.  `len` never passes `cap`; `overflow` is set instead. */
struct http_out {
	char *p;
	size_t cap;
	size_t len;
	bool overflow;
};

void http_out_bytes(struct http_out *o, const char *p, size_t n);
void http_out_text(struct http_out *o, const char *text);
void http_out_num(struct http_out *o, uint64_t v);
/* "Name: value\r\n".  A value with a byte that may not stand in a header sets overflow: the caller must not send it. */
void http_out_header(struct http_out *o, const char *name, struct span value);
void http_out_header_num(struct http_out *o, const char *name, uint64_t v);
/* "HTTP/1.1 STATUS reason\r\n" */
void http_out_status(struct http_out *o, unsigned status);

/* The standard phrase of a status ("Too Many Requests"), "" when there is none. */
const char *http_status_text(unsigned status);

/* "%zx\r\n" into `buf` (at least 20 bytes); returns its length. */
size_t http_chunk_head(char *buf, size_t payload_bytes);

/* --- paths ------------------------------------------------------------------------------------------------------------- */

/* Percent-decode `path` once into `buf` (NUL-terminated).  Length, or -EINVAL: bad escape, NUL, control byte, a decoded '/' or
 * '\\', an empty, "." or ".." segment, or too long.  A caller may so match the result literally: nothing is left to decode. */
int http_path_decode(struct span path, char *buf, size_t size);
