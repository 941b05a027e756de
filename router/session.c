/* Who asks, how urgently, and in which conversation.
 *
 * Keys are not checked here: they only keep those who share the service apart.  Whoever makes up a key for every request takes more than
 * one share, as whoever uses many machines does; where that matters, keys have to be checked before tsa. */
#include "router/router.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"

/* A conversation without a name is known by its begin.  A short prompt is worked off sooner than the right instance is free. */
#define TURN_LEAST  2048 /* bytes of prompt */
#define TURN_HASHED 512  /* of each end of the begin */

enum tenant_seed { SEED_KEY = 2, SEED_SESSION, SEED_TURN };

/* Headers that name a session, most telling first: ours, those of coding agents, common ones.  0: it does not. */
static const uint8_t SESSION_RANK[HTTP_H_COUNT] = {
	[HTTP_H_TSA_SESSION] = 7,  [HTTP_H_TSA_SESSION_ID] = 6, [HTTP_H_CLAUDE_SESSION_ID] = 5, [HTTP_H_X_SESSION_ID] = 4,
	[HTTP_H_SESSION_ID] = 3,   [HTTP_H_SESSION_ID_] = 2,	[HTTP_H_SESSION_AFFINITY] = 1,
};

static bool is_configured(const struct router *r, struct span name)
{
	for (unsigned k = 0; k < r->conf.routing.n_headers; k++)
		if (name.n == strlen(r->conf.routing.headers[k]) && strncasecmp(name.p, r->conf.routing.headers[k], name.n) == 0)
			return true;
	return false;
}

/* A configured header goes before all that are known. */
static struct span named_session(const struct router *r, const struct http_head *h)
{
	struct span v = {0};
	unsigned best = 0;

	for (unsigned i = 0; i < h->n_headers; i++) {
		const struct http_header *line = &h->headers[i];
		unsigned rank = r->conf.routing.n_headers && is_configured(r, line->name) ? UINT8_MAX : SESSION_RANK[line->id];

		if (rank > best && line->value.n) {
			best = rank;
			v = line->value;
		}
	}
	return v;
}

/* A key is a tenant; without one, the machine is. */
static uint64_t tenant_key(const struct exchange *x, const struct http_head *h)
{
	struct span v = http_header_get(h, HTTP_H_X_API_KEY);

	if (!v.n)
		v = http_header_get(h, HTTP_H_AUTHORIZATION);
	return v.n ? affinity_hash(SEED_KEY, v.p, v.n) : x->client->peer;
}

static bool priority(struct exchange *x, const struct http_head *h)
{
	struct span v = http_header_get(h, HTTP_H_TSA_PRIORITY);

	x->item.class = ORDER_NORMAL;
	if (!v.n)
		return true;
	for (unsigned c = 0; c < ORDER_CLASSES; c++) {
		const char *word = order_class_text((enum order_class)c);

		if (v.n == strlen(word) && strncasecmp(v.p, word, v.n) == 0) {
			x->item.class = (enum order_class)c;
			return true;
		}
	}
	answer_error(x, 400, 0, "X-TSA-Priority: %.*s is no priority; write interactive, normal or batch", v.n < 40 ? (int)v.n : 40, v.p);
	return false;
}

bool session_head(struct exchange *x, const struct http_head *h)
{
	struct span v = named_session(x->r, h);

	x->tenant_key = tenant_key(x, h);
	x->session = v.n ? affinity_hash(SEED_SESSION, v.p, v.n) : 0;
	x->message = feedback_number(http_header_get(h, HTTP_H_TSA_MESSAGE_ID));
	return priority(x, h);
}

/* The begin of a conversation, which all its turns share: its first message of the user and what stands before.  The words are looked
 * for in the text between two braces of the list's own; what a message quotes does not matter, as it is the same in every turn. */
static struct span first_turn(struct span list)
{
	unsigned depth = 0;
	bool text = false;
	size_t at = 0;

	for (size_t i = 0; i < list.n; i++) {
		char c = list.p[i];

		if (text && c == '\\')
			i++;
		else if (c == '"')
			text = !text;
		else if (!text && (c == '{' || c == '[')) {
			if (++depth == 2)
				at = i;
		} else if (!text && (c == '}' || c == ']') && depth-- == 2 && memmem(list.p + at, i - at, "\"user\"", 6))
			return (struct span){list.p, i};
	}
	return list;
}

/* Both ends and the length: long texts differ there, and a whole one would cost more than the decision. */
static uint64_t text_hash(uint64_t seed, struct span s)
{
	uint64_t h = affinity_hash(seed ^ s.n, s.p, s.n < TURN_HASHED ? s.n : TURN_HASHED);

	return s.n > TURN_HASHED ? affinity_hash(h, s.p + s.n - TURN_HASHED, TURN_HASHED) : h;
}

void session_body(struct exchange *x, const struct view *v)
{
	const struct view_value *key = &v->at[VIEW_K_PROMPT_CACHE_KEY], *turns = &v->at[VIEW_K_MESSAGES];
	uint64_t hash = x->session;

	if (!hash && key->kind == VIEW_STRING && !key->empty)
		hash = affinity_hash(SEED_SESSION, key->raw.p, key->raw.n);
	if (turns->kind != VIEW_ARRAY)
		turns = &v->at[VIEW_K_INPUT];
	if (!hash && turns->kind == VIEW_ARRAY && x->text_bytes >= TURN_LEAST && !x->embed)
		hash = text_hash(SEED_TURN, first_turn(turns->raw));
	x->session = hash && x->r->conf.routing.affinity && x->r->routing.sessions ? affinity_key(x->tenant_key, x->model->hash, hash) : 0;
}
