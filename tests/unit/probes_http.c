/* The HTTP client against servers of every manner: good, silent, slow, cut, too big, garbage, gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bug.h"
#include "base/clock.h"
#include "probes/probes.h"

#define DEADLINE_NS (10 * NS_PER_S)

/* A server that answers every connection's first bytes with one fixed text. */
struct server {
	struct event_base *base;
	struct event *accept_ev, *read_ev;
	int fd, conn;
	const char *answer; /* NULL: none */
	size_t n;
	bool then_close;
	unsigned accepted;
	char address[32];
	char got[2048];
};

struct asked {
	struct event_base *base;
	unsigned calls;
	enum probe_outcome outcome;
	unsigned status;
	char body[64];
	struct why why;
	char version[32];
	unsigned models;
};

static void on_request(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	ssize_t n = recv(fd, s->got, sizeof(s->got) - 1, 0);

	(void)what;
	if (n > 0)
		s->got[n] = 0;
	if (n > 0 && s->answer)
		(void)!send(fd, s->answer, s->n, MSG_NOSIGNAL);
	if (n <= 0 || s->then_close) {
		event_free(s->read_ev);
		s->read_ev = NULL;
		close(s->conn);
		s->conn = -1;
	}
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)what;
	s->conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	s->accepted++;
	s->read_ev = event_new(s->base, s->conn, EV_READ | EV_PERSIST, on_request, s);
	event_add(s->read_ev, NULL);
}

static void server_open(struct server *s, struct event_base *base, const char *answer, size_t n, bool then_close)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);

	*s = (struct server){.base = base, .conn = -1, .answer = answer, .n = n, .then_close = then_close};
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(s->fd, 8), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sa, &len), 0);
	snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", ntohs(sa.sin_port));
	s->accept_ev = event_new(base, s->fd, EV_READ | EV_PERSIST, on_accept, s);
	event_add(s->accept_ev, NULL);
}

static void server_close(struct server *s)
{
	event_free(s->accept_ev);
	if (s->read_ev)
		event_free(s->read_ev);
	if (s->conn >= 0)
		close(s->conn);
	close(s->fd);
}

static void on_done(void *arg, const struct probe_answer *a)
{
	struct asked *k = arg;

	k->calls++;
	k->outcome = a->outcome;
	k->status = a->status;
	k->why = a->why;
	snprintf(k->body, sizeof(k->body), "%.*s", (int)(a->n < 60 ? a->n : 60), a->body);
	event_base_loopbreak(k->base);
}

/* Ask once; the answer, or the deadline, ends the loop. */
static struct asked ask(const char *answer, size_t n, bool then_close, uint64_t within_ns, size_t max_bytes)
{
	struct event_base *base = event_base_new();
	struct asked k = {.base = base};
	struct probe_http *h = NULL;
	struct server s;
	struct probe_ask q = {.path = "/api/version", .max_bytes = max_bytes, .done = on_done, .arg = &k};

	server_open(&s, base, answer, n, then_close);
	assert_int_equal(probe_http_create(base, s.address, &h, NULL), 0);
	q.deadline_ns = clock_now_ns() + within_ns;
	assert_int_equal(probe_http_start(h, &q, NULL), 0);
	assert_int_equal(k.calls, 0);
	event_base_dispatch(base);
	assert_int_equal(k.calls, 1);
	probe_http_destroy(&h);
	assert_null(h);
	server_close(&s);
	event_base_free(base);
	return k;
}

#define ASK(text, close, within, max) ask(text, sizeof(text) - 1, close, within, max)

static void answers_good_and_bad(void **state)
{
	static const struct {
		const char *text;
		bool close;
		enum probe_outcome outcome;
		unsigned status;
	} CASES[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, PROBE_OK, 200},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false, PROBE_OK, 200},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", false, PROBE_NOT_FOUND, 404},
		{"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno", false, PROBE_INCAPABLE, 400},
		{"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", false, PROBE_FORBIDDEN, 403},
		{"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", false, PROBE_BUSY, 503},
		{"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", false, PROBE_ERROR, 500},
		{"HTTP/1.1 499 status code 499\r\nContent-Length: 0\r\n\r\n", false, PROBE_ERROR, 499},
		{"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", false, PROBE_UNEXPECTED, 302},
		{"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok", true, PROBE_CUT, 200},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nok", true, PROBE_CUT, 200},
		{"", true, PROBE_CUT, 0},
		{"\x01\x02 this is not HTTP", true, PROBE_GARBAGE, 0},
		{"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", false, PROBE_TOO_BIG, 200},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		static char body[5000];
		size_t n = (size_t)snprintf(body, sizeof(body), "%s", CASES[i].text);
		struct asked k;

		if (CASES[i].outcome == PROBE_TOO_BIG) {
			memset(body + n, 'x', 4000);
			n += 4000;
		}
		k = ask(body, n, CASES[i].close, DEADLINE_NS, 1000);
		if (k.outcome != CASES[i].outcome || k.status != CASES[i].status)
			print_error("case %zu: %s %u\n", i, probe_outcome_info(k.outcome)->word, k.status);
		assert_int_equal(k.outcome, CASES[i].outcome);
		assert_int_equal(k.status, CASES[i].status);
	}
}

static void deadlines(void **state)
{
	struct asked k = ask(NULL, 0, false, 100 * NS_PER_MS, 1000);

	(void)state;
	assert_int_equal(k.outcome, PROBE_SILENT);
	k = ASK("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok", false, 100 * NS_PER_MS, 1000);
	assert_int_equal(k.outcome, PROBE_SLOW);
}

static void nobody_there(void **state)
{
	struct event_base *base = event_base_new();
	struct asked k = {.base = base};
	struct probe_http *h = NULL;
	struct server s;
	struct probe_ask q = {
		.path = "/", .max_bytes = 10, .done = on_done, .arg = &k, .deadline_ns = clock_now_ns() + DEADLINE_NS};

	(void)state;
	server_open(&s, base, NULL, 0, true);
	server_close(&s);
	assert_int_equal(probe_http_create(base, s.address, &h, NULL), 0);
	assert_int_equal(probe_http_start(h, &q, NULL), 0);
	event_base_dispatch(base);
	assert_int_equal(k.outcome, PROBE_REFUSED);
	probe_http_destroy(&h);
	event_base_free(base);
}

static void names_are_not_resolved(void **state)
{
	static const char *const BAD[] = {"localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:8a", "[::1:80",
					  "[::1]",        ":80",       "",           "1.2.3:80"};
	static const char *const GOOD[] = {"127.0.0.1:11434", "[::1]:11434"};
	struct event_base *base = event_base_new();
	struct probe_http *h = NULL;
	struct why why;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++) {
		assert_int_equal(probe_http_create(base, BAD[i], &h, &why), -EINVAL);
		assert_null(h);
	}
	for (size_t i = 0; i < ARRAY_SIZE(GOOD); i++) {
		assert_int_equal(probe_http_create(base, GOOD[i], &h, &why), 0);
		probe_http_destroy(&h);
	}
	event_base_free(base);
}

static void on_reply(void *arg, const struct probe_reply *r)
{
	struct asked *k = arg;

	k->calls++;
	k->outcome = r->outcome;
	k->why = r->why;
	snprintf(k->version, sizeof(k->version), "%s", r->version);
	k->models = r->models ? r->models->n : 0;
	event_base_loopbreak(k->base);
}

static struct asked ollama(enum probe_kind kind, const char *model, const char *answer, char got[2048])
{
	struct event_base *base = event_base_new();
	struct asked k = {.base = base};
	struct probe_http *h = NULL;
	struct server s;

	server_open(&s, base, answer, strlen(answer), false);
	assert_int_equal(probe_http_create(base, s.address, &h, NULL), 0);
	assert_int_equal(probe_ollama_ask(h, kind, model, clock_now_ns() + DEADLINE_NS, on_reply, &k, NULL), 0);
	event_base_dispatch(base);
	assert_int_equal(k.calls, 1);
	memcpy(got, s.got, sizeof(s.got));
	probe_http_destroy(&h);
	server_close(&s);
	event_base_free(base);
	return k;
}

static void ollamas_questions(void **state)
{
	char got[2048];
	struct asked k = ollama(PROBE_VERSION, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"version\":\"0.24\"}", got);

	(void)state;
	assert_int_equal(k.outcome, PROBE_OK);
	assert_string_equal(k.version, "0.24");
	assert_ptr_equal(strstr(got, "GET /api/version HTTP/1.1\r\nHost: 127.0.0.1:"), got);
	k = ollama(PROBE_TAGS, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{\"models\":[{\"name\":\"tiny\"}]}", got);
	assert_int_equal(k.outcome, PROBE_GARBAGE); /* one byte short */
	k = ollama(PROBE_TAGS, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n{\"models\":[{\"name\":\"tiny\"}]}", got);
	assert_int_equal(k.outcome, PROBE_OK);
	assert_int_equal(k.models, 1);
	k = ollama(PROBE_LOAD, "a\"b\\c", "HTTP/1.1 404 No\r\nContent-Length: 19\r\n\r\n{\"error\":\"no such\"}", got);
	assert_int_equal(k.outcome, PROBE_NOT_FOUND);
	assert_string_equal(k.why.text, "no such");
	assert_non_null(strstr(got, "{\"model\":\"a\\\"b\\\\c\",\"stream\":false}"));
}

/* No question of ours may make Ollama load a model again or keep it longer or shorter than it would. */
static void nothing_reloads(void **state)
{
	static const char ANSWER[] = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
	char got[2048];

	(void)state;
	for (int kind = PROBE_SHOW; kind < PROBE_KIND_COUNT; kind++) {
		ollama((enum probe_kind)kind, "m", ANSWER, got);
		assert_null(strstr(got, "num_ctx"));
		assert_null(strstr(got, "num_thread"));
		assert_int_equal(strstr(got, "keep_alive") != NULL, kind == PROBE_UNLOAD);
		assert_int_equal(strstr(got, "\"options\":{\"num_predict\":1}") != NULL, kind == PROBE_ABLE);
	}
}

static void a_cancelled_call_is_silent(void **state)
{
	struct event_base *base = event_base_new();
	struct asked k = {.base = base};
	struct timeval soon = {.tv_usec = 50000};
	struct probe_call *call = NULL;
	struct probe_http *h = NULL;
	struct server s;

	(void)state;
	server_open(&s, base, NULL, 0, false);
	assert_int_equal(probe_http_create(base, s.address, &h, NULL), 0);
	assert_int_equal(probe_ollama_ask(h, PROBE_PS, NULL, clock_now_ns() + DEADLINE_NS, on_reply, &k, &call), 0);
	while (s.got[0] == 0)
		event_base_loop(base, EVLOOP_ONCE);
	probe_call_cancel(&call);
	assert_null(call);
	probe_call_cancel(&call);
	event_base_loopexit(base, &soon);
	event_base_dispatch(base);
	assert_int_equal(k.calls, 0);
	assert_int_equal(probe_ollama_ask(h, PROBE_PS, NULL, clock_now_ns() + DEADLINE_NS, on_reply, &k, &call), 0);
	probe_http_destroy(&h); /* with a call in flight */
	assert_int_equal(k.calls, 0);
	server_close(&s);
	event_base_free(base);
}

static struct {
	struct probe_http *http;
	unsigned left;
	struct asked *k;
} chain;

static void on_chain(void *arg, const struct probe_reply *r)
{
	(void)arg;
	assert_int_equal(r->outcome, PROBE_OK);
	if (--chain.left)
		assert_int_equal(
			probe_ollama_ask(chain.http, PROBE_VERSION, NULL, clock_now_ns() + DEADLINE_NS, on_chain, NULL, NULL), 0);
	else
		event_base_loopbreak(chain.k->base);
}

static void control_routes_share_a_connection(void **state)
{
	static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"version\":\"0.24\"}";
	struct event_base *base = event_base_new();
	struct asked k = {.base = base};
	struct server s;

	(void)state;
	server_open(&s, base, ANSWER, sizeof(ANSWER) - 1, false);
	chain.k = &k;
	chain.left = 20;
	assert_int_equal(probe_http_create(base, s.address, &chain.http, NULL), 0);
	assert_int_equal(probe_ollama_ask(chain.http, PROBE_VERSION, NULL, clock_now_ns() + DEADLINE_NS, on_chain, NULL, NULL), 0);
	event_base_dispatch(base);
	assert_int_equal(chain.left, 0);
	assert_int_equal(s.accepted, 1);
	probe_http_destroy(&chain.http);
	server_close(&s);
	event_base_free(base);
}

static void every_outcome_explains_itself(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < PROBE_OUTCOME_COUNT + 5; i++) {
		const struct probe_outcome_info *o = probe_outcome_info(i);

		assert_true(o->word[0] && o->sentence[0] && o->look[0]);
		assert_true(o->grade > PROBE_GRADE_NONE && o->grade < PROBE_GRADE_COUNT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_good_and_bad),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(names_are_not_resolved),
		cmocka_unit_test(ollamas_questions),
		cmocka_unit_test(nothing_reloads),
		cmocka_unit_test(a_cancelled_call_is_silent),
		cmocka_unit_test(control_routes_share_a_connection),
		cmocka_unit_test(every_outcome_explains_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
