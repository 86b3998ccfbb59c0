/* SPDX-License-Identifier: MIT */
/*
 * chimera/inference.h - the service "inference/1": something that answers prompts. Form 0.3, which replaced 0.1's. Since 0.1; questions with
 * hooks (ch_infer) since 0.2. Helpers for those who provide it: chimera/backend.h.
 *
 * Called on the ctx's loop, answered on the same loop. Nothing is called back inside a call. A call is submitted with a sink for the pieces
 * of the answer, or without one for the whole answer; it ends exactly once, when its ticket is resumed (or submit returns CH_OK) with *out
 * filled: done if out->code is 0, else an error. A sink that returns CH_AGAIN pauses the call, go_on resumes it, cancel gives it up.
 *
 * The canonical fields say what every backend understands. Where the client spoke OpenAI's protocol the request also holds its own JSON:
 * a backend of that dialect sends it on as it came, with the members replaced that must differ.
 */
#ifndef CHIMERA_INFERENCE_H
#define CHIMERA_INFERENCE_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ch_inference_op {
	CH_I_CHAT = 1,
	CH_I_COMPLETION,                  /* OpenAI's older one: a prompt, no roles */
	CH_I_EMBEDDINGS,
	CH_I_PASS,                        /* another route of OpenAI's: args.openai is all there is, bytes come back as they are */
	CH_I_MODELS,                      /* which models are there: fills out->models. Never with a sink */
	CH_I_PROBE                        /* does it live: cheap, no tokens are made. Never with a sink */
};

/* What a request needs beside text, and a backend can do. */
#define CH_I_TOOLS    1u                  /* tools, functions and their calls */
#define CH_I_IMAGES   2u                  /* content that is no text */
#define CH_I_FORMAT   4u                  /* response_format other than text */
#define CH_I_LOGPROBS 8u
#define CH_I_MANY     16u                 /* n or best_of above 1 */
#define CH_I_OTHER    32u                 /* a member of OpenAI's that the canonical fields do not hold and that changes the answer */

struct ch_message {
	struct ch_str role;               /* "system", "user", "assistant", … */
	struct ch_str content;            /* UTF-8; of several parts of text, joined; empty where the content is no text */
	struct ch_str json;               /* the whole message as OpenAI's client wrote it; n 0: none. Since 0.3 */
};

/* Bytes [at, at + n) of a text are replaced by `with`. Since 0.3 */
struct ch_splice { size_t at, n; struct ch_str with; };

/* A request as an OpenAI client wrote it: valid JSON, an object, and none of the members named here comes twice. Since 0.3 */
struct ch_openai {
	size_t size;
	const char *path;                 /* "chat/completions": of a fixed table, never a client's text */
	struct ch_str body;
	/* Where the values of these members lie in body; n 0: the member is not there, or (model and stream_options: `at` is not 0) null there. */
	size_t model_at, model_n, stream_options_at, stream_options_n, tools_at, tools_n, format_at, format_n;
	bool stream;                      /* the client asked for a stream */
	bool usage;                       /* … and for its usage in it */
	const struct ch_splice *splices;  /* what must be replaced in body (chimera's own members go), ascending, not overlapping; … */
	size_t nsplices;                  /* … none touches the members above */
};

/* The request. Lives, with all it points to, as long as the ctx. */
struct ch_inference_args {
	size_t size;
	int op;                           /* enum ch_inference_op. Since 0.3 */
	struct ch_str model;              /* n 0: the backend's default */
	struct ch_str backend;            /* an instance id that the body asks for; n 0: any. A backend ignores it. Since 0.3 */
	/*
	 * By a router: its config says that this backend serves the model, under this name, which becomes out->rule; the backend need not look
	 * into its own list. NULL: it must. Lives as long as the ctx. Since 0.3
	 */
	const char *rule;
	const struct ch_message *messages; /* EMBEDDINGS: the inputs, COMPLETION: the prompts, with an empty role */
	size_t nmessages;                 /* CHAT, COMPLETION, EMBEDDINGS: at least 1 */
	int64_t max_tokens;               /* 0: the backend's own limit */
	double temperature;               /* < 0: the backend's own */
	double top_p;                     /* < 0: the backend's own. Since 0.3 */
	int64_t seed;                     /* has_seed */
	bool has_seed;
	const struct ch_str *stop;        /* texts that end the answer */
	size_t nstop;
	unsigned needs;                   /* CH_I_TOOLS … */
	bool base64;                      /* EMBEDDINGS: the client wants base64 of little-endian floats */
	const struct ch_openai *openai;   /* NULL: the canonical fields are all there is */
	/* Milliseconds; 0: the backend's own. The ctx's deadline holds beside them. */
	int64_t connect_timeout_ms;
	int64_t first_token_timeout_ms;   /* with a sink: until the first delta */
	int64_t idle_timeout_ms;          /* with a sink: between two pieces of the answer */
	int64_t timeout_ms;               /* the whole attempt */
	/*
	 * The client's own patience: the whole question, all attempts and waiting; with a sink: until the first delta. It shortens the other
	 * times, and never makes one longer.
	 */
	int64_t budget_ms;
	unsigned retry;                   /* which retry of the client's own this is: a gateway in between retries the less */
	const char *other;                /* with CH_I_OTHER in needs: the member that asked for it, for messages; NULL: not said */
	/*
	 * What this caller may use: names and patterns by comma, as ch_listed reads them; n 0: anything. A router asks no other backend, for no other
	 * model, and names none that is not allowed; a backend need not look. Since 0.5
	 */
	struct ch_str only_models, only_backends;
};

/* A model that can be asked for. Since 0.3 */
struct ch_model {
	struct ch_str id;
	struct ch_str owned_by;           /* whose it is: the backend's id, or what the upstream says */
	int64_t created;                  /* seconds since the epoch; 0: not known */
	int64_t context;                  /* tokens; 0: not known */
};

/* What came of it. The caller's memory in the ctx's arena, all zero but `size` when the call is made; text belongs to the ctx. */
struct ch_inference_result {
	size_t size;
	int code;                         /* 0: answered; else enum ch_code, to be handed to ch_refuse with what follows */
	int64_t retry_after_ms;
	const char *detail;               /* with code: what happened and what to do */
	struct ch_str error;              /* with code: the upstream's own error object (JSON, without secrets), for the client; n 0: none. Since 0.3 */
	int status;                       /* the upstream's HTTP status; 0: none came. Since 0.3 */
	/* What really answered; set before the first delta. With a code: whose failure it is; NULL: nobody was asked. */
	const char *backend, *model;
	const char *rule;                 /* the config's name for the model ("gpt-*"), for metrics; NULL: none. Since 0.3 */
	const char *content_type;         /* PASS: of the answer; set before the first delta. Since 0.3 */
	/*
	 * Without a sink: the whole answer in OpenAI's dialect, if args.openai was there and the backend speaks it (JSON, checked); else n 0, and
	 * what follows is the answer. Since 0.3
	 */
	struct ch_str json;
	struct ch_str text;               /* the whole answer; with a sink: empty */
	struct ch_str tool_calls;         /* JSON: an array as in OpenAI's message.tool_calls; n 0: none; with a sink: empty. Since 0.3 */
	const char *finish_reason;        /* "stop", "length", "tool_calls", … */
	const float *vectors;             /* EMBEDDINGS without json: nvectors times dimensions, one after the other. Since 0.3 */
	size_t nvectors, dimensions;
	const struct ch_model *models;    /* MODELS. Since 0.3 */
	size_t nmodels;
	uint64_t tokens_in, tokens_out;
	bool estimated;                   /* the backend said no usage: the tokens are a guess, or 0. Since 0.3 */
	unsigned attempts;                /* by a router: how many backends were asked, or one how often; else 0. Since 0.3 */
	int64_t first_delta;              /* ch_now; 0: none came. Since 0.3 */
	void *call;                       /* the provider's own, as long as the call runs: how go_on and cancel find it */
	/* With a code, for the operator's log and not for clients: what exactly happened, with hosts and addresses. NULL: detail says it. Since 0.3 */
	const char *reason;
	/* With a code, by a CALL hook that refuses: the problem's type and further members, as in struct ch_refusal. Since 0.5 */
	const char *type;
	struct ch_str more;
};

/* A piece of a streamed answer; all of it is valid during the call only. Since 0.3 */
struct ch_inference_delta {
	size_t size;
	/*
	 * In OpenAI's dialect: the JSON of one chunk, just as it is to go to the client (usage is there only if it asked); PASS: the next bytes of
	 * the answer's body. n 0: whoever speaks that dialect makes it of what follows.
	 */
	struct ch_str frame;
	struct ch_str text;               /* whole UTF-8 sequences, may be empty; with a frame of OpenAI's dialect it may be left out */
	struct ch_str tool_calls;         /* without a frame: JSON, an array as in OpenAI's delta.tool_calls; n 0: none */
};

/* Where a streamed answer goes. Called on the loop, after `submit` returned. CH_OK, or CH_AGAIN to get no more until `go_on`. Copied. */
struct ch_inference_sink {
	size_t size;
	int (*delta)(struct ch_ctx *, void *arg, const struct ch_inference_delta *);
	void *arg;
};

struct ch_backend_conf;                   /* chimera/backend.h */

/* What a provider is and can do: never changes while the instance lives. Since 0.3 */
struct ch_inference_about {
	size_t size;
	const char *provider;             /* whose protocol it speaks, for metrics and spans: "openai", "ollama", "dryrun" */
	unsigned ops;                     /* bits 1u << enum ch_inference_op */
	unsigned can;                     /* CH_I_TOOLS …: a request that needs more is refused with CH_E_BAD_REQUEST, naming what it is */
	bool made_up;                     /* its answers are no model's: never a default or fallback in production */
	const struct ch_backend_conf *conf; /* what all backends are told by their config; NULL: it is no backend but stands before some (a router) */
};

struct ch_inference_v1 {
	size_t size;
	/*
	 * CH_OK: *out is filled now (an answer or a code), no delta came or will, and the ticket is untouched. CH_AGAIN: deltas go to the sink
	 * (NULL: the whole answer goes to *out), then *out is filled and the ticket resumed (result NULL), exactly once. A code before the first
	 * delta is a refusal, after it a broken stream. CH_ERROR: the provider is broken. An op that is not in about->ops: CH_E_NOT_IMPLEMENTED.
	 */
	int (*submit)(const struct ch_svc *, struct ch_ctx *, const struct ch_inference_args *, const struct ch_inference_sink *,
	              struct ch_inference_result *out, ch_ticket);
	/* After a sink's AGAIN. */
	void (*go_on)(const struct ch_svc *, struct ch_ctx *, struct ch_inference_result *out);
	/*
	 * Gives up the call that fills *out: no more deltas, the ticket is resumed at once and what it held upstream is let go within this turn
	 * of the loop. Idempotent; a sink may call it, too.
	 */
	void (*cancel)(const struct ch_svc *, struct ch_ctx *, struct ch_inference_result *out);
	/* [any] Since 0.3 */
	const struct ch_inference_about *(*about)(const struct ch_svc *);
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
 * may be out. Text that a hook answered itself stays in out->text, also of a stream: `answered` tells, and the caller delivers it. A hook
 * that changes what the client said (messages) sets args.openai to NULL, or no backend of that dialect would see the change.
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
