/* tools/sim/sim.h - the private header of ollama-sim.
 *
 * One process plays any number of Ollama instances, one per port.  A connection (conn.c) parses requests as Go's net/http does
 * and owns at most one exchange at a time; a route (route.c) hands the exchange to a handler; the handler asks the instance's
 * scheduler (sched.c) for a runner, and gen.c then emits tokens through the dialect of the route.  Everything runs on one
 * libevent base; nothing blocks. */
#pragma once

#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/span.h"
#include "base/why.h"
#include "tools/sim/buf.h"
#include "tools/sim/json.h"

#define SIM_FOREVER    INT64_MAX /* keep_alive "for ever", ns */
#define SIM_HEADERS    64        /* header fields remembered of a request */
#define SIM_NAME_BYTES 600

struct sim_inst;
struct sim_conn;
struct sim_ex;

/* --- options (options.c) ---------------------------------------------------------------------------------------------- */

enum sim_answers {
	ANSWERS_WORDS = 0, /* tok0 tok1 ... */
	ANSWERS_SCRIPT,    /* the prompt's last <|marker|> chooses */
	ANSWERS_THINK,     /* a scripted thought and answer */
	ANSWERS_TOOL,      /* a scripted tool call when tools are given */
	ANSWERS_COUNT
};

/* What a model is; several names can share one weights file. */
struct sim_model_conf {
	char name[SIM_NAME_BYTES];
	char weights[65]; /* sha256 of the weights file, hex: the key of a runner */
	char parent[128]; /* details.parent_model when it is not the weights file itself */
	char family[32];
	char parameter_size[16];
	char quantization[16];
	char template[1024];
	char system[256];
	char parameters[512]; /* lines of "key value", as /api/create keeps them */
	uint64_t size_bytes;  /* in /api/tags */
	uint64_t ram_bytes;   /* in /api/ps; 0 = size_bytes */
	uint64_t vram_bytes;
	uint64_t load_ns;
	uint64_t prefill_per_s; /* tokens; 0 = at once */
	uint64_t decode_per_s;  /* tokens; 0 = at once */
	uint32_t ctx_trained;
	uint32_t num_ctx; /* PARAMETER num_ctx; 0 = none */
	uint32_t dim;     /* of embeddings */
	uint32_t token_bytes;    /* of a prompt, per token; 0 = 4 */
	uint32_t tokens;  /* length of an answer; 0 = the server's default */
	unsigned parallel;       /* slots; 0 = the server's number */
	enum sim_answers answers;
	bool embed;
	bool tools;
	bool thinking;
	bool vision;
	bool insert;
	bool overlap; /* runs on the newer of the two old engines: loads overlap */
	bool broken;  /* manifest without weights */
};

struct sim_conf {
	char host[64];
	uint16_t port;
	unsigned ports;
	char version[32];
	bool new_generation;
	bool cloud_disabled;
	bool pull_fails;
	bool runners; /* fork a real child per loaded model */
	bool profiled; /* a profile was named: no default models */
	bool overlap;  /* OLLAMA_NEW_ENGINE: every model on the engine whose loads overlap */
	bool log;      /* the log lines of a real server */
	bool quiet;
	unsigned parallel;
	unsigned max_queue;
	unsigned max_loaded;
	uint32_t ctx_default; /* OLLAMA_CONTEXT_LENGTH; 0 = automatic (4096) */
	int64_t keep_alive_ns;
	uint64_t ping_ns;         /* what the health ping of a resident runner takes: the leak window */
	uint64_t ping_timeout_ns; /* until a stopped runner is given up, per ping */
	uint64_t load_timeout_ns;
	uint64_t start_delay_ns; /* accepts connections, answers none */
	uint32_t tokens;         /* default answer length */
	size_t models_n;
	struct sim_model_conf *models;
	size_t faults_n;
	char **faults; /* specifications given by --fault */
};

extern struct sim_conf sim_conf;
extern struct event_base *sim_base;

/* Reads argv and the OLLAMA_* environment.  0; -EINVAL with a sentence; 1 when --help or --version has been served. */
int sim_options_read(int argc, char **argv, struct sim_conf *out, struct why *why);
/* "NAME,size=2GB,load=300ms,..." appended to `conf`. */
int sim_options_model_add(struct sim_conf *conf, const char *text, struct why *why);
/* The models of a named profile. */
int sim_profile_add(struct sim_conf *conf, const char *name, struct why *why);

/* --- names (name.c) --------------------------------------------------------------------------------------------------- */

struct sim_name {
	char host[352];
	char ns[82];
	char model[82];
	char tag[82];
};

/* Parse and fill defaults.  False when it is not a name. */
bool sim_name_parse(struct span text, struct sim_name *out);
/* host/ns/model:tag */
void sim_name_full(const struct sim_name *n, char *out, size_t size);
/* The shortest form, always with a tag. */
void sim_name_display(const struct sim_name *n, char *out, size_t size);
/* Equal whatever the case of the letters. */
bool sim_name_same(const struct sim_name *a, const struct sim_name *b);

enum sim_source { SOURCE_LOCAL = 0, SOURCE_CLOUD, SOURCE_BOTH };

/* Strip ":local", recognise ":cloud" and "-cloud". */
enum sim_source sim_name_source(struct span text, struct span *stripped);

/* --- models in the store (store.c) ------------------------------------------------------------------------------------ */

struct sim_model {
	TAILQ_ENTRY(sim_model) link;
	struct sim_name name;
	struct sim_model_conf conf;
	char digest[65];
	uint64_t modified_ns; /* wall clock */
};
TAILQ_HEAD(sim_models, sim_model);

struct sim_blob {
	TAILQ_ENTRY(sim_blob) link;
	char digest[65];
	uint64_t size_bytes;
};
TAILQ_HEAD(sim_blobs, sim_blob);

struct sim_model *sim_store_find(struct sim_inst *in, const struct sim_name *name);
struct sim_model *sim_store_find_exact(struct sim_inst *in, const struct sim_name *name);
struct sim_model *sim_store_add(struct sim_inst *in, const struct sim_name *name, const struct sim_model_conf *conf);
void sim_store_remove(struct sim_inst *in, struct sim_model *m);
void sim_store_fill(struct sim_inst *in);
bool sim_blob_known(struct sim_inst *in, const char *digest);
void sim_blob_add(struct sim_inst *in, const char *digest, uint64_t size_bytes);
void sim_details_write(struct buf *out, const struct sim_model_conf *c, const char *parent, bool lengths);
void sim_capabilities_write(struct buf *out, const struct sim_model_conf *c);
void sha256_hex(const void *data, size_t n, char out[65]);

/* --- load-time options (loadopts.c) ----------------------------------------------------------------------------------- */

struct sim_loadopts {
	int64_t num_ctx;   /* as asked; 0 = automatic */
	int64_t num_batch; /* 0 = automatic */
	int64_t num_gpu;   /* -1 = automatic */
	int64_t main_gpu;
	int64_t num_thread; /* 0 = automatic */
	int use_mmap;       /* -1 = automatic */
	int main_gpu_given;
	int shift; /* new generation only */
};

/* What a request's `options` ask of the runner.  0; -EINVAL with the message of a wrong type. */
int sim_loadopts_read(const struct json *options, const struct sim_model_conf *m, struct sim_loadopts *out, struct why *why);
bool sim_loadopts_reload(const struct sim_loadopts *running, const struct sim_loadopts *asked, const struct sim_model_conf *m);
uint32_t sim_loadopts_ctx(const struct sim_loadopts *o, const struct sim_model_conf *m);

/* --- runners and the scheduler (sched.c) ------------------------------------------------------------------------------ */

enum sim_runner_state { RUNNER_LOADING = 0, RUNNER_READY };

TAILQ_HEAD(sim_exs, sim_ex);

struct sim_runner {
	TAILQ_ENTRY(sim_runner) link;
	struct sim_inst *in;
	enum sim_runner_state state;
	bool dead;    /* crashed; nobody noticed yet */
	bool wedged;  /* stopped: silent, but listed */
	bool closing; /* to be unloaded when idle */
	bool hung;    /* died before it listened: its load never ends */
	const char *load_error;     /* what the load will end with; NULL = well */
	char load_text[256];
	char weights[65];
	struct sim_name name; /* of the model that loaded it first */
	char digest[65];
	struct sim_model_conf conf;
	struct sim_loadopts opts;
	uint32_t ctx;
	unsigned refs; /* admitted exchanges */
	unsigned slots;
	unsigned slots_used;
	struct sim_exs waiting; /* for a slot, first come first served */
	struct sim_exs loaders; /* for an overlapping load to end */
	struct sim_exs admitted;
	int64_t session_ns;
	uint64_t expires_wall_ns; /* 0 = not idle yet */
	struct event *expire;
	struct event *loading;
	uint64_t prefill_free_ns; /* when the prompt now in work is done with */
	uint16_t port;
	pid_t pid; /* of the child, with --runners */
};
TAILQ_HEAD(sim_runners, sim_runner);

/* Ask for a runner for ex->model with ex->loadopts; later calls ex->on_ready, or sim_ex_fail(). */
void sim_sched_submit(struct sim_ex *ex);
/* The exchange is over or its client is gone; give back slot and reference. */
void sim_sched_release(struct sim_ex *ex);
/* Wait for a generation slot on ex->runner; calls ex->on_slot. */
void sim_sched_slot_take(struct sim_ex *ex);
void sim_sched_slot_give(struct sim_ex *ex);
/* The client left while the exchange waited.  True when the server forgets it for ever (the descriptor leaks). */
bool sim_sched_client_gone(struct sim_ex *ex);
void sim_sched_unload_request(struct sim_inst *in, const struct sim_model *m, struct sim_ex *ex);
struct sim_runner *sim_sched_find(struct sim_inst *in, const char *weights);
void sim_sched_crash(struct sim_runner *r);
void sim_sched_wedge(struct sim_runner *r, bool on);
void sim_sched_reset(struct sim_inst *in);
unsigned sim_sched_queued(const struct sim_inst *in);

/* Real child processes (runner.c). */
void sim_runner_spawn(struct sim_runner *r);
void sim_runner_kill(struct sim_runner *r);
int sim_runner_watch(void);
int sim_runner_main(int argc, char **argv);

/* --- generation (gen.c, answer.c) ------------------------------------------------------------------------------------- */

enum sim_piece { PIECE_TEXT = 0, PIECE_THINKING, PIECE_HIDDEN, PIECE_TAG, PIECE_TOOL, PIECE_END };

/* What a model is going to say. */
struct sim_answer {
	const char *const *script; /* PIECE per string; a see answer.c for the marks; NULL ends */
	bool endless;              /* the script repeats */
	bool repeats;              /* ... until the token-repeat guard ends it */
	bool hidden_end;           /* an end-of-sequence token is counted */
	bool tool;                 /* one tool call instead of text */
	uint32_t thinking;         /* pieces of thinking before the words */
	uint32_t words;            /* pieces of text; ignored with `script` */
	struct span echo;          /* each piece is this text */
	uint64_t delay_ns;         /* between tokens; overrides the model's rate when `delay` */
	bool delay;
	struct span tool_name;
	struct span tool_args; /* a JSON object */
	uint32_t tool_tokens;
};

struct sim_item {
	enum sim_piece kind;
	struct span text;
	const char *call_id; /* PIECE_TOOL */
};

/* How an answer ended. */
struct sim_summary {
	bool done;          /* false: the stream just stops */
	const char *reason; /* "stop", "length", "load", "unload" */
	uint32_t prompt_tokens;
	uint32_t eval_tokens;
	int64_t total_ns;
	int64_t load_ns;
	int64_t prompt_ns;
	int64_t eval_ns;
};

/* How a route words things. */
struct sim_dialect {
	const char *stream_type;
	void (*item)(struct sim_ex *ex, const struct sim_item *item);     /* streaming: one token */
	void (*finish)(struct sim_ex *ex, const struct sim_summary *sum); /* the end, streamed or not */
	void (*broken)(struct sim_ex *ex, const char *message);           /* the runner failed after the first item */
	void (*loaded)(struct sim_ex *ex, const char *reason);            /* the answer of an empty request */
	void (*error)(struct sim_ex *ex, int status, const char *message, struct buf *out, bool translation);
	bool shows_tags;     /* streams an empty item for a tag that the parser took away */
	bool error_newline; /* errors of the handlers end with a newline */
	bool sse_headers;   /* Cache-Control and Connection on streamed answers, errors included */
};

struct sim_gen {
	struct sim_answer answer;
	uint32_t next;    /* piece */
	uint32_t emitted; /* items given to the dialect */
	uint32_t evals;
	uint32_t limit; /* 0 = none */
	uint32_t repeats;
	uint32_t prompt_tokens;
	uint64_t admitted_ns;
	uint64_t prefill_at_ns;
	uint64_t first_at_ns;
	uint64_t step_ns;
	bool begun;      /* the prompt is done */
	uint64_t prompt_guess; /* what /v1/messages says of the prompt before it is known */
	struct buf text; /* everything said so far */
	struct buf thinking;
	char call_id[16];
	bool tool_called;
};

/* ex->prompt, ex->answer_* are set: run the generation. */
void sim_gen_start(struct sim_ex *ex);
/* Stop without a word. */
void sim_gen_cancel(struct sim_ex *ex);
/* Stop because nobody listens; the answer ends as a real one does. */
void sim_gen_client_gone(struct sim_ex *ex);
/* Room in the connection's output again. */
void sim_gen_resume(struct sim_ex *ex);
void sim_gen_runner_died(struct sim_ex *ex);
void sim_answer_choose(struct sim_ex *ex, struct sim_answer *out);
enum sim_piece sim_answer_piece(const struct sim_answer *a, uint32_t i, struct span *text, char scratch[32]);
uint32_t sim_tokens_count(const struct sim_ex *ex, struct span text);

/* --- exchanges (conn.c, resp.c) --------------------------------------------------------------------------------------- */

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
	const char *reason;
	const char *ctype;
	struct buf fields; /* extra header lines, sorted already */
	struct buf pending;
	bool head_sent;
	bool chunked;
	bool ended;
	bool origin_allowed;
	bool translation; /* errors come from the compatibility layer */

	/* the request, as far as every inference route has it */
	struct span model_text;
	struct sim_model *model;
	struct sim_model_conf conf; /* of the model when the request came: it may be deleted meanwhile */
	struct sim_name name;
	char digest[65];
	struct sim_loadopts loadopts;
	const struct json *options;
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
	const struct json *embed_input;
	int64_t dimensions; /* 0 = all */
	const char *late_error; /* found by the runner, not by the handler: 500 */
	bool no_truncate;
	bool logprobs;

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
	bool fault_stuck; /* silent for ever, holding its slot */

	/* what a dialect needs between items */
	char id[40];
	char item_id[40];
	int64_t created_s;
	int seq;
	int block;
	int phase;
	struct buf scratch;
	bool plain_text;     /* a transcription without JSON around it */
	struct buf outputs;  /* of a response, finished so far */
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
	size_t trailer_n;
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
/* The part of the body that has not come when it is wanted in full: the error that ended it, or NULL. */
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

/* --- routes (route.c, check.c) ---------------------------------------------------------------------------------------- */

enum sim_body { BODY_NONE = 0, BODY_JSON, BODY_RAW };

struct sim_route {
	const char *method;
	const char *path; /* a trailing "/:" takes one segment */
	enum sim_body body;
	const struct sim_dialect *dialect;
	void (*handle)(struct sim_ex *ex);
	bool inference; /* faults hit these unless they name a route */
};

extern const struct sim_route sim_routes[];
extern const size_t sim_routes_n;

/* The head is in ex->head: answer at once, or return with ex->route set when a handler wants the body. */
void sim_route_enter(struct sim_ex *ex);
/* Apply Host and Origin rules.  True when it answered. */
bool sim_check_refuse(struct sim_ex *ex);
int sim_check_init(void);

/* --- handlers --------------------------------------------------------------------------------------------------------- */

extern const struct sim_dialect dialect_generate, dialect_chat, dialect_plain, dialect_oai, dialect_oai_chat, dialect_oai_cmpl,
	dialect_oai_responses, dialect_anthropic, dialect_audio;

void handle_root(struct sim_ex *ex);
void handle_version(struct sim_ex *ex);
void handle_tags(struct sim_ex *ex);
void handle_ps(struct sim_ex *ex);
void handle_show(struct sim_ex *ex);
void handle_status(struct sim_ex *ex);
void handle_copy(struct sim_ex *ex);
void handle_delete(struct sim_ex *ex);
void handle_create(struct sim_ex *ex);
void handle_pull(struct sim_ex *ex);
void handle_push(struct sim_ex *ex);
void handle_blob_head(struct sim_ex *ex);
void handle_blob_post(struct sim_ex *ex);
void handle_me(struct sim_ex *ex);
void handle_cloud_only(struct sim_ex *ex);
void handle_recommendations(struct sim_ex *ex);
void handle_generate(struct sim_ex *ex);
void handle_chat(struct sim_ex *ex);
void handle_embed(struct sim_ex *ex);
void handle_embeddings(struct sim_ex *ex);
void handle_oai_chat(struct sim_ex *ex);
void handle_oai_completions(struct sim_ex *ex);
void handle_oai_embeddings(struct sim_ex *ex);
void handle_oai_models(struct sim_ex *ex);
void handle_oai_model(struct sim_ex *ex);
void handle_oai_responses(struct sim_ex *ex);
void handle_oai_audio(struct sim_ex *ex);
void handle_oai_image(struct sim_ex *ex);
void handle_oai_image_edit(struct sim_ex *ex);
void handle_anthropic(struct sim_ex *ex);
void handle_sim(struct sim_ex *ex);
void handle_sim_stats(struct sim_ex *ex);
void handle_sim_fault(struct sim_ex *ex);
void handle_sim_reset(struct sim_ex *ex);

/* --- requests (request.c, schema.c) ----------------------------------------------------------------------------------- */

enum sim_field_kind {
	FIELD_STRING = 0,
	FIELD_BOOL,
	FIELD_INT,
	FIELD_FLOAT,
	FIELD_ANY,
	FIELD_MAP,
	FIELD_SLICE, /* of `sub`, or of anything */
	FIELD_STRUCT,
	FIELD_IMAGES, /* base64 strings */
	FIELD_DURATION,
	FIELD_THINK,
	FIELD_TEXT_OR_BLOCKS,
	FIELD_KIND_COUNT
};

struct sim_schema;

struct sim_field {
	const char *name;
	enum sim_field_kind kind;
	const char *type; /* Go's name of it, for messages */
	const struct sim_schema *sub;
};

struct sim_schema {
	const char *name; /* as in "Go struct field NAME.x" */
	const char *full; /* as in "Go value of type FULL" */
	const struct sim_field *fields;
	size_t fields_n;
};

/* Parse ex->body and check it.  False when the exchange has been answered with the error. */
bool sim_request_read(struct sim_ex *ex, const struct sim_schema *schema);
int sim_schema_check(const struct json *j, const struct sim_schema *schema, struct why *why);
int sim_keep_alive_read(const struct json *j, int64_t *out_ns, struct why *why);
/* Go's time.ParseDuration. */
int sim_go_duration(struct span text, int64_t *out_ns, struct why *why);

enum sim_missing { MISSING_PLAIN = 0, MISSING_TRY_PULLING };

/* Resolve ex->model_text into ex->model, or answer.  `kind` is how an unknown model is reported. */
bool sim_request_model(struct sim_ex *ex, enum sim_missing kind, bool empty_is_required, bool exact);
/* Answer 400 when the model `lacks` what the request needs.  True when answered. */
bool sim_request_lacks(struct sim_ex *ex, bool lacks, const char *what, bool full_name);
/* Read `options`.  False when answered. */
bool sim_request_options(struct sim_ex *ex, const struct json *options);
/* The texts of the last user message. */
void sim_request_render_chat(struct sim_ex *ex, const struct json *messages);
/* Run a generation: schedule, slot, tokens. */
void sim_request_generate(struct sim_ex *ex);
/* Load only: schedule, then dialect->loaded. */
void sim_request_load(struct sim_ex *ex);
/* Is `input` a string or a list of strings?  Answers 400 when not. */
bool sim_embed_input_ok(struct sim_ex *ex, const struct json *input);
/* Schedule ex->embed_input and call `done` when it has been worked through; `tokens` is in ex->gen.prompt_tokens. */
void sim_embed_run(struct sim_ex *ex, const struct json *input, void (*done)(struct sim_ex *ex));
void sim_embed_resume(struct sim_ex *ex);
/* The vector of one text into `out`, of sim_embed_dim() values. */
void     sim_embed_vector(const struct sim_ex *ex, struct span text, float *out, bool normalise);
uint32_t sim_embed_dim(const struct sim_ex *ex);

/* --- instances, faults, counters (fault.c, stats.c) -------------------------------------------------------------------- */

enum sim_fault_kind {
	FAULT_NONE = 0,
	FAULT_SLOW,
	FAULT_HANG_BEFORE,
	FAULT_HANG_STREAM,
	FAULT_CUT,
	FAULT_RESET,
	FAULT_CRASH_STREAM,
	FAULT_CRASH_LOAD,
	FAULT_HANG_LOAD,  /* the runner died before it listened: without end in the old generation */
	FAULT_STALL_LOAD, /* no progress until the load timeout */
	FAULT_BUSY,
	FAULT_ERROR,
	FAULT_GARBAGE,
	FAULT_EXIT,
	FAULT_WEDGE,
	FAULT_HANG_ALL,
	FAULT_COUNT
};

struct sim_fault {
	TAILQ_ENTRY(sim_fault) link;
	enum sim_fault_kind kind;
	char model[SIM_NAME_BYTES]; /* "" = any */
	char route[128];            /* prefix of the path; "" = inference routes */
	uint32_t after;             /* stream items before it strikes */
	uint32_t left;              /* strikes; UINT32_MAX = for ever */
	uint64_t delay_ns;
	int status;
	char message[256];
};
TAILQ_HEAD(sim_faults, sim_fault);

int sim_fault_add(struct sim_inst *in, const struct json *spec, struct why *why);
int sim_fault_add_text(struct sim_inst *in, const char *spec, struct why *why);
/* Take a matching fault for this exchange.  True when it has answered (or will never). */
bool sim_fault_strike(struct sim_ex *ex);
/* Before an item is emitted.  True when the item must not come. */
bool sim_fault_at_item(struct sim_ex *ex);
/* A load is about to begin.  True, and a copy of the fault, when one strikes it. */
bool sim_fault_at_load(struct sim_inst *in, const struct sim_model_conf *m, struct sim_fault *out);
void sim_fault_clear(struct sim_inst *in);

struct sim_route_stats {
	uint64_t requests;
	struct buf last_head;
	struct buf last_body;
};

struct sim_stats {
	uint64_t requests;
	uint64_t connections;
	uint64_t open_connections;
	uint64_t leaked;
	uint64_t active;
	uint64_t gens_started;
	uint64_t gens_finished;
	uint64_t gens_cancelled;
	uint64_t gens_broken;
	uint64_t loads_started;
	uint64_t loads_finished;
	uint64_t unloads;
	uint64_t refused_busy;
	uint64_t tokens;
};

TAILQ_HEAD(sim_conns, sim_conn);

struct sim_inst {
	uint16_t port;
	bool loopback;
	int listen_fd;
	struct event *accept;
	struct sim_models models;
	struct sim_blobs blobs;
	struct sim_runners runners;
	struct sim_exs pending; /* for the load loop */
	unsigned pending_n;
	struct sim_ex *loop_ex;       /* what the loop is busy with */
	struct sim_runner *loop_wait; /* the runner whose end it waits for */
	struct event *loop_timer;
	bool running;
	struct sim_faults faults;
	bool hang_all;
	struct sim_conns conns;
	struct sim_stats stats;
	struct sim_route_stats *routes; /* sim_routes_n, and one more for the unknown */
};

extern struct sim_inst *sim_insts;
extern unsigned sim_insts_n;

int sim_inst_open(struct sim_inst *in, const char *host, uint16_t port, struct why *why);
void sim_stats_request(struct sim_ex *ex);
void sim_stats_body(struct sim_ex *ex);
/* The lines of a real server's log (log.c). */
void sim_log_start(void);
void sim_log_access(const struct sim_ex *ex);

/* --- time and ids (text.c) -------------------------------------------------------------------------------------------- */

/* RFC 3339 with up to nine fraction digits, trailing zeros trimmed; UTC, or the host's offset. */
void text_time(struct buf *out, uint64_t wall_ns, bool local);
void text_http_date(struct buf *out);
uint64_t text_random(void);
/* `n` characters of [a-z0-9], or of hex. */
void text_id(char *out, unsigned n, bool hex);
