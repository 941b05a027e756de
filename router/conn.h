/* router/conn.h - one socket: direct reads and writes, and an output buffer only while the peer is slower than we are.
 *
 * The kernel tells changes alone (EPOLLET), which spares it a second look at every socket after each read.  Whoever is told that there is
 * something to read reads once; conn.c sees to it that one who left something is told again.
 *
 * Not a bufferevent: those cost two epoll_ctl calls and a loop turn per write and an ioctl per read, a third of a proxied
 * request.  Here a read goes straight into the router's scratch buffer and a write straight to the socket; an evbuffer appears
 * when the kernel takes less than all, and goes when it has caught up.  An idle connection owns no buffer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "router/loop.h"

struct conn;
struct evbuffer;

/* The callee may close the conn, but not free it before the turn is over. */
struct conn_ops {
	void (*readable)(struct conn *c);
	void (*drained)(struct conn *c); /* all pending output is with the kernel */
	void (*broken)(struct conn *c);  /* a pending write failed */
	void (*moved)(struct conn *c, size_t n); /* so many pending bytes are with the kernel, and more are not; NULL: nobody minds */
};

struct conn {
	struct loop_io io; /* .fd -1: closed */
	bool paused; /* not reading */
	bool more;   /* the last read may have left something */
	bool ended;  /* the peer has ended or broken it: after the last bytes there is an end to read */
	bool lost;   /* it cannot be heard of any more: it shall end */
	struct evbuffer *out; /* NULL: nothing pending */
	const struct conn_ops *ops;
	uint64_t stuck_ns; /* since when output is pending; its owner moves it on as the peer reads; 0: nothing pending */
};

/* Take over a non-blocking `fd` and start reading.  `connecting`: first wait until it is writable (then `drained` is called). */
int conn_init(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops, bool connecting);

/* Close; with `reset` the peer sees a reset instead of an orderly end.  Accepts a closed conn. */
void conn_close(struct conn *c, bool reset);

/* >0 bytes; 0 end-of-file; -EAGAIN; other -errno. */
ssize_t conn_read(struct conn *c, void *buf, size_t size);

/* Send now what the kernel takes, keep a copy of the rest.  0, -EPIPE and other -errno, -ENOMEM.  At most 1024 entries. */
int conn_writev(struct conn *c, struct iovec *iov, unsigned n);

/* The same for one piece that stays where it is until the connection is closed or conn_pending() is 0: what the kernel does not
 * take is not copied. */
int conn_write_kept(struct conn *c, const char *p, size_t n);

/* Bytes waiting for the peer. */
size_t conn_pending(const struct conn *c);

/* Stop or go on reading. */
void conn_pause(struct conn *c, bool paused);
