/* SPDX-License-Identifier: MIT */
/*
 * openai_request.c - what is sent to an OpenAI server. Where it goes and who we are come from the config, the path from a fixed table;
 * nothing that a client said is in the URL or the header.
 */
#include <stdio.h>

#include "openai_call.h"

enum { FIELDS_OF_OURS = 5 }; /* Authorization, Content-Type, Accept, traceparent, tracestate */

static const char *path_of(const struct openai_call *k)
{
	static const char *const paths[] = { NULL, "chat/completions", "completions", "embeddings", NULL, "models", NULL };
	const char *path = k->args->op == CH_I_PROBE ? k->up->probe : k->args->openai ? k->args->openai->path : paths[k->args->op];

	return path && path[0] == '/' ? path + 1 : path ? path : "";
}

/* base_url/path?query. False: no memory. */
static bool set_url(struct openai_call *k)
{
	const char *path = path_of(k), *query = k->up->query ? k->up->query : "";
	size_t base = strlen(k->up->base_url), n = strlen(path), q = strlen(query);
	char *url = ch_alloc(k->c, base + n + q + 3), *w = url;

	if (!url)
		return false;
	w = (char *)memcpy(w, k->up->base_url, base) + base;
	*w++ = '/';
	w = (char *)memcpy(w, path, n) + n;
	if (q) {
		*w++ = '?';
		w = (char *)memcpy(w, query, q) + q;
	}
	k->request.url = (struct ch_str){ url, (size_t)(w - url) };
	return true;
}

static void put(struct ch_http_field *fields, size_t *n, struct ch_str name, struct ch_str value)
{
	fields[(*n)++] = (struct ch_http_field){ name, value };
}

/* False: no memory. */
static bool put_key(struct openai_call *k, struct ch_http_field *fields, size_t *n)
{
	size_t len = k->up->api_key ? strlen(k->up->api_key) : 0;
	char *value = len ? ch_alloc(k->c, 7 + len) : NULL;

	if (!len)
		return true;
	if (!value)
		return false;
	memcpy(value, "Bearer ", 7);
	memcpy(value + 7, k->up->api_key, len);
	put(fields, n, (struct ch_str)CH_STR("Authorization"), (struct ch_str){ value, 7 + len });
	return true;
}

/* Our trace goes on at the upstream, under a span of its own. */
static void put_trace(struct openai_call *k, struct ch_http_field *fields, size_t *n)
{
	const struct ch_facts *facts = ch_facts(k->c);
	uint64_t span;

	if (!facts->trace_id[0])
		return;
	do
		span = ch_random();
	while (!span);
	snprintf(k->traceparent, sizeof(k->traceparent), "00-%.32s-%016llx-%s", facts->trace_id, (unsigned long long)span,
		facts->sampled ? "01" : "00");
	put(fields, n, (struct ch_str)CH_STR("traceparent"), (struct ch_str){ k->traceparent, 55 });
	if (facts->tracestate && facts->tracestate[0])
		put(fields, n, (struct ch_str)CH_STR("tracestate"), (struct ch_str){ facts->tracestate, strlen(facts->tracestate) });
}

static bool set_fields(struct openai_call *k, bool post)
{
	struct ch_http_field *fields = ch_alloc(k->c, (FIELDS_OF_OURS + k->up->nfields) * sizeof(*fields));
	size_t n = 0;

	if (!fields || !put_key(k, fields, &n))
		return false;
	if (post)
		put(fields, &n, (struct ch_str)CH_STR("Content-Type"), (struct ch_str)CH_STR("application/json"));
	put(fields, &n, (struct ch_str)CH_STR("Accept"),
		k->streams ? (struct ch_str)CH_STR("text/event-stream") : (struct ch_str)CH_STR("application/json"));
	put_trace(k, fields, &n);
	for (size_t i = 0; i < k->up->nfields; i++)
		fields[n++] = k->up->fields[i];
	k->request.fields = fields;
	k->request.nfields = n;
	return true;
}

static bool set_request(struct openai_call *k, const char *model)
{
	bool post = k->args->op != CH_I_MODELS && k->args->op != CH_I_PROBE, chat = k->streams && k->args->op != CH_I_PASS;
	bool asked = k->args->openai && k->args->openai->usage;

	k->hide_usage = chat && k->args->openai && !asked;
	k->request.size = sizeof(k->request);
	k->request.method = post ? (struct ch_str)CH_STR("POST") : (struct ch_str)CH_STR("GET");
	if (post) {
		k->request.body = ch_openai_body(k->c, k->args, model, chat, chat && !asked && k->up->inject_usage);
		if (!k->request.body.p && !(k->args->openai && !k->args->openai->body.n))
			return false;
	}
	ch_backend_timeouts(k->args, k->up->conf, k->streams, &k->request);
	if (k->sink.delta)
		k->request.max_body = (uint64_t)k->up->conf->max_stream;
	return set_url(k) && set_fields(k, post);
}

struct openai_call *openai_call_new(const struct ch_openai_upstream *up, struct ch_ctx *c, const struct ch_inference_args *args,
	const struct ch_inference_sink *sink, struct ch_inference_result *out)
{
	bool spoken = args->op == CH_I_CHAT || args->op == CH_I_COMPLETION, streamed = args->openai && args->openai->stream;
	struct openai_call *k;

	if (spoken && args->openai && streamed != (sink != NULL)) {
		ch_backend_refuse(out, CH_E_INTERNAL, 0, "The request asks for a stream and its answer is wanted whole, or the other way round.");
		return NULL;
	}
	k = ch_alloc(c, sizeof(*k));
	if (!k) {
		ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
		return NULL;
	}
	k->up = up;
	k->c = c;
	k->args = args;
	k->out = out;
	if (sink)
		k->sink = *sink;
	k->streams = sink && (spoken || streamed);
	k->secrets = (struct upstream_secrets){ .key = up->api_key, .fields = up->fields, .nfields = up->nfields };
	k->scratch = k->room;
	k->scratch_cap = sizeof(k->room);
	openai_events_init(k);
	if (set_request(k, out->model))
		return k;
	ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	return NULL;
}
