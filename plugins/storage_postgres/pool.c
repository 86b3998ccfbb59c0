/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - who gets a connection, when one is made, and when the server counts as down.
 *
 * Down: the last attempt to connect failed and no connection is left. Then calls fail at once, with the reason, and one attempt after the
 * other is made: 100, 200, 400 ms apart and so on, with jitter. Where nobody listens, or the server says that it starts, more than 1.6 s
 * would be too long to be back within 2 s; where it refuses us, or is full, up to 5 s spare it.
 *
 * Connections are taken most recently used first, so that those which are too many fall idle and are closed.
 */
#include <stdio.h>

#include <chimera/kit/backoff.h>

#include "storage_postgres.h"

#define WAIT_FIRST 100000          /* microseconds, as all below */
#define WAIT_MOST 5000000
#define WAIT_MOST_QUICK 1600000
#define OVERFLOW_IDLE 1000000      /* how long a connection past pool_size is kept */
#define CEILING_FOR 30000000
#define MOVED_EVERY 5000000
#define LOOK_EVERY 300000000

static const char down[] = "database";

static size_t limit(const struct pg_pool *p)
{
	size_t most = (size_t)(p->conf->pool_size + p->conf->max_overflow);

	return p->ceiling && p->ceiling < most ? p->ceiling : most;
}

static void due(int64_t *next, int64_t at)
{
	if (at && at < *next)
		*next = at;
}

/* ---- those that wait ---- */

static void fail_waiting(struct pg_pool *p, int error, const char *why)
{
	while (pg_linked(&p->waiting))
		pg_call_end(PG_OF(p->waiting.next, struct pg_call, link), error, why);
}

static int64_t expire_waiting(struct pg_pool *p, int64_t now)
{
	int64_t next = INT64_MAX;

	for (struct pg_link *l = p->waiting.next, *after; l != &p->waiting; l = after) {
		struct pg_call *call = PG_OF(l, struct pg_call, link);
		int64_t at = call->wait_until < call->until ? call->wait_until : call->until;

		after = l->next;
		if (at > now) {
			due(&next, at);
			continue;
		}
		if (p->nconns - p->nconnecting >= limit(p)) {
			snprintf(call->detail, sizeof(call->detail),
				"No connection to PostgreSQL came free in %lld ms (%zu are in use); raise "
			         "pool_size, or ask less.", (long long)((now - call->began) / 1000), p->nbusy);
			pg_call_end(call, CH_SQL_BUSY, NULL);
		} else {
			snprintf(call->detail, sizeof(call->detail), "No connection to PostgreSQL was made in %lld ms, and the %zu that "
			         "are there are in use; it hangs, or has too much to do.", (long long)((now - call->began) / 1000), p->nbusy);
			pg_call_end(call, CH_SQL_UNAVAILABLE, NULL);
		}
	}
	return next;
}

static void wait(struct pg_pool *p, struct pg_call *call)
{
	call->state = PG_CALL_WAITING;
	p->nwaiting++;
}

void pg_pool_submit(struct pg_pool *p, struct pg_call *call)
{
	int64_t now = ch_now();

	call->wait_until = now + p->conf->pool_timeout * 1000;
	if (call->until <= now) {
		pg_call_end(call, CH_SQL_UNAVAILABLE, "The time was over before PostgreSQL was asked.");
	} else if (p->down) {
		pg_call_end(call, CH_SQL_UNAVAILABLE, p->why);
	} else if ((int64_t)p->nwaiting >= p->conf->max_waiting) {
		pg_call_end(call, CH_SQL_BUSY, "As many calls as max_waiting allows wait for a connection to PostgreSQL already.");
	} else {
		pg_link_last(&p->waiting, &call->link);
		wait(p, call);
		pg_pool_run(p);
	}
}

void pg_pool_again(struct pg_pool *p, struct pg_call *call)
{
	call->conn = NULL;
	if (p->down) {
		call->state = PG_CALL_NEW;
		pg_call_end(call, CH_SQL_UNAVAILABLE, p->why);
		return;
	}
	pg_link_first(&p->waiting, &call->link);
	wait(p, call);
}

/* ---- connections ---- */

static bool too_old(const struct pg_pool *p, const struct pg_conn *conn, int64_t now)
{
	return conn->epoch != p->epoch || (conn->dies && conn->dies <= now);
}

static int64_t close_idle(struct pg_pool *p, int64_t now)
{
	const struct pg_conf *conf = p->conf;
	int64_t next = INT64_MAX;

	for (struct pg_link *l = p->idle.prev, *before; l != &p->idle; l = before) {
		struct pg_conn *conn = PG_OF(l, struct pg_conn, idle_link);
		bool over = p->nconns > (size_t)conf->pool_size;
		int64_t at = conf->idle_timeout < 0 ? 0 : conn->idle_since + conf->idle_timeout * 1000;

		before = l->prev;
		if (over && (!at || conn->idle_since + OVERFLOW_IDLE < at))
			at = conn->idle_since + OVERFLOW_IDLE;
		if (p->retired || too_old(p, conn, now) || (at && at <= now)) {
			pg_conn_close(conn);
			continue;
		}
		due(&next, at);
		due(&next, conn->dies);
	}
	return next;
}

static void connect_more(struct pg_pool *p, int64_t now)
{
	size_t most = limit(p), want = p->nwaiting;

	if (p->retry_at > now)
		return;
	if (p->failures && want > 1) /* one finds out */
		want = 1;
	if (!want && !p->retired && (p->down || (p->wanted && !p->nconns)))
		want = 1;
	while (p->nconnecting < want && p->nconns < most && pg_conn_open(p) && p->retry_at <= now)
		;
	if (p->nconnecting)
		p->wanted = false;
}

static void hand_out(struct pg_pool *p, int64_t now)
{
	while (pg_linked(&p->waiting) && pg_linked(&p->idle)) {
		struct pg_conn *conn = PG_OF(p->idle.next, struct pg_conn, idle_link);
		struct pg_call *call = PG_OF(p->waiting.next, struct pg_call, link);

		if (too_old(p, conn, now)) {
			pg_conn_close(conn);
			continue;
		}
		pg_unlink(&call->link);
		p->nwaiting--;
		call->state = PG_CALL_RUNNING;
		pg_conn_start(conn, call);
	}
}

/* The schema may be changed by others, while all goes well here. */
static void look(struct pg_pool *p, int64_t now, int64_t *next)
{
	if (p->look_at <= now) {
		p->look_at = now + LOOK_EVERY;
		if (!p->down && !p->retired)
			pg_schema_look(p->self, true);
	}
	due(next, p->look_at);
}

void pg_pool_run(struct pg_pool *p)
{
	int64_t now = ch_now(), next, at;

	if (p->running) /* what is done here ends calls, and they would come back */
		return;
	p->running = true;
	if (p->ceiling && p->ceiling_until <= now)
		p->ceiling = 0;
	next = expire_waiting(p, now);
	hand_out(p, now);
	at = close_idle(p, now);
	due(&next, at == INT64_MAX ? 0 : at);
	connect_more(p, now);
	if (p->retry_at > now)
		due(&next, p->retry_at);
	if (p->ceiling)
		due(&next, p->ceiling_until);
	look(p, now, &next);
	ch_timer_set(p->timer, next == INT64_MAX ? -1 : (next - now + 999) / 1000);
	p->running = false;
	ch_db_gauges_say(&p->gauges, (int64_t)p->nbusy, (int64_t)p->nidle, (int64_t)p->nwaiting);
}

static void on_time(void *data)
{
	pg_pool_run(data);
}

/* ---- up and down ---- */

void pg_pool_connected(struct pg_pool *p)
{
	ch_add(p->s->connects[1], 1);
	p->failures = 0;
	p->retry_at = 0;
	p->down = false;
	atomic_store(&p->s->up, true);
	ch_degraded(p->self, down, false, "PostgreSQL answers.");
	if (!p->retired && p->nconns - p->nconnecting == 1) /* the first: the server was away, and may come back with another schema */
		pg_schema_look(p->self, true);
}

void pg_pool_failed(struct pg_pool *p, struct pg_conn *conn, const char *state, const char *why)
{
	bool full = !strncmp(state, "53300", 5), slow = *state && strncmp(state, "57P", 3);
	int64_t now = ch_now(), wait_us = ch_backoff(WAIT_FIRST, slow ? WAIT_MOST : WAIT_MOST_QUICK, p->failures);
	size_t good = p->nconns - p->nconnecting; /* conn itself is one of those that connect */

	ch_add(p->s->connects[0], 1);
	wait_us = wait_us / 2 + ch_backoff_full(wait_us / 2, wait_us / 2, 0, ch_random());
	p->failures++;
	p->retry_at = conn->born + wait_us; /* an attempt that took its time was a wait itself */
	if (p->retry_at < now + WAIT_FIRST / 2)
		p->retry_at = now + WAIT_FIRST / 2;
	if (full && good) {
		p->ceiling = good;
		p->ceiling_until = now + CEILING_FOR;
	}
	if (good) {
		if (p->failures == 1)
			ch_log(p->self, NULL, CH_WARN, "no further connection could be made, %zu are there: %s", good, why);
		return;
	}
	p->down = true;
	snprintf(p->why, sizeof(p->why), "%s", why);
	atomic_store(&p->s->up, false);
	ch_degraded(p->self, down, true, "%s", p->why);
	fail_waiting(p, CH_SQL_UNAVAILABLE, p->why);
}

void pg_pool_moved(struct pg_pool *p)
{
	int64_t now = ch_now();

	if (now - p->epoch_at < MOVED_EVERY && p->epoch_at)
		return;
	p->epoch_at = now;
	p->epoch++;
}

/* ---- life ---- */

struct pg_pool *pg_pool_new(struct ch_self *self, struct ch_loop *l)
{
	struct pg_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->self = self;
	p->s = self->state;
	p->conf = self->conf;
	p->loop = l;
	pg_link_init(&p->conns);
	pg_link_init(&p->idle);
	pg_link_init(&p->waiting);
	p->timer = ch_timer(l, on_time, p);
	p->scratch = malloc(PG_SCRATCH);
	if (!p->timer || !p->scratch) {
		pg_pool_free(p);
		return NULL;
	}
	ch_db_gauges_init(self, &p->gauges);
	p->wanted = true;
	p->look_at = ch_now() + LOOK_EVERY;
	pg_pool_run(p);
	return p;
}

/* Those of the generation before that still run are served; what idles is closed. */
void pg_pool_retire(struct pg_pool *p)
{
	p->retired = true;
	pg_pool_run(p);
}

void pg_pool_free(struct pg_pool *p)
{
	p->running = p->ending = true;
	while (pg_linked(&p->conns)) {
		struct pg_conn *conn = PG_OF(p->conns.next, struct pg_conn, link);

		if (conn->call)
			pg_conn_abandon(conn, CH_SQL_UNAVAILABLE, "The server is about to stop.");
		else
			pg_conn_close(conn);
	}
	fail_waiting(p, CH_SQL_UNAVAILABLE, "The server is about to stop.");
	if (p->scratch)
		ch_db_gauges_say(&p->gauges, 0, 0, 0);
	ch_timer_free(p->timer);
	free(p->scratch);
	free(p);
}
