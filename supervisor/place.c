/* Where a supervisor works: its directory, the lock in it, the users and programs it needs. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "lock"

/* The directory may stand in /tmp, where anybody could have made it first. */
static int dir_check(int fd, const char *name, struct why *why)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return why_set(why, -errno, "cannot look at the state directory %s: %s", name, strerror(errno));
	if (st.st_uid != geteuid())
		return why_set(why, -EPERM,
			       "the state directory %s belongs to user %u, not to %u who runs tsad; name another one with --state",
			       name, (unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return why_set(why, -EPERM,
			       "others may write to the state directory %s; chmod go-w it, or name another one with --state", name);
	return 0;
}

static int dir_open(struct sup *sup, struct why *why)
{
	/* Children of another user, and the control group, must get through to what is theirs; each file in it guards itself. */
	mode_t mode = geteuid() == 0 ? 0751 : 0750;
	char real[PATH_MAX];
	bool made = mkdir(sup->dir, mode) == 0;
	int err;

	if (!made && errno != EEXIST)
		return why_set(why, -errno,
			       "cannot make the state directory %s: %s; make its parent, or name another one with --state",
			       sup->dir, strerror(errno));
	sup->dir_fd = open(sup->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sup->dir_fd < 0)
		return why_set(why, -errno, "cannot open the state directory %s: %s", sup->dir, strerror(errno));
	err = dir_check(sup->dir_fd, sup->dir, why);
	if (err < 0)
		return err;
	if (made && fchmod(sup->dir_fd, mode) < 0)
		return why_set(why, -errno, "cannot set the mode of %s: %s", sup->dir, strerror(errno));
	/* Children may work elsewhere. */
	if (!realpath(sup->dir, real) || strlen(real) >= sizeof(sup->dir) ||
	    strlen(real) + sizeof("/control") > sizeof(sup->ctl_path))
		return why_set(why, -ENAMETOOLONG,
			       "the path of the state directory %s is too long for a socket in it; at most %zu bytes", sup->dir,
			       sizeof(sup->ctl_path) - sizeof("/control"));
	memcpy(sup->dir, real, strlen(real) + 1);
	snprintf(sup->ctl_path, sizeof(sup->ctl_path), "%.*s/control", (int)(sizeof(sup->ctl_path) - sizeof("/control")), sup->dir);
	if (mkdirat(sup->dir_fd, "instances", mode) < 0 && errno != EEXIST)
		return why_set(why, -errno, "cannot make %s/instances: %s", sup->dir, strerror(errno));
	return 0;
}

static int lock_take(struct sup *sup, struct why *why)
{
	char pid[32] = "";
	int n;

	sup->lock_fd = openat(sup->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (sup->lock_fd < 0)
		return why_set(why, -errno, "cannot open %s/" LOCK_FILE ": %s", sup->dir, strerror(errno));
	if (flock(sup->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return why_set(why, -errno, "cannot lock %s/" LOCK_FILE ": %s", sup->dir, strerror(errno));
		if (pread(sup->lock_fd, pid, sizeof(pid) - 1, 0) < 0)
			pid[0] = 0;
		return why_set(why, -EWOULDBLOCK,
			       "another tsad (process %.*s) works on %s; stop it first, or name another directory with --state",
			       (int)strcspn(pid, "\n"), pid, sup->dir);
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(sup->lock_fd, 0) < 0 || pwrite(sup->lock_fd, pid, (size_t)n, 0) != n)
		return why_set(why, -errno, "cannot write %s/" LOCK_FILE ": %s", sup->dir, strerror(errno));
	return 0;
}

bool sup_place_holds(const struct sup *sup)
{
	struct stat mine, there;

	return fstat(sup->lock_fd, &mine) == 0 && fstatat(sup->dir_fd, LOCK_FILE, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

static int user_missing(const char *name, struct why *why)
{
	return why_set(why, -ENOENT, "there is no user %s; make it (see tsa.conf(5), user), or name another one", name);
}

static int group_missing(const char *name, struct why *why)
{
	return why_set(why, -ENOENT, "there is no group %s; make it, or name another one (see tsa.conf(5), group)", name);
}

int sup_place_check(const struct conf *conf, struct why *why)
{
	if (conf->user[0] && !getpwnam(conf->user))
		return user_missing(conf->user, why);
	return conf->group[0] && !getgrnam(conf->group) ? group_missing(conf->group, why) : 0;
}

static int user_find(struct sup *sup, struct why *why)
{
	const char *name = sup->conf->user[0] ? sup->conf->user : "tsa";
	const struct passwd *pw;

	if (geteuid() != 0) {
		if (sup->conf->user[0])
			log_warning("user = %s needs root; tsa runs as user %u", name, (unsigned)geteuid());
		return 0;
	}
	pw = getpwnam(name);
	if (!pw && sup->conf->user[0])
		return user_missing(name, why);
	if (!pw || pw->pw_uid == 0) {
		log_warning("workers and routers run as root; make a user \"tsa\", or set user in the configuration");
		return 0;
	}
	sup->uid = pw->pw_uid;
	sup->gid = pw->pw_gid;
	return 0;
}

static int group_find(struct sup *sup, struct why *why)
{
	const struct group *gr;

	sup->ctl_gid = (gid_t)-1;
	if (!sup->conf->group[0])
		return 0;
	gr = getgrnam(sup->conf->group);
	if (!gr)
		return group_missing(sup->conf->group, why);
	sup->ctl_gid = gr->gr_gid;
	return 0;
}

/* The programs lie beside us in a build tree, else where they were installed. */
static int libexec_find(struct sup *sup, struct why *why)
{
	ssize_t n = readlink("/proc/self/exe", sup->libexec, sizeof(sup->libexec) - 1);
	char *slash;
	char program[PROC_PATH + 16];

	if (n > 0) {
		sup->libexec[n] = 0;
		memcpy(sup->program, sup->libexec, (size_t)n + 1);
		slash = strrchr(sup->libexec, '/');
		if (slash)
			*slash = 0;
		snprintf(program, sizeof(program), "%s/tsa-router", sup->libexec);
		if (access(program, X_OK) == 0)
			return 0;
	}
	snprintf(sup->libexec, sizeof(sup->libexec), "%s", TSA_LIBEXECDIR);
	if (access(TSA_LIBEXECDIR "/tsa-router", X_OK) == 0)
		return 0;
	return why_set(why, -errno, "tsa-router is neither beside tsad nor in " TSA_LIBEXECDIR " (%s); install all programs of tsa", strerror(errno));
}

int sup_place_lock(struct sup *sup, const char *name, struct why *why)
{
	int err;

	snprintf(sup->dir, sizeof(sup->dir), "%s", name);
	err = dir_open(sup, why);
	return err < 0 ? err : lock_take(sup, why);
}

int sup_place_find(struct sup *sup, struct why *why)
{
	int err = user_find(sup, why);

	if (err == 0)
		err = group_find(sup, why);
	return err < 0 ? err : libexec_find(sup, why);
}

void sup_place_tell(const struct conf_instance *inst)
{
	if (inst->cpus.count || inst->mems.count || inst->memory_low_bytes || inst->memory_high_bytes || inst->memory_max_bytes)
		log_warning("instance %s runs unpinned: cpus, mems and memory are not applied by this version; pin it from outside "
			    "(taskset, "
			    "a slice of its own) where that matters",
			    inst->name);
}

int sup_place_instance(struct sup *sup, const char *name, struct why *why)
{
	char path[PROC_NAME + 16];

	snprintf(path, sizeof(path), "instances/%s", name);
	if (mkdirat(sup->dir_fd, path, 0750) < 0 && errno != EEXIST)
		return why_set(why, -errno, "cannot make %s/%s: %s", sup->dir, path, strerror(errno));
	if (sup->uid && fchownat(sup->dir_fd, path, sup->uid, sup->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return why_set(why, -errno, "cannot give %s/%s to user %u: %s", sup->dir, path, sup->uid, strerror(errno));
	return 0;
}
