/* base/fdpass.h - one message and some descriptors over a unix SOCK_SEQPACKET socket. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define FDPASS_MAX 96 /* the kernel takes 253; a whole board is 74 */

/* Send without blocking and without SIGPIPE.  0, or -errno (-EAGAIN: the peer does not read). */
int fdpass_send(int sock, const void *msg, size_t n, const int *fds, unsigned n_fds);

/* Receive one message without blocking.  Returns its length (0: the peer closed), or -errno; -EMSGSIZE when it was longer than
 * `size`, with its descriptors closed.  On success *n_fds (at most `max_fds`) descriptors, close-on-exec, are the caller's;
 * surplus ones were closed. */
ssize_t fdpass_recv(int sock, void *msg, size_t size, int *fds, unsigned max_fds, unsigned *n_fds);
