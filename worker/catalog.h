/* worker/catalog.h - the models of one instance: what its store has, what is resident, what the configuration wants.
 *
 * Pure: lists of probes/ go in, the board's models line comes out.  Pointers to models last until catalog_take_tags. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "probes/probes.h"
#include "shm/layout.h"

#define CATALOG_MAX (PROBE_MODELS + 16) /* one list of the instance, and configured ones that it does not have */

struct model {
	char name[PROBE_NAME]; /* as the instance spells it; a configured one that it does not have: as configured */
	char family[32];
	uint8_t digest[PROBE_DIGEST];
	uint64_t size_bytes, resident_bytes, vram_bytes;
	uint64_t expires_wall_ns;
	uint64_t context;
	uint64_t load_ns;   /* how long its last load took */
	uint64_t loaded_ns; /* when it ended well: an older /api/ps knows nothing of it */
	uint64_t retry_ns;  /* after a failed load: not before */
	uint64_t used_wall_ns;
	unsigned failures; /* loads in a row */
	unsigned caps;
	unsigned configured; /* 1 for the primary, 2 … in the order of the configuration; 0: not configured */
	bool available, resident, loading;
	bool show_asked;  /* capabilities were asked for by /api/show, whatever came of it */
	bool absent_said; /* the operator was told that a configured one is missing */
	bool embed_only;  /* learned from a refusal */
	bool leaving;     /* shall be unloaded once */
	bool held;        /* was unloaded on purpose: not kept warm until somebody wants it again */
};

struct catalog {
	unsigned n;
	unsigned more; /* models beyond CATALOG_MAX */
	bool tags_known, ps_known;
	char primary[PROBE_NAME]; /* empty: none */
	struct model at[CATALOG_MAX];
};

/* Models of the configuration, the primary first; keeps what is known of them. */
void catalog_configure(struct catalog *c, const char *const *names, unsigned n);

/* An answer of /api/tags. */
void catalog_take_tags(struct catalog *c, const struct probe_models *tags);

/* An answer of /api/ps that was asked for at `asked_ns`. */
void catalog_take_ps(struct catalog *c, const struct probe_models *ps, uint64_t asked_ns);

/* The instance has ended: nothing is resident, and what it could not load may work next time. */
void catalog_forget(struct catalog *c);

struct model *catalog_find(struct catalog *c, const char *name);
bool model_embeds(const struct model *m);

/* The model to keep warm: the first configured one that is there; without configured ones the present primary while it is there,
 * else a resident one, else the smallest that can chat, else the smallest.  NULL: none.  Sets c->primary. */
struct model *catalog_primary_choose(struct catalog *c);

/* The model that shows whether the instance is able: the primary; while that cannot be loaded, another resident one, or the
 * next configured one that may be tried.  NULL: none. */
struct model *catalog_target(struct catalog *c, uint64_t now_ns);

/* The most interesting SHM_MODELS of them: primary, configured, resident, then as /api/tags has them. */
void catalog_show(const struct catalog *c, uint64_t now_ns, struct shm_models *out);
