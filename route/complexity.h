/* route/complexity.h - how hard a request looks, 0 to 1.  A score of cues: no collection of prompts has an honest label for it (what is
 * hard in one is easy in another), so it is written down here and not learned. */
#pragma once

#include "route/cues.h"

#define COMPLEXITY_MEDIUM_FROM 0.34f
#define COMPLEXITY_HIGH_FROM   0.56f

/* `category` is enum category of classify.h. */
float complexity_score(const struct cues *c, unsigned category);
