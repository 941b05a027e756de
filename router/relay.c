/* The answer on its way to the client: one head, then bytes as they come, then an end that says whether it is complete. */
#include "router/router.h"

#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"

/* Header lines of an instance's answer that are its own business or ours. */
static bool dropped(const struct http_header *h)
{
	switch (h->id) {
	case HTTP_H_OTHER:
		return h->name.n > 6 && strncasecmp(h->name.p, "x-tsa-", 6) == 0;
	case HTTP_H_CONTENT_LENGTH:
	case HTTP_H_TRANSFER_ENCODING:
	case HTTP_H_CONNECTION:
	case HTTP_H_KEEP_ALIVE:
	case HTTP_H_PROXY_CONNECTION:
	case HTTP_H_UPGRADE:
	case HTTP_H_TE:
	case HTTP_H_TRAILER:
	case HTTP_H_SERVER:
	case HTTP_H_COOKIE:
		return true;
	default:
		return false;
	}
}

void relay_begin(struct exchange *x, const struct http_head *head)
{
	struct router *r = x->r;
	struct http_out o = {.p = r->out_head, .cap = sizeof(r->out_head)};

	BUG_ON(r->head_of); /* one upstream is read at a time, and its head leaves with that read */
	stream_watch_init(&x->watch, x->stream ? x->route->shape : STREAM_NONE);
	x->deadline_ns = clock_after_ns(clock_now_ns(), r->conf.gap_ns);
	x->framing = (uint8_t)head->framing;
	if (x->early) {
		x->framing = HTTP_BODY_CHUNKED; /* so it was announced */
		x->head_sent = true;
		return;
	}
	http_out_status(&o, head->status);
	for (unsigned i = 0; i < head->n_headers; i++) {
		const struct http_header *h = &head->headers[i];

		if (dropped(h))
			continue;
		http_out_bytes(&o, h->name.p, h->name.n);
		http_out_text(&o, ": ");
		http_out_bytes(&o, h->value.p, h->value.n);
		http_out_text(&o, "\r\n");
	}
	if (head->framing == HTTP_BODY_LENGTH) {
		http_out_header_num(&o, "Content-Length", head->content_length);
	} else if (head->framing != HTTP_BODY_NONE && x->client->minor == 1) {
		x->chunked = true;
		http_out_text(&o, "Transfer-Encoding: chunked\r\n");
	} else if (head->framing != HTTP_BODY_NONE) {
		x->client->keep = false;
	}
	answer_headers(x, &o);
	http_out_text(&o, "\r\n");
	if (o.overflow) {
		exchange_unhand(x);
		x->state = EX_ERROR;
		exchange_finished(x, false);
		answer_error(x, 502, 0, "the instance's answer head is too long to pass on");
		return;
	}
	x->head_sent = true;
	r->out_head_len = o.len;
	r->head_of = x;
}

/* Write n pieces to the client, the held-back head before them, for which the first entry is free.  False: the client is gone, x with
 * it. */
static bool put(struct exchange *x, struct iovec *free_and_pieces, unsigned n)
{
	struct router *r = x->r;

	if (r->head_of != x)
		return client_write(x->client, free_and_pieces + 1, n);
	free_and_pieces[0] = (struct iovec){r->out_head, r->out_head_len};
	r->head_of = NULL;
	return client_write(x->client, free_and_pieces, n + 1);
}

void exchange_flush_head(struct router *r)
{
	struct exchange *x = r->head_of;
	struct iovec head;

	if (x)
		put(x, &head, 0);
}

static struct iovec piece(const char *p, size_t n)
{
	return (struct iovec){.iov_base = (void *)(uintptr_t)p, .iov_len = n};
}

/* Payload, an optional last text of our own, and, when `done`, the end of the body.  False: the client is gone. */
static bool put_body(struct exchange *x, const struct span *parts, unsigned n, const char *extra, size_t extra_n, bool done)
{
	struct iovec iov[1 + ROUTER_PARTS + 4];
	char size[24];
	size_t total = extra_n;
	unsigned k = 1;

	for (unsigned i = 0; i < n; i++)
		total += parts[i].n;
	if (x->chunked && total)
		iov[k++] = piece(size, http_chunk_head(size, total));
	for (unsigned i = 0; i < n; i++)
		iov[k++] = piece(parts[i].p, parts[i].n);
	if (extra_n)
		iov[k++] = piece(extra, extra_n);
	if (x->chunked && total)
		iov[k++] = piece("\r\n", 2);
	if (x->chunked && done)
		iov[k++] = piece("0\r\n\r\n", 5);
	shm_add(&x->r->count->bytes_out, total);
	if (k == 1 && x->r->head_of != x)
		return true;
	return put(x, iov, k - 1);
}

/* The error, in the stream's own form, that follows what has been sent already. */
static size_t error_text(struct exchange *x, const char *why, char *buf, size_t size)
{
	char text[256];
	size_t n = 0;

	snprintf(text, sizeof(text), "the answer is incomplete: the instance failed (%s)", why);
	if (stream_watch_midline(&x->watch))
		buf[n++] = '\n';
	if (n && x->route->shape != STREAM_NDJSON)
		buf[n++] = '\n';
	return n + dialect_stream_error(x->route->shape, text, buf + n, size - n);
}

/* After output began: never a replay, never a silent stop. */
void relay_broken(struct exchange *x, const char *why)
{
	struct client *cl;
	char text[640];

	exchange_finished(x, false);
	if (x->stream && x->framing != HTTP_BODY_LENGTH) {
		size_t n = x->watch.flags & (STREAM_SAW_ERROR | STREAM_SAW_FINAL) ? 0 : error_text(x, why, text, sizeof(text));

		if (put_body(x, NULL, 0, text, n, true))
			exchange_end(x);
		return;
	}
	/* A plain body that stops short can only be told by an end that is not one. */
	cl = x->client;
	cl->x = NULL;
	x->client = NULL;
	exchange_free(x);
	client_free(cl, true);
}

static void complete(struct exchange *x, struct span *parts, unsigned n)
{
	char text[640];
	size_t extra = 0;
	bool stream = x->stream && x->status == 200 && x->watch.shape != STREAM_NONE;
	bool ok = !stream || x->watch.flags & STREAM_SAW_FINAL;

	/* Ollama ends a crashed stream cleanly; only the missing final object tells.  Where it said so itself, that is enough. */
	if (!ok && !(x->watch.flags & STREAM_SAW_ERROR) && x->framing != HTTP_BODY_LENGTH)
		extra = error_text(x, "its stream ended without a final object", text, sizeof(text));
	if (!put_body(x, parts, n, text, extra, true))
		return;
	exchange_finished(x, ok);
	exchange_end(x);
}

void relay_bytes(struct exchange *x, struct span *parts, unsigned n, bool done)
{
	struct router *r = x->r;

	x->deadline_ns = clock_after_ns(clock_now_ns(), r->conf.gap_ns);
	for (unsigned i = 0; i < n; i++) {
		if (x->watch.shape != STREAM_NONE)
			stream_watch_feed(&x->watch, parts[i].p, parts[i].n);
		learn_tail(x, parts[i].p, parts[i].n);
	}
	if (done) {
		complete(x, parts, n);
		return;
	}
	if (!put_body(x, parts, n, NULL, 0, false))
		return;
	if (x->up && conn_pending(&x->client->c) > r->conf.buffer_bytes) {
		upstream_pause(x->up, true);
		x->deadline_ns = CLOCK_NEVER; /* now it is the client who is waited for, by its stall limit */
	}
}

void relay_resume(struct exchange *x)
{
	if (!x->up || !x->up->c.paused)
		return;
	upstream_pause(x->up, false);
	x->deadline_ns = clock_after_ns(clock_now_ns(), x->r->conf.gap_ns);
}
