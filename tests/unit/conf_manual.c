/* tsa.conf(5) has every keyword in its section, with its default. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "conf/loading.h"

#define PAGE_BYTES 65536

static const char *const HEADINGS[CONF_IN_COUNT] = {
	[CONF_IN_TOP] = ".Sh KEYWORDS OUTSIDE OF SECTIONS\n",
	[CONF_IN_LIMITS] = ".Sh SECTION limits\n",
	[CONF_IN_DEADLINES] = ".Sh SECTION deadlines\n",
	[CONF_IN_ROUTING] = ".Sh SECTION routing\n",
	[CONF_IN_WEIGHTS] = ".Ss SECTION weights\n",
	[CONF_IN_SLOW] = ".Ss SECTION slow\n",
	[CONF_IN_BREAKER] = ".Ss SECTION breaker\n",
	[CONF_IN_RETRIES] = ".Ss SECTION retries\n",
	[CONF_IN_AFFINITY] = ".Ss SECTION affinity\n",
	[CONF_IN_WAIT] = ".Ss SECTION wait\n",
	[CONF_IN_INTERACTIVE] = ".Ss SECTION interactive\n",
	[CONF_IN_NORMAL] = ".Ss SECTION normal\n",
	[CONF_IN_BATCH] = ".Ss SECTION batch\n",
	[CONF_IN_AUTOMATIC] = ".Ss SECTION auto\n",
	[CONF_IN_SCORES] = ".Ss SECTION scores\n",
	[CONF_IN_MODEL] = ".Sh SECTION model\n",
	[CONF_IN_INSTANCE] = ".Sh SECTION instance\n",
	[CONF_IN_MEMORY] = ".Ss SECTION memory\n",
};

static char page[PAGE_BYTES];

static int page_read(void **state)
{
	FILE *f = fopen("man/tsa.conf.5", "re");
	size_t n = f ? fread(page, 1, sizeof(page) - 1, f) : 0;

	(void)state;
	if (f)
		fclose(f);
	page[n] = 0;
	return n ? 0 : -1;
}

/* The text of `keyword` in its section, into `out`; false: there is none. */
static bool item_find(const struct conf_keyword *k, char *out, size_t size)
{
	const char *section = strstr(page, HEADINGS[k->section]);
	const char *end, *item, *item_end;
	char begin[80];

	if (!section)
		return false;
	section += strlen(HEADINGS[k->section]);
	end = strstr(section, "\n.S");
	snprintf(begin, sizeof(begin), ".It Cm %s No =", k->word);
	item = strstr(section, begin);
	if (!item || !end || item > end)
		return false;
	item_end = strstr(item + 1, "\n.It ");
	if (!item_end || item_end > end)
		item_end = end;
	snprintf(out, size, "%.*s", (int)(item_end - item), item);
	return true;
}

static void every_keyword_is_described(void **state)
{
	char text[4096];

	(void)state;
	for (unsigned i = 0; i < CONF_KW_COUNT; i++) {
		const struct conf_keyword *k = conf_keyword(i);

		if (!item_find(k, text, sizeof(text)))
			fail_msg("man/tsa.conf.5 does not describe \"%s\" of section \"%s\"", k->word,
				 conf_section_word(k->section));
		if (k->preset && !strstr(text, k->preset))
			fail_msg("man/tsa.conf.5 does not say that \"%s\" of section \"%s\" is %s by default", k->word,
				 conf_section_word(k->section), k->preset);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_keyword_is_described),
	};

	return cmocka_run_group_tests(tests, page_read, NULL);
}
