/* SPDX-License-Identifier: MIT */
/* db.c - the metrics that adapters of databases share, and the names in them: chimera/kit/db.h. */
#include <strings.h>

#include <chimera/kit/db.h>

/* ---- the words of a statement ---- */

struct text { const char *p, *end; };

static bool is_word(unsigned char b)
{
	return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '_' || b >= 0x80;
}

/* Behind the quote that ends what begins at p; a doubled quote is part of it. */
static const char *behind_quote(const char *p, const char *end)
{
	char quote = *p++;

	for (; p < end; p++) {
		if (*p != quote)
			continue;
		if (p + 1 == end || p[1] != quote)
			return p + 1;
		p++;
	}
	return end;
}

static const char *behind_blanks(const char *p, const char *end)
{
	for (;;) {
		while (p < end && (*p == ' ' || (*p >= '\t' && *p <= '\r')))
			p++;
		if (end - p >= 2 && p[0] == '-' && p[1] == '-') {
			while (p < end && *p != '\n')
				p++;
		} else if (end - p >= 2 && p[0] == '/' && p[1] == '*') {
			for (p += 2; p < end && !(end - p >= 2 && p[0] == '*' && p[1] == '/'); p++)
				;
			p = end - p >= 2 ? p + 2 : end;
		} else {
			return p;
		}
	}
}

/* The next word, quoted name ("quoted" set, without its quotes) or single byte; n 0 at the end. Texts in single quotes are passed over. */
static struct ch_str next_token(struct text *t, bool *quoted)
{
	const char *p = behind_blanks(t->p, t->end), *from = p;

	*quoted = false;
	while (p < t->end && *p == '\'')
		from = p = behind_blanks(behind_quote(p, t->end), t->end);
	if (p < t->end && *p == '"') {
		p = behind_quote(p, t->end);
		*quoted = true;
		t->p = p;
		return (struct ch_str){ from + 1, p - from >= 2 ? (size_t)(p - from) - 2 : 0 };
	}
	while (p < t->end && is_word((unsigned char)*p))
		p++;
	if (p == from && p < t->end)
		p++;
	t->p = p;
	return (struct ch_str){ from, (size_t)(p - from) };
}

static bool is(struct ch_str w, const char *word)
{
	return w.n == strlen(word) && !strncasecmp(w.p, word, w.n);
}

static void copy_lower(struct ch_str w, bool as_is, char *to, size_t cap)
{
	size_t i;

	for (i = 0; i < w.n && i < cap - 1; i++)
		to[i] = !as_is && w.p[i] >= 'A' && w.p[i] <= 'Z' ? (char)(w.p[i] | 32) : w.p[i];
	to[i] = 0;
}

/* ---- names ---- */

/* Reads a table's name behind FROM, INTO or UPDATE. False: something else stands there. */
static bool table_name(struct text *t, char *table)
{
	struct text at = *t;
	struct ch_str w, dot;
	bool quoted, other;

	do {
		w = next_token(&at, &quoted);
		if (!quoted && is(w, "or")) /* UPDATE OR IGNORE t */
			next_token(&at, &other);
	} while (!quoted && (is(w, "only") || is(w, "or")));
	if (!w.n || !(quoted || is_word((unsigned char)*w.p)) || (!quoted && (is(w, "set") || is(w, "select"))))
		return false;
	*t = at;
	while (dot = next_token(&at, &other), !other && is(dot, ".")) {
		w = next_token(&at, &quoted);
		*t = at;
	}
	copy_lower(w, quoted, table, 64);
	return true;
}

void ch_db_names(const char *text, size_t n, char operation[8], char table[64])
{
	static const char *const operations[] = { "select", "insert", "update", "delete", "with", NULL };
	struct text t = { text, text + n };
	const char *const *o;
	struct ch_str w;
	bool quoted;

	strcpy(operation, "other");
	strcpy(table, "none");
	w = next_token(&t, &quoted);
	for (o = operations; *o; o++)
		if (!quoted && is(w, *o))
			strcpy(operation, *o);
	for (; w.n || quoted; w = next_token(&t, &quoted))
		if (!quoted && (is(w, "from") || is(w, "into") || is(w, "update")) && table_name(&t, table))
			return;
}

/* ---- series ---- */

void ch_db_series(struct ch_self *self, const char *operation, const char *table, struct ch_db_statement *out)
{
	const char *const values[] = { operation, table };

	out->queries = ch_series(self, CH_DB_QUERIES_, values);
	out->seconds = ch_series(self, CH_DB_SECONDS_, values);
}

void ch_db_statement_init(struct ch_self *self, const char *text, size_t n, struct ch_db_statement *out)
{
	char operation[8], table[64];

	ch_db_names(text, n, operation, table);
	ch_db_series(self, operation, table, out);
}

void ch_db_gauges_init(struct ch_self *self, struct ch_db_gauges *out)
{
	memset(out, 0, sizeof(*out));
	out->active = ch_series(self, CH_DB_ACTIVE_, NULL);
	for (int i = 0; i < 3; i++)
		out->series[i] = ch_series(self, CH_DB_CONNECTIONS_, (const char *const[]){ self->id, ch_db_states_[i] });
}

void ch_db_gauges_say(struct ch_db_gauges *g, int64_t in_use, int64_t idle, int64_t waiting)
{
	const int64_t now[3] = { in_use, idle, waiting };

	for (int i = 0; i < 3; i++) {
		double more = (double)(now[i] - g->said[i]);

		if (more == 0)
			continue;
		ch_add(g->series[i], more);
		if (!i)
			ch_add(g->active, more);
		g->said[i] = now[i];
	}
}

void ch_db_errors_init(struct ch_self *self, struct ch_db_errors *out)
{
	out->series[CH_SQL_OK] = 0;
	for (int i = CH_SQL_OK + 1; i <= CH_SQL_CANCELLED; i++)
		out->series[i] = ch_series(self, CH_DB_ERRORS_, (const char *const[]){ self->id, ch_db_error_name(i) });
}

const char *ch_db_error_name(int error)
{
	if (error == CH_SQL_OK)
		return "ok";
	return error > CH_SQL_OK && error <= CH_SQL_CANCELLED ? ch_db_error_names_[error - 1] : "other";
}
