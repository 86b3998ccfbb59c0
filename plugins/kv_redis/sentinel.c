/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sentinel.c - who the master is: one Sentinel after the other is asked, each with its share of connect_timeout, and every attempt to
 * connect begins with another one. What it says may be old; hand.c asks the master for its role.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "kv_redis.h"

static void ask(struct kr_lane *lane);

/* This one is of no use. The next one is asked in a turn of its own, when hiredis has returned. */
static void next(struct kr_lane *lane, const char *why)
{
	char at[KR_PATH_MAX + 1];

	snprintf(at, sizeof(at), "%s", lane->address);
	kr_lookup_forget(lane);
	kr_drop(&lane->asks);
	lane->sentinel++;
	lane->asks_next = ++lane->asked < kr_conf_of(lane->l)->sentinels.n;
	if (lane->asks_next)
		ch_timer_set(lane->patience, 0);
	else
		kr_lane_fall(lane, KR_DOWN, "No Sentinel names a master: the last one asked, %s:%d, %s.", at, lane->port, why);
}

static void on_patience(void *data)
{
	struct kr_lane *lane = data;

	if (lane->asks_next)
		ask(lane);
	else
		next(lane, "did not answer in time");
}

static void lost(struct kr_wire *w, enum kr_trouble t)
{
	next(KR_OF(w, struct kr_lane, asks), t == KR_GARBAGE ? "answered what makes no sense" : "ended the connection");
}

static void on_auth(redisAsyncContext *ac, void *reply, void *data)
{
	(void)ac, (void)reply, (void)data; /* what it comes to is seen by the next answer */
}

static void on_master(redisAsyncContext *ac, void *reply, void *data)
{
	struct kr_lane *lane = KR_OF(ac->data, struct kr_lane, asks);
	const redisReply *r = reply;
	char host[KR_HOST_MAX + 1], text[KR_HOST_MAX + 16];
	int port, n;

	(void)data;
	if (!r || lane->asks.doomed || lane->state != KR_CONNECTING)
		return;
	if (r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[0]->type == REDIS_REPLY_STRING &&
	    r->element[1]->type == REDIS_REPLY_STRING && r->element[0]->len <= KR_HOST_MAX && r->element[1]->len < 6) {
		bool v6 = strchr(r->element[0]->str, ':');

		n = snprintf(text, sizeof(text), v6 ? "[%s]:%s" : "%s:%s", r->element[0]->str, r->element[1]->str);
		if (!kr_place_read(text, (size_t)n, 0, host, &port)) {
			ch_timer_set(lane->patience, -1);
			kr_drop(&lane->asks);
			if (!kr_lookup(lane, host, port, kr_hand_found))
				kr_lane_fall(lane, KR_MEMORY, "No memory is left for a connection to Redis.");
			return;
		}
	}
	if (r->type == REDIS_REPLY_ERROR && kr_error_read(r->str, r->len) == KR_AUTH)
		next(lane, "refuses the password; correct sentinel_password");
	else
		next(lane, r->type == REDIS_REPLY_NIL ? "knows no master of that name; correct master" : "answered what makes no sense");
}

static void on_connect(const redisAsyncContext *ac, int status)
{
	struct kr_lane *lane = KR_OF(ac->data, struct kr_lane, asks);
	const struct kr_secret *auth = &kr_state_of(lane->l)->sentinel_auth;
	const char *master = kr_conf_of(lane->l)->master;
	static const char word[] = "*1\r\n$4\r\nAUTH\r\n";
	char text[512];
	int n = snprintf(text, sizeof(text), "*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$%zu\r\n%s\r\n", strlen(master), master);
	bool ok = status == REDIS_OK;

	if (ok && auth->n) /* as in hand.c */
		ok = send(ac->c.fd, auth->p, auth->n, MSG_NOSIGNAL) == (ssize_t)auth->n &&
			redisAsyncFormattedCommand(lane->asks.ac, on_auth, NULL, word, 0) == REDIS_OK;
	if (!ok || redisAsyncFormattedCommand(lane->asks.ac, on_master, NULL, text, (size_t)n) != REDIS_OK)
		next(lane, "cannot be reached");
}

static void dial(struct kr_lane *lane, const char *address, int port, const char *fault)
{
	redisAsyncContext *ac = address ? redisAsyncConnect(address, port) : NULL;

	if (!address) {
		next(lane, fault);
		return;
	}
	lane->asks.lost = lost;
	lane->asks.most = KR_ROOM;
	snprintf(lane->address, sizeof(lane->address), "%s", address);
	lane->port = port;
	if (ac && !ac->err && kr_adapt(&lane->asks, ac)) {
		redisAsyncSetConnectCallback(ac, on_connect);
		return;
	}
	if (ac)
		redisAsyncFree(ac);
	next(lane, "cannot be reached");
}

static void ask(struct kr_lane *lane)
{
	const struct kr_conf *conf = kr_conf_of(lane->l);
	const struct ch_str *s = &conf->sentinels.v[lane->sentinel % conf->sentinels.n];
	char host[KR_HOST_MAX + 1];
	int port;

	lane->asks_next = false;
	ch_timer_set(lane->patience, conf->connect_timeout / (int64_t)(conf->sentinels.n + 1) + 1);
	kr_place_read(s->p, s->n, 26379, host, &port); /* check has looked at it */
	snprintf(lane->address, sizeof(lane->address), "%.*s", KR_PATH_MAX, host);
	lane->port = port;
	if (!kr_lookup(lane, host, port, dial))
		kr_lane_fall(lane, KR_MEMORY, "No memory is left for a connection to Sentinel.");
}

void kr_sentinel_ask(struct kr_lane *lane)
{
	if (!lane->patience)
		lane->patience = ch_timer(lane->l->loop, on_patience, lane);
	if (!lane->patience) {
		kr_lane_fall(lane, KR_MEMORY, "No memory is left for a connection to Sentinel.");
		return;
	}
	lane->asked = 0;
	lane->sentinel++;
	ask(lane);
}

void kr_sentinel_forget(struct kr_lane *lane)
{
	if (lane->patience)
		ch_timer_set(lane->patience, -1);
	kr_drop(&lane->asks);
}
