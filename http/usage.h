/* http/usage.h - what an answer says of its own cost, read from its end without parsing the rest.
 *
 * Ollama's final object has counts and durations in all of its native routes; the OpenAI and Anthropic dialects have counts alone, and
 * streams of the former only when asked.  The members stand at the end of the body, within 200 bytes of it in the longest of the dialects (an event of the Responses route).  Quotes
 * inside a model's own text are escaped there, so that text cannot forge a member. */
#pragma once

#include <stdint.h>

#include "base/span.h"

#define USAGE_TAIL 216 /* bytes of the end of an answer that are looked at */

/* Zero: not said. */
struct usage {
	uint64_t prompt_tokens;
	uint64_t output_tokens;
	uint64_t prompt_ns;
	uint64_t output_ns;
	uint64_t load_ns;
};

void usage_scan(struct span tail, struct usage *out);
