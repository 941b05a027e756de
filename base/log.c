#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"

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
	bool           journal;
	struct site    sites[SITES];
} log_state = {.program = "tsa", .max = LOG_INFO_};

/* systemd sets JOURNAL_STREAM=dev:inode of the stream it gave us; a redirected standard error is no journal. */
static bool stderr_is_journal(void)
{
	const char *env = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return env && sscanf(env, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_open(const char *program, enum log_level max)
{
	log_state.program = program;
	log_state.max = max;
	log_state.journal = stderr_is_journal();
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

static void add_field(struct iovec *iov, size_t *n, char *buf, size_t size, const char *name, const char *value)
{
	int len;

	if (!value || !*value)
		return;
	len = snprintf(buf, size, "%s=%s", name, value);
	if (len < 0)
		return;
	iov[*n].iov_base = buf;
	iov[*n].iov_len = (size_t)len < size ? (size_t)len : size - 1;
	(*n)++;
}

static void to_journal(enum log_level level, const struct log_about *about, const char *text)
{
	char fields[8][640];
	char number[32];
	struct iovec iov[8];
	size_t n = 0;

	add_field(iov, &n, fields[0], sizeof(fields[0]), "MESSAGE", text);
	snprintf(number, sizeof(number), "%d", (int)level);
	add_field(iov, &n, fields[1], sizeof(fields[1]), "PRIORITY", number);
	add_field(iov, &n, fields[2], sizeof(fields[2]), "SYSLOG_IDENTIFIER", log_state.program);
	if (about) {
		add_field(iov, &n, fields[3], sizeof(fields[3]), "MESSAGE_ID", EVENT_IDS[about->event]);
		add_field(iov, &n, fields[4], sizeof(fields[4]), "TSA_SLOT", about->slot);
		add_field(iov, &n, fields[5], sizeof(fields[5]), "TSA_MODEL", about->model);
		add_field(iov, &n, fields[6], sizeof(fields[6]), "TSA_REQUEST", about->request);
		if (about->gen) {
			snprintf(number, sizeof(number), "%lu", about->gen);
			add_field(iov, &n, fields[7], sizeof(fields[7]), "TSA_GEN", number);
		}
	}
	(void)sd_journal_sendv(iov, (int)n);
}

/* Control bytes of foreign text (a model name, say) must not forge lines in a terminal or a log file. */
static void escape(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static void emit(enum log_level level, const struct log_about *about, char *text)
{
	char line[800];
	int n;

	escape(text);
	if (log_state.journal) {
		to_journal(level, about, text);
		return;
	}
	n = snprintf(line, sizeof(line), "%s[%d] %s: %s\n", log_state.program, (int)getpid(), LEVELS[level], text);
	if (n > 0)
		(void)!write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void say_held(struct site *s, uint64_t now_ns)
{
	char text[600];

	if (s->held) {
		snprintf(text, sizeof(text), "… %u more like \"%s\" in %llus", s->held, s->fmt,
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
