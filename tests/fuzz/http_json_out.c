/* The input is a list of calls of the writer.  The same calls build a tree of json-c: what was written must pass tsa's own syntax check and
 * parse to that tree. */
#include <json-c/json.h>
#include <math.h>

#include "http/json_out.h"
#include "http/syntax.h"
#include "tests/fuzz/slow_utf8.h"

#define CALLS_MOST 2000

static const char *const KEYS[] = {"model", "a", "a_b", "list"};
static const char *const RAW[] = {"{\"x\":[1,{}]}", "[]", "-12", "\"\\u00e9\"", "true", " null "};

struct input {
	const uint8_t *p, *end;
};

/* What has been written so far, twice. */
struct pair {
	struct json_out out;
	struct json_object *open[JSON_OUT_DEPTH]; /* the innermost last */
	unsigned depth;
};

static unsigned take(struct input *in, unsigned limit)
{
	return in->p < in->end ? *in->p++ % limit : 0;
}

static struct span take_bytes(struct input *in)
{
	size_t n = take(in, 64), left = (size_t)(in->end - in->p);
	struct span s = {(const char *)in->p, 0};

	n = n > 60 ? n * 40 : n; /* now and then a long one */
	s.n = n < left ? n : left;
	in->p += s.n;
	return s;
}

static uint64_t take_word(struct input *in)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | take(in, 256);
	return v;
}

/* --- the tree ---------------------------------------------------------------------------------------------------------------------- */

static struct json_object *string_of(const char *p, size_t n)
{
	size_t repaired_n;
	char *repaired = slow_repaired(p, n, &repaired_n);
	struct json_object *o = json_object_new_string_len(repaired, (int)repaired_n);

	free(repaired);
	return o;
}

static void attach(struct pair *w, const char *key, struct json_object *o)
{
	struct json_object *parent = w->depth ? w->open[w->depth - 1] : NULL;

	if (!parent)
		return;
	if (json_object_is_type(parent, json_type_array))
		CHECK(json_object_array_add(parent, o) == 0);
	else
		CHECK(json_object_object_add(parent, key, o) == 0);
}

static void descend(struct pair *w, const char *key, struct json_object *o)
{
	attach(w, key, o);
	w->open[w->depth++] = o;
}

/* A number may differ by what rounding to its decimals, kept beside it, takes away. */
static bool number_near(struct json_object *want, struct json_object *got)
{
	const int *decimals = json_object_get_userdata(want);
	double v = json_object_get_double(want), far = 0.5000001 * pow(10, -*decimals) + fabs(v) * 1e-15;

	if (json_object_is_type(got, json_type_int) && fabs(v) > 9e18)
		return true; /* json-c stops at 64 bits */
	return fabs(json_object_get_double(got) - v) <= far;
}

static bool same(struct json_object *want, struct json_object *got)
{
	if (json_object_is_type(want, json_type_double))
		return json_object_get_userdata(want) ? number_near(want, got) : json_object_equal(want, got);
	if (json_object_get_type(want) != json_object_get_type(got))
		return false;
	if (json_object_is_type(want, json_type_array)) {
		if (json_object_array_length(want) != json_object_array_length(got))
			return false;
		for (size_t i = 0; i < json_object_array_length(want); i++)
			if (!same(json_object_array_get_idx(want, i), json_object_array_get_idx(got, i)))
				return false;
		return true;
	}
	if (!json_object_is_type(want, json_type_object))
		return json_object_equal(want, got);
	json_object_object_foreach(want, key, value)
	{
		struct json_object *other = NULL;

		if (!json_object_object_get_ex(got, key, &other) || !same(value, other))
			return false;
	}
	return json_object_object_length(want) == json_object_object_length(got);
}

/* --- the calls --------------------------------------------------------------------------------------------------------------------- */

static void write_span(struct pair *w, struct input *in, const char *key)
{
	struct span s = take_bytes(in);

	json_out_span(&w->out, key, s);
	attach(w, key, string_of(s.p, s.n));
}

static void write_text(struct pair *w, struct input *in, const char *key)
{
	struct span s = take_bytes(in);
	char *text = strndup(s.p, s.n);

	CHECK(text);
	if (s.n % 7 == 3) {
		json_out_text(&w->out, key, NULL);
		attach(w, key, NULL);
	} else {
		json_out_text(&w->out, key, text);
		attach(w, key, string_of(text, strlen(text)));
	}
	free(text);
}

static void write_format(struct pair *w, struct input *in, const char *key)
{
	struct span s = take_bytes(in);
	char *text = strndup(s.p, s.n), all[4096];
	unsigned n = take(in, 256);
	size_t len = (size_t)snprintf(all, sizeof(all), "%u:%s", n, text);

	CHECK(text);
	json_out_format(&w->out, key, "%u:%s", n, text);
	attach(w, key, string_of(all, len < 1023 ? len : 1023));
	free(text);
}

static void write_uint(struct pair *w, struct input *in, const char *key)
{
	uint64_t v = take_word(in) >> take(in, 64);

	json_out_uint(&w->out, key, v);
	attach(w, key, json_object_new_uint64(v));
}

static void write_fixed(struct pair *w, struct input *in, const char *key)
{
	static const int DECIMALS[] = {0, 1, 2, 3, 6, 9, 17};
	const int *decimals = &DECIMALS[take(in, sizeof(DECIMALS) / sizeof(DECIMALS[0]))];
	uint64_t word = take_word(in);
	struct json_object *o = NULL;
	double v;

	memcpy(&v, &word, sizeof(v));
	if (take(in, 2))
		v = (double)(int64_t)word / 1000;
	json_out_fixed(&w->out, key, v, *decimals);
	if (isfinite(v)) {
		o = json_object_new_double(v);
		json_object_set_userdata(o, (void *)(uintptr_t)decimals, NULL);
	}
	attach(w, key, o);
}

static void write_bool(struct pair *w, struct input *in, const char *key)
{
	bool v = take(in, 2);

	json_out_bool(&w->out, key, v);
	attach(w, key, json_object_new_boolean(v));
}

static void write_null(struct pair *w, struct input *in, const char *key)
{
	(void)in;
	json_out_null(&w->out, key);
	attach(w, key, NULL);
}

static void write_raw(struct pair *w, struct input *in, const char *key)
{
	const char *text = RAW[take(in, sizeof(RAW) / sizeof(RAW[0]))];

	json_out_raw(&w->out, key, span_of(text));
	attach(w, key, json_tokener_parse(text));
}

static void open_object(struct pair *w, struct input *in, const char *key)
{
	(void)in;
	if (w->depth == JSON_OUT_DEPTH)
		return;
	json_out_object(&w->out, key);
	descend(w, key, json_object_new_object());
}

static void open_array(struct pair *w, struct input *in, const char *key)
{
	(void)in;
	if (w->depth == JSON_OUT_DEPTH)
		return;
	json_out_array(&w->out, key);
	descend(w, key, json_object_new_array());
}

static void open_named(struct pair *w, struct input *in, const char *key)
{
	struct span s = take_bytes(in);
	size_t n;
	char *repaired;

	(void)key;
	if (w->depth == JSON_OUT_DEPTH || !json_object_is_type(w->open[w->depth - 1], json_type_object) || memchr(s.p, 0, s.n))
		return; /* json-c's keys end at a NUL */
	json_out_object_named(&w->out, s);
	repaired = slow_repaired(s.p, s.n, &n);
	descend(w, repaired, json_object_new_object());
	free(repaired);
}

static void close_one(struct pair *w, struct input *in, const char *key)
{
	(void)in;
	(void)key;
	if (w->depth < 2)
		return; /* the outermost stays open to the end */
	json_out_end(&w->out);
	w->depth--;
}

static void check(struct pair *w, struct json_object *root)
{
	struct syntax_fault fault = {0, NULL};
	struct json_tokener *t = json_tokener_new();
	struct json_object *got;

	while (w->depth) {
		json_out_end(&w->out);
		w->depth--;
	}
	json_out_finish(&w->out);
	CHECK(!w->out.failed && w->out.p[w->out.n] == 0 && strlen(w->out.p) == w->out.n);
	CHECK(syntax_check(w->out.p, w->out.n, &fault) == 0);
	CHECK(t);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	got = json_tokener_parse_ex(t, w->out.p, (int)w->out.n + 1);
	CHECK(json_tokener_get_error(t) == json_tokener_success && same(root, got));
	json_object_put(got);
	json_tokener_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const CALLS[])(struct pair *w, struct input *in, const char *key) = {
		write_span, write_text, write_format, write_uint, write_fixed, write_bool, write_null, write_raw, open_object, open_array, open_named, close_one,
	};
	struct input in = {data, data + size};
	struct pair w = {.depth = 0};
	struct json_object *root;

	if (take(&in, 2))
		open_array(&w, &in, NULL);
	else
		open_object(&w, &in, NULL);
	root = w.open[0];
	for (unsigned n = 0; n < CALLS_MOST && in.p < in.end; n++) {
		bool in_array = json_object_is_type(w.open[w.depth - 1], json_type_array);
		unsigned call = take(&in, 256);

		CALLS[call % (sizeof(CALLS) / sizeof(CALLS[0]))](&w, &in, in_array ? NULL : KEYS[call / 64]);
	}
	check(&w, root);
	json_object_put(root);
	json_out_free(&w.out);
	CHECK(!w.out.p && !w.out.n && !w.out.depth);
	return 0;
}
