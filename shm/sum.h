/* shm/sum.h - private to shm/: the sum in the last word of a line.
 *
 * The sequence word says that a line is whole, the sum that it is what its writer stored: a stray store into the mapping, in any process
 * that has it writable, is found by every reader.  It is no secret: a writer that lies can sum up its lie. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of `n` words at `payload`, any alignment.  Zeros have the sum 0, so that a line nobody has published yet is sound.  Each step is
 * reversible, so a single changed word always shows; changes of several escape with a chance of about 2^-64, and the fold before the
 * multiplication sees to it that no two single bits do.  Four chains, because one would wait for its multiplication all the time. */
static inline uint64_t shm_sum(const void *payload, size_t n)
{
	uint64_t h[4] = {0, 0, 0, 0};

	for (size_t i = 0; i < n; i++) {
		uint64_t word, x;

		memcpy(&word, (const unsigned char *)payload + i * sizeof(word), sizeof(word));
		x = h[i % 4] ^ word;
		h[i % 4] = (x ^ x >> 32) * 0x9e3779b97f4a7c15ULL;
	}
	return h[0] ^ (h[1] << 16 | h[1] >> 48) ^ (h[2] << 32 | h[2] >> 32) ^ (h[3] << 48 | h[3] >> 16);
}
