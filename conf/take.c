/* One function for each kind of value: from the word in the file to the member of the configuration. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/scan.h"
#include "conf/loading.h"

#define URL_PORT 11434 /* Ollama's own default */

/* `member` is k's member in `target`.  Lists are called once for every word, in order. */
typedef int take_fn(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why);

static const char *size_text(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	unsigned u = 0;

	while (u + 1 < ARRAY_SIZE(units) && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		u++;
	}
	snprintf(buf, size, "%llu%s", (unsigned long long)bytes, units[u]);
	return buf;
}

static int take_number(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	uint64_t v;

	(void)target;
	if (scan_u64(text, k->least, k->most, &v, why) < 0)
		return -EINVAL;
	*(unsigned *)member = (unsigned)v;
	return 0;
}

static int take_auto(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	if (strcmp(text, "auto") == 0) {
		*(unsigned *)member = 0;
		return 0;
	}
	if (take_number(k, target, member, text, NULL) == 0)
		return 0;
	return why_set(why, -EINVAL, "\"%.40s\" is neither auto nor a whole number from %llu to %llu", text,
		       (unsigned long long)k->least, (unsigned long long)k->most);
}

static int take_time(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	char least[24], most[24];
	uint64_t ns;

	(void)target;
	if (scan_duration_ns(text, &ns, why) < 0)
		return -EINVAL;
	if (ns < k->least || ns > k->most)
		return why_set(why, -EINVAL, "%.40s is out of range; write from %s to %s", text,
			       scan_duration_text(k->least, least, sizeof(least)), scan_duration_text(k->most, most, sizeof(most)));
	*(uint64_t *)member = ns;
	return 0;
}

static int take_size(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	char least[24], most[24];
	uint64_t bytes;

	(void)target;
	if (scan_size_bytes(text, &bytes, why) < 0)
		return -EINVAL;
	if (bytes < k->least || bytes > k->most)
		return why_set(why, -EINVAL, "%.40s is out of range; write from %s to %s", text,
			       size_text(k->least, least, sizeof(least)), size_text(k->most, most, sizeof(most)));
	*(uint64_t *)member = bytes;
	return 0;
}

static int take_choice(const char *yes, const char *no, bool *member, const char *text, struct why *why)
{
	if (strcmp(text, yes) != 0 && strcmp(text, no) != 0)
		return why_set(why, -EINVAL, "\"%.40s\" is neither %s nor %s", text, yes, no);
	*member = strcmp(text, yes) == 0;
	return 0;
}

static int take_yes(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)k, (void)target;
	return take_choice("yes", "no", member, text, why);
}

static int take_allow(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)k, (void)target;
	return take_choice("allow", "deny", member, text, why);
}

/* `text` is known to be shorter than the member. */
static int text_put(const struct conf_keyword *k, void *member, const char *text)
{
	snprintf(member, k->size, "%s", text);
	return 0;
}

static int take_level(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	enum log_level level;

	(void)target;
	if (!log_level_parse(text, &level))
		return why_set(why, -EINVAL, "\"%.40s\" is no level; write err, warning, notice, info or debug", text);
	return text_put(k, member, text);
}

static int take_account(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)target;
	if ((text[0] >= '0' && text[0] <= '9') || !scan_name_ok(text[0] == '_' ? text + 1 : text, (unsigned)k->size - 2))
		return why_set(why, -EINVAL,
			       "\"%.40s\" is not a name of /etc/passwd or /etc/group; write a name such as tsa, not a number",
			       text);
	return text_put(k, member, text);
}

static int take_path(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)target;
	if (text[0] != '/')
		return why_set(why, -EINVAL, "\"%.60s\" is not an absolute path; begin it with /", text);
	if (strlen(text) > CONF_PATH_MOST)
		return why_set(why, -EINVAL,
			       "\"%.40s…\" is longer than %d bytes, too long for the control socket in it; choose a shorter path",
			       text, CONF_PATH_MOST);
	return text_put(k, member, text);
}

int conf_model_check(const char *text, struct why *why)
{
	size_t n = strlen(text);

	if (n == 0 || n > 127 || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@-") != n)
		return why_set(why, -EINVAL,
			       "\"%.60s\" is not a model name; write it as `ollama list` shows it, for example \"llama3.2:3b\"",
			       text);
	if (strcmp(text, "auto") == 0)
		return why_set(why, -EINVAL, "\"auto\" is what clients write to let tsa choose; write the name of a model");
	return 0;
}

static int take_model(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)target;
	return conf_model_check(text, why) < 0 ? -EINVAL : text_put(k, member, text);
}

int conf_list_add(char *list, unsigned *n, size_t size, const char *text, struct why *why)
{
	for (unsigned i = 0; i < *n; i++)
		if (strcmp(list + i * size, text) == 0)
			return why_set(why, -EINVAL, "\"%.60s\" is named twice; take one out", text);
	snprintf(list + (*n)++ * size, size, "%s", text);
	return 0;
}

static int take_models(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	struct conf_instance *inst = target;

	(void)k, (void)member;
	if (conf_model_check(text, why) < 0)
		return -EINVAL;
	return conf_list_add((char *)inst->models, &inst->n_models, sizeof(inst->models[0]), text, why);
}

static int take_tags(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	struct conf_instance *inst = target;

	(void)k, (void)member;
	if (!scan_name_ok(text, sizeof(inst->tags[0]) - 1))
		return why_set(why, -EINVAL, "\"%.40s\" is not a tag; write up to %zu letters, digits, - _ and .", text,
			       sizeof(inst->tags[0]) - 1);
	return conf_list_add((char *)inst->tags, &inst->n_tags, sizeof(inst->tags[0]), text, why);
}

static int take_listen(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	struct conf *c = target;

	(void)k, (void)member;
	if (conf_addr_parse(text, 0, &c->listen[c->n_listen], why) < 0)
		return -EINVAL;
	c->n_listen++;
	return 0;
}

static int take_address(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)k, (void)target;
	return conf_addr_parse(text, 0, member, why);
}

static int take_url(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	struct conf_instance *inst = target;

	(void)k;
	inst->adopted = true;
	return conf_addr_parse(text, URL_PORT, member, why);
}

static int take_cpus(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)k, (void)target;
	return conf_cpuset_parse(text, member, why);
}

static int take_command(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	struct conf_instance *inst = target;
	size_t size = strlen(text) + 1;
	char *argv;

	(void)k, (void)member;
	if (!*text)
		return why_set(why, -EINVAL, "a word of the command is empty; take it out");
	if (inst->argv_len + size > CONF_ARGV_BYTES)
		return why_set(why, -E2BIG, "the command is longer than %d bytes; shorten it", CONF_ARGV_BYTES);
	argv = realloc(inst->argv, inst->argv_len + size);
	if (!argv)
		return why_set(why, -ENOMEM, "there is no memory for the command");
	memcpy(argv + inst->argv_len, text, size);
	inst->argv = argv;
	inst->argv_len += size;
	return 0;
}

static int take_environment(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)k, (void)member;
	return conf_environment_add(target, text, why);
}

static int take_envfile(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)k, (void)member;
	if (text[0] != '/')
		return why_set(why, -EINVAL, "\"%.60s\" is not an absolute path; begin it with /", text);
	return conf_environment_file(target, text, why);
}

static take_fn *const TAKE[CONF_KIND_COUNT] = {
	[CONF_KIND_NUMBER] = take_number,
	[CONF_KIND_AUTO] = take_auto,
	[CONF_KIND_TIME] = take_time,
	[CONF_KIND_SIZE] = take_size,
	[CONF_KIND_YES] = take_yes,
	[CONF_KIND_ALLOW] = take_allow,
	[CONF_KIND_LEVEL] = take_level,
	[CONF_KIND_ACCOUNT] = take_account,
	[CONF_KIND_PATH] = take_path,
	[CONF_KIND_MODEL] = take_model,
	[CONF_KIND_ADDRESS] = take_address,
	[CONF_KIND_URL] = take_url,
	[CONF_KIND_CPUS] = take_cpus,
	[CONF_KIND_ENVFILE] = take_envfile,
	[CONF_KIND_LISTEN] = take_listen,
	[CONF_KIND_COMMAND] = take_command,
	[CONF_KIND_MODELS] = take_models,
	[CONF_KIND_TAGS] = take_tags,
	[CONF_KIND_ENVIRONMENT] = take_environment,
	[CONF_KIND_CATEGORIES] = conf_take_categories,
	[CONF_KIND_WEIGHTED] = conf_take_weighted,
	[CONF_KIND_HEADERS] = conf_take_headers,
	[CONF_KIND_HOOK] = conf_take_hook,
	[CONF_KIND_FILE] = conf_take_file,
	[CONF_KIND_FACTOR] = conf_take_factor,
	[CONF_KIND_SHARE] = conf_take_share,
	[CONF_KIND_AUTOTIME] = conf_take_autotime,
	[CONF_KIND_OFFTIME] = conf_take_offtime,
	[CONF_KIND_RELOAD] = conf_take_reload,
	[CONF_KIND_SELECTION] = conf_take_selection,
};

void conf_take(struct conf_loading *l, enum conf_keyword_id id, void *target, struct conf_given *given, struct conf_place at,
	       const char *text)
{
	const struct conf_keyword *k = conf_keyword(id);
	struct why why = {""};
	int rc;

	if (k->kind == CONF_KIND_LISTEN && given->n == 0)
		((struct conf *)target)->n_listen = 0; /* the preset goes */
	if (conf_keyword_list(id) && given->n++ >= k->most) {
		if (given->n == k->most + 1)
			conf_error(l, at, "%s: there may be %llu of these; take some out", k->word, (unsigned long long)k->most);
		return;
	}
	rc = TAKE[k->kind](k, target, (char *)target + k->offset, text, &why);
	if (rc == -ENOMEM)
		l->rc = rc;
	if (rc < 0)
		conf_error(l, at, "%s: %s", k->word, why.text);
	else if (k->kind == CONF_KIND_ENVIRONMENT && l->open_file && conf_environment_secret(text))
		conf_warning(
			l, at,
			"this entry looks like a secret and everybody may read the file: chmod 0640 it, or write environment_file");
}

void conf_preset(enum conf_section section, void *target)
{
	for (unsigned i = 0; i < CONF_KW_COUNT; i++) {
		const struct conf_keyword *k = conf_keyword(i);
		struct why why = {""};

		/* a preset that cannot be read is our own mistake; it shows at the first start of any test */
		if (k->section == section && k->preset)
			BUG_ON(TAKE[k->kind](k, target, (char *)target + k->offset, k->preset, &why) < 0);
	}
}
