/* Any body: no crash, a fault has a place inside the text, and what passes the syntax is what the library parses. */
#include <errno.h>

#include "base/bug.h"
#include "http/fields.h"
#include "http/syntax.h"

static const struct field TABLE[] = {
	{"query", FIELD_STRING, true, false},
	{"flag", FIELD_BOOL, false, false},
	{"limit", FIELD_INTEGER, false, true},
	{"share", FIELD_NUMBER, false, false},
	{"models", FIELD_STRINGS, false, false},
	{"part", FIELD_SHARE, false, false},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct json_object *o = NULL;
	struct json_out errors = {0};
	struct syntax_fault fault = {0, NULL};
	int syntax = syntax_check((const char *)data, n, &fault);
	int rc = fields_parse((const char *)data, n, &o, &errors);

	if (syntax < 0 && (fault.at > n || !fault.what))
		__builtin_trap();
	if ((rc == 0) != (o != NULL) || (rc == -EINVAL) != (errors.n > 0) || (syntax < 0 && rc == 0 && data[0] != 0xef) || rc == -ENOMEM)
		__builtin_trap();
	if (rc == 0 && fields_check(TABLE, ARRAY_SIZE(TABLE), o, "body", &errors)) {
		fields_text(o, "query");
		fields_string(o, "query", "");
		fields_bool(o, "flag", false);
		fields_number(o, "share", 0);
	}
	fields_no_object((const char *)data, n, &errors);
	json_object_put(o);
	json_out_free(&errors);
	return 0;
}
