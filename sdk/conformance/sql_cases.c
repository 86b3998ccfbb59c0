/* SPDX-License-Identifier: MIT */
/*
 * sql_cases.c - what a provider of "sql/1" must do: calls in groups. The comment above a group says which clauses of chimera/sql.h it
 * proves. conform_many holds 1 to SQL_MANY.
 */
#include "sql_run.h"

#define PUT "INSERT INTO conform_things (id, name, n) VALUES ($1, $2, $3)"
#define LOOK "SELECT n FROM conform_things WHERE id = $1"
#define ALL_THINGS "SELECT COUNT(*) FROM conform_things"
#define SAY(...) .say = { __VA_ARGS__ }
#define Q(text_, ...) { .text = text_, .v = { __VA_ARGS__ } }
#define FOUND(...) .rows = { __VA_ARGS__ }
#define R(...) { .v = { __VA_ARGS__ } }
#define A_THING { SAY(Q(PUT, INT(1), TEXT("one"), INT(10))) }
#define TWO_THINGS { SAY(Q(PUT, INT(1), TEXT("one"), INT(10)), Q(PUT, INT(2), TEXT("two"), INT(20))) }
#define THINGS(number) { SAY(Q(ALL_THINGS)), FOUND(R(INT(number))) }
#define N_IS(id, number) { SAY(Q(LOOK, INT(id))), FOUND(R(INT(number))) }
#define WRONG(text_, ...) { .steps = { { SAY({ .text = text_, __VA_ARGS__ }), .error = CH_SQL_BAD_REQUEST, .at = 1 } } }
/* A batch whose first statement goes well and whose second does not leaves nothing. */
#define UNDONE(error_, at_, ...) { .steps = { A_THING, \
	{ SAY(Q(PUT, INT(5), TEXT("five"), INT(5)), Q("UPDATE conform_things SET n = $1 WHERE id = $2", INT(99), INT(1)), __VA_ARGS__), \
		.error = CH_SQL_##error_, .at = at_ }, \
	THINGS(1), N_IS(1, 10) } }
/* What is slow on purpose, in reading and in writing: 6,001 is never reached. */
#define CUBE "(SELECT COUNT(*) FROM conform_many a, conform_many b, conform_many c WHERE a.i + b.i + c.i > $1)"
#define SLOW SAY(Q("SELECT " CUBE, INT(3 * SQL_MANY + 1)))
#define SLOW_WRITE SAY(Q("UPDATE conform_things SET n = " CUBE " WHERE id = $2", INT(3 * SQL_MANY + 1), INT(1)))
#define SLOW_BATCH SAY(Q("UPDATE conform_things SET n = $1 WHERE id = $2", INT(77), INT(1)), Q("SELECT " CUBE, INT(3 * SQL_MANY + 1)))
#define GIVEN_UP .error = CH_SQL_CANCELLED, .also = E(UNKNOWN)
#define TOO_SLOW .error = CH_SQL_UNAVAILABLE, .also = E(UNKNOWN)
/* Nothing of it happened, if that is what was told; and whoever comes next is served. */
#define UNTOUCHED { SAY(Q(LOOK, INT(1))), FOUND(R(INT(10))), .if_known = true }, \
	{ SAY(Q(PUT, INT(2), TEXT("two"), INT(20))) }, N_IS(2, 20)
#define MANY(text_) SAY(Q(text_))

const struct sql_case sql_cases[] = {

/* args/: what is no call and no statement is a BAD_REQUEST, and nothing of it happens; up to the limits all is taken. */

{ "args/no-statements", { { .odd = NO_STATEMENTS, .error = CH_SQL_BAD_REQUEST } } },
{ "args/no-text", { { SAY(Q("x")), .odd = NO_TEXT, .error = CH_SQL_BAD_REQUEST, .at = 1 } } },
{ "args/empty-text", WRONG("").steps[0] },
};
const size_t sql_ncases = 0;
