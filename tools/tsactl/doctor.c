/* What on this machine would hurt, each with a remedy: the machine, the configuration, the service, every instance.
 * What it reads it reads once, with the rights of who asks; what it may not read it says. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/file.h"
#include "conf/conf.h"
#include "conf/registry.h"
#include "tools/tsactl/symptoms.h"
#include "tools/tsactl/tsactl.h"

#define TEXT_MAX          (256 * 1024) /* of one file below /proc or /sys */
#define ASK_NS            (3 * NS_PER_S)
#define STORE_FREE_BYTES  (10ULL << 30) /* less than one middling model */
#define PIDS_FULL_PERCENT 80
#define FDS_FULL_PERCENT  80
#define FDS_SPARE         256 /* descriptors of a router that are no connection */

/* A whole file, NUL after it.  NULL with errno; the caller frees it. */
static char *text_read(const char *path, size_t *n)
{
	char *text = malloc(TEXT_MAX + 1);
	ssize_t got = text ? file_read(path, text, TEXT_MAX + 1) : -ENOMEM;

	*n = got > 0 ? (size_t)got : 0;
	if (got >= 0)
		return text;
	free(text);
	errno = (int)-got;
	return NULL;
}

static char *proc_read(uint64_t pid, const char *file, size_t *n)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%llu/%s", (unsigned long long)pid, file);
	return text_read(path, n);
}

/* The number behind `key` in a text of lines; false: there is none, or no number. */
static bool line_number(const char *text, const char *key, uint64_t *out)
{
	const char *p = strstr(text, key);
	unsigned long long v;

	if (!p || sscanf(p + strlen(key), " %19llu", &v) != 1)
		return false;
	*out = v;
	return true;
}

/* --- the machine ------------------------------------------------------------------------------------------------------------------ */

static void check_machine(struct findings *f)
{
	size_t n;
	char *mounts = text_read("/proc/self/mounts", &n), *controllers = text_read("/sys/fs/cgroup/cgroup.controllers", &n);
	char *meminfo = text_read("/proc/meminfo", &n);
	bool hurts = false;

	if (mounts)
		symptoms_cgroups(f, mounts, controllers ? controllers : "");
	if (meminfo)
		symptoms_memory(f, meminfo);
	free(mounts);
	free(controllers);
	free(meminfo);
	for (unsigned k = 0; symptoms_setting_path(k); k++) {
		char path[128];
		char *value;

		snprintf(path, sizeof(path), "/proc/sys/%s", symptoms_setting_path(k));
		value = text_read(path, &n);
		if (value)
			hurts |= symptoms_setting(f, symptoms_setting_path(k), value);
		free(value);
	}
	if (!hurts)
		findings_add(f, GRADE_FINE, "machine", NULL, "no kernel setting that is known to hurt");
	if (access("/proc/pressure/memory", R_OK) != 0)
		findings_add(f, GRADE_NOTE, "machine", "boot with psi=1",
			     "the kernel does not tell memory pressure; tsa goes by available memory alone");
}

/* --- the configuration ---------------------------------------------------------------------------------------------------------------- */

/* Cgroup settings that this version takes and does not apply yet. */
static void check_placement(struct findings *f, const struct conf *c)
{
	for (unsigned i = 0; i < c->n_instances; i++) {
		const struct conf_instance *inst = &c->instances[i];
		char about[80];

		if (!inst->cpus.count && !inst->mems.count && !inst->memory_low_bytes && !inst->memory_high_bytes &&
		    !inst->memory_max_bytes)
			continue;
		snprintf(about, sizeof(about), "instance %s", inst->name);
		findings_add(f, GRADE_NOTE, about, "pin it from outside (taskset, a slice of its own) where that matters",
			     "its cpus, mems and memory limits are checked and not applied by this version");
	}
}

static unsigned report_tell(struct findings *f, const struct conf_report *report)
{
	for (unsigned i = 0; i < report->n; i++)
		findings_add(f, strstr(report->text[i], ": warning: ") ? GRADE_WARN : GRADE_BAD, "configuration",
			     "mend it, check with `tsad -n`, then `tsactl reload`", "%s", report->text[i]);
	return report->n;
}

/* The files that the configuration names. */
static unsigned facts_check(struct findings *f, const struct conf_routing *conf, struct conf_report *report)
{
	struct conf_registry *r = NULL;
	struct conf_catalogue *c = NULL;
	unsigned said = 0;

	if (conf->registry[0]) {
		conf_registry_load(conf->registry, &r, report);
		said += report_tell(f, report);
	}
	if (conf->categories[0]) {
		conf_catalogue_load(conf->categories, &c, report);
		said += report_tell(f, report);
	}
	conf_registry_destroy(&r);
	conf_catalogue_destroy(&c);
	return said;
}

/* The configuration that a start or reload would read; NULL when there is none that can be used. */
static struct conf *check_conf(struct findings *f, const char *path, bool named)
{
	struct conf_report *report = calloc(1, sizeof(*report));
	struct conf *c = NULL;
	unsigned said;
	int rc = report ? conf_load(path, &c, report) : -ENOMEM;

	if (rc == -ENOENT && !named) {
		findings_add(f, GRADE_NOTE, "configuration", "name another one with --config FILE",
			     "there is no %s; only what runs can be looked at", path);
	} else if (rc == -ENOMEM || !report) {
		findings_add(f, GRADE_BAD, "configuration", "free some memory and try again", "no memory to read %s", path);
	} else {
		said = report_tell(f, report);
		if (c)
			said += facts_check(f, &c->routing, report);
		if (!said)
			findings_add(f, GRADE_FINE, "configuration", NULL, "%s can be used", path);
	}
	if (c)
		check_placement(f, c);
	free(report);
	return c;
}

/* --- the service ---------------------------------------------------------------------------------------------------------------------- */

/* Ask a listener for /readyz: the status, 0 when it is no HTTP, -errno. */
static int listener_ask(const struct conf_addr *a)
{
	static const char ASK[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct timeval tv = {.tv_sec = (time_t)(ASK_NS / NS_PER_S)};
	char answer[64] = "";
	int status = 0, rc = 0;
	int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0 ||
	    connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 || send(fd, ASK, sizeof(ASK) - 1, MSG_NOSIGNAL) < 0 ||
	    recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) < 0)
		rc = -errno;
	close(fd);
	if (rc < 0)
		return rc;
	return sscanf(answer, "HTTP/1.%*1d %3d", &status) == 1 ? status : 0;
}

static bool is_wildcard(const char *text)
{
	return strncmp(text, "0.0.0.0", 7) == 0 || strncmp(text, "[::]", 4) == 0 || *text == '*';
}

static void check_listener(struct findings *f, const char *text)
{
	struct conf_addr a;
	int status;

	if (conf_addr_parse(text, 8480, &a, NULL) < 0)
		return;
	status = listener_ask(&a);
	if (status == 200)
		findings_add(f, GRADE_FINE, "service", NULL, "%s answers and is ready", text);
	else if (status == 503)
		findings_add(f, GRADE_BAD, "service", "see the findings of the instances below", "%s answers that it is not ready",
			     text);
	else if (status > 0)
		findings_add(f, GRADE_BAD, "service", "see who listens there with `ss -ltnp`", "%s answers /readyz with status %d",
			     text, status);
	else
		findings_add(f, GRADE_BAD, "service", "see `tsactl routers` and `journalctl -u tsa`", "%s does not answer: %s",
			     text, status < 0 ? strerror(-status) : "what comes is no HTTP");
	if (is_wildcard(text))
		findings_add(f, GRADE_WARN, "service", "listen on a private address, or put a proxy that asks for keys in front",
			     "%s takes requests from every network, and nobody needs a key", text);
}

static void check_listeners(struct findings *f, const struct shm_header *h)
{
	char list[sizeof(h->listen)], *save = NULL;

	memcpy(list, h->listen, sizeof(list));
	list[sizeof(list) - 1] = '\0';
	for (char *word = strtok_r(list, " ", &save); word; word = strtok_r(NULL, " ", &save))
		check_listener(f, word);
}

static void check_router_limits(struct findings *f, uint64_t pid, unsigned index, const struct conf *c)
{
	uint64_t soft, wanted = c ? 2ULL * c->conns + FDS_SPARE : 0;
	char about[72];
	size_t n;
	char *limits = proc_read(pid, "limits", &n);

	snprintf(about, sizeof(about), "router %u", index);
	if (limits && line_number(limits, "Max open files", &soft)) {
		if (wanted > soft)
			findings_add(f, GRADE_WARN, about, "raise LimitNOFILE= of the unit, or lower limits.connections",
				     "it may have %llu descriptors; limits.connections = %u can need %llu",
				     (unsigned long long)soft, c->conns, (unsigned long long)wanted);
		else
			findings_add(f, GRADE_FINE, about, NULL, "%llu descriptors are enough for it", (unsigned long long)soft);
	}
	free(limits);
}

/* How full the cgroup of a process is with processes. */
static void check_pids(struct findings *f, uint64_t pid)
{
	char path[512], *cgroup, *max = NULL, *now = NULL;
	unsigned long long limit, have;
	size_t n;

	cgroup = proc_read(pid, "cgroup", &n);
	if (cgroup && strncmp(cgroup, "0::", 3) == 0) {
		cgroup[strcspn(cgroup, "\n")] = '\0';
		snprintf(path, sizeof(path), "/sys/fs/cgroup%.400s/pids.max", cgroup + 3);
		max = text_read(path, &n);
		snprintf(path, sizeof(path), "/sys/fs/cgroup%.400s/pids.current", cgroup + 3);
		now = text_read(path, &n);
	}
	if (max && now && sscanf(max, "%19llu", &limit) == 1 && sscanf(now, "%19llu", &have) == 1 &&
	    have * 100 >= limit * PIDS_FULL_PERCENT)
		findings_add(f, GRADE_WARN, "supervisor", "raise TasksMax= of the unit",
			     "%llu of the %llu processes and threads it may have are in use", have, limit);
	free(cgroup);
	free(max);
	free(now);
}

static void check_service(struct findings *f, const struct view *v, const struct conf *c)
{
	const struct shm_header *h = &v->header;
	uint64_t bad = shm_reader_bad(v->reader);
	char span[24];

	if (v->stale)
		findings_add(f, GRADE_BAD, "supervisor", "see `journalctl -u tsa`; systemd's watchdog replaces it",
			     "pid %llu has not been heard of for %s", (unsigned long long)h->sup_pid,
			     text_span(v->age_ns, span, sizeof(span)));
	else
		findings_add(f, GRADE_FINE, "supervisor", NULL, "pid %llu is at work", (unsigned long long)h->sup_pid);
	if (v->header_ok && strcmp(h->version, TSA_VERSION) != 0)
		findings_add(f, GRADE_WARN, "supervisor", "restart the service after an upgrade: systemctl restart tsa",
			     "it is version %.31s and tsactl is %s", h->version, TSA_VERSION);
	if (*h->reload_text)
		findings_add(f, GRADE_WARN, "configuration", "mend it, then `tsactl reload`", "the last reload was refused: %.150s",
			     h->reload_text);
	if (bad)
		findings_add(f, GRADE_BAD, "board", "restart the instance or router whose line it is: `tsactl status` names it",
			     "%llu lines hold what no writer of this version writes", (unsigned long long)bad);
	check_listeners(f, h);
	check_pids(f, h->sup_pid);
	for (unsigned i = 0; i < v->n_routers; i++) {
		const struct shm_child_line *child = &v->routers[i].child;

		if (v->routers[i].child_ok && child->pid)
			check_router_limits(f, child->pid, i, c);
		if (v->routers[i].child_ok && child->state != SHM_CHILD_RUNNING) {
			char about[72];

			snprintf(about, sizeof(about), "router %u", i);
			findings_add(f, GRADE_BAD, about, "see `tsactl routers -o router,state,why`", "it is %s: %.150s",
				     shm_child_word(child->state), *child->why ? child->why : "nothing more is known");
		}
	}
}

/* --- the instances -------------------------------------------------------------------------------------------------------------------- */

struct patient {
	char about[72];
	char store[256]; /* directory of its models; "" not known */
	char *env;
	struct symptom_instance is;
};

/* As the process itself sees its directories: it may have a file system of its own. */
static void store_find(struct patient *p, uint64_t pid)
{
	const char *models = symptoms_env_get(p->is.env, p->is.env_len, "OLLAMA_MODELS");
	const char *home = symptoms_env_get(p->is.env, p->is.env_len, "HOME");
	char root[48];

	snprintf(root, sizeof(root), "/proc/%llu/root", (unsigned long long)pid);
	if (models && *models == '/')
		snprintf(p->store, sizeof(p->store), "%s%.180s", root, models);
	else if (home && *home == '/')
		snprintf(p->store, sizeof(p->store), "%s%.150s/.ollama/models", root, home);
}

/* "/proc/12/root/data" -> "/data" */
static const char *store_shown(const struct patient *p)
{
	const char *root = strstr(p->store, "/root");

	return root ? root + strlen("/root") : "";
}

static bool has_models(const struct view_slot *s)
{
	for (unsigned i = 0; i < s->models.n && i < SHM_MODELS; i++)
		if (s->models.at[i].flags & SHM_MODEL_AVAILABLE)
			return true;
	return false;
}

/* One that shows models has its store somewhere, whatever its environment suggests. */
static void check_store(struct findings *f, const struct patient *p, const struct view_slot *s)
{
	const char *shown = store_shown(p);
	struct statvfs vfs;

	if (!*p->store)
		return;
	if (statvfs(p->store, &vfs) < 0) {
		if (errno == ENOENT && !has_models(s))
			findings_add(f, GRADE_BAD, p->about, "check OLLAMA_MODELS and HOME of the instance, then `ollama pull`",
				     "its model store %s is not there", shown);
		return;
	}
	if ((uint64_t)vfs.f_bavail * vfs.f_frsize < STORE_FREE_BYTES)
		findings_add(f, GRADE_WARN, p->about, "remove models nobody uses: ollama rm",
			     "%llu MiB are free where its models lie (%s): the next pull may fail",
			     (unsigned long long)((uint64_t)vfs.f_bavail * vfs.f_frsize >> 20), shown);
	else
		findings_add(f, GRADE_FINE, p->about, NULL, "its model store %s has room", shown);
}

static void check_models(struct findings *f, const struct patient *p, const struct view_slot *s)
{
	if (!s->vital.tags_ns)
		return; /* its store has not been seen yet */
	for (unsigned i = 0; i < s->models.n && i < SHM_MODELS; i++) {
		const struct shm_model *m = &s->models.at[i];

		if ((m->flags & SHM_MODEL_CONFIGURED) && !(m->flags & SHM_MODEL_AVAILABLE))
			findings_add(f, GRADE_BAD, p->about, "`ollama pull` it on the instance, or take it out of `models`",
				     "%.127s is configured and not in its store", m->name);
		else if (m->flags & SHM_MODEL_FAILED)
			findings_add(f, GRADE_BAD, p->about, "see the log of the instance: often memory, or a damaged file",
				     "the last load of %.127s failed", m->name);
	}
}

static void patient_make(struct patient *p, const struct view_slot *s, unsigned cores)
{
	char *status;
	size_t n;

	snprintf(p->about, sizeof(p->about), "instance %.60s", s->owner.name);
	p->is = (struct symptom_instance){.about = p->about, .version = s->vital.version, .slots = s->owner.places, .cores = cores};
	for (unsigned i = 0; i < s->models.n && i < SHM_MODELS; i++)
		p->is.models += (s->models.at[i].flags & SHM_MODEL_CONFIGURED) != 0;
	if (!s->vital.ollama_pid)
		return;
	p->env = proc_read(s->vital.ollama_pid, "environ", &p->is.env_len);
	p->is.env = p->env;
	status = proc_read(s->vital.ollama_pid, "status", &n);
	if (status && strstr(status, "Cpus_allowed_list:"))
		p->is.cpus = symptoms_cpus_count(strstr(status, "Cpus_allowed_list:") + strlen("Cpus_allowed_list:"));
	free(status);
	if (p->env)
		store_find(p, s->vital.ollama_pid);
}

static void check_patient(struct findings *f, const struct view *v, const struct view_slot *s, const struct patient *p)
{
	char trouble[400], remedy[120];

	snprintf(remedy, sizeof(remedy), "`tsactl instance %s` shows all that is known", s->owner.name);
	if (view_slot_trouble(v, s, trouble, sizeof(trouble)))
		findings_add(f, GRADE_BAD, p->about, remedy, "%s", trouble);
	symptoms_version(f, &p->is);
	if (p->env)
		symptoms_environment(f, &p->is);
	else if (s->vital.ollama_pid)
		findings_add(f, GRADE_NOTE, p->about, "run `tsactl doctor` as root",
			     "the environment of its process %llu may not be read", (unsigned long long)s->vital.ollama_pid);
	symptoms_threads(f, &p->is);
	check_store(f, p, s);
	check_models(f, p, s);
	if (s->vital.fds_limit && s->vital.fds * 100 > s->vital.fds_limit * FDS_FULL_PERCENT)
		findings_add(f, GRADE_NOTE, p->about,
			     "nothing: tsa drains and restarts it at the limit; `fds` in tsa.conf(5) sets it",
			     "%llu of %llu descriptors are open: clients that left early leak them in Ollama",
			     (unsigned long long)s->vital.fds, (unsigned long long)s->vital.fds_limit);
}

static void check_fleet(struct findings *f, const struct view *v)
{
	struct patient *patients = calloc(v->n_slots ? v->n_slots : 1, sizeof(*patients));
	size_t n;
	char *cpuinfo = text_read("/proc/cpuinfo", &n);
	unsigned cores = cpuinfo ? symptoms_cores_count(cpuinfo) : 0;

	free(cpuinfo);
	if (!patients) {
		findings_add(f, GRADE_BAD, "machine", "free some memory and try again", "no memory to look at the instances");
		return;
	}
	if (!v->n_slots)
		findings_add(f, GRADE_BAD, "service", "write an instance into tsa.conf, then `tsactl reload`",
			     "there is no instance");
	for (unsigned i = 0; i < v->n_slots; i++)
		patient_make(&patients[i], &v->slots[i], cores);
	for (unsigned i = 0; i < v->n_slots; i++) {
		for (unsigned k = 0; k < v->n_slots; k++) {
			const char *a = store_shown(&patients[i]), *b = store_shown(&patients[k]);

			patients[i].is.sharing += i != k && *a && strcmp(a, b) == 0;
		}
		check_patient(f, v, &v->slots[i], &patients[i]);
	}
	for (unsigned i = 0; i < v->n_slots; i++)
		free(patients[i].env);
	free(patients);
}

/* --- the verb -------------------------------------------------------------------------------------------------------------------------- */

static void findings_json(const struct findings *f)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (unsigned i = 0; i < f->n; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "grade", json_object_new_string(grade_word(f->at[i].grade)));
		json_object_object_add(one, "about", json_object_new_string(f->at[i].about));
		json_object_object_add(one, "what", json_object_new_string(f->at[i].what));
		json_object_object_add(one, "remedy", *f->at[i].remedy ? json_object_new_string(f->at[i].remedy) : NULL);
		json_object_array_add(list, one);
	}
	json_object_object_add(o, "findings", list);
	for (unsigned g = 0; g < GRADE_COUNT; g++)
		json_object_object_add(o, grade_word(g), json_object_new_int((int)f->graded[g]));
	json_print(o);
}

static void finding_print(const struct finding *at)
{
	static const enum tone TONE[GRADE_COUNT] = {TONE_GOOD, TONE_PLAIN, TONE_WARN, TONE_BAD};
	char text[400];

	printf("  %s%-8s%s %s\n", tone_begin(TONE[at->grade]), grade_word(at->grade), tone_end(),
	       text_clean(at->what, text, sizeof(text)));
	if (*at->remedy)
		printf("           %s\n", at->remedy);
}

/* Has an earlier finding the same subject, and so been printed with it? */
static bool is_repeated(const struct findings *f, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (strcmp(f->at[k].about, f->at[i].about) == 0)
			return true;
	return false;
}

static void findings_print(const struct findings *f)
{
	const unsigned *n = f->graded;
	char text[100];

	for (unsigned i = 0; i < f->n; i++) {
		if (is_repeated(f, i))
			continue;
		printf("%s%s%s\n", tone_begin(TONE_HEAD), text_clean(f->at[i].about, text, sizeof(text)), tone_end());
		for (unsigned k = i; k < f->n; k++)
			if (strcmp(f->at[k].about, f->at[i].about) == 0)
				finding_print(&f->at[k]);
		putchar('\n');
	}
	printf("%u fine, %u note%s, %u warning%s, %u problem%s\n", n[GRADE_FINE], n[GRADE_NOTE], n[GRADE_NOTE] == 1 ? "" : "s",
	       n[GRADE_WARN], n[GRADE_WARN] == 1 ? "" : "s", n[GRADE_BAD], n[GRADE_BAD] == 1 ? "" : "s");
}

int run_doctor(const struct options *o, const struct command *c, const char *const *words, unsigned n)
{
	struct findings f = {0};
	struct shm_reader *reader = NULL;
	struct view *view = NULL;
	struct why why = {""};
	struct conf *conf;
	int rc;

	(void)c, (void)words, (void)n;
	check_machine(&f);
	conf = check_conf(&f, o->config ? o->config : TSA_SYSCONFDIR "/tsa.conf", o->config != NULL);
	rc = view_open(o->state, &reader, &view, &why);
	if (rc < 0) {
		findings_add(&f, GRADE_BAD, "supervisor",
			     "start it: systemctl start tsa; the service and its instances were not looked at", "%s", why.text);
	} else {
		check_service(&f, view, conf);
		check_fleet(&f, view);
		view_close(&reader, &view);
	}
	conf_destroy(&conf);
	if (o->json)
		findings_json(&f);
	else
		findings_print(&f);
	rc = f.graded[GRADE_BAD] || f.lost ? EXIT_REFUSED : EXIT_DONE;
	if (f.lost)
		rc = complain(o, EXIT_REFUSED, "%u findings did not fit into memory; free some and try again", f.lost);
	findings_free(&f);
	return rc;
}
