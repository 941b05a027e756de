/* What is known of models and prompts, for the routers: they open no files, and a file with a mistake is found out here, before
 * anything changes. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/image.h"
#include "conf/registry.h"
#include "conf/weights.h"
#include "route/weights.h"

static struct conf_report report; /* large; there is one thread */

/* conf/ has put what is wrong into the report. */
static int tell(int rc, const char *path, struct why *why)
{
	const char *first = sup_options_report(&report);

	if (rc == 0)
		return 0;
	return first ? why_set(why, rc, "%s", first) : why_set(why, rc, "%s: %s", path, strerror(-rc));
}

static int models_seal(const struct conf_registry *r, const struct conf_catalogue *c, int *fd, struct why *why)
{
	void *bytes = NULL;
	size_t n = 0;
	int rc = conf_image_make(r, c, &bytes, &n, why);

	if (rc < 0) {
		log_err("%s", why->text);
		return rc;
	}
	rc = proc_sealed_make("tsa-models", bytes, n);
	free(bytes);
	if (rc < 0) {
		log_err("%s", (why_set(why, rc, "cannot hand the registry to the routers: %s", strerror(-rc)), why->text));
		return rc;
	}
	*fd = rc;
	return 0;
}

static int models_load(const struct conf_routing *conf, int *fd, struct why *why)
{
	struct conf_registry *r = NULL;
	struct conf_catalogue *c = NULL;
	int rc = 0;

	if (conf->registry[0])
		rc = tell(conf_registry_load(conf->registry, &r, &report), conf->registry, why);
	if (rc == 0 && conf->categories[0])
		rc = tell(conf_catalogue_load(conf->categories, &c, &report), conf->categories, why);
	if (rc == 0 && (r || c))
		rc = models_seal(r, c, fd, why);
	conf_registry_destroy(&r);
	conf_catalogue_destroy(&c);
	return rc;
}

/* The weights that come with tsa may be missing, and then nothing is classified; those that somebody names may not. */
static int weights_load(const struct conf_routing *conf, int *fd, struct why *why)
{
	static struct weights checked; /* large */
	bool named = conf->classifier[0];
	struct conf_weights w = {NULL, 0};
	char path[PROC_PATH];
	int rc;

	if (named)
		memcpy(path, conf->classifier, sizeof(conf->classifier));
	else
		conf_weights_path(path, sizeof(path));
	rc = conf_weights_read(path, &w, why);
	if (rc == 0) {
		struct why bad = {""};

		rc = weights_read(w.bytes, w.len, &checked, &bad);
		if (rc < 0)
			why_set(why, rc, "%s: %s", path, bad.text);
	}
	if (rc == 0) {
		rc = proc_sealed_make("tsa-weights", w.bytes, w.len);
		if (rc < 0)
			why_set(why, rc, "cannot hand %s to the routers: %s", path, strerror(-rc));
		else
			*fd = rc;
	}
	conf_weights_free(&w);
	if (rc >= 0)
		return 0;
	log_line(named ? LOG_ERR_ : LOG_WARNING_, NULL, "%s%s", why->text, named ? "" : "; prompts are not classified");
	return named ? rc : 0;
}

int sup_facts_load(const struct conf *conf, struct sup_facts *out, struct why *why)
{
	struct sup_facts f = {-1, -1};
	struct why own = {""};
	int rc;

	if (!why)
		why = &own;
	rc = models_load(&conf->routing, &f.models, why);
	if (rc == 0)
		rc = weights_load(&conf->routing, &f.weights, why);
	if (rc < 0)
		sup_facts_close(&f);
	else
		*out = f;
	return rc;
}

void sup_facts_close(struct sup_facts *f)
{
	if (f->models >= 0)
		close(f->models);
	if (f->weights >= 0)
		close(f->weights);
	*f = (struct sup_facts){-1, -1};
}
