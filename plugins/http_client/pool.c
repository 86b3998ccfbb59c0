/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - a loop's hosts and connections: who gets which, who waits, what is closed when.
 *
 * A host's connections that are being made, busy or idle count against its share. The youngest idle one is taken first, so that in quiet
 * times the oldest run out. A call that finds no place waits, first come first served; its connect timeout runs on.
 *
 * One timer serves all calls and idle connections: each knows its own time, `next_due` is never later than the nearest of them, and the
 * tick looks at all. So what makes an answer move costs a clock and a store, no timer.
 */
#include <stdlib.h>
#include <unistd.h>

#include "http_client.h"

#define QUIET 50000 /* microseconds that a connection is idle before it is looked at once more when it is taken */

size_t hc_share(const struct hc_pool *p, enum hc_setting s)
{
	size_t total = (size_t)hc_set(p, s), n = hc_state(p)->loops, i = ch_loop_index(p->loop);
	size_t share = total / n + (i < total % n);

	return share ? share : 1;
}

/* ---- time ---- */

static int64_t call_due(const struct hc_call *call)
{
	return call->phase_due < call->total_due ? call->phase_due : call->total_due;
}

static int64_t nearer(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void on_time(void *data)
{
	struct hc_pool *p = data;
	struct hc_link due, *l, *next;
	int64_t now = hc_clock(p), first = INT64_MAX;

	p->next_due = INT64_MAX;
	hc_link_init(&due);
	for (l = p->calls.next; l != &p->calls; l = next) {
		struct hc_call *call = HC_OF(l, struct hc_call, link);

		next = l->next;
		if (call_due(call) <= now) {
			hc_unlink(l);
			hc_link_last(&due, l);
		} else {
			first = nearer(first, call_due(call));
		}
	}
	while (hc_linked(&due)) /* one that ends may end others: each takes itself out */
		hc_call_timeout(HC_OF(due.next, struct hc_call, link));
	for (l = p->idle.next; l != &p->idle; l = next) {
		struct hc_conn *conn = HC_OF(l, struct hc_conn, link);

		next = l->next;
		if (conn->expires <= now)
			hc_conn_free(conn);
		else
			first = nearer(first, conn->expires);
	}
	for (l = p->hubs.next; l != &p->hubs; l = next) { /* each has descriptors of its own */
		struct hc_hub *hub = HC_OF(l, struct hc_hub, link);

		next = l->next;
		if (!hub->jobs && hub->until <= now)
			hc_hub_free(hub);
		else if (!hub->jobs)
			first = nearer(first, hub->until);
	}
	hc_pool_due(p, nearer(first, hc_hosts_forget(p, now)));
}

void hc_pool_due(struct hc_pool *p, int64_t due)
{
	int64_t us;

	if (due >= p->next_due)
		return;
	p->next_due = due;
	us = due - p->now;
	ch_timer_set(p->timer, us > 0 ? (us + 999) / 1000 : 0);
}

/* ---- places ---- */

void hc_host_serve(struct hc_host *h)
{
	if (!h->nwaiting || hc_linked(&h->serve))
		return;
	hc_link_last(&h->pool->serve, &h->serve);
	hc_pool_later(h->pool);
}

/* The youngest idle connection that has not run out, taken out of the idle ones. */
static struct hc_conn *take(struct hc_host *h)
{
	while (hc_linked(&h->idle)) {
		struct hc_conn *conn = HC_OF(h->idle.next, struct hc_conn, host_link);

		if (conn->expires <= h->pool->now || (h->pool->now - conn->parked > QUIET && !hc_conn_is_quiet(conn))) {
			hc_conn_free(conn);
			continue;
		}
		hc_unlink(&conn->host_link);
		hc_unlink(&conn->link);
		h->pool->nidle--;
		ch_add(hc_m(h->pool)->idle, -1);
		return conn;
	}
	return NULL;
}

static void wait_for_place(struct hc_call *call)
{
	struct hc_host *h = call->host;
	struct hc_pool *p = call->pool;

	if (p->nwaiting >= hc_share(p, HC_MAX_WAITING)) {
		hc_call_fail(call, CH_HTTP_BUSY,
			"All connections to %s are in use, and as many calls as max_waiting allows wait for one; "
			"raise max_connections_per_host, or ask less.", h->name);
		return;
	}
	call->phase = HC_WAITING;
	hc_pool_due(p, call->phase_due);
	hc_link_last(&h->waiting, &call->wait_link);
	h->nwaiting++;
	p->nwaiting++;
	ch_add(hc_m(p)->waiting, 1);
}

void hc_pool_unwait(struct hc_call *call)
{
	if (!hc_linked(&call->wait_link))
		return;
	hc_unlink(&call->wait_link);
	call->host->nwaiting--;
	call->pool->nwaiting--;
	ch_add(hc_m(call->pool)->waiting, -1);
}

void hc_pool_enter(struct hc_call *call)
{
	if (hc_linked(&call->host->waiting)) /* not before those that came first */
		wait_for_place(call);
	else
		hc_pool_place(call, false);
}

/* May one more connection be made? Not while the first finds out which HTTP the host speaks. */
static bool has_place(const struct hc_host *h)
{
	return !h->probe && h->nconns < hc_share(h->pool, HC_MAX_CONNECTIONS_PER_HOST);
}

void hc_pool_place(struct hc_call *call, bool fresh)
{
	struct hc_host *h = call->host;
	struct hc_conn *conn = fresh || hc_h2_wanted(call) ? NULL : take(h);

	if (fresh && !has_place(h) && hc_linked(&h->idle)) /* those it must not have make room for one that it may have */
		hc_conn_free(HC_OF(h->idle.prev, struct hc_conn, host_link));
	if (conn)
		hc_conn_use(conn, call);
	else if (hc_h2_wanted(call))
		hc_h2_begin(call);
	else if (has_place(h))
		hc_dial(call);
	else
		wait_for_place(call);
}

/* ---- the end of a turn ---- */

static struct hc_call *first_waiting(const struct hc_host *h)
{
	return HC_OF(h->waiting.next, struct hc_call, wait_link);
}

/* As many of the host's waiting calls as there are places for. */
static void serve(struct hc_host *h)
{
	h->refs++;
	while (hc_linked(&h->waiting) && (hc_linked(&h->idle) || has_place(h) || hc_h2_wanted(first_waiting(h)))) {
		struct hc_call *call = first_waiting(h);

		hc_pool_unwait(call);
		hc_pool_place(call, call->repeated);
		if (hc_linked(&call->wait_link))
			break; /* what there is, is not for it */
	}
	hc_host_put(h);
}

static void pool_free(struct hc_pool *p);

static void on_turn_end(void *data)
{
	struct hc_pool *p = data;
	struct hc_link now;

	p->later = false;
	if (!p->users) {
		pool_free(p);
		return;
	}
	hc_clock(p);
	hc_link_init(&now);
	hc_link_move_all(&now, &p->again);
	while (hc_linked(&now)) {
		struct hc_call *call = HC_OF(now.next, struct hc_call, again_link);

		hc_unlink(&call->again_link);
		hc_call_go_on(call);
	}
	hc_link_move_all(&now, &p->serve);
	while (hc_linked(&now)) {
		struct hc_host *h = HC_OF(now.next, struct hc_host, serve);

		hc_unlink(&h->serve);
		serve(h);
	}
}

void hc_pool_later(struct hc_pool *p)
{
	if (p->later)
		return;
	p->later = true;
	ch_turn_end(p->loop, on_turn_end, p);
}

void hc_pool_again(struct hc_call *call)
{
	hc_unlink(&call->again_link);
	hc_link_last(&call->pool->again, &call->again_link);
	hc_pool_later(call->pool);
}

/* ---- connections ---- */

struct hc_conn *hc_conn_new(struct hc_host *h, struct hc_call *call)
{
	struct hc_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->pool = h->pool;
	conn->host = h;
	conn->call = call;
	conn->tls = h->tls;
	conn->fd = -1;
	hc_link_init(&conn->link);
	hc_link_init(&conn->host_link);
	h->nconns++;
	h->refs++;
	ch_add(hc_m(h->pool)->open, 1);
	return conn;
}

void hc_conn_free(struct hc_conn *conn)
{
	struct hc_host *h = conn->host;
	struct hc_pool *p = conn->pool;

	if (hc_linked(&conn->link)) {
		hc_unlink(&conn->link);
		p->nidle--;
		ch_add(hc_m(p)->idle, -1);
	}
	hc_unlink(&conn->host_link);
	ch_watch_free(conn->watch);
	hc_hub_remove(&conn->job);
	curl_easy_cleanup(conn->job.easy); /* with TLS, or not made yet: closes the descriptor, see dial.c */
	curl_slist_free_all(conn->resolve);
	if (conn->fd >= 0 && !conn->tls)
		close(conn->fd);
	ch_add(hc_m(p)->open, -1);
	free(conn->errors);
	if (h->probe == conn)
		h->probe = NULL;
	free(conn);
	h->nconns--;
	hc_host_serve(h);
	hc_host_put(h);
}

void hc_conn_park(struct hc_conn *conn, int64_t ms)
{
	struct hc_pool *p = conn->pool;

	conn->call = NULL;
	conn->used = true;
	if (p->retired || ms <= 0) {
		hc_conn_free(conn);
		return;
	}
	conn->parked = p->now;
	conn->expires = p->now + ms * 1000;
	hc_link_after(&conn->host->idle, &conn->host_link);
	hc_link_last(&p->idle, &conn->link);
	p->nidle++;
	ch_add(hc_m(p)->idle, 1);
	hc_pool_due(p, conn->expires);
	hc_host_serve(conn->host);
	if (p->nidle > hc_share(p, HC_MAX_IDLE_CONNECTIONS))
		hc_conn_free(HC_OF(p->idle.next, struct hc_conn, link));
}

/* ---- life ---- */

struct hc_pool *hc_pool_new(struct ch_self *self, struct ch_loop *l)
{
	struct hc_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->loop = l;
	p->next_due = INT64_MAX;
	hc_clock(p);
	hc_link_init(&p->calls);
	hc_link_init(&p->idle);
	hc_link_init(&p->hubs);
	hc_link_init(&p->kept);
	hc_link_init(&p->again);
	hc_link_init(&p->serve);
	for (size_t i = 0; i < sizeof(p->hosts) / sizeof(p->hosts[0]); i++)
		hc_link_init(&p->hosts[i]);
	p->timer = ch_timer(l, on_time, p);
	p->scratch = malloc(HC_SCRATCH);
	p->share = curl_share_init();
	if (!p->timer || !p->scratch || !p->share || !hc_pool_join(p, self)) {
		pool_free(p);
		return NULL;
	}
	curl_share_setopt(p->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	return p;
}

static void pool_free(struct hc_pool *p)
{
	ch_timer_free(p->timer);
	curl_share_cleanup(p->share);
	free(p->scratch);
	free(p);
}

bool hc_pool_join(struct hc_pool *p, struct ch_self *self)
{
	struct hc_user *u = malloc(sizeof(*u));

	if (!u)
		return false;
	*u = (struct hc_user){ p->users, self };
	p->users = u;
	return true;
}

void hc_pool_retire(struct hc_pool *p)
{
	p->retired = true;
	hc_clock(p);
	while (hc_linked(&p->idle))
		hc_conn_free(HC_OF(p->idle.next, struct hc_conn, link));
	hc_hosts_forget(p, INT64_MAX);
}

void hc_pool_leave(struct hc_pool *p, struct ch_self *self)
{
	struct hc_user **at = &p->users, *u;

	while ((*at)->self != self)
		at = &(*at)->next;
	if (p->users->next) {
		u = *at;
		*at = u->next;
		free(u);
		return;
	}
	hc_pool_retire(p); /* no call is left, so no connection is */
	while (hc_linked(&p->hubs))
		hc_hub_free(HC_OF(p->hubs.next, struct hc_hub, link));
	free(p->users);
	p->users = NULL;
	ch_timer_free(p->timer);
	p->timer = NULL;
	if (!p->later) /* else at the end of the turn, that is ours */
		pool_free(p);
}
