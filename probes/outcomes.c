#include "probes/probes.h"

static const struct probe_outcome_info INFOS[PROBE_OUTCOME_COUNT] = {
#define OUTCOME(name, word, grade, sentence, look) [PROBE_##name] = {(word), PROBE_##grade, (sentence), (look)},
#include "probes/outcomes.def"
#undef OUTCOME
};

const struct probe_outcome_info *probe_outcome_info(uint64_t outcome)
{
	return &INFOS[outcome < PROBE_OUTCOME_COUNT ? outcome : PROBE_NONE];
}
