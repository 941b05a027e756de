/* Who pays for a request.  The table is small: whoever has nothing here and came longest ago makes room, and loses nothing by it,
 * since one who returns starts level with the others anyway. */
#include "router/routing.h"

#include <string.h>

#include "base/clock.h"

static struct tenant *oldest_idle(struct routing *t)
{
	struct tenant *old = NULL;

	for (unsigned i = 1; i < t->n_tenants; i++)
		if (!t->tenants[i].users && (!old || t->tenants[i].used_ns < old->used_ns))
			old = &t->tenants[i];
	return old;
}

struct tenant *tenant_find(const struct routing *t, uint64_t key)
{
	for (unsigned i = 0; i < t->n_tenants; i++)
		if (t->tenants[i].key == key)
			return &t->tenants[i];
	return NULL;
}

static struct tenant *find_or_make(struct routing *t, uint64_t key)
{
	struct tenant *n = tenant_find(t, key);

	if (n)
		return n;
	n = t->n_tenants < ROUTER_TENANTS ? &t->tenants[t->n_tenants++] : oldest_idle(t);
	if (!n)
		return &t->tenants[0];
	memset(n, 0, sizeof(*n));
	n->key = key;
	return n;
}

struct tenant *tenant_enter(struct routing *t, uint64_t key, uint64_t now_ns)
{
	struct tenant *n = find_or_make(t, key);

	n->users++;
	n->used_ns = now_ns;
	return n;
}

void tenant_leave(struct tenant *t)
{
	t->users--;
}
