/* router/feedback.h - private: what users said of answers, and which answers they can have meant.
 *
 * In this router's memory alone and bounded: the answers it gave last, the ratings it got last, and counts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define FEEDBACK_ANSWERS 4096
#define FEEDBACK_RECENT  200
#define FEEDBACK_METHODS 32
#define FEEDBACK_HOURS   25 /* the present one has only begun */

struct exchange;

struct feedback_answer {
	uint64_t id;      /* of the request */
	uint64_t message; /* as the front end called it; 0: it did not */
	uint64_t model;   /* its hash */
	uint8_t slot;
	bool rated;
};

struct feedback_count {
	uint64_t up, down, neutral;
};

struct feedback {
	struct feedback_answer answers[FEEDBACK_ANSWERS]; /* a ring */
	unsigned next;
	char *recent[FEEDBACK_RECENT]; /* JSON texts, a ring; the last one has the id `n` */
	uint64_t n;
	struct feedback_count all;
	unsigned n_methods;
	struct {
		char name[48];
		struct feedback_count count;
	} methods[FEEDBACK_METHODS];
	struct {
		uint64_t hour; /* since the epoch */
		uint64_t n;
	} hours[FEEDBACK_HOURS];
};

/* The number of a message, 0: it is none. */
uint64_t feedback_number(struct span text);
/* x has been answered well, by an instance. */
void feedback_answered(const struct exchange *x);
void feedback_fini(struct feedback *f);
