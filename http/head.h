/* http/head.h - what request and response heads have in common: finding the end, header lines, framing.  Private to http/. */
#pragma once

#include "http/http.h"

/* What the header lines said, before it is judged. */
struct head_facts {
	unsigned n_host;
	unsigned n_length;
	unsigned n_coding;
	unsigned n_expect;
	unsigned n_type; /* Content-Type */
	struct span length;
	struct span coding;
	struct span expect;
	struct span upgrade; /* p == NULL: no such line */
	bool close;
	bool keep_alive;
};

/* Write the fault and return HTTP_BAD. */
enum http_result head_bad(struct http_fault *fault, unsigned status, const char *reason);

/* Find the empty line that ends the head whose first line begins at `base`.  Bytes are judged in their order, and nothing after the
 * head is looked at, so the answer is the same for every cut.  A control byte other than HTAB, a CR without LF and an LF without CR
 * are refused here.  `end` is the offset just after the empty line. */
enum http_result head_end_find(const char *buf, size_t n, size_t base, size_t seen, const struct http_limits *limits, size_t *end,
			       struct http_fault *fault);

/* Parse the header lines from `p` up to the empty line at `end` - 2. */
enum http_result head_lines_parse(const char *p, const char *end, unsigned headers_max, struct http_head *out,
				  struct head_facts *facts, struct http_fault *fault);

/* Judge Content-Length and Transfer-Encoding.  Sets out->framing to NONE, LENGTH or CHUNKED, and out->content_length. */
enum http_result head_framing_judge(const struct head_facts *facts, struct http_head *out, struct http_fault *fault);

/* "HTTP/1.0" or "HTTP/1.1" at `p`, which has `n` bytes: sets out->minor.  505 for a version that is well formed. */
enum http_result head_version_parse(const char *p, size_t n, struct http_head *out, struct http_fault *fault);
