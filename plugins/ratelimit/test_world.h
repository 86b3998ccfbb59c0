/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_world.h - ratelimit between what the tests play themselves: `who`, which says who a client is by his header fields and has some
 * routes; `net`, a store that can be away, slow or broken before a real one (kv_memory); and `model`, a backend that says what the test
 * wants.
 */
#ifndef RATELIMIT_TEST_WORLD_H
#define RATELIMIT_TEST_WORLD_H

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

CH_TEST_PLUGIN(ratelimit);
CH_TEST_PLUGIN(kv_memory);

/* ---- the store ---- */

enum mode { NET_WELL = 0, NET_DOWN, NET_UNKNOWN, NET_LATER, NET_BROKEN };

static struct {
	const struct ch_svc *svc;          /* kv_memory's */
	int mode;
	unsigned takes, settles, cancels, nlast;
	struct ch_kv_bucket last[CH_KV_BUCKETS_MAX]; /* of the last take or settle; keys are in … */
	char keys[CH_KV_BUCKETS_MAX][CH_KV_KEY_MAX + 1];
	/* NET_LATER */
	struct ch_ctx *c;
	struct ch_kv_result *out;
	ch_ticket ticket;
	bool settling;
	struct ch_kv_bucket asked[CH_KV_BUCKETS_MAX];
	unsigned nasked;
} net;

static int net_note(const struct ch_kv_take_args *a, struct ch_kv_result *out, ch_ticket ticket, struct ch_ctx *c)
{
	const struct ch_kv_bucket *v = a->buckets.rows;

	net.nlast = (unsigned)a->buckets.n;
	for (size_t i = 0; i < a->buckets.n; i++) {
		net.last[i] = v[i];
		snprintf(net.keys[i], sizeof(net.keys[i]), "%.*s", (int)v[i].key.n, v[i].key.p);
		net.last[i].key = (struct ch_str){ net.keys[i], v[i].key.n };
	}
	if (net.mode == NET_BROKEN)
		return CH_ERROR;
	if (net.mode == NET_LATER && out) {
		net.c = c;
		net.out = out;
		net.ticket = ticket;
		net.nasked = net.nlast;
		memcpy(net.asked, v, net.nlast * sizeof(*v));
		return CH_AGAIN;
	}
	if ((net.mode == NET_DOWN || net.mode == NET_UNKNOWN) && out) {
		out->error = net.mode == NET_DOWN ? CH_KV_UNAVAILABLE : CH_KV_UNKNOWN;
		out->detail = "the line is cut";
	}
	return CH_OK;
}

static const struct ch_kv_v1 *net_real(void)
{
	return net.svc->vt;
}

static int net_take(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out, ch_ticket ticket)
{
	int rc = net_note(a, out, ticket, c);

	(void)svc;
	net.takes++;
	net.settling = false;
	if (net.mode == NET_UNKNOWN) { /* it arrived, and the answer was lost */
		struct ch_kv_result lost = { .size = sizeof(lost) };

		return net_real()->take(net.svc, c, a, &lost, ticket);
	}
	return net.mode == NET_WELL ? net_real()->take(net.svc, c, a, out, ticket) : rc;
}

static int net_settle(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_kv_take_args *a, struct ch_kv_result *out,
	ch_ticket ticket)
{
	int rc = net_note(a, out, ticket, c);

	(void)svc;
	net.settles++;
	net.settling = true;
	return net.mode == NET_WELL || (net.mode == NET_LATER && !out) ? net_real()->settle(net.svc, c, a, out, ticket) : rc;
}

static void net_cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_kv_result *out)
{
	(void)svc, (void)c;
	assert_ptr_equal(out, net.out);
	net.cancels++;
	net.out = NULL;
	out->error = CH_KV_CANCELLED;
	ch_resume(net.ticket, NULL, NULL);
}

static const struct ch_kv_v1 net_vtable = { .size = sizeof(net_vtable), .take = net_take, .settle = net_settle, .cancel = net_cancel };

/* The answer of a store that said it comes later: what the real one says. */
static inline void net_answers(void *data)
{
	struct ch_kv_take_args a = { .size = sizeof(a), .buckets = { net.asked, net.nasked, sizeof(net.asked[0]) } };
	struct ch_kv_result *out = net.out;

	(void)data;
	net.out = NULL;
	net.mode = NET_WELL;
	if (net.settling)
		net_real()->settle(net.svc, net.c, &a, out, 0);
	else
		net_real()->take(net.svc, net.c, &a, out, 0);
	ch_resume(net.ticket, NULL, NULL);
}

/* ---- the backend ---- */

static struct {
	bool at_once;
	int code;
	uint64_t in, out;
	const char *text, *name;
	unsigned calls, cancels;
	bool running;
	struct ch_ctx *c;
	struct ch_inference_sink sink;
	struct ch_inference_result *result;
	ch_ticket ticket;
	const char *piece;
} model;

static void model_fill(struct ch_inference_result *out)
{
	out->code = model.code;
	out->detail = model.code ? "The backend failed." : NULL;
	out->backend = "model";
	out->model = model.name;
	out->tokens_in = model.in;
	out->tokens_out = model.out;
	if (model.text)
		out->text = (struct ch_str){ model.text, strlen(model.text) };
}

static int model_submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args,
	const struct ch_inference_sink *sink, struct ch_inference_result *out, ch_ticket ticket)
{
	(void)svc, (void)args;
	model.calls++;
	if (model.at_once) {
		model_fill(out);
		return CH_OK;
	}
	model.running = true;
	model.c = c;
	model.sink = sink ? *sink : (struct ch_inference_sink){ .size = 0 };
	model.result = out;
	model.ticket = ticket;
	return CH_AGAIN;
}

static void model_cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)svc, (void)c;
	if (!model.running)
		return;
	model.running = false;
	model.cancels++;
	out->code = CH_E_UPSTREAM_ERROR;
	out->detail = "It was given up.";
	ch_resume(model.ticket, NULL, NULL);
}

static const struct ch_inference_about *model_about(const struct ch_svc *svc)
{
	static const struct ch_inference_about about = { .size = sizeof(about), .provider = "model", .ops = ~0u, .can = ~0u };

	(void)svc;
	return &about;
}

static const struct ch_inference_v1 model_vtable = {
	.size = sizeof(model_vtable), .submit = model_submit, .cancel = model_cancel, .about = model_about
};

static void model_ends(void *data)
{
	(void)data;
	model.running = false;
	model_fill(model.result);
	ch_resume(model.ticket, NULL, NULL);
}

static void model_says(void *data)
{
	struct ch_inference_delta d = { .size = sizeof(d), .text = { model.piece, strlen(model.piece) } };

	(void)data;
	if (model.running)
		model.sink.delta(model.c, model.sink.arg, &d);
}

static inline void says(struct ch_test *t, const char *piece)
{
	model.piece = piece;
	ch_test_on_loop(t, model_says, NULL);
}

static inline void ends(struct ch_test *t, int code, uint64_t in, uint64_t out)
{
	model.code = code;
	model.in = in;
	model.out = out;
	ch_test_on_loop(t, model_ends, NULL);
}

/* ---- who ---- */

struct who_conf {
	const struct ch_svc *backend;
};

static bool read_failed; /* a request without memory must not become somebody else's */

static const char *field(struct ch_ctx *c, const char *name)
{
	struct ch_str v = ch_header(c, name);
	const char *copy = v.p ? ch_dup(c, v.p, v.n) : NULL;

	read_failed = read_failed || (v.p && !copy);
	return copy;
}

static int who_auth(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_facts *f = ch_facts(c);

	(void)self;
	read_failed = false;
	f->tier = field(c, "tier");
	f->owner = field(c, "owner");
	f->key = field(c, "key");
	f->limits = field(c, "limits");
	return read_failed ? ch_refuse(c, CH_E_OVERLOADED, 0, "no memory") : CH_OK;
}

static int who_ok(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return ch_respond(c, 200, "text/plain", "ok", 2);
}

static ch_ticket waiting[8];
static unsigned nwaiting;

static int who_waited(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data, (void)result;
	return why == CH_READY ? ch_respond(c, 200, "text/plain", "ok", 2) : CH_DONE;
}

/* Answers when it is told to. */
static int who_wait(struct ch_self *self, struct ch_ctx *c)
{
	ch_ticket ticket = ch_suspend(c, 0, who_waited, NULL);

	(void)self;
	if (!ticket)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "no memory");
	assert_true(nwaiting < 8);
	waiting[nwaiting++] = ticket;
	return CH_AGAIN;
}

static inline void who_lets_go(void *data)
{
	(void)data;
	ch_resume(waiting[--nwaiting], NULL, NULL);
}

struct question {
	struct ch_inference_call call;
	struct ch_inference_result result;
	struct ch_message message;
	struct ch_openai openai;
	bool begun;
};

static int who_answer(struct ch_ctx *c, struct question *q)
{
	const struct ch_inference_result *r = &q->result;

	if (q->begun) {
		if (r->code)
			ch_write(c, "!", 1, NULL, NULL);
		if (r->code)
			ch_write(c, ch_code_info(r->code)->name, strlen(ch_code_info(r->code)->name), NULL, NULL);
		ch_end(c);
		return CH_DONE;
	}
	if (r->code)
		return ch_refuse_as(c, &(struct ch_refusal){ .size = sizeof(struct ch_refusal), .code = r->code, .detail = r->detail,
			.retry_after_ms = r->retry_after_ms, .type = r->type, .more = r->more });
	return ch_respond(c, 200, "text/plain", r->text.p, r->text.n);
}

static int who_asked(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)result;
	return why == CH_GONE ? CH_DONE : who_answer(c, data);
}

static int who_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct question *q = arg;

	if (!q->begun)
		ch_begin(c, 200);
	q->begun = true;
	return ch_write(c, d->text.p, d->text.n, NULL, NULL) == CH_OK ? CH_OK : CH_AGAIN;
}

static struct question *question_new(struct ch_ctx *c, const struct ch_svc *svc, struct ch_str prompt)
{
	struct question *q = ch_alloc(c, sizeof(*q));

	if (!q)
		return NULL;
	q->message = (struct ch_message){ .role = CH_STR("user"), .content = prompt };
	q->result.size = sizeof(q->result);
	q->call = (struct ch_inference_call){ .size = sizeof(q->call), .svc = svc, .out = &q->result, .fn = who_asked, .data = q };
	q->call.args = (struct ch_inference_args){ .size = sizeof(q->call.args), .op = CH_I_CHAT, .messages = &q->message, .nmessages = 1 };
	return q;
}

/* The body is the prompt. */
static int who_ask(struct ch_self *self, struct ch_ctx *c)
{
	const struct who_conf *conf = self->conf;
	struct question *q = question_new(c, conf->backend, ch_body(c));
	const char *most = field(c, "max-tokens"), *op = field(c, "op");
	int rc;

	if (!q || read_failed)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "no memory");
	q->call.args.model = ch_header(c, "model");
	q->call.args.max_tokens = most ? atoi(most) : 0;
	if (op)
		q->call.args.op = !strcmp(op, "embeddings") ? CH_I_EMBEDDINGS : !strcmp(op, "completion") ? CH_I_COMPLETION :
				  !strcmp(op, "pass") ? CH_I_PASS : CH_I_MODELS;
	if (q->call.args.op == CH_I_PASS) {
		q->openai = (struct ch_openai){ .size = sizeof(q->openai), .path = "responses", .body = ch_body(c) };
		q->call.args.openai = &q->openai;
		q->call.args.nmessages = 0;
	}
	if (ch_header(c, "stream").n)
		q->call.sink = (struct ch_inference_sink){ .size = sizeof(q->call.sink), .delta = who_delta, .arg = q };
	rc = ch_infer(c, &q->call);
	return rc == CH_OK ? who_answer(c, q) : rc;
}

static const struct ch_hook who_hooks[] = { { .phase = CH_P_AUTH, .fn = who_auth } };
static const struct ch_route who_routes[] = {
	{ .method = "GET", .pattern = "/v1/thing", .fn = who_ok, .summary = "Answers" },
	{ .method = "GET", .pattern = "/v1/other", .fn = who_ok, .summary = "Answers" },
	{ .method = "GET", .pattern = "/v1/wait", .fn = who_wait, .summary = "Waits" },
	{ .method = "GET", .pattern = "/open", .cls = CH_OPEN, .fn = who_ok, .summary = "Answers" },
	{ .method = "GET", .pattern = "/ops", .cls = CH_OPS, .fn = who_ok, .summary = "Answers" },
	{ .method = "POST", .pattern = "/v1/chat/completions", .body = CH_BODY_BUFFER, .dialect = CH_D_OPENAI, .fn = who_ask,
		.summary = "Asks" },
};
static const struct ch_option who_options[] = {
	CH_OPT(struct who_conf, backend, SERVICE, .flags = CH_O_REQUIRED, .def = "model", .iface = "inference/1", .help = "The model"),
};
static const struct ch_plugin who = {
	.size = sizeof(who),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "who",
	.version = "0",
	.summary = "Says who it is",
	.conf_size = sizeof(struct who_conf),
	.options = CH_TABLE(who_options),
	.hooks = CH_TABLE(who_hooks),
	.routes = CH_TABLE(who_routes),
};

static const struct ch_plugin *who_entry(const struct ch_host *host)
{
	(void)host;
	return &who;
}

/* ---- a world ---- */

static inline struct ch_test *prepare(const char *ratelimit_ini)
{
	struct ch_test *t = ch_test_new();
	char ini[4096];

	memset(&net, 0, sizeof(net));
	memset(&model, 0, sizeof(model));
	model.at_once = true;
	model.name = "m1";
	nwaiting = 0;
	ch_test_plugin(t, CH_TEST_ENTRY(ratelimit));
	ch_test_plugin(t, CH_TEST_ENTRY(kv_memory));
	ch_test_plugin(t, who_entry);
	ch_test_service(t, "net", "kv/1", &net_vtable, NULL);
	ch_test_service(t, "model", "inference/1", &model_vtable, NULL);
	snprintf(ini, sizeof(ini), "[kv_memory]\n[who]\n[ratelimit]\nstore = net\n%s", ratelimit_ini);
	ch_test_config(t, ini);
	return t;
}

static inline void reload(struct ch_test *t, const char *ratelimit_ini)
{
	char ini[4096];

	snprintf(ini, sizeof(ini), "[kv_memory]\n[who]\n[ratelimit]\nstore = net\n%s", ratelimit_ini);
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	net.svc = ch_test_provided(t, "kv_memory", "kv/1");
}

static inline struct ch_test *begin(const char *ratelimit_ini)
{
	struct ch_test *t = prepare(ratelimit_ini);

	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	net.svc = ch_test_provided(t, "kv_memory", "kv/1");
	return t;
}

static inline struct ch_test_answer *get(struct ch_test *t, const char *target, const char *headers)
{
	return ch_test_request(t, "GET", target, headers, NULL, 0);
}

static inline struct ch_test_answer *ask(struct ch_test *t, const char *headers, const char *prompt)
{
	return ch_test_request(t, "POST", "/v1/chat/completions", headers, prompt, strlen(prompt));
}

static inline void has(const struct ch_test_answer *a, const char *name, const char *value)
{
	const char *got = ch_test_header(a, name);

	if (!got && !value)
		return;
	if (!got || !value || strcmp(got, value))
		fail_msg("%s is \"%s\", not \"%s\"", name, got ? got : "(absent)", value ? value : "(absent)");
}

#endif
