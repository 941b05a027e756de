/* Paths: what was decoded cannot change any more, and routes are found by it without a crash. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "http/dialect.h"
#include "http/http.h"

#define ROOM 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = exact_copy((const char *)data, size), *path = malloc(ROOM), again[ROOM], escaped[3 * ROOM + 1], allow[32];
	int n, n_again;
	size_t e = 0;
	const struct route *r;
	struct span tail;

	CHECK(path);
	n = http_path_decode((struct span){copy, size}, path, ROOM);
	free(copy);
	CHECK(n == -EINVAL || (n > 0 && n < ROOM));
	if (n > 0) {
		CHECK(path[0] == '/' && strlen(path) == (size_t)n && !strstr(path, "//") && !strchr(path, '\\'));
		CHECK(!strstr(path, "/./") && !strstr(path, "/../"));
		CHECK(n == 1 || (path[n - 1] != '/' && strcmp(path + n - 2, "/.") != 0));
		CHECK(n < 3 || strcmp(path + n - 3, "/..") != 0);
		/* Every byte escaped but the slashes: the same path. */
		for (int i = 0; i < n; i++) {
			CHECK((unsigned char)path[i] >= 0x20 && path[i] != 0x7f);
			if (path[i] == '/')
				escaped[e++] = '/';
			else
				e += (size_t)snprintf(escaped + e, 4, "%%%02X", (unsigned char)path[i]);
		}
		n_again = http_path_decode((struct span){escaped, e}, again, sizeof(again));
		CHECK(n_again == n && memcmp(again, path, (size_t)n) == 0);
		r = route_find(path, &tail);
		CHECK(!tail.p || (tail.p > path && tail.p + tail.n == path + n && tail.n && !memchr(tail.p, '/', tail.n)));
		if (r)
			CHECK(strlen(route_allow(r, allow, sizeof(allow))) > 0);
		CHECK(route_dialect_of(path) <= DIALECT_TSA);
	}
	free(path);
	return 0;
}
