/* worker/worker.h - one instance's worker as a whole.  Private to worker/.
 *
 * One thread, one event base, one tick.  The tick looks at deadlines and at the routers' wishes; answers of the instance, the death
 * of its process and the supervisor's orders come as events between ticks.  Facts become events of worker/life.h by worker_event(),
 * which alone changes the state.  Nothing blocks. */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scan.h"
#include "base/why.h"
#include "probes/probes.h"
#include "proc/proc.h"
#include "shm/layout.h"
#include "shm/reader.h"
#include "shm/writer.h"
#include "worker/catalog.h"
#include "worker/judge.h"
#include "worker/life.h"
#include "worker/orders.h"

#ifdef _LIBCGROUP_H
#error "cgroups are the supervisor's; a worker does not write them"
#endif
#ifdef foosdbushfoo /* the guard of systemd/sd-bus.h */
#error "a worker talks to its supervisor and its Ollama, not to the bus"
#endif

#define TICK_NS        (20ULL * NS_PER_MS) /* a router's wish is seen within this */
#define LOADS_WAITING  16
#define REAPED_WAIT_NS (1ULL * NS_PER_S)  /* for the supervisor to tell how an inherited Ollama ended */
#define DRAIN_NS       (60ULL * NS_PER_S) /* patience with what runs on an instance that must restart */

/* Everything we start carries this variable, and is known by it after any crash of ours: "TSA_INSTANCE=DIR/instances/NAME". */
#define MARK_NAME "TSA_INSTANCE"

struct instance {                    /* instance.c: the process */
	struct proc_process process; /* pid 0: none */
	int pidfd;
	struct event *ev;
	bool child;  /* ours to wait for */
	bool ending; /* it was asked to end */
	bool killed; /* we sent SIGKILL */
	uint64_t started_ns;
	uint64_t late_ns;  /* no answer until then: LATE */
	uint64_t kill_ns;  /* SIGTERM becomes SIGKILL */
	uint64_t reap_ns;  /* cause of death unknown until then */
	uint64_t retry_ns; /* BACKOFF is over */
	uint64_t oom_before;
	uint64_t log_ns;          /* next look at the size of its log file */
	uint64_t log_from;        /* how long that was when the process started */
	struct probe_call *check; /* is its address free? */
	struct proc_backoff backoff;
	char dir[PROC_PATH + PROC_NAME + 16];
	char mark[PROC_PATH + PROC_NAME + 32];
};

struct ladder { /* ladder.c, able.c, usage.c: the probes */
	struct probe_call *version, *tags, *ps, *able, *show;
	uint64_t version_due_ns, tags_due_ns, ps_due_ns, sample_due_ns;
	uint64_t ps_asked_ns;
	unsigned lost, ps_fails, able_fails, ping_turn;
	bool answers; /* the last /api/version did */
	uint64_t answered_ns;
	uint64_t lost_ns; /* since when it does not */
	uint64_t able_due_ns, able_tried_ns, pinged_ns;
	uint64_t sound_due_ns;
	uint64_t able_begun_ns, able_served; /* of the question under way */
	struct judge_work work; /* its runners' */
	bool runner_new, climbed;
	char able_model[PROBE_NAME];
	char show_model[PROBE_NAME];
};

enum load_why { LOAD_NONE = 0, LOAD_WARM, LOAD_TOUCH, LOAD_WISH, LOAD_ORDER, LOAD_WHY_COUNT };

struct load {
	char model[PROBE_NAME];
	enum load_why why;
};

struct loads { /* loads.c: one at a time, on a connection that is never dropped before its deadline */
	struct probe_call *call;
	struct load now;
	bool resident_before, embed;
	uint64_t pause_ns; /* Ollama was busy: not before */
	uint64_t touched_ns;
	unsigned n;
	struct load waiting[LOADS_WAITING];
	struct probe_call *unload;
	char unloading[PROBE_NAME];
};

struct traffic { /* traffic.c: what the routers say */
	uint64_t in_flight, served, failed, fail_streak, used_ns;
	uint64_t moved_ns;  /* nothing is in flight, or an answer ended */
	uint64_t served_ns; /* when `served` last moved; 0 never */
	uint64_t failed_ns;
	uint64_t alive_due_ns, wishes_due_ns;
	enum shm_wish_kind complaint; /* SHM_WISH_NONE: none */
	uint64_t complaint_ns;
	char complaint_of[PROBE_NAME];
	bool known;
	bool alive[SHM_ROUTERS];
	uint64_t gen[SHM_ROUTERS];
	uint64_t seen[SHM_ROUTERS][SHM_WISHES]; /* sequence word of the copy below */
	struct shm_wish wish[SHM_ROUTERS][SHM_WISHES];
};

struct suspect {
	struct proc_process process;
	struct probe_http *http;
	struct probe_call *call; /* under way */
	bool sound;              /* it answered */
};

struct suspects { /* runners.c */
	unsigned n;
	struct suspect at[PROBE_RUNNERS];
};

struct heal { /* heal.c */
	unsigned step, rounds;
	uint64_t next_ns;    /* a cure is given time until then; 0: none is under way */
	uint64_t stepped_ns; /* the last one */
	uint64_t tried_ns;   /* the ladder may try since then */
	bool places;         /* lost ones: unload `model` as soon as nothing of ours runs */
	char model[PROBE_NAME]; /* that produced nothing */
	struct suspects suspects;
	unsigned shorts;   /* partial losses in a row */
	uint64_t short_ns; /* the last one */
	struct probe_call *unload;
};

struct drain {
	uint64_t patience_ns; /* of the next drain; 0: DRAIN_NS */
	uint64_t until_ns;
	bool active;
	bool stopping; /* the worker ends, too */
};

struct worker {
	struct event_base *base;
	struct event *tick;
	struct orders orders;
	struct proc_worker_conf conf;
	bool configured, announced;
	int exit_code;

	struct shm_vital_file *page;
	struct shm_reader *reader;
	struct shm_vital vital; /* as published */
	struct shm_models shown;
	uint64_t beat_due_ns, models_due_ns, state_since_ns, flush_due_ns;
	bool inherited; /* the worker before us had seen a token of this very Ollama */

	struct probe_http *http;
	struct catalog catalog;
	struct instance ollama;
	struct proc_process adopted; /* the process behind an adopted address, where /proc shows it */
	uint64_t adopted_due_ns;
	struct ladder ladder;
	struct loads loads;
	struct traffic traffic;
	struct heal heal;
	struct drain drain;
};

/* --- serve.c: state and orders ------------------------------------------------------------------------------------------------ */

int worker_serve(void);

/* Something happened.  `reason` and the sentence stand on the board from now on; PROBE_NONE keeps what stands there. */
void worker_event(struct worker *w, enum life_event ev, enum probe_outcome reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

enum shm_state worker_state(const struct worker *w);

/* What a line of the log is about. */
struct log_about worker_about(const struct worker *w, enum log_event event, const char *model);

/* --- publish.c ---------------------------------------------------------------------------------------------------------------- */

void publish_vital(struct worker *w);
void publish_models(struct worker *w); /* and the vital line, where they changed */
void publish_tick(struct worker *w, uint64_t now_ns);
void publish_reason(struct worker *w, enum probe_outcome reason, const char *text);

/* --- instance.c, spawn.c ------------------------------------------------------------------------------------------------------ */

void instance_init(struct worker *w);
void instance_start(struct worker *w);
void instance_end(struct worker *w);
void instance_kill(struct worker *w);
void instance_pause(struct worker *w);
void instance_reaped(struct worker *w, const struct proc_reaped *r);
void instance_say(struct worker *w); /* PROC_OLLAMA */
void instance_tick(struct worker *w, uint64_t now_ns);
void instance_close(struct worker *w);

/* Kill exactly this process, if it still is that process.  False: it is gone, or not ours to kill. */
bool instance_signal(const struct proc_process *p, int sig);

/* Start the command of the configuration.  0; -ENOENT, -EACCES: it cannot be run; -errno. */
int spawn_ollama(const struct worker *w, struct proc_process *out, int *pidfd, struct why *why);

/* DIR/instances/NAME exists and belongs to whom we are about to become. */
int spawn_dir_make(const struct worker *w, struct why *why);

/* The instance's own log file: its length, and the last line in which this start of Ollama said why it gives up. */
uint64_t spawn_log_size(const struct worker *w);
bool spawn_log_error(const struct worker *w, char *out, size_t size);

/* Keep it below its bound. */
void spawn_log_trim(const struct worker *w);

/* --- ladder.c ----------------------------------------------------------------------------------------------------------------- */

void ladder_look(struct worker *w); /* tags and ps at once */
void ladder_tick(struct worker *w, uint64_t now_ns);
void ladder_reset(struct worker *w); /* the instance has ended */

/* Something that should have worked did not: the figures of the board. */
void ladder_fail_count(struct worker *w);

/* --- able.c, usage.c ---------------------------------------------------------------------------------------------------------- */

void able_now(struct worker *w); /* at the next chance, whatever was tried before */
void able_tick(struct worker *w, uint64_t now_ns);
/* A question about this model is being asked; it had no answer in time: wedged, unless others were served meanwhile. */
void able_question(struct worker *w, const struct model *m, uint64_t now_ns);
void able_silent(struct worker *w, const char *text);
void usage_sample(struct worker *w, uint64_t now_ns);

/* --- loads.c ------------------------------------------------------------------------------------------------------------------ */

/* Load a model when its turn comes.  False: there is no such model, or the queue is full. */
bool loads_want(struct worker *w, const char *model, enum load_why why);
bool loads_unload(struct worker *w, const char *model); /* false: there is no such model */
void loads_tick(struct worker *w, uint64_t now_ns);
void loads_reset(struct worker *w);

/* --- traffic.c ---------------------------------------------------------------------------------------------------------------- */

void traffic_tick(struct worker *w, uint64_t now_ns);
bool traffic_idle(const struct worker *w);

/* --- runners.c ---------------------------------------------------------------------------------------------------------------- */

/* End the runners that do not answer.  False: there is none, or none that we may end. */
bool runners_kill(struct worker *w);
void runners_tick(struct worker *w);
void runners_reset(struct worker *w);

/* --- places.c ----------------------------------------------------------------------------------------------------------------- */

void places_tick(struct worker *w, uint64_t now_ns);

/* --- heal.c ------------------------------------------------------------------------------------------------------------------- */

void heal_step(struct worker *w);
void heal_done(struct worker *w); /* a token came */
void heal_tick(struct worker *w, uint64_t now_ns);
void heal_reset(struct worker *w);

/* --- host.c ------------------------------------------------------------------------------------------------------------------- */

int host_serve(void);
