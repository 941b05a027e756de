/* A model for those who leave the choice to tsa: hard rules, the chain, its cap, and what is done about unknown models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "route/choose.h"
#include "route/tags.h"

static struct conf_registry *registry;
static struct conf_catalogue *catalogue;
static struct conf_report report;
static struct taxonomy t;
static struct choose_conf conf;
static struct choose_share share;
static struct choose_model fleet[16];
static unsigned n_fleet;
static struct choose_result result;

static int setup(void **state)
{
	struct tax_conf scores;

	(void)state;
	tax_conf_default(&scores);
	choose_conf_default(&conf);
	share = (struct choose_share){0};
	n_fleet = 0;
	if (conf_registry_load("etc/models.json", &registry, &report) < 0 ||
	    conf_catalogue_load("etc/task_categories.json", &catalogue, &report) < 0)
		return -1;
	return tax_init(&t, &scores, registry, catalogue, NULL);
}

static int teardown(void **state)
{
	(void)state;
	tax_fini(&t);
	conf_registry_destroy(&registry);
	conf_catalogue_destroy(&catalogue);
	return 0;
}

static struct choose_model *add_facts(const struct choose_facts *facts)
{
	struct choose_model *m = &fleet[n_fleet++];

	choose_model_init(m, &t, registry, facts);
	m->available = m->resident = m->free = true;
	return m;
}

static struct choose_model *add(const char *name)
{
	const struct choose_facts facts = {.name = name, .embed_only = strstr(name, "embed") != NULL};

	return add_facts(&facts);
}

static struct choose_request ask(const char *category, double complexity, double confidence)
{
	return (struct choose_request){.category = tax_find(&t, category), .complexity = complexity, .confidence = confidence};
}

/* Names of the ranking, "a b c". */
static const char *ranked(const struct choose_request *rq)
{
	static char text[512];
	size_t n = 0;

	choose(&conf, &t, &share, rq, fleet, n_fleet, &result);
	text[0] = 0;
	for (unsigned i = 0; i < result.n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "", fleet[result.order[i]].name);
	return text;
}

static enum choose_link link_of(unsigned rank)
{
	return result.candidate[result.order[rank]].link;
}

static void the_right_kind_comes_first(void **state)
{
	struct choose_request rq = ask("code_python", 0.5, 0.9);

	(void)state;
	add("llama3.2:3b"), add("qwen2.5-coder:7b"), add("qwen2.5:7b"), add("nomic-embed-text"), add("llama-guard3");
	/* code_python has no model of its own: code's serve it, then general ones */
	assert_string_equal(ranked(&rq), "qwen2.5-coder:7b llama3.2:3b qwen2.5:7b");
	assert_int_equal(link_of(0), CHOOSE_LINK_PARENT);
	assert_int_equal(link_of(1), CHOOSE_LINK_GENERAL);
	assert_int_equal(result.candidate[3].exclude, CHOOSE_EXCLUDE_EMBEDS);
	assert_int_equal(result.candidate[4].exclude, CHOOSE_EXCLUDE_TOOL);
	rq = ask("math", 0.5, 0.9);
	assert_string_equal(ranked(&rq), "qwen2.5:7b llama3.2:3b qwen2.5-coder:7b");
	assert_int_equal(link_of(0), CHOOSE_LINK_CATEGORY);
	assert_int_equal(link_of(2), CHOOSE_LINK_ANY);
}

static void simple_questions_go_to_small_models(void **state)
{
	struct choose_request rq = ask("general", 0, 0.9);

	(void)state;
	add("llama3.1:8b"), add("llama3.2:3b");
	assert_string_equal(ranked(&rq), "llama3.2:3b llama3.1:8b");
	rq.complexity = 0.6;
	assert_string_equal(ranked(&rq), "llama3.1:8b llama3.2:3b");
	rq.speed = true;
	assert_string_equal(ranked(&rq), "llama3.2:3b llama3.1:8b");
}

static void what_is_in_memory_goes_before_what_is_not(void **state)
{
	struct choose_request rq = ask("general", 0.3, 0.9);

	(void)state;
	add("llama3.1:8b"), add("mistral:7b");
	assert_string_equal(ranked(&rq), "mistral:7b llama3.1:8b");
	fleet[1].resident = fleet[1].free = false;
	assert_string_equal(ranked(&rq), "llama3.1:8b mistral:7b");
	fleet[0].free = false;
	assert_true(result.candidate[0].ready > 0.99);
	ranked(&rq);
	assert_true(result.candidate[0].ready < 0.71);
}

static void embedding_routes_get_embedding_models(void **state)
{
	struct choose_request rq = ask("embedding", 0, 1);

	(void)state;
	rq.embed = true;
	rq.context_tokens = 100000; /* too long input is cut by Ollama, not refused */
	add("llama3.2:3b"), add("nomic-embed-text:latest"), add("mxbai-embed-large"), add("my-embedder-embed");
	assert_string_equal(ranked(&rq), "mxbai-embed-large nomic-embed-text:latest my-embedder-embed");
	assert_int_equal(result.candidate[0].exclude, CHOOSE_EXCLUDE_CHATS);
}

static void hard_rules_say_why(void **state)
{
	static const char *const unwanted[] = {"Qwen2.5:7b"};
	const struct choose_facts manual = {.name = "mistral:7b", .manual = true};
	struct choose_request rq = ask("general", 0.3, 0.9);

	(void)state;
	add("llama3.1:8b")->available = false;
	add("qwen2.5:7b");
	add_facts(&manual);
	add("llava:7b")->tags = TAG_BIT(FAST);
	add("gemma2:2b")->tags = TAG_BIT(FAST);
	add("llama3.2:3b")->tags = TAG_BIT(FAST);
	fleet[5].context_tokens = 4096;
	rq.exclude = unwanted;
	rq.n_exclude = 1;
	rq.required = TAG_BIT(FAST);
	rq.context_tokens = 8000;
	assert_string_equal(ranked(&rq), "gemma2:2b llava:7b");
	assert_int_equal(result.candidate[0].exclude, CHOOSE_EXCLUDE_AWAY);
	assert_int_equal(result.candidate[1].exclude, CHOOSE_EXCLUDE_CLIENT);
	assert_int_equal(result.candidate[2].exclude, CHOOSE_EXCLUDE_MANUAL);
	assert_int_equal(result.candidate[5].exclude, CHOOSE_EXCLUDE_CONTEXT);
	rq.required |= TAG_BIT(VISION);
	assert_string_equal(ranked(&rq), "llava:7b");
	assert_int_equal(result.candidate[4].exclude, CHOOSE_EXCLUDE_TAGS);
	rq.context_tokens = 40000; /* beyond what the registry gives it */
	assert_string_equal(ranked(&rq), "");
	assert_string_equal(choose_exclude_text(CHOOSE_EXCLUDE_CONTEXT), "context");
	assert_string_equal(choose_exclude_help(CHOOSE_EXCLUDE_MANUAL), "tsa.conf keeps it for those who name it");
}

static void reasoning_models_are_for_the_hard_and_unsure(void **state)
{
	struct choose_request rq = ask("general", 0.9, 0.3);

	(void)state;
	add("llama3.1:8b"), add("llama3.3:70b");
	assert_string_equal(ranked(&rq), "llama3.3:70b llama3.1:8b");
	assert_int_equal(link_of(0), CHOOSE_LINK_REASONING);
	assert_false(result.wanted);
	/* sure of the category, or simple: spared, but there if all else fails */
	rq.confidence = 0.9;
	assert_string_equal(ranked(&rq), "llama3.1:8b llama3.3:70b");
	assert_int_equal(link_of(1), CHOOSE_LINK_SPARED);
	rq.confidence = 0.3;
	rq.complexity = 0.5;
	assert_string_equal(ranked(&rq), "llama3.1:8b llama3.3:70b");
	/* a category of theirs needs no doubt */
	rq = ask("reasoning_puzzle", 0.9, 0.99);
	assert_string_equal(ranked(&rq), "llama3.3:70b llama3.1:8b");
	fleet[0].available = false;
	rq = ask("chat", 0, 0.99);
	assert_string_equal(ranked(&rq), "llama3.3:70b");
}

/* Ten thousand requests that would all like a reasoning model. */
static void the_cap_holds(void **state)
{
	struct choose_request rq = ask("general", 0, 0.1);
	unsigned reasoning = 0;

	(void)state;
	add("llama3.1:8b"), add("deepseek-r1:8b");
	for (unsigned i = 0; i < 10000; i++) {
		bool it;

		rq.complexity = 0.7 + 0.3 * (i % 97) / 97;
		ranked(&rq);
		it = fleet[result.order[0]].reasoning;
		choose_share_count(&share, &conf, it);
		reasoning += it;
		assert_true(share.share <= conf.reasoning_share + 1.0 / conf.window);
	}
	assert_in_range(reasoning, 1000, 1600);
	/* near the cap only the hardest go */
	share.share = 0.97 * conf.reasoning_share;
	rq.complexity = 0.75;
	assert_string_equal(ranked(&rq), "llama3.1:8b deepseek-r1:8b");
	assert_true(result.wanted && result.threshold > 0.9 && result.threshold < 1);
	rq.complexity = 0.99;
	assert_string_equal(ranked(&rq), "deepseek-r1:8b llama3.1:8b");
	conf.reasoning_share = 0;
	assert_string_equal(ranked(&rq), "llama3.1:8b deepseek-r1:8b");
}

static void the_hook_is_asked_when_nothing_will_do(void **state)
{
	struct choose_request rq = ask("general", 0.9, 0.1);

	(void)state;
	add("llama3.1:8b");
	ranked(&rq);
	assert_true(result.wanted);
	assert_false(result.hook);
	conf.hook = true;
	ranked(&rq);
	assert_true(result.hook);
	rq.complexity = 0.1;
	ranked(&rq);
	assert_false(result.hook);
	fleet[0].available = false;
	ranked(&rq);
	assert_true(result.hook && result.n == 0);
	rq.embed = true;
	ranked(&rq);
	assert_false(result.hook);
}

static void the_order_of_the_fleet_means_nothing(void **state)
{
	static const char *const names[] = {"zeta:7b", "alpha:7b", "omega:7b", "beta:3b", "mistral:7b"};
	struct choose_request rq = ask("creative", 0.4, 0.9);
	char first[512];

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		add(names[i]);
	snprintf(first, sizeof(first), "%s", ranked(&rq));
	assert_string_equal(first, "mistral:7b alpha:7b omega:7b zeta:7b beta:3b");
	for (unsigned turn = 1; turn < 5; turn++) {
		n_fleet = 0;
		for (unsigned i = 0; i < 5; i++)
			add(names[(i * turn + turn) % 5]);
		assert_string_equal(ranked(&rq), first);
	}
}

static void one_category_each_where_that_is_wanted(void **state)
{
	struct choose_request rq = ask("math", 0.3, 0.9);

	(void)state;
	add("llama3.2:3b"), add("qwen2.5:7b");
	fleet[1].resident = fleet[1].free = false;
	conf.multi_category = false;
	assert_string_equal(ranked(&rq), "qwen2.5:7b llama3.2:3b");
	assert_int_equal(link_of(0), CHOOSE_LINK_CATEGORY);
	/* general is llama's first, math only a later one */
	assert_int_equal(link_of(1), CHOOSE_LINK_GENERAL);
}

static void unknown_models_are_known_by_their_names(void **state)
{
	static const struct {
		struct choose_facts facts;
		unsigned first;
		unsigned n;
		uint64_t can;
		bool tool, reasoning;
	} rows[] = {
		{{.name = "acme-coder:9b"}, TAX_CODE, 2, TAG_BIT(CHAT), false, false},
		{{.name = "wizard-math"}, TAX_MATH, 2, TAG_BIT(CHAT), false, false},
		{{.name = "other-r1:14b", .thinking = true}, TAX_REASONING, 2, TAG_BIT(CHAT) | TAG_BIT(THINKING), false, true},
		{{.name = "bakllava"}, TAX_VISION, 2, TAG_BIT(CHAT), false, false},
		{{.name = "sees:4b", .vision = true, .tools = true},
		 TAX_GENERAL,
		 2,
		 TAG_BIT(CHAT) | TAG_BIT(VISION) | TAG_BIT(TOOLS),
		 false,
		 false},
		{{.name = "shieldgemma:2b"}, TAX_SAFETY_RISK, 1, TAG_BIT(CHAT), true, false},
		{{.name = "mystery"}, TAX_GENERAL, 1, TAG_BIT(CHAT), false, false},
		{{.name = "snow", .embed_only = true}, TAX_EMBEDDING, 1, TAG_BIT(EMBEDDING), false, false},
		{{.name = "all-minilm"}, TAX_EMBEDDING, 1, TAG_BIT(EMBEDDING), false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct choose_model *m = add_facts(&rows[i].facts);

		assert_int_equal(m->match, MATCH_NONE);
		assert_int_equal(m->skill.at[0].category, rows[i].first);
		assert_int_equal(m->skill.n, rows[i].n);
		assert_int_equal(m->can, rows[i].can);
		assert_int_equal(m->tool, rows[i].tool);
		assert_int_equal(m->reasoning, rows[i].reasoning);
		assert_true(m->automatic);
	}
}

static void tsa_conf_has_the_last_word(void **state)
{
	static const char *const categories[] = {"haiku", "math"};
	const struct choose_facts facts = {.name = "house-model",
					   .registry = "qwen2.5-7b-instruct",
					   .categories = categories,
					   .n_categories = 2,
					   .reasoning = true};
	const struct choose_model *m = add_facts(&facts);

	(void)state;
	assert_string_equal(registry->models[m->match].name, "qwen2.5-7b-instruct");
	assert_int_equal(m->skill.at[0].category, tax_find(&t, "haiku"));
	assert_string_equal(t.category[m->skill.at[0].category].name, "haiku");
	/* the registry's benchmarks count where it stands in for them */
	assert_true(m->skill.at[1].part > 0.8);
	assert_true(m->reasoning);
	assert_int_equal(m->can, TAG_BIT(CHAT) | TAG_BIT(TOOLS));
	assert_int_equal(m->registry_context, 32768);
}

static void size_is_taken_from_wherever_it_is_known(void **state)
{
	static const struct choose_facts rows[] = {
		{.name = "a", .parameters = 8e9}, {.name = "b:8b"}, {.name = "c", .size_bytes = 5000000000}, {.name = "llama3.1"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_true(add_facts(&rows[i])->strength > 0.55F && fleet[i].strength < 0.6F);
	assert_true(add("tiny:270m")->strength < 0.01F);
	assert_true(add("huge:405b")->strength > 0.99F);
	assert_string_equal(choose_link_text(CHOOSE_LINK_SPARED), "reasoning-spared");
	assert_string_equal(choose_link_help(CHOOSE_LINK_GENERAL), "good at anything");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_right_kind_comes_first),
		TEST(simple_questions_go_to_small_models),
		TEST(what_is_in_memory_goes_before_what_is_not),
		TEST(embedding_routes_get_embedding_models),
		TEST(hard_rules_say_why),
		TEST(reasoning_models_are_for_the_hard_and_unsure),
		TEST(the_cap_holds),
		TEST(the_hook_is_asked_when_nothing_will_do),
		TEST(the_order_of_the_fleet_means_nothing),
		TEST(one_category_each_where_that_is_wanted),
		TEST(unknown_models_are_known_by_their_names),
		TEST(tsa_conf_has_the_last_word),
		TEST(size_is_taken_from_wherever_it_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
