/* http/query.h - the query of a request's target as an object of strings. */
#pragma once

#include <json-c/json.h>

#include "base/span.h"

/* "a=1&b=x+y%21": '+' is a blank, escapes are resolved, an escape that is none stands for itself, what is not UTF-8 becomes U+FFFD; of two
 * values of one name the last counts, and a name without '=' has the empty one.  0 and *out, the caller's; -ENOMEM. */
int query_parse(struct span query, struct json_object **out);
