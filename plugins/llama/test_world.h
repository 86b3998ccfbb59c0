/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_world.h - what the tests of this plugin share: a provider of "http/1" that the test plays itself, and a caller of the backend in a
 * task. One call at a time; each test program includes it once.
 */
#ifndef LLAMA_TEST_WORLD_H
#define LLAMA_TEST_WORLD_H

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

CH_TEST_PLUGIN(llama);

/* ---- the network ---- */

static struct {
	int calls, cancels, go_ons;
	bool running, paused;
	int refuse;            /* enum ch_http_error: how a request ends at once */
	struct ch_ctx *c;
	struct ch_http_sink sink;
	struct ch_http_result *out;
	ch_ticket ticket;
	char method[8], url[256], body[8192], fields[1024]; /* what was asked, with final NULs; fields as "Name: value\n" */
	struct ch_http_args args;
	/* what on_loop does */
	int status, error;
	const char *text;
	size_t n;
	bool end;
} net;

static void keep(char *to, size_t room, struct ch_str s)
{
	assert_true(s.n < room);
	if (s.n)
		memcpy(to, s.p, s.n);
	to[s.n] = 0;
}

static int net_request(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_http_args *args, const struct ch_http_sink *sink,
                       struct ch_http_result *out, ch_ticket ticket)
{
	(void)svc;
	assert_false(net.running);
	net.calls++;
	net.args = *args;
	keep(net.method, sizeof(net.method), args->method);
	keep(net.url, sizeof(net.url), args->url);
	keep(net.body, sizeof(net.body), args->body);
	net.fields[0] = 0;
	for (size_t i = 0; i < args->nfields; i++)
		snprintf(net.fields + strlen(net.fields), sizeof(net.fields) - strlen(net.fields), "%.*s: %.*s\n",
			(int)args->fields[i].name.n, args->fields[i].name.p, (int)args->fields[i].value.n, args->fields[i].value.p);
	if (net.refuse) {
		out->error = net.refuse;
		out->detail = "There is no way to other.";
		return CH_OK;
	}
	net.running = true;
	net.paused = false;
	net.c = c;
	net.sink = *sink;
	net.out = out;
	net.ticket = ticket;
	return CH_AGAIN;
}

static void net_finish(int error, const char *detail)
{
	net.running = net.paused = false;
	net.out->error = error;
	net.out->detail = detail;
	ch_resume(net.ticket, NULL, NULL);
}

static void net_cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	(void)svc, (void)c;
	if (!net.running)
		return;
	assert_ptr_equal(out, net.out);
	net.cancels++;
	net_finish(CH_HTTP_CANCELLED, "given up");
}

static void net_go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	(void)svc, (void)c, (void)out;
	assert_true(net.paused);
	net.paused = false;
	net.go_ons++;
}

static const struct ch_http_v1 net_vt = { .size = sizeof(net_vt), .request = net_request, .go_on = net_go_on, .cancel = net_cancel };

/* What comes from the server, on the loop as a provider would bring it. */
static void on_loop(void *data)
{
	int rc = CH_OK;

	(void)data;
	if (!net.running)
		return;
	if (net.status) {
		net.out->status = net.status;
		if (net.sink.head)
			rc = net.sink.head(net.c, net.sink.arg, net.out);
	}
	if (rc == CH_OK && net.n) {
		assert_false(net.paused);
		rc = net.sink.data(net.c, net.sink.arg, net.text, net.n);
	}
	if (!net.running)
		return;
	net.paused |= rc == CH_AGAIN;
	if (rc == CH_DONE)
		net_finish(CH_HTTP_CANCELLED, "enough");
	else if (net.end)
		net_finish(net.error, net.error ? "other: the connection was reset" : NULL);
}

static void push(struct ch_test *t, int status, const char *text, size_t n, bool end, int error)
{
	net.status = status;
	net.text = text;
	net.n = n;
	net.end = end;
	net.error = error;
	ch_test_on_loop(t, on_loop, NULL);
}

__attribute__((unused)) static void head(struct ch_test *t, int status)
{
	push(t, status, NULL, 0, false, 0);
}

__attribute__((unused)) static void text(struct ch_test *t, const char *bytes)
{
	push(t, 0, bytes, strlen(bytes), false, 0);
}

__attribute__((unused)) static void end(struct ch_test *t, int error)
{
	push(t, 0, NULL, 0, true, error);
}

/* A whole answer in one piece. */
__attribute__((unused)) static void answer(struct ch_test *t, int status, const char *body)
{
	push(t, status, body, strlen(body), true, 0);
}

/* ---- the caller ---- */

static struct caller {
	const struct ch_svc *svc;
	struct ch_message messages[8];
	struct ch_openai openai;
	struct ch_inference_args args;
	struct ch_inference_result out; /* copied when it is over */
	struct ch_inference_result *live;
	struct ch_ctx *c;
	bool stream;
	bool hold;               /* the sink says AGAIN */
	bool give_up;            /* the sink cancels */
	int rc, why;             /* of submit; how the ticket ended */
	unsigned resumed, deltas;
	char text[4096], calls[4096], detail[1024], error[1024], model[128], finish[32];
	struct ch_model models[8];
	char ids[8][64];
	float vectors[32];
	int64_t deadline;
} caller;

static const struct ch_inference_v1 *vt_of(const struct caller *k)
{
	return k->svc->vt;
}

static void append(char *to, size_t room, struct ch_str s)
{
	size_t n = strlen(to);

	assert_true(n + s.n < room);
	if (s.n)
		memcpy(to + n, s.p, s.n);
	to[n + s.n] = 0;
}

static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct caller *k = arg;

	assert_ptr_equal(c, k->c);
	assert_int_equal(k->resumed, 0);
	assert_int_equal(d->frame.n, 0);
	assert_true(d->text.n || d->tool_calls.n);
	k->deltas++;
	append(k->text, sizeof(k->text), d->text);
	append(k->calls, sizeof(k->calls), d->tool_calls);
	if (k->give_up) {
		vt_of(k)->cancel(k->svc, c, k->live);
		vt_of(k)->cancel(k->svc, c, k->live);
	}
	return k->hold ? CH_AGAIN : CH_OK;
}

/* What must not point into a ctx that goes. */
static void copy_out(struct caller *k)
{
	struct ch_inference_result *o = k->live;

	k->out = *o;
	assert_null(o->call);
	if (!k->stream)
		append(k->text, sizeof(k->text), o->text);
	append(k->calls, sizeof(k->calls), o->tool_calls);
	append(k->error, sizeof(k->error), o->error);
	snprintf(k->detail, sizeof(k->detail), "%s", o->detail ? o->detail : "");
	snprintf(k->model, sizeof(k->model), "%s", o->model ? o->model : "");
	snprintf(k->finish, sizeof(k->finish), "%s", o->finish_reason ? o->finish_reason : "");
	for (size_t i = 0; i < o->nmodels; i++) {
		k->models[i] = o->models[i];
		keep(k->ids[i], sizeof(k->ids[i]), o->models[i].id);
	}
	if (o->nvectors)
		memcpy(k->vectors, o->vectors, o->nvectors * o->dimensions * sizeof(float));
}

static int on_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct caller *k = data;

	assert_null(result);
	k->resumed++;
	k->why = why;
	if (why != CH_READY)
		vt_of(k)->cancel(k->svc, c, k->live);
	copy_out(k);
	return CH_DONE;
}

static int on_task(struct ch_ctx *c, void *data)
{
	struct caller *k = data;
	struct ch_inference_sink sink = { sizeof(sink), on_delta, k };
	struct ch_inference_args *args = ch_alloc(c, sizeof(*args));
	ch_ticket t;

	k->c = c;
	k->live = ch_alloc(c, sizeof(*k->live));
	t = ch_suspend(c, k->deadline, on_over, k);
	if (!args || !k->live || !t) {
		ch_unsuspend(t);
		return CH_DONE;
	}
	*args = k->args;
	k->live->size = sizeof(*k->live);
	k->rc = vt_of(k)->submit(k->svc, c, args, k->stream ? &sink : NULL, k->live, t);
	memset(&sink, 0, sizeof(sink)); /* it is copied */
	if (k->rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(t);
	copy_out(k);
	return CH_DONE;
}

static struct ch_str str(const char *s)
{
	return (struct ch_str){ s, strlen(s) };
}

/* A question with one message; change it as you like, then go(). */
static struct caller *ask(struct ch_test *t, int op, const char *role, const char *content)
{
	memset(&caller, 0, sizeof(caller));
	memset(&net, 0, sizeof(net));
	caller.rc = CH_ERROR; /* not yet asked */
	caller.svc = ch_test_provided(t, "llama", "inference/1");
	assert_non_null(caller.svc);
	caller.messages[0] = (struct ch_message){ .role = str(role), .content = str(content) };
	caller.openai.size = sizeof(caller.openai);
	caller.args = (struct ch_inference_args){ .size = sizeof(caller.args), .op = op, .model = CH_STR("llama3.2"),
		.messages = caller.messages, .nmessages = 1, .temperature = -1, .top_p = -1 };
	return &caller;
}

static void go(struct ch_test *t)
{
	assert_true(ch_test_task(t, NULL, 0, on_task, &caller));
}

/* The body as the client wrote it: members that the backend reads are found in it. */
__attribute__((unused)) static void say_openai(struct caller *k, const char *body, const char *tools, const char *format)
{
	const char *at;

	k->openai.path = "chat/completions";
	k->openai.body = str(body);
	if (tools && (at = strstr(body, tools))) {
		k->openai.tools_at = (size_t)(at - body);
		k->openai.tools_n = strlen(tools);
		k->args.needs |= CH_I_TOOLS;
	}
	if (format && (at = strstr(body, format))) {
		k->openai.format_at = (size_t)(at - body);
		k->openai.format_n = strlen(format);
		k->args.needs |= CH_I_FORMAT;
	}
	k->args.openai = &k->openai;
}

/* Ends what still runs, as a server that goes down would. */
static void finish(struct ch_test *t)
{
	if (net.running)
		push(t, 0, NULL, 0, true, CH_HTTP_CLOSED);
	ch_test_free(t);
}

static struct ch_test *begin(const char *more)
{
	struct ch_test *t = ch_test_new();
	char ini[1024];

	snprintf(ini, sizeof(ini), "[llama]\nmodels = llama3*, all-minilm\n%s", more ? more : "");
	ch_test_plugin(t, CH_TEST_ENTRY(llama));
	ch_test_service(t, "net", "http/1", &net_vt, NULL);
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	return t;
}

#endif
