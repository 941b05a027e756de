/* probes/probes.h - how we know: what an Ollama says, what its processes use, how the host is doing.
 *
 * Used by the worker alone.  Plain values in, plain values out: nothing here knows a configuration, a board or a policy.  All
 * answers are foreign bytes: sizes are capped, every field may be absent or of another type.  libcurl, json-c and NVML do not show
 * outside this folder.  Nothing blocks: no name is ever resolved, files read are those of /proc and /sys. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/why.h"

struct event_base;

/* --- outcomes ----------------------------------------------------------------------------------------------------------------- */

enum probe_outcome {
#define OUTCOME(name, word, grade, sentence, look) PROBE_##name,
#include "probes/outcomes.def"
#undef OUTCOME
	PROBE_OUTCOME_COUNT
};

enum probe_grade { PROBE_GRADE_NONE = 0, PROBE_GOOD, PROBE_WAIT, PROBE_NOISE, PROBE_BAD, PROBE_GRADE_COUNT };

struct probe_outcome_info {
	const char *word;
	enum probe_grade grade;
	const char *sentence;
	const char *look; /* what the operator should look at */
};

/* Never NULL: an outcome out of range is that of PROBE_NONE. */
const struct probe_outcome_info *probe_outcome_info(uint64_t outcome);

/* --- HTTP: one curl_multi married to one event base --------------------------------------------------------------------------- */

struct probe_http;
struct probe_call; /* one request in flight; dead once its `done` was called */

struct probe_answer {
	enum probe_outcome outcome; /* PROBE_OK: a status of 200 and a whole body */
	unsigned status;            /* 0: none came */
	uint64_t took_ns;
	const char *body; /* not NUL-terminated; valid during the call back, also for an error status */
	size_t n;
	struct why why; /* empty when the outcome says it all */
};

struct probe_ask {
	const char *path;
	const char *body;     /* NULL: GET; else POST of this JSON, copied */
	uint64_t deadline_ns; /* absolute; then the connection is closed */
	size_t max_bytes;     /* of the answer's body */
	void (*done)(void *arg, const struct probe_answer *a);
	void (*drop)(void *arg); /* instead of `done` when the call is cancelled; may be NULL */
	void *arg;
};

/* `address` is numeric, "127.0.0.1:11434" or "[::1]:11434"; a name is -EINVAL.  *out is the caller's. */
int probe_http_create(struct event_base *base, const char *address, struct probe_http **out, struct why *why);

/* Cancels every call. */
void probe_http_destroy(struct probe_http **h);

/* Start a request.  `done` is called exactly once, from the event loop, never from within this call; it may start other requests.
 * 0 or -ENOMEM.  *out may be NULL. */
int probe_http_start(struct probe_http *h, const struct probe_ask *ask, struct probe_call **out);

/* Close the connection under a request; `done` will not be called.  *call becomes NULL; NULL is fine. */
void probe_call_cancel(struct probe_call **call);

/* --- Ollama: what may be asked, and what it means ----------------------------------------------------------------------------- */

#define PROBE_NAME   256 /* a model's name, NUL included */
#define PROBE_MODELS 256 /* of one list; the others are counted */
#define PROBE_DIGEST 32

#define PROBE_CAP_KNOWN      (1U << 0) /* the instance told its capabilities */
#define PROBE_CAP_COMPLETION (1U << 1)
#define PROBE_CAP_EMBEDDING  (1U << 2)
#define PROBE_CAP_TOOLS      (1U << 3)
#define PROBE_CAP_VISION     (1U << 4)
#define PROBE_CAP_THINKING   (1U << 5)

#define PROBE_FOREVER UINT64_MAX /* expires_wall_ns of a model that never leaves by itself */

struct probe_model {
	char name[PROBE_NAME];
	char family[32];              /* "llama", "bert" …; empty: unknown */
	uint8_t digest[PROBE_DIGEST]; /* sha256 of the manifest; zeros: unknown */
	uint64_t size_bytes;          /* tags: on disk; ps: in memory */
	uint64_t vram_bytes;          /* ps */
	uint64_t expires_wall_ns;     /* ps; 0 unknown */
	uint64_t context;             /* ps: tokens of a place; tags: what it was trained for; 0 unknown */
	unsigned caps;                /* PROBE_CAP_*; 0: not told */
};

struct probe_models {
	unsigned n;
	unsigned more; /* entries left out: too many, a name too long, or a model of the cloud */
	struct probe_model at[PROBE_MODELS];
};

enum probe_kind {
	PROBE_KIND_NONE = 0,
	PROBE_VERSION, /* GET /api/version: it lives */
	PROBE_TAGS,    /* GET /api/tags: what it has */
	PROBE_PS,      /* GET /api/ps: what is resident by its books */
	PROBE_SHOW,    /* POST /api/show: capabilities, where tags does not tell them */
	PROBE_ABLE,    /* one token */
	PROBE_ABLE_EMBED,
	PROBE_LOAD, /* an empty generate: loads, or restarts the idle timer and asks the runner's health */
	PROBE_LOAD_EMBED,
	PROBE_UNLOAD,
	PROBE_KIND_COUNT
};

struct probe_reply {
	enum probe_kind kind;
	enum probe_outcome outcome;
	unsigned status;
	uint64_t took_ns;
	struct why why;                    /* never empty on failure */
	char version[32];                  /* VERSION */
	const struct probe_models *models; /* TAGS, PS; valid during the call back */
	unsigned caps;                     /* SHOW */
};

/* Ask one thing.  `model` for the kinds that need one.  As probe_http_start; the call may be cancelled. */
int probe_ollama_ask(struct probe_http *h, enum probe_kind kind, const char *model, uint64_t deadline_ns,
		     void (*done)(void *arg, const struct probe_reply *r), void *arg, struct probe_call **out);

/* Parsers of whole bodies; pure.  0 or -EPROTO with `why`. */
int probe_version_parse(const char *body, size_t n, char *out, size_t size, struct why *why);
int probe_models_parse(const char *body, size_t n, struct probe_models *out, struct why *why);
int probe_show_parse(const char *body, size_t n, unsigned *caps, struct why *why);
int probe_done_parse(const char *body, size_t n, struct why *why);              /* the single object of generate */
int probe_embed_parse(const char *body, size_t n, bool empty, struct why *why); /* `empty`: none was asked for */
void probe_error_parse(const char *body, size_t n, struct why *out);            /* {"error":"…"} or plain text; may stay empty */

/* RFC 3339 with any fraction and offset.  False when it is none.  Years above 2200 are PROBE_FOREVER. */
bool probe_time_parse(const char *text, uint64_t *wall_ns);

/* Two names of one model, as Ollama reads them: case, a missing ":latest" and the default registry and library do not matter. */
bool probe_name_same(const char *a, const char *b);

/* Cannot chat: only the embedding capability, or an encoder family where capabilities are not told. */
bool probe_model_embeds(unsigned caps, const char *family);

/* --- processes (/proc) -------------------------------------------------------------------------------------------------------- */

#define PROBE_RUNNERS 4

struct probe_stat { /* of /proc/PID/stat */
	pid_t pid, ppid, pgrp, session;
	char state;
	char comm[32];
	uint64_t cpu_ns;
	uint64_t start; /* ticks since boot */
	uint64_t rss_bytes;
};

/* A process that holds a loaded model: `ollama runner … --model B --port P`, or `llama-server --model B --port P …`. */
struct probe_runner {
	pid_t pid;
	uint64_t start;
	uint64_t cpu_ns;
	unsigned port;
	bool server; /* llama-server: the new generation */
};

/* A process and everything below it. */
struct probe_tree {
	unsigned processes;
	uint64_t rss_bytes;
	uint64_t cpu_ns;
	unsigned n_runners;
	struct probe_runner runners[PROBE_RUNNERS];
};

/* Pure parsers: false when the text is not what /proc says. */
bool probe_stat_parse(const char *text, size_t n, struct probe_stat *out);
bool probe_runner_parse(const char *cmdline, size_t n, struct probe_runner *out); /* cmdline: words, NUL after each */

/* 0 or -errno (-ESRCH, -EACCES). */
int probe_stat_read(pid_t pid, struct probe_stat *out);
int probe_fds_count(pid_t pid, uint64_t *out);
int probe_tree_read(pid_t pid, struct probe_tree *out);

/* Living processes whose environment holds exactly this "NAME=value" and is ours to read; at most `max`.  How many were found. */
unsigned probe_marked_find(const char *mark, struct probe_stat *out, unsigned max);

/* Who listens on this numeric loopback address.  0; -ENOENT nobody that we may see; -EINVAL not a loopback address. */
int probe_listener_find(const char *address, pid_t *out);

/* What the OOM killer has ended on this machine since boot; 0 when unknown. */
uint64_t probe_oom_count(void);

/* --- the host ----------------------------------------------------------------------------------------------------------------- */

struct probe_memory {
	uint64_t total_bytes, available_bytes, swap_total_bytes, swap_free_bytes;
};

struct probe_pressure { /* 1/10,000 of the time */
	uint64_t some_avg10, some_avg60, full_avg10, full_avg60;
};

bool probe_meminfo_parse(const char *text, struct probe_memory *out);
bool probe_pressure_parse(const char *text, struct probe_pressure *out);
bool probe_loadavg_parse(const char *text, uint64_t *load1_permille);

int probe_memory_read(struct probe_memory *out);
int probe_pressure_read(struct probe_pressure *out); /* -ENOENT: the kernel has none */
int probe_loadavg_read(uint64_t *load1_permille);

/* --- GPUs: NVML where there is one -------------------------------------------------------------------------------------------- */

#define PROBE_GPUS 16

struct probe_gpu {
	char name[40];
	uint64_t mem_total_bytes, mem_used_bytes;
	uint64_t util_permille;
	uint64_t temp_mc; /* thousandths of a degree Celsius */
	bool healthy;     /* it answers all of that */
};

struct probe_gpus;

/* *out is NULL when this machine has no NVML; that is no error.  NVML itself may take long: use it in the host worker alone, which
 * its supervisor replaces when it hangs. */
int probe_gpus_create(struct probe_gpus **out, struct why *why);
void probe_gpus_destroy(struct probe_gpus **g);

/* How many were read; `g` may be NULL. */
unsigned probe_gpus_read(struct probe_gpus *g, struct probe_gpu out[PROBE_GPUS]);
