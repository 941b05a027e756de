#include "ctl/ctl.h"

#include <errno.h>
#include <string.h>

_Static_assert(sizeof(struct ctl_head) == 16, "the head has no padding, so no stale bytes travel");

int ctl_request_pack(enum ctl_verb verb, const char *const *words, unsigned n, char *buf, size_t size, struct why *why)
{
	struct ctl_head head = {.magic = CTL_MAGIC, .version = CTL_PROTOCOL, .verb = (uint16_t)verb};
	size_t at = sizeof(head);

	if (size > CTL_REQUEST_MAX)
		size = CTL_REQUEST_MAX;
	if (n > CTL_WORDS || size < sizeof(head))
		return why_set(why, -E2BIG, "a request has at most %d words", CTL_WORDS);
	for (unsigned i = 0; i < n; i++) {
		size_t len = strlen(words[i]) + 1;

		if (len > size - at)
			return why_set(why, -E2BIG, "the words of a request are longer than %d bytes; shorten them",
				       CTL_REQUEST_MAX);
		memcpy(buf + at, words[i], len);
		at += len;
	}
	head.len = (uint32_t)(at - sizeof(head));
	memcpy(buf, &head, sizeof(head));
	return (int)at;
}

/* Cut `len` bytes at `p` into words.  Their number, or -EPROTO: too many, an empty one, or the last one has no end. */
static int words_split(const char *p, size_t len, const char *words[CTL_WORDS])
{
	const char *end = p + len;
	int n = 0;

	while (p < end) {
		const char *nul = memchr(p, 0, (size_t)(end - p));

		if (!nul || nul == p || n == CTL_WORDS)
			return -EPROTO;
		words[n++] = p;
		p = nul + 1;
	}
	return n;
}

int ctl_request_parse(const char *buf, size_t n, enum ctl_verb *verb, const char *words[CTL_WORDS], unsigned *n_words,
		      struct why *why)
{
	const char *split[CTL_WORDS];
	const struct ctl_verb_info *info;
	struct ctl_head head;
	int count;

	if (n < sizeof(head) || n > CTL_REQUEST_MAX)
		return why_set(why, -EPROTO, "a request is %zu to %d bytes long, this one is %zu; is the client a tsactl?",
			       sizeof(head), CTL_REQUEST_MAX, n);
	memcpy(&head, buf, sizeof(head));
	if (head.magic != CTL_MAGIC)
		return why_set(why, -EPROTO, "this is not a request of tsactl");
	if (head.version != CTL_PROTOCOL)
		return why_set(why, -EPROTONOSUPPORT,
			       "the client speaks protocol %u, this tsad speaks %u; use the tsactl of version %s", head.version,
			       CTL_PROTOCOL, TSA_VERSION);
	if (head.len != n - sizeof(head))
		return why_set(why, -EPROTO, "a request says that it has %u bytes of words and has %zu", head.len,
			       n - sizeof(head));
	if (head.verb == CTL_NONE || head.verb >= CTL_VERB_COUNT)
		return why_set(why, -EINVAL, "verb number %u is unknown to this tsad; use the tsactl of version %s", head.verb,
			       TSA_VERSION);
	count = words_split(buf + sizeof(head), head.len, split);
	if (count < 0)
		return why_set(why, -EPROTO, "the words of a request are at most %d, none empty, each ended by a zero byte",
			       CTL_WORDS);
	info = &ctl_verbs()[head.verb];
	if ((unsigned)count < info->min || (unsigned)count > info->max)
		return why_set(why, -EINVAL, "wrong number of words; write: %s %s", info->word, info->args);
	*verb = (enum ctl_verb)head.verb;
	memcpy(words, split, sizeof(split[0]) * (size_t)count);
	*n_words = (unsigned)count;
	return 0;
}

size_t ctl_answer_pack(enum ctl_verb verb, int status, const char *text, char *buf, size_t size)
{
	struct ctl_head head = {.magic = CTL_MAGIC, .version = CTL_PROTOCOL, .verb = (uint16_t)verb, .status = status};
	size_t len = strlen(text);

	if (size > CTL_ANSWER_MAX)
		size = CTL_ANSWER_MAX;
	if (len > size - sizeof(head))
		len = size - sizeof(head);
	head.len = (uint32_t)len;
	memcpy(buf, &head, sizeof(head));
	memcpy(buf + sizeof(head), text, len);
	return sizeof(head) + len;
}

int ctl_answer_parse(char *buf, size_t n, size_t size, enum ctl_verb *verb, int *status, const char **text)
{
	struct ctl_head head;

	if (n < sizeof(head) || n >= size)
		return -EPROTO;
	memcpy(&head, buf, sizeof(head));
	if (head.magic != CTL_MAGIC || head.version != CTL_PROTOCOL || head.len != n - sizeof(head) ||
	    head.verb >= CTL_VERB_COUNT || head.status > 0)
		return -EPROTO;
	buf[n] = 0;
	*verb = (enum ctl_verb)head.verb;
	*status = head.status;
	*text = buf + sizeof(head);
	return 0;
}
