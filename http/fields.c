#include "http/fields.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bug.h"
#include "http/syntax.h"

/* --- errors ----------------------------------------------------------------------------------------------------------------------- */

static struct json_object *error_add(struct json_object *errors, const char *type, struct json_object *loc, const char *msg,
				     struct json_object *input)
{
	struct json_object *e = json_object_new_object();

	json_object_object_add(e, "type", json_object_new_string(type));
	json_object_object_add(e, "loc", loc);
	json_object_object_add(e, "msg", json_object_new_string(msg));
	json_object_object_add(e, "input", input);
	json_object_array_add(errors, e);
	return e;
}

static struct json_object *loc_make(const char *where, const char *name, int index)
{
	struct json_object *loc = json_object_new_array();

	json_object_array_add(loc, json_object_new_string(where));
	if (name)
		json_object_array_add(loc, json_object_new_string(name));
	if (index >= 0)
		json_object_array_add(loc, json_object_new_int(index));
	return loc;
}

/* --- the body ---------------------------------------------------------------------------------------------------------------------- */

static int tree_make(const char *body, size_t n, struct json_object **out)
{
	struct json_tokener *tok = json_tokener_new_ex(SYNTAX_DEPTH + 1);

	if (!tok)
		return -ENOMEM;
	*out = json_tokener_parse_ex(tok, body, (int)n);
	/* A bare number ends where the text does: the parser waits for more. */
	if (json_tokener_get_error(tok) == json_tokener_continue)
		*out = json_tokener_parse_ex(tok, "", 1);
	n = json_tokener_get_error(tok) != json_tokener_success;
	json_tokener_free(tok);
	return n ? -ENOMEM : 0;
}

int fields_parse(const char *body, size_t n, struct json_object **out, struct json_object **errors)
{
	struct json_object *o = NULL, *e, *ctx, *list;
	struct syntax_fault fault;
	int rc;

	if (n == 0 || n > INT32_MAX) {
		list = json_object_new_array();
		error_add(list, "missing", loc_make("body", NULL, -1), "Field required", NULL);
		*errors = list;
		return -EINVAL;
	}
	rc = syntax_check(body, n, &fault);
	if (rc == -EILSEQ)
		return rc;
	if (rc < 0) {
		list = json_object_new_array();
		e = error_add(list, "json_invalid", loc_make("body", NULL, (int)fault.at), "JSON decode error",
			      json_object_new_object());
		ctx = json_object_new_object();
		json_object_object_add(ctx, "error", json_object_new_string(fault.what));
		json_object_object_add(e, "ctx", ctx);
		*errors = list;
		return -EINVAL;
	}
	rc = tree_make(body, n, &o);
	if (rc < 0)
		return rc;
	if (json_object_is_type(o, json_type_object)) {
		*out = o;
		return 0;
	}
	list = json_object_new_array();
	if (o)
		error_add(list, "model_attributes_type", loc_make("body", NULL, -1),
			  "Input should be a valid dictionary or object to extract fields from", o);
	else
		error_add(list, "missing", loc_make("body", NULL, -1), "Field required", NULL);
	*errors = list;
	return -EINVAL;
}

/* --- values ------------------------------------------------------------------------------------------------------------------------ */

/* 1 true, 0 false, -1 neither. */
static int bool_word(const char *word)
{
	static const char *const YES[] = {"1", "t", "true", "y", "yes", "on"}, *const NO[] = {"0", "f", "false", "n", "no", "off"};

	for (unsigned i = 0; i < ARRAY_SIZE(YES); i++) {
		if (strcasecmp(word, YES[i]) == 0)
			return 1;
		if (strcasecmp(word, NO[i]) == 0)
			return 0;
	}
	return -1;
}

static int bool_value(struct json_object *v)
{
	double d;

	switch (json_object_get_type(v)) {
	case json_type_boolean:
		return json_object_get_boolean(v) != 0;
	case json_type_int:
	case json_type_double:
		d = json_object_get_double(v);
		return d == 1 ? 1 : d == 0 ? 0 : -1;
	case json_type_string:
		return bool_word(json_object_get_string(v));
	default:
		return -1;
	}
}

/* A number, or a string that is one with blanks around it at most. */
static bool number_value(struct json_object *v, double *out)
{
	const char *text;
	char *end;

	if (json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double)) {
		*out = json_object_get_double(v);
		return true;
	}
	if (json_object_is_type(v, json_type_boolean)) {
		*out = json_object_get_boolean(v);
		return true;
	}
	if (!json_object_is_type(v, json_type_string))
		return false;
	text = json_object_get_string(v);
	*out = strtod(text, &end);
	if (end == text || strpbrk(text, "xXpP"))
		return false;
	while (isspace((unsigned char)*end))
		end++;
	return *end == '\0';
}

static void check_bool(struct json_object *errors, const struct field *f, struct json_object *v, const char *where)
{
	bool text = json_object_is_type(v, json_type_string) || json_object_is_type(v, json_type_int);

	if (bool_value(v) >= 0)
		return;
	if (!text)
		error_add(errors, "bool_type", loc_make(where, f->name, -1), "Input should be a valid boolean", json_object_get(v));
	else
		error_add(errors, "bool_parsing", loc_make(where, f->name, -1),
			  "Input should be a valid boolean, unable to interpret input", json_object_get(v));
}

/* "5", "-5" or "5.0". */
static bool is_integer_text(const char *text)
{
	size_t n;

	text += strspn(text, " \t\n\r\v\f");
	text += *text == '-' || *text == '+';
	n = strspn(text, "0123456789");
	text += n;
	if (n && *text == '.')
		text += 1 + strspn(text + 1, "0");
	return n && text[strspn(text, " \t\n\r\v\f")] == '\0';
}

static void check_number(struct json_object *errors, const struct field *f, struct json_object *v, const char *where)
{
	bool whole = f->kind == FIELD_INTEGER, text = json_object_is_type(v, json_type_string);
	double d;

	if (!number_value(v, &d) || (whole && text && !is_integer_text(json_object_get_string(v)))) {
		error_add(errors,
			  whole  ? text ? "int_parsing" : "int_type"
			  : text ? "float_parsing"
				 : "float_type",
			  loc_make(where, f->name, -1),
			  whole  ? text ? "Input should be a valid integer, unable to parse string as an integer"
					: "Input should be a valid integer"
			  : text ? "Input should be a valid number, unable to parse string as a number"
				 : "Input should be a valid number",
			  json_object_get(v));
		return;
	}
	if (whole && (!isfinite(d) || d != floor(d)))
		error_add(errors, "int_from_float", loc_make(where, f->name, -1),
			  "Input should be a valid integer, got a number with a fractional part", json_object_get(v));
}

static void check_strings(struct json_object *errors, const struct field *f, struct json_object *v, const char *where)
{
	if (!json_object_is_type(v, json_type_array)) {
		error_add(errors, "list_type", loc_make(where, f->name, -1), "Input should be a valid list", json_object_get(v));
		return;
	}
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		struct json_object *one = json_object_array_get_idx(v, i);

		if (!json_object_is_type(one, json_type_string))
			error_add(errors, "string_type", loc_make(where, f->name, (int)i), "Input should be a valid string",
				  json_object_get(one));
	}
}

static void check(struct json_object *errors, const struct field *f, struct json_object *in, const char *where)
{
	struct json_object *v;

	if (!json_object_object_get_ex(in, f->name, &v)) {
		if (f->required)
			error_add(errors, "missing", loc_make(where, f->name, -1), "Field required", json_object_get(in));
		return;
	}
	if (!v && f->nullable)
		return;
	switch (f->kind) {
	case FIELD_STRING:
		if (!json_object_is_type(v, json_type_string))
			error_add(errors, "string_type", loc_make(where, f->name, -1), "Input should be a valid string",
				  json_object_get(v));
		return;
	case FIELD_BOOL:
		check_bool(errors, f, v, where);
		return;
	case FIELD_NUMBER:
	case FIELD_INTEGER:
		check_number(errors, f, v, where);
		return;
	case FIELD_STRINGS:
		check_strings(errors, f, v, where);
		return;
	}
}

struct json_object *fields_check(const struct field *table, unsigned n, struct json_object *in, const char *where)
{
	struct json_object *errors = json_object_new_array();

	for (unsigned i = 0; i < n; i++)
		check(errors, &table[i], in, where);
	if (json_object_array_length(errors))
		return errors;
	json_object_put(errors);
	return NULL;
}

const char *fields_string(struct json_object *in, const char *name, const char *otherwise)
{
	struct json_object *v;

	return json_object_object_get_ex(in, name, &v) && v ? json_object_get_string(v) : otherwise;
}

bool fields_bool(struct json_object *in, const char *name, bool otherwise)
{
	struct json_object *v;

	return json_object_object_get_ex(in, name, &v) && v ? bool_value(v) == 1 : otherwise;
}

double fields_number(struct json_object *in, const char *name, double otherwise)
{
	struct json_object *v;
	double d;

	return json_object_object_get_ex(in, name, &v) && v && number_value(v, &d) ? d : otherwise;
}
