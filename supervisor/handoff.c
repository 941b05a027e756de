/* Configuration to messages: flat copies, nothing decided. */
#include "supervisor/supervisor.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"

_Static_assert(PROC_MODELS >= CONF_MODELS && PROC_SLOTS >= SHM_SLOTS && PROC_ARGV >= CONF_ARGV_BYTES && PROC_ENV >= CONF_ENV_BYTES,
	       "what is configured fits into its message");

static void common_make(const struct sup *sup, const struct sup_child *c, struct proc_common *out)
{
	out->index = c->index;
	out->gen = c->gen;
	out->conf_gen = sup->conf_gen;
	out->uid = sup->uid;
	out->gid = sup->gid;
	out->log_level = (uint32_t)sup_options_level(&sup->options, sup->conf);
	snprintf(out->ctl_path, sizeof(out->ctl_path), "%s", sup->ctl_path);
	snprintf(out->dir, sizeof(out->dir), "%s", sup->dir);
}

void sup_handoff_addr(const struct conf_addr *from, struct proc_addr *to)
{
	const struct sockaddr_in *v4 = (const void *)&from->sa;
	const struct sockaddr_in6 *v6 = (const void *)&from->sa;

	memset(to, 0, sizeof(*to));
	to->family = from->sa.ss_family;
	if (from->sa.ss_family == AF_INET6) {
		to->port = ntohs(v6->sin6_port);
		memcpy(to->ip, &v6->sin6_addr, sizeof(v6->sin6_addr));
	} else {
		to->port = ntohs(v4->sin_port);
		memcpy(to->ip, &v4->sin_addr, sizeof(v4->sin_addr));
	}
	snprintf(to->text, sizeof(to->text), "%s", from->text);
}

void sup_handoff_worker(const struct sup_slot *slot, struct proc_worker_conf *out)
{
	const struct sup *sup = slot->child.sup;
	const struct conf *conf = sup->conf;
	const struct conf_instance *inst = slot->conf;

	memset(out, 0, sizeof(*out));
	common_make(sup, &slot->child, &out->common);
	out->common.conf_gen = slot->conf_gen;
	snprintf(out->name, sizeof(out->name), "%s", slot->name);
	sup_handoff_addr(&inst->addr, &out->addr);
	out->adopted = inst->adopted;
	out->places = inst->places;
	out->pinned = inst->pinned;
	out->fds_limit = inst->fds_limit;
	out->n_models = inst->n_models;
	for (unsigned i = 0; i < inst->n_models; i++)
		snprintf(out->models[i], sizeof(out->models[i]), "%s", inst->models[i]);
	out->argv_len = (uint32_t)inst->argv_len;
	if (inst->argv_len)
		memcpy(out->argv, inst->argv, inst->argv_len);
	out->env_len = (uint32_t)inst->env_len;
	if (inst->env_len)
		memcpy(out->env, inst->env, inst->env_len);
	out->start_ns = conf->start_ns;
	out->load_ns = conf->load_ns;
	out->probe_ns = conf->probe_ns;
	out->answer_ns = conf->answer_ns;
	out->able_ns = conf->able_ns;
	out->warm_ns = conf->warm_ns;
	out->stop_ns = conf->stop_ns;
	out->ollama = slot->ollama;
}

static void limits_copy(const struct conf *conf, struct proc_router_conf *out)
{
	out->manage = conf->manage;
	out->conns = conf->conns;
	out->headers = conf->headers;
	out->head_bytes = conf->head_bytes;
	out->body_bytes = conf->body_bytes;
	out->buffer_bytes = conf->buffer_bytes;
	out->queue = conf->queue;
	out->active = conf->active;
	out->head_ns = conf->head_ns;
	out->body_ns = conf->body_ns;
	out->body_rate_bytes = conf->body_rate_bytes;
	out->idle_ns = conf->idle_ns;
	out->queue_ns = conf->queue_ns;
	out->connect_ns = conf->connect_ns;
	out->first_ns = conf->first_ns;
	out->gap_ns = conf->gap_ns;
	out->total_ns = conf->total_ns;
	out->stall_ns = conf->stall_ns;
	out->stall_rate_bytes = conf->stall_rate_bytes;
	out->park_ns = conf->park_ns;
	snprintf(out->default_model, sizeof(out->default_model), "%s", conf->default_model);
}

/* The value of NAME in a packed environment, or NULL. */
static const char *env_value(const struct conf_instance *inst, const char *name)
{
	size_t len = strlen(name);

	for (size_t at = 0; at < inst->env_len; at += strlen(inst->env + at) + 1)
		if (strncmp(inst->env + at, name, len) == 0 && inst->env[at + len] == '=')
			return inst->env + at + len + 1;
	return NULL;
}

/* Instances we start whose models lie in the same directory share a store; where an adopted one has its models we cannot know. */
static bool same_store(const struct conf_instance *a, const struct conf_instance *b)
{
	static const char *const WHERE[] = {"OLLAMA_MODELS", "HOME"};

	for (size_t i = 0; i < ARRAY_SIZE(WHERE) && !a->adopted && !b->adopted; i++) {
		const char *va = env_value(a, WHERE[i]), *vb = env_value(b, WHERE[i]);

		if (va || vb)
			return va && vb && strcmp(va, vb) == 0;
	}
	return !a->adopted && !b->adopted;
}

/* The number of a slot's store: one more than the first slot that shares it; 0 when no other does. */
static uint32_t store_of(const struct sup *sup, unsigned slot)
{
	const struct conf_instance *inst = sup->slots[slot].conf;
	uint32_t first = 0;
	bool shared = false;

	for (unsigned i = 0; inst && i < SHM_SLOTS; i++) {
		if (!sup->slots[i].used || !sup->slots[i].conf || !same_store(inst, sup->slots[i].conf))
			continue;
		first = first ? first : i + 1;
		shared |= i != slot;
	}
	return shared ? first : 0;
}

static void tags_pack(const struct conf_instance *inst, struct proc_slot *out)
{
	for (unsigned i = 0; inst && i < inst->n_tags; i++)
		out->tags_len += (uint32_t)snprintf(out->tags + out->tags_len, sizeof(out->tags) - out->tags_len, "%s", inst->tags[i]) + 1;
}

void sup_handoff_router(const struct sup *sup, const struct sup_child *c, struct proc_router_conf *out)
{
	memset(out, 0, sizeof(*out));
	common_make(sup, c, &out->common);
	out->routers = sup->conf->routers;
	limits_copy(sup->conf, out);
	sup_handoff_routing(sup->conf, &out->routing);
	for (unsigned i = 0; i < SHM_SLOTS; i++) {
		const struct sup_slot *slot = &sup->slots[i];

		if (!slot->used)
			continue;
		out->slots[i].used = 1;
		out->slots[i].places = slot->places;
		out->slots[i].store = store_of(sup, i);
		out->slots[i].addr = slot->addr;
		tags_pack(slot->conf, &out->slots[i]);
		snprintf(out->slots[i].name, sizeof(out->slots[i].name), "%s", slot->name);
	}
}

void sup_handoff_host(const struct sup *sup, struct proc_host_conf *out)
{
	memset(out, 0, sizeof(*out));
	common_make(sup, &sup->host, &out->common);
	out->probe_ns = sup->conf->probe_ns;
}
