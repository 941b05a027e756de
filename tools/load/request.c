#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/load/client.h"
#include "tools/load/load.h"
#include "tools/load/report.h"
#include "tools/load/wire.h"

struct batch;

/* One connection and the request on it. */
struct asker {
	struct client client;
	struct batch *batch;
	struct asker *next_idle;
	char *request;
	size_t request_n;
	uint32_t id;
	uint64_t due_ns; /* when it was, or should have been, sent */
	size_t body_n;
	char *body; /* of the answer */
};

struct batch {
	const struct options *options;
	struct loop *loop;
	struct asker *askers;
	struct asker *idle;
	struct timer tick; /* the next request is due, where there is a rate */
	uint64_t start_ns;
	uint64_t sent;
	uint64_t warm; /* answers before the window */
	size_t body_max;
	struct report report;
};

/* Send the next request on `a`.  False: there is none left, or it is not yet due. */
static bool asker_next(struct asker *a, uint64_t due_ns)
{
	struct batch *b = a->batch;

	if (b->sent == b->options->requests)
		return false;
	a->id = (uint32_t)++b->sent;
	a->due_ns = due_ns;
	a->body_n = 0;
	wire_ask_renumber(a->request, a->request_n, a->id);
	if (!client_send(&a->client, a->request, a->request_n))
		report_fail(&b->report, FAIL_CONNECT);
	return true;
}

static void batch_idle_put(struct batch *b, struct asker *a)
{
	a->next_idle = b->idle;
	b->idle = a;
}

/* `a` has its answer, or its failure. */
static void asker_ended(struct asker *a)
{
	struct batch *b = a->batch;

	if (b->options->rate) {
		batch_idle_put(b, a);
		if (b->sent < b->options->requests && !b->tick.place)
			loop_timer_arm(b->loop, &b->tick, clock_now_ns());
	} else {
		while (!a->client.waiting && asker_next(a, clock_now_ns()))
			;
	}
	if (!b->report.open_ns && report_ended(&b->report) >= b->warm)
		report_window_open(&b->report);
	if (report_ended(&b->report) == b->options->requests) {
		report_window_close(&b->report);
		loop_stop(b->loop);
	}
}

static void asker_payload(struct client *c, struct span bytes)
{
	struct asker *a = container_of(c, struct asker, client);

	/* What is too long cannot be right; asker_done will see the length. */
	if (bytes.n <= a->batch->body_max - a->body_n)
		memcpy(a->body + a->body_n, bytes.p, bytes.n);
	a->body_n = bytes.n <= a->batch->body_max - a->body_n ? a->body_n + bytes.n : a->batch->body_max;
}

static enum fail asker_judge(struct asker *a)
{
	const struct options *o = a->batch->options;
	struct piece piece;
	bool ended = false;

	if (a->body_n == a->batch->body_max || a->body_n < o->reply_bytes)
		return FAIL_CONTENT;
	if (wire_piece_parse((enum wire_dialect)o->dialect, (struct span){a->body, a->body_n}, &piece, &ended) != 1 || !piece.final)
		return FAIL_CONTENT;
	return piece.id == a->id ? FAIL_NONE : FAIL_FOREIGN;
}

static void asker_done(struct client *c)
{
	struct asker *a = container_of(c, struct asker, client);
	struct report *r = &a->batch->report;
	enum fail fail = asker_judge(a);

	if (fail)
		report_fail(r, fail);
	else
		r->ok++;
	if (r->open_ns && !fail) {
		r->units++;
		hist_add(&r->hist, clock_now_ns() - a->due_ns);
	}
	asker_ended(a);
}

static void asker_failed(struct client *c, enum fail fail)
{
	struct asker *a = container_of(c, struct asker, client);

	report_fail(&a->batch->report, fail);
	asker_ended(a);
}

static const struct client_ops ASKER_OPS = {asker_payload, asker_done, asker_failed};

/* Send what is due on the connections that are free; those that are not send when they are. */
static void batch_tick(struct timer *t, uint64_t now_ns)
{
	struct batch *b = container_of(t, struct batch, tick);

	while (b->idle && b->sent < b->options->requests) {
		struct asker *a = b->idle;
		uint64_t due_ns = b->start_ns + b->sent * NS_PER_S / b->options->rate;

		if (due_ns > now_ns) {
			loop_timer_arm(b->loop, t, due_ns);
			return;
		}
		b->idle = a->next_idle;
		asker_next(a, due_ns);
		if (!a->client.waiting)
			asker_ended(a);
	}
}

static int batch_build(struct batch *b)
{
	const struct options *o = b->options;
	const struct ask ask = {.bytes = (uint32_t)o->reply_bytes};

	b->askers = calloc(o->conns, sizeof(*b->askers));
	if (!b->askers)
		return -ENOMEM;
	for (uint64_t i = 0; i < o->conns; i++) {
		struct asker *a = &b->askers[i];

		a->batch = b;
		client_init(&a->client, b->loop, &o->to, &ASKER_OPS);
		a->body = malloc(b->body_max);
		if (!a->body || wire_ask_build((enum wire_dialect)o->dialect, o->to.text, &ask, false, o->body_bytes, &a->request,
					       &a->request_n))
			return -ENOMEM;
	}
	return 0;
}

static void batch_free(struct batch *b)
{
	for (uint64_t i = 0; b->askers && i < b->options->conns; i++) {
		if (b->askers[i].batch)
			client_close(&b->askers[i].client);
		free(b->askers[i].body);
		free(b->askers[i].request);
	}
	free(b->askers);
}

static void batch_start(struct batch *b)
{
	b->start_ns = clock_now_ns();
	for (uint64_t i = 0; i < b->options->conns; i++) {
		struct asker *a = &b->askers[i];

		if (b->options->rate)
			batch_idle_put(b, a);
		else if (asker_next(a, clock_now_ns()) && !a->client.waiting)
			asker_ended(a);
	}
	if (b->options->rate)
		loop_timer_arm(b->loop, &b->tick, b->start_ns);
}

int request_run(const struct options *o, struct why *why)
{
	static struct batch b;
	int status = EXIT_NOT_AS_ASKED;

	b.options = o;
	b.warm = o->requests / 10;
	b.body_max = o->reply_bytes + WIRE_HEAD_MAX;
	b.tick.fire = batch_tick;
	if (loop_create(o->time_ns, 1, &b.loop, why))
		return status;
	if (batch_build(&b)) {
		why_set(why, -ENOMEM, "out of memory; ask for fewer connections or shorter bodies");
	} else {
		report_init(&b.report, o, "requests", "latency", o->requests);
		batch_start(&b);
		loop_run(b.loop);
		while (report_ended(&b.report) < o->requests)
			report_fail(&b.report, FAIL_UNFINISHED);
		report_window_close(&b.report);
		status = report_print(&b.report, "request") ? EXIT_AS_ASKED : EXIT_NOT_AS_ASKED;
	}
	batch_free(&b);
	loop_destroy(&b.loop);
	return status;
}
