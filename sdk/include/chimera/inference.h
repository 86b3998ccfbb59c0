/* SPDX-License-Identifier: MIT */
/*
 * chimera/inference.h - the service "inference/1": something that answers prompts. Form 0.1. Since 0.1;
 * questions with hooks (ch_infer) since 0.2.
 *
 * Called on the ctx's loop, answered on the same loop. Nothing is called back inside a call.
 */
#ifndef CHIMERA_INFERENCE_H
#define CHIMERA_INFERENCE_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ch_message {
	struct ch_str role;               /* "system", "user", "assistant", … */
	struct ch_str content;            /* UTF-8 */
};

/* The canonical request. Lives, with all it points to, as long as the ctx. */
struct ch_inference_args {
	size_t size;
	struct ch_str model;              /* n 0: the backend's default */
	const struct ch_message *messages;
	size_t nmessages;                 /* at least 1 */
	int64_t max_tokens;               /* 0: the backend's own limit */
	double temperature;               /* < 0: the backend's own */
};

/* What came of it. The caller's memory in the ctx's arena, all zero but `size` when the call is made; text belongs to the ctx. */
struct ch_inference_result {
	size_t size;
	int code;                         /* 0: answered; else enum ch_code, to be handed to ch_refuse with what follows */
	int64_t retry_after_ms;
	const char *detail;               /* with code: what happened and what to do */
	const char *backend, *model;      /* what really answered; stream: set before the first delta */
	struct ch_str text;               /* complete: the whole answer; stream: empty */
	const char *finish_reason;        /* "stop", "length" */
	uint64_t tokens_in, tokens_out;
	void *call;                       /* the provider's own, as long as the call runs: how go_on and cancel find it */
};

/*
 * Where a streamed answer goes. Called on the loop, after `stream` returned; the text is whole UTF-8 sequences, valid during the call.
 * Return CH_OK, or CH_AGAIN to get no more until `go_on`.
 */
struct ch_inference_sink {
	size_t size;
	int (*delta)(struct ch_ctx *, void *arg, const char *text, size_t n);
	void *arg;
};

struct ch_inference_v1 {
	size_t size;
	/*
	 * The whole answer. CH_OK: *out is filled now (an answer or a code) and the ticket is untouched. CH_AGAIN: *out will be filled
	 * and the ticket resumed
	 * (result NULL). CH_ERROR: the provider is broken.
	 */
	int (*complete)(
		const struct ch_svc *, struct ch_ctx *, const struct ch_inference_args *, struct ch_inference_result *out, ch_ticket);
	/*
	 * The answer piece by piece: deltas to the sink, then the ticket is resumed with *out filled. A code before the first delta is a
	 * refusal, after it a
	 * broken stream. CH_OK (refused at once), CH_AGAIN, CH_ERROR as above. The sink is copied.
	 */
	int (*stream)(const struct ch_svc *, struct ch_ctx *, const struct ch_inference_args *, const struct ch_inference_sink *,
	              struct ch_inference_result *out, ch_ticket);
	/* After a sink's AGAIN. */
	void (*go_on)(const struct ch_svc *, struct ch_ctx *, struct ch_inference_result *out);
	/* Gives up the call that fills *out: no more deltas, the ticket is resumed at once. Idempotent; a sink may call it, too. */
	void (*cancel)(const struct ch_svc *, struct ch_ctx *, struct ch_inference_result *out);
};

/* ---- a question with its hooks. Since 0.2 ---- */

/*
 * What CALL and CALL_END hooks see by ch_call, and how a consumer asks: fill svc, args, sink (delta NULL: the whole answer), out and fn, in
 * memory of the ctx, and call ch_infer. CALL hooks run in order and may change args, answer themselves (fill *out, return CH_DONE) or
 * suspend; then the service is asked; then CALL_END hooks see *out, exactly once, also when the client left.
 */
struct ch_inference_call {
	size_t size;
	const char *iface;                /* "inference/1"; ch_infer sets it */
	const struct ch_svc *svc;
	struct ch_inference_args args;
	struct ch_inference_sink sink;
	struct ch_inference_result *out;
	int64_t timeout_ms;               /* of the service; 0: the ctx's deadline alone */
	/*
	 * As in ch_suspend: READY when *out is filled; TIMEOUT or GONE when the question was given up: it is cancelled already, *out
	 * has a code.
	 */
	ch_resumed fn;
	void *data;
	bool answered;                    /* a CALL hook gave the answer */
	ch_ticket ticket_;                /* ch_infer's own, as is … */
	bool asked_;
	unsigned span_;
};

/*
 * CH_OK: *call->out is filled now, fn will not be called; CH_AGAIN: fn will be; CH_ERROR: a plugin is broken. No other ticket of the ctx
 * may be out. Text that a hook answered itself stays in out->text, also of a stream: `answered` tells, and the caller delivers it.
 */
int ch_infer(struct ch_ctx *c, struct ch_inference_call *call);
/* In a CALL or CALL_END hook: the question, if it is one for inference/1; else NULL. */
static inline struct ch_inference_call *ch_inference_call(struct ch_ctx *c)
{
	struct ch_inference_call *call = (struct ch_inference_call *)ch_call(c);
	return call && !strcmp(call->iface, "inference/1") ? call : NULL;
}
/* After a sink's AGAIN. */
static inline void ch_infer_go_on(struct ch_ctx *c, struct ch_inference_call *call)
{
	if (call->asked_)
		((const struct ch_inference_v1 *)call->svc->vt)->go_on(call->svc, c, call->out);
}

#ifdef __cplusplus
}
#endif
#endif
