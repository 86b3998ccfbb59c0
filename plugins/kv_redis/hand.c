/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hand.c - a connection and its handshake, one round trip: AUTH, SELECT, ROLE, and a trial: a get, which shows whether scripts run and
 * the keys are ours. The password goes from its secret memory to the kernel, past hiredis' buffers, which are neither wiped nor kept out
 * of dumps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "kv_redis.h"

enum step { AUTH, SELECT, ROLE, TRIAL };

static const char *const role_faults[][2] = {
	{ "slave", "is a read-only replica; let url name the master, or use sentinels" },
	{ "sentinel", "is a Sentinel; name it in sentinels, and the master's name in master" },
};

/* Where it is, for people. */
static const char *place(const struct kr_lane *lane, char *out, size_t cap)
{
	if (lane->wire.ac && lane->wire.ac->c.connection_type == REDIS_CONN_UNIX)
		snprintf(out, cap, "Redis at %s", kr_state_of(lane->l)->url.path);
	else
		snprintf(out, cap, "Redis at %s:%d", lane->address, lane->port);
	return out;
}

static void fall(struct kr_lane *lane, enum kr_trouble t, const char *why)
{
	char text[320];

	kr_lane_fall(lane, t, "%s %s.", place(lane, text, sizeof(text)), why);
}

static void fall_by(struct kr_lane *lane, enum kr_trouble t)
{
	char text[320];

	kr_lane_fall(lane, t, "%s does not serve: %s", place(lane, text, sizeof(text)), kr_troubles[t].detail);
}

static void judge_auth(struct kr_lane *lane, const redisReply *r)
{
	if (r->type == REDIS_REPLY_STATUS)
		return;
	if (r->type == REDIS_REPLY_ERROR && kr_error_read(r->str, r->len) == KR_AUTH)
		fall(lane, KR_AUTH, "refuses the password (WRONGPASS); correct user and password, or what stands for them in url");
	else
		fall(lane, KR_AUTH, "does not take our AUTH: it has no such user, or no password at all; correct user and password");
}

static void judge_select(struct kr_lane *lane, const redisReply *r)
{
	enum kr_trouble t = r->type == REDIS_REPLY_ERROR ? kr_error_read(r->str, r->len) : KR_GARBAGE;

	if (r->type == REDIS_REPLY_STATUS)
		return;
	if (t == KR_SCRIPT)
		fall(lane, KR_REFUSED, "has no database of that number; correct the end of url");
	else
		fall_by(lane, t);
}

static void judge_role(struct kr_lane *lane, const redisReply *r)
{
	bool needed = kr_conf_of(lane->l)->sentinels.n > 0;
	enum kr_trouble t = r->type == REDIS_REPLY_ERROR ? kr_error_read(r->str, r->len) : KR_GARBAGE;

	if (r->type == REDIS_REPLY_ERROR && (t == KR_DENIED || t == KR_SCRIPT)) { /* not permitted, or not known */
		if (needed)
			fall(lane, KR_DENIED, "does not let us ask for its ROLE, which Sentinel needs; allow +role in the ACL");
		return;
	}
	if (r->type != REDIS_REPLY_ARRAY || !r->elements || r->element[0]->type != REDIS_REPLY_STRING) {
		fall_by(lane, t);
		return;
	}
	for (size_t i = 0; i < sizeof(role_faults) / sizeof(role_faults[0]); i++)
		if (!strcmp(r->element[0]->str, role_faults[i][0]))
			fall(lane, KR_READONLY, role_faults[i][1]);
}

static void judge_trial(struct kr_lane *lane, const redisReply *r)
{
	enum kr_trouble t = KR_GARBAGE;

	if (r->type == REDIS_REPLY_STRING)
		kr_mark_read(r->str, r->len, &t);
	else if (r->type == REDIS_REPLY_ERROR)
		t = kr_error_read(r->str, r->len);
	if (kr_troubles[t].fails) {
		fall_by(lane, t);
		return;
	}
	lane->loaded[KR_S_GET] = true;
	kr_lane_ready(lane);
}

static void on_hand(redisAsyncContext *ac, void *reply, void *data)
{
	static void (*const judges[])(struct kr_lane *, const redisReply *) = {
		[AUTH] = judge_auth, [SELECT] = judge_select, [ROLE] = judge_role, [TRIAL] = judge_trial,
	};
	struct kr_lane *lane = KR_OF(ac->data, struct kr_lane, wire);
	const redisReply *r = reply;

	if (!r || lane->state != KR_CONNECTING || lane->wire.doomed)
		return;
	if (r->type == REDIS_REPLY_ERROR && strstr(r->str, "max number of clients"))
		fall(lane, KR_BUSY, "has no place for one more client; raise its maxclients");
	else
		judges[(intptr_t)data](lane, r);
}

static bool say(struct kr_lane *lane, enum step step, const char *p, size_t n)
{
	return kr_lane_give(lane, on_hand, (void *)(intptr_t)step, p, n);
}

static bool trial(struct kr_lane *lane)
{
	const struct kr_script *s = &kr_scripts[KR_S_GET];
	const char *prefix = kr_conf_of(lane->l)->key_prefix;
	size_t cap = s->n + strlen(prefix) + 128;
	char *text = malloc(cap);
	int n;
	bool ok;

	if (!text)
		return false;
	n = snprintf(text, cap, "*4\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n$1\r\n1\r\n$%zu\r\n%skv_redis:trial\r\n", s->n, s->text,
		strlen(prefix) + strlen("kv_redis:trial"), prefix);
	ok = say(lane, TRIAL, text, (size_t)n);
	free(text);
	return ok;
}

static void shake(struct kr_lane *lane)
{
	const struct kr_state *state = kr_state_of(lane->l);
	static const char role[] = "*1\r\n$4\r\nROLE\r\n", auth[] = "*1\r\n$4\r\nAUTH\r\n";
	char select[64], database[16];
	int nd = snprintf(database, sizeof(database), "%d", state->url.database);
	int n = snprintf(select, sizeof(select), "*2\r\n$6\r\nSELECT\r\n$%d\r\n%s\r\n", nd, database);
	bool ok = true;

	if (lane->wire.ac->c.connection_type == REDIS_CONN_TCP)
		redisEnableKeepAlive(&lane->wire.ac->c);
	if (state->auth.n) {
		/* A new socket takes it whole. hiredis is told of the command, and given no bytes of it. */
		ok = send(lane->wire.ac->c.fd, state->auth.p, state->auth.n, MSG_NOSIGNAL) == (ssize_t)state->auth.n &&
			redisAsyncFormattedCommand(lane->wire.ac, on_hand, (void *)(intptr_t)AUTH, auth, 0) == REDIS_OK;
	}
	if (ok && state->url.database)
		ok = say(lane, SELECT, select, (size_t)n);
	if (!ok || !say(lane, ROLE, role, sizeof(role) - 1) || !trial(lane))
		fall(lane, KR_LOST, "ended the connection before we had said who we are");
}

static void on_connect(const redisAsyncContext *ac, int status)
{
	struct kr_lane *lane = KR_OF(ac->data, struct kr_lane, wire);
	char why[200];

	if (status == REDIS_OK) {
		shake(lane);
		return;
	}
	snprintf(why, sizeof(why), "cannot be reached: %s", *ac->c.errstr ? ac->c.errstr : "the connection was refused");
	fall(lane, KR_DOWN, why);
}

void kr_hand_dial(struct kr_lane *lane, const char *address, int port)
{
	const char *path = kr_state_of(lane->l)->url.path;
	redisAsyncContext *ac = address ? redisAsyncConnect(address, port) : redisAsyncConnectUnix(path);

	snprintf(lane->address, sizeof(lane->address), "%s", address ? address : path);
	lane->port = port;
	lane->wire.given = lane->wire.offered = 0;
	memset(lane->loaded, 0, sizeof(lane->loaded));
	if (!ac || ac->err || !kr_adapt(&lane->wire, ac)) {
		kr_lane_fall(lane, KR_DOWN, "Redis at %s cannot be reached: %s.", lane->address, ac && ac->err ? ac->c.errstr : "no memory is left");
		if (ac && !lane->wire.ac)
			redisAsyncFree(ac);
		return;
	}
	redisAsyncSetConnectCallback(ac, on_connect);
}

void kr_hand_found(struct kr_lane *lane, const char *address, int port, const char *fault)
{
	if (address)
		kr_hand_dial(lane, address, port);
	else
		kr_lane_fall(lane, KR_DOWN, "The host of Redis cannot be found: %s; correct its name in url, or the resolver.", fault);
}
