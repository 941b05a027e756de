/* What /proc says, as text that was seen and as text that nobody should have written; and of this very process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bug.h"
#include "base/clock.h"
#include "probes/probes.h"

static void stat_lines(void **state)
{
	static const char LINE[] =
		"4711 (a) b (c)) S 1 4711 4700 0 -1 4194304 123 0 0 0 250 50 0 0 20 0 12 0 987654 1000000 2048 184467 1 1\n";
	struct probe_stat s;

	(void)state;
	assert_true(probe_stat_parse(LINE, strlen(LINE), &s));
	assert_int_equal(s.pid, 4711);
	assert_string_equal(s.comm, "a) b (c)");
	assert_int_equal(s.state, 'S');
	assert_int_equal(s.ppid, 1);
	assert_int_equal(s.session, 4700);
	assert_int_equal(s.start, 987654);
	assert_int_equal(s.cpu_ns, 300 * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK)));
	assert_int_equal(s.rss_bytes, 2048 * sysconf(_SC_PAGESIZE));
}

static void stat_nonsense(void **state)
{
	static const char *const LINES[] = {"", "4711", "4711 (x", "4711 x)", ")(", "4711 (x)", "4711 (x) S 1 2", "x (y) S 1 1 1"};
	struct probe_stat s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(LINES); i++)
		assert_false(probe_stat_parse(LINES[i], strlen(LINES[i]), &s));
}

static void runners_of_both_generations(void **state)
{
	static const struct {
		const char *argv; /* '|' stands for the NUL after each word */
		unsigned port;    /* 0: no runner */
		bool server;
	} CASES[] = {
		{"/usr/bin/ollama|runner|--model|/b/sha256-1|--port|41234|", 41234, false},
		{"/usr/bin/ollama|runner|--ollama-engine|--model|/b/sha256-1|--port|41234|", 41234, false},
		{"/usr/lib/ollama/llama-server|--model|/b/x|--port|5001|--host|127.0.0.1|-np|4|", 5001, true},
		{"/tmp/ollama_llama_server|runner|--model|/b/x|--port|7|", 7, false},
		{"/usr/bin/ollama|serve|", 0, false},
		{"/usr/bin/ollama|runner|--ollama-engine|--port|41234|", 0, false}, /* looks for devices at start */
		{"/usr/lib/ollama/llama-server|--list-devices|", 0, true},
		{"/usr/lib/ollama/llama-server|--port|50000|", 0, true},
		{"/usr/bin/ollama|run|--model|x|--port|1|", 0, false},
		{"/usr/bin/vi|runner|--model|x|--port|1|", 0, false},
		{"/usr/bin/ollama|runner|--model|x|--port|99999|", 0, false},
		{"/usr/bin/ollama|runner|--model|", 0, false},
		{"llama-server|--model", 0, true},
		{"", 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct probe_runner r = {0};
		char words[256];
		size_t n = strlen(CASES[i].argv);

		for (size_t k = 0; k <= n; k++)
			words[k] = (char)(CASES[i].argv[k] == '|' ? 0 : CASES[i].argv[k]);
		assert_int_equal(probe_runner_parse(words, n, &r), CASES[i].port != 0);
		assert_int_equal(r.port, CASES[i].port);
		if (CASES[i].port)
			assert_int_equal(r.server, CASES[i].server);
	}
}

static void this_process(void **state)
{
	struct probe_stat s;
	struct probe_tree t;
	uint64_t before, after;
	int fd;

	(void)state;
	assert_int_equal(probe_stat_read(getpid(), &s), 0);
	assert_int_equal(s.pid, getpid());
	assert_int_equal(probe_fds_count(getpid(), &before), 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(probe_fds_count(getpid(), &after), 0);
	assert_int_equal(after, before + 1);
	close(fd);
	assert_int_equal(probe_tree_read(getpid(), &t), 0);
	assert_true(t.processes >= 1 && t.rss_bytes > 0);
	assert_int_equal(t.n_runners, 0);
	assert_int_equal(probe_stat_read(1 << 30, &s), -ESRCH);
}

/* A child that carries a mark is found with its parent's tree, and not after its end. */
static void a_marked_child(void **state)
{
	static char mark[] = "TSA_INSTANCE=/tmp/tsa-unit-probes";
	char *argv[] = {(char[]){"sleep"}, (char[]){"30"}, NULL};
	char *env[] = {mark, NULL};
	struct probe_stat found[4];
	struct probe_tree t;
	unsigned n = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		execve("/bin/sleep", argv, env);
		_exit(127);
	}
	assert_true(pid > 0);
	for (unsigned tries = 0; tries < 2000 && n == 0; tries++) { /* until it has executed */
		n = probe_marked_find(mark, found, 4);
		if (n == 0)
			usleep(1000);
	}
	assert_int_equal(n, 1);
	assert_int_equal(found[0].pid, pid);
	assert_int_equal(probe_tree_read(getpid(), &t), 0);
	assert_true(t.processes >= 2);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(probe_marked_find(mark, found, 4), 0);
}

static void who_listens(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char address[32];
	pid_t pid = 0;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(sa.sin_port));
	assert_int_equal(probe_listener_find(address, &pid), -ENOENT); /* bound, but it does not listen */
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(probe_listener_find(address, &pid), 0);
	assert_int_equal(pid, getpid());
	close(fd);
	assert_int_equal(probe_listener_find("192.0.2.1:80", &pid), -EINVAL);
	assert_int_equal(probe_listener_find("localhost:80", &pid), -EINVAL);
	assert_int_equal(probe_listener_find("[::2]:80", &pid), -EINVAL);
	assert_int_equal(probe_listener_find("", &pid), -EINVAL);
}

static void memory(void **state)
{
	struct probe_memory m = {0};

	(void)state;
	assert_true(probe_meminfo_parse(
		"MemTotal:       24684084 kB\nMemFree:        1 kB\nMemAvailable:   24059000 kB\nSwapTotal: 8 kB\n"
		"SwapFree:  4 kB\n",
		&m));
	assert_int_equal(m.total_bytes, 24684084ULL * 1024);
	assert_int_equal(m.available_bytes, 24059000ULL * 1024);
	assert_int_equal(m.swap_total_bytes, 8192);
	assert_int_equal(m.swap_free_bytes, 4096);
	assert_false(probe_meminfo_parse("MemTotal: 1 kB\n", &m));
	assert_false(probe_meminfo_parse("XMemTotal: 1 kB\nMemAvailable: x kB\n", &m));
	assert_false(probe_meminfo_parse("", &m));
	assert_int_equal(probe_memory_read(&m), 0);
	assert_true(m.total_bytes >= m.available_bytes && m.available_bytes > 0);
}

static void pressure(void **state)
{
	struct probe_pressure p = {0};
	uint64_t load = 0;

	(void)state;
	assert_true(probe_pressure_parse(
		"some avg10=1.23 avg60=45.06 avg300=0.00 total=1\nfull avg10=0.00 avg60=100.00 avg300=0.00 total=0\n", &p));
	assert_int_equal(p.some_avg10, 123);
	assert_int_equal(p.some_avg60, 4506);
	assert_int_equal(p.full_avg10, 0);
	assert_int_equal(p.full_avg60, 10000);
	assert_false(probe_pressure_parse("some avg10=x avg60=1.00\n", &p));
	assert_false(probe_pressure_parse("full avg10=0.00 avg60=0.00\n", &p));
	assert_false(probe_pressure_parse("some avg10=101.00 avg60=0.00\n", &p));
	assert_false(probe_pressure_parse("", &p));
	assert_true(probe_loadavg_parse("1.05 0.90 0.80 2/345 6789\n", &load));
	assert_int_equal(load, 1050);
	assert_false(probe_loadavg_parse("many\n", &load));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_lines),   cmocka_unit_test(stat_nonsense),  cmocka_unit_test(runners_of_both_generations),
		cmocka_unit_test(this_process), cmocka_unit_test(a_marked_child), cmocka_unit_test(who_listens),
		cmocka_unit_test(memory),       cmocka_unit_test(pressure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
