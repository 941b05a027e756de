#include "route/knowledge.h"

#include "conf/image.h"

int knowledge_init(struct knowledge *k, const struct tax_conf *conf, const void *image, size_t n, struct why *why)
{
	struct conf_registry *registry = NULL;
	struct conf_catalogue *categories = NULL;
	int rc = image ? conf_image_open(image, n, &registry, &categories, why) : 0;

	if (rc == 0)
		rc = tax_init(&k->tax, conf, registry, categories, why);
	conf_catalogue_destroy(&categories);
	if (rc < 0)
		conf_registry_destroy(&registry);
	else
		k->registry = registry;
	return rc;
}

void knowledge_fini(struct knowledge *k)
{
	tax_fini(&k->tax);
	conf_registry_destroy(&k->registry);
}
