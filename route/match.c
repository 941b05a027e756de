#include "route/match.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bug.h"

#define SIZE_NEAR 0.12 /* "70B" has 70.6 thousand million parameters, "7B" anything from 6.7 to 7.6 */

/* Words of names that tell nothing of which model it is. */
static const char *const NOISE[] = {
	"instruct", "it",   "chat", "latest", "gguf",      "hf",   "text",      "awq",    "gptq", "fp16",
	"f16",      "bf16", "f32",  "google", "microsoft", "meta", "mistralai", "nvidia", "ibm",  "thebloke",
	"qat",      "k",    "m",    "s",      "l",         "xs",   "xl",        "0",      "1",
};

/* --- taking apart ---------------------------------------------------------------------------------------------------------------- */

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool noise(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(NOISE); i++)
		if (strcmp(NOISE[i], word) == 0)
			return true;
	/* q4, iq3, q8 */
	return (word[0] == 'q' && digit(word[1]) && !word[2]) || (word[0] == 'i' && word[1] == 'q' && digit(word[2]) && !word[3]);
}

/* "70b", "1.5b", "270m" */
static bool size_of(const char *word, double *out)
{
	const char *p = word;
	double value = 0, scale = 1;

	for (; digit(*p); p++)
		value = value * 10 + (*p - '0');
	if (p == word)
		return false;
	if (*p == '.')
		for (p++; digit(*p); p++, scale *= 10)
			value = value * 10 + (*p - '0');
	if ((*p != 'b' && *p != 'm') || p[1])
		return false;
	*out = value / scale * (*p == 'b' ? 1e9 : 1e6);
	return *out > 0;
}

/* "hf.co/user/model:tag" without who has it: only the last part of the path. */
static const char *base_of(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

void match_name_make(const char *name, struct match_name *out)
{
	struct match_name made = {.family = ""};
	const char *p = base_of(name);
	size_t used = 0;
	double size;
	char word[64];

	while (*p) {
		const size_t n = strcspn(p, "-_: ");

		for (size_t i = 0; i < n && i < sizeof(word) - 1; i++)
			word[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i]);
		word[n < sizeof(word) - 1 ? n : sizeof(word) - 1] = 0;
		if (size_of(word, &size))
			made.parameters = size;
		else if (!noise(word) && used < sizeof(made.family))
			used += (size_t)snprintf(made.family + used, sizeof(made.family) - used, "%s", word);
		p += n;
		p += strspn(p, "-_: ");
	}
	*out = made;
}

/* --- finding --------------------------------------------------------------------------------------------------------------------- */

/* The same name; ":latest" at the end of either counts as nothing. */
static bool same_name(const char *a, const char *b)
{
	static const char latest[] = ":latest";
	const size_t tail = sizeof(latest) - 1;
	size_t n = strlen(a), m = strlen(b);

	if (n > tail && strcasecmp(a + n - tail, latest) == 0)
		n -= tail;
	if (m > tail && strcasecmp(b + m - tail, latest) == 0)
		m -= tail;
	return n == m && strncasecmp(a, b, n) == 0;
}

static bool same_size(double a, double b)
{
	return a >= b * (1 - SIZE_NEAR) && a <= b * (1 + SIZE_NEAR);
}

static uint32_t by_name(const struct conf_registry *r, const char *name, enum match_how *how)
{
	*how = MATCH_BY_NAME;
	for (uint32_t i = 0; i < r->n; i++)
		if (same_name(r->models[i].name, name) || (*r->models[i].repo && same_name(r->models[i].repo, name)))
			return i;
	*how = MATCH_BY_ALIAS;
	for (uint32_t i = 0; i < r->n; i++)
		for (unsigned a = 0; a < r->models[i].n_aliases; a++)
			if (same_name(r->models[i].aliases[a], name))
				return i;
	return MATCH_NONE;
}

/* What an entry is called, and how large it is. */
static void entry_name(const struct conf_registry_model *m, struct match_name *out)
{
	match_name_make(m->name, out);
	if (m->parameters > 0)
		out->parameters = m->parameters;
}

/* Of the same family: the one of the same size, where both sizes are known; else the only one. */
static uint32_t by_family(const struct conf_registry *r, const struct match_name *wanted, bool said, enum match_how *how)
{
	uint32_t only = MATCH_NONE;
	unsigned n = 0;

	for (uint32_t i = 0; i < r->n; i++) {
		struct match_name have;

		entry_name(&r->models[i], &have);
		if (strcmp(have.family, wanted->family) != 0)
			continue;
		if (wanted->parameters > 0 && have.parameters > 0) {
			if (!same_size(wanted->parameters, have.parameters))
				continue;
			*how = said ? MATCH_BY_WORDS : MATCH_BY_SIZE;
			return i;
		}
		only = i;
		n++;
	}
	*how = MATCH_BY_FAMILY;
	return n == 1 ? only : MATCH_NONE;
}

uint32_t match_entry(const struct conf_registry *r, const char *name, double parameters, enum match_how *how)
{
	struct match_name wanted;
	enum match_how ignored;
	uint32_t found;
	bool said;

	how = how ? how : &ignored;
	found = r ? by_name(r, name, how) : MATCH_NONE;
	match_name_make(name, &wanted);
	said = wanted.parameters > 0;
	if (!said)
		wanted.parameters = parameters;
	if (found == MATCH_NONE && r && *wanted.family)
		found = by_family(r, &wanted, said, how);
	if (found == MATCH_NONE)
		*how = MATCH_BY_NOTHING;
	return found;
}

const char *match_how_text(enum match_how how)
{
	static const char *const TEXT[MATCH_COUNT] = {
		[MATCH_BY_NOTHING] = "not in the registry",
		[MATCH_BY_NAME] = "its name",
		[MATCH_BY_ALIAS] = "an alias",
		[MATCH_BY_WORDS] = "the words of its name",
		[MATCH_BY_SIZE] = "family and size",
		[MATCH_BY_FAMILY] = "the only one of its family",
	};

	return TEXT[how];
}
