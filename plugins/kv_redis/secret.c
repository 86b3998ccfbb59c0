/* SPDX-License-Identifier: Apache-2.0 */
/* secret.c - the AUTH command: the only place, beside the config, where a password stands. */
#include <stdio.h>

#include "url.h"

static size_t length_of(struct kr_word w)
{
	const char *p = w.text.p, *stop = p + w.text.n;
	size_t n = 0;

	if (!w.coded)
		return w.text.n;
	for (; p < stop; n++)
		kr_url_byte(&p, stop);
	return n;
}

static void put_word(struct kr_secret *out, size_t cap, struct kr_word w)
{
	const char *p = w.text.p, *stop = p + w.text.n;

	out->n += (size_t)snprintf(out->p + out->n, cap - out->n, "$%zu\r\n", length_of(w));
	while (p < stop)
		out->p[out->n++] = w.coded ? kr_url_byte(&p, stop) : *p++;
	memcpy(out->p + out->n, "\r\n", 2);
	out->n += 2;
}

bool kr_auth_make(struct kr_secret *out, struct kr_word user, struct kr_word password)
{
	size_t cap = user.text.n + password.text.n + 96;

	*out = (struct kr_secret){ .n = 0 };
	if (!password.text.n)
		return true;
	out->p = ch_secret_alloc(cap);
	if (!out->p)
		return false;
	out->n = (size_t)snprintf(out->p, cap, "*%d\r\n$4\r\nAUTH\r\n", user.text.n ? 3 : 2);
	if (user.text.n)
		put_word(out, cap, user);
	put_word(out, cap, password);
	return true;
}

void kr_secret_free(struct kr_secret *s)
{
	if (s->p)
		ch_secret_free(s->p);
	*s = (struct kr_secret){ .n = 0 };
}
