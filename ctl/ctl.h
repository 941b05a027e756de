/* ctl/ctl.h - what an operator may say: verbs, framing, answers.
 *
 * Used by the supervisor (server) and tsactl (client).  The control socket is a unix SOCK_SEQPACKET socket DIR/control: one message
 * is one request, one message is its answer; nothing is a stream, a length is never trusted.  A request is a head and up to
 * CTL_WORDS words, each NUL-terminated; an answer is a head, and text (one sentence, or JSON for GET verbs), and for `board`
 * the descriptors of the whole board, read-only.  The same socket takes a child's HELLO (proc/proc.h), told apart by the magic. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

#define CTL_MAGIC       0x4c544354U /* "TCTL" */
#define CTL_PROTOCOL    1U
#define CTL_REQUEST_MAX 4096 /* head and words; longer ones are refused and the connection closed */
#define CTL_ANSWER_MAX  65536
#define CTL_WORDS       8
#define CTL_PEERS       32                      /* connections at a time */
#define CTL_PEER_UID    16                      /* of one uid */
#define CTL_IDLE_NS     (30ULL * 1000000000ULL) /* a connection without a request is closed */

enum ctl_verb {
	CTL_NONE = 0,
#define VERB(id, word, args, min, max, help) CTL_##id,
#include "ctl/verbs.def"
#undef VERB
	CTL_VERB_COUNT
};

struct ctl_head {
	uint32_t magic;
	uint16_t version;
	uint16_t verb;  /* request: enum ctl_verb; answer: the same */
	int32_t status; /* answer: 0 or -errno */
	uint32_t len;   /* bytes that follow */
};

struct ctl_verb_info {
	enum ctl_verb verb;
	const char *word;
	const char *args; /* for help: "NAME [MODEL]" */
	unsigned min;     /* words after the verb */
	unsigned max;
	const char *help; /* one line */
};

/* The table, CTL_VERB_COUNT entries; [0] is empty. */
const struct ctl_verb_info *ctl_verbs(void);

/* Build a request.  Its length, or -E2BIG with `why`. */
int ctl_request_pack(enum ctl_verb verb, const char *const *words, unsigned n, char *buf, size_t size, struct why *why);

/* Take a request apart.  *words point into `buf`.  0; -EPROTO, -EPROTONOSUPPORT, -EINVAL with a sentence for the caller. */
int ctl_request_parse(const char *buf, size_t n, enum ctl_verb *verb, const char *words[CTL_WORDS], unsigned *n_words,
		      struct why *why);

/* Build an answer; the text is cut to fit.  Its length. */
size_t ctl_answer_pack(enum ctl_verb verb, int status, const char *text, char *buf, size_t size);

/* Take an answer apart; *text is NUL-terminated within `buf` (size > n).  0 or -EPROTO. */
int ctl_answer_parse(char *buf, size_t n, size_t size, enum ctl_verb *verb, int *status, const char **text);
