/* SPDX-License-Identifier: Apache-2.0 */
/* statement.c - statements prepared once a connection, known by their text; the one that was used longest ago makes room. */
#include <stdlib.h>

#include "sqlite.h"

#define SLOTS (sizeof(((struct sq_cache *)0)->table) / sizeof(struct sq_statement *))

/* ---- the cache ---- */

static uint64_t hash_of(const char *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	return h ^ h >> 29;
}

static void unlink_age(struct sq_cache *k, struct sq_statement *s)
{
	*(s->newer ? &s->newer->older : &k->newest) = s->older;
	*(s->older ? &s->older->newer : &k->oldest) = s->newer;
}

static void link_newest(struct sq_cache *k, struct sq_statement *s)
{
	s->older = k->newest;
	s->newer = NULL;
	*(k->newest ? &k->newest->newer : &k->oldest) = s;
	k->newest = s;
}

static void forget(struct sq_cache *k, struct sq_statement *s)
{
	struct sq_statement **at = &k->table[s->hash % SLOTS];

	while (*at != s)
		at = &(*at)->same;
	*at = s->same;
	unlink_age(k, s);
	k->n--;
	sqlite3_finalize(s->st);
	free(s);
}

void sq_cache_free(struct sq_cache *k)
{
	while (k->oldest)
		forget(k, k->oldest);
}

static struct sq_statement *find(struct sq_cache *k, const char *text, size_t n, uint64_t hash)
{
	struct sq_statement *s;

	for (s = k->table[hash % SLOTS]; s; s = s->same)
		if (s->hash == hash && s->n == n && !memcmp(s->text, text, n))
			return s;
	return NULL;
}

/* ---- preparing ---- */

/* $1 to $99, nothing else: the numbers, by parameter of SQLite's. */
static bool read_parameters(struct sq_statement *s, struct sq_error *e)
{
	int n = sqlite3_bind_parameter_count(s->st);

	for (int i = 1; i <= n; i++) {
		const char *name = sqlite3_bind_parameter_name(s->st, i);
		unsigned number = 0;

		for (const char *p = name && *name == '$' ? name + 1 : ""; *p; p++)
			number = *p >= '0' && *p <= '9' && number <= CH_SQL_VALUES_MAX ? number * 10 + (unsigned)(*p - '0') : 1000;
		if (!number || number > CH_SQL_VALUES_MAX || name[1] == '0' || i > CH_SQL_VALUES_MAX)
			return sq_fail(e, CH_SQL_BAD_REQUEST, "The statement has the parameter %.40s: they are $1 to $%d.",
				name ? name : "?", CH_SQL_VALUES_MAX);
		s->number[i - 1] = (unsigned char)number;
		if (number > s->values)
			s->values = number;
	}
	s->nparameters = (unsigned)n;
	return true;
}

static bool only_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || (*p >= '\t' && *p <= '\r') || *p == ';'))
		p++;
	return p == end;
}

static bool compile(struct sq_conn *c, struct sq_statement *s, bool ours, struct sq_error *e)
{
	const char *rest;
	int rc = sqlite3_prepare_v3(c->db, s->text, (int)s->n + 1, SQLITE_PREPARE_PERSISTENT, &s->st, &rest);

	if (rc != SQLITE_OK)
		return sq_fail_db(e, c->db, rc);
	if (!s->st)
		return sq_fail(e, CH_SQL_BAD_REQUEST, "The statement is empty.");
	if (!only_blanks(rest, s->text + s->n))
		return sq_fail(e, CH_SQL_BAD_REQUEST, "The text has more than one statement: send several in one batch.");
	s->columns = sqlite3_column_count(s->st);
	s->reads = sqlite3_stmt_readonly(s->st);
	return ours || read_parameters(s, e);
}

struct sq_statement *sq_prepare(struct sq_conn *c, const char *text, size_t n, bool ours, struct sq_error *e)
{
	struct sq_cache *k = &c->cache;
	uint64_t hash = hash_of(text, n);
	struct sq_statement *s = find(k, text, n, hash);

	if (s) {
		if (s != k->newest) {
			unlink_age(k, s);
			link_newest(k, s);
		}
		return s;
	}
	s = calloc(1, sizeof(*s) + n + 1);
	if (!s) {
		sq_fail_db(e, NULL, SQLITE_NOMEM);
		return NULL;
	}
	memcpy(s->text, text, n);
	s->n = n;
	s->hash = hash;
	if (!compile(c, s, ours, e)) {
		sqlite3_finalize(s->st);
		free(s);
		return NULL;
	}
	ch_db_statement_init(c->store->self, text, n, &s->series);
	if (k->n >= k->most)
		forget(k, k->oldest);
	s->same = k->table[hash % SLOTS];
	k->table[hash % SLOTS] = s;
	link_newest(k, s);
	k->n++;
	return s;
}

void sq_reset(struct sq_statement *st)
{
	sqlite3_reset(st->st);
}
