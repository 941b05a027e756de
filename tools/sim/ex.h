/* tools/sim/ex.h - connections, exchanges and answers (head.c, listen.c, conn.c, body.c, resp.c). */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "tools/sim/gen.h"
#include "tools/sim/json.h"
#include "tools/sim/sched.h"

#define SIM_HEADERS 64 /* header fields remembered of a request */

struct sim_inst;
struct sim_conn;
struct sim_model;
struct sim_route;
struct sim_fault;

struct sim_header {
	struct span name;
	struct span value;
};

enum sim_head_error { HEAD_OK = 0, HEAD_MORE, HEAD_BAD };

struct sim_head {
	struct span method;
	struct span target;
	struct span host;
	struct span path; /* decoded */
	struct span raw_path;
	struct span query;
	unsigned major;
	unsigned minor;
	bool has_host;
	bool chunked;
	bool close;
	bool keep_alive; /* said so, for 1.0 */
	bool expect_continue;
	bool expect_other;
	bool h2_preface;
	int64_t length; /* -1 = none */
	size_t headers_n;
	struct sim_header headers[SIM_HEADERS];
	/* the answer to a head that cannot be served */
	int error_status;
	const char *error_text;
};

/* Parse the head in `in`; *used = its bytes.  Spans point into `in` or into `a`. */
enum sim_head_error sim_head_parse(struct arena *a, struct span in, struct sim_head *out, size_t *used);
struct span sim_head_get(const struct sim_head *h, const char *name);

enum sim_wait {
	WAIT_NONE = 0,
	WAIT_BODY,
	WAIT_PING,  /* before admission: a client that leaves now is never forgotten */
	WAIT_QUEUE, /* for the loop that loads */
	WAIT_LOAD,  /* drives a load */
	WAIT_SLOT,
	WAIT_PROMPT,
	WAIT_TOKENS,
	WAIT_EMBED,
	WAIT_SILENT, /* for ever */
	WAIT_TIMER,  /* an answer that a fault delays */
	WAIT_COUNT
};

struct sim_route;
struct sim_fault;

struct sim_ex {
	struct sim_conn *conn;
	struct sim_inst *in;
	const struct sim_route *route;
	const struct sim_dialect *dialect;
	struct sim_head head;
	struct span param; /* path parameter */
	struct span body;
	struct json *json;
	struct arena arena;
	bool active; /* an exchange is going on */

	/* the answer */
	int status;
	const char *ctype;
	struct buf fields; /* extra header lines, sorted already */
	struct buf pending;
	bool head_sent;
	bool chunked;
	bool ended;
	bool translation; /* errors come from the compatibility layer */

	/* the request, as far as every inference route has it */
	struct span model_text;
	struct sim_model *model;
	struct sim_model_conf conf; /* of the model when the request came: it may be deleted meanwhile */
	struct sim_name name;
	char digest[65];
	struct sim_loadopts loadopts;
	int64_t keep_alive_ns; /* -1 = not given */
	bool stream;
	bool think;
	bool tools_given;
	bool include_usage;
	struct span prompt; /* rendered */
	struct span user;   /* the last message of the user: sim: markers */
	int64_t max_tokens; /* -1 = not given */
	const struct json *tools;
	const struct json *stop;
	const struct json *context; /* tokens of a conversation so far */
	const struct json *embed_input;
	int64_t dimensions;     /* 0 = all */
	const char *late_error; /* found by the runner, not by the handler: 500 */
	bool no_truncate;
	bool logprobs;
	int64_t top_logprobs;

	/* scheduling */
	enum sim_wait wait;
	struct sim_runner *runner;
	bool has_slot;
	bool gone; /* the client left */
	bool ping_failed;
	TAILQ_ENTRY(sim_ex) link;  /* in the queue that `wait` names */
	TAILQ_ENTRY(sim_ex) rlink; /* in runner->admitted */
	void (*on_ready)(struct sim_ex *ex);
	void (*on_slot)(struct sim_ex *ex);
	struct event *timer;
	void (*on_timer)(struct sim_ex *ex);
	uint64_t begun_ns;
	uint64_t admitted_ns;

	struct sim_gen gen;
	struct sim_fault *fault;
	uint32_t fault_after;
	bool fault_stuck; /* silent until it is released, holding its slot */

	/* what a dialect needs between items */
	char id[40];
	char item_id[40];
	int64_t created_s;
	int seq;
	int block;
	int phase;
	struct buf scratch;
	bool plain_text;    /* a transcription without JSON around it */
	struct buf outputs; /* of a response, finished so far */
};

struct sim_conn {
	TAILQ_ENTRY(sim_conn) link;
	struct sim_inst *in;
	int fd;
	struct event *rd;
	struct event *wr;
	struct event *linger;
	struct buf inb;
	struct buf head_buf; /* the bytes that the spans of ex.head point into */
	size_t head_n;       /* of them, without what followed the head */
	struct buf out;
	size_t out_sent;
	struct buf body;
	enum { CONN_HEAD = 0, CONN_BODY, CONN_BUSY, CONN_DRAIN, CONN_LINGER, CONN_LEAKED, CONN_DEAD } state;
	bool close_after;
	bool eof;    /* nothing more will be read */
	bool broken; /* nothing can be written either */
	bool stepping;
	bool answered;
	bool on_ready_list;
	bool rd_on;
	TAILQ_ENTRY(sim_conn) ready;
	int64_t body_left; /* of a body with a length */
	int chunk_state;
	uint64_t chunk_left;
	const char *body_error;
	bool body_done;
	bool continue_due; /* 100 Continue not sent yet */
	struct json_edge edge;
	struct sim_ex ex;
};

int sim_conn_listen(struct sim_inst *in, const char *host, uint16_t port, struct why *why);
void sim_conn_send(struct sim_conn *c);
/* Room that a producer may fill before it must wait for the reader. */
bool sim_conn_full(const struct sim_conn *c);
void sim_conn_abort(struct sim_conn *c, bool reset);
/* The exchange has been answered in full: the connection goes on by itself soon. */
void sim_conn_answered(struct sim_conn *c);
void sim_conn_leak(struct sim_conn *c);
/* A client has been accepted. */
void sim_conn_open(struct sim_inst *in, int fd);

/* The head of a request is known: what body comes with it? */
void sim_body_begin(struct sim_conn *c);
/* Move what there is of the body out of the input. */
void sim_body_take(struct sim_conn *c);
/* There will be no more of it; `error` NULL = it is whole. */
void sim_body_finish(struct sim_conn *c, const char *error);
/* Is there enough of it for the handler to begin? */
bool sim_body_suffices(const struct sim_conn *c);
/* The error that ended the body, or NULL. */
const char *sim_conn_body_error(const struct sim_conn *c);

void sim_ex_timer(struct sim_ex *ex, uint64_t at_ns, void (*fn)(struct sim_ex *ex));
void sim_ex_timer_stop(struct sim_ex *ex);

/* Begin an answer.  `ctype` NULL = none. */
void resp_begin(struct sim_ex *ex, int status, const char *ctype);
/* An extra header line; give them in alphabetical order. */
void resp_field(struct sim_ex *ex, const char *name, const char *value);
void resp_write(struct sim_ex *ex, struct span s);
void resp_flush(struct sim_ex *ex);
void resp_end(struct sim_ex *ex);
/* A whole answer at once. */
void resp_full(struct sim_ex *ex, int status, const char *ctype, struct span body);
const char *resp_reason(int status);

/* An error in the words of the route's dialect. */
void sim_ex_fail(struct sim_ex *ex, int status, const char *message);
void sim_ex_failf(struct sim_ex *ex, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same as the first item of a stream: chunked, and natively without a charset. */
void sim_ex_fail_streamed(struct sim_ex *ex, int status, const char *message);
