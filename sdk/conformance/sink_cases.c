/* SPDX-License-Identifier: MIT */
/*
 * sink_cases.c - what a provider of "sink/1" must do: calls in groups. The comment above a group says which clauses of chimera/sink.h it
 * proves. Rows without a table are of EVENTS.
 */
#include "sink_run.h"

#define PUT(from_, n_, ...) { .op = APPEND, .batch = 1, .from = from_, .n = n_, __VA_ARGS__ }
#define NEW(number) .rows = ROWS(number)
/* All rows of the case, newest first, and no others. */
#define ALL(number) { .op = FIND, .rows = ROWS(number), .newest = number } /* ROWS(number - 1) is the newest */
#define NONE { .op = FIND, .rows = ROWS(0) }
/* A batch of ten of which row 3 cannot be taken: none of the others is there, until they are sent as a batch of their own. */
#define NOT_TAKEN(odd_, column_) { \
	PUT(0, 10, .odd = odd_, .odd_row = ROWS(3), .outcome = CH_SINK_REFUSED, .why = column_), NONE, \
	{ .op = APPEND, .batch = 2, .n = 10, .without = ROWS(3), NEW(9) }, \
	{ .op = FIND, .rows = ROWS(9) }, { .op = FIND, .by_row_id = true, .from = 3, .rows = ROWS(0) } }
#define UNKNOWN .outcome = CH_SINK_RETRY, .also = O(DONE)
/* Whatever came of it: sent again it is there once. */
#define AGAIN_IS_ONCE(number) PUT(0, number, .again = true, .patient = true), { .op = FIND, .rows = ROWS(number), .newest = number }
#define EXPIRE_ALL(day_, ...) { .op = EXPIRE, .day = day_, .patient = true, __VA_ARGS__ }

const struct sink_case sink_cases[] = {

/* append/: all rows are there when DONE is said, and `rows` are those that were new; what is found is what was given. */

{ "append/one", { PUT(0, 1, NEW(1)), ALL(1) } },
{ "append/all-types", { PUT(0, 64, NEW(64)), ALL(64) } },
{ "append/nulls", { PUT(0, 5, .odd = ALL_NULL, NEW(5)), { .op = FIND, .rows = ROWS(5), .newest = 5, .odd = ALL_NULL } } },
{ "append/two-batches", { PUT(0, 10, NEW(10)), { .op = APPEND, .batch = 2, .from = 10, .n = 10, NEW(10) }, ALL(20) } },
{ "append/ten-thousand", { PUT(0, 10000, NEW(10000), .timeout = 60000), { .op = FIND, .rows = ROWS(1000), .newest = 10000 },
	{ .op = FIND, .by_row_id = true, .from = 0, .rows = ROWS(1) }, { .op = FIND, .by_row_id = true, .from = 5000, .rows = ROWS(1) } } },
{ "append/two-days", { PUT(0, 20, .next_day = 7, NEW(20)), ALL(20) } },
{ "append/before-1970", { PUT(0, 3, .day = -25000, NEW(3)), ALL(3) } },
{ "append/far-from-now", { PUT(0, 3, .day = 2890000, NEW(3)), ALL(3) } },
{ "append/a-table-more", { PUT(0, 5, .table = NOTES, NEW(5)), NONE, PUT(0, 5, NEW(5)), ALL(5),
	{ .op = FIND, .table = NOTES, .rows = ROWS(5), .newest = 5 } } },
{ "append/many-calls-at-once", { PUT(0, 25, .calls = 12, .each_its_own = true, .patient = true), ALL(300) } },

/* again/: a row is there once, however often its batch was sent, by whom, and how much of it had arrived. */

{ "again/not-sent-before", { PUT(0, 10, .again = true, NEW(10)), ALL(10) } },
{ "again/the-same-batch", { PUT(0, 10, NEW(10)), PUT(0, 10, .again = true, NEW(0)), PUT(0, 10, .again = true, NEW(0)), ALL(10) } },
{ "again/all-types", { PUT(0, 64), PUT(0, 64, .again = true, NEW(0)), ALL(64) } },
{ "again/at-once", { PUT(0, 50, .calls = 6, .again = true, .patient = true), ALL(50) } },
{ "again/half-of-it-is-there", { PUT(0, 5), PUT(0, 10, .again = true), ALL(10) } },
{ "again/one-of-two-days-is-there", { PUT(0, 6), PUT(0, 12, .next_day = 6, .again = true), ALL(12) } },
{ "again/the-later-day-is-there", { PUT(6, 6, .next_day = 6), PUT(0, 12, .next_day = 6, .again = true), ALL(12) } },
{ "again/another-batch-with-rows-of-it", { PUT(0, 10), { .op = APPEND, .batch = 2, .from = 5, .n = 10 }, ALL(15) } },
{ "again/the-batch-of-another-table", { PUT(0, 5, .table = NOTES), PUT(0, 5, .again = true, NEW(5)), ALL(5) } },
{ "again/ten-thousand", { PUT(0, 10000, .timeout = 60000), PUT(0, 10000, .timeout = 60000, .again = true, NEW(0)),
	{ .op = FIND, .rows = ROWS(1000), .newest = 10000 } } },

/* refused/: a row that will never be taken is named, by its column too, or none is; nothing else of the batch is there. */

{ "refused/nan", NOT_TAKEN(NAN_REAL, "r") },
{ "refused/infinite", NOT_TAKEN(INFINITE_REAL, "r") },
{ "refused/nul-in-text", NOT_TAKEN(NUL_IN_TEXT, "t") },
{ "refused/no-utf8", NOT_TAKEN(NO_UTF8, "t") },
{ "refused/null", NOT_TAKEN(NULL_TAG, "tag") },
{ "refused/null-row-id", NOT_TAKEN(NULL_ROW_ID, "row_id") },
{ "refused/null-time", NOT_TAKEN(NULL_TIME, "time") },
{ "refused/time-before-year-1", NOT_TAKEN(TIME_TOO_EARLY, "time") },
{ "refused/time-beyond", NOT_TAKEN(TIME_TOO_LATE, "time") },
{ "refused/time-in-year-10000", NOT_TAKEN(AT_TOO_LATE, "at") },
{ "refused/first", { PUT(0, 10, .odd = NAN_REAL, .odd_row = ROWS(0), .outcome = CH_SINK_REFUSED, .why = "r"), NONE } },
{ "refused/last", { PUT(0, 10, .odd = NAN_REAL, .odd_row = ROWS(9), .outcome = CH_SINK_REFUSED, .why = "r"), NONE } },
{ "refused/alone", { PUT(0, 1, .odd = NO_UTF8, .odd_row = ROWS(0), .outcome = CH_SINK_REFUSED, .why = "t"), NONE } },
{ "refused/two", { PUT(0, 10, .odd = NO_UTF8, .odd_row = ROWS(2), .odd_too = ROWS(7), .outcome = CH_SINK_REFUSED, .why = "t"), NONE,
	{ .op = APPEND, .batch = 2, .n = 10, .without = ROWS(2), .without_too = ROWS(7), NEW(8) }, { .op = FIND, .rows = ROWS(8) } } },
{ "refused/of-ten-thousand", { PUT(0, 10000, .odd = NAN_REAL, .odd_row = ROWS(9999), .timeout = 60000, .outcome = CH_SINK_REFUSED,
	.why = "r"), NONE } },
{ "refused/across-two-days", { PUT(0, 10, .next_day = 5, .odd = NAN_REAL, .odd_row = ROWS(9), .outcome = CH_SINK_REFUSED, .why = "r"),
	NONE } },

/* nowhere/: a table that is not there may come yet: a migration is missing, and no row is given up. */

{ "nowhere/append", { PUT(0, 3, .table = NOWHERE, .outcome = CH_SINK_RETRY),
	PUT(0, 3, .table = NOWHERE, .again = true, .outcome = CH_SINK_RETRY) } },
{ "nowhere/find", { { .op = FIND, .table = NOWHERE, .outcome = CH_SINK_RETRY } } },
{ "nowhere/expire", { { .op = EXPIRE, .table = NOWHERE, .outcome = CH_SINK_RETRY } } },

/* find/: rows whose column has that value, newest first, up to the limit; DONE is enough; a value is never part of a statement. */

{ "find/nothing", { NONE } },
{ "find/limit", { PUT(0, 30), { .op = FIND, .limit = 7, .rows = ROWS(7), .newest = 30 } } },
{ "find/limit-of-one", { PUT(0, 30), { .op = FIND, .limit = 1, .rows = ROWS(1), .newest = 30 } } },
{ "find/limit-met", { PUT(0, 7), { .op = FIND, .limit = 7, .rows = ROWS(7), .newest = 7 } } },
{ "find/newest-first-over-days", { PUT(0, 10, .next_day = 5), { .op = FIND, .limit = 6, .rows = ROWS(6), .newest = 10 } } },
{ "find/newest-first-as-it-came-last", { PUT(10, 10), { .op = APPEND, .batch = 2, .from = 0, .n = 10 }, ALL(20) } },
{ "find/done", { PUT(0, 30), { .op = FIND, .stop = 3, .rows = ROWS(3), .newest = 30 } } },
{ "find/by-row-id", { PUT(0, 10), { .op = FIND, .by_row_id = true, .from = 4, .rows = ROWS(1), .newest = ROWS(4) } } },
{ "find/by-a-uuid", { PUT(0, 8), { .op = FIND, .column = C_U, .from = 4, .rows = ROWS(1), .newest = ROWS(4) } } },
{ "find/by-a-uuid-that-is-null", { PUT(9, 1), { .op = FIND, .column = C_U, .from = 9, .rows = ROWS(0) } } },
{ "find/of-a-twice-sent-batch-up-to-a-limit", { PUT(0, 10), PUT(0, 10, .again = true),
	{ .op = FIND, .limit = 10, .rows = ROWS(10), .newest = 10 } } },
{ "find/not-alike", { PUT(0, 3), { .op = FIND, .text = "conform-", .rows = ROWS(0) },
	{ .op = FIND, .text = "conform-%", .rows = ROWS(0) } } },
{ "find/injected-or", { PUT(0, 3), { .op = FIND, .text = "x' OR '1'='1", .rows = ROWS(0) } } },
{ "find/injected-backslash", { PUT(0, 3), { .op = FIND, .text = "x\\' OR 1=1 -- ", .rows = ROWS(0) } } },
{ "find/injected-drop", { PUT(0, 3), { .op = FIND, .text = "'); DROP TABLE conform_events; --", .rows = ROWS(0) }, ALL(3) } },
{ "find/injected-braces", { PUT(0, 3), { .op = FIND, .text = "{v:String} $1 ? %s \n\t", .rows = ROWS(0) } } },

/* expire/: whole days before that moment go at least; nothing behind it, and nothing of another table. */

{ "expire/nothing", { PUT(0, 5), EXPIRE_ALL(-700000), ALL(5) } },
{ "expire/a-day", { PUT(0, 10, .next_day = 5), EXPIRE_ALL(1), { .op = FIND, .rows = ROWS(5), .newest = 10 } } },
{ "expire/in-the-middle-of-a-day", { PUT(0, 10, .next_day = 5), EXPIRE_ALL(1, .plus = 43200006),
	{ .op = FIND, .least = ROWS(4), .newest = 10 }, { .op = FIND, .by_row_id = true, .from = 4, .rows = ROWS(0) } } },
{ "expire/all", { PUT(0, 10, .next_day = 5), EXPIRE_ALL(2), NONE } },
{ "expire/many", { PUT(0, 10000, .timeout = 60000), EXPIRE_ALL(1, .timeout = 60000), NONE } },
{ "expire/of-one-table", { PUT(0, 5), PUT(0, 5, .table = NOTES), EXPIRE_ALL(1), NONE,
	{ .op = FIND, .table = NOTES, .rows = ROWS(5), .newest = 5 } } },
{ "expire/and-append-behind-it", { PUT(0, 5), EXPIRE_ALL(1), { .op = APPEND, .batch = 2, .n = 5, NEW(5) }, ALL(5) } },

/* about/: figures that a batch can be made by. */

{ "about/itself", { { .op = ABOUT } } },

/* cancel/: RETRY, soon; before and behind it changes nothing. time/: an end in time, whatever the database does. And once is once. */

{ "cancel/before", { PUT(0, 5, .cancel = CANCEL_BEFORE, NEW(5)), ALL(5) } },
{ "cancel/at-once", { PUT(0, 5, .cancel = CANCEL_AT_ONCE, UNKNOWN), AGAIN_IS_ONCE(5) } },
{ "cancel/at-once-many", { PUT(0, 5000, .cancel = CANCEL_AT_ONCE, UNKNOWN), PUT(0, 5000, .again = true, .patient = true),
	{ .op = FIND, .rows = ROWS(1000), .newest = 5000 } } },
{ "cancel/while", { PUT(0, 10000, .cancel = CANCEL_LATER, UNKNOWN), PUT(0, 10000, .again = true, .patient = true, .timeout = 60000),
	{ .op = FIND, .rows = ROWS(1000), .newest = 10000 } } },
{ "cancel/find", { PUT(0, 100), { .op = FIND, .cancel = CANCEL_AT_ONCE, UNKNOWN }, ALL(100) } },
{ "cancel/expire", { PUT(0, 5, .day = 1), { .op = EXPIRE, .day = 1, .cancel = CANCEL_AT_ONCE, UNKNOWN }, ALL(5) } },
{ "time/append", { PUT(0, 10000, .timeout = 1, UNKNOWN), PUT(0, 10000, .again = true, .patient = true, .timeout = 60000),
	{ .op = FIND, .rows = ROWS(1000), .newest = 10000 } } },
{ "time/find", { PUT(0, 100), { .op = FIND, .timeout = 1, UNKNOWN }, ALL(100) } },
{ "time/deadline", { PUT(0, 10000, .deadline = 5, UNKNOWN), PUT(0, 10000, .again = true, .patient = true, .timeout = 60000),
	{ .op = FIND, .rows = ROWS(1000), .newest = 10000 } } },

};
const size_t sink_ncases = sizeof(sink_cases) / sizeof(sink_cases[0]);
