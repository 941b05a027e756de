#include "supervisor/supervisor.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/scan.h"

#define DEFAULT_CONF TSA_SYSCONFDIR "/tsa.conf"

static const char USAGE[] = "usage: tsad [-nv] [-c FILE] [--state DIR]\n"
			    "       tsad [-nv] [--listen ADDRESS]... [--adopt [NAME=]URL]... [--slots N] [--state DIR]\n"
			    "       tsad --reap --state DIR\n"
			    "\n"
			    "Turns the Ollama instances of one host into one service.  Stays in the foreground.\n"
			    "\n"
			    "  -c, --conf FILE         configuration (default " DEFAULT_CONF ")\n"
			    "      --listen ADDRESS    serve here, without a configuration file; for example 127.0.0.1:8480\n"
			    "      --adopt [NAME=]URL  use the Ollama that runs there (default http://127.0.0.1:11434)\n"
			    "      --slots N           requests that each of them takes at a time\n"
			    "      --state DIR         where lock, control socket and state are kept\n"
			    "  -n, --check             check the configuration, print every message, exit\n"
			    "  -v, --verbose           log what is done and why\n"
			    "      --reap              end what a supervisor that is gone left running, exit\n"
			    "      --help, --version\n"
			    "\n"
			    "SIGHUP reloads the configuration, SIGTERM drains and stops.  See tsad(8), tsa.conf(5), tsactl(8).\n";

enum { OPT_LISTEN = 256, OPT_ADOPT, OPT_SLOTS, OPT_STATE, OPT_REAP, OPT_HELP, OPT_VERSION };

static const struct option LONG[] = {
	{"conf", required_argument, NULL, 'c'},
	{"check", no_argument, NULL, 'n'},
	{"verbose", no_argument, NULL, 'v'},
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"adopt", required_argument, NULL, OPT_ADOPT},
	{"slots", required_argument, NULL, OPT_SLOTS},
	{"state", required_argument, NULL, OPT_STATE},
	{"reap", no_argument, NULL, OPT_REAP},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static int usage_error(const char *what, const char *value)
{
	fprintf(stderr, "tsad: %s%s; tsad --help shows how to call it\n", what, value);
	return -EINVAL;
}

static int take_slots(const char *text, struct sup_options *o)
{
	struct why why;
	uint64_t n;

	if (scan_u64(text, 1, 1024, &n, &why) < 0)
		return usage_error("--slots: ", why.text);
	o->adhoc.slots = (unsigned)n;
	return 0;
}

static int take(int opt, struct sup_options *o)
{
	switch (opt) {
	case 'c':
		o->conf_path = optarg;
		return 0;
	case 'n':
		o->check = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case OPT_LISTEN:
		if (o->adhoc.n_listen == CONF_LISTEN)
			return usage_error("too many --listen, one more is ", optarg);
		o->adhoc.listen[o->adhoc.n_listen++] = optarg;
		return 0;
	case OPT_ADOPT:
		if (o->adhoc.n_adopt == CONF_INSTANCES)
			return usage_error("too many --adopt, one more is ", optarg);
		o->adhoc.adopt[o->adhoc.n_adopt++] = optarg;
		return 0;
	case OPT_SLOTS:
		return take_slots(optarg, o);
	case OPT_STATE:
		o->state_dir = optarg;
		return *optarg ? 0 : usage_error("--state needs a directory", "");
	case OPT_REAP:
		o->reap = true;
		return 0;
	case OPT_HELP:
		fputs(USAGE, stdout);
		return 1;
	case OPT_VERSION:
		puts("tsad " TSA_VERSION);
		return 1;
	default: /* getopt has said what is wrong */
		return usage_error("wrong option", "");
	}
}

/* A configuration file and a service described by options exclude each other, so that no option is silently ignored. */
static int settle(struct sup_options *o)
{
	bool by_options = o->adhoc.n_listen || o->adhoc.n_adopt || o->adhoc.slots;

	if (o->conf_path && by_options)
		return usage_error(
			"--listen, --adopt and --slots describe a service without a configuration file; leave them out, or -c ",
			o->conf_path);
	if (o->reap && !o->state_dir)
		return usage_error("--reap needs --state DIR", "");
	if (!o->conf_path && !by_options && access(DEFAULT_CONF, F_OK) == 0)
		o->conf_path = DEFAULT_CONF;
	return 0;
}

int sup_options_parse(int argc, char **argv, struct sup_options *out)
{
	struct sup_options o = {0};
	int opt, err = 0;

	while (err == 0 && (opt = getopt_long(argc, argv, "c:nv", LONG, NULL)) != -1)
		err = take(opt, &o);
	if (err == 0 && optind < argc)
		err = usage_error("this is not an option: ", argv[optind]);
	if (err == 0)
		err = settle(&o);
	if (err == 0)
		*out = o;
	return err;
}

int sup_options_load(const struct sup_options *o, struct conf **out, struct conf_report *report)
{
	struct conf_adhoc adhoc = o->adhoc;

	if (o->conf_path)
		return conf_load(o->conf_path, out, report);
	adhoc.state_dir = o->state_dir;
	return conf_adhoc_make(&adhoc, out, report);
}

/* conf/ marks its warnings in the text. */
static bool is_warning(const char *text)
{
	return strstr(text, ": warning: ") != NULL;
}

const char *sup_options_report(const struct conf_report *report)
{
	const char *first = NULL;

	for (unsigned i = 0; i < report->n; i++) {
		bool warning = is_warning(report->text[i]);

		log_line(warning ? LOG_WARNING_ : LOG_ERR_, NULL, "%s", report->text[i]);
		if (!warning && !first)
			first = report->text[i];
	}
	if (report->more)
		log_warning("%u more messages are not shown", report->more);
	return first;
}

enum log_level sup_options_level(const struct sup_options *o, const struct conf *conf)
{
	enum log_level level = LOG_INFO_;

	if (o->verbose)
		return LOG_DEBUG_;
	(void)log_level_parse(conf->log_level, &level); /* conf/ has checked the word; an absent one means info */
	return level;
}
