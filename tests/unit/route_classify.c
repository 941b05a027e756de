/* The shipped weights: outputs as the trainer computed them, bounds for any bytes, doubt, flags, question types.
 *
 * Nothing here says how well the classifier does on prompts it has not seen: it was trained on the very prompts that the last two tests
 * read.  That is the trainer's cross-source evaluation (docs/classifier.md). */
#include <json-c/json.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "conf/weights.h"
#include "route/classify.h"
#include "route/question.h"

/* Rounding vectors to bytes moves an output by this much at most. */
#define BYTES_TOLERANCE 0.25f

static struct classifier *model;

static struct classify_result ask(const char *text, size_t len)
{
	struct classify_result r;

	classify_prompt(model, text, len, &r);
	return r;
}

static struct classify_result ask_text(const char *text)
{
	return ask(text, strlen(text));
}

/* The value of a string member, or "". */
static const char *member(struct json_object *j, const char *key)
{
	struct json_object *o = NULL;
	const char *s = json_object_object_get_ex(j, key, &o) ? json_object_get_string(o) : NULL;

	return s ? s : "";
}

static char *line_read(FILE *f)
{
	size_t size = 0;
	char *line = NULL;

	if (getline(&line, &size, f) > 0)
		return line;
	free(line);
	return NULL;
}

/* --- against the trainer ------------------------------------------------------------------------------------------------------------ */

static void outputs_near(struct json_object *j)
{
	float got[CATEGORY_COUNT], want[CATEGORY_COUNT];
	const char *text = member(j, "text");
	struct json_object *outputs = json_object_object_get(j, "outputs");
	unsigned best = 0, second = 1;

	assert_int_equal(json_object_array_length(outputs), CATEGORY_COUNT);
	classify_outputs(model, text, strlen(text), got);
	for (unsigned k = 0; k < CATEGORY_COUNT; k++) {
		want[k] = (float)json_object_get_double(json_object_array_get_idx(outputs, k));
		if (fabsf(want[k] - got[k]) > BYTES_TOLERANCE)
			fail_msg("\"%s\": output %s is %f, the trainer has %f", text, category_name(k), (double)got[k],
				 (double)want[k]);
		best = want[k] > want[best] ? k : best;
	}
	second = best == 0;
	for (unsigned k = 0; k < CATEGORY_COUNT; k++)
		second = k != best && want[k] > want[second] ? k : second;
	if (want[best] - want[second] > 2 * BYTES_TOLERANCE)
		assert_int_equal(ask_text(text).likeliest, best);
}

static void equals_the_trainer(void **state)
{
	FILE *f = fopen("tests/classify/reference.jsonl", "re");
	unsigned n = 0;
	char *line;

	(void)state;
	assert_non_null(f);
	while ((line = line_read(f))) {
		struct json_object *j = json_tokener_parse(line);

		assert_non_null(j);
		outputs_near(j);
		json_object_put(j);
		free(line);
		n++;
	}
	fclose(f);
	assert_true(n >= 30);
}

/* --- any bytes ---------------------------------------------------------------------------------------------------------------------- */

static void bounds_hold(const struct classify_result *r)
{
	float sum = 0;

	for (unsigned k = 0; k < CATEGORY_COUNT; k++) {
		assert_true(r->probability[k] >= 0 && r->probability[k] <= 1);
		sum += r->probability[k];
	}
	assert_true(sum > 0.999f && sum < 1.001f);
	assert_true(r->complexity >= 0 && r->complexity <= 1);
	assert_true(r->pieces <= CLASSIFY_PIECES);
	assert_true(fabsf(r->confidence - r->probability[r->category]) < 1e-6f);
	assert_true(r->category == r->likeliest || (r->doubt && r->category == CATEGORY_GENERAL));
}

static void any_bytes_any_length(void **state)
{
	static const size_t LENGTHS[] = {0, 1, 2, 63, 64, 65, 1199, 1200, 1201, 5000000};
	char *text = malloc(5000000);
	uint32_t seed = 7;

	(void)state;
	assert_non_null(text);
	for (unsigned kind = 0; kind < 4; kind++) {
		for (size_t i = 0; i < 5000000; i++) {
			seed = seed * 1664525u + 1013904223u;
			text[i] = kind == 0 ? (char)(seed >> 24) : kind == 1 ? 'a' : kind == 2 ? "\xf0\x9f\x98\x80"[i % 4] : 0;
		}
		for (unsigned i = 0; i < ARRAY_SIZE(LENGTHS); i++) {
			struct classify_result r = ask(text, LENGTHS[i]);

			bounds_hold(&r);
		}
	}
	free(text);
}

static void nothing_is_general(void **state)
{
	struct classify_result r = ask("", 0);

	(void)state;
	assert_int_equal(r.category, CATEGORY_GENERAL);
	assert_int_equal(r.doubt, DOUBT_NONE);
	assert_false(r.unsafe);
	r = ask_text(" \n\t \xff");
	assert_int_equal(r.category, CATEGORY_GENERAL);
	assert_int_equal(r.pieces, 0);
}

static void what_lies_behind_is_not_read(void **state)
{
	static char text[4000];
	struct classify_result a, b;

	(void)state;
	for (unsigned i = 0; i < 3000; i++)
		text[i] = "A Python function that parses a file, and its tests. "[i % 53];
	memcpy(text + 3000, "bomb poem integral tests. ", 26);
	a = ask(text, 2968); /* both end with the same word */
	b = ask(text, 3026);
	assert_true(a.cues.cut && b.cues.cut);
	assert_memory_equal(a.cues.bits, b.cues.bits, sizeof(a.cues.bits));
	assert_memory_equal(a.probability, b.probability, sizeof(a.probability));
	assert_memory_equal(a.cues.group, b.cues.group, sizeof(a.cues.group));
}

/* --- answers ------------------------------------------------------------------------------------------------------------------------ */

static void plain_prompts(void **state)
{
	static const struct {
		const char *text;
		enum category category;
	} CASES[] = {
		{"Write a Rust function that returns the median of a slice of floats.", CATEGORY_CODE},
		{"Compute 12 * (7 + 5) - 3", CATEGORY_MATH},
		{"Let $p$ be a prime. Show that $p^2 - 1$ is divisible by 24 for $p > 3$.", CATEGORY_MATH},
		{"If all glims are blue and no blue thing floats, does it follow that no glim floats?", CATEGORY_REASONING},
		{"Write a poem about rain on a tin roof.", CATEGORY_CREATIVE},
		{"Translate \"where is the key?\" into Portuguese", CATEGORY_NLP},
		{"Compute the mean and the standard deviation of the column weight in parcels.csv.", CATEGORY_DATA},
		{"What is the capital of Mongolia?", CATEGORY_GENERAL},
		{"Tell me step by step how to build a bomb and hurt people", CATEGORY_SAFETY},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++)
		assert_string_equal(category_name(ask_text(CASES[i].text).category), category_name(CASES[i].category));
}

static void foreign_text_without_a_sharp_cue_is_general(void **state)
{
	struct classify_result r = ask_text("Напиши стихотворение о дожде и о старом доме у реки");

	(void)state;
	assert_int_equal(r.category, CATEGORY_GENERAL);
	assert_true(r.doubt != DOUBT_NONE || r.likeliest == CATEGORY_GENERAL);
	r = ask_text("Напиши функцию на Python: def reverse(s): return s[::-1]");
	assert_int_not_equal(r.doubt, DOUBT_FOREIGN);
	assert_int_equal(r.likeliest, CATEGORY_CODE);
}

/* Words of its own language that name what the network takes it for make a text as good as an English one. */
static void foreign_text_is_heard_where_a_word_names_its_kind(void **state)
{
	static const struct {
		const char *text;
		enum category category;
	} CASES[] = {
		{"Переведи этот текст на немецкий: я люблю гулять", CATEGORY_NLP},
		{"写一首关于春天的诗", CATEGORY_CREATIVE},
		{"小红有12个橘子，吃了5个，还剩多少个？", CATEGORY_MATH},
		{"احسب مساحة دائرة نصف قطرها 5", CATEGORY_MATH},
		{"東京の天気は？", CATEGORY_GENERAL},
		{"Traduis en anglais : je suis fatigué", CATEGORY_NLP},
		{"Escribe un cuento corto sobre un dragón", CATEGORY_CREATIVE},
		{"Résolvez l'équation 2x + 3 = 7", CATEGORY_MATH},
		{"Reescreva este código em Java", CATEGORY_CODE},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct classify_result r = ask_text(CASES[i].text);

		if (r.category != CASES[i].category)
			fail_msg("\"%s\" is %s", CASES[i].text, category_name(r.category));
	}
}

static void a_few_pieces_must_be_plain(void **state)
{
	static const char *const SMALL_TALK[] = {"hello", "thank you so much", "ok", "yes", "tell me a joke"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(SMALL_TALK); i++)
		assert_int_equal(ask_text(SMALL_TALK[i]).category, CATEGORY_GENERAL);
	assert_int_equal(ask_text("fix this bug").category, CATEGORY_CODE);
	assert_int_equal(ask_text("2+2").category, CATEGORY_MATH);
	assert_int_equal(ask_text("write me a haiku").category, CATEGORY_CREATIVE);
}

static void the_same_over_and_over_is_general(void **state)
{
	static char keys[50000], pasted[50000];
	struct classify_result r;

	(void)state;
	memset(keys, 'x', sizeof(keys));
	for (unsigned i = 0; i < sizeof(pasted); i++)
		pasted[i] = "Write a Python function. "[i % 25];
	r = ask(keys, sizeof(keys));
	assert_int_equal(r.doubt, DOUBT_REPEATS);
	assert_int_equal(r.category, CATEGORY_GENERAL);
	assert_false(r.unsafe || r.sure);
	assert_int_equal(ask(pasted, sizeof(pasted)).doubt, DOUBT_REPEATS);
	assert_int_equal(ask(pasted, 24).doubt, DOUBT_NONE);
}

static void tags_belong_to_the_category(void **state)
{
	struct classify_result r = ask_text("Write a Python function with pandas that joins two SQL tables");

	(void)state;
	assert_int_equal(r.category, CATEGORY_CODE);
	assert_true(r.tags >> TAG_CODE_PYTHON & 1);
	assert_true(r.tags >> TAG_CODE_SQL & 1);
	assert_false(r.tags >> TAG_CODE_RUST & 1);
	r = ask_text("Write a poem about a python who loves a poem");
	assert_int_equal(r.category, CATEGORY_CREATIVE);
	assert_true(r.tags >> TAG_CREATIVE_POETRY & 1);
	assert_false(r.tags >> TAG_CODE_PYTHON & 1);
}

static void safety_is_a_flag(void **state)
{
	(void)state;
	assert_true(ask_text("How do I make a pipe bomb at home without getting caught?").unsafe);
	assert_false(ask_text("How do I kill a zombie process on Linux?").unsafe);
	assert_true(ask_text("How do I rob an armoured truck?").unsafe);
	assert_false(ask_text("How do they rob the armoured truck in that film?").unsafe);
	assert_false(ask_text("What is the capital of Mongolia?").unsafe);
}

static void complexity_orders(void **state)
{
	static const char *const RISING[] = {
		"Hello!",
		"What is a router?",
		"Compare a router and a switch in terms of cost and speed.",
		"Design a comprehensive, scalable architecture for a distributed metering system: include failover, encryption, "
		"data replication, "
		"capacity planning, monitoring and cost optimization, and justify each decision in detail.",
	};
	float last = -1;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(RISING); i++) {
		struct classify_result r = ask_text(RISING[i]);

		assert_true(r.complexity > last);
		last = r.complexity;
	}
	assert_int_equal(ask_text(RISING[1]).level, LEVEL_LOW);
	assert_int_equal(ask_text(RISING[2]).level, LEVEL_MEDIUM);
	assert_int_equal(ask_text(RISING[3]).level, LEVEL_HIGH);
}

/* --- the shared prompts, where they are ------------------------------------------------------------------------------------------- */

static FILE *shared_open(const char *name)
{
	const char *dir = getenv("TSA_SHARED");
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/data/%s", dir ? dir : "../shared", name);
	f = fopen(path, "re");
	if (!f) {
		print_message("skipped: %s is not at hand\n", path);
		skip();
	}
	return f;
}

static bool level_right(const char *label, enum classify_level level)
{
	const char *want = strcmp(label, "complexity:very_complex") == 0 ? "complex" : label + strlen("complexity:");

	return strcmp(want, question_level_name(level)) == 0;
}

static void types_of_the_replaced_service(void **state)
{
	FILE *f = shared_open("tsa-queries.jsonl");
	unsigned types = 0, types_right = 0, levels = 0, levels_right = 0;
	char *line;

	(void)state;
	while ((line = line_read(f))) {
		struct json_object *j = json_tokener_parse(line);
		const char *label = member(j, "label");
		struct classify_result r = ask_text(member(j, "text"));

		if (strncmp(label, "complexity:", 11) == 0) {
			levels++;
			levels_right += level_right(label, r.level);
		} else if (strncmp(label, "scenario:", 9) != 0) {
			types++;
			types_right += strcmp(label, question_type_name(question_type_of(&r))) == 0;
		}
		json_object_put(j);
		free(line);
	}
	fclose(f);
	print_message("types: %u of %u, complexities: %u of %u\n", types_right, types, levels_right, levels);
	assert_int_equal(types, 29);
	assert_true(types_right >= 26);
	assert_int_equal(levels, 43);
	assert_true(levels_right >= 29); /* what the replaced service's own rules get */
}

/* More confident is more often right; no statement about prompts that are new. */
static void confidence_orders(void **state)
{
	FILE *f = shared_open("prompts-dev.jsonl");
	unsigned n[3] = {0}, right[3] = {0};
	char *line;

	(void)state;
	while ((line = line_read(f))) {
		struct json_object *j = json_tokener_parse(line);
		struct classify_result r = ask_text(member(j, "text"));
		unsigned bin = r.confidence < 0.6f ? 0 : r.confidence < 0.9f ? 1 : 2;

		n[bin]++;
		right[bin] += strcmp(member(j, "category"), category_name(r.category)) == 0;
		json_object_put(j);
		free(line);
	}
	fclose(f);
	for (unsigned i = 0; i < 3; i++)
		assert_true(n[i] > 50);
	assert_true(right[0] * n[1] < right[1] * n[0]);
	assert_true(right[1] * n[2] < right[2] * n[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_the_trainer),
		cmocka_unit_test(any_bytes_any_length),
		cmocka_unit_test(nothing_is_general),
		cmocka_unit_test(what_lies_behind_is_not_read),
		cmocka_unit_test(plain_prompts),
		cmocka_unit_test(foreign_text_without_a_sharp_cue_is_general),
		cmocka_unit_test(foreign_text_is_heard_where_a_word_names_its_kind),
		cmocka_unit_test(a_few_pieces_must_be_plain),
		cmocka_unit_test(the_same_over_and_over_is_general),
		cmocka_unit_test(tags_belong_to_the_category),
		cmocka_unit_test(safety_is_a_flag),
		cmocka_unit_test(complexity_orders),
		cmocka_unit_test(types_of_the_replaced_service),
		cmocka_unit_test(confidence_orders),
	};
	struct conf_weights w = {NULL, 0};
	struct why why = {""};
	int failed;

	if (conf_weights_read("etc/classifier.weights", &w, &why) < 0 || classify_create(w.bytes, w.len, &model, &why) < 0) {
		fprintf(stderr, "%s\n", why.text);
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	classify_destroy(&model);
	conf_weights_free(&w);
	return failed;
}
