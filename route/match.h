/* route/match.h - which entry of the registry a model of an Ollama is.
 *
 * Registries name models as their makers do ("Llama-3.3-70B-Instruct-Q4_K_M"), Ollama as its library does ("llama3.3:70b").  In this
 * order: the very name or an alias (":latest" may be left out); the same name but for case, vendor, quantisation and words such as
 * instruct; the same family and size.  A family alone is enough only where the registry has one model of it and neither size is
 * known to differ.  What is still not found can be told in tsa.conf: model "NAME" { registry = ENTRY }.  Pure; nothing allocates. */
#pragma once

#include <stdint.h>

#include "conf/registry.h"

#define MATCH_NONE UINT32_MAX

enum match_how { MATCH_BY_NOTHING = 0, MATCH_BY_NAME, MATCH_BY_ALIAS, MATCH_BY_WORDS, MATCH_BY_SIZE, MATCH_BY_FAMILY, MATCH_COUNT };

/* A name taken apart. */
struct match_name {
	char family[64];   /* letters and digits of what is no size, vendor or variant: "llama3.3" */
	double parameters; /* 0: the name says nothing */
};

void match_name_make(const char *name, struct match_name *out);

/* The entry's number, MATCH_NONE if there is none.  `parameters` as the Ollama tells them, 0 not known; `how` may be NULL. */
uint32_t match_entry(const struct conf_registry *r, const char *name, double parameters, enum match_how *how);

/* "the same family and size" */
const char *match_how_text(enum match_how how);
