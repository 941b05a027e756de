/* tsactl explain: what a router would do with a prompt, or did with a request, and why. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tsactl/tsactl.h"

#define PROMPT_MOST  1200 /* no more of it is looked at */
#define ID_DIGITS    16
#define TERMS_A_LINE 4 /* fits into 80 columns */

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "";
}

static double real_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_double(v) : 0;
}

static struct json_object *part_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? v : NULL;
}

static size_t length_of(struct json_object *list)
{
	return list ? json_object_array_length(list) : 0;
}

static void words_print(const char *title, struct json_object *list)
{
	if (!length_of(list))
		return;
	printf("%s", title);
	for (size_t i = 0; i < length_of(list); i++)
		printf("%s%s", i ? ", " : "", json_object_get_string(json_object_array_get_idx(list, i)));
	printf("\n");
}

static void prompt_print(struct json_object *o)
{
	struct json_object *p = part_of(o, "prompt");
	const char *doubt = p ? text_of(p, "doubt") : "";

	if (!p) {
		printf("%s\n", text_of(o, "note"));
		return;
	}
	printf("category    %s, confidence %.2f", text_of(p, "category"), real_of(p, "confidence"));
	if (strcmp(doubt, "none") != 0)
		printf(" (likeliest %s, but %s)", text_of(p, "likeliest"), doubt);
	if (strcmp(text_of(p, "category"), text_of(o, "category")) != 0)
		printf("; looked for as %s", text_of(o, "category"));
	printf("\ncomplexity  %.2f, %s\n", real_of(p, "complexity"), text_of(p, "level"));
	words_print("tags        ", part_of(p, "tags"));
	words_print("cues        ", part_of(p, "cues"));
}

static void reasoning_print(struct json_object *o)
{
	struct json_object *r = part_of(o, "reasoning");

	if (!r)
		return;
	printf("reasoning   had %.1f%% of the latest requests, may have %.1f%%; ", 100 * real_of(r, "share"), 100 * real_of(r, "most"));
	if (real_of(r, "from_complexity") > 1)
		printf("none now\n");
	else
		printf("from complexity %.2f, where confidence is below %.2f\n", real_of(r, "from_complexity"), real_of(r, "below_confidence"));
}

static void models_print(struct json_object *o)
{
	struct json_object *list = part_of(o, "models");

	if (!length_of(list))
		return;
	printf("\n%-32s %6s %6s %5s %5s  %s\n", "MODEL", "SCORE", "SKILL", "SIZE", "READY", "LINK OF THE CHAIN");
	for (size_t i = 0; i < length_of(list); i++) {
		struct json_object *m = json_object_array_get_idx(list, i);

		if (*text_of(m, "excluded"))
			printf("%-32s %6s %6s %5s %5s  %s: %s\n", text_of(m, "model"), "-", "-", "-", "-", text_of(m, "excluded"),
			       text_of(m, "why"));
		else
			printf("%-32s %6.1f %6.1f %5.2f %5.2f  %s (%s): %s\n", text_of(m, "model"), real_of(m, "score"),
			       real_of(m, "skill"), real_of(m, "size"), real_of(m, "ready"), text_of(m, "link"),
			       text_of(m, "category"), text_of(m, "why"));
	}
}

static void terms_print(struct json_object *instance, struct json_object *weights)
{
	struct json_object *terms = part_of(instance, "terms");
	struct json_object_iterator at, end;
	unsigned n = 0;

	if (!terms)
		return;
	end = json_object_iter_end(terms);
	for (at = json_object_iter_begin(terms); !json_object_iter_equal(&at, &end); json_object_iter_next(&at), n++)
		printf("%s %s %.2f×%.2f", n % TERMS_A_LINE ? "" : n ? "\n    " : "    ", json_object_iter_peek_name(&at),
		       json_object_get_double(json_object_iter_peek_value(&at)), real_of(weights, json_object_iter_peek_name(&at)));
	printf("\n");
}

static void decision_print(struct json_object *o)
{
	struct json_object *d = part_of(o, "decision"), *list = d ? part_of(d, "instances") : NULL;

	if (!d) {
		printf("\nno model can serve it\n");
		return;
	}
	printf("\nmodel       %s\n", text_of(d, "model"));
	printf("verdict     %s%s%s: %s\n", text_of(d, "verdict"), *text_of(d, "winner") ? " " : "", text_of(d, "winner"), text_of(d, "why"));
	printf("expected    %.0f tokens of prompt, %.0f of answer\n\n", real_of(d, "prompt_tokens"), real_of(d, "output_tokens"));
	printf("%-16s %6s %9s %6s  %s\n", "INSTANCE", "SCORE", "FINISH", "BUSY", "");
	for (size_t i = 0; i < length_of(list); i++) {
		struct json_object *s = json_object_array_get_idx(list, i);

		if (*text_of(s, "excluded")) {
			printf("%-16s %6s %9s %3.0f/%-3.0f %s: %s\n", text_of(s, "instance"), "-", "-", real_of(s, "in_flight"),
			       real_of(s, "places"), text_of(s, "excluded"), text_of(s, "why"));
			continue;
		}
		printf("%-16s %6.3f %7.0fms %3.0f/%-3.0f %s\n", text_of(s, "instance"), real_of(s, "score"), real_of(s, "finish_ms"),
		       real_of(s, "in_flight"), real_of(s, "places"), text_of(s, "tier"));
		terms_print(s, part_of(d, "weights"));
	}
}

static void explain_print(struct json_object *o)
{
	if (part_of(o, "request")) {
		printf("request     %s, attempt %.0f\n", text_of(o, "request"), real_of(o, "attempt"));
		if (*text_of(o, "category"))
			printf("category    %s, confidence %.2f, complexity %.2f\n", text_of(o, "category"), real_of(o, "confidence"),
			       real_of(o, "complexity"));
	} else {
		prompt_print(o);
		reasoning_print(o);
		models_print(o);
	}
	decision_print(o);
}

static int answer_show(const struct options *o, const char *text)
{
	struct json_object *said = json_tokener_parse(text);

	if (!said)
		return complain(o, EXIT_NO_SUPERVISOR, "the answer makes no sense: tsad and tsactl seem to be of different versions");
	if (o->json) {
		json_print(said);
		return EXIT_DONE;
	}
	explain_print(said);
	json_object_put(said);
	return EXIT_DONE;
}

int run_explain(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	const char *ask[2] = {o->request ? "request" : "prompt", o->request};
	char prompt[PROMPT_MOST + 1];
	struct why why = {""};
	struct answer *answer;
	int rc;

	if ((n == 1 && *words[0]) == (o->request != NULL))
		return complain(o, EXIT_USAGE, "write tsactl explain \"PROMPT\", or tsactl explain --request ID");
	if (o->request && (strlen(o->request) != ID_DIGITS || o->request[strspn(o->request, "0123456789abcdefABCDEF")]))
		return complain(o, EXIT_USAGE, "\"%s\" is no id of a request; write the 16 hexadecimal digits of an answer's X-TSA-Request-Id",
				o->request);
	answer = calloc(1, sizeof(*answer));
	if (!answer)
		return complain(o, EXIT_REFUSED, "there is no memory");
	if (n) {
		snprintf(prompt, sizeof(prompt), "%s", words[0]);
		ask[1] = prompt;
	}
	rc = link_ask(o->state, c->verb, ask, 2, answer, NULL, &why);
	if (rc < 0)
		rc = complain(o, link_exit(rc), "%s", why.text);
	else if (answer->status < 0)
		rc = complain(o, EXIT_REFUSED, "%s", answer->text);
	else
		rc = answer_show(o, answer->text);
	free(answer);
	return rc;
}
