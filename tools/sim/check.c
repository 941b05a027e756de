/* Who may ask: the Origin rules of the CORS layer, then the Host rules of instances that listen on a loopback address. */
#include "tools/sim/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static char own_name[256];
static struct in_addr own_v4[64];
static struct in6_addr own_v6[64];
static size_t own_v4_n;
static size_t own_v6_n;

/* Does the server of gin's CORS layer start with this entry? */
static bool entry_known(const char *p, size_t n)
{
	static const char *const schemes[] = {"http://",	       "https://",	      "chrome-extension://",
					      "safari-extension://", "moz-extension://", "ms-browser-extension://"};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (n >= strlen(schemes[i]) && !memcmp(p, schemes[i], strlen(schemes[i])))
			return true;
	return memchr(p, '*', n) != NULL;
}

int sim_check_origins(struct why *why)
{
	const char *p = sim_conf.origins;

	while (p && *p) {
		size_t n = strcspn(p, ",");

		if (!entry_known(p, n))
			return why_set(why, -EINVAL, "bad origin: origins must contain '*' or include http://,https://");
		p += n + (p[n] == ',');
	}
	return 0;
}

int sim_check_init(void)
{
	struct ifaddrs *all;

	if (gethostname(own_name, sizeof(own_name) - 1))
		own_name[0] = 0;
	if (getifaddrs(&all))
		return 0;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr)
			continue;
		if (i->ifa_addr->sa_family == AF_INET && own_v4_n < 64)
			own_v4[own_v4_n++] = ((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr;
		else if (i->ifa_addr->sa_family == AF_INET6 && own_v6_n < 64)
			own_v6[own_v6_n++] = ((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr;
	}
	freeifaddrs(all);
	return 0;
}

static bool v4_ok(struct in_addr a)
{
	uint32_t ip = ntohl(a.s_addr);

	if (ip == 0 || ip >> 24 == 127 || ip >> 24 == 10 || ip >> 20 == 0xac1 || ip >> 16 == 0xc0a8)
		return true;
	for (size_t i = 0; i < own_v4_n; i++)
		if (own_v4[i].s_addr == a.s_addr)
			return true;
	return false;
}

static bool v6_ok(const struct in6_addr *a)
{
	if (IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_UNSPECIFIED(a) || (a->s6_addr[0] & 0xfe) == 0xfc)
		return true;
	for (size_t i = 0; i < own_v6_n; i++)
		if (!memcmp(&own_v6[i], a, sizeof(*a)))
			return true;
	return false;
}

static bool ends_with(const char *text, const char *suffix)
{
	size_t n = strlen(text);
	size_t m = strlen(suffix);

	return n >= m && !strcasecmp(text + n - m, suffix);
}

static bool host_ok(struct span host)
{
	char text[300];
	char *colon;
	struct in_addr v4;
	struct in6_addr v6;

	if (!span_copy(text, sizeof(text), host))
		return false;
	if (text[0] == '[') {
		char *close = strchr(text, ']');

		if (!close)
			return false;
		*close = 0;
		return inet_pton(AF_INET6, text + 1, &v6) == 1 && v6_ok(&v6);
	}
	colon = strrchr(text, ':');
	if (colon && strchr(text, ':') == colon)
		*colon = 0;
	if (!text[0] || !strcasecmp(text, "localhost") || (own_name[0] && !strcasecmp(text, own_name)))
		return true;
	if (inet_pton(AF_INET, text, &v4) == 1)
		return v4_ok(v4);
	if (inet_pton(AF_INET6, text, &v6) == 1)
		return v6_ok(&v6);
	return ends_with(text, ".localhost") || ends_with(text, ".local") || ends_with(text, ".internal");
}

static bool starts_with(struct span s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n && !memcmp(s.p, prefix, n);
}

/* One entry of the environment: a text, or two around an asterisk. */
static bool entry_fits(struct span entry, struct span o)
{
	const char *star = memchr(entry.p, '*', entry.n);
	size_t head = star ? (size_t)(star - entry.p) : 0;
	size_t tail = star ? entry.n - head - 1 : 0;

	if (!star)
		return span_eq(entry, o);
	return o.n >= head + tail && !memcmp(o.p, entry.p, head) && !memcmp(o.p + o.n - tail, star + 1, tail);
}

static bool origin_configured(struct span o)
{
	const char *p = sim_conf.origins;

	while (p && *p) {
		size_t n = strcspn(p, ",");

		if (entry_fits((struct span){p, n}, o))
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

/* An entry that is nothing but an asterisk: the answer says so instead of naming the origin. */
static bool all_origins(void)
{
	const char *p = sim_conf.origins;

	while (p && *p) {
		size_t n = strcspn(p, ",");

		if (n == 1 && *p == '*')
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

static bool origin_listed(struct span o)
{
	static const char *const schemes[] = {"app://", "file://", "tauri://", "vscode-webview://", "vscode-file://"};
	static const char *const hosts[] = {"http://localhost",  "https://localhost", "http://127.0.0.1",
					    "https://127.0.0.1", "http://0.0.0.0",    "https://0.0.0.0"};

	if (origin_configured(o))
		return true;
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (starts_with(o, schemes[i]))
			return true;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		size_t n = strlen(hosts[i]);

		/* The real server's port wildcard is a plain prefix too. */
		if (starts_with(o, hosts[i]) && (o.n == n || o.p[n] == ':'))
			return true;
	}
	return false;
}

static bool origin_same(struct span o, struct span host)
{
	struct span rest = o;

	if (starts_with(o, "http://"))
		rest = (struct span){o.p + 7, o.n - 7};
	else if (starts_with(o, "https://"))
		rest = (struct span){o.p + 8, o.n - 8};
	else
		return false;
	return span_eq(rest, host);
}

static void preflight(struct sim_ex *ex, const char *origin)
{
	resp_field(ex, "Access-Control-Allow-Headers",
		   "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,X-Stainless-Async,"
		   "X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,"
		   "X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,"
		   "X-Stainless-Runtime-Version,X-Stainless-Timeout");
	resp_field(ex, "Access-Control-Allow-Methods", "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS");
	resp_field(ex, "Access-Control-Allow-Origin", origin);
	resp_field(ex, "Access-Control-Max-Age", "43200");
	resp_field(ex, "Vary", "Origin");
	resp_field(ex, "Vary", "Access-Control-Request-Method");
	resp_field(ex, "Vary", "Access-Control-Request-Headers");
	resp_full(ex, 204, NULL, (struct span){"", 0});
}

bool sim_check_refuse(struct sim_ex *ex)
{
	struct span origin = sim_head_get(&ex->head, "origin");
	char text[1024];

	if (origin.n && !origin_same(origin, ex->head.host)) {
		bool all = all_origins();

		if (!origin_listed(origin) || !span_copy(text, sizeof(text), all ? SPAN_LIT("*") : origin)) {
			resp_full(ex, 403, NULL, (struct span){"", 0});
			return true;
		}
		if (span_eq(ex->head.method, SPAN_LIT("OPTIONS"))) {
			preflight(ex, text);
			return true;
		}
		resp_field(ex, "Access-Control-Allow-Origin", text);
		if (!all)
			resp_field(ex, "Vary", "Origin");
	}
	if (ex->in->loopback && !host_ok(ex->head.host)) {
		resp_full(ex, 403, NULL, (struct span){"", 0});
		return true;
	}
	return false;
}
