#include "base/trace.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"

#define FRAMES 32

static char heading[96];

static void on_crash(int sig)
{
	void *frames[FRAMES];
	int n = backtrace(frames, FRAMES);

	(void)!write(STDERR_FILENO, heading, strlen(heading));
	backtrace_symbols_fd(frames, n, STDERR_FILENO);
	(void)raise(sig); /* the action is the default one again: SA_RESETHAND */
}

void trace_on_crash(const char *program)
{
	static const int SIGNALS[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	struct sigaction take = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER}, had;
	void *frame;

	snprintf(heading, sizeof(heading), "%s[%d] err: it ends here; the innermost first:\n", program, (int)getpid());
	(void)backtrace(&frame, 1); /* the first call loads and allocates what later ones need */
	for (size_t i = 0; i < ARRAY_SIZE(SIGNALS); i++)
		if (sigaction(SIGNALS[i], NULL, &had) == 0 && !(had.sa_flags & SA_SIGINFO) && had.sa_handler == SIG_DFL)
			(void)sigaction(SIGNALS[i], &take, NULL);
}
