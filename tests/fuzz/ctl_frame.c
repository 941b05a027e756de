/* Bytes on the control socket and on an orders socket: whatever they are, the parsers that see them stay within them, and what they
 * accept is what the packers write. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "ctl/ctl.h"
#include "proc/proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_request(const char *buf, size_t n)
{
	const char *words[CTL_WORDS];
	char again[CTL_REQUEST_MAX + 1];
	enum ctl_verb verb;
	struct why why;
	unsigned n_words;
	int len;

	if (ctl_request_parse(buf, n, &verb, words, &n_words, &why) < 0)
		return;
	BUG_ON(verb <= CTL_NONE || verb >= CTL_VERB_COUNT || n_words > CTL_WORDS);
	for (unsigned i = 0; i < n_words; i++)
		BUG_ON(words[i] < buf || words[i] + strlen(words[i]) >= buf + n);
	len = ctl_request_pack(verb, words, n_words, again, sizeof(again), &why);
	BUG_ON(len < 0 || (size_t)len != n ||
	       memcmp(again + sizeof(struct ctl_head), buf + sizeof(struct ctl_head), n - sizeof(struct ctl_head)) != 0);
	BUG_ON(n > sizeof(struct ctl_head) && ctl_request_pack(verb, words, n_words, again, n - 1, &why) != -E2BIG);
	BUG_ON(ctl_request_pack(verb, words, n_words, again, sizeof(struct ctl_head) - 1, &why) != -E2BIG);
}

static void try_answer(const uint8_t *data, size_t n)
{
	enum ctl_verb verb, verb_again;
	const char *text, *text_again;
	int status, status_again;
	char *copy = malloc(n + 1), *packed = malloc(n + 1);

	BUG_ON(!copy || !packed);
	memcpy(copy, data, n);
	if (ctl_answer_parse(copy, n, n + 1, &verb, &status, &text) == 0) {
		size_t len = ctl_answer_pack(verb, status, text, packed, n);

		BUG_ON(text + strlen(text) > copy + n || len > n);
		BUG_ON(ctl_answer_parse(packed, len, n + 1, &verb_again, &status_again, &text_again) < 0);
		BUG_ON(verb_again != verb || status_again != status || strcmp(text_again, text) != 0);
		len = ctl_answer_pack(verb, status, text, packed, sizeof(struct ctl_head) + strlen(text) / 2);
		BUG_ON(len != sizeof(struct ctl_head) + strlen(text) / 2);
	}
	free(packed);
	free(copy);
}

/* As it would come from a sibling, descriptors and all: none is left behind. */
static void try_orders(const char *buf, size_t n)
{
	static _Alignas(8) char got[PROC_MSG_MAX];
	static int pair[2] = {-1, -1}, null = -1;
	const struct proc_msg *msg, *parsed;
	const void *payload, *parsed_payload;
	unsigned n_fds = 0;
	int fds[2], rc, want;

	if (null < 0)
		BUG_ON(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
		       (null = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0);
	want = proc_parse(buf, n, &parsed, &parsed_payload);
	BUG_ON(want != 0 && want != -EPROTO);
	BUG_ON(want == 0 && (const char *)parsed_payload + parsed->len != buf + n);
	if (want == 0) {
		BUG_ON(proc_send(pair[0], (enum proc_type)parsed->type, parsed->gen, parsed->flags, parsed->arg, parsed_payload,
				 parsed->len, &null, n & 1) < 0);
	} else if (!n || n > sizeof(got) || send(pair[0], buf, n, MSG_NOSIGNAL) < 0) {
		BUG_ON(proc_send(pair[0], PROC_CONF, 0, 0, 0, got, sizeof(got), NULL, 0) != -E2BIG);
		return;
	}
	rc = proc_recv(pair[1], got, &msg, &payload, fds, 2, &n_fds);
	BUG_ON(rc != (want == 0 ? 1 : -EPROTO));
	if (rc == 1) {
		BUG_ON(n_fds != (n & 1) || msg->type != parsed->type || msg->gen != parsed->gen || msg->arg != parsed->arg ||
		       msg->flags != parsed->flags || msg->len != parsed->len || memcmp(payload, parsed_payload, msg->len) != 0);
		while (n_fds)
			close(fds[--n_fds]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1); /* exactly as long as the message, so that one byte too far is seen */

	BUG_ON(!copy);
	memcpy(copy, data, size);
	try_request(copy, size);
	try_orders(copy, size);
	try_answer(data, size);
	free(copy);
	return 0;
}
