/* SPDX-License-Identifier: MIT */
/*
 * sql_cases.c - what a provider of "sql/1" must do: calls in groups. The comment above a group says which clauses of chimera/sql.h it
 * proves. conform_many holds 1 to SQL_MANY, the other tables nothing.
 */
#include "sql_run.h"

#define SAY(...) .say = { __VA_ARGS__ }
#define Q(text_, ...) { .text = text_, .v = { __VA_ARGS__ } }
#define COUNTED(number, text_, ...) { .text = text_, .v = { __VA_ARGS__ }, .count = ROWS(number) }
#define WANTED(number, text_, ...) { .text = text_, .v = { __VA_ARGS__ }, .want = ROWS(number) }
#define FOUND(...) .rows = { __VA_ARGS__ }
#define R(...) { .v = { __VA_ARGS__ } }
#define NO_ROWS .nrows = ROWS(0)

#define PUT "INSERT INTO conform_things (id, name, n) VALUES ($1, $2, $3)"
#define SET "UPDATE conform_things SET n = $1 WHERE id = $2"
#define LOOK "SELECT n FROM conform_things WHERE id = $1"
#define A_VALUE "INSERT INTO conform_values (id, i) VALUES ($1, $2)"
#define HOW_MANY "SELECT COUNT(*) FROM conform_things"
#define ONE Q(PUT, INT(1), TEXT("one"), INT(10))
#define TWO Q(PUT, INT(2), TEXT("two"), INT(20))
#define THREE Q(PUT, INT(3), TEXT("three"), INT(30))
#define A_THING { SAY(ONE) }
#define THREE_THINGS { SAY(ONE, TWO, THREE) }
#define THINGS(number) { SAY(Q(HOW_MANY)), FOUND(R(INT(number))) }
#define N_IS(id, number) { SAY(Q(LOOK, INT(id))), FOUND(R(INT(number))) }
#define GIVES(text_, row, ...) { { SAY(Q(text_, __VA_ARGS__)), FOUND(row) } }

#define WRONG(text_, ...) { { SAY(Q(text_, __VA_ARGS__)), .error = CH_SQL_BAD_REQUEST, .at = 1 }, THINGS(0) }
/* A batch whose first two statements go well and one of whose others does not leaves nothing, and whoever comes next is served. */
#define UNDONE(at_, how, ...) { A_THING, \
	{ SAY(Q(PUT, INT(5), TEXT("five"), INT(5)), Q(SET, INT(99), INT(1)), __VA_ARGS__), how, .at = at_ }, \
	THINGS(1), N_IS(1, 10), { SAY(TWO) }, N_IS(2, 20) }
#define ERROR(name) .error = CH_SQL_##name
#define TOO_BIG .max_bytes = 1000, ERROR(TOO_LARGE)
/* A single statement that is refused behind its work has not happened either. */
#define REFUSED(how, ...) { THREE_THINGS, { SAY(__VA_ARGS__), how, .at = 1 }, { SAY(Q("SELECT SUM(n), COUNT(*) FROM conform_things")), \
	FOUND(R(INT(60), INT(3))) } }

/* What is slow on purpose, in reading and in writing: so much is never reached. */
#define CUBE "(SELECT COUNT(*) FROM conform_many a, conform_many b, conform_many c WHERE a.i + b.i + c.i > $1)"
#define NEVER INT(3 * SQL_MANY + 1)
#define SLOW SAY(Q("SELECT " CUBE, NEVER))
#define SLOW_WRITE SAY(Q("UPDATE conform_things SET n = " CUBE " WHERE id = $2", NEVER, INT(1)))
#define SLOW_BATCH SAY(Q(SET, INT(77), INT(1)), Q("SELECT " CUBE, NEVER))
#define GIVEN_UP .error = CH_SQL_CANCELLED, .also = E(UNKNOWN)
#define TOO_SLOW .error = CH_SQL_UNAVAILABLE, .also = E(UNKNOWN)
#define LET_GO .error = CH_SQL_UNAVAILABLE, .also = E(UNKNOWN) | E(CANCELLED)
/* Nothing of it has happened, if that is what was told; and whoever comes next is served. */
#define UNTOUCHED { SAY(Q(LOOK, INT(1))), FOUND(R(INT(10))), .if_known = true }, { SAY(TWO) }, N_IS(2, 20)

const struct sql_case sql_cases[] = {

/* args/: what is no call and no statement is a BAD_REQUEST, and nothing of it happens; up to the limits all is taken. */

{ "args/no-statements", { { .odd = NO_STATEMENTS, ERROR(BAD_REQUEST) } } },
{ "args/no-text", { { SAY(Q("?")), .odd = NO_TEXT, ERROR(BAD_REQUEST), .at = 1 } } },
{ "args/empty-text", WRONG("") },
{ "args/blank-text", WRONG(" \n\t") },
{ "args/full-text", { { SAY(Q("SELECT $1", INT(1))), .odd = PADDED_TEXT, FOUND(R(INT(1))) } } },
{ "args/long-text", { { SAY(Q("SELECT $1", INT(1))), .odd = LONG_TEXT, ERROR(BAD_REQUEST), .at = 1 } } },
{ "args/many-values", { { SAY(Q("SELECT $99, $1", INT(7))), .odd = MANY_VALUES, FOUND(R(INT(7), INT(7))) } } },
{ "args/too-many-values", { { SAY(Q("SELECT $99, $1", INT(7))), .odd = TOO_MANY_VALUES, ERROR(BAD_REQUEST), .at = 1 } } },
{ "args/bad-type", { { SAY(Q("SELECT $1", INT(7))), .odd = BAD_TYPE, ERROR(BAD_REQUEST), .also = E(VALUE), .at = 1 } } },
{ "args/many-statements", { { SAY(COUNTED(1, A_VALUE, INT(1), INT(7))), .copies = CH_SQL_STATEMENTS_MAX },
	{ SAY(Q("SELECT COUNT(*), MAX(id) FROM conform_values")), FOUND(R(INT(CH_SQL_STATEMENTS_MAX), INT(CH_SQL_STATEMENTS_MAX))) } } },
{ "args/too-many-statements", { { SAY(Q(A_VALUE, INT(1), INT(7))), .copies = CH_SQL_STATEMENTS_MAX + 1, ERROR(BAD_REQUEST) },
	{ SAY(Q("SELECT COUNT(*) FROM conform_values")), FOUND(R(INT(0))) } } },
{ "args/value-missing", WRONG("SELECT CAST($1 AS BIGINT) + $2", INT(1)) },
{ "args/all-values-missing", WRONG("SELECT n FROM conform_things WHERE id = $1") },
{ "args/no-sql", WRONG("conform") },
{ "args/syntax", WRONG("SELECT FROM WHERE") },
{ "args/unfinished-literal", WRONG("SELECT 'conform") },
{ "args/two-statements", WRONG("SELECT 1; SELECT 2") },
{ "args/two-that-write",
	WRONG("INSERT INTO conform_things (id, name) VALUES (1, 'a'); INSERT INTO conform_things (id, name) VALUES (2, 'b')") },
{ "args/columns-and-values", WRONG("INSERT INTO conform_things (id, name) VALUES ($1)", INT(1)) },
{ "args/at-of-a-batch", { { SAY(ONE, TWO, Q("INSERT INTO")), ERROR(BAD_REQUEST), .at = 3 }, THINGS(0) } },

/* open/: no transaction outlives a call, whatever the text says. */

{ "open/begin", { { SAY(Q("BEGIN")), ERROR(BAD_REQUEST), .at = 1 }, A_THING, { .race = RACE_OWN, .racers = 4, .rounds = 5 } } },
{ "open/commit", { { SAY(ONE, Q("COMMIT"), TWO), ERROR(BAD_REQUEST), .at = 2 }, THINGS(0), A_THING, THINGS(1) } },
{ "open/rollback", { { SAY(ONE, Q("ROLLBACK"), TWO), ERROR(BAD_REQUEST), .at = 2 }, THINGS(0), A_THING, THINGS(1) } },
{ "open/savepoint", { { SAY(Q("SAVEPOINT a")), ERROR(BAD_REQUEST), .at = 1 }, A_THING, THINGS(1) } },
{ "open/commit-behind-an-error", { A_THING, { SAY(TWO, ONE, Q("COMMIT")), ERROR(CONSTRAINT), .also = E(BAD_REQUEST) }, THINGS(1) } },

/* schema/: no such table or column: a migration is missing. */

{ "schema/table", { { SAY(Q("SELECT 1 FROM conform_nowhere")), ERROR(SCHEMA), .at = 1 } } },
{ "schema/table-to-write", { { SAY(Q("INSERT INTO conform_nowhere (a) VALUES ($1)", INT(1))), ERROR(SCHEMA), .at = 1 } } },
{ "schema/column", { { SAY(Q("SELECT missing FROM conform_things WHERE id = $1", INT(1))), ERROR(SCHEMA), .at = 1 } } },
{ "schema/column-to-write", { { SAY(Q("UPDATE conform_things SET missing = $1", INT(1))), ERROR(SCHEMA), .at = 1 } } },
{ "schema/column-to-insert", { { SAY(Q("INSERT INTO conform_things (missing) VALUES ($1)", INT(1))), ERROR(SCHEMA), .at = 1 } } },

/* param/: $1 … $99 may repeat and come in any order; their types are the values'; what stands in a literal is none. */

{ "param/repeated", GIVES("SELECT $1, $1, $2, $1", R(INT(1), INT(1), INT(2), INT(1)), INT(1), INT(2)) },
{ "param/out-of-order", GIVES("SELECT $3, $1, $2", R(TEXT("c"), TEXT("a"), TEXT("b")), TEXT("a"), TEXT("b"), TEXT("c")) },
{ "param/later-first", { { SAY(Q("INSERT INTO conform_things (n, name, id) VALUES ($3, $2, $1)", INT(1), TEXT("one"), INT(10))) },
	N_IS(1, 10) } },
{ "param/in-a-literal", { { SAY(Q("INSERT INTO conform_things (id, name) VALUES ($1, '$2 it''s $1')", INT(1))) },
	{ SAY(Q("SELECT name FROM conform_things WHERE id = $1", INT(1))), FOUND(R(TEXT("$2 it's $1"))) } } },
{ "param/in-a-list", { THREE_THINGS, { SAY(Q("SELECT id FROM conform_things WHERE id IN ($1, $2, $3) ORDER BY id", INT(3), INT(9), INT(1))),
	FOUND(R(INT(1)), R(INT(3))) } } },
{ "param/limit", { THREE_THINGS, { SAY(Q("SELECT id FROM conform_things ORDER BY id LIMIT $1 OFFSET $2", INT(1), INT(1))),
	FOUND(R(INT(2))) } } },
{ "param/twice-the-same-text", { A_THING, N_IS(1, 10), { SAY(Q(SET, INT(11), INT(1))) }, N_IS(1, 11), { SAY(TWO) }, N_IS(2, 20),
	N_IS(1, 11) } },
{ "param/null-after-value", { { SAY(Q("INSERT INTO conform_values (id, t) VALUES ($1, $2)", INT(1), TEXT("conform"))) },
	{ SAY(Q("INSERT INTO conform_values (id, t) VALUES ($1, $2)", INT(2), NIL(TEXT))) },
	{ SAY(Q("SELECT t FROM conform_values ORDER BY id")), FOUND(R(TEXT("conform")), R(NIL(TEXT))) } } },
{ "param/all-types-in-a-row", { { SAY(Q("INSERT INTO conform_values (u, at, x, t, b, r, i, id) VALUES ($8, $7, $6, $5, $4, $3, $2, $1)",
		INT(1), INT(-7), REAL(0.25), BOOLEAN(1), TEXT("\xf0\x9f\xa6\x81"), BLOB("\0\xff"), TIME(-1), UUID(1, 2, 3))) },
	{ SAY(Q("SELECT id, i, r, b, t, x, at, u FROM conform_values")),
		FOUND(R(INT(1), INT(-7), REAL(0.25), BOOLEAN(1), TEXT("\xf0\x9f\xa6\x81"), BLOB("\0\xff"), TIME(-1), UUID(1, 2, 3))) } } },
{ "param/all-types-null", { { SAY(Q("INSERT INTO conform_values (u, at, x, t, b, r, i, id) VALUES ($8, $7, $6, $5, $4, $3, $2, $1)",
		INT(1), NIL(INT), NIL(REAL), NIL(BOOL), NIL(TEXT), NIL(BLOB), NIL(TIME), NIL(UUID))) },
	{ SAY(Q("SELECT i, r, b, t, x, at, u FROM conform_values")),
		FOUND(R(NIL(INT), NIL(REAL), NIL(BOOL), NIL(TEXT), NIL(BLOB), NIL(TIME), NIL(UUID))) } } },
{ "param/refused-in-a-batch", { { SAY(ONE, Q(PUT, INT(2), TEXT("a\0b"), INT(0)), THREE), ERROR(VALUE), .at = 2, .value = 2 }, THINGS(0) } },
{ "param/refused-behind-others", { { SAY(Q("UPDATE conform_values SET t = $1, x = $2, r = $3 WHERE id = $4", TEXT("a"), BLOB("\0"),
	REAL(-1.0 / 0.0),
	INT(1))), ERROR(VALUE), .at = 1, .value = 3 } } },

/* rows/: each row in order; DONE is enough; without a function they are only counted; those of a batch come by statement. */

{ "rows/none", { { SAY(COUNTED(0, LOOK, INT(1))), NO_ROWS } } },
{ "rows/in-order", { { SAY(COUNTED(SQL_MANY, "SELECT i FROM conform_many ORDER BY i")),
	FOUND(R(INT(1)), R(INT(2))), .nrows = ROWS(SQL_MANY), .counting = true } } },
{ "rows/done", { { SAY(Q("SELECT i FROM conform_many ORDER BY i")), .stop = 2, FOUND(R(INT(1)), R(INT(2))) } } },
{ "rows/done-at-the-first", { { SAY(Q("SELECT i FROM conform_many ORDER BY i")), .stop = 1, FOUND(R(INT(1))) }, THINGS(0) } },
{ "rows/done-in-a-batch", { { SAY(Q("SELECT i FROM conform_many ORDER BY i"), ONE), .stop = 1, FOUND(R(INT(1))) }, THINGS(1) } },
{ "rows/not-wanted", { { SAY(COUNTED(SQL_MANY, "SELECT i FROM conform_many")), .uncounted = true, NO_ROWS } } },
{ "rows/of-a-batch", { { SAY(Q("INSERT INTO conform_things (id, name, n) VALUES ($1, $2, $3) RETURNING name", INT(1), TEXT("one"), INT(10)),
		Q("SELECT n FROM conform_things"), Q(SET, INT(11), INT(1)), Q("SELECT n FROM conform_things")),
	FOUND(R(TEXT("one")), R(INT(10)), R(INT(11))) } } },
{ "rows/of-no-table", GIVES("SELECT $1, $2, $3, $4", R(INT(1), TEXT(""), BLOB("\0"), REAL(2.5)), INT(1), TEXT(""), BLOB("\0"), REAL(2.5)) },

/* count/: rows changed or returned, by statement; what is demanded and not met is COUNT, and nothing of the call has happened. */

{ "count/insert", { { SAY(COUNTED(1, PUT, INT(1), TEXT("one"), INT(10))) } } },
{ "count/update", { THREE_THINGS, { SAY(COUNTED(2, "UPDATE conform_things SET n = n + $1 WHERE id > $1", INT(1))) },
	{ SAY(COUNTED(0, SET, INT(1), INT(9))) } } },
{ "count/update-to-the-same", { A_THING, { SAY(COUNTED(1, SET, INT(10), INT(1))) } } },
{ "count/delete", { THREE_THINGS, { SAY(COUNTED(3, "DELETE FROM conform_things")) }, { SAY(COUNTED(0, "DELETE FROM conform_things")) } } },
{ "count/select", { THREE_THINGS, { SAY(COUNTED(3, "SELECT id FROM conform_things")) } } },
{ "count/returning", { THREE_THINGS, { SAY(COUNTED(2, "UPDATE conform_things SET n = $1 WHERE id < $2 RETURNING id", INT(0), INT(3))),
	.nrows = ROWS(2) } } },
{ "count/batch", { { SAY(COUNTED(1, PUT, INT(1), TEXT("one"), INT(10)), COUNTED(0, SET, INT(1), INT(9)),
	COUNTED(1, "SELECT id FROM conform_things"), COUNTED(1, "DELETE FROM conform_things")) } } },
{ "want/met", { { SAY(WANTED(1, PUT, INT(1), TEXT("one"), INT(10)), WANTED(1, SET, INT(11), INT(1)), WANTED(1, LOOK, INT(1)),
	WANTED(0, LOOK, INT(9))), FOUND(R(INT(11))) }, N_IS(1, 11) } },
{ "want/too-few", REFUSED(ERROR(COUNT), WANTED(1, SET, INT(0), INT(9))) },
{ "want/too-many", REFUSED(ERROR(COUNT), WANTED(1, "UPDATE conform_things SET n = $1", INT(0))) },
{ "want/none-and-one", REFUSED(ERROR(COUNT), WANTED(0, "DELETE FROM conform_things WHERE id = $1", INT(1))) },
{ "want/rows-read", REFUSED(ERROR(COUNT), WANTED(2, "SELECT id FROM conform_things")) },
{ "want/returning", REFUSED(ERROR(COUNT), WANTED(1, "UPDATE conform_things SET n = $1 RETURNING id", INT(0))) },
{ "want/of-a-batch", UNDONE(3, ERROR(COUNT), WANTED(1, SET, INT(0), INT(9)), TWO) },
{ "want/compare-and-swap", { A_THING, { SAY(WANTED(1, "UPDATE conform_things SET n = $1 WHERE id = $2 AND n = $3", INT(11), INT(1),
	INT(10))) },
	{ SAY(WANTED(1, "UPDATE conform_things SET n = $1 WHERE id = $2 AND n = $3", INT(12), INT(1), INT(10))), ERROR(COUNT), .at = 1 },
	N_IS(1, 11) } },

/* batch/: all of them or none, in order. */

{ "batch/in-order", { { SAY(ONE, Q("UPDATE conform_things SET n = n * $1 WHERE id = $2", INT(2), INT(1)),
	Q("UPDATE conform_things SET n = n + $1 WHERE id = $2", INT(1), INT(1)), Q(LOOK, INT(1))), FOUND(R(INT(21))) }, N_IS(1, 21) } },
{ "batch/constraint", UNDONE(3, ERROR(CONSTRAINT), ONE) },
{ "batch/schema", UNDONE(3, ERROR(SCHEMA), Q("UPDATE conform_nowhere SET a = $1", INT(1))) },
{ "batch/bad-statement", UNDONE(3, ERROR(BAD_REQUEST), Q("UPDATE UPDATE")) },
{ "batch/value", UNDONE(3, ERROR(VALUE), Q(PUT, INT(6), TEXT("\xff"), INT(1))) },
{ "batch/runtime", UNDONE(3, ERROR(CONSTRAINT), Q("INSERT INTO conform_things (id, name, n) SELECT i + $1, $2, $3 FROM conform_many",
	INT(10), TEXT("all alike"), INT(0))) },
{ "batch/error-before-others", { A_THING, { SAY(ONE, TWO, THREE), ERROR(CONSTRAINT), .at = 1 }, THINGS(1), { SAY(TWO) }, THINGS(2) } },

/* constraint/: each kind, by its name or "table.column" where the engine tells. */

{ "constraint/primary-key", { A_THING, { SAY(Q(PUT, INT(1), TEXT("other"), INT(0))), ERROR(CONSTRAINT), .at = 1,
	.constraint = "conform_things.id|conform_things_pkey" }, N_IS(1, 10) } },
{ "constraint/unique", { A_THING, { SAY(Q(PUT, INT(2), TEXT("one"), INT(0))), ERROR(CONSTRAINT), .at = 1,
	.constraint = "conform_things.name|conform_things_name_key" }, THINGS(1) } },
{ "constraint/not-null", { { SAY(Q(PUT, INT(1), NIL(TEXT), INT(0))), ERROR(CONSTRAINT), .at = 1, .constraint = "conform_things.name" },
	THINGS(0) } },
{ "constraint/check", { { SAY(Q(PUT, INT(1), TEXT("less"), INT(-1))), ERROR(CONSTRAINT), .at = 1,
	.constraint = "conform_things_n_check" }, THINGS(0) } },
{ "constraint/foreign-key", { { SAY(Q("INSERT INTO conform_parts (id, thing) VALUES ($1, $2)", INT(1), INT(9))), ERROR(CONSTRAINT),
	.constraint = "conform_parts_thing_fkey|conform_parts.thing" } } },
{ "constraint/foreign-key-of-another", { A_THING, { SAY(Q("INSERT INTO conform_parts (id, thing) VALUES ($1, $2)", INT(1), INT(1))) },
	{ SAY(Q("DELETE FROM conform_things WHERE id = $1", INT(1))), ERROR(CONSTRAINT), .constraint = "conform_parts" }, THINGS(1) } },
{ "constraint/no-values-in-the-detail", { { SAY(Q(PUT, INT(1), TEXT("conform-secret"), INT(10))) },
	{ SAY(Q(PUT, INT(2), TEXT("conform-secret"), INT(-1))), ERROR(CONSTRAINT) },
	{ SAY(Q(PUT, INT(2), TEXT("conform-secret"), INT(1))), ERROR(CONSTRAINT),
	.constraint = "conform_things.name|conform_things_name_key" } } },

/* sql/: the dialect that both engines have. */

{ "sql/on-conflict-nothing", { A_THING, { SAY(COUNTED(0, PUT " ON CONFLICT (id) DO NOTHING", INT(1), TEXT("other"), INT(99))) },
	N_IS(1, 10),
	{ SAY(COUNTED(1, PUT " ON CONFLICT (id) DO NOTHING", INT(2), TEXT("two"), INT(20))) }, THINGS(2) } },
{ "sql/on-conflict-update", { A_THING, { SAY(COUNTED(1,
	PUT " ON CONFLICT (name) DO UPDATE SET n = conform_things.n + excluded.n RETURNING id, n",
	INT(7), TEXT("one"), INT(5))), FOUND(R(INT(1), INT(15))) }, THINGS(1) } },
{ "sql/on-conflict-where", { A_THING, { SAY(COUNTED(0,
	PUT " ON CONFLICT (id) DO UPDATE SET n = excluded.n WHERE conform_things.n < excluded.n",
	INT(1), TEXT("one"), INT(5))) }, N_IS(1, 10) } },
{ "sql/on-conflict-nothing-returning", { A_THING, { SAY(COUNTED(0, PUT " ON CONFLICT (id) DO NOTHING RETURNING id", INT(1), TEXT("x"),
	INT(0))), NO_ROWS } } },
{ "sql/insert-returning", { { SAY(Q(PUT " RETURNING id, name, n", INT(1), TEXT("one"), INT(10))), FOUND(R(INT(1), TEXT("one"),
	INT(10))) } } },
{ "sql/update-returning", { A_THING, { SAY(Q("UPDATE conform_things SET n = n + $1 WHERE id = $2 RETURNING n", INT(5), INT(1))),
	FOUND(R(INT(15))) } } },
{ "sql/delete-returning", { A_THING, { SAY(Q("DELETE FROM conform_things WHERE id = $1 RETURNING name", INT(1))), FOUND(R(TEXT("one"))) },
	THINGS(0) } },
{ "sql/several-rows", { { SAY(COUNTED(2, "INSERT INTO conform_things (id, name) VALUES ($1, $2), ($3, $4)", INT(1), TEXT("a"), INT(2),
	TEXT("b"))) },
	{ SAY(Q("SELECT name, n FROM conform_things ORDER BY id DESC")), FOUND(R(TEXT("b"), INT(0)), R(TEXT("a"), INT(0))) } } },
{ "sql/insert-select", { { SAY(COUNTED(5, "INSERT INTO conform_things (id, name, n) SELECT i, "
		"CAST(i AS TEXT), $1 FROM conform_many WHERE i <= $2",
	INT(3), INT(5))) }, { SAY(Q("SELECT name, n FROM conform_things WHERE id = $1", INT(5))), FOUND(R(TEXT("5"), INT(3))) } } },
{ "sql/join", { THREE_THINGS, { SAY(Q("INSERT INTO conform_parts (id, thing) VALUES ($1, $2), ($3, $2)", INT(7), INT(2), INT(8))) },
	{ SAY(Q("SELECT t.name, "
		"COUNT(p.id) FROM conform_things t LEFT JOIN conform_parts p ON p.thing = t.id GROUP BY t.id, t.name ORDER BY t.id")),
		FOUND(R(TEXT("one"), INT(0)), R(TEXT("two"), INT(2)), R(TEXT("three"), INT(0))) } } },
{ "sql/subquery", { THREE_THINGS, { SAY(Q("SELECT name FROM conform_things WHERE n = (SELECT MAX(n) FROM conform_things WHERE id < $1)",
	INT(3))),
	FOUND(R(TEXT("two"))) } } },
{ "sql/with", { THREE_THINGS, { SAY(Q("WITH big AS (SELECT id FROM conform_things WHERE n > $1) SELECT COUNT(*) FROM big", INT(15))),
	FOUND(R(INT(2))) } } },
{ "sql/case-and-coalesce", { A_THING, { SAY(Q("SELECT CASE WHEN n > $1 THEN name ELSE $2 END, "
		"COALESCE((SELECT n FROM conform_things WHERE id = $3), $1) "
	"FROM conform_things", INT(99), TEXT("small"), INT(9))), FOUND(R(TEXT("small"), INT(99))) } } },
{ "sql/aggregates", { THREE_THINGS, { SAY(Q("SELECT COUNT(*), SUM(n), MIN(n), MAX(name) FROM conform_things")),
	FOUND(R(INT(3), INT(60), INT(10), TEXT("two"))) } } },
{ "sql/aggregates-of-nothing", { { SAY(Q("SELECT COUNT(*), SUM(n), MIN(n) FROM conform_things")), FOUND(R(INT(0), NIL(INT),
	NIL(INT))) } } },
{ "sql/like", { THREE_THINGS, { SAY(Q("SELECT id FROM conform_things WHERE name LIKE $1 ORDER BY id", TEXT("t%"))), FOUND(R(INT(2)),
	R(INT(3))) } } },
{ "sql/limit-and-offset", { { SAY(Q("SELECT i FROM conform_many ORDER BY i DESC LIMIT 2 OFFSET 1")), FOUND(R(INT(SQL_MANY - 1)),
	R(INT(SQL_MANY - 2))) } } },
{ "sql/whole-division", GIVES("SELECT CAST($1 AS BIGINT) / $2, CAST($3 AS BIGINT) / $2", R(INT(3), INT(-3)), INT(7), INT(2), INT(-7)) },
{ "sql/text-by-bytes", { { SAY(Q("INSERT INTO conform_things (id, name) VALUES ($1, $2), ($3, $4), ($5, $6), ($7, $8)",
		INT(1), TEXT("a"), INT(2), TEXT("B"), INT(3), TEXT("\xc3\xa4"), INT(4), TEXT("b "))) },
	{ SAY(Q("SELECT id FROM conform_things ORDER BY name")), FOUND(R(INT(2)), R(INT(1)), R(INT(4)), R(INT(3))) } } },
{ "sql/not-alike", { A_THING, { SAY(Q("SELECT COUNT(*) FROM conform_things WHERE name = $1 OR name = $2", TEXT("ONE"), TEXT("one "))),
	FOUND(R(INT(0))) } } },
{ "sql/null-is-no-value", { { SAY(Q("INSERT INTO conform_values (id) VALUES ($1), ($2)", INT(1), INT(2))) },
	{ SAY(Q("SELECT COUNT(*) FROM conform_values WHERE t = $1 OR t IS NULL AND id = $2", NIL(TEXT), INT(2))), FOUND(R(INT(1))) } } },

/* inject/: a value is never part of the statement. */

{ "inject/or", { A_THING, { SAY(COUNTED(0, "SELECT id FROM conform_things WHERE name = $1", TEXT("x' OR '1'='1"))) } } },
{ "inject/drop", { { SAY(Q(PUT, INT(1), TEXT("'); DROP TABLE conform_things; --"), INT(1))) },
	{ SAY(Q("SELECT name FROM conform_things")), FOUND(R(TEXT("'); DROP TABLE conform_things; --"))) } } },
{ "inject/backslash", { { SAY(Q(PUT, INT(1), TEXT("\\'; DELETE FROM conform_things; --"), INT(1))) },
	{ SAY(COUNTED(1, "DELETE FROM conform_things WHERE name = $1", TEXT("\\'; DELETE FROM conform_things; --"))) } } },
{ "inject/dollars", { { SAY(Q(PUT, INT(1), TEXT("$1$$ $2 $body$ {\"} (\\)"), INT(1))) },
	{ SAY(Q("SELECT id FROM conform_things WHERE name = $1", TEXT("$1$$ $2 $body$ {\"} (\\)"))), FOUND(R(INT(1))) } } },
{ "inject/comment", { A_THING, { SAY(COUNTED(0, "UPDATE conform_things SET n = $1 WHERE name = $2", INT(0), TEXT("one' /* "))) },
	N_IS(1, 10) } },
{ "inject/blob", { { SAY(Q("INSERT INTO conform_values (id, x) VALUES ($1, $2)", INT(1), BLOB("'); DROP TABLE conform_values; --"))) },
	{ SAY(Q("SELECT COUNT(*) FROM conform_values")), FOUND(R(INT(1))) } } },

/* size/: a result over max_bytes (0: 8 MiB) is TOO_LARGE, no row of it is given, and nothing of the call has happened. */

{ "size/over", { { SAY(Q("SELECT i FROM conform_many")), TOO_BIG }, THINGS(0) } },
{ "size/under", { { SAY(Q("SELECT i FROM conform_many")), .max_bytes = 1 << 20, .nrows = ROWS(SQL_MANY) } } },
{ "size/default", { { SAY(Q("SELECT a.i, b.i FROM conform_many a, conform_many b")), ERROR(TOO_LARGE) } } },
{ "size/of-a-batch", UNDONE(0, TOO_BIG, Q("SELECT i FROM conform_many")) },
{ "size/returning", { A_THING, { SAY(Q("INSERT INTO conform_things (id, name) SELECT i + $1, "
		"CAST(i AS TEXT) FROM conform_many RETURNING id, name",
	INT(100))), TOO_BIG }, THINGS(1) } },

/* time/: within the timeout, and by the ctx's deadline at the latest, whatever the database does. */

{ "time/read", { { SLOW, .timeout = 300, TOO_SLOW }, THINGS(0) } },
{ "time/write", { A_THING, { SLOW_WRITE, .timeout = 300, TOO_SLOW }, UNTOUCHED } },
{ "time/batch", { A_THING, { SLOW_BATCH, .timeout = 300, TOO_SLOW }, UNTOUCHED } },
{ "time/deadline", { { SLOW, .deadline = 300, LET_GO }, THINGS(0) } },
{ "time/deadline-of-a-write", { A_THING, { SLOW_WRITE, .deadline = 300, LET_GO }, UNTOUCHED } },
{ "time/deadline-before-the-timeout", { { SLOW, .deadline = 300, .timeout = 60000, LET_GO }, THINGS(0) } },
{ "time/timeout-before-the-deadline", { { SLOW, .deadline = 60000, .timeout = 300, TOO_SLOW }, THINGS(0) } },

/* cancel/: it is over soon, CANCELLED or UNKNOWN, with no more rows; before and behind it changes nothing. */

{ "cancel/before", { { SAY(ONE), .cancel = CANCEL_BEFORE }, THINGS(1) } },
{ "cancel/at-once", { { SLOW, .timeout = 3000, .cancel = CANCEL_AT_ONCE, GIVEN_UP }, THINGS(0) } },
{ "cancel/at-once-quick", { { SAY(Q("SELECT i FROM conform_many")), .cancel = CANCEL_AT_ONCE, GIVEN_UP }, THINGS(0) } },
{ "cancel/at-once-write", { A_THING, { SAY(Q(SET, INT(11), INT(1))), .cancel = CANCEL_AT_ONCE, GIVEN_UP }, UNTOUCHED } },
{ "cancel/at-once-batch", { A_THING, { SLOW_BATCH, .timeout = 3000, .cancel = CANCEL_AT_ONCE, GIVEN_UP }, UNTOUCHED } },
{ "cancel/while", { { SLOW, .timeout = 3000, .cancel = CANCEL_LATER, GIVEN_UP }, THINGS(0) } },
{ "cancel/while-writing", { A_THING, { SLOW_WRITE, .timeout = 3000, .cancel = CANCEL_LATER, GIVEN_UP }, UNTOUCHED } },
{ "cancel/while-in-a-batch", { A_THING, { SLOW_BATCH, .timeout = 3000, .cancel = CANCEL_LATER, GIVEN_UP }, UNTOUCHED } },

/* race/: many callers at a time, on all loops and on one: all is done exactly once or not at all, and who waited is served. */

{ "race/insert", { { .race = RACE_INSERT, .racers = 4, .rounds = 40 }, { SAY(Q(HOW_MANY)), .total = true } } },
{ "race/add", { A_THING, { SAY(Q(SET, INT(0), INT(1))) }, { .race = RACE_ADD, .racers = 4, .rounds = 25 }, { SAY(Q(LOOK, INT(1))),
	.total = true } } },
{ "race/compare-and-swap", { A_THING, { SAY(Q(SET, INT(0), INT(1))) }, { .race = RACE_SWAP, .racers = 2, .rounds = 15 },
	{ SAY(Q(LOOK, INT(1))), .total = true } } },
{ "race/once", { { .race = RACE_ONCE, .racers = 4, .rounds = 30 }, THINGS(30) } },
{ "race/two-rows-in-either-order", { { SAY(Q(PUT, INT(1), TEXT("a"), INT(1000)), Q(PUT, INT(2), TEXT("b"), INT(1000))) },
	{ .race = RACE_MOVE, .racers = 2, .rounds = 12 }, { SAY(Q("SELECT SUM(n) FROM conform_things")), FOUND(R(INT(2000))) } } },
{ "race/read-your-own-writes", { { .race = RACE_OWN, .racers = 4, .rounds = 20 } } },
{ "race/many-at-once-on-one-loop", { { .race = RACE_BURST, .racers = 64, .rounds = 1 }, { SAY(Q(HOW_MANY)), .total = true } } },

};
const size_t sql_ncases = sizeof(sql_cases) / sizeof(sql_cases[0]);
