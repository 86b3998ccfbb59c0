/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage_clickhouse.h - the sink of ClickHouse: what its parts share.
 *
 *   storage_clickhouse.c   options, start and end, the tables that the host reads
 *   call.c                 a call to sink/1 from its beginning to its one end: fault, breaker, layout, then …
 *   append.c, find.c, expire.c   … its own steps, each a question to the server
 *   query.c                one question over http/1, and what its answer means
 *   body.c, rowbinary.c    a batch as bytes; shape.c: how the table takes them; sql.c: texts; errors.c: ClickHouse's exceptions
 *   health.c, migrations.c SELECT 1, and the schema
 *
 * Threads: a call lives on its ctx's loop. What calls share (the layouts of tables, the breaker, gauges) lies under `lock`.
 */
#ifndef STORAGE_CLICKHOUSE_H
#define STORAGE_CLICKHOUSE_H

#include <chimera/http.h>
#include <chimera/kit/breaker.h>
#include <chimera/kit/db.h>
#include <chimera/kit/migrate.h>
#include <chimera/sink.h>
#include <pthread.h>

#include "shape.h"

#define CLICK_TABLES_MAX 16               /* whose layout is remembered */

enum click_compress { CLICK_AUTO, CLICK_ON, CLICK_OFF };

struct click_conf {
	const struct ch_svc *http;
	const char *url, *database, *user, *password, *migrations;
	int64_t batch_rows, batch_age, timeout, connect_timeout;
	int compress, migrate;            /* enum click_compress, enum ch_migrate_mode */
};

/* What is known of a table. */
struct click_table {
	char name[64];
	struct click_shape shape;
	bool known;                       /* the shape is good; false: ask again */
	struct ch_db_statement insert, select, expire;
};

struct click {
	struct ch_self *self;
	char *base;                       /* "http://127.0.0.1:8123/?database=chimera": further parameters follow */
	bool gzip;                        /* bodies are compressed */
	struct ch_db_errors errors;
	pthread_mutex_t lock;
	struct ch_db_gauges gauges;       /* under lock, as is the rest */
	struct ch_breaker breaker;        /* of the server, whoever asks */
	int64_t running;                  /* questions on their way */
	struct click_table tables[CLICK_TABLES_MAX];
	size_t ntables;
	struct ch_migrate_status schema;
	pthread_cond_t wake;              /* on the monotonic clock: `ends` has changed */
	struct ch_thread *starter;        /* cares for the schema; NULL: not begun. House loop and stop */
	bool ends;                        /* the instance is retired: the starter gives up */
};

extern const struct ch_sink_v1 click_sink;

static inline const struct click_conf *click_conf_of(const struct click *k)
{
	return k->self->conf;
}

#endif
