/* tools/load/client.h - one keep-alive connection of the load. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "tools/load/loop.h"
#include "tools/load/options.h"
#include "tools/load/wire.h"

enum fail {
	FAIL_NONE = 0,
#define FAIL(id, word, meaning) FAIL_##id,
#include "tools/load/fails.def"
#undef FAIL
	FAIL_COUNT
};

extern const char *const FAIL_WORDS[FAIL_COUNT];

struct client;

/* What the owner wants to know.  Each may send, open or close the connection. */
struct client_ops {
	void (*payload)(struct client *c, struct span bytes); /* of a 200 answer */
	void (*done)(struct client *c);                       /* a whole 200 answer */
	void (*failed)(struct client *c, enum fail fail);     /* the connection is closed */
};

struct client {
	struct source source;
	const struct client_ops *ops;
	struct loop *loop;
	const struct addr *to;
	int fd;          /* -1: closed */
	unsigned opened; /* how often: tells that a callback opened it anew */
	bool waiting;    /* for an answer */
	const char *out; /* the request, the owner's */
	size_t out_n;
	size_t out_sent;
	struct answer answer;
};

void client_init(struct client *c, struct loop *loop, const struct addr *to, const struct client_ops *ops);
void client_close(struct client *c);

/* Send a request, connecting first where that is needed.  `request` stays the caller's, unchanged until the answer is complete.
 * False: there is no connection to be had; ops->failed is not called. */
bool client_send(struct client *c, const char *request, size_t n);
