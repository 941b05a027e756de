/* What all inference routes share: read the body, find the model, ask for a runner. */
#include "tools/sim/sim.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- durations -------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	double ns;
} units[] = {{"ns", 1}, {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"\xce\xbcs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};

static int bad_duration(struct why *why, const char *what, struct span unit, struct span text)
{
	struct buf b = {0};
	int err;

	if (unit.p)
		buf_printf(&b, "time: %s \"" SPAN_FMT "\" in duration \"" SPAN_FMT "\"", what, SPAN_ARG(unit), SPAN_ARG(text));
	else
		buf_printf(&b, "time: %s \"" SPAN_FMT "\"", what, SPAN_ARG(text));
	err = why_set(why, -EINVAL, SPAN_FMT, SPAN_ARG(buf_view(&b)));
	buf_fini(&b);
	return err;
}

/* "1.5h" at *s; adds to *sum. */
static int duration_part(struct span *s, double *sum, struct span text, struct why *why)
{
	char digits[40];
	size_t n = 0;
	struct span unit;

	while (n < s->n && ((s->p[n] >= '0' && s->p[n] <= '9') || s->p[n] == '.'))
		n++;
	if (!n || (n == 1 && *s->p == '.') || !span_copy(digits, sizeof(digits), (struct span){s->p, n}))
		return bad_duration(why, "invalid duration", (struct span){0}, text);
	s->p += n;
	s->n -= n;
	for (n = 0; n < s->n && s->p[n] != '.' && (s->p[n] < '0' || s->p[n] > '9'); n++)
		;
	unit = (struct span){s->p, n};
	s->p += n;
	s->n -= n;
	if (!unit.n)
		return bad_duration(why, "missing unit in duration", (struct span){0}, text);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!span_eq(unit, span_of(units[i].name)))
			continue;
		*sum += strtod(digits, NULL) * units[i].ns;
		return 0;
	}
	return bad_duration(why, "unknown unit", unit, text);
}

int sim_go_duration(struct span text, int64_t *out_ns, struct why *why)
{
	struct span s = text;
	bool negative = s.n && s.p[0] == '-';
	double sum = 0;
	int err;

	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
		s.p++;
		s.n--;
	}
	if (span_eq(s, SPAN_LIT("0"))) {
		*out_ns = 0;
		return 0;
	}
	if (!s.n)
		return bad_duration(why, "invalid duration", (struct span){0}, text);
	while (s.n) {
		err = duration_part(&s, &sum, text, why);
		if (err)
			return err;
	}
	if (sum > 9.2e18)
		return bad_duration(why, "invalid duration", (struct span){0}, text);
	*out_ns = negative ? -(int64_t)sum : (int64_t)sum;
	return 0;
}

int sim_keep_alive_read(const struct json *j, int64_t *out_ns, struct why *why)
{
	double v;
	int64_t ns;
	int err;

	if (j->type == JSON_STRING) {
		err = sim_go_duration(j->text, &ns, why);
		if (err)
			return err;
		*out_ns = ns < 0 ? SIM_FOREVER : ns;
		return 0;
	}
	if (j->type != JSON_NUMBER)
		return why_set(why, -EINVAL, "Unsupported type: '%s'",
			       j->type == JSON_BOOL     ? "bool"
			       : j->type == JSON_OBJECT ? "map[string]interface {}"
							: "[]interface {}");
	v = json_number(j);
	if (v < 0)
		*out_ns = SIM_FOREVER;
	else if (v * 1e9 >= 9.223372036854775e18)
		*out_ns = 0; /* the overflow of a real server ends below zero, which unloads at once */
	else
		*out_ns = (int64_t)(v * 1e9);
	return 0;
}

/* --- bodies ----------------------------------------------------------------------------------------------------------- */

bool sim_request_read(struct sim_ex *ex, const struct sim_schema *schema)
{
	bool native = !ex->dialect->error_newline;
	const char *cut = sim_conn_body_error(ex->conn);
	struct why why = {0};
	int err = json_parse(&ex->arena, ex->body, &ex->json, &why);

	ex->translation = !native;
	if (cut && (err == -EAGAIN || err == -ENODATA)) {
		sim_ex_fail(ex, 400, cut);
		return false;
	}
	if (err) {
		sim_ex_fail(ex, 400, err == -ENODATA && native ? "missing request body" : why.text);
		return false;
	}
	if (schema && sim_schema_check(ex->json, schema, &why)) {
		sim_ex_fail(ex, 400, why.text);
		return false;
	}
	ex->model_text = json_get_text(ex->json, "model");
	return true;
}

/* The cloud layer stands before the translation: its errors are native whatever the route. */
static void fail_native(struct sim_ex *ex, int status, const char *fmt, struct span name)
{
	struct buf b = {0};

	ex->dialect = &dialect_plain;
	ex->translation = false;
	buf_printf(&b, "%s", fmt);
	if (name.p) {
		buf_lit(&b, "\"");
		buf_span(&b, name);
		buf_lit(&b, "\"");
	}
	buf_put(&b, "", 1);
	sim_ex_fail(ex, status, b.p);
	buf_fini(&b);
}

static bool model_adopt(struct sim_ex *ex, struct sim_model *m)
{
	ex->model = m;
	ex->conf = m->conf;
	ex->name = m->name;
	memcpy(ex->digest, m->digest, sizeof(ex->digest));
	return true;
}

bool sim_request_model(struct sim_ex *ex, enum sim_missing kind, bool empty_is_required, bool exact)
{
	struct span plain = ex->model_text;
	struct sim_name name;
	struct sim_model *m;

	ex->translation = false;
	switch (sim_name_source(ex->model_text, &plain)) {
	case SOURCE_BOTH:
		fail_native(ex, 400, "use either :local or :cloud, not both: ", ex->model_text);
		return false;
	case SOURCE_CLOUD:
		fail_native(ex, 403, "ollama cloud is disabled: remote model is unavailable", (struct span){0});
		return false;
	default:
		break;
	}
	if (!plain.n && empty_is_required) {
		sim_ex_fail(ex, 400, "model is required");
		return false;
	}
	if (!plain.n) {
		sim_ex_fail(ex, 404, "model '' not found");
		return false;
	}
	if (!sim_name_parse(plain, &name)) {
		sim_ex_fail(ex, 400, "invalid model name");
		return false;
	}
	m = exact ? sim_store_find_exact(ex->in, &name) : sim_store_find(ex->in, &name);
	if (m && !(m->conf.broken && kind == MISSING_TRY_PULLING))
		return model_adopt(ex, m);
	if (kind == MISSING_TRY_PULLING)
		sim_ex_failf(ex, 404, "model \"" SPAN_FMT "\" not found, try pulling it first", SPAN_ARG(ex->model_text));
	else
		sim_ex_failf(ex, 404, "model '" SPAN_FMT "' not found", SPAN_ARG(ex->model_text));
	return false;
}

bool sim_request_lacks(struct sim_ex *ex, bool lacks, const char *what, bool full_name)
{
	char name[SIM_NAME_BYTES];

	if (!lacks)
		return false;
	sim_name_full(&ex->name, name, sizeof(name));
	if (full_name)
		sim_ex_failf(ex, 400, "%s does not support %s", name, what);
	else
		sim_ex_failf(ex, 400, "\"" SPAN_FMT "\" does not support %s", SPAN_ARG(ex->model_text), what);
	return true;
}

bool sim_request_options(struct sim_ex *ex, const struct json *options)
{
	const struct json *keep = json_get(ex->json, "keep_alive");
	struct why why;

	if (keep && ex->dialect->error_newline == false)
		sim_keep_alive_read(keep, &ex->keep_alive_ns, &why);
	if (sim_loadopts_read(options, &ex->conf, &ex->loadopts, &why)) {
		sim_ex_fail(ex, 500, why.text);
		return false;
	}
	if (json_get(ex->json, "shift"))
		ex->loadopts.shift = json_get_bool(ex->json, "shift", true);
	if (ex->max_tokens == -1 && json_get(options, "num_predict"))
		ex->max_tokens = json_get_i64(options, "num_predict", -1);
	if (!ex->stop)
		ex->stop = json_get(options, "stop");
	ex->no_truncate = !json_get_bool(ex->json, "truncate", true);
	return true;
}

/* --- running ---------------------------------------------------------------------------------------------------------- */

static void generate_ready(struct sim_ex *ex)
{
	ex->on_slot = sim_gen_start;
	sim_sched_slot_take(ex);
}

void sim_request_generate(struct sim_ex *ex)
{
	ex->on_ready = generate_ready;
	sim_sched_submit(ex);
}

static void load_ready(struct sim_ex *ex)
{
	ex->dialect->loaded(ex, "load");
}

void sim_request_load(struct sim_ex *ex)
{
	ex->on_ready = load_ready;
	sim_sched_submit(ex);
}
