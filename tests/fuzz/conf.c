/* Bytes to a configuration: whatever the files and the command line hold, loading ends with facts or with at least one sentence, and
 * nothing is lost.
 *
 * The input is cut at bytes 0xff: tsa.conf, instances.d/a.conf, instances.d/b.conf, an environment file, the words of a command line,
 * one a line.  They lie in a directory of this process, where the configuration can name them as /proc/self/cwd/env. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "conf/conf.h"

#define WORDS_MAX 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/tsa-fuzz-conf-XXXXXX";
static const char *const FILES[] = {"tsa.conf", "instances.d/a.conf", "instances.d/b.conf", "env"};

static void dir_remove(void)
{
	BUG_ON(chdir(dir) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(FILES); i++)
		(void)unlink(FILES[i]);
	BUG_ON(rmdir("instances.d") < 0 || chdir("/") < 0 || rmdir(dir) < 0);
}

static void dir_make(void)
{
	static bool made;

	if (made)
		return;
	made = true;
	BUG_ON(!mkdtemp(dir) || chdir(dir) < 0 || mkdir("instances.d", 0700) < 0 || atexit(dir_remove));
}

/* The part up to the next 0xff; *p steps over it. */
static size_t part_next(const uint8_t **p, const uint8_t *end, const char **part)
{
	const uint8_t *mark = memchr(*p, 0xff, (size_t)(end - *p));
	size_t n = (size_t)((mark ? mark : end) - *p);

	*part = (const char *)*p;
	*p = mark ? mark + 1 : end;
	return n;
}

/* A file that says it may be read by all, or is not there at all, where its first byte says so. */
static void file_write(const char *name, const char *text, size_t n)
{
	mode_t mode = n && text[0] == 1 ? 0644 : n && text[0] == 2 ? 0646 : 0600;
	int fd;

	(void)unlink(name);
	if (n && text[0] == 3)
		return;
	if (n && (text[0] == 1 || text[0] == 2))
		text++, n--;
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	BUG_ON(fd < 0 || fchmod(fd, mode) < 0 || write(fd, text, n) != (ssize_t)n);
	close(fd);
}

static void report_check(const struct conf_report *r, bool loaded)
{
	BUG_ON(r->n > CONF_MESSAGES || loaded != (r->errors == 0) || r->errors > r->n + r->more);
	for (unsigned i = 0; i < r->n; i++)
		BUG_ON(strnlen(r->text[i], sizeof(r->text[i])) == sizeof(r->text[i]) || !strchr(r->text[i], ':'));
}

static void packed_check(const char *bytes, size_t len)
{
	BUG_ON(len && (!bytes || bytes[len - 1] != 0));
}

static void instance_check(const struct conf_instance *inst)
{
	BUG_ON(!*inst->name || strnlen(inst->name, sizeof(inst->name)) == sizeof(inst->name));
	BUG_ON(inst->n_models > CONF_MODELS || inst->n_tags > CONF_TAGS || !inst->places || !inst->addr.len);
	BUG_ON(inst->adopted == (inst->argv != NULL));
	packed_check(inst->argv, inst->argv_len);
	packed_check(inst->env, inst->env_len);
	BUG_ON(conf_instance_change(inst, inst) != CONF_SAME);
}

/* Takes the configuration. */
static void outcome_check(int rc, struct conf *c, const struct conf_report *report)
{
	BUG_ON((rc == 0) != (c != NULL));
	report_check(report, rc == 0);
	if (!c)
		return;
	BUG_ON(!c->n_listen || c->n_listen > CONF_LISTEN || c->n_instances > CONF_INSTANCES || !c->routers || !*c->state_dir);
	for (unsigned i = 0; i < c->n_instances; i++) {
		instance_check(&c->instances[i]);
		for (unsigned j = 0; j < i; j++)
			BUG_ON(strcmp(c->instances[i].name, c->instances[j].name) == 0);
	}
	conf_destroy(&c);
}

/* Lines of a command line: L an address to listen on, A an Ollama to adopt, S the directory, anything else the number of slots. */
static void adhoc_try(const char *part, size_t n)
{
	static struct conf_report report;
	struct conf_adhoc a = {.slots = 0};
	struct conf *c = NULL;
	char *text = strndup(part, n), *save = NULL;
	int rc;

	BUG_ON(!text);
	for (char *w = strtok_r(text, "\n", &save); w; w = strtok_r(NULL, "\n", &save)) {
		if (*w == 'L' && a.n_listen < CONF_LISTEN)
			a.listen[a.n_listen++] = w + 1;
		else if (*w == 'A' && a.n_adopt < CONF_INSTANCES)
			a.adopt[a.n_adopt++] = w + 1;
		else if (*w == 'S')
			a.state_dir = w + 1;
		else
			a.slots = (unsigned char)*w;
	}
	rc = conf_adhoc_make(&a, &c, &report);
	BUG_ON(rc != 0 && rc != -EINVAL);
	outcome_check(rc, c, &report);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct conf_report report;
	struct conf *c = NULL;
	const uint8_t *p = data, *end = data + size;
	const char *part;
	int rc;

	dir_make();
	for (size_t i = 0; i < ARRAY_SIZE(FILES); i++) {
		size_t n = part_next(&p, end, &part);

		file_write(FILES[i], part, n);
	}
	rc = conf_load(size & 1 ? "tsa.conf" : "/proc/self/cwd/tsa.conf", &c, &report);
	BUG_ON(rc != 0 && rc != -EINVAL && rc != -ENOENT && rc != -EPERM);
	outcome_check(rc, c, &report);
	if (p < end)
		adhoc_try((const char *)p, (size_t)(end - p));
	return 0;
}
