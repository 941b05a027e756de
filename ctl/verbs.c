#include "ctl/ctl.h"

static const struct ctl_verb_info VERBS[CTL_VERB_COUNT] = {
#define VERB(id, word, args, min, max, help) [CTL_##id] = {CTL_##id, (word), (args), (min), (max), (help)},
#include "ctl/verbs.def"
#undef VERB
};

const struct ctl_verb_info *ctl_verbs(void)
{
	return VERBS;
}
