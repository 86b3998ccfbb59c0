/* SPDX-License-Identifier: Apache-2.0 */
/* test_world.h - a backend that does what the test says, and a plugin whose CALL hook answers when it is told to. */
#ifndef API_OPENAI_TEST_WORLD_H
#define API_OPENAI_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/inference.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(api_openai);

#define JSON "Content-Type: application/json\n"

struct fake {
	int rc; /* what submit returns */
	struct ch_inference_result give; /* what is filled in */
	bool deaf; /* cancel does not confirm */
	struct ch_ctx *c; /* the call that runs */
	struct ch_inference_result *out;
	struct ch_inference_sink sink;
	ch_ticket ticket;
	unsigned calls, cancelled, went_on;
	struct ch_inference_args args;
	struct ch_openai openai;
	char path[64], model[64], backend[64];
	struct ch_inference_delta delta; /* what send gives */
	int sent; /* … and what came of it */
	struct ch_inference_about about;
};

static inline void fill(struct fake *f)
{
	struct ch_inference_result *o = f->out;
	void *call = o->call;

	*o = f->give;
	o->size = sizeof(*o);
	o->call = call;
}

static int submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
	struct ch_inference_result *out, ch_ticket ticket)
{
	struct fake *f = ch_test_data(svc);

	f->calls++;
	f->c = c;
	f->out = out;
	f->ticket = ticket;
	f->args = *args;
	if (args->openai) {
		f->openai = *args->openai;
		snprintf(f->path, sizeof(f->path), "%s", args->openai->path);
	}
	snprintf(f->model, sizeof(f->model), "%.*s", (int)args->model.n, args->model.n ? args->model.p : "");
	snprintf(f->backend, sizeof(f->backend), "%.*s", (int)args->backend.n, args->backend.n ? args->backend.p : "");
	f->sink = sink ? *sink : (struct ch_inference_sink){ .size = 0 };
	if (f->rc == CH_OK) {
		fill(f);
		return CH_OK;
	}
	out->backend = f->give.backend; /* what is known before the first delta */
	out->model = f->give.model;
	out->content_type = f->give.content_type;
	out->status = f->give.status;
	return f->rc;
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)c;
	(void)out;
	((struct fake *)ch_test_data(svc))->went_on++;
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct fake *f = ch_test_data(svc);

	assert_ptr_equal(c, f->c);
	assert_ptr_equal(out, f->out);
	f->cancelled++;
	if (!f->deaf)
		assert_false(ch_resume(f->ticket, NULL, NULL)); /* too late by definition: it confirms */
}

static const struct ch_inference_about *about(const struct ch_svc *svc)
{
	return &((struct fake *)ch_test_data(svc))->about;
}

static const struct ch_inference_v1 vtable = { sizeof(vtable), submit, go_on, cancel, about };

/* What the backend does later, on the loop. */
static inline void end(void *data)
{
	struct fake *f = data;

	fill(f);
	assert_true(ch_resume(f->ticket, NULL, NULL));
}

static inline void confirm(void *data)
{
	assert_false(ch_resume(((struct fake *)data)->ticket, NULL, NULL));
}

static inline void send(void *data)
{
	struct fake *f = data;

	f->sent = f->sink.delta(f->c, f->sink.arg, &f->delta);
}

static inline void send_frame(struct ch_test *t, struct fake *f, const char *frame)
{
	f->delta = (struct ch_inference_delta){ .size = sizeof(f->delta), .frame = { frame, strlen(frame) } };
	ch_test_on_loop(t, send, f);
}

static inline void send_text(struct ch_test *t, struct fake *f, const char *text)
{
	f->delta = (struct ch_inference_delta){ .size = sizeof(f->delta), .text = { text, strlen(text) } };
	ch_test_on_loop(t, send, f);
}

/* ---- a hook ---- */

static struct ch_str hook_text; /* n 0: it only looks */

static int on_call(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_inference_call *call = ch_inference_call(c);

	(void)self;
	if (!hook_text.n)
		return CH_OK;
	call->out->text = hook_text;
	call->out->finish_reason = "stop";
	call->out->model = "cache";
	return CH_DONE;
}

static const struct ch_hook hooks[] = { { .phase = CH_P_CALL, .fn = on_call } };
static const struct ch_plugin hooked = {
	.size = sizeof(hooked),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "hooked",
	.version = "0",
	.summary = "Answers",
	.hooks = CH_TABLE(hooks),
};

static const struct ch_plugin *hooked_entry(const struct ch_host *host)
{
	(void)host;
	return &hooked;
}

static inline struct ch_test *begin(struct fake *f, const char *ini)
{
	struct ch_test *t = ch_test_new();

	hook_text.n = 0;
	*f = (struct fake){ .rc = CH_AGAIN };
	f->give =
		(struct ch_inference_result){ .backend = "fake", .model = "m1", .finish_reason = "stop", .tokens_in = 2, .tokens_out = 3 };
	f->about = (struct ch_inference_about){ .size = sizeof(f->about), .provider = "fake", .ops = ~0u, .can = ~0u };
	ch_test_plugin(t, CH_TEST_ENTRY(api_openai));
	ch_test_plugin(t, hooked_entry);
	ch_test_service(t, "fake", "inference/1", &vtable, f);
	ch_test_config(t, ini ? ini : "[api_openai]\npassthrough = responses, audio/speech\n");
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	return t;
}

static inline struct ch_test_answer *post_with(struct ch_test *t, const char *path, const char *headers, const char *body)
{
	return ch_test_request(t, "POST", path, headers, body, strlen(body));
}

static inline struct ch_test_answer *post(struct ch_test *t, const char *path, const char *body)
{
	return post_with(t, path, JSON, body);
}

#endif
