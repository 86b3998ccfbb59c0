/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_way.h - the router in the harness, between backends that do what a script says and a plugin that asks. A question is an HTTP request
 * to that plugin, so a client may leave it; which question it is travels in the args' seed, so that a backend knows whom it serves.
 */
#ifndef ROUTER_TEST_WAY_H
#define ROUTER_TEST_WAY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/backend.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(router);

enum { QUESTIONS = 64, BACKENDS = 4, STEPS = 64 };

/* ---- backends ---- */

/* What a call does: after `ms` (0: within submit, if there are no deltas) so many deltas, each `ms` behind the one before, then its end. */
struct step {
	int64_t ms;
	unsigned deltas;
	int code, status;
	int64_t retry_after_ms;
	bool hangs;            /* behind the deltas: no end but by cancel */
	bool broken;           /* submit returns CH_ERROR */
	const char *error;     /* with code: the upstream's error object */
	const char *reason;    /* … and why, for operators */
};

struct backend {
	const char *id;
	struct ch_backend_conf conf;
	struct ch_inference_about about;
	struct step script[STEPS]; /* of its calls, in turn; the last one again and again */
	unsigned nsteps;
	unsigned calls, running, most, cancelled; /* most: that ran at once */
	struct ch_inference_args last;
	char model[64];
};

/* One call of a backend, in the ctx's arena. */
struct backend_call {
	struct backend *b;
	struct step step;
	struct ch_ctx *c;
	struct ch_inference_result *out;
	struct ch_inference_sink sink;
	bool has_sink, paused, inside, given_up, over;
	struct ch_timer *timer;
	unsigned sent;
	ch_ticket ticket;
	struct question *q;
};

/* ---- questions ---- */

struct question {
	struct ch_inference_args args;
	struct ch_inference_result out;
	struct ch_inference_sink sink;
	bool streams, pauses, cancels;  /* the sink: pauses after each delta; gives up at the first */
	int64_t ticket_ms, deadline_ms; /* of the outer ticket, of the ctx */
	const struct ch_svc *router;    /* as the instance has it that asks */
	struct ch_ctx *c;
	ch_ticket ticket;
	struct ch_test_answer *a;
	/* what came of it */
	int rc, why;
	unsigned resumed, ended, deltas, running, attempts, after_delta; /* after_delta: attempts that began behind the first delta */
	char backend[32], model[64], detail[256], error[256], seen_backend[32];
	int64_t asked, over, last_attempt;
};

struct world {
	struct ch_test *t;
	struct backend b[BACKENDS];
	struct question q[QUESTIONS];
	unsigned n;                  /* questions asked */
};

extern struct world w;

/* ---- the backend ---- */

static void call_end(struct backend_call *k, int code)
{
	struct ch_inference_result *out = k->out;

	if (k->over)
		return;
	k->over = true;
	k->b->running--;
	k->q->running--;
	ch_timer_free(k->timer);
	out->code = code;
	out->call = NULL;
	if (code) {
		out->status = k->step.status;
		out->retry_after_ms = k->step.retry_after_ms;
		out->reason = k->step.reason;
		out->detail = "The scripted backend is not well.";
		if (k->step.error)
			out->error = (struct ch_str){ k->step.error, strlen(k->step.error) };
	} else {
		if (!k->has_sink)
			out->text = (struct ch_str)CH_STR("an answer");
		out->tokens_in = 3;
		out->tokens_out = 2;
		out->finish_reason = "stop";
	}
	if (k->ticket)
		ch_resume(k->ticket, NULL, NULL);
}

static void call_on_time(void *data)
{
	struct backend_call *k = data;

	if (k->sent < k->step.deltas) {
		struct ch_inference_delta d = { .size = sizeof(d), .text = CH_STR("word ") };
		k->sent++;
		k->inside = true;
		int rc = k->sink.delta(k->c, k->sink.arg, &d);
		k->inside = false;
		if (k->given_up) {
			call_end(k, CH_E_UPSTREAM_ERROR);
			return;
		}
		k->paused = rc == CH_AGAIN;
		if (!k->paused)
			ch_timer_set(k->timer, k->step.ms);
		return;
	}
	if (!k->step.hangs)
		call_end(k, k->step.code);
}

static int no_memory(struct ch_inference_result *out)
{
	out->code = CH_E_OVERLOADED;
	out->detail = "The scripted backend has no memory.";
	return CH_OK;
}

static int backend_submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args,
                          const struct ch_inference_sink *sink, struct ch_inference_result *out, ch_ticket ticket)
{
	struct backend *b = ch_test_data(svc);
	struct question *q = &w.q[args->seed];
	struct backend_call *k = ch_alloc(c, sizeof(*k));

	assert_true(out->size == sizeof(*out) && !out->code && !out->call && !out->backend);
	if (!k)
		return no_memory(out);
	*k = (struct backend_call){ .b = b, .c = c, .out = out, .has_sink = sink != NULL, .q = q };
	if (sink)
		k->sink = *sink;
	k->step = b->script[b->calls < b->nsteps ? b->calls : b->nsteps - 1];
	if (!sink)
		k->step.deltas = 0;
	b->calls++;
	b->last = *args;
	snprintf(b->model, sizeof(b->model), "%.*s", (int)args->model.n, args->model.p);
	q->attempts++;
	q->last_attempt = ch_now();
	q->after_delta += q->deltas > 0;
	assert_int_equal(q->running, 0); /* never two attempts at once */
	out->backend = b->id;
	out->model = "real";
	if (k->step.broken)
		return CH_ERROR;
	b->running++;
	b->most = b->running > b->most ? b->running : b->most;
	q->running++;
	if (!k->step.ms && !k->step.deltas && !k->step.hangs) {
		call_end(k, k->step.code);
		return CH_OK;
	}
	k->timer = ch_timer(ch_loop(c), call_on_time, k);
	if (!k->timer) {
		k->step.error = NULL;
		call_end(k, CH_E_OVERLOADED);
		return CH_OK;
	}
	ch_timer_set(k->timer, k->step.ms);
	k->ticket = ticket;
	out->call = k;
	return CH_AGAIN;
}

static void backend_go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct backend_call *k = out->call;

	(void)svc;
	assert_ptr_equal(k->c, c);
	if (k->paused)
		ch_timer_set(k->timer, k->step.ms);
	k->paused = false;
}

static void backend_cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct backend_call *k = out->call;

	assert_non_null(k);
	assert_ptr_equal(k->c, c);
	assert_ptr_equal(k->b, ch_test_data(svc));
	assert_false(k->over);
	k->b->cancelled++;
	if (k->inside)
		k->given_up = true;
	else
		call_end(k, CH_E_UPSTREAM_ERROR);
}

static const struct ch_inference_about *backend_about(const struct ch_svc *svc)
{
	return &((struct backend *)ch_test_data(svc))->about;
}

static const struct ch_inference_v1 backend_vt = { sizeof(backend_vt), backend_submit, backend_go_on, backend_cancel, backend_about };

/* ---- who asks ---- */

static void question_end(struct question *q)
{
	q->ended++;
	q->over = ch_now();
	assert_null(q->out.call);
	snprintf(q->backend, sizeof(q->backend), "%s", q->out.backend ? q->out.backend : "");
	snprintf(q->model, sizeof(q->model), "%s", q->out.model ? q->out.model : "");
	snprintf(q->detail, sizeof(q->detail), "%s", q->out.detail ? q->out.detail : "");
	snprintf(q->error, sizeof(q->error), "%.*s", (int)q->out.error.n, q->out.error.p ? q->out.error.p : "");
	if (q->out.code)
		assert_string_not_equal(q->detail, "");
}

static int respond(struct ch_ctx *c, struct question *q)
{
	const struct ch_inference_result *out = &q->out;
	const struct ch_refusal r = { .size = sizeof(r), .code = out->code, .retry_after_ms = out->retry_after_ms, .detail = out->detail };

	return out->code ? ch_refuse_as(c, &r) : ch_respond(c, 200, "text/plain", "ok", 2);
}

/* Cancels it, twice: the second time is nothing. On the loop. */
static void give_up(void *data)
{
	struct question *q = data;
	const struct ch_inference_v1 *vt = q->router->vt;

	vt->cancel(q->router, q->c, &q->out);
	vt->cancel(q->router, q->c, &q->out);
}

/* Likewise. */
static inline void go_on(void *data)
{
	struct question *q = data;

	((const struct ch_inference_v1 *)q->router->vt)->go_on(q->router, q->c, &q->out);
}

static int on_told(struct ch_ctx *c, void *data, int why, void *result)
{
	struct question *q = data;

	(void)result;
	q->resumed++;
	q->why = why;
	if (why != CH_READY) {
		give_up(q);
		assert_true(q->out.code != 0);
	}
	question_end(q);
	return why == CH_GONE ? CH_DONE : respond(c, q);
}

static int on_piece(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct question *q = arg;

	assert_ptr_equal(c, q->c);
	assert_string_equal(d->text.p, "word ");
	assert_int_equal(q->ended, 0);
	q->deltas++;
	snprintf(q->seen_backend, sizeof(q->seen_backend), "%s", q->out.backend ? q->out.backend : "");
	if (q->cancels)
		give_up(q);
	return q->pauses ? CH_AGAIN : CH_OK;
}

static int on_question(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str name = ch_header(c, "X-Question");
	struct question *q = &w.q[atoi(name.p)];
	const struct ch_svc *svc = *(const struct ch_svc *const *)self->conf;
	const struct ch_inference_v1 *vt = svc->vt;

	q->router = svc;
	q->c = c;
	q->asked = ch_now();
	if (q->deadline_ms)
		ch_deadline_set(c, q->asked + q->deadline_ms * 1000);
	q->ticket = ch_suspend(c, q->ticket_ms, on_told, q);
	if (!q->ticket) {
		no_memory(&q->out);
		question_end(q);
		return respond(c, q);
	}
	q->rc = vt->submit(svc, c, &q->args, q->streams ? &q->sink : NULL, &q->out, q->ticket);
	if (q->rc == CH_AGAIN)
		return CH_AGAIN;
	assert_int_equal(q->rc, CH_OK);
	ch_unsuspend(q->ticket);
	question_end(q);
	return respond(c, q);
}

struct asker_conf { const struct ch_svc *router; };
static const struct ch_option asker_options[] = {
	{ .name = "router", .type = CH_T_SERVICE, .offset = offsetof(struct asker_conf, router), .def = "router", .iface = "inference/1" },
};
static const struct ch_route asker_routes[] = { { .method = "POST", .pattern = "/ask", .body = CH_BODY_BUFFER, .fn = on_question } };
static const struct ch_plugin asker = {
	.size = sizeof(asker), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "asker", .version = "0", .summary = "asks",
	.conf_size = sizeof(struct asker_conf), .options = CH_TABLE(asker_options), .routes = CH_TABLE(asker_routes),
};
static const struct ch_plugin *asker_entry(const struct ch_host *host)
{
	(void)host;
	return &asker;
}

/* ---- the world ---- */

/* So many backends "a1", "b1", … that serve "m"; before world_start they may be given limits and scripts. */
static inline void world_new(unsigned backends)
{
	static const char *const ids[] = { "a1", "b1", "c1", "d1" };
	static const struct ch_str models[] = { { "m", 1 } };

	memset(&w, 0, sizeof(w));
	w.t = ch_test_new();
	ch_test_plugin(w.t, CH_TEST_ENTRY(router));
	ch_test_plugin(w.t, asker_entry);
	for (unsigned i = 0; i < backends; i++) {
		struct backend *b = &w.b[i];
		b->id = ids[i];
		b->conf = (struct ch_backend_conf){ .models = { models, 1 }, .default_model = "m", .weight = 1 };
		b->about = (struct ch_inference_about){ .size = sizeof(b->about), .provider = "scripted", .ops = ~0u, .can = ~0u,
			.conf = &b->conf };
		b->nsteps = 1;
		ch_test_service(w.t, ids[i], "inference/1", &backend_vt, b);
	}
}

/* Lines of [router], and what follows. */
static inline void world_start(const char *router)
{
	char ini[4096];

	snprintf(ini, sizeof(ini), "[asker]\n[router]\n%s\n", router ? router : "");
	ch_test_config(w.t, ini);
	if (!ch_test_start(w.t))
		fail_msg("%s", ch_test_errors(w.t));
}

/* The script of a backend: its calls in turn. */
#define SCRIPT(backend, ...) \
	do { \
		static const struct step steps_[] = { __VA_ARGS__ }; \
		memcpy((backend)->script, steps_, sizeof(steps_)); \
		(backend)->nsteps = sizeof(steps_) / sizeof(steps_[0]); \
	} while (0)

/* A question for "m", to be changed before it is asked. */
static inline struct question *question(void)
{
	static const struct ch_message message = { .role = CH_STR("user"), .content = CH_STR("hello") };
	struct question *q = &w.q[w.n];

	assert_true(w.n < QUESTIONS);
	q->args = (struct ch_inference_args){ .size = sizeof(q->args), .op = CH_I_CHAT, .model = CH_STR("m"), .messages = &message,
		.nmessages = 1, .temperature = -1, .top_p = -1, .seed = w.n, .has_seed = true };
	q->out.size = sizeof(q->out);
	q->sink = (struct ch_inference_sink){ .size = sizeof(q->sink), .delta = on_piece, .arg = q };
	w.n++;
	return q;
}

static inline struct question *ask(struct question *q)
{
	char header[32];

	snprintf(header, sizeof(header), "X-Question: %u", (unsigned)(q - w.q));
	q->a = ch_test_request(w.t, "POST", "/ask", header, "", 0);
	return q;
}

static inline struct question *stream(struct question *q)
{
	q->streams = true;
	return q;
}

/* Milliseconds from the question to its end. */
static inline int64_t took(const struct question *q)
{
	assert_int_equal(q->ended, 1);
	return (q->over - q->asked) / 1000;
}

/* Ends the world: nothing is left anywhere. */
static inline void world_free(void)
{
	for (unsigned i = 0; i < w.n; i++) {
		const struct question *q = &w.q[i];
		if (!q->a)
			continue;
		assert_int_equal(q->ended, 1);
		assert_int_equal(q->resumed, q->rc == CH_AGAIN);
		assert_int_equal(q->running, 0);
		assert_int_equal(q->after_delta, 0);
	}
	for (unsigned i = 0; i < BACKENDS; i++)
		assert_int_equal(w.b[i].running, 0);
	assert_true(ch_test_metric(w.t, "chimera_backend_in_flight", NULL) == 0);
	assert_true(ch_test_metric(w.t, "chimera_backend_waiting", NULL) == 0);
	ch_test_free(w.t);
}

#endif
