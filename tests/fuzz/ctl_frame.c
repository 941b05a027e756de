/* Bytes on the control socket: whatever they are, the two parsers that see them stay within them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "ctl/ctl.h"
#include "proc/proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_request(const char *buf, size_t n)
{
	const char *words[CTL_WORDS];
	enum ctl_verb verb;
	struct why why;
	unsigned n_words;

	if (ctl_request_parse(buf, n, &verb, words, &n_words, &why) < 0)
		return;
	BUG_ON(verb <= CTL_NONE || verb >= CTL_VERB_COUNT || n_words > CTL_WORDS);
	for (unsigned i = 0; i < n_words; i++)
		BUG_ON(words[i] < buf || words[i] + strlen(words[i]) >= buf + n);
}

static void try_answer(const uint8_t *data, size_t n)
{
	enum ctl_verb verb;
	const char *text;
	int status;
	char *copy = malloc(n + 1);

	BUG_ON(!copy);
	memcpy(copy, data, n);
	if (ctl_answer_parse(copy, n, n + 1, &verb, &status, &text) == 0)
		BUG_ON(text + strlen(text) > copy + n);
	free(copy);
}

static void try_hello(const char *buf, size_t n)
{
	const struct proc_msg *msg;
	const void *payload;

	if (proc_parse(buf, n, &msg, &payload) == 0)
		BUG_ON((const char *)payload + msg->len != buf + n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1); /* exactly as long as the message, so that one byte too far is seen */

	BUG_ON(!copy);
	memcpy(copy, data, size);
	try_request(copy, size);
	try_hello(copy, size);
	try_answer(data, size);
	free(copy);
	return 0;
}
