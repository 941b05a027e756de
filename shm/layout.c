/* The layout as this compiler sees it: asserted against fields.def, and hashed into every stamp. */
#include "shm/layout.h"

#include "base/bug.h"
#include "shm/fds.h"

/* --- offsets and sizes -------------------------------------------------------------------------------------------------------- */

#define BEGIN(type)
#define FIELD(type, member, at) _Static_assert(offsetof(struct type, member) == (at), #type "." #member " has moved");
#define END(type, bytes)        _Static_assert(sizeof(struct type) == (bytes) && (bytes) % CACHE_LINE == 0, #type " has another size");
#define END_PACKED(type, bytes) _Static_assert(sizeof(struct type) == (bytes) && (bytes) % 8 == 0, #type " has another size");
#include "shm/fields.def"
#undef BEGIN
#undef FIELD
#undef END
#undef END_PACKED

/* --- no padding: the members of a payload add up to it ------------------------------------------------------------------------ */

/* clang-format off */
#define BEGIN(type)             enum { SUM_##type = 0
#define FIELD(type, member, at) + sizeof(((struct type *)0)->member)
#define END(type, bytes)        };
#define END_PACKED(type, bytes) }; _Static_assert(SUM_##type == (bytes), #type " has padding, or a member that fields.def lacks");
/* clang-format on */
#include "shm/fields.def"
#undef BEGIN
#undef FIELD
#undef END
#undef END_PACKED

/* --- what the machine must offer ---------------------------------------------------------------------------------------------- */

_Static_assert(ATOMIC_LONG_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
	       "a lock inside an atomic would live in one process and die with it");
_Static_assert(sizeof(_Atomic uint64_t) == 8 && alignof(_Atomic uint64_t) == 8, "board words are 8 bytes");
_Static_assert(sizeof(_Atomic uint32_t) == 4 && alignof(_Atomic uint32_t) == 4, "histogram words are 4 bytes");

/* --- the hash ----------------------------------------------------------------------------------------------------------------- */

struct row {
	const char *name;
	size_t at;
	size_t bytes;
};

static const struct row ROWS[] = {
#define BEGIN(type)             {#type, 0, 0},
#define FIELD(type, member, at) {#member, offsetof(struct type, member), sizeof(((struct type *)0)->member)},
#define END(type, bytes)        {"", 0, sizeof(struct type)},
#define END_PACKED(type, bytes) {"", 0, sizeof(struct type)},
#include "shm/fields.def"
#undef BEGIN
#undef FIELD
#undef END
#undef END_PACKED
/* A state inserted in the middle would move no field and change what the number means. */
#define STATE(name, word, sentence) {word, SHM_STATE_##name, 0},
#include "shm/states.def"
#undef STATE
};

static uint64_t fnv_byte(uint64_t h, unsigned char byte)
{
	return (h ^ byte) * 0x100000001b3ULL;
}

static uint64_t fnv_number(uint64_t h, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		h = fnv_byte(h, (unsigned char)(v >> (8 * i)));
	return h;
}

uint64_t shm_layout_hash(void)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < ARRAY_SIZE(ROWS); i++) {
		for (const char *p = ROWS[i].name; *p; p++)
			h = fnv_byte(h, (unsigned char)*p);
		h = fnv_number(h, ROWS[i].at);
		h = fnv_number(h, ROWS[i].bytes);
	}
	/* Words may keep their places and change their meaning from one version to the next. */
	for (const char *p = TSA_VERSION; *p; p++)
		h = fnv_byte(h, (unsigned char)*p);
	return h;
}
