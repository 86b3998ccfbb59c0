/* SPDX-License-Identifier: Apache-2.0 */
/* ops.c - the operations of "kv/1": arguments into a command. On the loop of the ctx. */
#include <stdio.h>
#include <string.h>

#include "kv_redis.h"

static struct kr_loop *loop_of(const struct ch_svc *svc, struct ch_ctx *c)
{
	return *ch_loop_state(svc->self, ch_loop(c));
}

static struct ch_str prefix_of(const struct ch_svc *svc)
{
	const struct kr_conf *conf = svc->self->conf;

	return (struct ch_str){ conf->key_prefix, strlen(conf->key_prefix) };
}

static int64_t timeout_of(const struct ch_svc *svc, int64_t asked, bool big)
{
	const struct kr_conf *conf = svc->self->conf;

	return asked > 0 ? asked : big ? conf->value_timeout : conf->timeout;
}

static const char *args_fault(const struct ch_kv_args *a)
{
	if (!a->key.n || a->key.n > CH_KV_KEY_MAX)
		return "A key has 1 to 512 bytes.";
	if (a->value.n > CH_KV_VALUE_MAX)
		return "A value has at most 2 MiB.";
	if (a->ttl_ms < 0 || a->ttl_ms > CH_KV_MS_MAX)
		return "A TTL is at most 366 days, and 0 for none.";
	if (a->when < CH_KV_ALWAYS || a->when > CH_KV_IF_VERSION || (a->when == CH_KV_IF_VERSION && !a->version))
		return "The condition is none that there is.";
	return NULL;
}

/* A call for an operation on one key; or NULL, and *out says why not. */
static struct kr_call *begin(const struct ch_svc *svc, struct ch_ctx *c, const char *fault, struct ch_kv_result *out, int op)
{
	struct kr_loop *l = loop_of(svc, c);
	struct kr_call *call;

	if (fault) {
		kr_refuse(svc->self, out, KR_BAD_REQUEST, fault);
		return NULL;
	}
	l = l && l->self ? l : NULL; /* else it has ended */
	call = l ? kr_call_new(l, op) : NULL;
	if (!call)
		kr_refuse(svc->self, out, l ? KR_CROWDED : KR_DOWN, NULL);
	return call;
}

/* The key, by which a value that is too long for a script is asked for. */
static void key_word(struct kr_call *call, struct ch_str prefix, struct ch_str key)
{
	call->key = call->n;
	kr_word_of_two(call, prefix, key);
	call->key_end = call->n;
}

static void version_word(struct kr_call *call, uint64_t version)
{
	char text[17];

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)version);
	kr_word(call, text, 16);
}

static int get(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	struct kr_call *call = begin(svc, c, args_fault(a), out, KR_GET);

	if (!call)
		return CH_OK;
	kr_command(call, KR_S_GET, 1, 0);
	key_word(call, prefix_of(svc), a->key);
	return kr_call_begin(call, c, out, t, timeout_of(svc, a->timeout_ms, false), false);
}

static int set(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	struct kr_call *call = begin(svc, c, args_fault(a), out, KR_SET);
	bool big = a->value.n > KR_SMALL;
	char head[KR_VALUE_HEAD + 1], there[48];
	struct ch_str prefix = prefix_of(svc), upload = { there, 0 };

	if (!call)
		return CH_OK;
	/* Random: no clock and no counter that Redis might forget tells it, so it never comes again, behind a delete or a restart either. */
	while (!call->version)
		call->version = ch_random();
	call->ttl_ms = a->ttl_ms;
	snprintf(head, sizeof(head), "v%016llx%09llx", (unsigned long long)call->version, (unsigned long long)a->ttl_ms);
	if (big) {
		upload.n = (size_t)snprintf(there, sizeof(there), "kv_redis:upload:%016llx", (unsigned long long)call->version);
		kr_upload(call, prefix, upload, (struct ch_str){ head, KR_VALUE_HEAD }, a->value);
	}
	kr_command(call, KR_S_SET, 1 + big, 4 - big);
	key_word(call, prefix, a->key);
	if (big)
		kr_word_of_two(call, prefix, upload);
	kr_word_number(call, a->when);
	version_word(call, a->version);
	kr_word_number(call, a->ttl_ms);
	if (!big)
		kr_word_of_two(call, (struct ch_str){ head, KR_VALUE_HEAD }, a->value);
	return kr_call_begin(call, c, out, t, timeout_of(svc, a->timeout_ms, big), big);
}

static int del(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	const char *fault = a->when == CH_KV_IF_ABSENT ? "What is absent cannot be deleted." : args_fault(a);
	struct kr_call *call = begin(svc, c, fault, out, KR_DEL);

	if (!call)
		return CH_OK;
	kr_command(call, KR_S_DEL, 1, 2);
	key_word(call, prefix_of(svc), a->key);
	kr_word_number(call, a->when);
	version_word(call, a->version);
	return kr_call_begin(call, c, out, t, timeout_of(svc, a->timeout_ms, false), false);
}

static int add(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	const char *fault = args_fault(a);
	struct kr_call *call;

	if (!fault && (a->delta > CH_KV_NUMBER_MAX || a->delta < -CH_KV_NUMBER_MAX))
		fault = "What is added is 2^53 at most, in both directions.";
	call = begin(svc, c, fault, out, KR_ADD);
	if (!call)
		return CH_OK;
	call->bare = !a->delta;
	kr_command(call, KR_S_ADD, 1, 2);
	kr_word_of_two(call, prefix_of(svc), a->key);
	kr_word_number(call, a->delta);
	kr_word_number(call, a->ttl_ms);
	return kr_call_begin(call, c, out, t, timeout_of(svc, a->timeout_ms, false), false);
}

static int change(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out, ch_ticket t,
                  bool settles)
{
	struct kr_call *call = begin(svc, c, NULL, out, settles ? KR_SETTLE : KR_TAKE);
	const char *fault;

	if (!call)
		return CH_OK;
	fault = kr_buckets(call, prefix_of(svc), a, settles);
	if (!fault && t)
		call->levels = ch_alloc(c, call->nlevels * sizeof(*call->levels));
	if (fault || (t && !call->levels)) {
		kr_call_free(call);
		return kr_refuse(svc->self, out, fault ? KR_BAD_REQUEST : KR_MEMORY, fault);
	}
	return kr_call_begin(call, c, out, t, timeout_of(svc, a->timeout_ms, false), false);
}

static int take(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out, ch_ticket t)
{
	return change(svc, c, a, out, t, false);
}

static int settle(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out, ch_ticket t)
{
	return change(svc, c, a, out, t, true);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_kv_result *out)
{
	(void)svc, (void)c;
	if (out->call)
		kr_call_fail(out->call, KR_CANCELLED, NULL);
}

const struct ch_kv_v1 kr_vt = {
	.size = sizeof(kr_vt),
	.get = get,
	.set = set,
	.del = del,
	.add = add,
	.take = take,
	.settle = settle,
	.cancel = cancel,
};
