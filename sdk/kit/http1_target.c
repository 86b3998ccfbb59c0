/* SPDX-License-Identifier: MIT */
/* The path of a request target in the one form that routes are compared with. */
#include <string.h>

#include "chimera/kit/http1.h"
#include "http1_chars.h"

static int fail(const char **error, const char *text)
{
	*error = text;
	return -1;
}

/* Where the path of an absolute-form target begins; 0 for the other forms. */
static size_t path_start(const char *s, size_t n)
{
	size_t i = 0;

	if (n >= 7 && ch_h1_same(s, "http://", 7))
		i = 7;
	else if (n >= 8 && ch_h1_same(s, "https://", 8))
		i = 8;
	else
		return 0;
	while (i < n && s[i] != '/' && s[i] != '?')
		i++;
	return i;
}

/* The value of the escape at s[0..n), or -1. */
static int escape(const char *s, size_t n)
{
	int high = n >= 3 ? ch_h1_hex(s[1]) : -1;
	int low = n >= 3 ? ch_h1_hex(s[2]) : -1;

	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Length of the valid UTF-8 sequence (Unicode, table 3-7) at s[0..n), n > 0; 0 if there is none. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
	unsigned char low = 0x80;  /* what the second byte must be at least, */
	unsigned char high = 0xbf; /* and at most */
	size_t len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0; /* below: overlong */
	else if (s[0] == 0xed)
		high = 0x9f; /* above: surrogates */
	else if (s[0] == 0xf0)
		low = 0x90; /* below: overlong */
	else if (s[0] == 0xf4)
		high = 0x8f; /* above: beyond U+10FFFF */
	if (n < len || s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static int utf8_ok(const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t len = utf8_sequence((const unsigned char *)s + i, n - i);

		if (len == 0)
			return 0;
		i += len;
	}
	return 1;
}

/*
 * RFC 3986, section 5.2.4, in place: `to` never overtakes `i`, and out[0] is always '/'. Each round looks at one segment with
 * the slash before it.
 */
static size_t remove_dots(char *out, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n;) {
		const char *next = memchr(out + i + 1, '/', n - i - 1);
		size_t end = next ? (size_t)(next - out) : n;
		size_t len = end - i;
		int up = len == 3 && out[i + 1] == '.' && out[i + 2] == '.';

		if (up || (len == 2 && out[i + 1] == '.')) {
			while (up && to > 0 && out[--to] != '/')
				;
			if (end == n)
				out[to++] = '/';
		} else {
			memmove(out + to, out + i, len);
			to += len;
		}
		i = end;
	}
	return to;
}

static size_t fold_slashes(char *out, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++)
		if (out[i] != '/' || to == 0 || out[to - 1] != '/')
			out[to++] = out[i];
	return to;
}

/* The path s[0..n), n > 0, into out. Returns its length, or 0 after an error. */
static size_t normalise(const char *s, size_t n, char *out, const char **error)
{
	size_t len = 0;
	char before = 0;
	int dots = 0;
	unsigned char all = 0; /* has the high bit of any byte */

	for (size_t i = 0; i < n; i++) {
		int c = (unsigned char)s[i];

		if (c == '%') {
			c = escape(s + i, n - i);
			if (c < 0) {
				*error = "the path has a malformed percent escape";
				return 0;
			}
			i += 2;
		}
		if (c < 0x20 || c == 0x7f) {
			*error = "the path has a control character";
			return 0;
		}
		dots |= before == '/' && (c == '.' || c == '/');
		all |= (unsigned char)c;
		before = (char)c;
		out[len++] = before;
	}
	if (all >= 0x80 && !utf8_ok(out, len)) {
		*error = "the path is not valid UTF-8";
		return 0;
	}
	if (out[0] != '/') {
		*error = "the path does not begin with a slash";
		return 0;
	}
	return dots ? fold_slashes(out, remove_dots(out, len)) : len;
}

int ch_h1_target(const char *target, size_t n, char *out, size_t *path_len, struct ch_h1_span *query, const char **error)
{
	size_t start;
	size_t end;
	const char *mark;

	if (n == 0)
		return fail(error, "the request target is empty");
	start = path_start(target, n);
	mark = memchr(target + start, '?', n - start);
	end = mark ? (size_t)(mark - target) : n;
	*query = (struct ch_h1_span){ (uint32_t)end, 0 };
	if (mark)
		*query = (struct ch_h1_span){ (uint32_t)(end + 1), (uint32_t)(n - end - 1) };
	if (start == end && start == 0)
		return fail(error, "the path does not begin with a slash");
	if (start == end || (n == 1 && *target == '*')) { /* an absolute target with an empty path means "/" */
		*out = start == end ? '/' : '*';
		*path_len = 1;
		return 0;
	}
	*path_len = normalise(target + start, end - start, out, error);
	return *path_len ? 0 : -1;
}
