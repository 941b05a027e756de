#include "http/fields.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bug.h"
#include "http/syntax.h"

#define NO_OBJECT "Input should be a valid dictionary or object to extract fields from"

/* --- errors ----------------------------------------------------------------------------------------------------------------------- */

static void error_begin(struct json_out *errors, const char *type, const char *where, const char *name, int64_t index,
			const char *msg)
{
	json_out_object(errors, NULL);
	json_out_text(errors, "type", type);
	json_out_array(errors, "loc");
	json_out_text(errors, NULL, where);
	if (name)
		json_out_text(errors, NULL, name);
	if (index >= 0)
		json_out_uint(errors, NULL, (uint64_t)index);
	json_out_end(errors);
	json_out_text(errors, "msg", msg);
}

/* `input`: what was given; NULL is null. */
static void error_input(struct json_out *errors, struct json_object *input)
{
	const char *text =
		input ? json_object_to_json_string_ext(input, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : "null";

	if (text)
		json_out_raw(errors, "input", span_of(text));
	else
		errors->failed = true;
}

static void error_add(struct json_out *errors, const char *type, const char *where, const char *name, int64_t index,
		      const char *msg, struct json_object *input)
{
	error_begin(errors, type, where, name, index, msg);
	error_input(errors, input);
	json_out_end(errors);
}

static void error_range(struct json_out *errors, const char *type, const char *where, const char *name, const char *msg,
			struct json_object *input, struct span ctx)
{
	error_begin(errors, type, where, name, -1, msg);
	error_input(errors, input);
	json_out_raw(errors, "ctx", ctx);
	json_out_end(errors);
}

/* --- the body ---------------------------------------------------------------------------------------------------------------------- */

static bool is_null(const char *body, size_t n)
{
	while (n && isspace((unsigned char)*body))
		body++, n--;
	return n && *body == 'n';
}

static int tree_make(const char *body, size_t n, struct json_object **out)
{
	struct json_tokener *tok = json_tokener_new_ex(SYNTAX_DEPTH + 1);
	bool good;

	if (!tok)
		return -ENOMEM;
	*out = json_tokener_parse_ex(tok, body, (int)n);
	/* A bare number ends where the text does: the parser waits for more. */
	if (json_tokener_get_error(tok) == json_tokener_continue)
		*out = json_tokener_parse_ex(tok, "", 1);
	/* It also waits for more when it got no memory, and then takes the end for that of a null. */
	good = json_tokener_get_error(tok) == json_tokener_success && (*out || is_null(body, n));
	json_tokener_free(tok);
	return good ? 0 : -ENOMEM;
}

/* The place of a fault is the last part of `loc`, and the parser's own words go along. */
static void error_syntax(struct json_out *errors, const struct syntax_fault *fault)
{
	error_begin(errors, "json_invalid", "body", NULL, (int64_t)fault->at, "JSON decode error");
	json_out_raw(errors, "input", SPAN_LIT("{}"));
	json_out_object(errors, "ctx");
	json_out_text(errors, "error", fault->what);
	json_out_end(errors);
	json_out_end(errors);
}

int fields_parse(const char *body, size_t n, struct json_object **out, struct json_out *errors)
{
	struct json_object *o = NULL;
	struct syntax_fault fault;
	int rc;

	if (n == 0 || n > INT32_MAX) {
		error_add(errors, "missing", "body", NULL, -1, "Field required", NULL);
		return -EINVAL;
	}
	if (n > 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark, as some editors write it */
		body += 3;
		n -= 3;
	}
	rc = syntax_check(body, n, &fault);
	if (rc == -EINVAL)
		error_syntax(errors, &fault);
	if (rc == 0)
		rc = tree_make(body, n, &o);
	if (rc < 0)
		return rc;
	if (json_object_is_type(o, json_type_object)) {
		*out = o;
		return 0;
	}
	if (o)
		error_add(errors, "model_attributes_type", "body", NULL, -1, NO_OBJECT, o);
	else
		error_add(errors, "missing", "body", NULL, -1, "Field required", NULL);
	json_object_put(o);
	return -EINVAL;
}

void fields_no_object(const char *body, size_t n, struct json_out *errors)
{
	if (!n) {
		error_add(errors, "missing", "body", NULL, -1, "Field required", NULL);
		return;
	}
	error_begin(errors, "model_attributes_type", "body", NULL, -1, NO_OBJECT);
	json_out_span(errors, "input", (struct span){body, n});
	json_out_end(errors);
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

static void check_bool(struct json_out *errors, const struct field *f, struct json_object *v, const char *where)
{
	bool text = json_object_is_type(v, json_type_string) || json_object_is_type(v, json_type_int);

	if (bool_value(v) >= 0)
		return;
	if (!text)
		error_add(errors, "bool_type", where, f->name, -1, "Input should be a valid boolean", v);
	else
		error_add(errors, "bool_parsing", where, f->name, -1, "Input should be a valid boolean, unable to interpret input",
			  v);
}

/* "5", "-5" or "5.0". */
static bool is_integer_text(const char *text)
{
	size_t n, zeros;

	text += strspn(text, " \t\n\r\v\f");
	text += *text == '-' || *text == '+';
	n = strspn(text, "0123456789");
	text += n;
	zeros = *text == '.' ? strspn(text + 1, "0") : 0;
	text += zeros ? 1 + zeros : 0;
	return n && text[strspn(text, " \t\n\r\v\f")] == '\0';
}

static void check_number(struct json_out *errors, const struct field *f, struct json_object *v, const char *where)
{
	bool whole = f->kind == FIELD_INTEGER, text = json_object_is_type(v, json_type_string);
	double d;

	if (!number_value(v, &d) || (whole && text && !is_integer_text(json_object_get_string(v)))) {
		error_add(errors,
			  whole  ? text ? "int_parsing" : "int_type"
			  : text ? "float_parsing"
				 : "float_type",
			  where, f->name, -1,
			  whole  ? text ? "Input should be a valid integer, unable to parse string as an integer"
					: "Input should be a valid integer"
			  : text ? "Input should be a valid number, unable to parse string as a number"
				 : "Input should be a valid number",
			  v);
		return;
	}
	if (f->kind == FIELD_SHARE && d < 0)
		error_range(errors, "greater_than_equal", where, f->name, "Input should be greater than or equal to 0", v,
			    SPAN_LIT("{\"ge\":0.0}"));
	if (f->kind == FIELD_SHARE && d > 1)
		error_range(errors, "less_than_equal", where, f->name, "Input should be less than or equal to 1", v,
			    SPAN_LIT("{\"le\":1.0}"));
	if (whole && (!isfinite(d) || d != floor(d)))
		error_add(errors, "int_from_float", where, f->name, -1,
			  "Input should be a valid integer, got a number with a fractional part", v);
}

static void check_strings(struct json_out *errors, const struct field *f, struct json_object *v, const char *where)
{
	if (!json_object_is_type(v, json_type_array)) {
		error_add(errors, "list_type", where, f->name, -1, "Input should be a valid list", v);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		struct json_object *one = json_object_array_get_idx(v, i);

		if (!json_object_is_type(one, json_type_string))
			error_add(errors, "string_type", where, f->name, (int64_t)i, "Input should be a valid string", one);
	}
}

static void check(struct json_out *errors, const struct field *f, struct json_object *in, const char *where)
{
	struct json_object *v;

	if (!json_object_object_get_ex(in, f->name, &v)) {
		if (f->required)
			error_add(errors, "missing", where, f->name, -1, "Field required", strcmp(where, "body") == 0 ? in : NULL);
		return;
	}
	if (!v && f->nullable)
		return;
	switch (f->kind) {
	case FIELD_STRING:
		if (!json_object_is_type(v, json_type_string))
			error_add(errors, "string_type", where, f->name, -1, "Input should be a valid string", v);
		return;
	case FIELD_BOOL:
		check_bool(errors, f, v, where);
		return;
	case FIELD_NUMBER:
	case FIELD_SHARE:
	case FIELD_INTEGER:
		check_number(errors, f, v, where);
		return;
	case FIELD_STRINGS:
		check_strings(errors, f, v, where);
		return;
	}
}

bool fields_check(const struct field *table, unsigned n, struct json_object *in, const char *where, struct json_out *errors)
{
	size_t before = errors->n;

	for (unsigned i = 0; i < n; i++)
		check(errors, &table[i], in, where);
	return errors->n == before && !errors->failed;
}

struct span fields_text(struct json_object *in, const char *name)
{
	struct json_object *v;

	if (!json_object_object_get_ex(in, name, &v) || !v)
		return (struct span){NULL, 0};
	return (struct span){json_object_get_string(v), (size_t)json_object_get_string_len(v)};
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
