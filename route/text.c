#include "route/text.h"

#include "base/bug.h"

enum kind { KIND_DROP, KIND_SPACE, KIND_MARK, KIND_LETTER };

/* U+00C0 to U+017F without case and accent; '.': only the case is folded. */
static const char LATIN[] = "aaaaaa.ceeeeiiii.nooooo..uuuuy..aaaaaa.ceeeeiiii.nooooo..uuuuy.y"
			    "aaaaaaccccccccdd..eeeeeeeeeegggggggghh..iiiiiiiii...jjkk.llllll....nnnnnn...oooooo..rrrrrr"
			    "sssssssstttt..uuuuuuuuuuuuwwyyyzzzzzz.";
_Static_assert(sizeof(LATIN) - 1 == 0x180 - 0xc0, "one letter per code point");

struct range {
	uint32_t from, to;
};

static const struct range SPACES[] = {{0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029},
				      {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
static const struct range DROPPED[] = {{0x80, 0x9f},     {0xad, 0xad},     {0x300, 0x36f},   {0x200b, 0x200f}, {0x202a, 0x202e},
				       {0x2060, 0x2064}, {0x3099, 0x309a}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xfffc, 0xffff}};
static const struct range MARKS[] = {{0xa1, 0xa1},     {0xa7, 0xa7},     {0xab, 0xab},     {0xb6, 0xb7},     {0xbb, 0xbb},
				     {0xbf, 0xbf},     {0x2010, 0x2027}, {0x2030, 0x205e}, {0x2e00, 0x2e5d}, {0x3001, 0x3003},
				     {0x3008, 0x3011}, {0x3014, 0x301f}, {0x3400, 0x4dbf}, {0x4e00, 0x9fff}, {0xf900, 0xfaff},
				     {0xff01, 0xff03}, {0xff05, 0xff0a}, {0xff0c, 0xff0f}, {0xff1a, 0xff1b}, {0xff1f, 0xff20},
				     {0xff3b, 0xff3d}, {0xff5b, 0xff5b}, {0xff5d, 0xff5d}, {0xff61, 0xff65}, {0x20000, 0x2fa1f}};

static bool range_has(const struct range *r, unsigned n, uint32_t cp)
{
	for (unsigned i = 0; i < n && r[i].from <= cp; i++)
		if (cp <= r[i].to)
			return true;
	return false;
}

static enum kind kind_ascii(unsigned char c)
{
	if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
		return KIND_SPACE;
	if (c < 0x20 || c == 0x7f)
		return KIND_DROP;
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return KIND_LETTER;
	return KIND_MARK;
}

static enum kind kind_of(uint32_t cp)
{
	if (cp < 0x80)
		return kind_ascii((unsigned char)cp);
	if (range_has(SPACES, ARRAY_SIZE(SPACES), cp))
		return KIND_SPACE;
	if (range_has(DROPPED, ARRAY_SIZE(DROPPED), cp))
		return KIND_DROP;
	return range_has(MARKS, ARRAY_SIZE(MARKS), cp) ? KIND_MARK : KIND_LETTER;
}

static bool is_ideograph(uint32_t cp)
{
	return (cp >= 0x3400 && cp <= 0x9fff) || (cp >= 0xf900 && cp <= 0xfaff) || cp >= 0x20000;
}

static uint32_t fold_latin(uint32_t cp)
{
	if (LATIN[cp - 0xc0] != '.')
		return (uint32_t)LATIN[cp - 0xc0];
	if (cp < 0x100)
		return cp < 0xdf && cp != 0xd7 ? cp + 32 : cp;
	return cp == 0x141 ? 0x142 : cp | 1; /* pairs of even capital and odd small letter, but for Polish */
}

static uint32_t fold_greek(uint32_t cp)
{
	switch (cp) {
	case 0x386:
	case 0x3ac:
		return 0x3b1;
	case 0x388:
	case 0x3ad:
		return 0x3b5;
	case 0x389:
	case 0x3ae:
		return 0x3b7;
	case 0x38a:
	case 0x3af:
		return 0x3b9;
	case 0x38c:
	case 0x3cc:
		return 0x3bf;
	case 0x38e:
	case 0x3cd:
		return 0x3c5;
	case 0x38f:
	case 0x3ce:
		return 0x3c9;
	default:
		return cp >= 0x391 && cp <= 0x3a9 ? cp + 32 : cp;
	}
}

static uint32_t fold_cyrillic(uint32_t cp)
{
	if (cp >= 0x410 && cp <= 0x42f)
		cp += 32;
	else if (cp >= 0x400 && cp <= 0x40f)
		cp += 80;
	return cp == 0x439 ? 0x438 : cp == 0x451 ? 0x435 : cp == 0x457 ? 0x456 : cp;
}

/* Voiced kana become unvoiced: か to ち by twos, つ to ど by twos after it, は to ぽ by threes. */
static uint32_t fold_kana(uint32_t cp)
{
	uint32_t row = cp >= 0x30a1 ? 0x60 : 0, at = cp - row;

	if (at >= 0x304b && at <= 0x3062)
		at -= (at - 0x304b) % 2;
	else if (at >= 0x3064 && at <= 0x3069)
		at -= (at - 0x3064) % 2;
	else if (at >= 0x306f && at <= 0x307d)
		at -= (at - 0x306f) % 3;
	return at + row;
}

static uint32_t fold(uint32_t cp)
{
	if (cp < 0x80)
		return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
	if (cp >= 0xc0 && cp < 0x180)
		return fold_latin(cp);
	if (cp >= 0x386 && cp <= 0x3ce)
		return fold_greek(cp);
	if (cp >= 0x400 && cp <= 0x457)
		return fold_cyrillic(cp);
	if (cp >= 0x3041 && cp <= 0x30f6)
		return fold_kana(cp);
	return cp;
}

uint32_t text_point(const unsigned char *p, const unsigned char *end, unsigned *len)
{
	static const uint32_t LEAST[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;
	uint32_t cp;

	*len = 1;
	if (n == 1)
		return *p;
	if (n == 0 || (size_t)(end - p) < n)
		return 0xfffd;
	cp = *p & (0x7fU >> n);
	for (unsigned i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0xfffd;
		cp = cp << 6 | (p[i] & 0x3fU);
	}
	if (cp < LEAST[n] || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return 0xfffd;
	*len = n;
	return cp;
}

static void word_push(struct text_word *w, uint32_t cp)
{
	char *out = w->bytes + w->len;

	if (cp < 0x80) {
		*out = (char)cp;
		w->len++;
	} else if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		w->len = (uint8_t)(w->len + 2);
	} else if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		w->len = (uint8_t)(w->len + 3);
	} else {
		out[0] = (char)(0xf0 | cp >> 18);
		out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
		out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[3] = (char)(0x80 | (cp & 0x3f));
		w->len = (uint8_t)(w->len + 4);
	}
}

void text_walk_init(struct text_walk *w, const char *text, size_t len)
{
	w->at = (const unsigned char *)text;
	w->end = w->at + (len < TEXT_READ_MAX ? len : TEXT_READ_MAX);
	w->letters = w->foreign = 0;
}

bool text_walk_next(struct text_walk *w, struct text_word *out)
{
	out->len = 0;
	out->mark = false;
	while (w->at < w->end) {
		unsigned n;
		uint32_t cp = text_point(w->at, w->end, &n);
		enum kind kind = kind_of(cp);

		if (kind == KIND_DROP || (kind == KIND_SPACE && !out->len)) {
			w->at += n;
			continue;
		}
		if (out->len && (kind == KIND_SPACE || kind == KIND_MARK || out->len + 4 > TEXT_WORD_MAX))
			break;
		w->at += n;
		cp = fold(cp);
		word_push(out, cp);
		if (kind == KIND_LETTER || is_ideograph(cp)) {
			w->letters++;
			w->foreign += cp >= 0x80;
		}
		out->mark = kind == KIND_MARK;
		if (out->mark)
			break;
	}
	return out->len > 0;
}
