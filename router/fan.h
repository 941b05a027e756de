/* router/fan.h - one request answered from several instances.  For fleet.c and manage.c. */
#pragma once

#include "router/router.h"

struct fan;

/* One instance's part. */
struct fetch {
	struct fan      *fan;
	struct upstream *up; /* NULL: ended */
	unsigned         slot;
	unsigned         status; /* 0: it failed before an answer; `why` says how */
	struct carry     body;   /* the whole answer, or the unfinished line of a stream */
	char             type[80];
	char             why[120];
	bool             success; /* of a progress stream */
	bool             ended;
};

struct fan_ops {
	/* A part's bytes came (stream) or NULL: they are collected in fetch.body. */
	void (*bytes)(struct fetch *f, const char *p, size_t n);
	/* Every part has ended: answer the exchange. */
	void (*finish)(struct fan *fan);
};

struct fan {
	struct grave           grave;
	struct router         *router;
	struct exchange       *x; /* NULL: the client left, or it has been answered */
	const struct fan_ops  *ops;
	uint64_t               span_ns; /* for the whole answer; of a progress stream: allowed silence */
	unsigned               pending;
	unsigned               n;
	struct progress       *progress; /* manage.c */
	struct fetch           parts[PROC_SLOTS];
	char                  *requests[PROC_SLOTS]; /* as sent, one each: the Host header differs */
};

/* Send `method path` with a body (may be empty) to each slot of the mask.  0; -ENOMEM; -ENOENT: the mask is empty.  On success the fan
 * belongs to x and `finish` will be called, perhaps before this returns. */
int fan_start(struct exchange *x, uint64_t slots, enum http_method method, const char *path, struct span body, uint64_t span_ns,
	      const struct fan_ops *ops, struct progress *progress);

/* Slots whose Ollama answers its control routes. */
uint64_t fan_answering(const struct router *r);

/* "a, b" of the parts that failed, into buf; "" when none. */
const char *fan_failed_names(const struct fan *fan, char *buf, size_t size);
