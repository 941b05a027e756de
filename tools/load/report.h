/* tools/load/report.h - what a load command found, as text or JSON. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tools/load/client.h"
#include "tools/load/hist.h"
#include "tools/load/options.h"
#include "tools/load/watch.h"

/* From window_open to window_close everything runs steadily: only that is measured. */
struct report {
	const char *unit;  /* what is counted: "requests", "chunks" */
	const char *delay; /* what the percentiles are of */
	const struct options *options;
	uint64_t asked; /* requests or streams */
	uint64_t ok;
	uint64_t failed[FAIL_COUNT];
	uint64_t units;   /* in the window */
	uint64_t open_ns; /* 0: not yet */
	uint64_t close_ns;
	struct hist hist;
	struct watch_state before[OPTIONS_WATCH]; /* at the start */
	struct watch_state open[OPTIONS_WATCH];
	struct watch_state close[OPTIONS_WATCH];
};

void report_init(struct report *r, const struct options *o, const char *unit, const char *delay, uint64_t asked);
void report_window_open(struct report *r);
void report_window_close(struct report *r);

/* One failure; the sum of ok and failed ones. */
void report_fail(struct report *r, enum fail fail);
uint64_t report_ended(const struct report *r);

/* Print it.  True when every request or stream was answered as asked. */
bool report_print(const struct report *r, const char *command);
