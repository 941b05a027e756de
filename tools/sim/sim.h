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
#include "tools/sim/conf.h"
#include "tools/sim/ex.h"
#include "tools/sim/gen.h"
#include "tools/sim/json.h"
#include "tools/sim/sched.h"

extern struct event_base *sim_base;

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
/* Does a server start with these OLLAMA_ORIGINS?  -EINVAL with its last words. */
int sim_check_origins(struct why *why);

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
void handle_sim_release(struct sim_ex *ex);

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
/* Prompts (render.c): ex->prompt as the model gets it, ex->user for sim: markers. */
void sim_render_chat(struct sim_ex *ex, const struct json *messages);
/* The prompt of /api/generate; a bad template becomes ex->late_error. */
void sim_render_generate(struct sim_ex *ex);
/* One element of a list of log probabilities; the numbers are made up. */
void sim_logprob_write(const struct sim_ex *ex, struct buf *b, struct span token);
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
void sim_embed_vector(const struct sim_ex *ex, struct span text, float *out, bool normalise);
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
	FAULT_LOSE_PLACE, /* as streams closed at the wrong moment lose them */
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
/* Answers that hang in their middle go on; what has come due meanwhile comes at once. */
void sim_fault_release(struct sim_inst *in);

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
