/* Any query: the object is what a slow reading finds, and written out with every byte escaped it reads the same. */
#include "http/query.h"
#include "tests/fuzz/slow_utf8.h"

#define NAME_MOST 128 /* longer names are nobody's */

static int digit(char c)
{
	static const char HEX[] = "0123456789abcdef";
	const char *at = c ? strchr(HEX, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

	return at ? (int)(at - HEX) : -1;
}

/* Without escapes and repaired; free it. */
static char *plain(const char *p, size_t n, size_t *out_n)
{
	char *text = malloc(n + 1), *repaired;
	size_t to = 0;

	CHECK(text);
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '%' && i + 2 < n && digit(p[i + 1]) >= 0 && digit(p[i + 2]) >= 0) {
			text[to++] = (char)(digit(p[i + 1]) * 16 + digit(p[i + 2]));
			i += 2;
		} else {
			text[to++] = p[i] == '+' ? ' ' : p[i];
		}
	}
	repaired = slow_repaired(text, to, out_n);
	free(text);
	return repaired;
}

static void part_read(struct json_object *o, const char *p, size_t n)
{
	size_t eq = 0, name_n, value_n;
	char *name, *value;

	while (eq < n && p[eq] != '=')
		eq++;
	name = plain(p, eq, &name_n);
	value = eq < n ? plain(p + eq + 1, n - eq - 1, &value_n) : plain("", 0, &value_n);
	if (name_n && name_n < NAME_MOST && !memchr(name, 0, name_n))
		json_object_object_add(o, name, json_object_new_string_len(value, (int)value_n));
	free(name);
	free(value);
}

static struct json_object *slow_query(const char *p, size_t n)
{
	struct json_object *o = json_object_new_object();
	size_t from = 0;

	CHECK(o);
	for (size_t i = 0; i <= n; i++)
		if (i == n || p[i] == '&') {
			part_read(o, p + from, i - from);
			from = i + 1;
		}
	return o;
}

static size_t escaped(const char *p, size_t n, char *to)
{
	for (size_t i = 0; i < n; i++)
		snprintf(to + 3 * i, 4, i % 2 ? "%%%02x" : "%%%02X", (unsigned char)p[i]);
	return 3 * n;
}

static void round_trip(struct json_object *o, size_t size)
{
	char *query = malloc(18 * size + 64);
	struct json_object *again = NULL;
	size_t n = 0;

	CHECK(query);
	json_object_object_foreach(o, name, value)
	{
		n += escaped(name, strlen(name), query + n);
		query[n++] = '=';
		n += escaped(json_object_get_string(value), (size_t)json_object_get_string_len(value), query + n);
		query[n++] = '&';
	}
	CHECK(query_parse((struct span){query, n}, &again) == 0 && json_object_equal(o, again));
	json_object_put(again);
	free(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = exact_copy((const char *)data, size);
	struct json_object *got = NULL, *want = slow_query(copy, size);

	CHECK(query_parse((struct span){copy, size}, &got) == 0);
	CHECK(json_object_is_type(got, json_type_object) && json_object_equal(want, got));
	round_trip(got, size);
	json_object_put(want);
	json_object_put(got);
	free(copy);
	return 0;
}
