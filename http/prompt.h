/* http/prompt.h - what a request body asks, in all dialects: enough to tell what kind of question it is.
 *
 * The last text of the user counts, since it is what shall be answered; system prompts, earlier turns and what tools returned do not.
 * One that is very short ("go on", "and in Rust?") comes with the one before it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "http/view.h"

#define PROMPT_BYTES 1200 /* no more is looked at */
#define PROMPT_SHORT 24   /* bytes of a text that says little by itself */

struct prompt {
	size_t n;
	bool tools;  /* the model may have to call some */
	bool images; /* it has to see some */
	char text[PROMPT_BYTES];
};

/* Never fails: what is not there, or is no text, is empty. */
void prompt_find(const struct view *v, struct prompt *out);
