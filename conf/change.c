#include <string.h>

#include "conf/conf.h"

static bool same_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool same_addr(const struct conf_addr *a, const struct conf_addr *b)
{
	return strcmp(a->text, b->text) == 0;
}

static bool same_set(const struct conf_cpuset *a, const struct conf_cpuset *b)
{
	return memcmp(a->bits, b->bits, sizeof(a->bits)) == 0;
}

/* What the Ollama process was born with, or what decides whether there is one. */
static bool same_process(const struct conf_instance *a, const struct conf_instance *b)
{
	return a->adopted == b->adopted && same_addr(&a->addr, &b->addr) &&
	       same_bytes(a->argv, a->argv_len, b->argv, b->argv_len) && same_bytes(a->env, a->env_len, b->env, b->env_len) &&
	       (a->adopted || a->places == b->places);
}

static bool same_models(const struct conf_instance *a, const struct conf_instance *b)
{
	if (a->n_models != b->n_models || a->n_tags != b->n_tags)
		return false;
	for (unsigned i = 0; i < a->n_models; i++)
		if (strcmp(a->models[i], b->models[i]) != 0)
			return false;
	for (unsigned i = 0; i < a->n_tags; i++)
		if (strcmp(a->tags[i], b->tags[i]) != 0)
			return false;
	return true;
}

static bool same_rest(const struct conf_instance *a, const struct conf_instance *b)
{
	return a->places == b->places && a->pinned == b->pinned && a->fds_limit == b->fds_limit && same_set(&a->cpus, &b->cpus) &&
	       same_set(&a->mems, &b->mems) && a->memory_low_bytes == b->memory_low_bytes &&
	       a->memory_high_bytes == b->memory_high_bytes && a->memory_max_bytes == b->memory_max_bytes && same_models(a, b);
}

enum conf_change conf_instance_change(const struct conf_instance *a, const struct conf_instance *b)
{
	if (!same_process(a, b))
		return CONF_RESTART;
	return same_rest(a, b) ? CONF_SAME : CONF_LIVE;
}

/* FNV-1a, each member with its length, so that no two lists of members look alike. */
static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	hash = (hash ^ len) * 0x100000001b3ULL;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3ULL;
	return hash;
}

uint64_t conf_instance_identity(const struct conf_instance *inst)
{
	uint32_t places = inst->adopted ? 0 : inst->places;
	uint64_t hash = 0xcbf29ce484222325ULL;

	hash = mix(hash, inst->addr.text, strlen(inst->addr.text));
	hash = mix(hash, &places, sizeof(places));
	hash = mix(hash, inst->argv, inst->argv_len);
	return mix(hash, inst->env, inst->env_len);
}
