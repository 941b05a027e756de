/* Preloaded into one program under test: counts its allocations or its system calls, and lets one of them fail.
 *
 * What to do comes in the environment variable SWEEP, words NAME=VALUE between blanks:
 *
 *   program=NAME   only where /proc/self/exe ends in /NAME; everywhere else the shim passes everything on
 *   class=CLASS    what counts: alloc, sys, or child (what a forked child calls before it execs)
 *   at=N           the call that fails, counted from 1; 0: none, only write down what is called
 *   call=NAME      count only calls of this function
 *   site=HASH      count only calls from this place (a hash of the return addresses, as the trace shows it)
 *   for=K          how many calls fail from there on; 1 unless given
 *   errno=I        the first (0) or second (1) of the errors that the call is given
 *   out=FILE       where the trace (at=0) or what failed is written: "N NAME HASH FRAME FRAME ..." a line
 *
 * Counting begins with main().  Standard error is never made to fail: what the program says there is the evidence. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <grp.h>
#include <link.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum class { ALLOC, SYS, CHILD, CLASSES };

static const char *const CLASS_WORDS[CLASSES] = {"alloc", "sys", "child"};

#define FRAMES    24
#define HASHED    10 /* innermost frames that make a site: enough to tell callers apart, few enough not to tell paths apart */
#define MODULES   48
#define OUT_BYTES (64UL << 20) /* a hole in a file costs nothing */

/* Behind the text in the file that is mapped: a forked child counts on. */
struct tally {
	unsigned long count, hits;
	size_t used;
};

static struct {
	bool armed, busy;
	pid_t home;
	enum class class;
	unsigned long at, span;
	uint64_t site;
	char call[32];
	unsigned which;
	struct tally *tally;
	char *out;
	unsigned n_modules;
	struct {
		uintptr_t base, end;
		char name[40];
	} module[MODULES];
} s = {.span = 1};

/* --- where a call comes from ---------------------------------------------------------------------------------------------------- */

static int module_add(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *slash = strrchr(info->dlpi_name, '/');
	uintptr_t end = 0;

	(void)size;
	(void)arg;
	if (s.n_modules == MODULES)
		return 1;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz > end)
			end = info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
	s.module[s.n_modules].base = info->dlpi_addr;
	s.module[s.n_modules].end = info->dlpi_addr + end;
	snprintf(s.module[s.n_modules].name, sizeof(s.module[0].name), "%s", slash ? slash + 1 : *info->dlpi_name ? info->dlpi_name : "-");
	s.n_modules++;
	return 0;
}

static int module_find(uintptr_t p)
{
	for (unsigned i = 0; i < s.n_modules; i++)
		if (p >= s.module[i].base && p < s.module[i].end)
			return (int)i;
	return -1;
}

/* A module that was loaded later, as the C library does for names of users, is looked up then. */
static int module_of(uintptr_t p)
{
	int m = module_find(p);

	if (m < 0) {
		s.n_modules = 0;
		dl_iterate_phdr(module_add, NULL);
		m = module_find(p);
	}
	return m;
}

/* Frames outside of the shim, and of a sanitizer that stands before it. */
static int stack(uintptr_t *at)
{
	void *raw[FRAMES];
	int own = module_of((uintptr_t)&module_of), n = backtrace(raw, FRAMES), from = 0;

	while (from < n && module_of((uintptr_t)raw[from]) != own)
		from++;
	while (from < n && module_of((uintptr_t)raw[from]) == own)
		from++;
	for (int i = from; i < n; i++)
		at[i - from] = (uintptr_t)raw[i];
	return n - from;
}

static uint64_t hash_of(const char *name, const uintptr_t *at, int n)
{
	uint64_t h = 14695981039346656037ULL;

	for (; *name; name++)
		h = (h ^ (uint64_t)(unsigned char)*name) * 1099511628211ULL;
	for (int i = 0; i < n && i < HASHED; i++) {
		int m = module_of(at[i]);
		uint64_t v = m < 0 ? 0 : (uint64_t)m << 32 ^ (at[i] - s.module[m].base);

		for (int b = 0; b < 8; b++, v >>= 8)
			h = (h ^ (v & 255)) * 1099511628211ULL;
	}
	return h;
}

static void write_down(unsigned long count, const char *name, uint64_t hash, const uintptr_t *at, int n)
{
	char line[1600];
	int len = snprintf(line, sizeof(line), "%lu %s %016llx", count, name, (unsigned long long)hash);

	for (int i = 0; i < n && len < (int)sizeof(line) - 80; i++) {
		int m = module_of(at[i]);

		len += snprintf(line + len, sizeof(line) - (size_t)len, " %s+%#zx", m < 0 ? "?" : s.module[m].name,
				m < 0 ? at[i] : at[i] - s.module[m].base);
	}
	line[len++] = '\n';
	if (s.tally->used + (size_t)len < OUT_BYTES) {
		memcpy(s.out + s.tally->used, line, (size_t)len);
		s.tally->used += (size_t)len;
	}
}

/* --- what fails ------------------------------------------------------------------------------------------------------------------- */

/* The error that this call shall fail with, or 0. */
static int fails(enum class class, const char *name, int first, int second)
{
	uintptr_t at[FRAMES];
	uint64_t hash = 0;
	int n = 0;
	bool hit;

	if (!s.armed || s.busy)
		return 0;
	if (getpid() != s.home)
		class = CHILD;
	if (class != s.class || (*s.call && strcmp(s.call, name) != 0))
		return 0;
	s.busy = true;
	if (s.site || !s.at) {
		n = stack(at);
		hash = hash_of(name, at, n);
	}
	if (s.site && hash != s.site) {
		s.busy = false;
		return 0;
	}
	s.tally->count++;
	hit = s.at && s.tally->count >= s.at && s.tally->hits < s.span;
	if (hit && !n)
		n = stack(at);
	s.tally->hits += hit;
	if (hit || !s.at)
		write_down(s.tally->count, name, hit && !hash ? hash_of(name, at, n) : hash, at, n);
	s.busy = false;
	return !hit ? 0 : s.which && second ? second : first;
}

static bool is_program(const char *name)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	const char *slash;

	exe[n > 0 ? n : 0] = 0;
	slash = strrchr(exe, '/');
	return slash && strcmp(slash + 1, name) == 0;
}

static void out_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, (off_t)(OUT_BYTES + sizeof(*s.tally))) < 0)
		abort();
	s.out = mmap(NULL, OUT_BYTES + sizeof(*s.tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s.out == MAP_FAILED)
		abort();
	s.tally = (void *)(s.out + OUT_BYTES);
	close(fd);
}

static void word_take(char *word)
{
	char *value = strchr(word, '=');

	if (!value)
		return;
	*value++ = 0;
	if (strcmp(word, "program") == 0)
		s.armed = is_program(value);
	else if (strcmp(word, "class") == 0)
		for (unsigned c = 0; c < CLASSES; c++)
			s.class = strcmp(value, CLASS_WORDS[c]) == 0 ? (enum class)c : s.class;
	else if (strcmp(word, "at") == 0)
		s.at = strtoul(value, NULL, 10);
	else if (strcmp(word, "site") == 0)
		s.site = strtoull(value, NULL, 16);
	else if (strcmp(word, "call") == 0)
		snprintf(s.call, sizeof(s.call), "%s", value);
	else if (strcmp(word, "for") == 0)
		s.span = strtoul(value, NULL, 10);
	else if (strcmp(word, "errno") == 0)
		s.which = (unsigned)strtoul(value, NULL, 10);
	else if (strcmp(word, "out") == 0 && s.armed)
		out_open(value);
}

/* The unwinder is loaded by the C library, which keeps a few bytes for it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:dl_open_worker_begin\n";
}

__attribute__((constructor)) static void shim_begin(void)
{
	const char *given = getenv("SWEEP");
	char text[2048], *save = NULL;
	bool armed;
	void *warm[4];

	if (!given)
		return;
	snprintf(text, sizeof(text), "%s", given);
	s.busy = true;
	for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
		word_take(w);
	armed = s.armed;
	s.armed = false;
	s.home = getpid();
	(void)backtrace(warm, 4); /* its first call loads the unwinder */
	dl_iterate_phdr(module_add, NULL);
	s.busy = false;
	s.armed = armed && s.tally;
}

/* --- memory --------------------------------------------------------------------------------------------------------------------------- */

/* dlsym() may allocate before it has found the real functions. */
static _Alignas(16) char early[65536];
static size_t early_used;

static void *early_take(size_t n)
{
	void *p = early + early_used;

	early_used += (n + 15) & ~15UL;
	if (early_used > sizeof(early))
		abort();
	return p;
}

static bool is_early(const void *p)
{
	return (const char *)p >= early && (const char *)p < early + sizeof(early);
}

static void *(*real_malloc)(size_t), *(*real_calloc)(size_t, size_t), *(*real_realloc)(void *, size_t);
static int (*real_memalign)(void **, size_t, size_t);
static void (*real_free)(void *);

static bool resolved(void)
{
	static bool within;

	if (real_free)
		return true;
	if (within)
		return false;
	within = true;
	real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	real_memalign = (int (*)(void **, size_t, size_t))dlsym(RTLD_NEXT, "posix_memalign");
	real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	within = false;
	return true;
}

static bool granted(const char *name)
{
	int err = fails(ALLOC, name, ENOMEM, 0);

	if (err)
		errno = err;
	return err == 0;
}

void *malloc(size_t n)
{
	if (!resolved())
		return early_take(n);
	return granted("malloc") ? real_malloc(n) : NULL;
}

void *calloc(size_t n, size_t size)
{
	if (!resolved())
		return early_take(n * size); /* static memory is zero */
	return granted("calloc") ? real_calloc(n, size) : NULL;
}

void *realloc(void *old, size_t n)
{
	void *p;

	if (!resolved() || is_early(old)) {
		p = early_take(n);
		if (old)
			memcpy(p, old, n < (size_t)(early + sizeof(early) - (char *)old) ? n : (size_t)(early + sizeof(early) - (char *)old));
		return p;
	}
	return granted("realloc") ? real_realloc(old, n) : NULL;
}

int posix_memalign(void **out, size_t align, size_t n)
{
	if (!resolved())
		abort();
	return granted("posix_memalign") ? real_memalign(out, align, n) : ENOMEM;
}

void free(void *p)
{
	if (p && !is_early(p) && resolved())
		real_free(p);
}

/* --- system calls ------------------------------------------------------------------------------------------------------------------------ */

#define CALL(type, name, params, args, bad, first, second)                                                                              \
	type name params;                                                                                                              \
	type name params                                                                                                               \
	{                                                                                                                              \
		static type(*next) params;                                                                                             \
		int err = fails(SYS, #name, first, second);                                                                            \
                                                                                                                                       \
		if (err) {                                                                                                             \
			errno = err;                                                                                                   \
			return bad;                                                                                                    \
		}                                                                                                                      \
		if (!next)\
			next = (__typeof__(next))dlsym(RTLD_NEXT, #name);\
		return next args;\
	}

/* Those that return the error itself. */
#define CALL_E(name, params, args, first, second)                                                                                       \
	int name params                                                                                                                \
	{                                                                                                                              \
		static int(*next) params;                                                                                              \
		int err = fails(SYS, #name, first, second);                                                                            \
                                                                                                                                       \
		if (!next)\
			next = (__typeof__(next))dlsym(RTLD_NEXT, #name);\
		return err ? err : next args;\
	}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | __O_TMPFILE) ? (mode_t)va_arg(ap, int) : 0;
}

static int open_as(const char *name, int dir, const char *path, int flags, mode_t mode)
{
	int err = fails(SYS, name, flags & O_CREAT ? ENOSPC : EMFILE, ENOMEM);

	if (err) {
		errno = err;
		return -1;
	}
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

#define OPEN(name)                                                                                                                      \
	int name(const char *path, int flags, ...)                                                                                     \
	{                                                                                                                              \
		va_list ap;                                                                                                            \
		mode_t mode;                                                                                                           \
                                                                                                                                       \
		va_start(ap, flags);                                                                                                   \
		mode = mode_of(flags, ap);                                                                                             \
		va_end(ap);                                                                                                            \
		return open_as(#name, AT_FDCWD, path, flags, mode);                                                                    \
	}
#define OPENAT(name)                                                                                                                    \
	int name(int dir, const char *path, int flags, ...)                                                                            \
	{                                                                                                                              \
		va_list ap;                                                                                                            \
		mode_t mode;                                                                                                           \
                                                                                                                                       \
		va_start(ap, flags);                                                                                                   \
		mode = mode_of(flags, ap);                                                                                             \
		va_end(ap);                                                                                                            \
		return open_as(#name, dir, path, flags, mode);                                                                         \
	}

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;
	int err = fails(SYS, "fcntl", cmd == F_DUPFD_CLOEXEC || cmd == F_DUPFD ? EMFILE : ENOMEM, 0);

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (err) {
		errno = err;
		return -1;
	}
	return (int)syscall(SYS_fcntl, fd, cmd, arg);
}

int prctl(int option, ...)
{
	unsigned long arg[4];
	va_list ap;
	int err = fails(SYS, "prctl", EINVAL, 0);

	va_start(ap, option);
	for (int i = 0; i < 4; i++)
		arg[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (err) {
		errno = err;
		return -1;
	}
	return (int)syscall(SYS_prctl, option, arg[0], arg[1], arg[2], arg[3]);
}

ssize_t write(int fd, const void *p, size_t n)
{
	int err = fd == STDERR_FILENO ? 0 : fails(SYS, "write", ENOSPC, EINTR);

	if (err) {
		errno = err;
		return -1;
	}
	return syscall(SYS_write, fd, p, n);
}

CALL(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), -1, EIO, EINTR)
CALL(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n), -1, EIO, EINTR)
CALL(ssize_t, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), -1, EIO, 0)
CALL(ssize_t, __pread_chk, (int fd, void *p, size_t n, off_t at, size_t size), (fd, p, n, at, size), -1, EIO, 0)
CALL(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), -1, ECONNRESET, EINTR)
CALL(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at), -1, ENOSPC, 0)
CALL(ssize_t, recv, (int fd, void *p, size_t n, int f), (fd, p, n, f), -1, ECONNRESET, EINTR)
CALL(ssize_t, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f), -1, ENOMEM, EINTR)
CALL(ssize_t, send, (int fd, const void *p, size_t n, int f), (fd, p, n, f), -1, ECONNRESET, ENOBUFS)
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f), -1, ENOBUFS, ETOOMANYREFS)
CALL(int, socket, (int d, int t, int p), (d, t, p), -1, EMFILE, ENOBUFS)
CALL(int, socketpair, (int d, int t, int p, int v[2]), (d, t, p, v), -1, EMFILE, ENFILE)
CALL(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int f), (fd, a, n, f), -1, EMFILE, ECONNABORTED)
CALL(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), -1, ECONNREFUSED, EADDRNOTAVAIL)
CALL(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), -1, EADDRINUSE, ENOSPC)
CALL(int, listen, (int fd, int n), (fd, n), -1, EADDRINUSE, 0)
CALL(int, shutdown, (int fd, int how), (fd, how), -1, ENOTCONN, 0)
CALL(int, setsockopt, (int fd, int l, int o, const void *p, socklen_t n), (fd, l, o, p, n), -1, ENOMEM, 0)
CALL(int, getsockopt, (int fd, int l, int o, void *p, socklen_t *n), (fd, l, o, p, n), -1, ENOBUFS, 0)
CALL(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), -1, ENOBUFS, 0)
CALL(int, getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), -1, ENOTCONN, 0)
CALL(int, pipe2, (int v[2], int f), (v, f), -1, EMFILE, 0)
CALL(int, epoll_create1, (int f), (f), -1, EMFILE, ENOMEM)
CALL(int, epoll_create, (int f), (f), -1, EMFILE, ENOMEM)
CALL(int, epoll_ctl, (int e, int op, int fd, struct epoll_event *ev), (e, op, fd, ev), -1, ENOMEM, ENOSPC)
CALL(int, epoll_wait, (int e, struct epoll_event *ev, int n, int ms), (e, ev, n, ms), -1, EINTR, 0)
CALL(int, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms), -1, EINTR, ENOMEM)
CALL(int, timerfd_create, (clockid_t c, int f), (c, f), -1, EMFILE, 0)
CALL(int, timerfd_settime, (int fd, int f, const struct itimerspec *a, struct itimerspec *b), (fd, f, a, b), -1, ENOMEM, 0)
CALL(int, eventfd, (unsigned n, int f), (n, f), -1, EMFILE, 0)
CALL(int, signalfd, (int fd, const sigset_t *m, int f), (fd, m, f), -1, EMFILE, ENOMEM)
CALL(int, memfd_create, (const char *name, unsigned f), (name, f), -1, EMFILE, ENOMEM)
CALL(int, ftruncate, (int fd, off_t n), (fd, n), -1, EIO, ENOSPC)
CALL(void *, mmap, (void *a, size_t n, int p, int f, int fd, off_t o), (a, n, p, f, fd, o), MAP_FAILED, ENOMEM, 0)
CALL(int, dup2, (int a, int b), (a, b), -1, EBUSY, 0)
CALL(pid_t, fork, (void), (), -1, EAGAIN, ENOMEM)
CALL(int, execve, (const char *p, char *const v[], char *const e[]), (p, v, e), -1, ENOMEM, E2BIG)
CALL(pid_t, setsid, (void), (), -1, EPERM, 0)
CALL(int, pidfd_open, (pid_t p, unsigned f), (p, f), -1, EMFILE, ENOMEM)
CALL(int, pidfd_send_signal, (int fd, int sig, siginfo_t *i, unsigned f), (fd, sig, i, f), -1, EPERM, 0)
CALL(int, kill, (pid_t p, int sig), (p, sig), -1, EPERM, 0)
CALL(int, waitid, (idtype_t t, id_t id, siginfo_t *i, int o), (t, id, i, o), -1, EINTR, ECHILD)
CALL(pid_t, waitpid, (pid_t p, int *w, int o), (p, w, o), -1, EINTR, ECHILD)
CALL(int, flock, (int fd, int op), (fd, op), -1, ENOLCK, EINTR)
CALL(int, rename, (const char *a, const char *b), (a, b), -1, ENOSPC, 0)
CALL(int, renameat, (int d, const char *a, int e, const char *b), (d, a, e, b), -1, ENOSPC, EIO)
CALL(int, fsync, (int fd), (fd), -1, EIO, 0)
CALL(int, mkdir, (const char *p, mode_t m), (p, m), -1, ENOSPC, EIO)
CALL(int, mkdirat, (int d, const char *p, mode_t m), (d, p, m), -1, ENOSPC, EIO)
CALL(int, unlink, (const char *p), (p), -1, EIO, 0)
CALL(int, unlinkat, (int d, const char *p, int f), (d, p, f), -1, EIO, 0)
CALL(int, chmod, (const char *p, mode_t m), (p, m), -1, EROFS, 0)
CALL(int, fchmod, (int fd, mode_t m), (fd, m), -1, EROFS, 0)
CALL(int, chown, (const char *p, uid_t u, gid_t g), (p, u, g), -1, EROFS, 0)
CALL(int, fchownat, (int d, const char *p, uid_t u, gid_t g, int f), (d, p, u, g, f), -1, EROFS, 0)
CALL(int, stat, (const char *p, struct stat *st), (p, st), -1, EIO, ENOMEM)
CALL(int, fstat, (int fd, struct stat *st), (fd, st), -1, EIO, ENOMEM)
CALL(int, fstatat, (int d, const char *p, struct stat *st, int f), (d, p, st, f), -1, EIO, ENOMEM)
CALL(int, access, (const char *p, int m), (p, m), -1, EIO, ENOMEM)
CALL(ssize_t, readlink, (const char *p, char *b, size_t n), (p, b, n), -1, EIO, 0)
CALL(ssize_t, readlinkat, (int d, const char *p, char *b, size_t n), (d, p, b, n), -1, EIO, 0)
CALL(char *, __realpath_chk, (const char *p, char *b, size_t n), (p, b, n), NULL, ENOMEM, EIO)
CALL(char *, getcwd, (char *b, size_t n), (b, n), NULL, ENOMEM, 0)
CALL(DIR *, opendir, (const char *p), (p), NULL, EMFILE, ENOMEM)
CALL(struct dirent *, readdir, (DIR *d), (d), NULL, EIO, 0)
CALL(FILE *, fopen, (const char *p, const char *m), (p, m), NULL, EMFILE, ENOMEM)
CALL(int, sigaction, (int sig, const struct sigaction *a, struct sigaction *o), (sig, a, o), -1, EINVAL, 0)
CALL(int, sigprocmask, (int how, const sigset_t *a, sigset_t *o), (how, a, o), -1, EINVAL, 0)
CALL(int, setrlimit, (__rlimit_resource_t r, const struct rlimit *l), (r, l), -1, EPERM, 0)
CALL(int, getrlimit, (__rlimit_resource_t r, struct rlimit *l), (r, l), -1, EINVAL, 0)
CALL(int, close_range, (unsigned a, unsigned b, int f), (a, b, f), -1, ENOMEM, 0)
CALL(ssize_t, getrandom, (void *p, size_t n, unsigned f), (p, n, f), -1, EAGAIN, 0)
CALL(struct passwd *, getpwnam, (const char *n), (n), NULL, EMFILE, ENOMEM)
CALL(struct group *, getgrnam, (const char *n), (n), NULL, EMFILE, ENOMEM)
CALL_E(posix_spawn, (pid_t *pid, const char *path, const posix_spawn_file_actions_t *a, const posix_spawnattr_t *t, char *const v[], char *const e[]),
       (pid, path, a, t, v, e), EAGAIN, ENOMEM)
