/* What http/view.h finds in bodies, in the form of view.go: so that the two can be held against each other.  A body that tsa refuses, but
 * not for its grammar, is "strict": Go may read it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "http/view.h"

static const char *const TOP[VIEW_KEY_COUNT] = {
#define VIEW_KEY(id, key) [VIEW_K_##id] = key,
#include "http/view_keys.def"
#undef VIEW_KEY
};

static void member(const char *name, struct span raw)
{
	printf(" %s=%02x:%zu", name, (unsigned char)raw.p[0], raw.n);
}

/* The order of Go's struct, not that of the body. */
static void options_print(const struct view *v)
{
	static const char *const ORDER[] = {"num_ctx",  "num_batch",  "num_gpu",          "main_gpu",
					    "use_mmap", "num_thread", "draft_num_predict"};

	for (size_t o = 0; o < ARRAY_SIZE(ORDER); o++)
		for (unsigned i = 0; i < v->n_reload; i++)
			if (strcmp(v->reload[i].name, ORDER[o]) == 0)
				member(ORDER[o], v->reload[i].raw);
}

static void look(struct span body)
{
	static struct view v;
	enum view_fault fault = view_scan(body, &v, NULL);

	if (fault == VIEW_DUPLICATE || fault == VIEW_DEEP) {
		puts("strict");
		return;
	}
	if (fault != VIEW_OK) {
		puts("bad");
		return;
	}
	printf("ok");
	for (unsigned k = 0; k < VIEW_KEY_COUNT; k++)
		if (v.at[k].kind != VIEW_ABSENT)
			member(TOP[k], v.at[k].raw);
	options_print(&v);
	puts("");
}

int main(void)
{
	char head[9] = "";

	while (fread(head, 1, 8, stdin) == 8) {
		size_t n = strtoul(head, NULL, 16);
		char *text = malloc(n ? n : 1);

		BUG_ON(!text || fread(text, 1, n, stdin) != n);
		look((struct span){text, n});
		free(text);
	}
	return 0;
}
