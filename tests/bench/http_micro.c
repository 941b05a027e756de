/* Nanoseconds per request head, JSON view, stream chunk and body chunk.  The best of several rounds, because the machine is shared.
 *
 * make build/libhttp.a build/libbase.a &&
 * gcc -std=c17 -O2 -I. -D_GNU_SOURCE tests/bench/http_micro.c build/libhttp.a build/libbase.a -o build/http_micro && build/http_micro */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "http/dialect.h"
#include "http/http.h"
#include "http/view.h"

#define ROUNDS 25

/* Keeps a result alive without storing it anywhere. */
static void keep(uint64_t v)
{
	__asm__ volatile("" : : "r"(v) : "memory");
}

struct job {
	const char *name;
	unsigned    times; /* per round */
	void (*once)(void);
	size_t bytes; /* of one run, 0: not told */
};

static const struct http_limits LIMITS = {HTTP_HEAD_BYTES, HTTP_HEADERS_MAX};
static const char              *body_1k, *body_200k, *body_code;
static size_t                   body_1k_n, body_200k_n, body_code_n;

static const char HEAD[] = "POST /api/chat HTTP/1.1\r\nHost: localhost:11434\r\nAccept-Encoding: gzip, deflate\r\n"
			   "Connection: keep-alive\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
			   "User-Agent: ollama-python/0.4.7 (x86_64 linux) Python/3.11.7\r\nContent-Length: 5120\r\n"
			   "X-Request-Id: 6f0c2a1e-6b0c-4bb8-9a34-f2b8d1f3c0aa\r\n"
			   "Authorization: Bearer sk-0123456789abcdef0123456789abcdef0123456789\r\n\r\n";

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
			     "Transfer-Encoding: chunked\r\n\r\n";

static const char CHUNK[] = "{\"model\":\"tiny\",\"created_at\":\"2026-01-01T00:00:01.52Z\",\"message\":{\"role\":\"assistant\",\"content\":\"lo\"},"
			    "\"done\":false}\n";

static const char SSE[] = "data: {\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\",\"created\":1767225601,\"model\":\"tiny\","
			  "\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":null}]}\n\n";

static const char WIRE[] = "83\r\n{\"model\":\"tiny\",\"created_at\":\"2026-01-01T00:00:01.52Z\",\"message\":{\"role\":\"assistant\",\"content\":\"lo\"},"
			   "\"done\":false,\"pad\":\"0123456\"}\n\r\n";

static void request_once(void)
{
	static struct http_head head;
	struct http_fault fault;

	keep(http_request_parse(HEAD, sizeof(HEAD) - 1, 0, &LIMITS, &head, &fault));
}

static void response_once(void)
{
	static struct http_head head;
	struct http_fault fault;

	keep(http_response_parse(ANSWER, sizeof(ANSWER) - 1, 0, &LIMITS, HTTP_POST, &head, &fault));
}

static void view_once(const char *p, size_t n)
{
	static struct view v;

	keep(view_scan((struct span){p, n}, &v, NULL));
	keep(v.text_bytes);
}

static void view_1k_once(void)
{
	view_once(body_1k, body_1k_n);
}

static void view_200k_once(void)
{
	view_once(body_200k, body_200k_n);
}

static void view_code_once(void)
{
	view_once(body_code, body_code_n);
}

static void watch_once(void)
{
	static struct stream_watch w;

	if (!w.shape)
		stream_watch_init(&w, STREAM_NDJSON);
	stream_watch_feed(&w, CHUNK, sizeof(CHUNK) - 1);
	keep(w.items);
}

static void watch_sse_once(void)
{
	static struct stream_watch w;

	if (!w.shape)
		stream_watch_init(&w, STREAM_SSE_OPENAI);
	stream_watch_feed(&w, SSE, sizeof(SSE) - 1);
	keep(w.items);
}

static void body_once(void)
{
	static struct http_body body;
	struct http_fault fault;
	struct span out[4];
	unsigned n_out = ARRAY_SIZE(out);
	size_t used;

	if (!body.framing)
		http_body_init(&body, HTTP_BODY_CHUNKED, 0);
	keep(http_body_feed(&body, WIRE, sizeof(WIRE) - 1, &used, out, &n_out, &fault));
	BUG_ON(used != sizeof(WIRE) - 1 || n_out != 1);
}

static void head_write_once(void)
{
	static char buf[1024];
	struct http_out o = {buf, sizeof(buf), 0, false};

	http_out_text(&o, "POST /api/chat HTTP/1.1\r\n");
	http_out_header(&o, "Host", SPAN_LIT("127.0.0.1:11500"));
	http_out_header(&o, "Content-Type", SPAN_LIT("application/json"));
	http_out_header(&o, "Accept", SPAN_LIT("application/json"));
	http_out_header_num(&o, "Content-Length", 5120);
	http_out_text(&o, "\r\n");
	keep(o.len);
}

static void route_once(void)
{
	struct span tail;
	char path[64];

	keep((uint64_t)http_path_decode(SPAN_LIT("/v1/chat/completions"), path, sizeof(path)));
	keep((uint64_t)route_find(path, &tail));
}

/* A conversation of `n` bytes or more: messages of `text_n` bytes with an escape each `every` bytes. */
static const char *conversation(size_t n, size_t text_n, size_t every, size_t *len)
{
	size_t size = n + 2 * text_n + 256, at = 0;
	char *p = malloc(size);

	BUG_ON(!p);
	at += (size_t)snprintf(p, size, "{\"model\":\"llama3:8b\",\"stream\":true,\"options\":{\"temperature\":0.2,\"num_ctx\":8192},\"messages\":[");
	do {
		at += (size_t)snprintf(p + at, size - at, "{\"role\":\"user\",\"content\":\"");
		for (size_t i = 0; i < text_n; i++) {
			if (i % every == every - 1)
				p[at++] = '\\';
			p[at++] = i % every == every - 1 ? 'n' : (char)('a' + i % 26);
		}
		at += (size_t)snprintf(p + at, size - at, "\"},");
	} while (at < n);
	at--;
	at += (size_t)snprintf(p + at, size - at, "]}");
	*len = at;
	return p;
}

static void job_run(const struct job *job)
{
	double best = 1e18;

	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t from = clock_now_ns();
		double ns;

		for (unsigned i = 0; i < job->times; i++)
			job->once();
		ns = (double)(clock_now_ns() - from) / job->times;
		best = ns < best ? ns : best;
	}
	if (job->bytes)
		printf("%-44s %9.1f ns  %6.3f ns/byte\n", job->name, best, best / (double)job->bytes);
	else
		printf("%-44s %9.1f ns\n", job->name, best);
}

int main(void)
{
	body_1k = conversation(900, 300, 80, &body_1k_n);
	body_200k = conversation(200000, 20000, 200, &body_200k_n);
	body_code = conversation(200000, 2000, 30, &body_code_n);
	const struct job JOBS[] = {
		{"request head", 20000, request_once, sizeof(HEAD) - 1},
		{"response head", 20000, response_once, sizeof(ANSWER) - 1},
		{"request head written", 20000, head_write_once, 0},
		{"path decoded and route found", 20000, route_once, 0},
		{"view, 1 KB conversation", 20000, view_1k_once, body_1k_n},
		{"view, 200 KB of prose", 100, view_200k_once, body_200k_n},
		{"view, 200 KB of code (escape each 30 bytes)", 100, view_code_once, body_code_n},
		{"watch, one NDJSON chunk", 20000, watch_once, sizeof(CHUNK) - 1},
		{"watch, one OpenAI chunk", 20000, watch_sse_once, sizeof(SSE) - 1},
		{"chunked body, one chunk", 20000, body_once, sizeof(WIRE) - 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(JOBS); i++)
		job_run(&JOBS[i]);
	return 0;
}
