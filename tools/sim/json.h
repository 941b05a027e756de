/* tools/sim/json.h - JSON as Go's encoding/json reads it.
 *
 * Keys match whatever their case (and U+017F for s, U+212A for k), the last of several equal keys wins, bytes after the first
 * value are ignored, nesting stops at 10,000; errors carry Go's own sentences, because clients see them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/why.h"
#include "tools/sim/buf.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
	enum json_type type;
	bool yes;           /* JSON_BOOL */
	struct span text;   /* JSON_STRING: decoded; JSON_NUMBER: as written */
	struct span raw;    /* the value as it stood in the body */
	struct span key;    /* decoded, when this is a member of an object */
	struct json *child; /* first element or member */
	struct json *next;
};

/* 0 and *out; -EINVAL with Go's sentence in `why`; -ENODATA when there was no value at all (nothing but blanks);
 * -EAGAIN when the text ends inside the value ("unexpected EOF"). */
int json_parse(struct arena *a, struct span text, struct json **out, struct why *why);

/* Follows the bytes of a body as they come, to see where the first object or array ends. */
struct json_edge {
	uint32_t depth;
	bool in_string;
	bool escaped;
	bool begun;
};

/* True when the first object or array is complete after these bytes. */
bool json_edge_feed(struct json_edge *e, const char *p, size_t n);

/* The last member whose key folds to `name` (lower case) and whose value is not null; NULL when there is none. */
const struct json *json_get(const struct json *object, const char *name);
bool json_key_is(struct span key, const char *name);

struct span json_get_text(const struct json *object, const char *name);
bool json_get_bool(const struct json *object, const char *name, bool otherwise);
int64_t json_get_i64(const struct json *object, const char *name, int64_t otherwise);
double json_number(const struct json *j);
size_t json_count(const struct json *array);
const char *json_type_name(enum json_type type);

/* Write a value back compactly; `sorted` orders the keys of objects as Go does for maps. */
void json_write(struct buf *out, const struct json *j, bool sorted);
