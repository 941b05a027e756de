/* What the routers decide and why is known to them alone: the question goes to them, and the first who knows answers. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"

static struct sup_peer *asker(struct sup *sup, const struct sup_ask *a)
{
	for (unsigned i = 0; i < CTL_PEERS; i++)
		if (sup->peers[i].fd >= 0 && sup->peers[i].number == a->peer_number)
			return &sup->peers[i];
	return NULL;
}

/* A free place, or the oldest question's: whoever put it has gone by now, or its router has. */
static struct sup_ask *place(struct sup *sup)
{
	struct sup_ask *oldest = &sup->asks[0];

	for (unsigned i = 0; i < ARRAY_SIZE(sup->asks); i++)
		if (sup->asks[i].number < oldest->number)
			oldest = &sup->asks[i];
	return oldest;
}

int sup_explain_begin(struct sup *sup, uint64_t peer_number, const char *what, const char *text, struct why *why)
{
	uint32_t about = strcmp(what, "request") == 0 ? PROC_EXPLAIN_REQUEST : PROC_EXPLAIN_PROMPT;
	struct sup_ask a = {.number = ++sup->ask_number, .peer_number = peer_number};

	if (about == PROC_EXPLAIN_PROMPT && strcmp(what, "prompt") != 0)
		return why_set(why, -EINVAL, "\"%.40s\" cannot be explained; ask for a prompt or a request", what);
	for (unsigned i = 0; i < SHM_ROUTERS; i++) {
		struct sup_child *c = &sup->routers[i];

		if (c->state != SHM_CHILD_RUNNING || c->foreign)
			continue;
		if (sup_orders_send(c, PROC_EXPLAIN, about, a.number, text, strlen(text) + 1) == 0)
			a.waiting |= 1U << i;
		/* A prompt would fare alike with all of them; a request was one's. */
		if (a.waiting && about == PROC_EXPLAIN_PROMPT)
			break;
	}
	if (!a.waiting)
		return why_set(why, -EAGAIN, "no router runs that could answer; see `tsactl routers`");
	*place(sup) = a;
	return 0;
}

void sup_explain_take(struct sup_child *c, const struct proc_msg *msg, const void *payload)
{
	struct sup *sup = c->sup;
	struct sup_peer *p;

	for (unsigned i = 0; i < ARRAY_SIZE(sup->asks); i++) {
		struct sup_ask *a = &sup->asks[i];

		if (!a->number || a->number != msg->arg || c->role != PROC_ROUTER || !(a->waiting & (1U << c->index)))
			continue;
		a->waiting &= ~(1U << c->index);
		if (!msg->flags && a->waiting)
			return; /* another may know */
		p = asker(sup, a);
		*a = (struct sup_ask){0};
		if (p)
			sup_control_answer(p, CTL_EXPLAIN, msg->flags ? 0 : -ENOENT, payload);
		return;
	}
}
