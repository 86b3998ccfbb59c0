/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c - a connection: libpq's steps on the loop, the first words (time limits, which also show that somebody answers), pipelines, the
 * end.
 *
 * What is sent is written down as an operation (pg_conn_expect), and answers are told to the call in that order. A call outside of a
 * pipeline (COPY) reads and writes by itself, see struct pg_work.
 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#include "dsn.h"
#include "errors.h"
#include "storage_postgres.h"

#define PING 1000                  /* ms that a ping may take */
#define GUARD_SLACK (1u << 20)     /* bytes beside the rows: what the protocol adds, and other messages */

static void on_event(void *data, int events);
static void lost(struct pg_conn *conn);

/* ---- what is watched ---- */

static bool watch(struct pg_conn *conn, int events)
{
	if (conn->watch && conn->events != events)
		ch_watch_set(conn->watch, events);
	if (!conn->watch)
		conn->watch = ch_watch(conn->pool->loop, PQsocket(conn->pg), events, on_event, conn);
	conn->events = events;
	return conn->watch;
}

static void unwatch(struct pg_conn *conn)
{
	ch_watch_free(conn->watch);
	conn->watch = NULL;
}

static void until(struct pg_conn *conn, int64_t at)
{
	int64_t left = at - ch_now();

	ch_timer_set(conn->timer, left > 0 ? (left + 999) / 1000 : 0);
}

/* ---- operations ---- */

bool pg_conn_expect(struct pg_conn *conn, int kind, size_t statement, struct pg_prepared *prepared)
{
	if (conn->op_first && conn->op_first + conn->nops == conn->op_room) {
		memmove(conn->ops, conn->ops + conn->op_first, conn->nops * sizeof(*conn->ops));
		conn->op_first = 0;
	}
	if (conn->nops == conn->op_room) {
		size_t room = conn->op_room ? 2 * conn->op_room : 16;
		struct pg_op *ops = realloc(conn->ops, room * sizeof(*ops));

		if (!ops)
			return false;
		conn->ops = ops;
		conn->op_room = room;
	}
	conn->ops[conn->op_first + conn->nops++] = (struct pg_op){ kind, statement, prepared };
	return true;
}

static void op_over(struct pg_conn *conn)
{
	conn->nops--;
	conn->op_first = conn->nops ? conn->op_first + 1 : 0;
}

/* ---- in and out ---- */

bool pg_conn_flush(struct pg_conn *conn)
{
	int rc = PQflush(conn->pg);

	return rc >= 0 && watch(conn, rc ? CH_READ | CH_WRITE : CH_READ);
}

bool pg_conn_wake(struct pg_conn *conn)
{
	return watch(conn, CH_READ | CH_WRITE);
}

/* libpq may leave bytes in OpenSSL that no descriptor shows. */
static bool more_inside(PGconn *pg)
{
	SSL *ssl = PQsslInUse(pg) ? PQsslStruct(pg, "OpenSSL") : NULL;

	return ssl && SSL_pending(ssl) > 0;
}

bool pg_conn_consume(struct pg_conn *conn)
{
	do {
		if (!PQconsumeInput(conn->pg))
			return false;
	} while (more_inside(conn->pg));
	return PQstatus(conn->pg) == CONNECTION_OK;
}

/*
 * How many bytes have come over the connection so far: before libpq has a row whole, nobody else knows how large it gets. Over a unix
 * socket: 0, then only the whole result is measured.
 */
static uint64_t came(struct pg_conn *conn)
{
	struct tcp_info info;
	socklen_t n = sizeof(info);

	if (getsockopt(PQsocket(conn->pg), IPPROTO_TCP, TCP_INFO, &info, &n) ||
	    n < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received))
		return 0;
	return info.tcpi_bytes_received;
}

static bool too_much(struct pg_conn *conn)
{
	const struct pg_sql *q = PG_OF(conn->call, struct pg_sql, call);
	uint64_t now;

	if (conn->call->work != &pg_sql_work)
		return false;
	now = came(conn);
	return now && now - conn->came > 2 * (uint64_t)q->max_bytes + GUARD_SLACK;
}

/* ---- the end ---- */

static void set_state(struct pg_conn *conn, int state)
{
	struct pg_pool *p = conn->pool;
	bool was_busy = conn->state == PG_PINGING || conn->state == PG_RUNNING, is_busy = state == PG_PINGING || state == PG_RUNNING;

	p->nconnecting += (size_t)(state <= PG_SETUP) - (size_t)(conn->state <= PG_SETUP);
	p->nidle += (size_t)(state == PG_IDLE) - (size_t)(conn->state == PG_IDLE);
	p->nbusy += (size_t)is_busy - (size_t)was_busy;
	if (conn->state == PG_IDLE)
		pg_unlink(&conn->idle_link);
	if (state == PG_IDLE)
		pg_link_first(&p->idle, &conn->idle_link);
	conn->state = state;
}

void pg_conn_close(struct pg_conn *conn)
{
	struct pg_pool *p = conn->pool;

	set_state(conn, PG_CLOSED);
	p->nconns--;
	pg_unlink(&conn->link);
	pg_lookup_forget(conn);
	unwatch(conn);
	ch_timer_free(conn->timer);
	PQfinish(conn->pg);
	pg_statement_forget_all(conn);
	free(conn->ops);
	free(conn);
}

void pg_conn_failed(struct pg_conn *conn, const char *state, const char *why)
{
	struct pg_pool *p = conn->pool;

	pg_pool_failed(p, conn, state, why);
	pg_conn_close(conn);
	pg_pool_run(p);
}

/* libpq's own words, without anything secret. */
static void connect_failed(struct pg_conn *conn)
{
	const struct pg_conf *conf = conn->pool->conf;
	PQconninfoOption *dsn = pg_dsn_parse(conf->dsn);
	const char *user = PQuser(conn->pg), *dbname = PQdb(conn->pg);
	char where[300], state[6], why[PG_WHY_MAX];

	pg_where(conn->pg, where, sizeof(where));
	pg_error_connect(PQerrorMessage(conn->pg), where, user ? user : "", dbname ? dbname : "", state, why, sizeof(why));
	pg_scrub(why, conf->password);
	pg_scrub(why, pg_dsn_get(dsn, "password"));
	pg_dsn_free(dsn);
	pg_conn_failed(conn, state, why);
}

void pg_conn_done(struct pg_conn *conn, int error, const char *detail)
{
	struct pg_call *call = conn->call;
	struct pg_pool *p = conn->pool;

	conn->call = NULL;
	pg_call_end(call, error, detail);
	if (conn->doomed) {
		pg_conn_close(conn);
	} else {
		ch_timer_set(conn->timer, -1);
		pg_statement_settle(conn);
		conn->idle_since = ch_now();
		set_state(conn, PG_IDLE);
	}
	pg_pool_run(p);
}

/* What a call came to whose connection is no more. */
static int unfinished(const struct pg_call *call, int error)
{
	return call->sent && !call->reads ? CH_SQL_UNKNOWN : error;
}

void pg_conn_abandon(struct pg_conn *conn, int error, const char *detail)
{
	struct pg_pool *p = conn->pool;
	struct pg_call *call = conn->call;

	conn->call = NULL;
	pg_call_end(call, unfinished(call, error), detail);
	if (conn->state == PG_RUNNING && conn->known && !p->ending)
		pg_abandon(p, PQbackendPID(conn->pg), conn->session);
	pg_conn_close(conn);
	pg_pool_run(p);
}

/*
 * The reason that PostgreSQL gave before it closed the connection, if it did: a result that nobody has taken yet. Only what has come: a
 * connection that is silent is not always broken, and PQgetResult would wait for its answer.
 */
static void last_words(struct pg_conn *conn, char state[6], char *why, size_t n)
{
	*state = 0;
	snprintf(why, n, "The connection to PostgreSQL broke.");
	pg_conn_consume(conn);
	for (int i = 0; i < 64 && !*state && !PQisBusy(conn->pg); i++) {
		PGresult *r = PQgetResult(conn->pg);
		const char *s = PQresultErrorField(r, PG_DIAG_SQLSTATE), *m = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

		if (s && m && strncmp(s, "22", 2) && strncmp(s, "23", 2)) {
			snprintf(state, 6, "%s", s);
			snprintf(why, n, "PostgreSQL ended the connection: %s (SQLSTATE %s).", m, s);
		}
		PQclear(r);
		if (!r && (i > 2 || PQstatus(conn->pg) == CONNECTION_BAD))
			break;
	}
}

static void lost(struct pg_conn *conn)
{
	struct pg_pool *p = conn->pool;
	struct pg_call *call = conn->call;
	char state[6], why[PG_WHY_MAX];

	if (conn->state == PG_SETUP) {
		connect_failed(conn);
		return;
	}
	last_words(conn, state, why, sizeof(why));
	conn->call = NULL;
	p->wanted = true; /* to find out whether PostgreSQL is there at all */
	if (call && conn->state == PG_PINGING) {
		pg_pool_again(p, call);
	} else if (call) {
		if (call->error && !call->fatal) /* it has failed for certain */
			pg_call_end(call, call->error, NULL);
		else
			pg_call_end(call, unfinished(call, CH_SQL_UNAVAILABLE), call->error ? NULL : why);
	}
	pg_conn_close(conn);
	pg_pool_run(p);
}

/* ---- a call ---- */

static void run(struct pg_conn *conn)
{
	struct pg_call *call = conn->call;
	const struct pg_conf *conf = conn->pool->conf;
	int64_t most = ch_now() + (conf->statement_timeout + PG_GRACE) * 1000;

	set_state(conn, PG_RUNNING);
	conn->came = came(conn);
	until(conn, call->until < most ? call->until : most);
	if (!call->work->begin(call, conn) || !pg_conn_flush(conn))
		lost(conn);
}

static bool ping(struct pg_conn *conn)
{
	set_state(conn, PG_PINGING);
	ch_timer_set(conn->timer, PING);
	return pg_conn_expect(conn, PG_OP_SYNC, 0, NULL) && PQpipelineSync(conn->pg) && pg_conn_flush(conn);
}

void pg_conn_start(struct pg_conn *conn, struct pg_call *call)
{
	const struct pg_conf *conf = conn->pool->conf;
	bool stale = conf->pre_ping >= 0 && ch_now() - conn->idle_since > conf->pre_ping * 1000;

	conn->call = call;
	call->conn = conn;
	if (!stale)
		run(conn);
	else if (!ping(conn))
		lost(conn);
}

/* ---- the first words ---- */

static bool set_up(struct pg_conn *conn)
{
	char ms[24], pid[24];
	const char *const values[2] = { ms, pid };

	snprintf(ms, sizeof(ms), "%lld", (long long)conn->pool->conf->statement_timeout);
	snprintf(pid, sizeof(pid), "%d", PQbackendPID(conn->pg));
	return !PQsetnonblocking(conn->pg, 1) && PQenterPipelineMode(conn->pg) &&
	       pg_conn_expect(conn, PG_OP_PLAIN, 0, NULL) && pg_conn_expect(conn, PG_OP_SYNC, 0, NULL) &&
	       PQsendQueryParams(conn->pg, "SELECT set_config('statement_timeout', $1, false), "
	                         "set_config('idle_in_transaction_session_timeout', $1, false), (SELECT backend_start FROM "
	                         "pg_stat_get_activity(pg_backend_pid()) WHERE pg_backend_pid() = $2::integer)", 2, NULL, values, NULL, NULL, 1) &&
	       PQpipelineSync(conn->pg) && pg_conn_flush(conn);
}

static void ready(struct pg_conn *conn)
{
	struct pg_pool *p = conn->pool;
	const struct pg_conf *conf = p->conf;

	ch_timer_set(conn->timer, -1);
	conn->idle_since = ch_now();
	if (conf->max_lifetime >= 0) { /* up to a tenth less, so that those made together do not end together */
		int64_t life = conf->max_lifetime * 1000;

		conn->dies = conn->idle_since + life - (int64_t)(ch_random() % (uint64_t)(life / 10 + 1));
	}
	set_state(conn, PG_IDLE);
	pg_pool_connected(p);
	pg_pool_run(p);
}

/*
 * Since when the session is there: with its process, that names it for certain. Behind a pooler, whose connection has a process of the
 * pooler's invention, the third column is null.
 */
static void note_session(struct pg_conn *conn, const PGresult *r)
{
	conn->known = PQgetlength(r, 0, 2) == (int)sizeof(conn->session);
	if (conn->known)
		memcpy(conn->session, PQgetvalue(r, 0, 2), sizeof(conn->session));
}

/* An answer to what we said of our own accord: the first words or a ping. false: the connection is of no use. */
static bool own_answer(struct pg_conn *conn, const PGresult *r)
{
	ExecStatusType status = PQresultStatus(r);

	if (status == PGRES_TUPLES_OK && PQntuples(r) == 1 && PQnfields(r) == 3)
		note_session(conn, r);
	return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ||
	       (status == PGRES_PIPELINE_SYNC && conn->ops[conn->op_first].kind == PG_OP_SYNC);
}

/* ---- what comes in ---- */

/* All answers that are whole. false: the connection is another's now, or closed. */
static bool answers(struct pg_conn *conn)
{
	while (conn->nops && !PQisBusy(conn->pg)) {
		PGresult *r = PQgetResult(conn->pg);
		struct pg_op op = conn->ops[conn->op_first];
		bool sync = r && PQresultStatus(r) == PGRES_PIPELINE_SYNC, last = conn->nops == 1;

		if (!r && PQstatus(conn->pg) != CONNECTION_OK)
			return true;
		if (conn->state != PG_RUNNING) {
			bool good = !r || own_answer(conn, r);

			PQclear(r);
			if (!good) {
				lost(conn);
				return false;
			}
			if (sync || (!r && op.kind != PG_OP_SYNC))
				op_over(conn);
			continue;
		}
		if (!r && op.kind == PG_OP_SYNC)
			continue;
		if (sync || !r)
			op_over(conn);
		conn->call->work->result(conn->call, conn, &op, r);
		if (sync && last) /* the call is over, and the connection maybe, too */
			return false;
	}
	if (conn->nops || conn->doomed || conn->state == PG_IDLE)
		return true;
	if (conn->state == PG_SETUP)
		ready(conn);
	else if (conn->state == PG_PINGING)
		run(conn);
	else
		return true;
	return false;
}

/* libpq keeps the password as long as the connection, and needs it no more: it is not to stand in a core file. */
static void forget_password(PGconn *pg)
{
	char *password = PQpass(pg);

	explicit_bzero(password, strlen(password)); /* "" without one */
}

static void dial_on(struct pg_conn *conn)
{
	PostgresPollingStatusType s;

	unwatch(conn); /* libpq may close the socket, and open another of the same number */
	s = PQconnectPoll(conn->pg);
	if (s == PGRES_POLLING_OK) {
		set_state(conn, PG_SETUP);
		forget_password(conn->pg);
		if (PQserverVersion(conn->pg) < 120000)
			pg_conn_failed(conn, "0A000", "The server is older than PostgreSQL 12; use a newer one.");
		else if (!set_up(conn))
			lost(conn);
	} else if (s == PGRES_POLLING_FAILED || !watch(conn, s == PGRES_POLLING_READING ? CH_READ : CH_WRITE)) {
		connect_failed(conn);
	}
}

static void on_event(void *data, int events)
{
	struct pg_conn *conn = data;

	if (conn->state == PG_DIALING) {
		dial_on(conn);
		return;
	}
	if (conn->state == PG_RUNNING && conn->call->work->moved) {
		if (((events & CH_READ) && !pg_conn_consume(conn)) || !conn->call->work->moved(conn->call, conn))
			lost(conn);
		return;
	}
	if ((events & CH_READ) && !pg_conn_consume(conn)) {
		conn->doomed = true;
		if (conn->state == PG_IDLE || answers(conn)) /* what came before the end counts */
			lost(conn);
		return;
	}
	if (!pg_conn_flush(conn)) {
		lost(conn);
		return;
	}
	if (conn->state == PG_RUNNING && PQisBusy(conn->pg) && too_much(conn)) {
		pg_conn_abandon(conn, CH_SQL_TOO_LARGE, "The result is larger than max_bytes allows.");
		return;
	}
	if (answers(conn) && PQstatus(conn->pg) != CONNECTION_OK)
		lost(conn);
}

static void on_time(void *data)
{
	struct pg_conn *conn = data;
	const struct pg_conf *conf = conn->pool->conf;
	char why[PG_WHY_MAX], where[300];

	if (conn->state == PG_RUNNING) {
		snprintf(why, sizeof(why), "PostgreSQL did not answer within %lld ms.", (long long)((ch_now() - conn->call->began) / 1000));
		pg_conn_abandon(conn, CH_SQL_UNAVAILABLE, why);
	} else if (conn->state == PG_PINGING) {
		lost(conn);
	} else {
		if (conn->pg)
			pg_where(conn->pg, where, sizeof(where));
		snprintf(why, sizeof(why), conn->state == PG_RESOLVING ? "The host in dsn was not found within %lld ms%s." :
		         "No answer from PostgreSQL within connect_timeout (%lld ms) at %s; is it stopped, or behind a firewall?",
		         (long long)conf->connect_timeout, conn->pg ? where : "");
		pg_conn_failed(conn, "", why);
	}
}

/* ---- its beginning ---- */

static void no_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

void pg_conn_dial(struct pg_conn *conn, PQconninfoOption *dsn, struct ch_addrs *const *addrs)
{
	const struct pg_conf *conf = conn->pool->conf;
	struct pg_dial d = { .password = conf->password, .sslmode = conf->tls_mode ? pg_tls_modes[conf->tls_mode] : NULL,
		.sslrootcert = conf->tls_ca };
	struct pg_params params;

	set_state(conn, PG_DIALING);
	if (pg_dsn_params(&params, dsn, &d, addrs)) {
		conn->pg = PQconnectStartParams(params.keywords, params.values, 0);
		pg_params_free(&params);
	}
	if (!conn->pg) {
		pg_conn_failed(conn, "", "No memory is left for a connection to PostgreSQL.");
		return;
	}
	PQsetErrorVerbosity(conn->pg, PQERRORS_VERBOSE); /* with the SQLSTATE */
	PQsetNoticeReceiver(conn->pg, no_notice, NULL);
	if (PQstatus(conn->pg) == CONNECTION_BAD || !watch(conn, CH_WRITE))
		connect_failed(conn);
}

bool pg_conn_open(struct pg_pool *p)
{
	struct pg_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return false;
	conn->pool = p;
	conn->timer = ch_timer(p->loop, on_time, conn);
	if (!conn->timer) {
		free(conn);
		return false;
	}
	pg_link_init(&conn->idle_link);
	pg_link_init(&conn->prepared);
	pg_link_last(&p->conns, &conn->link);
	p->nconns++;
	p->nconnecting++;
	conn->epoch = p->epoch;
	conn->born = ch_now();
	ch_timer_set(conn->timer, p->conf->connect_timeout);
	if (!pg_lookup(conn)) {
		pg_conn_failed(conn, "", "No memory is left for a connection to PostgreSQL.");
		return false;
	}
	return true;
}
