/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_call.c - a test plugin: hooks of questions to inference/1, as a guardrail has them. What an instance does stands in fields of the
 * request as "word" for all instances or "instance:word" for one:
 *
 *   X-Call: pass (as without), edit (max_tokens becomes 3), answer (itself), refuse (with a code), error, wait (5 ms, then pass),
 *           wait-answer, wait-error, hang (until the client leaves or the deadline)
 *   X-Call-End: error
 *
 * The answer's field X-Calls-ID lists what ran of the instance ID: "call end", "call gone end".
 *
 *   GET /call            a question without a service, by ch_call_hooks and ch_call_end themselves: the outcome as text
 *   GET /call/infer      a question to the backend by ch_infer, streamed into a sink that is full at each piece; the answer's text
 *
 * Threads and ownership: everything on the request's loop; the list lies in the ctx.
 */
#include <chimera/inference.h>

enum { M_RUN };
enum { CALL, GONE, END, WHATS };

struct t_call_state {
	unsigned run[WHATS];
};

static const char *const whats[] = { "call", "gone", "end", NULL };

/* ---- what ran ---- */

/* An answer that has begun cannot be told more: its fields are out. */
static void note(struct ch_self *self, struct ch_ctx *c, int what)
{
	const struct t_call_state *state = self->state;
	void **list = ch_slot(self, c);
	const char *before = *list ? *list : "";
	char *text = ch_print(c, "%s%s%s", before, *before ? " " : "", whats[what]), *field = ch_print(c, "X-Calls-%s", self->id);

	ch_add(state->run[what], 1);
	if (!text || !field)
		return;
	*list = text;
	if (!ch_status(c))
		ch_header_set(c, field, text);
}

static bool told(struct ch_self *self, struct ch_ctx *c, const char *field, const char *word)
{
	struct ch_str v = ch_header(c, field);
	size_t id = strlen(self->id);

	if (v.n > id && !memcmp(v.p, self->id, id) && v.p[id] == ':') {
		v.p += id + 1;
		v.n -= id + 1;
	}
	return v.n == strlen(word) && !memcmp(v.p, word, v.n);
}

/* ---- CALL ---- */

struct wait {
	struct ch_self *self;
	ch_ticket ticket;
	struct ch_timer *timer;
	int then;
};

static int answer(struct ch_self *self, struct ch_inference_call *call)
{
	call->out->backend = self->id;
	call->out->text = CH_STR("from the hook");
	call->out->finish_reason = "stop";
	return CH_DONE;
}

static void on_time(void *data)
{
	struct wait *w = data;

	ch_timer_free(w->timer);
	w->timer = NULL;
	ch_resume(w->ticket, NULL, NULL);
}

static int on_waited(struct ch_ctx *c, void *data, int why, void *result)
{
	struct wait *w = data;

	(void)result;
	if (why != CH_READY) {
		note(w->self, c, GONE);
		ch_timer_free(w->timer);
		ch_unsuspend(w->ticket);
		return CH_DONE;
	}
	return w->then == CH_DONE ? answer(w->self, ch_inference_call(c)) : w->then;
}

static int wait(struct ch_self *self, struct ch_ctx *c, int64_t ms, int then)
{
	struct wait *w = ch_alloc(c, sizeof(*w));

	if (!w)
		return CH_ERROR;
	w->self = self;
	w->then = then;
	w->ticket = ch_suspend(c, 0, on_waited, w);
	if (!w->ticket)
		return CH_ERROR;
	if (ms < 0)
		return CH_AGAIN;
	w->timer = ch_timer(ch_loop(c), on_time, w);
	if (!w->timer) {
		ch_unsuspend(w->ticket);
		return CH_ERROR;
	}
	ch_timer_set(w->timer, ms);
	return CH_AGAIN;
}

static int on_call(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_inference_call *call = ch_inference_call(c);

	if (!call)
		return CH_OK; /* of another service */
	note(self, c, CALL);
	if (told(self, c, "X-Call", "edit"))
		call->args.max_tokens = 3;
	if (told(self, c, "X-Call", "answer"))
		return answer(self, call);
	if (told(self, c, "X-Call", "refuse")) {
		call->out->code = CH_E_FORBIDDEN;
		call->out->detail = "The guard refuses this question; ask another.";
		call->out->retry_after_ms = 2000;
		return CH_DONE;
	}
	if (told(self, c, "X-Call", "error"))
		return CH_ERROR;
	if (told(self, c, "X-Call", "wait"))
		return wait(self, c, 5, CH_OK);
	if (told(self, c, "X-Call", "wait-answer"))
		return wait(self, c, 5, CH_DONE);
	if (told(self, c, "X-Call", "wait-error"))
		return wait(self, c, 5, CH_ERROR);
	return told(self, c, "X-Call", "hang") ? wait(self, c, -1, CH_OK) : CH_OK;
}

static int on_call_end(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_inference_call *call = ch_inference_call(c);

	if (!call)
		return CH_OK;
	note(self, c, END);
	if (call->out->code)
		ch_log(self, c, CH_INFO, "the question ended with code %s", ch_code_info(call->out->code)->name);
	return told(self, c, "X-Call-End", "error") ? CH_ERROR : CH_OK;
}

/* ---- a question by hand: what ch_infer does, without a service ---- */

static int finish(struct ch_ctx *c, struct ch_inference_call *call, int rc)
{
	const char *text = rc == CH_OK ? "passed" : rc == CH_DONE ? "answered" : "failed";

	ch_call_end(c);
	if (ch_call(c))
		text = "the question is still there";
	if (call->out->code)
		return ch_refuse(c, call->out->code, 0, "%s", call->out->detail);
	return ch_respond(c, 200, "text/plain", text, strlen(text));
}

static int on_hooks(struct ch_ctx *c, void *data, int why, void *result)
{
	if (why == CH_READY)
		return finish(c, data, (int)(intptr_t)result);
	ch_call_end(c);
	return CH_DONE;
}

static int get_call(struct ch_self *self, struct ch_ctx *c)
{
	struct { struct ch_inference_call call; struct ch_inference_result out; } *q = ch_alloc(c, sizeof(*q));
	int rc;

	(void)self;
	if (!q)
		return CH_ERROR;
	q->out.size = sizeof(q->out);
	q->call.size = sizeof(q->call);
	q->call.iface = "inference/1";
	q->call.out = &q->out;
	rc = ch_call_hooks(c, &q->call, on_hooks, &q->call);
	return rc == CH_AGAIN ? CH_AGAIN : finish(c, &q->call, rc);
}

/* ---- a question by ch_infer ---- */

struct t_call_conf {
	const char *path, *infer_path;
	const struct ch_svc *backend;
};

struct asked {
	struct ch_inference_call call;
	struct ch_inference_result out;
	struct ch_ctx *c;
	const char *text;
};

static const struct ch_message message = { .role = CH_STR("user"), .content = CH_STR("hello") };

static void go_on(void *data)
{
	struct asked *a = data;

	ch_infer_go_on(a->c, &a->call);
}

static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct asked *a = arg;

	a->text = ch_print(c, "%s%.*s", a->text ? a->text : "", (int)d->text.n, d->text.p);
	ch_turn_end(ch_loop(c), go_on, a);
	return CH_AGAIN;
}

static int deliver(struct asked *a)
{
	if (a->out.code)
		return ch_refuse(a->c, a->out.code, a->out.retry_after_ms, "%s", a->out.detail);
	if (a->call.answered)
		return ch_respond(a->c, 200, "text/plain", a->out.text.p, a->out.text.n);
	return ch_respond(a->c, 200, "text/plain", a->text, a->text ? strlen(a->text) : 0);
}

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)result;
	return why == CH_GONE ? CH_DONE : deliver(data);
}

static int get_infer(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_call_conf *conf = self->conf;
	struct asked *a = ch_alloc(c, sizeof(*a));
	int rc;

	if (!a)
		return CH_ERROR;
	if (!conf->backend)
		return ch_refuse(c, CH_E_UNAVAILABLE, 1000, "no inference/1 is enabled: add [dryrun]");
	a->c = c;
	a->out.size = sizeof(a->out);
	a->call = (struct ch_inference_call){
		.size = sizeof(a->call),
		.svc = conf->backend,
		.args = { .size = sizeof(a->call.args), .op = CH_I_CHAT, .messages = &message, .nmessages = 1, .max_tokens = 10, .temperature = -1,
			.top_p = -1 },
		.sink = { .size = sizeof(a->call.sink), .delta = on_delta, .arg = a },
		.out = &a->out,
		.timeout_ms = 10000,
		.fn = on_answer,
		.data = a,
	};
	rc = ch_infer(c, &a->call);
	return rc == CH_OK ? deliver(a) : rc;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct t_call_state *state = self->state;

	(void)prev;
	for (int i = 0; i < WHATS; i++)
		state->run[i] = ch_series(self, M_RUN, (const char *const[]){ self->id, whats[i] });
	return CH_OK;
}

static const struct ch_option options[] = {
	CH_OPT(struct t_call_conf, path, STR, .def = "/call", .help = "Where it asks by hand"),
	CH_OPT(struct t_call_conf, infer_path, STR, .def = "/call/infer", .help = "Where it asks by ch_infer"),
	CH_OPT(struct t_call_conf, backend, SERVICE, .def = "auto", .iface = "inference/1", .help = "Whom it asks"),
};
static const struct ch_metric metrics[] = {
	[M_RUN] = {
		.name = "t_call_run_total",
		.kind = CH_COUNTER,
		.labels = { { .name = "instance", .set = CH_L_CONFIG }, { .name = "what", .set = CH_L_FIXED, .values = whats } },
		.help = "Hooks of questions that ran.",
	},
};
static const struct ch_hook hooks[] = {
	{ .phase = CH_P_CALL, .after = "t_misuse", .before = "t_hooks", .fn = on_call, .budget_us = 20000 },
	{ .phase = CH_P_CALL_END, .band = CH_LATE, .fn = on_call_end },
};
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern_option = "path", .fn = get_call, .response_type = "text/plain", .summary = "A question" },
	{ .method = "GET", .pattern_option = "infer_path", .fn = get_infer, .response_type = "text/plain",
		.summary = "A question by ch_infer" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_call",
	.version = "0.1",
	.summary = "Test: hooks of questions",
	.conf_size = sizeof(struct t_call_conf),
	.state_size = sizeof(struct t_call_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.routes = CH_TABLE(routes),
	.start = start,
};

CH_PLUGIN(t_call, plugin)
