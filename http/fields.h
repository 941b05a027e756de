/* http/fields.h - bodies of the TSA API: parse, validate by table, and say what is wrong as clients of the replaced service were told.
 *
 * An error is {"type", "loc", "msg", "input"[, "ctx"]}, all errors of a body in one array under "detail", status 422.  They are written
 * to an array that the caller has begun.  json-c; these routes are asked a few times a second. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "http/json_out.h"

enum field_kind {
	FIELD_STRING = 0,
	FIELD_BOOL,    /* lenient: true, 1, "yes", "On", ... */
	FIELD_NUMBER,  /* or a string that is one */
	FIELD_SHARE,   /* a number from 0 to 1 */
	FIELD_INTEGER, /* likewise, or a number without a fraction */
	FIELD_STRINGS, /* a list of strings */
};

struct field {
	const char *name;
	enum field_kind kind;
	bool required;
	bool nullable; /* null is as good as absent */
};

/* The object of a body.  0 with *out, which the caller releases; -EINVAL with one error written; -EILSEQ: not UTF-8; -ENOMEM. */
int fields_parse(const char *body, size_t n, struct json_object **out, struct json_out *errors);

/* The error of a body that says of itself that it is no JSON. */
void fields_no_object(const char *body, size_t n, struct json_out *errors);

/* Check the object `in` by the table.  True: all is well; else an error is written for each field that is wrong, in the table's order.
 * `where` is "body" or "query". */
bool fields_check(const struct field *table, unsigned n, struct json_object *in, const char *where, struct json_out *errors);

/* Values of an object that has been checked; `otherwise` when absent or null. */
struct span fields_text(struct json_object *in, const char *name); /* p NULL when absent; may hold NUL bytes */
const char *fields_string(struct json_object *in, const char *name, const char *otherwise);
bool fields_bool(struct json_object *in, const char *name, bool otherwise);
double fields_number(struct json_object *in, const char *name, double otherwise);
