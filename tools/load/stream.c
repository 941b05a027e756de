#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/load/client.h"
#include "tools/load/load.h"
#include "tools/load/report.h"
#include "tools/load/wire.h"

#define LINE_BYTES (WIRE_CHUNK_MAX + 512)

struct choir;

/* One stream. */
struct singer {
	struct client client;
	struct choir *choir;
	char *request;
	size_t request_n;
	uint32_t id;
	uint32_t seq; /* of the next item */
	bool ended;   /* its final object was seen */
	bool judged;  /* counted as ok or failed */
	uint32_t line_n;
	char *line; /* an item cut by the network; NULL mostly */
};

struct choir {
	const struct options *options;
	struct loop *loop;
	struct singer *singers;
	struct timer opener;
	uint64_t start_ns;
	uint64_t opened;
	uint64_t talking; /* streams with a first item, or failed */
	uint32_t chunks;
	uint64_t every_ns;
	uint64_t now_ns; /* of the read under way */
	struct report report;
};

static void choir_talking(struct choir *ch)
{
	if (++ch->talking == ch->options->streams)
		report_window_open(&ch->report);
}

static void singer_judge(struct singer *s, enum fail fail)
{
	struct choir *ch = s->choir;

	if (s->judged)
		return;
	s->judged = true;
	report_window_close(&ch->report);
	if (fail)
		report_fail(&ch->report, fail);
	else
		ch->report.ok++;
	if (!s->seq)
		choir_talking(ch);
	if (report_ended(&ch->report) == ch->options->streams)
		loop_stop(ch->loop);
}

static void singer_break(struct singer *s, enum fail fail)
{
	client_close(&s->client);
	singer_judge(s, fail);
}

static bool singer_line(struct singer *s, struct span line)
{
	struct choir *ch = s->choir;
	struct report *r = &ch->report;
	struct piece piece;
	int item = wire_piece_parse((enum wire_dialect)ch->options->dialect, line, &piece, &s->ended);

	if (item == 0)
		return true;
	if (item < 0 || piece.id != s->id || piece.seq != s->seq || piece.final != (piece.seq == ch->chunks)) {
		singer_break(s, item < 0 ? FAIL_CONTENT : piece.id != s->id ? FAIL_FOREIGN : FAIL_ORDER);
		return false;
	}
	if (piece.final)
		report_window_close(r);
	if (r->open_ns && !r->close_ns) {
		r->units++;
		hist_add(&r->hist, ch->now_ns > piece.at_ns ? ch->now_ns - piece.at_ns : 0);
	}
	if (s->seq++ == 0)
		choir_talking(ch);
	return true;
}

/* Keep the beginning of a line whose end has not come. */
static bool singer_keep(struct singer *s, struct span rest)
{
	if (!s->line && rest.n)
		s->line = malloc(LINE_BYTES);
	if (rest.n && (!s->line || s->line_n + rest.n > LINE_BYTES)) {
		singer_break(s, FAIL_CONTENT);
		return false;
	}
	if (rest.n)
		memcpy(s->line + s->line_n, rest.p, rest.n);
	s->line_n += (uint32_t)rest.n;
	return true;
}

static void singer_payload(struct client *c, struct span bytes)
{
	struct singer *s = container_of(c, struct singer, client);
	const char *eol;

	s->choir->now_ns = clock_now_ns();
	while ((eol = memchr(bytes.p, '\n', bytes.n))) {
		struct span line = {bytes.p, (size_t)(eol - bytes.p)};

		bytes.n -= line.n + 1;
		bytes.p = eol + 1;
		if (s->line_n) {
			if (!singer_keep(s, line))
				return;
			line = (struct span){s->line, s->line_n};
			s->line_n = 0;
		}
		if (!singer_line(s, line))
			return;
	}
	singer_keep(s, bytes);
}

static void singer_done(struct client *c)
{
	struct singer *s = container_of(c, struct singer, client);

	singer_break(s, s->ended && !s->line_n ? FAIL_NONE : FAIL_UNENDED);
}

static void singer_failed(struct client *c, enum fail fail)
{
	singer_judge(container_of(c, struct singer, client), fail);
}

static const struct client_ops SINGER_OPS = {singer_payload, singer_done, singer_failed};

static void choir_open(struct timer *t, uint64_t now_ns)
{
	struct choir *ch = container_of(t, struct choir, opener);
	const struct options *o = ch->options;

	while (ch->opened < o->streams) {
		uint64_t due_ns = ch->start_ns + o->ramp_ns * ch->opened / o->streams;
		struct singer *s;

		if (due_ns > now_ns) {
			loop_timer_arm(ch->loop, t, due_ns);
			return;
		}
		s = &ch->singers[ch->opened++];
		if (!client_send(&s->client, s->request, s->request_n))
			singer_judge(s, FAIL_CONNECT);
	}
}

/* Streams of real users are not in step: spread their first chunks over an interval. */
static uint32_t phase_us(uint64_t i, uint64_t every_ns)
{
	return (uint32_t)((i * 2654435761U & UINT32_MAX) * (every_ns / NS_PER_US) >> 32);
}

static int choir_build(struct choir *ch, bool silent)
{
	const struct options *o = ch->options;

	ch->singers = calloc(o->streams, sizeof(*ch->singers));
	if (!ch->singers)
		return -ENOMEM;
	for (uint64_t i = 0; i < o->streams; i++) {
		struct singer *s = &ch->singers[i];
		const struct ask ask = {
			.id = (uint32_t)i + 1,
			.chunks = ch->chunks,
			.delay_us = silent ? 0 : phase_us(i, ch->every_ns),
			.every_us = (uint32_t)(ch->every_ns / NS_PER_US),
			.bytes = (uint32_t)o->chunk_bytes,
		};

		s->choir = ch;
		s->id = ask.id;
		client_init(&s->client, ch->loop, &o->to, &SINGER_OPS);
		if (wire_ask_build((enum wire_dialect)o->dialect, o->to.text, &ask, true, o->body_bytes, &s->request,
				   &s->request_n))
			return -ENOMEM;
	}
	return 0;
}

static void choir_free(struct choir *ch)
{
	for (uint64_t i = 0; ch->singers && i < ch->options->streams; i++) {
		if (ch->singers[i].choir)
			client_close(&ch->singers[i].client);
		free(ch->singers[i].line);
		free(ch->singers[i].request);
	}
	free(ch->singers);
}

static int choir_run(struct choir *ch, bool silent, struct why *why)
{
	const struct options *o = ch->options;
	int status = EXIT_NOT_AS_ASKED;

	if (o->ramp_ns >= ch->every_ns * ch->chunks) {
		why_set(why, -EINVAL, "the first stream would end before the last one is open; %s",
			silent ? "make --hold longer than --ramp"
			       : "ask for more --chunks, a longer --interval or a shorter --ramp");
		return EXIT_USAGE_;
	}
	if (loop_create(o->time_ns, 1, &ch->loop, why))
		return status;
	if (choir_build(ch, silent)) {
		why_set(why, -ENOMEM, "out of memory; ask for fewer streams or shorter bodies");
	} else {
		report_init(&ch->report, o, "chunks", "delay", o->streams);
		ch->opener.fire = choir_open;
		ch->start_ns = clock_now_ns();
		loop_timer_arm(ch->loop, &ch->opener, ch->start_ns);
		loop_run(ch->loop);
		for (uint64_t i = 0; i < o->streams; i++)
			singer_judge(&ch->singers[i], FAIL_UNFINISHED);
		status = report_print(&ch->report, silent ? "idle" : "stream") ? EXIT_AS_ASKED : EXIT_NOT_AS_ASKED;
	}
	choir_free(ch);
	loop_destroy(&ch->loop);
	return status;
}

int stream_run(const struct options *o, struct why *why)
{
	static struct choir ch;

	ch.options = o;
	ch.chunks = (uint32_t)o->chunks;
	ch.every_ns = o->interval_ns;
	return choir_run(&ch, false, why);
}

int idle_run(const struct options *o, struct why *why)
{
	static struct choir ch;

	ch.options = o;
	ch.chunks = 1;
	ch.every_ns = o->hold_ns;
	return choir_run(&ch, true, why);
}
