#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/scan.h"
#include "tools/tsactl/tsactl.h"
#include "tools/tsactl/words.h"

/* What tsactl does itself; the orders stand in ctl/verbs.def. */
static const struct command OWN[] = {
	{"status", "", 0, 0, run_status, CTL_NONE, "supervisor, host, routers, instances, and what is wrong"},
	{"instances", "", 0, 0, run_instances, CTL_NONE, "the table of instances alone"},
	{"instance", "NAME", 1, 1, run_instance, CTL_NONE, "everything the board knows of one instance"},
	{"routers", "", 0, 0, run_routers, CTL_NONE, "the table of routers alone"},
	{"wait", "ready [NAME] | serving", 1, 2, run_wait, CTL_NONE, "until all instances, this one, or any one can answer"},
	{"doctor", "", 0, 0, run_doctor, CTL_NONE, "what on this machine would hurt, and the remedy"},
	{"classify", "", 0, 0, run_classify, CTL_NONE, "prompts of standard input (JSON lines with \"text\"), without a supervisor"},
	{"explain", "PROMPT | --request ID", 0, 1, run_explain, CTL_EXPLAIN, "what becomes of a prompt, or became of a request, and why"},
	{"version", "", 0, 0, run_version, CTL_VERSION, "of tsactl and of the supervisor"},
	{"help", "", 0, 0, run_help, CTL_NONE, "this text"},
};

static struct command commands[ARRAY_SIZE(OWN) + CTL_VERB_COUNT];
static const char *command_words[ARRAY_SIZE(commands)];
static unsigned n_commands;

static void command_add(struct command c)
{
	command_words[n_commands] = c.word;
	commands[n_commands++] = c;
}

/* `board` is how the others look; `version` says both, and `explain` makes a text of its answer. */
static void commands_make(void)
{
	const struct ctl_verb_info *verbs = ctl_verbs();

	for (unsigned i = 0; i < ARRAY_SIZE(OWN); i++)
		command_add(OWN[i]);
	for (unsigned i = CTL_NONE + 1; i < CTL_VERB_COUNT; i++)
		if (i != CTL_BOARD && i != CTL_VERSION && i != CTL_EXPLAIN)
			command_add((struct command){verbs[i].word, verbs[i].args, verbs[i].min, verbs[i].max,
						     i == CTL_UPGRADE ? run_upgrade : run_order, i, verbs[i].help});
}

/* --- complaints -------------------------------------------------------------------------------------------------------------------- */

int complain(const struct options *o, enum tsactl_exit code, const char *fmt, ...)
{
	char raw[1024], text[1024];
	struct json_object *j;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	fprintf(stderr, "tsactl: %s\n", text_clean(raw, text, sizeof(text)));
	if (o->json) {
		j = json_object_new_object();
		json_object_object_add(j, "ok", json_object_new_boolean(false));
		json_object_object_add(j, "error", json_object_new_string(text));
		json_print(j);
	}
	return (int)code;
}

int complain_word(const struct options *o, int err, const char *what, const char *typed, const char *const *words, unsigned n)
{
	char list[700];

	words_list(typed, words, n, list, sizeof(list));
	if (err == -ENOTUNIQ)
		return complain(o, EXIT_USAGE, "\"%s\" may mean %s; write more of it", typed, list);
	return complain(o, EXIT_USAGE, "there is no %s \"%s\"; write %s", what, typed, list);
}

/* --- verbs that need nothing else ---------------------------------------------------------------------------------------------------- */

int run_version(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	struct why why = {""};
	int code = EXIT_DONE, rc = answer ? link_ask(o->state, c->verb, NULL, 0, answer, NULL, &why) : -ENOMEM;

	(void)words, (void)n;
	if (!o->json)
		printf("tsactl %s\n", TSA_VERSION);
	if (rc < 0) {
		code = complain(o, link_exit(rc), "%s", why.text);
	} else if (o->json) {
		struct json_object *j = json_object_new_object();

		json_object_object_add(j, "tsactl", json_object_new_string(TSA_VERSION));
		json_object_object_add(j, "supervisor", json_object_new_string(answer->text));
		json_print(j);
	} else {
		printf("supervisor %s\n", answer->text);
	}
	free(answer);
	return code;
}

static void help_print(FILE *to)
{
	fprintf(to, "usage: tsactl [--state DIR] [-j] [-o COLUMN,...] [--wait] [--timeout TIME] VERB [NAME [MODEL]]\n"
		    "       tsactl [--state DIR] [-j] [--config FILE] doctor\n"
		    "       tsactl [--weights FILE] classify\n\n");
	for (unsigned i = 0; i < n_commands; i++)
		fprintf(to, "  %-10s%-24s%s\n", commands[i].word, commands[i].args, commands[i].help);
	fprintf(to, "\nWords shorten to any unambiguous beginning.  -j prints JSON; --wait returns when the order has had its "
		    "effect.\n");
}

int run_help(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	(void)o, (void)c, (void)words, (void)n;
	help_print(stdout);
	return EXIT_DONE;
}

/* --- the command line ------------------------------------------------------------------------------------------------------------------ */

enum { OPT_STATE = 256, OPT_CONFIG, OPT_WAIT, OPT_TIMEOUT, OPT_VERSION, OPT_WEIGHTS, OPT_REQUEST };

static const struct option LONG[] = {
	{"state", required_argument, NULL, OPT_STATE},     {"json", no_argument, NULL, 'j'},
	{"config", required_argument, NULL, OPT_CONFIG},
	{"columns", required_argument, NULL, 'o'},         {"wait", no_argument, NULL, OPT_WAIT},
	{"timeout", required_argument, NULL, OPT_TIMEOUT}, {"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPT_VERSION},       {"weights", required_argument, NULL, OPT_WEIGHTS},
	{"request", required_argument, NULL, OPT_REQUEST},
	{NULL, 0, NULL, 0},
};

/* -1: go on; else the exit status. */
static int option_take(struct options *o, int opt)
{
	struct why why = {""};

	switch (opt) {
	case OPT_STATE:
		o->state = optarg;
		return -1;
	case OPT_CONFIG:
		o->config = optarg;
		return -1;
	case 'j':
		o->json = true;
		return -1;
	case 'o':
		o->columns = optarg;
		return -1;
	case OPT_WAIT:
		o->wait = true;
		return -1;
	case OPT_TIMEOUT:
		if (scan_duration_ns(optarg, &o->timeout_ns, &why) < 0)
			return complain(o, EXIT_USAGE, "--timeout: %s", why.text);
		return o->timeout_ns ? -1 : complain(o, EXIT_USAGE, "--timeout: no time at all; write for example 30s");
	case OPT_WEIGHTS:
		o->weights = optarg;
		return -1;
	case OPT_REQUEST:
		o->request = optarg;
		return -1;
	case 'h':
		help_print(stdout);
		return EXIT_DONE;
	case OPT_VERSION:
		printf("tsactl %s\n", TSA_VERSION);
		return EXIT_DONE;
	default:
		return complain(o, EXIT_USAGE, "see `tsactl help`");
	}
}

static int command_run(const struct options *o, const char *const *words, unsigned n)
{
	const struct command *c;
	unsigned at;
	int rc;

	if (n == 0) {
		help_print(stderr);
		return EXIT_USAGE;
	}
	rc = words_match(words[0], command_words, n_commands, &at);
	if (rc < 0)
		return complain_word(o, rc, "verb", words[0], command_words, n_commands);
	c = &commands[at];
	if (n - 1 < c->min || n - 1 > c->max)
		return complain(o, EXIT_USAGE, "write tsactl %s%s%s%s", c->word, *c->args ? " " : "", c->args,
				c->max ? "" : ", without more words");
	return c->run(o, c, words + 1, n - 1);
}

int main(int argc, char **argv)
{
	struct options o = {NULL};
	int opt, code = -1;

	commands_make();
	while (code < 0 && (opt = getopt_long(argc, argv, "jo:h", LONG, NULL)) != -1)
		code = option_take(&o, opt);
	if (code < 0)
		code = command_run(&o, (const char *const *)argv + optind, (unsigned)(argc - optind));
	if (fflush(stdout) == EOF && code == EXIT_DONE)
		code = complain(&o, EXIT_REFUSED, "the output could not be written");
	return code;
}
