/* Does a JSON body fit the Go type that a real server decodes it into?  The first misfit is reported in Go's words. */
#include "tools/sim/sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct checker {
	const struct sim_schema *root;
	struct why *why;
	char path[256];
};

static int struct_check(struct checker *c, const struct json *j, const struct sim_schema *schema);

static int misfit(struct checker *c, const struct json *j, const char *type)
{
	return why_set(c->why, -EINVAL, "json: cannot unmarshal %s into Go struct field %s.%s of type %s", json_type_name(j->type),
		       c->root->name, c->path, type);
}

/* Where Go's base64 decoder gives up, or -1. */
static long base64_bad(struct span s)
{
	size_t pad = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char ch = (unsigned char)s.p[i];

		if (ch == '\r' || ch == '\n')
			continue;
		if (ch == '=' && i + 2 >= s.n) {
			pad++;
			continue;
		}
		if (pad ||
		    !((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '+' || ch == '/'))
			return (long)i;
	}
	return s.n % 4 ? (long)(s.n - s.n % 4) : -1;
}

static int images_check(struct checker *c, const struct json *j, const struct sim_field *f)
{
	if (j->type != JSON_ARRAY)
		return misfit(c, j, f->type);
	for (const struct json *e = j->child; e; e = e->next) {
		long at;

		if (e->type != JSON_STRING)
			return misfit(c, e, "api.ImageData");
		at = base64_bad(e->text);
		if (at >= 0)
			return why_set(c->why, -EINVAL, "illegal base64 data at input byte %ld", at);
	}
	return 0;
}

static int think_check(struct checker *c, const struct json *j)
{
	static const char *const words[] = {"high", "medium", "low", "max"};

	if (j->type == JSON_BOOL)
		return 0;
	if (j->type != JSON_STRING)
		return why_set(c->why, -EINVAL,
			       "think must be a boolean or string (\"high\", \"medium\", \"low\", \"max\", true, or false)");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_eq(j->text, span_of(words[i])))
			return 0;
	return why_set(c->why, -EINVAL,
		       "invalid think value: \"" SPAN_FMT "\" (must be \"high\", \"medium\", \"low\", \"max\", true, or false)",
		       SPAN_ARG(j->text));
}

static int slice_check(struct checker *c, const struct json *j, const struct sim_field *f)
{
	int err = 0;

	if (j->type != JSON_ARRAY)
		return misfit(c, j, f->type);
	for (const struct json *e = j->child; e && f->sub && !err; e = e->next) {
		if (e->type == JSON_NULL)
			continue;
		if (e->type != JSON_OBJECT)
			return misfit(c, e, f->sub->full);
		err = struct_check(c, e, f->sub);
	}
	return err;
}

static int field_check(struct checker *c, const struct json *j, const struct sim_field *f)
{
	static const struct {
		enum json_type type;
		bool plain;
	} wants[FIELD_KIND_COUNT] = {
		[FIELD_STRING] = {JSON_STRING, true}, [FIELD_BOOL] = {JSON_BOOL, true},  [FIELD_INT] = {JSON_NUMBER, true},
		[FIELD_FLOAT] = {JSON_NUMBER, true},  [FIELD_MAP] = {JSON_OBJECT, true},
	};
	int64_t ns;

	if (wants[f->kind].plain && j->type != wants[f->kind].type)
		return misfit(c, j, f->type);
	switch (f->kind) {
	case FIELD_INT:
		if (!memchr(j->text.p, '.', j->text.n) && !memchr(j->text.p, 'e', j->text.n) && !memchr(j->text.p, 'E', j->text.n))
			return 0;
		return why_set(c->why, -EINVAL, "json: cannot unmarshal number " SPAN_FMT " into Go struct field %s.%s of type %s",
			       SPAN_ARG(j->text), c->root->name, c->path, f->type);
	case FIELD_SLICE:
		return slice_check(c, j, f);
	case FIELD_STRUCT:
		return j->type == JSON_OBJECT ? struct_check(c, j, f->sub) : misfit(c, j, f->type);
	case FIELD_IMAGES:
		return images_check(c, j, f);
	case FIELD_DURATION:
		return sim_keep_alive_read(j, &ns, c->why);
	case FIELD_THINK:
		return think_check(c, j);
	case FIELD_TEXT_OR_BLOCKS:
		if (j->type == JSON_STRING || j->type == JSON_ARRAY)
			return 0;
		/* A decoder of its own reports the list it is in, not the field. */
		return why_set(c->why, -EINVAL, "json: cannot unmarshal %s into Go struct field %s.messages of type %s",
			       json_type_name(j->type), c->root->name, f->type);
	default:
		return 0;
	}
}

static int struct_check(struct checker *c, const struct json *j, const struct sim_schema *schema)
{
	size_t depth = strlen(c->path);
	int err = 0;

	for (const struct json *m = j->child; m && !err; m = m->next) {
		if (m->type == JSON_NULL)
			continue;
		for (size_t i = 0; i < schema->fields_n; i++) {
			if (!json_key_is(m->key, schema->fields[i].name))
				continue;
			snprintf(c->path + depth, sizeof(c->path) - depth, "%s%s", depth ? "." : "", schema->fields[i].name);
			err = field_check(c, m, &schema->fields[i]);
			break;
		}
	}
	c->path[depth] = 0;
	return err;
}

int sim_schema_check(const struct json *j, const struct sim_schema *schema, struct why *why)
{
	struct checker c = {.root = schema, .why = why};

	if (j->type == JSON_NULL)
		return 0;
	if (j->type != JSON_OBJECT)
		return why_set(why, -EINVAL, "json: cannot unmarshal %s into Go value of type %s", json_type_name(j->type),
			       schema->full);
	return struct_check(&c, j, schema);
}
