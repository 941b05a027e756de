/* Model names: their grammar, their defaults, their equality. */
#include "tools/sim/sim.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum part { PART_HOST, PART_NS, PART_MODEL, PART_TAG };

static bool char_ok(enum part part, unsigned char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')
		return true;
	if (first)
		return false;
	if (c == '-')
		return true;
	if (c == '.')
		return part != PART_NS;
	return c == ':' && part == PART_HOST;
}

static bool part_take(enum part part, struct span s, char *out, size_t size)
{
	if (!s.n || s.n > (part == PART_HOST ? 350U : 80U))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!char_ok(part, (unsigned char)s.p[i], i == 0))
			return false;
	return span_copy(out, size, s);
}

static struct span blanks_trim(struct span s)
{
	while (s.n && strchr(" \t\r\n", s.p[0]) && s.p[0]) {
		s.p++;
		s.n--;
	}
	while (s.n && strchr(" \t\r\n", s.p[s.n - 1]) && s.p[s.n - 1])
		s.n--;
	return s;
}

/* Cut *s at its last `c`; what follows goes to *after.  False when there is none. */
static bool cut_last(struct span *s, char c, struct span *after)
{
	const char *at = s->n ? memrchr(s->p, c, s->n) : NULL;

	if (!at)
		return false;
	*after = (struct span){at + 1, s->n - (size_t)(at + 1 - s->p)};
	s->n = (size_t)(at - s->p);
	return true;
}

bool sim_name_parse(struct span text, struct sim_name *out)
{
	struct span s = blanks_trim(text);
	struct span scheme_end;
	struct span tag = SPAN_LIT("latest");
	struct span model;
	struct span ns = SPAN_LIT("library");
	struct span host = SPAN_LIT("registry.ollama.ai");
	const char *colon;
	const char *slash;
	struct sim_name n;

	scheme_end.p = s.n ? memmem(s.p, s.n, "://", 3) : NULL;
	if (scheme_end.p) {
		s.n -= (size_t)(scheme_end.p + 3 - s.p);
		s.p = scheme_end.p + 3;
	}
	colon = s.n ? memrchr(s.p, ':', s.n) : NULL;
	slash = s.n ? memrchr(s.p, '/', s.n) : NULL;
	if (colon && (!slash || colon > slash))
		cut_last(&s, ':', &tag);
	if (!cut_last(&s, '/', &model)) {
		model = s;
	} else if (!cut_last(&s, '/', &ns)) {
		ns = s;
	} else {
		host = s;
	}
	if (!part_take(PART_HOST, host, n.host, sizeof(n.host)) || !part_take(PART_NS, ns, n.ns, sizeof(n.ns)) ||
	    !part_take(PART_MODEL, model, n.model, sizeof(n.model)) || !part_take(PART_TAG, tag, n.tag, sizeof(n.tag)))
		return false;
	*out = n;
	return true;
}

void sim_name_full(const struct sim_name *n, char *out, size_t size)
{
	snprintf(out, size, "%s/%s/%s:%s", n->host, n->ns, n->model, n->tag);
}

void sim_name_display(const struct sim_name *n, char *out, size_t size)
{
	bool host = strcasecmp(n->host, "registry.ollama.ai") != 0;
	bool ns = host || strcasecmp(n->ns, "library") != 0;

	snprintf(out, size, "%s%s%s%s%s:%s", host ? n->host : "", host ? "/" : "", ns ? n->ns : "", ns ? "/" : "", n->model,
		 n->tag);
}

bool sim_name_same(const struct sim_name *a, const struct sim_name *b)
{
	return !strcasecmp(a->model, b->model) && !strcasecmp(a->tag, b->tag) && !strcasecmp(a->ns, b->ns) &&
	       !strcasecmp(a->host, b->host);
}

static bool suffix_strip(struct span *s, const char *suffix)
{
	size_t n = strlen(suffix);

	if (s->n < n || strncasecmp(s->p + s->n - n, suffix, n) != 0)
		return false;
	s->n -= n;
	return true;
}

enum sim_source sim_name_source(struct span text, struct span *stripped)
{
	struct span s = blanks_trim(text);
	struct span probe = s;
	bool local = suffix_strip(&probe, ":local");
	bool cloud;

	*stripped = text;
	if (local) {
		cloud = suffix_strip(&probe, ":cloud");
		*stripped = probe;
		return cloud ? SOURCE_BOTH : SOURCE_LOCAL;
	}
	cloud = suffix_strip(&probe, ":cloud");
	if (cloud)
		return suffix_strip(&probe, ":local") ? SOURCE_BOTH : SOURCE_CLOUD;
	probe = s;
	if (suffix_strip(&probe, "-cloud") && probe.n && memrchr(probe.p, ':', probe.n))
		return SOURCE_CLOUD;
	return SOURCE_LOCAL;
}
