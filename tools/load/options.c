#include "tools/load/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/scan.h"
#include "base/span.h"
#include "tools/load/wire.h"

enum kind { KIND_NONE = 0, KIND_LISTEN, KIND_TO, KIND_PID, KIND_COUNT, KIND_SIZE, KIND_TIME, KIND_DIALECT };

struct option_info {
	const char *word;
	unsigned who; /* of enum options_for */
	enum kind kind;
	size_t offset; /* in struct options; of the kinds that are one number */
	uint64_t least;
	uint64_t most;
	const char *fallback;
	const char *meaning;
};

static const struct option_info OPTIONS[] = {
#define OPTION(word, who, kind, member, least, most, fallback, meaning)                                                            \
	{word, who, kind, offsetof(struct options, member), least, most, fallback, meaning},
#include "tools/load/options.def"
#undef OPTION
};

/* "127.0.0.1:8480" or "[::1]:8480"; port 0 only where `any_port`. */
static int addr_parse(const char *text, bool any_port, struct addr *out, struct why *why)
{
	const char *colon = strrchr(text, ':');
	struct addr a = {.len = 0};
	char host[48];
	uint64_t port;
	size_t n;

	if (!colon || scan_u64(colon + 1, any_port ? 0 : 1, 65535, &port, NULL))
		return why_set(why, -EINVAL,
			       "\"%.60s\" is not an address with a port; write for example 127.0.0.1:8480 or [::1]:8480", text);
	n = (size_t)(colon - text);
	if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
		a.in6.sin6_family = AF_INET6;
		a.in6.sin6_port = htons((uint16_t)port);
		a.len = sizeof(a.in6);
		if (!span_copy(host, sizeof(host), (struct span){text + 1, n - 2}) ||
		    inet_pton(AF_INET6, host, &a.in6.sin6_addr) != 1 || !IN6_IS_ADDR_LOOPBACK(&a.in6.sin6_addr))
			a.len = 0;
	} else {
		a.in4.sin_family = AF_INET;
		a.in4.sin_port = htons((uint16_t)port);
		a.len = sizeof(a.in4);
		if (!span_copy(host, sizeof(host), (struct span){text, n}) || inet_pton(AF_INET, host, &a.in4.sin_addr) != 1 ||
		    ntohl(a.in4.sin_addr.s_addr) >> 24 != 127)
			a.len = 0;
	}
	if (!a.len)
		return why_set(why, -EINVAL,
			       "\"%.60s\" is not on this host's loopback, and tsa-load sends nothing elsewhere; write 127.0.0.1:%u",
			       text, (unsigned)port);
	snprintf(a.text, sizeof(a.text), "%s", text);
	*out = a;
	return 0;
}

int addr_of_socket(int fd, struct addr *out)
{
	struct addr a = {.len = sizeof(a.in6)};
	char host[INET6_ADDRSTRLEN];

	if (getsockname(fd, &a.sa, &a.len) < 0)
		return -errno;
	if (a.sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a.in6.sin6_addr, host, sizeof(host));
		snprintf(a.text, sizeof(a.text), "[%s]:%u", host, ntohs(a.in6.sin6_port));
	} else {
		inet_ntop(AF_INET, &a.in4.sin_addr, host, sizeof(host));
		snprintf(a.text, sizeof(a.text), "%s:%u", host, ntohs(a.in4.sin_port));
	}
	*out = a;
	return 0;
}

static int dialect_parse(const char *value, uint64_t *out, struct why *why)
{
	for (unsigned i = 0; WIRE_DIALECTS[i]; i++)
		if (strcmp(value, WIRE_DIALECTS[i]) == 0) {
			*out = i;
			return 0;
		}
	return why_set(why, -EINVAL, "\"%.40s\" is no dialect; write native or openai", value);
}

static int number_parse(const struct option_info *info, const char *value, uint64_t *out, struct why *why)
{
	uint64_t v = 0;
	int err;

	if (info->kind == KIND_SIZE)
		err = scan_size_bytes(value, &v, why);
	else if (info->kind == KIND_TIME)
		err = scan_duration_ns(value, &v, why);
	else if (info->kind == KIND_DIALECT)
		return dialect_parse(value, out, why);
	else
		err = scan_u64(value, info->least, info->most, &v, why);
	if (err)
		return err;
	if (v < info->least || v > info->most) {
		char least[32], most[32];

		if (info->kind == KIND_SIZE)
			return why_set(why, -EINVAL, "\"%.40s\" is not from %lluB to %lluB", value, (unsigned long long)info->least,
				       (unsigned long long)info->most);
		return why_set(why, -EINVAL, "\"%.40s\" is not from %s to %s", value,
			       scan_duration_text(info->least, least, sizeof(least)),
			       scan_duration_text(info->most, most, sizeof(most)));
	}
	*out = v;
	return 0;
}

static int option_take(struct options *o, const struct option_info *info, const char *value, struct why *why)
{
	uint64_t pid;
	int err;

	switch (info->kind) {
	case KIND_LISTEN:
		if (o->n_listen == OPTIONS_LISTEN)
			return why_set(why, -EINVAL, "more than %u addresses; leave some out", OPTIONS_LISTEN);
		err = addr_parse(value, true, &o->listen[o->n_listen], why);
		o->n_listen += !err;
		return err;
	case KIND_TO:
		o->to_given = true;
		return addr_parse(value, false, &o->to, why);
	case KIND_PID:
		if (o->n_watch == OPTIONS_WATCH)
			return why_set(why, -EINVAL, "more than %u processes; leave some out", OPTIONS_WATCH);
		err = scan_u64(value, 1, INT32_MAX, &pid, why);
		if (!err)
			o->watch[o->n_watch++] = (pid_t)pid;
		return err;
	default:
		if (info->offset == offsetof(struct options, time_ns))
			o->time_given = true;
		return number_parse(info, value, (uint64_t *)(void *)((char *)o + info->offset), why);
	}
}

void options_init(struct options *o)
{
	*o = (struct options){0};
	for (unsigned i = 0; i < ARRAY_SIZE(OPTIONS); i++)
		if (OPTIONS[i].kind >= KIND_COUNT)
			BUG_ON(option_take(o, &OPTIONS[i], OPTIONS[i].fallback, NULL));
	o->time_given = false;
}

static const struct option_info *option_find(struct span word, enum options_for whose)
{
	for (unsigned i = 0; i < ARRAY_SIZE(OPTIONS); i++)
		if ((OPTIONS[i].who & whose) && span_eq(word, span_of(OPTIONS[i].word)))
			return &OPTIONS[i];
	return NULL;
}

/* Which option is missing for `whose`, or NULL. */
static const char *option_missing(const struct options *o, enum options_for whose)
{
	if ((whose & (FOR_ORIGIN | FOR_FORWARD)) && !o->n_listen)
		return "--listen 127.0.0.1:0";
	if (whose != FOR_ORIGIN && !o->to_given)
		return "--to 127.0.0.1:PORT";
	return NULL;
}

int options_parse(struct options *o, enum options_for whose, int argc, char **argv, struct why *why)
{
	const char *missing;

	for (int i = 0; i < argc; i++) {
		const char *arg = argv[i], *value;
		const struct option_info *info;
		struct why inner = {""};
		struct span word;

		if (strcmp(arg, "-j") == 0) {
			o->json = true;
			continue;
		}
		if (strncmp(arg, "--", 2) != 0)
			return why_set(why, -EINVAL, "\"%.40s\" is not an option; options begin with --", arg);
		value = strchr(arg, '=');
		word = (struct span){arg + 2, value ? (size_t)(value - arg - 2) : strlen(arg) - 2};
		info = option_find(word, whose);
		if (!info)
			return why_set(why, -EINVAL, "this command has no option \"%.40s\"; -h lists them", arg);
		value = value ? value + 1 : ++i < argc ? argv[i] : NULL;
		if (!value)
			return why_set(why, -EINVAL, "--%s needs a value: %s", info->word, info->meaning);
		if (option_take(o, info, value, &inner))
			return why_set(why, -EINVAL, "--%s: %s", info->word, inner.text);
	}
	missing = option_missing(o, whose);
	if (missing)
		return why_set(why, -EINVAL, "an address is missing; add %s", missing);
	return 0;
}

void options_print(FILE *f, enum options_for whose)
{
	for (unsigned i = 0; i < ARRAY_SIZE(OPTIONS); i++)
		if (OPTIONS[i].who & whose)
			fprintf(f, "  --%-12s %-8s %s\n", OPTIONS[i].word, OPTIONS[i].fallback, OPTIONS[i].meaning);
	fprintf(f, "  -j                     JSON\n");
}
