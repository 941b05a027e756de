/* What a model is good at: the registry's word, tsa.conf's, or what its name and its Ollama tell. */
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "route/choose.h"
#include "route/tags.h"

#define BYTES_PER_PARAMETER 0.6 /* of the four-bit variants that Ollama pulls by default */

/* Parts of names that say what a model was made for. */
static const struct {
	const char *part;
	unsigned category;
} PARTS[] = {
	{"code", TAX_CODE},          {"coding", TAX_CODE},      {"devstral", TAX_CODE},    {"starcoder", TAX_CODE},
	{"codestral", TAX_CODE},     {"sql", TAX_DATA},         {"math", TAX_MATH},        {"-r1", TAX_REASONING},
	{"qwq", TAX_REASONING},      {"reason", TAX_REASONING}, {"think", TAX_REASONING},  {"llava", TAX_VISION},
	{"vision", TAX_VISION},      {"-vl", TAX_VISION},       {"moondream", TAX_VISION}, {"guard", TAX_SAFETY_RISK},
	{"shield", TAX_SAFETY_RISK}, {"translat", TAX_NLP},     {"embed", TAX_EMBEDDING},  {"minilm", TAX_EMBEDDING},
	{"bge-", TAX_EMBEDDING},
};

/* Categories that the name tells, and general behind them. */
static unsigned names_guess(const struct taxonomy *t, const struct choose_facts *f, const char **names)
{
	unsigned n = 0, seen = 0;

	if (f->embed_only) {
		names[0] = t->category[TAX_EMBEDDING].name;
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(PARTS); i++)
		if (strcasestr(f->name, PARTS[i].part) && !(seen & 1U << PARTS[i].category)) {
			seen |= 1U << PARTS[i].category;
			names[n++] = t->category[PARTS[i].category].name;
		}
	if (f->vision && !(seen & 1U << TAX_VISION))
		names[n++] = t->category[TAX_VISION].name;
	if (!(seen & (1U << TAX_SAFETY_RISK | 1U << TAX_EMBEDDING)))
		names[n++] = t->category[TAX_GENERAL].name;
	/* one that only sees is general first */
	if (n == 2 && f->vision && !(seen & 1U << TAX_VISION)) {
		names[1] = names[0];
		names[0] = t->category[TAX_GENERAL].name;
	}
	return n;
}

/* The registry's entry, by tsa.conf's word or by name. */
static void entry_find(struct choose_model *m, const struct conf_registry *registry, const struct choose_facts *f)
{
	m->match = MATCH_NONE;
	for (uint32_t i = 0; registry && f->registry && i < registry->n; i++)
		if (strcmp(registry->models[i].name, f->registry) == 0) {
			m->match = i;
			m->how = MATCH_BY_NAME;
		}
	if (m->match == MATCH_NONE)
		m->match = match_entry(registry, f->name, f->parameters, &m->how);
}

/* Twice the parameters is one step of seven, from half a thousand million to 64. */
static float strength_of(double parameters)
{
	float steps = 0;

	for (double p = 0.5e9; p * 2 <= parameters && steps < 7; p *= 2)
		steps++;
	return steps / 7;
}

static double parameters_of(const struct conf_registry_model *entry, const struct choose_facts *f)
{
	struct match_name said;

	if (f->parameters > 0)
		return f->parameters;
	if (entry && entry->parameters > 0)
		return entry->parameters;
	match_name_make(f->name, &said);
	if (said.parameters > 0)
		return said.parameters;
	return (double)f->size_bytes / BYTES_PER_PARAMETER;
}

static uint64_t abilities(const struct conf_registry_model *entry, const struct choose_facts *f, const struct tax_entry *skill)
{
	const unsigned said = entry ? entry->capabilities : 0;
	uint64_t can = 0;

	/* where neither the Ollama nor the registry says so, being made for vectors alone is proof enough */
	if (f->embed_only || said & CONF_CAN_EMBED || (skill->n == 1 && skill->at[0].category == TAX_EMBEDDING))
		return TAG_BIT(EMBEDDING);
	can |= f->tools || said & CONF_CAN_TOOLS ? TAG_BIT(TOOLS) : 0;
	can |= f->vision || said & CONF_CAN_VISION ? TAG_BIT(VISION) : 0;
	can |= f->thinking || said & CONF_CAN_THINK ? TAG_BIT(THINKING) : 0;
	return can | TAG_BIT(CHAT);
}

void choose_model_init(struct choose_model *m, struct taxonomy *t, const struct conf_registry *registry,
		       const struct choose_facts *f)
{
	const struct conf_registry_model *entry;
	const char *guessed[TAX_KNOWN_COUNT + 1];

	memset(m, 0, sizeof(*m));
	snprintf(m->name, sizeof(m->name), "%s", f->name);
	entry_find(m, registry, f);
	entry = m->match == MATCH_NONE ? NULL : &registry->models[m->match];
	if (f->n_categories)
		tax_entry_make(t, &m->skill, entry, f->categories, f->n_categories);
	else if (entry && t->entry[m->match].n)
		m->skill = t->entry[m->match];
	else
		tax_entry_make(t, &m->skill, entry, guessed, names_guess(t, f, guessed));
	m->any = tax_score_other(t, &m->skill, TAX_GENERAL);
	m->any.confidence /= 2;
	m->any.score /= 2;
	m->strength = strength_of(parameters_of(entry, f));
	m->can = abilities(entry, f, &m->skill);
	m->tool = entry && entry->agents ? !(entry->agents & CONF_AGENT_INFERENCE)
					 : m->skill.n == 1 && m->skill.at[0].category == TAX_SAFETY_RISK;
	m->automatic = !f->manual;
	m->reasoning = f->reasoning || (m->skill.n && tax_below(t, m->skill.at[0].category, TAX_REASONING));
	m->registry_context = entry ? entry->context_tokens : 0;
}
