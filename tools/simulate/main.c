#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/scan.h"
#include "tools/simulate/simulate.h"

#define RESULTS 16

enum { EXIT_BAD_USE = 2, EXIT_BAD_TRACE = 1 };

static unsigned policy_count(void)
{
	return SIM_POLICY_COUNT + 1;
}

static const struct sim_policy *policy_at(unsigned i)
{
	return i < SIM_POLICY_COUNT ? &SIM_POLICIES[i] : &SIM_TSA;
}

static int help_print(FILE *to)
{
	fprintf(to, "usage: tsa-simulate --trace FILE [--instances 12] [--slots 1] [--load 0.9] [--policy NAME[,NAME...]]\n"
		    "       [--speeds A,B,...] [--seed N] [--prefill 300] [--decode 30] [--rows N] [--cap TOKENS] [--queue N]\n"
		    "       [--deadline TIME] [--gamma G] [--csv FILE] [--svg FILE] [-j]\n\npolicies:\n");
	for (unsigned i = 0; i < policy_count(); i++)
		fprintf(to, "  %-18s %s\n", policy_at(i)->name, policy_at(i)->help);
	return to == stdout ? 0 : EXIT_BAD_USE;
}

static int bad_use(const char *option, const char *why)
{
	fprintf(stderr, "tsa-simulate: --%s: %s\n", option, why);
	return EXIT_BAD_USE;
}

/* --- the command line --------------------------------------------------------------------------------------------------------------- */

enum option_kind { OPTION_TEXT, OPTION_COUNT, OPTION_REAL, OPTION_TIME, OPTION_SEED, OPTION_SPEEDS };

/* Each option, its kind, where it goes, and its bounds. */
static const struct known {
	const char *name;
	enum option_kind kind;
	size_t at;
	double least, most;
} KNOWN[] = {
	{"trace", OPTION_TEXT, offsetof(struct sim_options, trace), 0, 0},
	{"policy", OPTION_TEXT, offsetof(struct sim_options, policies), 0, 0},
	{"csv", OPTION_TEXT, offsetof(struct sim_options, csv), 0, 0},
	{"svg", OPTION_TEXT, offsetof(struct sim_options, svg), 0, 0},
	{"instances", OPTION_COUNT, offsetof(struct sim_options, instances), 1, SIM_INSTANCES},
	{"slots", OPTION_COUNT, offsetof(struct sim_options, slots), 1, 1024},
	{"rows", OPTION_COUNT, offsetof(struct sim_options, rows), 2, 1e9},
	{"cap", OPTION_COUNT, offsetof(struct sim_options, cap), 1, 1e8},
	{"queue", OPTION_COUNT, offsetof(struct sim_options, queue), 1, 1e9},
	{"load", OPTION_REAL, offsetof(struct sim_options, load), 0, 100},
	{"prefill", OPTION_REAL, offsetof(struct sim_options, prefill), 1e-3, 1e9},
	{"decode", OPTION_REAL, offsetof(struct sim_options, decode), 1e-3, 1e9},
	{"gamma", OPTION_REAL, offsetof(struct sim_options, gamma), 1e-9, 1e9},
	{"deadline", OPTION_TIME, offsetof(struct sim_options, deadline_ns), 0, 0},
	{"seed", OPTION_SEED, offsetof(struct sim_options, seed), 0, 0},
	{"speeds", OPTION_SPEEDS, 0, 1e-3, 1e3},
};

static bool real_parse(const char *text, const char **end, double least, double most, double *out)
{
	char *stop;
	double v = strtod(text, &stop);

	if (stop == text || !isfinite(v) || v < least || v > most)
		return false;
	*end = stop;
	*out = v;
	return true;
}

static int speeds_parse(struct sim_options *o, const char *text, const struct known *k)
{
	for (o->n_speeds = 0; o->n_speeds < SIM_INSTANCES;) {
		if (!real_parse(text, &text, k->least, k->most, &o->speeds[o->n_speeds]))
			break;
		o->n_speeds++;
		if (*text == '\0')
			return 0;
		if (*text++ != ',')
			break;
	}
	return bad_use(k->name, "write speeds from 0.001 to 1000 with commas between them, for example 1,0.5,2; at most 128");
}

/* 0 or the exit status. */
static int option_take(struct sim_options *o, const struct known *k, const char *text)
{
	void *at = (char *)o + k->at;
	struct why why = {""};
	const char *end;
	uint64_t n;

	switch (k->kind) {
	case OPTION_TEXT:
		*(const char **)at = text;
		return 0;
	case OPTION_COUNT:
		if (scan_u64(text, (uint64_t)k->least, (uint64_t)k->most, &n, &why) < 0)
			return bad_use(k->name, why.text);
		*(unsigned *)at = (unsigned)n;
		return 0;
	case OPTION_SEED:
		return scan_u64(text, 0, UINT64_MAX, at, &why) < 0 ? bad_use(k->name, why.text) : 0;
	case OPTION_TIME:
		return scan_duration_ns(text, at, &why) < 0 ? bad_use(k->name, why.text) : 0;
	case OPTION_REAL:
		if (!real_parse(text, &end, k->least, k->most, at) || *end) {
			why_set(&why, 0, "\"%.40s\" is not a number from %g to %g", text, k->least, k->most);
			return bad_use(k->name, why.text);
		}
		return 0;
	case OPTION_SPEEDS:
		return speeds_parse(o, text, k);
	}
	return EXIT_BAD_USE;
}

/* -1: go on; else the exit status. */
static int options_read(struct sim_options *o, int argc, char **argv)
{
	struct option table[ARRAY_SIZE(KNOWN) + 4] = {{NULL, 0, NULL, 0}};
	int opt, at = 0, rc = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(KNOWN); i++)
		table[i] = (struct option){KNOWN[i].name, required_argument, NULL, 256};
	table[ARRAY_SIZE(KNOWN)] = (struct option){"json", no_argument, NULL, 'j'};
	table[ARRAY_SIZE(KNOWN) + 1] = (struct option){"help", no_argument, NULL, 'h'};
	table[ARRAY_SIZE(KNOWN) + 2] = (struct option){"version", no_argument, NULL, 'V'};
	while (rc == 0 && (opt = getopt_long(argc, argv, "jh", table, &at)) != -1) {
		if (opt == 256)
			rc = option_take(o, &KNOWN[at], optarg);
		else if (opt == 'j')
			o->json = true;
		else if (opt == 'h')
			return help_print(stdout);
		else if (opt == 'V')
			return printf("tsa-simulate %s\n", TSA_VERSION) < 0;
		else
			return help_print(stderr);
	}
	if (rc)
		return rc;
	if (optind < argc || !o->trace)
		return help_print(stderr);
	return -1;
}

/* --- the policies asked for ------------------------------------------------------------------------------------------------------------ */

/* How many; 0: complained. */
static unsigned policies_find(const struct sim_options *o, const struct sim_policy *out[RESULTS])
{
	unsigned n = 0;
	const char *p = o->policies;

	if (!p) {
		for (n = 0; n < policy_count(); n++)
			out[n] = policy_at(n);
		return n;
	}
	for (;; p++) {
		size_t len = strcspn(p, ",");
		const struct sim_policy *found = NULL;

		for (unsigned i = 0; i < policy_count() && !found; i++)
			if (strlen(policy_at(i)->name) == len && memcmp(policy_at(i)->name, p, len) == 0)
				found = policy_at(i);
		for (unsigned i = 0; i < n && found; i++)
			if (out[i] == found)
				found = NULL;
		if (!found || n == RESULTS) {
			fprintf(stderr, "tsa-simulate: --policy: \"%.*s\" is no policy, or is named twice; see --help\n", (int)len,
				p);
			return 0;
		}
		out[n++] = found;
		p += len;
		if (!*p)
			return n;
	}
}

static int simulate(const struct sim_options *o, const struct sim_trace *t, const struct sim_policy **policies, unsigned n,
		    struct sim_result *results, struct why *why)
{
	for (unsigned i = 0; i < n; i++) {
		struct sim_trace done = {NULL, 0};
		int rc = sim_run(o, policies[i], t, &done, why);

		if (rc < 0)
			return rc;
		results[i].policy = policies[i];
		rc = figures_make(o, &done, &results[i]);
		trace_free(&done);
		if (rc < 0)
			return why_set(why, rc, "no memory for the figures");
	}
	return 0;
}

static int report(const struct sim_options *o, const struct sim_trace *t, const struct sim_result *results, unsigned n,
		  struct why *why)
{
	int rc = 0;

	if (o->json)
		report_json(results, n);
	else
		report_table(o, t, results, n);
	if (o->csv)
		rc = report_csv(o->csv, results, n, why);
	if (rc == 0 && o->svg)
		rc = plot_svg(o->svg, o, results, n, why);
	if (rc == 0 && fflush(stdout) == EOF)
		rc = why_set(why, -EIO, "the output could not be written");
	return rc;
}

int main(int argc, char **argv)
{
	struct sim_options o = {.instances = 12, .slots = 1, .load = 0.9, .prefill = 300, .decode = 30, .seed = 1};
	const struct sim_policy *policies[RESULTS];
	struct sim_result results[RESULTS] = {0};
	struct sim_trace trace = {NULL, 0};
	struct why why = {""};
	unsigned n;
	int rc = options_read(&o, argc, argv);

	if (rc >= 0)
		return rc;
	n = policies_find(&o, policies);
	if (!n)
		return EXIT_BAD_USE;
	rc = trace_load(&o, &trace, &why);
	if (rc == 0) {
		trace_scale(&o, &trace);
		rc = simulate(&o, &trace, policies, n, results, &why);
	}
	if (rc == 0)
		rc = report(&o, &trace, results, n, &why);
	for (unsigned i = 0; i < n; i++)
		free(results[i].sojourn);
	trace_free(&trace);
	if (rc < 0)
		fprintf(stderr, "tsa-simulate: %s\n", why.text);
	return rc < 0 ? EXIT_BAD_TRACE : 0;
}
