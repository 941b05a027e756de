/* tsa-load - a load generator, a stand-in origin and a bare forwarder, for measuring what lies between them. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bug.h"
#include "tools/load/load.h"

static const struct command {
	const char *word;
	enum options_for whose;
	int (*run)(const struct options *o, struct why *why);
	const char *meaning;
} COMMANDS[] = {
	{"origin", FOR_ORIGIN, origin_run, "answer chat requests as a small Ollama would, as fast as it goes"},
	{"forward", FOR_FORWARD, forward_run, "pass bytes on without looking at them: the floor of what a proxy costs"},
	{"request", FOR_REQUEST, request_run, "ask for whole answers and check them"},
	{"stream", FOR_STREAM, stream_run, "open streams, check every chunk"},
	{"idle", FOR_IDLE, idle_run, "open streams that fall silent, to see what one costs"},
};

static void usage(FILE *f)
{
	fprintf(f, "usage: tsa-load COMMAND [--option value]...\n");
	for (unsigned i = 0; i < ARRAY_SIZE(COMMANDS); i++) {
		fprintf(f, "\n%s: %s\n", COMMANDS[i].word, COMMANDS[i].meaning);
		options_print(f, COMMANDS[i].whose);
	}
}

static bool is_help(const char *word)
{
	return strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
}

/* As many descriptors as the hard limit gives: each stream is one or two. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	static struct options options;
	const struct command *command = NULL;
	struct why why = {""};
	int status;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("tsa-load %s\n", TSA_VERSION);
		return EXIT_AS_ASKED;
	}
	for (int i = 1; i < argc && i < 3; i++)
		if (is_help(argv[i])) {
			usage(stdout);
			return EXIT_AS_ASKED;
		}
	for (unsigned i = 0; argc > 1 && i < ARRAY_SIZE(COMMANDS); i++)
		if (strcmp(argv[1], COMMANDS[i].word) == 0)
			command = &COMMANDS[i];
	if (!command) {
		fprintf(stderr, argc > 1 ? "tsa-load: \"%.40s\" is no command\n" : "tsa-load: say what to do\n",
			argc > 1 ? argv[1] : "");
		usage(stderr);
		return EXIT_USAGE_;
	}
	options_init(&options);
	if (options_parse(&options, command->whose, argc - 2, argv + 2, &why)) {
		fprintf(stderr, "tsa-load %s: %s\n", command->word, why.text);
		return EXIT_USAGE_;
	}
	descriptors_raise();
	status = command->run(&options, &why);
	if (why.text[0])
		fprintf(stderr, "tsa-load %s: %s\n", command->word, why.text);
	return status;
}
