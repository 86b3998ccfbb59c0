/* SPDX-License-Identifier: Apache-2.0 */
/* ndjson.c - the splitter. The buffer holds what came of a line that was cut, and nothing else. */
#include <string.h>

#include "ndjson.h"

#define FIRST 1024 /* bytes of the first buffer: a line of a chat has about 200 */

/* Appends to the line that was cut. */
static enum ndjson_rc keep(struct ndjson *s, const char *p, size_t n)
{
	size_t want = s->cap ? s->cap : FIRST;

	if (s->len + n > s->cap) {
		char *buf;

		while (want < s->len + n)
			want *= 2;
		buf = s->grow(s->arg, s->buf, s->len, want);
		if (!buf)
			return NDJSON_NO_MEMORY;
		s->buf = buf;
		s->cap = want;
	}
	memcpy(s->buf + s->len, p, n);
	s->len += n;
	return NDJSON_MORE;
}

/* A line of so many bytes, its \r perhaps among them: is it one to tell? */
static enum ndjson_rc tell(const struct ndjson *s, const char *p, size_t n, struct ndjson_line *line)
{
	if (n && p[n - 1] == '\r')
		n--;
	if (n > s->max_line)
		return NDJSON_TOO_LONG;
	*line = (struct ndjson_line){ p, n };
	return n ? NDJSON_LINE : NDJSON_MORE;
}

enum ndjson_rc ndjson_next(struct ndjson *s, const char *p, size_t n, size_t *used, struct ndjson_line *line)
{
	const char *at = p, *end = p + n;

	*used = 0;
	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((lf ? lf : end) - at);
		enum ndjson_rc rc;

		/* One byte more than allowed may still be the \r of the line's end. */
		if (s->len + len > s->max_line + 1)
			return NDJSON_TOO_LONG;
		if (!lf || s->len) {
			rc = len ? keep(s, at, len) : NDJSON_MORE;
			if (rc != NDJSON_MORE)
				return rc;
		}
		if (!lf)
			break;
		rc = s->len ? tell(s, s->buf, s->len, line) : tell(s, at, len, line);
		s->len = 0;
		at = lf + 1;
		if (rc != NDJSON_MORE) {
			*used = (size_t)(at - p);
			return rc;
		}
	}
	*used = n;
	return NDJSON_MORE;
}

enum ndjson_rc ndjson_end(struct ndjson *s, struct ndjson_line *line)
{
	enum ndjson_rc rc = s->len ? tell(s, s->buf, s->len, line) : NDJSON_MORE;

	s->len = 0;
	return rc;
}
