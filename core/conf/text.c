/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - from the text that stands in a file to the text that is meant, and back. */

#include <stdio.h>
#include <string.h>

#include "core/conf/text.h"

/* A text that grows. Outgrown copies stay in m until it is freed: values are short. */
struct buf {
	struct chi_mem *m;
	char *p;
	size_t n, cap;
};

static void put(struct buf *b, const char *s, size_t n)
{
	char *p;

	if (b->cap - b->n < n + 1) {
		b->cap = (b->cap + n + 1) * 2;
		p = chi_mem_alloc(b->m, b->cap);
		if (b->n)
			memcpy(p, b->p, b->n);
		b->p = p;
	}
	memcpy(b->p + b->n, s, n);
	b->n += n;
	b->p[b->n] = '\0';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

const char *chi_text_getenv(char *const *env, const char *name, size_t n)
{
	for (; env && *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

bool chi_text_has_var(const char *s)
{
	return strstr(s, "${") != NULL;
}

/* The quoted text that begins at s; returns what follows the closing quote, or NULL. */
static const char *quoted(struct buf *b, const char *s, const char *end, const char **why)
{
	static const char from[] = "\"\\nt", to[] = "\"\\\n\t";
	const char *e;

	put(b, "", 0);
	for (s++; s < end && *s != '"'; s++) {
		if (*s != '\\') {
			put(b, s, 1);
			continue;
		}
		if (++s == end)
			break;
		e = strchr(from, *s);
		if (!e || !*e) {
			*why = "holds a wrong escape: inside of double quotes there are \\\" \\\\ \\n and \\t";
			return NULL;
		}
		put(b, &to[e - from], 1);
	}
	if (s < end)
		return s + 1;
	*why = "has a double quote that is not closed: end the text with '\"', and write \\\" for a quote inside of it";
	return NULL;
}

const char *chi_text_unquote(struct chi_mem *m, const char *s, size_t n, const char **why)
{
	struct buf b = { .m = m };
	const char *rest = quoted(&b, s, s + n, why);

	if (!rest)
		return NULL;
	if (rest != s + n) {
		*why = "has text behind the closing quote: put the whole value into the quotes";
		return NULL;
	}
	return b.p;
}

static bool is_name(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_' || (i && s[i] >= '0' && s[i] <= '9')))
			return false;
	return n > 0;
}

/* "${…}" at s; returns what follows. */
static const char *variable(struct buf *b, const char *s, char *const *env, const char **why)
{
	const char *end = strchr(s, '}'), *name = s + 2, *alt, *v;
	size_t n;

	if (!end) {
		*why = "has a ${ without its }: write ${NAME} or ${NAME:-default}, and $${ for the two characters";
		return NULL;
	}
	alt = memmem(name, (size_t)(end - name), ":-", 2);
	n = (size_t)((alt ? alt : end) - name);
	if (!is_name(name, n) || (alt && memmem(alt, (size_t)(end - alt), "${", 2))) {
		*why = "has a ${} that cannot be read: write ${NAME} or ${NAME:-default}; a default holds no other ${}, "
		       "and $${ stands for the two characters";
		return NULL;
	}
	v = chi_text_getenv(env, name, n);
	if (alt && (!v || !*v)) {
		put(b, alt + 2, (size_t)(end - alt - 2));
	} else if (v) {
		put(b, v, strlen(v));
	} else {
		*why = chi_mem_print(b->m,
			"names the environment variable %.*s, which is not set: set it, or write ${%.*s:-default}",
			(int)n, name, (int)n, name);
		return NULL;
	}
	return end + 1;
}

const char *chi_text_expand(struct chi_mem *m, const char *s, char *const *env, const char **why)
{
	struct buf b = { .m = m };
	size_t n;

	put(&b, "", 0);
	while (*s) {
		n = strcspn(s, "$");
		put(&b, s, n);
		s += n;
		if (!*s)
			break;
		if (s[1] == '{') {
			s = variable(&b, s, env, why);
			if (!s)
				return NULL;
		} else {
			put(&b, "$", 1);
			s += s[1] == '$' ? 2 : 1;
		}
	}
	return b.p;
}

/* Members as they are found; the array grows in m. */
struct members {
	struct chi_mem *m;
	struct ch_str *v;
	size_t n, cap;
};

static void member(struct members *l, const char *p, size_t n)
{
	struct ch_str *v;

	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 8;
		v = chi_mem_alloc(l->m, l->cap * sizeof(*v));
		if (l->n)
			memcpy(v, l->v, l->n * sizeof(*v));
		l->v = v;
	}
	l->v[l->n++] = (struct ch_str){ chi_mem_dup(l->m, p, n), n };
}

/* An unquoted piece, which may hold commas once its variables are expanded. */
static void pieces(struct members *l, const char *s)
{
	const char *end;
	size_t n;

	for (;; s = end + 1) {
		end = s + strcspn(s, ",");
		while (is_blank(*s))
			s++;
		n = s < end ? (size_t)(end - s) : 0;
		while (n && is_blank(s[n - 1]))
			n--;
		if (n)
			member(l, s, n);
		if (!*end)
			return;
	}
}

bool chi_text_members(struct chi_mem *m, const char *s, bool expand, char *const *env, struct ch_list *out, const char **why)
{
	struct members l = { .m = m };
	const char *end, *text;

	for (;; s = end + 1) {
		while (is_blank(*s))
			s++;
		if (*s == '"') {
			struct buf b = { .m = m };

			end = quoted(&b, s, s + strlen(s), why);
			if (!end)
				return false;
			while (is_blank(*end))
				end++;
			if (*end && *end != ',') {
				*why = "has text behind a closing quote: put the whole member of the list into the quotes";
				return false;
			}
			text = expand ? chi_text_expand(m, b.p, env, why) : b.p;
			if (!text)
				return false;
			member(&l, text, strlen(text));
		} else {
			end = s + strcspn(s, ",");
			text = chi_mem_dup(m, s, (size_t)(end - s));
			text = expand ? chi_text_expand(m, text, env, why) : text;
			if (!text)
				return false;
			pieces(&l, text);
		}
		if (!*end)
			break;
	}
	*out = (struct ch_list){ l.v, l.n };
	return true;
}

static void put_quoted(struct buf *b, const char *s)
{
	put(b, "\"", 1);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			put(b, "\\", 1);
		if (*s == '\n')
			put(b, "\\n", 2);
		else if (*s == '\t')
			put(b, "\\t", 2);
		else
			put(b, s, 1);
	}
	put(b, "\"", 1);
}

const char *chi_text_join(struct chi_mem *m, const struct ch_list *l)
{
	struct buf b = { .m = m };
	size_t i;

	put(&b, "", 0);
	for (i = 0; i < l->n; i++) {
		const char *s = l->v[i].p;
		size_t n = l->v[i].n;

		if (i)
			put(&b, ", ", 2);
		if (!n || is_blank(s[0]) || is_blank(s[n - 1]) || strpbrk(s, ",\";#\n\t"))
			put_quoted(&b, s);
		else
			put(&b, s, n);
	}
	return b.p;
}

/* Would a reader of "key = s" see anything but s? */
static bool needs_quotes(const char *s)
{
	size_t i, n = strlen(s);

	if (!n)
		return false;
	if (s[0] == '"' || s[0] == ';' || s[0] == '#' || is_blank(s[0]) || is_blank(s[n - 1]) || strpbrk(s, "\n\t"))
		return true;
	for (i = 1; i < n; i++)
		if ((s[i] == ';' || s[i] == '#') && is_blank(s[i - 1]))
			return true;
	return false;
}

const char *chi_text_written(struct chi_mem *m, const char *s, bool is_list)
{
	struct buf plain = { .m = m }, b = { .m = m };

	put(&plain, "", 0);
	if (*s == '@')
		put(&plain, "@", 1);
	for (; *s; s++) {
		put(&plain, s, 1);
		if (*s == '$' && (s[1] == '$' || s[1] == '{'))
			put(&plain, "$", 1);
	}
	if (is_list || !needs_quotes(plain.p))
		return plain.p;
	put_quoted(&b, plain.p);
	return b.p;
}
