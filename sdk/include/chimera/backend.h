/* SPDX-License-Identifier: MIT */
/*
 * chimera/backend.h - for authors of backends, that is of providers of "inference/1" over http/1: the options that all backends have, what
 * an upstream's failure means to a client, and a whole client of OpenAI's protocol. In libchimera-kit. Since 0.3.
 *
 * Everything here belongs to one loop and one ctx, and allocates in the ctx's arena, unless a line says otherwise. Upstream bytes are
 * untrusted: whatever comes, a call ends within its timeouts, with one code, and without a secret in its texts.
 */
#ifndef CHIMERA_BACKEND_H
#define CHIMERA_BACKEND_H

#include <chimera/http.h>
#include <chimera/inference.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- options ---- */

/* What every backend is told: a member of the plugin's own config struct. [any], read-only. */
struct ch_backend_conf {
	struct ch_list models;            /* names, and patterns: "*" at the end stands for anything */
	const char *default_model;        /* of a request that names none; counts as one of models; "": there is none */
	int64_t weight;                   /* share of the requests among equals */
	int64_t max_in_flight;            /* calls at once, of the process; 0: no limit */
	int64_t max_waiting;              /* calls that wait for a place when all are taken; 0: none waits */
	int64_t connect_timeout, timeout, first_token_timeout, idle_timeout; /* milliseconds; 0: the router's, or without one the kit's */
	struct ch_list extra_headers;     /* "Name: value" */
	int64_t max_answer;               /* bytes of a whole answer, held in memory */
	int64_t max_stream;               /* bytes of a streamed one */
};

/*
 * Rows for the option table of a plugin whose config struct `conf` holds them in its member `f`. The defaults of models and
 * default_model.
 */
#define CH_BACKEND_OPTIONS(conf, f, models_def, default_def) \
	CH_OPT_AS(conf, f.models, "models", LIST, .def = models_def, \
		.help = "The models it answers for, by comma; a name that ends with * stands for all that begin so"), \
	CH_OPT_AS(conf, f.default_model, "default_model", STR, .def = default_def, .help = "The model of a request that names none"), \
	CH_OPT_AS(conf, f.weight, "weight", INT, .def = "1", .min = "1", .max = "1000", \
		.help = "Its share of the requests among backends that serve the same model"), \
	CH_OPT_AS(conf, f.max_in_flight, "max_in_flight", INT, .def = "0", .min = "0", .max = "1000000", \
		.help = "Most requests at once, of the process; 0 is no limit"), \
	CH_OPT_AS(conf, f.max_waiting, "max_waiting", INT, .def = "0", .min = "0", .max = "1000000", \
		.help = "Most requests that wait for a place when max_in_flight is reached; further ones are refused"), \
	CH_OPT_AS(conf, f.connect_timeout, "connect_timeout", DURATION, .def = "0s", .min = "0s", .max = "1h", \
		.help = "Name, connection and TLS together; 0s is the router's"), \
	CH_OPT_AS(conf, f.timeout, "timeout", DURATION, .def = "0s", .min = "0s", .max = "1d", .help = "One attempt; 0s is the router's"), \
	CH_OPT_AS(conf, f.first_token_timeout, "first_token_timeout", DURATION, .def = "0s", .min = "0s", .max = "1d", \
		.help = "Streams: until the first piece of the answer; 0s is the router's"), \
	CH_OPT_AS(conf, f.idle_timeout, "idle_timeout", DURATION, .def = "0s", .min = "0s", .max = "1d", \
		.help = "Streams: between two pieces of the answer; 0s is the router's"), \
	CH_OPT_AS(conf, f.extra_headers, "extra_headers", LIST, .flags = CH_O_SECRET, \
		.help = "Further header fields of each request, \"Name: value\", by comma"), \
	CH_OPT_AS(conf, f.max_answer, "max_answer", SIZE, .def = "32m", .min = "64k", .max = "1g", \
		.help = "Longest whole answer, which is held in memory"), \
	CH_OPT_AS(conf, f.max_stream, "max_stream", SIZE, .def = "1g", .min = "64k", .max = "1024g", .help = "Longest streamed answer")

/* What the kit takes where neither args nor conf say a timeout: milliseconds. */
#define CH_BACKEND_CONNECT_MS 5000
#define CH_BACKEND_TIMEOUT_MS 600000
#define CH_BACKEND_FIRST_TOKEN_MS 60000
#define CH_BACKEND_IDLE_MS 60000

/* For `check`: reports what is wrong in the common options (no model at all, a "*" inside of a name, a bad header) by ch_config_error. */
bool ch_backend_check(struct ch_self *, const struct ch_backend_conf *);

/* [any] Does a text match an entry of `models`: itself, or a beginning and "*"? The same rule everywhere a config names models. */
bool ch_model_matches(struct ch_str entry, struct ch_str model);
/* [any] Is a name among these, names and patterns as above, by comma? Blanks around them do not count; an empty list names nothing. Since 0.5 */
bool ch_listed(struct ch_str list, struct ch_str name);

/* [any] The entry of models that serves that model: the name itself, else the longest pattern; default_model; NULL: none does. */
const char *ch_backend_rule(const struct ch_backend_conf *, struct ch_str model);

/*
 * What every submit does first: finds the model (args->model, else the default), checks that it is served and that the backend can do what
 * the request needs, and fills out->backend, model and rule. False: out has a code.
 */
bool ch_backend_accept(const struct ch_svc *, struct ch_ctx *, const struct ch_inference_args *, struct ch_inference_result *out);

/* Sets a code with its sentence, which must live as long as the ctx (NULL: one that says no memory is left). Returns CH_OK, for submit. */
int ch_backend_refuse(struct ch_inference_result *out, enum ch_code code, int64_t retry_after_ms, const char *detail);

/*
 * The args' timeout, else the conf's, else the kit's, and none longer than the client waits (budget_ms): of one call, with or without a
 * sink, into those of an http/1 call.
 */
void ch_backend_timeouts(const struct ch_inference_args *, const struct ch_backend_conf *, bool streamed, struct ch_http_args *out);

/* ---- what an upstream's failure means ---- */

/*
 * Fills *out from an http/1 call that failed or whose status is no 2xx: code, status, retry_after_ms, detail and, for what the client can
 * mend (400, 404, 413, 415, 422), the upstream's own `error` object. `body` is the answer's, as far as it came. Every occurrence of
 * `secret` (NULL, or less than 6 bytes: none) and of anything that looks like a bearer token is taken out of texts.
 *
 *   400 404 413 415 422   the same status          401 402 403   CH_E_UPSTREAM_AUTH         429     CH_E_UPSTREAM_RATE_LIMITED
 *   408 and timeouts      CH_E_UPSTREAM_TIMEOUT    503 "busy"    CH_E_UPSTREAM_BUSY         other   CH_E_UPSTREAM_ERROR
 *   no connection, in time or at all: CH_E_UPSTREAM_UNAVAILABLE                             no HTTP, 1xx, 3xx   CH_E_UPSTREAM_INVALID
 *
 * retry_after_ms: of retry-after-ms or Retry-After, clamped to 1 to 120 s; 0 without one, and where the same request would fail again: of
 * what the client must mend, CH_E_UPSTREAM_AUTH, and what is no answer.
 */
void ch_upstream_failed(struct ch_ctx *, const struct ch_http_result *, struct ch_str body, const char *secret,
                        struct ch_inference_result *out);

/*
 * The same for an error that came in a 200 or inside of a stream: its JSON, an object or a text. CH_E_UPSTREAM_ERROR, or what its code
 * says.
 */
void ch_upstream_said(struct ch_ctx *, struct ch_str error, const char *secret, struct ch_inference_result *out);

/* ---- memory of any size ---- */

/*
 * A growing buffer outside of a ctx's arena, freed with the ctx. In memory of the ctx; set c, the rest zero. Nothing is held before it
 * grows.
 */
struct ch_heap { struct ch_ctx *c; char *p; size_t cap; };

/* Room for `want` bytes; what was there stays. As `grow` of the kit's writers and splitters, too: `heap` is their arg. NULL: no memory. */
void *ch_heap_grow(void *heap, void *old, size_t used, size_t want);

/* ---- one exchange with an upstream ---- */

/*
 * What a backend of any protocol does for one call: it sends a request by http/1, waits by a ticket of its own, gathers the answer or hands
 * it on in pieces, with pause, cancel, the time to the first piece, and the seam where faults are injected; it says what a failure means,
 * and resumes the call's ticket exactly once. Zeroed memory of the ctx, where the backend fills the first part before ch_exchange_begin.
 */
struct ch_exchange {
	size_t size;
	const struct ch_svc *http;        /* "http/1" */
	struct ch_ctx *c;
	struct ch_inference_result *out;  /* the call's */
	ch_ticket ticket;                 /* the call's */
	struct ch_http_args request;      /* with its timeouts (ch_backend_timeouts) */
	const char *secret;               /* taken out of texts; NULL: none. So are … */
	const struct ch_http_field *secret_fields; /* … the values of these */
	size_t nsecret_fields;
	bool streamed;                    /* a 2xx's body goes to `piece`; else it is gathered for `end` */
	int64_t first_ms;                 /* how long ch_exchange_begun may be waited for; 0: no limit beside those of the request */
	size_t max_answer;                /* bytes of what is gathered; more is CH_E_UPSTREAM_INVALID */
	/*
	 * A 2xx's head is there, in x->result; `streamed` and max_answer may be set anew. CH_OK; CH_ERROR: *out has a code. NULL: not
	 * wanted.
	 */
	int (*head)(struct ch_exchange *);
	/*
	 * Streamed: the body's bytes from *used on; it moves *used. CH_OK: all were taken; CH_AGAIN: no more until ch_exchange_go_on, what
	 * was not taken is kept; CH_DONE: the answer is whole, what still comes is not looked at; CH_ERROR: *out has a code.
	 */
	int (*piece)(struct ch_exchange *, const char *p, size_t n, size_t *used);
	/* The whole body of a 2xx came, or `piece` said DONE. Fills *out, with a code if it is no answer. Streamed: the body is empty. */
	void (*end)(struct ch_exchange *, struct ch_str body);
	/* *out has the code of ch_upstream_failed: it may be made more precise, or taken back. NULL: it stays. */
	void (*failed)(struct ch_exchange *, struct ch_str body);

	/* Its own. */
	struct ch_http_result result;     /* to be read */
	struct ch_timer *timer;
	int waits_for;                    /* what the timer is for */
	struct ch_heap heap;              /* of `body`, if that is not in the arena */
	char *body;                       /* a whole answer, the body of an error, or what a paused stream still holds */
	size_t nbody, body_cap, body_at;
	bool paused, went_on, whole;
	bool ended;                       /* http/1 is not at work for it, or not any more */
	bool over;                        /* the call has been told */
	bool fault;                       /* the seam says: fail */
};

/* As submit of inference/1: CH_OK, *out has a code; CH_AGAIN, the ticket will be resumed. out->call is the struct ch_exchange meanwhile. */
int ch_exchange_begin(struct ch_exchange *x);
/* The first piece of a stream came: it is not waited for any more. */
void ch_exchange_begun(struct ch_exchange *x);
/* As ch_upstream_said, without all that the exchange knows to be secret. */
void ch_exchange_said(struct ch_exchange *x, struct ch_str error);
/* As go_on and cancel of inference/1. */
void ch_exchange_go_on(struct ch_inference_result *out);
void ch_exchange_cancel(struct ch_inference_result *out);

/* Header fields that let the ctx's trace go on at the upstream, under a span of its own: how many of the two were filled. */
size_t ch_backend_trace(struct ch_ctx *, char traceparent[56], struct ch_http_field fields[2]);

/* ---- OpenAI's protocol over http/1 ---- */

/* One server. The plugin's: filled at start, then read-only; lives as long as the instance. */
struct ch_openai_upstream {
	size_t size;
	const struct ch_svc *http;        /* "http/1" */
	const struct ch_backend_conf *conf;
	const char *base_url;             /* "https://api.openai.com/v1", no slash at the end */
	const char *query;                /* behind each URL: "api-version=2024-10-21"; NULL or "": none */
	const char *api_key;              /* NULL or "": none; sent as Authorization: Bearer, and taken out of texts */
	const struct ch_http_field *fields; /* further ones of each request */
	size_t nfields;
	const char *probe;                /* CH_I_PROBE asks for base_url + this by GET: "/models" */
	bool inject_usage;                /* ask for a stream's usage even if the client did not, and hide it from that client */
	const char *max_tokens;           /* what max_tokens of the canonical fields is called in a chat; NULL: "max_tokens" */
	/*
	 * api_key is the caller's own: when the server refuses it (401, 402, 403), that is for the caller to mend, CH_E_FORBIDDEN, and no
	 * failure of this backend. Since 0.4
	 */
	bool callers_key;
};

/* What an OpenAI upstream can do: ops and can for struct ch_inference_about. */
#define CH_OPENAI_OPS \
	((1u << CH_I_CHAT) | (1u << CH_I_COMPLETION) | (1u << CH_I_EMBEDDINGS) | (1u << CH_I_PASS) | (1u << CH_I_MODELS) | (1u << CH_I_PROBE))
#define CH_OPENAI_CAN (CH_I_TOOLS | CH_I_IMAGES | CH_I_FORMAT | CH_I_LOGPROBS | CH_I_MANY | CH_I_OTHER)

/* As submit, go_on and cancel of struct ch_inference_v1; the provider has filled *up from its config. `svc`: the provider's own. */
int ch_openai_submit(const struct ch_openai_upstream *up, const struct ch_svc *svc, struct ch_ctx *, const struct ch_inference_args *,
                     const struct ch_inference_sink *, struct ch_inference_result *out, ch_ticket);
void ch_openai_go_on(const struct ch_openai_upstream *up, struct ch_ctx *, struct ch_inference_result *out);
void ch_openai_cancel(const struct ch_openai_upstream *up, struct ch_ctx *, struct ch_inference_result *out);

/*
 * The JSON of a request in OpenAI's dialect for that model: the client's own bytes with the splices and the model replaced, or, without
 * them, made of the canonical fields. usage: with stream_options.include_usage. p NULL: no memory. Of the upstream only max_tokens counts.
 */
struct ch_str ch_openai_body(const struct ch_openai_upstream *, struct ch_ctx *, const struct ch_inference_args *, const char *model,
                             bool stream, bool usage);

/*
 * [start] The header fields of extra_headers as http/1 takes them: an array from malloc, the caller's to free, that points into the config.
 * NULL: none, or no memory; *n says which are there.
 */
struct ch_http_field *ch_backend_fields(const struct ch_backend_conf *, size_t *n);

#ifdef __cplusplus
}
#endif
#endif
