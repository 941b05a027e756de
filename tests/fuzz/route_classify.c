/* Bytes as a prompt, with the weights that are shipped: every answer is within its bounds, and what lies behind the part that is read does not
 * change the category. */
#include <fcntl.h>
#include <math.h>

#include "conf/weights.h"
#include "fuzz.h"
#include "route/classify.h"
#include "route/question.h"

static struct classifier *classifier_get(void)
{
	static struct classifier *c;
	struct conf_weights w;
	struct why why = {""};

	if (!c && (conf_weights_read("etc/classifier.weights", &w, &why) < 0 || classify_create(w.bytes, w.len, &c, &why) < 0)) {
		fprintf(stderr, "%s\n", why.text);
		abort();
	}
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct classifier *c = classifier_get();
	char *text = exact_copy((const char *)data, size);
	struct classify_result r, again;
	float sum = 0;

	classify_prompt(c, text, size, &r);
	classify_prompt(c, text, size, &again);
	CHECK(memcmp(&r, &again, sizeof(r)) == 0);
	CHECK(r.category < CATEGORY_COUNT && r.likeliest < CATEGORY_COUNT && r.pieces <= CLASSIFY_PIECES);
	CHECK(r.complexity >= 0 && r.complexity <= 1 && r.confidence > 0 && r.confidence <= 1);
	CHECK(*question_type_name(question_type_of(&r)) && *question_level_name(r.level) && *category_tag(r.category));
	for (unsigned i = 0; i < CATEGORY_COUNT; i++) {
		CHECK(isfinite(r.probability[i]));
		sum += r.probability[i];
	}
	CHECK(sum > 0.99f && sum < 1.01f);
	free(text);
	return 0;
}
