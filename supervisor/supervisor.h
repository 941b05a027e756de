/* supervisor/supervisor.h - private to tsad: its one struct and what its files do for one another.
 *
 * One thread, one event loop.  Nothing here speaks HTTP, resolves a name, or waits: what takes time is an event.  `struct sup` is the
 * truth about children and generations; the board mirrors it and is never read back to decide. */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/why.h"
#include "conf/conf.h"
#include "ctl/ctl.h"
#include "proc/proc.h"
#include "shm/layout.h"
#include "shm/reader.h"
#include "shm/writer.h"
#include "supervisor/life.h"
#include "supervisor/state.h"

#if defined(CURLINC_CURL_H) || defined(_PTHREAD_H)
#error "the supervisor has one thread and speaks no HTTP: keep curl and pthread out of it"
#endif

#define SUP_EXIT_FAILED 1 /* could not start, or the configuration is bad */
#define SUP_EXIT_USAGE  2
#define SUP_EXIT_LOCKED 100 /* another supervisor works on the same state directory */

#define SUP_TICK_NS        PROC_BEAT_NS
#define SUP_READY_NS       (PROC_HELLO_NS + PROC_ADOPT_NS) /* HELLO to READY; a router may have to wait for adopted siblings */
#define SUP_REPLACE_NS     (5ULL * NS_PER_S)                       /* a router of another build waits so long for new figures of instances */
#define SUP_MEND_NS        (1ULL * 1000000000ULL)          /* between two looks at the board's stamps */
#define SUP_STOP_MARGIN_NS (2ULL * 1000000000ULL)          /* beyond what a child was given to stop */

struct sup;

struct sup_options {
	const char *conf_path; /* NULL: ad hoc */
	struct conf_adhoc adhoc;
	const char *state_dir;
	bool check;
	bool verbose;
	bool reap;
};

/* --- what lives ------------------------------------------------------------------------------------------------------------- */

struct sup_child {
	struct sup *sup;
	enum proc_role role;
	unsigned index;
	char label[PROC_NAME + 16]; /* "worker qwen", "host worker", "router 0" */
	enum shm_child state;
	bool wanted;  /* start it again when it has stopped */
	bool ours;    /* to wait for; an adopted one has another parent */
	bool worked;  /* READY in this life */
	bool aborted; /* it hung, and was asked by SIGABRT where */
	bool killed;  /* by us, in this life */
	bool foreign;  /* of another build: it understands nothing but STOP */
	bool replaced; /* by one of our own build: its end is no failure */
	bool greeted; /* HELLO in this life: it answers pings */
	bool behind;  /* what it must know could not be sent yet */
	uint32_t gen;
	struct proc_process process; /* pid 0: none */
	int pidfd;
	int orders;
	uint64_t born_ns;
	uint64_t ping_next_ns;
	uint64_t ping_sent_ns; /* 0: none is on its way */
	uint64_t ping_number;
	uint64_t drain_ns; /* for its stop */
	uint64_t timer_ns; /* when ev_timer is due; the tick looks as well, for a timer needs memory */
	uint64_t restarts;
	uint64_t since_wall_ns;
	uint64_t next_ns;
	char why[SHM_TEXT]; /* last death */
	struct proc_backoff backoff;
	struct event ev_process;
	struct event ev_orders;
	struct event ev_timer;
};

/* An Ollama whose worker is gone and that shall end. */
struct sup_orphan {
	struct proc_process process; /* pid 0: none */
	int pidfd;
	bool killed;
	struct event ev_process;
	struct event ev_timer;
};

/* A router that drains while its successor serves. */
struct sup_leaver {
	struct sup *sup;
	struct proc_process process; /* pid 0: none */
	uint32_t gen;
	int pidfd;
	int orders; /* held so that it does not look for another supervisor */
	bool untold;       /* STOP could not be sent; the tick tries again */
	uint64_t drain_ns; /* until then its streams may end */
	uint64_t late_ns;  /* then it is killed, by the tick: a timer needs memory */
	struct event ev_process;
};

/* The new program looks at the configuration before it takes over. */
struct sup_upgrade {
	pid_t pid;            /* 0: none is on its way */
	uint64_t peer_number; /* who asked */
	struct event ev_late;
};

struct sup_slot {
	struct sup_child child;
	bool used;
	bool drained;                     /* by the operator */
	bool due;                         /* for the restart that a reload asks for; its worker still works by the old configuration */
	const struct conf_instance *conf; /* in sup->conf; NULL: the instance left the configuration and is being stopped */
	bool adopted;                     /* of the life that is running, as the next two */
	struct proc_addr addr;
	uint32_t places;
	uint64_t conf_gen;
	uint64_t identity;          /* conf_instance_identity() of what the worker works by */
	struct proc_process ollama; /* started by the slot's worker */
	struct sup_orphan orphan;
	char name[PROC_NAME];
};

struct sup_listener {
	struct conf_addr addr;
	int fd[SHM_ROUTERS]; /* -1: none */
};

/* Listening sockets that came from elsewhere and wait for the listener of their address. */
struct sup_pool {
	unsigned n;
	int fd[CONF_LISTEN * SHM_ROUTERS];
};

struct sup_peer {
	struct sup *sup;
	int fd;          /* -1: free */
	uint64_t number; /* of its connection: the smallest is the oldest */
	pid_t pid;
	uid_t uid;
	bool allowed; /* may say verbs */
	struct event ev;
};

/* An order to the service manager that waits until it listens. */
struct sup_note {
	char text[160];
	int fd; /* ours; -1: none */
};

struct sup_notify {
	int fd;               /* -1: no service manager */
	uint64_t watchdog_ns; /* how often it is fed; 0: there is none */
	uint64_t watchdog_next_ns;
	uint64_t status_next_ns;
	uint64_t extend_next_ns;
	bool ready;
	bool sick; /* the checks failed last time */
	char status[160];
	unsigned n_pending;
	struct sup_note pending[2 * CONF_LISTEN * SHM_ROUTERS];
};

/* An operator who waits for what the routers say. */
struct sup_ask {
	uint64_t number;      /* of the question; 0: free */
	uint64_t peer_number; /* who asked */
	uint32_t waiting;     /* bit per router that has not answered */
};

/* Sealed files for the routers; -1: none. */
struct sup_facts {
	int models;
	int weights;
};

enum sup_phase { SUP_UP = 0, SUP_STOP_ROUTERS, SUP_STOP_WORKERS, SUP_OVER };

struct sup {
	struct event_base *base;
	struct sup_options options;
	struct conf *conf;
	uint64_t conf_gen;
	bool reload_owed; /* SIGHUP came during the start */
	struct sup_facts facts; /* that the configuration names */
	struct sup_ask asks[8];
	uint64_t ask_number;
	enum sup_phase phase;
	uint64_t gen; /* counts supervisors of this state directory */
	struct proc_process self;
	/* where */
	char dir[200];
	char ctl_path[108];
	int dir_fd;
	int lock_fd;
	uint32_t uid, gid; /* of the children; 0: as ourselves */
	gid_t ctl_gid;     /* who may use the control socket; -1: nobody else */
	char libexec[PROC_PATH];
	char program[PROC_PATH]; /* our own, as it was called when we began */
	char **argv;
	/* board */
	struct shm_fds board;
	struct shm_fds board_ro;
	struct shm_owner_file *owner;
	struct shm_reader *reader;
	struct shm_header header;
	uint64_t mend_ns; /* not again before then */
	/* children */
	struct sup_slot slots[SHM_SLOTS];
	struct sup_child host;
	struct sup_child routers[SHM_ROUTERS];
	struct sup_leaver leavers[2 * SHM_ROUTERS];
	struct sup_upgrade upgrade;
	struct life_fleet fleet;
	struct sup_slot *roll_slot; /* whose turn to restart it is; NULL: nobody's */
	uint64_t roll_until_ns;
	uint64_t roll_hold_ns; /* until then a turn that a dead supervisor gave may go on */
	uint64_t oom_kills;
	/* sockets */
	unsigned n_listeners;
	struct sup_listener listeners[CONF_LISTEN];
	bool listening;
	struct sup_pool pool;
	int ctl_fd;
	struct sup_peer peers[CTL_PEERS];
	uint64_t peer_number;
	struct sup_notify notify;
	/* state file */
	uint64_t strangers_ns; /* until then children that it should have named may report */
	bool dirty;
	bool unsaved; /* the last write failed and was complained about */
	/* loop */
	uint64_t tick_ns;
	uint64_t retry_ns;
	uint64_t log_flush_ns;
	int sig_fd;
	struct event ev_tick, ev_ctl, ev_sig;
};

/* --- options.c ---------------------------------------------------------------------------------------------------------------- */

/* Take the command line.  0: go on; 1: said what was asked for, exit 0; -EINVAL: said what is wrong, exit SUP_EXIT_USAGE. */
int sup_options_parse(int argc, char **argv, struct sup_options *out);

/* Load what the options name.  Messages go into `report`. */
int sup_options_load(const struct sup_options *o, struct conf **out, struct conf_report *report);
/* Log every message; the first one that is an error, or NULL. */
const char *sup_options_report(const struct conf_report *report);
enum log_level sup_options_level(const struct sup_options *o, const struct conf *conf);

/* --- facts.c: what is known of models and prompts ------------------------------------------------------------------------------- */

/* Read registry, categories and weights that the configuration names, and make them into sealed files.  What is wrong is logged: an
 * entry that is left out as a warning; a file that cannot be used as an error, which is returned.  0 or -errno with `why`. */
int sup_facts_load(const struct conf *conf, struct sup_facts *out, struct why *why);
void sup_facts_close(struct sup_facts *f);

/* --- explain.c -------------------------------------------------------------------------------------------------------------------- */

/* Ask the routers on behalf of a peer; `what` is prompt or request.  0: it is answered later; or -errno with `why`. */
int sup_explain_begin(struct sup *sup, uint64_t peer_number, const char *what, const char *text, struct why *why);
/* A router has answered. */
void sup_explain_take(struct sup_child *c, const struct proc_msg *msg, const void *payload);

/* --- place.c: state directory, lock, users ------------------------------------------------------------------------------------ */

/* Are the user and the group that the configuration names there?  Without them the next start fails. */
int sup_place_check(const struct conf *conf, struct why *why);
/* Make, check and lock the state directory `name`.  0; -EWOULDBLOCK: another supervisor has it; -errno. */
int sup_place_lock(struct sup *sup, const char *name, struct why *why);

/* Find the users and programs that children need.  0 or -errno. */
int sup_place_find(struct sup *sup, struct why *why);

/* DIR/instances/NAME, owned by who uses it.  0 or -errno. */
int sup_place_instance(struct sup *sup, const char *name, struct why *why);

/* Say which of the instance's settings are not applied: nobody shall believe that they hold. */
void sup_place_tell(const struct conf_instance *inst);

/* Does the lock file still stand where we locked it? */
bool sup_place_holds(const struct sup *sup);

/* --- board.c ------------------------------------------------------------------------------------------------------------------ */

/* Take back `kept` (descriptors from a service manager, or all -1) if it is sound and is the board that `state` names; else make
 * a new one.  0 or -errno. */
int sup_board_open(struct sup *sup, struct shm_fds *kept, const struct state *state, struct why *why);
void sup_board_header(struct sup *sup);
void sup_board_child(struct sup_child *c);
/* The lines of all children anew: what an accident did to one of them lasts no longer than to the next call. */
void sup_board_lines(struct sup *sup);
/* A stamp is what nobody writes again and every new reader asks for: when one is damaged, a new board is made and handed out. */
void sup_board_mend(struct sup *sup);
void sup_board_close(struct sup *sup);

/* --- slots.c ------------------------------------------------------------------------------------------------------------------ */

struct sup_slot *sup_slot_of(const struct sup_child *c); /* NULL: no worker */
struct sup_slot *sup_slot_find(struct sup *sup, const char *name);
struct sup_slot *sup_slot_free(struct sup *sup);
/* Occupy a free slot for an instance; the worker is not started. */
void sup_slot_take(struct sup_slot *slot, const char *name);
/* Let the configuration in force be what the next life of the slot's worker works by. */
void sup_slot_adapt(struct sup_slot *slot);
/* The worker has stopped: start it again, give the slot up, or first end an Ollama it left behind. */
void sup_slot_settle(struct sup_slot *slot);
void sup_slot_publish(struct sup_slot *slot);
/* Known instance names for a message, cut to fit. */
const char *sup_slot_names(const struct sup *sup, char *buf, size_t size);

/* --- handoff.c: configurations as they travel ----------------------------------------------------------------------------------- */

void sup_handoff_addr(const struct conf_addr *from, struct proc_addr *to);
void sup_handoff_worker(const struct sup_slot *slot, struct proc_worker_conf *out);
void sup_handoff_routing(const struct conf *conf, struct proc_routing *to);
void sup_handoff_router(const struct sup *sup, const struct sup_child *c, struct proc_router_conf *out);
void sup_handoff_host(const struct sup *sup, struct proc_host_conf *out);

/* --- children.c ------------------------------------------------------------------------------------------------------------- */

void sup_child_init(struct sup_child *c, struct sup *sup, enum proc_role role, unsigned index);
/* Something happened to the child: look up the step and take it. */
void sup_child_feed(struct sup_child *c, enum life_event event);
/* Its process ended; `wstatus` of wait(2), or -1 when somebody else waited for it. */
void sup_child_died(struct sup_child *c, int wstatus);
/* Let it stop within `drain_ns` and its own ending; `wanted`: start it again then. */
void sup_child_stop(struct sup_child *c, uint64_t drain_ns, bool wanted);
/* SIGKILL by pidfd; `why` is what its line says afterwards. */
void sup_child_kill(struct sup_child *c, const char *why);
void sup_child_timer(struct sup_child *c, uint64_t after_ns);
void sup_child_tick(struct sup_child *c, uint64_t now_ns);
bool sup_child_has_process(const struct sup_child *c);
/* The child with this process id, or NULL. */
struct sup_child *sup_child_by_pid(struct sup *sup, pid_t pid);

/* Every child in turn: for (c = sup_child_next(sup, NULL); c; c = sup_child_next(sup, c)). */
struct sup_child *sup_child_next(struct sup *sup, struct sup_child *c);

/* --- spawn.c -------------------------------------------------------------------------------------------------------------------- */

/* Fork and exec the program of the child's role with `orders` as its PROC_ORDERS_FD.  The pid, or -errno with `why`. */
pid_t sup_spawn(const struct sup_child *c, int orders, struct why *why);

/* --- orders.c ------------------------------------------------------------------------------------------------------------------- */

/* From now on `fd` is the child's orders socket, ours to close; an older one is closed.  0, or -ENOMEM: `fd` is closed. */
int sup_orders_attach(struct sup_child *c, int fd);
void sup_orders_close(struct sup_child *c);
/* Board, configuration and, for a router, listening sockets. */
void sup_orders_welcome(struct sup_child *c);
void sup_orders_board(struct sup_child *c);
void sup_orders_conf(struct sup_child *c);
void sup_orders_listen(struct sup_child *c);
void sup_orders_ping(struct sup_child *c, uint64_t now_ns);
void sup_orders_stop(struct sup_child *c);
/* Once more what could not be sent. */
void sup_orders_catch_up(struct sup_child *c);
int sup_orders_send(struct sup_child *c, enum proc_type type, uint32_t flags, uint64_t arg, const void *payload, size_t len);
/* All running routers get the configuration (and sockets) anew. */
void sup_orders_routers(struct sup *sup, bool sockets);

/* --- adopt.c: a successor and its predecessor ------------------------------------------------------------------------------------ */

/* Read the state file; an absent or broken one is an empty one. */
void sup_adopt_read(struct sup *sup, struct state *out);
void sup_adopt_remove(struct sup *sup);
/* Know again what lives: slots, generations, drains. */
void sup_adopt_recall(struct sup *sup, const struct state *state);
/* Await the living, start the others. */
void sup_adopt_start(struct sup *sup);
/* A HELLO on the control socket.  Takes `fd` and the descriptors. */
void sup_adopt_hello(struct sup *sup, int fd, pid_t peer, const struct proc_hello *hello, const int *fds, unsigned n_fds);
/* Write DIR/state now. */
void sup_adopt_save(struct sup *sup);
/* Is any router of an earlier supervisor still expected to say HELLO, and to bring its sockets? */
bool sup_adopt_awaits_routers(const struct sup *sup);

/* --- hang.c -------------------------------------------------------------------------------------------------------------------- */

/* It hangs: SIGABRT makes it print its stack and end, if it can do that much; the kill comes after PROC_ABORT_NS. */
void sup_child_abort(struct sup_child *c);

/* --- leave.c: children of another build, routers that drain while others serve already ---------------------------------------- */

/* Let the child's process drain, watched here, with duplicates of its descriptors.  0; -EBUSY: too many do so already. */
int sup_leave_child(struct sup_child *c);
/* The same for a router that we do not know; takes `fd`, its orders socket, on success.  0 or -errno. */
int sup_leave_stranger(struct sup *sup, int fd, const struct proc_hello *hello);
/* From now on they have `drain_ns`. */
void sup_leave_stop(struct sup *sup, uint64_t drain_ns);
/* Tell those who have not been told, kill those who are late. */
void sup_leave_tick(struct sup *sup, uint64_t now_ns);
unsigned sup_leave_count(const struct sup *sup);
/* It is of another build: let it go and start its successor.  A worker leaves its Ollama; a router first waits until its successor
 * will know the instances, and then drains beside it. */
void sup_child_replace(struct sup_child *c);
/* The tick of a router that waits for that. */
void sup_child_replace_tick(struct sup_child *c, uint64_t now_ns);

/* --- upgrade.c ------------------------------------------------------------------------------------------------------------------ */

/* Have the program on the disk check the configuration; then it takes over this process.  The peer is answered when that is known.
 * 0; -errno with `why`: it has not begun. */
int sup_upgrade_begin(struct sup *sup, uint64_t peer_number, struct why *why);
/* The check ended so. */
void sup_upgrade_checked(struct sup *sup, int wstatus);
/* Descriptors that the program before us left open for us; their number. */
unsigned sup_upgrade_kept(int *fds, unsigned max);

/* --- orphans.c ------------------------------------------------------------------------------------------------------------------ */

/* SIGCHLD: wait for all that ended, tell who must know. */
void sup_orphans_reap(struct sup *sup);
/* End the Ollama that the slot's worker left behind; sup_slot_settle() is called when it has gone. */
void sup_orphan_end(struct sup_slot *slot);
/* Last thing: end whatever became ours when its parent died.  Blocks for a second at most. */
void sup_orphans_end_all(void);
/* Has the OOM killer been at work in our cgroup since the last look? */
bool sup_orphans_oom(struct sup *sup);
/* tsad --reap: end by verified pidfd whatever the state file still names; this one blocks.  Exit status. */
int sup_orphans_sweep(struct sup *sup);

/* --- owner.c -------------------------------------------------------------------------------------------------------------------- */

/* "process 1234 (ollama)": who listens on this address.  False: nobody does, or we may not see who. */
bool sup_owner_find(const struct sockaddr_storage *sa, char *out, size_t size);

/* --- listen.c --------------------------------------------------------------------------------------------------------------------- */

/* A listening socket from elsewhere: keep it for sup_listen_open, or close it when it is none. */
void sup_listen_offer(struct sup *sup, int fd);
/* Make the listeners of `conf` in `out`: what stands is duplicated from sup->listeners and the pool, what is missing is bound.  0 or
 * -errno; on failure nothing is left open. */
int sup_listen_make(struct sup *sup, const struct conf *conf, struct sup_listener out[CONF_LISTEN], struct why *why);
/* Put `made` in force and hand the sockets to the routers. */
void sup_listen_commit(struct sup *sup, const struct conf *conf, struct sup_listener made[CONF_LISTEN]);
/* The first time: make and commit.  -EAGAIN while routers of an earlier supervisor may still hold the sockets. */
int sup_listen_open(struct sup *sup, struct why *why);
/* Once no router is awaited any more: open, or complain; the tick tries again. */
void sup_listen_settle(struct sup *sup);
void sup_listen_close(struct sup *sup);
/* The sockets of router `index`, duplicates not taken. */
unsigned sup_listen_sockets(const struct sup *sup, unsigned index, int fds[CONF_LISTEN]);

/* --- control.c, verbs.c ------------------------------------------------------------------------------------------------------------ */

int sup_control_open(struct sup *sup, struct why *why);
void sup_control_close(struct sup *sup);
void sup_control_answer(struct sup_peer *p, enum ctl_verb verb, int status, const char *text);
void sup_control_answer_board(struct sup_peer *p);
void sup_verb_do(struct sup_peer *p, enum ctl_verb verb, const char *const *words, unsigned n);

/* --- reload.c --------------------------------------------------------------------------------------------------------------------- */

/* Load again and change what changed.  0, or -errno with nothing changed; `why` says what in both cases. */
int sup_reload(struct sup *sup, struct why *why);
/* SIGHUP: now, or once the start is over. */
void sup_reload_ask(struct sup *sup);

/* --- roll.c ----------------------------------------------------------------------------------------------------------------------- */

/* The slot's process must be started again, when it is its turn. */
void sup_roll_add(struct sup_slot *slot);
/* Slots were found due after a start: go on with what another supervisor began. */
void sup_roll_resume(struct sup *sup);
/* Its turn is now. */
void sup_roll_begin(struct sup_slot *slot);
/* Those that do not serve at once; of the others the next one, when the last one serves again or had its time. */
void sup_roll_step(struct sup *sup, uint64_t now_ns);

/* --- stop.c ----------------------------------------------------------------------------------------------------------------------- */

/* SIGTERM: drain; a second time: at once. */
void sup_stop(struct sup *sup);
/* A child or an orphan has gone: go on with the stop, if there is one. */
void sup_stop_step(struct sup *sup);

/* --- notify.c: what a service manager hears and keeps ------------------------------------------------------------------------------- */

/* Connect, and take over what it kept: board descriptors into `board`, sockets into the pool. */
void sup_notify_open(struct sup *sup, struct shm_fds *board);
/* One or more lines, for example "READY=1".  0 or -errno; 0 without a service manager. */
int sup_notify_say(struct sup *sup, const char *text);
void sup_notify_keep(struct sup *sup, const char *name, int fd);
void sup_notify_forget(struct sup *sup, const char *name);
int sup_notify_keep_board(struct sup *sup);
void sup_notify_forget_board(struct sup *sup);
void sup_notify_reloading(struct sup *sup);
void sup_notify_reloaded(struct sup *sup);
/* READY, STATUS, WATCHDOG, EXTEND_TIMEOUT_USEC as the moment asks. */
void sup_notify_tick(struct sup *sup, uint64_t now_ns);

/* --- tick.c ---------------------------------------------------------------------------------------------------------------------- */

int sup_tick_start(struct sup *sup, struct why *why);
