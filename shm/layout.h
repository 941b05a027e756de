/* shm/layout.h - what stands where on the board.  No functions.
 *
 * The board is a set of memfds, one per writer: the owner file (supervisor), one vital file per slot (that slot's worker), one host
 * file (host worker), one file per router.  A writer holds its own file writable; everybody else got it re-opened read-only, so "one
 * writer" is kept by the kernel.  All files exist from the start in their final size (sparse), so a reload never moves anything.
 *
 * A *line* is a sequence word followed by payload words and their sum; writer.c and reader.c are the only stores and loads.  Payload types are
 * plain structs of fixed-width members, a multiple of 8 bytes, without padding; text is NUL-padded.  A *counter* is one atomic word
 * on its own, written by one process, read at any time.  Times named _ns are CLOCK_MONOTONIC, _wall_ns CLOCK_REALTIME.
 *
 * Nothing on the board is a pointer, an address to connect to, or an index used unchecked: readers validate (reader.c). */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_MAGIC   0x314452414f425354ULL /* the bytes "TSBOARD1" on a little-endian machine */
#define SHM_VERSION 1U

#define SHM_SLOTS      64 /* instances; users have 9 to 14, remote ones may join */
#define SHM_MODELS     32 /* models per instance that the board shows */
#define SHM_ROUTERS    8
#define SHM_GPUS       16
#define SHM_WISHES     4   /* models one router may wish for on one slot at a time */
#define SHM_NAME       64  /* instance names, NUL included */
#define SHM_MODEL_NAME 128 /* Ollama allows more; longer names are served but not shown */
#define SHM_TEXT       160 /* one sentence */
#define SHM_URL        128

enum shm_state {
#define STATE(name, word, sentence) SHM_STATE_##name,
#include "shm/states.def"
#undef STATE
	SHM_STATE_COUNT
};

/* What the operator or the configuration wants of a slot. */
enum shm_wanted {
	SHM_WANT_NONE = 0,
	SHM_WANT_RUN,
	SHM_WANT_DRAIN,
	SHM_WANT_STOP,
	SHM_WANT_RESTART, /* as RUN, until its turn to be started again comes */
	SHM_WANT_COUNT
};

/* How the supervisor's child (worker, host worker, router) is doing. */
enum shm_child {
	SHM_CHILD_NONE = 0,
	SHM_CHILD_STARTING,
	SHM_CHILD_RUNNING,
	SHM_CHILD_STOPPING,
	SHM_CHILD_BACKOFF,
	SHM_CHILD_QUARANTINED,
	SHM_CHILD_STOPPED,
	SHM_CHILD_COUNT
};

/* --- owner file: header, child lines, owner lines (supervisor) ------------------------------------------------------------ */

struct shm_header {           /* line, once */
	uint64_t boot_id[2];  /* /proc/sys/kernel/random/boot_id */
	uint64_t board_id[2]; /* random, new for every board */
	uint64_t sup_pid;
	uint64_t sup_start; /* field 22 of /proc/PID/stat: ticks since boot; with the pid it names one process for ever */
	uint64_t sup_gen;   /* counts supervisors that owned this board */
	uint64_t sup_since_wall_ns;
	uint64_t sup_beat_ns;
	uint64_t reloads_ok;
	uint64_t reloads_bad;
	uint64_t reload_wall_ns;    /* last one, good or bad */
	uint64_t routers;           /* configured */
	uint64_t slots_used;        /* highest used slot + 1 */
	uint64_t stopping;          /* 1 while the service drains to stop */
	char listen[SHM_TEXT];      /* "127.0.0.1:8480 …" for people */
	char reload_text[SHM_TEXT]; /* why the last reload failed, or empty */
	char version[32];
};

struct shm_child_line { /* one per router, one for the host worker */
	uint64_t gen;
	uint64_t pid; /* 0: none */
	uint64_t start;
	uint64_t state; /* enum shm_child */
	uint64_t restarts;
	uint64_t since_wall_ns;
	uint64_t next_ns;   /* when BACKOFF ends */
	char why[SHM_TEXT]; /* last death */
};

struct shm_owner {       /* one per slot */
	uint64_t gen;    /* moves on with every new worker: what an older one left on its vital file is void */
	uint64_t used;   /* 1: configured */
	uint64_t wanted; /* enum shm_wanted */
	uint64_t places; /* parallel requests the instance takes (OLLAMA_NUM_PARALLEL) */
	uint64_t pinned;
	uint64_t adopted;  /* 1: `url`, 0: `command` */
	uint64_t conf_gen; /* counts changes of this slot's configuration */
	uint64_t child_pid;
	uint64_t child_start;
	uint64_t child_state; /* enum shm_child */
	uint64_t child_restarts;
	uint64_t child_since_wall_ns;
	uint64_t child_next_ns;
	char name[SHM_NAME];
	char url[SHM_URL]; /* for people; routers take addresses from their configuration */
	char tags[SHM_TEXT];
	char why[SHM_TEXT]; /* last death of the worker, or why quarantined */
};

/* --- vital file: one per slot (worker) ------------------------------------------------------------------------------------ */

struct shm_vital {    /* line */
	uint64_t gen; /* written under; void unless it equals the owner's */
	uint64_t beat_ns;
	uint64_t state;  /* enum shm_state */
	uint64_t reason; /* enum probe_outcome of probes/outcomes.def; routers know SHM_REASON_PLACES of them */
	uint64_t since_wall_ns;
	uint64_t ollama_pid; /* 0: unknown (adopted by url) */
	uint64_t ollama_start;
	uint64_t runner_pids[4];
	uint64_t fail_streak;
	uint64_t fails;
	uint64_t up_ns;   /* latency of the last /api/version, 0 none yet */
	uint64_t tags_ns; /* likewise */
	uint64_t ps_ns;
	uint64_t able_ns; /* last one-token generation or embedding */
	uint64_t able_at_ns;
	uint64_t fds;       /* open descriptors of the Ollama process */
	uint64_t fds_limit; /* where it is recycled; 0: not watched */
	uint64_t rss_bytes; /* Ollama and its runners */
	uint64_t cpu_ns;    /* likewise, user + system */
	uint64_t starts;    /* of Ollama by this and earlier workers of the slot */
	uint64_t recycles;
	uint64_t orphans; /* left-over runners that were ended */
	uint64_t loads;
	uint64_t load_failures;
	uint64_t death_kind; /* enum shm_death */
	uint64_t death_code; /* exit code or signal */
	uint64_t death_wall_ns;
	uint64_t next_ns;       /* when BACKOFF ends */
	uint64_t models;        /* entries in use of the models line */
	uint64_t models_change; /* moves on when the models line did */
	char version[32];
	char why[SHM_TEXT]; /* the reason as a sentence */
};

enum shm_death { SHM_DEATH_NONE = 0, SHM_DEATH_EXIT, SHM_DEATH_SIGNAL, SHM_DEATH_OOM, SHM_DEATH_UNKNOWN, SHM_DEATH_COUNT };

#define SHM_REASON_PLACES 30U /* SICK: what waits in it without an answer waits in vain */

#define SHM_MODEL_AVAILABLE  (1ULL << 0) /* in the instance's store */
#define SHM_MODEL_RESIDENT   (1ULL << 1) /* listed by /api/ps and has answered */
#define SHM_MODEL_LOADING    (1ULL << 2) /* the worker is loading it now */
#define SHM_MODEL_PRIMARY    (1ULL << 3) /* kept warm */
#define SHM_MODEL_CONFIGURED (1ULL << 4)
#define SHM_MODEL_FAILED     (1ULL << 5) /* the last load failed; tried again later */
#define SHM_MODEL_EMBED      (1ULL << 6) /* cannot chat */
#define SHM_MODEL_TOOLS      (1ULL << 7)
#define SHM_MODEL_VISION     (1ULL << 8)
#define SHM_MODEL_THINKING   (1ULL << 9)

struct shm_model {
	uint64_t flags;
	uint64_t size_bytes;     /* on disk */
	uint64_t resident_bytes; /* in memory, 0 when not resident */
	uint64_t vram_bytes;
	uint64_t expires_wall_ns; /* UINT64_MAX: never */
	uint64_t context;         /* tokens per place */
	uint64_t load_ns;         /* how long its last load took */
	uint64_t used_wall_ns;
	uint64_t digest[4];        /* sha256 of the manifest */
	char name[SHM_MODEL_NAME]; /* as /api/tags shows it, tag included */
};

struct shm_models { /* line */
	uint64_t gen;
	uint64_t n;
	struct shm_model at[SHM_MODELS];
};

/* --- host file (host worker) ---------------------------------------------------------------------------------------------- */

struct shm_gpu {
	uint64_t mem_total_bytes;
	uint64_t mem_used_bytes;
	uint64_t util_permille;
	uint64_t temp_mc; /* thousandths of a degree Celsius */
	uint64_t healthy;
	char name[40];
};

struct shm_host { /* line */
	uint64_t gen;
	uint64_t beat_ns;
	uint64_t mem_total_bytes;
	uint64_t mem_available_bytes;
	uint64_t swap_total_bytes;
	uint64_t swap_free_bytes;
	uint64_t psi_known;                /* 0: the kernel has no /proc/pressure */
	uint64_t mem_some_avg10_permyriad; /* 1/10,000 of the time, as the next three */
	uint64_t mem_some_avg60_permyriad;
	uint64_t mem_full_avg10_permyriad;
	uint64_t mem_full_avg60_permyriad;
	uint64_t cpus_online;
	uint64_t load1_permille;
	uint64_t gpus;
	struct shm_gpu gpu[SHM_GPUS];
};

/* --- router file: one per router ------------------------------------------------------------------------------------------ */

struct shm_router_ident { /* line */
	uint64_t gen;
	uint64_t pid;
	uint64_t start;
	uint64_t since_wall_ns;
	uint64_t conf_gen; /* the configuration it works by */
};

/* Counters, one word each; RCOUNTER(name, meaning).  Gauges and totals alike are written by this router only. */
#define SHM_ROUTER_COUNTERS(X)                                                                                                     \
	X(beat_ns, "heartbeat of its event loop")                                                                                  \
	X(conns, "client connections open")                                                                                        \
	X(conns_total, "client connections accepted")                                                                              \
	X(requests, "requests received")                                                                                           \
	X(waiting, "requests in the queue now")                                                                                    \
	X(active, "generations in flight now")                                                                                     \
	X(answered, "requests answered by an instance or by the router itself")                                                    \
	X(refused_429, "refused for overload")                                                                                     \
	X(refused_503, "refused because nothing can serve them")                                                                   \
	X(refused_4xx, "refused for what the client sent")                                                                         \
	X(failed, "answered 5xx, or broken after output began")                                                                    \
	X(aborted, "left by the client before the end")                                                                            \
	X(failovers, "moved to another instance before the first byte")                                                            \
	X(parked, "upstream connections kept open after their client left, now")                                                   \
	X(upstreams, "upstream connections open, busy or idle")                                                                    \
	X(bytes_in, "body bytes from clients")                                                                                     \
	X(bytes_out, "body bytes to clients")                                                                                      \
	X(lag_ns, "longest turn of the event loop in the last second")                                                             \
	X(auto_asked, "requests that left the choice of the model to tsa")                                                         \
	X(auto_reasoning, "of them, sent to a reasoning model")                                                                    \
	X(auto_moved, "of them, given another model because the first could not serve them")                                       \
	X(auto_hook, "of them, handed to the hook because no model could")                                                         \
	X(kind_general, "prompts of that category, as the next seven")                                                             \
	X(kind_math, "of the category math")                                                                                       \
	X(kind_code, "of the category code")                                                                                       \
	X(kind_reasoning, "of the category reasoning")                                                                             \
	X(kind_creative, "of the category creative")                                                                               \
	X(kind_nlp, "of the category nlp")                                                                                         \
	X(kind_data, "of the category data")                                                                                       \
	X(kind_safety, "of the category safety")                                                                                   \
	X(kind_doubt, "prompts whose category was too uncertain, so that they count as general")                                   \
	X(kind_unsafe, "prompts flagged as unsafe")

/* Per slot, as this router sees it. */
#define SHM_RSLOT_COUNTERS(X)                                                                                                      \
	X(in_flight, "requests on the instance now, parked ones included")                                                         \
	X(queued, "waiting requests that would go here first")                                                                     \
	X(served, "answers that came to their proper end")                                                                         \
	X(failed, "answers that did not")                                                                                          \
	X(aborted, "left by the client")                                                                                           \
	X(used_ns, "last request sent")                                                                                            \
	X(first_ewma_ns, "time to the first byte, moving average")                                                                 \
	X(total_ewma_ns, "time to the last byte, moving average")                                                                  \
	X(fail_streak, "failures since the last success")                                                                          \
	X(breaker, "0 closed, 1 open, 2 half open")

struct shm_wish { /* line */
	uint64_t gen;
	uint64_t kind; /* enum shm_wish_kind */
	uint64_t since_ns;
	char model[SHM_MODEL_NAME];
};

enum shm_wish_kind {
	SHM_WISH_NONE = 0,
	SHM_WISH_WARM,
	SHM_WISH_KEEP,
	SHM_WISH_UNLOAD,
	/* Not wishes but complaints, for the worker to look into; since_ns: since when. */
	SHM_WISH_STUCK, /* a stream is overdue, and no answer of the model began since it was sent */
	SHM_WISH_STILL, /* the same of an answer in one piece, which may as well be a long one */
	SHM_WISH_SHORT, /* streams of the model begin only when another ends, at fewer at a time than before */
	SHM_WISH_COUNT
};

/* Time to the first byte and to the last, as log buckets with 2 % relative error: shm/hist.h. */
#define SHM_HIST_BUCKETS 512

/* --- the files as mapped -------------------------------------------------------------------------------------------------- */

#define SHM_WORDS(type) (sizeof(type) / 8)

/* A line in a file: sequence word, then the payload of `type` as words, then their sum (sum.h). */
#define SHM_LINE(tag, type)                                                                                                        \
	struct tag {                                                                                                               \
		alignas(64) _Atomic uint64_t seq;                                                                                  \
		_Atomic uint64_t words[SHM_WORDS(type) + 1];                                                                       \
	}

SHM_LINE(shm_header_line, struct shm_header);
SHM_LINE(shm_child_line_line, struct shm_child_line);
SHM_LINE(shm_owner_line, struct shm_owner);
SHM_LINE(shm_vital_line, struct shm_vital);
SHM_LINE(shm_models_line, struct shm_models);
SHM_LINE(shm_host_line, struct shm_host);
SHM_LINE(shm_router_ident_line, struct shm_router_ident);
SHM_LINE(shm_wish_line, struct shm_wish);

/* Stands at offset 0 of every file and never changes after creation. */
struct shm_stamp {
	alignas(64) uint64_t magic;
	uint64_t version;
	uint64_t layout;      /* shm_layout_hash() of fds.h */
	uint64_t kind;        /* enum shm_kind */
	uint64_t index;       /* of the slot or router, else 0 */
	uint64_t bytes;       /* of the file: the struct below in whole pages */
	uint64_t board_id[2]; /* random, the same on every file of one board */
	uint64_t boot_id[2];  /* of the machine when the board was made */
	uint64_t reserved[6]; /* zero */
};

enum shm_kind { SHM_KIND_NONE = 0, SHM_KIND_OWNER, SHM_KIND_VITAL, SHM_KIND_HOST, SHM_KIND_ROUTER, SHM_KIND_COUNT };

struct shm_owner_file {
	struct shm_stamp stamp;
	struct shm_header_line header;
	struct shm_child_line_line router[SHM_ROUTERS];
	struct shm_child_line_line host;
	struct shm_owner_line slot[SHM_SLOTS];
};

struct shm_vital_file {
	struct shm_stamp stamp;
	struct shm_vital_line vital;
	struct shm_models_line models;
};

struct shm_host_file {
	struct shm_stamp stamp;
	struct shm_host_line host;
};

struct shm_router_counters {
#define X(name, meaning) alignas(8) _Atomic uint64_t name;
	SHM_ROUTER_COUNTERS(X)
#undef X
};

struct shm_rslot {
#define X(name, meaning) alignas(8) _Atomic uint64_t name;
	SHM_RSLOT_COUNTERS(X)
#undef X
	alignas(64) struct shm_wish_line wish[SHM_WISHES];
	alignas(64) _Atomic uint32_t first_hist[SHM_HIST_BUCKETS];
	_Atomic uint32_t total_hist[SHM_HIST_BUCKETS];
};

struct shm_router_file {
	struct shm_stamp stamp;
	struct shm_router_ident_line ident;
	alignas(64) struct shm_router_counters counters;
	alignas(64) struct shm_rslot slot[SHM_SLOTS];
};
