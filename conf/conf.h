/* conf/conf.h - /etc/tsa to facts.
 *
 * Used by the supervisor alone.  A configuration is const once loaded; a reload loads another one beside it and compares.  Every
 * message has file:line:column and says what to write instead.  Grammar: tsa.conf(5) (key = value, sections in braces); durations
 * and sizes are words with mandatory units.  Nothing here resolves a name, opens a socket or looks at the machine, with one
 * exception: files that hold secrets must not be readable by everybody. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/why.h"

#define CONF_INSTANCES 64
#define CONF_LISTEN    8
#define CONF_MODELS    16
#define CONF_TAGS      16
#define CONF_CPUS      1024 /* highest CPU number + 1 */
#define CONF_ROUTERS   8
#define CONF_MESSAGES  32
#define CONF_RULES     64
#define CONF_HEADERS   8
#define CONF_HEADER_NAME       48
#define CONF_RULE_CATEGORIES   16
#define CONF_BENCHMARK_WEIGHTS 32
#define CONF_FILES      256        /* in instances.d */
#define CONF_FILE_BYTES (1U << 20) /* of one file; longer ones are refused */
#define CONF_ARGV_BYTES 4096       /* packed words of a command */
#define CONF_ENV_BYTES  8192       /* packed environment of an instance */

struct conf_addr {
	struct sockaddr_storage sa;
	socklen_t               len;
	char                    text[64]; /* "127.0.0.1:8480", "[::1]:8480" */
};

struct conf_cpuset {
	uint64_t bits[CONF_CPUS / 64];
	unsigned count; /* 0: not set */
	char     text[128];
};

struct conf_instance {
	char             name[64];
	bool             adopted; /* `url` given instead of `command` */
	struct conf_addr addr;    /* of the Ollama; with `command`, from `listen` of the instance */
	char            *argv;    /* packed words, argv_len bytes; NULL when adopted */
	size_t           argv_len;
	char            *env; /* packed NAME=value */
	size_t           env_len;
	unsigned         n_models;
	char             models[CONF_MODELS][128]; /* the primary first */
	unsigned         n_tags;
	char             tags[CONF_TAGS][32];
	unsigned         places; /* `slots` */
	bool             pinned;
	struct conf_cpuset cpus; /* accepted and checked; applied by placement */
	struct conf_cpuset mems;
	uint64_t         memory_low_bytes; /* 0: not set, as the next two */
	uint64_t         memory_high_bytes;
	uint64_t         memory_max_bytes;
	unsigned         fds_limit; /* recycle the Ollama above so many descriptors; 0: never */
	const char      *file; /* where it stands, for messages */
	unsigned         line;
};

/* How requests are placed.  Plain facts; route/ knows what they mean, and each name is that of the member there which it becomes.
 * Shares are of one: 15% is 0.15. */
enum conf_selection { CONF_SELECT_FULL = 0, CONF_SELECT_BASIC, CONF_SELECT_ROUND_ROBIN, CONF_SELECT_COUNT };
enum conf_reload { CONF_RELOAD_CLAMP = 0, CONF_RELOAD_ROUTE, CONF_RELOAD_REFUSE, CONF_RELOAD_DEFAULT };

struct conf_class {
	uint64_t wait_ns; /* 0: deadlines.queue */
	uint64_t handicap_ns;
	double   share;
};

struct conf_weighted {
	char   name[32];
	double weight;
};

struct conf_hook { /* addr.len 0: none */
	struct conf_addr addr;
	char             path[128]; /* begins with / */
};

struct conf_routing {
	enum conf_selection selection;
	bool     gpu_awareness, multi_category;
	double   near, hot, hold;
	uint64_t spread_ns, stale_ns;
	unsigned probe_every;
	char     registry[256], categories[256], classifier[256]; /* "" : none */
	enum conf_reload reload;
	struct {
		double latency, queue, fit, health, feedback, completion, affinity, memory;
	} weights;
	uint64_t keepalive_ns; /* 0: none */
	struct {
		uint64_t p95_ns, forget_ns; /* p95_ns 0: no limit */
		double   back;
		unsigned answers;
	} slow;
	struct {
		unsigned failures;
		uint64_t pause_ns, longest_ns, trial_ns;
	} breaker;
	struct {
		double   share, per_second;
		unsigned most;
	} retries;
	struct {
		bool     on;
		uint64_t age_ns;
		unsigned entries;
		unsigned n_headers;
		char     headers[CONF_HEADERS][CONF_HEADER_NAME];
	} affinity;
	struct {
		uint64_t bytes, work_ns; /* work_ns 0: no limit */
		double   tenant, gamma, prompt_weight, answer_weight;
		unsigned slack;
		struct conf_class interactive, normal, batch;
	} wait;
	struct {
		bool     on;
		double   complexity, confidence, reasoning_share;
		unsigned window;
		struct conf_hook hook;
		uint64_t hook_ns;
	} automatic;
	struct {
		double   base, benchmarks, only, first, other, unlisted;
		unsigned n_weights;
		struct conf_weighted weights[CONF_BENCHMARK_WEIGHTS];
	} scores;
};

/* model "NAME" { … }: what is known of one model beside the registry. */
struct conf_rule {
	char             name[128];
	char             registry[128]; /* the entry it is; "" : found by its name */
	unsigned         n_categories;
	char             categories[CONF_RULE_CATEGORIES][40];
	enum conf_reload reload;    /* CONF_RELOAD_DEFAULT: routing.reload */
	bool             automatic; /* `auto` may choose it */
	bool             reasoning; /* counts against reasoning_share */
	unsigned         line;
};

struct conf {
	unsigned         n_listen;
	struct conf_addr listen[CONF_LISTEN];
	unsigned         routers;
	char             user[32];  /* "" : tsa if there is such a user, else stay */
	char             group[32]; /* who may use the control socket beside root and the supervisor's own uid; "" nobody */
	char             state_dir[200]; /* never empty */
	char             log_level[16];
	char             default_model[128];
	bool             manage; /* management = allow */
	/* limits */
	unsigned conns, headers, queue, active;
	uint64_t head_bytes, body_bytes, buffer_bytes, body_rate_bytes, stall_rate_bytes;
	/* deadlines, ns */
	uint64_t head_ns, body_ns, idle_ns, queue_ns, connect_ns, first_ns, gap_ns, total_ns, stall_ns, park_ns, drain_ns;
	uint64_t start_ns, load_ns, probe_ns, answer_ns, able_ns, warm_ns, stop_ns;
	struct conf_routing   routing;
	unsigned              n_rules;
	struct conf_rule      rules[CONF_RULES];
	unsigned              n_instances;
	struct conf_instance *instances; /* sorted by file and line */
};

struct conf_report {
	unsigned n;      /* messages kept */
	unsigned more;   /* messages that did not fit */
	unsigned errors; /* of all; the others are warnings */
	char     text[CONF_MESSAGES][320]; /* "/etc/tsa/tsa.conf:12:3: …" */
};

/* Load `path` and, beside it, instances.d/NAME.conf in name order.  0; -EINVAL: something is wrong in a file; -ENOMEM; -errno of
 * open(2).  report->errors > 0 unless 0.  *out is the caller's, untouched on failure.  Warnings may be reported with 0. */
int conf_load(const char *path, struct conf **out, struct conf_report *report);

/* What the command line alone says: `tsad --listen A --adopt [NAME=]URL … --slots N --state DIR`.  Defaults as conf_load's. */
struct conf_adhoc {
	const char *listen[CONF_LISTEN];
	unsigned    n_listen;
	const char *adopt[CONF_INSTANCES];
	unsigned    n_adopt;
	unsigned    slots;
	const char *state_dir;
};
int conf_adhoc_make(const struct conf_adhoc *a, struct conf **out, struct conf_report *report);

void conf_destroy(struct conf **c);

/* What differs between two configurations of one instance: nothing; what its worker can take while it runs; or what needs the
 * Ollama to be started again. */
enum conf_change { CONF_SAME = 0, CONF_LIVE, CONF_RESTART };
enum conf_change conf_instance_change(const struct conf_instance *a, const struct conf_instance *b);

/* A number for what would need a restart if it changed: it outlives a supervisor in its state file, the configuration does not. */
uint64_t conf_instance_identity(const struct conf_instance *inst);

/* The address in "host:port" (numeric, [v6], localhost; a leading http:// is taken off).  0 or -EINVAL with `why`. */
int conf_addr_parse(const char *text, uint16_t default_port, struct conf_addr *out, struct why *why);
