/* http/json_out.h - JSON text written from front to back, in memory that grows.
 *
 * The order of the members is the order of the calls.  A want of memory is remembered and everything after it is without effect, so that
 * a writer asks once, at the end.  Keys are the programmer's and are not escaped; NULL inside an array. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define JSON_OUT_DEPTH 16

struct json_out { /* zero is a good beginning; json_out_free() in any case */
	char *p;
	size_t n;
	size_t cap;
	bool failed; /* no memory */
	uint8_t depth;
	char close[JSON_OUT_DEPTH];
	bool more[JSON_OUT_DEPTH]; /* a comma goes before the next value */
};

void json_out_object(struct json_out *o, const char *key);
/* An object under a key that somebody else chose. */
void json_out_object_named(struct json_out *o, struct span key);
void json_out_array(struct json_out *o, const char *key);
/* The innermost object or array ends. */
void json_out_end(struct json_out *o);

/* Any bytes: what is not UTF-8 becomes U+FFFD. */
void json_out_span(struct json_out *o, const char *key, struct span text);
/* NULL is null. */
void json_out_text(struct json_out *o, const char *key, const char *text);
/* A string of at most 1,023 bytes. */
void json_out_format(struct json_out *o, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void json_out_uint(struct json_out *o, const char *key, uint64_t v);
/* A number with so many decimals; one that is not finite is null. */
void json_out_fixed(struct json_out *o, const char *key, double v, int decimals);
void json_out_bool(struct json_out *o, const char *key, bool v);
void json_out_null(struct json_out *o, const char *key);
/* The text of a value, as it stands. */
void json_out_raw(struct json_out *o, const char *key, struct span json);

/* A NUL behind the text, which is not counted: p is a C string then. */
void json_out_finish(struct json_out *o);
void json_out_free(struct json_out *o);
