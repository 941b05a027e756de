#include "router/router.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int carry_add(struct carry *c, const char *p, size_t n, size_t max)
{
	if (n > max || c->n > max - n)
		return -E2BIG;
	if (n == 0)
		return 0;
	if (c->n + n > c->cap) {
		size_t cap = c->cap ? c->cap : 512;
		char *q;

		while (cap < c->n + n)
			cap *= 2;
		q = realloc(c->p, cap);
		if (!q)
			return -ENOMEM;
		c->p = q;
		c->cap = cap;
	}
	memcpy(c->p + c->n, p, n);
	c->n += n;
	return 0;
}

void carry_drop(struct carry *c, size_t n)
{
	if (n >= c->n) {
		carry_free(c);
		return;
	}
	memmove(c->p, c->p + n, c->n - n);
	c->n -= n;
}

void carry_free(struct carry *c)
{
	free(c->p);
	*c = (struct carry){0};
}
