/* Ollama's bodies, real and hostile: what is known is taken, what is odd is left out, what is no answer is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/bug.h"
#include "base/clock.h"
#include "probes/probes.h"

static struct probe_models *list;

static int make(void **state)
{
	(void)state;
	list = calloc(1, sizeof(*list));
	return !list;
}

static int drop(void **state)
{
	(void)state;
	free(list);
	return 0;
}

static int models(const char *body)
{
	struct why why = {0};
	int rc = probe_models_parse(body, strlen(body), list, &why);

	assert_true(rc == 0 || why.text[0]);
	return rc;
}

#define DIGEST "44d5d753b2733dbbe06c21446b3e4e60b2b138afc8b009ec623f9a691dff8773"

static void tags_of_a_new_release(void **state)
{
	(void)state;
	assert_int_equal(models("{\"models\":[{\"name\":\"tiny:latest\",\"model\":\"tiny:latest\",\"modified_at\":\"2026-11-21T06:"
				"55:41.2Z\","
				"\"size\":718314,\"digest\":\"" DIGEST "\",\"details\":{\"parent_model\":\"\",\"format\":\"gguf\","
				"\"family\":\"llama\",\"families\":null,\"context_length\":4096},"
				"\"capabilities\":[\"completion\",\"tools\",\"levitation\",7]}]}"),
			 0);
	assert_int_equal(list->n, 1);
	assert_string_equal(list->at[0].name, "tiny:latest");
	assert_string_equal(list->at[0].family, "llama");
	assert_int_equal(list->at[0].size_bytes, 718314);
	assert_int_equal(list->at[0].context, 4096);
	assert_int_equal(list->at[0].digest[0], 0x44);
	assert_int_equal(list->at[0].digest[31], 0x73);
	assert_int_equal(list->at[0].caps, PROBE_CAP_KNOWN | PROBE_CAP_COMPLETION | PROBE_CAP_TOOLS);
}

static void ps_of_an_old_release(void **state)
{
	(void)state;
	assert_int_equal(models("{\"models\":[{\"name\":\"tiny:latest\",\"size\":1500000000,\"digest\":\"" DIGEST "\","
				"\"expires_at\":\"2026-01-01T01:05:00.1+01:00\",\"size_vram\":15,\"context_length\":2048}]}"),
			 0);
	assert_int_equal(list->at[0].expires_wall_ns, 1767225900100000000ULL);
	assert_int_equal(list->at[0].vram_bytes, 15);
	assert_int_equal(list->at[0].context, 2048);
	assert_int_equal(list->at[0].caps, 0);
	assert_int_equal(models("{\"models\":[]}"), 0);
	assert_int_equal(list->n, 0);
	assert_int_equal(models("{\"models\":null}"), 0);
}

static void odd_entries_are_left_out(void **state)
{
	(void)state;
	assert_int_equal(
		models("{\"models\":[1,null,\"x\",[],{},{\"name\":7},{\"name\":\"\"},{\"name\":\"a\\u0000b\"},{\"name\":\"a\\nb\"},"
		       "{\"name\":\"cloud:latest\",\"remote_host\":\"https://ollama.com\"},"
		       "{\"name\":\"good\",\"size\":-5,\"digest\":\"zz\",\"details\":[],\"capabilities\":{},\"expires_at\":9,"
		       "\"context_length\":\"many\"}]}"),
		0);
	assert_int_equal(list->n, 1);
	assert_int_equal(list->more, 10);
	assert_string_equal(list->at[0].name, "good");
	assert_int_equal(list->at[0].size_bytes, 0);
	assert_int_equal(list->at[0].context, 0);
	assert_int_equal(list->at[0].caps, 0);
}

static void what_is_no_list_is_refused(void **state)
{
	static const char *const BODIES[] = {"",
					     "{",
					     "[]",
					     "null",
					     "{}",
					     "{\"models\":{}}",
					     "{\"models\":[",
					     "Ollama is running",
					     "{\"models\":\"x\"}",
					     "<html>",
					     "\xff\xfe"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(BODIES); i++)
		assert_int_not_equal(models(BODIES[i]), 0);
}

static void too_many_and_too_deep(void **state)
{
	static char body[64 * 1024];
	size_t n = (size_t)snprintf(body, sizeof(body), "{\"models\":[");
	struct why why;

	(void)state;
	for (unsigned i = 0; i < PROBE_MODELS + 10; i++)
		n += (size_t)snprintf(body + n, sizeof(body) - n, "%s{\"name\":\"m%u\"}", i ? "," : "", i);
	n += (size_t)snprintf(body + n, sizeof(body) - n, "]}");
	assert_int_equal(probe_models_parse(body, n, list, &why), 0);
	assert_int_equal(list->n, PROBE_MODELS);
	assert_int_equal(list->more, 10);
	memset(body, '[', 40000);
	assert_int_not_equal(probe_models_parse(body, 40000, list, &why), 0);
}

static void versions(void **state)
{
	char version[32] = "before";
	struct why why;

	(void)state;
	assert_int_equal(probe_version_parse("{\"version\":\"0.24.0\"}", 20, version, sizeof(version), &why), 0);
	assert_string_equal(version, "0.24.0");
	assert_int_not_equal(probe_version_parse("{\"version\":24}", 14, version, sizeof(version), &why), 0);
	assert_int_not_equal(probe_version_parse("{\"v\":\"1\"}", 9, version, sizeof(version), &why), 0);
	assert_string_equal(version, "0.24.0");
}

static int done(const char *body)
{
	struct why why = {0};

	return probe_done_parse(body, strlen(body), &why);
}

static void a_token_needs_a_proper_end(void **state)
{
	(void)state;
	assert_int_equal(done("{\"model\":\"m\",\"response\":\"\",\"done\":true,\"done_reason\":\"load\"}"), 0);
	assert_int_not_equal(done("{\"model\":\"m\",\"response\":\"a\",\"done\":false}"), 0);
	assert_int_not_equal(done("{\"model\":\"m\",\"response\":\"a\"}"), 0);
	assert_int_not_equal(done("{\"model\":\"m\",\"done\":\"true\"}"), 0);
	assert_int_not_equal(done("{\"error\":\"boom\",\"done\":true}"), 0);
}

static int embed(const char *body, bool empty)
{
	struct why why = {0};

	return probe_embed_parse(body, strlen(body), empty, &why);
}

static void an_embedding_needs_numbers(void **state)
{
	(void)state;
	assert_int_equal(embed("{\"embeddings\":[[0.1,0.2]]}", false), 0);
	assert_int_not_equal(embed("{\"embeddings\":[[]]}", false), 0);
	assert_int_not_equal(embed("{\"embeddings\":[]}", false), 0);
	assert_int_not_equal(embed("{\"embeddings\":null}", false), 0);
	assert_int_equal(embed("{\"embeddings\":[]}", true), 0);
	assert_int_equal(embed("{\"embeddings\":null}", true), 0);
	assert_int_not_equal(embed("{}", true), 0);
	assert_int_not_equal(embed("{\"embeddings\":[],\"error\":\"x\"}", true), 0);
}

static void errors_become_one_clean_line(void **state)
{
	static const char BODY[] = "{\"error\":\"model \\\"x\\\" not\\nfound\\u0007\"}";
	struct why why = {0};

	(void)state;
	probe_error_parse(BODY, strlen(BODY), &why);
	assert_string_equal(why.text, "model \"x\" not found ");
	memset(&why, 0, sizeof(why));
	probe_error_parse("404 page not found", 18, &why);
	assert_string_equal(why.text, "404 page not found");
	memset(&why, 0, sizeof(why));
	probe_error_parse("<html><body>", 12, &why);
	assert_string_equal(why.text, "");
}

static void capabilities_of_show(void **state)
{
	static const char BODY[] = "{\"model_info\":{},\"capabilities\":[\"embedding\"]}";
	struct why why;
	unsigned caps = 99;

	(void)state;
	assert_int_equal(probe_show_parse(BODY, strlen(BODY), &caps, &why), 0);
	assert_int_equal(caps, PROBE_CAP_KNOWN | PROBE_CAP_EMBEDDING);
	assert_int_equal(probe_show_parse("{}", 2, &caps, &why), 0);
	assert_int_equal(caps, 0);
}

static void times(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} GOOD[] = {
		{"1971-01-01T00:00:00Z", 31536000ULL * NS_PER_S},
		{"2024-02-29T23:59:59.999999999Z", 1709251199999999999ULL},
		{"2024-03-01T01:00:00+01:00", 1709251200ULL * NS_PER_S},
		{"2024-02-29T18:30:00-05:30", 1709251200ULL * NS_PER_S},
		{"2000-12-31T00:00:00.5Z", 978220800500000000ULL},
		{"2318-10-01T00:00:00Z", PROBE_FOREVER},
		{"0001-01-01T00:00:00Z", 0},
	};
	static const char *const BAD[] = {"",
					  "2024",
					  "2024-13-01T00:00:00Z",
					  "2024-01-01 00:00:00Z",
					  "2024-01-01T00:00:00",
					  "2024-01-01T00:00:00+1:00",
					  "2024-01-01T00:00:00Zx",
					  "2024-01-32T00:00:00Z",
					  "2024-00-01T00:00:00Z",
					  "-999-01-01T00:00:00Z",
					  "2024-01-01T00: 0:00Z",
					  "2024-01-01T00:00:00+00:-1"};
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(GOOD); i++) {
		assert_true(probe_time_parse(GOOD[i].text, &ns));
		assert_true(ns == GOOD[i].ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++)
		assert_false(probe_time_parse(BAD[i], &ns));
}

static void names(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} CASES[] = {
		{"tiny", "tiny:latest", true},
		{"Tiny:LATEST", "tiny", true},
		{"library/tiny", "tiny:latest", true},
		{"registry.ollama.ai/library/tiny:1b", "tiny:1b", true},
		{"tiny:1b", "tiny", false},
		{"ns/tiny", "tiny", false},
		{"host:5000/tiny", "host:5000/tiny:latest", true},
		{"", "", true},
		{"", "x", false},
		{"library/", "library/", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
		assert_int_equal(probe_name_same(CASES[i].a, CASES[i].b), CASES[i].same);
}

static void who_cannot_chat(void **state)
{
	(void)state;
	assert_true(probe_model_embeds(PROBE_CAP_KNOWN | PROBE_CAP_EMBEDDING, "llama"));
	assert_false(probe_model_embeds(PROBE_CAP_KNOWN | PROBE_CAP_EMBEDDING | PROBE_CAP_COMPLETION, "bert"));
	assert_true(probe_model_embeds(0, "nomic-bert"));
	assert_false(probe_model_embeds(0, "llama"));
	assert_false(probe_model_embeds(0, ""));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, drop)
	const struct CMUnitTest tests[] = {
		TEST(tags_of_a_new_release),
		TEST(ps_of_an_old_release),
		TEST(odd_entries_are_left_out),
		TEST(what_is_no_list_is_refused),
		TEST(too_many_and_too_deep),
		TEST(versions),
		TEST(a_token_needs_a_proper_end),
		TEST(an_embedding_needs_numbers),
		TEST(errors_become_one_clean_line),
		TEST(capabilities_of_show),
		TEST(times),
		TEST(names),
		TEST(who_cannot_chat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
