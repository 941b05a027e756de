/* route/breaker.h - a breaker per (instance, model): after N failures in a row no requests for a while, then one trial.
 *
 * Every request that is sent takes a ticket and reports with it; the ticket carries the breaker's generation, so an answer to a
 * request from before the breaker opened neither closes nor opens it.  Only a request closes it: probes tell that the control routes
 * work, which a wedged runner leaves healthy. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How an attempt ended: EVENT(name, points, proof, word).  `points`: of BREAKER_POINT, towards opening; `proof`: the instance did its
 * work, the streak is over.  What is the client's fault or wish, or a model that is not there, tells nothing of health. */
#define BREAKER_POINT 4
#define BREAKER_EVENTS(EVENT)                                                                                                      \
	EVENT(OK, 0, true, "ok")                                                                                                   \
	EVENT(CLIENT_ERROR, 0, false, "client-error") /* 400, 401, 403, 413, 422 ... */                                            \
	EVENT(NO_MODEL, 0, false, "no-model")         /* 404 */                                                                    \
	EVENT(LEFT, 0, false, "client-left")                                                                                       \
	EVENT(BUSY, 1, false, "busy")                 /* 429, 503: a lasting one opens after four times as many */                 \
	EVENT(SERVER_ERROR, 4, false, "server-error") /* 5xx otherwise */                                                          \
	EVENT(CRASH, 4, false, "crash")               /* stream broken, connection reset, clean end without the final object */    \
	EVENT(TIMEOUT, 4, false, "timeout")           /* first byte or gap */                                                      \
	EVENT(CONNECT, 4, false, "connect")                                                                                        \
	EVENT(PROBE_OK, 0, false, "probe-ok")                                                                                      \
	EVENT(PROBE_FAIL, 2, false, "probe-fail")

enum breaker_event {
#define EVENT(name, points, proof, word) BREAKER_##name,
	BREAKER_EVENTS(EVENT)
#undef EVENT
		BREAKER_EVENT_COUNT
};

enum breaker_state { BREAKER_CLOSED = 0, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker_conf {
	uint32_t failures; /* in a row: 5 */
	uint64_t pause_ns; /* first pause: 5 s; doubles with every trial that fails ... */
	uint64_t most_ns;  /* ... up to 2 minutes */
	uint64_t trial_ns; /* a trial without an outcome for so long may be replaced: 2 minutes */
};

/* Zero is closed. */
struct breaker {
	enum breaker_state state;
	uint32_t points;         /* of the present streak, in BREAKER_POINTs */
	uint32_t gen;            /* grows with every change of state */
	uint32_t opens;          /* in a row, without a success between */
	uint64_t until_ns;       /* OPEN: no trial before */
	uint64_t trial_until_ns; /* HALF_OPEN: one is under way until it reports, or until then; 0 none */
	uint64_t trial;          /* its number */
	enum breaker_event last; /* failure */
};

/* Of one request.  Zero is a valid ticket of a fresh breaker. */
struct breaker_ticket {
	uint32_t gen;
	uint64_t trial; /* 0: no trial */
};

void breaker_conf_default(struct breaker_conf *conf);

/* May a request be sent?  A fact for decide(); changes nothing. */
bool breaker_allows(const struct breaker *b, uint64_t now_ns);

/* One is being sent: take the ticket.  False, with nothing taken, when breaker_allows() is false. */
bool breaker_enter(struct breaker *b, const struct breaker_conf *conf, uint64_t now_ns, struct breaker_ticket *ticket);

/* One is sent although the breaker is open, because every instance is unhealthy.  Its success closes the breaker. */
void breaker_force(const struct breaker *b, struct breaker_ticket *ticket);

/* It ended.  `ticket` NULL: a probe, not a request.  True when the state has changed. */
bool breaker_report(struct breaker *b, const struct breaker_conf *conf, const struct breaker_ticket *ticket,
		    enum breaker_event event, uint64_t now_ns);

const char *breaker_event_text(enum breaker_event event);
const char *breaker_state_text(enum breaker_state state);
