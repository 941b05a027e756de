/* Bodies of an Ollama to facts.  Foreign bytes: whatever is absent, of another type or too long is left out, not trusted. */
#include "probes/probes.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

#define DEPTH_MAX 32 /* Ollama's own bodies are five deep */

/* A whole body as one JSON object; NULL and `why` for anything else. */
static json_object *object_parse(const char *body, size_t n, struct why *why)
{
	json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	json_object *o = NULL;

	if (!tok || n > INT32_MAX) {
		why_set(why, 0, "no memory to read its answer");
		goto out_free;
	}
	o = json_tokener_parse_ex(tok, body, (int)n);
	if (json_tokener_get_error(tok) != json_tokener_success)
		why_set(why, 0, "its answer is no JSON: %s at byte %zu", json_tokener_error_desc(json_tokener_get_error(tok)),
			json_tokener_get_parse_end(tok));
	else if (!json_object_is_type(o, json_type_object))
		why_set(why, 0, "its answer is JSON, but not an object");
	else
		goto out_free;
	json_object_put(o);
	o = NULL;
out_free:
	if (tok)
		json_tokener_free(tok);
	return o;
}

/* A member of the wanted type, or NULL. */
static json_object *member(json_object *o, const char *key, enum json_type type)
{
	json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, type) ? v : NULL;
}

/* A string member that fits and holds no NUL; otherwise *out is "" and the answer false. */
static bool member_text(json_object *o, const char *key, char *out, size_t size)
{
	json_object *v = member(o, key, json_type_string);
	const char *p = v ? json_object_get_string(v) : "";
	size_t n = v ? (size_t)json_object_get_string_len(v) : 0;

	out[0] = 0;
	if (!n || n >= size || memchr(p, 0, n))
		return false;
	memcpy(out, p, n + 1);
	return true;
}

static uint64_t member_u64(json_object *o, const char *key)
{
	json_object *v = member(o, key, json_type_int);
	int64_t i = v ? json_object_get_int64(v) : 0;

	return i > 0 ? (uint64_t)i : 0;
}

int probe_version_parse(const char *body, size_t n, char *out, size_t size, struct why *why)
{
	json_object *o = object_parse(body, n, why);
	char text[128];
	bool ok;

	if (!o)
		return -EPROTO;
	ok = member_text(o, "version", text, sizeof(text));
	json_object_put(o);
	if (!ok)
		return why_set(why, -EPROTO, "its answer has no \"version\"");
	snprintf(out, size, "%s", text);
	return 0;
}

static const struct {
	const char *word;
	unsigned bit;
} CAPS[] = {
	{"completion", PROBE_CAP_COMPLETION}, {"embedding", PROBE_CAP_EMBEDDING}, {"tools", PROBE_CAP_TOOLS},
	{"vision", PROBE_CAP_VISION},         {"thinking", PROBE_CAP_THINKING},
};

static unsigned caps_of(json_object *o)
{
	json_object *list = member(o, "capabilities", json_type_array);
	unsigned caps = list ? PROBE_CAP_KNOWN : 0;

	for (size_t i = 0; list && i < json_object_array_length(list) && i < 64; i++) {
		json_object *v = json_object_array_get_idx(list, i);

		for (size_t k = 0; json_object_is_type(v, json_type_string) && k < sizeof(CAPS) / sizeof(CAPS[0]); k++)
			if (strcmp(json_object_get_string(v), CAPS[k].word) == 0)
				caps |= CAPS[k].bit;
	}
	return caps;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void digest_parse(json_object *o, uint8_t out[PROBE_DIGEST])
{
	char text[2 * PROBE_DIGEST + 8];
	const char *p = text;

	memset(out, 0, PROBE_DIGEST);
	if (!member_text(o, "digest", text, sizeof(text)))
		return;
	if (strncmp(p, "sha256:", 7) == 0)
		p += 7;
	if (strlen(p) != 2 * PROBE_DIGEST)
		return;
	for (size_t i = 0; i < PROBE_DIGEST; i++) {
		int hi = hex(p[2 * i]), lo = hex(p[2 * i + 1]);

		if (hi < 0 || lo < 0) {
			memset(out, 0, PROBE_DIGEST);
			return;
		}
		out[i] = (uint8_t)(hi * 16 + lo);
	}
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

/* A stub of a model that runs in somebody's cloud: nothing of it can be resident here. */
static bool remote_host_is_set(json_object *o)
{
	json_object *v = member(o, "remote_host", json_type_string);

	return v && json_object_get_string_len(v) > 0;
}

/* False: not an entry that could be used. */
static bool model_parse(json_object *o, struct probe_model *m)
{
	json_object *details;
	char text[64];

	memset(m, 0, sizeof(*m));
	if (!json_object_is_type(o, json_type_object))
		return false;
	if (!member_text(o, "name", m->name, sizeof(m->name)) && !member_text(o, "model", m->name, sizeof(m->name)))
		return false;
	if (has_control(m->name) || remote_host_is_set(o))
		return false;
	digest_parse(o, m->digest);
	m->size_bytes = member_u64(o, "size");
	m->vram_bytes = member_u64(o, "size_vram");
	m->context = member_u64(o, "context_length");
	m->caps = caps_of(o);
	if (member_text(o, "expires_at", text, sizeof(text)))
		(void)probe_time_parse(text, &m->expires_wall_ns);
	details = member(o, "details", json_type_object);
	if (details) {
		member_text(details, "family", m->family, sizeof(m->family));
		if (!m->context)
			m->context = member_u64(details, "context_length");
	}
	return true;
}

int probe_models_parse(const char *body, size_t n, struct probe_models *out, struct why *why)
{
	json_object *o = object_parse(body, n, why);
	json_object *list = NULL;
	bool known;

	if (!o)
		return -EPROTO;
	known = json_object_object_get_ex(o, "models", &list);
	if (!known || (list && !json_object_is_type(list, json_type_array))) {
		json_object_put(o);
		return why_set(why, -EPROTO, "its answer has no list \"models\"");
	}
	out->n = out->more = 0;
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		if (out->n < PROBE_MODELS && model_parse(json_object_array_get_idx(list, i), &out->at[out->n]))
			out->n++;
		else
			out->more++;
	}
	json_object_put(o);
	return 0;
}

int probe_show_parse(const char *body, size_t n, unsigned *caps, struct why *why)
{
	json_object *o = object_parse(body, n, why);
	unsigned got;

	if (!o)
		return -EPROTO;
	got = caps_of(o);
	json_object_put(o);
	*caps = got;
	return 0;
}

/* An {"error":…} under a good status counts as an answer that is none. */
static int error_check(json_object *o, struct why *why)
{
	json_object *e = NULL;

	if (!json_object_object_get_ex(o, "error", &e) || !e)
		return 0;
	return why_set(why, -EPROTO, "%.300s",
		       json_object_is_type(e, json_type_string) ? json_object_get_string(e) : "an error without a text");
}

int probe_done_parse(const char *body, size_t n, struct why *why)
{
	json_object *o = object_parse(body, n, why);
	json_object *done;
	int rc;

	if (!o)
		return -EPROTO;
	rc = error_check(o, why);
	done = member(o, "done", json_type_boolean);
	if (!rc && !(done && json_object_get_boolean(done)))
		rc = why_set(why, -EPROTO, "its answer ended without \"done\":true");
	json_object_put(o);
	return rc;
}

int probe_embed_parse(const char *body, size_t n, bool empty, struct why *why)
{
	json_object *o = object_parse(body, n, why);
	json_object *list, *first;
	int rc;

	if (!o)
		return -EPROTO;
	rc = error_check(o, why);
	list = member(o, "embeddings", json_type_array);
	first = list && json_object_array_length(list) ? json_object_array_get_idx(list, 0) : NULL;
	if (!rc && !list && !(empty && json_object_object_get_ex(o, "embeddings", NULL)))
		rc = why_set(why, -EPROTO, "its answer has no \"embeddings\"");
	else if (!rc && !empty && (!json_object_is_type(first, json_type_array) || json_object_array_length(first) == 0))
		rc = why_set(why, -EPROTO, "its answer has an empty embedding");
	json_object_put(o);
	return rc;
}

/* A foreign text for our sentences: one line, no control bytes. */
static void why_foreign(struct why *out, const char *p, size_t n)
{
	size_t max = sizeof(out->text) - 1;

	if (n > max)
		n = max;
	for (size_t i = 0; i < n; i++)
		out->text[i] = (unsigned char)p[i] < 0x20 || p[i] == 0x7f ? ' ' : p[i];
	out->text[n] = 0;
}

void probe_error_parse(const char *body, size_t n, struct why *out)
{
	json_object *o = object_parse(body, n, NULL);
	json_object *e = o ? member(o, "error", json_type_string) : NULL;

	if (e)
		why_foreign(out, json_object_get_string(e), (size_t)json_object_get_string_len(e));
	else if (!o && n && !memchr(body, '{', n) && !memchr(body, '<', n))
		why_foreign(out, body, n < 120 ? n : 120);
	json_object_put(o);
}

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar; years from 1970. */
static uint64_t days_of(unsigned y, unsigned m, unsigned d)
{
	static const unsigned BEFORE[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	unsigned leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
	unsigned past = y - 1;
	uint64_t leaps = (uint64_t)past / 4 - past / 100 + past / 400 - 477; /* 477 leap days before 1970 */

	return (uint64_t)(y - 1970) * 365 + leaps + BEFORE[m - 1] + (m > 2 ? leap : 0) + d - 1;
}

/* Text in the shape of a pattern, in which 0 stands for any digit. */
static bool shape_is(const char *text, const char *pattern)
{
	for (; *pattern; text++, pattern++)
		if (*pattern == '0' ? *text < '0' || *text > '9' : *text != *pattern)
			return false;
	return true;
}

static unsigned two_digits(const char *p)
{
	return (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
}

bool probe_time_parse(const char *text, uint64_t *wall_ns)
{
	unsigned y, mo, d, h, mi, s, oh = 0, om = 0;
	uint64_t frac = 0, scale = NS_PER_S, t, off;
	const char *p;
	char sign;

	if (!shape_is(text, "0000-00-00T00:00:00"))
		return false;
	y = two_digits(text) * 100 + two_digits(text + 2);
	mo = two_digits(text + 5);
	d = two_digits(text + 8);
	h = two_digits(text + 11);
	mi = two_digits(text + 14);
	s = two_digits(text + 17);
	if (mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || s > 60)
		return false;
	p = text + 19;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++)
			if (scale > 1) {
				scale /= 10;
				frac += scale * (uint64_t)(*p - '0');
			}
	sign = *p;
	if (sign == 'Z' ? p[1] != 0 : (sign != '+' && sign != '-') || !shape_is(p + 1, "00:00") || p[6])
		return false;
	if (sign != 'Z') {
		oh = two_digits(p + 1);
		om = two_digits(p + 4);
	}
	if (y > 2200 || y < 1971) { /* "forever" is 292 years ahead; Go's zero time is the year 1 */
		*wall_ns = y > 2200 ? PROBE_FOREVER : 0;
		return true;
	}
	t = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + s;
	off = oh * 3600 + om * 60;
	*wall_ns = (sign == '+' ? t - off : t + off) * NS_PER_S + frac;
	return true;
}
