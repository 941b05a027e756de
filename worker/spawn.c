/* From a configuration to a running `ollama serve`: its environment, its output, its session. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/bug.h"
#include "worker/worker.h"

#define ENV_WORDS      160
#define ARGV_WORDS     128
#define LOG_BYTES_MAX  (16LL << 20)
#define LOG_BYTES_KEPT (256 << 10) /* of the end of a log that is cut: in ollama.log.1 */
#define OOM_SCORE      "300"       /* before anything of tsa, the kernel shall take an Ollama */
#define LOG_PATH       (sizeof(((struct instance *)0)->dir) + 16)
#define PATH_DEFAULT   "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct words {
	char *at[ENV_WORDS + 1];
	unsigned n;
	char own[4096]; /* what does not stand in the configuration */
	size_t used;
};

static void words_unpack(struct words *v, char *packed, size_t len, unsigned max)
{
	for (size_t i = 0; i < len && v->n < max; i += strlen(packed + i) + 1)
		if (packed[i])
			v->at[v->n++] = packed + i;
	v->at[v->n] = NULL;
}

static char *env_find(const struct words *v, const char *name)
{
	size_t n = strlen(name);

	for (unsigned i = 0; i < v->n; i++)
		if (strncmp(v->at[i], name, n) == 0 && v->at[i][n] == '=')
			return v->at[i];
	return NULL;
}

/* `force`: even over what the configuration says, because the worker knows better. */
static void env_set(struct words *v, const char *name, const char *value, bool force)
{
	char *old = env_find(v, name);
	char *entry = v->own + v->used;
	int n = snprintf(entry, sizeof(v->own) - v->used, "%s=%s", name, value);

	if ((old && !force) || n < 0 || (size_t)n >= sizeof(v->own) - v->used)
		return;
	v->used += (size_t)n + 1;
	for (unsigned i = 0; old && i < v->n; i++)
		if (v->at[i] == old) {
			v->at[i] = entry;
			return;
		}
	if (v->n == ENV_WORDS)
		return;
	v->at[v->n++] = entry;
	v->at[v->n] = NULL;
}

/* The home of the user we run as, by /etc/passwd alone: a name service could keep us waiting. */
static bool home_find(char *out, size_t size)
{
	FILE *f = fopen("/etc/passwd", "re");
	struct passwd *p;
	bool found = false;

	while (f && !found && (p = fgetpwent(f)))
		if (p->pw_uid == getuid() && access(p->pw_dir, W_OK) == 0) {
			snprintf(out, size, "%s", p->pw_dir);
			found = true;
		}
	if (f)
		fclose(f);
	return found;
}

static void env_make(struct words *v, struct proc_worker_conf *c, const struct instance *i)
{
	char text[PROC_PATH + PROC_NAME + 16];

	words_unpack(v, c->env, c->env_len, ENV_WORDS);
	env_set(v, "OLLAMA_HOST", c->addr.text, true);
	snprintf(text, sizeof(text), "%u", c->places);
	env_set(v, "OLLAMA_NUM_PARALLEL", text, true);
	env_set(v, MARK_NAME, i->dir, true);
	env_set(v, "OLLAMA_KEEP_ALIVE", "30m", false);
	env_set(v, "OLLAMA_NO_CLOUD", "1", false);
	env_set(v, "PATH", PATH_DEFAULT, false);
	env_set(v, "LANG", "C.UTF-8", false);
	if (!home_find(text, sizeof(text)))
		snprintf(text, sizeof(text), "%s", i->dir);
	env_set(v, "HOME", text, false);
}

/* The file that execve() would be given: with a slash as it stands, else the first in PATH. */
static int command_find(const char *word, const struct words *env, char *out, size_t size, struct why *why)
{
	const char *path = env_find(env, "PATH");
	struct stat st;

	if (strchr(word, '/')) {
		if ((size_t)snprintf(out, size, "%s", word) < size && access(out, X_OK) == 0 && stat(out, &st) == 0 &&
		    S_ISREG(st.st_mode))
			return 0;
		return why_set(why, errno == EACCES ? -EACCES : -ENOENT, "cannot run %.200s: %s", word,
			       errno ? strerror(errno) : "it is no file");
	}
	path = path ? path + strlen("PATH=") : PATH_DEFAULT;
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, ":");
		int len = snprintf(out, size, "%.*s/%s", (int)n, p, word);

		if (n && len > 0 && (size_t)len < size && access(out, X_OK) == 0 && stat(out, &st) == 0 && S_ISREG(st.st_mode))
			return 0;
		p += n + (p[n] == ':');
	}
	return why_set(why, -ENOENT, "there is no program \"%.60s\" in %.200s; install Ollama or write the full path in `command`",
		       word, path);
}

int spawn_dir_make(const struct worker *w, struct why *why)
{
	const struct proc_common *c = &w->conf.common;
	char parent[PROC_PATH + 16];

	snprintf(parent, sizeof(parent), "%s/instances", c->dir);
	if (mkdir(parent, 0755) && errno != EEXIST)
		return why_set(why, -errno, "cannot make %s: %s", parent, strerror(errno));
	if (mkdir(w->ollama.dir, 0750) && errno != EEXIST)
		return why_set(why, -errno, "cannot make %s: %s", w->ollama.dir, strerror(errno));
	if (c->uid && chown(w->ollama.dir, c->uid, c->gid))
		return why_set(why, -errno, "cannot give %s to user %u: %s", w->ollama.dir, c->uid, strerror(errno));
	return 0;
}

static void log_path(const struct worker *w, char path[LOG_PATH])
{
	snprintf(path, LOG_PATH, "%s/ollama.log", w->ollama.dir);
}

static bool under_journal(void)
{
	const char *env = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return env && sscanf(env, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
	       st.st_ino == ino;
}

/* Where the Ollama writes.  Never a pipe to us: it would die of SIGPIPE with its next line after our death. */
static int output_open(const struct worker *w, struct why *why)
{
	int fd = under_journal() ? sd_journal_stream_fd(w->conf.name, LOG_INFO_, 0) : -1;
	char path[LOG_PATH];

	if (fd >= 0)
		return fd;
	log_path(w, path);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd >= 0)
		return fd;
	/* A full disk must not keep an instance from serving. */
	log_warning("%s: cannot open %s: %s; what Ollama says is lost", w->conf.name, path, strerror(errno));
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return fd >= 0 ? fd : why_set(why, -EIO, "cannot open /dev/null: %s", strerror(errno));
}

uint64_t spawn_log_size(const struct worker *w)
{
	char path[LOG_PATH];
	struct stat st;

	log_path(w, path);
	return stat(path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

bool spawn_log_error(const struct worker *w, char *out, size_t size)
{
	static const char MARK[] = "Error: ";
	char path[LOG_PATH], tail[2048], *line = NULL;
	uint64_t length = spawn_log_size(w), from = w->ollama.log_from;
	ssize_t n;
	int fd;

	if (length <= from)
		return false;
	if (length - from > sizeof(tail) - 1)
		from = length - (sizeof(tail) - 1);
	log_path(w, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
	n = fd >= 0 ? pread(fd, tail, sizeof(tail) - 1, (off_t)from) : -1;
	if (fd >= 0)
		close(fd);
	tail[n > 0 ? n : 0] = 0;
	for (char *p = tail; (p = strstr(p, MARK)); p++)
		if (p == tail || p[-1] == '\n')
			line = p + sizeof(MARK) - 1;
	if (!line)
		return false;
	line[strcspn(line, "\r\n")] = 0;
	snprintf(out, size, "%s", line);
	return true;
}

void spawn_log_trim(const struct worker *w)
{
	char path[LOG_PATH], old[LOG_PATH + 2];
	static char tail[LOG_BYTES_KEPT];
	struct stat st;
	ssize_t n;
	int fd, to;

	log_path(w, path);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > LOG_BYTES_MAX) {
		snprintf(old, sizeof(old), "%s.1", path);
		n = pread(fd, tail, sizeof(tail), st.st_size - (off_t)sizeof(tail));
		to = open(old, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0640);
		if (to >= 0) {
			if (n > 0)
				(void)!write(to, tail, (size_t)n);
			close(to);
		}
		(void)!ftruncate(fd, 0); /* the Ollama appends: its next line begins the file anew */
	}
	close(fd);
}

/* Between fork and exec: only what may be called there. */
static void become_ollama(const char *file, char *const *argv, char *const *env, int output, const struct rlimit *fds)
	__attribute__((noreturn));
static void become_ollama(const char *file, char *const *argv, char *const *env, int output, const struct rlimit *fds)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	int null = open("/dev/null", O_RDONLY), score;

	setsid();
	sigaction(SIGPIPE, &dfl, NULL);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
		_exit(126);
	prctl(PR_SET_DUMPABLE, 1); /* after a change of user /proc/self is root's */
	score = open("/proc/self/oom_score_adj", O_WRONLY);
	if (score >= 0)
		(void)!write(score, OOM_SCORE, sizeof(OOM_SCORE) - 1);
	setrlimit(RLIMIT_NOFILE, fds);
	close_range(STDERR_FILENO + 1, ~0U, 0);
	execve(file, argv, env);
	_exit(127);
}

int spawn_ollama(const struct worker *w, struct proc_process *out, int *pidfd, struct why *why)
{
	struct proc_worker_conf conf = w->conf; /* the words of argv and environment point into this copy */
	struct words argv = {0}, env = {0};
	struct proc_process p = {0};
	struct rlimit fds;
	char file[1024];
	int output, fd, rc;
	pid_t pid;

	words_unpack(&argv, conf.argv, conf.argv_len, ARGV_WORDS);
	if (argv.n == 0)
		return why_set(why, -ENOENT, "its command is empty");
	env_make(&env, &conf, &w->ollama);
	errno = 0;
	rc = command_find(argv.at[0], &env, file, sizeof(file), why);
	if (rc)
		return rc;
	output = output_open(w, why);
	if (output < 0)
		return output;
	if (getrlimit(RLIMIT_NOFILE, &fds) == 0)
		fds.rlim_cur = fds.rlim_max;
	pid = fork();
	if (pid == 0)
		become_ollama(file, argv.at, env.at, output, &fds);
	rc = -errno;
	close(output);
	if (pid < 0)
		return why_set(why, rc, "cannot fork: %s", strerror(-rc));
	fd = pidfd_open(pid, 0); /* the child is not waited for yet, so the number is still its own */
	rc = fd < 0 ? -errno : proc_start_time(pid, &p.start);
	if (rc) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (fd >= 0)
			close(fd);
		return why_set(why, rc, "cannot watch the process that was started: %s", strerror(-rc));
	}
	p.pid = (uint64_t)pid;
	*out = p;
	*pidfd = fd;
	return 0;
}
