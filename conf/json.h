/* conf/json.h - JSON text to a tree in which every value knows where it stands.  Private to conf/.
 *
 * A reader of our own because what operators need of it, line and column of each value, json-c does not keep, and because json-c
 * 0.16 does not survive an allocation that fails.  Strict RFC 8259, with three limits: nesting CONF_JSON_DEPTH, CONF_JSON_VALUES
 * values, and no NUL in a string.  Of two members with the same key the last one counts, as elsewhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

#define CONF_JSON_DEPTH  32
#define CONF_JSON_VALUES (1U << 20)

enum conf_json_kind {
	CONF_JSON_NONE = 0,
	CONF_JSON_NULL,
	CONF_JSON_FALSE,
	CONF_JSON_TRUE,
	CONF_JSON_NUMBER,
	CONF_JSON_STRING,
	CONF_JSON_ARRAY,
	CONF_JSON_OBJECT,
	CONF_JSON_COUNT
};

struct conf_json_value {
	enum conf_json_kind kind;
	uint32_t line, column; /* from 1; columns count characters */
	uint32_t parent;       /* indices into conf_json.at */
	uint32_t next;         /* of the same parent; 0: this is the last one */
	uint32_t child;        /* the first one; 0: there is none */
	uint32_t rank;         /* among its siblings, from 0 */
	const char *key;       /* in an object; else NULL */
	const char *text;      /* of a string, escapes resolved; else "" */
	double number;         /* of a number, to within a few units in the last place; infinite where it is too large */
};

struct conf_json {
	char *text;
	struct conf_json_value *at; /* [0] is the whole */
	uint32_t n;
	uint32_t room;
};

struct conf_json_fault {
	uint32_t line, column; /* 0: it has no place */
	struct why why;
};

/* 0; -EINVAL no JSON: *fault says where and what; -ENOMEM.  *out is the caller's to give to conf_json_fini(), untouched on failure. */
int conf_json_parse(const char *text, size_t n, struct conf_json *out, struct conf_json_fault *fault);
void conf_json_fini(struct conf_json *j);

/* A member of an object; NULL: `v` is none, or has none of that name. */
const struct conf_json_value *conf_json_get(const struct conf_json *j, const struct conf_json_value *v, const char *key);

/* The first child of an array or object, and the one after `v`; NULL at the end. */
const struct conf_json_value *conf_json_first(const struct conf_json *j, const struct conf_json_value *v);
const struct conf_json_value *conf_json_next(const struct conf_json *j, const struct conf_json_value *v);

/* "models[3].size"; "the file" for the whole.  Cut at `size`, bytes that cannot be shown as '?'.  Returns `buf`. */
char *conf_json_path(const struct conf_json *j, const struct conf_json_value *v, char *buf, size_t size);

/* "a string", "an array", … */
const char *conf_json_kind_text(enum conf_json_kind kind);
