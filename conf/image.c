#include "conf/image.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HAS_REGISTRY  1U
#define HAS_CATALOGUE 2U
#define AGENTS        (CONF_AGENT_INFERENCE | CONF_AGENT_TOOL | CONF_AGENT_ORCHESTRATOR)
#define CAPABILITIES  (CONF_CAN_TOOLS | CONF_CAN_VISION | CONF_CAN_THINK | CONF_CAN_EMBED)

/* --- making ---------------------------------------------------------------------------------------------------------------------- */

static uint64_t whole_bytes(const struct conf_image_head *h)
{
	return sizeof(*h) + (uint64_t)h->models * sizeof(struct conf_registry_model) +
	       (uint64_t)h->categories * sizeof(struct conf_category) + (uint64_t)h->names * CONF_MODEL_NAME;
}

static char *put(char *at, const void *from, size_t n)
{
	if (n)
		memcpy(at, from, n);
	return at + n;
}

static void fill(char *at, const struct conf_image_head *h, const struct conf_registry *r, const struct conf_catalogue *c)
{
	at = put(at, h, sizeof(*h));
	at = put(at, r ? r->models : NULL, h->models * sizeof(struct conf_registry_model));
	for (unsigned i = 0; i < h->categories; i++) {
		struct conf_category one = c->categories[i];

		one.models = NULL;
		at = put(at, &one, sizeof(one));
	}
	for (unsigned i = 0; i < h->categories; i++)
		at = put(at, c->categories[i].models, c->categories[i].n_models * (size_t)CONF_MODEL_NAME);
}

int conf_image_make(const struct conf_registry *r, const struct conf_catalogue *c, void **out, size_t *n, struct why *why)
{
	struct conf_image_head h = {
		.magic = CONF_IMAGE_MAGIC,
		.model_bytes = sizeof(struct conf_registry_model),
		.category_bytes = sizeof(struct conf_category),
		.models = r ? r->n : 0,
		.categories = c ? c->n : 0,
		.has = (r ? HAS_REGISTRY : 0) | (c ? HAS_CATALOGUE : 0),
	};
	void *bytes;

	for (unsigned i = 0; i < h.categories; i++)
		h.names += c->categories[i].n_models;
	if (whole_bytes(&h) > CONF_IMAGE_BYTES_MAX)
		return why_set(why, -E2BIG, "the registry and the categories are too large together; name fewer models in each category");
	bytes = malloc(whole_bytes(&h));
	if (!bytes)
		return why_set(why, -ENOMEM, "there is no memory for the registry and the categories");
	fill(bytes, &h, r, c);
	*out = bytes;
	*n = whole_bytes(&h);
	return 0;
}

/* --- checking -------------------------------------------------------------------------------------------------------------------- */

static bool text_ends(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

/* `n` of `most` texts of `size` bytes, none empty. */
static bool texts_ok(const char *texts, unsigned n, unsigned most, size_t size)
{
	if (n > most)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!texts[i * size] || !text_ends(texts + i * size, size))
			return false;
	return true;
}

static bool sizes_ok(const struct conf_sizes *s)
{
	if (s->n > CONF_VARIANTS)
		return false;
	for (unsigned i = 0; i < s->n; i++)
		if (!text_ends(s->at[i].variant, sizeof(s->at[i].variant)))
			return false;
	return true;
}

static bool benchmarks_ok(const struct conf_registry_model *m)
{
	if (m->n_benchmarks > CONF_BENCHMARKS)
		return false;
	for (unsigned i = 0; i < m->n_benchmarks; i++) {
		const struct conf_benchmark *b = &m->benchmarks[i];

		if (!b->name[0] || !text_ends(b->name, sizeof(b->name)) || !(b->value >= 0 && b->value <= 100))
			return false;
	}
	return true;
}

static bool model_ok(const struct conf_registry_model *m)
{
	return m->name[0] && text_ends(m->name, sizeof(m->name)) && text_ends(m->repo, sizeof(m->repo)) && sizes_ok(&m->size) &&
	       sizes_ok(&m->memory) && isfinite(m->parameters) && m->parameters >= 0 && !(m->agents & ~(unsigned)AGENTS) &&
	       !(m->capabilities & ~(unsigned)CAPABILITIES) &&
	       texts_ok(m->categories[0], m->n_categories, CONF_MODEL_CATEGORIES, sizeof(m->categories[0])) &&
	       texts_ok(m->aliases[0], m->n_aliases, CONF_MODEL_ALIASES, sizeof(m->aliases[0])) && benchmarks_ok(m);
}

static bool category_ok(const struct conf_category *c)
{
	return c->id[0] && text_ends(c->id, sizeof(c->id)) && text_ends(c->parent, sizeof(c->parent)) &&
	       c->complexity <= CONF_COMPLEX && !(c->agents & ~(unsigned)AGENTS) &&
	       texts_ok(c->benchmarks[0], c->n_benchmarks, CONF_BENCHMARKS, sizeof(c->benchmarks[0])) &&
	       c->n_models <= CONF_REGISTRY_MODELS;
}

static bool models_ok(const struct conf_registry *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		if (!model_ok(&r->models[i]))
			return false;
		for (unsigned k = 0; k < i; k++)
			if (strcmp(r->models[i].name, r->models[k].name) == 0)
				return false;
	}
	return true;
}

static unsigned category_find(const struct conf_catalogue *c, const char *id)
{
	unsigned i = 0;

	while (i < c->n && strcmp(c->categories[i].id, id) != 0)
		i++;
	return i;
}

/* Every parent is there, and every way up ends. */
static bool tree_ok(const struct conf_catalogue *c)
{
	unsigned up[CONF_CATEGORIES];

	for (unsigned i = 0; i < c->n; i++) {
		const struct conf_category *one = &c->categories[i];

		up[i] = one->parent[0] ? category_find(c, one->parent) : CONF_CATEGORIES;
		if (up[i] == c->n && one->parent[0])
			return false;
		if (category_find(c, one->id) != i)
			return false;
	}
	for (unsigned i = 0; i < c->n; i++) {
		unsigned steps = 0;

		for (unsigned at = i; at != CONF_CATEGORIES; at = up[at])
			if (steps++ > c->n)
				return false;
	}
	return true;
}

/* --- opening --------------------------------------------------------------------------------------------------------------------- */

static int damaged(struct why *why)
{
	return why_set(why, -EINVAL, "the registry came damaged from tsad; both programs must be of one build");
}

static struct conf_registry *registry_copy(const char *from, unsigned n)
{
	struct conf_registry *r = calloc(1, sizeof(*r));

	if (r)
		r->models = calloc(n ? n : 1, sizeof(*r->models));
	if (!r || !r->models) {
		free(r);
		return NULL;
	}
	r->n = n;
	memcpy(r->models, from, n * sizeof(*r->models));
	return r;
}

static struct conf_catalogue *catalogue_copy(const char *from, unsigned n)
{
	struct conf_catalogue *c = calloc(1, sizeof(*c));

	if (c)
		c->categories = calloc(n ? n : 1, sizeof(*c->categories));
	if (!c || !c->categories) {
		free(c);
		return NULL;
	}
	c->n = n;
	memcpy(c->categories, from, n * sizeof(*c->categories));
	for (unsigned i = 0; i < n; i++)
		c->categories[i].models = NULL; /* nobody's pointer comes in from outside */
	return c;
}

/* The categories' models.  0, -EINVAL, -ENOMEM. */
static int names_take(struct conf_catalogue *c, const char *names, unsigned n_names)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct conf_category *one = &c->categories[i];

		if (!category_ok(one) || one->n_models > n_names || !texts_ok(names, one->n_models, n_names, CONF_MODEL_NAME))
			return -EINVAL;
		if (!one->n_models)
			continue;
		one->models = calloc(one->n_models, CONF_MODEL_NAME);
		if (!one->models)
			return -ENOMEM;
		memcpy(one->models, names, (size_t)one->n_models * CONF_MODEL_NAME);
		names += (size_t)one->n_models * CONF_MODEL_NAME;
		n_names -= one->n_models;
	}
	return n_names ? -EINVAL : 0;
}

static bool head_ok(const struct conf_image_head *h, size_t n)
{
	return h->magic == CONF_IMAGE_MAGIC && h->model_bytes == sizeof(struct conf_registry_model) &&
	       h->category_bytes == sizeof(struct conf_category) && h->models <= CONF_REGISTRY_MODELS &&
	       h->categories <= CONF_CATEGORIES && whole_bytes(h) == n && !(h->has & ~(HAS_REGISTRY | HAS_CATALOGUE)) &&
	       (h->has & HAS_REGISTRY || !h->models) && (h->has & HAS_CATALOGUE || (!h->categories && !h->names));
}

int conf_image_open(const void *bytes, size_t n, struct conf_registry **out_r, struct conf_catalogue **out_c, struct why *why)
{
	const char *at = (const char *)bytes + sizeof(struct conf_image_head);
	struct conf_image_head h;
	struct conf_registry *r = NULL;
	struct conf_catalogue *c = NULL;
	int rc = 0;

	if (n < sizeof(h))
		return damaged(why);
	memcpy(&h, bytes, sizeof(h));
	if (!head_ok(&h, n))
		return damaged(why);
	if (h.has & HAS_REGISTRY)
		r = registry_copy(at, h.models);
	at += h.models * sizeof(struct conf_registry_model);
	if (h.has & HAS_CATALOGUE)
		c = catalogue_copy(at, h.categories);
	at += h.categories * sizeof(struct conf_category);
	if ((h.has & HAS_REGISTRY && !r) || (h.has & HAS_CATALOGUE && !c))
		rc = -ENOMEM;
	if (rc == 0 && c)
		rc = names_take(c, at, h.names);
	if (rc == 0 && ((r && !models_ok(r)) || (c && !tree_ok(c))))
		rc = -EINVAL;
	if (rc == 0) {
		*out_r = r;
		*out_c = c;
		return 0;
	}
	conf_registry_destroy(&r);
	conf_catalogue_destroy(&c);
	return rc == -ENOMEM ? why_set(why, rc, "there is no memory for the registry and the categories") : damaged(why);
}
