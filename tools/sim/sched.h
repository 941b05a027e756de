/* tools/sim/sched.h - load-time options, runners, and who gets one (loadopts.c, sched.c, runner.c). */
#pragma once

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "tools/sim/conf.h"
#include "tools/sim/json.h"

struct sim_ex;
struct sim_inst;
struct sim_model;

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
	bool dead;              /* crashed; nobody noticed yet */
	bool wedged;            /* stopped: silent, but listed */
	bool closing;           /* to be unloaded when idle */
	bool aborted;           /* its load is being taken down */
	bool stuck;             /* whoever wants it waits for ever */
	bool hung;              /* died before it listened: its load never ends */
	const char *load_error; /* what the load will end with; NULL = well */
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
	unsigned slots_lost;    /* kept by streams whose client has gone */
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
	_Atomic uint64_t *work; /* shared with it: busy until then */
};
TAILQ_HEAD(sim_runners, sim_runner);

/* Ask for a runner for ex->model with ex->loadopts; later calls ex->on_ready, or sim_ex_fail(). */
void sim_sched_submit(struct sim_ex *ex);
/* The exchange is over or its client is gone; give back slot and reference. */
void sim_sched_release(struct sim_ex *ex);
/* Wait for a generation slot on ex->runner; calls ex->on_slot. */
void sim_sched_slot_take(struct sim_ex *ex);
void sim_sched_slot_give(struct sim_ex *ex);
/* The slot is never given back, as long as the runner lives. */
void sim_sched_slot_lose(struct sim_ex *ex);
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
/* The child uses processor time until then. */
void sim_runner_work(struct sim_runner *r, uint64_t until_ns);
int sim_runner_watch(void);
int sim_runner_main(int argc, char **argv);
