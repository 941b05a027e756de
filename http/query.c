#include "http/query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/bytes.h"

/* Into `to`, which has room for as many bytes as there are. */
static size_t unescape(struct span s, char *to)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		int high = s.p[i] == '%' && s.n - i > 2 ? byte_hex(s.p[i + 1]) : -1;
		int low = high >= 0 ? byte_hex(s.p[i + 2]) : -1;

		if (low >= 0) {
			to[n++] = (char)(high << 4 | low);
			i += 2;
		} else {
			to[n++] = s.p[i] == '+' ? ' ' : s.p[i];
		}
	}
	return n;
}

/* Into `to`, which has room for three times as many bytes. */
static size_t make_utf8(const char *p, size_t n, char *to)
{
	size_t out = 0;

	for (size_t i = 0; i < n;) {
		unsigned len = byte_utf8(p + i, n - i);

		memcpy(to + out, len ? p + i : "\xef\xbf\xbd", len ? len : 3);
		out += len ? len : 3;
		i += len ? len : 1;
	}
	return out;
}

/* `room` has four times the length of the query. */
static int pair_add(struct json_object *o, struct span pair, char *room)
{
	const char *eq = memchr(pair.p, '=', pair.n);
	size_t name_n = eq ? (size_t)(eq - pair.p) : pair.n, n;
	struct span value = eq ? (struct span){eq + 1, pair.n - name_n - 1} : (struct span){"", 0};
	char name[128];
	struct json_object *text;

	n = unescape((struct span){pair.p, name_n}, room);
	if (!n || !span_copy(name, sizeof(name), (struct span){room + n, make_utf8(room, n, room + n)}))
		return 0; /* no name that anybody asks for */
	n = unescape(value, room);
	text = json_object_new_string_len(room + n, (int)make_utf8(room, n, room + n));
	if (text && json_object_object_add(o, name, text) == 0)
		return 0;
	json_object_put(text);
	return -ENOMEM;
}

int query_parse(struct span query, struct json_object **out)
{
	struct json_object *o = json_object_new_object();
	char *room = malloc(4 * query.n + 1);
	int rc = o && room ? 0 : -ENOMEM;

	while (rc == 0 && query.n) {
		const char *amp = memchr(query.p, '&', query.n);
		size_t n = amp ? (size_t)(amp - query.p) : query.n;

		rc = pair_add(o, (struct span){query.p, n}, room);
		n += amp ? 1 : 0;
		query.p += n;
		query.n -= n;
	}
	free(room);
	if (rc == 0)
		*out = o;
	else
		json_object_put(o);
	return rc;
}
