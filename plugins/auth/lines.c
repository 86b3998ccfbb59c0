/* SPDX-License-Identifier: Apache-2.0 */
/* lines.c - one line at a time, from the left. */
#include "lines.h"

static bool blank(char ch)
{
	return ch == ' ' || ch == '\t';
}

static struct ch_str trim(const char *p, const char *end)
{
	while (p < end && blank(*p))
		p++;
	while (end > p && (blank(end[-1]) || end[-1] == '\r'))
		end--;
	return (struct ch_str){ p, (size_t)(end - p) };
}

/* Where a comment begins behind a value: ; or # behind a blank, outside of quotes. */
static const char *value_end(const char *p, const char *end)
{
	bool quoted = false;

	for (const char *at = p; at < end; at++) {
		if (quoted && *at == '\\')
			at++;
		else if (*at == '"')
			quoted = !quoted;
		else if (!quoted && (*at == ';' || *at == '#') && (at == p || blank(at[-1])))
			return at;
	}
	return end;
}

static void read_section(struct auth_line *l, struct ch_str s)
{
	const char *close = memchr(s.p, ']', s.n);
	struct ch_str rest = close ? trim(close + 1, s.p + s.n) : s;

	if (!close || (rest.n && *rest.p != ';' && *rest.p != '#')) {
		l->kind = AUTH_L_WRONG;
		l->error = close ? "there is something behind the ]: put it on a line of its own" : "a section is written [name]: the ] is missing";
		return;
	}
	l->kind = AUTH_L_SECTION;
	l->name = trim(s.p + 1, close);
}

static void read_key(struct auth_line *l, struct ch_str s)
{
	const char *is = memchr(s.p, '=', s.n);

	if (!is) {
		l->kind = AUTH_L_WRONG;
		l->error = "this is neither [name], nor key = value, nor a comment";
		return;
	}
	l->kind = AUTH_L_KEY;
	l->name = trim(s.p, is);
	l->value = trim(is + 1, s.p + s.n);
	l->value = trim(l->value.p, value_end(l->value.p, l->value.p + l->value.n));
}

bool auth_line_next(const char *text, size_t n, struct auth_line *l)
{
	size_t at = l->end;
	const char *newline;
	struct ch_str s;

	if (at >= n)
		return false;
	newline = memchr(text + at, '\n', n - at);
	*l = (struct auth_line){ .number = l->number + 1, .at = at, .end = newline ? (size_t)(newline - text) + 1 : n };
	s = trim(text + at, newline ? newline : text + n);
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f) {
			l->kind = AUTH_L_WRONG;
			l->error = "there is a control character in this line: leave it out";
			return true;
		}
	if (!s.n || *s.p == ';' || *s.p == '#')
		l->kind = AUTH_L_NOTHING;
	else if (*s.p == '[')
		read_section(l, s);
	else
		read_key(l, s);
	return true;
}

ssize_t auth_line_value(struct ch_str value, char *out)
{
	size_t n = 0, i;

	if (!value.n || *value.p != '"') {
		if (value.n && memchr(value.p, '"', value.n))
			return -1;
		if (value.n)
			memcpy(out, value.p, value.n);
		out[value.n] = 0;
		return (ssize_t)value.n;
	}
	for (i = 1; i < value.n && value.p[i] != '"'; i++) {
		char ch = value.p[i];

		if (ch == '\\') {
			if (++i == value.n || (value.p[i] != '"' && value.p[i] != '\\'))
				return -1;
			ch = value.p[i];
		}
		out[n++] = ch;
	}
	out[n] = 0;
	return i + 1 == value.n ? (ssize_t)n : -1;
}

void auth_line_quote(const char *text, char *out)
{
	size_t n = strlen(text);
	bool quote = n && (blank(*text) || blank(text[n - 1]) || strpbrk(text, ";#\"\\"));

	if (quote)
		*out++ = '"';
	for (size_t i = 0; i < n; i++) {
		if (quote && (text[i] == '"' || text[i] == '\\'))
			*out++ = '\\';
		*out++ = text[i];
	}
	if (quote)
		*out++ = '"';
	*out = 0;
}
