/* tools/sim/buf.h - growing bytes and a bump arena, for ollama-sim.
 *
 * A simulator that cannot get memory has nothing sensible to simulate: both stop the process with a sentence. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct buf {
	char *p;
	size_t n;
	size_t cap;
};

void *sim_alloc(size_t size); /* zeroed */
char *sim_strdup(const char *text);

void buf_fini(struct buf *b);
void buf_reserve(struct buf *b, size_t more);
void buf_put(struct buf *b, const char *p, size_t n);
void buf_text(struct buf *b, const char *text);
void buf_span(struct buf *b, struct span s);
void buf_i64(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Forget the first `n` bytes. */
void buf_drop(struct buf *b, size_t n);
/* Empty it; give the memory back when it grew beyond `keep`. */
void buf_reset(struct buf *b, size_t keep);
struct span buf_view(const struct buf *b);

#define buf_lit(b, s) buf_put((b), (s), sizeof(s) - 1)

/* Length of the well-formed UTF-8 sequence at `p`, 0 when there is none. */
size_t utf8_len(const unsigned char *p, size_t n);

/* As Go's encoder writes a string: quotes, \u003c for <, U+2028 escaped, broken UTF-8 as U+FFFD. */
void buf_json(struct buf *b, struct span s);
void buf_json_text(struct buf *b, const char *text);
/* As Go's encoder writes a float32. */
void buf_float32(struct buf *b, float v);
/* As Go's encoder writes a float64. */
void buf_float64(struct buf *b, double v);

struct arena_block;

struct arena {
	struct arena_block *head;
};

void *arena_alloc(struct arena *a, size_t size);
char *arena_copy(struct arena *a, struct span s); /* NUL-terminated */
/* Forget everything; one block of modest size is kept for the next use. */
void arena_reset(struct arena *a);
void arena_fini(struct arena *a);
