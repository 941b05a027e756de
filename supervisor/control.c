/* The control socket: who may speak, how much, how often.  What is said is in verbs.c and adopt.c. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/fdpass.h"

#define BACKLOG    64
#define GROUPS_MAX 256

/* --- who ---------------------------------------------------------------------------------------------------------------------- */

/* The groups of the peer when it connected, as the kernel keeps them. */
static bool in_group(int fd, gid_t gid, gid_t primary)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);

	if (gid == (gid_t)-1)
		return false;
	if (primary == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static void peer_close(struct sup_peer *p)
{
	event_del(&p->ev);
	close(p->fd);
	p->fd = -1;
}

/* --- answers ---------------------------------------------------------------------------------------------------------------------- */

static int answer(int fd, enum ctl_verb verb, int status, const char *text, const int *fds, unsigned n_fds)
{
	static char buf[CTL_ANSWER_MAX]; /* large; there is one thread */
	size_t n = ctl_answer_pack(verb, status, text, buf, sizeof(buf));

	return fdpass_send(fd, buf, n, fds, n_fds);
}

static void peer_answer(struct sup_peer *p, enum ctl_verb verb, int status, const char *text, const int *fds, unsigned n_fds)
{
	if (answer(p->fd, verb, status, text, fds, n_fds) < 0)
		peer_close(p); /* it does not read its answers */
}

void sup_control_answer(struct sup_peer *p, enum ctl_verb verb, int status, const char *text)
{
	peer_answer(p, verb, status, text, NULL, 0);
}

void sup_control_answer_board(struct sup_peer *p)
{
	sup_board_mend(p->sup);
	peer_answer(p, CTL_BOARD, 0, "", &p->sup->board_ro.owner, SHM_FDS_COUNT);
}

/* --- requests ------------------------------------------------------------------------------------------------------------------------ */

static void take_hello(struct sup_peer *p, const struct proc_hello *hello, const int *fds, unsigned n_fds)
{
	int fd = p->fd;

	/* From here on it is an orders socket, or closed. */
	event_del(&p->ev);
	p->fd = -1;
	sup_adopt_hello(p->sup, fd, p->pid, hello, fds, n_fds);
}

static void take_request(struct sup_peer *p, const char *buf, size_t n)
{
	const char *words[CTL_WORDS];
	enum ctl_verb verb;
	unsigned n_words;
	struct why why;
	int err = ctl_request_parse(buf, n, &verb, words, &n_words, &why);

	if (err < 0) {
		sup_control_answer(p, CTL_NONE, err, why.text);
		if (p->fd >= 0 && err == -EPROTO)
			peer_close(p);
		return;
	}
	if (!p->allowed) {
		sup_control_answer(p, verb, -EPERM,
				   "you may not steer tsad: become root, the user that runs it, or a member of its control group");
		return;
	}
	sup_verb_do(p, verb, words, n_words);
}

static void on_peer(evutil_socket_t fd, short what, void *arg)
{
	static _Alignas(8) char buf[PROC_MSG_MAX];
	struct sup_peer *p = arg;
	const struct proc_msg *msg;
	const void *payload;
	int fds[CONF_LISTEN];
	unsigned n_fds = 0;
	ssize_t n;

	if (what & EV_TIMEOUT) {
		peer_close(p);
		return;
	}
	n = fdpass_recv(fd, buf, sizeof(buf), fds, CONF_LISTEN, &n_fds);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n >= (ssize_t)sizeof(*msg) && proc_parse(buf, (size_t)n, &msg, &payload) == 0 && msg->type == PROC_HELLO) {
		take_hello(p, payload, fds, n_fds);
		return;
	}
	while (n_fds)
		close(fds[--n_fds]);
	if (n <= 0)
		peer_close(p);
	else
		take_request(p, buf, (size_t)n);
}

/* --- connections ---------------------------------------------------------------------------------------------------------------------- */

/* A free place, unless all are taken, or too many by this user.  A child of an earlier supervisor is never turned away. */
static struct sup_peer *peer_place(struct sup *sup, const struct ucred *cred)
{
	struct sup_peer *place = NULL, *oldest = &sup->peers[0];
	unsigned same = 0;

	for (unsigned i = 0; i < CTL_PEERS; i++) {
		struct sup_peer *p = &sup->peers[i];

		if (p->fd < 0)
			place = p;
		else if (p->uid == cred->uid)
			same++;
		if (p->number < oldest->number)
			oldest = p;
	}
	if (sup_child_by_pid(sup, cred->pid)) {
		if (!place) {
			peer_close(oldest);
			place = oldest;
		}
		return place;
	}
	return same < CTL_PEER_UID ? place : NULL;
}

static void peer_open(struct sup *sup, struct sup_peer *p, int fd, const struct ucred *cred)
{
	struct timeval idle = {.tv_sec = (time_t)(CTL_IDLE_NS / NS_PER_S)};

	p->sup = sup;
	p->fd = fd;
	p->number = ++sup->peer_number;
	p->pid = cred->pid;
	p->uid = cred->uid;
	p->allowed = cred->uid == 0 || cred->uid == geteuid() || in_group(fd, sup->ctl_gid, cred->gid);
	event_assign(&p->ev, sup->base, fd, EV_READ | EV_PERSIST, on_peer, p);
	if (event_add(&p->ev, &idle) < 0) {
		log_warning("no memory for a connection of user %u (process %d); it is closed", (unsigned)p->uid, (int)p->pid);
		peer_close(p);
	}
}

static void on_connection(evutil_socket_t listener, short what, void *arg)
{
	struct sup *sup = arg;
	struct sup_peer *p;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		close(fd);
		return;
	}
	p = peer_place(sup, &cred);
	if (p) {
		peer_open(sup, p, fd, &cred);
		return;
	}
	(void)answer(fd, CTL_NONE, -EBUSY, "too many connections to tsad at a time; try again", NULL, 0);
	close(fd);
}

/* Between bind and listen nobody can connect, so nobody meets it before its mode and owner are right. */
static int socket_guard(struct sup *sup, struct why *why)
{
	uid_t owner = sup->uid ? sup->uid : (uid_t)-1; /* children of another user must find their way back */
	gid_t group = sup->ctl_gid == getegid() ? (gid_t)-1 : sup->ctl_gid;

	if (chmod(sup->ctl_path, 0660) < 0)
		return why_set(why, -errno, "cannot set the mode of %s: %s", sup->ctl_path, strerror(errno));
	if ((owner != (uid_t)-1 || group != (gid_t)-1) && chown(sup->ctl_path, owner, group) < 0)
		return why_set(why, -errno, "cannot give %s to its group: %s; set group to one that you are in", sup->ctl_path,
			       strerror(errno));
	return 0;
}

int sup_control_open(struct sup *sup, struct why *why)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int err;

	for (unsigned i = 0; i < CTL_PEERS; i++)
		sup->peers[i].fd = -1;
	_Static_assert(sizeof(sa.sun_path) == sizeof(sup->ctl_path), "a control path is a socket path");
	memcpy(sa.sun_path, sup->ctl_path, sizeof(sa.sun_path));
	sup->ctl_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sup->ctl_fd < 0)
		return why_set(why, -errno, "cannot make the control socket: %s", strerror(errno));
	unlink(sup->ctl_path); /* a dead supervisor's: we hold the lock */
	if (bind(sup->ctl_fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return why_set(why, -errno, "cannot bind the control socket %s: %s", sup->ctl_path, strerror(errno));
	err = socket_guard(sup, why);
	if (err < 0)
		return err;
	if (listen(sup->ctl_fd, BACKLOG) < 0)
		return why_set(why, -errno, "cannot listen on %s: %s", sup->ctl_path, strerror(errno));
	event_assign(&sup->ev_ctl, sup->base, sup->ctl_fd, EV_READ | EV_PERSIST, on_connection, sup);
	if (event_add(&sup->ev_ctl, NULL) < 0)
		return why_set(why, -ENOMEM, "no memory for the control socket; raise MemoryMax= of the service");
	return 0;
}

void sup_control_close(struct sup *sup)
{
	if (sup->ctl_fd < 0)
		return;
	unlink(sup->ctl_path);
	if (event_initialized(&sup->ev_ctl))
		event_del(&sup->ev_ctl);
	close(sup->ctl_fd);
	sup->ctl_fd = -1;
	for (unsigned i = 0; i < CTL_PEERS; i++)
		if (sup->peers[i].fd >= 0)
			peer_close(&sup->peers[i]);
}
