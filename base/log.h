/* base/log.h - one sentence to the journal, or to standard error where there is none.
 *
 * Programs (rank 3) log; ranks 0-2 never do.  err = someone must act; warning = tsa coped, look; notice = a state changed;
 * info = work done; debug = why.  Prompts and bodies are never logged.  A call site that repeats itself more than LOG_BURST
 * times in LOG_WINDOW is held back and summed up ("... 14 more in 60s").  Logging never waits: what the journal, or the reader of
 * a pipe, does not take at once is dropped, and the next line that is taken comes after the number of those that were lost.
 * Not thread-safe: each process has one thread. */
#pragma once

#include <stdbool.h>

enum log_level { LOG_ERR_ = 3, LOG_WARNING_ = 4, LOG_NOTICE_ = 5, LOG_INFO_ = 6, LOG_DEBUG_ = 7 };

enum log_event {
#define EVENT(name, id, meaning) LOG_EV_##name,
#include "base/events.def"
#undef EVENT
	LOG_EV_COUNT
};

/* What a line is about; NULL or 0 members are left out.  Journal fields TSA_SLOT, TSA_MODEL, TSA_GEN, TSA_REQUEST. */
struct log_about {
	enum log_event event;
	const char    *slot;    /* instance name */
	const char    *model;
	const char    *request; /* request id */
	unsigned long  gen;
};

#define LOG_BURST     20 /* lines of one call site per window */
#define LOG_WINDOW_NS (60ULL * 1000000000ULL)

/* `program` must outlive the process's logging.  Uses the journal when JOURNAL_STREAM says that standard error is one. */
void log_open(const char *program, enum log_level max);
void log_set_level(enum log_level max);

/* The level named err, warning, notice, info or debug.  False for any other word. */
bool log_level_parse(const char *word, enum log_level *out);

void log_line(enum log_level level, const struct log_about *about, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Say what was held back so far; call it once a minute and before exit. */
void log_flush(void);

#define log_err(...)     log_line(LOG_ERR_, NULL, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING_, NULL, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_NOTICE_, NULL, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO_, NULL, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_DEBUG_, NULL, __VA_ARGS__)
