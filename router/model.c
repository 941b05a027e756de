#include "router/router.h"

#include <string.h>

/* Take `prefix` off the front. */
static const char *skip(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 ? s + n : s;
}

bool model_key(const char *name, char key[ROUTER_KEY])
{
	char low[ROUTER_KEY];
	size_t n, len;
	const char *p;

	while (*name == ' ' || *name == '\t')
		name++;
	n = strlen(name);
	while (n && (name[n - 1] == ' ' || name[n - 1] == '\t'))
		n--;
	if (n == 0 || n >= sizeof(low) - sizeof(":latest"))
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)name[i];

		if (ch <= ' ' || ch >= 0x7f || ch == '"' || ch == '\\')
			return false;
		low[i] = (char)(ch >= 'A' && ch <= 'Z' ? ch + ('a' - 'A') : ch);
	}
	low[n] = 0;
	if (n > 6 && strcmp(low + n - 6, ":local") == 0)
		low[n - 6] = 0;
	p = skip(skip(low, "registry.ollama.ai/"), "library/");
	len = strlen(p);
	if (len == 0)
		return false;
	memcpy(key, p, len + 1);
	p = strrchr(key, '/');
	if (!strchr(p ? p : key, ':'))
		memcpy(key + len, ":latest", sizeof(":latest"));
	return true;
}
