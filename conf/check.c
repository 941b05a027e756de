/* Rules that concern more than one line.  Presence is judged by where a keyword stands, not by its value, so that a value that was
 * refused already is not also called missing. */
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/scan.h"
#include "conf/loading.h"

/* The kernel gives these to outgoing connections unless ip_local_port_range says otherwise. */
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_LAST  60999

struct check {
	struct conf_loading *l;
	const struct conf *c;
};

static bool stands(const struct check *k, unsigned i, enum conf_keyword_id id)
{
	return k->l->instance_given[i][id].at.line > 0;
}

/* The keyword's place, or the instance's where it does not stand. */
static struct conf_place place_of(const struct check *k, unsigned i, enum conf_keyword_id id)
{
	return stands(k, i, id) ? k->l->instance_given[i][id].at : k->l->instance_at[i];
}

#define instance_error(k, i, id, ...)   conf_error((k)->l, place_of(k, i, id), __VA_ARGS__)
#define instance_warning(k, i, id, ...) conf_warning((k)->l, place_of(k, i, id), __VA_ARGS__)

/* --- one instance --------------------------------------------------------------------------------------------------------------- */

/* What has no sense for an Ollama that tsa does not start. */
static const enum conf_keyword_id STARTED_ONLY[] = {
	CONF_KW_INSTANCE_listen, CONF_KW_INSTANCE_environment, CONF_KW_INSTANCE_environment_file,
	CONF_KW_INSTANCE_fds,    CONF_KW_INSTANCE_cpus,        CONF_KW_INSTANCE_mems,
	CONF_KW_MEMORY_low,      CONF_KW_MEMORY_high,          CONF_KW_MEMORY_max,
};

static void adopted_check(const struct check *k, unsigned i)
{
	k->c->instances[i].fds_limit = 0; /* nobody here could start it again */
	for (unsigned n = 0; n < ARRAY_SIZE(STARTED_ONLY); n++)
		if (stands(k, i, STARTED_ONLY[n]))
			instance_error(k, i, STARTED_ONLY[n],
				       "\"%s\" is for an Ollama that tsa starts, and \"%s\" has a url; take it out or write "
				       "command instead of url",
				       conf_keyword(STARTED_ONLY[n])->word, k->c->instances[i].name);
}

static void started_check(const struct check *k, unsigned i)
{
	const struct conf_instance *inst = &k->c->instances[i];
	const unsigned port = conf_addr_port(&inst->addr);

	if (!stands(k, i, CONF_KW_INSTANCE_listen))
		instance_error(k, i, CONF_KW_INSTANCE_command,
			       "instance \"%s\" has a command and no listen; write for example listen = 127.0.0.1:11501",
			       inst->name);
	if (!stands(k, i, CONF_KW_INSTANCE_models))
		instance_error(k, i, CONF_KW_INSTANCE_command,
			       "instance \"%s\" has no model; write for example models = {\"llama3.2:3b\"}", inst->name);
	if (port >= EPHEMERAL_FIRST && port <= EPHEMERAL_LAST)
		instance_warning(k, i, CONF_KW_INSTANCE_listen,
				 "port %u may be taken by an outgoing connection when \"%s\" starts; choose one below %d", port,
				 inst->name, EPHEMERAL_FIRST);
}

static void memory_check(const struct check *k, unsigned i)
{
	const struct conf_instance *inst = &k->c->instances[i];

	if (inst->memory_low_bytes && inst->memory_high_bytes && inst->memory_low_bytes > inst->memory_high_bytes)
		instance_error(k, i, CONF_KW_MEMORY_low, "memory low of \"%s\" is above its high; write low <= high <= max",
			       inst->name);
	if (inst->memory_high_bytes && inst->memory_max_bytes && inst->memory_high_bytes > inst->memory_max_bytes)
		instance_error(k, i, CONF_KW_MEMORY_high, "memory high of \"%s\" is above its max; write low <= high <= max",
			       inst->name);
	else if (inst->memory_low_bytes && inst->memory_max_bytes && inst->memory_low_bytes > inst->memory_max_bytes)
		instance_error(k, i, CONF_KW_MEMORY_low, "memory low of \"%s\" is above its max; write low <= high <= max",
			       inst->name);
}

static void instance_check(const struct check *k, unsigned i)
{
	const struct conf_instance *inst = &k->c->instances[i];
	const bool command = stands(k, i, CONF_KW_INSTANCE_command), url = stands(k, i, CONF_KW_INSTANCE_url);

	if (command && url)
		instance_error(k, i, CONF_KW_INSTANCE_url,
			       "instance \"%s\" has a command and a url; keep command if tsa is to start the Ollama, url if it "
			       "runs already",
			       inst->name);
	else if (url)
		adopted_check(k, i);
	else if (command)
		started_check(k, i);
	else
		instance_error(k, i, CONF_KW_INSTANCE_command,
			       "instance \"%s\" has neither command nor url; write command = {\"ollama\", \"serve\"} or url = "
			       "\"http://127.0.0.1:11434\"",
			       inst->name);
	if (inst->pinned && !inst->n_models && !stands(k, i, CONF_KW_INSTANCE_models))
		instance_warning(k, i, CONF_KW_INSTANCE_pinned, "\"%s\" is pinned and names no model to keep; write models = {…}",
				 inst->name);
	memory_check(k, i);
}

/* --- two instances ---------------------------------------------------------------------------------------------------------------- */

static void pair_check(const struct check *k, unsigned i, unsigned j)
{
	const struct conf_instance *a = &k->c->instances[i], *b = &k->c->instances[j];
	const enum conf_keyword_id where = b->adopted ? CONF_KW_INSTANCE_url : CONF_KW_INSTANCE_listen;
	unsigned first;

	if (*a->name && strcmp(a->name, b->name) == 0)
		conf_error(k->l, k->l->instance_at[j],
			   "there is an instance \"%s\" in %.100s:%u already; give this one another name", b->name, a->file,
			   a->line);
	if (conf_addr_clash(&a->addr, &b->addr))
		instance_error(k, j, where, "\"%s\" is at %s, and \"%s\" of %.100s:%u is at %s; give one another port", b->name,
			       b->addr.text, a->name, a->file, a->line, a->addr.text);
	if (!a->adopted && !b->adopted && conf_cpuset_overlap(&a->cpus, &b->cpus, &first))
		instance_error(k, j, CONF_KW_INSTANCE_cpus,
			       "\"%s\" and \"%s\" of %.100s:%u both want processor %u; give each its own", b->name, a->name,
			       a->file, a->line, first);
}

static void listener_check(const struct check *k, unsigned i)
{
	const struct conf_instance *inst = &k->c->instances[i];

	for (unsigned n = 0; n < k->c->n_listen; n++)
		if (conf_addr_clash(&k->c->listen[n], &inst->addr))
			instance_error(k, i, inst->adopted ? CONF_KW_INSTANCE_url : CONF_KW_INSTANCE_listen,
				       "\"%s\" is at %s, where tsa itself listens for clients (%s); give one another port",
				       inst->name, inst->addr.text, k->c->listen[n].text);
}

/* --- all of it ---------------------------------------------------------------------------------------------------------------------- */

static void listeners_check(const struct check *k)
{
	const struct conf_place at = k->l->given[CONF_KW_TOP_listen].at;

	for (unsigned i = 0; i < k->c->n_listen; i++)
		for (unsigned j = i + 1; j < k->c->n_listen; j++)
			if (conf_addr_clash(&k->c->listen[i], &k->c->listen[j]))
				conf_error(k->l, at, "listen: %s and %s cannot both be had; take one out", k->c->listen[i].text,
					   k->c->listen[j].text);
}

/* Deadlines that others would always end first. */
static const struct {
	enum conf_keyword_id inner;
	enum conf_keyword_id outer;
} NESTED[] = {
	{CONF_KW_DEADLINES_first_byte, CONF_KW_DEADLINES_total},
	{CONF_KW_DEADLINES_queue, CONF_KW_DEADLINES_total},
	{CONF_KW_DEADLINES_connect, CONF_KW_DEADLINES_first_byte},
	{CONF_KW_INTERACTIVE_wait, CONF_KW_DEADLINES_total},
	{CONF_KW_NORMAL_wait, CONF_KW_DEADLINES_total},
	{CONF_KW_BATCH_wait, CONF_KW_DEADLINES_total},
	{CONF_KW_BREAKER_pause, CONF_KW_BREAKER_longest},
};

static uint64_t deadline_ns(const struct check *k, enum conf_keyword_id id)
{
	return *(const uint64_t *)(const void *)((const char *)k->c + conf_keyword(id)->offset);
}

static void deadlines_check(const struct check *k)
{
	for (unsigned i = 0; i < ARRAY_SIZE(NESTED); i++) {
		const char *inner = conf_keyword(NESTED[i].inner)->word, *outer = conf_keyword(NESTED[i].outer)->word;
		struct conf_place at = k->l->given[NESTED[i].inner].at;

		if (deadline_ns(k, NESTED[i].inner) > deadline_ns(k, NESTED[i].outer))
			conf_warning(k->l, at.line ? at : k->l->given[NESTED[i].outer].at,
				     "%s is longer than %s, which therefore ends it; write %s <= %s", inner, outer, inner, outer);
	}
}

/* Nobody will answer the default model when every instance names its models and none names this one. */
static void default_model_check(const struct check *k)
{
	if (!*k->c->default_model || !k->c->n_instances)
		return;
	for (unsigned i = 0; i < k->c->n_instances; i++) {
		const struct conf_instance *inst = &k->c->instances[i];

		if (!inst->n_models)
			return;
		for (unsigned m = 0; m < inst->n_models; m++)
			if (strcmp(inst->models[m], k->c->default_model) == 0)
				return;
	}
	conf_warning(k->l, k->l->given[CONF_KW_TOP_default_model].at, "default_model: no instance names %.100s among its models",
		     k->c->default_model);
}

void conf_check(struct conf_loading *l)
{
	const struct check k = {.l = l, .c = &l->whole->conf};

	if (!k.c->n_listen && !l->report->errors)
		conf_error(l, l->given[CONF_KW_TOP_listen].at,
			   "listen: there is no address; write for example listen = {\"127.0.0.1:8480\"}");
	if (!k.c->n_instances && !l->report->errors)
		conf_error(l, CONF_NOWHERE,
			   "there is no instance; is the file whole? write one: instance \"main\" { url = "
			   "\"http://127.0.0.1:11434\" }");
	listeners_check(&k);
	deadlines_check(&k);
	default_model_check(&k);
	for (unsigned i = 0; i < k.c->n_instances; i++) {
		instance_check(&k, i);
		listener_check(&k, i);
		for (unsigned j = i + 1; j < k.c->n_instances; j++)
			pair_check(&k, i, j);
	}
}
