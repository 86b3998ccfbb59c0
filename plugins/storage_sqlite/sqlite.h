/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.h - what the parts of storage_sqlite share.
 *
 * Threads. One writer and a few readers (ch_thread) do all that SQLite does; a loop only makes calls (struct sq_call), which wait in one of
 * two queues, and gives the answers that come back by ch_post. Calls that wait stand under the store's lock; what a call may do with its
 * caller's memory, under the call's own.
 */
#ifndef STORAGE_SQLITE_H
#define STORAGE_SQLITE_H

#include <pthread.h>
#include <stdatomic.h>

#include <sqlite3.h>

#include <chimera/kit/db.h>
#include <chimera/kit/migrate.h>
#include <chimera/kit/value.h>
#include <chimera/sink.h>
#include <chimera/sql.h>

#define SQ_APPEND_ROWS 10000              /* what a batch likes to have, and the most that expire takes away at once */
#define SQ_REFUSALS_MAX 1000              /* rows that an answer names; what else is wrong comes to light with the next batch */

/* ---- options and metrics (storage_sqlite.c) ---- */

struct sq_conf {
	const char *path;
	int migrate;
	const char *migrations;
	int64_t readers, busy_timeout, timeout, max_waiting, cache_size, checkpoint, statements;
};
enum { SQ_COMMITS = CH_DB_METRICS_N + CH_MIGRATE_METRICS_N, SQ_COMMIT_SECONDS, SQ_WAL_BYTES };

/* ---- what went wrong (error.c) ---- */

struct sq_error {
	int code;                         /* enum ch_sql_error */
	int rc;                           /* SQLite's own, extended; SQLITE_OK: we found it ourselves */
	size_t at, value;                 /* as in struct ch_sql_result */
	char text[512];                   /* a sentence or two */
	char constraint[128];             /* empty: none */
};

/* Fills it; always returns false. `code` is an enum ch_sql_error. */
CH_PRINTF_(3, 4) bool sq_fail(struct sq_error *e, int code, const char *fmt, ...);
/* The same from what the connection says of rc; db may be NULL. */
bool sq_fail_db(struct sq_error *e, sqlite3 *db, int rc);
/* Does a failure like that mean that the connection must be closed before anything else is done with the file? */
bool sq_is_fatal(int rc);

/* ---- a connection (connection.c) and its statements (statement.c) ---- */

struct sq_store;
struct sq_call;

struct sq_statement {
	sqlite3_stmt *st;
	int columns;                      /* of its rows; 0: it gives none */
	bool reads;                       /* it changes nothing */
	unsigned values;                  /* it needs so many: the highest $N in it */
	unsigned nparameters;
	unsigned char number[CH_SQL_VALUES_MAX]; /* by parameter of SQLite's: its N */
	struct ch_db_statement series;
	struct sq_statement *same;        /* in the table */
	struct sq_statement *older, *newer;
	uint64_t hash;
	size_t n;
	char text[];
};
struct sq_cache {
	struct sq_statement *table[128];
	struct sq_statement *oldest, *newest;
	size_t n, most;
};
enum { SQ_BEGIN, SQ_BEGIN_READ, SQ_COMMIT, SQ_ROLLBACK, SQ_SAVE, SQ_RELEASE, SQ_UNDO, SQ_OWN };

struct sq_conn {
	sqlite3 *db;                      /* NULL: closed */
	struct sq_store *store;
	struct sq_call *call;             /* what it runs now, or NULL */
	sqlite3_stmt *own[SQ_OWN];
	bool owner;                       /* one of ours is being prepared or run: it may do what others may not */
	bool writes;
	int frames;                       /* in the log, as the last commit says */
	int64_t busy_since;               /* on the clock of the system; of the wait for a lock */
	uint64_t epoch;                   /* of the store when it was opened */
	struct sq_cache cache;
	char *scratch;                    /* for a statement's or row's values, see sq_scratch */
	size_t scratch_size;
};

enum sq_open { SQ_OPEN_WRITER, SQ_OPEN_READER, SQ_OPEN_PLAIN }; /* PLAIN: a writer that may do everything, for migrations */
/* [thread] Opens it, making file and folder if need be (not for a reader). False: *e, and it is closed. */
bool sq_open(struct sq_store *s, struct sq_conn *c, int how, struct sq_error *e);
/* [thread] Idempotent. keep_log: what is in the log is not moved into the file now. */
void sq_close(struct sq_conn *c, bool keep_log);
/* [thread] One of our own statements, SQ_BEGIN…: its result code. */
int sq_own(struct sq_conn *c, int which);
/* [writer] Writes and commits as little as can be: SQLite's result code. */
int sq_write_nothing(struct sq_conn *c);
/* [thread] At least n bytes that hold until the next call of it; NULL: no memory. */
char *sq_scratch(struct sq_conn *c, size_t n);

/*
 * [thread] The prepared statement of that text, from the cache or made now; NULL: *e says why. ours: whoever made it knows its parameters,
 * which need not be $1, $2 and so on.
 */
struct sq_statement *sq_prepare(struct sq_conn *c, const char *text, size_t n, bool ours, struct sq_error *e);
/* [thread] Ends what it did: it can be run again. */
void sq_reset(struct sq_statement *st);
void sq_cache_free(struct sq_cache *cache);

/* ---- values (values.c) ---- */

#define SQ_UUID_TEXT 36
void sq_uuid_text(const unsigned char id[16], char out[SQ_UUID_TEXT]);
bool sq_uuid_read(const char *p, size_t n, unsigned char out[16]);
/* [thread] How many bytes of memory the values' own take behind an array of them, and copies both; text is fixed up. */
size_t sq_values_size(const struct ch_value *v, size_t n);
void sq_values_copy(const struct ch_value *v, size_t n, struct ch_value *to);
/* [thread] Binds it to parameter `at` (from 1); uuid: room for a UUID's text that lives as long as the value. SQLite's result code. */
int sq_bind(sqlite3_stmt *st, int at, const struct ch_value *v, char uuid[SQ_UUID_TEXT]);
/* [thread] Column i of the row that a statement stands on; text is SQLite's and holds until the next step. */
struct ch_value sq_column(sqlite3_stmt *st, int i);
/* Turns what a database gave into a column's own type; what does not fit is null. */
void sq_value_as(struct ch_value *v, int type);

/* ---- rows on their way (rows.c) ---- */

struct sq_rows { char *p; size_t n, cap, at; }; /* bytes; at: of the next to be read */
/* [thread] A row of `columns` values; the statement stands on it. False: no memory. */
bool sq_rows_add(struct sq_rows *r, size_t statement, sqlite3_stmt *st, int columns);
/* The next one, once each: its values, or NULL. */
struct ch_value *sq_rows_next(struct sq_rows *r, size_t *statement, size_t *columns);

/* ---- a call (call.c) ---- */

enum sq_kind { SQ_SQL, SQ_APPEND, SQ_FIND, SQ_EXPIRE };
enum sq_place { SQ_NOWHERE, SQ_WAITING, SQ_TAKEN };

struct sq_refused { size_t row; const char *why; };  /* why: in struct sq_words */
struct sq_words { struct sq_words *next; char text[]; };

struct sq_loop {                          /* of an instance, one a loop */
	struct sq_store *store;
	struct ch_loop *loop;
	struct ch_timer *timer;
	int64_t at;                       /* ch_now when the timer fires; 0: it does not */
	struct sq_call *first;            /* calls of this loop that are not answered */
};

struct sq_call {
	struct sq_store *store;
	int kind;                         /* enum sq_kind */
	bool writes;                      /* it is the writer's; else a reader's */
	/* under the store's lock */
	int place;                        /* enum sq_place: in which queue */
	struct sq_call *next, *prev;      /* in it */
	int64_t since;                    /* ch_now: when it came to the queue */
	/* under its own lock */
	pthread_mutex_t lock;
	atomic_bool answered;             /* the caller has its answer: nothing of its memory may be touched any more */
	bool begun;                       /* something of it was run */
	bool finished;                    /* the thread is through with it; the answer is on its way to the loop */
	/* the loop's */
	struct sq_loop *loop;
	struct sq_call *loop_next, *loop_prev;
	struct ch_ctx *ctx;
	ch_ticket ticket;
	int64_t deadline;                 /* ch_now */
	int64_t delay;                    /* ch_now until which an injected fault holds it; 0: none */
	bool fault;                       /* and then it fails */
	bool queued;                      /* it was handed to the store */
	bool delivering, dropped;         /* rows are being given; they are not wanted any more */
	atomic_uint held;                 /* by the loop, and by a thread or what it posted */
	/* the caller's, readable between sq_enter and sq_leave until it is answered */
	union {
		struct { struct ch_sql_args args; struct ch_sql_result *out; } sql;
		struct { struct ch_sink_batch batch; struct ch_sink_result *out; } append;
		struct { struct ch_sink_find find; struct ch_sink_result *out; } find;
		struct { const struct ch_relation *table; int64_t before; struct ch_sink_result *out; } expire;
	};
	/* what came of it: the thread's until finished, then the loop's */
	bool misplaced;                   /* it looked like one that reads, and is none: the writer has to run it */
	struct sq_error error;            /* code CH_SQL_OK: it went well */
	uint64_t *counts;                 /* SQL: by statement */
	uint64_t rows;                    /* the sinks' */
	struct sq_rows given;
	struct sq_refused *refused;
	size_t nrefused;
	struct sq_words *words;
};

/*
 * [loop] A call of this ctx, still nowhere; timeout_ms 0: the option's. NULL: no memory, or the loop has none of ours. The caller fills its
 * part of the union and hands it to sq_submit.
 */
struct sq_call *sq_call_new(struct ch_self *self, struct ch_ctx *ctx, int kind, int64_t timeout_ms, ch_ticket ticket);
/* [loop] CH_AGAIN: it is on its way. CH_OK: the answer is in `out` now, and the call is gone. */
int sq_submit(struct sq_call *call);
/* [loop] The caller gives it up: the answer is given now. */
void sq_cancel(struct sq_call *call);

/* [thread] May its caller's memory be read? Then until sq_leave, which must be soon. False: the call is answered; drop what was done. */
bool sq_enter(struct sq_call *call);
void sq_leave(struct sq_call *call);
/* [thread] It is over: error, counts and so on are filled. The thread lets go of it. */
void sq_finish(struct sq_call *call);

/* The timer of a loop: [loop] */
bool sq_loop_start(struct sq_loop *l, struct sq_store *s, struct ch_loop *loop);
void sq_loop_stop(struct sq_loop *l);

/* ---- what calls do (sql.c, sink.c) ---- */

/* [thread] Runs it on that connection; the outcome is in the call. Inside a transaction of the caller's. */
void sq_run_sql(struct sq_conn *c, struct sq_call *call);
void sq_run_append(struct sq_conn *c, struct sq_call *call);
void sq_run_find(struct sq_conn *c, struct sq_call *call);
void sq_run_expire(struct sq_conn *c, struct sq_call *call);
/* [loop] Fill the answer into the caller's `out`; e says OK: after the rows are given, which may turn it into another error. */
void sq_answer_sql(struct sq_call *call, struct sq_error *e);
void sq_answer_sink(struct sq_call *call, struct sq_error *e);

extern const struct ch_sql_v1 sq_sql;
extern const struct ch_sink_v1 sq_sink;
/* [loop] The service's run, for our own check. */
int sq_sql_run(struct ch_self *self, struct ch_ctx *ctx, const struct ch_sql_args *args, struct ch_sql_result *out, ch_ticket ticket);
void sq_sql_cancel(struct ch_sql_result *out);

/* ---- the store (store.c), its writer (writer.c) and readers (reader.c) ---- */

enum sq_state { SQ_OPENING, SQ_UP, SQ_DOWN };
struct sq_queue { struct sq_call *first, *last; size_t n; pthread_cond_t wake; };

struct sq_store {
	struct ch_self *self;
	const struct sq_conf *conf;
	struct ch_thread *writer, **readers;
	bool lazy;                        /* the process runs one command: the file is opened when a call comes */
	atomic_bool ending;               /* nothing waits for locks any more; readers end */
	pthread_mutex_t lock;             /* of all that follows */
	struct sq_queue writes, reads;
	int state;                        /* enum sq_state */
	bool locked_out;                  /* the writer waits for another process to let go of the file */
	bool full;                        /* the last write failed for want of room, or of the right to write */
	bool closing;                     /* the readers have ended; the writer is next */
	bool broken;                      /* a reader found the file broken: breakage says how */
	struct sq_error breakage;
	int why_code;                     /* enum ch_sql_error: why it is DOWN */
	char why[512], full_why[512];     /* sentences: of the state, and of full */
	uint64_t epoch;                   /* how often the writer has opened the file: readers open theirs anew when it changes */
	unsigned running;                 /* calls on threads */
	unsigned open;                    /* connections */
	struct ch_migrate_status schema;
	struct ch_db_gauges gauges;
	/* set at start */
	struct ch_db_errors errors;
	unsigned commits, commit_seconds, wal_bytes;
};

/* [boot] */
bool sq_store_start(struct sq_store *s, struct ch_self *self);
void sq_store_stop(struct sq_store *s);
/* [any] Puts a call into its queue; false: *e says why not. */
bool sq_enqueue(struct sq_store *s, struct sq_call *call, struct sq_error *e);
/* [any] Takes it out again; false: a thread has it. */
bool sq_dequeue(struct sq_store *s, struct sq_call *call);
/* Under the store's lock: the gauges, after something has changed. */
void sq_say(struct sq_store *s);
/* [thread] So much time has gone by, or the queue has calls, or the store ends. Under the store's lock; ms < 0: for ever. */
void sq_wait(struct sq_store *s, struct sq_queue *q, int64_t ms);
/* [thread] The first call of the queue, in the thread's hands now; NULL: none. Under the store's lock. */
struct sq_call *sq_take(struct sq_store *s, struct sq_queue *q);
/* [thread] It is over: the thread lets go of it (sq_finish). */
void sq_done(struct sq_store *s, struct sq_call *call);
/* [thread] All calls that came to the queue until that moment (ch_now) fail like this. */
void sq_fail_waiting(struct sq_store *s, struct sq_queue *q, const struct sq_error *e, int64_t before);
/* [thread] The store's state, and with what error and sentence calls are refused while it is DOWN. */
void sq_set_state(struct sq_store *s, int state, int code, const char *why);
/* [thread] Writes fail for want of room or right, or do no more. */
void sq_set_full(struct sq_store *s, bool full, const char *why);

void sq_writer(void *store);              /* ch_fn of the threads */
void sq_reader(void *store);

/* ---- schema.c, health.c ---- */

/* [writer] What the option migrate says. False: the store cannot be used yet, *e says why. */
bool sq_schema_ensure(struct sq_store *s, struct sq_error *e);
int sq_migrate_command(struct ch_self *self, struct ch_ctx *ctx, size_t argc, const char *const *argv);
int sq_schema_command(struct ch_self *self, struct ch_ctx *ctx, size_t argc, const char *const *argv);
/* Task: is the schema still what it was? */
int sq_schema_look(struct ch_self *self, struct ch_ctx *ctx);
int sq_check(struct ch_self *self, struct ch_ctx *ctx, struct ch_check_result *out);

#endif
