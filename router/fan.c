#include "router/fan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "router/progress.h"

#define FETCH_MAX (8 * 1024 * 1024) /* bytes of one instance's answer; Ollama's own client refuses longer lines */

uint64_t fan_answering(const struct router *r)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		enum shm_state s = r->slots[i].state;

		if (r->slots[i].used && (s == SHM_STATE_READY || s == SHM_STATE_UP || s == SHM_STATE_WARMING || s == SHM_STATE_SICK || s == SHM_STATE_DRAINING))
			mask |= 1ULL << i;
	}
	return mask;
}

const char *fan_failed_names(const struct fan *fan, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = 0;
	for (unsigned i = 0; i < fan->n; i++)
		if (fan->parts[i].status == 0 && n < size)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", fan->x->r->conf.slots[fan->parts[i].slot].name);
	return buf;
}

static void fan_bury(struct fan *fan, struct router *r)
{
	for (unsigned i = 0; i < fan->n; i++) {
		if (fan->parts[i].up)
			upstream_abandon(fan->parts[i].up);
		fan->parts[i].up = NULL;
		carry_free(&fan->parts[i].body);
		free(fan->requests[i]);
		fan->requests[i] = NULL;
	}
	progress_destroy(&fan->progress);
	router_bury(r, &fan->grave);
}

static void part_ended(struct fetch *f)
{
	struct fan *fan = f->fan;
	struct exchange *x = fan->x;

	if (f->ended)
		return;
	f->ended = true;
	f->up = NULL;
	if (--fan->pending || !x)
		return;
	/* finish() answers x and so frees it: from here on its end does not touch the fan. */
	x->state = EX_LOCAL;
	x->fan = NULL;
	fan->ops->finish(fan);
	fan->x = NULL;
	fan_bury(fan, fan->router);
}

/* A progress stream may go on for ever as long as something comes; what is answered in one piece has one deadline. */
static void touch(struct fan *fan)
{
	if (fan->x && fan->progress)
		fan->x->deadline_ns = clock_after_ns(clock_now_ns(), fan->span_ns);
}

static void on_head(void *owner, const struct http_head *head)
{
	struct fetch *f = owner;

	f->status = head->status;
	if (!span_copy(f->type, sizeof(f->type), http_header_get(head, HTTP_H_CONTENT_TYPE)))
		f->type[0] = 0;
	touch(f->fan);
}

static void part_failed(struct fetch *f, const char *why)
{
	f->status = 0;
	snprintf(f->why, sizeof(f->why), "%s", why);
	part_ended(f);
}

static void on_bytes(void *owner, struct span *parts, unsigned n, bool done)
{
	struct fetch *f = owner;

	touch(f->fan);
	if (done)
		f->up = NULL;
	for (unsigned i = 0; i < n; i++) {
		int rc = 0;

		if (!f->fan->ops->bytes || f->status != 200)
			rc = carry_add(&f->body, parts[i].p, parts[i].n, FETCH_MAX);
		else
			f->fan->ops->bytes(f, parts[i].p, parts[i].n);
		if (!f->fan->x)
			return; /* the client left while it was told */
		if (rc) {
			if (f->up)
				upstream_abandon(f->up);
			part_failed(f, rc == -ENOMEM ? "no memory for its answer" : "its answer is too long");
			return;
		}
	}
	if (done)
		part_ended(f);
}

static void on_broken(void *owner, const char *why, bool connect_failed)
{
	(void)connect_failed;
	part_failed(owner, why);
}

static const struct up_user USER = {.head = on_head, .bytes = on_bytes, .broken = on_broken};

/* One request as one block of memory: head and body. */
static char *write_request(struct router *r, unsigned slot, enum http_method method, const char *path, struct span body, const char *type, size_t *n)
{
	static const char *const NAMES[] = {[HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE"};
	char head[768];
	struct http_out o = {.p = head, .cap = sizeof(head)};
	char *p;

	http_out_text(&o, NAMES[method]);
	http_out_text(&o, " ");
	http_out_text(&o, path);
	http_out_text(&o, " HTTP/1.1\r\n");
	http_out_header(&o, "Host", span_of(r->conf.slots[slot].addr.text));
	if (body.n) {
		http_out_header(&o, "Content-Type", span_of(type));
		http_out_header_num(&o, "Content-Length", body.n);
	}
	http_out_text(&o, "\r\n");
	p = o.overflow ? NULL : malloc(o.len + body.n);
	if (!p)
		return NULL;
	memcpy(p, head, o.len);
	if (body.n)
		memcpy(p + o.len, body.p, body.n);
	*n = o.len + body.n;
	return p;
}

static void send_part(struct fan *fan, unsigned i, enum http_method method, const char *path, struct span body)
{
	struct fetch *f = &fan->parts[i];
	struct why why = {0};
	size_t n = 0;

	fan->requests[i] = write_request(fan->router, f->slot, method, path, body, exchange_type(fan->x), &n);
	if (fan->requests[i])
		/* A new connection each time: a pooled one that was closed meanwhile would look like a failed instance. */
		(void)upstream_send(fan->router, f->slot, method, fan->requests[i], n, true, &USER, f, &f->up, &why);
	if (!f->up)
		snprintf(f->why, sizeof(f->why), "%.110s", why.text[0] ? why.text : "out of memory");
}

int fan_start(struct exchange *x, uint64_t slots, enum http_method method, const char *path, struct span body, uint64_t span_ns,
	      const struct fan_ops *ops, struct progress *progress)
{
	struct fan *fan = slots ? calloc(1, sizeof(*fan)) : NULL;
	struct router *r = x->r;

	if (!fan) {
		progress_destroy(&progress);
		return slots ? -ENOMEM : -ENOENT;
	}
	fan->x = x;
	fan->router = r;
	fan->ops = ops;
	fan->span_ns = span_ns;
	fan->progress = progress;
	x->fan = fan;
	x->state = EX_FAN;
	x->deadline_ns = clock_after_ns(clock_now_ns(), span_ns);
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (slots & (1ULL << i)) {
			fan->parts[fan->n].fan = fan;
			fan->parts[fan->n++].slot = i;
		}
	fan->pending = fan->n;
	for (unsigned i = 0; i < fan->n; i++)
		send_part(fan, i, method, path, body);
	/* Those that could not even be sent end now, all others later. */
	for (unsigned i = 0, n = fan->n; i < n; i++)
		if (!fan->parts[i].up)
			part_ended(&fan->parts[i]);
	return 0;
}

void fan_client_gone(struct fan *fan)
{
	struct router *r = fan->router;

	fan->x = NULL;
	fan_bury(fan, r);
}

void fan_expired(struct fan *fan)
{
	for (unsigned i = 0, n = fan->n; i < n && fan->x; i++) {
		struct fetch *f = &fan->parts[i];

		if (f->ended)
			continue;
		if (f->up)
			upstream_abandon(f->up);
		part_failed(f, "no answer in time");
	}
}
