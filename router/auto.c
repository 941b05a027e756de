/* Which model, where the client leaves it to tsa: what kind of prompt it is, and who of those there are is best at that.
 *
 * Without weights, or where the operator says so, nothing is classified, and `auto` is the configured default.  One choice costs no allocation; its scratch is static,
 * for there is one thread. */
#include "router/router.h"

#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "http/prompt.h"

#define LABEL_EVERY	64 /* a prompt that names its model is labelled for the counters alone: one in so many, which counts for all */
#define BYTES_PER_TOKEN 3  /* at least, in what people and programs write: what might not fit is sent elsewhere */

static struct choose_result result;
static struct classify_result kind;
static struct prompt asked;

/* --- the models that there are ----------------------------------------------------------------------------------------------------- */

static const struct proc_rule *rule_of(const struct router *r, const struct model *m)
{
	char key[ROUTER_KEY];

	for (unsigned i = 0; i < r->conf.routing.n_rules; i++)
		if (model_key(r->conf.routing.rules[i].model, key) && strcmp(key, m->key) == 0)
			return &r->conf.routing.rules[i];
	return NULL;
}

static void model_make(struct router *r, const struct model *m, struct choose_model *out)
{
	const struct proc_rule *rule = rule_of(r, m);
	const char *categories[ARRAY_SIZE(rule->categories)];
	struct choose_facts f = {
		.name = m->key,
		.size_bytes = m->size_bytes,
		.embed_only = m->flags & SHM_MODEL_EMBED,
		.tools = m->flags & SHM_MODEL_TOOLS,
		.vision = m->flags & SHM_MODEL_VISION,
		.thinking = m->flags & SHM_MODEL_THINKING,
	};

	if (rule) {
		f.registry = rule->registry;
		f.manual = !rule->automatic;
		f.reasoning = rule->reasoning;
		f.categories = categories;
		f.n_categories = rule->n_categories;
		for (unsigned i = 0; i < rule->n_categories; i++)
			categories[i] = rule->categories[i];
	}
	choose_model_init(out, &r->automatic.known.tax, r->automatic.known.registry, &f);
}

/* What does not change from one request to the next. */
static void models_make(struct router *r)
{
	struct automatic *a = &r->automatic;

	for (unsigned i = 0; i < r->n_models; i++) {
		const struct model *m = &r->models[i];
		struct auto_model *s = &a->source[i];

		if (s->hash == m->hash && s->flags == m->flags && s->size_bytes == m->size_bytes && s->epoch == a->epoch)
			continue;
		model_make(r, m, &a->choice[i]);
		*s = (struct auto_model){m->hash, m->flags, m->size_bytes, a->epoch};
	}
}

/* Instances as bits. */
struct fleet {
	uint64_t usable;
	uint64_t coming; /* not usable, but somebody is at it */
	uint64_t free;   /* with a place free */
};

static struct fleet fleet_of(struct router *r)
{
	struct fleet f = {0};
	uint64_t now = clock_now_ns();

	for (unsigned i = 0; i < PROC_SLOTS; i++) {
		uint64_t bit = 1ULL << i;

		if (slot_usable(&r->slots[i]) && r->slots[i].penalty_ns <= now)
			f.usable |= bit;
		else if (r->slots[i].used && (slot_usable(&r->slots[i]) || slot_coming(&r->slots[i])))
			f.coming |= bit;
		if (r->slots[i].used && view_in_flight(r, i) < r->conf.slots[i].places)
			f.free |= bit;
	}
	return f;
}

/* What does. */
static void models_refresh(struct router *r, const struct fleet *f, uint64_t among)
{
	for (unsigned i = 0; i < r->n_models; i++) {
		const struct model *m = &r->models[i];
		struct choose_model *c = &r->automatic.choice[i];
		uint64_t can = m->slots & among & (f->usable ? ~m->failed : ~0ULL);

		c->available = can;
		c->resident = can & m->resident;
		c->free = can & m->resident & f->free;
		c->tags = 0;
		c->context_tokens = 0;
		for (uint64_t bits = can; bits; bits &= bits - 1) {
			unsigned s = (unsigned)__builtin_ctzll(bits);

			c->tags |= r->routing.slot_tags[s];
			if (m->context[s] > c->context_tokens)
				c->context_tokens = m->context[s];
		}
	}
}

/* --- the choice -------------------------------------------------------------------------------------------------------------------- */

static bool anybody_has(const struct router *r, uint64_t tags)
{
	for (unsigned i = 0; i < r->n_models; i++)
		if (r->automatic.choice[i].available && tags_cover(r->automatic.choice[i].tags | r->automatic.choice[i].can, tags))
			return true;
	return false;
}

/* The place in the ranking of the configured default, which is what general questions go to; else the first. */
static unsigned preferred(const struct router *r, const struct choose_request *rq)
{
	char key[ROUTER_KEY];

	if (rq->category != TAX_GENERAL || rq->embed || !r->conf.default_model[0] || !model_key(r->conf.default_model, key) ||
	    result.candidate[result.order[0]].link == CHOOSE_LINK_REASONING)
		return 0;
	for (unsigned i = 0; i < result.n; i++)
		if (strcmp(r->models[result.order[i]].key, key) == 0)
			return i;
	return 0;
}

static struct choose_request request_of(const struct exchange *x, const char **gone)
{
	struct choose_request rq = {
		.category = x->category < 0 ? TAX_GENERAL : (unsigned)x->category,
		.complexity = x->complexity,
		.confidence = x->confidence,
		.embed = x->embed,
		.required = x->asked,
		.exclude = gone,
		.context_tokens = x->auto_sees ? 0 : x->text_bytes / BYTES_PER_TOKEN,
	};

	for (unsigned i = 0; i < x->n_gone; i++)
		gone[rq.n_exclude++] = x->gone[i]->key;
	return rq;
}

/* Among these instances.  A tag that the classifier is sure of is required where somebody has it. */
static int choose_among(struct exchange *x, const struct fleet *f, uint64_t among, struct choose_request *rq)
{
	struct router *r = x->r;
	struct automatic *a = &r->automatic;
	uint64_t hard = rq->required;

	models_refresh(r, f, among);
	if (x->auto_sure && anybody_has(r, hard | x->optional)) {
		rq->required = hard | x->optional;
		choose(&a->conf, &a->known.tax, &a->share, rq, a->choice, r->n_models, &result);
		if (result.n)
			return (int)result.order[preferred(r, rq)];
		rq->required = hard;
	}
	choose(&a->conf, &a->known.tax, &a->share, rq, a->choice, r->n_models, &result);
	return result.n ? (int)result.order[preferred(r, rq)] : -1;
}

/* Rather one that is not ready than none; and rather one that will cut the prompt, as an Ollama does, than none. */
static int choose_usable(struct exchange *x, const struct fleet *f, struct choose_request *rq)
{
	int best = choose_among(x, f, f->usable, rq);

	if (best < 0)
		best = choose_among(x, f, f->usable | f->coming, rq);
	if (best < 0 && rq->context_tokens) {
		rq->context_tokens = 0;
		best = choose_usable(x, f, rq);
	}
	return best;
}

/* Choose, and say on the exchange what the instance must have and how good the model is.  NULL: there is none. */
static struct model *choose_for(struct exchange *x, const struct auto_wish *wish)
{
	struct router *r = x->r;
	struct automatic *a = &r->automatic;
	const char *gone[ARRAY_SIZE(x->gone)];
	struct choose_request rq = request_of(x, gone);
	struct fleet f = fleet_of(r);
	const struct choose_candidate *c;
	const struct choose_model *m;
	int best;

	if (wish) {
		rq.speed = wish->speed;
		rq.exclude = wish->exclude;
		rq.n_exclude = wish->n_exclude;
		if (wish->context_tokens > rq.context_tokens)
			rq.context_tokens = wish->context_tokens;
	}
	models_make(r);
	/* Vectors of two models do not go together: where one is embedded must not hang on who is at hand. */
	if (x->embed)
		best = choose_among(x, &(struct fleet){0}, ~0ULL, &rq);
	else
		best = choose_usable(x, &f, &rq);
	if (best < 0)
		return NULL;
	m = &a->choice[best];
	c = &result.candidate[best];
	x->required = rq.required & ~m->can;
	x->fit = c->skill / 100;
	x->secondary = m->skill.n && c->category != m->skill.at[0].category;
	x->auto_reasons = m->reasoning;
	return &r->models[best];
}

/* --- what kind of prompt it is ------------------------------------------------------------------------------------------------------ */

static void count_kind(struct router *r, const struct classify_result *c, uint64_t times)
{
	_Atomic uint64_t *const kinds[CATEGORY_COUNT] = {
		[CATEGORY_GENERAL] = &r->count->kind_general, [CATEGORY_MATH] = &r->count->kind_math,
		[CATEGORY_CODE] = &r->count->kind_code,	      [CATEGORY_REASONING] = &r->count->kind_reasoning,
		[CATEGORY_CREATIVE] = &r->count->kind_creative, [CATEGORY_NLP] = &r->count->kind_nlp,
		[CATEGORY_DATA] = &r->count->kind_data,	      [CATEGORY_SAFETY] = &r->count->kind_safety,
	};

	shm_add(kinds[c->category], times);
	if (c->doubt != DOUBT_NONE)
		shm_add(&r->count->kind_doubt, times);
	if (c->unsafe)
		shm_add(&r->count->kind_unsafe, times);
}

/* The finest category that the taxonomy knows. */
static unsigned finest(const struct taxonomy *t, const struct classify_result *c)
{
	for (uint64_t bits = c->tags; bits; bits &= bits - 1) {
		unsigned found = tax_find(t, cue_tag_name((enum cue_tag)__builtin_ctzll(bits)));

		if (found != TAX_GENERAL)
			return found;
	}
	return tax_find(t, category_name(c->category));
}

static void classify(struct exchange *x, const struct prompt *p)
{
	struct router *r = x->r;
	const struct classify_result *c = &kind;

	classify_prompt(r->automatic.classifier, p->text, p->n, &kind);
	x->kind = (uint8_t)(c->category + 1);
	x->category = (int16_t)finest(&r->automatic.known.tax, c);
	x->confidence = c->confidence;
	x->complexity = c->complexity;
	if (c->category != CATEGORY_GENERAL) {
		x->optional = tags_find(&r->routing.tags, category_tag(c->category)) & ~TAGS_NOBODY;
		x->auto_sure = c->sure && x->optional;
	}
	/* a picture and few words: it is about the picture */
	if (p->images && c->category == CATEGORY_GENERAL)
		x->category = TAX_VISION;
	x->asked = (p->tools ? TAG_BIT(TOOLS) : 0) | (p->images ? TAG_BIT(VISION) : 0);
	x->auto_sees = p->images;
}

void auto_label(struct exchange *x, const struct view *v)
{
	struct automatic *a = &x->r->automatic;

	if (!a->classifier || x->embed || a->turn++ % LABEL_EVERY)
		return;
	prompt_find(v, &asked);
	classify_prompt(a->classifier, asked.text, asked.n, &kind);
	count_kind(x->r, &kind, LABEL_EVERY);
}

const char *auto_category(const struct exchange *x)
{
	return x->kind ? category_name((enum category)(x->kind - 1)) : NULL;
}

/* --- for a request ------------------------------------------------------------------------------------------------------------------ */

static bool prompt_decides(const struct router *r)
{
	return r->automatic.classifier && r->conf.routing.automatic.on;
}

/* Where nothing is classified: the configured default, else a model that is in memory, else any that can chat. */
static struct model *default_model(struct router *r)
{
	char key[ROUTER_KEY];
	struct model *m = NULL;

	if (r->conf.default_model[0] && model_key(r->conf.default_model, key))
		m = model_find(r, key);
	for (int pass = 0; pass < 2 && !m; pass++)
		for (unsigned i = 0; i < r->n_models && !m; i++)
			if (!r->models[i].embed_only && (pass ? r->models[i].slots : r->models[i].resident))
				m = &r->models[i];
	return m;
}

/* Models are there, but none of them can do what is asked. */
static bool refuse(struct exchange *x)
{
	if (x->asked & TAG_BIT(VISION))
		answer_error(x, 400, 0, "no model of this service sees images; see `ollama list` for what there is");
	else if (x->asked & TAG_BIT(TOOLS))
		answer_error(x, 400, 0, "no model of this service calls tools; see `ollama list` for what there is");
	return x->asked != 0;
}

const struct model *auto_model(struct exchange *x, const struct view *v, bool *answered)
{
	struct router *r = x->r;
	const struct model *m;

	*answered = false;
	shm_add(&r->count->auto_asked, 1);
	if (!prompt_decides(r) && !x->embed)
		return default_model(r);
	x->automatic = true;
	if (x->embed) {
		x->category = TAX_EMBEDDING;
	} else {
		prompt_find(v, &asked);
		classify(x, &asked);
		count_kind(r, &kind, 1);
	}
	m = choose_for(x, NULL);
	if (!m) {
		*answered = hook_ask(x) || refuse(x);
		return NULL;
	}
	if (!x->embed)
		choose_share_count(&r->automatic.share, &r->automatic.conf, x->auto_reasons);
	if (x->auto_reasons)
		shm_add(&r->count->auto_reasoning, 1);
	return m;
}

struct model *auto_explain(struct exchange *x, const char *text, size_t n, const struct auto_wish *wish,
			   const struct classify_result **k, const struct choose_result **ranking)
{
	*k = NULL;
	*ranking = &result;
	result.n = 0;
	x->automatic = true;
	if (prompt_decides(x->r)) {
		asked = (struct prompt){.n = n < PROMPT_BYTES ? n : PROMPT_BYTES};
		memcpy(asked.text, text, asked.n);
		classify(x, &asked);
		*k = &kind;
	}
	if (wish && wish->category) {
		x->category = (int16_t)tax_find(&x->r->automatic.known.tax, wish->category);
		x->optional = 0;
		x->auto_sure = false;
	}
	if (!*k && !(wish && (wish->category || x->r->conf.routing.automatic.on)))
		return default_model(x->r);
	return choose_for(x, wish);
}

bool auto_relax(struct exchange *x)
{
	if (!(x->required & ~x->asked))
		return false;
	x->required &= x->asked;
	adjust_tried(x);
	return true;
}

bool auto_next(struct exchange *x)
{
	struct model *m;

	if (!x->automatic || x->embed || !x->client || !x->body || x->n_gone == ARRAY_SIZE(x->gone))
		return false;
	x->gone[x->n_gone++] = x->model;
	m = choose_for(x, NULL);
	if (!m) {
		x->n_gone--;
		return false;
	}
	exchange_rename(x, m);
	shm_add(&x->r->count->auto_moved, 1);
	return true;
}
