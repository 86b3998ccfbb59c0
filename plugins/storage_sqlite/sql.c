/* SPDX-License-Identifier: Apache-2.0 */
/* sql.c - "sql/1": what a call may ask for, running it on a connection, giving its answer. */
#include <stdlib.h>

#include "sqlite.h"

#define MAX_BYTES ((size_t)8 << 20)

static const struct ch_sql_statement *statement_at(const struct ch_sql_args *a, size_t i)
{
	return (const void *)((const char *)a->statements.rows + i * a->statements.row_size);
}

/* ---- running ---- */

/*
 * The statement's text and values, copied while the caller must keep them: the answer may be given at any time, and its memory is gone
 * then. Returns the text, and its values in *v, both in the scratch; NULL: *e, with code OK if the call is answered.
 */
static char *take(struct sq_conn *c, struct sq_call *call, size_t i, struct ch_value **v, size_t *nvalues, size_t *ntext,
	struct sq_error *e)
{
	const struct ch_sql_statement *s;
	size_t values, n;
	char *p = NULL;

	if (!sq_enter(call))
		return NULL;
	s = statement_at(&call->sql.args, i);
	n = strlen(s->text);
	values = s->nvalues * sizeof(struct ch_value) + sq_values_size(s->values, s->nvalues);
	p = sq_scratch(c, s->nvalues * SQ_UUID_TEXT + values + n + 1 + 8);
	if (p) {
		*v = (struct ch_value *)(void *)p;
		sq_values_copy(s->values, s->nvalues, *v);
		*nvalues = s->nvalues;
		*ntext = n;
		p += values;
		memcpy(p, s->text, n + 1);
	} else {
		sq_fail_db(e, NULL, SQLITE_NOMEM);
	}
	sq_leave(call);
	return p;
}

static bool bind_all(struct sq_conn *c, struct sq_statement *st, const struct ch_value *v, size_t n, char *uuids, struct sq_error *e)
{
	if (n < st->values)
		return sq_fail(e, CH_SQL_BAD_REQUEST, "The statement needs %u values, and has %zu.", st->values, n);
	for (size_t i = 0; i < n; i++) {
		const char *why = ch_value_fault(&v[i], v[i].type);

		if (why) {
			sq_fail(e, CH_SQL_VALUE, "The value of $%zu %s.", i + 1, why);
			e->value = i + 1;
			return false;
		}
	}
	for (unsigned i = 0; i < st->nparameters; i++) {
		unsigned number = st->number[i];
		int rc = sq_bind(st->st, (int)i + 1, &v[number - 1], uuids + (number - 1) * SQ_UUID_TEXT);

		if (rc != SQLITE_OK) {
			sq_fail_db(e, c->db, rc);
			e->value = number;
			return false;
		}
	}
	return true;
}

/* Steps through it: rows are kept if they are wanted, and counted. */
static bool step_all(struct sq_conn *c, struct sq_call *call, struct sq_statement *st, size_t at, struct sq_error *e)
{
	size_t most = call->sql.args.max_bytes ? call->sql.args.max_bytes : MAX_BYTES;
	uint64_t rows = 0;
	int rc;

	while ((rc = sqlite3_step(st->st)) == SQLITE_ROW) {
		rows++;
		if (!call->sql.args.row)
			continue;
		if (!sq_rows_add(&call->given, at, st->st, st->columns))
			return sq_fail_db(e, NULL, SQLITE_NOMEM);
		if (call->given.n > most)
			return sq_fail(e, CH_SQL_TOO_LARGE, "The rows are over %zu bytes: ask for fewer.", most);
	}
	if (rc != SQLITE_DONE)
		return sq_fail_db(e, c->db, rc);
	call->counts[at] = st->columns ? rows : (uint64_t)sqlite3_changes64(c->db);
	return true;
}

static bool run_one(struct sq_conn *c, struct sq_call *call, size_t i, struct sq_error *e)
{
	struct ch_value *v = NULL;
	struct sq_statement *st;
	size_t n = 0, ntext = 0;
	char *text = take(c, call, i, &v, &n, &ntext, e);
	int64_t began = ch_now(), want;
	bool good;

	if (!text)
		return e->code ? false : sq_fail(e, CH_SQL_CANCELLED, "The call was given up.");
	st = sq_prepare(c, text, ntext, false, e);
	if (!st)
		return false;
	if (!c->writes && !st->reads) {
		call->misplaced = true;
		return false;
	}
	good = bind_all(c, st, v, n, text + ntext + 1, e) && step_all(c, call, st, i, e);
	sq_reset(st);
	ch_db_ran(&st->series, ch_now() - began);
	if (!good)
		return false;
	if (!sq_enter(call))
		return sq_fail(e, CH_SQL_CANCELLED, "The call was given up.");
	want = statement_at(&call->sql.args, i)->want;
	sq_leave(call);
	if (want != CH_SQL_ANY && (uint64_t)want != call->counts[i])
		return sq_fail(e, CH_SQL_COUNT, "A statement met %llu rows where %lld were demanded.", (unsigned long long)call->counts[i],
			(long long)want);
	return true;
}

/* Forgets what it has come to, so that it can be run again. */
static bool make_ready(struct sq_call *call)
{
	memset(&call->error, 0, sizeof(call->error));
	call->given.n = 0;
	free(call->counts);
	call->counts = calloc(call->sql.args.statements.n, sizeof(*call->counts));
	return call->counts != NULL;
}

void sq_run_sql(struct sq_conn *c, struct sq_call *call)
{
	struct sq_error *e = &call->error;

	if (!make_ready(call)) {
		sq_fail_db(e, NULL, SQLITE_NOMEM);
		return;
	}
	for (size_t i = 0; i < call->sql.args.statements.n; i++)
		if (!run_one(c, call, i, e)) {
			e->at = i;
			return;
		}
}

/* ---- the answer ---- */

static void give_rows(struct sq_call *call, struct sq_error *e)
{
	const struct ch_sql_args *a = &call->sql.args;
	struct ch_value *row;
	size_t statement, n;

	while ((row = sq_rows_next(&call->given, &statement, &n))) {
		int rc = a->row(call->ctx, a->arg, statement, row, n);

		if (call->dropped)
			sq_fail(e, call->writes ? CH_SQL_UNKNOWN : CH_SQL_CANCELLED, "The call was given up.");
		if (rc != CH_OK || e->code)
			return;
	}
}

void sq_answer_sql(struct sq_call *call, struct sq_error *e)
{
	struct ch_sql_result *out = call->sql.out;
	size_t n = call->sql.args.statements.n;
	uint64_t *counts = NULL;

	if (!e->code) {
		counts = ch_alloc(call->ctx, n * sizeof(*counts));
		if (counts)
			memcpy(counts, call->counts, n * sizeof(*counts));
		else
			sq_fail(e, call->writes ? CH_SQL_UNKNOWN : CH_SQL_NO_MEMORY, "The request has no memory left for the answer.");
	}
	if (!e->code)
		give_rows(call, e);
	out->call = NULL;
	out->error = e->code;
	if (!e->code) {
		out->counts = counts;
		return;
	}
	out->detail = ch_dup(call->ctx, e->text, strlen(e->text));
	if (!out->detail)
		out->detail = "The database call failed, and there is no memory to say why.";
	out->at = e->at;
	out->value = e->value;
	if (e->constraint[0])
		out->constraint = ch_dup(call->ctx, e->constraint, strlen(e->constraint));
}

/* ---- the call ---- */

static int refuse(struct ch_sql_result *out, int code, size_t at, const char *detail)
{
	out->error = code;
	out->at = at;
	out->detail = detail;
	return CH_OK;
}

static bool begins_with(const char *text, const char *word)
{
	size_t n = strlen(word);

	while (*text == ' ' || (*text >= '\t' && *text <= '\r'))
		text++;
	return !strncasecmp(text, word, n) && (text[n] == ' ' || (text[n] >= '\t' && text[n] <= '\r') || text[n] == '*' || text[n] == '(');
}

int sq_sql_run(struct ch_self *self, struct ch_ctx *ctx, const struct ch_sql_args *args, struct ch_sql_result *out, ch_ticket ticket)
{
	bool writes = false;
	struct sq_call *call;
	size_t n = args->statements.n;
	int rc;

	if (!n || n > CH_SQL_STATEMENTS_MAX)
		return refuse(out, CH_SQL_BAD_REQUEST, 0, "A call has 1 to 1,000 statements.");
	for (size_t i = 0; i < n; i++) {
		const struct ch_sql_statement *s = statement_at(args, i);

		if (!s->text || strnlen(s->text, CH_SQL_TEXT_MAX + 1) > CH_SQL_TEXT_MAX)
			return refuse(out, CH_SQL_BAD_REQUEST, i, "A statement has no text, or one over 16 KiB.");
		if (s->nvalues > CH_SQL_VALUES_MAX || s->want < CH_SQL_ANY)
			return refuse(out, CH_SQL_BAD_REQUEST, i, "A statement has over 99 values, or demands a number of rows that "
				"cannot be.");
		writes = writes || !(begins_with(s->text, "select") || begins_with(s->text, "with"));
	}
	call = sq_call_new(self, ctx, SQ_SQL, args->timeout_ms, ticket);
	if (!call)
		return refuse(out, CH_SQL_NO_MEMORY, 0, "The server has no memory for this call.");
	call->writes = writes;
	call->sql.args = *args;
	call->sql.out = out;
	out->call = call;
	rc = sq_submit(call);
	return rc;
}

void sq_sql_cancel(struct ch_sql_result *out)
{
	if (out->call)
		sq_cancel(out->call);
}

static int run(const struct ch_svc *svc, struct ch_ctx *ctx, const struct ch_sql_args *args, struct ch_sql_result *out, ch_ticket ticket)
{
	return sq_sql_run(svc->self, ctx, args, out, ticket);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *ctx, struct ch_sql_result *out)
{
	(void)svc;
	(void)ctx;
	sq_sql_cancel(out);
}

static void about(const struct ch_svc *svc, struct ch_sql_about *out)
{
	struct sq_store *s = svc->self->state;

	pthread_mutex_lock(&s->lock);
	out->engine = "sqlite";
	out->up = s->state == SQ_UP && (!s->schema.known || ch_migrate_usable(&s->schema));
	pthread_mutex_unlock(&s->lock);
}

const struct ch_sql_v1 sq_sql = { sizeof(sq_sql), run, cancel, about };
