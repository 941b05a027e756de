/* Good files load with exactly the values they say; files that should not be trusted are refused. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "conf/conf.h"

static char dir[64];
static struct conf_report report;

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void file_write(const char *name, mode_t mode, const char *text)
{
	const char *path = path_of(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int load(struct conf **c)
{
	int rc = conf_load(path_of("tsa.conf"), c, &report);

	if (rc == 0 && report.n)
		fprintf(stderr, "%s\n", report.text[0]);
	return rc;
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/tsa-conf-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	return mkdir(path_of("instances.d"), 0755);
}

static int teardown(void **state)
{
	static const char *const files[] = {
		"instances.d/20-b.conf", "instances.d/10-a.conf", "instances.d/30.off", "instances.d/.40.conf", "tsa.conf", "env"};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(path_of(files[i]));
	rmdir(path_of("instances.d"));
	return rmdir(dir);
}

static const char FULL[] =
	"listen = {\"127.0.0.1:8480\", \"[::1]:8480\"} # two\n"
	"routers = 2\n"
	"state_dir = /srv/tsa\n"
	"user = tsa-run\n"
	"group = operators\n"
	"log_level = debug\n"
	"default_model = \"llama3.2:3b\"\n"
	"management = allow\n"
	"limits { connections = 100 head = 8KiB headers = 32 body = 1MiB buffer = 64KiB queue = 7 active = 5 }\n"
	"deadlines { head = 1s body = 2s body_rate = 2KiB idle = 3s queue = 4s connect = 500ms first_byte = 5m gap = 6s\n"
	"total = 7m stall = 8s stall_rate = 3KiB park = 1.5s drain = 9s start = 10s load = 11m probe = 250ms answer = 12s able = 13s\n"
	"warm = 14m stop = 15s }\n"
	"instance \"chat-0\" {\n"
	"	command = {ollama, \"serve\"}\n"
	"	listen = 127.0.0.1:11501\n"
	"	models = {\"llama3.2:3b\", 'hf.co/user/model:Q4_K_M'}\n"
	"	tags = {chat, general}\n"
	"	slots = 4\n"
	"	cpus = \"0-3,8\"\n"
	"	mems = 0\n"
	"	memory { low = 1GiB high = 2GiB max = 3GiB }\n"
	"	pinned = yes\n"
	"	environment = {\"OLLAMA_MODELS=/srv/ollama\", \"OLLAMA_DEBUG=1\"}\n"
	"	fds = 1000\n"
	"}\n"
	"routing { selection = basic gpu_awareness = no multi_category = no near = 2.5% hot = 60% hold = 1.5 spread = 20s keepalive = 5s stale = 1m\n"
	"probe_every = 9 registry = /srv/m.json categories = /srv/c.json classifier = /srv/w reload = route\n"
	"weights { latency = 1 queue = 2 fit = 0.25 health = 4 feedback = 5 completion = 6 affinity = 7 memory = 0 }\n"
	"slow { p95 = 90s back = 50% answers = 3 forget = 2m } breaker { failures = 2 pause = 1s longest = 8s trial = 3s }\n"
	"retries { share = 10% per_second = 0.5 most = 4 } affinity { enabled = no age = 5m entries = 128 headers = {X-Chat, sid} }\n"
	"wait { bytes = 2MiB tenant = 60% work = 40s gamma = 0.02 prompt_weight = 0.5 answer_weight = 3 slack = 100\n"
	"interactive { wait = 11s handicap = 1s share = 99% } normal { wait = 12s } batch { wait = 13s handicap = 14s share = 10% } }\n"
	"auto { enabled = no complexity = 80% confidence = 40% reasoning_share = 7.5% window = 50 hook = http://127.0.0.1:9000/ask hook_timeout = 4s }\n"
	"scores { base = 40 benchmarks = 60 only = 90% first = 80% other = 50% weights = {\"GSM8K=1.5\", 'Own Bench=2'} unlisted = 0.5 } }\n"
	"model \"qwen3:8b\" { registry = Qwen3-8B categories = {math, code} reload = refuse auto = no reasoning = yes }\n"
	"model x { }\n"
	"instance old { url = http://127.0.0.1:11434/ }\n";

#define SAME(value, expected) assert_true((value) > (expected) - 1e-9 && (value) < (expected) + 1e-9)

static void full_routing(const struct conf_routing *r)
{
	assert_int_equal(r->selection, CONF_SELECT_BASIC);
	assert_false(r->gpu_awareness || r->multi_category);
	SAME(r->near, 0.025);
	SAME(r->hot, 0.6);
	SAME(r->hold, 1.5);
	assert_int_equal(r->spread_ns, 20 * NS_PER_S);
	assert_int_equal(r->probe_every, 9);
	assert_string_equal(r->categories, "/srv/c.json");
	assert_int_equal(r->reload, CONF_RELOAD_ROUTE);
	SAME(r->weights.latency, 1);
	SAME(r->weights.fit, 0.25);
	SAME(r->weights.memory, 0);
	assert_int_equal(r->slow.p95_ns, 90 * NS_PER_S);
	assert_int_equal(r->keepalive_ns, 5 * NS_PER_S);
	SAME(r->slow.back, 0.5);
	assert_int_equal(r->slow.answers, 3);
	assert_int_equal(r->breaker.failures, 2);
	assert_int_equal(r->breaker.longest_ns, 8 * NS_PER_S);
	SAME(r->retries.per_second, 0.5);
	assert_int_equal(r->retries.most, 4);
	assert_false(r->affinity.on || r->automatic.on);
	assert_int_equal(r->affinity.entries, 128);
	assert_int_equal(r->affinity.n_headers, 2);
	assert_string_equal(r->affinity.headers[1], "sid");
	assert_int_equal(r->wait.bytes, 2 << 20);
	SAME(r->wait.tenant, 0.6);
	assert_int_equal(r->wait.work_ns, 40 * NS_PER_S);
	SAME(r->wait.gamma, 0.02);
	SAME(r->wait.prompt_weight, 0.5);
	assert_int_equal(r->wait.slack, 100);
	assert_int_equal(r->wait.interactive.wait_ns, 11 * NS_PER_S);
	SAME(r->wait.interactive.share, 0.99);
	assert_int_equal(r->wait.normal.handicap_ns, 30 * NS_PER_S);
	assert_int_equal(r->wait.batch.handicap_ns, 14 * NS_PER_S);
}

static void full_models(const struct conf *c)
{
	const struct conf_routing *r = &c->routing;

	SAME(r->automatic.complexity, 0.8);
	SAME(r->automatic.reasoning_share, 0.075);
	assert_int_equal(r->automatic.window, 50);
	assert_string_equal(r->automatic.hook.addr.text, "127.0.0.1:9000");
	assert_string_equal(r->automatic.hook.path, "/ask");
	assert_int_equal(r->automatic.hook_ns, 4 * NS_PER_S);
	SAME(r->scores.base, 40);
	SAME(r->scores.other, 0.5);
	assert_int_equal(r->scores.n_weights, 2);
	assert_string_equal(r->scores.weights[1].name, "Own Bench");
	SAME(r->scores.weights[0].weight, 1.5);
	SAME(r->scores.unlisted, 0.5);
	assert_int_equal(c->n_rules, 2);
	assert_string_equal(c->rules[0].name, "qwen3:8b");
	assert_string_equal(c->rules[0].registry, "Qwen3-8B");
	assert_int_equal(c->rules[0].n_categories, 2);
	assert_string_equal(c->rules[0].categories[1], "code");
	assert_int_equal(c->rules[0].reload, CONF_RELOAD_REFUSE);
	assert_false(c->rules[0].automatic);
	assert_true(c->rules[0].reasoning);
	assert_int_equal(c->rules[1].reload, CONF_RELOAD_DEFAULT);
	assert_true(c->rules[1].automatic);
	assert_false(c->rules[1].reasoning);
}

static void full_common(const struct conf *c)
{
	full_routing(&c->routing);
	full_models(c);
	assert_int_equal(c->n_listen, 2);
	assert_string_equal(c->listen[0].text, "127.0.0.1:8480");
	assert_string_equal(c->listen[1].text, "[::1]:8480");
	assert_int_equal(c->listen[1].len, sizeof(struct sockaddr_in6));
	assert_int_equal(ntohs(((const struct sockaddr_in *)&c->listen[0].sa)->sin_port), 8480);
	assert_int_equal(c->routers, 2);
	assert_string_equal(c->state_dir, "/srv/tsa");
	assert_string_equal(c->user, "tsa-run");
	assert_string_equal(c->group, "operators");
	assert_string_equal(c->log_level, "debug");
	assert_string_equal(c->default_model, "llama3.2:3b");
	assert_true(c->manage);
	assert_int_equal(c->conns, 100);
	assert_int_equal(c->head_bytes, 8192);
	assert_int_equal(c->headers, 32);
	assert_int_equal(c->body_bytes, 1 << 20);
	assert_int_equal(c->buffer_bytes, 65536);
	assert_int_equal(c->queue, 7);
	assert_int_equal(c->active, 5);
	assert_int_equal(c->body_rate_bytes, 2048);
	assert_int_equal(c->stall_rate_bytes, 3072);
}

static void full_deadlines(const struct conf *c)
{
	assert_int_equal(c->head_ns, 1 * NS_PER_S);
	assert_int_equal(c->body_ns, 2 * NS_PER_S);
	assert_int_equal(c->idle_ns, 3 * NS_PER_S);
	assert_int_equal(c->queue_ns, 4 * NS_PER_S);
	assert_int_equal(c->connect_ns, 500 * NS_PER_MS);
	assert_int_equal(c->first_ns, 300 * NS_PER_S);
	assert_int_equal(c->gap_ns, 6 * NS_PER_S);
	assert_int_equal(c->total_ns, 420 * NS_PER_S);
	assert_int_equal(c->stall_ns, 8 * NS_PER_S);
	assert_int_equal(c->park_ns, 1500 * NS_PER_MS);
	assert_int_equal(c->drain_ns, 9 * NS_PER_S);
	assert_int_equal(c->start_ns, 10 * NS_PER_S);
	assert_int_equal(c->load_ns, 660 * NS_PER_S);
	assert_int_equal(c->probe_ns, 250 * NS_PER_MS);
	assert_int_equal(c->answer_ns, 12 * NS_PER_S);
	assert_int_equal(c->able_ns, 13 * NS_PER_S);
	assert_int_equal(c->warm_ns, 840 * NS_PER_S);
	assert_int_equal(c->stop_ns, 15 * NS_PER_S);
}

static void full_instance(const struct conf_instance *inst)
{
	assert_string_equal(inst->name, "chat-0");
	assert_false(inst->adopted);
	assert_string_equal(inst->addr.text, "127.0.0.1:11501");
	assert_int_equal(inst->argv_len, 13);
	assert_memory_equal(inst->argv, "ollama\0serve", 13);
	assert_int_equal(inst->n_models, 2);
	assert_string_equal(inst->models[0], "llama3.2:3b");
	assert_string_equal(inst->models[1], "hf.co/user/model:Q4_K_M");
	assert_int_equal(inst->n_tags, 2);
	assert_string_equal(inst->tags[1], "general");
	assert_int_equal(inst->places, 4);
	assert_int_equal(inst->cpus.count, 5);
	assert_int_equal(inst->cpus.bits[0], 0x10f);
	assert_string_equal(inst->cpus.text, "0-3,8");
	assert_int_equal(inst->mems.bits[0], 1);
	assert_int_equal(inst->memory_low_bytes, 1ULL << 30);
	assert_int_equal(inst->memory_high_bytes, 2ULL << 30);
	assert_int_equal(inst->memory_max_bytes, 3ULL << 30);
	assert_true(inst->pinned);
	assert_int_equal(inst->env_len, 41);
	assert_memory_equal(inst->env, "OLLAMA_MODELS=/srv/ollama\0OLLAMA_DEBUG=1", 41);
	assert_int_equal(inst->fds_limit, 1000);
	assert_string_equal(inst->file, path_of("tsa.conf"));
	assert_int_equal(inst->line, 13);
}

static void every_keyword_has_its_value(void **state)
{
	struct conf *c = NULL;

	(void)state;
	file_write("tsa.conf", 0644, FULL);
	assert_int_equal(load(&c), 0);
	assert_int_equal(report.n, 0);
	full_common(c);
	full_deadlines(c);
	assert_int_equal(c->n_instances, 2);
	full_instance(&c->instances[0]);
	assert_string_equal(c->instances[1].name, "old");
	assert_true(c->instances[1].adopted);
	assert_string_equal(c->instances[1].addr.text, "127.0.0.1:11434");
	assert_null(c->instances[1].argv);
	assert_int_equal(c->instances[1].places, 1);
	assert_int_equal(c->instances[1].fds_limit, 0);
	conf_destroy(&c);
}

static void what_is_not_said_has_its_default(void **state)
{
	struct conf *c = NULL;

	(void)state;
	file_write("tsa.conf", 0644, "instance \"main\" { url = \"http://127.0.0.1:11434\" }");
	assert_int_equal(conf_load(path_of("tsa.conf"), &c, &report), 0);
	assert_int_equal(report.n, 0);
	assert_int_equal(c->n_listen, 1);
	assert_string_equal(c->listen[0].text, "127.0.0.1:8480");
	assert_int_equal(c->routers, 1);
	assert_string_equal(c->log_level, "info");
	assert_false(c->manage);
	assert_int_equal(c->conns, 4096);
	assert_int_equal(c->body_bytes, 64 << 20);
	assert_int_equal(c->active, 0);
	assert_int_equal(c->first_ns, 600 * NS_PER_S);
	assert_int_equal(c->n_instances, 1);
	conf_destroy(&c);
}

/* Most likely it is being written just now, and would end everything. */
static void an_empty_file_is_refused(void **state)
{
	struct conf *c = NULL;

	(void)state;
	file_write("tsa.conf", 0644, "");
	assert_int_equal(conf_load(path_of("tsa.conf"), &c, &report), -EINVAL);
	assert_null(c);
	assert_int_equal(report.errors, 1);
	assert_non_null(strstr(report.text[0], "there is no instance"));
}

static void instances_come_in_the_order_of_their_names(void **state)
{
	struct conf *c = NULL;

	(void)state;
	file_write("tsa.conf", 0644, "instance \"z\" { url = \"http://127.0.0.1:1\" }\n");
	file_write("instances.d/20-b.conf", 0644, "instance \"b\" { url = \"http://127.0.0.1:2\" }\n");
	file_write("instances.d/10-a.conf", 0644, "# first\n\ninstance \"a\" { url = \"http://127.0.0.1:3\" }\n");
	file_write("instances.d/30.off", 0644, "not read\n");
	file_write("instances.d/.40.conf", 0644, "not read\n");
	assert_int_equal(load(&c), 0);
	assert_int_equal(c->n_instances, 3);
	assert_string_equal(c->instances[0].name, "z");
	assert_string_equal(c->instances[1].name, "a");
	assert_string_equal(c->instances[2].name, "b");
	assert_string_equal(c->instances[1].file, path_of("instances.d/10-a.conf"));
	assert_int_equal(c->instances[1].line, 3);
	conf_destroy(&c);
}

static void says(const char *name, const char *rest)
{
	char want[400];
	unsigned i = 0;

	snprintf(want, sizeof(want), "%s:%s", path_of(name), rest);
	while (i + 1 < report.n && strcmp(report.text[i], want) != 0)
		i++;
	assert_true(report.n > 0);
	assert_string_equal(report.text[i], want);
}

static void errors_of_several_files_come_in_one_report(void **state)
{
	struct conf *c = NULL;

	(void)state;
	file_write("tsa.conf", 0644, "routers = 99\n");
	file_write("instances.d/10-a.conf", 0644, "routers = 1\n");
	file_write("instances.d/20-b.conf", 0644, "instance \"b\" {\n");
	assert_int_equal(load(&c), -EINVAL);
	assert_null(c);
	assert_int_equal(report.errors, 3);
	says("tsa.conf", "1:11: routers: \"99\" is not a whole number from 1 to 8");
	says("instances.d/10-a.conf",
	     "1:1: \"routers\" does not belong here: files in instances.d hold only instance \"NAME\" { … }");
	says("instances.d/20-b.conf", "1:14: the { here is never closed; write } where the section or list ends");
}

static void one_name_may_stand_in_one_file_only(void **state)
{
	struct conf *c = NULL;
	char rest[200];

	(void)state;
	file_write("tsa.conf", 0644, "\ninstance \"a\" { url = \"http://127.0.0.1:1\" }\n");
	file_write("instances.d/10-a.conf", 0644, "instance \"a\" { url = \"http://127.0.0.1:2\" }\n");
	assert_int_equal(load(&c), -EINVAL);
	snprintf(rest, sizeof(rest), "1:1: there is an instance \"a\" in %s:2 already; give this one another name",
		 path_of("tsa.conf"));
	says("instances.d/10-a.conf", rest);
}

static void secrets_must_not_be_open(void **state)
{
	struct conf *c = NULL;
	char text[400], rest[400];

	(void)state;
	snprintf(text, sizeof(text),
		 "instance \"a\" { command = {ollama, serve} listen = 127.0.0.1:1 models = {m}\n environment_file = \"%s\" }\n",
		 path_of("env"));
	file_write("tsa.conf", 0644, text);
	file_write("env", 0644, "# a comment\n\n HF_TOKEN=s3cret=\nB=2\r\n");
	assert_int_equal(load(&c), -EINVAL);
	snprintf(rest, sizeof(rest), "2:21: environment_file: %s/env holds secrets and everybody may read it: chmod 0640 %s/env", dir,
		 dir);
	says("tsa.conf", rest);

	file_write("env", 0640, "# a comment\n\n HF_TOKEN=s3cret=\nB=2\r\n");
	assert_int_equal(load(&c), 0);
	assert_int_equal(c->instances[0].env_len, 21);
	assert_memory_equal(c->instances[0].env, "HF_TOKEN=s3cret=\0B=2", 21);
	conf_destroy(&c);

	file_write("env", 0640, "A=1\nOLLAMA_HOST=0.0.0.0\n");
	assert_int_equal(load(&c), -EINVAL);
	snprintf(rest, sizeof(rest),
		 "2:21: environment_file: %s:2: tsa sets OLLAMA_HOST itself; take it out and write the keyword \"listen\"",
		 path_of("env"));
	says("tsa.conf", rest);
}

static void a_secret_in_an_open_file_is_warned_of(void **state)
{
	static const char text[] = "instance \"a\" { command = {ollama, serve} listen = 127.0.0.1:1 models = {m}\n"
				   "environment = {\"HF_TOKEN=s3cret\"} }\n";
	struct conf *c = NULL;

	(void)state;
	file_write("tsa.conf", 0644, text);
	assert_int_equal(conf_load(path_of("tsa.conf"), &c, &report), 0);
	says("tsa.conf", "2:16: warning: this entry looks like a secret and everybody may read the file: chmod 0640 it, or write "
			 "environment_file");
	conf_destroy(&c);
	file_write("tsa.conf", 0640, text);
	assert_int_equal(load(&c), 0);
	assert_int_equal(report.n, 0);
	conf_destroy(&c);
}

static void untrusted_files_are_refused(void **state)
{
	struct conf *c = NULL;

	(void)state;
	file_write("tsa.conf", 0666, "routers = 1\n");
	assert_int_equal(load(&c), -EPERM);
	says("tsa.conf", " everybody may write to this file (mode 0666): chmod 0640 it");
	unlink(path_of("tsa.conf"));
	assert_int_equal(load(&c), -ENOENT);
	says("tsa.conf", " it cannot be opened: No such file or directory");
	assert_int_equal(mkfifo(path_of("tsa.conf"), 0600), 0);
	assert_int_equal(load(&c), -EINVAL);
	says("tsa.conf", " this is not a regular file; write the settings into one");
	unlink(path_of("tsa.conf"));
	file_write("tsa.conf", 0644, "");
	assert_int_equal(truncate(path_of("tsa.conf"), CONF_FILE_BYTES + 1), 0);
	assert_int_equal(load(&c), -EFBIG);
	says("tsa.conf", " the file has 1048577 bytes and may have 1048576; split it");
	assert_null(c);
}

static void more_messages_than_fit_are_counted(void **state)
{
	char text[4096] = "";
	struct conf *c = NULL;

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "instance \"i%u\" { slots = 0 url = 127.0.0.1:%u }\n", i,
			 i + 1);
	file_write("tsa.conf", 0644, text);
	assert_int_equal(load(&c), -EINVAL);
	assert_int_equal(report.n, CONF_MESSAGES);
	assert_int_equal(report.errors, 40);
	assert_int_equal(report.more, 40 - CONF_MESSAGES);
}

static void the_examples_load(void **state)
{
	static const char *const examples[] = {"etc/instances.d/chat.conf.example", "etc/instances.d/embed.conf.example"};
	struct conf *c = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		assert_int_equal(conf_load(examples[i], &c, &report), 0);
		assert_int_equal(report.n, 0);
		assert_int_equal(c->n_instances, 1);
		conf_destroy(&c);
	}
	assert_int_equal(conf_load("etc/tsa.conf", &c, &report), 0);
	assert_int_equal(report.n, 0);
	assert_int_equal(c->n_instances, 1);
	assert_string_equal(c->instances[0].addr.text, "127.0.0.1:11434");
	assert_string_equal(c->routing.registry, "/etc/tsa/models.json");
	assert_string_equal(c->routing.categories, "/etc/tsa/task_categories.json");
	conf_destroy(&c);
}

/* A line that was commented out begins with # and the statement; one that explains has a blank between. */
static void example_uncomment(const char *name)
{
	static char text[16384];
	FILE *f = fopen("etc/tsa.conf", "re");
	char *to = text;

	assert_non_null(f);
	while (fgets(to, (int)(sizeof(text) - (size_t)(to - text)), f)) {
		if (to[0] == '#' && to[1] != ' ' && to[1] != '\n')
			to[0] = ' ';
		to += strlen(to);
	}
	assert_true(feof(f));
	fclose(f);
	file_write(name, 0644, text);
}

static void what_the_example_shows_is_the_default(void **state)
{
	struct conf *shown = NULL, *shipped = NULL;

	(void)state;
	example_uncomment("tsa.conf");
	assert_int_equal(load(&shown), 0);
	assert_int_equal(conf_load("etc/tsa.conf", &shipped, &report), 0);
	/* what it says of itself that it is an example, or that it has no value by default */
	assert_string_equal(shown->default_model, "llama3.2:3b");
	assert_string_equal(shown->user, "tsa");
	assert_string_equal(shown->group, "tsa");
	assert_string_equal(shown->state_dir, "/run/tsa");
	assert_string_equal(shown->routing.automatic.hook.path, "/augment");
	assert_int_equal(shown->n_rules, 1);
	shown->routing.automatic.hook = shipped->routing.automatic.hook;
	assert_memory_equal(&shown->routing, &shipped->routing, sizeof(shown->routing));
	assert_memory_equal(&shown->manage, &shipped->manage, offsetof(struct conf, routing) - offsetof(struct conf, manage));
	assert_int_equal(shown->routers, shipped->routers);
	assert_string_equal(shown->log_level, shipped->log_level);
	conf_destroy(&shown);
	conf_destroy(&shipped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_keyword_has_its_value, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_said_has_its_default, setup, teardown),
		cmocka_unit_test_setup_teardown(an_empty_file_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(instances_come_in_the_order_of_their_names, setup, teardown),
		cmocka_unit_test_setup_teardown(errors_of_several_files_come_in_one_report, setup, teardown),
		cmocka_unit_test_setup_teardown(one_name_may_stand_in_one_file_only, setup, teardown),
		cmocka_unit_test_setup_teardown(secrets_must_not_be_open, setup, teardown),
		cmocka_unit_test_setup_teardown(a_secret_in_an_open_file_is_warned_of, setup, teardown),
		cmocka_unit_test_setup_teardown(untrusted_files_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(more_messages_than_fit_are_counted, setup, teardown),
		cmocka_unit_test(the_examples_load),
		cmocka_unit_test_setup_teardown(what_the_example_shows_is_the_default, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
