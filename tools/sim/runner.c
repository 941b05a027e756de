/* Real child processes, one per loaded model, for tests that kill, stop and orphan them.
 *
 * A child is this program again under the argument vector of a real runner; it listens and answers /health, and does nothing
 * else but use some processor time while its model would.  As with a real server there is no parent-death signal: children outlive a server that is killed. */
#include "tools/sim/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORK_BYTES    sizeof(uint64_t)
#define WORK_EVERY_MS 20
#define WORK_NS       (1 * NS_PER_MS) /* of each WORK_EVERY_MS: seen as work, and cheap */

/* A port that was free a moment ago: the race is the real server's own. */
static uint16_t port_guess(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint16_t port = 0;

	if (fd < 0)
		return 0;
	if (!bind(fd, (struct sockaddr *)&a, sizeof(a)) && !getsockname(fd, (struct sockaddr *)&a, &len))
		port = ntohs(a.sin_port);
	close(fd);
	return port;
}

/* The word that tells a child how long its model is busy; -1: it will look idle. */
static int work_open(struct sim_runner *r)
{
	int fd = memfd_create("ollama-sim-work", MFD_CLOEXEC);
	void *p = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, WORK_BYTES))
		p = mmap(NULL, WORK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		r->work = p;
	return fd;
}

void sim_runner_work(struct sim_runner *r, uint64_t until_ns)
{
	if (r->work && !r->wedged && atomic_load(r->work) < until_ns)
		atomic_store(r->work, until_ns);
}

static void child_exec(const struct sim_runner *r, int work)
{
	char word[16];
	char exe[4096];
	char blob[128];
	char port[8];
	char *old_argv[] = {"ollama", "runner", "--model", blob, "--port", port, NULL};
	char *new_argv[] = {"llama-server", "--model", blob, "--port", port, "--host", "127.0.0.1", NULL};
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n <= 0)
		_exit(127);
	exe[n] = 0;
	snprintf(blob, sizeof(blob), "/models/blobs/sha256-%s", r->weights);
	snprintf(port, sizeof(port), "%u", r->port);
	snprintf(word, sizeof(word), "%d", work);
	fcntl(work, F_SETFD, 0);
	setenv("OLLAMA_SIM_RUNNER", word, 1);
	execv(exe, sim_conf.new_generation ? new_argv : old_argv);
	_exit(127);
}

void sim_runner_spawn(struct sim_runner *r)
{
	pid_t pid;
	int work;

	r->port = sim_conf.runners ? port_guess() : (uint16_t)(40000 + text_random() % 20000);
	if (!sim_conf.runners)
		return;
	work = work_open(r);
	pid = fork();
	if (pid == 0)
		child_exec(r, work);
	if (pid > 0)
		r->pid = pid;
	if (work >= 0)
		close(work);
}

void sim_runner_kill(struct sim_runner *r)
{
	if (r->work)
		munmap(r->work, WORK_BYTES);
	r->work = NULL;
	if (r->pid <= 0)
		return;
	kill(r->pid, SIGKILL);
	r->pid = 0;
}

static struct sim_runner *runner_of(pid_t pid)
{
	struct sim_runner *r;

	for (unsigned i = 0; i < sim_insts_n; i++)
		TAILQ_FOREACH(r, &sim_insts[i].runners, link)
	if (r->pid == pid)
		return r;
	return NULL;
}

static void child_changed(evutil_socket_t sig, short what, void *arg)
{
	int status;
	pid_t pid;

	(void)sig;
	(void)what;
	(void)arg;
	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
		struct sim_runner *r = runner_of(pid);

		if (!r)
			continue;
		if (WIFSTOPPED(status)) {
			sim_sched_wedge(r, true);
		} else if (WIFCONTINUED(status)) {
			sim_sched_wedge(r, false);
		} else {
			r->pid = 0;
			sim_sched_crash(r);
		}
	}
}

int sim_runner_watch(void)
{
	struct event *on_child;

	if (!sim_conf.runners)
		return 0;
	on_child = evsignal_new(sim_base, SIGCHLD, child_changed, NULL);
	return on_child ? event_add(on_child, NULL) : -ENOMEM;
}

/* One request at a time is enough for a health check. */
static void health_serve(int fd)
{
	static const char answer[] =
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 26\r\nConnection: close\r\n\r\n"
		"{\"status\":0,\"progress\":1.0}";
	char in[4096];
	struct timeval tv = {.tv_sec = 2};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (recv(fd, in, sizeof(in), 0) > 0)
		send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
	close(fd);
}

static void work_do(const _Atomic uint64_t *until)
{
	uint64_t now = clock_now_ns();
	uint64_t end = now + WORK_NS;

	while (now < end && now < atomic_load(until))
		now = clock_now_ns();
}

static const _Atomic uint64_t *work_map(void)
{
	const char *word = getenv("OLLAMA_SIM_RUNNER");
	void *p = word ? mmap(NULL, WORK_BYTES, PROT_READ, MAP_SHARED, (int)strtol(word, NULL, 10), 0) : MAP_FAILED;

	return p == MAP_FAILED ? NULL : p;
}

int sim_runner_main(int argc, char **argv)
{
	const _Atomic uint64_t *work = work_map();
	struct pollfd listener;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], "--port"))
			a.sin_port = htons((uint16_t)strtoul(argv[i + 1], NULL, 10));
	prctl(PR_SET_NAME, strstr(argv[0], "llama-server") ? "llama-server" : "ollama");
	/* The server's sockets and its epoll are close-on-exec; what is left are its standard streams. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 16)) {
		fprintf(stderr, "ollama-sim runner: port %u: %s\n", ntohs(a.sin_port), strerror(errno));
		return 1;
	}
	listener = (struct pollfd){.fd = fd, .events = POLLIN};
	for (;;) {
		int c = -1;

		if (poll(&listener, 1, work ? WORK_EVERY_MS : -1) > 0)
			c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (c >= 0)
			health_serve(c);
		else if (listener.revents && errno != EINTR && errno != ECONNABORTED)
			return 1;
		if (work)
			work_do(work);
	}
}
