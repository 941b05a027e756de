#include "worker/catalog.h"

#include <stdio.h>
#include <string.h>

struct model *catalog_find(struct catalog *c, const char *name)
{
	for (unsigned i = 0; i < c->n; i++)
		if (probe_name_same(c->at[i].name, name))
			return &c->at[i];
	return NULL;
}

bool model_embeds(const struct model *m)
{
	return m->embed_only || probe_model_embeds(m->caps, m->family);
}

static struct model *add(struct catalog *c, const char *name)
{
	struct model *m;

	if (c->n == CATALOG_MAX)
		return NULL;
	m = &c->at[c->n++];
	memset(m, 0, sizeof(*m));
	snprintf(m->name, sizeof(m->name), "%s", name);
	return m;
}

static struct model *find_or_add(struct catalog *c, const char *name)
{
	struct model *m = catalog_find(c, name);

	return m ? m : add(c, name);
}

/* Drop entries that nobody has and nobody wants; the others keep their order. */
static void compact(struct catalog *c)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < c->n; i++) {
		const struct model *m = &c->at[i];

		if (!m->available && !m->resident && !m->loading && !m->configured)
			continue;
		if (kept != i)
			c->at[kept] = *m;
		kept++;
	}
	c->n = kept;
}

void catalog_configure(struct catalog *c, const char *const *names, unsigned n)
{
	for (unsigned i = 0; i < c->n; i++)
		c->at[i].configured = 0;
	for (unsigned i = 0; i < n; i++) {
		struct model *m = find_or_add(c, names[i]);

		if (m && !m->configured)
			m->configured = i + 1;
	}
	compact(c);
}

static void take_tag(struct catalog *c, const struct probe_model *t)
{
	struct model *m = find_or_add(c, t->name);

	if (!m) {
		c->more++;
		return;
	}
	if (memcmp(m->digest, t->digest, sizeof(m->digest)) != 0) { /* another model under this name */
		m->caps = 0;
		m->show_asked = m->embed_only = false;
		m->failures = 0;
		m->retry_ns = 0;
	}
	memcpy(m->name, t->name, sizeof(m->name));
	memcpy(m->family, t->family, sizeof(m->family));
	memcpy(m->digest, t->digest, sizeof(m->digest));
	m->size_bytes = t->size_bytes;
	if (t->caps)
		m->caps = t->caps;
	if (!m->available) {
		m->failures = 0;
		m->retry_ns = 0;
	}
	m->available = true;
	m->absent_said = false;
}

void catalog_take_tags(struct catalog *c, const struct probe_models *tags)
{
	bool had[CATALOG_MAX];

	for (unsigned i = 0; i < c->n; i++) {
		had[i] = c->at[i].available;
		c->at[i].available = false;
	}
	c->more = tags->more;
	for (unsigned i = 0; i < tags->n; i++) {
		struct model *m = catalog_find(c, tags->at[i].name);

		if (m)
			m->available = had[m - c->at];
		take_tag(c, &tags->at[i]);
	}
	compact(c);
	c->tags_known = true;
}

static bool digest_known(const uint8_t *d)
{
	static const uint8_t NONE[PROBE_DIGEST];

	return memcmp(d, NONE, PROBE_DIGEST) != 0;
}

/* Copies of one model share a runner, which is listed under the name that loaded it: the manifest tells, the name only helps where
 * there is no digest. */
static const struct probe_model *listed(const struct probe_models *ps, const struct model *m)
{
	for (unsigned i = 0; i < ps->n; i++) {
		const struct probe_model *p = &ps->at[i];

		if (digest_known(p->digest) && digest_known(m->digest) ? memcmp(p->digest, m->digest, PROBE_DIGEST) == 0
								       : probe_name_same(p->name, m->name))
			return p;
	}
	return NULL;
}

void catalog_take_ps(struct catalog *c, const struct probe_models *ps, uint64_t asked_ns)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct model *m = &c->at[i];
		const struct probe_model *p = listed(ps, m);

		if (p) {
			/* The old engine lists a model before it is usable: one of ours is resident when its load has ended. */
			if (!m->resident && !m->leaving)
				m->held = false; /* somebody wants it */
			m->resident = !m->loading;
			m->resident_bytes = p->size_bytes;
			m->vram_bytes = p->vram_bytes;
			m->expires_wall_ns = p->expires_wall_ns;
			if (p->context)
				m->context = p->context;
		} else if (m->loaded_ns <= asked_ns) {
			m->resident = false;
			m->resident_bytes = m->vram_bytes = m->expires_wall_ns = 0;
		}
	}
	c->ps_known = true;
}

void catalog_forget(struct catalog *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct model *m = &c->at[i];

		m->resident = m->loading = m->held = m->leaving = false;
		m->resident_bytes = m->vram_bytes = m->expires_wall_ns = 0;
		m->retry_ns = 0;
		m->failures = 0;
	}
	c->tags_known = c->ps_known = false;
}

/* Without a configuration: is `m` a better primary than `best`? */
static bool better(const struct model *m, const struct model *best)
{
	if (!best || m->resident != best->resident)
		return !best || m->resident;
	if (model_embeds(m) != model_embeds(best))
		return !model_embeds(m);
	return m->size_bytes < best->size_bytes;
}

struct model *catalog_primary_choose(struct catalog *c)
{
	struct model *best = NULL, *now = c->primary[0] ? catalog_find(c, c->primary) : NULL;
	bool configured = false;

	for (unsigned i = 0; i < c->n; i++)
		configured |= c->at[i].configured > 0;
	for (unsigned i = 0; i < c->n; i++) {
		struct model *m = &c->at[i];

		if (!m->available || (configured && !m->configured))
			continue;
		if (configured ? !best || m->configured < best->configured : better(m, best))
			best = m;
	}
	if (!configured && now && now->available && (now->resident || !best || !best->resident || now->load_ns))
		best = now;
	snprintf(c->primary, sizeof(c->primary), "%s", best ? best->name : "");
	return best;
}

struct model *catalog_target(struct catalog *c, uint64_t now_ns)
{
	struct model *primary = c->primary[0] ? catalog_find(c, c->primary) : NULL, *best = NULL;

	if (!primary || !primary->available)
		return NULL;
	if (primary->resident || (now_ns >= primary->retry_ns && !primary->held))
		return primary;
	for (unsigned i = 0; i < c->n; i++)
		if (c->at[i].resident && c->at[i].available)
			return &c->at[i];
	for (unsigned i = 0; i < c->n; i++) {
		struct model *m = &c->at[i];

		if (m->configured && m->available && now_ns >= m->retry_ns && (!best || m->configured < best->configured))
			best = m;
	}
	return best ? best : primary;
}

static const struct {
	unsigned cap;
	uint64_t flag;
} CAP_FLAGS[] = {
	{PROBE_CAP_TOOLS, SHM_MODEL_TOOLS},
	{PROBE_CAP_VISION, SHM_MODEL_VISION},
	{PROBE_CAP_THINKING, SHM_MODEL_THINKING},
};

static uint64_t flags_of(const struct catalog *c, const struct model *m, uint64_t now_ns)
{
	uint64_t flags = (m->available ? SHM_MODEL_AVAILABLE : 0) | (m->resident ? SHM_MODEL_RESIDENT : 0) |
			 (m->loading ? SHM_MODEL_LOADING : 0) | (m->configured ? SHM_MODEL_CONFIGURED : 0) |
			 (model_embeds(m) ? SHM_MODEL_EMBED : 0);

	if (c->primary[0] && strcmp(c->primary, m->name) == 0)
		flags |= SHM_MODEL_PRIMARY;
	if (m->failures && !m->resident && now_ns < m->retry_ns)
		flags |= SHM_MODEL_FAILED;
	for (size_t i = 0; i < sizeof(CAP_FLAGS) / sizeof(CAP_FLAGS[0]); i++)
		if (m->caps & CAP_FLAGS[i].cap)
			flags |= CAP_FLAGS[i].flag;
	return flags;
}

static void show_one(const struct catalog *c, const struct model *m, uint64_t now_ns, struct shm_model *out)
{
	memset(out, 0, sizeof(*out));
	out->flags = flags_of(c, m, now_ns);
	out->size_bytes = m->size_bytes;
	out->resident_bytes = m->resident ? m->resident_bytes : 0;
	out->vram_bytes = m->resident ? m->vram_bytes : 0;
	out->expires_wall_ns = m->expires_wall_ns;
	out->context = m->context;
	out->load_ns = m->load_ns;
	out->used_wall_ns = m->used_wall_ns;
	for (unsigned i = 0; i < PROBE_DIGEST; i++)
		out->digest[i / 8] = out->digest[i / 8] << 8 | m->digest[i];
	memcpy(out->name, m->name, strlen(m->name));
}

/* 0 is shown first. */
static unsigned rank(const struct catalog *c, const struct model *m)
{
	if (c->primary[0] && strcmp(c->primary, m->name) == 0)
		return 0;
	return m->configured ? 1 : m->resident || m->loading ? 2 : 3;
}

void catalog_show(const struct catalog *c, uint64_t now_ns, struct shm_models *out)
{
	out->n = 0;
	for (unsigned r = 0; r <= 3; r++)
		for (unsigned i = 0; i < c->n && out->n < SHM_MODELS; i++)
			if (rank(c, &c->at[i]) == r && strlen(c->at[i].name) < SHM_MODEL_NAME)
				show_one(c, &c->at[i], now_ns, &out->at[out->n++]);
	memset(&out->at[out->n], 0, (SHM_MODELS - out->n) * sizeof(out->at[0]));
}
