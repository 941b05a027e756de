#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/loading.h"

/* Where the message belongs among those already there. */
static unsigned place_of(const struct conf_loading *l, unsigned file, unsigned line)
{
	unsigned at = l->report->n;

	while (at > 0 && (l->order[at - 1].file > file || (l->order[at - 1].file == file && l->order[at - 1].line > line)))
		at--;
	return at;
}

void conf_say(struct conf_loading *l, bool error, unsigned file, unsigned line, const char *fmt, ...)
{
	struct conf_report *r = l->report;
	const char *name = l->whole->files[file];
	size_t size = sizeof(r->text[0]);
	unsigned at = place_of(l, file, line);
	va_list ap;
	int n;

	r->errors += error;
	if (r->n == CONF_MESSAGES) {
		r->more++;
		return;
	}
	memmove(r->text + at + 1, r->text + at, (r->n - at) * size);
	memmove(l->order + at + 1, l->order + at, (r->n - at) * sizeof(l->order[0]));
	r->n++;
	l->order[at].file = file;
	l->order[at].line = line;

	if (line)
		n = snprintf(r->text[at], size, "%.120s:%u: ", name, line);
	else
		n = snprintf(r->text[at], size, "%.120s: ", name);
	if (!error)
		n += snprintf(r->text[at] + n, size - (size_t)n, "warning: ");
	va_start(ap, fmt);
	vsnprintf(r->text[at] + n, size - (size_t)n, fmt, ap);
	va_end(ap);
}

int conf_file_add(struct conf_loading *l, const char *path)
{
	struct conf_whole *w = l->whole;
	char *copy;

	if (w->n_files == sizeof(w->files) / sizeof(w->files[0]))
		return -E2BIG;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	w->files[w->n_files] = copy;
	return (int)w->n_files++;
}
