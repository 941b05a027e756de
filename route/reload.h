/* route/reload.h - what becomes of options that would make an Ollama load a model anew.  Pure.
 *
 * A runner is started with these options; a request with others waits until the model is idle, unloads it and loads it again, for
 * everybody, and under steady traffic never gets there.  So no such option reaches an instance: the router writes null in its place,
 * which Ollama reads as absent, and the policy says whether the client still gets what it needs.
 *
 *     clamp    the model as it is loaded has to do
 *     route    a longer context is looked for: only instances whose context is at least num_ctx count; where there is none, those
 *              with the longest
 *     refuse   what the model as it is loaded cannot give is refused with 400
 *
 * A num_ctx no longer than the context in force changes nothing that an answer could show, under no policy. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RELOAD_OPTION(id, name).  shift stands beside the options in the body, the others in them. */
#define RELOAD_OPTIONS(X)                                                                                                          \
	X(NUM_CTX, "num_ctx")                                                                                                      \
	X(NUM_BATCH, "num_batch")                                                                                                  \
	X(NUM_GPU, "num_gpu")                                                                                                      \
	X(MAIN_GPU, "main_gpu")                                                                                                    \
	X(USE_MMAP, "use_mmap")                                                                                                    \
	X(NUM_THREAD, "num_thread")                                                                                                \
	X(DRAFT_NUM_PREDICT, "draft_num_predict")                                                                                  \
	X(SHIFT, "shift")

enum reload_option {
#define RELOAD_OPTION(id, name) RELOAD_##id,
	RELOAD_OPTIONS(RELOAD_OPTION)
#undef RELOAD_OPTION
		RELOAD_OPTION_COUNT
};

enum reload_policy { RELOAD_CLAMP = 0, RELOAD_ROUTE, RELOAD_REFUSE, RELOAD_POLICIES };

/* What a request has of them. */
struct reload_asked {
	unsigned set;    /* bit per option that is there and not null */
	int64_t num_ctx; /* as written; what is no number: 0 */
	int64_t num_gpu; /* a negative one is Ollama's own choice and reloads nothing */
};

enum reload_verdict { RELOAD_AS_IS = 0, RELOAD_ADJUST, RELOAD_NO };

struct reload_result {
	enum reload_verdict verdict;
	unsigned remove;        /* bit per option to be taken out (ADJUST) */
	unsigned refused;       /* the first option that is refused (NO) */
	uint64_t need_context;  /* instances with less do not count; 0: all do */
	uint64_t given_context; /* less than num_ctx: what the answer will have; 0: as asked, or not known */
};

/* `contexts[i]`: tokens per place that the model has, or would have, on an instance that could serve it; 0 not known. */
void reload_decide(enum reload_policy policy, const struct reload_asked *asked, const uint64_t *contexts, unsigned n,
		   struct reload_result *out);

/* An instance with this context may serve the request. */
static inline bool reload_allows(const struct reload_result *r, uint64_t context)
{
	return context >= r->need_context;
}

/* The option of this name; RELOAD_OPTION_COUNT: it is none of these. */
enum reload_option reload_option_find(const char *name);
const char *reload_option_text(enum reload_option option);

/* For X-TSA-Adjusted: "num_thread", "num_ctx=4096, num_gpu" (num_ctx with what is in force, where that is less).  Returns `buf`. */
char *reload_adjusted_text(const struct reload_result *r, char *buf, size_t size);

/* For the body of the 400.  Returns `buf`. */
char *reload_refused_text(const struct reload_result *r, char *buf, size_t size);
