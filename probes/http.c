/* One curl_multi on one event base.  curl tells which sockets it waits for and when to wake it; libevent does the waiting.
 * Control routes share kept-alive connections; a request that passed its deadline takes its connection with it. */
#include "probes/probes.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/bug.h"
#include "base/clock.h"

#define HEAD_BYTES_MAX 65536 /* Ollama's heads are below 300 */
#define WATCH_NS       NS_PER_S /* for what curl, short of memory, forgot */
#define CONNECT_MS     3000L /* loopback answers in microseconds; a remote instance in a LAN in milliseconds */

struct probe_call {
	TAILQ_ENTRY(probe_call) link;
	struct probe_http *http;
	CURL *easy;
	struct curl_slist *headers;
	uint64_t begun_ns, deadline_ns;
	size_t max_bytes, n, size, head_bytes;
	char *body;
	bool too_big;
	void (*done)(void *arg, const struct probe_answer *a);
	void (*drop)(void *arg);
	void *arg;
	char error[CURL_ERROR_SIZE];
};

struct probe_http {
	struct event_base *base;
	struct event *timer, *watch;
	CURLM *multi;
	char url[96]; /* "http://127.0.0.1:11434" */
	TAILQ_HEAD(call_list, probe_call) calls;
};

static void call_free(struct probe_call *c)
{
	TAILQ_REMOVE(&c->http->calls, c, link);
	curl_multi_remove_handle(c->http->multi, c->easy);
	curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->headers);
	free(c->body);
	free(c);
}

/* Where a transfer stood when it stopped decides what its failure means. */
static enum probe_outcome outcome_of(const struct probe_call *c, CURLcode rc, long status)
{
	long connected = 0;

	if (c->too_big)
		return PROBE_TOO_BIG;
	if (rc == CURLE_OK)
		return status == 200   ? PROBE_OK
		       : status == 404 ? PROBE_NOT_FOUND
		       : status == 503 ? PROBE_BUSY
		       : status == 403 ? PROBE_FORBIDDEN
		       : status == 400 ? PROBE_INCAPABLE
		       : status >= 500 ? PROBE_ERROR
		       : status == 499 ? PROBE_ERROR
				       : PROBE_UNEXPECTED;
	if (rc == CURLE_COULDNT_CONNECT)
		return PROBE_REFUSED;
	if (rc == CURLE_OPERATION_TIMEDOUT) {
		curl_off_t us = 0;

		curl_easy_getinfo(c->easy, CURLINFO_CONNECT_TIME_T, &us);
		curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connected);
		if (us == 0 && connected > 0)
			return PROBE_UNREACHABLE;
		return status == 0 ? PROBE_SILENT : PROBE_SLOW;
	}
	if (rc == CURLE_OUT_OF_MEMORY || rc == CURLE_FAILED_INIT)
		return PROBE_LOCAL;
	if (rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_WEIRD_SERVER_REPLY || rc == CURLE_BAD_CONTENT_ENCODING)
		return PROBE_GARBAGE;
	return PROBE_CUT;
}

static void call_finish(struct probe_call *c, CURLcode rc)
{
	struct probe_answer a = {0};
	void (*done)(void *arg, const struct probe_answer *) = c->done;
	void *arg = c->arg;
	long status = 0;
	char *body = c->body;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	a.outcome = outcome_of(c, rc, status);
	a.status = (unsigned)status;
	a.took_ns = clock_now_ns() - c->begun_ns;
	a.body = body ? body : "";
	a.n = c->n;
	if (a.outcome == PROBE_ERROR || a.outcome == PROBE_INCAPABLE || a.outcome == PROBE_NOT_FOUND)
		probe_error_parse(a.body, a.n, &a.why);
	else if (rc != CURLE_OK && c->error[0] &&
		 (a.outcome == PROBE_CUT || a.outcome == PROBE_GARBAGE || a.outcome == PROBE_LOCAL))
		why_set(&a.why, 0, "%s", c->error);
	else if (a.outcome == PROBE_UNEXPECTED)
		why_set(&a.why, 0, "status %ld", status);
	c->body = NULL; /* outlives the call for the call back, which may start another one */
	call_free(c);
	done(arg, &a);
	free(body);
}

static void take_finished(struct probe_http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left))) {
		struct probe_call *c = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		call_finish(c, m->data.result);
	}
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct probe_http *h = arg;
	int mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	int running;

	curl_multi_socket_action(h->multi, fd, mask, &running);
	take_finished(h);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct probe_http *h = arg;
	int running;

	(void)fd, (void)what;
	curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_finished(h);
}

static struct probe_call *call_late(struct probe_http *h, uint64_t now_ns)
{
	struct probe_call *c;

	TAILQ_FOREACH(c, &h->calls, link)
		if (now_ns >= clock_after_ns(c->deadline_ns, WATCH_NS))
			return c;
	return NULL;
}

/* Where an allocation fails curl may lose its timer, and with it a transfer that nothing would ever end. */
static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct probe_http *h = arg;
	struct probe_call *c;

	if (TAILQ_EMPTY(&h->calls))
		return;
	on_timer(fd, what, h);
	while ((c = call_late(h, clock_now_ns())))
		call_finish(c, CURLE_OPERATION_TIMEDOUT);
}

/* Here and in want_timer() a failure is not told: curl would refuse all work from then on.  The watch ends what it leaves behind. */
static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *per_socket)
{
	struct probe_http *h = arg;
	struct event *ev = per_socket;
	short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);

	(void)easy;
	if (ev) {
		event_free(ev);
		curl_multi_assign(h->multi, fd, NULL);
	}
	if (what == CURL_POLL_REMOVE)
		return 0;
	ev = event_new(h->base, fd, events, on_socket, h);
	if (ev && event_add(ev, NULL)) {
		event_free(ev);
		ev = NULL;
	}
	curl_multi_assign(h->multi, fd, ev);
	return 0;
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
	struct probe_http *h = arg;
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	(void)multi;
	if (ms < 0)
		event_del(h->timer);
	else
		event_add(h->timer, &tv);
	return 0;
}

static size_t take_body(char *p, size_t one, size_t n, void *arg)
{
	struct probe_call *c = arg;

	n *= one;
	if (n > c->max_bytes - c->n) {
		c->too_big = true;
		return 0;
	}
	if (c->n + n > c->size) {
		size_t size = c->size ? c->size : 1024;
		char *body;

		while (size < c->n + n)
			size *= 2;
		body = realloc(c->body, size);
		if (!body)
			return 0;
		c->body = body;
		c->size = size;
	}
	memcpy(c->body + c->n, p, n);
	c->n += n;
	return n;
}

static size_t take_head(char *p, size_t one, size_t n, void *arg)
{
	struct probe_call *c = arg;

	(void)p;
	c->head_bytes += one * n;
	if (c->head_bytes <= HEAD_BYTES_MAX)
		return one * n;
	c->too_big = true;
	return 0;
}

static void call_setup(struct probe_call *c, const char *url, const struct probe_ask *ask, uint64_t now_ns)
{
	uint64_t ms = clock_until_ms(now_ns, ask->deadline_ns);
	CURL *e = c->easy;

	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L); /* a load is minutes of silence, and a remote instance may vanish */
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, ms == 0 ? 1L : ms > INT32_MAX ? (long)INT32_MAX : (long)ms);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "tsa-worker/" TSA_VERSION);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_head);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	if (ask->body) {
		curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)strlen(ask->body));
		curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, ask->body);
	}
}

int probe_http_start(struct probe_http *h, const struct probe_ask *ask, struct probe_call **out)
{
	struct probe_call *c = calloc(1, sizeof(*c));
	char url[192];

	if (!c)
		return -ENOMEM;
	c->http = h;
	c->begun_ns = clock_now_ns();
	c->deadline_ns = ask->deadline_ns;
	c->max_bytes = ask->max_bytes;
	c->done = ask->done;
	c->drop = ask->drop;
	c->arg = ask->arg;
	c->easy = curl_easy_init();
	c->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!c->easy || !c->headers)
		goto out_free;
	snprintf(url, sizeof(url), "%s%s", h->url, ask->path);
	call_setup(c, url, ask, c->begun_ns);
	TAILQ_INSERT_TAIL(&h->calls, c, link);
	if (curl_multi_add_handle(h->multi, c->easy) != CURLM_OK) {
		TAILQ_REMOVE(&h->calls, c, link);
		goto out_free;
	}
	if (out)
		*out = c;
	return 0;
out_free:
	if (c->easy)
		curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->headers);
	free(c);
	return -ENOMEM;
}

static void call_drop(struct probe_call *c)
{
	if (c->drop)
		c->drop(c->arg);
	call_free(c);
}

void probe_call_cancel(struct probe_call **call)
{
	if (*call)
		call_drop(*call);
	*call = NULL;
}

/* Numeric or not at all: curl must never have a reason to ask a resolver. */
static bool address_ok(const char *address)
{
	char ip[64];
	unsigned char bin[16];
	const char *colon = strrchr(address, ':');
	size_t n = colon ? (size_t)(colon - address) : 0;

	if (!n || n >= sizeof(ip) || strspn(colon + 1, "0123456789") != strlen(colon + 1) || !colon[1])
		return false;
	memcpy(ip, address, n);
	ip[n] = 0;
	if (ip[0] != '[')
		return inet_pton(AF_INET, ip, bin) == 1;
	if (ip[n - 1] != ']')
		return false;
	ip[n - 1] = 0;
	return inet_pton(AF_INET6, ip + 1, bin) == 1;
}

int probe_http_create(struct event_base *base, const char *address, struct probe_http **out, struct why *why)
{
	static const struct timeval EVERY = {.tv_sec = WATCH_NS / NS_PER_S};
	struct probe_http *h;

	if (!address_ok(address))
		return why_set(why, -EINVAL, "\"%.80s\" is not a numeric address and port; write for example 127.0.0.1:11434",
			       address);
	if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
		return why_set(why, -ENOMEM, "libcurl could not be initialised");
	h = calloc(1, sizeof(*h));
	if (!h)
		return why_set(why, -ENOMEM, "no memory for the HTTP client");
	TAILQ_INIT(&h->calls);
	h->base = base;
	snprintf(h->url, sizeof(h->url), "http://%s", address);
	h->multi = curl_multi_init();
	h->timer = evtimer_new(base, on_timer, h);
	h->watch = event_new(base, -1, EV_PERSIST, on_watch, h);
	if (!h->multi || !h->timer || !h->watch || event_add(h->watch, &EVERY)) {
		probe_http_destroy(&h);
		return why_set(why, -ENOMEM, "no memory for the HTTP client");
	}
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 4L);
	*out = h;
	return 0;
}

void probe_http_destroy(struct probe_http **hp)
{
	struct probe_http *h = *hp;

	if (!h)
		return;
	while (!TAILQ_EMPTY(&h->calls))
		call_drop(TAILQ_FIRST(&h->calls));
	if (h->multi)
		curl_multi_cleanup(h->multi);
	if (h->timer)
		event_free(h->timer);
	if (h->watch)
		event_free(h->watch);
	free(h);
	*hp = NULL;
}
