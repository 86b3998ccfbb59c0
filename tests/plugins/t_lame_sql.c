/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_lame_sql.c - a test plugin: a provider of sql/1 that hands everything on to `target` and breaks one rule of chimera/sql.h, which its
 * option `fault` names, so that the conformance suite shows that it notices.
 *
 * Threads and ownership: everything on the ctx's loop; a call lives in the ctx's arena.
 */
#include <math.h>
#include <stdlib.h>

#include <chimera/sql.h>

enum fault {
	NONE, NOT_ATOMIC, NO_WANT, NO_LIMIT, NO_TIMEOUT, NO_CANCEL, CANCEL_IS_OK, CHANGED_LATE, NEVER, WITH_RESULT, RETURNS_DONE,
	SIZE_CHANGED, NO_DETAIL, TELLS_VALUE, ONE_ERROR, WRONG_AT, WRONG_VALUE, OTHER_CONSTRAINT, NO_COUNTS, WRONG_COUNT, CONFLICT_DONE, FIRST_STATEMENT,
	ROW_INSIDE, ROW_WITH_ERROR, ROW_AFTER_DONE, HALF_ROWS, INT_BY_DOUBLE, NULL_AS_ZERO, TEXT_CUT, TIME_IN_MS, NAN_AS_NULL, NUL_CUTS
};
static const char *const faults[] = {
	"none", "not_atomic", "no_want", "no_limit", "no_timeout", "no_cancel", "cancel_is_ok", "changed_late", "never", "with_result",
	"returns_done", "size_changed", "no_detail", "tells_value", "one_error", "wrong_at", "wrong_value", "other_constraint", "no_counts",
	"wrong_count", "conflict_done", "first_statement", "row_inside", "row_with_error", "row_after_done", "half_rows",
	"int_by_double", "null_as_zero", "text_cut", "time_in_ms", "nan_as_null", "nul_cuts", NULL
};

struct t_lame_sql_conf {
	const struct ch_svc *target;
	int fault;
};

struct call {
	const struct t_lame_sql_conf *conf;
	struct ch_ctx *c;
	struct ch_sql_args asked, args;   /* the caller's, and what is handed on */
	struct ch_sql_statement *statements;
	size_t first;                     /* NOT_ATOMIC: the one that runs */
	struct ch_sql_result *out, inner;
	uint64_t *counts;
	uint64_t rows;
	unsigned cancels;
	bool over;
	ch_ticket ticket, mine;
};

static const struct ch_sql_v1 *target_of(const struct call *k)
{
	return k->conf->target->vt;
}

/* ---- rows ---- */

static void spoil(int fault, struct ch_value *v)
{
	if (fault == NULL_AS_ZERO && v->null)
		*v = ch_v_of(v->type, 0);
	if (v->null)
		return;
	if (fault == INT_BY_DOUBLE && v->type == CH_V_INT)
		v->u.i = v->u.i > INT64_MAX / 2 ? INT64_MAX - 1023 : (int64_t)(double)v->u.i;
	if (fault == TEXT_CUT && (v->type == CH_V_TEXT || v->type == CH_V_BLOB) && v->u.s.n > 65535)
		v->u.s.n = 65535;
	if (fault == TIME_IN_MS && (v->type == CH_V_TIME || v->type == CH_V_INT))
		v->u.i = v->u.i / 1000 * 1000;
}

static int on_row(struct ch_ctx *c, void *arg, size_t statement, const struct ch_value *row, size_t n)
{
	struct call *k = arg;
	struct ch_value copy[CH_SQL_VALUES_MAX + 1];
	int rc;

	k->rows++;
	if (k->conf->fault == HALF_ROWS && k->rows % 2 == 0)
		return CH_OK;
	for (size_t i = 0; i < n && i <= CH_SQL_VALUES_MAX; i++) {
		copy[i] = row[i];
		spoil(k->conf->fault, &copy[i]);
	}
	rc = k->asked.row(c, k->asked.arg, k->first + statement, copy, n);
	if (rc == CH_DONE && k->conf->fault == ROW_AFTER_DONE)
		rc = k->asked.row(c, k->asked.arg, k->first + statement, copy, n);
	return rc;
}

static void give_a_row(struct call *k)
{
	struct ch_value v = ch_v_int(1);

	if (k->asked.row)
		k->asked.row(k->c, k->asked.arg, 0, &v, 1);
}

/* ---- the end ---- */

static const char *tell(struct call *k)
{
	for (size_t i = 0; i < k->asked.statements.n; i++)
		for (size_t j = 0; j < k->statements[i].nvalues && j < CH_SQL_VALUES_MAX; j++) {
			struct ch_str s = ch_v_as_text(&k->statements[i].values[j]);

			if (s.n >= 6)
				return ch_print(k->c, "It does not like \"%.*s\".", (int)(s.n < 100 ? s.n : 100), s.p);
		}
	return "It does not like it.";
}

static void spoil_error(struct call *k)
{
	struct ch_sql_result *out = k->out;

	out->counts = NULL;
	switch (k->conf->fault) {
	case NO_DETAIL: out->detail = NULL; break;
	case TELLS_VALUE: out->detail = tell(k); break;
	case ONE_ERROR: out->error = CH_SQL_BAD_REQUEST; break;
	case WRONG_AT: out->at = 0; break;
	case WRONG_VALUE: out->value = 1; break;
	case OTHER_CONSTRAINT: out->constraint = "other"; break;
	case ROW_WITH_ERROR: give_a_row(k); break;
	}
}

static void spoil_result(struct call *k)
{
	struct ch_sql_result *out = k->out;
	int fault = k->conf->fault;

	if (fault == CONFLICT_DONE && out->counts && out->counts[0] && ch_random() % 3 == 0 && strstr(k->statements[0].text, "n = n +")) {
		out->error = CH_SQL_CONFLICT;
		out->detail = "Somebody else was quicker.";
		out->counts = NULL;
	}
	if (fault == WRONG_COUNT && out->counts && k->counts) {
		k->counts[0] = out->counts[0] + 1;
		out->counts = k->counts;
	}
	if (fault == NO_COUNTS)
		out->counts = NULL;
}

static void fill(struct call *k)
{
	struct ch_sql_result *out = k->out;

	*out = k->inner;
	out->call = NULL;
	out->at += k->first;
	if (k->first && !out->error) {
		k->counts[k->first] = out->counts[0];
		out->counts = k->counts;
	}
	if (k->cancels && k->conf->fault == CANCEL_IS_OK) {
		*out = (struct ch_sql_result){ .size = sizeof(*out), .counts = k->counts };
	} else if (out->error) {
		spoil_error(k);
	} else {
		spoil_result(k);
	}
	if (k->conf->fault == SIZE_CHANGED)
		out->size = 8;
}

static int start(struct call *k);

static void finish(struct call *k)
{
	if (k->conf->fault == NEVER)
		return;
	k->over = true;
	fill(k);
	ch_resume(k->ticket, k->conf->fault == WITH_RESULT ? k : NULL, NULL);
}

static int on_inner(struct ch_ctx *c, void *data, int why, void *result)
{
	struct call *k = data;

	(void)result;
	if (why != CH_READY) /* the caller is told by its own ticket */
		target_of(k)->cancel(k->conf->target, c, &k->inner);
	if (why != CH_READY && !k->over)
		ch_resume(k->ticket, NULL, NULL);
	if (why != CH_READY)
		k->over = true;
	if (k->over)
		return CH_AGAIN;
	if (k->conf->fault == NOT_ATOMIC && !k->inner.error && k->first + 1 < k->asked.statements.n) {
		k->counts[k->first++] = k->inner.counts[0];
		if (start(k) == CH_AGAIN)
			return CH_AGAIN;
	}
	finish(k);
	return CH_AGAIN;
}

/* ---- the call ---- */

static void spoil_values(struct call *k, struct ch_sql_statement *s)
{
	struct ch_value *v = ch_alloc(k->c, (s->nvalues + 1) * sizeof(*v));

	if (!v || s->nvalues > CH_SQL_VALUES_MAX)
		return;
	memcpy(v, s->values, s->nvalues * sizeof(*v));
	for (size_t i = 0; i < s->nvalues; i++) {
		if (k->conf->fault == NAN_AS_NULL && v[i].type == CH_V_REAL && !isfinite(v[i].u.d))
			v[i] = ch_v_null(CH_V_REAL);
		if (k->conf->fault == NUL_CUTS && v[i].type == CH_V_TEXT && !v[i].null)
			v[i].u.s.n = strnlen(v[i].u.s.p, v[i].u.s.n);
	}
	s->values = v;
}

static void spoil_args(struct call *k)
{
	int fault = k->conf->fault;

	for (size_t i = 0; i < k->asked.statements.n; i++) {
		struct ch_sql_statement *s = &k->statements[i];

		if (fault == NO_WANT)
			s->want = CH_SQL_ANY;
		if (fault == NAN_AS_NULL || fault == NUL_CUTS)
			spoil_values(k, s);
		if (fault == FIRST_STATEMENT && s->text)
			s->text = ch_dup(k->c, s->text, strcspn(s->text, ";"));
	}
	if (fault == NO_LIMIT)
		k->args.max_bytes = (size_t)1 << 30;
	if (fault == NO_TIMEOUT)
		k->args.timeout_ms = 600000;
}

/* AGAIN, or the inner call has ended. */
static int start(struct call *k)
{
	int rc;

	if (k->conf->fault == NOT_ATOMIC && k->asked.statements.n)
		k->args.statements = (struct ch_table){ &k->statements[k->first], 1, sizeof(k->statements[0]) };
	k->inner = (struct ch_sql_result){ .size = sizeof(k->inner) };
	k->mine = ch_suspend(k->c, 0, on_inner, k);
	if (!k->mine)
		return CH_ERROR;
	rc = target_of(k)->run(k->conf->target, k->c, &k->args, &k->inner, k->mine);
	if (rc != CH_AGAIN)
		ch_unsuspend(k->mine);
	return rc;
}

static int run(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_sql_args *args, struct ch_sql_result *out, ch_ticket ticket)
{
	struct call *k = ch_alloc(c, sizeof(*k));
	size_t n = args->statements.n;
	int rc;

	if (!k)
		return CH_ERROR;
	*k = (struct call){ .conf = svc->self->conf, .c = c, .asked = *args, .args = *args, .out = out, .ticket = ticket };
	k->statements = ch_alloc(c, (n + 1) * sizeof(*k->statements));
	k->counts = ch_alloc(c, (n + 1) * sizeof(*k->counts));
	if (!k->statements || !k->counts)
		return CH_ERROR;
	if (n)
		memcpy(k->statements, args->statements.rows, n * sizeof(*k->statements));
	k->args.statements.rows = k->statements;
	if (args->row)
		k->args.row = on_row;
	k->args.arg = k;
	spoil_args(k);
	if (k->conf->fault == ROW_INSIDE)
		give_a_row(k);
	out->call = k;
	rc = start(k);
	if (rc == CH_OK)
		fill(k);
	if (k->conf->fault == RETURNS_DONE && rc == CH_AGAIN) {
		target_of(k)->cancel(k->conf->target, c, &k->inner);
		ch_unsuspend(k->mine);
	}
	return k->conf->fault == RETURNS_DONE ? CH_DONE : rc;
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_sql_result *out)
{
	const struct t_lame_sql_conf *conf = svc->self->conf;
	struct call *k = out->call;

	if (!k && conf->fault == CHANGED_LATE)
		out->at++;
	if (!k || (++k->cancels <= 2 && conf->fault == NO_CANCEL)) /* twice is once, and what comes behind it is for the end of the test */
		return;
	target_of(k)->cancel(conf->target, c, &k->inner);
	if (k->over)
		return;
	if (!k->inner.error) { /* not told yet, and when the ctx ends nobody is told any more */
		k->inner.error = CH_SQL_UNKNOWN;
		k->inner.detail = "It was given up.";
	}
	finish(k);
}

static void about(const struct ch_svc *svc, struct ch_sql_about *out)
{
	const struct t_lame_sql_conf *conf = svc->self->conf;
	const struct ch_sql_v1 *sql = conf->target->vt;

	sql->about(conf->target, out);
}

static const struct ch_option options[] = {
	CH_OPT(struct t_lame_sql_conf, target, SERVICE, .flags = CH_O_REQUIRED, .iface = "sql/1", .help = "Who does the work"),
	CH_OPT(struct t_lame_sql_conf, fault, ENUM, .def = "none", .values = faults, .help = "The rule that it breaks"),
};
static const struct ch_sql_v1 sql = { .size = sizeof(sql), .run = run, .cancel = cancel, .about = about };
static const struct ch_provide provides[] = { { .iface = "sql/1", .vt = &sql, .rank = -20 } };

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_lame_sql",
	.version = "0.1",
	.summary = "Test: a provider of sql/1 that breaks a rule",
	.conf_size = sizeof(struct t_lame_sql_conf),
	.options = CH_TABLE(options),
	.provides = CH_TABLE(provides),
};

CH_PLUGIN(t_lame_sql, plugin)
