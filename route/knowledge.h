/* route/knowledge.h - registry and categories as routes need them, from the image that conf/image.h makes. */
#pragma once

#include <stddef.h>

#include "base/why.h"
#include "route/taxonomy.h"

struct knowledge {
	struct conf_registry *registry; /* NULL: none */
	struct taxonomy tax;
};

/* `image` NULL: nothing is known but the built-in categories.  0; -EINVAL (it is no image), -ENOMEM, with `why`; *k is untouched then,
 * and knowledge_fini()'s otherwise.  The bytes are not needed any more afterwards. */
int knowledge_init(struct knowledge *k, const struct tax_conf *conf, const void *image, size_t n, struct why *why);
void knowledge_fini(struct knowledge *k);
