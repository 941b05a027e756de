/* conf/loading.h - what the files of this folder share while a configuration is being read.  Private to conf/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/lex.h"

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
	CONF_KIND_OFFTIME,  /* a duration, or off: 0 */
	CONF_KIND_AUTOTIME, /* a duration, or auto: 0 */
	CONF_KIND_SHARE,    /* a percentage; kept as a share of one */
	CONF_KIND_FACTOR,   /* a number with a fraction and no unit */
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
	CONF_KIND_SELECTION,
	CONF_KIND_RELOAD,
	CONF_KIND_FILE,
	CONF_KIND_HOOK,
	CONF_KIND_LISTEN, /* lists from here on */
	CONF_KIND_COMMAND,
	CONF_KIND_MODELS,
	CONF_KIND_TAGS,
	CONF_KIND_ENVIRONMENT,
	CONF_KIND_HEADERS,
	CONF_KIND_WEIGHTED,
	CONF_KIND_CATEGORIES,
	CONF_KIND_COUNT
};

struct conf_keyword {
	enum conf_section section;
	const char *word;
	enum conf_kind kind;
	size_t offset; /* of the member in struct conf, conf_instance or conf_rule */
	size_t size;
	uint64_t least; /* of the value, or of the list's length */
	uint64_t most;
	const char *preset; /* default as it would be written, or NULL */
};

const struct conf_keyword *conf_keyword(enum conf_keyword_id id);
bool conf_keyword_list(enum conf_keyword_id id); /* {…}, of any number of values */
const char *conf_section_word(enum conf_section section); /* "" for the top */
bool conf_section_titled(enum conf_section section); /* there may be many, each with a name */

/* What a word means in a section; CONF_KW_COUNT, CONF_IN_NONE: nothing. */
enum conf_keyword_id conf_keyword_find(enum conf_section section, const char *word);
enum conf_section conf_section_find(enum conf_section parent, const char *word);

/* Write what belongs into `section` for a `word` that does not: the nearest ones, another section that has it, all of them. */
void conf_keyword_suggest(enum conf_section section, const char *word, char *buf, size_t size);

/* A keyword in a file. */
struct conf_given {
	struct conf_place at; /* line 0: it does not stand there */
	unsigned n;           /* values of a list so far */
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
	int rc;         /* -errno of what is no matter of words: the main file cannot be read, there is no memory */
	bool open_file; /* everybody may read the file at hand */
	bool cut;       /* some statement was not read: what is missing proves nothing */
	struct conf_given given[CONF_KW_COUNT]; /* in the sections of struct conf */
	struct conf_given instance_given[CONF_INSTANCES][CONF_KW_COUNT];
	struct conf_place instance_at[CONF_INSTANCES];
	struct conf_given rule_given[CONF_RULES][CONF_KW_COUNT];
	struct conf_place order[CONF_MESSAGES]; /* of report->text */
};

#define CONF_NOWHERE ((struct conf_place){0}) /* about the main file as a whole */

/* Add a message, in the order of places. */
void conf_say(struct conf_loading *l, bool error, struct conf_place at, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
#define conf_error(l, at, ...)   conf_say(l, true, at, __VA_ARGS__)
#define conf_warning(l, at, ...) conf_say(l, false, at, __VA_ARGS__)

/* Start with the defaults, end with what was loaded (0 and *out) or, when something was wrong, with l->rc or -EINVAL; frees `l`
 * either way. */
int conf_loading_begin(const char *main_file, struct conf_report *report, struct conf_loading **out);
int conf_loading_end(struct conf_loading *l, struct conf **out);

/* A new instance with the defaults, or NULL (told) when there are too many. */
struct conf_instance *conf_instance_add(struct conf_loading *l, struct conf_place at);
void conf_instance_name(struct conf_loading *l, struct conf_instance *inst, struct conf_place at, const char *name);

struct conf_rule *conf_rule_add(struct conf_loading *l, struct conf_place at);
void conf_rule_name(struct conf_loading *l, struct conf_rule *rule, struct conf_place at, const char *name);

/* Read a regular file of at most `most` bytes: *text is the caller's to free, NUL-terminated.  *open_file: everybody may read it.
 * 0 or -errno with `why`. */
int conf_bytes_read(const char *path, size_t most, char **text, size_t *n, bool *open_file, struct why *why);

/* Parse one file: the main one (0), or one of instances.d, where only instances may stand.  Tells what is wrong. */
void conf_parse(struct conf_loading *l, unsigned file, const char *text, size_t n);

/* Set a member from a value, the next one of `given`.  `target` is the struct conf, conf_instance or conf_rule.  Tells what is wrong. */
void conf_take(struct conf_loading *l, enum conf_keyword_id id, void *target, struct conf_given *given, struct conf_place at,
	       const char *text);

/* Set the defaults of a section. */
void conf_preset(enum conf_section section, void *target);

/* Rules that concern more than one line. */
void conf_check(struct conf_loading *l);

/* Names of an environment: see environment.c. */
int conf_environment_add(struct conf_instance *inst, const char *entry, struct why *why);
bool conf_environment_secret(const char *entry);
int conf_environment_file(struct conf_instance *inst, const char *path, struct why *why);

/* What `ollama list` may show.  0 or -EINVAL. */
int conf_model_check(const char *text, struct why *why);
/* One more word of fewer than `size` bytes into a list of such with room for it.  0; -EINVAL with `why`: it is there. */
int conf_list_add(char *list, unsigned *n, size_t size, const char *text, struct why *why);

/* Kinds of values that placing requests needs: see take_routing.c. */
int conf_take_selection(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);
int conf_take_reload(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);
int conf_take_offtime(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);
int conf_take_autotime(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);
int conf_take_share(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);
int conf_take_factor(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);
int conf_take_file(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);
int conf_take_hook(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);
int conf_take_headers(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);
int conf_take_weighted(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);
int conf_take_categories(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);

/* "0-3,8" to a set.  0 or -EINVAL with `why`. */
int conf_cpuset_parse(const char *text, struct conf_cpuset *out, struct why *why);
bool conf_cpuset_overlap(const struct conf_cpuset *a, const struct conf_cpuset *b, unsigned *first);

/* Whether two listeners cannot both be had: same port, and one address the other or a wildcard over it. */
bool conf_addr_clash(const struct conf_addr *a, const struct conf_addr *b);
uint16_t conf_addr_port(const struct conf_addr *a);
