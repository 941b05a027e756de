/* How many requests have waited longer than t: the complement of the distribution of sojourns, both axes logarithmic. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "tools/simulate/simulate.h"

#define WIDTH  900
#define HEIGHT 560
#define LEFT   70
#define TOP    44
#define RIGHT  190 /* for the legend */
#define BOTTOM 54
#define POINTS 240
#define LEAST  1e-4 /* share of requests at the foot of the plot */

static const char *const COLOUR[] = {"#8c564b", "#9467bd", "#e377c2", "#1f77b4", "#17becf",
				     "#7f7f7f", "#bcbd22", "#2ca02c", "#d62728"};

struct axes {
	double t_min, t_max;
};

static double x_of(const struct axes *a, double t)
{
	double share = (log10(t) - log10(a->t_min)) / (log10(a->t_max) - log10(a->t_min));

	return LEFT + share * (WIDTH - LEFT - RIGHT);
}

static double y_of(double share)
{
	return TOP + log10(1 / (share < LEAST ? LEAST : share)) / log10(1 / LEAST) * (HEIGHT - TOP - BOTTOM);
}

static void grid(FILE *f, const struct axes *a, const struct sim_options *o)
{
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
		"font-family=\"sans-serif\" "
		"font-size=\"13\">\n<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
	fprintf(f,
		"<text x=\"%d\" y=\"24\" font-size=\"15\">Share of requests that took longer than t: %u instances, %u slot%s each, "
		"load "
		"%.2f</text>\n",
		LEFT, o->instances, o->slots, o->slots == 1 ? "" : "s", o->load);
	for (double t = a->t_min; t <= a->t_max * 1.001; t *= 10)
		fprintf(f,
			"<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%d\" "
			"text-anchor=\"middle\">%g s</text>\n",
			x_of(a, t), TOP, x_of(a, t), HEIGHT - BOTTOM, x_of(a, t), HEIGHT - BOTTOM + 20, t);
	for (double share = 1; share >= LEAST * 0.999; share /= 10)
		fprintf(f,
			"<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" "
			"text-anchor=\"end\">%g %%</text>\n",
			LEFT, y_of(share), WIDTH - RIGHT, y_of(share), LEFT - 8, y_of(share) + 4, share * 100);
	fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">t, from arrival to the end of the answer</text>\n",
		(LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12);
}

static void line(FILE *f, const struct axes *a, const struct sim_result *r, unsigned i)
{
	const char *colour = COLOUR[i % ARRAY_SIZE(COLOUR)];
	unsigned at = 0;
	double y = TOP + 14 + 20 * i;

	fprintf(f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" points=\"", colour,
		strcmp(r->policy->name, "tsa") == 0 ? "3" : "1.5");
	for (unsigned k = 0; k <= POINTS && r->n; k++) {
		double t = a->t_min * pow(a->t_max / a->t_min, (double)k / POINTS);

		while (at < r->n && r->sojourn[at] <= t)
			at++;
		fprintf(f, "%.1f,%.1f ", x_of(a, t), y_of((double)(r->n - at) / r->n));
		if (at == r->n)
			break;
	}
	fprintf(f,
		"\"/>\n<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"3\"/><text x=\"%d\" "
		"y=\"%.1f\">%s"
		"</text>\n",
		WIDTH - RIGHT + 16, y, WIDTH - RIGHT + 40, y, colour, WIDTH - RIGHT + 48, y + 4, r->policy->name);
}

int plot_svg(const char *path, const struct sim_options *o, const struct sim_result *r, unsigned n, struct why *why)
{
	struct axes a = {1, 10};
	FILE *f = fopen(path, "we");
	bool bad;

	if (!f)
		return why_set(why, -errno, "%s: %s", path, strerror(errno));
	for (unsigned i = 0; i < n; i++) {
		while (r[i].n && r[i].sojourn[0] < a.t_min && a.t_min > 1e-6)
			a.t_min /= 10;
		while (r[i].n && r[i].figures.max > a.t_max)
			a.t_max *= 10;
	}
	grid(f, &a, o);
	for (unsigned i = 0; i < n; i++)
		line(f, &a, &r[i], i);
	fprintf(f, "</svg>\n");
	bad = ferror(f);
	if (fclose(f) == EOF || bad)
		return why_set(why, -EIO, "%s could not be written", path);
	return 0;
}
