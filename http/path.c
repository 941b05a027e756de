#include <errno.h>
#include <string.h>

#include "http/bytes.h"
#include "http/http.h"

/* One byte of the path at *i, its escape resolved; -1 when it may not stand there. */
static int path_byte(struct span path, size_t *i)
{
	char c = path.p[(*i)++];
	int high, low;

	if (c == '%') {
		if (path.n - *i < 2)
			return -1;
		high = byte_hex(path.p[*i]);
		low = byte_hex(path.p[*i + 1]);
		if (high < 0 || low < 0)
			return -1;
		*i += 2;
		c = (char)(high << 4 | low);
		if (c == '/')
			return -1;
	}
	if (c == '\\' || byte_is(c, BYTE_CONTROL))
		return -1;
	return (unsigned char)c;
}

static bool segment_valid(const char *p, size_t n)
{
	return n && !(n == 1 && p[0] == '.') && !(n == 2 && p[0] == '.' && p[1] == '.');
}

int http_path_decode(struct span path, char *buf, size_t size)
{
	size_t n = 0, segment = 1;

	if (!path.n || path.p[0] != '/')
		return -EINVAL;
	for (size_t i = 0; i < path.n;) {
		bool separator = path.p[i] == '/';
		int c = path_byte(path, &i);

		if (c < 0 || n + 1 >= size)
			return -EINVAL;
		if (separator && n && !segment_valid(buf + segment, n - segment))
			return -EINVAL;
		buf[n++] = (char)c;
		if (separator)
			segment = n;
	}
	if (n > 1 && !segment_valid(buf + segment, n - segment))
		return -EINVAL;
	buf[n] = 0;
	return (int)n;
}
