/* Names of an Ollama find the registry's entry where a person would, and none where a person would not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "route/match.h"

static struct conf_registry *r;
static struct conf_report report;

static const char MODELS[] =
	"{\"models\": [{\"name\": \"Llama-3.3-70B-Instruct-Q4_K_M\", \"hf_repo\": \"meta-llama/Llama-3.3-70B-Instruct-GGUF\"},"
	"{\"name\": \"deepseek-coder-33b-instruct-q4_k_m\"}, {\"name\": \"google-gemma-3-270m-it\"},"
	"{\"name\": \"LFM2.5-1.2B-Instruct-GGUF\"}, {\"name\": \"microsoft-phi-2\", \"aliases\": [\"phi:2.7b\"]},"
	"{\"name\": \"Qwen3-8B\"}, {\"name\": \"Qwen3-14B\"}, {\"name\": \"nomic-embed-text-v1.5\", \"aliases\": "
	"[\"nomic-embed-text\"]},"
	"{\"name\": \"big-one\", \"specifications\": {\"parameters\": \"405B\"}}]}";

static int setup(void **state)
{
	(void)state;
	return conf_registry_parse("m", MODELS, sizeof(MODELS) - 1, &r, &report);
}

static int teardown(void **state)
{
	(void)state;
	conf_registry_destroy(&r);
	return 0;
}

static void names_find_their_entries(void **state)
{
	static const struct {
		const char *name;
		double parameters;
		const char *entry;
		enum match_how how;
	} rows[] = {
		{"llama-3.3-70b-instruct-q4_k_m", 0, "Llama-3.3-70B-Instruct-Q4_K_M", MATCH_BY_NAME},
		{"Qwen3-8B:latest", 0, "Qwen3-8B", MATCH_BY_NAME},
		{"meta-llama/Llama-3.3-70B-Instruct-GGUF", 0, "Llama-3.3-70B-Instruct-Q4_K_M", MATCH_BY_NAME},
		{"phi:2.7b", 0, "microsoft-phi-2", MATCH_BY_ALIAS},
		{"nomic-embed-text:latest", 0, "nomic-embed-text-v1.5", MATCH_BY_ALIAS},
		{"llama3.3:70b", 0, "Llama-3.3-70B-Instruct-Q4_K_M", MATCH_BY_WORDS},
		{"llama3.3:latest", 70.6e9, "Llama-3.3-70B-Instruct-Q4_K_M", MATCH_BY_SIZE},
		{"llama3.3", 0, "Llama-3.3-70B-Instruct-Q4_K_M", MATCH_BY_FAMILY},
		{"deepseek-coder:33b-instruct-q5_K_M", 0, "deepseek-coder-33b-instruct-q4_k_m", MATCH_BY_WORDS},
		{"gemma3:270m", 0, "google-gemma-3-270m-it", MATCH_BY_WORDS},
		{"hf.co/LiquidAI/LFM2.5-1.2B-Instruct-GGUF:Q4_0", 0, "LFM2.5-1.2B-Instruct-GGUF", MATCH_BY_WORDS},
		{"qwen3:14b", 0, "Qwen3-14B", MATCH_BY_WORDS},
		{"qwen3", 8.2e9, "Qwen3-8B", MATCH_BY_SIZE},
		{"big-one:q8_0", 405e9, "big-one", MATCH_BY_SIZE},
		/* two of the family, and nobody says which; another size; another family */
		{"qwen3", 0, NULL, MATCH_BY_NOTHING},
		{"qwen3:32b", 0, NULL, MATCH_BY_NOTHING},
		{"qwen3", 32e9, NULL, MATCH_BY_NOTHING},
		{"llama3.3:8b", 0, NULL, MATCH_BY_NOTHING},
		{"llama3.2:70b", 0, NULL, MATCH_BY_NOTHING},
		{"deepseek-coder-v2:33b", 0, NULL, MATCH_BY_NOTHING},
		{"7b", 0, NULL, MATCH_BY_NOTHING},
		{"", 0, NULL, MATCH_BY_NOTHING},
	};
	enum match_how how;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint32_t found = match_entry(r, rows[i].name, rows[i].parameters, &how);

		if ((found == MATCH_NONE) != !rows[i].entry || (rows[i].entry && strcmp(r->models[found].name, rows[i].entry) != 0))
			fail_msg("%s became %s", rows[i].name, found == MATCH_NONE ? "nothing" : r->models[found].name);
		if (how != rows[i].how)
			fail_msg("%s was found by %s", rows[i].name, match_how_text(how));
	}
	assert_int_equal(match_entry(NULL, "qwen3:8b", 0, NULL), MATCH_NONE);
}

static void names_of_any_length(void **state)
{
	struct match_name m;
	char name[600];

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	match_name_make(name, &m);
	assert_int_equal(strlen(m.family), sizeof(m.family) - 1);
	for (size_t i = 1; i < sizeof(name) - 1; i += 2)
		name[i] = '-';
	match_name_make(name, &m);
	assert_true(strlen(m.family) < sizeof(m.family));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_find_their_entries, setup, teardown),
		cmocka_unit_test(names_of_any_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
