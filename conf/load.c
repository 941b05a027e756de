#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/scan.h"
#include "conf/loading.h"

#define INSTANCES_DIR "instances.d"

/* --- begin and end ------------------------------------------------------------------------------------------------------------- */

/* Root serves the machine, anybody else himself. */
static void state_dir_preset(struct conf *c)
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		snprintf(c->state_dir, sizeof(c->state_dir), "/run/tsa");
	else if (run && run[0] == '/' && strlen(run) < 80)
		snprintf(c->state_dir, sizeof(c->state_dir), "%s/tsa", run);
	else
		snprintf(c->state_dir, sizeof(c->state_dir), "/tmp/tsa-%u", (unsigned)geteuid());
}

int conf_loading_begin(const char *main_file, struct conf_report *report, struct conf_loading **out)
{
	struct conf_loading *l = calloc(1, sizeof(*l));
	struct conf_whole *w = calloc(1, sizeof(*w));
	struct conf *c = w ? &w->conf : NULL;

	memset(report, 0, sizeof(*report));
	if (w) {
		w->files[w->n_files++] = strdup(main_file);
		c->instances = calloc(CONF_INSTANCES, sizeof(*c->instances));
	}
	if (!l || !w || !w->files[0] || !c->instances) {
		conf_destroy(&c);
		free(l);
		report->errors = report->n = 1;
		snprintf(report->text[0], sizeof(report->text[0]), "%.120s: there is no memory for a configuration", main_file);
		return -ENOMEM;
	}
	l->whole = w;
	l->report = report;
	for (unsigned s = CONF_IN_TOP; s < CONF_IN_COUNT; s++)
		if (s != CONF_IN_INSTANCE && s != CONF_IN_MEMORY && s != CONF_IN_MODEL)
			conf_preset(s, c);
	state_dir_preset(c);
	*out = l;
	return 0;
}

int conf_loading_end(struct conf_loading *l, struct conf **out)
{
	struct conf *c = &l->whole->conf;
	const int rc = l->rc < 0 ? l->rc : l->report->errors ? -EINVAL : 0;

	free(l);
	if (rc < 0) {
		conf_destroy(&c);
		return rc;
	}
	*out = c;
	return 0;
}

void conf_destroy(struct conf **c)
{
	struct conf_whole *w;

	if (!c || !*c)
		return;
	w = container_of(*c, struct conf_whole, conf);
	for (unsigned i = 0; i < w->conf.n_instances; i++) {
		free(w->conf.instances[i].argv);
		if (w->conf.instances[i].env)
			explicit_bzero(w->conf.instances[i].env, w->conf.instances[i].env_len);
		free(w->conf.instances[i].env);
	}
	free(w->conf.instances);
	for (unsigned i = 0; i < w->n_files; i++)
		free(w->files[i]);
	free(w);
	*c = NULL;
}

struct conf_instance *conf_instance_add(struct conf_loading *l, struct conf_place at)
{
	struct conf *c = &l->whole->conf;
	struct conf_instance *inst;

	if (c->n_instances == CONF_INSTANCES) {
		conf_error(l, at, "there may be %d instances, and this is one more; take it out", CONF_INSTANCES);
		return NULL;
	}
	l->instance_at[c->n_instances] = at;
	inst = &c->instances[c->n_instances++];
	inst->file = l->whole->files[at.file];
	inst->line = at.line;
	conf_preset(CONF_IN_INSTANCE, inst);
	conf_preset(CONF_IN_MEMORY, inst);
	return inst;
}

void conf_instance_name(struct conf_loading *l, struct conf_instance *inst, struct conf_place at, const char *name)
{
	if (!scan_name_ok(name, sizeof(inst->name) - 1))
		conf_error(l, at, "\"%.40s\" is not a name for an instance; write up to %zu letters, digits, - _ and .", name,
			   sizeof(inst->name) - 1);
	else
		snprintf(inst->name, sizeof(inst->name), "%s", name);
}

struct conf_rule *conf_rule_add(struct conf_loading *l, struct conf_place at)
{
	struct conf *c = &l->whole->conf;
	struct conf_rule *rule;

	if (c->n_rules == CONF_RULES) {
		conf_error(l, at, "there may be %d sections \"model\", and this is one more; take it out", CONF_RULES);
		return NULL;
	}
	rule = &c->rules[c->n_rules++];
	rule->line = at.line;
	conf_preset(CONF_IN_MODEL, rule);
	return rule;
}

void conf_rule_name(struct conf_loading *l, struct conf_rule *rule, struct conf_place at, const char *name)
{
	const struct conf *c = &l->whole->conf;
	struct why why = {""};

	if (conf_model_check(name, &why) < 0) {
		conf_error(l, at, "model: %s", why.text);
		return;
	}
	for (const struct conf_rule *r = c->rules; r < rule; r++)
		if (strcmp(r->name, name) == 0)
			conf_error(l, at, "model \"%.60s\" stands in line %u already; join the two", name, r->line);
	snprintf(rule->name, sizeof(rule->name), "%s", name);
}

/* --- files ------------------------------------------------------------------------------------------------------------------------ */

static void file_load(struct conf_loading *l, unsigned file)
{
	const struct conf_place whole = {.file = file};
	struct why why = {""};
	char *text;
	size_t n;
	int rc = conf_bytes_read(l->whole->files[file], CONF_FILE_BYTES, &text, &n, &l->open_file, &why);

	if (rc < 0) {
		if (file == 0 || rc == -ENOMEM)
			l->rc = rc;
		l->cut = true;
		conf_error(l, whole, "%s", why.text);
		return;
	}
	conf_parse(l, file, text, n);
	explicit_bzero(text, n);
	free(text);
}

static void sibling_load(struct conf_loading *l, const char *dir, const char *name)
{
	struct conf_whole *w = l->whole;
	char *path;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		l->rc = -ENOMEM;
		conf_error(l, CONF_NOWHERE, "there is no memory to read \"%.120s\" beside this file", name);
		return;
	}
	w->files[w->n_files] = path;
	file_load(l, w->n_files++);
}

static int wanted(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".conf") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void dir_load(struct conf_loading *l, const char *dir)
{
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, wanted, by_name);

	if (n < 0 && errno == ENOMEM)
		l->rc = -ENOMEM;
	if (n < 0 && errno != ENOENT && errno != ENOTDIR)
		conf_error(l, CONF_NOWHERE, "the directory %.120s beside this file cannot be read: %s", dir, strerror(errno));
	if (n > CONF_FILES)
		conf_error(l, CONF_NOWHERE, "the directory %.120s has more than %d files; join some", dir, CONF_FILES);
	for (int i = 0; i < n; i++) {
		if (i < CONF_FILES)
			sibling_load(l, dir, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

static void siblings_load(struct conf_loading *l, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	int n;

	if (slash)
		n = snprintf(dir, sizeof(dir), "%.*s/" INSTANCES_DIR, (int)(slash - path), path);
	else
		n = snprintf(dir, sizeof(dir), INSTANCES_DIR);
	if (n >= (int)sizeof(dir))
		conf_error(l, CONF_NOWHERE, "the path is too long; move the file");
	else
		dir_load(l, dir);
}

int conf_load(const char *path, struct conf **out, struct conf_report *report)
{
	struct conf_loading *l;
	int rc = conf_loading_begin(path, report, &l);

	if (rc < 0)
		return rc;
	file_load(l, 0);
	if (l->rc == 0)
		siblings_load(l, path);
	if (l->rc == 0 && !l->cut)
		conf_check(l);
	return conf_loading_end(l, out);
}
