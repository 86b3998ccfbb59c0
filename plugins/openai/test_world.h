/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_world.h - the harness around the openai backend: in front of it a task that asks, behind it an http/1 whose every step the test
 * makes.
 */
#ifndef OPENAI_TEST_WORLD_H
#define OPENAI_TEST_WORLD_H

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

CH_TEST_PLUGIN(openai);

#define CHAT "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define ANSWER "{\"id\":\"x\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello \\\"you\\\"\"}," \
	"\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21}}\n"

#define BASE "[openai]\nbase_url = http://up.test/v1\napi_key = canary-key-4711\nmodels = m, gpt-*\ndefault_model = m\n"

/* ---- http/1, played by the test ---- */

static struct upstream {
	struct ch_ctx *c;
	struct ch_http_sink sink;
	struct ch_http_result *out;
	ch_ticket ticket;
	struct ch_http_args args; /* times and limits; its texts are copied below */
	char method[16], url[256], fields[2048], body[8192];
	int calls, go_ons, cancels, refuse;
	bool open, inside, cancelled, paused;
	struct ch_http_field head[4];
	char p[1 << 20];
	size_t n;
	int status, error;
} up;

static void up_end(int error, const char *detail)
{
	up.open = false;
	up.out->error = error;
	up.out->detail = detail;
	up.out->call = NULL;
	ch_resume(up.ticket, NULL, NULL);
}

static int up_request(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_http_args *a, const struct ch_http_sink *sink,
	struct ch_http_result *out, ch_ticket t)
{
	size_t n = 0;

	(void)svc;
	up.c = c;
	up.sink = *sink;
	up.out = out;
	up.ticket = t;
	up.args = *a;
	up.calls++;
	snprintf(up.method, sizeof(up.method), "%.*s", (int)a->method.n, a->method.p);
	snprintf(up.url, sizeof(up.url), "%.*s", (int)a->url.n, a->url.p);
	up.fields[0] = 0;
	for (size_t i = 0; i < a->nfields; i++)
		n += (size_t)snprintf(up.fields + n, sizeof(up.fields) - n, "%.*s: %.*s\n", (int)a->fields[i].name.n, a->fields[i].name.p,
			(int)a->fields[i].value.n, a->fields[i].value.p);
	snprintf(up.body, sizeof(up.body), "%.*s", (int)a->body.n, a->body.n ? a->body.p : "");
	if (up.refuse) {
		out->error = up.refuse;
		out->detail = "refused by up.test with canary-key-4711";
		return CH_OK;
	}
	up.open = true;
	up.cancelled = up.paused = false;
	out->call = &up;
	return CH_AGAIN;
}

static void up_go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	(void)svc, (void)c, (void)out;
	up.go_ons++;
	up.paused = false;
}

static void up_cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	(void)svc, (void)c;
	assert_ptr_equal(out, up.out);
	up.cancels++;
	if (up.open && up.inside)
		up.cancelled = true;
	else if (up.open)
		up_end(CH_HTTP_CANCELLED, "given up");
}

static const struct ch_http_v1 http = { sizeof(http), up_request, up_go_on, up_cancel };

static void after_sink(int rc)
{
	up.inside = false;
	if (up.cancelled || rc == CH_DONE)
		up_end(CH_HTTP_CANCELLED, "given up");
	else if (rc == CH_AGAIN)
		up.paused = true;
}

static void step_head(void *data)
{
	(void)data;
	up.out->status = up.status;
	up.out->fields = up.head;
	up.out->nfields = 4;
	up.inside = true;
	after_sink(up.sink.head(up.c, up.sink.arg, up.out));
}

static void step_data(void *data)
{
	char *piece = malloc(up.n); /* as large as it is, so that AddressSanitizer sees what is read behind it or later */

	(void)data;
	memcpy(piece, up.p, up.n);
	up.inside = true;
	after_sink(up.sink.data(up.c, up.sink.arg, piece, up.n));
	free(piece);
}

static void step_end(void *data)
{
	(void)data;
	up_end(up.error, "broken off by up.test");
}

/* ---- who asks ---- */

static struct asker {
	struct ch_test *t;
	const struct ch_svc *svc;
	struct ch_ctx *c;
	struct ch_inference_args args;
	struct ch_openai openai;
	struct ch_inference_result *out;
	bool streams, full, cancel_in_sink, no_openai;
	int rc, resumed, why, deltas;
	ch_ticket ticket;
	char frames[1 << 16]; /* each ends with a line feed */
	size_t nframes;
	char text[4096];
	/* copied, as *out dies with the ctx */
	int code, status;
	int64_t retry_after_ms, first_delta;
	char reason[1024], detail[1024], error[1024], json[1 << 16], answer[4096], tools[256], finish[64], model[64], type[128], ids[1024];
	uint64_t tokens_in, tokens_out;
	bool estimated;
	size_t nvectors, dimensions, njson;
	float vector[8];
	char trace[33];
	const char *owner;
} me;

static const struct ch_inference_v1 *vt(void)
{
	return me.svc->vt;
}

static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	assert_ptr_equal(arg, &me);
	assert_int_equal(me.resumed, 0);
	me.deltas++;
	if (d->frame.n)
		me.nframes += (size_t)snprintf(me.frames + me.nframes, sizeof(me.frames) - me.nframes, "%.*s\n", (int)d->frame.n,
			d->frame.p);
	snprintf(me.text + strlen(me.text), sizeof(me.text) - strlen(me.text), "%.*s", (int)d->text.n, d->text.n ? d->text.p : "");
	snprintf(me.tools, sizeof(me.tools), "%.*s", (int)d->tool_calls.n, d->tool_calls.n ? d->tool_calls.p : "");
	if (me.cancel_in_sink) {
		vt()->cancel(me.svc, c, me.out);
		assert_true(!d->frame.n || d->frame.p[0]); /* still to be read */
	}
	return me.full ? CH_AGAIN : CH_OK;
}

#define COPY(to, s) snprintf(to, sizeof(to), "%.*s", (int)(s).n, (s).n ? (s).p : "")

static void keep(void)
{
	struct ch_inference_result *o = me.out;

	assert_null(o->call);
	me.code = o->code;
	me.status = o->status;
	me.retry_after_ms = o->retry_after_ms;
	me.first_delta = o->first_delta;
	snprintf(me.detail, sizeof(me.detail), "%s", o->detail ? o->detail : "");
	snprintf(me.reason, sizeof(me.reason), "%s", o->reason ? o->reason : "");
	COPY(me.error, o->error);
	COPY(me.json, o->json);
	me.njson = o->json.n;
	COPY(me.answer, o->text);
	if (o->tool_calls.n)
		COPY(me.tools, o->tool_calls);
	snprintf(me.finish, sizeof(me.finish), "%s", o->finish_reason ? o->finish_reason : "");
	snprintf(me.model, sizeof(me.model), "%s", o->model ? o->model : "");
	snprintf(me.type, sizeof(me.type), "%s", o->content_type ? o->content_type : "");
	me.tokens_in = o->tokens_in;
	me.tokens_out = o->tokens_out;
	me.estimated = o->estimated;
	me.nvectors = o->nvectors;
	me.dimensions = o->dimensions;
	for (size_t i = 0; o->vectors && i < o->nvectors * o->dimensions && i < 8; i++)
		me.vector[i] = o->vectors[i];
	me.ids[0] = 0;
	for (size_t i = 0; i < o->nmodels; i++)
		snprintf(me.ids + strlen(me.ids), sizeof(me.ids) - strlen(me.ids), "%.*s(%.*s,%d,%d) ", (int)o->models[i].id.n,
			o->models[i].id.p, (int)o->models[i].owned_by.n, o->models[i].owned_by.p, (int)o->models[i].created,
			(int)o->models[i].context);
	assert_null(strstr(me.reason, "canary"));
	assert_null(strstr(me.detail, "canary"));
	assert_null(strstr(me.error, "canary"));
}

static int on_end(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	assert_null(result);
	me.resumed++;
	me.why = why;
	if (why != CH_READY)
		vt()->cancel(me.svc, c, me.out);
	keep();
	return CH_DONE;
}

static int make(struct ch_ctx *c, void *data)
{
	const struct ch_inference_sink sink = { sizeof(sink), on_delta, &me };

	(void)data;
	me.c = c;
	me.out = ch_alloc(c, sizeof(*me.out));
	if (!me.out)
		return CH_DONE;
	me.out->size = sizeof(*me.out);
	memcpy(ch_facts(c)->trace_id, me.trace, 33);
	ch_facts(c)->owner = me.owner;
	me.ticket = ch_suspend(c, 0, on_end, NULL);
	if (!me.ticket)
		return CH_DONE;
	me.rc = vt()->submit(me.svc, c, &me.args, me.streams ? &sink : NULL, me.out, me.ticket);
	assert_int_equal(me.deltas + me.resumed, 0); /* nothing is called back inside the call */
	if (me.rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(me.ticket);
	keep();
	return CH_DONE;
}

/* Where a member's value lies, by its name in quotes and a colon; only for bodies without blanks. */
static void find(const char *body, const char *name, size_t *at, size_t *n)
{
	const char *p = strstr(body, name), *q;
	int depth = 0;

	*at = *n = 0;
	if (!p)
		return;
	p += strlen(name);
	for (q = p; depth || (*q != ',' && *q != '}'); q++)
		depth += (*q == '{' || *q == '[') - (*q == '}' || *q == ']');
	*at = (size_t)(p - body);
	if (strncmp(p, "null", 4)) /* of a null the place alone is told */
		*n = (size_t)(q - p);
}

/* What the client wrote. */
static void body(const char *text)
{
	struct ch_openai *o = &me.openai;

	*o = (struct ch_openai){ .size = sizeof(*o), .path = "chat/completions", .body = { text, strlen(text) } };
	o->stream = strstr(text, "\"stream\":true");
	o->usage = strstr(text, "\"include_usage\":true");
	find(text, "\"model\":", &o->model_at, &o->model_n);
	find(text, "\"stream_options\":", &o->stream_options_at, &o->stream_options_n);
	me.args.openai = o;
	me.streams = o->stream;
}

static void (*also)(struct ch_test *); /* what a test adds before the start */

static void begin_with(const char *ini)
{
	static const struct ch_message hello = { CH_STR("user"), CH_STR("hello"), { NULL, 0 } };

	memset(&me, 0, sizeof(me));
	memset(&up, 0, sizeof(up));
	me.t = ch_test_new();
	me.args = (struct ch_inference_args){ .size = sizeof(me.args), .op = CH_I_CHAT, .messages = &hello, .nmessages = 1,
		.temperature = -1,
		.top_p = -1 };
	ch_test_plugin(me.t, CH_TEST_ENTRY(openai));
	ch_test_service(me.t, "http", "http/1", &http, NULL);
	if (also)
		also(me.t);
	ch_test_config(me.t, ini);
	if (!ch_test_start(me.t))
		fail_msg("%s", ch_test_errors(me.t));
	me.svc = ch_test_provided(me.t, "openai", "inference/1");
	assert_non_null(me.svc);
}

static void begin(void)
{
	begin_with(BASE);
}

static void ask(void)
{
	me.deltas = me.resumed = 0;
	me.nframes = 0;
	me.frames[0] = me.text[0] = me.tools[0] = 0;
	ch_test_task(me.t, "openai", 0, make, NULL);
}

static void head(int status, const char *type)
{
	up.status = status;
	up.head[0] = (struct ch_http_field){ CH_STR("content-type"), { type, strlen(type) } };
	ch_test_on_loop(me.t, step_head, NULL);
}

static void bytes(const char *p, size_t n)
{
	assert_true(up.open && !up.paused);
	memcpy(up.p, p, n);
	up.n = n;
	ch_test_on_loop(me.t, step_data, NULL);
}

static void data(const char *text)
{
	bytes(text, strlen(text));
}

static void end(int error)
{
	up.error = error;
	ch_test_on_loop(me.t, step_end, NULL);
}

static void answered(const char *text)
{
	head(200, "application/json");
	data(text);
	if (up.open)
		end(CH_HTTP_OK);
}

static void over(int code)
{
	assert_int_equal(me.resumed, me.rc == CH_AGAIN);
	if (me.code != code)
		fail_msg("code %d, not %d: %s", me.code, code, me.detail);
	assert_false(up.open);
}

static void cancel_now(void *data)
{
	(void)data;
	vt()->cancel(me.svc, me.c, me.out);
	vt()->cancel(me.svc, me.c, me.out);
	vt()->go_on(me.svc, me.c, me.out);
	assert_false(up.open); /* within the call even */
}

static void finish(void)
{
	ch_test_free(me.t);
}

#endif
