#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "tools/load/listen.h"
#include "tools/load/load.h"
#include "tools/load/loop.h"
#include "tools/load/wire.h"

#define ORIGIN_CONNS 40000U /* each may have one timer */
#define IN_BYTES     2048U
#define OUT_MAX      (8U << 20) /* kept for a reader that does not read; then its connection is closed */
#define SCRATCH      (WIRE_REPLY_MAX + 8192U)

#define DATE "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"

struct origin {
	struct loop *loop;
	struct listener listeners[OPTIONS_LISTEN];
	unsigned conns;
	uint64_t requests;
	uint64_t streams;
	uint64_t chunks;
	uint64_t left; /* streams whose client went before the end */
	uint64_t refused;
	char scratch[SCRATCH];
};

struct conn {
	struct source source;
	struct timer tick; /* the next chunk is due */
	struct origin *origin;
	int fd; /* -1: closed */
	bool streaming;
	bool keep_alive;
	enum wire_dialect dialect;
	struct ask ask;
	uint32_t seq;
	char *in;
	size_t in_n;
	size_t in_cap;
	char *out; /* what the peer has not taken yet */
	size_t out_n;
	size_t out_sent;
};

static void conn_bury(struct source *s)
{
	struct conn *c = container_of(s, struct conn, source);

	free(c->in);
	free(c->out);
	free(c);
}

static void conn_close(struct conn *c)
{
	if (c->fd < 0)
		return;
	if (c->streaming)
		c->origin->left++;
	close(c->fd);
	c->fd = -1;
	c->origin->conns--;
	loop_timer_disarm(c->origin->loop, &c->tick);
	loop_bury(c->origin->loop, &c->source);
}

static void conn_keep(struct conn *c, const char *p, size_t n)
{
	char *out = c->out_n + n > OUT_MAX ? NULL : realloc(c->out, c->out_n + n);

	if (!out) {
		conn_close(c);
		return;
	}
	c->out = out;
	memcpy(c->out + c->out_n, p, n);
	c->out_n += n;
}

static void conn_send(struct conn *c, const char *p, size_t n)
{
	if (!c->out_n) {
		ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN) {
			conn_close(c);
			return;
		}
		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		}
	}
	if (n)
		conn_keep(c, p, n);
}

/* Close once the last answer is out, where the client asked for that. */
static void conn_settle(struct conn *c)
{
	if (c->fd >= 0 && !c->keep_alive && !c->streaming && !c->out_n)
		conn_close(c);
}

static void conn_flush(struct conn *c)
{
	ssize_t n = send(c->fd, c->out + c->out_sent, c->out_n - c->out_sent, MSG_NOSIGNAL);

	if (n < 0) {
		if (errno != EAGAIN)
			conn_close(c);
		return;
	}
	c->out_sent += (size_t)n;
	if (c->out_sent == c->out_n) {
		free(c->out);
		c->out = NULL;
		c->out_n = c->out_sent = 0;
		conn_settle(c);
	}
}

/* --- answers ------------------------------------------------------------------------------------------------------------------- */

static void answer_send(struct conn *c, const char *status, const char *type, const char *body, size_t n)
{
	char head[512];
	int head_n = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Type: %s\r\n" DATE "Content-Length: %zu\r\n\r\n", status,
			      type, n);

	conn_send(c, head, (size_t)head_n);
	if (c->fd >= 0 && n)
		conn_send(c, body, n);
}

#define JSON "application/json; charset=utf-8"
#define DETAILS                                                                                                                    \
	"\"details\":{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"llama\",\"families\":[\"llama\"],"                    \
	"\"parameter_size\":\"1.2B\",\"quantization_level\":\"Q4_K_M\"}"
#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define MODEL  "\"name\":\"" WIRE_MODEL "\",\"model\":\"" WIRE_MODEL "\",\"size\":807694464,\"digest\":\"" DIGEST "\"," DETAILS
#define REPLY  "{\"model\":\"" WIRE_MODEL "\",\"created_at\":\"2026-01-01T00:00:00Z\","

/* What an Ollama says whose one model is resident for ever. */
static const struct fixed {
	const char *method; /* GET stands for HEAD, too */
	const char *path;
	const char *type;
	const char *body;
} FIXED[] = {
	{"GET", "/", "text/plain; charset=utf-8", "Ollama is running"},
	{"GET", "/api/version", JSON, "{\"version\":\"0.32.10\"}"},
	{"GET", "/api/tags", JSON,
	 "{\"models\":[{" MODEL ",\"modified_at\":\"2026-01-01T00:00:00Z\",\"capabilities\":[\"completion\"]}]}"},
	{"GET", "/api/ps", JSON,
	 "{\"models\":[{" MODEL ",\"expires_at\":\"2318-04-12T00:00:00Z\",\"size_vram\":0,\"context_length\":4096}]}"},
	{"POST", "/api/show", JSON,
	 "{\"modelfile\":\"FROM bench\",\"template\":\"{{ .Prompt }}\"," DETAILS
	 ",\"model_info\":{\"general.architecture\":\"llama\","
	 "\"llama.context_length\":4096},\"capabilities\":[\"completion\"],\"modified_at\":\"2026-01-01T00:00:00Z\"}"},
};

static const char LOADED[] = REPLY "\"response\":\"\",\"done\":true,\"done_reason\":\"load\"}";
static const char ONE_TOKEN[] =
	REPLY "\"response\":\"a\",\"done\":true,\"done_reason\":\"length\",\"total_duration\":1300000,"
	      "\"load_duration\":1000,\"prompt_eval_count\":1,\"prompt_eval_duration\":200000,\"eval_count\":1,"
	      "\"eval_duration\":1000000}";

static bool fixed_answer(struct conn *c, const struct request *r)
{
	bool head = span_eq(r->method, SPAN_LIT("HEAD"));

	for (unsigned i = 0; i < ARRAY_SIZE(FIXED); i++) {
		const struct fixed *f = &FIXED[i];

		if (!span_eq(r->path, span_of(f->path)) ||
		    !(span_eq(r->method, span_of(f->method)) || (head && f->method[0] == 'G')))
			continue;
		answer_send(c, "200 OK", f->type, f->body, head ? 0 : strlen(f->body));
		return true;
	}
	return false;
}

static void generate_answer(struct conn *c, struct span body)
{
	static const char PROMPT[] = "\"prompt\":";
	const char *at = memmem(body.p, body.n, PROMPT, sizeof(PROMPT) - 1);
	const char *end = body.p + body.n;
	bool empty = true;

	if (at) {
		for (at += sizeof(PROMPT) - 1; at < end && *at == ' '; at++)
			;
		empty = end - at < 2 || at[0] != '"' || at[1] == '"';
	}
	if (empty)
		answer_send(c, "200 OK", JSON, LOADED, sizeof(LOADED) - 1);
	else
		answer_send(c, "200 OK", JSON, ONE_TOKEN, sizeof(ONE_TOKEN) - 1);
}

static void whole_answer(struct conn *c)
{
	struct piece piece = {.id = c->ask.id, .at_ns = clock_now_ns(), .final = true};
	size_t bytes = c->ask.bytes < WIRE_REPLY_MAX ? c->ask.bytes : WIRE_REPLY_MAX;
	char *head = c->origin->scratch, *body = head + 256;
	size_t n = wire_whole_write(c->dialect, &piece, bytes, body, SCRATCH - 256);
	int head_n = snprintf(head, 256, "HTTP/1.1 200 OK\r\nContent-Type: " JSON "\r\n" DATE "Content-Length: %zu\r\n\r\n", n);

	memmove(head + head_n, body, n);
	conn_send(c, head, (size_t)head_n + n);
}

/* --- streams ------------------------------------------------------------------------------------------------------------------- */

static bool conn_serve(struct conn *c);

static void stream_tick(struct timer *t, uint64_t now_ns)
{
	struct conn *c = container_of(t, struct conn, tick);
	struct origin *o = c->origin;
	struct piece piece = {.id = c->ask.id, .seq = c->seq, .final = c->seq == c->ask.chunks};
	size_t bytes = c->ask.bytes < WIRE_CHUNK_MAX ? c->ask.bytes : WIRE_CHUNK_MAX;
	char *buf = o->scratch, *line = buf + 512;
	int head_n = 0;
	size_t n;

	(void)now_ns;
	piece.at_ns = clock_now_ns();
	n = wire_item_write(c->dialect, &piece, bytes, line, SCRATCH - 1024);
	/* As Go's server does, the head leaves with the first item. */
	if (c->seq == 0)
		head_n = snprintf(buf, 256, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n" DATE "Transfer-Encoding: chunked\r\n\r\n",
				  wire_stream_type(c->dialect));
	head_n += snprintf(buf + head_n, 16, "%zx\r\n", n);
	memmove(buf + head_n, line, n);
	n += (size_t)head_n;
	memcpy(buf + n, "\r\n0\r\n\r\n", 7);
	n += piece.final ? 7 : 2;
	o->chunks++;
	c->seq++;
	if (piece.final)
		c->streaming = false;
	conn_send(c, buf, n);
	if (c->fd < 0)
		return;
	if (!piece.final) {
		loop_timer_arm(o->loop, t, t->due_ns + c->ask.every_us * NS_PER_US);
		return;
	}
	conn_settle(c);
	if (c->fd >= 0)
		conn_serve(c);
}

static void stream_start(struct conn *c)
{
	c->streaming = true;
	c->seq = 0;
	c->origin->streams++;
	loop_timer_arm(c->origin->loop, &c->tick, clock_now_ns() + c->ask.delay_us * NS_PER_US);
}

/* --- requests ------------------------------------------------------------------------------------------------------------------ */

static void conn_answer(struct conn *c, const struct request *r)
{
	bool native = span_eq(r->path, SPAN_LIT("/api/chat"));
	bool openai = span_eq(r->path, SPAN_LIT("/v1/chat/completions"));

	c->origin->requests++;
	if (span_eq(r->method, SPAN_LIT("POST")) && (native || openai)) {
		c->dialect = native ? WIRE_NATIVE : WIRE_OPENAI;
		if (!wire_ask_find(r->body, &c->ask))
			c->ask = (struct ask){0};
		if (wire_stream_find(r->body, native))
			stream_start(c);
		else
			whole_answer(c);
	} else if (span_eq(r->method, SPAN_LIT("POST")) && span_eq(r->path, SPAN_LIT("/api/generate"))) {
		generate_answer(c, r->body);
	} else if (!fixed_answer(c, r)) {
		c->origin->refused++;
		answer_send(c, "404 Not Found", "text/plain", "404 page not found", 18);
	}
}

/* Answer what is complete in c->in, up to the first stream.  False when the connection is closed. */
static bool conn_serve(struct conn *c)
{
	size_t used = 0;

	while (c->fd >= 0 && !c->streaming && used < c->in_n) {
		struct request r;
		size_t need;
		int got = wire_request_parse(c->in + used, c->in_n - used, &r, &need);

		if (got < 0) {
			c->origin->refused++;
			conn_close(c);
		} else if (got == 0) {
			break;
		} else {
			c->keep_alive = r.keep_alive;
			conn_answer(c, &r);
			used += r.bytes;
			conn_settle(c);
		}
	}
	if (c->fd < 0)
		return false;
	if (used)
		memmove(c->in, c->in + used, c->in_n - used);
	c->in_n -= used;
	return true;
}

/* Room for more of a request; doubling, so that a long body costs few copies. */
static bool conn_room(struct conn *c)
{
	size_t cap = c->in_cap ? c->in_cap * 2 : IN_BYTES;
	char *in;

	if (c->in_n < c->in_cap)
		return true;
	in = cap > 2 * WIRE_BODY_MAX ? NULL : realloc(c->in, cap);
	if (!in)
		return false;
	c->in = in;
	c->in_cap = cap;
	return true;
}

static void conn_read(struct conn *c, bool to_end)
{
	for (;;) {
		size_t room;
		ssize_t n;

		if (!conn_room(c)) {
			conn_close(c);
			return;
		}
		room = c->in_cap - c->in_n;
		n = recv(c->fd, c->in + c->in_n, room, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			conn_close(c);
			return;
		}
		c->in_n += (size_t)n;
		if ((size_t)n < room && !to_end) {
			conn_serve(c);
			return;
		}
		if (!conn_serve(c))
			return;
	}
}

static void conn_ready(struct source *s, uint32_t events)
{
	struct conn *c = container_of(s, struct conn, source);

	if (c->fd >= 0 && c->out_n && (events & EPOLLOUT))
		conn_flush(c);
	if (c->fd >= 0 && (events & ~(uint32_t)EPOLLOUT))
		conn_read(c, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

static void origin_accepted(struct listener *l, int fd)
{
	struct origin *o = l->owner;
	struct conn *c = o->conns < ORIGIN_CONNS ? calloc(1, sizeof(*c)) : NULL;

	if (!c || loop_watch(o->loop, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &c->source) < 0) {
		close(fd);
		free(c);
		return;
	}
	o->conns++;
	c->source = (struct source){.ready = conn_ready, .bury = conn_bury};
	c->tick.fire = stream_tick;
	c->origin = o;
	c->keep_alive = true;
	c->fd = fd;
}

static void origin_print(const struct origin *o, bool json)
{
	printf(json ? "{\"requests\":%llu,\"streams\":%llu,\"chunks\":%llu,\"left\":%llu,\"refused\":%llu}\n"
		    : "%llu requests, %llu streams with %llu chunks, %llu streams left before their end, %llu requests refused\n",
	       (unsigned long long)o->requests, (unsigned long long)o->streams, (unsigned long long)o->chunks,
	       (unsigned long long)o->left, (unsigned long long)o->refused);
}

int origin_run(const struct options *o, struct why *why)
{
	static struct origin origin;
	int status = EXIT_NOT_AS_ASKED;

	if (loop_create(o->time_given ? o->time_ns : 600 * NS_PER_S, ORIGIN_CONNS, &origin.loop, why))
		return status;
	if (listeners_open(origin.listeners, o, origin.loop, origin_accepted, &origin, why) == 0) {
		status = loop_run(origin.loop) == LOOP_BROKEN ? EXIT_NOT_AS_ASKED : EXIT_AS_ASKED;
		origin_print(&origin, o->json);
	}
	listeners_close(origin.listeners, o->n_listen);
	loop_destroy(&origin.loop);
	return status;
}
