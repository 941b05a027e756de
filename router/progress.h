/* router/progress.h - several NDJSON progress streams (pull, push, create) told as one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct progress;

struct progress *progress_create(void); /* NULL: out of memory */
void progress_destroy(struct progress **p);

/* A line of instance number `part` (below 64).  What the client should see of it goes into `buf` as one line with its newline; its
 * length, 0: nothing new.  *success: the line says that this part is done.  *error: the line says why the part failed (text in buf, no
 * newline, not for the client yet). */
size_t progress_line(struct progress *p, unsigned part, const char *line, size_t n, char *buf, size_t size, bool *success, bool *error);
