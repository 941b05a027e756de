/* tools/load/listen.h - the listening sockets of origin and forward. */
#pragma once

#include "tools/load/loop.h"
#include "tools/load/options.h"

struct listener {
	struct source source;
	int fd;
	void (*accepted)(struct listener *l, int fd); /* non-blocking, close-on-exec, TCP_NODELAY; the callee's */
	void *owner;
};

/* Listen on all of o->listen (`l` has OPTIONS_LISTEN places) and print each address on standard output, one line each, so that who
 * asked for port 0 knows.  0 or -errno with `why`; what was opened is closed by listeners_close in either case. */
int listeners_open(struct listener *l, const struct options *o, struct loop *loop, void (*accepted)(struct listener *, int),
		   void *owner, struct why *why);
void listeners_close(struct listener *l, unsigned n);
