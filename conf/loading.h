/* conf/loading.h - what the files of this folder share while a configuration is being read.  Private to conf/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

enum conf_section {
	CONF_IN_NONE = 0,
	CONF_IN_TOP,
#define SECTION(id, word, parent, titled, meaning) CONF_IN_##id,
#include "conf/keywords.def"
	CONF_IN_COUNT
};

enum conf_keyword_id {
#define KEYWORD(section, word, kind, member, least, most, default_, meaning) CONF_KW_##section##_##word,
#include "conf/keywords.def"
	CONF_KW_COUNT
};

enum conf_kind {
	CONF_KIND_NONE = 0,
	CONF_KIND_NUMBER, /* a whole number */
	CONF_KIND_AUTO,   /* a whole number, or auto: 0 */
	CONF_KIND_TIME,
	CONF_KIND_SIZE,
	CONF_KIND_YES,   /* yes or no */
	CONF_KIND_ALLOW, /* allow or deny */
	CONF_KIND_LEVEL,
	CONF_KIND_ACCOUNT,
	CONF_KIND_PATH,
	CONF_KIND_MODEL,
	CONF_KIND_ADDRESS,
	CONF_KIND_URL,
	CONF_KIND_CPUS,
	CONF_KIND_ENVFILE,
	CONF_KIND_LISTEN, /* lists from here on */
	CONF_KIND_COMMAND,
	CONF_KIND_MODELS,
	CONF_KIND_TAGS,
	CONF_KIND_ENVIRONMENT,
	CONF_KIND_COUNT
};

struct conf_keyword {
	enum conf_section section;
	const char *word;
	enum conf_kind kind;
	size_t offset; /* of the member in struct conf or struct conf_instance */
	size_t size;
	uint64_t least; /* of the value, or of the list's length */
	uint64_t most;
	const char *preset; /* default as it would be written, or NULL */
	const char *meaning;
};

const struct conf_keyword *conf_keyword(enum conf_keyword_id id);
const char *conf_section_word(enum conf_section section); /* "" for the top */
enum conf_section conf_section_parent(enum conf_section section);
bool conf_section_titled(enum conf_section section); /* there may be many, each with a name */

/* Write what belongs into `section` for a `word` that does not: the nearest ones, another section that has it, all of them. */
void conf_keyword_suggest(enum conf_section section, const char *word, char *buf, size_t size);

/* One value as it stands in a file. */
struct conf_word {
	unsigned line;
	char text[];
};

/* Where every keyword of one section stands; 0: it does not. */
struct conf_lines {
	unsigned at[CONF_KW_COUNT];
};

#define CONF_PATH_MOST 90 /* of state_dir: DIR/control must fit a unix socket's address */

/* A configuration and the names of the files it came from, which its instances and messages point to. */
struct conf_whole {
	struct conf conf;
	unsigned n_files;
	char *files[CONF_FILES + 1];
};

struct conf_loading {
	struct conf_whole *whole;
	struct conf_report *report;
	unsigned file;           /* index of the file being read */
	bool open_file;          /* everybody may read it */
	bool cut;                /* some file was not read to its end: what is missing proves nothing */
	struct conf_lines lines; /* of the sections of struct conf */
	struct conf_lines instance_lines[CONF_INSTANCES];
	struct {
		unsigned file;
		unsigned line;
	} order[CONF_MESSAGES]; /* of report->text */
};

/* Add a message, in the order of files and lines.  `line` 0: about the whole file. */
void conf_say(struct conf_loading *l, bool error, unsigned file, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
#define conf_error(l, file, line, ...)   conf_say(l, true, file, line, __VA_ARGS__)
#define conf_warning(l, file, line, ...) conf_say(l, false, file, line, __VA_ARGS__)

/* Start with the defaults, end with what was loaded (0 and *out) or -EINVAL when something was wrong; frees `l` either way. */
int conf_loading_begin(struct conf_report *report, struct conf_loading **out);
int conf_loading_end(struct conf_loading *l, struct conf **out);

/* Remember a file name; its index, or -errno. */
int conf_file_add(struct conf_loading *l, const char *path);

/* A new instance with the defaults, or NULL (told) when there are too many. */
struct conf_instance *conf_instance_add(struct conf_loading *l, const char *name, unsigned line);

/* Read a regular file of at most `most` bytes: *text is the caller's to free, NUL-terminated.  *open_file: everybody may read it.
 * 0 or -errno with `why`. */
int conf_bytes_read(const char *path, size_t most, char **text, size_t *n, bool *open_file, struct why *why);

/* Look at the bytes before libconfuse does: tell about what it would drop, expand or misread in silence, and blank the comments.
 * True: fit to parse. */
bool conf_guard(struct conf_loading *l, char *text, size_t n);

/* Parse one file: the main one, or one of instances.d, where only instances may stand. */
void conf_parse(struct conf_loading *l, const char *text, size_t n, bool main_file);

/* Set a member from the words of a keyword.  `target` is the struct conf or struct conf_instance.  Tells what is wrong. */
void conf_take(struct conf_loading *l, enum conf_keyword_id id, void *target, const struct conf_word *const *words, unsigned n);

/* Set the defaults of a section. */
void conf_preset(enum conf_section section, void *target);

/* Rules that concern more than one line. */
void conf_check(struct conf_loading *l);

/* Names of an environment: see environment.c. */
int conf_environment_add(struct conf_instance *inst, const char *entry, struct why *why);
bool conf_environment_secret(const char *entry);
int conf_environment_file(struct conf_instance *inst, const char *path, struct why *why);

/* "0-3,8" to a set.  0 or -EINVAL with `why`. */
int conf_cpuset_parse(const char *text, struct conf_cpuset *out, struct why *why);
bool conf_cpuset_overlap(const struct conf_cpuset *a, const struct conf_cpuset *b, unsigned *first);

/* Whether two listeners cannot both be had: same port, and one address the other or a wildcard over it. */
bool conf_addr_clash(const struct conf_addr *a, const struct conf_addr *b);
uint16_t conf_addr_port(const struct conf_addr *a);
