#include "conf/facts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scan.h"
#include "conf/loading.h"
#include "conf/registry.h"

const char *const conf_agent_words[3] = {"inference", "tool", "orchestrator"};

/* --- messages ------------------------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 6, 0))) static void say(struct conf_facts *f, bool error, uint32_t line, uint32_t column,
						      const char *path, const char *fmt, va_list ap)
{
	struct conf_report *r = f->report;
	const size_t size = sizeof(r->text[0]);
	size_t n;

	r->errors += error;
	if (r->n == CONF_MESSAGES) {
		r->more++;
		return;
	}
	if (line)
		n = (size_t)snprintf(r->text[r->n], size, "%.120s:%u:%u: ", f->name, line, column);
	else
		n = (size_t)snprintf(r->text[r->n], size, "%.120s: ", f->name);
	n += (size_t)snprintf(r->text[r->n] + n, size - n, "%s%s%s", error ? "" : "warning: ", path, *path ? ": " : "");
	vsnprintf(r->text[r->n++] + n, size - n, fmt, ap);
}

void conf_facts_warn(struct conf_facts *f, const struct conf_json_value *v, const char *fmt, ...)
{
	char path[96];
	va_list ap;

	va_start(ap, fmt);
	say(f, false, v->line, v->column, conf_json_path(&f->json, v, path, sizeof(path)), fmt, ap);
	va_end(ap);
}

int conf_facts_fail(struct conf_facts *f, const struct conf_json_value *v, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(f, true, v ? v->line : 0, v ? v->column : 0, "", fmt, ap);
	va_end(ap);
	return err;
}

__attribute__((format(printf, 3, 4))) static void fault_say(struct conf_facts *f, const struct conf_json_fault *fault,
							    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(f, true, fault->line, fault->column, "", fmt, ap);
	va_end(ap);
}

/* --- the file -------------------------------------------------------------------------------------------------------------------- */

int conf_facts_parse(struct conf_facts *f, const char *name, const char *text, size_t n, struct conf_report *report)
{
	struct conf_json_fault fault;
	int rc;

	memset(report, 0, sizeof(*report));
	*f = (struct conf_facts){.name = name, .report = report};
	rc = conf_json_parse(text, n, &f->json, &fault);
	if (rc < 0) {
		fault_say(f, &fault, "%s%s", rc == -EINVAL ? "this is no JSON: " : "", fault.why.text);
		return rc;
	}
	if (f->json.at[0].kind != CONF_JSON_OBJECT) {
		rc = conf_facts_fail(f, &f->json.at[0], -EINVAL, "the file holds %s; it should be an object: { … }",
				     conf_json_kind_text(f->json.at[0].kind));
		conf_json_fini(&f->json);
	}
	return rc;
}

int conf_facts_load(struct conf_facts *f, const char *path, struct conf_report *report)
{
	struct why why = {""};
	bool open_file;
	char *text;
	size_t n;
	int rc = conf_bytes_read(path, CONF_FACTS_BYTES, &text, &n, &open_file, &why);

	if (rc < 0) {
		memset(report, 0, sizeof(*report));
		*f = (struct conf_facts){.name = path, .report = report};
		return conf_facts_fail(f, NULL, rc, "%s%s", why.text,
				       rc == -ENOENT ? "; correct its path in the section routing of tsa.conf, or take it out" : "");
	}
	rc = conf_facts_parse(f, path, text, n, report);
	free(text);
	return rc;
}

/* --- members ------------------------------------------------------------------------------------------------------------------- */

const struct conf_json_value *conf_facts_get(struct conf_facts *f, const struct conf_json_value *v, const char *key,
					     enum conf_json_kind kind)
{
	const struct conf_json_value *m = conf_json_get(&f->json, v, key);

	if (!m || m->kind == CONF_JSON_NULL || m->kind == kind)
		return m && m->kind == kind ? m : NULL;
	conf_facts_warn(f, m, "this is %s and should be %s; it is not used", conf_json_kind_text(m->kind),
			conf_json_kind_text(kind));
	return NULL;
}

unsigned conf_facts_names(struct conf_facts *f, const struct conf_json_value *v, const char *key, conf_facts_ok *ok, char *list,
			  unsigned room, size_t size)
{
	const struct conf_json_value *array = conf_facts_get(f, v, key, CONF_JSON_ARRAY);
	unsigned n = 0, i;

	for (const struct conf_json_value *e = conf_json_first(&f->json, array); e; e = conf_json_next(&f->json, e)) {
		if (e->kind != CONF_JSON_STRING || !ok(e->text, size)) {
			conf_facts_warn(f, e, "%s%.60s%s is no name; it is not used", e->kind == CONF_JSON_STRING ? "\"" : "",
					e->kind == CONF_JSON_STRING ? e->text : conf_json_kind_text(e->kind),
					e->kind == CONF_JSON_STRING ? "\"" : "");
			continue;
		}
		for (i = 0; i < n && strcmp(list + i * size, e->text) != 0; i++)
			;
		if (i < n)
			conf_facts_warn(f, e, "\"%.60s\" is named twice; take one out", e->text);
		else if (n == room)
			conf_facts_warn(f, e, "there may be %u of these; \"%.60s\" is not used", room, e->text);
		else
			snprintf(list + n++ * size, size, "%s", e->text);
	}
	return n;
}

unsigned conf_facts_bits(struct conf_facts *f, const struct conf_json_value *v, const char *key, const char *const *words,
			 unsigned n)
{
	const struct conf_json_value *array = conf_facts_get(f, v, key, CONF_JSON_ARRAY);
	unsigned bits = 0, i;

	for (const struct conf_json_value *e = conf_json_first(&f->json, array); e; e = conf_json_next(&f->json, e)) {
		for (i = 0; i < n && (e->kind != CONF_JSON_STRING || strcmp(words[i], e->text) != 0); i++)
			;
		if (i < n)
			bits |= 1U << i;
		else
			conf_facts_warn(f, e, "\"%.40s\" is not one of %s, %s …; it is not used", e->text, words[0], words[1]);
	}
	return bits;
}

bool conf_facts_model_ok(const char *text, size_t size)
{
	const size_t n = strlen(text);

	return n > 0 && n < size && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@+-") == n;
}

bool conf_facts_category_ok(const char *text, size_t size)
{
	return scan_name_ok(text, (unsigned)size - 1);
}

bool conf_facts_benchmark_ok(const char *text, size_t size)
{
	const size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if (text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return n > 0 && n < size;
}
