/* SPDX-License-Identifier: MIT */
/*
 * sse.c - the event stream splitter.
 *
 * Line by line: a line that lies whole in the piece at hand is read where it is, one that was cut is gathered behind the buffered data.
 * Data grows from the buffer's front, names and ids from its back, so that neither has to make way for the other however they alternate:
 * each byte is moved a fixed number of times, and what the buffer holds is never more than what was counted against max_event.
 */
#include <string.h>

#include "chimera/kit/sse.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static enum ch_sse_rc fail(struct ch_sse *s, enum ch_sse_fault fault, const char *why)
{
	s->fault = (uint8_t)fault;
	s->error = why;
	return CH_SSE_ERROR;
}

/* No event is open. */
static void clear(struct ch_sse *s)
{
	s->kept = 0;
	s->line = 0;
	s->back = 0;
	s->data = s->name = s->id = (struct ch_sse_value){ 0 };
	s->retry_ms = -1;
}

static void begin(struct ch_sse *s)
{
	clear(s);
	s->begun = false;
	s->skip_lf = false;
	s->fault = CH_SSE_NO_FAULT;
	s->error = NULL;
}

void ch_sse_init(struct ch_sse *s, char *buf, size_t cap, size_t max_event)
{
	memset(s, 0, sizeof(*s));
	s->buf = buf;
	s->cap = buf ? cap : 0;
	s->max_event = max_event ? max_event : CH_SSE_EVENT_MAX;
	begin(s);
}

/* How many bytes of s[0..n) stand before the first \n or \r; n if there is none. One pass for both: senders choose which of them to use. */
static size_t line_length(const char *s, size_t n)
{
	size_t i = 0;

#ifdef __SSE2__
	const __m128i lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');

	for (; n - i >= 16; i += 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(s + i));
		unsigned int bits = (unsigned int)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(x, lf), _mm_cmpeq_epi8(x, cr)));

		if (bits)
			return i + (size_t)__builtin_ctz(bits);
	}
#endif
	while (i < n && s[i] != '\n' && s[i] != '\r')
		i++;
	return i;
}

/* ---- the buffer ---- */

/* Bytes taken at the buffer's front. */
static size_t front(const struct ch_sse *s)
{
	return (s->data.at ? 0 : s->data.len) + s->line;
}

/* Makes room for n more bytes, at either side. */
static bool room(struct ch_sse *s, size_t n)
{
	size_t need = front(s) + s->back + n, want;
	char *buf;

	if (need <= s->cap)
		return true;
	want = s->cap < s->max_event / 2 ? s->cap * 2 : s->max_event;
	if (want < 256)
		want = 256;
	if (want < need)
		want = need;
	buf = s->grow ? s->grow(s->arg, s->buf, s->cap, want) : NULL;
	if (!buf)
		return false;
	if (s->back)
		memmove(buf + want - s->back, buf + s->cap - s->back, s->back);
	s->buf = buf;
	s->cap = want;
	return true;
}

static bool append(struct ch_sse *s, const char *p, size_t n)
{
	if (!room(s, n))
		return false;
	if (n)
		memcpy(s->buf + front(s), p, n);
	return true;
}

/* Moves a name or an id to the back: from the piece, where room must be made, or from the line in the buffer, which then is over. */
static bool push_back(struct ch_sse *s, struct ch_sse_value *v, const char *p, size_t n)
{
	if (!s->line && !room(s, n))
		return false;
	if (n)
		memmove(s->buf + s->cap - s->back - n, p, n);
	s->back += n;
	*v = (struct ch_sse_value){ .len = n, .back = s->back, .set = true };
	return true;
}

/* The first data line, in the piece so far, goes into the buffer. */
static bool hold_data(struct ch_sse *s)
{
	const char *at = s->data.at;

	if (!at)
		return true;
	if (!append(s, at, s->data.len))
		return false;
	s->data.at = NULL;
	return true;
}

/* The piece ends: what is open must not point into it any more, and the bytes of the line that has no end yet are kept. */
static bool hold(struct ch_sse *s, const char *p, size_t n)
{
	if (!hold_data(s))
		return false;
	if (s->name.at && !push_back(s, &s->name, s->name.at, s->name.len))
		return false;
	if (s->id.at && !push_back(s, &s->id, s->id.at, s->id.len))
		return false;
	if (!append(s, p, n))
		return false;
	s->line += n;
	return true;
}

/* ---- fields ---- */

static bool add_data(struct ch_sse *s, const char *p, size_t n)
{
	if (!s->data.set && !s->line) {
		s->data = (struct ch_sse_value){ .at = p, .len = n, .set = true };
		return true;
	}
	/* A line in the buffer lies behind the data, its value some bytes further: the move is to the left and needs no room. */
	if (!hold_data(s) || (!s->line && !room(s, n + 1)))
		return false;
	if (s->data.set)
		s->buf[s->data.len++] = '\n';
	if (n)
		memmove(s->buf + s->data.len, p, n);
	s->data.len += n;
	s->data.set = true;
	return true;
}

static bool set_value(struct ch_sse *s, struct ch_sse_value *v, const char *p, size_t n)
{
	if (s->line)
		return push_back(s, v, p, n);
	*v = (struct ch_sse_value){ .at = p, .len = n, .set = true };
	return true;
}

static void set_retry(struct ch_sse *s, const char *p, size_t n)
{
	int64_t ms = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return;
		if (__builtin_mul_overflow(ms, 10, &ms) || __builtin_add_overflow(ms, p[i] - '0', &ms))
			ms = INT64_MAX;
	}
	if (n)
		s->retry_ms = ms;
}

/* Is the line this field, or the bare name of it? Sets the value: what is behind the colon, less one blank. */
static bool is_field(const char *line, size_t len, const char *name, size_t name_len, const char **value, size_t *n)
{
	if (len < name_len || memcmp(line, name, name_len) || (len > name_len && line[name_len] != ':'))
		return false;
	if (len > name_len)
		name_len++;
	if (len > name_len && line[name_len] == ' ')
		name_len++;
	*value = line + name_len;
	*n = len - name_len;
	return true;
}

/* A whole line that is not empty. Comments and unknown fields fall through. */
static bool field(struct ch_sse *s, const char *line, size_t len)
{
	const char *v;
	size_t n;

	if (is_field(line, len, "data", 4, &v, &n)) {
		s->kept += len;
		return add_data(s, v, n);
	}
	if (is_field(line, len, "event", 5, &v, &n)) {
		s->kept += len;
		return set_value(s, &s->name, v, n);
	}
	if (is_field(line, len, "id", 2, &v, &n) && !(n && memchr(v, 0, n))) {
		s->kept += len;
		return set_value(s, &s->id, v, n);
	}
	if (is_field(line, len, "retry", 5, &v, &n))
		set_retry(s, v, n);
	return true;
}

/* ---- events ---- */

static const char *value_at(const struct ch_sse *s, const struct ch_sse_value *v)
{
	if (v->at)
		return v->at;
	return v->len ? s->buf + s->cap - v->back : "";
}

static void tell(const struct ch_sse *s, struct ch_sse_event *ev)
{
	const char *data = s->data.at ? s->data.at : s->data.len ? s->buf : "";

	*ev = (struct ch_sse_event){
		.data = s->data.set ? data : NULL,
		.data_len = s->data.len,
		.name = value_at(s, &s->name),
		.name_len = s->name.len,
		.id = s->id.set ? value_at(s, &s->id) : NULL,
		.id_len = s->id.len,
		.retry_ms = s->retry_ms,
	};
}

/* An empty line. Returns whether there was an event. */
static bool dispatch(struct ch_sse *s, struct ch_sse_event *ev)
{
	bool any = s->data.set || s->id.set || s->retry_ms >= 0;

	if (any)
		tell(s, ev);
	clear(s); /* the bytes stay until the next call */
	return any;
}

/* How many bytes of a byte order mark the line begins with, if it is the stream's first and they are all there. */
static size_t mark(const struct ch_sse *s, const char *line, size_t len)
{
	return !s->begun && len >= 3 && !memcmp(line, "\xef\xbb\xbf", 3) ? 3 : 0;
}

enum ch_sse_rc ch_sse_next(struct ch_sse *s, const char *p, size_t n, size_t *used, struct ch_sse_event *ev)
{
	static const char no_memory[] = "no memory for an event that came in pieces or has several data lines";
	const char *rest = NULL; /* of the piece: the line that has no end in it */
	size_t i = 0, nrest = 0;

	*used = 0;
	if (s->fault)
		return CH_SSE_ERROR;
	while (i < n) {
		const char *line = p + i;
		size_t len, skip;

		if (s->skip_lf) {
			s->skip_lf = false;
			if (*line == '\n') {
				i++;
				continue;
			}
		}
		len = line_length(line, n - i);
		if (len > s->max_event - s->kept - s->line)
			return fail(s, CH_SSE_TOO_LONG, "an event, or a line without an end, is longer than allowed");
		i += len;
		if (i == n) {
			rest = line;
			nrest = len;
			break;
		}
		s->skip_lf = p[i++] == '\r';
		if (s->line) {
			if (!append(s, line, len))
				return fail(s, CH_SSE_NO_MEMORY, no_memory);
			s->line += len;
			line = s->buf + s->data.len;
			len = s->line;
		}
		skip = mark(s, line, len);
		s->begun = true;
		if (len == skip) {
			if (dispatch(s, ev)) {
				*used = i;
				return CH_SSE_EVENT;
			}
		} else if (!field(s, line + skip, len - skip)) {
			return fail(s, CH_SSE_NO_MEMORY, no_memory);
		}
		s->line = 0;
	}
	if (!hold(s, rest, nrest))
		return fail(s, CH_SSE_NO_MEMORY, no_memory);
	*used = n;
	return CH_SSE_MORE;
}

bool ch_sse_end(struct ch_sse *s, struct ch_sse_event *ev)
{
	const char *line = s->line ? s->buf + s->data.len : "";
	size_t skip = mark(s, line, s->line);
	bool open = s->data.set || s->name.set || s->id.set || s->retry_ms >= 0 || (s->line > skip && line[skip] != ':');

	if (open && ev)
		tell(s, ev);
	begin(s);
	return open;
}
