/* What must not reach an instance as it stands, because its Ollama would load the model anew for it, or remember it for everybody: the
 * value becomes null, which Ollama reads as absent, and X-TSA-Adjusted says so.  route/reload.h has the policies. */
#include "router/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

#define ADJUSTED_KEEP_ALIVE 1U /* bits of exchange.adjusted */
#define ADJUSTED_MODEL      2U

static void add(char *buf, size_t size, const char *text)
{
	size_t n = strlen(buf);

	if (text[0])
		snprintf(buf + n, size - n, "%s%s", n ? ", " : "", text);
}

void adjust_text(const struct exchange *x, char *buf, size_t size)
{
	char options[160];

	buf[0] = 0;
	add(buf, size, x->adjusted & ADJUSTED_KEEP_ALIVE ? "keep_alive" : "");
	add(buf, size, reload_adjusted_text(&x->reload, options, sizeof(options)));
	add(buf, size, x->adjusted & ADJUSTED_MODEL ? "model" : "");
}

/* --- the policy ----------------------------------------------------------------------------------------------------------------- */

static int64_t number(struct span raw)
{
	return raw.n && (raw.p[0] == '-' || (raw.p[0] >= '0' && raw.p[0] <= '9')) ? strtoll(raw.p, NULL, 10) : 0;
}

static struct reload_asked asked_of(const struct view *v)
{
	struct reload_asked a = {0};

	for (unsigned i = 0; i < v->n_reload; i++) {
		enum reload_option option = reload_option_find(v->reload[i].name);

		BUG_ON(option == RELOAD_OPTION_COUNT);
		a.set |= 1U << option;
		if (option == RELOAD_NUM_CTX)
			a.num_ctx = number(v->reload[i].raw);
		if (option == RELOAD_NUM_GPU)
			a.num_gpu = number(v->reload[i].raw);
	}
	if (v->at[VIEW_K_SHIFT].kind > VIEW_NULL)
		a.set |= 1U << RELOAD_SHIFT;
	return a;
}

static enum reload_policy policy_of(const struct router *r, const struct model *m)
{
	const struct proc_routing *p = &r->conf.routing;
	uint32_t policy = p->reload;
	char key[ROUTER_KEY];

	for (unsigned i = 0; i < p->n_rules; i++)
		if (p->rules[i].reload != PROC_RELOAD_DEFAULT && model_key(p->rules[i].model, key) && strcmp(key, m->key) == 0)
			policy = p->rules[i].reload;
	return policy == PROC_RELOAD_REFUSE ? RELOAD_REFUSE : policy == PROC_RELOAD_ROUTE ? RELOAD_ROUTE : RELOAD_CLAMP;
}

void adjust_tried(struct exchange *x)
{
	uint64_t lacks = 0;

	x->narrow = 0;
	for (uint64_t bits = x->model->slots; bits; bits &= bits - 1) {
		unsigned i = (unsigned)__builtin_ctzll(bits);

		if (x->reload.need_context && !reload_allows(&x->reload, x->model->context[i]))
			x->narrow |= bits & -bits;
		if (!tags_cover(x->r->routing.slot_tags[i], x->required))
			lacks |= bits & -bits;
	}
	x->item.tried = (struct order_set){{x->narrow | lacks}};
}

/* False: refused. */
static bool judge_options(struct exchange *x, const struct view *v)
{
	struct reload_asked asked = asked_of(v);
	uint64_t contexts[PROC_SLOTS];
	unsigned n = 0;
	char why[200];

	if (!asked.set)
		return true;
	for (uint64_t bits = x->model->slots; bits; bits &= bits - 1)
		contexts[n++] = x->model->context[__builtin_ctzll(bits)];
	reload_decide(policy_of(x->r, x->model), &asked, contexts, n, &x->reload);
	if (x->reload.verdict == RELOAD_NO) {
		answer_error(x, 400, 0, "%s", reload_refused_text(&x->reload, why, sizeof(why)));
		return false;
	}
	return true;
}

/* --- the body -------------------------------------------------------------------------------------------------------------------- */

void adjust_splice(struct exchange *x, const char *at, size_t old, const char *text, size_t n)
{
	char *body = x->body + EX_HEADROOM;
	size_t off = (size_t)(at - body);

	BUG_ON(EX_HEADROOM + x->body_len - old + n > x->body_cap);
	memmove(body + off + n, body + off + old, x->body_len - off - old);
	memcpy(body + off, text, n);
	x->body_len = x->body_len - old + n;
}

struct edit {
	struct span old;
	const char *text;
};

/* Make the edits from the back to the front, so that earlier slices stay where they are. */
static void apply(struct exchange *x, struct edit *edits, unsigned n)
{
	while (n) {
		unsigned last = 0;

		for (unsigned i = 1; i < n; i++)
			if (edits[i].old.p > edits[last].old.p)
				last = i;
		adjust_splice(x, edits[last].old.p, edits[last].old.n, edits[last].text, strlen(edits[last].text));
		edits[last] = edits[--n];
	}
}

/* Collect what has to change in the body. */
static unsigned plan_edits(struct exchange *x, const struct view *v, const char *quoted_model, struct edit *edits)
{
	unsigned n = 0;

	if (v->at[VIEW_K_KEEP_ALIVE].kind > VIEW_NULL) {
		edits[n++] = (struct edit){v->at[VIEW_K_KEEP_ALIVE].raw, "null"};
		x->adjusted |= ADJUSTED_KEEP_ALIVE;
	}
	if (v->at[VIEW_K_SHIFT].kind > VIEW_NULL)
		edits[n++] = (struct edit){v->at[VIEW_K_SHIFT].raw, "null"};
	for (unsigned i = 0; i < v->n_reload; i++)
		edits[n++] = (struct edit){v->reload[i].raw, "null"};
	if (quoted_model && v->at[VIEW_K_MODEL].kind != VIEW_ABSENT) {
		edits[n++] = (struct edit){v->at[VIEW_K_MODEL].raw, quoted_model};
		x->adjusted |= ADJUSTED_MODEL;
	}
	return n;
}

/* A body without a model key gets one, right behind its opening brace. */
static void insert_model(struct exchange *x, const char *quoted_model)
{
	char text[ROUTER_KEY + 32];
	char *body = x->body + EX_HEADROOM;
	char *brace = memchr(body, '{', x->body_len);

	const char *p;

	BUG_ON(!brace);
	for (p = brace + 1; *p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'; p++)
		;
	snprintf(text, sizeof(text), "\"model\":%s%s", quoted_model, *p == '}' ? "" : ",");
	adjust_splice(x, brace + 1, 0, text, strlen(text));
	x->adjusted |= ADJUSTED_MODEL;
}

bool adjust_body(struct exchange *x, const struct view *v, bool name)
{
	char quoted[ROUTER_KEY + 2];
	struct edit edits[VIEW_ADJUST_MAX + 3];

	if (!judge_options(x, v))
		return false;
	adjust_tried(x);
	snprintf(quoted, sizeof(quoted), "\"%s\"", x->model_text);
	apply(x, edits, plan_edits(x, v, name ? quoted : NULL, edits));
	if (name && v->at[VIEW_K_MODEL].kind == VIEW_ABSENT)
		insert_model(x, quoted);
	return true;
}
