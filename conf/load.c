#include <dirent.h>
#include <errno.h>
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

int conf_loading_begin(struct conf_report *report, struct conf_loading **out)
{
	struct conf_loading *l = calloc(1, sizeof(*l));
	struct conf_whole *w = calloc(1, sizeof(*w));

	memset(report, 0, sizeof(*report));
	if (w)
		w->conf.instances = calloc(CONF_INSTANCES, sizeof(*w->conf.instances));
	if (!l || !w || !w->conf.instances) {
		if (w)
			free(w->conf.instances);
		free(w);
		free(l);
		report->errors = report->n = 1;
		snprintf(report->text[0], sizeof(report->text[0]), "there is no memory for a configuration");
		return -ENOMEM;
	}
	l->whole = w;
	l->report = report;
	for (unsigned s = CONF_IN_TOP; s < CONF_IN_COUNT; s++)
		if (s != CONF_IN_INSTANCE && s != CONF_IN_MEMORY)
			conf_preset(s, &w->conf);
	state_dir_preset(&w->conf);
	*out = l;
	return 0;
}

int conf_loading_end(struct conf_loading *l, struct conf **out)
{
	struct conf *c = &l->whole->conf;
	const bool good = l->report->errors == 0;

	free(l);
	if (!good) {
		conf_destroy(&c);
		return -EINVAL;
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

struct conf_instance *conf_instance_add(struct conf_loading *l, const char *name, unsigned line)
{
	struct conf *c = &l->whole->conf;
	struct conf_instance *inst;

	if (c->n_instances == CONF_INSTANCES) {
		conf_error(l, l->file, line, "there are more than %d instances; take some out", CONF_INSTANCES);
		return NULL;
	}
	inst = &c->instances[c->n_instances++];
	if (!scan_name_ok(name, sizeof(inst->name) - 1))
		conf_error(l, l->file, line, "\"%.40s\" is not a name for an instance; write up to %zu letters, digits, - _ and .",
			   name, sizeof(inst->name) - 1);
	else
		snprintf(inst->name, sizeof(inst->name), "%s", name);
	inst->file = l->whole->files[l->file];
	inst->line = line;
	conf_preset(CONF_IN_INSTANCE, inst);
	conf_preset(CONF_IN_MEMORY, inst);
	return inst;
}

/* --- files ------------------------------------------------------------------------------------------------------------------------ */

/* 0, or -errno of opening or reading it, told. */
static int file_load(struct conf_loading *l, const char *path, bool main_file)
{
	struct why why = {""};
	int file = conf_file_add(l, path);
	char *text;
	size_t n;
	int rc;

	if (file < 0) {
		conf_error(l, 0, 0, "there is no memory to remember \"%.120s\"", path);
		return file;
	}
	l->file = (unsigned)file;
	rc = conf_bytes_read(path, CONF_FILE_BYTES, &text, &n, &l->open_file, &why);
	if (rc < 0) {
		l->cut = true;
		conf_error(l, l->file, 0, "%s", why.text);
		return rc;
	}
	if (conf_guard(l, text, n))
		conf_parse(l, text, n, main_file);
	else
		l->cut = true;
	explicit_bzero(text, n);
	free(text);
	return 0;
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
	char path[4096];
	int n = scandir(dir, &entries, wanted, by_name);

	if (n < 0 && errno != ENOENT && errno != ENOTDIR)
		conf_error(l, 0, 0, "the directory %.120s beside this file cannot be read: %s", dir, strerror(errno));
	if (n > CONF_FILES)
		conf_error(l, 0, 0, "the directory %.120s has more than %d files; join some", dir, CONF_FILES);
	for (int i = 0; i < n; i++) {
		if (i < CONF_FILES && snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name) < (int)sizeof(path))
			file_load(l, path, false);
		free(entries[i]);
	}
	free(entries);
}

static void siblings_load(struct conf_loading *l, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[3800];
	int n;

	if (slash)
		n = snprintf(dir, sizeof(dir), "%.*s/" INSTANCES_DIR, (int)(slash - path), path);
	else
		n = snprintf(dir, sizeof(dir), INSTANCES_DIR);
	if (n >= (int)sizeof(dir))
		conf_error(l, 0, 0, "the path is too long; move the file");
	else
		dir_load(l, dir);
}

int conf_load(const char *path, struct conf **out, struct conf_report *report)
{
	struct conf_loading *l;
	struct conf *none = NULL;
	int rc = conf_loading_begin(report, &l);

	if (rc < 0)
		return rc;
	rc = file_load(l, path, true);
	if (rc < 0) {
		conf_loading_end(l, &none);
		return rc;
	}
	siblings_load(l, path);
	if (!l->cut)
		conf_check(l);
	return conf_loading_end(l, out);
}
