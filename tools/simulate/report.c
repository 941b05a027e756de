#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "tools/simulate/simulate.h"

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Nearest rank. */
static double quantile(const double *v, unsigned n, double q)
{
	unsigned at = (unsigned)(q * n);

	return n ? v[at < n ? at : n - 1] : 0;
}

/* Work done between the first arrival and the last, as a share of what the fleet could do in it. */
static double goodput(const struct sim_options *o, const struct sim_trace *t)
{
	uint64_t from = t->at[0].arrive_ns, to = t->at[t->n - 1].arrive_ns;
	double capacity = 0, done = 0;

	for (unsigned i = 0; i < o->instances; i++)
		capacity += o->slots;
	for (unsigned i = 0; i < t->n; i++) {
		const struct sim_request *r = &t->at[i];

		if (!r->refused && r->start_ns < to)
			done += (double)((r->end_ns < to ? r->end_ns : to) - r->start_ns);
	}
	return to > from ? done / capacity / (double)(to - from) : 0;
}

int figures_make(const struct sim_options *o, const struct sim_trace *t, struct sim_result *out)
{
	struct sim_figures *f = &out->figures;
	double sum = 0, slow = 0, squares = 0;

	out->sojourn = calloc(t->n, sizeof(double));
	if (!out->sojourn)
		return -ENOMEM;
	out->n = 0;
	for (unsigned i = 0; i < t->n; i++) {
		double s = (double)(t->at[i].end_ns - t->at[i].arrive_ns) / 1e9, down = s * 1e9 / (double)t->at[i].work_ns;

		if (t->at[i].refused)
			continue;
		out->sojourn[out->n++] = s;
		sum += s;
		slow += down;
		squares += down * down;
	}
	qsort(out->sojourn, out->n, sizeof(double), by_value);
	*f = (struct sim_figures){.served = out->n, .refused = t->n - out->n, .goodput = goodput(o, t)};
	if (!out->n)
		return 0;
	f->mean = sum / out->n;
	f->p50 = quantile(out->sojourn, out->n, 0.50);
	f->p95 = quantile(out->sojourn, out->n, 0.95);
	f->p99 = quantile(out->sojourn, out->n, 0.99);
	f->max = out->sojourn[out->n - 1];
	f->slowdown = slow / out->n;
	f->fairness = squares > 0 ? slow * slow / squares / out->n : 1;
	return 0;
}

/* The figures by name, as JSON and CSV show them. */
static const struct {
	const char *name;
	size_t at;
} FIGURES[] = {
	{"mean", offsetof(struct sim_figures, mean)},         {"p50", offsetof(struct sim_figures, p50)},
	{"p95", offsetof(struct sim_figures, p95)},           {"p99", offsetof(struct sim_figures, p99)},
	{"max", offsetof(struct sim_figures, max)},           {"slowdown", offsetof(struct sim_figures, slowdown)},
	{"fairness", offsetof(struct sim_figures, fairness)}, {"goodput", offsetof(struct sim_figures, goodput)},
};

static double figure(const struct sim_figures *f, unsigned k)
{
	return *(const double *)(const void *)((const char *)f + FIGURES[k].at);
}

void report_json(const struct sim_result *r, unsigned n)
{
	struct json_object *o = json_object_new_object();

	for (unsigned i = 0; i < n; i++) {
		struct json_object *p = json_object_new_object();

		for (unsigned k = 0; k < ARRAY_SIZE(FIGURES); k++) {
			char text[32];

			snprintf(text, sizeof(text), "%.4f", figure(&r[i].figures, k));
			json_object_object_add(p, FIGURES[k].name, json_object_new_double_s(figure(&r[i].figures, k), text));
		}
		json_object_object_add(p, "served", json_object_new_int((int)r[i].figures.served));
		json_object_object_add(p, "refused", json_object_new_int((int)r[i].figures.refused));
		json_object_object_add(o, r[i].policy->name, p);
	}
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
}

void report_table(const struct sim_options *o, const struct sim_trace *t, const struct sim_result *r, unsigned n)
{
	double hours = (double)(t->at[t->n - 1].arrive_ns - t->at[0].arrive_ns) / 3.6e12;

	printf("%u requests of %s in %.2f h; %u instances of %u slot%s", t->n, o->trace, hours, o->instances, o->slots,
	       o->slots == 1 ? "" : "s");
	if (o->load > 0)
		printf("; load %.2f", o->load);
	printf("\nsojourn in seconds, from arrival to the end of the answer\n\n");
	printf("%-18s%10s%10s%10s%10s%10s%10s%9s%9s%9s\n", "POLICY", "MEAN", "P50", "P95", "P99", "MAX", "SLOWDOWN", "FAIRNESS",
	       "SERVED", "REFUSED");
	for (unsigned i = 0; i < n; i++) {
		const struct sim_figures *f = &r[i].figures;

		printf("%-18s%10.2f%10.2f%10.2f%10.2f%10.2f%10.2f%9.3f%9u%9u\n", r[i].policy->name, f->mean, f->p50, f->p95, f->p99,
		       f->max, f->slowdown, f->fairness, f->served, f->refused);
	}
}

int report_csv(const char *path, const struct sim_result *r, unsigned n, struct why *why)
{
	FILE *f = fopen(path, "we");
	bool bad;

	if (!f)
		return why_set(why, -errno, "%s: %s", path, strerror(errno));
	fprintf(f, "policy");
	for (unsigned k = 0; k < ARRAY_SIZE(FIGURES); k++)
		fprintf(f, ",%s", FIGURES[k].name);
	fprintf(f, ",served,refused\n");
	for (unsigned i = 0; i < n; i++) {
		fprintf(f, "%s", r[i].policy->name);
		for (unsigned k = 0; k < ARRAY_SIZE(FIGURES); k++)
			fprintf(f, ",%.4f", figure(&r[i].figures, k));
		fprintf(f, ",%u,%u\n", r[i].figures.served, r[i].figures.refused);
	}
	bad = ferror(f);
	if (fclose(f) == EOF || bad)
		return why_set(why, -EIO, "%s could not be written", path);
	return 0;
}
