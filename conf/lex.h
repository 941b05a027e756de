/* conf/lex.h - the bytes of a file as tokens, each with its place.  Private to conf/.
 *
 * Nothing is expanded, nothing is dropped in silence, nothing is allocated; what cannot be read is a token, too, which holds the
 * sentence to tell about it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/why.h"

#define CONF_WORD_BYTES 4000 /* of one word or string */

/* Where something stands. */
struct conf_place {
	unsigned file;   /* index into the names of files */
	unsigned line;   /* from 1; 0: the file as a whole */
	unsigned column; /* from 1, in characters; a tab is one */
};

enum conf_token_kind {
	CONF_TOKEN_END = 0,
	CONF_TOKEN_WORD,   /* stands without quotes */
	CONF_TOKEN_STRING, /* stands between quotes */
	CONF_TOKEN_BAD,    /* told by `text`; stands where a word or string would */
	CONF_TOKEN_OPEN = '{',
	CONF_TOKEN_CLOSE = '}',
	CONF_TOKEN_EQUAL = '=',
	CONF_TOKEN_COMMA = ',',
	CONF_TOKEN_APPEND = '+', /* += */
};

struct conf_token {
	enum conf_token_kind kind;
	struct conf_place at;
	bool first; /* on its line */
	char text[CONF_WORD_BYTES + 1];
};

/* A copy of it reads on from the same place. */
struct conf_lexer {
	const char *p;
	const char *end;
	struct conf_place at;
	bool fresh; /* no token yet on this line */
};

/* Begin to read a file's bytes, which stay the caller's.  -EINVAL: this is no text, by `why` and lexer->at. */
int conf_lexer_init(struct conf_lexer *x, unsigned file, const char *text, size_t n, struct why *why);

/* The next token; after the last one CONF_TOKEN_END for ever. */
void conf_lexer_next(struct conf_lexer *x, struct conf_token *out);
