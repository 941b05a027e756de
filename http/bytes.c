#include "http/bytes.h"

#define ALNUM (BYTE_TOKEN | BYTE_TARGET | BYTE_HOST)
#define TCHAR (BYTE_TOKEN | BYTE_TARGET)

const uint8_t HTTP_BYTE[256] = {
	[0x00 ... 0x1f] = BYTE_CONTROL,
	[0x7f] = BYTE_CONTROL,
	['!'] = TCHAR,
	['"'] = BYTE_TARGET | BYTE_ESCAPE,
	['#'] = BYTE_TOKEN,
	['$' ... '\''] = TCHAR,
	['('] = BYTE_TARGET,
	[')'] = BYTE_TARGET,
	['*' ... '+'] = TCHAR,
	[','] = BYTE_TARGET,
	['-' ... '.'] = ALNUM,
	['/'] = BYTE_TARGET | BYTE_ESCAPE,
	['0' ... '9'] = ALNUM | BYTE_DIGIT,
	[':' ... '@'] = BYTE_TARGET,
	['A' ... 'Z'] = ALNUM,
	['['] = BYTE_TARGET,
	['\\'] = BYTE_TARGET | BYTE_ESCAPE,
	[']'] = BYTE_TARGET,
	['^'] = TCHAR,
	['_'] = ALNUM,
	['`'] = TCHAR,
	['a'] = ALNUM,
	['b'] = ALNUM | BYTE_ESCAPE,
	['c' ... 'e'] = ALNUM,
	['f'] = ALNUM | BYTE_ESCAPE,
	['g' ... 'm'] = ALNUM,
	['n'] = ALNUM | BYTE_ESCAPE,
	['o' ... 'q'] = ALNUM,
	['r'] = ALNUM | BYTE_ESCAPE,
	['s'] = ALNUM,
	['t'] = ALNUM | BYTE_ESCAPE,
	['u' ... 'z'] = ALNUM,
	['{'] = BYTE_TARGET,
	['|'] = TCHAR,
	['}'] = BYTE_TARGET,
	['~'] = TCHAR,
};

static bool continues(const char *p, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		if (((unsigned char)p[i] & 0xc0) != 0x80)
			return false;
	return true;
}

unsigned byte_utf8(const char *p, size_t n)
{
	unsigned char a = n ? (unsigned char)p[0] : 0, b = n > 1 ? (unsigned char)p[1] : 0;
	unsigned need;

	if (!n)
		return 0;
	if (a < 0x80)
		return 1;
	if (a < 0xc2 || a > 0xf4)
		return 0;
	need = a < 0xe0 ? 2 : a < 0xf0 ? 3 : 4;
	if (n < need || !continues(p, need))
		return 0;
	/* Overlong forms, surrogates and what lies above U+10FFFF. */
	if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) || (a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f))
		return 0;
	return need;
}
