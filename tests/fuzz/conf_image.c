/* Bytes to registry and catalogue: whatever an image holds, what is opened keeps the promises of conf/registry.h, and made into an
 * image again it opens to the same.  The input is an image when its first byte is odd; else it changes a good one: four bytes of
 * place, one of value, and so on. */
#include <errno.h>

#include "conf/image.h"
#include "tests/fuzz/fuzz.h"

static const char MODELS[] = "{\"models\": [{\"name\": \"a\", \"hf_repo\": \"x/y\", \"gpu_memory\": \"2GB (Q4), 3GB (Q8)\","
			     "\"orchestration_categories\": [\"code\", \"math\"], \"benchmarks\": {\"MBPP\": 7}, \"aliases\": [\"a:1b\"]},"
			     "{\"name\": \"b\", \"hf_repo\": \"x/z\", \"gpu_memory\": \"1GB\"}]}";
static const char CATEGORIES[] = "{\"categories\": {\"code\": {\"models\": [\"a\", \"b\"], \"benchmarks\": [\"MBPP\"]},"
				 "\"go\": {\"parent\": \"code\", \"models\": [\"b\"]}}}";

/* A good image with the changes that the input names. */
static char *changed(const uint8_t *data, size_t size, size_t *n)
{
	static struct conf_report report;
	struct conf_registry *r = NULL;
	struct conf_catalogue *c = NULL;
	void *bytes = NULL;
	char *copy;

	CHECK(conf_registry_parse("m", MODELS, strlen(MODELS), &r, &report) == 0);
	CHECK(conf_catalogue_parse("c", CATEGORIES, strlen(CATEGORIES), &c, &report) == 0);
	CHECK(conf_image_make(r, c, &bytes, n, NULL) == 0);
	conf_registry_destroy(&r);
	conf_catalogue_destroy(&c);
	for (; size >= 5; data += 5, size -= 5) {
		uint32_t at;

		memcpy(&at, data, 4);
		((uint8_t *)bytes)[at % *n] = data[4];
	}
	if (size)
		*n -= data[0] % *n;
	copy = exact_copy(bytes, *n);
	free(bytes);
	return copy;
}

static void facts_check(const struct conf_registry *r, const struct conf_catalogue *c)
{
	for (unsigned i = 0; r && i < r->n; i++) {
		const struct conf_registry_model *m = &r->models[i];

		CHECK(strlen(m->name) < sizeof(m->name) && m->n_categories <= CONF_MODEL_CATEGORIES && m->n_aliases <= CONF_MODEL_ALIASES);
		for (unsigned k = 0; k < m->n_benchmarks; k++)
			CHECK(m->benchmarks[k].value >= 0 && m->benchmarks[k].value <= 100);
	}
	for (unsigned i = 0; c && i < c->n; i++) {
		const struct conf_category *at = &c->categories[i];
		unsigned steps = 0;

		for (unsigned k = 0; k < at->n_models; k++)
			CHECK(at->models[k][0] && strlen(at->models[k]) < CONF_MODEL_NAME);
		while (at->parent[0]) {
			const struct conf_category *up = NULL;

			for (unsigned k = 0; k < c->n; k++)
				if (strcmp(c->categories[k].id, at->parent) == 0)
					up = &c->categories[k];
			CHECK(up && steps++ <= c->n);
			at = up;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_registry *r = NULL, *r2 = NULL;
	struct conf_catalogue *c = NULL, *c2 = NULL;
	struct why why = {""};
	size_t n, n2, n3;
	void *made, *again;
	char *bytes;
	int rc;

	if (!size)
		return 0;
	n = size - 1;
	bytes = data[0] & 1 ? exact_copy((const char *)data + 1, n) : changed(data + 1, size - 1, &n);
	rc = conf_image_open(bytes, n, &r, &c, &why);
	free(bytes);
	CHECK(rc == 0 || (rc == -EINVAL && why.text[0] && !r && !c));
	if (rc < 0)
		return 0;
	facts_check(r, c);
	CHECK(conf_image_make(r, c, &made, &n2, &why) == 0 && n2 == n);
	CHECK(conf_image_open(made, n2, &r2, &c2, &why) == 0);
	CHECK(conf_image_make(r2, c2, &again, &n3, &why) == 0 && n3 == n2 && memcmp(made, again, n2) == 0);
	free(made);
	free(again);
	conf_registry_destroy(&r);
	conf_registry_destroy(&r2);
	conf_catalogue_destroy(&c);
	conf_catalogue_destroy(&c2);
	return 0;
}
