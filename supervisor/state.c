#include "supervisor/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/scan.h"

#define FORMAT         "tsa-state 1"
#define LINE_MAX_BYTES 256
#define WORDS_MAX      8

static const char *const ROLES[PROC_ROLE_COUNT] = {[PROC_WORKER] = "worker", [PROC_HOST] = "host", [PROC_ROUTER] = "router"};

/* --- printing ------------------------------------------------------------------------------------------------------------- */

struct out {
	char *buf;
	size_t size;
	size_t at; /* beyond size: it did not fit */
};

static void print(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void print(struct out *o, const char *fmt, ...)
{
	size_t room = o->at < o->size ? o->size - o->at : 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(o->buf + (room ? o->at : 0), room, fmt, ap);
	va_end(ap);
	o->at += n < 0 ? o->size : (size_t)n;
}

static void print_children(struct out *o, const struct state *s)
{
	for (unsigned i = 0; i < s->n_children; i++) {
		const struct state_child *c = &s->children[i];

		print(o, "child %s %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %016" PRIx64 " %s\n", ROLES[c->role], c->index,
		      c->gen, c->process.pid, c->process.start, c->identity, c->name);
		if (*c->addr)
			print(o, "works %" PRIu32 " %d %" PRIu32 " %s\n", c->index, c->adopted, c->places, c->addr);
	}
}

int state_print(const struct state *s, char *buf, size_t size)
{
	struct out o = {.buf = buf, .size = size};

	print(&o, FORMAT "\n");
	print(&o, "boot %016" PRIx64 " %016" PRIx64 "\n", s->boot_id[0], s->boot_id[1]);
	print(&o, "board %016" PRIx64 " %016" PRIx64 "\n", s->board_id[0], s->board_id[1]);
	print(&o, "supervisor %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", s->sup_gen, s->sup.pid, s->sup.start);
	if (s->stopping)
		print(&o, "stopping\n");
	print_children(&o, s);
	for (unsigned i = 0; i < s->n_ollamas; i++)
		print(&o, "ollama %" PRIu32 " %" PRIu64 " %" PRIu64 " %s\n", s->ollamas[i].slot, s->ollamas[i].process.pid,
		      s->ollamas[i].process.start, s->ollamas[i].name);
	for (unsigned i = 0; i < s->n_drained; i++)
		print(&o, "drained %s\n", s->drained[i]);
	print(&o, "end\n");
	return o.at < size ? (int)o.at : -E2BIG;
}

/* --- parsing -------------------------------------------------------------------------------------------------------------- */

struct words {
	unsigned n;
	const char *at[WORDS_MAX];
};

/* One number of a line, decimal. */
static bool number(const char *word, uint64_t max, uint64_t *out)
{
	return scan_u64(word, 0, max, out, NULL) == 0;
}

static bool number32(const char *word, uint32_t max, uint32_t *out)
{
	uint64_t v;

	if (!number(word, max, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool hex(const char *word, uint64_t *out)
{
	static const char DIGITS[] = "0123456789abcdef";
	uint64_t v = 0;

	if (strlen(word) != 16)
		return false;
	for (const char *p = word; *p; p++) {
		const char *digit = strchr(DIGITS, *p);

		if (!digit)
			return false;
		v = v << 4 | (uint64_t)(digit - DIGITS);
	}
	*out = v;
	return true;
}

static bool process(const char *const *words, struct proc_process *out)
{
	return number(words[0], INT32_MAX, &out->pid) && number(words[1], INT64_MAX, &out->start);
}

static bool name(const char *word, char out[PROC_NAME])
{
	if (strcmp(word, "-") != 0 && !scan_name_ok(word, PROC_NAME - 1))
		return false;
	snprintf(out, PROC_NAME, "%s", word);
	return true;
}

static bool take_boot(const char *const *w, struct state *s)
{
	return hex(w[0], &s->boot_id[0]) && hex(w[1], &s->boot_id[1]);
}

static bool take_board(const char *const *w, struct state *s)
{
	return hex(w[0], &s->board_id[0]) && hex(w[1], &s->board_id[1]);
}

static bool take_supervisor(const char *const *w, struct state *s)
{
	return number(w[0], INT64_MAX, &s->sup_gen) && process(w + 1, &s->sup);
}

/* Each role has its own range of places, and no place is taken twice. */
static bool take_child(const char *const *w, struct state *s)
{
	static const uint32_t PLACES[PROC_ROLE_COUNT] = {[PROC_WORKER] = SHM_SLOTS, [PROC_HOST] = 1, [PROC_ROUTER] = SHM_ROUTERS};
	struct state_child c = {.role = PROC_ROLE_NONE};

	for (unsigned role = PROC_ROLE_NONE + 1; role < PROC_ROLE_COUNT; role++)
		if (strcmp(w[0], ROLES[role]) == 0)
			c.role = (enum proc_role)role;
	if (c.role == PROC_ROLE_NONE || s->n_children == STATE_CHILDREN || !number32(w[1], PLACES[c.role] - 1, &c.index) ||
	    !number32(w[2], UINT32_MAX, &c.gen) || !process(w + 3, &c.process) || !hex(w[5], &c.identity) || !name(w[6], c.name))
		return false;
	for (unsigned i = 0; i < s->n_children; i++)
		if (s->children[i].role == c.role && s->children[i].index == c.index)
			return false;
	s->children[s->n_children++] = c;
	return true;
}

/* Of the worker in the line before it, or further up. */
static bool take_works(const char *const *w, struct state *s)
{
	uint32_t index, adopted, places;

	if (!number32(w[0], SHM_SLOTS - 1, &index) || !number32(w[1], 1, &adopted) || !number32(w[2], UINT32_MAX, &places) || !*w[3])
		return false;
	for (unsigned i = 0; i < s->n_children; i++) {
		struct state_child *c = &s->children[i];

		if (c->role != PROC_WORKER || c->index != index)
			continue;
		if (*c->addr || strlen(w[3]) >= sizeof(c->addr))
			return false;
		c->adopted = adopted;
		c->places = places;
		memcpy(c->addr, w[3], strlen(w[3]) + 1);
		return true;
	}
	return false;
}

static bool take_ollama(const char *const *w, struct state *s)
{
	struct state_ollama o = {0};

	if (s->n_ollamas == SHM_SLOTS || !number32(w[0], SHM_SLOTS - 1, &o.slot) || !process(w + 1, &o.process) ||
	    !name(w[3], o.name))
		return false;
	for (unsigned i = 0; i < s->n_ollamas; i++)
		if (s->ollamas[i].slot == o.slot)
			return false;
	s->ollamas[s->n_ollamas++] = o;
	return true;
}

static bool take_drained(const char *const *w, struct state *s)
{
	if (s->n_drained == SHM_SLOTS || !name(w[0], s->drained[s->n_drained]))
		return false;
	s->n_drained++;
	return true;
}

static bool take_stopping(const char *const *w, struct state *s)
{
	(void)w;
	s->stopping = true;
	return true;
}

static const struct fact {
	const char *word;
	unsigned words; /* behind it */
	bool (*take)(const char *const *words, struct state *s);
} FACTS[] = {
	{"boot", 2, take_boot},     {"board", 2, take_board},     {"supervisor", 3, take_supervisor}, {"child", 7, take_child},
	{"works", 4, take_works},   {"ollama", 4, take_ollama}, {"drained", 1, take_drained}, {"stopping", 0, take_stopping},
};

/* Cut a line at its spaces, in place.  False: too many words. */
static bool words_cut(char *line, struct words *w)
{
	w->n = 0;
	for (char *p = line; p; w->n++) {
		if (w->n == WORDS_MAX)
			return false;
		w->at[w->n] = p;
		p = strchr(p, ' ');
		if (p)
			*p++ = 0;
	}
	return true;
}

static bool line_take(char *line, struct state *s)
{
	struct words w;

	if (!words_cut(line, &w))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(FACTS); i++)
		if (strcmp(w.at[0], FACTS[i].word) == 0)
			return w.n == FACTS[i].words + 1 && FACTS[i].take(w.at + 1, s);
	return false;
}

/* Copy the line at *p into `line` and step over its end.  False: no whole line is left, or it is too long or binary. */
static bool line_next(const char **p, const char *end, char line[LINE_MAX_BYTES])
{
	const char *nl = memchr(*p, '\n', (size_t)(end - *p));
	size_t n = nl ? (size_t)(nl - *p) : 0;

	if (!nl || n >= LINE_MAX_BYTES || memchr(*p, 0, n))
		return false;
	memcpy(line, *p, n);
	line[n] = 0;
	*p = nl + 1;
	return true;
}

int state_parse(const char *text, size_t n, struct state *out, struct why *why)
{
	static struct state s; /* large; the supervisor has one thread */
	char line[LINE_MAX_BYTES], copy[LINE_MAX_BYTES];
	const char *p = text, *end = text + n;

	memset(&s, 0, sizeof(s));
	if (n > STATE_TEXT_MAX || !line_next(&p, end, line) || strcmp(line, FORMAT) != 0)
		return why_set(why, -EINVAL, "it does not begin with \"%s\"", FORMAT);
	for (unsigned at = 2; line_next(&p, end, line); at++) {
		if (strcmp(line, "end") == 0 && p == end) {
			*out = s;
			return 0;
		}
		memcpy(copy, line, sizeof(copy));
		if (!line_take(line, &s))
			return why_set(why, -EINVAL, "line %u is not a fact that this version knows: %.60s", at, copy);
	}
	return why_set(why, -EINVAL, "it has no end");
}
