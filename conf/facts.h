/* conf/facts.h - what the readers of the two JSON files share.  Private to conf/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "conf/json.h"

struct conf_facts {
	const char *name; /* of the file, for messages */
	struct conf_json json;
	struct conf_report *report;
};

/* Read the file, or take the bytes, and parse them; the root is an object.  0, or told: -EINVAL, -ENOMEM, -errno of open(2).
 * conf_json_fini(&f->json) after 0. */
int conf_facts_load(struct conf_facts *f, const char *path, struct conf_report *report);
int conf_facts_parse(struct conf_facts *f, const char *name, const char *text, size_t n, struct conf_report *report);

/* A sentence about a value, which goes on being read without it; and one about why nothing of the file can be used. */
void conf_facts_warn(struct conf_facts *f, const struct conf_json_value *v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int conf_facts_fail(struct conf_facts *f, const struct conf_json_value *v, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* A member of the wanted kind.  NULL: it is not there, or null, or (told) of another kind. */
const struct conf_json_value *conf_facts_get(struct conf_facts *f, const struct conf_json_value *v, const char *key,
					     enum conf_json_kind kind);

/* Each string of the array `key` of `v`, checked by `ok` and told where it is wrong, repeated or one too many, into a list of
 * `room` names of `size` bytes.  Returns how many there are. */
typedef bool conf_facts_ok(const char *text, size_t size);
unsigned conf_facts_names(struct conf_facts *f, const struct conf_json_value *v, const char *key, conf_facts_ok *ok, char *list,
			  unsigned room, size_t size);

/* The bits of the strings in the array `key`; words[i] is bit i. */
unsigned conf_facts_bits(struct conf_facts *f, const struct conf_json_value *v, const char *key, const char *const *words,
			 unsigned n);

extern const char *const conf_agent_words[3];

conf_facts_ok conf_facts_model_ok, conf_facts_category_ok, conf_facts_benchmark_ok;
