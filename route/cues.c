#include "route/cues.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"

#define SLOTS     8192 /* power of two, several times the words */
#define WORDS_MAX 4096

static const char *const NAMES[] = {
#define CUE(id, name) [CUE_##id] = name,
#include "route/cues.def"
#undef CUE
};

static const char *const TAG_NAMES[] = {
#define TAG(id, name, category, words) [TAG_##id] = name,
#include "route/tags.def"
#undef TAG
};

static const char *const GROUP_WORDS[] = {
#define WORDS(id, words) [GROUP_##id] = words,
#include "route/cue_words.def"
#undef WORDS
};

static const struct {
	enum cue_group group;
	const char *words;
} LANGUAGES[] = {
#define LANGUAGE(id, words) {GROUP_##id, words},
#include "route/cue_languages.def"
#undef LANGUAGE
};

static const char *const TAG_WORDS[] = {
#define TAG(id, name, category, words) [TAG_##id] = words,
#include "route/tags.def"
#undef TAG
};

struct meaning {
	uint64_t groups, tags;
};

struct cue_words {
	uint64_t hash[SLOTS];    /* 0: free */
	uint16_t meaning[SLOTS]; /* index of `meanings` */
	unsigned n;
	struct meaning meanings[WORDS_MAX];
};

/* Groups whose first, second and fourth word light a cue; CUE_COUNT: none. */
static const struct {
	enum cue_group group;
	enum cue one, two, four;
} STEPS[] = {
	{GROUP_CODE, CUE_CODE_1, CUE_CODE_2, CUE_CODE_4},
	{GROUP_MATH, CUE_MATH_1, CUE_MATH_2, CUE_MATH_4},
	{GROUP_REASONING, CUE_REASONING_1, CUE_REASONING_2, CUE_REASONING_4},
	{GROUP_CREATIVE, CUE_CREATIVE_1, CUE_CREATIVE_2, CUE_CREATIVE_4},
	{GROUP_NLP, CUE_NLP_1, CUE_NLP_2, CUE_NLP_4},
	{GROUP_DATA, CUE_DATA_1, CUE_DATA_2, CUE_DATA_4},
	{GROUP_SAFETY, CUE_SAFETY_1, CUE_SAFETY_2, CUE_SAFETY_4},
	{GROUP_OVERRIDE, CUE_OVERRIDE_1, CUE_OVERRIDE_2, CUE_COUNT},
	{GROUP_SERVICE, CUE_SERVICE_1, CUE_SERVICE_2, CUE_COUNT},
	{GROUP_TECHNICAL, CUE_TECHNICAL_1, CUE_TECHNICAL_2, CUE_COUNT},
	{GROUP_QUANTITY, CUE_QUANTITY_1, CUE_COUNT, CUE_COUNT},
	{GROUP_CHAT, CUE_CHAT_1, CUE_COUNT, CUE_COUNT},
	{GROUP_PERSON, CUE_PERSON, CUE_COUNT, CUE_COUNT},
	{GROUP_GIVEN, CUE_IMPERATIVE_TEXT, CUE_COUNT, CUE_COUNT},
	{GROUP_WORK, CUE_WORK_1, CUE_WORK_2, CUE_COUNT},
	{GROUP_CARE, CUE_CARE_1, CUE_CARE_2, CUE_COUNT},
};

/* The opening word decides, with the one after it. */
static const struct {
	enum cue_group group;
	enum cue cue;
} OPENINGS[] = {
	{GROUP_OPEN_WH, CUE_OPEN_WH},       {GROUP_OPEN_HOW, CUE_OPEN_HOW},         {GROUP_OPEN_WHY, CUE_OPEN_WHY},
	{GROUP_OPEN_AUX, CUE_OPEN_AUX},     {GROUP_OPEN_PLEASE, CUE_OPEN_PLEASE},   {GROUP_OPEN_WRITE, CUE_OPEN_WRITE},
	{GROUP_OPEN_SOLVE, CUE_OPEN_SOLVE}, {GROUP_OPEN_BUILD, CUE_OPEN_BUILD},     {GROUP_OPEN_TEXT, CUE_OPEN_TEXT},
	{GROUP_OPEN_DATA, CUE_OPEN_DATA},   {GROUP_OPEN_PREMISE, CUE_OPEN_PREMISE}, {GROUP_OPEN_QUANTIFIER, CUE_OPEN_QUANTIFIER},
	{GROUP_OPEN_ROLE, CUE_OPEN_ROLE},   {GROUP_OPEN_TELL, CUE_OPEN_TELL},       {GROUP_OPEN_CODE, CUE_OPEN_CODE},
	{GROUP_OPEN_I, CUE_OPEN_I},         {GROUP_OPEN_ARTICLE, CUE_OPEN_ARTICLE},
};

static const struct {
	unsigned words;
	enum cue cue;
} LENGTHS[] = {{3, CUE_WORDS_3},   {6, CUE_WORDS_6},   {10, CUE_WORDS_10},  {18, CUE_WORDS_18},
	       {35, CUE_WORDS_35}, {70, CUE_WORDS_70}, {140, CUE_WORDS_140}};

const char *cue_name(enum cue cue)
{
	return cue < CUE_COUNT ? NAMES[cue] : "";
}

const char *cue_tag_name(enum cue_tag tag)
{
	return tag < TAG_COUNT ? TAG_NAMES[tag] : "";
}

static uint64_t hash_bytes(const char *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3ULL;
	return h | 1;
}

static uint64_t hash_pair(uint64_t first, uint64_t second)
{
	return ((first * 0x9e3779b97f4a7c15ULL) ^ second) * 0xff51afd7ed558ccdULL | 1;
}

static unsigned slot_of(uint64_t hash)
{
	return (unsigned)((hash * 0x9e3779b97f4a7c15ULL) >> 32) & (SLOTS - 1);
}

uint32_t cue_list_checksum(void)
{
	uint64_t h = 0;

	for (unsigned i = 0; i < CUE_COUNT; i++)
		h = hash_pair(h, hash_bytes(NAMES[i], strlen(NAMES[i])));
	return (uint32_t)(h >> 32);
}

/* --- the word lists ------------------------------------------------------------------------------------------------------------ */

/* As a prompt's words are made, so that an entry may be written as people write it. */
static uint64_t entry_hash(const char *p, size_t n)
{
	struct text_walk walk;
	struct text_word word;
	uint64_t hash = 0;
	unsigned parts = 0;

	text_walk_init(&walk, p, n);
	while (text_walk_next(&walk, &word)) {
		uint64_t h = hash_bytes(word.bytes, word.len);

		if (word.bytes[0] == '_')
			continue;
		hash = parts++ ? hash_pair(hash, h) : h;
	}
	BUG_ON(parts < 1 || parts > 2);
	return hash;
}

static void word_add(struct cue_words *w, const char *p, size_t n, struct meaning m)
{
	uint64_t hash = entry_hash(p, n);
	unsigned i;

	for (i = slot_of(hash); w->hash[i] && w->hash[i] != hash; i = (i + 1) % SLOTS)
		;
	if (!w->hash[i]) {
		BUG_ON(w->n == WORDS_MAX);
		w->hash[i] = hash;
		w->meaning[i] = (uint16_t)w->n++;
	}
	w->meanings[w->meaning[i]].groups |= m.groups;
	w->meanings[w->meaning[i]].tags |= m.tags;
}

static void words_add(struct cue_words *w, const char *words, struct meaning m)
{
	while (*words) {
		size_t n = strcspn(words, " ");

		if (n)
			word_add(w, words, n, m);
		words += n + (words[n] == ' ');
	}
}

int cue_words_create(struct cue_words **out, struct why *why)
{
	struct cue_words *w = calloc(1, sizeof(*w));

	if (!w)
		return why_set(why, -ENOMEM, "no memory for the lists of words");
	for (unsigned i = 0; i < GROUP_COUNT; i++)
		words_add(w, GROUP_WORDS[i], (struct meaning){.groups = 1ULL << i});
	for (unsigned i = 0; i < ARRAY_SIZE(LANGUAGES); i++)
		words_add(w, LANGUAGES[i].words, (struct meaning){.groups = 1ULL << LANGUAGES[i].group});
	for (unsigned i = 0; i < TAG_COUNT; i++)
		words_add(w, TAG_WORDS[i], (struct meaning){.tags = 1ULL << i});
	*out = w;
	return 0;
}

void cue_words_destroy(struct cue_words **w)
{
	free(*w);
	*w = NULL;
}

/* --- words as they come ---------------------------------------------------------------------------------------------------------- */

static void cue_set(struct cues *c, enum cue cue, bool on)
{
	if (on && cue < CUE_COUNT)
		c->bits[cue / 64] |= 1ULL << (cue % 64);
}

static const struct meaning *meaning_find(const struct cue_words *w, uint64_t hash)
{
	for (unsigned i = slot_of(hash); w->hash[i]; i = (i + 1) % SLOTS)
		if (w->hash[i] == hash)
			return &w->meanings[w->meaning[i]];
	return NULL;
}

static void openings_take(uint64_t groups, struct cues *c)
{
	for (unsigned i = 0; i < ARRAY_SIZE(OPENINGS); i++)
		cue_set(c, OPENINGS[i].cue, groups >> OPENINGS[i].group & 1);
}

static void meaning_take(const struct meaning *m, bool opening, struct cues *c)
{
	if (opening)
		openings_take(m->groups, c);
	for (uint64_t left = m->groups; left; left &= left - 1) {
		uint8_t *n = &c->group[__builtin_ctzll(left)];

		*n = (uint8_t)(*n + (*n < 255));
	}
	c->tags |= m->tags;
	for (uint64_t left = m->tags; left; left &= left - 1) {
		uint8_t *n = &c->tag[__builtin_ctzll(left)];

		*n = (uint8_t)(*n + (*n < 255));
	}
}

/* A letter that stands alone and is no word of English. */
static bool is_unknown(const struct text_word *word)
{
	return word->len == 1 && !word->mark && word->bytes[0] >= 'b' && word->bytes[0] <= 'z' && word->bytes[0] != 'i' &&
	       word->bytes[0] != 's' && word->bytes[0] != 't';
}

void cues_word(const struct cue_words *w, const struct text_word *word, struct cues_state *s, struct cues *out)
{
	uint64_t hash = hash_bytes(word->bytes, word->len);
	const struct meaning *m = word->mark ? NULL : meaning_find(w, hash);

	if (m)
		meaning_take(m, s->at == 0, out);
	if (s->at) {
		m = meaning_find(w, hash_pair(s->before, hash));
		if (m)
			meaning_take(m, s->at == 1, out);
	}
	s->before = hash;
	s->at++;
	s->unknowns += is_unknown(word);
	out->words += !word->mark || (unsigned char)word->bytes[0] >= 0xe3;
}

void cues_end(const struct text_walk *walk, const struct cues_state *s, struct cues *out)
{
	for (unsigned i = 0; i < ARRAY_SIZE(LENGTHS); i++)
		cue_set(out, LENGTHS[i].cue, out->words >= LENGTHS[i].words);
	for (unsigned i = 0; i < ARRAY_SIZE(STEPS); i++) {
		unsigned n = out->group[STEPS[i].group];

		cue_set(out, STEPS[i].one, n >= 1);
		cue_set(out, STEPS[i].two, n >= 2);
		cue_set(out, STEPS[i].four, n >= 4);
	}
	cue_set(out, CUE_VARIABLE, s->unknowns >= 2);
	cue_set(out, CUE_NON_ASCII, walk->foreign > 0);
	out->foreign = walk->foreign * 2 > walk->letters;
	cue_set(out, CUE_FOREIGN, out->foreign);
}
