#include <string.h>

#include "http/bytes.h"
#include "http/head.h"

enum body_state {
	BODY_SIZE = 0, /* hex digits of a chunk-size line */
	BODY_SIZE_LF,
	BODY_DATA,
	BODY_DATA_CR, /* the CRLF that ends a chunk's data */
	BODY_DATA_LF,
	BODY_LAST_CR, /* after the last chunk: the empty line, no trailers */
	BODY_LAST_LF,
	BODY_END,
	BODY_BROKEN, /* refused once is refused for ever */
};

#define SIZE_DIGITS 16
#define SIZE_LIMIT  (1ULL << 62)

void http_body_init(struct http_body *body, enum http_framing framing, uint64_t content_length)
{
	memset(body, 0, sizeof(*body));
	body->framing = (uint8_t)framing;
	switch (framing) {
	case HTTP_BODY_CHUNKED:
		body->state = BODY_SIZE;
		break;
	case HTTP_BODY_LENGTH:
		body->left = content_length;
		body->state = content_length ? BODY_DATA : BODY_END;
		break;
	case HTTP_BODY_CLOSE:
		body->left = UINT64_MAX;
		body->state = BODY_DATA;
		break;
	case HTTP_BODY_NONE:
		body->state = BODY_END;
		break;
	}
}

bool http_body_done(const struct http_body *body)
{
	return body->state == BODY_END;
}

static enum http_result broken(struct http_body *body, struct http_fault *fault, const char *reason)
{
	body->state = BODY_BROKEN;
	return head_bad(fault, 400, reason);
}

/* One byte of a chunk-size line before its CR. */
static enum http_result size_byte(struct http_body *body, char c, struct http_fault *fault)
{
	int digit = byte_hex(c);

	if (digit >= 0) {
		if (body->digits == SIZE_DIGITS || body->left >= SIZE_LIMIT >> 4)
			return broken(body, fault, "a chunk size is too large; send smaller chunks");
		body->left = body->left << 4 | (unsigned)digit;
		body->digits++;
		return HTTP_MORE;
	}
	if (!body->digits)
		return broken(body, fault, "a chunk does not begin with its size in hexadecimal digits");
	if (c == ';' || c == ' ' || c == '\t')
		return broken(body, fault, "a chunk extension; send the size alone");
	if (c != '\r')
		return broken(body, fault, "a chunk size does not end in CR LF");
	body->state = BODY_SIZE_LF;
	return HTTP_MORE;
}

static const char *after_bad(const struct http_body *body)
{
	if (body->state == BODY_DATA_CR)
		return "a chunk is longer than its size says";
	return "a trailer after the last chunk; trailers are not accepted";
}

/* One byte of framing: everything but payload. */
static enum http_result framing_byte(struct http_body *body, char c, struct http_fault *fault)
{
	switch ((enum body_state)body->state) {
	case BODY_SIZE:
		return size_byte(body, c, fault);
	case BODY_SIZE_LF:
		if (c != '\n')
			return broken(body, fault, "a chunk size does not end in CR LF");
		body->digits = 0;
		body->state = body->left ? BODY_DATA : BODY_LAST_CR;
		return HTTP_MORE;
	case BODY_DATA_CR:
	case BODY_LAST_CR:
		if (c != '\r')
			return broken(body, fault, after_bad(body));
		body->state++;
		return HTTP_MORE;
	case BODY_DATA_LF:
		if (c != '\n')
			return broken(body, fault, "a chunk does not end in CR LF");
		body->state = BODY_SIZE;
		return HTTP_MORE;
	case BODY_LAST_LF:
		if (c != '\n')
			return broken(body, fault, "the last chunk does not end in CR LF");
		body->state = BODY_END;
		return HTTP_DONE;
	case BODY_DATA:
	case BODY_END:
	case BODY_BROKEN:
		break;
	}
	return broken(body, fault, "the body was refused before");
}

/* Payload was taken: what comes next. */
static void data_taken(struct http_body *body, size_t n)
{
	if (body->framing == HTTP_BODY_CLOSE)
		return;
	body->left -= n;
	if (!body->left)
		body->state = body->framing == HTTP_BODY_CHUNKED ? BODY_DATA_CR : BODY_END;
}

enum http_result http_body_feed(struct http_body *body, const char *in, size_t n, size_t *used, struct span *out, unsigned *n_out,
				struct http_fault *fault)
{
	unsigned room = *n_out, slices = 0;
	enum http_result r = body->state == BODY_END ? HTTP_DONE : HTTP_MORE;
	size_t i = 0;

	while (i < n && r == HTTP_MORE) {
		if (body->state == BODY_DATA) {
			size_t take = n - i;

			if (slices == room)
				break;
			if (take > body->left)
				take = (size_t)body->left;
			out[slices++] = (struct span){in + i, take};
			i += take;
			data_taken(body, take);
			r = body->state == BODY_END ? HTTP_DONE : HTTP_MORE;
		} else {
			r = framing_byte(body, in[i], fault);
			i += r != HTTP_BAD;
		}
	}
	*used = i;
	*n_out = slices;
	return r;
}
