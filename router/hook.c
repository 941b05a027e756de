/* The last of the chain: when no model can serve a request whose model tsa was to choose, a service that the operator has named is asked
 * instead.  It gets the client's body, and of the head what tells it what to do; its answer is the client's, in one piece. */
#include "router/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"

#define HOOK_ANSWER (4U << 20) /* no longer answer is passed on */

static void fail(struct exchange *x, const char *why)
{
	log_warning("the hook at %s did not answer: %s", x->r->conf.routing.automatic.hook.text, why);
	answer_error(x, 503, 5, "no model of this service can answer this now, and the hook did not: %s", why);
}

static void on_head(void *owner, const struct http_head *h)
{
	struct exchange *x = owner;
	struct span type = http_header_get(h, HTTP_H_CONTENT_TYPE);

	x->status = (uint16_t)h->status;
	free(x->error_type);
	x->error_type = span_dup(type, ROUTER_ERROR_TYPE);
	carry_free(&x->error);
}

static void on_bytes(void *owner, struct span *parts, unsigned n, bool done)
{
	struct exchange *x = owner;
	char why[48];

	if (done)
		x->up = NULL;
	for (unsigned i = 0; i < n; i++)
		if (carry_add(&x->error, parts[i].p, parts[i].n, HOOK_ANSWER)) {
			exchange_unhand(x);
			fail(x, "its answer is longer than 4 MiB");
			return;
		}
	if (!done)
		return;
	if (x->status < 200 || x->status > 299) {
		snprintf(why, sizeof(why), "it said %u", x->status);
		fail(x, why);
		return;
	}
	answer_body(x, x->status, x->error_type, "X-TSA-Route-Reason: hook\r\n", x->error.p ? x->error.p : "", x->error.n);
}

static void on_broken(void *owner, const char *why, bool connect_failed)
{
	struct exchange *x = owner;

	x->up = NULL;
	fail(x, connect_failed ? "it takes no connection" : why);
}

static const struct up_user USER = {.head = on_head, .bytes = on_bytes, .broken = on_broken};

static char *write_head(struct exchange *x, size_t *n)
{
	const struct proc_automatic *a = &x->r->conf.routing.automatic;
	struct http_out o = {.p = (char[EX_HEADROOM]){0}, .cap = EX_HEADROOM};
	char text[32];

	http_out_text(&o, "POST ");
	http_out_text(&o, a->hook_path);
	http_out_text(&o, " HTTP/1.1\r\n");
	http_out_header(&o, "Host", span_of(a->hook.text));
	http_out_header(&o, "Content-Type", span_of(exchange_type(x)));
	http_out_header_num(&o, "Content-Length", x->body_len);
	http_out_header(&o, "X-TSA-Request-Id", span_of(exchange_id_text(x, text)));
	http_out_header(&o, "X-TSA-Path", span_of(x->route->path));
	if (x->kind) {
		http_out_header(&o, "X-TSA-Category", span_of(auto_category(x)));
		snprintf(text, sizeof(text), "%.2f", (double)x->confidence);
		http_out_header(&o, "X-TSA-Confidence", span_of(text));
		snprintf(text, sizeof(text), "%.2f", (double)x->complexity);
		http_out_header(&o, "X-TSA-Complexity", span_of(text));
	}
	http_out_text(&o, "Connection: close\r\n\r\n");
	BUG_ON(o.overflow);
	memcpy(x->body + EX_HEADROOM - o.len, o.p, o.len);
	*n = o.len + x->body_len;
	return x->body + EX_HEADROOM - o.len;
}

bool hook_ask(struct exchange *x)
{
	struct router *r = x->r;
	struct why why = {""};
	size_t n;
	char *p;

	if (!x->automatic || x->embed || x->early || x->state == EX_HOOK || !r->conf.routing.automatic.hook.family || !x->client || !x->body)
		return false;
	BUG_ON(x->up || x->slot >= 0);
	x->state = EX_HOOK;
	x->deadline_ns = clock_after_ns(clock_now_ns(), r->conf.routing.automatic.hook_ns);
	carry_free(&x->error);
	shm_add(&r->count->auto_hook, 1);
	p = write_head(x, &n);
	if (upstream_send(r, UP_HOOK, HTTP_POST, p, n, true, &USER, x, &x->up, &why))
		fail(x, why.text);
	return true;
}

void hook_expired(struct exchange *x)
{
	exchange_unhand(x);
	fail(x, "not within hook_timeout");
}
