/* Answers of an Ollama to its worker: whatever they are, what is handed out is bounded, terminated and printable. */
#include "tests/fuzz/fuzz.h"

#include "probes/probes.h"

static void text_check(const char *text, size_t size)
{
	CHECK(strnlen(text, size) < size);
}

static void why_check(int rc, const struct why *why)
{
	CHECK(rc == 0 || rc == -71 /* EPROTO */);
	text_check(why->text, sizeof(why->text));
	CHECK(rc == 0 || why->text[0]);
}

static void models_check(const char *body, size_t n)
{
	static struct probe_models models;
	struct why why = {""};
	int rc = probe_models_parse(body, n, &models, &why);

	why_check(rc, &why);
	if (rc)
		return;
	CHECK(models.n <= PROBE_MODELS);
	for (unsigned i = 0; i < models.n; i++) {
		const struct probe_model *m = &models.at[i];

		text_check(m->name, sizeof(m->name));
		text_check(m->family, sizeof(m->family));
		CHECK(m->name[0]);
		for (const char *c = m->name; *c; c++)
			CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
		CHECK(probe_name_same(m->name, m->name));
		for (unsigned j = 0; j < i; j++)
			CHECK(probe_name_same(m->name, models.at[j].name) == probe_name_same(models.at[j].name, m->name));
		(void)probe_model_embeds(m->caps, m->family);
	}
}

static void objects_check(const char *body, size_t n)
{
	struct why why = {""};
	unsigned caps = 0;
	char version[32];
	int rc = probe_version_parse(body, n, version, sizeof(version), &why);

	why_check(rc, &why);
	if (!rc)
		text_check(version, sizeof(version));
	why_check(probe_show_parse(body, n, &caps, &why), &why);
	why_check(probe_done_parse(body, n, &why), &why);
	why_check(probe_embed_parse(body, n, n & 1, &why), &why);
	why.text[0] = 0;
	probe_error_parse(body, n, &why);
	text_check(why.text, sizeof(why.text));
	for (const char *c = why.text; *c; c++)
		CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *body = exact_copy((const char *)data, size), *text = malloc(size + 1);
	uint64_t wall_ns = 0;

	CHECK(text);
	memcpy(text, data, size);
	text[size] = 0;
	models_check(body, size);
	objects_check(body, size);
	if (probe_time_parse(text, &wall_ns)) {
		CHECK(!wall_ns || wall_ns == PROBE_FOREVER || wall_ns < 7300000000ULL * 1000000000ULL); /* before 2202 */
		for (size_t i = 0; i < 19; i++)
			CHECK(strchr("-T:", text[i]) ? i % 3 == 1 && i > 3 : text[i] >= '0' && text[i] <= '9');
	}
	free(text);
	free(body);
	return 0;
}
