/* Preloaded into a router by test_kill.py: accepting a connection never returns while the file that TSA_SPIN names is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	int (*real)(int, struct sockaddr *, socklen_t *, int) = (int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4");
	const char *file = getenv("TSA_SPIN");

	if (file && access(file, F_OK) == 0)
		for (volatile int on = 1; on;)
			;
	return real(fd, sa, len, flags);
}
