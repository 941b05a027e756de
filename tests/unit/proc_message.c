/* Messages between parent and child arrive whole, and anything else is refused with its descriptors closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "proc/proc.h"

static _Alignas(8) char buf[PROC_MSG_MAX];
static int pair[2];

static int pair_open(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
}

static int pair_close(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static int receive(const struct proc_msg **msg, const void **payload)
{
	int fds[4];
	unsigned n = 0;

	return proc_recv(pair[1], buf, msg, payload, fds, 4, &n);
}

static void message_arrives_whole(void **state)
{
	struct proc_process sent = {.pid = 42, .start = 4711};
	const struct proc_msg *msg;
	const void *payload;
	int fds[4], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	unsigned n = 0;

	(void)state;
	assert_int_equal(proc_send(pair[0], PROC_OLLAMA, 7, PROC_STOP_KEEP, 99, &sent, sizeof(sent), &null, 1), 0);
	close(null);
	assert_int_equal(proc_recv(pair[1], buf, &msg, &payload, fds, 4, &n), 1);
	assert_int_equal(msg->type, PROC_OLLAMA);
	assert_int_equal(msg->gen, 7);
	assert_int_equal(msg->flags, PROC_STOP_KEEP);
	assert_int_equal(msg->arg, 99);
	assert_int_equal(msg->len, sizeof(sent));
	assert_memory_equal(payload, &sent, sizeof(sent));
	assert_int_equal(n, 1);
	close(fds[0]);
}

static void largest_configuration_fits(void **state)
{
	static struct proc_router_conf conf;
	const struct proc_msg *msg;
	const void *payload;

	(void)state;
	assert_int_equal(proc_send(pair[0], PROC_CONF, 1, 0, 0, &conf, sizeof(conf), NULL, 0), 0);
	assert_int_equal(receive(&msg, &payload), 1);
	assert_int_equal(msg->len, sizeof(conf));
	assert_int_equal(proc_send(pair[0], PROC_CONF, 1, 0, 0, buf, PROC_MSG_MAX, NULL, 0), -E2BIG);
}

static void end_of_file_is_zero(void **state)
{
	const struct proc_msg *msg;
	const void *payload;

	(void)state;
	assert_int_equal(receive(&msg, &payload), -EAGAIN);
	shutdown(pair[0], SHUT_RDWR);
	assert_int_equal(receive(&msg, &payload), 0);
}

static void expect_refused(const struct proc_msg *head, size_t extra)
{
	char raw[256] = {0};
	const struct proc_msg *msg;
	const void *payload;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), lowest;

	memcpy(raw, head, sizeof(*head));
	assert_int_equal(fdpass_send(pair[0], raw, sizeof(*head) + extra, &null, 1), 0);
	assert_int_equal(receive(&msg, &payload), -EPROTO);
	/* The descriptor that came along is closed again, so its number is free. */
	lowest = dup(null);
	assert_int_equal(lowest, null + 1);
	close(lowest);
	close(null);
}

static void malformed_heads_are_refused(void **state)
{
	const struct proc_msg good = {.magic = PROC_MAGIC, .version = PROC_VERSION, .type = PROC_PING};
	struct proc_msg bad;

	(void)state;
	bad = good, bad.magic ^= 1;
	expect_refused(&bad, 0);
	bad = good, bad.version++;
	expect_refused(&bad, 0);
	bad = good, bad.type = PROC_NONE;
	expect_refused(&bad, 0);
	bad = good, bad.type = PROC_TYPE_COUNT;
	expect_refused(&bad, 0);
	bad = good, bad.len = 1;
	expect_refused(&bad, 0);
	expect_refused(&good, 1);
	bad = good, bad.len = UINT32_MAX;
	expect_refused(&bad, 4);
}

static void payloads_have_their_size(void **state)
{
	struct proc_msg head = {.magic = PROC_MAGIC, .version = PROC_VERSION};
	const struct proc_msg *msg;
	const void *payload;

	(void)state;
	head.type = PROC_HELLO, head.len = sizeof(struct proc_hello) - 1;
	expect_refused(&head, head.len);
	head.type = PROC_READY, head.len = 1;
	expect_refused(&head, head.len);
	head.type = PROC_CONF, head.len = 0;
	expect_refused(&head, head.len);
	assert_int_equal(proc_send(pair[0], PROC_WARM, 1, 0, 0, "qwen3:8b", sizeof("qwen3:8b"), NULL, 0), 0);
	assert_int_equal(receive(&msg, &payload), 1);
	assert_string_equal(payload, "qwen3:8b");
	assert_int_equal(proc_send(pair[0], PROC_WARM, 1, 0, 0, "qwen3:8b", strlen("qwen3:8b"), NULL, 0), 0);
	assert_int_equal(receive(&msg, &payload), -EPROTO);
}

static void short_message_is_refused(void **state)
{
	const struct proc_msg *msg;
	const void *payload;

	(void)state;
	assert_int_equal(fdpass_send(pair[0], "x", 1, NULL, 0), 0);
	assert_int_equal(receive(&msg, &payload), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(message_arrives_whole, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(largest_configuration_fits, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(end_of_file_is_zero, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(malformed_heads_are_refused, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(payloads_have_their_size, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(short_message_is_refused, pair_open, pair_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
