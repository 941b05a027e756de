/* One request from head to answer: who owns it when, and what happens when an instance or the client fails. */
#include "router/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"

/* An instance that failed a request is avoided so long, doubled when it fails again after that, at most four times: 16 s. */
#define PENALTY_NS    (1ULL * NS_PER_S)
#define PENALTY_TWICE 4U

struct exchange *exchange_create(struct router *r, struct client *cl)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->r = r;
	x->client = cl;
	x->id = r->next_id;
	/* Ids need not be secret, only distinct over restarts and routers: a step that visits every 64-bit number. */
	r->next_id += 0x9e3779b97f4a7c15ULL;
	x->slot = -1;
	x->queued_at = -1;
	x->category = -1;
	x->item.class = ORDER_NORMAL;
	x->start_ns = clock_now_ns();
	x->deadline_ns = CLOCK_NEVER;
	x->total_ns = CLOCK_NEVER;
	LIST_INSERT_HEAD(&r->exchanges, x, link);
	return x;
}

static void drop_body(struct exchange *x)
{
	free(x->body);
	x->r->held_bytes -= x->body_cap;
	x->body = NULL;
	x->body_cap = 0;
}

void exchange_unhand(struct exchange *x)
{
	if (x->up)
		upstream_abandon(x->up);
	x->up = NULL;
}

/* The error answer that was being read. */
static void error_drop(struct exchange *x)
{
	carry_free(&x->error);
	free(x->error_type);
	x->error_type = NULL;
}

void exchange_free(struct exchange *x)
{
	struct router *r = x->r;

	if (r->head_of == x)
		r->head_of = NULL;
	exchange_unhand(x);
	loop_timer_clear(&r->loop, &x->calm);
	drop_body(x);
	free(x->tail);
	free(x->query);
	free(x->content_type);
	free(x->origin);
	x->tail = x->query = x->content_type = x->origin = NULL;
	error_drop(x);
	exchange_model(x, NULL);
	if (x->tenant)
		tenant_leave(x->tenant);
	x->tenant = NULL;
	LIST_REMOVE(x, link);
	x->dead = true;
	router_bury(r, &x->grave);
}

void exchange_end(struct exchange *x)
{
	struct client *cl = x->client;

	x->client = NULL;
	exchange_free(x);
	if (cl)
		client_done(cl);
}

/* --- places -------------------------------------------------------------------------------------------------------------------- */

void exchange_leave_slot(struct exchange *x, uint64_t hold_ns)
{
	int slot = x->slot;

	if (slot < 0)
		return;
	learn_outcome(x, BREAKER_LEFT); /* unless more is known of its end */
	LIST_REMOVE(x, on_slot);
	places_left(x);
	x->slot = -1;
	place_release(x->r, (unsigned)slot, hold_ns);
}

static void count_slot(struct exchange *x, unsigned slot, bool ok)
{
	struct shm_rslot *p = x->r->page ? &x->r->page->slot[slot] : NULL;
	struct slot *s = &x->r->slots[slot];

	s->fail_streak = ok ? 0 : s->fail_streak + 1;
	if (ok && s->penalties) {
		lane_changed(x->r);
		s->penalty_ns = 0;
		s->penalties = 0;
	}
	if (!p)
		return;
	shm_add(ok ? &p->served : &p->failed, 1);
	shm_set(&p->fail_streak, s->fail_streak);
}

/* Keep away from an instance that just failed; a whole answer to somebody else ends that.  One death fails all that was in flight:
 * what fails during the pause was sent before it and tells nothing new. */
static void penalise(struct exchange *x, unsigned slot)
{
	struct slot *s = &x->r->slots[slot];
	uint64_t now = clock_now_ns();

	if (s->penalty_ns > now)
		return;
	s->penalty_ns = clock_after_ns(now, PENALTY_NS << s->penalties);
	if (s->penalties < PENALTY_TWICE)
		s->penalties++;
	lane_changed(x->r);
}

/* --- dispatch ------------------------------------------------------------------------------------------------------------------ */

static void on_head(void *owner, const struct http_head *head)
{
	exchange_answer_head(owner, head);
}

static void on_bytes(void *owner, struct span *parts, unsigned n, bool done)
{
	exchange_answer_bytes(owner, parts, n, done);
}

static void on_broken(void *owner, const char *why, bool connect_failed)
{
	struct exchange *x = owner;

	x->up = NULL; /* it is gone already */
	exchange_answer_broken(x, why, connect_failed);
}

static const struct up_user USER = {.head = on_head, .bytes = on_bytes, .broken = on_broken};

/* The request as the instance gets it: written afresh, nothing of the client's head but the media type. */
static char *write_head(struct exchange *x, unsigned slot, size_t *n)
{
	char buf[EX_HEADROOM];
	struct http_out o = {.p = buf, .cap = sizeof(buf)};

	http_out_text(&o, "POST ");
	http_out_text(&o, x->route->path);
	http_out_text(&o, " HTTP/1.1\r\n");
	http_out_header(&o, "Host", span_of(x->r->conf.slots[slot].addr.text));
	http_out_header(&o, "Content-Type", span_of(exchange_type(x)));
	http_out_header_num(&o, "Content-Length", x->body_len);
	http_out_text(&o, "\r\n");
	BUG_ON(o.overflow);
	memcpy(x->body + EX_HEADROOM - o.len, buf, o.len);
	*n = o.len + x->body_len;
	return x->body + EX_HEADROOM - o.len;
}

void exchange_dispatch(struct exchange *x, unsigned slot, enum decide_reason reason, bool resident)
{
	struct router *r = x->r;
	uint64_t now = clock_now_ns();
	struct why why = {0};
	size_t n;
	char *p;
	int rc;

	x->slot = (int8_t)slot;
	x->reason = (uint8_t)reason;
	x->cold = !resident;
	x->state = EX_SENT;
	x->attempts++;
	x->sent_ns = now;
	x->deadline_ns = clock_after_ns(now, r->conf.first_ns);
	LIST_INSERT_HEAD(&r->slots[slot].running, x, on_slot);
	learn_sent(x, now);
	places_sent(x);
	if (r->page)
		shm_set(&r->page->slot[slot].used_ns, now);
	p = write_head(x, slot, &n);
	rc = upstream_send(r, slot, HTTP_POST, p, n, false, &USER, x, &x->up, &why);
	if (rc == 0) {
		x->reused = x->up->served > 0;
	} else if (upstream_is_shortage(rc)) {
		exchange_leave_slot(x, 0);
		answer_error(x, 503, 1, "the service is short of descriptors or memory; try again in a second");
	} else {
		exchange_answer_broken(x, why.text, true);
	}
}

/* A connection that had been idle was closed under us: the request was not looked at, so send it again on a new one. */
static bool send_again(struct exchange *x)
{
	struct why why = {0};
	size_t n;
	char *p;

	if (!x->reused || x->state != EX_SENT || !x->client)
		return false;
	x->reused = false;
	p = write_head(x, (unsigned)x->slot, &n);
	return upstream_send(x->r, (unsigned)x->slot, HTTP_POST, p, n, true, &USER, x, &x->up, &why) == 0;
}

/* --- failure before the first byte ---------------------------------------------------------------------------------------------- */

/* What an error answer says about the instance that gave it. */
enum blame {
	BLAME_CLIENT = 0,
	BLAME_MODEL, /* no instance can do that with it */
	BLAME_MAYBE,
	BLAME_CRASH,
};

/* Another instance could serve it, if need be without the tag of its category. */
static bool has_way(struct exchange *x)
{
	if (queue_has_way(x))
		return true;
	if (!auto_relax(x))
		return false;
	order_set_add(&x->item.tried, (unsigned)x->slot);
	return queue_has_way(x);
}

/* Another instance could still serve it; another model, where tsa chose it; or, after a crash, the same instance when it is back: into
 * the queue again.  False: there is no other way. */
static bool reroute(struct exchange *x, enum blame blame)
{
	struct router *r = x->r;

	if (!x->client || x->attempts >= ROUTER_ATTEMPTS || clock_now_ns() >= x->total_ns || !x->body)
		return false;
	order_set_add(&x->item.tried, (unsigned)x->slot);
	if ((blame == BLAME_MODEL || !has_way(x)) && !auto_next(x)) {
		if (blame != BLAME_CRASH)
			return false;
		adjust_tried(x); /* its pause after the failure keeps it from being asked at once */
	}
	if (!retry_take(&r->routing.retry, &r->routing.retry_conf, clock_now_ns()))
		return false;
	error_drop(x);
	shm_add(&r->count->failovers, 1);
	exchange_leave_slot(x, 0);
	queue_submit(x);
	return true;
}

void exchange_answer_broken(struct exchange *x, const char *why, bool connect_failed)
{
	struct router *r = x->r;
	unsigned slot = (unsigned)x->slot;
	const char *name;
	char id[17];

	BUG_ON(x->slot < 0);
	name = r->conf.slots[slot].name;
	if (!connect_failed && send_again(x))
		return;
	count_slot(x, slot, false);
	penalise(x, slot);
	learn_outcome(x, connect_failed ? BREAKER_CONNECT : x->timed_out ? BREAKER_TIMEOUT : BREAKER_CRASH);
	log_line(LOG_WARNING_,
		 &(struct log_about){
			 .event = LOG_EV_UPSTREAM_FAILED, .slot = name, .model = x->model->key, .request = exchange_id_text(x, id)},
		 "slot %s %s: request failed %s the first byte: %s", name, x->model->key, x->head_sent ? "after" : "before", why);
	if (!x->client)
		park_end(x);
	else if (x->state == EX_STREAM)
		relay_broken(x, why);
	else if (!reroute(x, BLAME_CRASH)) {
		exchange_leave_slot(x, 0);
		if (hook_ask(x))
			return;
		answer_error(x, x->timed_out ? 504 : 502, 1, "the instance %s failed this request before it answered: %s; see `tsactl instance %s`", name, why,
			     name);
	}
}

/* --- the answer begins ---------------------------------------------------------------------------------------------------------- */

static void count_first(struct exchange *x, uint64_t took_ns)
{
	struct shm_rslot *p = x->r->page ? &x->r->page->slot[x->slot] : NULL;
	uint64_t old;

	if (!p)
		return;
	old = shm_get(&p->first_ewma_ns);
	shm_set(&p->first_ewma_ns, old ? (old * 7 + took_ns) / 8 : took_ns);
	shm_hist_add(p->first_hist, took_ns);
}

/* Answers that another instance might give better. */
static bool worth_judging(unsigned status)
{
	return status == 400 || status == 404 || status == 500 || status == 502 || status == 503;
}

void exchange_answer_head(struct exchange *x, const struct http_head *head)
{
	uint64_t now = clock_now_ns();

	places_begun(x, head->status == 200);
	if (!x->client) { /* parked, and the server has settled it */
		park_answer(x);
		return;
	}
	x->status = (uint16_t)head->status;
	x->first_at_ns = now;
	count_first(x, now - x->sent_ns);
	if (worth_judging(head->status) || (x->early && head->status != 200)) {
		struct span type = http_header_get(head, HTTP_H_CONTENT_TYPE);

		x->state = EX_ERROR;
		x->error_type = span_dup(type, ROUTER_ERROR_TYPE);
		x->deadline_ns = clock_after_ns(now, x->r->conf.gap_ns);
		return;
	}
	x->state = EX_STREAM;
	/* An instance that answers before it has read everything: what is left of the body is still being sent. */
	if (!conn_pending(&x->up->c))
		drop_body(x);
	relay_begin(x, head);
}

/* Only a crash keeps others away from the instance: else one client with odd requests could close the fleet for everybody. */
static enum blame judge_text(unsigned status, struct span text)
{
	static const struct {
		unsigned    status;
		enum blame  blame;
		const char *text; /* "" any; the first match counts */
	} RULES[] = {
		{500, BLAME_CLIENT, "option \\\""},
		{500, BLAME_CRASH, "unexpectedly stopped"},
		{500, BLAME_CRASH, "has terminated"},
		{500, BLAME_CRASH, "no longer running"},
		{500, BLAME_CRASH, "error was encountered while running"},
		{500, BLAME_CRASH, "connection refused"},
		{500, BLAME_CRASH, "timed out waiting for"},
		{500, BLAME_CRASH, "out of memory"},
		{500, BLAME_CRASH, "unexpected server status"},
		{400, BLAME_CRASH, "do embedding request"},
		{503, BLAME_MAYBE, ""},
		{502, BLAME_MAYBE, ""},
		{500, BLAME_MAYBE, ""},
		{404, BLAME_MAYBE, "not found"},
		{400, BLAME_MAYBE, "does not support chat"}, /* also what a store with a missing file says */
		{400, BLAME_MAYBE, "does not support generate"},
		{400, BLAME_MODEL, "does not support"}, /* tools, thinking, images */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(RULES); i++)
		if (RULES[i].status == status && (!RULES[i].text[0] || memmem(text.p, text.n, RULES[i].text, strlen(RULES[i].text))))
			return RULES[i].blame;
	return BLAME_CLIENT;
}

static enum breaker_event blame_event(unsigned status, enum blame blame)
{
	if (blame == BLAME_CRASH)
		return BREAKER_CRASH;
	if (blame <= BLAME_MODEL || status == 400)
		return BREAKER_CLIENT_ERROR;
	return status == 404 ? BREAKER_NO_MODEL : status == 503 ? BREAKER_BUSY : BREAKER_SERVER_ERROR;
}

static void judge(struct exchange *x)
{
	struct span text = {x->error.p ? x->error.p : "", x->error.n};
	enum blame blame = judge_text(x->status, text);
	unsigned slot = (unsigned)x->slot;

	if (blame == BLAME_CRASH) {
		count_slot(x, slot, false);
		penalise(x, slot);
	}
	learn_outcome(x, blame_event(x->status, blame));
	if (blame != BLAME_CLIENT && reroute(x, blame))
		return;
	exchange_leave_slot(x, 0);
	if (blame != BLAME_CLIENT && hook_ask(x))
		return;
	answer_body(x, x->status, x->error_type, x->status == 503 ? "Retry-After: 1\r\n" : NULL, text.p, text.n);
}

/* It may be the client's own words that are told back, so it says nothing about the instance. */
static void judge_too_long(struct exchange *x, struct span more)
{
	struct span begin = x->error.n ? (struct span){x->error.p, x->error.n} : more;

	exchange_leave_slot(x, 0);
	answer_error(x, x->status, 0, "the instance's error is too long to pass on; it begins: %.*s", begin.n < 300 ? (int)begin.n : 300,
		     begin.p);
}

void exchange_answer_bytes(struct exchange *x, struct span *parts, unsigned n, bool done)
{
	if (done)
		x->up = NULL; /* back in its pool, or closed */
	if (x->state == EX_STREAM) {
		relay_bytes(x, parts, n, done);
		return;
	}
	if (x->state == EX_UNHEARD) {
		park_bytes(x, n, done);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		if (carry_add(&x->error, parts[i].p, parts[i].n, ROUTER_ERROR_BODY)) {
			exchange_unhand(x);
			judge_too_long(x, parts[i]);
			return;
		}
	if (done)
		judge(x);
}

static void say_refused(const struct exchange *x)
{
	const char *model = x->model ? x->model->key : NULL;
	char id[17];

	log_line(LOG_WARNING_, &(struct log_about){.event = LOG_EV_REFUSED, .model = model, .request = exchange_id_text(x, id)},
		 "a request%s%s is told to come again later (429): %u wait already; see `tsactl status`", model ? " for " : "", model ? model : "",
		 x->r->routing.order.n);
}

/* Every request is counted once, by how it ended: requests = answered + refused + failed + aborted + those still here. */
void exchange_count(struct exchange *x, unsigned status)
{
	struct shm_router_counters *c = x->r->count;

	if (x->counted)
		return;
	x->counted = true;
	if (status == 429) {
		shm_add(&c->refused_429, 1);
		say_refused(x);
	} else if (status == 503)
		shm_add(&c->refused_503, 1);
	else if (status == 499)
		shm_add(&c->aborted, 1);
	else if (status >= 500)
		shm_add(&c->failed, 1);
	else if (status >= 400)
		shm_add(&c->refused_4xx, 1);
	else
		shm_add(&c->answered, 1);
}

/* An answer has come to its end, well or badly. */
void exchange_finished(struct exchange *x, bool ok)
{
	unsigned slot = (unsigned)x->slot;
	uint64_t took = clock_now_ns() - x->sent_ns;
	struct shm_rslot *p = x->r->page ? &x->r->page->slot[slot] : NULL;

	count_slot(x, slot, ok);
	learn_outcome(x, !ok ? BREAKER_CRASH : x->status < 400 ? BREAKER_OK : x->status == 429 ? BREAKER_BUSY : BREAKER_CLIENT_ERROR);
	exchange_count(x, ok ? 200 : 500);
	if (p && ok) {
		uint64_t old = shm_get(&p->total_ewma_ns);

		shm_set(&p->total_ewma_ns, old ? (old * 7 + took) / 8 : took);
		shm_hist_add(p->total_hist, took);
	}
	if (ok && x->status < 400)
		feedback_answered(x);
	exchange_leave_slot(x, 0);
}

void exchange_take_back(struct exchange *x)
{
	struct router *r = x->r;
	const char *name = r->conf.slots[x->slot].name;

	if (!x->client) {
		park_end(x);
		return;
	}
	exchange_unhand(x);
	if (reroute(x, BLAME_CRASH))
		return;
	exchange_leave_slot(x, 0);
	answer_error(x, 502, 1, "the instance %s did not begin to answer this request; see `tsactl instance %s`", name, name);
}

/* --- decisions and deadlines ---------------------------------------------------------------------------------------------------- */

void exchange_ready(struct exchange *x)
{
	struct router *r = x->r;

	x->start_ns = clock_now_ns();
	x->total_ns = clock_after_ns(x->start_ns, r->conf.total_ns);
	view_refresh(r, x->start_ns);
	switch (x->route->kind) {
	case ROUTE_INFER:
		if (queue_shut(x))
			break;
		x->tenant = tenant_enter(&r->routing, x->tenant_key, x->start_ns);
		x->item.tenant = &x->tenant->order;
		retry_request(&r->routing.retry, &r->routing.retry_conf);
		if (exchange_look(x))
			queue_submit(x);
		break;
	case ROUTE_MANAGE:
		manage_answer(x);
		break;
	case ROUTE_API:
		api_answer(x);
		break;
	default:
		fleet_answer(x);
		break;
	}
}

static void expired_waiting(struct exchange *x)
{
	struct router *r = x->r;
	bool ready = false;

	for (unsigned i = 0; i < PROC_SLOTS; i++)
		ready |= (x->model->slots & (1ULL << i)) && r->slots[i].state == SHM_STATE_READY;
	queue_remove(x);
	if (ready)
		answer_error(x, 429, queue_retry_after_s(r), "no place became free for '%s' in time; try again later", x->model->key);
	else
		answer_error(x, 503, 5, "no instance that has '%s' became ready in time; see `tsactl instances`", x->model->key);
}

void exchange_expired(struct exchange *x)
{
	switch ((enum exchange_state)x->state) {
	case EX_WAIT:
		expired_waiting(x);
		break;
	case EX_SENT:
		if (!x->client) {
			park_end(x);
			break;
		}
		x->reused = false;
		x->timed_out = true;
		exchange_unhand(x);
		exchange_answer_broken(x, "no byte of an answer within the first_byte deadline", false);
		break;
	case EX_ERROR:
	case EX_STREAM:
		x->timed_out = true;
		exchange_unhand(x);
		exchange_answer_broken(x, "its answer paused for longer than the gap deadline", false);
		break;
	case EX_UNHEARD:
		park_end(x);
		break;
	case EX_FAN:
		fan_expired(x->fan);
		break;
	case EX_HOOK:
		hook_expired(x);
		break;
	case EX_BODY:
	case EX_LOCAL:
		break;
	}
}

/* The drain is over: every client still here hears why, each in its dialect. */
static void cut(struct exchange *x)
{
	static const char WHY[] = "the service is stopping";

	switch ((enum exchange_state)x->state) {
	case EX_WAIT:
		queue_remove(x);
		answer_error(x, 503, 5, "%s; try again in a moment", WHY);
		break;
	case EX_SENT:
	case EX_ERROR:
		exchange_leave_slot(x, 0);
		answer_error(x, 503, 5, "%s; try again in a moment", WHY);
		break;
	case EX_STREAM:
		exchange_unhand(x);
		relay_broken(x, WHY);
		break;
	case EX_FAN:
		fan_expired(x->fan);
		break;
	case EX_HOOK:
		hook_expired(x);
		break;
	case EX_BODY:
	case EX_UNHEARD:
	case EX_LOCAL:
		break;
	}
}

void exchange_cut_all(struct router *r)
{
	struct exchange *x, *next;

	for (x = LIST_FIRST(&r->exchanges); x; x = next) {
		next = LIST_NEXT(x, link);
		if (x->client && !x->dead)
			cut(x);
	}
}

void exchange_tick(struct router *r, uint64_t now_ns)
{
	struct exchange *x, *next;

	for (x = LIST_FIRST(&r->exchanges); x; x = next) {
		next = LIST_NEXT(x, link);
		if (x->deadline_ns <= now_ns && !x->dead)
			exchange_expired(x);
		if (!x->dead)
			keepalive_tick(x, now_ns);
	}
}
