/* The only file that knows libconfuse.  Every value is kept as a word and its line (the library's own types would forget the
 * line); conf_take() gives it its meaning afterwards, so that all wrong values of a file are told in one run.  A statement that
 * the library itself cannot read ends the file. */
#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "conf/loading.h"

/* An empty section in every instance: the library makes it, with the line, when it reads the opening brace.  Nobody can write
 * its name: conf_guard() lets no control byte pass. */
#define BEGIN "\001"

#define MANY_WORDS 256 /* in one list; each kind has its own, lower limit */

/* What the largest file may need: 64 instances with full lists, twice over.  The library does not survive a failed allocation (it
 * crashes in its own clean-up, or exits), so there must be room before it begins. */
#define ROOM_BYTES (16U << 20)

/* libconfuse's error function takes no argument of ours, and its lexer is one for the whole process anyway. */
static struct conf_loading *loading;

/* --- values ------------------------------------------------------------------------------------------------------------------- */

static int word_take(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct conf_word *w;
	size_t n = strlen(value) + 1;
	unsigned nth = cfg_opt_size(opt);

	/* def.number is ours: a pointer has no default */
	if (opt->def.number && nth == 1) {
		conf_error(loading, loading->file, (unsigned)cfg->line, "\"%s\" is given twice; it stands in line %ld already",
			   opt->name, opt->def.number);
		return -1;
	}
	if (nth > MANY_WORDS) {
		conf_error(loading, loading->file, (unsigned)cfg->line, "\"%s\" has more than %d values; take some out", opt->name,
			   MANY_WORDS);
		return -1;
	}
	w = malloc(sizeof(*w) + n);
	if (!w)
		return -1;
	if (!opt->def.number)
		opt->def.number = cfg->line;
	w->line = (unsigned)cfg->line;
	memcpy(w->text, value, n);
	*(void **)result = w;
	return 0;
}

/* --- the library's tables, made of keywords.def --------------------------------------------------------------------------------- */

#define OPTIONS (CONF_KW_COUNT + CONF_IN_COUNT + 2) /* more than any one section has, its end included */

static cfg_opt_t nothing[] = {CFG_END()};

/* The options of `section` into options[section], those of its subsections into theirs. */
static cfg_opt_t *options_make(cfg_opt_t options[][OPTIONS], enum conf_section section, bool main_file)
{
	cfg_opt_t *to = options[section];
	const bool all = section != CONF_IN_TOP || main_file;

	for (unsigned i = 0; i < CONF_KW_COUNT; i++) {
		const struct conf_keyword *k = conf_keyword(i);

		if (k->section == section && all && k->kind >= CONF_KIND_LISTEN)
			*to++ = (cfg_opt_t)CFG_PTR_LIST_CB(k->word, NULL, CFGF_NODEFAULT, word_take, free);
		else if (k->section == section && all)
			*to++ = (cfg_opt_t)CFG_PTR_CB(k->word, NULL, CFGF_NODEFAULT, word_take, free);
	}
	for (unsigned s = CONF_IN_TOP + 1; s < CONF_IN_COUNT; s++) {
		if (conf_section_parent(s) != section || (!all && s != CONF_IN_INSTANCE))
			continue;
		*to++ = (cfg_opt_t)CFG_SEC(conf_section_word(s), options_make(options, s, main_file),
					   conf_section_titled(s) ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES : CFGF_NONE);
	}
	if (conf_section_titled(section))
		*to++ = (cfg_opt_t)CFG_SEC(BEGIN, nothing, CFGF_NONE);
	*to = (cfg_opt_t)CFG_END();
	return options[section];
}

static unsigned section_line(cfg_t *titled)
{
	return (unsigned)cfg_getsec(titled, BEGIN)->line;
}

/* --- what the library says, in our words -------------------------------------------------------------------------------------------- */

static const struct {
	const char *theirs;
	const char *before; /* of the word they quote */
	const char *after;
} SENTENCES[] = {
	{"missing equal sign after option '%s'", "\"", "\" wants = and a value after it"},
	{"attempt to append to non-list option '%s'", "\"", "\" takes one value; write = instead of +="},
	{"unexpected token '%s'", "\"",
	 "\" is not expected here; a statement is NAME = VALUE, NAME = {VALUE, VALUE} or NAME { … }"},
	{"missing opening brace for section '%s'", "\"", "\" is a section; write { after it, without = or more words"},
	{"missing title for section '%s'", "\"", "\" wants a name after it; write instance \"NAME\" {"},
};

static void unknown_tell(cfg_t *cfg, const char *word, bool main_file)
{
	enum conf_section section = CONF_IN_TOP;
	char hint[256];

	for (unsigned s = CONF_IN_TOP + 1; s < CONF_IN_COUNT; s++)
		if (strcmp(conf_section_word(s), cfg->name) == 0)
			section = s;
	if (section == CONF_IN_TOP && !main_file) {
		conf_error(loading, loading->file, (unsigned)cfg->line,
			   "\"%.60s\" does not belong here: files in instances.d hold only instance \"NAME\" { … }", word);
		return;
	}
	conf_keyword_suggest(section, word, hint, sizeof(hint));
	conf_error(loading, loading->file, (unsigned)cfg->line, "there is no keyword \"%.60s\"%s%s; %s", word,
		   section == CONF_IN_TOP ? " outside of the sections" : " in ", conf_section_word(section), hint);
}

static void duplicate_tell(cfg_t *cfg, const char *title)
{
	cfg_t *first = cfg_gettsec(cfg, conf_section_word(CONF_IN_INSTANCE), title);

	conf_error(loading, loading->file, (unsigned)cfg->line,
		   "there is an instance \"%.63s\" in line %u already; give this one another name", title,
		   first ? section_line(first) : 0);
}

static void theirs_tell(cfg_t *cfg, const char *fmt, va_list ap)
{
	const unsigned line = (unsigned)cfg->line;

	for (size_t i = 0; i < ARRAY_SIZE(SENTENCES); i++)
		if (strcmp(fmt, SENTENCES[i].theirs) == 0) {
			conf_error(loading, loading->file, line, "%s%.60s%s", SENTENCES[i].before, va_arg(ap, const char *),
				   SENTENCES[i].after);
			return;
		}
	conf_error(loading, loading->file, line, "the statement here cannot be read; libconfuse says: %s", fmt);
}

static void error_tell(cfg_t *cfg, const char *fmt, va_list ap)
{
	if (strcmp(fmt, "no such option '%s'") == 0 || strncmp(fmt, "no sub-section ", 15) == 0)
		unknown_tell(cfg, va_arg(ap, const char *), loading->file == 0);
	else if (strcmp(fmt, "found duplicate title '%s'") == 0)
		duplicate_tell(cfg, va_arg(ap, const char *));
	else if (strcmp(fmt, "premature end of file") == 0)
		conf_error(loading, loading->file, (unsigned)cfg->line,
			   "the file ends in the middle of a statement; write its value");
	else
		theirs_tell(cfg, fmt, ap);
}

/* --- from the library's tree to the facts --------------------------------------------------------------------------------------- */

/* "word = {}" leaves only a mark. */
static void empty_tell(cfg_t *cfg, const cfg_opt_t *opt)
{
	if ((opt->flags & CFGF_MODIFIED) && !loading->cut)
		conf_error(loading, loading->file, cfg->title ? section_line(cfg) : 0,
			   "the list \"%s\" is empty; write a value or take it out", opt->name);
}

static void keyword_walk(cfg_t *cfg, enum conf_keyword_id id, void *target, struct conf_lines *lines)
{
	cfg_opt_t *opt = cfg_getopt(cfg, conf_keyword(id)->word);
	const struct conf_word *words[MANY_WORDS];
	unsigned n = 0;

	for (unsigned i = 0; opt && i < cfg_opt_size(opt) && n < MANY_WORDS; i++) {
		words[n] = cfg_opt_getnptr(opt, i);
		if (words[n])
			n++;
	}
	if (!n) {
		empty_tell(cfg, opt);
		return;
	}
	lines->at[id] = words[0]->line;
	conf_take(loading, id, target, words, n);
}

static void section_walk(cfg_t *cfg, enum conf_section section, void *target, struct conf_lines *lines)
{
	for (unsigned i = 0; i < CONF_KW_COUNT; i++)
		if (conf_keyword(i)->section == section)
			keyword_walk(cfg, i, target, lines);
	for (unsigned s = CONF_IN_TOP + 1; s < CONF_IN_COUNT; s++)
		if (conf_section_parent(s) == section && !conf_section_titled(s))
			section_walk(cfg_getsec(cfg, conf_section_word(s)), s, target, lines);
}

static void instances_walk(cfg_t *cfg)
{
	cfg_opt_t *opt = cfg_getopt(cfg, conf_section_word(CONF_IN_INSTANCE));

	for (unsigned i = 0; i < cfg_opt_size(opt) && i < CONF_INSTANCES; i++) {
		cfg_t *sec = cfg_opt_getnsec(opt, i);
		struct conf_instance *inst = sec ? conf_instance_add(loading, cfg_title(sec), section_line(sec)) : NULL;

		if (!inst)
			return;
		section_walk(sec, CONF_IN_INSTANCE, inst, &loading->instance_lines[loading->whole->conf.n_instances - 1]);
	}
}

/* The library would go on to make sections, and compare every title with all before it, for as long as the file lasts. */
static int instances_count(cfg_t *cfg, cfg_opt_t *opt)
{
	if (cfg_opt_size(opt) <= CONF_INSTANCES)
		return 0;
	conf_error(loading, loading->file, (unsigned)cfg->line, "there are more than %d instances; take some out", CONF_INSTANCES);
	return -1;
}

static bool room_there(void)
{
	void *volatile room = malloc(ROOM_BYTES); /* volatile, or the compiler takes the pair out */

	free(room);
	return room != NULL;
}

static bool text_parse(cfg_t *cfg, const char *text, size_t n)
{
	/* the library reads FILEs only; it does not write to the bytes */
	FILE *f = fmemopen((void *)(uintptr_t)text, n, "r");
	bool ok;

	if (!f)
		return false;
	ok = cfg_parse_fp(cfg, f) == CFG_SUCCESS;
	fclose(f);
	return ok;
}

void conf_parse(struct conf_loading *l, const char *text, size_t n, bool main_file)
{
	static cfg_opt_t options[CONF_IN_COUNT][OPTIONS];
	const unsigned errors = l->report->errors;
	cfg_t *cfg;

	if (n == 0)
		return;
	loading = l;
	cfg = room_there() ? cfg_init(options_make(options, CONF_IN_TOP, main_file), CFGF_NONE) : NULL;
	if (!cfg) {
		l->cut = true;
		conf_error(l, l->file, 0, "there is no memory to read it");
		return;
	}
	cfg_set_error_function(cfg, error_tell);
	cfg_set_validate_func(cfg, conf_section_word(CONF_IN_INSTANCE), instances_count);
	if (!text_parse(cfg, text, n)) {
		l->cut = true;
		if (l->report->errors == errors)
			conf_error(l, l->file, (unsigned)cfg->line,
				   "the statement that begins here cannot be read; it lacks a name or memory");
	}
	if (main_file)
		section_walk(cfg, CONF_IN_TOP, &l->whole->conf, &l->lines);
	instances_walk(cfg);
	cfg_free(cfg);
	loading = NULL;
}
