/* base/sink.h - where log lines go: the journal, or standard error.  Never waits for a reader.
 *
 * A journal that is stopped, a pipe that nobody empties or a terminal that is held must not stop the program that logs: what is not
 * taken at once is dropped, and the caller counts it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Look what standard error is; call it once, and before giving up root: a pipe is opened anew by its path. */
void sink_open(void);

/* True when standard error is the journal's stream, so that entries with fields may be sent. */
bool sink_is_journal(void);

/* One entry of the journal's native protocol: lines NAME=value, no other newline in it.  0 or -errno: not taken. */
int sink_entry(const char *entry, size_t n);

/* One line with its newline to standard error; at most PIPE_BUF bytes, so that it goes whole or not at all.  0 or -errno. */
int sink_line(const char *line, size_t n);
