/* route/weights.h - the classifier's weights file, given as bytes.  Reading the file is conf/weights.h's business.
 *
 * Little-endian, written by tools/train:
 *
 *     0  magic "tsa-cls\n"            8  version           12  bytes of the whole file    16  FNV-1a of all that follows
 *    20  pieces of the vocabulary    24  width of a piece's vector                         28  cues
 *    32  checksum of the cues' names 36  hidden units      40  categories                  44  bytes of the vocabulary
 *    48  scale of the piece table    52  temperature       56  abstain below               60  unsafe from
 *    64  names of the categories, 16 bytes each, NUL-padded
 *        floats: hidden weights [width + cues][hidden], hidden bias [hidden], output weights [hidden][categories],
 *                direct weights [width + cues][categories], output bias [categories]
 *        piece table [pieces][width], signed bytes
 *        vocabulary: each piece ended by a NUL
 *
 * Every number is checked before it is used: a hostile file is refused, with a sentence. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "route/cues.h"

#define WEIGHTS_MAGIC      "tsa-cls\n"
#define WEIGHTS_VERSION    1
#define WEIGHTS_BYTES_MAX  (2u << 20)
#define WEIGHTS_WIDTH      128
#define WEIGHTS_HIDDEN     48
#define WEIGHTS_INPUTS     (WEIGHTS_WIDTH + CUE_COUNT)
#define WEIGHTS_CATEGORIES 8
#define WEIGHTS_NAME       16

/* The dense part, in the order of the file. */
struct weights_dense {
	float hidden[WEIGHTS_INPUTS][WEIGHTS_HIDDEN];
	float hidden_bias[WEIGHTS_HIDDEN];
	float output[WEIGHTS_HIDDEN][WEIGHTS_CATEGORIES];
	float direct[WEIGHTS_INPUTS][WEIGHTS_CATEGORIES];
	float output_bias[WEIGHTS_CATEGORIES];
};

struct weights {
	struct weights_dense dense;
	float scale;         /* of the table's bytes */
	float temperature;   /* what the outputs are divided by before they are probabilities */
	float abstain_below; /* a smaller probability of the likeliest category is no answer */
	float unsafe_from;   /* probability of safety-risk from which a prompt is flagged */
	unsigned n_pieces;
	const int8_t *table; /* in the caller's bytes: [n_pieces][WEIGHTS_WIDTH] */
	const char *strings; /* likewise */
	size_t strings_bytes;
};

/* Check `len` bytes and take them apart; `table` and `strings` point into `bytes`.  0; -EINVAL with `why`. */
int weights_read(const void *bytes, size_t len, struct weights *out, struct why *why);
