#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/scan.h"
#include "conf/loading.h"

/* host, [host] or localhost to bytes; nothing is resolved. */
static int host_parse(const char *host, bool bracketed, struct sockaddr_storage *out, struct why *why)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (!bracketed && strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (!bracketed && inet_pton(AF_INET, host, &v4) == 1) {
		*(struct sockaddr_in *)out = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = v4};
		return 0;
	}
	if (inet_pton(AF_INET6, host, &v6) == 1) {
		if (!bracketed)
			return why_set(why, -EINVAL, "the IPv6 address %s wants brackets; write [%s]:PORT", host, host);
		*(struct sockaddr_in6 *)out = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = v6};
		return 0;
	}
	if (!*host)
		return why_set(why, -EINVAL,
			       "there is no address before the port; write for example 127.0.0.1:8480, or 0.0.0.0:8480 for all");
	return why_set(why, -EINVAL,
		       "\"%.60s\" is not a numeric address, and names are not resolved; write for example 127.0.0.1 or [::1]",
		       host);
}

/* Splits text into host and port; *port points behind the colon or is NULL.  False: the brackets do not match. */
static bool split(char *text, char **host, char **port, bool *bracketed)
{
	char *close, *colon;

	*bracketed = text[0] == '[';
	*port = NULL;
	if (*bracketed) {
		close = strchr(text, ']');
		if (!close || (close[1] && close[1] != ':'))
			return false;
		*close = 0;
		*host = text + 1;
		if (close[1])
			*port = close + 2;
		return true;
	}
	*host = text;
	colon = strrchr(text, ':');
	if (colon && strchr(text, ':') == colon) {
		*colon = 0;
		*port = colon + 1;
	}
	return true;
}

static void addr_finish(struct conf_addr *a, uint16_t port)
{
	char ip[INET6_ADDRSTRLEN];

	if (a->sa.ss_family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)&a->sa;

		in->sin_port = htons(port);
		a->len = sizeof(*in);
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		snprintf(a->text, sizeof(a->text), "%s:%u", ip, port);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->sa;

		in6->sin6_port = htons(port);
		a->len = sizeof(*in6);
		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
		snprintf(a->text, sizeof(a->text), "[%s]:%u", ip, port);
	}
}

int conf_addr_parse(const char *text, uint16_t default_port, struct conf_addr *out, struct why *why)
{
	const char *rest = strncmp(text, "http://", 7) == 0 ? text + 7 : text;
	char copy[128], *host, *port;
	struct conf_addr a = {0};
	uint64_t number = default_port;
	size_t n = strlen(rest);
	bool bracketed;

	if (strncmp(text, "https://", 8) == 0)
		return why_set(why, -EINVAL, "instances are spoken to without TLS; write http:// and an address of this host");
	if (rest != text && n && rest[n - 1] == '/')
		n--;
	if (n >= sizeof(copy))
		return why_set(why, -EINVAL, "\"%.40s…\" is too long for an address; write for example 127.0.0.1:8480", rest);
	memcpy(copy, rest, n);
	copy[n] = 0;
	if (strpbrk(copy, "/?#@ "))
		return why_set(why, -EINVAL,
			       "\"%.60s\" is more than an address and a port; write for example http://127.0.0.1:11434", text);
	if (!split(copy, &host, &port, &bracketed))
		return why_set(why, -EINVAL, "\"%.60s\" has a [ without its ]; write for example [::1]:8480", text);
	if (host_parse(host, bracketed, &a.sa, why) < 0)
		return -EINVAL;
	if (!port && !default_port)
		return why_set(why, -EINVAL, "\"%.60s\" has no port; write for example %.60s:8480", text, text);
	if (port && scan_u64(port, 1, 65535, &number, NULL) < 0)
		return why_set(why, -EINVAL, "the port \"%.20s\" is not a whole number from 1 to 65535", port);
	addr_finish(&a, (uint16_t)number);
	*out = a;
	return 0;
}

uint16_t conf_addr_port(const struct conf_addr *a)
{
	if (a->sa.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&a->sa)->sin_port);
	return a->sa.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)&a->sa)->sin6_port) : 0;
}

static bool wildcard(const struct conf_addr *a)
{
	if (a->sa.ss_family == AF_INET)
		return ((const struct sockaddr_in *)&a->sa)->sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&a->sa)->sin6_addr);
}

static bool same_host(const struct conf_addr *a, const struct conf_addr *b)
{
	if (a->sa.ss_family != b->sa.ss_family)
		return false;
	if (a->sa.ss_family == AF_INET)
		return ((const struct sockaddr_in *)&a->sa)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)&b->sa)->sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)&a->sa)->sin6_addr,
				  &((const struct sockaddr_in6 *)&b->sa)->sin6_addr);
}

/* A wildcard of IPv6 takes IPv4 as well unless the socket says otherwise: it clashes with everything. */
bool conf_addr_clash(const struct conf_addr *a, const struct conf_addr *b)
{
	if (!conf_addr_port(a) || conf_addr_port(a) != conf_addr_port(b))
		return false;
	if (same_host(a, b))
		return true;
	if (wildcard(a) && (a->sa.ss_family == AF_INET6 || b->sa.ss_family == AF_INET))
		return true;
	return wildcard(b) && (b->sa.ss_family == AF_INET6 || a->sa.ss_family == AF_INET);
}
