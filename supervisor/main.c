/* tsad - the supervisor of tsa: options, start, loop, exit status. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/trace.h"

static struct sup sup = {.facts = {-1, -1}, .dir_fd = -1, .lock_fd = -1, .ctl_fd = -1, .sig_fd = -1, .notify = {.fd = -1}};

/* --- signals -------------------------------------------------------------------------------------------------------------------------- */

static const struct {
	int sig;
	void (*take)(struct sup *s);
} SIGNALS[] = {{SIGTERM, sup_stop}, {SIGINT, sup_stop}, {SIGHUP, sup_reload_ask}, {SIGCHLD, sup_orphans_reap}};

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct signalfd_siginfo info;

	(void)what;
	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return; /* it stays readable */
	for (size_t i = 0; i < ARRAY_SIZE(SIGNALS); i++)
		if (SIGNALS[i].sig == (int)info.ssi_signo)
			SIGNALS[i].take(arg);
}

/* By a descriptor: libevent's own way is a socket pair, and it ends the process where that fails; and what comes while another
 * program takes over this process waits for it. */
static int signals_take(struct sup *s, struct why *why)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(SIGNALS); i++)
		sigaddset(&set, SIGNALS[i].sig);
	s->sig_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	/* Exactly these, whatever whoever started us had blocked; they may have waited since our predecessor's time. */
	if (s->sig_fd < 0 || sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return why_set(why, -errno, "cannot take signals: %s", strerror(errno));
	event_assign(&s->ev_sig, s->base, s->sig_fd, EV_READ | EV_PERSIST, on_signal, s);
	if (event_add(&s->ev_sig, NULL) < 0)
		return why_set(why, -ENOMEM, "no memory to take signals; raise MemoryMax= of the service");
	if (sigaction(SIGPIPE, &ignore, NULL) < 0)
		return why_set(why, -errno, "cannot ignore SIGPIPE: %s", strerror(errno));
	/* An Ollama whose worker dies becomes ours to wait for. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return why_set(why, -errno, "cannot become the parent of orphans: %s", strerror(errno));
	return 0;
}

/* --- start ---------------------------------------------------------------------------------------------------------------------------- */

static void children_init(struct sup *s)
{
	for (unsigned i = 0; i < SHM_SLOTS; i++) {
		sup_child_init(&s->slots[i].child, s, PROC_WORKER, i);
		s->slots[i].orphan.pidfd = -1;
	}
	sup_child_init(&s->host, s, PROC_HOST, 0);
	for (unsigned i = 0; i < SHM_ROUTERS; i++)
		sup_child_init(&s->routers[i], s, PROC_ROUTER, i);
}

static int instances_make(struct sup *s, struct why *why)
{
	int err = 0;

	for (unsigned i = 0; i < s->conf->n_instances && err == 0; i++) {
		sup_place_tell(&s->conf->instances[i]);
		err = sup_place_instance(s, s->conf->instances[i].name, why);
	}
	return err;
}

/* Everything up to the first turn of the loop.  0 or -errno with `why`. */
static int start(struct sup *s, struct why *why)
{
	static struct state state;
	struct shm_fds kept;
	int err;

	s->self.pid = (uint64_t)getpid();
	if (proc_start_time(getpid(), &s->self.start) < 0)
		return why_set(why, -ENOSYS, "cannot read /proc/self/stat; tsa needs /proc");
	s->base = event_base_new();
	if (!s->base)
		return why_set(why, -ENOMEM, "cannot make an event loop: no memory or no descriptor is left; raise MemoryMax= or LimitNOFILE= of the service");
	s->conf_gen = 1;
	children_init(s);
	sup_adopt_read(s, &state);
	s->gen = state.sup_gen + 1;
	(void)sup_orphans_oom(s); /* what was killed before does not count */
	sup_notify_open(s, &kept);
	err = sup_board_open(s, &kept, &state, why);
	if (err < 0)
		return err;
	sup_adopt_recall(s, &state);
	/* A port that is taken is found out before anything is started. */
	err = sup_listen_open(s, why);
	if (err == 0 || err == -EAGAIN)
		err = instances_make(s, why);
	if (err == 0)
		err = signals_take(s, why);
	if (err == 0)
		err = sup_control_open(s, why);
	if (err == 0)
		err = sup_tick_start(s, why);
	return err;
}

static int run(struct sup *s)
{
	struct log_about about = {.event = LOG_EV_STARTED};
	struct why why = {""};

	if (start(s, &why) < 0) {
		log_err("%s", why.text);
		sup_control_close(s);
		return SUP_EXIT_FAILED;
	}
	log_line(LOG_NOTICE_, &about,
		 "tsad " TSA_VERSION " works on %s with %u instance%s; `tsactl --state %s status` shows how it does", s->dir,
		 s->conf->n_instances, s->conf->n_instances == 1 ? "" : "s", s->dir);
	sup_adopt_start(s);
	sup_board_header(s);
	event_base_dispatch(s->base);
	if (s->phase != SUP_OVER) {
		log_err("the event loop failed: %s; the children work on, and the next tsad takes them over", strerror(errno));
		return SUP_EXIT_FAILED;
	}
	sup_orphans_end_all();
	sup_control_close(s);
	sup_adopt_remove(s);
	sup_board_close(s);
	log_flush();
	log_notice("stopped");
	return 0;
}

/* --- options -------------------------------------------------------------------------------------------------------------------------- */

static int load(struct sup *s)
{
	static struct conf_report report;
	int err = sup_options_load(&s->options, &s->conf, &report);

	if (!sup_options_report(&report) && err < 0)
		log_err("cannot read %s: %s", s->options.conf_path, strerror(-err));
	if (err < 0)
		return err;
	log_set_level(sup_options_level(&s->options, s->conf));
	return sup_facts_load(s->conf, &s->facts, NULL);
}

/* What -n says. */
static int checked(const struct conf *conf)
{
	struct why why;

	if (sup_place_check(conf, &why) < 0) {
		log_err("%s", why.text);
		return SUP_EXIT_FAILED;
	}
	log_notice("the configuration is good: %u instance%s", conf->n_instances, conf->n_instances == 1 ? "" : "s");
	return 0;
}

static int enter(struct sup *s, const char *dir)
{
	struct why why;
	int err = sup_place_lock(s, dir, &why);

	if (err == 0 && s->conf)
		err = sup_place_find(s, &why);
	if (err < 0)
		log_err("%s", why.text);
	return err == -EWOULDBLOCK ? SUP_EXIT_LOCKED : err < 0 ? SUP_EXIT_FAILED : 0;
}

int main(int argc, char **argv)
{
	int err = sup_options_parse(argc, argv, &sup.options);
	int status;

	sup.argv = argv;
	if (err != 0)
		return err < 0 ? SUP_EXIT_USAGE : 0;
	log_open("tsad", sup.options.verbose ? LOG_DEBUG_ : LOG_INFO_);
	trace_on_crash("tsad");
	if (sup.options.reap) {
		status = enter(&sup, sup.options.state_dir);
		return status ? status : sup_orphans_sweep(&sup);
	}
	if (load(&sup) < 0)
		return SUP_EXIT_FAILED;
	if (sup.options.check)
		return checked(sup.conf);
	status = enter(&sup, sup.options.state_dir ? sup.options.state_dir : sup.conf->state_dir);
	return status ? status : run(&sup);
}
