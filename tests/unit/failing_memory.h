/* tests/unit/failing_memory.h - an allocator whose Nth allocation fails, for the one program that includes it.
 *
 * The definitions here take the place of the C library's, so that what it allocates itself (strdup, scandir) counts as well.
 * AddressSanitizer has an allocator of its own; under it (SANITIZED) there is nothing to prove. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#ifdef __has_feature
#define SANITIZED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static unsigned count, fail_at; /* the allocation that fails; 0: none */
static long living;

#if !SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *p);

static bool granted(void)
{
	if (++count == fail_at) {
		errno = ENOMEM;
		return false;
	}
	return true;
}

static void *born(void *p)
{
	living += p != NULL;
	return p;
}

void *malloc(size_t size)
{
	return granted() ? born(__libc_malloc(size)) : NULL;
}

void *calloc(size_t n, size_t size)
{
	return granted() ? born(__libc_calloc(n, size)) : NULL;
}

void *realloc(void *old, size_t size)
{
	if (!granted())
		return NULL;
	return old ? __libc_realloc(old, size) : born(__libc_realloc(NULL, size));
}

void free(void *p)
{
	living -= p != NULL;
	__libc_free(p);
}
#endif
