/* tools/tsactl/symptoms.h - what is known to hurt a host full of Ollamas, judged from text and numbers.  Pure: no file, no socket.
 *
 * Each judgement adds one finding or more; what is in order is a finding, too, so that the operator sees what has been looked at.
 * Sources of the constants: the CVE records, Ollama's release notes, and measurements of a running server (see symptoms.c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum grade {
	GRADE_FINE = 0,
	GRADE_NOTE, /* worth knowing; nothing needs to be done */
	GRADE_WARN, /* will hurt under load or attack */
	GRADE_BAD,  /* hurts now */
	GRADE_COUNT
};

struct finding {
	enum grade grade;
	char about[80];   /* "machine", "instance chat-0" */
	char what[320];   /* what is the case */
	char remedy[240]; /* what to do; empty when nothing is to be done */
};

/* Zero-initialised; findings_free() ends it.  What finds no memory is counted in `lost`. */
struct findings {
	struct finding *at;
	unsigned n, cap, lost;
	unsigned graded[GRADE_COUNT];
};

void findings_add(struct findings *f, enum grade grade, const char *about, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void findings_free(struct findings *f);
const char *grade_word(enum grade grade);

/* An instance as far as its settings matter. */
struct symptom_instance {
	const char *about;   /* "instance chat-0" */
	const char *version; /* of /api/version; "" not known */
	const char *env;     /* NAME=value, NUL after each; NULL not known */
	size_t env_len;
	uint64_t slots;   /* what tsa sends it at a time */
	unsigned models;  /* configured for it */
	unsigned sharing; /* other instances with the same model store */
	unsigned cpus;    /* it may run on; 0 not known */
	unsigned cores;   /* physical ones of the machine; 0 not known */
};

/* "0.24.0" or "0.33.0-rc2" as 1,000,000 a + 1,000 b + c; 0 when it is no version. */
uint64_t symptoms_version_number(const char *version);
void symptoms_version(struct findings *f, const struct symptom_instance *i);
void symptoms_environment(struct findings *f, const struct symptom_instance *i);
void symptoms_threads(struct findings *f, const struct symptom_instance *i);

/* `mounts`: /proc/self/mounts; `controllers`: /sys/fs/cgroup/cgroup.controllers, "" where there is none. */
void symptoms_cgroups(struct findings *f, const char *mounts, const char *controllers);
/* /proc/meminfo. */
void symptoms_memory(struct findings *f, const char *meminfo);
/* The value of one kernel setting; `path` below /proc/sys.  False: none that is known to hurt. */
bool symptoms_setting(struct findings *f, const char *path, const char *value);
/* The k-th setting worth reading, NULL after the last. */
const char *symptoms_setting_path(unsigned k);

/* The value of NAME in an environment; NULL: not set. */
const char *symptoms_env_get(const char *env, size_t n, const char *name);
/* "0-3,8" -> 5; 0: no such list. */
unsigned symptoms_cpus_count(const char *list);
/* /proc/cpuinfo -> physical cores; processors where the kernel does not tell cores; 0: no such text. */
unsigned symptoms_cores_count(const char *cpuinfo);
