/* The board as this router sees it: fresh copies of what decisions need, ages judged here and nowhere else. */
#include "router/router.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define VIEW_MODELS_MAX (SHM_MODELS)

static void unknown_log(const struct router *r, unsigned slot, const char *key)
{
	const char *name = r->conf.slots[slot].name;

	log_line(LOG_WARNING_, &(struct log_about){.slot = name, .model = key},
		 "slot %s %s: requests will not find it: the instances have more than %d models between them; remove what nobody needs", name, key,
		 ROUTER_MODELS);
}

/* Write this slot's bits of every model anew. */
static void take_models(struct router *r, unsigned slot, const struct shm_models *models)
{
	uint64_t bit = 1ULL << slot;
	struct slot *s = &r->slots[slot];

	for (unsigned i = 0; i < r->n_models; i++) {
		struct model *m = &r->models[i];

		m->slots &= ~bit;
		m->resident &= ~bit;
		m->loading &= ~bit;
		m->failed &= ~bit;
	}
	s->resident_bytes = 0;
	s->vram = false;
	lane_changed(r);
	for (uint64_t i = 0; i < models->n && i < VIEW_MODELS_MAX; i++) {
		const struct shm_model *sm = &models->at[i];
		char key[ROUTER_KEY];
		struct model *m;

		if (!(sm->flags & SHM_MODEL_AVAILABLE) || !model_key(sm->name, key))
			continue;
		m = model_intern(r, key);
		if (!m) {
			unknown_log(r, slot, key);
			continue;
		}
		m->slots |= bit;
		m->embed_only = sm->flags & SHM_MODEL_EMBED;
		m->flags = sm->flags;
		m->size_bytes = sm->size_bytes;
		m->load_ns = sm->load_ns ? sm->load_ns : m->load_ns;
		m->context[slot] = sm->context < UINT32_MAX ? (uint32_t)sm->context : UINT32_MAX;
		s->resident_bytes += sm->resident_bytes;
		s->vram |= sm->vram_bytes > 0;
		if (sm->flags & SHM_MODEL_RESIDENT)
			m->resident |= bit;
		if (sm->flags & SHM_MODEL_LOADING)
			m->loading |= bit;
		if (sm->flags & SHM_MODEL_FAILED)
			m->failed |= bit;
	}
}

static void forget_models(struct router *r, unsigned slot)
{
	struct shm_models none = {0};

	take_models(r, slot, &none);
	r->slots[slot].known = false;
	r->slots[slot].models_change = 0;
	r->slots[slot].models_gen = 0;
}

/* The list is large, and seldom a new one. */
static void refresh_models(struct router *r, unsigned i, const struct shm_vital *vital)
{
	struct slot *s = &r->slots[i];
	struct shm_models models;

	if (shm_read_models(r->board, i, &models) || models.gen != vital->gen)
		return;
	take_models(r, i, &models);
	s->models_change = vital->models_change;
	s->models_gen = vital->gen;
	s->known = true;
}

/* A beat may be a little younger than the time at hand, which was taken before; one far ahead is none. */
static bool is_young(uint64_t beat_ns, uint64_t now_ns)
{
	return now_ns - beat_ns + PROC_BEAT_LATE_NS < 2 * PROC_BEAT_LATE_NS;
}

static void refresh_slot(struct router *r, unsigned i, uint64_t now_ns)
{
	struct slot *s = &r->slots[i];
	struct shm_owner owner;
	struct shm_vital vital;
	enum shm_wanted wanted = s->wanted;
	enum shm_state state = s->state;

	if (shm_read_slot(r->board, i, &owner) == 0) {
		s->wanted = owner.wanted == SHM_WANT_RESTART ? SHM_WANT_RUN : (enum shm_wanted)owner.wanted;
		s->child = (enum shm_child)owner.child_state;
		s->gen = owner.gen;
		s->adopted = owner.adopted;
	}
	if (shm_read_vital(r->board, i, &vital) == 0 && vital.gen == s->gen && is_young(vital.beat_ns, now_ns)) {
		s->fresh_ns = now_ns;
		s->state = (enum shm_state)vital.state;
		s->reason = vital.reason;
		s->cache = (uint32_t)(vital.ollama_pid ^ vital.ollama_start << 8);
		memcpy(s->version, vital.version, sizeof(s->version));
		/* Before its first look into the store a worker shows an empty list: what was known stays known until then. */
		if (vital.tags_ns && (vital.models_change != s->models_change || vital.gen != s->models_gen))
			refresh_models(r, i, &vital);
	} else if (now_ns - s->fresh_ns > PROC_LASTGOOD_NS && s->state != SHM_STATE_NONE) {
		/* The worker is away for longer than a restart takes: what it said last no longer counts. */
		s->state = SHM_STATE_NONE;
		forget_models(r, i);
	}
	if (s->wanted != wanted || s->state != state)
		lane_changed(r);
}

void view_refresh(struct router *r, uint64_t now_ns)
{
	if (now_ns - r->view_ns < ROUTER_VIEW_NS)
		return;
	r->view_ns = now_ns;
	for (unsigned i = 0; r->board && i < PROC_SLOTS; i++) {
		struct slot *s = &r->slots[i];

		if (r->conf.slots[i].used) {
			s->used = true;
			refresh_slot(r, i, now_ns);
		} else if (s->used) {
			s->used = false;
			s->state = SHM_STATE_NONE;
			forget_models(r, i);
			routing_forget_slot(r, i);
			upstream_drop_idle(r, (int)i);
		}
	}
}

bool view_sibling(const struct router *r, unsigned i)
{
	struct shm_child_line child;
	struct shm_router_ident ident;

	return i != r->conf.common.index && shm_read_router_child(r->board, i, &child) == 0 && shm_read_router_ident(r->board, i, &ident) == 0 &&
	       child.gen == ident.gen && child.pid;
}

unsigned view_in_flight(struct router *r, unsigned slot)
{
	uint64_t sum = r->slots[slot].in_flight;

	for (unsigned i = 0; r->conf.routers > 1 && r->board && i < r->conf.routers; i++)
		if (view_sibling(r, i))
			sum += atomic_load_explicit(&shm_router_slot(r->board, i, slot)->in_flight, memory_order_seq_cst);
	return (unsigned)sum;
}

unsigned view_active(struct router *r)
{
	uint64_t sum = r->active;

	for (unsigned i = 0; r->conf.routers > 1 && r->board && i < r->conf.routers; i++)
		if (view_sibling(r, i))
			sum += shm_get(&shm_router_counters(r->board, i)->active);
	return (unsigned)sum;
}
