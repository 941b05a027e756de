/* The models of the fleet, by name, and what is remembered of each. */
#include "router/router.h"

#include <string.h>

struct model *model_find(struct router *r, const char *key)
{
	for (unsigned i = 0; i < r->n_models; i++)
		if (strcmp(r->models[i].key, key) == 0)
			return &r->models[i];
	return NULL;
}

static bool complained_of(const struct router *r, const struct model *m)
{
	for (unsigned s = 0; s < PROC_SLOTS; s++)
		if (r->slots[s].short_of == m || r->slots[s].complaint_of == m)
			return true;
	return false;
}

/* Of the models that no instance has any more and no request names, the one that was asked for longest ago. */
static struct model *model_unused(struct router *r)
{
	struct model *old = NULL;

	for (unsigned i = 0; i < r->n_models; i++) {
		struct model *m = &r->models[i];

		if (m->slots || m->users || m->wish >= 0 || complained_of(r, m))
			continue;
		if (!old || m->figures_ns < old->figures_ns)
			old = m;
	}
	for (unsigned s = 0; old && s < PROC_SLOTS; s++)
		if (old->pair[s])
			pair_free(pair_find(&r->routing, old, s));
	return old;
}

struct model *model_intern(struct router *r, const char *key)
{
	struct model *m = model_find(r, key);

	if (m)
		return m;
	m = r->n_models < ROUTER_MODELS ? &r->models[r->n_models++] : model_unused(r);
	if (!m)
		return NULL;
	memset(m, 0, sizeof(*m));
	memcpy(m->key, key, strlen(key) + 1);
	m->hash = affinity_hash(0, key, strlen(key));
	m->wish = -1;
	return m;
}

void exchange_model(struct exchange *x, struct model *m)
{
	if (x->model)
		x->model->users--;
	x->model = m;
	if (m)
		m->users++;
}
