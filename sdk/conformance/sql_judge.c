/* SPDX-License-Identifier: MIT */
/* sql_judge.c - is what a call of the suite of "sql/1" came to what had to come? */
#include <stdlib.h>

#include "sql_run.h"

static const char *const names[] = { "OK", "BAD_REQUEST", "VALUE", "SCHEMA", "CONSTRAINT", "COUNT", "CONFLICT", "FULL", "TOO_LARGE",
	"NO_MEMORY", "BUSY", "UNAVAILABLE", "UNKNOWN", "CANCELLED" };
enum { ERRORS = sizeof(names) / sizeof(names[0]) };

const char *sql_error_name(int error)
{
	return error >= 0 && error < ERRORS ? names[error] : "an error of no name";
}

/* ---- rows ---- */

static void judge_values(struct store_run *r, const struct sql_found *want, uint64_t number, const struct ch_value *row, size_t n)
{
	size_t columns = sql_count_values(want->v);
	char a[100], b[100];

	if (n != columns) {
		complain(r, "expected %zu columns in row %llu, found %zu", columns, (unsigned long long)number, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!store_same(&want->v[i], &row[i])) {
			store_show(&want->v[i], a, sizeof(a));
			store_show(&row[i], b, sizeof(b));
			complain(r, "expected %s in column %zu of row %llu, found %s", a, i + 1, (unsigned long long)number, b);
		}
}

void sql_judge_row(struct store_run *r, const struct sql_step *s, struct sql_seen *seen, size_t statement, const struct ch_value *row,
                   size_t n)
{
	int64_t first = n && row ? ch_v_as_int(&row[0]) : 0;

	if (seen->enough && seen->statement == statement)
		complain(r, "a row was given after DONE");
	if (seen->rows && statement < seen->statement)
		complain(r, "a row of statement %zu came after one of statement %zu", statement + 1, seen->statement + 1);
	if (!row && n)
		complain(r, "a row is NULL");
	else if (seen->rows < SQL_ROWS && sql_count_values(s->rows[seen->rows].v))
		judge_values(r, &s->rows[seen->rows], seen->rows + 1, row, n);
	if (s->counting && seen->rows && first != seen->first + 1)
		complain(r, "row %llu holds %lld, which does not come after %lld", (unsigned long long)seen->rows + 1, (long long)first,
			(long long)seen->first);
	if (s->total && first != (int64_t)own_of(r)->total)
		complain(r, "expected %llu, the number of all that was done, found %lld", (unsigned long long)own_of(r)->total,
			(long long)first);
	seen->first = first;
	seen->statement = statement;
	seen->rows++;
}

/* ---- results ---- */

/* A value of the caller's must not be shown to people. Short ones may stand there by chance. */
static bool shows_value(const char *detail, const struct ch_sql_statement *s)
{
	for (size_t i = 0; i < s->nvalues && s->nvalues <= CH_SQL_VALUES_MAX; i++) {
		struct ch_str v = ch_v_as_text(&s->values[i]);

		if (v.p && v.n >= 6 && store_holds(detail, v.p, v.n))
			return true;
	}
	return false;
}

void sql_judge_all(struct store_run *r, const struct ch_sql_result *out, const struct ch_sql_statement *statements, size_t n,
                   const struct sql_seen *seen)
{
	if (out->error < 0 || out->error >= ERRORS)
		complain(r, "error is %d, which is no error", out->error);
	if ((out->error != 0) != (out->detail != NULL))
		complain(r, out->error ? "there is no detail with error %s" : "there is a detail without an error",
			sql_error_name(out->error));
	for (size_t i = 0; out->detail && i < n; i++)
		if (shows_value(out->detail, &statements[i])) {
			complain(r, "the detail shows a value: %.200s", out->detail);
			break;
		}
	if ((out->error == 0) != (out->counts != NULL))
		complain(r, out->error ? "there are counts with error %s" : "there are no counts, and no error",
			sql_error_name(out->error));
	if (out->error && seen->rows)
		complain(r, "rows were given, and the call ended with %s", sql_error_name(out->error));
	if (out->error && out->at >= n && out->at)
		complain(r, "at is %zu, and there were %zu statements", out->at, n);
}

static void judge_error(struct store_run *r, const struct sql_step *s, const struct ch_sql_result *out)
{
	if (s->at && out->at != (size_t)s->at - 1)
		complain(r, "expected that statement %d failed, found %zu", s->at, out->at + 1);
	if (s->value && out->value != (size_t)s->value)
		complain(r, "expected that value %d was refused, found %zu", s->value, out->value);
	for (const char *p = s->constraint; p && out->constraint; p += *p == '|') {
		size_t n = strcspn(p, "|");

		if (store_holds(out->constraint, p, n))
			return;
		p += n;
		if (!*p) {
			complain(r, "expected one of %s, found constraint %.100s", s->constraint, out->constraint);
			return;
		}
	}
}

static void judge_counts(struct store_run *r, const struct sql_step *s, const struct ch_sql_result *out)
{
	size_t n = s->copies ? s->copies : 1;

	for (size_t i = 0; i < SQL_STATEMENTS && s->say[i].text; i++)
		for (size_t j = i; s->say[i].count && j < i + n; j++)
			if (out->counts[j] != (uint64_t)s->say[i].count - 1) {
				complain(r, "expected the count %lld of statement %zu, found %llu", (long long)s->say[i].count - 1, j + 1,
					(unsigned long long)out->counts[j]);
				break;
			}
}

void sql_judge(struct store_run *r, const struct sql_step *s, const struct ch_sql_result *out, const struct sql_seen *seen)
{
	uint64_t listed = 0;

	if (out->error != s->error) {
		if (!(s->also & 1u << (unsigned)(out->error & 31)))
			complain(r, "expected %s, found %s: %.250s", sql_error_name(s->error), sql_error_name(out->error),
				out->detail ? out->detail : "no detail");
		return;
	}
	if (out->error) {
		judge_error(r, s, out);
		return;
	}
	if (out->counts)
		judge_counts(r, s, out);
	while (listed < SQL_ROWS && sql_count_values(s->rows[listed].v))
		listed++;
	if (s->nrows)
		listed = (uint64_t)s->nrows - 1;
	if ((listed || s->nrows) && seen->rows != listed)
		complain(r, "expected %llu rows, found %llu", (unsigned long long)listed, (unsigned long long)seen->rows);
	if (s->total && !seen->rows)
		complain(r, "expected a row, found none");
}
