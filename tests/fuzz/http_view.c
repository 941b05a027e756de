/* The JSON view: accepts what a slow reader of the grammar accepts, finds the same values, and refuses the same double keys. */
#include "tests/fuzz/slow_json.h"

#include "http/bytes.h"
#include "http/prompt.h"
#include "http/view.h"

static const char *const TOP[VIEW_KEY_COUNT] = {
#define VIEW_KEY(id, key) [VIEW_K_##id] = key,
#include "http/view_keys.def"
#undef VIEW_KEY
};

static const char *const OPTIONS[] = {"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict", "num_predict"};

/* How many members fold to `name`; the first of them. */
static unsigned members(const struct slow_json *s, const char *name, const struct slow_member **first)
{
	unsigned n = 0;

	*first = NULL;
	for (unsigned i = 0; i < s->n; i++)
		if (slow_key_folds(&s->members[i], name)) {
			*first = *first ? *first : &s->members[i];
			n++;
		}
	return n;
}

static void options_check(const struct view *v, const struct slow_member *options, bool *doubled)
{
	static struct slow_json s;
	unsigned found = 0;

	if (!options || options->raw[0] != '{')
		return;
	CHECK(slow_object(&s, options->raw, options->raw_n, VIEW_DEPTH_MAX - 1));
	for (size_t i = 0; i < sizeof(OPTIONS) / sizeof(OPTIONS[0]); i++) {
		const struct slow_member *m;
		unsigned n = members(&s, OPTIONS[i], &m);

		*doubled |= n > 1;
		for (unsigned j = 0; v && j < v->n_reload; j++)
			if (strcmp(v->reload[j].name, OPTIONS[i]) == 0) {
				CHECK(m && v->reload[j].raw.p == m->raw && v->reload[j].raw.n == m->raw_n);
				found++;
			}
		if (v && v->num_predict.p && strcmp(OPTIONS[i], "num_predict") == 0) {
			CHECK(m && v->num_predict.p == m->raw && v->num_predict.n == m->raw_n);
			found++;
		}
		CHECK(!v || s.n == SLOW_MEMBERS_MAX || !m || found);
	}
	CHECK(!v || found == v->n_reload + (v->num_predict.p != NULL));
}

static void values_check(const struct view *v, const struct slow_json *s)
{
	for (unsigned k = 0; k < VIEW_KEY_COUNT; k++) {
		const struct slow_member *m;
		char text[64];
		int n;

		members(s, TOP[k], &m);
		CHECK((m != NULL) == (v->at[k].kind != VIEW_ABSENT));
		if (!m)
			continue;
		CHECK(v->at[k].raw.p == m->raw && v->at[k].raw.n == m->raw_n);
		CHECK(view_string(&v->at[k], text, 0) < 0);
		n = view_string(&v->at[k], text, sizeof(text));
		CHECK((v->at[k].kind == VIEW_STRING) == (m->raw[0] == '"'));
		CHECK(n < (int)sizeof(text));
		if (n < 0)
			continue;
		CHECK(strlen(text) == (size_t)n);
		for (int i = 0; i < n; i += (int)byte_utf8(text + i, (size_t)(n - i)))
			CHECK(byte_utf8(text + i, (size_t)(n - i)));
	}
}

/* Whole characters, none of them NUL. */
static void prompt_check(const struct view *v)
{
	static struct prompt p;

	prompt_find(v, &p);
	CHECK(p.n <= PROMPT_BYTES && !memchr(p.text, 0, p.n));
	for (size_t i = 0, n; i < p.n; i += n) {
		n = byte_utf8(p.text + i, p.n - i);
		CHECK(n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct slow_json s;
	static struct view v;
	char *copy = exact_copy((const char *)data, size);
	size_t at = SIZE_MAX;
	enum view_fault fault = view_scan((struct span){copy, size}, &v, &at);
	bool sound = slow_object(&s, copy, size, VIEW_DEPTH_MAX), doubled = false;
	const struct slow_member *options = NULL;

	CHECK(fault == VIEW_OK || at <= size);
	CHECK(fault < VIEW_FAULT_COUNT && *view_fault_text(fault));
	if (sound && s.n < SLOW_MEMBERS_MAX) {
		for (unsigned k = 0; k < VIEW_KEY_COUNT; k++) {
			const struct slow_member *m;

			doubled |= members(&s, TOP[k], &m) > 1;
			options = k == VIEW_K_OPTIONS ? m : options;
		}
		options_check(fault == VIEW_OK ? &v : NULL, options, &doubled);
		CHECK(fault == (doubled ? VIEW_DUPLICATE : VIEW_OK));
		if (fault == VIEW_OK)
			values_check(&v, &s);
	} else if (!sound) {
		CHECK(fault != VIEW_OK);
	}
	if (fault == VIEW_OK)
		prompt_check(&v);
	free(copy);
	return 0;
}
