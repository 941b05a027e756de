/* http/view.h - what routing needs to know of a JSON request body, found without building a tree.
 *
 * One pass over the bytes, no allocation; a 200 KB conversation costs tens of microseconds, because strings are skipped many
 * bytes at a time.  The reading agrees with Go's encoding/json as Ollama uses it where both accept a body, and refuses what
 * could be read in two ways: two keys of one object that fold to the same name, anything but blanks after the value, nesting
 * deeper than VIEW_DEPTH_MAX, a body that is not an object.  (Ollama itself: last one wins, trailing bytes ignored.)
 * Keys fold as Go folds them: ASCII case, U+017F for s, U+212A for k, escapes resolved first. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define VIEW_DEPTH_MAX  1000 /* Go's own limit is 10,000; no client needs a tenth of ours */
#define VIEW_ADJUST_MAX 16

enum view_kind { VIEW_ABSENT = 0, VIEW_NULL, VIEW_FALSE, VIEW_TRUE, VIEW_NUMBER, VIEW_STRING, VIEW_ARRAY, VIEW_OBJECT };

/* A top-level value: where it stands, what it is. */
struct view_value {
	struct span raw; /* the bytes of the value, quotes included */
	enum view_kind kind;
	bool empty; /* "", [] or {} */
};

/* The top-level keys that routing needs.  VIEW_KEY(member, "json key") */
enum view_key {
#define VIEW_KEY(id, key) VIEW_K_##id,
#include "http/view_keys.def"
#undef VIEW_KEY
	VIEW_KEY_COUNT
};

/* Keys of `options` whose change makes Ollama reload a resident model. */
struct view_option {
	const char *name; /* canonical spelling, static */
	struct span raw;  /* its value */
};

struct view {
	struct view_value at[VIEW_KEY_COUNT];
	struct view_option
		reload[VIEW_ADJUST_MAX]; /* num_ctx, num_batch, num_gpu, main_gpu, use_mmap, num_thread, draft_num_predict */
	unsigned n_reload;
	struct span num_predict; /* the value of that option, .p NULL where it is absent */
	uint64_t text_bytes; /* bytes inside string values anywhere: the cheap measure of prompt length */
};

enum view_fault {
	VIEW_OK = 0,
	VIEW_EMPTY,  /* no bytes, or blanks only */
	VIEW_SYNTAX, /* not JSON; *at says where */
	VIEW_NOT_OBJECT,
	VIEW_DUPLICATE, /* two keys of one object (top level or options) fold to the same name */
	VIEW_TRAILING,  /* bytes after the value */
	VIEW_DEEP,
	VIEW_FAULT_COUNT
};

/* Look at a whole body.  On failure *out is unspecified and *at (may be NULL) is the offset of the trouble. */
enum view_fault view_scan(struct span body, struct view *out, size_t *at);

/* One sentence for the client, static. */
const char *view_fault_text(enum view_fault fault);

/* The text of a VIEW_STRING, escapes resolved, into `buf` as a C string.  Length; -EINVAL not a string; -ENAMETOOLONG; -EILSEQ a NUL
 * or a lone surrogate. */
int view_string(const struct view_value *v, char *buf, size_t size);

/* The same without a NUL and cut at `size`; what cannot be read becomes a question mark.  Its length, 0 when it is no string. */
size_t view_text(const struct view_value *v, char *buf, size_t size);

/* What stands inside an array or object of a scanned body, one after the other. */
struct view_walk {
	const char *p, *end;
	bool object;
};

struct view_walk view_walk_begin(const struct view_value *v);
/* False at the end.  *key (may be NULL) is for view_key_is(), and empty in an array. */
bool view_walk_next(struct view_walk *w, struct span *key, struct view_value *v);
/* The key folds to `name`. */
bool view_key_is(struct span key, const char *name);

/* A VIEW_STRING's text is the empty string. */
static inline bool view_is_blank(const struct view_value *v)
{
	return v->kind == VIEW_ABSENT || v->kind == VIEW_NULL || v->empty;
}
