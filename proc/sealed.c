/* Bytes that go from parent to child and that nobody can change or cut short any more: a sealed memfd.  So the reader may map it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc/proc.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* Hosts with vm.memfd_noexec=2 refuse a memfd that may be executed; kernels before 6.3 refuse the flag that says it may not. */
static int memfd_make(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	return fd < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno != EINTR)
			return -errno;
		p += w > 0 ? w : 0;
		n -= w > 0 ? (size_t)w : 0;
	}
	return 0;
}

int proc_sealed_make(const char *name, const void *bytes, size_t n)
{
	int fd = memfd_make(name), err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, bytes, n);
	if (err == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		err = -errno;
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

int proc_sealed_map(int fd, size_t most, struct proc_sealed *out, struct why *why)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *p;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0)
		return why_set(why, -EPROTO, "tsad handed over a file that could still change; both programs must be of one build");
	if (st.st_size <= 0 || (uint64_t)st.st_size > most)
		return why_set(why, -EPROTO, "tsad handed over a file of %lld bytes where at most %zu make sense; both programs must be of one build",
			       (long long)st.st_size, most);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return why_set(why, -errno, "what tsad handed over cannot be mapped (%s); raise MemoryMax= of the service", strerror(errno));
	*out = (struct proc_sealed){p, (size_t)st.st_size};
	return 0;
}

void proc_sealed_unmap(struct proc_sealed *s)
{
	if (s->bytes)
		munmap((void *)(uintptr_t)s->bytes, s->n);
	*s = (struct proc_sealed){0};
}
