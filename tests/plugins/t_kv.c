/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_kv.c - a test plugin: one operation of kv/1 for each request.
 *
 *   POST /t/kv/get?key=K
 *   POST /t/kv/set?key=K&ttl=MS&when=0|1    the body is the value
 *   POST /t/kv/add?key=K&delta=N&ttl=MS
 *   POST /t/kv/take?key=K&burst=N&count=N&period=MS&cost=N    a second bucket with &key2=, of the same numbers
 *   POST /t/kv/settle?…                                       the same
 *
 * The answer: {"at_once", "error", "done", "number", "ttl", "left", "wait", "full"} and "value" where it is text without quotes.
 */
#include <chimera/kv.h>

#include "query.h"

struct t_kv_conf {
	const struct ch_svc *target;
};

struct ask {
	const struct ch_svc *svc;
	struct ch_kv_result out;
	bool at_once;
};

static int answer(struct ch_ctx *c, const struct ask *ask)
{
	static const struct ch_kv_level none;
	const struct ch_kv_result *r = &ask->out;
	const struct ch_kv_level *l = ch_kv_level_at(r, 0);
	const char *text;

	l = l ? l : &none;
	text = ch_print(c, "{\"at_once\":%s,\"error\":%d,\"done\":%s,\"number\":%lld,\"ttl\":%lld,\"left\":%lld,\"wait\":%lld,\"full\":%lld,"
		"\"value\":\"%.*s\"}", ask->at_once ? "true" : "false", r->error, r->done ? "true" : "false", (long long)r->number,
		(long long)r->ttl_ms, (long long)l->left, (long long)l->wait_ms, (long long)l->full_ms, (int)r->value.n,
		r->value.n ? r->value.p : "");
	return text ? ch_respond(c, 200, "application/json", text, strlen(text)) : CH_ERROR;
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct ask *ask = data;

	(void)result;
	if (why == CH_READY)
		return answer(c, ask);
	((const struct ch_kv_v1 *)ask->svc->vt)->cancel(ask->svc, c, &ask->out);
	return why == CH_GONE ? CH_DONE : ch_refuse(c, CH_E_UNAVAILABLE, 1000, "The store did not answer in time.");
}

static int call(struct ch_ctx *c, struct ask *ask, const char *what, ch_ticket t)
{
	const struct ch_kv_v1 *kv = ask->svc->vt;
	struct ch_kv_args a = { .size = sizeof(a), .key = query_text(c, "key"), .value = ch_body(c), .when = (int)query_int(c, "when", 0),
		.ttl_ms = query_int(c, "ttl", 0), .delta = query_int(c, "delta", 1) };
	struct ch_kv_bucket v[2];
	struct ch_kv_take_args take = { sizeof(take), { v, 1, sizeof(v[0]) }, 0 };

	v[0] = (struct ch_kv_bucket){ .key = a.key, .burst = query_int(c, "burst", 1), .count = query_int(c, "count", 1),
		.period_ms = query_int(c, "period", 3600000), .cost = query_int(c, "cost", 1) };
	v[1] = v[0];
	v[1].key = query_text(c, "key2");
	take.buckets.n += v[1].key.n != 0;
	if (!strcmp(what, "get"))
		return kv->get(ask->svc, c, &a, &ask->out, t);
	if (!strcmp(what, "set"))
		return kv->set(ask->svc, c, &a, &ask->out, t);
	if (!strcmp(what, "add"))
		return kv->add(ask->svc, c, &a, &ask->out, t);
	return strcmp(what, "take") ? kv->settle(ask->svc, c, &take, &ask->out, t) : kv->take(ask->svc, c, &take, &ask->out, t);
}

static int post(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_kv_conf *conf = self->conf;
	struct ask *ask = ch_alloc(c, sizeof(*ask));
	const char *what = ch_dup(c, ch_param(c, "what").p, ch_param(c, "what").n);
	ch_ticket t;
	int rc;

	if (!ask || !what)
		return CH_ERROR;
	ask->svc = conf->target;
	ask->out.size = sizeof(ask->out);
	t = ch_suspend(c, 0, on_resumed, ask);
	if (!t)
		return CH_ERROR;
	rc = call(c, ask, what, t);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(t);
	ask->at_once = true;
	return rc == CH_OK ? answer(c, ask) : CH_ERROR;
}

static const struct ch_option options[] = {
	CH_OPT(struct t_kv_conf, target, SERVICE, .flags = CH_O_REQUIRED, .iface = "kv/1", .def = "auto", .help = "The store"),
};

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/t/kv/{what}", .body = CH_BODY_BUFFER, .max_body = CH_KV_VALUE_MAX + 1, .fn = post,
		.summary = "One operation" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_kv",
	.version = "0.1",
	.summary = "Tests kv/1",
	.conf_size = sizeof(struct t_kv_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_kv, plugin)
