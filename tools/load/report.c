#include "tools/load/report.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/bug.h"
#include "base/clock.h"

static const struct {
	const char *word;
	double share;
} QUANTILES[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};

void report_init(struct report *r, const struct options *o, const char *unit, const char *delay, uint64_t asked)
{
	*r = (struct report){.unit = unit, .delay = delay, .options = o, .asked = asked};
	for (unsigned i = 0; i < o->n_watch; i++)
		r->before[i] = watch_take(o->watch[i]);
}

void report_window_open(struct report *r)
{
	for (unsigned i = 0; i < r->options->n_watch; i++)
		r->open[i] = watch_take(r->options->watch[i]);
	r->open_ns = clock_now_ns();
}

void report_window_close(struct report *r)
{
	if (!r->open_ns || r->close_ns)
		return;
	r->close_ns = clock_now_ns();
	for (unsigned i = 0; i < r->options->n_watch; i++)
		r->close[i] = watch_take(r->options->watch[i]);
}

void report_fail(struct report *r, enum fail fail)
{
	r->failed[fail]++;
}

static uint64_t report_failed(const struct report *r)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < FAIL_COUNT; i++)
		n += r->failed[i];
	return n;
}

uint64_t report_ended(const struct report *r)
{
	return r->ok + report_failed(r);
}

static double per_unit_us(const struct report *r, uint64_t ns)
{
	return r->units ? (double)ns / (double)r->units / 1000.0 : 0.0;
}

static void print_json_watched(const struct report *r, unsigned i)
{
	const struct watch_state *open = &r->open[i], *close = &r->close[i];

	printf("%s{\"pid\":%d,\"cpu_us\":%.3f,\"wait_us\":%.3f,", i ? "," : "", (int)r->options->watch[i],
	       (double)(close->cpu_ns - open->cpu_ns) / 1e3, (double)(close->wait_ns - open->wait_ns) / 1e3);
	printf("\"user_us\":%.3f,\"system_us\":%.3f,\"cpu_us_per_unit\":%.4f,", (double)(close->user_ns - open->user_ns) / 1e3,
	       (double)(close->system_ns - open->system_ns) / 1e3, per_unit_us(r, close->cpu_ns - open->cpu_ns));
	printf("\"rss_before_bytes\":%" PRIu64 ",\"rss_open_bytes\":%" PRIu64 "}", r->before[i].rss_bytes, open->rss_bytes);
}

static void print_json(const struct report *r, const char *command)
{
	uint64_t window_ns = r->close_ns - r->open_ns;
	const char *comma = "";

	printf("{\"command\":\"%s\",\"to\":\"%s\",\"asked\":%" PRIu64 ",\"ok\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"failures\":{",
	       command, r->options->to.text, r->asked, r->ok, report_failed(r));
	for (unsigned i = 1; i < FAIL_COUNT; i++)
		if (r->failed[i]) {
			printf("%s\"%s\":%" PRIu64, comma, FAIL_WORDS[i], r->failed[i]);
			comma = ",";
		}
	printf("},\"window\":{\"unit\":\"%s\",\"count\":%" PRIu64 ",\"seconds\":%.6f},\"%s_us\":{", r->unit, r->units,
	       (double)window_ns / 1e9, r->delay);
	for (unsigned i = 0; i < ARRAY_SIZE(QUANTILES); i++)
		printf("\"%s\":%.1f,", QUANTILES[i].word, (double)hist_quantile_ns(&r->hist, QUANTILES[i].share) / 1e3);
	printf("\"max\":%.1f},\"watched\":[", (double)r->hist.max_ns / 1e3);
	for (unsigned i = 0; i < r->options->n_watch; i++)
		print_json_watched(r, i);
	printf("]}\n");
}

static void print_text(const struct report *r, const char *command)
{
	double seconds = (double)(r->close_ns - r->open_ns) / 1e9;

	printf("%s to %s: %" PRIu64 " of %" PRIu64 " as asked", command, r->options->to.text, r->ok, r->asked);
	for (unsigned i = 1; i < FAIL_COUNT; i++)
		if (r->failed[i])
			printf(", %" PRIu64 " %s", r->failed[i], FAIL_WORDS[i]);
	printf("\nmeasured: %" PRIu64 " %s in %.3f s", r->units, r->unit, seconds);
	if (seconds > 0)
		printf(" (%.0f/s)", (double)r->units / seconds);
	printf("\n%s:", r->delay);
	for (unsigned i = 0; i < ARRAY_SIZE(QUANTILES); i++)
		printf(" %s %.1f us", QUANTILES[i].word, (double)hist_quantile_ns(&r->hist, QUANTILES[i].share) / 1e3);
	printf(" max %.1f us\n", (double)r->hist.max_ns / 1e3);
	for (unsigned i = 0; i < r->options->n_watch; i++)
		printf("pid %d: %.2f us CPU for each of the %s, RSS %" PRIu64 " KiB before, %" PRIu64 " KiB meanwhile\n",
		       (int)r->options->watch[i], per_unit_us(r, r->close[i].cpu_ns - r->open[i].cpu_ns), r->unit,
		       r->before[i].rss_bytes / 1024, r->open[i].rss_bytes / 1024);
}

bool report_print(const struct report *r, const char *command)
{
	if (r->options->json)
		print_json(r, command);
	else
		print_text(r, command);
	return r->ok == r->asked;
}
