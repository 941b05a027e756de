/* What a body asks, in every dialect. */
#include "tests/unit/http_table.h"

#include "http/prompt.h"

struct row {
	const char *name, *body, *text;
	bool tools, images;
};

static const struct row ROWS[] = {
	{"nothing", "{}", "", false, false},
	{"generate", "{\"prompt\":\"why is the sky blue at noon?\"}", "why is the sky blue at noon?", false, false},
	{"generate with pictures", "{\"prompt\":\"what is in this picture here?\",\"images\":[\"aGk=\"]}", "what is in this picture here?", false, true},
	{"no pictures", "{\"prompt\":\"what is in this picture here?\",\"images\":[]}", "what is in this picture here?", false, false},
	{"completions of a list", "{\"prompt\":[\"one\",\"this is the second of them\"]}", "this is the second of them", false, false},
	{"the last of the user", "{\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},{\"role\":\"user\",\"content\":\"first question of several\"},"
				 "{\"role\":\"assistant\",\"content\":\"an answer\"},{\"role\":\"user\",\"content\":\"the second question, a longer one\"}]}",
	 "the second question, a longer one", false, false},
	{"a short one comes with the one before", "{\"messages\":[{\"role\":\"user\",\"content\":\"write quicksort in C\"},"
						  "{\"content\":\"...\",\"role\":\"assistant\"},{\"content\":\"now in Rust\",\"role\":\"user\"}]}",
	 "write quicksort in C\nnow in Rust", false, false},
	{"a short one alone", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", "hi", false, false},
	{"what tools say does not count", "{\"messages\":[{\"role\":\"user\",\"content\":\"read this file and explain it\"},"
					  "{\"role\":\"tool\",\"content\":\"def f(): pass\"}],\"tools\":[{\"type\":\"function\"}]}",
	 "read this file and explain it", true, false},
	{"no tools", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[]}", "hi", false, false},
	{"pictures of Ollama's messages", "{\"messages\":[{\"role\":\"user\",\"content\":\"describe the picture please\",\"images\":[\"aGk=\"]}]}",
	 "describe the picture please", false, true},
	{"parts of OpenAI", "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what do you see in here?\"},"
			    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:...\"}}]}]}",
	 "what do you see in here?", false, true},
	{"parts of Anthropic", "{\"system\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"content\":\"42\"},"
			       "{\"type\":\"text\",\"text\":\"a reminder that agents send\"},{\"type\":\"text\",\"text\":\"what was really asked, long\"}]}]}",
	 "what was really asked, long", false, false},
	{"a picture of Anthropic", "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{}}]}]}", "", false, true},
	{"input of responses", "{\"input\":\"a plain text as the input\"}", "a plain text as the input", false, false},
	{"items of responses", "{\"input\":[{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"an item of the list, long\"},"
			       "{\"type\":\"input_image\",\"image_url\":\"x\"}]}]}",
	 "an item of the list, long", false, true},
	{"keys fold", "{\"MESSAGES\":[{\"Role\":\"user\",\"CONTENT\":\"any case of any of the keys\"}]}", "any case of any of the keys", false, false},
	{"escapes", "{\"prompt\":\"a\\nb\\t\\\"c\\\" \\u00e4 \\ud83d\\ude00 \\ud800 end\"}", "a\nb\t\"c\" \xc3\xa4 \xf0\x9f\x98\x80 ? end", false, false},
	{"bytes that are no text", "{\"prompt\":\"ab\xff\xfe and so on and so forth\"}", "ab?? and so on and so forth", false, false},
	{"no strings", "{\"prompt\":7,\"messages\":{\"role\":\"user\"},\"input\":[1,null,[\"x\"],{}],\"tools\":{},\"images\":\"x\"}", "", false, false},
	{"a role that is none", "{\"messages\":[{\"role\":[\"user\"],\"content\":\"x\"},{\"role\":null},7,{}]}", "", false, false},
	{"blanks", "{ \"messages\" : [ { \"role\" : \"user\" , \"content\" : \"with blanks in between them\" } ] }", "with blanks in between them", false, false},
};

static void every_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ROWS); i++) {
		const struct row *row = &ROWS[i];
		static struct view v;
		static struct prompt p;
		char *copy = exact_copy(row->body, strlen(row->body));

		assert_int_equal(view_scan((struct span){copy, strlen(row->body)}, &v, NULL), VIEW_OK);
		prompt_find(&v, &p);
		if (p.n != strlen(row->text) || memcmp(p.text, row->text, p.n) != 0 || p.tools != row->tools || p.images != row->images)
			fail_msg("%s: \"%.*s\" tools %d images %d", row->name, (int)p.n, p.text, p.tools, p.images);
		free(copy);
	}
}

/* Cut at a whole character. */
static void a_long_text_is_cut(void **state)
{
	static char body[9000];
	static struct view v;
	static struct prompt p;
	size_t n = (size_t)snprintf(body, sizeof(body), "{\"prompt\":\"");

	(void)state;
	for (unsigned i = 0; i < 2000; i++)
		n += (size_t)snprintf(body + n, sizeof(body) - n, "\xe2\x82\xac");
	n += (size_t)snprintf(body + n, sizeof(body) - n, "\"}");
	assert_int_equal(view_scan((struct span){body, n}, &v, NULL), VIEW_OK);
	prompt_find(&v, &p);
	assert_int_equal(p.n, PROMPT_BYTES / 3 * 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row),
		cmocka_unit_test(a_long_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
