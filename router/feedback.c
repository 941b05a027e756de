/* POST /api/feedback and what it leads to: a rating finds its answer, and the answer's model on its instance is judged by it. */
#include "router/feedback.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/scan.h"
#include "http/query.h"
#include "router/api.h"

#define HOUR_NS     (3600 * NS_PER_S)
#define EXCERPT_MAX 500  /* bytes kept of a response, and of a query */
#define COMMENT_MAX 2000 /* of a comment */
#define LIMIT       50   /* rows, when nobody says how many */

enum verdict { VERDICT_NONE = 0, VERDICT_UP, VERDICT_DOWN, VERDICT_NEUTRAL };

static const struct {
	const char *word;
	enum verdict verdict;
} WORDS[] = {
	{"positive", VERDICT_UP}, {"negative", VERDICT_DOWN}, {"neutral", VERDICT_NEUTRAL}, {"up", VERDICT_UP},
	{"down", VERDICT_DOWN},   {"+1", VERDICT_UP},         {"-1", VERDICT_DOWN},         {" 1", VERDICT_UP}, /* '+' in a query */
};

static enum verdict verdict_of(const char *word)
{
	for (unsigned i = 0; i < ARRAY_SIZE(WORDS); i++)
		if (strcmp(WORDS[i].word, word) == 0)
			return WORDS[i].verdict;
	return VERDICT_NONE;
}

static const char *verdict_word(enum verdict v)
{
	return v == VERDICT_UP ? "up" : v == VERDICT_DOWN ? "down" : "neutral";
}

/* --- which answer is meant -------------------------------------------------------------------------------------------------------- */

void feedback_answered(const struct exchange *x)
{
	struct feedback *f = &x->r->feedback;

	f->answers[f->next] = (struct feedback_answer){x->id, x->message, x->model->hash, (uint8_t)x->slot, false};
	f->next = (f->next + 1) % FEEDBACK_ANSWERS;
}

uint64_t feedback_number(struct span text)
{
	uint64_t v = 0;
	char digits[24];

	/* Asked of every request, and hardly one has it. */
	if (!text.n || !span_copy(digits, sizeof(digits), text))
		return 0;
	return scan_u64(digits, 1, UINT64_MAX, &v, NULL) == 0 ? v : 0;
}

/* The latest one with this request id, or (`message`) with this name; a number is compared with both. */
static struct feedback_answer *answer_find(struct feedback *f, uint64_t id, bool message)
{
	for (unsigned k = 1; id && k <= FEEDBACK_ANSWERS; k++) {
		struct feedback_answer *a = &f->answers[(f->next + FEEDBACK_ANSWERS - k) % FEEDBACK_ANSWERS];

		if (a->id == id || (message && a->message == id))
			return a->id ? a : NULL;
	}
	return NULL;
}

/* The 16 digits of X-TSA-Request-Id. */
static bool is_request_id(const char *text, uint64_t *id)
{
	char *end;

	if (strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16)
		return false;
	*id = strtoull(text, &end, 16);
	return true;
}

static void rate_pair(struct router *r, struct model *m, unsigned slot, enum verdict v)
{
	struct pair *p = m && v != VERDICT_NEUTRAL ? pair_make(&r->routing, m, slot) : NULL;

	if (p)
		rating_add(&p->rating, v == VERDICT_UP, clock_now_ns());
}

/* One voice for each answer. */
static void rate_answer(struct router *r, struct feedback_answer *a, enum verdict v)
{
	if (a->rated)
		return;
	a->rated = true;
	for (unsigned i = 0; i < r->n_models; i++)
		if (r->models[i].hash == a->model && r->models[i].key[0])
			rate_pair(r, &r->models[i], a->slot, v);
}

/* Who says instance and model needs no id. */
static void rate_named(struct router *r, const char *instance, const char *model, enum verdict v)
{
	char key[ROUTER_KEY];

	if (!instance || !model || !model_key(model, key))
		return;
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		if (r->conf.slots[i].used && strcmp(r->conf.slots[i].name, instance) == 0)
			rate_pair(r, model_find(r, key), i, v);
}

/* --- what is kept ------------------------------------------------------------------------------------------------------------------ */

static void count_add(struct feedback_count *c, enum verdict v)
{
	c->up += v == VERDICT_UP;
	c->down += v == VERDICT_DOWN;
	c->neutral += v == VERDICT_NEUTRAL;
}

static uint64_t count_sum(const struct feedback_count *c)
{
	return c->up + c->down + c->neutral;
}

/* Where there are as many as anybody has, the one that was rated least makes room: names are the clients', and those that somebody
 * makes up shall not shut out what is in use. */
static unsigned method_spare(struct feedback *f)
{
	unsigned least = 0;

	if (f->n_methods < FEEDBACK_METHODS)
		return f->n_methods++;
	for (unsigned i = 1; i < f->n_methods; i++)
		if (count_sum(&f->methods[i].count) < count_sum(&f->methods[least].count))
			least = i;
	return least;
}

static void count_method(struct feedback *f, const char *method, enum verdict v)
{
	unsigned i = 0;

	if (strlen(method) >= sizeof(f->methods[0].name))
		return; /* no name of a method; the sums count it */
	while (i < f->n_methods && strcmp(f->methods[i].name, method) != 0)
		i++;
	if (i == f->n_methods) {
		i = method_spare(f);
		memcpy(f->methods[i].name, method, strlen(method) + 1);
		f->methods[i].count = (struct feedback_count){0};
	}
	count_add(&f->methods[i].count, v);
}

static void count_hour(struct feedback *f)
{
	uint64_t hour = clock_wall_ns() / HOUR_NS;
	unsigned i = (unsigned)(hour % FEEDBACK_HOURS);

	if (f->hours[i].hour != hour) {
		f->hours[i].hour = hour;
		f->hours[i].n = 0;
	}
	f->hours[i].n++;
}

/* At most `most` bytes, cut between characters. */
static void excerpt(struct json_out *o, const char *key, struct span text, size_t most)
{
	if (!text.p) {
		json_out_null(o, key);
		return;
	}
	if (text.n > most)
		for (text.n = most; text.n && ((unsigned char)text.p[text.n] & 0xc0) == 0x80; text.n--)
			;
	json_out_span(o, key, text);
}

/* Keep the row that was written, and count. */
static void keep(struct feedback *f, struct json_out *row, const char *method, enum verdict v)
{
	char **at = &f->recent[f->n++ % FEEDBACK_RECENT];

	free(*at);
	json_out_finish(row);
	*at = row->failed ? NULL : row->p;
	if (row->failed)
		free(row->p);
	*row = (struct json_out){0};
	count_add(&f->all, v);
	count_hour(f);
	if (method)
		count_method(f, method, v);
}

static void row_begin(struct json_out *o, const struct feedback *f, enum verdict v)
{
	json_out_object(o, NULL);
	json_out_uint(o, "id", f->n + 1);
	api_timestamp(o, "created_at", clock_wall_ns());
	json_out_text(o, "rating", verdict_word(v));
}

static void row_end(struct json_out *o, const struct router *r, const struct feedback_answer *a)
{
	json_out_text(o, "instance", a && r->conf.slots[a->slot].used ? r->conf.slots[a->slot].name : NULL);
	json_out_end(o);
}

/* --- the two forms of a rating ---------------------------------------------------------------------------------------------------- */

static const struct field BODY[] = {
	{"query", FIELD_STRING, true, false},           {"search_method", FIELD_STRING, true, false},
	{"rating", FIELD_STRING, true, false},          {"response_excerpt", FIELD_STRING, false, true},
	{"model_used", FIELD_STRING, false, true},      {"comment", FIELD_STRING, false, true},
	{"confidence_score", FIELD_SHARE, false, true}, {"fusion_used", FIELD_BOOL, false, true},
	{"cache_hit", FIELD_BOOL, false, true},         {"instance", FIELD_STRING, false, true},
	{"request_id", FIELD_STRING, false, true},
};

/* `event_id` may be a number or a text. */
static struct feedback_answer *body_answer(struct router *r, struct json_object *in)
{
	const char *text = fields_string(in, "request_id", fields_string(in, "event_id", ""));
	uint64_t id = 0;

	if (!text)
		return NULL;
	if (!is_request_id(text, &id))
		id = feedback_number(span_of(text));
	return answer_find(&r->feedback, id, true);
}

static void answer_old(struct exchange *x)
{
	struct router *r = x->r;
	struct json_object *in = api_body(x, BODY, ARRAY_SIZE(BODY));
	struct feedback_answer *a;
	struct json_out row = {0}, o = {0};
	enum verdict v;

	if (!in)
		return;
	v = verdict_of(fields_string(in, "rating", ""));
	if (!v) {
		json_object_put(in);
		answer_error(x, 400, 0, "Invalid rating");
		return;
	}
	a = body_answer(r, in);
	if (a)
		rate_answer(r, a, v);
	else
		rate_named(r, fields_string(in, "instance", NULL), fields_string(in, "model_used", NULL), v);
	row_begin(&row, &r->feedback, v);
	excerpt(&row, "query", fields_text(in, "query"), EXCERPT_MAX);
	excerpt(&row, "search_method", fields_text(in, "search_method"), EXCERPT_MAX);
	excerpt(&row, "response_excerpt", fields_text(in, "response_excerpt"), EXCERPT_MAX);
	excerpt(&row, "model_used", fields_text(in, "model_used"), EXCERPT_MAX);
	excerpt(&row, "comment", fields_text(in, "comment"), COMMENT_MAX);
	row_end(&row, r, a);
	keep(&r->feedback, &row, fields_string(in, "search_method", NULL), v);
	json_object_put(in);
	json_out_object(&o, NULL);
	json_out_uint(&o, "id", r->feedback.n);
	json_out_text(&o, "status", "ok");
	json_out_end(&o);
	api_send(x, 200, &o);
}

static const struct field QUERY[] = {
	{"message_id", FIELD_INTEGER, true, false},
	{"rating", FIELD_STRING, true, false},
	{"comment", FIELD_STRING, false, true},
};

/* A request id of hexadecimal digits is as good as a number. */
static struct json_object *query_take(struct exchange *x, struct feedback_answer **a)
{
	struct json_object *in = NULL;
	struct field table[ARRAY_SIZE(QUERY)];
	const char *text;
	uint64_t id = 0;
	int rc = query_parse(span_of(x->query ? x->query : ""), &in);

	memcpy(table, QUERY, sizeof(table));
	text = rc ? "" : fields_string(in, "message_id", "");
	if (text && is_request_id(text, &id))
		*a = answer_find(&x->r->feedback, id, false);
	if (*a)
		table[0].kind = FIELD_STRING;
	else if (text)
		*a = answer_find(&x->r->feedback, feedback_number(span_of(text)), true);
	return api_check(x, rc, in, table, ARRAY_SIZE(table), "query");
}

static void answer_today(struct exchange *x)
{
	struct router *r = x->r;
	struct feedback_answer *a = NULL;
	struct json_object *in = query_take(x, &a);
	struct json_out row = {0}, o = {0};
	enum verdict v;

	if (!in)
		return;
	v = verdict_of(fields_string(in, "rating", ""));
	if (v && (a || r->conf.routers > 1)) {
		if (a)
			rate_answer(r, a, v);
		row_begin(&row, &r->feedback, v);
		excerpt(&row, "message_id", fields_text(in, "message_id"), EXCERPT_MAX);
		excerpt(&row, "comment", fields_text(in, "comment"), COMMENT_MAX);
		row_end(&row, r, a);
		keep(&r->feedback, &row, NULL, v);
	}
	json_object_put(in);
	if (!v) {
		answer_error(x, 400, 0, "Invalid rating");
	} else if (!a && r->conf.routers <= 1) {
		answer_error(x, 404, 0, "Message not found or access denied");
	} else {
		json_out_object(&o, NULL);
		json_out_text(&o, "message", "Feedback submitted successfully");
		json_out_end(&o);
		api_send(x, 200, &o);
	}
}

void api_feedback(struct exchange *x)
{
	if (x->body_len && !x->query)
		answer_old(x);
	else
		answer_today(x);
}

/* --- what was said ------------------------------------------------------------------------------------------------------------------ */

static void write_count(struct json_out *o, const struct feedback_count *c)
{
	json_out_uint(o, "total", c->up + c->down + c->neutral);
	json_out_uint(o, "up", c->up);
	json_out_uint(o, "down", c->down);
	json_out_fixed(o, "helpful_rate", c->up + c->down ? (double)c->up / (double)(c->up + c->down) : 0, 4);
}

void api_feedback_summary(struct router *r, struct json_out *o)
{
	const struct feedback *f = &r->feedback;
	uint64_t hour = clock_wall_ns() / HOUR_NS, day = 0;

	for (unsigned i = 0; i < FEEDBACK_HOURS; i++)
		if (f->hours[i].hour + FEEDBACK_HOURS > hour)
			day += f->hours[i].n;
	json_out_object(o, NULL);
	write_count(o, &f->all);
	json_out_object(o, "by_method");
	for (unsigned i = 0; i < f->n_methods; i++) {
		json_out_object_named(o, span_of(f->methods[i].name));
		write_count(o, &f->methods[i].count);
		json_out_end(o);
	}
	json_out_end(o);
	json_out_uint(o, "last_24h", day);
	json_out_end(o);
}

void api_feedback_recent(struct exchange *x)
{
	static const struct field TABLE[] = {{"limit", FIELD_INTEGER, false, false}};
	const struct feedback *f = &x->r->feedback;
	struct json_object *in = api_query(x, TABLE, ARRAY_SIZE(TABLE));
	struct json_out o = {0};
	uint64_t kept = f->n < FEEDBACK_RECENT ? f->n : FEEDBACK_RECENT, n = 0;
	double limit;

	if (!in)
		return;
	limit = fields_number(in, "limit", LIMIT);
	json_object_put(in);
	limit = limit < 1 ? 1 : limit > FEEDBACK_RECENT ? FEEDBACK_RECENT : limit;
	json_out_object(&o, NULL);
	json_out_array(&o, "feedback");
	for (uint64_t k = 1; k <= kept && k <= (uint64_t)limit; k++) {
		const char *row = f->recent[(f->n - k) % FEEDBACK_RECENT];

		if (!row)
			continue;
		json_out_raw(&o, NULL, span_of(row));
		n++;
	}
	json_out_end(&o);
	json_out_uint(&o, "count", n);
	json_out_end(&o);
	api_send(x, 200, &o);
}

void feedback_fini(struct feedback *f)
{
	for (unsigned i = 0; i < FEEDBACK_RECENT; i++)
		free(f->recent[i]);
}
