/* The environment of a started Ollama: packed NAME=value entries, one NUL after each. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "conf/loading.h"

#define ENVFILE_BYTES (64U << 10)

/* What tsa sets itself, and the keyword that decides it. */
static const struct {
	const char *name;
	const char *keyword;
} OURS[] = {
	{"OLLAMA_HOST", "listen"},
	{"OLLAMA_NUM_PARALLEL", "slots"},
};

/* Parts of names whose values are secrets. */
static const char *const SECRET[] = {"KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"};

static size_t name_length(const char *entry)
{
	size_t n = 0;

	while (entry[n] == '_' || (entry[n] >= 'A' && entry[n] <= 'Z') || (entry[n] >= 'a' && entry[n] <= 'z') ||
	       (n && entry[n] >= '0' && entry[n] <= '9'))
		n++;
	return n && entry[n] == '=' ? n : 0;
}

bool conf_environment_secret(const char *entry)
{
	char name[64];
	size_t n = name_length(entry);

	if (n >= sizeof(name))
		n = sizeof(name) - 1;
	for (size_t i = 0; i < n; i++)
		name[i] = (char)toupper((unsigned char)entry[i]);
	name[n] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(SECRET); i++)
		if (strstr(name, SECRET[i]))
			return true;
	return false;
}

static bool have_name(const struct conf_instance *inst, const char *entry, size_t n)
{
	for (size_t at = 0; at < inst->env_len; at += strlen(inst->env + at) + 1)
		if (strncmp(inst->env + at, entry, n + 1) == 0)
			return true;
	return false;
}

int conf_environment_add(struct conf_instance *inst, const char *entry, struct why *why)
{
	size_t n = name_length(entry), size = strlen(entry) + 1;
	char *env;

	/* the entry itself stays out of the message: it may be a secret */
	if (!n)
		return why_set(why, -EINVAL,
			       "an entry of the environment is not NAME=value; write for example \"OLLAMA_MODELS=/srv/ollama\"");
	for (size_t i = 0; i < ARRAY_SIZE(OURS); i++)
		if (strlen(OURS[i].name) == n && strncmp(OURS[i].name, entry, n) == 0)
			return why_set(why, -EINVAL, "tsa sets %s itself; take it out and write the keyword \"%s\"", OURS[i].name,
				       OURS[i].keyword);
	if (have_name(inst, entry, n))
		return why_set(why, -EINVAL, "%.*s is set twice; take one out", (int)(n > 60 ? 60 : n), entry);
	if (inst->env_len + size > CONF_ENV_BYTES)
		return why_set(why, -E2BIG, "the environment is longer than %d bytes; shorten it", CONF_ENV_BYTES);
	env = realloc(inst->env, inst->env_len + size);
	if (!env)
		return why_set(why, -ENOMEM, "there is no memory for the environment");
	memcpy(env + inst->env_len, entry, size);
	inst->env = env;
	inst->env_len += size;
	return 0;
}

static int lines_add(struct conf_instance *inst, const char *path, char *text, struct why *why)
{
	struct why inner = {""};
	unsigned line = 0;
	int rc;

	for (char *at = text, *end; at; at = end) {
		size_t n;

		end = strchr(at, '\n');
		if (end)
			*end++ = 0;
		line++;
		at += strspn(at, " \t");
		n = strlen(at);
		if (n && at[n - 1] == '\r')
			at[n - 1] = 0;
		if (!*at || *at == '#')
			continue;
		rc = conf_environment_add(inst, at, &inner);
		if (rc < 0)
			return why_set(why, rc, "%.100s:%u: %.240s", path, line, inner.text);
	}
	return 0;
}

int conf_environment_file(struct conf_instance *inst, const char *path, struct why *why)
{
	struct why inner = {""};
	bool open_file;
	char *text;
	size_t n;
	int rc = conf_bytes_read(path, ENVFILE_BYTES, &text, &n, &open_file, &inner);

	if (rc < 0)
		return why_set(why, rc, "%.120s: %.240s", path, inner.text);
	if (open_file)
		rc = why_set(why, -EPERM, "%.120s holds secrets and everybody may read it: chmod 0640 %.120s", path, path);
	else if (strlen(text) != n)
		rc = why_set(why, -EINVAL, "%.120s has a NUL byte in it: this is not a text file", path);
	else
		rc = lines_add(inst, path, text, why);
	explicit_bzero(text, n);
	free(text);
	return rc;
}
