/* Signs of life in a stream whose answer has not begun: who waits in the queue, for a load or for a long prompt is not cut off by a
 * proxy that takes silence for death.  The first one begins the answer, with status 200; what goes wrong after it is said in the stream.
 *
 * Server-sent events have comments, which every client passes over, and Anthropic's have a ping besides.  Ollama's JSON lines have
 * neither: an object without text is an answer to those who count or time them, and an empty line breaks the official client. */
#include "router/router.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define SAID_MOST 600 /* bytes of an error that go on */

static bool is_waiting(const struct exchange *x)
{
	return x->client && x->stream && (x->state == EX_WAIT || x->state == EX_SENT) && x->client->minor == 1 &&
	       (x->route->shape == STREAM_SSE_OPENAI || x->route->shape == STREAM_SSE_RESPONSES || x->route->shape == STREAM_SSE_ANTHROPIC);
}

/* The comment, and what else the dialect has. */
static size_t sign(const struct exchange *x, char *buf, size_t size)
{
	const char *ping = x->route->shape == STREAM_SSE_ANTHROPIC ? "event: ping\ndata: {\"type\": \"ping\"}\n\n" : "";
	unsigned ahead;
	uint64_t wait_ns;
	int n;

	if (x->state == EX_SENT) {
		n = snprintf(buf, size, ": it is being worked on\n\n%s", ping);
	} else {
		order_position(&x->r->routing.order, &x->item, &ahead, &wait_ns);
		if (wait_ns == UINT64_MAX)
			n = snprintf(buf, size, ": waits, position %u\n\n%s", ahead + 1, ping);
		else
			n = snprintf(buf, size, ": waits, position %u, about %llu ms\n\n%s", ahead + 1,
				     (unsigned long long)(wait_ns / NS_PER_MS), ping);
	}
	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

/* Write a chunk of the body.  False: the client is gone, and x with it. */
static bool put(struct exchange *x, const char *head, size_t head_n, const char *text, size_t n, bool last)
{
	char size[24];
	struct iovec iov[] = {{(void *)(uintptr_t)head, head_n}, {size, http_chunk_head(size, n)}, {(void *)(uintptr_t)text, n},
			      {(void *)(uintptr_t)"\r\n0\r\n\r\n", last ? 7 : 2}};

	shm_add(&x->r->count->bytes_out, n);
	return client_write(x->client, iov, 4);
}

void keepalive_tick(struct exchange *x, uint64_t now_ns)
{
	uint64_t every = x->r->conf.routing.keepalive_ns;
	char head[2048], text[200];
	struct http_out o = {.p = head, .cap = sizeof(head)};

	if (!every || !is_waiting(x) || now_ns - x->start_ns < every * (x->signs + 1ULL))
		return;
	x->signs++;
	/* One who does not read needs no more of them. */
	if (conn_pending(&x->client->c))
		return;
	if (!x->early) {
		http_out_status(&o, 200);
		http_out_text(&o, "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n");
		answer_headers(x, &o);
		http_out_text(&o, "\r\n");
		x->early = x->chunked = true;
	}
	put(x, head, o.len, text, sign(x, text, sizeof(text)), false);
}

void keepalive_error(struct exchange *x, unsigned status, struct span message)
{
	char said[SAID_MOST + 32], text[2 * SAID_MOST];

	snprintf(said, sizeof(said), "%.*s (status %u)", (int)(message.n < SAID_MOST ? message.n : SAID_MOST), message.p, status);
	x->state = EX_LOCAL;
	exchange_count(x, status);
	if (put(x, "", 0, text, dialect_stream_error(x->route->shape, said, text, sizeof(text)), true))
		exchange_end(x);
}
