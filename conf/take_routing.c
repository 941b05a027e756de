/* Kinds of values that placing requests needs; take.c has the others. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/scan.h"
#include "conf/loading.h"

#define HOOK_PORT 80

/* One of `n` words, by its number. */
static int word_find(const char *const *words, unsigned n, const char *text, unsigned *out)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(words[i], text) == 0) {
			*out = i;
			return 0;
		}
	return -EINVAL;
}

int conf_take_selection(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	static const char *const WORDS[CONF_SELECT_COUNT] = {"full", "basic", "round-robin"};
	unsigned i;

	(void)k, (void)target;
	if (word_find(WORDS, CONF_SELECT_COUNT, text, &i) < 0)
		return why_set(why, -EINVAL, "\"%.40s\" is no way to select; write full, basic or round-robin", text);
	*(enum conf_selection *)member = i;
	return 0;
}

/* `most`: the last of the words that are allowed there. */
int conf_take_reload(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	static const char *const WORDS[] = {"clamp", "route", "refuse", "default"};
	unsigned i;

	(void)target;
	if (word_find(WORDS, (unsigned)k->most + 1, text, &i) < 0)
		return why_set(why, -EINVAL, "\"%.40s\" is no policy; write clamp, route%s", text,
			       k->most == CONF_RELOAD_DEFAULT ? ", refuse or default" : " or refuse");
	*(enum conf_reload *)member = i;
	return 0;
}

static int time_or_word(const struct conf_keyword *k, void *member, const char *word, const char *text, struct why *why)
{
	char least[24], most[24];
	uint64_t ns = 0;

	if (strcmp(text, word) != 0 && scan_duration_ns(text, &ns, NULL) < 0)
		return why_set(why, -EINVAL, "\"%.40s\" is neither %s nor a duration; write for example 500ms, 30s or 5m", text,
			       word);
	if (strcmp(text, word) != 0 && (ns < k->least || ns > k->most))
		return why_set(why, -EINVAL, "%.40s is out of range; write from %s to %s, or %s", text,
			       scan_duration_text(k->least, least, sizeof(least)), scan_duration_text(k->most, most, sizeof(most)),
			       word);
	*(uint64_t *)member = ns;
	return 0;
}

int conf_take_offtime(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)target;
	return time_or_word(k, member, "off", text, why);
}

int conf_take_autotime(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)target;
	return time_or_word(k, member, "auto", text, why);
}

/* digits[.digits], up to nine of each.  What follows is left at *end. */
static int decimal_read(const char *text, const char **end, double *out)
{
	const char *p = text;
	double value = 0, scale = 1;

	for (; *p >= '0' && *p <= '9' && p - text < 9; p++)
		value = value * 10 + (*p - '0');
	if (p == text)
		return -EINVAL;
	if (*p == '.') {
		const char *first = ++p;

		for (; *p >= '0' && *p <= '9' && p - first < 9; p++, scale *= 10)
			value = value * 10 + (*p - '0');
		if (p == first)
			return -EINVAL;
	}
	*end = p;
	*out = value / scale;
	return 0;
}

int conf_take_share(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	const char *end;
	double v;

	(void)target;
	if (decimal_read(text, &end, &v) < 0 || strcmp(end, "%") != 0)
		return why_set(why, -EINVAL, "\"%.40s\" is no percentage; write for example 15%%", text);
	if (v * 10 < (double)k->least || v * 10 > (double)k->most)
		return why_set(why, -EINVAL, "%.40s is out of range; write from %g%% to %g%%", text, (double)k->least / 10,
			       (double)k->most / 10);
	*(double *)member = v / 100;
	return 0;
}

static int factor_check(const struct conf_keyword *k, const char *text, double *out, struct why *why)
{
	const char *end;
	double v;

	if (decimal_read(text, &end, &v) < 0 || *end)
		return why_set(why, -EINVAL, "\"%.40s\" is no number; write for example 0.25, without a unit", text);
	if (v * 1000 < (double)k->least || v * 1000 > (double)k->most)
		return why_set(why, -EINVAL, "%.40s is out of range; write from %g to %g", text, (double)k->least / 1000,
			       (double)k->most / 1000);
	*out = v;
	return 0;
}

int conf_take_factor(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)target;
	return factor_check(k, text, member, why);
}

int conf_take_file(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	(void)target;
	if (text[0] != '/')
		return why_set(why, -EINVAL, "\"%.60s\" is not an absolute path; begin it with /", text);
	if (strlen(text) >= k->size)
		return why_set(why, -EINVAL, "\"%.40s…\" is longer than %zu bytes; choose a shorter path", text, k->size - 1);
	snprintf(member, k->size, "%s", text);
	return 0;
}

int conf_take_hook(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	struct conf_hook *hook = member, made = {.path = "/"};
	const size_t scheme = strlen("http://");
	char authority[80];
	const char *slash;

	(void)k, (void)target;
	if (strncmp(text, "http://", scheme) != 0)
		return why_set(why, -EINVAL, "\"%.60s\" is no URL; write http://ADDRESS:PORT/PATH", text);
	slash = text + scheme + strcspn(text + scheme, "/");
	if (*slash && (strlen(slash) >= sizeof(made.path) || slash[strcspn(slash, " ?#\\\"<>")]))
		return why_set(why, -EINVAL, "the path of \"%.60s\" is longer than %zu bytes or no plain path; write another", text,
			       sizeof(made.path) - 1);
	if (*slash)
		snprintf(made.path, sizeof(made.path), "%s", slash);
	snprintf(authority, sizeof(authority), "%.*s", (int)(slash - text - (ptrdiff_t)scheme), text + scheme);
	if (conf_addr_parse(authority, HOOK_PORT, &made.addr, why) < 0)
		return -EINVAL;
	*hook = made;
	return 0;
}

/* Names of headers are tokens of HTTP. */
int conf_take_headers(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	struct conf_routing *r = &((struct conf *)target)->routing;

	(void)k, (void)member;
	if (!scan_name_ok(text, CONF_HEADER_NAME - 1) || strchr(text, '.'))
		return why_set(why, -EINVAL, "\"%.40s\" is no name of a header; write up to %d letters, digits, - and _", text,
			       CONF_HEADER_NAME - 1);
	for (unsigned i = 0; i < r->affinity.n_headers; i++)
		if (strcasecmp(r->affinity.headers[i], text) == 0)
			return why_set(why, -EINVAL, "\"%.40s\" is named twice; take one out", text);
	snprintf(r->affinity.headers[r->affinity.n_headers++], CONF_HEADER_NAME, "%s", text);
	return 0;
}

/* "GSM8K=1.2" */
int conf_take_weighted(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	struct conf_routing *r = &((struct conf *)target)->routing;
	struct conf_weighted *w = &r->scores.weights[r->scores.n_weights];
	const char *equal = strrchr(text, '=');
	struct conf_keyword range = *k;

	(void)member;
	if (!equal || equal == text || (size_t)(equal - text) >= sizeof(w->name))
		return why_set(why, -EINVAL, "\"%.60s\" is not NAME=NUMBER; write for example \"GSM8K=1.2\"", text);
	range.least = 0;
	range.most = 1000000;
	if (factor_check(&range, equal + 1, &w->weight, why) < 0)
		return -EINVAL;
	snprintf(w->name, sizeof(w->name), "%.*s", (int)(equal - text), text);
	for (unsigned i = 0; i < r->scores.n_weights; i++)
		if (strcmp(r->scores.weights[i].name, w->name) == 0)
			return why_set(why, -EINVAL, "\"%.40s\" is named twice; take one out", w->name);
	r->scores.n_weights++;
	return 0;
}

int conf_take_categories(const struct conf_keyword *k, void *target, void *member, const char *text, struct why *why)
{
	struct conf_rule *rule = target;

	(void)k, (void)member;
	if (!scan_name_ok(text, sizeof(rule->categories[0]) - 1))
		return why_set(why, -EINVAL, "\"%.40s\" is no category; write up to %zu letters, digits, - _ and .", text,
			       sizeof(rule->categories[0]) - 1);
	return conf_list_add((char *)rule->categories, &rule->n_categories, sizeof(rule->categories[0]), text, why);
}
