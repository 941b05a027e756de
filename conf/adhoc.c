/* A configuration without a file: what the command line says, the defaults for the rest. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/scan.h"
#include "conf/loading.h"

#define ADOPT_DEFAULT "http://127.0.0.1:11434"
#define URL_PORT      11434

static void listen_add(struct conf_loading *l, const char *text)
{
	struct conf *c = &l->whole->conf;
	struct why why = {""};

	if (conf_addr_parse(text, 0, &c->listen[c->n_listen], &why) < 0)
		conf_error(l, CONF_NOWHERE, "--listen: %s", why.text);
	else
		c->n_listen++;
}

/* "[NAME=]URL"; without a name the port makes one. */
static void instance_adopt(struct conf_loading *l, const char *text, unsigned slots)
{
	const char *equal = strchr(text, '='), *url = equal ? equal + 1 : text;
	struct conf_addr addr;
	struct why why = {""};
	char name[256];
	struct conf_instance *inst;

	if (conf_addr_parse(url, URL_PORT, &addr, &why) < 0) {
		conf_error(l, CONF_NOWHERE, "--adopt: %s", why.text);
		return;
	}
	if (equal)
		snprintf(name, sizeof(name), "%.*s", (int)(equal - text > 250 ? 250 : equal - text), text);
	else
		snprintf(name, sizeof(name), "ollama-%u", conf_addr_port(&addr));
	inst = conf_instance_add(l, CONF_NOWHERE);
	BUG_ON(!inst); /* struct conf_adhoc has no room for one too many */
	conf_instance_name(l, inst, CONF_NOWHERE, name);
	inst->addr = addr;
	inst->adopted = true;
	inst->fds_limit = 0;
	if (slots)
		inst->places = slots;
}

/* Children have a working directory of their own. */
static void state_dir_take(struct conf_loading *l, const char *dir)
{
	struct conf *c = &l->whole->conf;
	char cwd[sizeof(c->state_dir)] = "";
	int n;

	if (dir[0] != '/' && !getcwd(cwd, sizeof(cwd))) {
		conf_error(l, CONF_NOWHERE, "--state: the working directory cannot be named; write an absolute path");
		return;
	}
	n = snprintf(c->state_dir, sizeof(c->state_dir), "%s%s%s", cwd, *cwd ? "/" : "", dir);
	if (n < 1 || n > CONF_PATH_MOST)
		conf_error(l, CONF_NOWHERE,
			   "--state: the path is empty or longer than %d bytes, too long for the control socket in it; choose a "
			   "shorter one",
			   CONF_PATH_MOST);
}

/* The same rules as between two lines of a file. */
static void pairs_check(struct conf_loading *l)
{
	const struct conf *c = &l->whole->conf;

	for (unsigned i = 0; i < c->n_instances; i++) {
		for (unsigned n = 0; n < c->n_listen; n++)
			if (conf_addr_clash(&c->instances[i].addr, &c->listen[n]))
				conf_error(l, CONF_NOWHERE, "--adopt: %s is where tsa itself listens; give one another port",
					   c->instances[i].addr.text);
		for (unsigned j = i + 1; j < c->n_instances; j++) {
			if (conf_addr_clash(&c->instances[i].addr, &c->instances[j].addr))
				conf_error(l, CONF_NOWHERE, "--adopt: %s is named twice; take one out", c->instances[j].addr.text);
			else if (strcmp(c->instances[i].name, c->instances[j].name) == 0)
				conf_error(l, CONF_NOWHERE, "--adopt: two instances are called \"%s\"; write NAME=%s", c->instances[j].name,
					   c->instances[j].addr.text);
		}
	}
}

int conf_adhoc_make(const struct conf_adhoc *a, struct conf **out, struct conf_report *report)
{
	struct conf_loading *l;
	int rc = conf_loading_begin("command line", report, &l);

	if (rc < 0)
		return rc;
	if (a->n_listen)
		l->whole->conf.n_listen = 0; /* the preset goes */
	for (unsigned i = 0; i < a->n_listen; i++)
		listen_add(l, a->listen[i]);
	for (unsigned i = 0; i < a->n_adopt; i++)
		instance_adopt(l, a->adopt[i], a->slots);
	if (!a->n_adopt) {
		instance_adopt(l, ADOPT_DEFAULT, a->slots);
		conf_warning(l, CONF_NOWHERE,
			     "no instance is named: looking for an Ollama at " ADOPT_DEFAULT " (--adopt URL names another)");
	}
	if (a->state_dir)
		state_dir_take(l, a->state_dir);
	pairs_check(l);
	return conf_loading_end(l, out);
}
