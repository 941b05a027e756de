/* tools/load/load.h - the sub-commands of tsa-load.  Each runs to its end and returns the exit status. */
#pragma once

#include "tools/load/options.h"

enum { EXIT_AS_ASKED = 0, EXIT_NOT_AS_ASKED = 1, EXIT_USAGE_ = 2 };

/* Answer as a small Ollama, until the time is up or a signal comes. */
int origin_run(const struct options *o, struct why *why);

/* Pass bytes on both ways without looking at them: the least that any proxy can cost. */
int forward_run(const struct options *o, struct why *why);

/* Ask for whole answers. */
int request_run(const struct options *o, struct why *why);

/* Open streams that talk, or that stay silent after their first chunk. */
int stream_run(const struct options *o, struct why *why);
int idle_run(const struct options *o, struct why *why);
