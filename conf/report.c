#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/loading.h"

static bool before(struct conf_place a, struct conf_place b)
{
	if (a.file != b.file)
		return a.file < b.file;
	return a.line != b.line ? a.line < b.line : a.column < b.column;
}

/* Where the message belongs among those already there. */
static unsigned rank_of(const struct conf_loading *l, struct conf_place at)
{
	unsigned rank = l->report->n;

	while (rank > 0 && before(at, l->order[rank - 1]))
		rank--;
	return rank;
}

void conf_say(struct conf_loading *l, bool error, struct conf_place at, const char *fmt, ...)
{
	struct conf_report *r = l->report;
	const char *name = l->whole->files[at.file];
	size_t size = sizeof(r->text[0]);
	unsigned rank = rank_of(l, at);
	va_list ap;
	int n;

	r->errors += error;
	if (r->n == CONF_MESSAGES) {
		r->more++;
		return;
	}
	memmove(r->text + rank + 1, r->text + rank, (r->n - rank) * size);
	memmove(l->order + rank + 1, l->order + rank, (r->n - rank) * sizeof(l->order[0]));
	r->n++;
	l->order[rank] = at;

	if (at.line)
		n = snprintf(r->text[rank], size, "%.120s:%u:%u: ", name, at.line, at.column);
	else
		n = snprintf(r->text[rank], size, "%.120s: ", name);
	if (!error)
		n += snprintf(r->text[rank] + n, size - (size_t)n, "warning: ");
	va_start(ap, fmt);
	vsnprintf(r->text[rank] + n, size - (size_t)n, fmt, ap);
	va_end(ap);
}
