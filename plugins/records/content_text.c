/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content_text.c - see content_text.h.
 *
 * JSON is read byte by byte and not token by token: what is wrong at its end, or cut off, does not bring back the escapes before it, and a
 * body of megabytes is left as soon as there is enough text. Frames are short, and read by the kit's scanner.
 */
#include <ctype.h>
#include <string.h>

#include <chimera/kit/json.h>

#include "content_text.h"

/* ---- the text ---- */

static void put(struct content_text *t, const char *p, size_t n)
{
	size_t most = t->most - t->n;

	if (t->full)
		return;
	if (n >= most) { /* a character that this halves is the redaction's business: it leaves it out */
		n = most;
		t->full = true;
	}
	if (n > t->cap - t->n) {
		size_t want = t->cap ? t->cap * 2 : 2048;
		char *more;

		want = want < t->n + n ? t->n + n : want;
		want = want > t->most ? t->most : want;
		more = t->grow ? t->grow(t->arg, t->p, t->n, want) : NULL;
		if (!more) {
			n = t->cap - t->n;
			t->full = true;
		} else {
			t->p = more;
			t->cap = want;
		}
	}
	if (n)
		memcpy(t->p + t->n, p, n);
	t->n += n;
}

/* ---- escapes ---- */

/* An escape that is complete and right. In JSON a quote and a backslash stay escaped; a NUL would be removed anyway. */
static void put_escape(struct content_text *t, const char *p, size_t n)
{
	struct ch_json_tok tok = { .type = CH_JSON_STRING, .escaped = true, .s = p, .len = n };
	char c[12];
	size_t len = ch_json_unescape(&tok, c);

	if (t->kind == CONTENT_JSON && (c[0] == '"' || c[0] == '\\'))
		put(t, "\\", 1);
	put(t, c, c[0] ? len : 0);
}

/* How much of an escape p[0 .. n) is: 0 more must come; else its length, and *right. What is wrong is text as it stands. */
static size_t escape(const char *p, size_t n, bool *right)
{
	unsigned u = 0;

	*right = false;
	if (n < 2)
		return 0;
	if (p[1] != 'u') {
		*right = p[1] && strchr("\"\\/bfnrt", p[1]);
		return *right ? 2 : 1;
	}
	for (size_t i = 2; i < 6; i++) {
		if (i == n)
			return 0;
		if (!isxdigit((unsigned char)p[i]))
			return i;
		u = u << 4 | (unsigned)(isdigit((unsigned char)p[i]) ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
	}
	if (u < 0xD800 || u > 0xDFFF) {
		*right = true;
		return 6;
	}
	if (u > 0xDBFF)
		return 6;
	for (size_t i = 6; i < 12; i++) { /* the second half of a pair: \uDC00 to \uDFFF */
		if (i == n)
			return 0;
		if (i == 6 ? p[i] != '\\' : i == 7 ? p[i] != 'u' : !isxdigit((unsigned char)p[i]))
			return 6;
		if ((i == 8 && (p[i] | 0x20) != 'd') || (i == 9 && !strchr("cdefCDEF", p[i])))
			return 6;
	}
	*right = true;
	return 12;
}

/* Returns how many bytes were taken: all, if they are held because more must come. */
static size_t add_escape(struct content_text *t, const char *p, size_t n)
{
	bool right;
	size_t len = escape(p, n, &right);

	if (!len) {
		memcpy(t->held, p, n);
		t->nheld = n;
		return n;
	}
	if (right)
		put_escape(t, p, len);
	else
		put(t, p, len);
	return len;
}

/* The bytes from p on that need no look. */
static size_t plain(const struct content_text *t, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] != '"' && p[i] != '\\' && (t->in_string || (unsigned char)p[i] >= 0x20))
		i++;
	return i;
}

static void add_json(struct content_text *t, const char *p, size_t n);

/* One byte more of an escape that was cut. What turns out to be behind the escape is looked at again: it may be a quote. */
static void add_held(struct content_text *t, char c)
{
	char held[sizeof(t->held)];
	size_t n = t->nheld, used;

	memcpy(held, t->held, n);
	held[n++] = c;
	t->nheld = 0;
	used = add_escape(t, held, n);
	add_json(t, held + used, n - used); /* fewer bytes than were held */
}

static void add_json(struct content_text *t, const char *p, size_t n)
{
	size_t i = 0, len;

	while (i < n && !t->full) {
		if (t->nheld) {
			add_held(t, p[i++]);
			continue;
		}
		len = plain(t, p + i, n - i);
		put(t, p + i, len);
		i += len;
		if (i == n)
			break;
		if (p[i] == '\\') {
			i += add_escape(t, p + i, n - i);
			continue;
		}
		if (p[i] == '"') {
			t->in_string = !t->in_string;
			put(t, "\"", 1);
		}
		i++;
	}
}

/* ---- event streams ---- */

static bool wanted(const struct ch_json_tok *key)
{
	return ch_json_eq(key, "content") || ch_json_eq(key, "delta") || ch_json_eq(key, "text");
}

/* A string that the scanner found right. */
static void add_string(struct content_text *t, const struct ch_json_tok *tok)
{
	const char *p = tok->s, *end = tok->s + tok->len;

	while (p < end && !t->full) {
		const char *slash = tok->escaped ? memchr(p, '\\', (size_t)(end - p)) : NULL;

		put(t, p, (size_t)((slash ? slash : end) - p));
		p = slash ? slash + add_escape(t, slash, (size_t)(end - slash)) : end;
	}
}

/*
 * Is it an object, and none of another choice than the first? Their frames come in any order, and their text in between would hide what
 * it tears apart. A choice is an object in an array in the frame.
 */
static bool readable(const char *p, size_t n)
{
	struct ch_json j;
	struct ch_json_tok tok;
	bool index = false;
	int64_t i;

	ch_json_init(&j, p, n, 0, 0);
	if (ch_json_next(&j, &tok) != CH_JSON_OBJECT)
		return false;
	while (ch_json_next(&j, &tok) > CH_JSON_END) {
		if (index && tok.type == CH_JSON_NUMBER && !ch_json_int(&tok, 0, 0, &i))
			return false;
		index = tok.type == CH_JSON_KEY && j.depth == 3 && ch_json_eq(&tok, "index");
	}
	return tok.type == CH_JSON_END;
}

static void add_frame(struct content_text *t, const char *p, size_t n)
{
	struct ch_json j;
	struct ch_json_tok tok;
	bool due = false;

	if (!readable(p, n))
		return;
	ch_json_init(&j, p, n, 0, 0);
	while (ch_json_next(&j, &tok) > CH_JSON_END && !t->full) {
		if (due && tok.type == CH_JSON_STRING)
			add_string(t, &tok);
		due = tok.type == CH_JSON_KEY && wanted(&tok);
	}
}

static void add_events(struct content_text *t, const char *p, size_t n)
{
	struct ch_sse_event ev;
	enum ch_sse_rc rc = CH_SSE_MORE;
	size_t used;

	while (!t->full && (rc = ch_sse_next(&t->sse, p, n, &used, &ev)) == CH_SSE_EVENT) {
		if (ev.data)
			add_frame(t, ev.data, ev.data_len);
		p += used;
		n -= used;
	}
	if (rc == CH_SSE_ERROR)
		t->full = true;
}

/* ---- all of it ---- */

void content_text_init(struct content_text *t, char *p, size_t cap, size_t most, bool events)
{
	memset(t, 0, sizeof(*t));
	t->p = p;
	t->cap = p ? cap : 0;
	t->most = most;
	t->events = events;
}

static void choose(struct content_text *t, char first)
{
	if (first == '{' || first == '[') {
		t->kind = CONTENT_JSON;
	} else if (t->events && strchr(":deir", first)) {
		t->kind = CONTENT_EVENTS;
		ch_sse_init(&t->sse, NULL, 0, CONTENT_FRAME_MAX);
		t->sse.grow = t->grow;
		t->sse.arg = t->arg;
	} else {
		t->kind = CONTENT_PLAIN;
	}
}

void content_text_add(struct content_text *t, const char *p, size_t n)
{
	while (n && t->kind == CONTENT_UNKNOWN) {
		if (*p && !strchr(" \t\r\n", *p)) {
			choose(t, *p);
			break;
		}
		p++;
		n--;
	}
	if (t->kind == CONTENT_JSON)
		add_json(t, p, n);
	else if (t->kind == CONTENT_EVENTS)
		add_events(t, p, n);
	else
		put(t, p, n);
}

void content_text_end(struct content_text *t)
{
	struct ch_sse_event ev;

	if (t->kind == CONTENT_EVENTS && !t->full && ch_sse_end(&t->sse, &ev) && ev.data)
		add_frame(t, ev.data, ev.data_len);
	put(t, t->held, t->nheld); /* was cut */
}
