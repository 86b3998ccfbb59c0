/* SPDX-License-Identifier: MIT */
/*
 * sql.c - the conformance suite of "sql/1" as a plugin, conform_sql: makes the provider that [conform_sql] target names go through all
 * cases and judges what comes of it.
 *
 *   POST /conform/sql                all cases, one after the other; the answer is a report in TAP, written as the cases end
 *   POST /conform/sql?case=a,b       only those whose name begins with a or b: "value/text", "race/add"
 *   POST /conform/sql/slow           a call without an end: for clients that leave
 *   GET  /conform/sql/slow           what became of those: {"begun":3,"gone":3,"freed":3}
 *
 * The cases stand in sql_cases.c, values in sql_values.c; the tables in migrations/<engine>/conform. Each case begins with empty ones, so
 * two runs over one database at a time spoil each other. What holds for every call is checked for each: it returns OK or AGAIN; the ticket
 * is resumed once, with NULL, in time, and not inside a call; rows come on the loop's thread, in order, before the ticket is resumed, and
 * only when all went well; error, detail and counts fit to each other, and no detail shows a value; a cancel is over soon, and does
 * nothing before the beginning and behind the end; what was handed over is not looked at behind the end (AddressSanitizer sees that).
 *
 * What cannot be seen from outside: a second ch_resume of a ticket, which the host ignores; whether a statement was tried twice. What is
 * not tried: a database that is full, goes away, or is read-only: each provider tests that for itself.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sql_run.h"

/* ---- a case ---- */

static const struct sql_step clean = { .say = { { .text = "DELETE FROM conform_parts" }, { .text = "DELETE FROM conform_things" },
	{ .text = "DELETE FROM conform_values" } } };

static bool says_nothing(const struct sql_step *s)
{
	return !s->say[0].text && !s->odd && !s->race;
}

static void next_step(struct store_run *r)
{
	struct sql_own *own = own_of(r);
	const struct sql_step *s = r->step < SQL_STEPS ? &own->steps[r->step] : NULL;

	if (store_given_up(r) || !s || says_nothing(s)) { /* what comes behind a step that failed says nothing */
		store_case_over(r);
		return;
	}
	r->step++;
	if (s->if_known && own->error == CH_SQL_UNKNOWN)
		next_step(r);
	else if (s->race)
		sql_race(r, s, next_step);
	else
		sql_step(r, s, next_step);
}

/* ---- values ---- */

CH_PRINTF_(3, 4) static struct sql_step *make(struct sql_own *own, size_t i, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(own->texts[i], sizeof(own->texts[i]), fmt, ap);
	va_end(ap);
	own->made[i] = (struct sql_step){ .say = { { .text = own->texts[i] } } };
	return &own->made[i];
}

static struct ch_value number(int64_t i)
{
	return ch_v_int(i);
}

static struct ch_value value_of(struct sql_own *own, const struct sql_value_case *c)
{
	struct ch_value v = c->v;

	if (!c->bytes)
		return v;
	for (size_t i = 0; i < c->bytes; i++)
		own->bytes[i] = c->v.u.s.p[i % c->v.u.s.n];
	v.u.s = (struct ch_str){ own->bytes, c->bytes };
	for (size_t cut = v.u.s.n; v.type == CH_V_TEXT && (own->bytes[cut - 1] & 0x80); cut--)
		own->bytes[cut - 1] = '.'; /* no half of a character at its end */
	return v;
}

static void make_refused(struct sql_own *own, const char *column, struct ch_value v)
{
	struct sql_step *s = make(own, 0, "INSERT INTO conform_values (id, %s) VALUES ($1, $2)", column);

	s->say[0].v[0] = number(1);
	s->say[0].v[1] = v;
	s->error = CH_SQL_VALUE;
	s->at = 1;
	s->value = 2;
	own->made[1] = *s;
	own->made[1].say[1] = s->say[0];
	own->made[1].say[0].v[1] = ch_v_null(v.type);
	own->made[1].say[1].v[0] = number(2);
	own->made[1].at = 2;
	s = make(own, 2, "UPDATE conform_values SET %s = $1", column);
	s->say[0].v[0] = v;
	s->error = CH_SQL_VALUE;
	s->value = 1;
	make(own, 3, "SELECT COUNT(*) FROM conform_values")->rows[0].v[0] = number(0);
}

static void make_kept(struct sql_own *own, const char *column, struct ch_value v)
{
	struct sql_step *s = make(own, 0, "INSERT INTO conform_values (id, %s) VALUES ($1, $2)", column);

	s->say[0].v[0] = number(1);
	s->say[0].v[1] = v;
	s->say[0].count = ROWS(1);
	s = make(own, 1, "SELECT %s, id FROM conform_values WHERE id = $1", column);
	s->say[0].v[0] = number(1);
	s->rows[0].v[0] = v;
	s->rows[0].v[1] = number(1);
	s = make(own, 2, "SELECT COUNT(*) FROM conform_values WHERE %s %s", column, v.null ? "IS NULL" : "= $1");
	if (!v.null)
		s->say[0].v[0] = v;
	s->rows[0].v[0] = number(1);
	s = make(own, 3, "UPDATE conform_values SET %s = $1 WHERE id = $2 RETURNING %s", column, column);
	s->say[0].v[0] = v;
	s->say[0].v[1] = number(1);
	s->rows[0].v[0] = v;
	s = make(own, 4, "SELECT $1");
	s->say[0].v[0] = v;
	s->rows[0].v[0] = v;
}

/* ---- the suite ---- */

static const char *name_of_case(size_t i)
{
	return i < sql_nvalue_cases ? sql_value_cases[i].name : sql_cases[i - sql_nvalue_cases].name;
}

static void begin_case(struct store_run *r, size_t i)
{
	struct sql_own *own = own_of(r);

	if (i < sql_nvalue_cases) {
		const struct sql_value_case *c = &sql_value_cases[i];

		memset(own->made, 0, sizeof(own->made));
		(c->refused ? make_refused : make_kept)(own, c->column, value_of(own, c));
		own->steps = own->made;
	} else {
		own->steps = sql_cases[i - sql_nvalue_cases].steps;
	}
	sql_step(r, &clean, next_step);
}

static void on_filled(struct store_run *r)
{
	store_prepared(r, own_of(r)->error ? own_of(r)->detail : NULL);
}

static void fill(struct store_run *r)
{
	static const struct sql_step many = { .say = { { .text = "DELETE FROM conform_many" }, { .text =
		"INSERT INTO conform_many (i) "
		"WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $2) SELECT i FROM n",
		.v = { INT(1), INT(SQL_MANY) }, .count = ROWS(SQL_MANY) } }, .timeout = 5000 };

	sql_step(r, &many, on_filled);
}

static struct store_suite suite = { .name = name_of_case, .begin = begin_case, .prepare = fill };

static int post_conform(struct ch_self *self, struct ch_ctx *c)
{
	return store_conform(self, c, &suite, calloc(1, sizeof(struct sql_own)));
}

/* ---- a client that leaves ---- */

struct conform_state { atomic_uint begun, gone, freed; };

struct slow {
	struct ch_self *self;
	struct ch_sql_statement statement;
	struct ch_sql_args args;
	struct ch_value most;
	struct ch_sql_result out;
};

static void on_slow_freed(void *data)
{
	struct ch_self *self = data;
	struct conform_state *state = self->state;

	atomic_fetch_add(&state->freed, 1);
}

static int on_slow_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct slow *s = data;
	const struct store_conf *conf = s->self->conf;
	const struct ch_sql_v1 *sql = conf->target->vt;
	struct conform_state *state = s->self->state;

	(void)result;
	if (why == CH_READY)
		return ch_refuse(c, CH_E_UNAVAILABLE, 0, "The call ended by itself with %s: %s", sql_error_name(s->out.error),
			s->out.detail ? s->out.detail : "no detail");
	atomic_fetch_add(&state->gone, 1);
	sql->cancel(conf->target, c, &s->out);
	return CH_DONE;
}

static int post_slow(struct ch_self *self, struct ch_ctx *c)
{
	const struct store_conf *conf = self->conf;
	const struct ch_sql_v1 *sql = conf->target->vt;
	struct conform_state *state = self->state;
	struct slow *s = ch_alloc(c, sizeof(*s));
	ch_ticket t = s && ch_keep(c, on_slow_freed, self) ? ch_suspend(c, 0, on_slow_over, s) : 0;
	int rc;

	if (!t)
		return CH_ERROR;
	s->self = self;
	s->most = ch_v_int(3 * SQL_MANY + 1);
	s->statement = (struct ch_sql_statement){ .text =
		"SELECT COUNT(*) FROM conform_many a, conform_many b, conform_many c WHERE a.i + b.i + c.i > $1",
		.values = &s->most, .nvalues = 1, .want = CH_SQL_ANY };
	s->args = (struct ch_sql_args){ .size = sizeof(s->args), .statements = CH_SQL(&s->statement, 1), .timeout_ms = 600000 };
	s->out.size = sizeof(s->out);
	rc = sql->run(conf->target, c, &s->args, &s->out, t);
	atomic_fetch_add(&state->begun, 1);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(t);
	return ch_refuse(c, CH_E_UNAVAILABLE, 0, "The call ended at once with %s.", sql_error_name(s->out.error));
}

static int get_slow(struct ch_self *self, struct ch_ctx *c)
{
	struct conform_state *state = self->state;
	char *text = ch_print(c, "{\"begun\":%u,\"gone\":%u,\"freed\":%u}\n", atomic_load(&state->begun), atomic_load(&state->gone),
		atomic_load(&state->freed));

	return text ? ch_respond(c, 200, "application/json", text, strlen(text)) : CH_ERROR;
}

/* ---- the plugin ---- */

static int start(struct ch_self *self, const struct ch_self *prev)
{
	(void)self, (void)prev;
	suite.n = sql_nvalue_cases + sql_ncases;
	return CH_OK;
}

static const struct ch_option options[] = {
	CH_OPT(struct store_conf, target, SERVICE, .flags = CH_O_REQUIRED, .iface = "sql/1", .help = "The provider under test"),
	CH_OPT(struct store_conf, slack, DURATION, .def = "500ms", .help = "How much later than its time an event may come"),
};

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/conform/sql", .fn = post_conform, .response_type = "text/plain; charset=utf-8",
		.summary = "Runs the conformance suite of sql/1", .budget_us = 1000000 },
	{ .method = "POST", .pattern = "/conform/sql/slow", .fn = post_slow, .summary = "A call of sql/1 without an end" },
	{ .method = "GET", .pattern = "/conform/sql/slow", .fn = get_slow, .summary = "What became of the calls without an end" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "conform_sql",
	.version = "0.1",
	.summary = "The conformance suite of sql/1",
	.conf_size = sizeof(struct store_conf),
	.state_size = sizeof(struct conform_state),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
	.start = start,
};

CH_PLUGIN(conform_sql, plugin)
