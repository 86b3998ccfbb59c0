/* SPDX-License-Identifier: MIT */
/* ch_infer: CALL hooks, the service, CALL_END hooks, in this order, each where it must wait. Called on the ctx's loop. */
#include <chimera/inference.h>

static const struct ch_inference_v1 *vt(const struct ch_inference_call *call)
{
	return (const struct ch_inference_v1 *)call->svc->vt;
}

static void failed(struct ch_inference_call *call, int code, const char *detail)
{
	if (call->out->code)
		return;
	call->out->code = code;
	call->out->detail = detail;
}

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	struct ch_inference_call *call = (struct ch_inference_call *)data;
	(void)result;
	if (why != CH_READY) {
		vt(call)->cancel(call->svc, c, call->out);
		if (why == CH_TIMEOUT)
			failed(call, CH_E_UPSTREAM_TIMEOUT, "The backend did not answer in time; try again later.");
		else
			failed(call, CH_E_UPSTREAM_ERROR, "The client left before the answer was whole.");
	}
	call->asked_ = false;
	ch_span_end(c, call->span_, why == CH_READY && !call->out->code);
	ch_call_end(c);
	return call->fn(c, call->data, why, NULL);
}

/* CH_OK: the answer is there, and CALL_END was told. */
static int ask(struct ch_ctx *c, struct ch_inference_call *call)
{
	call->ticket_ = ch_suspend(c, call->timeout_ms, on_answer, call);
	if (!call->ticket_) {
		failed(call, CH_E_OVERLOADED, "The server has no memory for this question; try again later.");
		ch_call_end(c);
		return CH_OK;
	}
	call->asked_ = true;
	call->span_ = ch_span_begin(c, "inference");
	const struct ch_inference_sink *sink = call->sink.delta ? &call->sink : NULL;
	int rc = vt(call)->submit(call->svc, c, &call->args, sink, call->out, call->ticket_);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	call->asked_ = false;
	ch_unsuspend(call->ticket_);
	if (rc != CH_OK)
		failed(call, CH_E_UPSTREAM_ERROR, "The backend's plugin is broken; see the server's log.");
	ch_span_end(c, call->span_, !call->out->code);
	ch_call_end(c);
	return CH_OK;
}

static int after_hooks(struct ch_ctx *c, struct ch_inference_call *call, int rc)
{
	if (rc == CH_OK)
		return ask(c, call);
	call->answered = rc == CH_DONE;
	if (rc != CH_DONE)
		failed(call, CH_E_INTERNAL, "A plugin that looks at questions is broken; see the server's log.");
	ch_call_end(c);
	return CH_OK;
}

static int on_hooks(struct ch_ctx *c, void *data, int why, void *result)
{
	struct ch_inference_call *call = (struct ch_inference_call *)data;
	if (why != CH_READY) {
		failed(call, CH_E_UPSTREAM_ERROR, "The client left before the question was asked.");
		ch_call_end(c);
		return call->fn(c, call->data, why, NULL);
	}
	int rc = after_hooks(c, call, (int)(intptr_t)result);
	return rc == CH_AGAIN ? rc : call->fn(c, call->data, CH_READY, NULL);
}

int ch_infer(struct ch_ctx *c, struct ch_inference_call *call)
{
	struct ch_facts *facts = ch_facts(c);

	call->iface = "inference/1";
	if (!facts->asked && call->args.model.n) /* before hooks and rules may change it */
		facts->asked = ch_dup(c, call->args.model.p, call->args.model.n);
	int rc = ch_call_hooks(c, call, on_hooks, call);
	if (rc == CH_AGAIN || (rc == CH_ERROR && ch_call(c) != call))
		return rc;
	return after_hooks(c, call, rc);
}
