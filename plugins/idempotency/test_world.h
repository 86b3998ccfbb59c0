/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_world.h - the harness around idempotency: a plugin `works` whose routes do what the test says, and a kv/1 that the test looks into
 * and that answers at once, late or not at all.
 */
#ifndef IDEM_TEST_WORLD_H
#define IDEM_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/inference.h>
#include <chimera/kv.h>
#include <chimera/test.h>

#include "record.h"

CH_TEST_PLUGIN(idempotency);
CH_TEST_PLUGIN(works);

/* ---- the store ---- */

#define KEYS 16

struct pending {                          /* an operation that is not answered yet */
	bool there, cancelled;
	int what;
	struct ch_kv_args a;
	struct ch_kv_result *out;
	struct ch_ctx *c;
	ch_ticket ticket;
	char key[200], value[4096];
};

static struct store {
	struct { char key[200]; char *value; size_t n; uint64_t version; int64_t expires; } v[KEYS];
	uint64_t versions;
	int error;             /* what operations fail with */
	int64_t early;         /* its clock: milliseconds that TTLs end too early */
	bool late;             /* operations wait until store_answer */
	unsigned gets, sets, dels, cancels;
	struct pending p[8];
} store;

enum { GET, SET, DEL };

static int find_key(struct ch_str key)
{
	for (int i = 0; i < KEYS; i++)
		if (store.v[i].value && strlen(store.v[i].key) == key.n && !memcmp(store.v[i].key, key.p, key.n)) {
			if (!store.v[i].expires || store.v[i].expires > ch_now())
				return i;
			free(store.v[i].value);
			store.v[i].value = NULL;
		}
	return -1;
}

static void tell(struct ch_ctx *c, struct ch_kv_result *out, int i)
{
	char *copy = out && i >= 0 ? ch_dup(c, store.v[i].value, store.v[i].n) : NULL;

	if (!out || i < 0)
		return;
	if (!copy) {
		out->error = CH_KV_NO_MEMORY;
		return;
	}
	out->value = (struct ch_str){ copy, store.v[i].n };
	out->version = store.v[i].version;
	out->ttl_ms = store.v[i].expires ? (store.v[i].expires - ch_now() + 999) / 1000 : 0;
}

static void put(struct ch_str key, struct ch_str value, int64_t ttl_ms)
{
	int i = find_key(key);

	for (int k = 0; i < 0 && k < KEYS; k++)
		if (!store.v[k].value)
			i = k;
	assert_true(i >= 0);
	free(store.v[i].value);
	store.v[i].value = malloc(value.n + 1);
	memcpy(store.v[i].value, value.p, value.n);
	store.v[i].n = value.n;
	memcpy(store.v[i].key, key.p, key.n);
	store.v[i].key[key.n] = 0;
	store.v[i].version = ++store.versions;
	store.v[i].expires = ttl_ms ? ch_now() + (ttl_ms - store.early) * 1000 : 0;
}

static void act(int what, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out)
{
	int i = find_key(a->key);
	bool refused = a->when == CH_KV_IF_ABSENT ? i >= 0 : a->when == CH_KV_IF_VERSION && (i < 0 || store.v[i].version != a->version);

	/* As real ones do. */
	if (!a->key.n || a->key.n > CH_KV_KEY_MAX || (a->when == CH_KV_IF_VERSION && !a->version) || a->ttl_ms < 0 ||
			a->ttl_ms > CH_KV_MS_MAX) {
		if (out)
			out->error = CH_KV_BAD_REQUEST;
		return;
	}
	if (store.error) {
		if (out) {
			out->error = store.error;
			out->detail = "The store of the test is not well.";
		}
		return;
	}
	if (what == GET || refused) {
		tell(c, out, i);
		if (out && !out->error)
			out->done = what == GET && i >= 0;
		return;
	}
	if (what == SET)
		put(a->key, a->value, a->ttl_ms);
	else if (i >= 0) {
		free(store.v[i].value);
		store.v[i].value = NULL;
	}
	if (out) {
		out->done = what == SET || i >= 0;
		out->version = what == SET ? store.v[find_key(a->key)].version : 0;
	}
}

static int op(int what, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	(*(what == GET ? &store.gets : what == SET ? &store.sets : &store.dels))++;
	if (!store.late || !t) {
		act(what, c, a, out);
		return CH_OK;
	}
	for (size_t i = 0; i < 8; i++) {
		struct pending *p = &store.p[i];

		if (p->there)
			continue;
		*p = (struct pending){ .there = true, .what = what, .a = *a, .out = out, .c = c, .ticket = t };
		memcpy(p->key, a->key.p, a->key.n);
		assert_true(a->value.n <= sizeof(p->value));
		if (a->value.n)
			memcpy(p->value, a->value.p, a->value.n);
		p->a.key.p = p->key;
		p->a.value.p = p->value;
		return CH_AGAIN;
	}
	fail_msg("too many operations wait");
	return CH_ERROR;
}

/* Answers what waits. Inside ch_test_on_loop. */
static __attribute__((unused)) void store_answer(void *unused)
{
	(void)unused;
	for (size_t i = 0; i < 8; i++)
		if (store.p[i].there) {
			store.p[i].there = false;
			act(store.p[i].what, store.p[i].c, &store.p[i].a, store.p[i].out);
			ch_resume(store.p[i].ticket, NULL, NULL);
		}
}

static int kv_get(const struct ch_svc *s, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	(void)s;
	return op(GET, c, a, out, t);
}

static int kv_set(const struct ch_svc *s, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	(void)s;
	return op(SET, c, a, out, t);
}

static int kv_del(const struct ch_svc *s, struct ch_ctx *c, const struct ch_kv_args *a, struct ch_kv_result *out, ch_ticket t)
{
	(void)s;
	return op(DEL, c, a, out, t);
}

/* It happens all the same: the worst case of CH_KV_UNKNOWN. */
static void kv_cancel(const struct ch_svc *s, struct ch_ctx *c, struct ch_kv_result *out)
{
	(void)s;
	(void)c;
	store.cancels++;
	for (size_t i = 0; i < 8; i++)
		if (store.p[i].there && store.p[i].out == out) {
			store.p[i].there = false;
			act(store.p[i].what, store.p[i].c, &store.p[i].a, NULL);
			out->error = CH_KV_UNKNOWN;
			ch_resume(store.p[i].ticket, NULL, NULL);
		}
}

static const struct ch_kv_v1 kv = { .size = sizeof(kv), .get = kv_get, .set = kv_set, .del = kv_del, .cancel = kv_cancel };

/* The one record of a request's; its place, or -1: there is none. */
static __attribute__((unused)) int store_record(struct idem_record *r)
{
	for (int i = 0; i < KEYS; i++) {
		struct ch_str key = { store.v[i].key, 12 + 64 };

		if (!store.v[i].value || strlen(store.v[i].key) != key.n || find_key(key) < 0)
			continue;
		assert_true(idem_record_read((struct ch_str){ store.v[i].value, store.v[i].n }, r));
		return i;
	}
	return -1;
}

/* ---- what works ---- */

enum how { WHOLE, STREAM, BROKEN_STREAM, ABORTED, REFUSED, UPSTREAM, LATE };

static struct works {
	int how;
	int status;
	size_t bytes;          /* of the body: at least its text */
	unsigned calls, gone;
	struct ch_ctx *c;      /* LATE: the request that waits */
	ch_ticket ticket;
	bool begun;
	struct ch_inference_call call;
	struct ch_inference_result result;
} works;

static void fields(struct ch_ctx *c)
{
	char n[16];

	snprintf(n, sizeof(n), "%u", works.calls);
	ch_header_set(c, "X-Work", n);
	ch_header_set(c, "X-Request-Id", "mine");
	ch_header_set(c, "x-ratelimit-remaining-tokens", "17");
}

static int whole(struct ch_ctx *c)
{
	size_t n = works.bytes > 32 ? works.bytes : 32;
	char *body = malloc(n);

	memset(body, 'x', n);
	n = works.bytes ? n : (size_t)snprintf(body, n, "{\"work\":%u}", works.calls);
	fields(c);
	ch_respond(c, works.status ? works.status : 200, "application/json", body, n);
	free(body);
	return CH_DONE;
}

static int stream(struct ch_ctx *c)
{
	fields(c);
	ch_header_set(c, "Content-Type", "text/event-stream");
	ch_begin(c, 200);
	ch_write(c, "data: one\n\n", 11, NULL, NULL);
	if (works.how == ABORTED) {
		ch_abort(c);
		return CH_DONE;
	}
	if (works.how == BROKEN_STREAM)
		ch_facts(c)->code = "upstream_error";
	ch_write(c, "data: [DONE]\n\n", 14, NULL, NULL);
	ch_end(c);
	return CH_DONE;
}

static int on_asked(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)why;
	(void)result;
	return CH_DONE;
}

/* A question that the backend refuses with works.status. */
static int upstream(struct ch_ctx *c)
{
	works.call = (struct ch_inference_call){ .size = sizeof(works.call), .iface = "inference/1", .out = &works.result };
	works.result = (struct ch_inference_result){ .size = sizeof(works.result), .code = CH_E_BAD_REQUEST, .status = works.status };
	assert_int_equal(ch_call_hooks(c, &works.call, on_asked, NULL), CH_OK);
	ch_call_end(c);
	return whole(c);
}

static int on_late(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	works.c = NULL;
	if (why == CH_READY)
		return works.begun ? (ch_write(c, "data: end\n\n", 11, NULL, NULL), ch_end(c), CH_DONE) : whole(c);
	works.gone++;
	ch_unsuspend(works.ticket);
	return CH_DONE;
}

static int on_work(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	works.calls++;
	switch (works.how) {
	case WHOLE:
		return whole(c);
	case REFUSED:
		return ch_refuse(
			c, works.status == 422 ? CH_E_UNPROCESSABLE : CH_E_UNAVAILABLE, 0, "The work is refused, as the test says.");
	case UPSTREAM:
		return upstream(c);
	case LATE:
		works.c = c;
		works.begun = false;
		works.ticket = ch_suspend(c, 0, on_late, NULL);
		return CH_AGAIN;
	default:
		return stream(c);
	}
}

static int on_head(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	ch_header_set(c, "X-Trace", "of this request");
	return CH_OK;
}

static int on_response(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	ch_header_set(c, "X-Added", "as it leaves");
	return CH_OK;
}

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/work", .body = CH_BODY_BUFFER, .idempotent = true, .fn = on_work },
	{ .method = "GET", .pattern = "/work", .idempotent = true, .fn = on_work },
	{ .method = "POST", .pattern = "/work/{id}", .body = CH_BODY_BUFFER, .idempotent = true, .fn = on_work },
	{ .method = "POST", .pattern = "/plain", .body = CH_BODY_BUFFER, .fn = on_work },
};
static const struct ch_hook work_hooks[] = { { .phase = CH_P_HEADERS, .fn = on_head }, { .phase = CH_P_RESPONSE, .fn = on_response } };
static const struct ch_plugin works_plugin = {
	.size = sizeof(works_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "works",
	.version = "1",
	.summary = "does what the test says",
	.routes = CH_TABLE(routes),
	.hooks = CH_TABLE(work_hooks),
};
CH_PLUGIN(works, works_plugin)

/* ---- the world ---- */

#define KEY "Idempotency-Key: k1\n"
#define BODY "{\"n\":1}"

static struct ch_test *world_of(const char *options)
{
	struct ch_test *t = ch_test_new();
	char ini[512];

	for (int i = 0; i < KEYS; i++)
		free(store.v[i].value);
	memset(&store, 0, sizeof(store));
	memset(&works, 0, sizeof(works));
	ch_test_plugin(t, CH_TEST_ENTRY(idempotency));
	ch_test_plugin(t, CH_TEST_ENTRY(works));
	ch_test_service(t, "teststore", "kv/1", &kv, NULL);
	snprintf(ini, sizeof(ini), "[works]\n[idempotency]\n%s", options);
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	ch_test_advance(t, 0);
	store.sets = 0; /* it has said that it lives */
	return t;
}

static __attribute__((unused)) struct ch_test_answer *post(struct ch_test *t, const char *headers, const char *body)
{
	return ch_test_request(t, "POST", "/work", headers, body, strlen(body));
}

static __attribute__((unused)) void end_late(void *unused)
{
	(void)unused;
	assert_non_null(works.c);
	ch_resume(works.ticket, NULL, NULL);
}

static __attribute__((unused)) double conflicts(struct ch_test *t, const char *kind)
{
	return ch_test_metric(t, "chimera_idempotency_conflicts_total", kind, NULL);
}

#endif
