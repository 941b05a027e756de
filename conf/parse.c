/* The grammar of tsa.conf(5), by recursive descent: no deeper than keywords.def nests sections.
 *
 * Each value goes to conf_take() as soon as it is read.  After a fault the next statement is looked for, so that one run tells all
 * that is wrong with a file. */
#include <stdio.h>
#include <string.h>

#include "conf/loading.h"

#define NOBODY CONF_KW_COUNT /* wants these values: they are read over */

struct parse {
	struct conf_loading *l;
	bool main_file;
	struct conf_lexer lexer;
	struct conf_token tok; /* the one to decide about */
};

/* A section that is open. */
struct scope {
	enum conf_section section;
	struct conf_place at;     /* of its word */
	void *target;             /* struct conf, conf_instance or conf_rule */
	struct conf_given *given; /* by keyword */
};

/* The word that a statement begins with; cut when it is longer than any that has a meaning. */
struct name {
	struct conf_place at;
	char text[64];
};

static void statements(struct parse *p, const struct scope *in);

/* --- tokens ------------------------------------------------------------------------------------------------------------------ */

/* Something here could not be read, so what seems to be missing elsewhere proves nothing. */
#define fault(p, at, ...) (conf_error((p)->l, at, __VA_ARGS__), (p)->l->cut = true)

static void next(struct parse *p)
{
	conf_lexer_next(&p->lexer, &p->tok);
}

static enum conf_token_kind after_next(const struct parse *p)
{
	struct conf_lexer copy = p->lexer;
	struct conf_token tok;

	conf_lexer_next(&copy, &tok);
	return tok.kind;
}

static bool at_text(const struct parse *p)
{
	return p->tok.kind == CONF_TOKEN_WORD || p->tok.kind == CONF_TOKEN_STRING;
}

static bool known(enum conf_section section, const char *word)
{
	return conf_keyword_find(section, word) != CONF_KW_COUNT || conf_section_find(section, word) != CONF_IN_NONE;
}

/* A section of the top, no further right than the one it would stand in: the } before it was forgotten. */
static bool at_outer_section(const struct parse *p, const struct scope *in)
{
	return in->section != CONF_IN_TOP && p->tok.kind == CONF_TOKEN_WORD && p->tok.first && p->tok.at.column <= in->at.column &&
	       conf_section_find(CONF_IN_TOP, p->tok.text) != CONF_IN_NONE;
}

/* A word where a value may stand may be the next statement instead, when what is before it lacks its end. */
static bool at_statement(const struct parse *p, const struct scope *in)
{
	enum conf_token_kind after;

	if (at_outer_section(p, in))
		return true;
	if (p->tok.kind != CONF_TOKEN_WORD || !known(in->section, p->tok.text))
		return false;
	after = after_next(p);
	if (conf_section_titled(conf_section_find(in->section, p->tok.text)))
		return after == CONF_TOKEN_WORD || after == CONF_TOKEN_STRING;
	return after == CONF_TOKEN_EQUAL || after == CONF_TOKEN_APPEND || after == CONF_TOKEN_OPEN;
}

/* --- recovery ---------------------------------------------------------------------------------------------------------------- */

static void unclosed_tell(struct parse *p, struct conf_place open)
{
	if (p->tok.kind == CONF_TOKEN_END)
		fault(p, open, "the { here is never closed; write } where the section or list ends");
	else
		fault(p, open, "the { here is not closed; write } before \"%.60s\" in line %u", p->tok.text, p->tok.at.line);
}

/* From a { to behind its }. */
static void braces_skip(struct parse *p)
{
	const struct conf_place open = p->tok.at;
	size_t depth = 0;

	do {
		if (p->tok.kind == CONF_TOKEN_BAD)
			fault(p, p->tok.at, "%s", p->tok.text);
		depth += p->tok.kind == CONF_TOKEN_OPEN;
		depth -= p->tok.kind == CONF_TOKEN_CLOSE;
		next(p);
	} while (depth && p->tok.kind != CONF_TOKEN_END);
	if (depth)
		unclosed_tell(p, open);
}

/* To what looks like the next statement of this section, or to its end. */
static void statement_seek(struct parse *p, const struct scope *in)
{
	while (p->tok.kind != CONF_TOKEN_END && p->tok.kind != CONF_TOKEN_CLOSE) {
		if (p->tok.kind == CONF_TOKEN_WORD && (p->tok.first || known(in->section, p->tok.text)))
			return;
		if (p->tok.kind == CONF_TOKEN_OPEN)
			braces_skip(p);
		else
			next(p);
	}
}

/* To the end of a list, or to what looks like the statement after it. */
static void list_seek(struct parse *p, const struct scope *in)
{
	while (p->tok.kind != CONF_TOKEN_END && p->tok.kind != CONF_TOKEN_CLOSE && !at_statement(p, in)) {
		if (p->tok.kind == CONF_TOKEN_OPEN)
			braces_skip(p);
		else
			next(p);
	}
}

/* --- values ------------------------------------------------------------------------------------------------------------------ */

static void value_read(struct parse *p, const struct scope *in, enum conf_keyword_id id)
{
	if (p->tok.kind == CONF_TOKEN_BAD)
		fault(p, p->tok.at, "%s", p->tok.text);
	else if (id != NOBODY)
		conf_take(p->l, id, in->target, &in->given[id], p->tok.at, p->tok.text);
	next(p);
}

/* After the {.  A comma may stand behind the last value, too. */
static void list_read(struct parse *p, const struct scope *in, enum conf_keyword_id id, const struct name *name,
		      struct conf_place open)
{
	bool comma = true; /* or the {: a value is due */

	if (p->tok.kind == CONF_TOKEN_CLOSE)
		fault(p, name->at, "the list \"%.60s\" is empty; write a value or take it out", name->text);
	while (p->tok.kind != CONF_TOKEN_CLOSE) {
		if (p->tok.kind == CONF_TOKEN_END || at_statement(p, in)) {
			unclosed_tell(p, open);
			return;
		}
		if (p->tok.kind == CONF_TOKEN_COMMA && !comma) {
			comma = true;
			next(p);
		} else if ((at_text(p) && after_next(p) != CONF_TOKEN_EQUAL) || p->tok.kind == CONF_TOKEN_BAD) {
			if (!comma)
				fault(p, p->tok.at, "there is no comma before this value; write one");
			value_read(p, in, id);
			comma = false;
		} else {
			fault(p, p->tok.at,
			      "the list cannot be understood from \"%.60s\" on; write {VALUE, VALUE}, and a value with one of "
			      "{ } = , between quotes",
			      p->tok.text);
			list_seek(p, in);
		}
	}
	next(p);
}

/* After the =. */
static void values_read(struct parse *p, const struct scope *in, enum conf_keyword_id id, const struct name *name)
{
	const struct conf_place open = p->tok.at;

	if (p->tok.kind == CONF_TOKEN_OPEN && (id == NOBODY || conf_keyword_list(id))) {
		next(p);
		list_read(p, in, id, name, open);
	} else if (p->tok.kind == CONF_TOKEN_OPEN) {
		fault(p, open, "\"%s\" takes one value; write it without braces", name->text);
		braces_skip(p);
	} else if ((at_text(p) && !at_statement(p, in)) || p->tok.kind == CONF_TOKEN_BAD) {
		value_read(p, in, id);
	} else {
		fault(p, name->at, "\"%.60s\" has no value; write one after its =", name->text);
		statement_seek(p, in);
	}
}

/* --- statements -------------------------------------------------------------------------------------------------------------- */

static void assignment_read(struct parse *p, const struct scope *in, enum conf_keyword_id id, const struct name *name)
{
	struct conf_given *given = &in->given[id];
	const bool append = p->tok.kind == CONF_TOKEN_APPEND;

	if (!append && p->tok.kind != CONF_TOKEN_EQUAL) {
		fault(p, name->at, "\"%s\" wants = and a value after it", name->text);
		statement_seek(p, in);
		return;
	}
	if (append && !conf_keyword_list(id)) {
		fault(p, p->tok.at, "\"%s\" takes one value; write = instead of +=", name->text);
		id = NOBODY;
	} else if (!append && given->at.line) {
		fault(p, name->at, "\"%s\" is given twice; it stands in line %u already", name->text, given->at.line);
		id = NOBODY;
	} else if (!given->at.line) {
		given->at = name->at;
	}
	next(p);
	values_read(p, in, id, name);
}

/* From the { to behind the }. */
static void section_body_read(struct parse *p, const struct scope *in)
{
	const struct conf_place open = p->tok.at;

	next(p);
	statements(p, in);
	if (p->tok.kind == CONF_TOKEN_CLOSE)
		next(p);
	else
		unclosed_tell(p, open);
}

/* A new instance or model, as what stands inside it sees it; no target: there are too many (told). */
static void titled_begin(struct parse *p, struct scope *inner)
{
	const struct conf *c = &p->l->whole->conf;

	inner->target = NULL;
	if (inner->section == CONF_IN_MODEL) {
		struct conf_rule *rule = conf_rule_add(p->l, inner->at);

		inner->target = rule;
		inner->given = rule ? p->l->rule_given[rule - c->rules] : NULL;
	} else {
		struct conf_instance *inst = conf_instance_add(p->l, inner->at);

		inner->target = inst;
		inner->given = inst ? p->l->instance_given[inst - c->instances] : NULL;
	}
}

static void title_take(struct parse *p, const struct scope *inner)
{
	if (inner->section == CONF_IN_MODEL)
		conf_rule_name(p->l, inner->target, p->tok.at, p->tok.text);
	else
		conf_instance_name(p->l, inner->target, p->tok.at, p->tok.text);
}

static void section_read(struct parse *p, const struct scope *in, enum conf_section section, const struct name *name)
{
	struct scope inner = {.section = section, .at = name->at, .target = in->target, .given = in->given};
	const bool titled = conf_section_titled(section);

	if (titled)
		titled_begin(p, &inner);
	if (titled && at_text(p)) {
		if (inner.target)
			title_take(p, &inner);
		next(p);
	} else if (titled) {
		fault(p, name->at, "\"%s\" wants a name after it; write %s \"NAME\" {", name->text, name->text);
	}
	if (p->tok.kind != CONF_TOKEN_OPEN) {
		fault(p, p->tok.at, "the section \"%s\" wants { here, without = or more words", name->text);
		if (p->tok.kind != CONF_TOKEN_CLOSE && after_next(p) == CONF_TOKEN_OPEN)
			next(p);
	}
	if (p->tok.kind != CONF_TOKEN_OPEN)
		statement_seek(p, in);
	else if (inner.target)
		section_body_read(p, &inner);
	else
		braces_skip(p);
}

static void unknown_tell(struct parse *p, const struct scope *in, const struct name *name)
{
	char hint[256];

	if (in->section == CONF_IN_TOP && !p->main_file) {
		fault(p, name->at, "\"%.60s\" does not belong here: files in instances.d hold only instance \"NAME\" { … }",
		      name->text);
		return;
	}
	conf_keyword_suggest(in->section, name->text, hint, sizeof(hint));
	fault(p, name->at, "there is no keyword \"%.60s\"%s%s; %s", name->text,
	      in->section == CONF_IN_TOP ? " outside of the sections" : " in ", conf_section_word(in->section), hint);
}

/* Read over name = value, name { … } or name "title" { … }. */
static void unknown_read(struct parse *p, const struct scope *in, const struct name *name)
{
	unknown_tell(p, in, name);
	if (p->tok.kind == CONF_TOKEN_EQUAL || p->tok.kind == CONF_TOKEN_APPEND) {
		next(p);
		values_read(p, in, NOBODY, name);
		return;
	}
	if (at_text(p) && after_next(p) == CONF_TOKEN_OPEN && !at_statement(p, in))
		next(p);
	if (p->tok.kind == CONF_TOKEN_OPEN)
		braces_skip(p);
	else
		statement_seek(p, in);
}

static void statement_read(struct parse *p, const struct scope *in)
{
	const bool all = p->main_file || in->section != CONF_IN_TOP;
	enum conf_keyword_id id = conf_keyword_find(in->section, p->tok.text);
	enum conf_section section = conf_section_find(in->section, p->tok.text);
	struct name name = {.at = p->tok.at};

	snprintf(name.text, sizeof(name.text), "%.63s", p->tok.text);
	next(p);
	if (all && id != CONF_KW_COUNT)
		assignment_read(p, in, id, &name);
	else if (section != CONF_IN_NONE && (all || section == CONF_IN_INSTANCE))
		section_read(p, in, section, &name);
	else
		unknown_read(p, in, &name);
}

/* To the }, or to where it should be. */
static void statements(struct parse *p, const struct scope *in)
{
	while (p->tok.kind != CONF_TOKEN_END && p->tok.kind != CONF_TOKEN_CLOSE && !at_outer_section(p, in)) {
		if (at_text(p)) {
			statement_read(p, in);
			continue;
		}
		if (p->tok.kind == CONF_TOKEN_BAD)
			fault(p, p->tok.at, "%s", p->tok.text);
		else
			fault(p, p->tok.at,
			      "\"%s\" is not expected here; a statement is NAME = VALUE, NAME = {VALUE, VALUE} or NAME { … }",
			      p->tok.text);
		statement_seek(p, in);
	}
}

void conf_parse(struct conf_loading *l, unsigned file, const char *text, size_t n)
{
	const struct scope top = {.section = CONF_IN_TOP, .target = &l->whole->conf, .given = l->given};
	struct parse p = {.l = l, .main_file = file == 0};
	struct why why = {""};

	if (conf_lexer_init(&p.lexer, file, text, n, &why) < 0) {
		fault(&p, p.lexer.at, "%s", why.text);
		return;
	}
	for (next(&p); p.tok.kind != CONF_TOKEN_END;) {
		statements(&p, &top);
		if (p.tok.kind == CONF_TOKEN_CLOSE) {
			fault(&p, p.tok.at, "there is a } too many here; take it out");
			next(&p);
		}
	}
	explicit_bzero(&p, sizeof(p)); /* a value may be a secret */
}
