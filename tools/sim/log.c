/* Log lines as a real server writes them, for tests of whoever reads its pipes: a full pipe blocks the simulator too. */
#include "tools/sim/sim.h"

#include <stdio.h>
#include <time.h>

static void line(const char *source, const char *message)
{
	struct buf b = {0};

	text_time(&b, clock_wall_ns(), true);
	fprintf(stderr, "time=%.*s level=INFO source=%s msg=%s\n", (int)b.n, b.p, source, message);
	buf_fini(&b);
}

void sim_log_start(void)
{
	char text[200];

	line("routes.go:1752", "\"server config\" env=\"map[]\"");
	line("routes.go:1754", "\"Ollama cloud disabled: true\"");
	line("images.go:499", "\"total blobs: 2\"");
	line("images.go:506", "\"total unused blobs removed: 0\"");
	for (unsigned i = 0; i < sim_insts_n; i++) {
		snprintf(text, sizeof(text), "\"Listening on %s:%u (version %s)\"", sim_conf.host, sim_insts[i].port,
			 sim_conf.version);
		line("routes.go:1808", text);
	}
	line("runner.go:67", "\"discovering available GPUs...\"");
	line("types.go:60", "\"inference compute\" id=cpu library=cpu compute=\"\" name=cpu description=cpu");
	line("routes.go:1858", "\"vram-based default context\" total_vram=\"0 B\" default_num_ctx=4096");
}

void sim_log_access(const struct sim_ex *ex)
{
	time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
	struct tm tm;
	char when[32];

	localtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y/%m/%d - %H:%M:%S", &tm);
	printf("[GIN] %s | %d | %10.3fms | %15s | " SPAN_FMT " \"" SPAN_FMT "\"\n", when, ex->status,
	       (double)(clock_now_ns() - ex->begun_ns) / 1e6, "127.0.0.1", SPAN_ARG(ex->head.method), SPAN_ARG(ex->head.path));
	fflush(stdout);
}
