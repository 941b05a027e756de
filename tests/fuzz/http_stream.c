/* A connection's bytes, message after message, from a client or from a model server: however they are cut on their way in, the same
 * messages with the same bodies come out, and the same sentence where they end.
 *
 * The first byte says which side speaks, and for answers which requests they are for. */
#include "tests/fuzz/fuzz.h"

#include "http/http.h"

static const struct http_limits LIMITS = {1024, 16};

/* What was made of the bytes: a running hash over all facts, so that two runs can be compared. */
struct outcome {
	uint64_t facts;
	unsigned messages;
	size_t used; /* bytes of whole messages, and of the parts of the last one that were taken */
	enum http_result result;
	const char *reason;
};

struct stream {
	bool answers;
	uint8_t methods; /* of the requests that answers are for, a bit each: HEAD */
	struct outcome out;
	bool in_body;
	struct http_head head;
	struct http_body body;
	size_t seen; /* of the head at hand */
};

static void note(struct stream *s, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s->out.facts = (s->out.facts ^ ((const unsigned char *)p)[i]) * 0x100000001b3ULL;
}

static void note_head(struct stream *s)
{
	const uint64_t facts[] = {s->head.method,     s->head.status,    s->head.framing,    s->head.content_length, s->head.minor,
				  s->head.keep_alive, s->head.n_headers, s->head.head_bytes, s->head.expect_continue};

	note(s, facts, sizeof(facts));
	note(s, s->head.path.p, s->head.path.n);
	note(s, s->head.host.p, s->head.host.n);
	s->out.messages++;
}

static enum http_method asked_by(const struct stream *s)
{
	return s->methods >> s->out.messages % 8 & 1 ? HTTP_HEAD : HTTP_POST;
}

static enum http_result head_take(struct stream *s, const char *p, size_t n, struct http_fault *fault)
{
	enum http_result r;

	if (s->answers)
		r = http_response_parse(p, n, s->seen, &LIMITS, asked_by(s), &s->head, fault);
	else
		r = http_request_parse(p, n, s->seen, &LIMITS, &s->head, fault);
	s->seen = n;
	if (r != HTTP_DONE)
		return r;
	note_head(s);
	s->seen = 0;
	s->in_body = true;
	s->out.used += s->head.head_bytes;
	http_body_init(&s->body, s->head.framing, s->head.content_length);
	return HTTP_MORE;
}

/* HTTP_DONE: this body is complete. */
static enum http_result body_take(struct stream *s, const char *p, size_t n, struct http_fault *fault)
{
	struct span out[2];
	unsigned n_out = 2;
	size_t used = 0;
	enum http_result r = http_body_feed(&s->body, p, n, &used, out, &n_out, fault);

	CHECK(used <= n && n_out <= 2);
	for (unsigned i = 0; i < n_out; i++)
		note(s, out[i].p, out[i].n);
	s->out.used += used;
	CHECK(http_body_done(&s->body) == (r == HTTP_DONE));
	if (r == HTTP_BAD)
		CHECK(http_body_feed(&s->body, "\r\n", 2, &used, out, &(unsigned){2}, fault) == HTTP_BAD && used == 0);
	if (r == HTTP_DONE) {
		s->in_body = false;
		note(s, "end", 3);
	}
	return r;
}

/* All that can be said with `n` bytes here. */
static void take(struct stream *s, const char *p, size_t n)
{
	struct http_fault fault = {0, NULL};

	while (s->out.result != HTTP_BAD) {
		size_t at = s->out.used;

		if (s->in_body) {
			s->out.result = body_take(s, p + at, n - at, &fault);
			if (s->out.result == HTTP_MORE && (s->out.used == n || s->out.used == at))
				break;
		} else {
			if (at == n)
				break;
			s->out.result = head_take(s, p + at, n - at, &fault);
			if (s->out.result == HTTP_MORE && !s->in_body)
				break;
		}
	}
	s->out.reason = fault.reason;
}

static struct outcome play(uint8_t first, const char *p, size_t n, size_t step, struct cuts *cuts)
{
	static struct stream s;
	size_t have = 0;

	memset(&s, 0, sizeof(s));
	s.answers = first & 1;
	s.methods = (uint8_t)(first >> 1);
	while (have < n && s.out.result != HTTP_BAD) {
		size_t more = step ? cuts_below(cuts, step) + 1 : n;
		char *copy;

		have = more > n - have ? n : have + more;
		copy = exact_copy(p, have);
		take(&s, copy, have);
		free(copy);
	}
	return s.out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t STEPS[] = {1, 3, 60};
	struct cuts cuts = {(uint32_t)size * 7919 + 1};
	struct outcome whole, cut;
	const char *p;

	if (size < 2)
		return 0;
	p = (const char *)data + 1;
	whole = play(data[0], p, --size, 0, &cuts);
	for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
		cut = play(data[0], p, size, STEPS[i], &cuts);
		CHECK(cut.facts == whole.facts && cut.messages == whole.messages);
		CHECK((cut.result == HTTP_BAD) == (whole.result == HTTP_BAD) && cut.reason == whole.reason);
		CHECK(whole.result == HTTP_BAD || cut.used == whole.used);
	}
	return 0;
}
