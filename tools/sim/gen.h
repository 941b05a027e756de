/* tools/sim/gen.h - what a model says, how a route words it, one generation (answer.c, gen.c). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "tools/sim/buf.h"
#include "tools/sim/conf.h"

struct sim_ex;

enum sim_piece { PIECE_TEXT = 0, PIECE_THINKING, PIECE_HIDDEN, PIECE_TAG, PIECE_TOOL, PIECE_END };

/* What a model is going to say. */
struct sim_answer {
	const char *const *script; /* PIECE per string; a see answer.c for the marks; NULL ends */
	bool endless;              /* the script repeats */
	bool repeats;              /* ... until the token-repeat guard ends it */
	bool hidden_end;           /* an end-of-sequence token is counted */
	bool tool;                 /* one tool call instead of text */
	uint32_t thinking;         /* pieces of thinking before the words */
	uint32_t words;            /* pieces of text; ignored with `script` */
	struct span echo;          /* each piece is this text */
	uint64_t delay_ns;         /* between tokens; overrides the model's rate when `delay` */
	bool delay;
	struct span tool_name;
	struct span tool_args; /* a JSON object */
	uint32_t tool_tokens;
};

struct sim_item {
	enum sim_piece kind;
	struct span text;
	const char *call_id; /* PIECE_TOOL */
};

/* How an answer ended. */
struct sim_summary {
	bool done;          /* false: the stream just stops */
	const char *reason; /* "stop", "length", "load", "unload" */
	uint32_t prompt_tokens;
	uint32_t eval_tokens;
	int64_t total_ns;
	int64_t load_ns;
	int64_t prompt_ns;
	int64_t eval_ns;
};

/* How a route words things. */
struct sim_dialect {
	void (*item)(struct sim_ex *ex, const struct sim_item *item);     /* streaming: one token */
	void (*finish)(struct sim_ex *ex, const struct sim_summary *sum); /* the end, streamed or not */
	void (*broken)(struct sim_ex *ex, const char *message);           /* the runner failed after the first item */
	void (*loaded)(struct sim_ex *ex, const char *reason);            /* the answer of an empty request */
	void (*error)(struct sim_ex *ex, int status, const char *message, struct buf *out, bool translation);
	bool shows_tags;    /* streams an empty item for a tag that the parser took away */
	bool error_newline; /* errors of the handlers end with a newline */
	bool sse_headers;   /* Cache-Control and Connection on streamed answers, errors included */
};

struct sim_gen {
	struct sim_answer answer;
	uint32_t next;    /* piece */
	uint32_t emitted; /* items given to the dialect */
	uint32_t evals;
	uint32_t limit; /* 0 = none */
	uint32_t prompt_tokens;
	uint64_t admitted_ns;
	uint64_t prefill_at_ns;
	uint64_t first_at_ns;
	uint64_t step_ns;
	uint64_t handed_ns; /* the last item, to a reader */
	bool begun;            /* the prompt is done */
	uint64_t prompt_guess; /* what /v1/messages says of the prompt before it is known */
	struct buf text;       /* everything said so far */
	struct buf thinking;
	char call_id[16];
	bool tool_called;
};

/* ex->prompt, ex->answer_* are set: run the generation. */
void sim_gen_start(struct sim_ex *ex);
/* Stop without a word. */
void sim_gen_cancel(struct sim_ex *ex);
/* Stop because nobody listens; the answer ends as a real one does. */
void sim_gen_client_gone(struct sim_ex *ex);
/* Room in the connection's output again. */
void sim_gen_resume(struct sim_ex *ex);
void sim_gen_runner_died(struct sim_ex *ex);
void sim_answer_choose(struct sim_ex *ex, struct sim_answer *out);
enum sim_piece sim_answer_piece(const struct sim_answer *a, uint32_t i, struct span *text, char scratch[32]);
uint32_t sim_tokens_count(const struct sim_ex *ex, struct span text);
/* Tokens of `text` for one of the toy tokenizers, without those that stand around a prompt; the first `cap` ids go to `ids`. */
size_t sim_toy_tokens(enum sim_tokenizer kind, struct span text, uint32_t *ids, size_t cap);
