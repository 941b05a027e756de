/* Which model a worker should load: said on this router's page, as long as somebody waits for it. */
#include "router/router.h"

#include <string.h>

#include "base/log.h"

static void wish_clear(struct router *r, struct model *m)
{
	struct shm_wish none = {0};

	if (m->wish < 0)
		return;
	if (r->page)
		shm_wish_publish(r->page, (unsigned)m->wish, m->wish_n, &none);
	r->slots[m->wish].wishes &= (uint8_t) ~(1U << m->wish_n);
	m->wish = -1;
}

void wish_say(struct router *r, const struct model *m)
{
	struct shm_wish w = {.gen = r->conf.common.gen, .kind = SHM_WISH_WARM, .since_ns = m->wish_ns};

	memcpy(w.model, m->key, strlen(m->key) + 1);
	shm_wish_publish(r->page, (unsigned)m->wish, m->wish_n, &w);
}

void wish_make(struct router *r, struct model *m, unsigned slot, uint64_t now_ns)
{
	struct slot *s = &r->slots[slot];

	for (unsigned i = 0; i < SHM_WISHES && r->page; i++) {
		if (s->wishes & (1U << i))
			continue;
		s->wishes |= (uint8_t)(1U << i);
		m->wish = (int8_t)slot;
		m->wish_n = (uint8_t)i;
		m->wish_ns = now_ns;
		wish_say(r, m);
		log_line(LOG_INFO_, &(struct log_about){.slot = r->conf.slots[slot].name, .model = m->key},
			 "slot %s %s: asked to load it, %u waiting", r->conf.slots[slot].name, m->key, m->lane.waiting);
		return;
	}
}

void wishes_forget(struct router *r)
{
	for (unsigned i = 0; i < r->n_models; i++)
		r->models[i].wish = -1;
	for (unsigned i = 0; i < PROC_SLOTS; i++)
		r->slots[i].wishes = 0;
}

void wish_check(struct router *r, struct model *m)
{
	uint64_t bit;

	if (m->wish < 0)
		return;
	bit = 1ULL << m->wish;
	if (!m->lane.waiting || (m->resident & bit) || (m->failed & bit) || !(m->slots & bit) ||
	    r->slots[m->wish].state != SHM_STATE_READY)
		wish_clear(r, m);
}
