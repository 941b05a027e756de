/* Nanoseconds per prompt: prompts from files (JSON lines with "text"), and prompts made to be slow.  Each is timed several times and its best time
 * counts, because the machine is shared; the quantiles are over prompts.
 *
 * make build/libroute.a build/libconf.a build/libbase.a && gcc -std=c17 -O2 -I. -D_GNU_SOURCE -DTSA_DATADIR='"/usr/share/tsa"' \
 *	tests/bench/classify_micro.c build/libroute.a build/libconf.a build/libbase.a -ljson-c -lsystemd -lm -o build/classify_micro &&
 * build/classify_micro etc/classifier.weights [FILE...] */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "conf/weights.h"
#include "route/classify.h"

#define TIMES       7
#define HOSTILE_LEN 200000

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t best_of(const struct classifier *c, const char *text, size_t len)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < TIMES; i++) {
		struct classify_result r;
		uint64_t from = clock_now_ns(), took;

		classify_prompt(c, text, len, &r);
		took = clock_now_ns() - from;
		best = took < best ? took : best;
	}
	return best;
}

static void file_run(const struct classifier *c, const char *path)
{
	static uint64_t took[200000];
	FILE *f = fopen(path, "re");
	size_t size = 0, n = 0;
	char *line = NULL;

	while (f && n < ARRAY_SIZE(took) && getline(&line, &size, f) > 0) {
		struct json_object *j = json_tokener_parse(line), *text = NULL;

		if (json_object_object_get_ex(j, "text", &text))
			took[n++] = best_of(c, json_object_get_string(text), (size_t)json_object_get_string_len(text));
		json_object_put(j);
	}
	free(line);
	if (f)
		fclose(f);
	if (!n) {
		fprintf(stderr, "%s: no prompts\n", path);
		return;
	}
	qsort(took, n, sizeof(*took), by_value);
	printf("%-28.28s %6zu prompts   p50 %6.2f us   p99 %6.2f us   max %6.2f us\n",
	       strrchr(path, '/') ? strrchr(path, '/') + 1 : path, n, (double)took[n / 2] / 1e3,
	       (double)took[n - 1 - n / 100] / 1e3, (double)took[n - 1] / 1e3);
}

/* What costs most per byte: many words, many pieces, words that are almost in the vocabulary, bytes that are no text. */
static void hostile_run(const struct classifier *c)
{
	static const char *const UNITS[] = {"a ",          "i i ",
					    "zq",          "unbelievablyantidis ",
					    "x=1;",        "\xf0\x9f\x98\x80",
					    "\xff",        "é",
					    "中",          "( ",
					    "a.b-c+d*e/f", "how many ",
					    "(a) (b) ",    "$x$ ",
					    "\n- a",       " ",
					    "______",      "\"\"",
					    "Aa"};
	char *text = malloc(HOSTILE_LEN);

	BUG_ON(!text);
	for (unsigned i = 0; i < ARRAY_SIZE(UNITS); i++) {
		size_t n = strlen(UNITS[i]);

		for (size_t k = 0; k < HOSTILE_LEN; k++)
			text[k] = UNITS[i][k % n];
		printf("200 kB of %-18s %6.2f us\n",
		       i == 6    ? "no UTF-8"
		       : i == 14 ? "list lines"
				 : UNITS[i],
		       (double)best_of(c, text, HOSTILE_LEN) / 1e3);
	}
	free(text);
}

int main(int argc, char **argv)
{
	struct conf_weights w = {NULL, 0};
	struct classifier *c = NULL;
	struct why why = {""};

	if (argc < 2 || conf_weights_read(argv[1], &w, &why) < 0 || classify_create(w.bytes, w.len, &c, &why) < 0) {
		fprintf(stderr, "%s\n", argc < 2 ? "usage: classify_micro WEIGHTS [FILE...]" : why.text);
		return 1;
	}
	for (int i = 2; i < argc; i++)
		file_run(c, argv[i]);
	hostile_run(c);
	classify_destroy(&c);
	conf_weights_free(&w);
	return 0;
}
