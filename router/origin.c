/* Which web pages may use the service: Ollama's built-in list, so that what worked against it works here, and no more. */
#include "router/router.h"

#include "base/bug.h"

static bool starts(struct span s, const char *prefix, struct span *rest)
{
	size_t n = strlen(prefix);

	if (s.n < n || strncasecmp(s.p, prefix, n) != 0)
		return false;
	*rest = (struct span){s.p + n, s.n - n};
	return true;
}

/* ":8080" or nothing.  (Ollama's own port wildcard is a plain prefix; "localhost:3000.evil.com" must not pass here.) */
static bool port_or_nothing(struct span s)
{
	if (s.n == 0)
		return true;
	if (s.p[0] != ':' || s.n < 2 || s.n > 6)
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

bool origin_allowed(struct span origin, struct span host)
{
	static const char *const APPS[] = {"app://", "file://", "tauri://", "vscode-webview://", "vscode-file://"};
	static const char *const LOCAL[] = {"localhost", "127.0.0.1", "0.0.0.0"};
	struct span rest, tail;

	for (unsigned i = 0; i < ARRAY_SIZE(APPS); i++)
		if (starts(origin, APPS[i], &rest))
			return true;
	if (!starts(origin, "http://", &rest) && !starts(origin, "https://", &rest))
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(LOCAL); i++)
		if (starts(rest, LOCAL[i], &tail) && port_or_nothing(tail))
			return true;
	return host.n > 0 && span_caseeq(rest, host);
}
