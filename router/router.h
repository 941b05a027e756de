/* router/router.h - private: the structures of one tsa-router process.
 *
 * One thread, one event loop.  A client owns at most one exchange at a time (pipelined requests wait in its carry buffer and are
 * answered in order); an exchange owns at most one upstream.  When the client goes first, the exchange lives on without it
 * (parked) until its upstream may be closed.  Who points to whom:
 *
 *     client <-> exchange <-> upstream -> slot          lists: router.clients, routing.order, slot.running, slot.idle, router.busy
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/span.h"
#include "http/dialect.h"
#include "http/http.h"
#include "http/usage.h"
#include "http/view.h"
#include "proc/proc.h"
#include "route/reload.h"
#include "router/agents.h"
#include "router/auto.h"
#include "router/conn.h"
#include "router/feedback.h"
#include "router/loop.h"
#include "router/routing.h"
#include "shm/hist.h"
#include "shm/reader.h"
#include "shm/writer.h"

#ifdef CURLINC_CURL_H
#error "the router speaks HTTP by itself; libcurl lives in probes/"
#endif

#define ROUTER_SCRATCH    (64 * 1024)
#define ROUTER_CARRY      (32 * 1024)       /* pipelined bytes after which no more are read while a request is being answered */
#define ROUTER_TICK_NS    (100 * NS_PER_MS) /* resolution of all deadlines */
#define ROUTER_AGAIN_NS   (1 * NS_PER_S)    /* what others act by is written anew so often: damage to the page does not last */
#define ROUTER_VIEW_NS    (2 * NS_PER_MS)   /* a decision looks at the board again when its view is older */
#define ROUTER_MODELS     512               /* distinct model names of the fleet */
#define ROUTER_LISTENERS  8
#define ROUTER_KEY        PROC_MODEL     /* normalised model name */
#define ROUTER_IDLE_SPARE 4 /* pooled connections per instance beyond its places: control routes use them, too */
#define ROUTER_BODIES 16 /* request bodies of the largest size that memory is given for ... */
#define ROUTER_BODIES_MIN (64 * 1024 * 1024) /* ... and this much at least, so that a small limit does not mean few requests */
#define ROUTER_PARTS      16             /* pieces of an answer that are passed on at a time */
#define ROUTER_ATTEMPTS   3              /* instances tried for one request */
#define ROUTER_ERROR_BODY (16 * 1024)    /* of an instance's error answer, looked at before it is passed on */
#define ROUTER_ERROR_TYPE 47             /* of its media type; a longer one is not passed on */
#define ROUTER_CUT_NS    NS_PER_S /* after a drain's end, for the last errors to be read; within the supervisor's margin */
#define ROUTER_LINGER_NS  (2 * NS_PER_S) /* read and discard after a refusal, so that the client sees it */

#define ROUTER_ROOM_NS   (1 * NS_PER_S) /* where connections are short, one that idles so long makes room for another */

#define ROUTER_HEAD_OUT 8192 /* an answer head towards a client */

struct sockaddr;

/* First member of what is freed at the end of the turn: events of it may still be at hand. */
struct grave {
	struct grave *next;
};

struct router;
struct client;
struct exchange;
struct upstream;
struct model;
struct fan;

/* Bytes that came before they could be used. */
struct carry {
	char *p;
	size_t n;
	size_t cap;
};

int carry_add(struct carry *c, const char *p, size_t n, size_t max);
void carry_drop(struct carry *c, size_t n); /* from the front */
void carry_free(struct carry *c);

/* --- client.c: the client's side of the wire --------------------------------------------------------------------------------- */

enum client_state {
	CLIENT_HEAD = 0, /* waiting for a request head */
	CLIENT_BODY,     /* collecting its body */
	CLIENT_BUSY,     /* its exchange is being worked on */
	CLIENT_LINGER,   /* answered and told to close; discards what still comes */
};

struct client {
	struct grave grave;
	struct conn c;
	struct router *r;
	struct exchange *x; /* BODY, BUSY */
	LIST_ENTRY(client) link;
	uint64_t deadline_ns;
	struct carry in;
	int64_t unread; /* bytes that the kernel held at the last look, and what it has taken since; 0: nothing is pending */
	uint32_t seen;  /* bytes of `in` the head parser has looked at */
	uint8_t state; /* enum client_state */
	uint8_t minor; /* HTTP version of the current request */
	bool keep;     /* connection may carry another request */
	bool fresh;    /* nothing of the next head has come yet */
	bool turning;  /* client_turn is on the stack */
	bool loopback; /* came by a listener of which that is true */
	uint64_t peer; /* of its address, for who has no key; 0: this machine */
};

void client_tick(struct router *r, uint64_t now_ns);
void client_accept(struct router *r, int fd, bool loopback, const struct sockaddr *peer);
void client_free(struct client *cl, bool reset);
/* The exchange's answer is complete: go on with the next request, or close. */
void client_done(struct client *cl);
/* Write answer bytes.  False: the client is gone (and its exchange told). */
bool client_write(struct client *cl, struct iovec *iov, unsigned n);

/* --- exchange.c: one request from head to answer ------------------------------------------------------------------------------ */

enum exchange_state {
	EX_BODY = 0, /* its body is coming in */
	EX_WAIT,     /* queued for a place */
	EX_SENT,     /* with an instance, no byte of the answer yet */
	EX_ERROR,    /* an error answer is being read before it is judged */
	EX_STREAM,   /* the answer is being relayed */
	EX_UNHEARD,  /* its client has gone; the answer is read on until it may be closed */
	EX_LOCAL,    /* answered by the router itself */
	EX_FAN,      /* answered from several instances (fan.c) */
	EX_HOOK,     /* no model could serve it; the hook may (hook.c) */
};

struct exchange {
	struct grave grave;
	struct router *r;
	struct client *client; /* NULL: gone; the exchange is parked */
	struct upstream *up;
	struct model *model; /* what it waits for or runs on; NULL: none */
	const struct route *route;
	struct order_item item;         /* class, expected tokens and work; waits in routing.order in state WAIT */
	struct tenant *tenant;
	struct pair *pair;              /* it runs on; NULL: none, or nothing is learned */
	struct breaker_ticket ticket;
	LIST_ENTRY(exchange) on_slot;   /* slot.running */
	LIST_ENTRY(exchange) link;  /* router.exchanges */
	uint64_t id;                /* shown as 16 hex digits */
	uint64_t deadline_ns;       /* of the present state */
	uint64_t total_ns;          /* absolute: no first byte after it */
	uint64_t start_ns;          /* head complete */
	uint64_t sent_ns;
	uint64_t due_ns;   /* sent, and an answer should have begun by then */
	uint64_t queue_ns; /* waited, summed over attempts */
	uint64_t wait_since_ns;
	uint64_t first_at_ns; /* first byte of the present attempt's answer; 0: none yet */
	uint64_t guess_ns;    /* predicted wait when it came into the queue */
	uint64_t tenant_key;
	uint64_t message;  /* as the front end calls it, so that a rating finds it; 0: it does not */
	uint64_t session;  /* of route/affinity.h; 0: none */
	uint64_t required; /* capability tags that the instance must have, and that it had better have */
	uint64_t optional;
	uint64_t asked;         /* tags of model or instance that the request cannot do without */
	struct model *gone[ROUTER_ATTEMPTS - 1]; /* chosen by tsa, and could not serve it */
	uint64_t text_bytes;  /* of the prompt */
	uint32_t most_tokens; /* the answer's limit; 0: none */
	uint32_t ahead;       /* how many were before it when it came into the queue */
	float fit;            /* of its model in its category, 0..1; 0: not known */
	float complexity;     /* 0..1 */
	float confidence;     /* in the category */
	int16_t category;     /* of the taxonomy; -1: not known */
	char *body;          /* request body, EX_HEADROOM bytes of head space before it; freed with the first answer byte */
	size_t body_len;
	size_t body_cap;
	size_t body_max; /* its announced length, or the limit */
	struct http_body in;  /* decoder of the request body */
	struct stream_watch watch;
	struct carry error; /* the error answer being judged, of this type */
	char *error_type;   /* NULL: none */
	struct fan *fan;
	struct loop_timer calm; /* UNHEARD: fires when it may be closed */
	uint64_t unheard_ns; /* since when */
	uint64_t calm_ns, calm_armed_ns; /* how long it waits for that, and since when */
	uint32_t signs;      /* of life, before its answer */
	uint32_t unheard;    /* chunks since then */
	uint32_t ends;       /* of its place_watch when it was sent */
	uint32_t adjusted; /* of keep_alive and model: adjust.c */
	struct reload_result reload; /* what became of the options that would load the model anew */
	uint64_t narrow; /* slots whose context is too short for it */
	uint16_t status;   /* of the answer */
	uint8_t state;     /* enum exchange_state */
	uint8_t attempts;
	uint8_t method;   /* enum http_method */
	uint8_t reason;   /* enum decide_reason */
	int8_t slot;      /* chosen; -1 none */
	int8_t queued_at; /* slot whose `queued` counts it; -1 none */
	bool stream;      /* a stream was asked for */
	bool embed;
	bool chunked; /* answer framing towards the client */
	bool head_sent;
	bool early; /* its head was sent before its answer began: keepalive.c */
	bool dead;      /* freed at the end of this turn */
	bool begun;     /* its answer, on the present slot */
	bool timed_out; /* the first byte did not come */
	bool counted;
	bool ticketed;  /* its attempt has a ticket that is not reported yet */
	bool waited;    /* it was in the queue */
	bool at_home;   /* sent where its session is */
	bool automatic; /* tsa chose the model */
	bool auto_sure; /* of the category: its tag is required where somebody has it */
	bool auto_sees; /* images are to be seen */
	bool auto_reasons; /* the chosen model is a reasoning one */
	uint8_t n_gone;
	uint8_t kind;   /* enum category + 1; 0: not classified */
	bool secondary; /* its category is not the first of its model */
	uint8_t framing; /* of the instance's answer */
	bool reused;                 /* its upstream connection had served before: a silent close is not the instance's fault */
	bool cold;                   /* sent to a slot that did not have the model resident */
	uint16_t recent_n;
	char recent[USAGE_TAIL];     /* the end of the answer so far */
	char model_text[ROUTER_KEY]; /* the model as it is sent upstream */
	/* What hardly a request has, on the heap; NULL: it has not. */
	char *tail;         /* last path segment of /v1/models/X and /api/blobs/X */
	char *query;        /* of the target, on routes that have one */
	char *content_type; /* other than plain JSON: exchange_type() */
	char *origin;       /* an allowed Origin, for the CORS answer */
};

#define EX_HEADROOM 1024 /* for the upstream request head, so that head and body leave in one send */
#define EX_SLACK    512  /* behind the body, for what adjusting adds */

/* The media type of its body. */
const char *exchange_type(const struct exchange *x);
/* Match the head: route, method, origin.  False: it has been answered. */
bool exchange_route(struct exchange *x, const struct http_head *h);
/* What an inference request's body says: model, stream, what must be taken out.  False: it has been answered. */
bool exchange_look(struct exchange *x);
/* Another model, chosen by tsa, before the request is sent to anybody. */
void exchange_rename(struct exchange *x, struct model *m);
/* Everything is said: let the client go on, free. */
void exchange_end(struct exchange *x);
void exchange_tick(struct router *r, uint64_t now_ns);
/* End whatever is not ended, each with its error. */
void exchange_cut_all(struct router *r);
struct exchange *exchange_create(struct router *r, struct client *cl);
void exchange_free(struct exchange *x);
/* The body is complete: decide. */
void exchange_ready(struct exchange *x);
/* `slot` has been chosen and a place taken: send. */
void exchange_dispatch(struct exchange *x, unsigned slot, enum decide_reason reason, bool resident);
/* Close its upstream, if it has one. */
void exchange_unhand(struct exchange *x);
/* It has no answer, and will not get one where it was sent: try elsewhere, or there later. */
void exchange_take_back(struct exchange *x);
/* Its deadline has passed. */
void exchange_expired(struct exchange *x);
/* What the upstream says (upstream.c). */
void exchange_answer_head(struct exchange *x, const struct http_head *head);
void exchange_answer_bytes(struct exchange *x, struct span *parts, unsigned n, bool done);
void exchange_answer_broken(struct exchange *x, const char *why, bool connect_failed);
/* Send an answer head that still waits for its first body bytes. */
void exchange_flush_head(struct router *r);
void exchange_count(struct exchange *x, unsigned status);
/* The answer came to its end: count it, give the place back. */
void exchange_finished(struct exchange *x, bool ok);
/* Give the place back; `hold_ns` > 0: the instance is believed to be busy with it for so long. */
void exchange_leave_slot(struct exchange *x, uint64_t hold_ns);

/* --- adjust.c: what must not reach an instance as it stands ----------------------------------------------------------------------- */

/* What the policy says, done to the body; `name`: the model's name is written, too.  False: answered. */
bool adjust_body(struct exchange *x, const struct view *v, bool name);
/* What was changed, "keep_alive, num_ctx=4096", or "". */
void adjust_text(const struct exchange *x, char *buf, size_t size);
/* No instance has been tried, but some do not count for it. */
void adjust_tried(struct exchange *x);
/* Put `n` bytes in the place of `old` ones at `at` in the body; EX_SLACK is room for all that is ever put in. */
void adjust_splice(struct exchange *x, const char *at, size_t old, const char *text, size_t n);

/* --- park.c: the client has gone, the instance is at it ----------------------------------------------------------------------------- */

/* The client left, before or after anything. */
void exchange_client_gone(struct exchange *x);
/* The answer of a parked exchange has begun; `n` chunks of it have come.  They may free x. */
void park_answer(struct exchange *x);
void park_bytes(struct exchange *x, unsigned n, bool done);
/* Close a parked exchange's upstream and free it. */
void park_end(struct exchange *x);

/* --- explain.c ------------------------------------------------------------------------------------------------------------------ */

/* Answer the supervisor's question: PROC_EXPLAIN. */
void explain(struct router *r, uint32_t about, uint64_t number, const char *text);

/* --- keepalive.c: signs of life before the answer ----------------------------------------------------------------------------------- */

void keepalive_tick(struct exchange *x, uint64_t now_ns);
/* What would have been an answer with this status, in a stream that has begun; ends the exchange. */
void keepalive_error(struct exchange *x, unsigned status, struct span message);

/* --- hook.c: the last of the chain ------------------------------------------------------------------------------------------------- */

/* No model can serve a request whose model tsa was to choose: ask the hook, if there is one.  False: nothing has happened. */
bool hook_ask(struct exchange *x);
void hook_expired(struct exchange *x);

/* --- relay.c: the answer on its way to the client ------------------------------------------------------------------------------- */

void relay_begin(struct exchange *x, const struct http_head *head);
void relay_bytes(struct exchange *x, struct span *parts, unsigned n, bool done);
void relay_broken(struct exchange *x, const char *why);
/* The client has read what was held for it. */
void relay_resume(struct exchange *x);

/* --- answer.c: what the router says itself ------------------------------------------------------------------------------------ */

/* A plain-text answer, as Ollama gives for unknown paths; `extra` is header lines or NULL. */
void answer_plain(struct exchange *x, unsigned status, const char *extra, const char *text);
/* Those who are turned away together shall not come back together: up to a quarter more, by turns of the request numbers. */
unsigned answer_retry_s(const struct exchange *x, unsigned retry_s);
/* An error in the exchange's dialect; ends the exchange.  `retry_s` > 0 adds Retry-After, with answer_retry_s(). */
void answer_error(struct exchange *x, unsigned status, unsigned retry_s, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* A complete answer; ends the exchange.  `extra` is NULL or header lines each ended by CRLF. */
void answer_body(struct exchange *x, unsigned status, const char *type, const char *extra, const char *body, size_t n);
/* 404 in the words of the exchange's route; ends the exchange. */
void answer_no_model(struct exchange *x);
/* Where there is no exchange: a head that could not be parsed, or no memory for it.  Closes the connection. */
void answer_fault(struct client *cl, enum dialect d, const struct http_fault *fault);
/* Append the X-TSA-* headers, CORS and Connection to a head under construction. */
void answer_headers(const struct exchange *x, struct http_out *o);
const char *exchange_id_text(const struct exchange *x, char buf[17]);

/* --- origin.c: browsers --------------------------------------------------------------------------------------------------------- */

/* May a page of this origin use the service?  Ollama's own built-in list, and the same host. */
bool origin_allowed(struct span origin, struct span host);

/* May a request that names this host use a service that listens on a loopback address only?  A name that anybody can point at
 * 127.0.0.1 would let a foreign page in as one of the service's own.  `machine` is this machine's name. */
bool host_allowed(struct span host, const char *machine);

/* --- model.c, models.c: names, and what is remembered of them -------------------------------------------------------------------- */

/* The places of one model on one slot, as this router sees them (places.c). */
struct place_watch {
	uint64_t begun_ns; /* an answer began last */
	uint64_t since_ns; /* of the first hit */
	uint32_t ends;
	uint16_t begun;  /* answers under way */
	uint8_t most;    /* streams at a time, ever */
	uint8_t ceiling; /* the most that had waited for the end of another */
	uint8_t hits;    /* those, in a row */
};

struct model {
	char key[ROUTER_KEY];           /* normalised: model_key() */
	struct order_lane lane;
	uint64_t lane_epoch; /* of routing when lane.slots was made */
	unsigned users;      /* exchanges that name it */
	uint64_t hash;       /* of key */
	uint64_t slots;    /* bit per slot that has it in its store */
	uint64_t resident; /* bit per slot that has it in memory and answering */
	uint64_t failed;   /* bit per slot whose last load of it failed */
	uint64_t loading;
	int8_t wish;    /* slot that was asked to load it, -1 none */
	uint8_t wish_n; /* which of the slot's wishes */
	uint64_t wish_ns; /* when it was made */
	bool embed_only;
	struct place_watch at[PROC_SLOTS];
	uint64_t flags; /* SHM_MODEL_* of some instance that has it */
	uint64_t size_bytes;
	uint64_t load_ns;              /* its last load took so long; 0 not known */
	uint32_t context[PROC_SLOTS];  /* tokens per place; 0 not known */
	uint16_t pair[PROC_SLOTS];     /* index + 1 in routing.pairs; 0 none */
	struct speed prefill, decode;  /* over the fleet */
	struct speed text;             /* bytes per token */
	struct speed_output output[ORDER_CLASSES];
	float took_ns, took_tokens; /* time and prompt of its answers, a moving average */
	uint32_t took_n;
	float prefill_ns, decode_ns, expect[ORDER_CLASSES]; /* as of figures_ns */
	uint64_t figures_ns;
};

/* "Qwen3:8B" -> "qwen3:8b", "tiny" -> "tiny:latest", "registry.ollama.ai/library/x:y" -> "x:y".  False: too long or not a name. */
bool model_key(const char *name, char key[ROUTER_KEY]);
struct model *model_find(struct router *r, const char *key);
/* Find or remember; a name that no instance has and nobody asks for makes room.  NULL: there are ROUTER_MODELS others. */
struct model *model_intern(struct router *r, const char *key);
/* What the exchange is about, from now on. */
void exchange_model(struct exchange *x, struct model *m);

/* --- view.c: the board as this router sees it ------------------------------------------------------------------------------------ */

struct slot {
	LIST_HEAD(, upstream) idle; /* pooled connections, last used first */
	LIST_HEAD(, exchange) running;
	unsigned n_idle;
	unsigned in_flight; /* ours */
	unsigned fail_streak;
	uint64_t penalty_ns; /* not before this time, after failures */
	unsigned penalties;  /* in a row */
	uint64_t fresh_ns;   /* when its worker was last heard */
	uint64_t gen;
	uint32_t moves; /* times its address has changed */
	uint64_t models_change; /* of the list taken last, and the worker it was of */
	uint64_t models_gen;
	uint64_t ns_per_byte; /* learned: time to the first byte per byte of prompt, moving average */
	uint64_t stream_ns;   /* learned: to the first byte of a stream after a short prompt */
	uint64_t whole_ns;    /* learned: to the first byte of an answer in one piece */
	uint64_t text_bytes;  /* of prompts whose answers have not begun */
	struct model *short_of; /* its places work one after another */
	const struct model *complaint_of; /* of the wish below */
	uint64_t complaint_ns;
	int8_t complaint_n; /* which of the wishes tells it; -1 none */
	enum shm_state state;
	uint64_t reason; /* its worker's */
	enum shm_wanted wanted;
	enum shm_child child; /* its worker */
	unsigned queued; /* waiting requests that would go here first */
	uint8_t wishes;  /* bit per wish of ours in use */
	bool used;
	bool known; /* its models have been seen */
	bool adopted;
	bool vram;               /* some model of it is in a GPU */
	uint32_t cache;          /* changes when its Ollama is another process: what it held is gone */
	uint64_t resident_bytes; /* of its models */
	char version[32];
};

void view_refresh(struct router *r, uint64_t now_ns);
/* It takes requests now. */
bool slot_usable(const struct slot *s);
/* It does not, but somebody is at it: it starts, heals, or its worker drains it only to start it again. */
bool slot_coming(const struct slot *s);
/* Places taken on a slot by every router. */
unsigned view_in_flight(struct router *r, unsigned slot);
/* Is router `i` another one that lives?  A dead router's counts vanish with its generation. */
bool view_sibling(const struct router *r, unsigned i);
/* Generations in flight on all slots, by every router. */
unsigned view_active(struct router *r);

/* --- queue.c: now, later or no ---------------------------------------------------------------------------------------------------- */

void queue_submit(struct exchange *x);
/* No place is free and nobody else may wait: whatever it asks for, it is refused, before anything of it is looked at.  True: answered. */
bool queue_shut(struct exchange *x);
void queue_remove(struct exchange *x);
/* An instance that has not failed this request could take it, now or when it has a place. */
bool queue_has_way(struct exchange *x);
/* Something changed: a place is free, a model resident, a slot ready. */
void queue_pump(struct router *r);
/* Give the place of a dispatched exchange back; `hold_ns` > 0: only after so long. */
void place_release(struct router *r, unsigned slot, uint64_t hold_ns);
void queue_tick(struct router *r, uint64_t now_ns);
/* What is on our page and others act by, written anew. */
void queue_say_again(struct router *r);
/* Look at the board every few milliseconds while somebody waits. */
void queue_poll(struct router *r, bool on);
unsigned queue_retry_after_s(const struct router *r);

/* --- places.c: who waits inside an instance ---------------------------------------------------------------------------------------- */

/* x was sent to its slot; its answer begins, `good` if it is no error; it leaves its slot. */
void places_sent(struct exchange *x);
void places_begun(struct exchange *x, bool good);
void places_left(struct exchange *x);
void places_tick(struct router *r, uint64_t now_ns);
/* The page is a clean one: nothing was told yet. */
void places_forget(struct router *r);

/* --- wish.c: which model a worker should load ---------------------------------------------------------------------------------- */

void wish_make(struct router *r, struct model *m, unsigned slot, uint64_t now_ns);
/* Publish it once more. */
void wish_say(struct router *r, const struct model *m);
/* A wish ends when it is fulfilled, has failed, lost its slot, or nobody waits any more. */
void wish_check(struct router *r, struct model *m);
/* The page is a clean one: who still waits for a load wishes for it again. */
void wishes_forget(struct router *r);

/* --- session.c: who asks, how urgently, in which conversation -------------------------------------------------------------------- */

/* What the head says of it.  False: answered. */
bool session_head(struct exchange *x, const struct http_head *h);
/* What the body says; its model is known. */
void session_body(struct exchange *x, const struct view *v);

/* --- upstream.c: an instance's side of the wire ----------------------------------------------------------------------------------- */

enum up_state { UP_CONNECT = 0, UP_HEAD, UP_BODY, UP_IDLE };

/* Who wants the answer. */
struct up_user {
	void (*head)(void *owner, const struct http_head *head);
	void (*bytes)(void *owner, struct span *parts, unsigned n, bool done);
	void (*broken)(void *owner, const char *why, bool connect_failed);
};

struct upstream {
	struct grave grave;
	struct conn c;
	struct router *r;
	const struct up_user *user;
	void *owner;
	LIST_ENTRY(upstream) link; /* slot.idle or router.busy */
	struct carry in;           /* part of a head */
	uint64_t deadline_ns;      /* connect */
	struct iovec todo;         /* request bytes not sent yet; owned by the user until the answer is complete */
	struct http_body body;
	uint32_t served;
	uint32_t moves;   /* of its slot when it was opened */
	uint16_t interim; /* 1xx heads seen */
	uint8_t slot;
	uint8_t state;  /* enum up_state */
	uint8_t method; /* enum http_method */
	bool reuse;     /* the answer allows another request */
};

/* An open stream has one of each.  With what malloc and the kernel's page size add it has to stay below 2 KB (README has what was
 * measured), so what few streams need is on the heap of those few. */
#define ROUTER_STREAM_BYTES 1536
_Static_assert(sizeof(struct exchange) + sizeof(struct client) + sizeof(struct upstream) <= ROUTER_STREAM_BYTES,
	       "an open stream takes more memory than it is allowed");

#define UP_HOOK PROC_SLOTS /* not an instance: the address of routing.auto.hook */

/* Send `n` bytes of a complete request to a slot, on a pooled connection or (`fresh`) surely on a new one.  The bytes stay the caller's
 * and must live until an answer head or `broken`.  0; -errno: no connection could even be begun (`why`). */
int upstream_send(struct router *r, unsigned slot, enum http_method method, char *p, size_t n, bool fresh, const struct up_user *user,
		  void *owner, struct upstream **out, struct why *why);
/* That error is this process's own want of descriptors or memory, and no fault of the instance. */
bool upstream_is_shortage(int err);
/* The user no longer wants it: close. */
void upstream_abandon(struct upstream *up);
void upstream_pause(struct upstream *up, bool paused);
void upstream_tick(struct router *r, uint64_t now_ns);
/* Close pooled connections of a slot (all slots: -1). */
void upstream_drop_idle(struct router *r, int slot);

/* --- fan.c, fleet.c, manage.c: answers from several instances --------------------------------------------------------------------- */

void fleet_answer(struct exchange *x);
void manage_answer(struct exchange *x);
void fan_client_gone(struct fan *f);
void fan_expired(struct fan *f);

/* --- api.c: tsa's own routes --------------------------------------------------------------------------------------------------- */

void api_answer(struct exchange *x);
/* The path has slashes at its end, and without them it is one of these routes: a redirection.  True: answered. */
bool api_redirect(struct exchange *x, const struct http_head *h);
/* There is no such route, or not by this method, and clients of these routes ask: in their words.  True: answered. */
bool api_refused(struct exchange *x, const char *path, unsigned method);
/* What the answer needs of the head.  False: answered. */
bool api_head(struct exchange *x, const struct http_head *h);

/* Say on the board who this is; after a new board or generation, with a clean page. */
void router_publish(struct router *r);
void listen_set(struct router *r, const int *fds, unsigned n);
void listen_resume(struct router *r);
/* How many clients fit beside our own descriptors; the limit may have been changed from outside. */
void listen_measure(struct router *r);
void listen_stop(struct router *r);
int orders_start(struct router *r, struct why *why);
void orders_stop(struct router *r);
void orders_explained(struct router *r, uint64_t number, bool known, const char *text);
void orders_tick(struct router *r, uint64_t now_ns);

/* --- orders.c, listen.c, main.c ---------------------------------------------------------------------------------------------------- */

#define ROUTER_GHOSTS 256

struct ghost {
	uint64_t until_ns;
	uint8_t slot;
};

struct listener {
	struct router *r;
	struct loop_io io;
	bool loopback; /* bound to an address that other machines do not reach */
};

void router_bury(struct router *r, struct grave *g);

struct router {
	struct loop loop;
	struct loop_timer tick, poll;
	struct loop_io orders_io;
	int orders; /* -1: no supervisor at the moment */
	struct proc_process self;
	uint64_t rehello_ns;
	struct proc_router_conf conf;
	bool configured;
	bool ready_said;
	bool failed; /* it cannot go on and has said why */
	bool draining;
	bool cut; /* the drain's time is over; what was left has been told so */
	bool accepting;
	uint64_t drain_ns; /* deadline of the drain */
	struct listener listeners[ROUTER_LISTENERS];
	unsigned n_listeners;
	char machine[65]; /* its host name */
	LIST_HEAD(, client) clients;
	LIST_HEAD(, exchange) exchanges;
	LIST_HEAD(, upstream) busy;
	unsigned n_clients;
	unsigned room; /* clients at a time */
	unsigned active;
	uint64_t held_bytes; /* request bodies in memory */
	uint64_t next_id;
	struct routing routing;
	struct feedback feedback;
	struct agents agents;
	struct automatic automatic;
	uint64_t view_ns;
	struct ghost ghosts[ROUTER_GHOSTS];
	unsigned n_ghosts;
	bool pumping;
	uint64_t tick_ns;
	uint64_t lag_ns; /* the latest tick of this second was late by so much */
	uint64_t lag_since_ns;
	uint64_t again_ns; /* when the page is written anew */
	uint64_t since_wall_ns;
	uint64_t published_gen;
	const void *published;
	struct shm_router_counters *count; /* on the page, or `spare` */
	struct slot slots[PROC_SLOTS];
	struct model *models;
	unsigned n_models;
	struct shm_reader *board;
	struct shm_router_file *page;
	struct shm_router_counters spare; /* counted into while there is no board yet */
	struct http_head head;            /* of the message being parsed: too large for the stack of every call */
	struct grave *graves;             /* freed at the end of the turn: callbacks may still hold them */
	struct exchange *head_of;         /* whose answer head waits in out_head for its first body bytes */
	char out_head[ROUTER_HEAD_OUT];
	size_t out_head_len;
	char scratch[ROUTER_SCRATCH];
	char message[PROC_MSG_MAX];
};
