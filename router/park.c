/* The client leaves, the instance does not know yet: when its connection may be closed.
 *
 * Ollama keeps what a request holds for ever when it is closed at the wrong moment (its issues 17044 and 17131, all releases so far):
 *
 *   before the request is admitted    a descriptor; and a load that it caused is aborted
 *   while a token is handed over      a place: the producer waits, place in hand, for a reader that has just gone, and after
 *                                     OLLAMA_NUM_PARALLEL of these the model answers nobody until it is loaded again
 *
 * So a request without an answer is parked for a while; and an answer is read on until its pace is known, then closed in the middle
 * between two tokens.  One that is too fast for that is soon over: it is read to its end. */
#include "base/bug.h"
#include "base/clock.h"
#include "router/router.h"

#define PACE_TOKENS 3U              /* so many tokens tell the pace */
#define PACE_NS     (4 * NS_PER_MS) /* between two tokens; below this there is no middle to be sure of */
#define STILL_NS    (1 * NS_PER_S)  /* nothing came for so long: nothing is being handed over */
#define READ_NS     (10 * NS_PER_S) /* the longest it is read on */

/* How long the instance will still work on a prompt that nobody waits for: learned time per byte, less what has passed
 * (older Ollamas finish a prompt whose client left). */
static uint64_t ghost_ns(const struct exchange *x, uint64_t now_ns)
{
	uint64_t need = x->r->slots[x->slot].ns_per_byte * x->text_bytes;
	uint64_t spent = now_ns - x->sent_ns;

	return need > spent ? need - spent : 0;
}

static uint64_t park_until(const struct exchange *x)
{
	const struct slot *s = &x->r->slots[x->slot];

	if (x->cold || s->state != SHM_STATE_READY)
		return clock_after_ns(x->sent_ns, x->r->conf.first_ns);
	return clock_after_ns(x->sent_ns, x->r->conf.park_ns);
}

void park_end(struct exchange *x)
{
	uint64_t hold_ns = x->state == EX_SENT && x->up ? ghost_ns(x, clock_now_ns()) : 0;

	shm_add(&x->r->count->parked, UINT64_MAX);
	exchange_leave_slot(x, hold_ns);
	exchange_free(x);
}

/* --- reading on --------------------------------------------------------------------------------------------------------------------- */

static void calm_arm(struct exchange *x, uint64_t span_ns);

static void on_calm(struct loop_timer *t)
{
	struct exchange *x = container_of(t, struct exchange, calm);

	/* Late by half of what was to spare: the next token may be at hand.  It will arm anew. */
	if (x->calm_ns < STILL_NS && clock_now_ns() - x->calm_armed_ns > x->calm_ns + x->calm_ns / 2) {
		calm_arm(x, STILL_NS);
		return;
	}
	park_end(x);
}

static void calm_arm(struct exchange *x, uint64_t span_ns)
{
	x->calm_ns = span_ns;
	x->calm_armed_ns = clock_now_ns();
	loop_timer_set(&x->r->loop, &x->calm, clock_after_ns(x->calm_armed_ns, span_ns));
}

void park_answer(struct exchange *x)
{
	x->state = EX_UNHEARD;
	x->unheard_ns = clock_now_ns();
	x->deadline_ns = clock_after_ns(x->unheard_ns, READ_NS);
	x->calm.fire = on_calm;
	calm_arm(x, STILL_NS);
}

void park_bytes(struct exchange *x, unsigned n, bool done)
{
	uint64_t pace;

	if (done) {
		park_end(x);
		return;
	}
	x->unheard += n;
	pace = (clock_now_ns() - x->unheard_ns) / (x->unheard + 1);
	calm_arm(x, x->unheard >= PACE_TOKENS && pace >= PACE_NS && pace < STILL_NS ? pace / 2 : STILL_NS);
}

/* --- the client leaves -------------------------------------------------------------------------------------------------------------- */

static void park(struct exchange *x)
{
	shm_add(&x->r->count->parked, 1);
	x->deadline_ns = park_until(x);
	if (x->deadline_ns <= clock_now_ns())
		park_end(x);
}

static void unhear(struct exchange *x)
{
	if (!x->up) {
		exchange_leave_slot(x, 0);
		exchange_free(x);
		return;
	}
	if (x->r->head_of == x)
		x->r->head_of = NULL;
	shm_add(&x->r->count->parked, 1);
	upstream_pause(x->up, false);
	park_answer(x);
}

void exchange_client_gone(struct exchange *x)
{
	struct router *r = x->r;

	BUG_ON(x->state == EX_UNHEARD); /* that one's client has gone already */
	x->client = NULL;
	exchange_count(x, 499);
	if (x->slot >= 0 && r->page)
		shm_add(&r->page->slot[x->slot].aborted, 1);
	switch ((enum exchange_state)x->state) {
	case EX_WAIT:
		queue_remove(x);
		exchange_free(x);
		break;
	case EX_SENT:
		park(x);
		break;
	case EX_ERROR:
	case EX_STREAM:
		unhear(x);
		break;
	case EX_FAN:
		fan_client_gone(x->fan);
		exchange_free(x);
		break;
	case EX_UNHEARD:
	case EX_BODY:
	case EX_LOCAL:
	case EX_HOOK:
		exchange_free(x);
		break;
	}
}
