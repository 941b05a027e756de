/* proc/proc.h - the whole treaty between the supervisor and its children, on one page.
 *
 * The supervisor forks and execs tsa-worker (one per instance), tsa-worker --host (one) and tsa-router (one or more).  A child is
 * born with standard input from /dev/null, standard output and error as its parent's, and exactly one more descriptor:
 *
 *     3  orders   SOCK_SEQPACKET pair; every message is one `struct proc_msg` head and its payload, some carry descriptors
 *
 * A child speaks first (HELLO), then gets BOARD, a router FACTS, CONF and, a router, LISTEN; it answers READY when it does its work.  The same
 * messages bring a reload.  When the supervisor dies, children go on working: their orders socket reads end-of-file, and they
 * connect to the control socket every PROC_REHELLO_NS and say HELLO there; that connection is their orders socket from then
 * on (the new supervisor checks pid and start time against its state file and SO_PEERCRED).  A router's HELLO carries its
 * listening sockets, so that nothing is lost where no service manager kept them.
 *
 * Orders of one supervisor only go to children of the generation they were meant for; a message of another generation is dropped. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/why.h"

#define PROC_ORDERS_FD 3
#define PROC_MAGIC     0x41535450U /* "PTSA" */
#define PROC_VERSION   1U
#define PROC_MSG_MAX   (128 * 1024) /* head and payload; a seqpacket socket takes 208 KiB by default */

enum proc_role { PROC_ROLE_NONE = 0, PROC_WORKER, PROC_HOST, PROC_ROUTER, PROC_ROLE_COUNT };

/* --- the ladder of deadlines: an inner one is an outer one less a margin ----------------------------------------------------- */
#define PROC_HELLO_NS     (5ULL * 1000000000ULL) /* exec to HELLO; else the child is killed */
#define PROC_PING_NS      (1ULL * 1000000000ULL) /* between pings */
#define PROC_PONG_NS      (5ULL * 1000000000ULL) /* unanswered so long: the child hangs and is killed (docs/promises.md, rows 6, 7) */
#define PROC_ABORT_NS     (500ULL * 1000000ULL)   /* from SIGABRT, on which it prints its stack, to SIGKILL */
#define PROC_REHELLO_NS   (200ULL * 1000000ULL)   /* between a child's tries to find a new supervisor */
#define PROC_ADOPT_NS     (3ULL * 1000000000ULL)  /* how long a new supervisor waits for living children to say HELLO */
#define PROC_BEAT_NS      (250ULL * 1000000ULL)   /* heartbeat on the board */
#define PROC_BEAT_LATE_NS (10ULL * PROC_BEAT_NS)  /* older: readers call the writer stale */
#define PROC_LASTGOOD_NS  (15ULL * 1000000000ULL) /* routers go on with the last good copy of a stale or void slot so long */

/* --- messages --------------------------------------------------------------------------------------------------------------- */
enum proc_type {
	PROC_NONE = 0,
	/* supervisor to child */
	PROC_BOARD,   /* descriptors: [0] own file, writable; then SHM_FDS_COUNT of the whole board, read-only */
	PROC_CONF,    /* payload: struct proc_worker_conf or proc_router_conf; host: proc_host_conf */
	PROC_LISTEN,  /* descriptors: all listening sockets of this router; what it had before it closes */
	PROC_PING,    /* arg: number to send back */
	PROC_STOP,    /* arg: milliseconds to drain.  A worker ends its Ollama, too, unless PROC_STOP_KEEP is set in flags */
	PROC_RESTART, /* worker: end and start Ollama again, drained; lifts a quarantine */
	PROC_WARM,    /* worker; payload: model name, or empty for the primary */
	PROC_UNLOAD,  /* worker; payload: model name, or empty for all */
	PROC_FACTS,   /* router; flags: which of PROC_FACTS_*; descriptors: one sealed file for each, in that order */
	PROC_EXPLAIN, /* router; arg: number to send back; flags: what of PROC_EXPLAIN_*; payload: text */
	PROC_REAPED,  /* worker; arg: pid, payload: struct proc_reaped; an Ollama whose first worker died ended */
	/* child to supervisor */
	PROC_HELLO, /* payload: struct proc_hello; a router's carries its listening sockets when it says it again */
	PROC_READY,
	PROC_PONG,   /* arg: the ping's number */
	PROC_OLLAMA, /* worker; payload: struct proc_process, the Ollama it started, pid 0 when there is none any more */
	PROC_EXPLAINED, /* router; arg: the number; flags: 1 it is known; payload: JSON, or a sentence that says why not */
	PROC_TYPE_COUNT
};

#define PROC_EXPLAIN_PROMPT  0U /* the payload: what would be done with it */
#define PROC_EXPLAIN_REQUEST 1U /* the payload: the id of a request, 16 hex digits; what was done with it */
#define PROC_EXPLAIN_MAX     (60 * 1024) /* of the JSON, so that an operator's answer holds it */

/* What is known of models and prompts, read by the supervisor: children open no files.  What is not among them there is not. */
#define PROC_FACTS_MODELS  1U /* registry and catalogue: conf/image.h */
#define PROC_FACTS_WEIGHTS 2U /* the classifier's: route/weights.h */

#define PROC_STOP_KEEP 1U /* leave the Ollama running (its worker is replaced, not the instance) */

struct proc_msg {
	uint32_t magic;
	uint16_t version;
	uint16_t type; /* enum proc_type */
	uint32_t gen;  /* generation of the child it is for or from */
	uint32_t flags;
	uint64_t arg;
	uint32_t len; /* payload bytes that follow */
	uint32_t reserved;
};

struct proc_process {
	uint64_t pid;
	uint64_t start; /* ticks since boot: field 22 of /proc/PID/stat */
};

struct proc_hello {
	uint32_t role;
	uint32_t index;
	uint32_t gen;
	uint32_t layout; /* low half of the board's layout hash: another build is replaced, not adopted */
	struct proc_process self;
};

struct proc_reaped {
	struct proc_process process;
	int32_t wstatus; /* of wait(2) */
	int32_t oom;     /* 1: the kernel's OOM killer, as far as its cgroup tells */
};

/* Send one message; payload and descriptors may be absent.  0 or -errno (-EAGAIN: the peer does not read). */
int proc_send(int sock, enum proc_type type, uint32_t gen, uint32_t flags, uint64_t arg, const void *payload, size_t len,
	      const int *fds, unsigned n_fds);

/* Check the head of `n` bytes at `buf` (8-byte aligned), and the payload's length where its type fixes it.  A model name that
 * travels is NUL-terminated.  0 and *msg, *payload pointing into `buf`; -EPROTO. */
int proc_parse(const char *buf, size_t n, const struct proc_msg **msg, const void **payload);

/* Receive one message into `buf` (PROC_MSG_MAX bytes, 8-byte aligned).  *msg points into it; *payload behind it.  Returns 1; 0 at
 * end-of-file; -EAGAIN nothing there; -EPROTO malformed (a sibling's: treat as a bug; descriptors are closed); -errno.  On 1 the
 * descriptors are the caller's. */
int proc_recv(int sock, char *buf, const struct proc_msg **msg, const void **payload, int *fds, unsigned max_fds, unsigned *n_fds);

/* A sealed memfd with these bytes.  The descriptor, or -errno. */
int proc_sealed_make(const char *name, const void *bytes, size_t n);

struct proc_sealed {
	const void *bytes; /* NULL: none */
	size_t n;
};

/* Map a file made by proc_sealed_make(), of at most `most` bytes; the descriptor stays the caller's and may be closed.  0, or -EPROTO (it
 * is none) or -errno with `why`. */
int proc_sealed_map(int fd, size_t most, struct proc_sealed *out, struct why *why);
void proc_sealed_unmap(struct proc_sealed *s);

/* Start time of a process: ticks since boot.  0 or -errno (-ESRCH: there is no such process). */
int proc_start_time(pid_t pid, uint64_t *out);

/* A pidfd for exactly this process: pid and start time are checked after opening.  fd or -ESRCH. */
int proc_pidfd(const struct proc_process *p);

/* --- what a child works by ---------------------------------------------------------------------------------------------------- */

#define PROC_NAME   64
#define PROC_MODEL  128
#define PROC_PATH   256
#define PROC_SLOTS  64
#define PROC_MODELS 16
#define PROC_ARGV   4096 /* packed: each word NUL-terminated, one after the other */
#define PROC_ENV    8192
#define PROC_TAGS   (16 * 32) /* packed as PROC_ARGV */
#define PROC_RULES  64
#define PROC_TERMS  8
#define PROC_HEADERS 8

/* A numeric address: nothing is ever resolved. */
struct proc_addr {
	uint16_t family; /* AF_INET, AF_INET6 */
	uint16_t port;   /* host order */
	uint8_t ip[16];  /* network order; 4 bytes used for AF_INET */
	char text[64];   /* "127.0.0.1:11434", "[::1]:11434": for the Host header and for people */
};

struct proc_common {
	uint32_t index;
	uint32_t gen;
	uint64_t conf_gen;
	uint32_t uid; /* to become; 0: stay */
	uint32_t gid;
	uint32_t log_level;
	uint32_t pad;
	char ctl_path[108];  /* control socket, for the next HELLO */
	char dir[PROC_PATH]; /* state directory; the worker's own files live in dir/instances/NAME */
	uint32_t pad2;
};

struct proc_worker_conf {
	struct proc_common common;
	char name[PROC_NAME];
	struct proc_addr addr;
	uint32_t adopted; /* 1: the Ollama is not ours to start or stop */
	uint32_t places;
	uint32_t pinned;
	uint32_t fds_limit; /* recycle above; 0: never */
	uint32_t n_models;  /* 0: whatever the instance has */
	uint32_t argv_len;
	uint32_t env_len;
	uint32_t pad;
	uint64_t start_ns;                    /* process start to a first answer */
	uint64_t load_ns;                     /* a model load */
	uint64_t probe_ns;                    /* between two probes */
	uint64_t answer_ns;                   /* a control route's answer */
	uint64_t able_ns;                     /* a one-token generation on an idle instance */
	uint64_t warm_ns;                     /* between two warming pings of the primary model */
	uint64_t stop_ns;                     /* SIGTERM to SIGKILL */
	struct proc_process ollama;           /* left running by an earlier worker, or pid 0 */
	char models[PROC_MODELS][PROC_MODEL]; /* the primary first */
	char argv[PROC_ARGV];
	char env[PROC_ENV]; /* NAME=value; the whole environment beside what the worker must set itself */
};

struct proc_host_conf {
	struct proc_common common;
	uint64_t probe_ns;
};

struct proc_slot {
	uint32_t used;
	uint32_t places;
	uint32_t store; /* instances with the same number share a model store: one of them is enough to change it; 0: its own */
	uint32_t pad;
	uint32_t tags_len;
	uint32_t pad2;
	struct proc_addr addr;
	char name[PROC_NAME];
	char tags[PROC_TAGS];
};

/* How requests are placed and wait: `routing` of tsa.conf(5), whose words these are.  Shares are of one. */
enum proc_selection { PROC_SELECT_FULL = 0, PROC_SELECT_BASIC, PROC_SELECT_ROUND_ROBIN };
enum proc_reload { PROC_RELOAD_CLAMP = 0, PROC_RELOAD_ROUTE, PROC_RELOAD_REFUSE, PROC_RELOAD_DEFAULT };
enum proc_term {
	PROC_TERM_LATENCY = 0,
	PROC_TERM_QUEUE,
	PROC_TERM_FIT,
	PROC_TERM_HEALTH,
	PROC_TERM_FEEDBACK,
	PROC_TERM_COMPLETION,
	PROC_TERM_AFFINITY,
	PROC_TERM_MEMORY
};

struct proc_class {
	uint64_t wait_ns;
	uint64_t handicap_ns;
	double share;
};

/* A model's own rules. */
struct proc_rule {
	uint32_t reload;    /* enum proc_reload */
	uint32_t automatic; /* 1: `auto` may choose it */
	uint32_t reasoning; /* 1: counts against reasoning_share */
	uint32_t n_categories;
	char model[PROC_MODEL];
	char registry[PROC_MODEL]; /* the entry it is; "": found by its name */
	char categories[16][40];
};

struct proc_weighted {
	double weight;
	char name[32];
};

/* How `auto` is understood. */
struct proc_automatic {
	uint32_t on; /* 0: it is the default model */
	uint32_t window;
	double complexity, confidence, reasoning_share;
	double base, benchmarks, only, first, other, unlisted; /* scores */
	uint64_t hook_ns;
	uint32_t n_weights;
	uint32_t pad;
	struct proc_weighted weights[32];
	struct proc_addr hook; /* family 0: none */
	char hook_path[128];
	char registry[PROC_PATH]; /* files; "": none */
	char categories[PROC_PATH];
	char classifier[PROC_PATH];
};

struct proc_routing {
	uint32_t selection; /* enum proc_selection */
	uint32_t gpu_awareness;
	uint32_t multi_category;
	uint32_t probe_every;
	double near, hot, hold;
	double weight[PROC_TERMS]; /* enum proc_term */
	uint64_t spread_ns;        /* 0: never */
	uint64_t keepalive_ns;     /* 0: none */
	uint64_t stale_ns;
	uint64_t slow_p95_ns; /* 0: no limit */
	uint64_t slow_forget_ns;
	double slow_back;
	uint32_t slow_answers;
	uint32_t breaker_failures;
	uint64_t breaker_pause_ns, breaker_longest_ns, breaker_trial_ns;
	double retries_share, retries_per_s;
	uint32_t retries_most;
	uint32_t affinity; /* 1: on */
	uint64_t affinity_age_ns;
	uint32_t affinity_entries;
	uint32_t n_headers; /* that name a session */
	char headers[PROC_HEADERS][48];
	uint64_t wait_bytes, wait_work_ns; /* wait_work_ns 0: no limit */
	double wait_tenant;                /* share of what may wait that one tenant may fill */
	double gamma, prompt_weight, answer_weight;
	uint32_t slack;
	uint32_t reload; /* enum proc_reload, never DEFAULT */
	struct proc_class interactive, normal, batch;
	struct proc_automatic automatic;
	uint32_t n_rules;
	uint32_t pad;
	struct proc_rule rules[PROC_RULES];
};

struct proc_router_conf {
	struct proc_common common;
	uint32_t routers; /* how many there are in all */
	uint32_t manage;  /* 1: management routes are served */
	uint32_t conns;   /* client connections */
	uint32_t headers; /* header lines in a head */
	uint64_t head_bytes;
	uint64_t body_bytes;   /* request body */
	uint64_t buffer_bytes; /* held for one slow reader before its instance is no longer read */
	uint32_t queue;        /* waiting requests */
	uint32_t active;       /* generations in flight in all; 0: the sum of places */
	uint64_t head_ns;      /* a whole request head */
	uint64_t body_ns;      /* a whole request body, plus one second per body_rate bytes; also the longest pause in it */
	uint64_t body_rate_bytes;
	uint64_t idle_ns;               /* keep-alive without a request */
	uint64_t queue_ns;              /* waiting for a place */
	uint64_t connect_ns;            /* to an instance */
	uint64_t first_ns;              /* sent to first byte of the answer */
	uint64_t gap_ns;                /* between two bytes of an answer */
	uint64_t total_ns;              /* received to first byte, failovers included */
	uint64_t stall_ns;              /* a client that does not read, plus one second per stall_rate_bytes; also its longest pause */
	uint64_t stall_rate_bytes;
	uint64_t park_ns;               /* how long an abandoned request stays open upstream at least */
	char default_model[PROC_MODEL]; /* for `auto`; empty: the first instance's primary */
	struct proc_routing routing;
	struct proc_slot slots[PROC_SLOTS];
};

_Static_assert(sizeof(struct proc_worker_conf) + sizeof(struct proc_msg) <= PROC_MSG_MAX,
	       "a worker's configuration is one message");
_Static_assert(sizeof(struct proc_router_conf) + sizeof(struct proc_msg) <= PROC_MSG_MAX,
	       "a router's configuration is one message");

/* --- the child's side --------------------------------------------------------------------------------------------------------- */

/* First thing in a child's main(): descriptors above PROC_ORDERS_FD closed, no core dumps, no new privileges, SIGPIPE ignored,
 * signals unblocked.  0 or -errno with `why`; -EBADF: descriptor 3 is no socket, so somebody started it by hand. */
int proc_confine_early(struct why *why);

/* Become `uid`:`gid` without supplementary groups and without a way back; uid 0, or being it already, means stay.  0 or -errno
 * with `why`. */
int proc_confine_user(uint32_t uid, uint32_t gid, struct why *why);

/* Connect to the control socket of a new supervisor.  A non-blocking descriptor, or -errno. */
int proc_rehello_connect(const char *ctl_path);

/* --- restart with a memory: pure -------------------------------------------------------------------------------------------- */

#define PROC_BACKOFF_MIN_NS (1ULL * 1000000000ULL)
#define PROC_BACKOFF_MAX_NS (60ULL * 1000000000ULL)
#define PROC_BUDGET         10U                      /* failures of one child ... */
#define PROC_BUDGET_NS      (600ULL * 1000000000ULL) /* ... in so long: quarantine */
#define PROC_STEADY_NS      (60ULL * 1000000000ULL)  /* lived so long: the backoff begins anew */

struct proc_backoff {
	uint64_t at_ns[PROC_BUDGET]; /* ring of failures */
	unsigned n;                  /* failures in a row, without a steady life between them */
	unsigned next;
	unsigned kept;
};

/* Record a failure at `now_ns` of a child that had lived `lived_ns`.  The pause before the next start: none after the first one in
 * a row, so that an accident costs nobody a second; then 1, 2, 4 … 60 s less up to a quarter (`random` is any number: the
 * jitter); or CLOCK_NEVER: the budget is spent, quarantine it. */
uint64_t proc_backoff_fail(struct proc_backoff *b, uint64_t now_ns, uint64_t lived_ns, uint32_t random);
void proc_backoff_lift(struct proc_backoff *b);
