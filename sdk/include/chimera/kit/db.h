/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/db.h - what the adapters of databases measure, the same in each of them. Since 0.4.
 *
 * Their families are shared: the core takes one declaration from several plugins as long as it is the same, and these rows make it so.
 *
 *     static const struct ch_metric metrics[] = { CH_DB_METRICS, { .name = "my_own_total", … } };
 *     enum { MY_OWN = CH_DB_METRICS_N };
 *
 *     struct ch_db_gauges gauges;                                     // start: once an instance
 *     struct ch_db_errors errors;
 *     ch_db_gauges_init(self, &gauges);
 *     ch_db_errors_init(self, &errors);
 *
 *     ch_db_statement_init(self, text, strlen(text), &prepared->series);  // once a statement; kept with what was prepared
 *     ch_db_ran(&prepared->series, ch_now() - began);                 // each time it ran
 *     ch_db_failed(&errors, CH_SQL_BUSY);
 */
#ifndef CHIMERA_KIT_DB_H
#define CHIMERA_KIT_DB_H

#include <chimera/sql.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the rows: they stand first in a plugin's table of metrics ---- */

enum { CH_DB_QUERIES_, CH_DB_SECONDS_, CH_DB_ACTIVE_, CH_DB_CONNECTIONS_, CH_DB_ERRORS_, CH_DB_METRICS_N };

static const double ch_db_buckets_[] __attribute__((unused)) = { .001, .005, .01, .025, .05, .1, .25, .5, 1 };
static const char *const ch_db_states_[] __attribute__((unused)) = { "in_use", "idle", "waiting", NULL };
static const char *const ch_db_error_names_[] __attribute__((unused)) = { "bad_request", "value", "schema", "constraint", "count",
	"conflict",
	"full", "too_large", "no_memory", "busy", "unavailable", "unknown", "cancelled", NULL }; /* enum ch_sql_error, from 1 */

/* Five rows, without a final comma. */
#define CH_DB_METRICS \
	{ .name = "db_queries_total", .kind = CH_COUNTER, .labels = { { "operation", CH_L_CONFIG }, { "table", CH_L_CONFIG } }, \
		.help = "Statements that were run, by what they do and the first table that they name" }, \
	{ .name = "db_query_duration_seconds", .kind = CH_HISTOGRAM, .labels = { { "operation", CH_L_CONFIG }, { "table", CH_L_CONFIG } }, \
		.buckets = ch_db_buckets_, .nbuckets = sizeof(ch_db_buckets_) / sizeof(ch_db_buckets_[0]), \
		.help = "How long the database took for a statement, without the wait for a connection" }, \
	{ .name = "db_connections_active", .kind = CH_GAUGE, .help = "Connections to databases that are in use now" }, \
	{ .name = "chimera_db_connections", .kind = CH_GAUGE, \
		.labels = { { "instance", CH_L_CONFIG }, { "state", CH_L_FIXED, ch_db_states_ } }, \
		.help = "Connections of an adapter in use and idle, and calls that wait for one" }, \
	{ .name = "chimera_db_errors_total", .kind = CH_COUNTER, \
		.labels = { { "instance", CH_L_CONFIG }, { "error", CH_L_FIXED, ch_db_error_names_ } }, \
		.help = "Calls to an adapter that failed, by kind of error" }

/* ---- a statement ---- */

struct ch_db_statement { unsigned queries, seconds; }; /* series; zeroed memory counts nowhere */

/*
 * [any] What a statement does ("select", "insert", "update", "delete", "with", "other") and the first table that it names behind FROM, INTO
 * or UPDATE, lower case and without its schema; "none" if there is none. Cut at 63 bytes. Of a text that is code: nothing here is for what
 * clients send. Quoted text and comments are passed over.
 */
void ch_db_names(const char *text, size_t n, char operation[8], char table[64]);
/* [any] Its series. Once a statement: it takes a lock. */
void ch_db_statement_init(struct ch_self *self, const char *text, size_t n, struct ch_db_statement *out);
/* [any] The same for one that has no text: ch_db_series(self, "insert", "inference_records", &series). */
void ch_db_series(struct ch_self *self, const char *operation, const char *table, struct ch_db_statement *out);
/* [any] It ran for so many microseconds, whatever came of it. */
static inline void ch_db_ran(const struct ch_db_statement *s, int64_t us)
{
	ch_add(s->queries, 1);
	ch_observe(s->seconds, (double)us / 1e6);
}

/* ---- connections ---- */

/* What an instance has said. Two instances of one id, while a reload lasts, add up. */
struct ch_db_gauges { unsigned active, series[3]; int64_t said[3]; };

/* [any] Its series; nothing said yet. */
void ch_db_gauges_init(struct ch_self *self, struct ch_db_gauges *out);
/* [any, one at a time: your lock] So many connections are in use and idle, and so many calls wait. All 0 in stop. */
void ch_db_gauges_say(struct ch_db_gauges *g, int64_t in_use, int64_t idle, int64_t waiting);

/* ---- errors ---- */

struct ch_db_errors { unsigned series[CH_SQL_CANCELLED + 1]; };

/* [any] Their series. */
void ch_db_errors_init(struct ch_self *self, struct ch_db_errors *out);
/* [any] A call ended with that enum ch_sql_error; OK and what is unknown count nowhere. */
static inline void ch_db_failed(const struct ch_db_errors *e, int error)
{
	if (error > CH_SQL_OK && error <= CH_SQL_CANCELLED)
		ch_add(e->series[error], 1);
}
/* [any] "conflict"; "ok" for CH_SQL_OK and "other" for a number that is none. Static text. */
const char *ch_db_error_name(int error);

#ifdef __cplusplus
}
#endif
#endif
