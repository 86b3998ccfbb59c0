/* SPDX-License-Identifier: Apache-2.0 */
/* shown.c - one walk over the header, and one over the query if there is one. */
#include <strings.h>

#include "shown.h"

/* ---- the query ---- */

#define NAME_MOST 16 /* bytes of a name of the list */

static int digit(char ch)
{
	return ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1;
}

/* The name without its escapes, lower case, '-' as '_'. False: it is too long to be one of ours. */
static bool plain(struct ch_str s, char out[NAME_MOST])
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];

		if (ch == '%' && i + 2 < s.n && digit(s.p[i + 1]) >= 0 && digit(s.p[i + 2]) >= 0) {
			ch = (char)(digit(s.p[i + 1]) << 4 | digit(s.p[i + 2]));
			i += 2;
		}
		if (n + 1 == NAME_MOST)
			return false;
		out[n++] = (char)(ch >= 'A' && ch <= 'Z' ? ch + 32 : ch == '-' ? '_' : ch);
	}
	out[n] = 0;
	return true;
}

static bool holds_key(struct ch_str q)
{
	static const char *const names[] = { "key", "api_key", "apikey", "x_api_key", "access_token", "authorization" };
	const char *end = q.p + q.n, *p = q.p;

	while (p < end) {
		const char *stop = p;
		char name[NAME_MOST];

		while (stop < end && *stop != '&' && *stop != '=')
			stop++;
		if (plain((struct ch_str){ p, (size_t)(stop - p) }, name))
			for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
				if (!strcmp(name, names[i]))
					return true;
		while (stop < end && *stop != '&')
			stop++;
		p = stop + 1;
	}
	return false;
}

/* ---- the header ---- */

enum { AUTHORIZATION = 1, X_API_KEY = 2, API_KEY = 4 };

static unsigned kind(struct ch_str name)
{
	switch (name.n) {
	case 7:
		return strncasecmp(name.p, "api-key", 7) ? 0 : API_KEY;
	case 9:
		return strncasecmp(name.p, "x-api-key", 9) ? 0 : X_API_KEY;
	case 13:
		return strncasecmp(name.p, "authorization", 13) ? 0 : AUTHORIZATION;
	default:
		return 0;
	}
}

/* "Bearer KEY" (RFC 6750). Another scheme's value stays whole. */
static struct ch_str credentials(struct ch_str v, bool *bearer)
{
	*bearer = v.n >= 6 && !strncasecmp(v.p, "bearer", 6) && (v.n == 6 || v.p[6] == ' ' || v.p[6] == '\t');
	if (!*bearer)
		return v;
	v.p += 6;
	v.n -= 6;
	while (v.n && (*v.p == ' ' || *v.p == '\t')) {
		v.p++;
		v.n--;
	}
	return v;
}

const char *auth_read_shown(struct ch_ctx *c, struct auth_shown *out)
{
	struct ch_str name, value, query = ch_query(c);
	unsigned seen = 0;

	*out = (struct auth_shown){ .key = { "", 0 } };
	if (query.n && holds_key(query))
		return "A key in the address is written to logs and histories: send it in the header Authorization (Bearer) or X-Api-Key, and have "
			"this one replaced.";
	for (size_t i = 0; ch_header_at(c, i, &name, &value); i++) {
		unsigned which = kind(name);
		bool bearer = false;

		if (!which)
			continue;
		if (seen & which)
			return "The request has the same header with a key twice: send one.";
		seen |= which;
		if (which == AUTHORIZATION) {
			value = credentials(value, &bearer);
			out->foreign = !bearer;
		}
		if (out->any && (out->key.n != value.n || memcmp(out->key.p, value.p, value.n)))
			return "The request shows two different keys in two headers: send one, in Authorization (Bearer) or X-Api-Key.";
		out->any = true;
		out->bearer |= bearer;
		out->key = value;
	}
	return NULL;
}
