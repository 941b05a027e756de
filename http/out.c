#include <string.h>

#include "http/bytes.h"
#include "http/http.h"

void http_out_bytes(struct http_out *o, const char *p, size_t n)
{
	if (o->overflow || n > o->cap - o->len) {
		o->overflow = true;
		return;
	}
	if (n)
		memcpy(o->p + o->len, p, n);
	o->len += n;
}

void http_out_text(struct http_out *o, const char *text)
{
	http_out_bytes(o, text, strlen(text));
}

void http_out_num(struct http_out *o, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	http_out_bytes(o, digits + at, sizeof(digits) - at);
}

static bool name_fits(const char *name)
{
	const char *p = name;

	while (byte_is(*p, BYTE_TOKEN))
		p++;
	return p > name && !*p;
}

static bool value_fits(struct span value)
{
	size_t i = 0;

	while (i < value.n) {
		i += run_text(value.p + i, value.n - i);
		if (i < value.n && value.p[i++] != '\t')
			return false;
	}
	return true;
}

void http_out_header(struct http_out *o, const char *name, struct span value)
{
	if (!name_fits(name) || !value_fits(value)) {
		o->overflow = true;
		return;
	}
	http_out_text(o, name);
	http_out_bytes(o, ": ", 2);
	http_out_bytes(o, value.p, value.n);
	http_out_bytes(o, "\r\n", 2);
}

void http_out_header_num(struct http_out *o, const char *name, uint64_t v)
{
	if (!name_fits(name)) {
		o->overflow = true;
		return;
	}
	http_out_text(o, name);
	http_out_bytes(o, ": ", 2);
	http_out_num(o, v);
	http_out_bytes(o, "\r\n", 2);
}

void http_out_status(struct http_out *o, unsigned status)
{
	http_out_text(o, "HTTP/1.1 ");
	http_out_num(o, status);
	http_out_bytes(o, " ", 1);
	http_out_text(o, http_status_text(status));
	http_out_bytes(o, "\r\n", 2);
}

const char *http_status_text(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} TEXTS[] = {
#define STATUS(number, phrase) {number, phrase},
#include "http/statuses.def"
#undef STATUS
	};

	for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++)
		if (TEXTS[i].status == status)
			return TEXTS[i].text;
	return "";
}

size_t http_chunk_head(char *buf, size_t payload_bytes)
{
	static const char HEX[] = "0123456789abcdef";
	unsigned shift = 0;
	size_t n = 0;

	while (shift + 4 < sizeof(payload_bytes) * 8 && payload_bytes >> (shift + 4))
		shift += 4;
	for (;; shift -= 4) {
		buf[n++] = HEX[payload_bytes >> shift & 15];
		if (!shift)
			break;
	}
	buf[n++] = '\r';
	buf[n++] = '\n';
	return n;
}
