/* What is known of models and prompts: taken from the supervisor, and brought together with the models that there are. */
#include "router/router.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define IMAGE_MOST   (32U << 20) /* CONF_IMAGE_BYTES_MAX */
#define WEIGHTS_MOST (4U << 20)

bool auto_init(struct automatic *a)
{
	struct why why = {""};

	a->choice = calloc(ROUTER_MODELS, sizeof(*a->choice));
	a->source = calloc(ROUTER_MODELS, sizeof(*a->source));
	tax_conf_default(&a->tax);
	choose_conf_default(&a->conf);
	a->epoch = 1;
	a->made = a->choice && a->source && knowledge_init(&a->known, &a->tax, NULL, 0, &why) == 0;
	return a->made;
}

void auto_fini(struct automatic *a)
{
	if (a->made)
		knowledge_fini(&a->known);
	classify_destroy(&a->classifier);
	proc_sealed_unmap(&a->models);
	proc_sealed_unmap(&a->weights);
	free(a->choice);
	free(a->source);
}

/* --- from the supervisor ---------------------------------------------------------------------------------------------------------- */

static bool same(const struct proc_sealed *a, const struct proc_sealed *b)
{
	return a->n == b->n && (!a->n || memcmp(a->bytes, b->bytes, a->n) == 0);
}

static void take_models(struct automatic *a, struct proc_sealed *now)
{
	if (same(&a->models, now)) {
		proc_sealed_unmap(now);
		return;
	}
	proc_sealed_unmap(&a->models);
	a->models = *now;
	a->stale = true;
}

static void take_weights(struct automatic *a, struct proc_sealed *now)
{
	struct classifier *made = NULL;
	struct why why = {""};

	if (same(&a->weights, now)) {
		proc_sealed_unmap(now);
		return;
	}
	if (now->n && classify_create(now->bytes, now->n, &made, &why) < 0) {
		log_err("the classifier's weights cannot be used: %s; %s", why.text,
			a->classifier ? "the ones before stay" : "prompts are not classified");
		proc_sealed_unmap(now);
		return;
	}
	classify_destroy(&a->classifier);
	proc_sealed_unmap(&a->weights);
	a->classifier = made;
	a->weights = *now;
}

void auto_facts(struct router *r, uint32_t has, const int *fds, unsigned n_fds)
{
	struct proc_sealed models = {0}, weights = {0};
	struct why why = {""};
	unsigned n = 0;
	int err = 0;

	if ((unsigned)__builtin_popcount(has & (PROC_FACTS_MODELS | PROC_FACTS_WEIGHTS)) != n_fds)
		err = why_set(&why, -EPROTO, "%u files came where the supervisor announced others; both programs must be of one build", n_fds);
	if (!err && has & PROC_FACTS_MODELS)
		err = proc_sealed_map(fds[n++], IMAGE_MOST, &models, &why);
	if (!err && has & PROC_FACTS_WEIGHTS)
		err = proc_sealed_map(fds[n++], WEIGHTS_MOST, &weights, &why);
	if (err) {
		log_err("what is known of models was not taken over: %s", why.text);
		proc_sealed_unmap(&models);
		proc_sealed_unmap(&weights);
		return;
	}
	take_models(&r->automatic, &models);
	take_weights(&r->automatic, &weights);
}

/* --- from tsa.conf ---------------------------------------------------------------------------------------------------------------- */

static void scores_of(const struct proc_automatic *p, struct tax_conf *out)
{
	tax_conf_default(out);
	out->base = p->base;
	out->benchmarks = p->benchmarks;
	out->only = p->only;
	out->first = p->first;
	out->other = p->other;
	out->unlisted = p->unlisted;
	for (unsigned i = 0; i < p->n_weights; i++)
		if (tax_conf_weight(out, p->weights[i].name, p->weights[i].weight) < 0)
			log_warning("there is no room for the weight of the benchmark %s; it counts as unlisted", p->weights[i].name);
}

void auto_take(struct router *r)
{
	const struct proc_automatic *p = &r->conf.routing.automatic;
	struct automatic *a = &r->automatic;
	static struct tax_conf scores; /* large; there is one thread */
	struct knowledge now;
	struct why why = {""};

	a->epoch++; /* the models' own rules may have changed */
	a->conf = (struct choose_conf){
		.complexity = p->complexity,
		.confidence = p->confidence,
		.reasoning_share = p->reasoning_share,
		.window = p->window,
		.multi_category = r->conf.routing.multi_category,
	};
	memset(&scores, 0, sizeof(scores)); /* with its gaps: it is compared as bytes */
	scores_of(p, &scores);
	if (!a->stale && memcmp(&scores, &a->tax, sizeof(scores)) == 0)
		return;
	if (knowledge_init(&now, &scores, a->models.bytes, a->models.n, &why) < 0) {
		log_err("%s; what was known of models stays", why.text);
		return;
	}
	knowledge_fini(&a->known);
	a->known = now;
	a->tax = scores;
	a->stale = false;
	if (now.tax.left_out)
		log_warning("%u places of models in categories found no room", now.tax.left_out);
}
