#include "route/choose.h"

#include <string.h>
#include <strings.h>

#include "base/bug.h"
#include "route/tags.h"

#define CLOSE_TO_CAP 0.8 /* share of the cap from which the threshold rises */
#define NEVER        2.0 /* a complexity that nothing has */

void choose_conf_default(struct choose_conf *conf)
{
	*conf = (struct choose_conf){
		.complexity = 0.56, .confidence = 0.55, .reasoning_share = 0.15, .window = 200, .multi_category = true};
}

/* --- hard rules ------------------------------------------------------------------------------------------------------------------ */

static bool unwanted(const struct choose_request *rq, const char *name)
{
	for (unsigned i = 0; i < rq->n_exclude; i++)
		if (strcasecmp(rq->exclude[i], name) == 0)
			return true;
	return false;
}

static enum choose_exclude exclude_why(const struct choose_request *rq, const struct choose_model *m)
{
	const uint64_t context = m->context_tokens ? m->context_tokens : m->registry_context;
	const bool embeds = m->can & TAG_BIT(EMBEDDING);

	if (!m->available)
		return CHOOSE_EXCLUDE_AWAY;
	if (unwanted(rq, m->name))
		return CHOOSE_EXCLUDE_CLIENT;
	if (!m->automatic)
		return CHOOSE_EXCLUDE_MANUAL;
	if (embeds != rq->embed)
		return embeds ? CHOOSE_EXCLUDE_EMBEDS : CHOOSE_EXCLUDE_CHATS;
	if (m->tool && !rq->embed)
		return CHOOSE_EXCLUDE_TOOL;
	if (!tags_cover(m->can | m->tags, rq->required))
		return CHOOSE_EXCLUDE_TAGS;
	if (rq->context_tokens && context && rq->context_tokens > context && !rq->embed)
		return CHOOSE_EXCLUDE_CONTEXT;
	return CHOOSE_EXCLUDE_NONE;
}

/* --- the chain ------------------------------------------------------------------------------------------------------------------- */

static double threshold_of(const struct choose_conf *conf, const struct choose_share *share)
{
	const double fill = conf->reasoning_share > 0 ? share->share / conf->reasoning_share : 1;

	if (fill >= 1)
		return NEVER;
	if (fill <= CLOSE_TO_CAP)
		return conf->complexity;
	return conf->complexity + (1 - conf->complexity) * (fill - CLOSE_TO_CAP) / (1 - CLOSE_TO_CAP);
}

/* A reasoning model is worth its price here, if it may be had at this complexity. */
static bool reasoning_fits(const struct choose_conf *conf, const struct taxonomy *t, const struct choose_request *rq,
			   double complexity)
{
	return !rq->embed && rq->complexity >= complexity &&
	       (rq->confidence < conf->confidence || tax_below(t, rq->category, TAX_REASONING));
}

/* The nearest category at or above the request's in which the model has a place. */
static const struct tax_score *place_of(const struct choose_conf *conf, const struct taxonomy *t, unsigned category,
					const struct choose_model *m, uint8_t *steps)
{
	for (*steps = 0;; ++*steps) {
		const struct tax_score *s = tax_score(&m->skill, category);

		if (s && (conf->multi_category || s == &m->skill.at[0]))
			return s;
		if (category == TAX_GENERAL)
			return NULL;
		category = t->category[category].parent;
	}
}

static void link_find(const struct choose_conf *conf, const struct taxonomy *t, const struct choose_request *rq,
		      const struct choose_model *m, bool reasoning, struct choose_candidate *c)
{
	const struct tax_score *s = place_of(conf, t, rq->category, m, &c->steps);

	if (!s)
		s = &m->any;
	c->category = s->category;
	c->skill = s->score;
	c->part = s->part;
	c->confidence = s->confidence;
	if (m->reasoning && reasoning) {
		c->link = CHOOSE_LINK_REASONING;
		c->steps = 0;
	} else if (m->reasoning) {
		c->link = CHOOSE_LINK_SPARED;
	} else if (s == &m->any) {
		c->link = CHOOSE_LINK_ANY;
	} else if (!c->steps) {
		c->link = CHOOSE_LINK_CATEGORY;
	} else {
		c->link = s->category == TAX_GENERAL ? CHOOSE_LINK_GENERAL : CHOOSE_LINK_PARENT;
	}
}

static void score_make(const struct choose_request *rq, const struct choose_model *m, struct choose_candidate *c)
{
	const float complexity = rq->speed ? 0 : (float)rq->complexity;

	c->size = 1 - (m->strength > complexity ? m->strength - complexity : complexity - m->strength);
	c->ready = m->resident ? (m->free ? 1.0F : 0.7F) : 0;
	c->score = CHOOSE_SKILL * (c->skill < 100 ? c->skill : 100) + CHOOSE_SIZE * c->size + CHOOSE_READY * c->ready;
}

/* --- ranking --------------------------------------------------------------------------------------------------------------------- */

/* a goes before b. */
static bool before(const struct choose_candidate *ca, const struct choose_model *a, const struct choose_candidate *cb,
		   const struct choose_model *b)
{
	if (ca->link != cb->link)
		return ca->link < cb->link;
	if (ca->steps != cb->steps)
		return ca->steps < cb->steps;
	if (ca->score < cb->score || ca->score > cb->score)
		return ca->score > cb->score;
	if (a->resident != b->resident)
		return a->resident;
	if (a->strength < b->strength || a->strength > b->strength)
		return a->strength < b->strength;
	return strcmp(a->name, b->name) < 0;
}

static void rank(const struct choose_model *models, struct choose_result *out, uint16_t one)
{
	unsigned at = out->n++;

	for (; at > 0; at--) {
		const uint16_t other = out->order[at - 1];

		if (!before(&out->candidate[one], &models[one], &out->candidate[other], &models[other]))
			break;
		out->order[at] = other;
	}
	out->order[at] = one;
}

void choose(const struct choose_conf *conf, const struct taxonomy *t, const struct choose_share *share,
	    const struct choose_request *rq, const struct choose_model *models, unsigned n, struct choose_result *out)
{
	bool reasoning, served;

	BUG_ON(n > CHOOSE_MODELS || rq->category >= t->n);
	out->n = 0;
	out->threshold = threshold_of(conf, share);
	out->wanted = reasoning_fits(conf, t, rq, conf->complexity);
	reasoning = reasoning_fits(conf, t, rq, out->threshold);
	for (unsigned i = 0; i < n; i++) {
		struct choose_candidate *c = &out->candidate[i];

		*c = (struct choose_candidate){.exclude = (uint8_t)exclude_why(rq, &models[i])};
		if (c->exclude != CHOOSE_EXCLUDE_NONE)
			continue;
		link_find(conf, t, rq, &models[i], reasoning, c);
		score_make(rq, &models[i], c);
		rank(models, out, (uint16_t)i);
	}
	served = out->n && out->candidate[out->order[0]].link == CHOOSE_LINK_REASONING;
	out->wanted = out->wanted && !served;
	out->hook = conf->hook && !rq->embed && (!out->n || out->wanted);
}

void choose_share_count(struct choose_share *share, const struct choose_conf *conf, bool reasoning)
{
	share->share += ((reasoning ? 1.0 : 0.0) - share->share) / (conf->window ? conf->window : 1);
}

/* --- words ----------------------------------------------------------------------------------------------------------------------- */

static const char *const EXCLUDE_TEXT[CHOOSE_EXCLUDE_COUNT][2] = {
#define EXCLUDE(name, word, sentence) [CHOOSE_EXCLUDE_##name] = {word, sentence},
	CHOOSE_EXCLUDES(EXCLUDE)
#undef EXCLUDE
};

static const char *const LINK_TEXT[CHOOSE_LINK_COUNT][2] = {
#define LINK(name, word, sentence) [CHOOSE_LINK_##name] = {word, sentence},
	CHOOSE_LINKS(LINK)
#undef LINK
};

const char *choose_exclude_text(enum choose_exclude e)
{
	return EXCLUDE_TEXT[e][0];
}

const char *choose_exclude_help(enum choose_exclude e)
{
	return EXCLUDE_TEXT[e][1];
}

const char *choose_link_text(enum choose_link l)
{
	return LINK_TEXT[l][0];
}

const char *choose_link_help(enum choose_link l)
{
	return LINK_TEXT[l][1];
}
