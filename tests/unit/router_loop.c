/* The event loop and its connections: timers in order, nothing told of what was closed, and nothing forgotten of what an edge tells once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "router/conn.h"

static struct loop loop;

static int setup(void **state)
{
	(void)state;
	return loop_init(&loop);
}

static int teardown(void **state)
{
	(void)state;
	loop_fini(&loop);
	clock_fake(0);
	return 0;
}

/* --- timers ----------------------------------------------------------------------------------------------------------------------- */

struct mark {
	struct loop_timer t;
	char name;
};

static char fired[8];

static void on_mark(struct loop_timer *t)
{
	char name[2] = {container_of(t, struct mark, t)->name};

	strncat(fired, name, sizeof(fired) - strlen(fired) - 1);
	if (strlen(fired) == 3)
		loop.stop = true;
}

static void timers_fire_in_the_order_of_their_times(void **state)
{
	struct mark m[] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}};
	uint64_t now = clock_now_ns();

	(void)state;
	fired[0] = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(m); i++)
		m[i].t.fire = on_mark;
	loop_timer_set(&loop, &m[0].t, now + 3 * NS_PER_MS);
	loop_timer_set(&loop, &m[1].t, now + 1 * NS_PER_MS);
	loop_timer_set(&loop, &m[2].t, now + 1 * NS_PER_MS);
	loop_timer_set(&loop, &m[3].t, now + 2 * NS_PER_MS);
	loop_timer_set(&loop, &m[2].t, now + 4 * NS_PER_MS); /* later after all */
	loop_timer_clear(&loop, &m[3].t);
	while (!loop.stop)
		assert_int_equal(loop_turn(&loop), 0);
	assert_string_equal(fired, "bac");
	assert_true(clock_now_ns() >= now + 4 * NS_PER_MS);
	for (unsigned i = 0; i < ARRAY_SIZE(m); i++)
		assert_int_equal(m[i].t.due_ns, 0);
}

/* --- descriptors ------------------------------------------------------------------------------------------------------------------ */

static void on_pulse(struct loop_timer *t)
{
	loop_timer_set(&loop, t, clock_after_ns(clock_now_ns(), 10 * NS_PER_MS));
}

static struct loop_io pair[2];
static unsigned told;

/* Whoever is told first takes the other one away. */
static void on_ready(struct loop_io *io, uint32_t events)
{
	struct loop_io *other = io == &pair[0] ? &pair[1] : &pair[0];

	assert_true(events & EPOLLIN);
	told++;
	loop_io_unwatch(other);
}

static void one_that_is_taken_away_is_not_told_in_the_same_turn(void **state)
{
	int fds[2];

	(void)state;
	told = 0;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		loop_io_init(&pair[i], &loop, fds[0], on_ready);
		assert_int_equal(loop_io_watch(&pair[i], EPOLLIN), 0);
		assert_int_equal(write(fds[1], "x", 1), 1);
		close(fds[1]);
	}
	assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(told, 1);
	for (unsigned i = 0; i < 2; i++)
		close(pair[i].fd);
}

static void one_that_could_not_be_taken_away_is_not_told_either_and_comes_back(void **state)
{
	struct loop_timer turns = {.fire = on_pulse}; /* no turn waits for ever */
	int fds[2], epoll = loop.fd;
	struct epoll_event ev;

	(void)state;
	told = 0;
	pair[1] = (struct loop_io){.fd = -1, .loop = &loop};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	loop_io_init(&pair[0], &loop, fds[0], on_ready);
	assert_int_equal(loop_io_watch(&pair[0], EPOLLIN), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	loop.fd = -1; /* epoll_ctl() fails */
	loop_io_unwatch(&pair[0]);
	loop.fd = epoll;
	assert_int_equal(epoll_wait(epoll, &ev, 1, 0), 1); /* it is still there */
	assert_int_equal(loop_io_watch(&pair[0], EPOLLIN), 0);
	loop_timer_set(&loop, &turns, clock_now_ns());
	assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(told, 1);
	loop.fd = -1;
	loop_io_unwatch(&pair[0]);
	loop.fd = epoll;
	assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(told, 1);
	assert_int_equal(epoll_wait(epoll, &ev, 1, 0), 0); /* the loop has made up for it */
	close(fds[0]);
	close(fds[1]);
}

/* --- connections ------------------------------------------------------------------------------------------------------------------ */

#define READ_BYTES 16

static struct {
	struct conn c;
	size_t bytes; /* read */
	bool ended;
	bool broken;
	bool pause; /* after the next read */
	unsigned drains;
} peer;

static void readable(struct conn *c)
{
	char buf[READ_BYTES];
	ssize_t n = conn_read(c, buf, sizeof(buf));

	if (n > 0)
		peer.bytes += (size_t)n;
	if (n == 0) {
		peer.ended = true;
		conn_close(c, false);
	} else if (peer.pause) {
		conn_pause(c, true);
	}
}

static void drained(struct conn *c)
{
	(void)c;
	peer.drains++;
}

static void broken(struct conn *c)
{
	peer.broken = true;
	conn_close(c, false);
}

static const struct conn_ops OPS = {.readable = readable, .drained = drained, .broken = broken};

/* A connection of the loop; the other end. */
static int connect_peer(void)
{
	int fds[2];

	memset(&peer, 0, sizeof(peer));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(conn_init(&peer.c, &loop, fds[0], &OPS, false), 0);
	return fds[1];
}

static const uint64_t PATIENCE_NS = 10 * NS_PER_S;

/* Serve until `*done`, which has to happen soon. */
static void serve_until(const bool *done)
{
	uint64_t end = clock_after_ns(clock_now_ns(), PATIENCE_NS);

	while (!*done && clock_now_ns() < end)
		assert_int_equal(loop_turn(&loop), 0);
	assert_true(*done);
}

static void bytes_and_end_that_come_at_once_are_all_read(void **state)
{
	struct loop_timer turns = {.fire = on_pulse}; /* no turn waits for ever */
	char text[5 * READ_BYTES + 3] = {0};
	int fd = connect_peer();

	(void)state;
	loop_timer_set(&loop, &turns, clock_now_ns());
	assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
	close(fd);
	serve_until(&peer.ended);
	assert_int_equal(peer.bytes, sizeof(text));
	assert_false(peer.broken);
}

static void what_came_during_a_pause_is_read_after_it(void **state)
{
	struct loop_timer turns = {.fire = on_pulse};
	int fd = connect_peer();

	(void)state;
	loop_timer_set(&loop, &turns, clock_now_ns());
	peer.pause = true;
	assert_int_equal(write(fd, "abc", 3), 3);
	while (!peer.bytes)
		assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(write(fd, "def", 3), 3);
	close(fd);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(peer.bytes, 3);
	peer.pause = false;
	conn_pause(&peer.c, false);
	serve_until(&peer.ended);
	assert_int_equal(peer.bytes, 6);
}

static void a_slow_reader_gets_everything(void **state)
{
	struct loop_timer turns = {.fire = on_pulse};
	static char text[1024 * 1024], back[64 * 1024];
	size_t got = 0;
	int fd = connect_peer();

	(void)state;
	loop_timer_set(&loop, &turns, clock_now_ns());
	assert_int_equal(conn_writev(&peer.c, &(struct iovec){text, sizeof(text)}, 1), 0);
	assert_true(conn_pending(&peer.c) > 0);
	while (got < sizeof(text)) {
		ssize_t n = read(fd, back, sizeof(back));

		assert_true(n > 0 || errno == EAGAIN);
		got += n > 0 ? (size_t)n : 0;
		assert_int_equal(loop_turn(&loop), 0);
	}
	while (!peer.drains)
		assert_int_equal(loop_turn(&loop), 0);
	assert_int_equal(peer.drains, 1);
	assert_int_equal(conn_pending(&peer.c), 0);
	close(fd);
	serve_until(&peer.ended);
}

static void one_that_the_loop_cannot_watch_any_more_ends(void **state)
{
	struct loop_timer turns = {.fire = on_pulse};
	int fd = connect_peer(), epoll = loop.fd;

	(void)state;
	loop_timer_set(&loop, &turns, clock_now_ns());
	loop.fd = -1; /* epoll_ctl() fails */
	conn_pause(&peer.c, true);
	loop.fd = epoll;
	serve_until(&peer.broken);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_fire_in_the_order_of_their_times, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_is_taken_away_is_not_told_in_the_same_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_could_not_be_taken_away_is_not_told_either_and_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_and_end_that_come_at_once_are_all_read, setup, teardown),
		cmocka_unit_test_setup_teardown(what_came_during_a_pause_is_read_after_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slow_reader_gets_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_the_loop_cannot_watch_any_more_ends, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
