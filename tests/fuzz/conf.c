/* Bytes to a configuration: whatever a file holds, conf_load() ends with facts or with at least one sentence, and nothing is lost.
 *
 * The file is a memfd: its directory (/proc/self/fd) has no instances.d. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void report_check(const struct conf_report *r, const char *path, bool loaded)
{
	BUG_ON(r->n > CONF_MESSAGES || loaded != (r->errors == 0) || r->errors > r->n + r->more);
	for (unsigned i = 0; i < r->n; i++) {
		BUG_ON(strnlen(r->text[i], sizeof(r->text[i])) == sizeof(r->text[i]));
		BUG_ON(strncmp(r->text[i], path, strlen(path)) != 0);
	}
}

static void packed_check(const char *bytes, size_t len)
{
	BUG_ON(len && (!bytes || bytes[len - 1] != 0));
}

static void instance_check(const struct conf_instance *inst)
{
	BUG_ON(!*inst->name || strnlen(inst->name, sizeof(inst->name)) == sizeof(inst->name));
	BUG_ON(inst->n_models > CONF_MODELS || inst->n_tags > CONF_TAGS || !inst->places || !inst->addr.len);
	BUG_ON(inst->adopted == (inst->argv != NULL) || (!inst->adopted && !inst->n_models));
	packed_check(inst->argv, inst->argv_len);
	packed_check(inst->env, inst->env_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct conf_report report;
	struct conf *c = NULL;
	char path[40];
	int rc, fd = memfd_create("conf", MFD_CLOEXEC);

	BUG_ON(fd < 0 || fchmod(fd, 0600) < 0 || write(fd, data, size) != (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = conf_load(path, &c, &report);
	BUG_ON((rc == 0) != (c != NULL));
	BUG_ON(rc != 0 && rc != -EINVAL);
	report_check(&report, path, rc == 0);
	if (c) {
		BUG_ON(!c->n_listen || c->n_listen > CONF_LISTEN || c->n_instances > CONF_INSTANCES || !c->routers);
		for (unsigned i = 0; i < c->n_instances; i++)
			instance_check(&c->instances[i]);
	}
	conf_destroy(&c);
	close(fd);
	return 0;
}
