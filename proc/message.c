#include "proc/proc.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fdpass.h"

_Static_assert(sizeof(struct proc_msg) == 32, "the head has no padding, so no stale bytes travel");

int proc_send(int sock, enum proc_type type, uint32_t gen, uint32_t flags, uint64_t arg, const void *payload, size_t len,
	      const int *fds, unsigned n_fds)
{
	_Alignas(8) char buf[PROC_MSG_MAX];
	struct proc_msg head = {
		.magic = PROC_MAGIC, .version = PROC_VERSION, .type = (uint16_t)type, .gen = gen, .flags = flags, .arg = arg};

	if (len > sizeof(buf) - sizeof(head))
		return -E2BIG;
	head.len = (uint32_t)len;
	memcpy(buf, &head, sizeof(head));
	if (len)
		memcpy(buf + sizeof(head), payload, len);
	return fdpass_send(sock, buf, sizeof(head) + len, fds, n_fds);
}

/* What the payload of a type must look like; a configuration's size depends on the role, so its receiver checks that. */
static bool payload_fits(uint16_t type, const char *payload, size_t len)
{
	switch ((enum proc_type)type) {
	case PROC_CONF:
		return len > 0;
	case PROC_WARM:
	case PROC_UNLOAD:
		return len == 0 || (len <= PROC_MODEL && payload[len - 1] == 0);
	case PROC_EXPLAIN:
	case PROC_EXPLAINED:
		return len > 0 && len <= PROC_EXPLAIN_MAX && payload[len - 1] == 0;
	case PROC_REAPED:
		return len == sizeof(struct proc_reaped);
	case PROC_HELLO:
		return len == sizeof(struct proc_hello);
	case PROC_OLLAMA:
		return len == sizeof(struct proc_process);
	default:
		return len == 0;
	}
}

int proc_parse(const char *buf, size_t n, const struct proc_msg **msg, const void **payload)
{
	const struct proc_msg *head = (const void *)buf;

	if (n < sizeof(*head) || head->magic != PROC_MAGIC || head->version != PROC_VERSION || head->len != n - sizeof(*head))
		return -EPROTO;
	if (head->type == PROC_NONE || head->type >= PROC_TYPE_COUNT || !payload_fits(head->type, buf + sizeof(*head), head->len))
		return -EPROTO;
	*msg = head;
	*payload = buf + sizeof(*head);
	return 0;
}

int proc_recv(int sock, char *buf, const struct proc_msg **msg, const void **payload, int *fds, unsigned max_fds, unsigned *n_fds)
{
	unsigned got = 0;
	ssize_t n = fdpass_recv(sock, buf, PROC_MSG_MAX, fds, max_fds, &got);
	int err = n < 0 ? (int)n : n == 0 ? 0 : proc_parse(buf, (size_t)n, msg, payload);

	if (n > 0 && err == 0) {
		*n_fds = got;
		return 1;
	}
	while (got)
		close(fds[--got]);
	return err == -EMSGSIZE ? -EPROTO : err;
}
