/* SPDX-License-Identifier: Apache-2.0 */
/* ini.c - the lines of an INI text. */
#include <stdint.h>
#include <string.h>

#include "core/conf/ini.h"

enum where { NOWHERE, INSIDE, SKIPPING }; /* before the first section; in one; in one whose line was wrong */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct ch_str trim(struct ch_str s)
{
	while (s.n && is_blank(s.p[0]))
		s.p++, s.n--;
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* The length of the UTF-8 character at p, or 0. Table 3-7 of the Unicode standard. */
static size_t utf8_char(const unsigned char *p, size_t n)
{
	unsigned char lo = 0x80, hi = 0xBF;
	size_t len, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xC2 || p[0] > 0xF4)
		return 0;
	len = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
	if (n < len)
		return 0;
	if (p[0] == 0xE0)
		lo = 0xA0;
	else if (p[0] == 0xED)
		hi = 0x9F;
	else if (p[0] == 0xF0)
		lo = 0x90;
	else if (p[0] == 0xF4)
		hi = 0x8F;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (i = 2; i < len; i++)
		if (p[i] < 0x80 || p[i] > 0xBF)
			return 0;
	return len;
}

bool chi_ini_is_utf8(const char *s, size_t n)
{
	size_t k;

	for (; n; s += k, n -= k)
		if (!(k = utf8_char((const unsigned char *)s, n)))
			return false;
	return true;
}

bool chi_ini_is_id(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '_' ||
			    s[i] == '-'))
			return false;
	return n >= 1 && n <= 64;
}

bool chi_ini_name(struct ch_str text, struct chi_ini_name *out, const char **why)
{
	const char *end = text.p + text.n, *p = text.p, *dot;

	memset(out, 0, sizeof(*out));
	while (p < end && *p != ':' && *p != '.')
		p++;
	out->plugin = (struct ch_str){ text.p, (size_t)(p - text.p) };
	if (!out->plugin.n) {
		*why = "has no plugin name: write [plugin], [plugin:instance], [plugin.row] or [plugin:instance.row]";
		return false;
	}
	if (p < end && *p == ':') {
		p++;
		dot = memchr(p, '.', (size_t)(end - p));
		out->id = (struct ch_str){ p, (size_t)((dot ? dot : end) - p) };
		if (!chi_ini_is_id(out->id.p, out->id.n)) {
			*why = "has a wrong instance id behind ':': an id is 1 to 64 letters, digits, '_' or '-'";
			return false;
		}
		p = dot ? dot : end;
	}
	if (p < end) {
		p++;
		out->row = (struct ch_str){ p, (size_t)(end - p) };
		if (!out->row.n || is_blank(p[0]) || is_blank(end[-1])) {
			*why = "has a row name behind '.' that is empty, or begins or ends with a blank";
			return false;
		}
	}
	return true;
}

/* The end of the quoted text that begins at s (a '"'): behind the closing quote, or NULL. */
static const char *quote_end(const char *s, const char *end)
{
	for (s++; s < end; s++) {
		if (*s == '\\')
			s++;
		else if (*s == '"')
			return s + 1;
	}
	return NULL;
}

/*
 * Takes comment and blanks from a value that begins right behind its '='. False: a quote that opens the value is not closed. One that
 * opens a later member and is not closed is an ordinary character: only the option's type can tell whether there are members at all.
 */
static bool cut_comment(struct ch_str *v)
{
	const char *s = v->p, *end = s + v->n, *q;
	bool opens = true, first = true; /* would a quote open a member here; the value itself */

	for (; s < end; s++) {
		if ((*s == ';' || *s == '#') && s > v->p && is_blank(s[-1]))
			break;
		if (*s == '"' && opens) {
			q = quote_end(s, end);
			if (!q && first)
				return false;
			if (q)
				s = q - 1;
		}
		opens = *s == ',' || (opens && is_blank(*s));
		first = first && is_blank(*s);
	}
	v->n = (size_t)(s - v->p);
	*v = trim(*v);
	return true;
}

/*
 * "[name] ; comment". The bracket that closes is the first one behind which nothing but a comment follows: a row's name may hold
 * brackets.
 */
static bool section_line(struct ch_str s, struct chi_ini_name *name, const char **why)
{
	const char *end = s.p + s.n, *close = s.p, *rest;

	while ((close = memchr(close + 1, ']', (size_t)(end - close - 1)))) {
		rest = close + 1;
		while (rest < end && is_blank(*rest))
			rest++;
		if (rest == end || (rest > close + 1 && (*rest == ';' || *rest == '#')))
			return chi_ini_name((struct ch_str){ s.p + 1, (size_t)(close - s.p - 1) }, name, why);
	}
	*why = "is not closed: a section's line is [name], and only a comment may follow it";
	return false;
}

static const char *key_line(struct ch_str s, struct ch_str *key, struct ch_str *value)
{
	const char *eq = memchr(s.p, '=', s.n);

	if (!eq)
		return "is neither a comment, nor [section], nor key = value";
	*key = trim((struct ch_str){ s.p, (size_t)(eq - s.p) });
	if (!key->n)
		return "has no key before '='";
	*value = (struct ch_str){ eq + 1, (size_t)(s.p + s.n - eq - 1) };
	if (!cut_comment(value))
		return "has a double quote that is not closed: end the text with '\"', and write \\\" for a quote inside of it";
	return NULL;
}

/* What is wrong with the bytes of a line, or NULL. */
static const char *line_bytes(struct ch_str s)
{
	if (s.n > CHI_INI_LINE_MAX)
		return "is longer than 64 KiB";
	if (memchr(s.p, '\0', s.n))
		return "holds a NUL byte";
	if (memchr(s.p, '\r', s.n))
		return "holds a carriage return that is not followed by a line feed";
	if (!chi_ini_is_utf8(s.p, s.n))
		return "holds bytes that are not UTF-8";
	return NULL;
}

static void parse_line(struct ch_str s, int line, enum where *where, const struct chi_ini_ops *ops, void *arg)
{
	struct chi_ini_name name;
	struct ch_str key, value;
	const char *why = line_bytes(s);

	if (!why) {
		s = trim(s);
		if (!s.n || s.p[0] == ';' || s.p[0] == '#')
			return;
		if (s.p[0] == '[') {
			*where = section_line(s, &name, &why) ? INSIDE : SKIPPING;
			if (*where == INSIDE)
				ops->section(arg, line, &name);
		} else if (!(why = key_line(s, &key, &value))) {
			if (*where == INSIDE)
				ops->key(arg, line, key, value);
			else if (*where == NOWHERE)
				why = "stands before the first [section]: put it into one";
		}
	}
	if (why)
		ops->problem(arg, line, why);
}

void chi_ini_parse(const char *text, size_t n, const struct chi_ini_ops *ops, void *arg)
{
	const char *p = text, *end = text + n, *lf;
	enum where where = NOWHERE;
	struct ch_str s;
	int line;

	if (n >= 3 && !memcmp(p, "\xEF\xBB\xBF", 3))
		p += 3;
	for (line = 1; p < end; line++) {
		lf = memchr(p, '\n', (size_t)(end - p));
		s = (struct ch_str){ p, (size_t)((lf ? lf : end) - p) };
		if (s.n && s.p[s.n - 1] == '\r')
			s.n--;
		parse_line(s, line, &where, ops, arg);
		p = lf ? lf + 1 : end;
	}
}
