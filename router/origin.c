/* Which web pages may use the service: Ollama's built-in list, so that what worked against it works here, and no more. */
#include "router/router.h"

#include <arpa/inet.h>

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

static struct span without_port(struct span host)
{
	const char *colon = host.n && host.p[0] != '[' ? memchr(host.p, ':', host.n) : NULL;

	return colon ? (struct span){host.p, (size_t)(colon - host.p)} : host;
}

static bool is_address(struct span host)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr addr;

	return host.p[0] == '[' || (span_copy(text, sizeof(text), host) && inet_pton(AF_INET, text, &addr) == 1);
}

/* Names are Ollama's list: those that no public DNS answers for.  An address is not looked up, so nobody can make it another. */
bool host_allowed(struct span host, const char *machine)
{
	static const struct span ENDS[] = {{".localhost", 10}, {".local", 6}, {".internal", 9}};
	struct span name = without_port(host);

	if (!name.n || is_address(name) || span_caseeq(name, SPAN_LIT("localhost")) || span_caseeq(name, span_of(machine)))
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(ENDS); i++)
		if (name.n > ENDS[i].n && span_caseeq((struct span){name.p + name.n - ENDS[i].n, ENDS[i].n}, ENDS[i]))
			return true;
	return false;
}
