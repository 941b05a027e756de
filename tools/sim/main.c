/* ollama-sim: options, instances, loop. */
#include "tools/sim/sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct sim_conf sim_conf;
struct event_base *sim_base;
struct sim_inst *sim_insts;
unsigned sim_insts_n;

/* As a real server: everything is dropped where it stands, exit status 0.  exit() and not _exit(): a build that looks for leaks does so
 * then. */
static void stop(evutil_socket_t sig, short what, void *arg)
{
	struct sim_runner *r;

	(void)sig;
	(void)what;
	(void)arg;
	for (unsigned i = 0; i < sim_insts_n; i++)
		TAILQ_FOREACH(r, &sim_insts[i].runners, link)
	sim_runner_kill(r);
	exit(0);
}

static void files_unlimit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

static int faults_begin(struct sim_inst *in, struct why *why)
{
	int err = 0;

	for (size_t i = 0; i < sim_conf.faults_n && !err; i++)
		err = sim_fault_add_text(in, sim_conf.faults[i], why);
	return err;
}

int sim_inst_open(struct sim_inst *in, const char *host, uint16_t port, struct why *why)
{
	int err;

	TAILQ_INIT(&in->models);
	TAILQ_INIT(&in->blobs);
	TAILQ_INIT(&in->runners);
	TAILQ_INIT(&in->pending);
	TAILQ_INIT(&in->faults);
	TAILQ_INIT(&in->conns);
	in->routes = sim_alloc((sim_routes_n + 1) * sizeof(*in->routes));
	sim_store_fill(in);
	err = faults_begin(in, why);
	return err ? err : sim_conn_listen(in, host, port, why);
}

static void banner(void)
{
	fprintf(stderr,
		"ollama-sim " TSA_VERSION ": this is a SIMULATOR of Ollama %s; no model runs here and every answer is made up.\n"
		"ollama-sim: listening on %s:%u",
		sim_conf.version, sim_conf.host, sim_insts[0].port);
	if (sim_insts_n > 1)
		fprintf(stderr, "..%u", sim_insts[sim_insts_n - 1].port);
	fputs("\nollama-sim: models:", stderr);
	for (size_t i = 0; i < sim_conf.models_n; i++)
		fprintf(stderr, " %s", sim_conf.models[i].name);
	fputs("\n", stderr);
}

static int serve(struct why *why)
{
	struct event *on_int;
	struct event *on_term;
	int err = 0;

	sim_base = event_base_new();
	if (!sim_base)
		return why_set(why, -1, "libevent cannot start");
	sim_insts_n = sim_conf.ports;
	sim_insts = sim_alloc(sim_insts_n * sizeof(*sim_insts));
	for (unsigned i = 0; i < sim_insts_n && !err; i++)
		err = sim_inst_open(&sim_insts[i], sim_conf.host, (uint16_t)(sim_conf.port ? sim_conf.port + i : 0), why);
	if (err)
		return err;
	on_int = evsignal_new(sim_base, SIGINT, stop, NULL);
	on_term = evsignal_new(sim_base, SIGTERM, stop, NULL);
	event_add(on_int, NULL);
	event_add(on_term, NULL);
	sim_runner_watch();
	if (!sim_conf.quiet)
		banner();
	if (sim_conf.log)
		sim_log_start();
	event_base_dispatch(sim_base);
	return 0;
}

int main(int argc, char **argv)
{
	struct why why = {0};
	int err;

	if (getenv("OLLAMA_SIM_RUNNER"))
		return sim_runner_main(argc, argv);
	err = sim_options_read(argc, argv, &sim_conf, &why);
	if (err == 1)
		return 0;
	if (!err && sim_check_origins(&why)) {
		fprintf(stderr, "panic: %s\n", why.text);
		return 2;
	}
	if (!err) {
		files_unlimit();
		sim_check_init();
		err = serve(&why);
	}
	if (err)
		fprintf(stderr, "Error: %s\n", why.text);
	return err ? 1 : 0;
}
