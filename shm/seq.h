/* shm/seq.h - how a line is written and read.  Only writer.c, reader.c and the race test include it.
 *
 * A line is a sequence word and payload words.  Odd: the payload is being written.  Even: it is whole.
 *
 *	writer				reader
 *	seq   := odd			before := seq		(acquire)	odd: try again
 *	words := payload  (release)	copy   := words		(acquire)
 *	seq   := odd + 1  (release)	after  := seq				differs from before: try again
 *
 * No torn copy is accepted.  Nothing older than publication `before` is read, for its even store released all its words.  Should
 * one word come from a later publication, then acquiring that word makes the later odd store visible, so `after` differs.  This
 * is why the words themselves carry acquire and release and there is no fence: a fence would do the same, but the race checker
 * does not see fences.  On x86-64 all of these are plain moves.
 *
 * A writer killed between the words leaves seq odd and a mix of two payloads, which no reader accepts.  Its successor on the line
 * (which exists only after the supervisor has reaped the dead one: there are never two writers) keeps that odd number, writes
 * every word and ends on the next even one, which nobody has seen before. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Publish `n` words.  `payload` is the writer's own memory, any alignment. */
static inline void shm_seq_store(_Atomic uint64_t *seq, _Atomic uint64_t *words, size_t n, const void *payload)
{
	uint64_t odd = atomic_load_explicit(seq, memory_order_relaxed) | 1;

	atomic_store_explicit(seq, odd, memory_order_relaxed); /* ordered before the words by their release */
	for (size_t i = 0; i < n; i++) {
		uint64_t word;

		memcpy(&word, (const unsigned char *)payload + i * sizeof(word), sizeof(word));
		atomic_store_explicit(&words[i], word, memory_order_release);
	}
	atomic_store_explicit(seq, odd + 1, memory_order_release);
}

/* One pass: true when `copy` is one whole publication.  Otherwise `copy` holds rubbish. */
static inline bool shm_seq_try(const _Atomic uint64_t *seq, const _Atomic uint64_t *words, size_t n, uint64_t *copy)
{
	uint64_t before = atomic_load_explicit(seq, memory_order_acquire);

	if (before & 1)
		return false;
	for (size_t i = 0; i < n; i++)
		copy[i] = atomic_load_explicit(&words[i], memory_order_acquire);
	return atomic_load_explicit(seq, memory_order_relaxed) == before; /* not before the words: they were acquired */
}

/* Between two passes: lets a writer on the sibling thread of this core get on, and makes `tries` passes outlast a publication. */
static inline void shm_seq_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb");
#endif
}

/* At most `tries` passes.  False: it never settled. */
static inline bool shm_seq_load(const _Atomic uint64_t *seq, const _Atomic uint64_t *words, size_t n, uint64_t *copy,
				unsigned tries)
{
	for (unsigned i = 0; i < tries; i++) {
		if (shm_seq_try(seq, words, n, copy))
			return true;
		shm_seq_pause();
	}
	return false;
}
