/* Which names mean the same model, and what a model is for. */
#include "probes/probes.h"

#include <string.h>
#include <strings.h>

#include "base/bug.h"
#include "base/span.h"

/* A leading part that Ollama supplies by itself. */
static struct span strip(struct span s, const char *part)
{
	size_t n = strlen(part);

	if (s.n > n && strncasecmp(s.p, part, n) == 0) {
		s.p += n;
		s.n -= n;
	}
	return s;
}

static struct span name_core(const char *name)
{
	struct span s = strip(strip(span_of(name), "registry.ollama.ai/"), "library/");
	const char *slash = memrchr(s.p, '/', s.n);
	const char *colon = memrchr(s.p, ':', s.n);

	/* A colon before the last slash belongs to the port of a registry. */
	if (colon && (!slash || colon > slash) && strcasecmp(colon, ":latest") == 0)
		s.n = (size_t)(colon - s.p);
	return s;
}

bool probe_name_same(const char *a, const char *b)
{
	return span_caseeq(name_core(a), name_core(b));
}

bool probe_model_embeds(unsigned caps, const char *family)
{
	static const char *const ENCODERS[] = {"bert",         "nomic-bert", "nomic-bert-moe", "xlmroberta",
					       "jina-bert-v2", "modernbert", "gemma-embedding"};

	if (caps & PROBE_CAP_KNOWN)
		return (caps & PROBE_CAP_EMBEDDING) && !(caps & PROBE_CAP_COMPLETION);
	for (size_t i = 0; i < ARRAY_SIZE(ENCODERS); i++)
		if (strcasecmp(family, ENCODERS[i]) == 0)
			return true;
	return false;
}
