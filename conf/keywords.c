#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "conf/loading.h"

#define TARGET_TOP           struct conf
#define TARGET_LIMITS        struct conf
#define TARGET_DEADLINES     struct conf
#define TARGET_ROUTING       struct conf
#define TARGET_WEIGHTS       struct conf
#define TARGET_SLOW          struct conf
#define TARGET_BREAKER       struct conf
#define TARGET_RETRIES       struct conf
#define TARGET_AFFINITY      struct conf
#define TARGET_WAIT          struct conf
#define TARGET_INTERACTIVE   struct conf
#define TARGET_NORMAL        struct conf
#define TARGET_BATCH         struct conf
#define TARGET_AUTOMATIC     struct conf
#define TARGET_SCORES        struct conf
#define TARGET_MODEL         struct conf_rule
#define TARGET_INSTANCE      struct conf_instance
#define TARGET_MEMORY        struct conf_instance
#define MEMBER_SIZE(type, m) sizeof(((type *)NULL)->m)

static const struct conf_keyword KEYWORDS[CONF_KW_COUNT] = {
#define KEYWORD(section_, word_, kind_, member, least_, most_, default_, meaning)                                                  \
	[CONF_KW_##section_##_##word_] = {.section = CONF_IN_##section_,                                                           \
					  .word = #word_,                                                                          \
					  .kind = CONF_KIND_##kind_,                                                               \
					  .offset = offsetof(TARGET_##section_, member),                                           \
					  .size = MEMBER_SIZE(TARGET_##section_, member),                                          \
					  .least = least_,                                                                         \
					  .most = most_,                                                                           \
					  .preset = default_},
#include "conf/keywords.def"
};

static const struct {
	const char *word;
	enum conf_section parent;
	bool titled;
} SECTIONS[CONF_IN_COUNT] = {
	[CONF_IN_TOP] = {"", CONF_IN_NONE, false},
#define SECTION(id, word_, parent_, titled_, meaning) [CONF_IN_##id] = {#word_, CONF_IN_##parent_, titled_},
#include "conf/keywords.def"
};

const struct conf_keyword *conf_keyword(enum conf_keyword_id id)
{
	return &KEYWORDS[id];
}

bool conf_keyword_list(enum conf_keyword_id id)
{
	return KEYWORDS[id].kind >= CONF_KIND_LISTEN;
}

enum conf_keyword_id conf_keyword_find(enum conf_section section, const char *word)
{
	unsigned id = 0;

	while (id < CONF_KW_COUNT && (KEYWORDS[id].section != section || strcmp(KEYWORDS[id].word, word) != 0))
		id++;
	return id;
}

const char *conf_section_word(enum conf_section section)
{
	return SECTIONS[section].word;
}

enum conf_section conf_section_find(enum conf_section parent, const char *word)
{
	for (unsigned s = CONF_IN_TOP + 1; s < CONF_IN_COUNT; s++)
		if (SECTIONS[s].parent == parent && strcmp(SECTIONS[s].word, word) == 0)
			return s;
	return CONF_IN_NONE;
}

bool conf_section_titled(enum conf_section section)
{
	return SECTIONS[section].titled;
}

/* Words that a section takes, keywords and sections alike, one after the other: for suggestions. */
static const char *section_word(enum conf_section section, unsigned n)
{
	for (unsigned i = 0; i < CONF_KW_COUNT; i++)
		if (KEYWORDS[i].section == section && n-- == 0)
			return KEYWORDS[i].word;
	for (unsigned i = CONF_IN_TOP + 1; i < CONF_IN_COUNT; i++)
		if (SECTIONS[i].parent == section && n-- == 0)
			return SECTIONS[i].word;
	return NULL;
}

/* Edit distance, transpositions included, of words shorter than 32; longer ones are far from everything. */
static unsigned distance(const char *a, const char *b)
{
	unsigned d[33][33];
	size_t n = strlen(a), m = strlen(b);

	if (n > 32 || m > 32)
		return 99;
	for (unsigned i = 0; i <= n; i++)
		d[i][0] = i;
	for (unsigned j = 0; j <= m; j++)
		d[0][j] = j;
	for (unsigned i = 1; i <= n; i++)
		for (unsigned j = 1; j <= m; j++) {
			unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	return d[n][m];
}

/* Near: a third of the letters may differ, or one word begins with the other. */
static bool near(const char *typed, const char *word)
{
	size_t n = strlen(typed), m = strlen(word);

	if (n >= 3 && strncmp(typed, word, n < m ? n : m) == 0)
		return true;
	return distance(typed, word) <= (m <= 4 ? 1 : 2);
}

static void add(char *buf, size_t size, const char *text)
{
	size_t n = strlen(buf);

	if (n < size)
		snprintf(buf + n, size - n, "%s", text);
}

static void add_list(enum conf_section section, const char *typed, bool near_only, char *buf, size_t size)
{
	const char *word;
	bool first = true;

	for (unsigned i = 0; (word = section_word(section, i)); i++) {
		if (near_only && !near(typed, word))
			continue;
		add(buf, size, first ? "" : near_only ? " or " : ", ");
		add(buf, size, word);
		first = false;
	}
}

void conf_keyword_suggest(enum conf_section section, const char *typed, char *buf, size_t size)
{
	char some[160] = "", close[160] = "";

	buf[0] = 0;
	for (unsigned s = CONF_IN_TOP; s < CONF_IN_COUNT; s++) {
		if (s == section || (conf_keyword_find(s, typed) == CONF_KW_COUNT && !conf_section_find(s, typed)))
			continue;
		add(some, sizeof(some), *some ? " or " : "");
		if (s == CONF_IN_TOP) {
			add(some, sizeof(some), "outside of any section");
			continue;
		}
		add(some, sizeof(some), "in ");
		add(some, sizeof(some), SECTIONS[s].word);
		add(some, sizeof(some), " { }");
	}
	if (*some) {
		/* a slip of the pen is as likely as the wrong section */
		add_list(section, typed, true, close, sizeof(close));
		add(buf, size, *close ? "write " : "");
		add(buf, size, close);
		add(buf, size, *close ? "; or " : "");
		add(buf, size, "it belongs ");
		add(buf, size, some);
		return;
	}
	add_list(section, typed, true, some, sizeof(some));
	add(buf, size, *some ? "write " : "write one of ");
	if (*some)
		add(buf, size, some);
	else
		add_list(section, typed, false, buf, size);
}
