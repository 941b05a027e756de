/* tools/load/options.h - the words after a sub-command. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/why.h"

#define OPTIONS_LISTEN 64 /* addresses of one origin: tsa's largest fleet */
#define OPTIONS_WATCH  16

/* A loopback address; nothing is ever resolved. */
struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
	char text[64]; /* "127.0.0.1:11434", "[::1]:11434" */
};

struct options {
	struct addr listen[OPTIONS_LISTEN];
	unsigned n_listen;
	struct addr to;
	bool to_given;
	pid_t watch[OPTIONS_WATCH];
	unsigned n_watch;
	uint64_t conns;
	uint64_t requests;
	uint64_t rate; /* requests a second; 0: as fast as answers come */
	uint64_t streams;
	uint64_t chunks;
	uint64_t dialect; /* enum wire_dialect */
	uint64_t body_bytes;
	uint64_t reply_bytes;
	uint64_t chunk_bytes;
	uint64_t interval_ns;
	uint64_t ramp_ns;
	uint64_t hold_ns;
	uint64_t time_ns;
	bool json;
	bool time_given;
};

/* Bits of what a sub-command takes. */
enum options_for { FOR_ORIGIN = 1, FOR_FORWARD = 2, FOR_REQUEST = 4, FOR_STREAM = 8, FOR_IDLE = 16 };

void options_init(struct options *o);

/* Parse the words after the sub-command `whose`.  0 or -EINVAL with a sentence. */
int options_parse(struct options *o, enum options_for whose, int argc, char **argv, struct why *why);

/* What `whose` takes, one line each with its default. */
void options_print(FILE *f, enum options_for whose);

/* Write the address that `fd` is bound to into `out`.  0 or -errno. */
int addr_of_socket(int fd, struct addr *out);
