/* SPDX-License-Identifier: Apache-2.0 */
/* key.c - see key.h. */
#include "key.h"

static const char *quoted(const char *p, const char *end, char *out, size_t *n)
{
	for (; p < end && *p != '"'; p++) {
		if (*p == '\\' && (++p == end || (*p != '"' && *p != '\\')))
			return "has a backslash before something else than a quote or a backslash";
		if (*p <= ' ' || *p > '~')
			return "has a character that is not visible ASCII";
		if (*n == IDEM_KEY_MAX)
			return "has more than 255 characters";
		out[(*n)++] = *p;
	}
	if (p == end)
		return "begins with a quote and does not end with one";
	return p + 1 == end ? NULL : "has something behind its closing quote";
}

static const char *bare(const char *p, const char *end, char *out, size_t *n)
{
	for (; p < end; p++) {
		if (*p <= ' ' || *p > '~')
			return "has a character that is not visible ASCII";
		if (*n == IDEM_KEY_MAX)
			return "has more than 255 characters";
		out[(*n)++] = *p;
	}
	return NULL;
}

const char *idem_key_read(struct ch_str value, char out[IDEM_KEY_MAX], size_t *n)
{
	const char *end = value.p + value.n, *wrong;

	*n = 0;
	if (!value.n)
		return "is empty";
	wrong = *value.p == '"' ? quoted(value.p + 1, end, out, n) : bare(value.p, end, out, n);
	return wrong ? wrong : *n ? NULL : "is empty";
}
