/* tsa-features - what route/ sees in a prompt, for the trainer: so that training and serving can never see different things.
 *
 * usage: tsa-features VOCABULARY PIECES <texts >features, or tsa-features --cues
 * VOCABULARY has a piece per line; at most PIECES per text are given.  A text on standard input is its length (4 bytes, little-endian) and its
 * bytes; for each, standard output has the number of pieces (2 bytes), the pieces (2 bytes each, 65535 is unknown), and the cues
 * (16 bytes, the least bit is the first cue). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scan.h"
#include "route/cues.h"
#include "route/pieces.h"

#define PIECES_PER_TEXT 512
#define TEXT_MAX_BYTES  (64u << 20)

static int complain(const char *text)
{
	fprintf(stderr, "tsa-features: %s\n", text);
	return 1;
}

/* The file with its line ends as NULs; *n counts the lines.  NULL: could not be read. */
static char *lines_read(const char *path, size_t *len, unsigned *n)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	long size = -1;

	if (!f)
		return NULL;
	if (fseek(f, 0, SEEK_END) == 0)
		size = ftell(f);
	if (size > 0 && fseek(f, 0, SEEK_SET) == 0)
		text = malloc((size_t)size);
	if (text && fread(text, 1, (size_t)size, f) != (size_t)size) {
		free(text);
		text = NULL;
	}
	fclose(f);
	*n = 0;
	*len = text ? (size_t)size : 0;
	for (size_t i = 0; i < *len; i++)
		if (text[i] == '\n') {
			text[i] = 0;
			++*n;
		}
	return text;
}

static void text_write(const struct pieces *pieces, const struct cue_words *words, const char *text, size_t len, unsigned most)
{
	uint16_t ids[PIECES_PER_TEXT], n = 0;
	struct pieces_scratch scratch;
	struct cues_state state;
	struct text_walk walk;
	struct text_word word;
	struct cues cues;

	cues_begin(text, len, &state, &cues);
	text_walk_init(&walk, text, len);
	while (text_walk_next(&walk, &word)) {
		cues_word(words, &word, &state, &cues);
		n = (uint16_t)(n + pieces_cut(pieces, &word, ids + n, most - n, &scratch));
	}
	cues_end(&walk, &state, &cues);
	fwrite(&n, sizeof(n), 1, stdout);
	fwrite(ids, sizeof(*ids), n, stdout);
	fwrite(cues.bits, sizeof(cues.bits), 1, stdout);
}

static int texts_run(const struct pieces *pieces, const struct cue_words *words, unsigned most)
{
	unsigned char head[4];

	while (fread(head, 1, 4, stdin) == 4) {
		size_t len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
		char *text = len <= TEXT_MAX_BYTES ? malloc(len + 1) : NULL;

		if (!text || fread(text, 1, len, stdin) != len) {
			free(text);
			return complain("a text could not be read whole");
		}
		text_write(pieces, words, text, len, most);
		free(text);
	}
	return fflush(stdout) == EOF ? complain("the features could not be written") : 0;
}

static int cues_print(void)
{
	printf("%08x\n", cue_list_checksum());
	for (unsigned i = 0; i < CUE_COUNT; i++)
		printf("%s\n", cue_name(i));
	return 0;
}

int main(int argc, char **argv)
{
	struct cue_words *words = NULL;
	struct pieces *pieces = NULL;
	struct why why = {""};
	char *vocabulary;
	uint64_t most;
	unsigned n;
	size_t len;
	int code;

	if (argc == 2 && strcmp(argv[1], "--cues") == 0)
		return cues_print();
	if (argc != 3 || scan_u64(argv[2], 1, PIECES_PER_TEXT, &most, &why) < 0)
		return complain("write tsa-features VOCABULARY PIECES, with 1 to 512 pieces, or tsa-features --cues");
	vocabulary = lines_read(argv[1], &len, &n);
	if (!vocabulary)
		return complain("the vocabulary could not be read");
	if (pieces_create(vocabulary, len, n, &pieces, &why) < 0 || cue_words_create(&words, &why) < 0)
		code = complain(why.text);
	else
		code = texts_run(pieces, words, (unsigned)most);
	cue_words_destroy(&words);
	pieces_destroy(&pieces);
	free(vocabulary);
	return code;
}
