/* SPDX-License-Identifier: Apache-2.0 */
/* storage_sqlite.c - the plugin: "sql/1" and "sink/1" over a file of SQLite's. Tables, and life; sqlite.h says where the rest is. */
#include <stdlib.h>

#include "sqlite.h"

/* ---- life ---- */

static int start(struct ch_self *self, const struct ch_self *prev)
{
	(void)prev; /* both may have the file open: it is SQLite that keeps them apart */
	if (sqlite3_libversion_number() < 3037000) {
		ch_log(self, NULL, CH_ERR, "SQLite %s is too old: 3.37 or a later one is needed", sqlite3_libversion());
		return CH_ERROR;
	}
	/* Nobody asks how much memory SQLite has, and the count would cost a lock for each piece. Once SQLite runs this changes nothing. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if (!sq_store_start(self->state, self)) {
		ch_log(self, NULL, CH_ERR, "there is no memory for its threads");
		return CH_ERROR;
	}
	return CH_OK;
}

static void stop(struct ch_self *self)
{
	sq_store_stop(self->state);
}

static int loop_start(struct ch_self *self, struct ch_loop *loop)
{
	struct sq_loop *l = calloc(1, sizeof(*l));

	if (!l || !sq_loop_start(l, self->state, loop)) {
		free(l);
		return CH_ERROR;
	}
	*ch_loop_state(self, loop) = l;
	return CH_OK;
}

static void loop_stop(struct ch_self *self, struct ch_loop *loop)
{
	struct sq_loop *l = *ch_loop_state(self, loop);

	if (!l)
		return;
	*ch_loop_state(self, loop) = NULL;
	sq_loop_stop(l);
	free(l);
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct sq_conf, path, DATA, .flags = CH_O_REQUIRED, .def = "chimera.db", .env = "CHIMERA_SQLITE_PATH",
		.help = "The database file, made with the mode 0600 if it is missing; -wal and -shm lie beside it"),
	CH_MIGRATE_OPTIONS(struct sq_conf, "auto"),
	CH_OPT(struct sq_conf, readers, INT, .def = "2", .min = "1", .max = "32",
		.help = "Threads that read, each with a connection of its own; one more writes"),
	CH_OPT(struct sq_conf, timeout, DURATION, .def = "5s", .min = "1ms", .max = "10m",
		.help = "How long a call may take whose caller says nothing, waiting included"),
	CH_OPT(struct sq_conf, busy_timeout, DURATION, .def = "5s", .min = "0ms", .max = "10m",
		.help = "How long to wait for the lock of the file while another process has it"),
	CH_OPT(struct sq_conf, max_waiting, INT, .def = "10000", .min = "1", .max = "1000000",
		.help = "How many calls may wait; the next ones are refused as busy"),
	CH_OPT(struct sq_conf, cache_size, SIZE, .def = "16m", .min = "64k", .max = "16g",
		.help = "Pages of the file kept in memory, for each connection"),
	CH_OPT(struct sq_conf, checkpoint, SIZE, .def = "4m", .min = "64k", .max = "1g",
		.help = "From this size on the log (-wal) is moved into the file; it is cut to four times as much"),
	CH_OPT(struct sq_conf, statements, INT, .def = "200", .min = "10", .max = "10000",
		.help = "Prepared statements kept, for each connection"),
};

static const double commit_buckets[] = { .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5 };
static const struct ch_metric metrics[] = {
	CH_DB_METRICS,
	CH_MIGRATE_METRICS,
	[SQ_COMMITS] = { .name = "chimera_sqlite_commits_total", .kind = CH_COUNTER, .labels = { { "instance", CH_L_CONFIG } },
		.help = "Transactions that were written and kept by the disk; each holds all calls that waited" },
	[SQ_COMMIT_SECONDS] = { .name = "chimera_sqlite_commit_duration_seconds", .kind = CH_HISTOGRAM,
		.labels = { { "instance", CH_L_CONFIG } },
		.buckets = commit_buckets, .nbuckets = sizeof(commit_buckets) / sizeof(commit_buckets[0]),
		.help = "How long COMMIT took: writing the log, and fsync" },
	[SQ_WAL_BYTES] = { .name = "chimera_sqlite_wal_bytes", .kind = CH_GAUGE, .labels = { { "instance", CH_L_CONFIG } },
		.help = "Bytes in the log that the last commit left" },
};

static const struct ch_provide provides[] = {
	{ "sql/1", &sq_sql, 0 },
	{ "sink/1", &sq_sink, 0 },
};

static const struct ch_check checks[] = { { .name = "storage_sqlite", .critical = 0, .timeout_ms = 2000, .fn = sq_check } };

static const struct ch_cron crons[] = { { .name = "schema", .when = "5m", .fn = sq_schema_look } };

static const struct ch_command commands[] = { CH_MIGRATE_COMMANDS(sq_migrate_command, sq_schema_command) };

static const struct ch_plugin storage_sqlite = {
	.size = sizeof(storage_sqlite),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "storage_sqlite",
	.version = CHIMERA_VERSION,
	.summary = "SQL and append-only tables in a file of SQLite's: nothing to set up",
	.conf_size = sizeof(struct sq_conf),
	.state_size = sizeof(struct sq_store),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.provides = CH_TABLE(provides),
	.checks = CH_TABLE(checks),
	.crons = CH_TABLE(crons),
	.commands = CH_TABLE(commands),
	.start = start,
	.stop = stop,
	.loop_start = loop_start,
	.loop_stop = loop_stop,
};

CH_PLUGIN(storage_sqlite, storage_sqlite)
