/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage_postgres.h - what the files of this plugin share: one pool of connections for the process, and the calls that use it.
 *
 *   storage_postgres.c  options, metrics, life, health check
 *   dsn.c               the connection string: what is wrong with it, its hosts, what libpq is told
 *   pool.c              idle connections, calls that wait for one, when to connect and when to give up
 *   conn.c              a connection's life: the name, libpq's steps, the first words, what comes in, its end
 *   lookup.c            host names to addresses, off the loop
 *   abandon.c           PostgreSQL is told to stop what nobody waits for
 *   statement.c         statements that a connection has prepared
 *   call.c              a call's way from the ctx's loop to the pool and back
 *   sql.c               sql/1: a batch as a pipeline; rows
 *   sink.c, copy.c      sink/1: append by COPY, and what it is besides
 *   values.c            values as PostgreSQL's binary format has them, and back
 *   errors.c            what an SQLSTATE means, for callers and for people
 *   schema.c            migrations and the state of the schema
 *
 * Threads and ownership: the pool and its connections live on the house loop. A call is malloc's: made on the ctx's loop, handed to the
 * house loop by message, worked on there, handed back by message and freed. The house loop reads what the caller has given (it holds
 * until the ticket is resumed) and writes nothing of a ctx; results are libpq's own memory until the ctx's loop has shown them to the
 * caller.
 */
#ifndef PG_STORAGE_POSTGRES_H
#define PG_STORAGE_POSTGRES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <libpq-fe.h>

#include <chimera/kit/db.h>
#include <chimera/kit/migrate.h>
#include <chimera/sink.h>
#include <chimera/sql.h>

#include "list.h"

#define PG_PREPARED_MAX 256        /* statements that a connection keeps prepared */
#define PG_WHY_MAX 400             /* bytes of a sentence for people */
#define PG_NAME_MAX 128            /* bytes of a constraint's name: twice what PostgreSQL allows */
#define PG_GRACE 500               /* ms that the server's own statement_timeout has before ours */

/* ---- of an instance ---- */

struct pg_conf {
	const char *dsn, *password, *tls_ca;
	int tls_mode;                  /* index of pg_tls_modes */
	int64_t pool_size, max_overflow, pool_timeout, max_waiting;
	int64_t connect_timeout, statement_timeout, idle_timeout, max_lifetime, pre_ping;
	int migrate;
	const char *migrations;
};
extern const char *const pg_tls_modes[]; /* "dsn" and libpq's sslmodes; ended by NULL */

struct pg_state {
	struct ch_db_errors errors;
	unsigned connects[2];          /* series: failed, ok */
	struct ch_loop *house;
	unsigned loops;                /* how many there are, the house loop included */
	_Atomic bool up;               /* the last connection could be made, or one is there */
	_Atomic bool usable;           /* the schema is what this version needs, as far as is known */
	/* of the house loop: calls that came before its pool was there, or (stopped) behind it */
	struct pg_link early;
	bool stopped;
	struct pg_link unsaid;         /* ended, could not be handed back yet */
	struct ch_timer *again;        /* of unsaid: makes pg_calls_say go on */
	_Atomic unsigned left;         /* loops that have let go of the instance */
	pthread_mutex_t lock;
	pthread_cond_t end;
	bool ended;                    /* under lock: the pool is gone */
	/* schema.c's */
	struct ch_thread *thread;      /* house loop's, and stop's */
	_Atomic bool looking, stopping;
	_Atomic int64_t looked;        /* ch_now; 0: never */
	struct ch_migrate_status status; /* under lock */
};

/* ---- of the house loop ---- */

struct pg_pool;
struct pg_conn;
struct pg_call;
struct pg_lookup;
struct pg_prepared;

enum pg_op_kind { PG_OP_PLAIN, PG_OP_PREPARE, PG_OP_EXECUTE, PG_OP_COMMIT, PG_OP_SYNC };
struct pg_op {                     /* something whose answer is still to come on a connection */
	int kind;
	size_t statement;              /* EXECUTE, PREPARE: which of the call's */
	struct pg_prepared *prepared;  /* NULL: none */
};

/* How a call uses a connection. All on the house loop. */
struct pg_work {
	/* Sends what can be sent. false: the connection is of no use any more; nothing has happened. */
	bool (*begin)(struct pg_call *, struct pg_conn *);
	/* The answer to an operation, in order; r is the call's now. NULL: the operation's answers have all come. */
	void (*result)(struct pg_call *, struct pg_conn *, const struct pg_op *, PGresult *r);
	/* Instead of both, outside of a pipeline: something has come, or can be sent. false: the connection is lost. */
	bool (*moved)(struct pg_call *, struct pg_conn *);
};

enum pg_call_state { PG_CALL_NEW, PG_CALL_DELAYED, PG_CALL_WAITING, PG_CALL_RUNNING, PG_CALL_ENDED };
struct pg_call {
	_Atomic int refs;
	/* of the ctx's loop, and fixed from the beginning */
	struct ch_self *self;
	struct ch_loop *loop;
	struct ch_ctx *c;
	ch_ticket ticket;
	void (*answer)(struct pg_call *); /* on the ctx's loop: fills the caller's `out` */
	void (*dispose)(struct pg_call *); /* frees what the call owns beside itself; any thread */
	int64_t began, until;          /* ch_now */
	struct ch_fault fault;
	bool struck, cancelled;        /* cancelled: the ctx's loop's */
	/* of the house loop */
	struct pg_link link;           /* in pool->waiting, or pg_state's early or unsaid */
	struct pg_pool *pool;
	struct pg_conn *conn;
	struct ch_timer *timer;        /* DELAYED */
	const struct pg_work *work;
	int64_t wait_until;
	int state;
	bool reads;                    /* it changes nothing */
	bool sent;                     /* it may have happened */
	bool fatal;                    /* `error` is why PostgreSQL ended the connection */
	/* what came of it: the house loop's, then the ctx's */
	int error;                     /* enum ch_sql_error */
	size_t at, value;
	int64_t retry_ms;
	size_t row;                    /* COPY's, from 1; 0: not known */
	char sqlstate[6];
	char constraint[PG_NAME_MAX];
	char detail[PG_WHY_MAX];
};

enum pg_conn_state { PG_RESOLVING, PG_DIALING, PG_SETUP, PG_IDLE, PG_PINGING, PG_RUNNING, PG_CLOSED };
struct pg_conn {
	struct pg_link link;           /* in pool->conns */
	struct pg_link idle_link;      /* in pool->idle */
	struct pg_pool *pool;
	PGconn *pg;
	struct ch_watch *watch;
	struct ch_timer *timer;        /* connecting, the ping or the call take no longer */
	struct pg_lookup *lookup;
	struct pg_call *call;
	int state;
	int events;                    /* what is watched */
	unsigned epoch;
	bool doomed;                   /* it is closed when its call has ended */
	int64_t born, idle_since, dies; /* ch_now */
	uint64_t came;                 /* bytes that had come when the call began */
	bool known;                    /* `session` is when the server's process of PQbackendPID began, as PostgreSQL sends a timestamptz */
	char session[8];
	struct pg_op *ops;             /* a queue: from op_first, nops of them */
	size_t op_first, nops, op_room;
	/* statement.c's */
	struct pg_prepared *buckets[PG_PREPARED_MAX];
	struct pg_link prepared;       /* most recently used first */
	size_t nprepared;
	uint64_t names;
};

struct pg_pool {
	struct ch_self *self;
	struct pg_state *s;
	const struct pg_conf *conf;
	struct ch_loop *loop;
	struct ch_timer *timer;
	struct pg_link conns, idle, waiting; /* idle: most recently used first */
	size_t nconns, nconnecting, nidle, nwaiting, nbusy;
	size_t ceiling;                /* connections that the server allowed us; 0: as many as the options say */
	int64_t ceiling_until, retry_at, epoch_at, look_at; /* look_at: at the schema, though all was well */
	unsigned failures, epoch, abandoned;
	bool running, ending;          /* pg_pool_run is at work; pg_pool_free is */
	bool down, retired, wanted;    /* wanted: one connection is wanted though no call waits */
	char why[PG_WHY_MAX];          /* down: a sentence */
	struct ch_db_gauges gauges;
	char *scratch;                 /* PG_SCRATCH bytes for COPY */
};
#define PG_SCRATCH 65536

/* pool.c */
struct pg_pool *pg_pool_new(struct ch_self *self, struct ch_loop *l);
void pg_pool_retire(struct pg_pool *p);
void pg_pool_free(struct pg_pool *p);
void pg_pool_submit(struct pg_pool *p, struct pg_call *call);
/* The call goes back to the head of those that wait: its connection was of no use. */
void pg_pool_again(struct pg_pool *p, struct pg_call *call);
/* Hands connections to the calls that wait, and makes new ones; says the gauges. */
void pg_pool_run(struct pg_pool *p);
/* A connection became good; could not be made (`state`: its SQLSTATE, "" when none came). The latter before it is closed. */
void pg_pool_connected(struct pg_pool *p);
void pg_pool_failed(struct pg_pool *p, struct pg_conn *conn, const char *state, const char *why);
/* The server that we know is not the one that we want: connections made before now are not used again. */
void pg_pool_moved(struct pg_pool *p);

/* conn.c */
bool pg_conn_open(struct pg_pool *p);
void pg_conn_dial(struct pg_conn *conn, PQconninfoOption *dsn, struct ch_addrs *const *addrs); /* addrs: by host; entries NULL: as it is */
void pg_conn_failed(struct pg_conn *conn, const char *state, const char *why);
void pg_conn_start(struct pg_conn *conn, struct pg_call *call);
void pg_conn_close(struct pg_conn *conn);
/* The call is over, or is made to be over without regard to what PostgreSQL does. Both answer it. */
void pg_conn_done(struct pg_conn *conn, int error, const char *detail);
void pg_conn_abandon(struct pg_conn *conn, int error, const char *detail);
bool pg_conn_flush(struct pg_conn *conn); /* false: lost */
bool pg_conn_wake(struct pg_conn *conn); /* moved is called again in the next turn; false: lost */
bool pg_conn_consume(struct pg_conn *conn); /* false: lost */
bool pg_conn_expect(struct pg_conn *conn, int kind, size_t statement, struct pg_prepared *prepared); /* false: no memory */

/* lookup.c */
bool pg_lookup(struct pg_conn *conn); /* false: no memory. Calls pg_conn_dial or pg_conn_failed later */
void pg_lookup_forget(struct pg_conn *conn);

/* abandon.c */
/* The server's process that is to end, if it is still the one that began at `session` (pg_conn's). */
void pg_abandon(struct pg_pool *p, int pid, const char session[8]);

/* call.c */
/* On the ctx's loop: CH_AGAIN, or CH_OK when the house loop cannot be told; the call is freed then. */
int pg_call_send(struct pg_call *call);
void pg_call_arrive(struct pg_call *call, struct pg_pool *p); /* on the house loop */
void pg_call_init(struct pg_call *call, const struct ch_svc *svc, struct ch_ctx *c, ch_ticket ticket, int64_t timeout_ms);
void pg_call_cancel(struct pg_call *call);
void pg_call_put(struct pg_call *call);
/* On the house loop: it is over. detail NULL: call->detail stands already. The call must not be touched after this. */
void pg_call_end(struct pg_call *call, int error, const char *detail);
bool pg_calls_say(struct pg_state *s); /* hands back what is unsaid; false: some is left, `again` is set */

/* sql.c */
struct pg_statement {
	const char *text;
	size_t n;                      /* of text */
	uint64_t hash;                 /* of text and types */
	int64_t want;
	bool reads;
	int nvalues;
	const Oid *types;
	const char *const *values;
	const int *lengths;
	uint64_t count;
	PGresult *rows;
};
struct pg_sql {
	struct pg_call call;
	struct ch_sql_result *out;
	int (*row)(struct ch_ctx *, void *arg, size_t statement, const struct ch_value *row, size_t n);
	void *arg;
	size_t max_bytes, bytes;
	int64_t last;                  /* ch_now: when the answer before came */
	bool guarded;                  /* counts are looked at before COMMIT is sent */
	size_t left;                   /* statements whose answers are still to come */
	size_t n;
	uint64_t *counts;              /* in the ctx's arena */
	void *memory;                  /* owned: what text and values point to; NULL: the caller's */
	struct pg_statement *statements;
};
/* Notes the first thing that PostgreSQL refuses; what it means for the connection, too. */
void pg_call_note(struct pg_call *call, struct pg_conn *conn, size_t at, const PGresult *r);
extern const struct pg_work pg_sql_work;
extern const struct ch_sql_v1 pg_sql_vt;
/* For sink.c: fills *s; hash and reads are made of the rest. */
void pg_statement_init(struct pg_statement *s, const char *text, int nvalues, const Oid *types, const char *const *values,
	const int *lengths);
void pg_sql_dispose(struct pg_call *call);
/* On the ctx's loop: gives the rows of all statements. */
void pg_sql_rows(struct pg_sql *q);

/* statement.c */
struct pg_prepared {
	struct pg_link link;
	struct pg_prepared *next;      /* in its bucket */
	uint64_t hash;
	size_t n;
	int nvalues;
	bool ready;                    /* PostgreSQL has it */
	int64_t used;                  /* call->began of the last call: not thrown out by the same call */
	struct ch_db_statement series;
	char name[24];
	Oid *types;
	char text[];
};
/* Sends the statement, prepared first if it is new. false: no memory, or the connection is lost. */
bool pg_statement_send(struct pg_conn *conn, struct pg_call *call, size_t i, const struct pg_statement *s);
void pg_statement_settle(struct pg_conn *conn); /* what could not be prepared is forgotten: nothing is under way */
void pg_statement_forget_all(struct pg_conn *conn);

/* sink.c, copy.c */
struct pg_append {
	struct pg_sql sql;             /* the way of `again` */
	struct pg_statement statement;
	struct ch_sink_result *out;
	const struct ch_relation *table;
	const struct ch_value *values;
	size_t ncolumns, nrows;
	unsigned char batch_id[16];
	/* copy.c's */
	int phase;
	size_t row, column;            /* what is to be written next */
	uint64_t rows;
	struct ch_db_statement series;
	char copy[];                   /* its text */
};
extern const struct pg_work pg_copy_work;
extern const struct ch_sink_v1 pg_sink_vt;
#define PG_COPY_TEXT_MAX 8192
void pg_copy_text(const struct ch_relation *t, char *text); /* PG_COPY_TEXT_MAX bytes of room */
/* The same rows as a statement that passes over those that are there. false: no memory, or they are too much for one message. */
bool pg_append_again(struct pg_append *a);

/* schema.c */
bool pg_schema_open(struct ch_self *self, struct ch_migrate_engine *out, struct ch_migrate_error *error);
/* House loop: looks, or migrates, on a thread; nothing when it is at it, was a moment ago, or all was well (but then, too, if anew). */
void pg_schema_look(struct ch_self *self, bool anew);
void pg_schema_stop(struct ch_self *self);
extern const struct ch_migrate_adapter pg_migrate;

#endif
