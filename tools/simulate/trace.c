#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tools/simulate/simulate.h"

#define TOKENS_MAX 100000000U

struct row {
	double at_s;
	int64_t ctx, gen;
};

/* --- CSV -------------------------------------------------------------------------------------------------------------------------- */

enum { COL_TIME = 0, COL_CTX, COL_GEN, COLS };

/* Seconds of "2023-11-16 18:15:46.6805900" since some fixed day, or of a plain number.  False: neither. */
static bool time_parse(const char *text, double *out)
{
	unsigned y, mo, d, h, mi;
	double s;
	char *end;

	if (sscanf(text, "%4u-%2u-%2u%*1[ T]%2u:%2u:%lf", &y, &mo, &d, &h, &mi, &s) == 6 && mo >= 1 && mo <= 12) {
		/* Days by the civil calendar, the year beginning in March. */
		int64_t yy = (int64_t)y - (mo <= 2), era = yy / 400, yoe = yy - era * 400;
		int64_t doy = (153 * ((int64_t)mo + (mo > 2 ? -3 : 9)) + 2) / 5 + (int64_t)d - 1;
		int64_t days = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy;

		*out = (double)days * 86400 + h * 3600.0 + mi * 60.0 + s;
		return true;
	}
	*out = strtod(text, &end);
	return end != text && (*end == '\0' || *end == '\r');
}

static bool count_parse(const char *text, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	return !errno && end != text && (*end == '\0' || *end == '\r') && *out >= 0 && *out <= TOKENS_MAX;
}

/* Which column holds what; false: not all are there. */
static bool csv_header(char *line, int col[COLS])
{
	static const char *const NAMES[COLS] = {"TIMESTAMP", "ContextTokens", "GeneratedTokens"};
	char *save = NULL;
	int at = 0, found = 0;

	line[strcspn(line, "\r\n")] = '\0';
	for (char *word = strtok_r(line, ",", &save); word; word = strtok_r(NULL, ",", &save), at++)
		for (int k = 0; k < COLS; k++)
			if (strcmp(word, NAMES[k]) == 0) {
				col[k] = at;
				found |= 1 << k;
			}
	return found == (1 << COLS) - 1;
}

static int csv_row(char *line, const int col[COLS], struct row *out)
{
	const char *cell[COLS] = {NULL};
	char *save = NULL;
	int at = 0;

	line[strcspn(line, "\r\n")] = '\0';
	for (char *word = strtok_r(line, ",", &save); word; word = strtok_r(NULL, ",", &save), at++)
		for (int k = 0; k < COLS; k++)
			if (col[k] == at)
				cell[k] = word;
	if (!cell[COL_TIME] || !cell[COL_CTX] || !cell[COL_GEN] || !time_parse(cell[COL_TIME], &out->at_s) ||
	    !count_parse(cell[COL_CTX], &out->ctx) || !count_parse(cell[COL_GEN], &out->gen))
		return -EINVAL;
	return 0;
}

/* --- JSON lines --------------------------------------------------------------------------------------------------------------------- */

static int json_row(const char *line, struct row *out)
{
	struct json_object *o = json_tokener_parse(line), *t, *in, *gen;
	int rc = -EINVAL;

	if (o && json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, "timestamp", &t) &&
	    json_object_object_get_ex(o, "input_length", &in) && json_object_object_get_ex(o, "output_length", &gen)) {
		*out = (struct row){json_object_get_double(t) / 1000, json_object_get_int64(in), json_object_get_int64(gen)};
		if (out->ctx >= 0 && out->gen >= 0 && out->ctx <= TOKENS_MAX && out->gen <= TOKENS_MAX)
			rc = 0;
	}
	json_object_put(o);
	return rc;
}

/* --- either --------------------------------------------------------------------------------------------------------------------------- */

static int row_add(struct sim_trace *t, unsigned *cap, const struct row *r, double zero_s, const struct sim_options *o)
{
	uint32_t ctx = (uint32_t)r->ctx;
	double at = r->at_s - zero_s;

	if (t->n == *cap) {
		struct sim_request *more = reallocarray(t->at, *cap * 2 + 1024, sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->at = more;
		*cap = *cap * 2 + 1024;
	}
	if (o->cap && ctx > o->cap)
		ctx = o->cap;
	t->at[t->n++] = (struct sim_request){
		.arrive_ns = at > 0 ? (uint64_t)(at * 1e9) : 0, .ctx = ctx, .gen = (uint32_t)r->gen, .next = -1, .instance = -1};
	return 0;
}

static int by_arrival(const void *a, const void *b)
{
	const struct sim_request *x = a, *y = b;

	return x->arrive_ns < y->arrive_ns ? -1 : x->arrive_ns > y->arrive_ns;
}

static int rows_read(FILE *f, const struct sim_options *o, struct sim_trace *t, struct why *why)
{
	unsigned cap = 0, number = 0;
	int col[COLS] = {-1, -1, -1}, rc = 0;
	char *line = NULL;
	size_t size = 0;
	double zero_s = 0;
	bool csv = false;

	while (rc == 0 && (!o->rows || t->n < o->rows) && getline(&line, &size, f) >= 0) {
		struct row r;

		if (++number == 1 && *line != '{') {
			csv = true;
			if (!csv_header(line, col))
				rc = why_set(why, -EINVAL,
					     "%s:1: neither JSON nor a header with TIMESTAMP,ContextTokens,GeneratedTokens",
					     o->trace);
			continue;
		}
		if (line[strspn(line, " \t\r\n")] == '\0')
			continue;
		rc = csv ? csv_row(line, col, &r) : json_row(line, &r);
		if (rc < 0) {
			why_set(why, rc, "%s:%u: %s", o->trace, number,
				csv ? "not a time and two numbers of tokens"
				    : "not an object with timestamp, input_length and output_length");
			continue;
		}
		if (t->n == 0)
			zero_s = r.at_s;
		rc = row_add(t, &cap, &r, zero_s, o);
		if (rc < 0)
			why_set(why, rc, "no memory for %u requests", t->n);
	}
	free(line);
	return rc;
}

int trace_load(const struct sim_options *o, struct sim_trace *out, struct why *why)
{
	struct sim_trace t = {NULL, 0};
	FILE *f = fopen(o->trace, "re");
	int rc;

	if (!f)
		return why_set(why, -errno, "%s: %s", o->trace, strerror(errno));
	rc = rows_read(f, o, &t, why);
	fclose(f);
	if (rc == 0 && t.n < 2)
		rc = why_set(why, -EINVAL, "%s: %u requests; at least 2 are needed", o->trace, t.n);
	if (rc < 0) {
		trace_free(&t);
		return rc;
	}
	qsort(t.at, t.n, sizeof(*t.at), by_arrival);
	*out = t;
	return 0;
}

void trace_scale(const struct sim_options *o, struct sim_trace *t)
{
	double work = 0, capacity = 0, span, factor = 1;

	for (unsigned i = 0; i < t->n; i++) {
		t->at[i].work_ns = (uint64_t)(1e9 * (t->at[i].ctx / o->prefill + t->at[i].gen / o->decode));
		if (t->at[i].work_ns == 0)
			t->at[i].work_ns = 1;
		work += (double)t->at[i].work_ns;
	}
	for (unsigned i = 0; i < o->instances; i++)
		capacity += (o->n_speeds ? o->speeds[i % o->n_speeds] : 1) * o->slots;
	span = (double)(t->at[t->n - 1].arrive_ns - t->at[0].arrive_ns);
	if (o->load > 0 && span > 0)
		factor = work / capacity / o->load / span;
	for (unsigned i = 0; i < t->n; i++)
		t->at[i].arrive_ns = (uint64_t)((double)t->at[i].arrive_ns * factor);
}

int trace_copy(const struct sim_trace *from, struct sim_trace *out)
{
	out->at = reallocarray(NULL, from->n, sizeof(*out->at));
	if (!out->at)
		return -ENOMEM;
	memcpy(out->at, from->at, from->n * sizeof(*out->at));
	out->n = from->n;
	return 0;
}

void trace_free(struct sim_trace *t)
{
	free(t->at);
	*t = (struct sim_trace){NULL, 0};
}
