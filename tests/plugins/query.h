/* SPDX-License-Identifier: Apache-2.0 */
/* query.h - "a=1&b=2" for the test plugins: numbers and words, without %-escapes. */
#ifndef QUERY_H
#define QUERY_H

#include <chimera/plugin.h>

/* The value behind `name=`; p NULL: not there. */
static inline struct ch_str query_text(struct ch_ctx *c, const char *name)
{
	struct ch_str q = ch_query(c);
	size_t len = strlen(name);

	for (size_t at = 0; at < q.n;) {
		const char *p = q.p + at, *end = (const char *)memchr(p, '&', q.n - at);
		size_t n = end ? (size_t)(end - p) : q.n - at;

		if (n > len && p[len] == '=' && !memcmp(p, name, len))
			return (struct ch_str){ p + len + 1, n - len - 1 };
		at += n + 1;
	}
	return (struct ch_str){ NULL, 0 };
}

/* The number behind `name=`, or `def`. */
static inline int64_t query_int(struct ch_ctx *c, const char *name, int64_t def)
{
	struct ch_str v = query_text(c, name);
	bool minus = v.n && *v.p == '-';
	int64_t n = 0;

	if (!v.n)
		return def;
	for (size_t i = minus; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9' || n > INT64_MAX / 10 - 10)
			return def;
		n = n * 10 + (v.p[i] - '0');
	}
	return minus ? -n : n;
}

static inline bool query_is(struct ch_ctx *c, const char *name, const char *word)
{
	struct ch_str v = query_text(c, name);

	return v.n == strlen(word) && !memcmp(v.p, word, v.n);
}

#endif
