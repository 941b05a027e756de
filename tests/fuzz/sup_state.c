/* Bytes in the state file: whatever they are, the parser stays within them, and what it accepts it can print and read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "supervisor/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state first, second;
	static char text[STATE_TEXT_MAX];
	char *copy = malloc(size ? size : 1); /* exactly as long as the file, so that one byte too far is seen */
	struct why why;
	int n;

	BUG_ON(!copy);
	memcpy(copy, data, size);
	if (state_parse(copy, size, &first, &why) == 0) {
		for (unsigned i = 0; i < first.n_children; i++)
			BUG_ON(first.children[i].role <= PROC_ROLE_NONE || first.children[i].role >= PROC_ROLE_COUNT ||
			       first.children[i].index >= SHM_SLOTS || first.children[i].process.pid > INT32_MAX);
		for (unsigned i = 0; i < first.n_ollamas; i++)
			BUG_ON(first.ollamas[i].slot >= SHM_SLOTS);
		n = state_print(&first, text, sizeof(text));
		BUG_ON(n < 0 || state_parse(text, (size_t)n, &second, &why) < 0 || memcmp(&first, &second, sizeof(first)) != 0);
	}
	free(copy);
	return 0;
}
