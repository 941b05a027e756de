/* What an answer says of its cost: nothing is read outside, every figure is one that stands there behind its name, and what follows the
 * last figure changes nothing unless it is one. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

#include "http/usage.h"

static bool stands_there(const char *p, size_t n, uint64_t v)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)v);

	return v == 0 || memmem(p, n, text, (size_t)len) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *p = exact_copy((const char *)data, size);
	struct usage u, more;

	usage_scan((struct span){p, size}, &u);
	/* Leading zeros aside, which no JSON number has. */
	if (!memmem(p, size, ":0", 2) && !memmem(p, size, " 0", 2)) {
		CHECK(stands_there(p, size, u.prompt_tokens) && stands_there(p, size, u.output_tokens));
		CHECK(stands_there(p, size, u.prompt_ns) && stands_there(p, size, u.output_ns) && stands_there(p, size, u.load_ns));
	}
	if (size && p[size - 1] == '}') {
		p[size - 1] = '\n';
		usage_scan((struct span){p, size}, &more);
		CHECK(memcmp(&u, &more, sizeof(u)) == 0);
	}
	free(p);
	return 0;
}
