/* tsa-worker - looks after one Ollama, or with --host after the figures of the machine.  Started by tsad alone. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/trace.h"
#include "worker/worker.h"

static const struct option OPTIONS[] = {
	{"host", no_argument, NULL, 'H'},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void usage(FILE *to)
{
	fputs("usage: tsa-worker NAME | --host\n"
	      "The worker of one instance of tsa, or of the host.  It is started by tsad, which tells it the rest.\n",
	      to);
}

int main(int argc, char **argv)
{
	struct why why;
	bool host = false;
	int err;

	for (int c; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
		if (c == 'H') {
			host = true;
		} else if (c == 'V') {
			puts("tsa-worker " TSA_VERSION);
			return 0;
		} else {
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (argc - optind != !host) { /* the name is there for ps(1); what it means comes with the configuration */
		usage(stderr);
		return 2;
	}
	err = proc_confine_early(&why); /* first: it closes what is open */
	log_open(host ? "tsa-host" : "tsa-worker", LOG_INFO_);
	trace_on_crash(host ? "tsa-host" : "tsa-worker");
	if (err < 0) {
		log_err("%s", why.text);
		return 1;
	}
	return host ? host_serve() : worker_serve();
}
