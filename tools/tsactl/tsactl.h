/* tools/tsactl/tsactl.h - private to tsactl: what its files share.
 *
 * tsactl is a client of the control socket and a reader of the board.  It keeps nothing, and works by what the kernel's read-only
 * mappings show even when a router or a worker hangs. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/why.h"
#include "ctl/ctl.h"
#include "shm/reader.h"

enum tsactl_exit {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1,       /* the supervisor said no, or what was waited for failed */
	EXIT_USAGE = 2,         /* the command line is wrong */
	EXIT_NO_SUPERVISOR = 3, /* nobody answers, or not in a way we understand */
	EXIT_TIMED_OUT = 4,
};

struct options {
	const char *state;   /* --state, or NULL */
	const char *columns; /* -o, or NULL */
	const char *config;  /* --config, or NULL */
	const char *weights; /* --weights, or NULL */
	const char *request; /* --request, or NULL */
	uint64_t timeout_ns; /* --timeout, or 0 */
	bool json;
	bool wait;
};

/* --- complaints: one sentence on standard error, and with -j an object on standard output --------------------------------------- */
int complain(const struct options *o, enum tsactl_exit code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Complain about a word that is none of `words`, or several of them. */
int complain_word(const struct options *o, int err, const char *what, const char *typed, const char *const *words, unsigned n);

/* --- link.c: the control socket --------------------------------------------------------------------------------------------------- */
struct answer {
	int status; /* 0 or -errno, of the supervisor */
	char text[CTL_ANSWER_MAX + 1];
};

/* Ask one thing; `fds` (for CTL_BOARD) or NULL.  0; -ECONNREFUSED: no supervisor; -ETIMEDOUT; -errno, with `why`. */
int link_ask(const char *state, enum ctl_verb verb, const char *const *words, unsigned n, struct answer *out, struct shm_fds *fds,
	     struct why *why);

/* The exit status for a failed link_ask(). */
enum tsactl_exit link_exit(int err);

/* --- view.c: everything the board shows, at one moment ------------------------------------------------------------------------- */
enum view_life {
	VIEW_NONE = 0,  /* its writer has said nothing yet, or the line is of an earlier one: void */
	VIEW_UNSETTLED, /* could not be read */
	VIEW_STALE,     /* the writer's heartbeat is late */
	VIEW_FRESH,
};

struct view_router {
	unsigned index;
	struct shm_child_line child;
	bool child_ok;
	enum view_life life; /* of its page */
	uint64_t age_ns;
	struct shm_router_ident ident;
	const struct shm_router_counters *counters; /* NULL unless STALE or FRESH */
};

struct view_slot {
	unsigned index;
	struct shm_owner owner;
	enum view_life life; /* of its vital line */
	uint64_t age_ns;
	struct shm_vital vital;                              /* zero unless STALE or FRESH */
	struct shm_models models;                            /* likewise */
	uint64_t in_flight, queued, served, failed, aborted; /* all routers together */
	uint64_t breaker;                                    /* the worst of any router */
};

struct view {
	const struct shm_reader *reader;
	uint64_t now_ns;
	uint64_t now_wall_ns;
	bool header_ok;
	struct shm_header header;
	bool stale; /* the supervisor's heartbeat is late */
	uint64_t age_ns;
	struct shm_child_line host_child;
	enum view_life host_life;
	struct shm_host host;
	unsigned n_routers;
	struct view_router routers[SHM_ROUTERS];
	unsigned n_slots;
	struct view_slot slots[SHM_SLOTS];
};

/* The board of the supervisor that answers: *reader and *view are the caller's; view_close() ends both. */
int view_open(const char *state, struct shm_reader **reader, struct view **view, struct why *why);
void view_refresh(struct view *v);
void view_close(struct shm_reader **reader, struct view **view);

/* Its worker says so, and has not just been told to stop: between the two the old word still stands on the board. */
bool view_slot_ready(const struct view_slot *s);
/* The operator took it out of service; false for one that drains to be started again. */
bool view_slot_drained(const struct view_slot *s);

/* What people call the state of an instance: one word, of its worker or of the supervisor where the worker says nothing. */
const char *view_state_word(const struct view_slot *s);
/* "ready, draining, breaker open". */
const char *view_state_text(const struct view_slot *s, char *buf, size_t size);
const char *view_wanted_word(uint64_t wanted);
const char *view_breaker_word(uint64_t breaker);
const char *view_life_word(enum view_life life);
const char *view_reason_word(uint64_t reason); /* of probes/outcomes.def */
const char *view_death_text(const struct shm_vital *v, char *buf, size_t size);

/* What is wrong with it and what to do, or NULL: nothing is. */
const char *view_slot_trouble(const struct view *v, const struct view_slot *s, char *buf, size_t size);

/* A quantile of the latencies of all routers, ns; 0: none yet. */
uint64_t view_latency(const struct view *v, const struct view_slot *s, bool first_byte, double q);

/* The slot that `typed` names, shortened or not; NULL: complained, *code is the exit status. */
const struct view_slot *view_slot_find(const struct options *o, const struct view *v, const char *typed, int *code);

/* --- text.c: numbers for people ------------------------------------------------------------------------------------------------- */
const char *text_span(uint64_t ns, char *buf, size_t size); /* "3d4h", "12s", "340ms" */
const char *text_bytes(uint64_t bytes, char *buf, size_t size);
const char *text_when(uint64_t wall_ns, char *buf, size_t size);  /* local time */
const char *text_iso(uint64_t wall_ns, char *buf, size_t size);   /* UTC */
/* What is no UTF-8, and what a terminal would obey, becomes '?'; what does not fit is left out, never half of a character. */
const char *text_clean(const char *from, char *buf, size_t size);

enum tone { TONE_PLAIN = 0, TONE_GOOD, TONE_WARN, TONE_BAD, TONE_DIM, TONE_HEAD };
bool tone_on(void);
const char *tone_begin(enum tone t);
const char *tone_end(void);
enum tone tone_of_state(const struct view_slot *s);

/* --- table.c: aligned columns ------------------------------------------------------------------------------------------------------- */
#define CELL 160

struct column {
	const char *name; /* for -o */
	const char *heading;
	bool right;
	bool usual; /* shown without -o */
	void (*cell)(const struct view *v, unsigned row, char *buf);
	enum tone (*tone)(const struct view *v, unsigned row);
};

/* Print `rows` rows.  0 or the exit status of a wrong -o, complained. */
int table_print(const struct options *o, const struct view *v, const struct column *columns, unsigned n, unsigned rows);

/* --- json.c ------------------------------------------------------------------------------------------------------------------------- */
struct json_object *json_status(const struct view *v);
struct json_object *json_routers(const struct view *v);
struct json_object *json_instances(const struct view *v, bool full);
struct json_object *json_instance(const struct view *v, const struct view_slot *s, bool full);
void json_print(struct json_object *o); /* and release it */

/* --- the verbs ---------------------------------------------------------------------------------------------------------------------- */
struct command {
	const char *word;
	const char *args;
	unsigned min, max; /* words after it */
	int (*run)(const struct options *o, const struct command *c, const char *const *words, unsigned n);
	enum ctl_verb verb; /* of orders */
	const char *help;
};

int run_status(const struct options *o, const struct command *c, const char *const *words, unsigned n);
int run_instances(const struct options *o, const struct command *c, const char *const *words, unsigned n);
int run_instance(const struct options *o, const struct command *c, const char *const *words, unsigned n);
int run_routers(const struct options *o, const struct command *c, const char *const *words, unsigned n);
int run_order(const struct options *o, const struct command *c, const char *const *words, unsigned n);
int run_upgrade(const struct options *o, const struct command *c, const char *const *words, unsigned n);
int run_wait(const struct options *o, const struct command *c, const char *const *words, unsigned n);
int run_version(const struct options *o, const struct command *c, const char *const *words, unsigned n);
int run_doctor(const struct options *o, const struct command *c, const char *const *words, unsigned n);
int run_classify(const struct options *o, const struct command *c, const char *const *words, unsigned n);
int run_explain(const struct options *o, const struct command *c, const char *const *words, unsigned n);
int run_help(const struct options *o, const struct command *c, const char *const *words, unsigned n);

/* --- wait.c ----------------------------------------------------------------------------------------------------------------------------- */
/* What is waited for.  1: it is so; 0: not yet; -errno: it will not be, with `why`. */
typedef int wait_fn(const struct view *v, const void *what, struct why *why);

/* Look at the board until `done` says so.  An exit status; complained unless it is EXIT_DONE. */
int wait_until(const struct options *o, uint64_t timeout_ns, wait_fn *done, const void *what);
