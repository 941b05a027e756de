/* Bodies of requests: with a length or in chunks, kept or swallowed. */
#include "tools/sim/sim.h"

#include <string.h>

#define KEEP_BYTES 65536U

enum { CHUNK_SIZE = 0, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER };

static void body_keep(struct sim_conn *c, const char *p, size_t n)
{
	if (c->state == CONN_BODY)
		buf_put(&c->body, p, n);
}

void sim_body_begin(struct sim_conn *c)
{
	const struct sim_head *h = &c->ex.head;

	c->chunk_state = CHUNK_SIZE;
	c->edge = (struct json_edge){0};
	c->body_error = NULL;
	c->body_left = h->length > 0 ? h->length : 0;
	c->body_done = !h->chunked && !c->body_left;
	c->continue_due = h->expect_continue && !c->body_done;
	buf_reset(&c->body, KEEP_BYTES);
}

void sim_body_finish(struct sim_conn *c, const char *error)
{
	c->body_done = true;
	c->body_error = error;
}

/* A size line in [p, p + n).  Sets chunk_left, or ends the body with Go's complaint. */
static void chunk_size_read(struct sim_conn *c, const char *p, size_t n)
{
	uint64_t size = 0;
	size_t i = 0;

	for (; i < n && p[i] != ';' && p[i] != ' ' && p[i] != '\t' && p[i] != '\r'; i++) {
		int d = p[i] >= '0' && p[i] <= '9'                 ? p[i] - '0'
			: (p[i] | 32) >= 'a' && (p[i] | 32) <= 'f' ? (p[i] | 32) - 'a' + 10
								   : -1;

		if (d < 0 || i >= 16) {
			sim_body_finish(c, d < 0 ? "invalid byte in chunk length" : "http chunk length too large");
			return;
		}
		size = size << 4 | (uint64_t)d;
	}
	if (!i) {
		sim_body_finish(c, "empty hex number for chunk length");
		return;
	}
	c->chunk_left = size;
	c->chunk_state = size ? CHUNK_DATA : CHUNK_TRAILER;
}

/* One piece of a chunked body.  False when more bytes are needed. */
static bool chunk_step(struct sim_conn *c, size_t *at)
{
	const char *p = c->inb.p + *at;
	size_t left = c->inb.n - *at;
	const char *nl;

	if (!left)
		return false;
	if (c->chunk_state == CHUNK_DATA) {
		size_t n = left < c->chunk_left ? left : (size_t)c->chunk_left;

		body_keep(c, p, n);
		*at += n;
		c->chunk_left -= n;
		if (!c->chunk_left)
			c->chunk_state = CHUNK_END;
		return true;
	}
	nl = memchr(p, '\n', left);
	if (!nl) {
		if (left > 4096)
			sim_body_finish(c, "header line too long");
		return false;
	}
	*at += (size_t)(nl + 1 - p);
	if (c->chunk_state == CHUNK_SIZE) {
		chunk_size_read(c, p, (size_t)(nl - p));
	} else if (c->chunk_state == CHUNK_END) {
		if (nl - p > 1 || (nl - p == 1 && *p != '\r'))
			sim_body_finish(c, "malformed chunked encoding");
		c->chunk_state = CHUNK_SIZE;
	} else if (nl == p || (nl == p + 1 && *p == '\r')) {
		sim_body_finish(c, NULL);
	}
	return true;
}

void sim_body_take(struct sim_conn *c)
{
	size_t at = 0;

	if (c->body_done)
		return;
	if (c->ex.head.chunked) {
		while (!c->body_done && chunk_step(c, &at))
			;
	} else {
		at = c->inb.n < (uint64_t)c->body_left ? c->inb.n : (size_t)c->body_left;
		body_keep(c, c->inb.p, at);
		c->body_left -= (int64_t)at;
		if (!c->body_left)
			sim_body_finish(c, NULL);
	}
	if (c->ex.route && c->ex.route->body == BODY_JSON && c->state == CONN_BODY && at)
		json_edge_feed(&c->edge, c->body.p + (c->body.n > at ? c->body.n - at : 0), c->body.n > at ? at : c->body.n);
	if (at)
		c->continue_due = false;
	buf_drop(&c->inb, at);
}

bool sim_body_suffices(const struct sim_conn *c)
{
	return c->body_done || (c->ex.route->body == BODY_JSON && c->edge.begun && !c->edge.depth && !c->edge.in_string);
}

const char *sim_conn_body_error(const struct sim_conn *c)
{
	return c->body_error;
}
