/* conf/image.h - registry and catalogue as one run of bytes, for a process that opens no files.
 *
 * The supervisor reads the files and makes the image; a router gets it in a sealed memfd and opens it.  Both are of one build, so the
 * records are those of conf/registry.h as they stand in memory, without their pointers:
 *
 *     struct conf_image_head
 *     struct conf_registry_model   [models]
 *     struct conf_category         [categories], their `models` NULL
 *     names of CONF_MODEL_NAME bytes: the models of each category, one category after the other
 *
 * Opening believes nothing: sizes, counts, ends of strings, ranges of numbers and the shape of the tree are checked before any is used,
 * so that opened facts keep every promise of conf/registry.h whatever the bytes were. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "conf/registry.h"

#define CONF_IMAGE_MAGIC     0x46415354U /* "TSAF" */
#define CONF_IMAGE_BYTES_MAX (32U << 20) /* no two files of CONF_FACTS_BYTES make as much */

struct conf_image_head {
	uint32_t magic;
	uint32_t model_bytes; /* of one record: another build has others */
	uint32_t category_bytes;
	uint32_t models;
	uint32_t categories;
	uint32_t names;
	uint32_t has; /* bit 0: there is a registry; bit 1: a catalogue */
	uint32_t reserved;
};

/* Either may be NULL.  *out is the caller's, to be freed.  0, or -ENOMEM or -E2BIG with `why`. */
int conf_image_make(const struct conf_registry *r, const struct conf_catalogue *c, void **out, size_t *n, struct why *why);

/* *r and *c are the caller's, NULL where the image has none.  0, or -EINVAL or -ENOMEM with `why`; untouched on failure. */
int conf_image_open(const void *bytes, size_t n, struct conf_registry **r, struct conf_catalogue **c, struct why *why);
