#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/sink.h"

#define SITES 64 /* call sites remembered for the repeat count; more share a place, which only makes holding back coarser */

struct site {
	const char *fmt;
	uint64_t    since_ns;
	unsigned    said;
	unsigned    held;
	enum log_level level;
};

static const char *const EVENT_IDS[LOG_EV_COUNT] = {
#define EVENT(name, id, meaning) [LOG_EV_##name] = (id),
#include "base/events.def"
#undef EVENT
};

static const char *const LEVELS[] = {[LOG_ERR_] = "err", [LOG_WARNING_] = "warning", [LOG_NOTICE_] = "notice", [LOG_INFO_] = "info", [LOG_DEBUG_] = "debug"};

static struct {
	const char    *program;
	enum log_level max;
	unsigned       lost; /* lines that nobody took */
	struct site    sites[SITES];
} log_state = {.program = "tsa", .max = LOG_INFO_};

void log_open(const char *program, enum log_level max)
{
	log_state.program = program;
	log_state.max = max;
	sink_open();
}

void log_set_level(enum log_level max)
{
	log_state.max = max;
}

bool log_level_parse(const char *word, enum log_level *out)
{
	for (int i = LOG_ERR_; i <= LOG_DEBUG_; i++)
		if (strcmp(word, LEVELS[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	return false;
}

/* Control bytes of foreign text (a model name, say) must not forge lines in a terminal or a log file, or fields in the journal. */
static void escape(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static size_t add_field(char *entry, size_t n, size_t size, const char *name, const char *value)
{
	char *at = entry + n;
	int len = value && *value ? snprintf(at, size - n, "%s=%s", name, value) : 0;

	if (len <= 0 || (size_t)len + 1 >= size - n) /* a field that does not fit is left out */
		return n;
	escape(at);
	at[len] = '\n';
	return n + (size_t)len + 1;
}

static int to_journal(enum log_level level, const struct log_about *about, const char *text)
{
	char number[32];
	char entry[2048];
	size_t n;

	snprintf(number, sizeof(number), "%d", (int)level);
	n = add_field(entry, 0, sizeof(entry), "MESSAGE", text);
	n = add_field(entry, n, sizeof(entry), "PRIORITY", number);
	n = add_field(entry, n, sizeof(entry), "SYSLOG_IDENTIFIER", log_state.program);
	if (about) {
		snprintf(number, sizeof(number), "%lu", about->gen);
		n = add_field(entry, n, sizeof(entry), "MESSAGE_ID", EVENT_IDS[about->event]);
		n = add_field(entry, n, sizeof(entry), "TSA_SLOT", about->slot);
		n = add_field(entry, n, sizeof(entry), "TSA_MODEL", about->model);
		n = add_field(entry, n, sizeof(entry), "TSA_REQUEST", about->request);
		n = add_field(entry, n, sizeof(entry), "TSA_GEN", about->gen ? number : NULL);
	}
	return sink_entry(entry, n);
}

static int to_stderr(enum log_level level, const char *text)
{
	char line[800];
	int n = snprintf(line, sizeof(line), "%s[%d] %s: %s\n", log_state.program, (int)getpid(), LEVELS[level], text);

	return n > 0 ? sink_line(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) : -EINVAL;
}

static int put(enum log_level level, const struct log_about *about, const char *text)
{
	return sink_is_journal() ? to_journal(level, about, text) : to_stderr(level, text);
}

/* A line that is not taken at once is dropped; the first one that is taken again comes after their number. */
static void emit(enum log_level level, const struct log_about *about, char *text)
{
	char lost[80];

	escape(text);
	if (log_state.lost) {
		snprintf(lost, sizeof(lost), "%u lines of %s are lost: nothing took them", log_state.lost, log_state.program);
		if (put(LOG_WARNING_, NULL, lost) == 0)
			log_state.lost = 0;
	}
	if (log_state.lost || put(level, about, text) < 0)
		log_state.lost++;
}

/* A format as people read it: … stands for what differs from line to line. */
static void format_tell(const char *fmt, char *buf, size_t size)
{
	static const char GAP[] = "…";
	size_t n = 0;

	while (*fmt && n + sizeof(GAP) < size) {
		if (*fmt != '%') {
			buf[n++] = *fmt++;
			continue;
		}
		fmt += 1 + strspn(fmt + 1, "-+ #0123456789.*hlzjt");
		if (*fmt == '%')
			buf[n++] = '%';
		else if (n < sizeof(GAP) - 1 || memcmp(buf + n - (sizeof(GAP) - 1), GAP, sizeof(GAP) - 1) != 0)
			n += (size_t)snprintf(buf + n, size - n, GAP);
		fmt += *fmt != 0;
	}
	buf[n] = 0;
}

static void say_held(struct site *s, uint64_t now_ns)
{
	char text[600], line[400];

	if (s->held) {
		format_tell(s->fmt, line, sizeof(line));
		snprintf(text, sizeof(text), "… %u more like \"%s\" in %llus", s->held, line,
			 (unsigned long long)((now_ns - s->since_ns) / NS_PER_S + 1));
		emit(s->level, NULL, text);
	}
	s->held = 0;
	s->said = 0;
	s->since_ns = now_ns;
}

/* True when this call site has said enough for now. */
static bool held_back(enum log_level level, const char *fmt)
{
	struct site *s = &log_state.sites[((uintptr_t)fmt >> 3) % SITES];
	uint64_t now = clock_now_ns();

	if (s->fmt != fmt || now - s->since_ns > LOG_WINDOW_NS) {
		if (s->fmt)
			say_held(s, now);
		*s = (struct site){.fmt = fmt, .since_ns = now, .level = level};
	}
	if (s->said >= LOG_BURST) {
		s->held++;
		return true;
	}
	s->said++;
	return false;
}

void log_line(enum log_level level, const struct log_about *about, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	if (level > log_state.max || (level > LOG_ERR_ && held_back(level, fmt)))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	emit(level, about, text);
}

void log_flush(void)
{
	uint64_t now = clock_now_ns();

	for (size_t i = 0; i < SITES; i++)
		if (log_state.sites[i].fmt)
			say_held(&log_state.sites[i], now);
}
