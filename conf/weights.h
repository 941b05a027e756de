/* conf/weights.h - read the classifier's weights file.  What its bytes mean, and whether they are sound, is route/weights.h's business.
 *
 * Read into memory and not mapped: a file cut short under a mapping would kill the reader. */
#pragma once

#include <stddef.h>

#include "base/why.h"

#define CONF_WEIGHTS_BYTES_MAX (2u << 20)

struct conf_weights {
	void *bytes; /* the caller's, from conf_weights_read() to conf_weights_free() */
	size_t len;
};

/* Where the weights are when nobody says so: in the build tree that this program runs in, else where `make install` puts them.
 * Never fails; whether the file is there is for conf_weights_read() to say. */
void conf_weights_path(char *path, size_t size);

/* Read the whole file.  0; -errno of open(2) or read(2); -EINVAL no file; -EFBIG beyond CONF_WEIGHTS_BYTES_MAX; -ENOMEM; with `why`. */
int conf_weights_read(const char *path, struct conf_weights *out, struct why *why);
void conf_weights_free(struct conf_weights *w);
