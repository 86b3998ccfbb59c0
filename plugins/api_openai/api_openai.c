/* SPDX-License-Identifier: Apache-2.0 */
/* api_openai.c - OpenAI's HTTP API over inference/1: a client written for OpenAI points its base URL here and works. See api_openai.h. */
#include "api_openai.h"

static int on_chat(struct ch_self *self, struct ch_ctx *c)
{
	return api_ask(self, c, CH_I_CHAT, "chat/completions");
}

static int on_completions(struct ch_self *self, struct ch_ctx *c)
{
	return api_ask(self, c, CH_I_COMPLETION, "completions");
}

static int on_embeddings(struct ch_self *self, struct ch_ctx *c)
{
	return api_ask(self, c, CH_I_EMBEDDINGS, "embeddings");
}

static int check(struct ch_self *self)
{
	return api_pass_check(self) ? CH_OK : CH_ERROR;
}

static const char *const operations[] = { "chat", "completion", "pass", NULL };
static const char *const ends[] = { "done", "error", "gone", NULL }; /* enum api_end */

static int start(struct ch_self *self, const struct ch_self *prev)
{
	static const int ops[] = { CH_I_CHAT, CH_I_COMPLETION, CH_I_PASS };
	struct api_state *state = self->state;

	(void)prev;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		for (size_t k = 0; k < API_ENDS; k++)
			state->streams[ops[i]][k] = ch_series(self, 0, (const char *const[]){ operations[i], ends[k] });
	return CH_OK;
}

static const struct ch_option options[] = {
	CH_OPT(struct api_conf, backend, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "inference/1",
		.help = "Who answers: the router, or the instance of a backend"),
	CH_OPT(struct api_conf, passthrough, LIST,
		.help = "Further routes below /v1/ that are handed to backends of OpenAI's dialect as they come, by POST: responses, "
			"audio/speech"),
	CH_OPT(struct api_conf, ping, DURATION, .def = "15s", .flags = CH_O_OFF, .min = "1s", .max = "1h",
		.help = "A stream that is silent for so long gets a comment, which keeps proxies and clients waiting; off: none"),
};

static const struct ch_metric metrics[] = {
	{
		.name = "chimera_openai_streams_total",
		.kind = CH_COUNTER,
		.labels = { { "operation", CH_L_FIXED, operations }, { "end", CH_L_FIXED, ends } },
		.help = "Streams whose head has left, by how they ended; gone: the client left, also before the head",
	},
};

#define OPENAI(verb, path, handler, ...) \
	{ .method = verb, .pattern = path, .cls = CH_PUBLIC, .fn = handler, .dialect = CH_D_OPENAI, __VA_ARGS__ }

static const struct ch_route routes[] = {
	OPENAI("POST", "/v1/chat/completions", on_chat, .body = CH_BODY_BUFFER, .idempotent = true, .ledger = "inference",
		.summary = "Chat with a model",
		.request_schema = api_chat_request, .response_schema = api_chat_response),
	OPENAI("POST", "/v1/completions", on_completions, .body = CH_BODY_BUFFER, .idempotent = true, .ledger = "inference",
		.summary = "Let a model go on with a text",
		.request_schema = api_completion_request, .response_schema = api_completion_response),
	OPENAI("POST", "/v1/embeddings", on_embeddings, .body = CH_BODY_BUFFER, .idempotent = true, .ledger = "inference",
		.summary = "Texts as vectors",
		.request_schema = api_embeddings_request, .response_schema = api_embeddings_response),
	OPENAI("GET", "/v1/models", api_on_models, .summary = "The models there are",
		.response_schema = api_models_response),
	OPENAI("GET", "/v1/models/{id...}", api_on_model, .summary = "One model",
		.response_schema = api_model_response),
	OPENAI("POST", "/v1/{path...}", api_on_other, .body = CH_BODY_BUFFER, .idempotent = true, .ledger = "inference",
		.summary = "Routes of the option passthrough, as OpenAI has them"),
	OPENAI("GET", "/v1/{path...}", api_on_other, .summary = "404: says which routes there are"),
	OPENAI("PUT", "/v1/{path...}", api_on_other, .summary = "404: says which routes there are"),
	OPENAI("PATCH", "/v1/{path...}", api_on_other, .summary = "404: says which routes there are"),
	OPENAI("DELETE", "/v1/{path...}", api_on_other, .summary = "404: says which routes there are"),
};

static const struct ch_plugin api_openai = {
	.size = sizeof(api_openai),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "api_openai",
	.version = "0.1",
	.summary = "OpenAI's HTTP API: chat, completions, embeddings, models",
	.conf_size = sizeof(struct api_conf),
	.state_size = sizeof(struct api_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.routes = CH_TABLE(routes),
	.check = check,
	.start = start,
};

CH_PLUGIN(api_openai, api_openai)
