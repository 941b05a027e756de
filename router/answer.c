/* What the router says itself: errors in the client's dialect, small bodies, and the headers every answer carries. */
#include "router/router.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

const char *exchange_id_text(const struct exchange *x, char buf[17])
{
	for (unsigned i = 0; i < 16; i++)
		buf[i] = "0123456789abcdef"[x->id >> (60 - 4 * i) & 15];
	buf[16] = 0;
	return buf;
}

static void add_cors(const struct exchange *x, struct http_out *o)
{
	if (!x->origin)
		return;
	http_out_header(o, "Access-Control-Allow-Origin", span_of(x->origin));
	http_out_text(o, "Vary: Origin\r\n");
}

/* 0 to 1, with two decimals. */
static void add_share(struct http_out *o, const char *name, float share)
{
	unsigned percent = (unsigned)(share * 100.0F + 0.5F);
	char text[] = {(char)('0' + percent / 100), '.', (char)('0' + percent / 10 % 10), (char)('0' + percent % 10)};

	http_out_header(o, name, (struct span){text, sizeof(text)});
}

void answer_headers(const struct exchange *x, struct http_out *o)
{
	char id[17];

	http_out_header(o, "X-TSA-Request-Id", span_of(exchange_id_text(x, id)));
	if (x->slot >= 0)
		http_out_header(o, "X-TSA-Instance", span_of(x->r->conf.slots[x->slot].name));
	if (x->model)
		http_out_header(o, "X-TSA-Model", span_of(x->model->key));
	if (x->kind) {
		http_out_header(o, "X-TSA-Category", span_of(auto_category(x)));
		add_share(o, "X-TSA-Confidence", x->confidence);
	}
	if (x->slot >= 0) {
		http_out_header(o, "X-TSA-Route-Reason", span_of(x->attempts > 1 ? "failover" : decide_reason_text((enum decide_reason)x->reason)));
		http_out_header_num(o, "X-TSA-Queue-Ms", x->queue_ns / NS_PER_MS);
	}
	if (x->waited) {
		http_out_header_num(o, "X-TSA-Queue-Position", x->ahead + 1ULL);
		if (x->guess_ns != UINT64_MAX)
			http_out_header_num(o, "X-TSA-Queue-Estimate-Ms", x->guess_ns / NS_PER_MS);
	}
	if (x->adjusted || x->reload.remove) {
		char adjusted[200];

		adjust_text(x, adjusted, sizeof(adjusted));
		http_out_header(o, "X-TSA-Adjusted", span_of(adjusted));
	}
	add_cors(x, o);
	if (!x->client->keep || x->r->draining) {
		x->client->keep = false;
		http_out_text(o, "Connection: close\r\n");
	} else if (x->client->minor == 0) {
		http_out_text(o, "Connection: keep-alive\r\n");
	}
}

static void add_date(struct http_out *o)
{
	time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
	char text[40];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	http_out_header(o, "Date", span_of(text));
}

void answer_body(struct exchange *x, unsigned status, const char *type, const char *extra, const char *body, size_t n)
{
	char head[2048];
	struct http_out o = {.p = head, .cap = sizeof(head)};
	struct iovec iov[2];
	bool silent = x->method == HTTP_HEAD || status == 204;

	if (x->early) {
		keepalive_error(x, status, (struct span){body, n});
		return;
	}
	/* What is left of an unread body would be taken for the next request. */
	if (!http_body_done(&x->in))
		x->client->keep = false;
	x->state = EX_LOCAL;
	http_out_status(&o, status);
	if (type && type[0])
		http_out_header(&o, "Content-Type", span_of(type));
	add_date(&o);
	if (status != 204)
		http_out_header_num(&o, "Content-Length", n);
	if (extra)
		http_out_text(&o, extra);
	answer_headers(x, &o);
	http_out_text(&o, "\r\n");
	exchange_count(x, status);
	iov[0] = (struct iovec){head, o.len};
	iov[1] = (struct iovec){(void *)(uintptr_t)body, n};
	if (client_write(x->client, iov, silent || n == 0 ? 1 : 2))
		exchange_end(x);
}

unsigned answer_retry_s(const struct exchange *x, unsigned retry_s)
{
	return retry_s + (unsigned)(x->id % (retry_s / 4 + 2));
}

static void retry_header(char *buf, size_t size, const struct exchange *x, unsigned retry_s)
{
	buf[0] = 0;
	if (retry_s)
		snprintf(buf, size, "Retry-After: %u\r\n", answer_retry_s(x, retry_s));
}

void answer_error(struct exchange *x, unsigned status, unsigned retry_s, const char *fmt, ...)
{
	enum dialect d = x->route ? x->route->dialect : DIALECT_NATIVE;
	char text[512], body[1536], extra[64], id[17];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (x->early) {
		keepalive_error(x, status, span_of(text));
		return;
	}
	n = dialect_error(d, status, text, exchange_id_text(x, id), body, sizeof(body));
	retry_header(extra, sizeof(extra), x, retry_s);
	answer_body(x, status, dialect_error_type(d), extra, body, n);
}

void answer_plain(struct exchange *x, unsigned status, const char *extra, const char *text)
{
	answer_body(x, status, "text/plain", extra, text, strlen(text));
}

/* Ollama words an unknown model differently on each route, and clients match on it. */
void answer_no_model(struct exchange *x)
{
	bool unknown = false;

	for (unsigned i = 0; i < PROC_SLOTS; i++)
		unknown |= x->r->slots[i].used && !x->r->slots[i].known;
	if (unknown) {
		answer_error(x, 503, 2, "instances are still starting and '%s' may be on one of them; try again in a moment", x->model_text);
		return;
	}
	switch (x->route->id) {
	case ROUTE_ID_EMBED:
	case ROUTE_ID_EMBEDDINGS:
	case ROUTE_ID_V1_EMBEDDINGS:
		answer_error(x, 404, 0, "model \"%s\" not found, try pulling it first", x->model_text);
		break;
	default:
		answer_error(x, 404, 0, "model '%s' not found", x->model_text);
		break;
	}
}

void answer_fault(struct client *cl, enum dialect d, const struct http_fault *fault)
{
	char head[512], body[512];
	struct http_out o = {.p = head, .cap = sizeof(head)};
	struct iovec iov[2];
	size_t n = dialect_error(d, fault->status, fault->reason, "", body, sizeof(body));

	http_out_status(&o, fault->status);
	http_out_header(&o, "Content-Type", span_of(dialect_error_type(d)));
	add_date(&o);
	http_out_header_num(&o, "Content-Length", n);
	http_out_text(&o, "Connection: close\r\n\r\n");
	shm_add(&cl->r->count->requests, 1);
	shm_add(fault->status == 503 ? &cl->r->count->refused_503 : &cl->r->count->refused_4xx, 1);
	iov[0] = (struct iovec){head, o.len};
	iov[1] = (struct iovec){body, n};
	cl->keep = false;
	if (client_write(cl, iov, 2))
		client_done(cl);
}
