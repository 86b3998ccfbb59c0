/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_kv_op.c - a test plugin: one operation of "kv/1" for each request, in all of its forms, and what came of it. [t_kv_op] kv = an
 * instance id.
 *
 *   GET /kv/{op}?key=a&…     op: get, set, del, add, take, settle
 *
 * The query says the rest, as in struct ch_kv_args and ch_kv_bucket: value, bytes (in place of value: so many), when, version, ttl, delta,
 * timeout; burst, count, period, cost, or holder and hold; keys=N: so many buckets, key0, key1, …. nobody=1: with ticket 0. cancel=1:
 * given up at once. The answer is a JSON object: error (a name), detail, done, n and value (when short), version, ttl, number, levels
 * [[passes, left, wait, full], …], again (it was not answered at once), us (how long it took).
 *
 * Threads and ownership: everything on the request's loop.
 */
#include <chimera/kv.h>

#include "query.h"

struct t_kv_op_conf {
	const struct ch_svc *kv;
};

enum { SHOWN = 200 };

static const char *const errors[] = { "ok", "bad_request", "wrong_kind", "range", "full", "no_memory", "unavailable", "unknown",
	"cancelled" };

struct call {
	const struct ch_svc *svc;
	struct ch_kv_result out;
	int64_t began;
	bool again;
};

static int answer(struct ch_ctx *c, struct call *call)
{
	const struct ch_kv_result *r = &call->out;
	char *levels = ch_dup(c, "", 0), *value = ch_dup(c, r->value.p, r->value.n <= SHOWN ? r->value.n : 0);
	char *text;

	for (size_t i = 0; i < r->levels.n; i++) {
		const struct ch_kv_level *l = ch_kv_level_at(r, i);

		levels = ch_print(c, "%s%s[%s,%lld,%lld,%lld]", levels, i ? "," : "", l->passes ? "true" : "false", (long long)l->left,
			(long long)l->wait_ms, (long long)l->full_ms);
	}
	text = ch_print(c, "{\"error\":\"%s\",\"detail\":\"%s\",\"done\":%s,\"n\":%zu,\"value\":\"%s\",\"version\":\"%llu\",\"ttl\":%lld,"
		"\"number\":%lld,\"levels\":[%s],\"again\":%s,\"us\":%lld}", errors[r->error], r->detail ? r->detail : "", r->done ? "true" : "false",
		r->value.n, value, (unsigned long long)r->version, (long long)r->ttl_ms, (long long)r->number, levels,
		call->again ? "true" : "false", (long long)(ch_now() - call->began));
	return text ? ch_respond(c, 200, "application/json", text, strlen(text)) : CH_ERROR;
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct call *call = data;

	(void)result;
	if (why == CH_READY)
		return answer(c, call);
	((const struct ch_kv_v1 *)call->svc->vt)->cancel(call->svc, c, &call->out);
	return CH_DONE;
}

static struct ch_kv_bucket bucket_of(struct ch_ctx *c, struct ch_str key)
{
	struct ch_str holder = query_text(c, "holder");

	return (struct ch_kv_bucket){ .key = key, .kind = holder.n ? CH_KV_HOLDERS : CH_KV_TOKENS, .burst = query_int(c, "burst", 10),
		.count = query_int(c, "count", 1), .period_ms = query_int(c, "period", 3600000), .cost = query_int(c, "cost", 1),
		.holder = holder, .hold_ms = query_int(c, "hold", 60000) };
}

static int do_op(struct ch_ctx *c, struct call *call, ch_ticket ticket)
{
	const struct ch_kv_v1 *kv = call->svc->vt;
	struct ch_str op = ch_param(c, "op"), key = query_text(c, "key");
	struct ch_kv_args a = { .size = sizeof(a), .key = key, .value = query_text(c, "value"), .when = (int)query_int(c, "when", 0),
		.ttl_ms = query_int(c, "ttl", 0), .delta = query_int(c, "delta", 1), .timeout_ms = query_int(c, "timeout", 0) };
	struct ch_kv_bucket v[CH_KV_BUCKETS_MAX];
	struct ch_kv_take_args t = { .size = sizeof(t), .buckets = { v, 1, sizeof(v[0]) }, .timeout_ms = a.timeout_ms };
	int64_t bytes = query_int(c, "bytes", 0), keys = query_int(c, "keys", 0);
	struct ch_str version = query_text(c, "version");
	struct ch_kv_result *out = ticket ? &call->out : NULL;

	for (size_t i = 0; i < version.n; i++)
		a.version = a.version * 10 + (uint64_t)(version.p[i] - '0');
	if (bytes) {
		char *p = ch_alloc(c, (size_t)bytes);

		if (!p)
			return CH_ERROR;
		memset(p, 'x', (size_t)bytes);
		a.value = (struct ch_str){ p, (size_t)bytes };
	}
	v[0] = bucket_of(c, key);
	for (int64_t i = 0; i < keys && i < CH_KV_BUCKETS_MAX; i++) {
		char *name = ch_print(c, "%.*s%lld", (int)key.n, key.n ? key.p : "", (long long)i);

		v[i] = bucket_of(c, (struct ch_str){ name, strlen(name) });
		t.buckets.n = (size_t)i + 1;
	}
	if (op.n == 3 && !memcmp(op.p, "get", 3))
		return kv->get(call->svc, c, &a, out, ticket);
	if (op.n == 3 && !memcmp(op.p, "set", 3))
		return kv->set(call->svc, c, &a, out, ticket);
	if (op.n == 3 && !memcmp(op.p, "del", 3))
		return kv->del(call->svc, c, &a, out, ticket);
	if (op.n == 3 && !memcmp(op.p, "add", 3))
		return kv->add(call->svc, c, &a, out, ticket);
	if (op.n == 4 && !memcmp(op.p, "take", 4))
		return kv->take(call->svc, c, &t, out, ticket);
	return kv->settle(call->svc, c, &t, out, ticket);
}

static int get_kv(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_kv_op_conf *conf = self->conf;
	struct call *call = ch_alloc(c, sizeof(*call));
	bool nobody = query_int(c, "nobody", 0);
	ch_ticket ticket;
	int rc;

	if (!call)
		return CH_ERROR;
	*call = (struct call){ .svc = conf->kv, .out = { .size = sizeof(call->out) }, .began = ch_now() };
	ticket = nobody ? 0 : ch_suspend(c, 0, on_resumed, call);
	rc = do_op(c, call, ticket);
	if (rc == CH_AGAIN) {
		call->again = true;
		if (query_int(c, "cancel", 0))
			((const struct ch_kv_v1 *)conf->kv->vt)->cancel(conf->kv, c, &call->out);
		return CH_AGAIN;
	}
	ch_unsuspend(ticket);
	return rc == CH_OK ? answer(c, call) : CH_ERROR;
}

static const struct ch_option options[] = {
	CH_OPT(struct t_kv_op_conf, kv, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "kv/1", .help = "Where to ask"),
};
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/kv/{op}", .cls = CH_OPEN, .fn = get_kv, .summary = "One operation of kv/1" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_kv_op",
	.version = "0.1",
	.summary = "Asks a kv/1",
	.conf_size = sizeof(struct t_kv_op_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_kv_op, plugin)
