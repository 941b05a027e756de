#include "tools/tsactl/symptoms.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/scan.h"

#define MEM_FREE_PERCENT  20 /* MemAvailable below it is what the eviction rule calls pressure */
#define OLLAMA_OWN_MODELS 3  /* models at a time of an Ollama without a GPU unless OLLAMA_MAX_LOADED_MODELS says otherwise */

void findings_add(struct findings *f, enum grade grade, const char *about, const char *remedy, const char *fmt, ...)
{
	struct finding *more, *at;
	va_list ap;

	if (f->n == f->cap) {
		more = reallocarray(f->at, f->cap + 32, sizeof(*more));
		if (!more) {
			f->lost++;
			return;
		}
		f->at = more;
		f->cap += 32;
	}
	at = &f->at[f->n++];
	*at = (struct finding){.grade = grade};
	snprintf(at->about, sizeof(at->about), "%s", about);
	snprintf(at->remedy, sizeof(at->remedy), "%s", remedy ? remedy : "");
	va_start(ap, fmt);
	vsnprintf(at->what, sizeof(at->what), fmt, ap);
	va_end(ap);
	f->graded[grade]++;
}

void findings_free(struct findings *f)
{
	free(f->at);
	*f = (struct findings){0};
}

const char *grade_word(enum grade grade)
{
	static const char *const WORD[GRADE_COUNT] = {"fine", "note", "warning", "problem"};

	return grade < GRADE_COUNT ? WORD[grade] : "unknown";
}

/* --- versions ------------------------------------------------------------------------------------------------------------------ */

#define V(a, b, c) ((a)*1000000ULL + (b)*1000ULL + (c))

/* Known to be bad: versions in [from, below). */
static const struct {
	uint64_t from, below;
	enum grade grade;
	const char *what;
	const char *remedy;
} VERSIONS[] = {
	{V(0, 0, 1), V(0, 1, 34), GRADE_BAD, "anybody who reaches its port may run code on this host (CVE-2024-37032)",
	 "upgrade Ollama to 0.20.3 or later"},
	{V(0, 1, 34), V(0, 17, 1), GRADE_WARN, "its create and push routes hand out other users' prompts (CVE-2026-7482)",
	 "upgrade Ollama to 0.20.3 or later; until then keep `management = deny` and its port on loopback"},
	{V(0, 17, 1), V(0, 20, 3), GRADE_WARN, "a digest may lead out of its model store (CVE-2026-7020)",
	 "upgrade Ollama to 0.20.3 or later; until then keep `management = deny` and its port on loopback"},
	{V(0, 0, 1), V(0, 10, 0), GRADE_WARN, "it chooses by itself how many requests it works on at a time",
	 "set OLLAMA_NUM_PARALLEL to the instance's `slots`, or upgrade to 0.10 or later"},
	{V(0, 0, 1), V(0, 12, 6), GRADE_NOTE,
	 "it answers errors before the first token with status 200, so tsa cannot try elsewhere",
	 "upgrade Ollama to 0.12.6 or later"},
	{V(0, 30, 0), V(0, 30, 1), GRADE_NOTE, "it does not count cached tokens in prompt_eval_count",
	 "upgrade Ollama to 0.30.1 or later"},
};

uint64_t symptoms_version_number(const char *version)
{
	unsigned a = 0, b = 0, c = 0;
	int used = 0;

	if (*version == 'v')
		version++;
	if (sscanf(version, "%4u.%3u.%3u%n", &a, &b, &c, &used) != 3 || !used)
		return 0;
	if (version[used] && version[used] != '-' && version[used] != '+')
		return 0;
	return V(a, b, c);
}

void symptoms_version(struct findings *f, const struct symptom_instance *i)
{
	uint64_t v = symptoms_version_number(i->version);
	unsigned before = f->n;

	if (!*i->version)
		return;
	if (!v) {
		findings_add(f, GRADE_NOTE, i->about, NULL,
			     "Ollama %s is a build without a version: it cannot be compared with those known to be bad",
			     i->version);
		return;
	}
	for (unsigned k = 0; k < ARRAY_SIZE(VERSIONS); k++)
		if (v >= VERSIONS[k].from && v < VERSIONS[k].below)
			findings_add(f, VERSIONS[k].grade, i->about, VERSIONS[k].remedy, "Ollama %s: %s", i->version,
				     VERSIONS[k].what);
	if (f->n == before)
		findings_add(f, GRADE_FINE, i->about, NULL, "Ollama %s is not known to be bad", i->version);
}

/* --- the environment of an Ollama ------------------------------------------------------------------------------------------------ */

const char *symptoms_env_get(const char *env, size_t n, const char *name)
{
	size_t len = strlen(name);

	for (size_t at = 0; at < n;) {
		size_t word = strnlen(env + at, n - at);

		if (at + word >= n)
			return NULL; /* the last word is not ended: cut off, not to be read as text */
		if (word > len && env[at + len] == '=' && memcmp(env + at, name, len) == 0)
			return env + at + len + 1;
		at += word + 1;
	}
	return NULL;
}

static uint64_t env_number(const struct symptom_instance *i, const char *name, uint64_t otherwise)
{
	const char *text = symptoms_env_get(i->env, i->env_len, name);
	uint64_t v;

	return text && scan_u64(text, 0, UINT64_MAX, &v, NULL) == 0 ? v : otherwise;
}

static bool env_on(const struct symptom_instance *i, const char *name)
{
	const char *text = symptoms_env_get(i->env, i->env_len, name);

	return text && *text && strcmp(text, "0") != 0 && strcmp(text, "false") != 0;
}

static void judge_parallel(struct findings *f, const struct symptom_instance *i)
{
	uint64_t parallel = env_number(i, "OLLAMA_NUM_PARALLEL", 1);

	if (parallel == 0)
		parallel = 1;
	if (i->slots > parallel)
		findings_add(f, GRADE_BAD, i->about, "set OLLAMA_NUM_PARALLEL to its `slots`, or `slots` to what it really has",
			     "tsa sends it %llu requests at a time and it works on %llu: the others wait where nobody sees them",
			     (unsigned long long)i->slots, (unsigned long long)parallel);
	else if (i->slots < parallel)
		findings_add(f, GRADE_NOTE, i->about, "raise its `slots` if its memory and threads are meant for so many",
			     "it could work on %llu requests at a time and is sent %llu", (unsigned long long)parallel,
			     (unsigned long long)i->slots);
}

static void judge_models(struct findings *f, const struct symptom_instance *i)
{
	uint64_t max = env_number(i, "OLLAMA_MAX_LOADED_MODELS", 0);
	bool given = max > 0;

	if (!given)
		max = OLLAMA_OWN_MODELS;
	if (i->models > max)
		findings_add(f, given ? GRADE_WARN : GRADE_NOTE, i->about,
			     "raise OLLAMA_MAX_LOADED_MODELS if they fit into memory, or give the models another instance",
			     "%u models are configured for it and it keeps %llu in memory at a time%s", i->models,
			     (unsigned long long)max, given ? "" : " unless it has GPUs");
}

static void judge_reach(struct findings *f, const struct symptom_instance *i)
{
	const char *host = symptoms_env_get(i->env, i->env_len, "OLLAMA_HOST");
	const char *origins = symptoms_env_get(i->env, i->env_len, "OLLAMA_ORIGINS");
	const char *name = host ? strstr(host, "://") : NULL;

	name = name ? name + 3 : host;
	if (name && (strncmp(name, "0.0.0.0", 7) == 0 || strncmp(name, "[::]", 4) == 0 || *name == ':'))
		findings_add(
			f, GRADE_WARN, i->about, "let it listen on 127.0.0.1 only",
			"it listens on every address (OLLAMA_HOST=%.60s): clients can go around tsa, and its management routes "
			"have no lock",
			host);
	if (origins && strchr(origins, '*'))
		findings_add(f, GRADE_NOTE, i->about, "leave OLLAMA_ORIGINS alone: tsa answers browsers itself",
			     "any web page that a browser on this host opens may use it (OLLAMA_ORIGINS=%.60s)", origins);
}

/* Settings that hurt by themselves. */
static const struct {
	const char *name;
	enum grade grade;
	const char *what;
	const char *remedy;
} SWITCHES[] = {
	{"OLLAMA_DEBUG_LOG_REQUESTS", GRADE_WARN, "it writes the body of every request to a file",
	 "unset OLLAMA_DEBUG_LOG_REQUESTS and delete the files"},
	{"OLLAMA_DEBUG", GRADE_NOTE, "it logs for debugging, prompts included at the higher level", "unset OLLAMA_DEBUG"},
	{"OLLAMA_NUM_THREADS", GRADE_NOTE, "OLLAMA_NUM_THREADS is set, and no Ollama reads it",
	 "unset it; 0.30 and later read LLAMA_ARG_THREADS"},
};

void symptoms_environment(struct findings *f, const struct symptom_instance *i)
{
	const char *keep = symptoms_env_get(i->env, i->env_len, "OLLAMA_KEEP_ALIVE");
	const char *queue = symptoms_env_get(i->env, i->env_len, "OLLAMA_MAX_QUEUE");
	unsigned before = f->n;

	judge_parallel(f, i);
	judge_models(f, i);
	judge_reach(f, i);
	if (queue && strcmp(queue, "0") == 0)
		findings_add(f, GRADE_BAD, i->about, "unset OLLAMA_MAX_QUEUE: requests wait in tsa, not there",
			     "OLLAMA_MAX_QUEUE is 0: its scheduler can hang for ever");
	if (keep && (strcmp(keep, "0") == 0 || strcmp(keep, "0s") == 0))
		findings_add(f, GRADE_WARN, i->about, "unset OLLAMA_KEEP_ALIVE, or set 30m",
			     "OLLAMA_KEEP_ALIVE is 0: it unloads a model after every answer");
	if (i->sharing && !env_on(i, "OLLAMA_NOPRUNE"))
		findings_add(f, GRADE_WARN, i->about, "set OLLAMA_NOPRUNE=1 on all but one of them",
			     "it shares its model store with %u other%s and deletes what it does not know when it starts",
			     i->sharing, i->sharing == 1 ? "" : "s");
	for (unsigned k = 0; k < ARRAY_SIZE(SWITCHES); k++)
		if (env_on(i, SWITCHES[k].name))
			findings_add(f, SWITCHES[k].grade, i->about, SWITCHES[k].remedy, "%s", SWITCHES[k].what);
	if (f->n == before)
		findings_add(f, GRADE_FINE, i->about, NULL, "its environment holds nothing known to hurt");
}

/* Up to 0.24 a runner starts as many threads as the machine has cores, whatever it is pinned to; two on one CPU were measured 18
 * times slower than one. */
void symptoms_threads(struct findings *f, const struct symptom_instance *i)
{
	uint64_t v = symptoms_version_number(i->version);
	uint64_t told = i->env ? env_number(i, "LLAMA_ARG_THREADS", 0) : 0;

	if (!i->cpus || !i->cores || i->cpus >= i->cores)
		return;
	if (v && v < V(0, 30, 0))
		findings_add(
			f, GRADE_BAD, i->about,
			"give it all cores, or a private cpu.max that says its share; this version obeys nothing else",
			"it may run on %u CPUs and starts %u threads, one for each core of the machine: many times slower than %u",
			i->cpus, i->cores, i->cpus);
	else if (told == 0 || told > i->cpus)
		findings_add(f, GRADE_WARN, i->about, "set LLAMA_ARG_THREADS to its number of CPUs",
			     "it may run on %u CPUs of %u cores and is not told how many threads to start", i->cpus, i->cores);
	else
		findings_add(f, GRADE_FINE, i->about, NULL, "its %llu threads fit its %u CPUs", (unsigned long long)told, i->cpus);
}

/* --- the machine ------------------------------------------------------------------------------------------------------------------ */

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = words; (p = strstr(p, word)); p += n)
		if ((p == words || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\n' || !p[n]))
			return true;
	return false;
}

void symptoms_cgroups(struct findings *f, const char *mounts, const char *controllers)
{
	static const char *const NEEDED[] = {"cpuset", "cpu", "memory", "pids"};
	bool v1 = strstr(mounts, " cgroup "), v2 = strstr(mounts, " cgroup2 ");
	char missing[64] = "";

	if (!v2 || v1) {
		findings_add(f, GRADE_NOTE, "machine", "boot with systemd.unified_cgroup_hierarchy=1 to have one",
			     "no pure cgroup v2 is mounted here (%s); limits per instance work best with one",
			     v2   ? "v1 and v2 side by side"
			     : v1 ? "v1 alone"
				  : "none at all");
		return;
	}
	for (unsigned k = 0; k < ARRAY_SIZE(NEEDED); k++)
		if (!has_word(controllers, NEEDED[k]))
			snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing), " %s", NEEDED[k]);
	if (*missing)
		findings_add(f, GRADE_WARN, "machine", "look at cgroup_disable= in /proc/cmdline, and at Delegate= of a container",
			     "cgroup v2 is mounted without the controllers%s", missing);
	else
		findings_add(f, GRADE_FINE, "machine", NULL, "cgroup v2 with cpuset, cpu, memory and pids");
}

static uint64_t meminfo_bytes(const char *text, const char *key)
{
	unsigned long long kib = 0;
	const char *p = strstr(text, key);

	if (!p || sscanf(p + strlen(key), ": %15llu kB", &kib) != 1)
		return 0;
	return kib * 1024;
}

void symptoms_memory(struct findings *f, const char *meminfo)
{
	uint64_t total = meminfo_bytes(meminfo, "MemTotal"), available = meminfo_bytes(meminfo, "MemAvailable");
	uint64_t swap = meminfo_bytes(meminfo, "SwapTotal"), spare = meminfo_bytes(meminfo, "SwapFree");
	unsigned free_percent = total ? (unsigned)(available * 100 / total) : 0;

	if (!total)
		return;
	if (free_percent < MEM_FREE_PERCENT)
		findings_add(f, GRADE_WARN, "machine", "unload models (`tsactl unload`), or take an instance away",
			     "%u %% of the memory is available; below %d %% a load may push out a model in use", free_percent,
			     MEM_FREE_PERCENT);
	else
		findings_add(f, GRADE_FINE, "machine", NULL, "%u %% of the memory is available", free_percent);
	if (swap > spare && (swap - spare) > total / 100)
		findings_add(f, GRADE_WARN, "machine", "swapoff -a, or see what has grown; a swapped model answers minutes late",
			     "%llu MiB are swapped out", (unsigned long long)((swap - spare) >> 20));
}

/* Kernel settings: hurts when the value is `above` or more, or below `below` (0: no such bound). */
static const struct setting {
	const char *path;
	uint64_t above, below;
	enum grade grade;
	const char *what;
	const char *remedy;
} SETTINGS[] = {
	{"vm/zone_reclaim_mode", 1, 0, GRADE_WARN,
	 "one memory node drops its page cache before it asks the other: model files are read again",
	 "sysctl vm.zone_reclaim_mode=0"},
	{"vm/overcommit_memory", 2, 0, GRADE_WARN,
	 "mapping a model counts as if all of it were written: loads fail with memory to spare", "sysctl vm.overcommit_memory=0"},
	{"net/core/somaxconn", 0, 1024, GRADE_WARN, "a burst of connections overflows the listen queue and is answered late",
	 "sysctl net.core.somaxconn=4096"},
	{"kernel/pid_max", 0, 32768, GRADE_WARN, "threads of a few large instances can use up the process numbers",
	 "sysctl kernel.pid_max=4194304"},
	{"fs/nr_open", 0, 65536, GRADE_WARN, "no process can have the descriptors that thousands of streams need",
	 "sysctl fs.nr_open=1048576"},
};

const char *symptoms_setting_path(unsigned k)
{
	return k < ARRAY_SIZE(SETTINGS) ? SETTINGS[k].path : NULL;
}

bool symptoms_setting(struct findings *f, const char *path, const char *value)
{
	unsigned long long v;

	for (unsigned k = 0; k < ARRAY_SIZE(SETTINGS); k++) {
		const struct setting *s = &SETTINGS[k];

		if (strcmp(path, s->path) != 0 || sscanf(value, "%19llu", &v) != 1)
			continue;
		if ((s->above && v >= s->above) || (s->below && v < s->below)) {
			findings_add(f, s->grade, "machine", s->remedy, "%s is %llu: %s", s->path, v, s->what);
			return true;
		}
	}
	return false;
}

unsigned symptoms_cpus_count(const char *list)
{
	unsigned n = 0, a, b;
	int used;

	while (sscanf(list, "%6u%n", &a, &used) == 1) {
		list += used;
		b = a;
		if (*list == '-' && sscanf(list + 1, "%6u%n", &b, &used) == 1)
			list += used + 1;
		if (b < a)
			return 0;
		n += b - a + 1;
		if (*list != ',')
			break;
		list++;
	}
	return *list && *list != '\n' ? 0 : n;
}

unsigned symptoms_cores_count(const char *cpuinfo)
{
	uint64_t seen[1024];
	unsigned n = 0, processors = 0, package = 0, core;

	for (const char *p = cpuinfo; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		bool known = false;

		if (strncmp(p, "processor", 9) == 0)
			processors++;
		if (sscanf(p, "physical id : %6u", &package) == 1 || sscanf(p, "core id : %6u", &core) != 1)
			continue;
		for (unsigned k = 0; k < n && !known; k++)
			known = seen[k] == ((uint64_t)package << 32 | core);
		if (!known && n < ARRAY_SIZE(seen))
			seen[n++] = (uint64_t)package << 32 | core;
	}
	return n ? n : processors;
}
