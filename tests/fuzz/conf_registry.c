/* Bytes to a registry or a catalogue: whatever a file holds, reading ends with facts that keep their promises or with one error, and
 * every message has the file's name.  Bits of the first byte choose which of the two it is, and whether it comes as a file (a memfd)
 * or as bytes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/registry.h"
#include "tests/fuzz/fuzz.h"

static char name[40];

static void report_check(const struct conf_report *r, bool loaded)
{
	CHECK(r->n <= CONF_MESSAGES && loaded == (r->errors == 0) && r->errors <= 1);
	for (unsigned i = 0; i < r->n; i++) {
		CHECK(strnlen(r->text[i], sizeof(r->text[i])) < sizeof(r->text[i]));
		CHECK(strncmp(r->text[i], name, strlen(name)) == 0 && r->text[i][strlen(name)] == ':');
	}
}

static void model_check(const struct conf_registry_model *m)
{
	CHECK(*m->name && strnlen(m->name, sizeof(m->name)) < sizeof(m->name) && m->line);
	CHECK(m->size.n <= CONF_VARIANTS && m->memory.n <= CONF_VARIANTS);
	CHECK(m->n_categories <= CONF_MODEL_CATEGORIES && m->n_aliases <= CONF_MODEL_ALIASES && m->n_benchmarks <= CONF_BENCHMARKS);
	CHECK(m->parameters >= 0);
	for (unsigned i = 0; i < m->n_benchmarks; i++)
		CHECK(m->benchmarks[i].value >= 0 && m->benchmarks[i].value <= 100);
}

static void registry_check(bool file, const char *text, size_t n)
{
	static struct conf_report report;
	struct conf_registry *r = NULL;
	int rc = file ? conf_registry_load(name, &r, &report) : conf_registry_parse(name, text, n, &r, &report);

	CHECK((rc == 0) == (r != NULL) && (rc == 0 || rc == -EINVAL));
	report_check(&report, rc == 0);
	for (unsigned i = 0; r && i < r->n; i++)
		model_check(&r->models[i]);
	conf_registry_destroy(&r);
}

/* Every parent is there, and every way up ends. */
static void parents_check(const struct conf_catalogue *c, const struct conf_category *one)
{
	unsigned steps = 0;

	while (*one->parent) {
		const struct conf_category *up = NULL;

		for (unsigned i = 0; i < c->n; i++)
			if (strcmp(c->categories[i].id, one->parent) == 0)
				up = &c->categories[i];
		CHECK(up && steps++ <= c->n);
		one = up;
	}
}

static void catalogue_check(bool file, const char *text, size_t n)
{
	static struct conf_report report;
	struct conf_catalogue *c = NULL;
	int rc = file ? conf_catalogue_load(name, &c, &report) : conf_catalogue_parse(name, text, n, &c, &report);

	CHECK((rc == 0) == (c != NULL) && (rc == 0 || rc == -EINVAL));
	report_check(&report, rc == 0);
	for (unsigned i = 0; c && i < c->n; i++) {
		CHECK(*c->categories[i].id && c->categories[i].n_benchmarks <= CONF_BENCHMARKS);
		parents_check(c, &c->categories[i]);
	}
	conf_catalogue_destroy(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const bool file = size && data[0] & 2;
	char *text;
	int fd = -1;

	if (!size)
		return 0;
	text = exact_copy((const char *)data + 1, size - 1);
	snprintf(name, sizeof(name), "file.json");
	if (file) {
		fd = memfd_create("registry", MFD_CLOEXEC);
		CHECK(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, text, size - 1) == (ssize_t)(size - 1));
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	}
	if (data[0] & 1)
		registry_check(file, text, size - 1);
	else
		catalogue_check(file, text, size - 1);
	free(text);
	if (file)
		close(fd);
	return 0;
}
