/* SPDX-License-Identifier: MIT */
/*
 * migrate_split.c - the statements of a file of SQL. It knows what may hide a semicolon (quotes, comments, dollar quotes, the body of a
 * trigger or function) and nothing else of the language. See migrate_parts.h.
 */
#include <string.h>
#include <strings.h>

#include "migrate_parts.h"

#define HEAD_MAX 80 /* bytes of a statement in a message */

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (unsigned char)c >= 0x80;
}

static void step(struct migrate_split *s, size_t n)
{
	for (; n; n--)
		if (*s->p++ == '\n')
			s->line++;
}

static bool at(const struct migrate_split *s, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(s->end - s->p) >= n && !memcmp(s->p, text, n);
}

/* Behind the quote that closes the one at p. A doubled one stands for itself. */
static bool skip_quoted(struct migrate_split *s, char close, bool backslash)
{
	for (step(s, 1); s->p < s->end; step(s, 1)) {
		if (backslash && *s->p == '\\' && s->end - s->p > 1) {
			step(s, 1);
		} else if (*s->p == close) {
			step(s, 1);
			if (s->p == s->end || *s->p != close || close == ']')
				return true;
		}
	}
	return false;
}

static bool skip_comment(struct migrate_split *s)
{
	unsigned depth = 1;

	for (step(s, 2); s->p < s->end;) {
		if (at(s, "*/")) {
			step(s, 2);
			if (!--depth)
				return true;
		} else if (s->dollars && at(s, "/*")) {
			step(s, 2);
			depth++;
		} else {
			step(s, 1);
		}
	}
	return false;
}

/* The length of "$tag$" at p; 0: it is none. */
static size_t dollar_tag(const struct migrate_split *s)
{
	const char *p = s->p + 1;

	while (p < s->end && is_word(*p) && !(p == s->p + 1 && *p >= '0' && *p <= '9'))
		p++;
	return p < s->end && *p == '$' ? (size_t)(p - s->p) + 1 : 0;
}

static bool skip_dollars(struct migrate_split *s, size_t tag)
{
	const char *p = memmem(s->p + tag, (size_t)(s->end - s->p) - tag, s->p, tag);

	if (!p)
		return false;
	step(s, (size_t)(p - s->p) + tag);
	return true;
}

/* Over what cannot be a part of a word or the end. 1: over something; 0: nothing of that here; -1: it is not closed, *what says what. */
static int skip(struct migrate_split *s, char before, const char **what)
{
	size_t tag;
	bool ok;

	if (at(s, "--")) {
		const char *nl = memchr(s->p, '\n', (size_t)(s->end - s->p));

		step(s, nl ? (size_t)(nl - s->p) : (size_t)(s->end - s->p));
		return 1;
	}
	*what = *s->p == '\'' ? "the quoted text" : *s->p == '"' || *s->p == '`' || *s->p == '[' ? "the quoted name" : "the comment";
	if (at(s, "/*"))
		ok = skip_comment(s);
	else if (*s->p == '\'')
		ok = skip_quoted(s, '\'', s->backslash || (s->dollars && (before == 'e' || before == 'E')));
	else if (*s->p == '"' || (*s->p == '`' && !s->dollars))
		ok = skip_quoted(s, *s->p, s->backslash);
	else if (*s->p == '[' && s->brackets)
		ok = skip_quoted(s, ']', false);
	else if (*s->p == '$' && s->dollars && !is_word(before) && before != '$' && (tag = dollar_tag(s)) != 0) {
		*what = "the text in dollar quotes";
		ok = skip_dollars(s, tag);
	} else
		return 0;
	return ok ? 1 : -1;
}

static bool word_is(const char *p, size_t n, const char *word)
{
	return n == strlen(word) && !strncasecmp(p, word, n);
}

/*
 * CREATE … TRIGGER | FUNCTION | PROCEDURE may have a body, BEGIN … END, with CASE … END inside. `words`: of the statement so far;
 * `line`: of what was opened first.
 */
struct body { bool create, routine; unsigned words, depth, line; };

static void see_word(struct body *b, const char *p, size_t n, unsigned line)
{
	if (b->words == 0)
		b->create = word_is(p, n, "create");
	else if (b->create && b->words <= 4) /* CREATE OR REPLACE CONSTRAINT TRIGGER */
		b->routine = b->routine || word_is(p, n, "trigger") || word_is(p, n, "function") || word_is(p, n, "procedure");
	b->words++;
	if (!b->routine)
		return;
	if (word_is(p, n, "begin") || word_is(p, n, "case")) {
		b->line = b->depth++ ? b->line : line;
	} else if (word_is(p, n, "end") && b->depth) {
		b->depth--;
	}
}

void migrate_split_init(struct migrate_split *s, const char *engine, const char *p, size_t n)
{
	*s = (struct migrate_split){ .p = p, .end = p + n, .line = 1 };
	s->backslash = !strcmp(engine, "clickhouse");
	s->brackets = !strcmp(engine, "sqlite");
	s->dollars = !strcmp(engine, "postgresql");
	if (at(s, "\xef\xbb\xbf"))
		s->p += 3;
}

int migrate_split_next(struct migrate_split *s, struct migrate_statement *out, const char **what)
{
	struct body body = { 0 };
	char before = ' ';

	out->p = NULL;
	while (s->p < s->end && (*s->p != ';' || body.depth || !out->p)) {
		const char *p = s->p;
		unsigned line = s->line;
		int rc = skip(s, before, what);

		if (rc < 0) {
			s->line = line;
			return -1;
		}
		/* What begins a statement is neither space nor comment nor the semicolon of an empty one. */
		if (!out->p && !is_space(*p) && *p != ';' && !(rc && (*p == '-' || *p == '/'))) {
			out->p = p;
			out->line = line;
		}
		if (!rc && is_word(*p)) {
			while (s->p < s->end && is_word(*s->p))
				s->p++;
			/* E'…' is the only word whose end matters: `before` is its one letter, of any other word something else. */
			before = s->p - p == 1 ? *p : '0';
			see_word(&body, p, (size_t)(s->p - p), line);
			continue;
		}
		if (!rc)
			step(s, 1);
		before = s->p[-1];
	}
	if (body.depth) {
		*what = "the body";
		s->line = body.line;
		return -1;
	}
	if (!out->p)
		return 0;
	out->n = (size_t)(s->p - out->p);
	while (out->n && is_space(out->p[out->n - 1]))
		out->n--;
	if (s->p < s->end)
		step(s, 1);
	return 1;
}

int migrate_statement_head(const struct migrate_statement *s)
{
	const char *nl = memchr(s->p, '\n', s->n);
	size_t n = nl ? (size_t)(nl - s->p) : s->n;

	while (n && is_space(s->p[n - 1]))
		n--;
	return (int)migrate_whole(s->p, n, HEAD_MAX);
}

bool migrate_statement_transacts(const struct migrate_statement *s)
{
	static const char *const words[] = { "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release" };
	size_t n = 0;

	while (n < s->n && is_word(s->p[n]))
		n++;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (word_is(s->p, n, words[i]))
			return true;
	return false;
}
