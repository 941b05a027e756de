/* Routes that change model stores: sent to every store once, told to the client as one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "router/fan.h"
#include "router/progress.h"

#define LINE_MAX_BYTES 4096

/* One slot of each store: instances that share one need to be told once. */
static uint64_t one_per_store(const struct router *r)
{
	uint64_t answering = fan_answering(r), mask = 0;

	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		bool have = false;

		for (unsigned j = 0; j < i && r->conf.slots[i].store; j++)
			have |= (mask & (1ULL << j)) && r->conf.slots[j].store == r->conf.slots[i].store;
		if (answering & (1ULL << i) && !have)
			mask |= 1ULL << i;
	}
	return mask;
}

/* --- progress streams -------------------------------------------------------------------------------------------------------------- */

static void begin_stream_answer(struct exchange *x)
{
	char head[1024];
	struct http_out o = {.p = head, .cap = sizeof(head)};
	struct iovec iov = {.iov_base = head};

	x->head_sent = true;
	http_out_status(&o, 200);
	http_out_text(&o, "Content-Type: application/x-ndjson\r\n");
	x->chunked = x->client->minor == 1;
	if (x->chunked)
		http_out_text(&o, "Transfer-Encoding: chunked\r\n");
	else
		x->client->keep = false;
	answer_headers(x, &o);
	http_out_text(&o, "\r\n");
	iov.iov_len = o.len;
	client_write(x->client, &iov, 1);
}

static void tell(struct fan *fan, const char *line, size_t n)
{
	struct exchange *x = fan->x;
	char size[24];
	struct iovec iov[3];
	unsigned k = 0;

	/* A client that does not keep up misses some of the progress, never the end. */
	if (!x->stream || !n || (fan->pending && conn_pending(&x->client->c) > x->r->conf.buffer_bytes))
		return;
	if (!x->head_sent)
		begin_stream_answer(x);
	if (!fan->x || x->dead)
		return;
	if (x->chunked)
		iov[k++] = (struct iovec){size, http_chunk_head(size, n)};
	iov[k++] = (struct iovec){(void *)(uintptr_t)line, n};
	if (x->chunked)
		iov[k++] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
	client_write(x->client, iov, k);
}

static void take_line(struct fetch *f, const char *line, size_t n)
{
	struct fan *fan = f->fan;
	char buf[LINE_MAX_BYTES];
	bool success, error;
	size_t out = progress_line(fan->progress, (unsigned)(f - fan->parts), line, n, buf, sizeof(buf), &success, &error);

	if (success)
		f->success = true;
	else if (error)
		snprintf(f->why, sizeof(f->why), "%.110s", buf);
	else
		tell(fan, buf, out);
}

static void stream_bytes(struct fetch *f, const char *p, size_t n)
{
	struct fan *fan = f->fan;

	while (n && fan->x) {
		const char *nl = memchr(p, '\n', n);
		size_t part = nl ? (size_t)(nl - p) : n;

		if (carry_add(&f->body, p, part, LINE_MAX_BYTES)) {
			snprintf(f->why, sizeof(f->why), "a progress line is too long");
			carry_free(&f->body);
		}
		p += part + (nl != NULL);
		n -= part + (nl != NULL);
		if (nl && f->body.n) {
			struct carry line = f->body;

			f->body = (struct carry){0};
			take_line(f, line.p, line.n);
			carry_free(&line);
		}
	}
}

/* Why the parts that did not succeed failed: "name: text; name: text". */
static void failures(const struct fan *fan, bool (*good)(const struct fetch *), char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = 0;
	for (unsigned i = 0; i < fan->n && n < size; i++) {
		const struct fetch *f = &fan->parts[i];

		if (!good(f))
			n += (size_t)snprintf(buf + n, size - n, "%s%s: %s", n ? "; " : "", fan->x->r->conf.slots[f->slot].name,
					      f->why[0] ? f->why : "it ended without saying that it succeeded");
	}
}

static bool stream_good(const struct fetch *f)
{
	return f->success;
}

static void finish_stream(struct fan *fan)
{
	struct exchange *x = fan->x;
	char why[480], line[1200];
	size_t n;

	for (unsigned i = 0; i < fan->n; i++) {
		struct fetch *f = &fan->parts[i];

		/* An answer without a newline at its end (stream:false), or an error status with its text. */
		if (f->body.n)
			take_line(f, f->body.p, f->body.n);
	}
	failures(fan, stream_good, why, sizeof(why));
	if (!x->head_sent) {
		unsigned status = fan->parts[0].status >= 400 && fan->n == 1 ? fan->parts[0].status : 500;

		if (why[0])
			answer_error(x, status, 0, "%s", why);
		else
			answer_body(x, 200, "application/json", NULL, "{\"status\":\"success\"}", 20);
		return;
	}
	n = why[0] ? dialect_error(DIALECT_NATIVE, 500, why, "", line, sizeof(line) - 1) : (size_t)snprintf(line, sizeof(line), "{\"status\":\"success\"}");
	line[n++] = '\n';
	exchange_count(x, why[0] ? 500 : 200);
	tell(fan, line, n);
	if (x->dead)
		return;
	if (x->chunked) {
		struct iovec end = {(void *)(uintptr_t) "0\r\n\r\n", 5};

		if (!client_write(x->client, &end, 1))
			return;
	}
	exchange_end(x);
}

/* --- plain answers: copy, delete, blobs -------------------------------------------------------------------------------------------- */

static bool plain_good(const struct fetch *f)
{
	return f->status >= 200 && f->status < 300;
}

/* All did it: the first answer.  A store that never had the model (404) is no failure as long as another one did it. */
static void finish_plain(struct fan *fan)
{
	struct exchange *x = fan->x;
	struct fetch *ok = NULL, *missing = NULL, *bad = NULL;
	char why[480];

	for (unsigned i = 0; i < fan->n; i++) {
		struct fetch *f = &fan->parts[i];

		if (plain_good(f))
			ok = f;
		else if (f->status == 404)
			missing = f;
		else
			bad = f;
		if (!plain_good(f) && f->status && !f->why[0])
			snprintf(f->why, sizeof(f->why), "%.*s", f->body.n < 100 ? (int)f->body.n : 100, f->body.n ? f->body.p : "refused");
	}
	if (bad && fan->n > 1) {
		failures(fan, plain_good, why, sizeof(why));
		answer_error(x, 502, 0, "%s", why);
		return;
	}
	ok = bad ? bad : ok && !(missing && x->route->id == ROUTE_ID_BLOBS) ? ok : missing;
	if (!ok->status)
		answer_error(x, 502, 0, "%s", ok->why);
	else
		answer_body(x, ok->status, ok->type, NULL, ok->body.p ? ok->body.p : "", ok->body.n);
}

/* --- begin -------------------------------------------------------------------------------------------------------------------------- */

static bool digest_ok(const char *d)
{
	if (strncmp(d, "sha256:", 7) != 0 && strncmp(d, "sha256-", 7) != 0)
		return false;
	return strlen(d) == 71 && strspn(d + 7, "0123456789abcdef") == 64;
}

/* False: answered. */
static bool look(struct exchange *x, struct span body, char *path, size_t size)
{
	enum view_fault fault;
	struct view v;

	snprintf(path, size, "%s", x->route->path);
	if (x->route->id == ROUTE_ID_BLOBS) {
		if (!digest_ok(x->tail)) {
			answer_error(x, 400, 0, "invalid digest format");
			return false;
		}
		snprintf(path, size, "/api/blobs/%s", x->tail);
		return true;
	}
	fault = view_scan(body, &v, NULL);
	if (fault != VIEW_OK) {
		answer_error(x, 400, 0, "%s", view_fault_text(fault));
		return false;
	}
	x->stream = v.at[VIEW_K_STREAM].kind == VIEW_TRUE || (v.at[VIEW_K_STREAM].kind <= VIEW_NULL && x->route->default_stream);
	return true;
}

void manage_answer(struct exchange *x)
{
	static const struct fan_ops STREAM = {.bytes = stream_bytes, .finish = finish_stream}, PLAIN = {.finish = finish_plain};
	bool stream = x->route->shape == STREAM_NDJSON;
	struct span body = {x->body ? x->body + EX_HEADROOM : "", x->body_len};
	struct progress *progress;
	char path[128];
	int rc;

	if (!look(x, body, path, sizeof(path)))
		return;
	progress = stream ? progress_create() : NULL;
	if (stream && !progress) {
		answer_error(x, 503, 1, "out of memory");
		return;
	}
	rc = fan_start(x, one_per_store(x->r), (enum http_method)x->method, path, body, x->r->conf.first_ns, stream ? &STREAM : &PLAIN, progress);
	if (rc)
		answer_error(x, 503, 2, rc == -ENOENT ? "no instance answers yet; see `tsactl instances`" : "out of memory");
}
